"""Plain words for errors of servers and of the network, with what to do, for logs, readiness and timelines.

The text of a library's error is never repeated: that of PostgreSQL carries the values of a statement, that of a client
its address. Instead the kind of the error is named, and a sentence is written here for each kind that operators meet.
"""

import os
from collections.abc import Iterator

from service.foundation.addresses.postgres import masked
from service.foundation.errors import EffectivelyOnceError

# By SQLSTATE: its meaning and the next step.
_POSTGRES = {
    "08000": "the connection to PostgreSQL failed",
    "08001": "no connection to PostgreSQL could be made",
    "08003": "the connection to PostgreSQL was lost in the middle of an operation",
    "08004": "PostgreSQL rejected the connection. Look at its log",
    "08006": "the connection to PostgreSQL was lost in the middle of an operation",
    "08P01": "the server or a pooler broke the protocol",
    "25006": "PostgreSQL is read-only: a standby, or a primary that was demoted. Point DATABASE_URL to the primary",
    "28000": "PostgreSQL refuses this user. Look at pg_hba.conf and DATABASE_URL",
    "28P01": "PostgreSQL refuses the password. Correct DATABASE_URL",
    "3D000": "there is no such database. Correct DATABASE_URL",
    "40001": "PostgreSQL gave up a transaction for another one",
    "40P01": "PostgreSQL gave up a transaction to end a deadlock",
    "42501": "this database user may not do that. Run `eo migrate` as the owner of the database",
    "42P01": "a table is missing. Run `eo migrate`",
    "53100": "the disk of PostgreSQL is full. Make room",
    "53200": "PostgreSQL has no memory left",
    "53300": "PostgreSQL has no connection left. Raise max_connections, or lower EO_DB_POOL",
    "55P03": "somebody holds a lock that this needs. See pg_stat_activity",
    "57014": "PostgreSQL cancelled the statement: it took too long, or somebody ended it",
    "57P01": "PostgreSQL is shutting down, or somebody ended the session",
    "57P02": "PostgreSQL crashed and starts again",
    "57P03": "PostgreSQL is starting",
    "58030": "PostgreSQL cannot read or write its disk",
}
# By the word that an error of Redis begins with. It may stand anywhere, because a script puts words before it.
_REDIS = {
    "READONLY": "this Redis is a replica and takes no writes. Point REDIS_URL to the primary",
    "OOM": "this Redis has reached maxmemory. Raise it, or find what fills it",
    "MISCONF": "this Redis cannot save to its disk and takes no writes. Make room, or look at its log",
    "WRONGTYPE": "a key of ours holds something else in this Redis. Give us a database of our own",
    "NOPERM": "this Redis user may not do what the broker needs. Correct its ACL",
    "NOAUTH": "this Redis wants a password. Correct REDIS_URL",
    "WRONGPASS": "this Redis refuses the user or the password. Correct REDIS_URL",
    "MOVED": "this Redis is a node of a cluster and keeps our keys elsewhere. See docs/howto/redis.md for REDIS_URL",
    "ASK": "this Redis Cluster moves our keys right now",
    "TRYAGAIN": "this Redis Cluster moves our keys right now",
    "CLUSTERDOWN": "this Redis Cluster is down: a part of its slots has no node",
    "CROSSSLOT": "this Redis Cluster keeps keys of one command on several nodes",
    "MASTERDOWN": "this Redis is a replica that has lost its primary",
    "NOREPLICAS": "this Redis takes no writes, because it misses its replicas",
    "LOADING": "this Redis is starting and loads its data",
    "BUSY": "a script keeps this Redis busy",
}
# By the class of the client's error, whose text lacks that word.
_REDIS_CLASSES = {
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
}
# By a part of the text, where that word is missing for other reasons.
_REDIS_PHRASES = {
    "wrong kind of value": "WRONGTYPE",
    "no permissions": "NOPERM",
    "no such permission": "NOPERM",
    "ACL failure": "NOPERM",
    "maxmemory": "OOM",
    "read only replica": "READONLY",
    "Authentication required": "NOAUTH",
}
_NETWORK = {
    "ConnectionRefusedError": "nobody listens at that address",
    "ConnectionResetError": "the other side cut the connection",
    "BrokenPipeError": "the other side closed the connection",
    "TimeoutError": "no answer in time",
    "gaierror": "the name of the host cannot be resolved",
    "SSLCertVerificationError": "the certificate of the other side cannot be verified",
    "SSLError": "TLS could not be agreed on",
    "IncompleteReadError": "the other side closed the connection",
    "ConnectionDoesNotExistError": "the connection was lost in the middle of an operation",
    "ConnectionTimeoutError": "no connection in time",
    "InternalClientError": "the connection was cut in the middle of an answer",
}


def kind_of(error: BaseException) -> str:
    """Package and class of the driver's error, such as `asyncpg.ReadOnlySQLTransactionError`."""
    cause = _of_driver(error)
    package = type(cause).__module__.partition(".")[0]
    return type(cause).__name__ if package == "builtins" else f"{package}.{type(cause).__name__}"


def kind_in_words(error: BaseException) -> str | None:
    """Words for the kind of the error, without any name or address in them; None for an unknown kind."""
    return next((said for cause in _chain(error) if (said := _known(cause))), None)


def in_words(error: BaseException) -> str:
    """What happened, and what to do where that is known. It repeats the text of our own errors only."""
    if said := kind_in_words(error):
        return said
    if any(kind_of(cause) == "redis.ConnectionError" for cause in _chain(error)):
        return "Redis cannot be reached"
    if (ours := next((cause for cause in _chain(error) if isinstance(cause, EffectivelyOnceError)), None)) is not None:
        return masked(str(ours)).rstrip(".")
    return f"an error of the kind {kind_of(error)}"


def _known(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    if state:
        return _POSTGRES.get(state, f"PostgreSQL answered with SQLSTATE {state}")
    if type(error).__module__.partition(".")[0] == "redis" and (said := _of_redis(error)):
        return said
    name = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _NETWORK), None)
    if name is not None and not (type(error).__module__.startswith("redis") and name != "TimeoutError"):
        return _NETWORK[name]
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return None


def _of_redis(error: BaseException) -> str | None:
    words = [_REDIS_CLASSES.get(type(error).__name__, "")]
    words += str(error).replace("-", " ").replace(":", " ").split()
    words += [code for phrase, code in _REDIS_PHRASES.items() if phrase in str(error)]
    return next((_REDIS[word] for word in words if word in _REDIS), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first. The outer one may be ours and say little."""
    seen: BaseException | None = _of_driver(error)
    for _ in range(8):
        if seen is None:
            return
        yield seen
        given = seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None
        following = given or seen.__cause__ or seen.__context__
        seen = _of_driver(following) if following is not None else None


def _of_driver(error: BaseException) -> BaseException:
    """The driver's error where SQLAlchemy has wrapped it."""
    found = getattr(error, "driver_exception", None) or getattr(error, "orig", None) or error
    return found if isinstance(found, BaseException) else error
