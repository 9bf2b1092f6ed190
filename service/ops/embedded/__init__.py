"""PostgreSQL and Valkey (a Redis) without containers: the programs come from wheels, the data from a folder of ours.

    with Postgres(folder) as postgres, Valkey(other_folder) as valkey:
        postgres.url, valkey.url

postgres   a server reached through a socket, whose kernel says who connects
valkey     a server on a loopback port with a password
places     where the programs are, folders and files of one owner, free ports
"""

from service.ops.embedded.places import (
    free_port,
    postgres_programs,
    private_folder,
    valkey_program,
    write_private,
)
from service.ops.embedded.postgres import OWNER, PG_PORT, PG_VERSION, SOCKET_PATH_MAX, SUPERUSER_FILE, Postgres
from service.ops.embedded.valkey import Valkey

__all__ = [
    "OWNER",
    "PG_PORT",
    "PG_VERSION",
    "SOCKET_PATH_MAX",
    "SUPERUSER_FILE",
    "Postgres",
    "Valkey",
    "free_port",
    "postgres_programs",
    "private_folder",
    "valkey_program",
    "write_private",
]
