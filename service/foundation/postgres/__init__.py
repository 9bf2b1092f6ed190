"""PostgreSQL: connections that end, statements, tables, migrations.

driver       every connection is made here, with every bound
db           engines and what their errors mean; pools: how many connections each process holds
sql          statements with named values on the driver
records      the columns that a statement answers, and those of a batch that it is given
schema       every table with its reason
migrate      the schema to this code's; roles: who may do what
starting     what a process refuses to start on
durability   whether the server may forget what it confirmed
duties       what one process of the fleet at a time should do
"""
