"""`eo healthy api|relay|worker`: whether that process of this machine or container moves. For container health checks.

The answer is about the process and not about its dependencies: restarting a process does not bring PostgreSQL or Redis
back, and `/health/ready` reports them. A relay or worker moves where its heartbeat in Redis is recent. Where Redis
cannot be asked, or a dependency is away so that the process must wait, the kernel's state of the process decides; it
tells whether a process is stopped, and not whether it is stuck.
"""

import asyncio
import socket
from pathlib import Path

import click
from redis.exceptions import RedisError

from service.foundation import exit_codes
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.monitoring import heartbeats
from service.monitoring.heartbeats import SILENT_S, Beat
from service.monitoring.probes import BrokerProbe, DatabaseProbe, why_not_published, why_not_stored
from service.ops.child import http_get
from service.ops.kinds import KINDS
from service.ops.up import api_url

_API_TIMEOUT_S = 2.0
_BEATS_TIMEOUT_S = 3.0
_STOPPED = frozenset("TtZX")  # stopped, traced, dead


@click.command("healthy", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("part", type=click.Choice(list(KINDS)))
def command(part: str) -> None:
    """Whether the PART of this machine or container moves, for container health checks.

    Exit: 0 it does · 1 it runs and does not move · 2 usage or settings · 3 none runs here.
    """
    code, words = judge(part, Settings.from_env())
    click.echo(f"eo: {words}", err=True)
    raise SystemExit(code)


def judge(part: str, settings: Settings) -> tuple[int, str]:
    """The exit code, and a sentence for a person that explains it."""
    return _judge_api(settings) if part == "api" else _judge_beats(part, settings)


def _judge_api(settings: Settings) -> tuple[int, str]:
    url = f"{api_url(settings)}/health/live"
    answer = http_get(url, timeout_s=_API_TIMEOUT_S)
    if answer is not None and answer[0] == 200:
        return exit_codes.OK, "the api answers."
    if running("api"):
        return exit_codes.FOUND, f"the api runs and does not answer at {url} within {_API_TIMEOUT_S:.0f} s."
    return exit_codes.AWAY, f"no api answers at {url}. Start one with `eo api`; its log says why it ended."


def _judge_beats(part: str, settings: Settings) -> tuple[int, str]:
    beats = asyncio.run(_beats_of_this_host(part, settings.redis_url))
    if beats is None:
        return _judge_processes(part, "whether it moves is not known, because Redis cannot be asked.")
    alive = [beat for beat in beats if _exists(beat.process.pid)]
    silent = [beat for beat in alive if not beat.is_alive]
    if silent and (away := asyncio.run(_what_is_away(settings))):
        return _judge_processes(part, f"it waits. {away}")
    if silent:
        worst = max(silent, key=lambda beat: beat.age_s)
        return exit_codes.FOUND, (
            f"the {part} with pid {worst.process.pid} has not moved for {worst.age_s:.0f} s (more than {SILENT_S:.0f})."
            " Read its log; restart it where that says nothing."
        )
    if alive:
        return exit_codes.OK, f"the {part} moves."
    if running(part):
        return exit_codes.FOUND, f"the {part} runs and has not beaten yet. Ask again in a few seconds."
    return exit_codes.AWAY, f"no {part} runs here. Start one with `eo {part}`; its log says why it ended."


def _judge_processes(part: str, otherwise: str) -> tuple[int, str]:
    found = running(part)
    if not found:
        return exit_codes.AWAY, f"no {part} runs here. Start one with `eo {part}`; its log says why it ended."
    if stopped := [pid for pid, state in found.items() if state in _STOPPED]:
        return exit_codes.FOUND, f"the {part} with pid {stopped[0]} is stopped. `kill -CONT {stopped[0]}` goes on."
    return exit_codes.OK, f"the {part} runs; {otherwise}"


async def _what_is_away(settings: Settings) -> str | None:
    """Why a healthy process may have to wait: PostgreSQL or Redis does not accept what an order writes."""
    database, broker = DatabaseProbe(settings), BrokerProbe(settings.redis_url)
    stored, published = await asyncio.gather(database.look(), broker.look(), return_exceptions=True)
    await asyncio.gather(database.close(), broker.close(), return_exceptions=True)
    if isinstance(published, BaseException):
        return f"{why_not_published(published)}."
    return why_not_stored(stored) if isinstance(stored, BaseException) else None


async def _beats_of_this_host(part: str, redis_url: str) -> list[Beat] | None:
    """The newest heartbeat of each pid on this host; None where Redis cannot be asked."""
    if not redis_url:
        return None
    redis = async_client(redis_url)
    try:
        async with asyncio.timeout(_BEATS_TIMEOUT_S):
            found = await heartbeats.read(redis)
    except (RedisError, OSError, TimeoutError):
        return None
    finally:
        await redis.aclose()
    host = socket.gethostname()
    newest: dict[int, Beat] = {}
    for beat in found:  # the latest start first: the same pid may have belonged to an earlier process
        if (beat.process.part, beat.process.host) == (part, host):
            newest.setdefault(beat.process.pid, beat)
    return list(newest.values())


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def running(part: str) -> dict[int, str]:
    """Processes that are titled `eo <part>`, with the kernel's letter for their state."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it ended meanwhile
        if title == f"eo {part}":
            found[int(process.name)] = state
    return found
