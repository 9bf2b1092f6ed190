"""The five effects of one order in one model: charge, capture, cancellation, further attempt and refund."""
