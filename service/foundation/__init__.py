"""What every room is built on. It knows nothing of orders.

settings     every knob with its bounds and its reason, from knobs
errors       the tree of errors; exit_codes and guard say what a command's end means
log          one line per event, with the fields of log_fields alone; lines writes those that are many; wording and away
             put errors into words
tracing      whether traces are on; spans makes them
deadlines    every bound of a wait
money        currencies and their minor units                                                             [pure]
addresses    where PostgreSQL, Redis and Stripe are
postgres     connections, statements, schema, migrations
text         what people see: glyphs, names, screening for card numbers                                   [pure]
"""
