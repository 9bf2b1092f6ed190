"""All five effects of one order in one model: what the protocol of the charge needs, asked of captures, cancels, refunds."""
