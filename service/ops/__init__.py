"""What operators run: the command `eo`, the processes it starts here, and what it shows.

cli            the tree of commands; `commands` holds them, `arguments` and `terminal` what several of them use
kinds          which kinds of process there are: a new one is a line there
installation   processes by name: what each is told, started, awaited, killed, ended
up             everything on one machine: supervisor, child, embedded servers, isolation, part_log, port
status         what this installation does; status_text shows it, watching shows it live
healthy        whether a process moves, by exit code
inspection     orders for `eo orders`
doctor         what keeps this installation from working
table          rows for a terminal
"""
