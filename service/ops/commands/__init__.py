"""The commands of `eo`, by subject.

These modules import nothing slow at their top, so that `eo --help` answers at once.
"""
