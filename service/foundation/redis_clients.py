"""Makes every client of Redis: of one Redis, of the primary that Sentinel names, or of a Cluster.

A new client has no connection yet, because Redis may be away when a process starts. Each call is bounded in time and
repeated once.
"""

import threading
from typing import Any

import redis
import redis.asyncio
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.foundation.addresses.redis import Kind, RedisAddress, parse
from service.foundation.deadlines import REDIS_S

_BACKOFF = ExponentialBackoff(cap=0.2, base=0.05)
# Raised where a Cluster is away or has no primary for our slot. Both are handled as a lost connection.
_CLUSTER_AWAY = (RedisClusterException, ClusterError)


def client(url: str) -> redis.Redis:
    """A client for threads. Raises Misconfigured where the URL is none."""
    address = parse(url)
    options = _options(address) | {"retry": Retry(_BACKOFF, 1)}
    if address.kind is Kind.CLUSTER:
        return _Cluster(address, options)
    if address.kind is Kind.SENTINEL:
        asked = _sentinel_options(address) | {"retry": Retry(NoBackoff(), 0)}  # no repeat: the next Sentinel is asked
        known = Sentinel(address.hosts, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]
        primary: redis.Redis = known.master_for(address.service)  # type: ignore[no-untyped-call]
        return primary
    return redis.Redis(connection_pool=redis.ConnectionPool(**_single(address, options)))


def async_client(url: str, *, connections: int | None = None) -> redis.asyncio.Redis:
    """A client for an event loop. It opens at most `connections` connections, and a call waits for a free one."""
    address = parse(url)
    options = _options(address) | {"retry": AsyncRetry(_BACKOFF, 1)}
    if address.kind is Kind.CLUSTER:
        return _AsyncCluster(address, options | ({"max_connections": connections} if connections else {}))
    bounds: dict[str, Any] = {"max_connections": connections, "timeout": REDIS_S} if connections else {}
    if address.kind is Kind.SENTINEL:
        pool = _BlockingSentinelPool if connections else async_sentinel.SentinelConnectionPool
        asked = _sentinel_options(address) | {"retry": AsyncRetry(NoBackoff(), 0)}
        known = async_sentinel.Sentinel(address.hosts, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]
        primary: redis.asyncio.Redis = known.master_for(address.service, connection_pool_class=pool, **bounds)
        return primary
    made = redis.asyncio.BlockingConnectionPool if connections else redis.asyncio.ConnectionPool
    return redis.asyncio.Redis.from_pool(made(**_async_single(address, options), **bounds))


class _BlockingSentinelPool(async_sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """A pool whose calls wait for a free connection, and whose connections follow the primary."""


class _Cluster(redis.Redis):
    """A Cluster with the interface of one Redis.

    The library's own client connects when it is made and raises errors of another family. This one connects at its
    first command and raises the errors of one Redis.
    """

    def __init__(self, address: RedisAddress, options: dict[str, Any]) -> None:
        super().__init__()
        self._address = address
        self._cluster_options = options
        self._cluster: RedisCluster | None = None
        self._making = threading.Lock()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that holds its keys."""
        try:
            with self._making:
                if self._cluster is None:
                    nodes = [ClusterNode(*host) for host in self._address.hosts]  # type: ignore[no-untyped-call]
                    self._cluster = RedisCluster(startup_nodes=nodes, **self._cluster_options)
                cluster = self._cluster
            return cluster.execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except _CLUSTER_AWAY as error:
            raise redis.ConnectionError(str(error)) from error

    def close(self) -> None:
        """Close the connections to every node."""
        if self._cluster is not None:
            self._cluster.close()
        super().close()


class _AsyncCluster(redis.asyncio.Redis):
    """A Cluster with the interface of one Redis, for an event loop."""

    def __init__(self, address: RedisAddress, options: dict[str, Any]) -> None:
        super().__init__()
        nodes = [AsyncClusterNode(*host) for host in address.hosts]
        self._cluster = AsyncRedisCluster(startup_nodes=nodes, **options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that holds its keys."""
        try:
            return await self._cluster.execute_command(*args, **options)
        except _CLUSTER_AWAY as error:
            raise redis.ConnectionError(str(error)) from error

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to every node."""
        await self._cluster.aclose()
        await super().aclose(close_connection_pool)


def _options(address: RedisAddress) -> dict[str, Any]:
    found: dict[str, Any] = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S, **address.login}
    if address.kind is not Kind.CLUSTER:
        found["db"] = address.db
    if address.kind is not Kind.SINGLE and address.tls is not None:
        found |= {"ssl": True, **address.tls}
    return found


def _sentinel_options(address: RedisAddress) -> dict[str, Any]:
    tls = {} if address.tls is None else {"ssl": True, **address.tls}
    return {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S, **address.sentinel_login, **tls}


def _single(address: RedisAddress, options: dict[str, Any]) -> dict[str, Any]:
    if address.path:
        return options | {"path": address.path, "connection_class": redis.UnixDomainSocketConnection}
    ((host, port),) = address.hosts
    tls = {} if address.tls is None else {"connection_class": redis.SSLConnection, **address.tls}
    return options | {"host": host, "port": port, **tls}


def _async_single(address: RedisAddress, options: dict[str, Any]) -> dict[str, Any]:
    if address.path:
        return options | {"path": address.path, "connection_class": redis.asyncio.UnixDomainSocketConnection}
    ((host, port),) = address.hosts
    tls = {} if address.tls is None else {"connection_class": redis.asyncio.SSLConnection, **address.tls}
    return options | {"host": host, "port": port, **tls}
