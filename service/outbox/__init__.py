"""The promise: a row that stays until the effect is on the books.

rows     the rows, from claimed by a relay to parked for a human and retried
wakeup   NOTIFY and LISTEN, so that a relay looks at once
"""
