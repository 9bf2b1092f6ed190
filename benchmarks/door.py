"""The door: durable orders per second of one API process, beside its rivals in that very process.

No relay and no worker run: what is measured is accepting. The load generator and PostgreSQL share the two cores.
"""

import re
import statistics
import subprocess
from dataclasses import dataclass
from itertools import count

from benchmarks.load import Load, Outcome
from benchmarks.machine import Usage, metered
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, Stack, generate
from service.ops.installation import python
from service.orders import store

RIVALS = python("benchmarks.rivals")
ROUTES = {"door": "/v1/orders", "no-op": "/bench/noop", "ORM": "/bench/orm", "bare": "/bench/bare"}
CONNECTIONS = 128
ROUNDS = 3
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Measured:
    """One load and the CPU it cost."""

    outcome: Outcome
    usage: Usage

    @property
    def cpu_us(self) -> dict[str, float]:
        """Per answer. The generator's CPU is its own."""
        share = self.outcome.seconds / self.usage.seconds
        scaled = {n: s * share / max(self.outcome.answered, 1) * 1e6 for n, s in self.usage.cpu_s.items()}
        return {**scaled, "generator": self.outcome.cpu_s * share / max(self.outcome.answered, 1) * 1e6}


class Bench:
    """One API process with its rivals' routes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def load(self, route: str, **options: float) -> Measured:
        """Send to one route; each load has keys of its own."""
        load = Load(
            port=self._stack.port(),
            api_key=API_KEY,
            prefix=f"{next(_numbers):05d}",
            path=ROUTES[route],
            **options,  # type: ignore[arg-type]
        )
        with metered(self._stack.pids("api", "postgres")) as usage:
            outcome = generate(load)
        return Measured(outcome, usage)


def run(stack: Stack, *, seconds: float = 3.0) -> Report:
    """All of the door's figures."""
    report = Report("door")
    database = stack.database("door")
    with stack.running(database, instead={"api": RIVALS}):
        bench = Bench(stack)
        bench.load("ORM", seconds=0.5, connections=8)
        bench.load("door", seconds=1.0, connections=CONNECTIONS)
        top = _throughput(bench, report, seconds)
        _tails(bench, report, top / 2, seconds)
        _quiet(bench, report)
    _pgbench(stack, report, seconds)
    return report


def _throughput(bench: Bench, report: Report, seconds: float) -> float:
    """Top rates, closed loop, in turns."""
    rounds = [
        {r: bench.load(r, seconds=seconds, connections=CONNECTIONS) for r in ("no-op", "door", "ORM")}
        for _ in range(ROUNDS)
    ]
    rates = [{route: m.outcome.rate for route, m in one.items()} for one in rounds]
    report.ratios += [
        Ratio("door against its no-op", [(r["door"], r["no-op"]) for r in rates], "/s", at_least=0.55),
        Ratio("door against ORM per request", [(r["door"], r["ORM"]) for r in rates], "/s", at_least=7),
    ]
    for route in rounds[0]:
        report.cpu_us[f"POST, {route}"] = _median_of([one[route].cpu_us for one in rounds])
    report.facts["other processes' cores"] = [one["door"].usage.others for one in rounds]
    return statistics.median(r["door"] for r in rates)


def _tails(bench: Bench, report: Report, rate: float, seconds: float) -> None:
    """At a fixed rate, half of the door's best: latency from when a request was due."""
    pairs = []
    for _ in range(ROUNDS):
        noop, door = (bench.load(r, rate=rate, seconds=seconds, connections=256) for r in ("no-op", "door"))
        pairs.append((door.outcome.p99_ms, noop.outcome.p99_ms))
        report.facts[f"open loop at {rate:,.0f}/s, ms"] = {
            name: {"p50": m.outcome.p50_ms, "p99": m.outcome.p99_ms} for name, m in (("no-op", noop), ("door", door))
        }
    report.ratios.append(Ratio("p99 at half the top rate against the no-op's", pairs, "ms", at_most=4))


def _quiet(bench: Bench, report: Report) -> None:
    """One request at a time: nothing waits for a batch."""
    rounds = [{r: bench.load(r, seconds=1.5, connections=1) for r in ("bare", "door")} for _ in range(2 * ROUNDS)]
    pairs = [(one["door"].outcome.p50_ms, one["bare"].outcome.p50_ms) for one in rounds]
    report.ratios.append(Ratio("quiet p50 against the bare statement's", pairs, "ms", at_most=1.3))
    report.cpu_us["POST, quiet door"] = _median_of([one["door"].cpu_us for one in rounds])
    report.cpu_us["POST, quiet bare statement"] = _median_of([one["bare"].cpu_us for one in rounds])


def _pgbench(stack: Stack, report: Report, seconds: float) -> None:
    """The same statement from pgbench: what PostgreSQL alone takes, one order or 64 a transaction."""
    database = stack.database("pgbench")
    for size, clients in ((1, 16), (64, 2)):
        script = stack.folder / f"insert-{size}.sql"
        script.write_text(_script(size))
        with metered(stack.pids("postgres")) as usage:
            rate = _tps(stack, database, script, clients, seconds) * size
        report.facts[f"pgbench, the same statement, {size} per transaction, {clients} clients, orders/s"] = round(rate)
        done = int(rate * seconds)
        report.cpu_us[f"pgbench, {size} per transaction"] = usage.per_op_us(done)


def _script(size: int) -> str:
    """The door's statement with its arrays made by the server, because pgbench has no array variables."""
    series = f"FROM generate_series(1, {size})"
    made = {
        "id": f"ARRAY(SELECT uuidv7() {series})",
        "promise_id": f"ARRAY(SELECT uuidv7() {series})",
        "account_id": f"ARRAY(SELECT a.id FROM accounts a, generate_series(1, {size}) WHERE a.is_default)",
        "idempotency_key": f"ARRAY(SELECT gen_random_uuid()::text {series})",
        "fingerprint": f"array_fill('\\x01'::bytea || sha256('17'), ARRAY[{size}])",
        "amount_minor": f"array_fill(1999::bigint, ARRAY[{size}])",
        "currency": f"array_fill('usd'::text, ARRAY[{size}])",
        "payment_method": f"array_fill('pm_card_visa'::text, ARRAY[{size}])",
        "customer": f"array_fill(NULL::text, ARRAY[{size}])",
        "description": f"array_fill(NULL::text, ARRAY[{size}])",
        "metadata": f'array_fill(\'{{"cart":"17"}}\'::text, ARRAY[{size}])',
        "capture": f"array_fill('automatic'::text, ARRAY[{size}])",
    }
    statement = store._INSERT.template  # noqa: SLF001  the very statement, not a copy that could drift
    for name, value in made.items():
        statement = statement.replace(f":{store._Incoming.alias}_{name} ", f"{value} ")  # noqa: SLF001
    if left := re.findall(r"(?<!:):[a-z]\w*", statement):
        raise ValueError(f"the statement takes {', '.join(left)}, which pgbench is not given")
    return " ".join(statement.split()) + ";\n"


def _tps(stack: Stack, database: str, script: object, clients: int, seconds: float) -> float:
    options = f"-n -M prepared -c {clients} -T {max(1, int(seconds))}"
    done = subprocess.run(
        [str(stack.postgres.programs / "pgbench"), *options.split(), "-f", str(script), database],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])


def _median_of(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(m[name] for m in measured), 1) for name in measured[0]}
