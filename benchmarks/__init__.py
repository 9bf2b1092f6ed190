"""Benchmarks: every figure is a ratio of two measurements of one run, on the same two cores.

`make bench` runs all of them in under ten minutes, `make bench-NAME` one; the table names each target.

report      a ratio, its target, the table and the JSON file
machine     the machine's facts, and the CPU of each process from /proc
stack       real servers and the product's own processes, for one run
load        the load generator, a process of its own that is not itself the bound
flow        sustained load: as many orders open as a window allows, and what became of them
rivals      the door's rivals in the door's own process: no-op, one bare statement, ORM
naive       the usual way to write this card, written honestly and well
sdk         the Stripe SDK alone, and the straight line without a queue
fill        orders by COPY: a backlog, or years of history
The rest is one benchmark per file, named as its make target.
"""
