"""`eo doctor`: what keeps this installation from working, in one line each, with the next command.

examination   the questions, asked one after the other; none of them changes anything
connections   how many connections the processes need, and how many PostgreSQL has
command       `eo doctor`
"""
