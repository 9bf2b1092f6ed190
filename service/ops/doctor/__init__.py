"""`eo doctor`: what keeps this installation from working, in one line each, with the next command.

examination   the questions, asked one after the other; none of them changes anything
connections   the sum of what processes hold against what PostgreSQL has
command       `eo doctor`
"""
