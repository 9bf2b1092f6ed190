"""`eo doctor`: what keeps this installation from working, in one line each, with the next command.

examination   the questions, asked one after the other; none of them changes anything
postgres      its hosts, what it keeps, its clock, its vacuum, what waits in it
connections   how many connections the processes need, and how many PostgreSQL has
keys          API keys that end soon
redis         whether it takes messages and keeps them
stripe        the key, its permissions, and where Stripe sends events
host          disk, descriptors, private files, the environment, the console's exposure
check         what a check says
command       `eo doctor`
"""
