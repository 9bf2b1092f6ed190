"""Text as people see it.

glyphs      which characters are seen, and as what
names       what a name, a reason or a user may be
screening   nothing that a person would read as a card number comes in
secrets     texts without keys, tokens and card numbers
"""
