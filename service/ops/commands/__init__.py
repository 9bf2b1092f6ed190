"""The small commands of `eo`, by subject. Larger ones stand beside what they command (`reconcile`, `recovery`).

Nothing heavy is imported up here, so that `eo --help` answers at once.
"""
