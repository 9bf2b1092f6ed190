"""The end of a run: the reconciliation, the measured numbers and the verdict, as tables and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from demo.plan import Plan
from demo.rates import PER_DAY, Measured
from demo.score import Score
from demo.screen import storm_table, usd

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of one run."""

    plan: Plan
    took_s: float
    naive: Score
    ours: Score
    reconciliation: dict[str, Any]  # what `eo reconcile --json` said
    naive_rates: list[Measured]
    our_rates: list[Measured]

    @property
    def ok(self) -> bool:
        """Whether the service lost nothing, did nothing twice, its books balance and the reconciliation is clean."""
        calm = all(m.twice == 0 and m.lost == 0 for m in self.our_rates)
        return self.ours.is_perfect and calm and self.reconciliation["verdict"] == "clean"

    @property
    def share(self) -> float:
        """The share of duplicated messages that became a second charge of the naive consumer, over all rates."""
        return sum(m.twice for m in self.naive_rates) / max(1, sum(m.duplicates for m in self.naive_rates))

    def projected(self, rate: float) -> int:
        """Orders charged twice per day at ten million orders: calculated from the rate and the measured share."""
        return round(PER_DAY * rate * self.share)


def as_json(result: Result) -> dict[str, Any]:
    """The result as one JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "ok": result.ok,
        "took_s": round(result.took_s, 1),
        "plan": asdict(result.plan),
        "storm": {"naive": _score(result.naive), "ours": _score(result.ours)},
        "reconciliation": result.reconciliation,
        "rates": [
            {
                "messages_twice": n.rate,
                "naive": _measured(n),
                "ours": _measured(o),
                "projected_naive_twice_per_10m_orders": result.projected(n.rate),
            }
            for n, o in zip(result.naive_rates, result.our_rates, strict=True)
        ],
    }


def _score(score: Score) -> dict[str, Any]:
    return {**asdict(score), "faults": score.faults}


def _measured(measured: Measured) -> dict[str, Any]:
    found = asdict(measured)
    return {**found, "cpu_ms": round(measured.cpu_ms, 2)}


def tables(result: Result) -> Iterable[RenderableType]:
    """The tables that are printed at the end."""
    yield Text("\nThe storm", style="bold")
    yield storm_table({"naive": result.naive, "effectively-once": result.ours})
    yield Text("\neo reconcile: orders, ledger and Stripe's own list", style="bold")
    yield _reconciliation(result.reconciliation)
    yield Text("\nThe numbers that matter: nothing goes wrong but messages that come twice", style="bold")
    yield _rates(result)
    yield Text(_footnote(result), style="dim")
    yield _verdict(result)


def _reconciliation(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "charges", "gross", "refunded", "fees", "net"):
        table.add_column(name, justify="right" if name else "left", min_width=10)
    for sides in found["totals"].values():
        for side, s in sides.items():
            table.add_row(side, f"{s['count']:,}", usd(s["gross"]), usd(s["refunded"]), usd(s["fees"]), usd(s["net"]))
    clean = found["verdict"] == "clean"
    table.add_row(
        Text(found["verdict"], style="bold green" if clean else "bold red"), f"{len(found['discrepancies'])} ≠"
    )
    return table


def _rates(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = (
        "messages\ntwice",
        "orders",
        "naive:\ncopies",
        "charged\ntwice",
        "per 10 M\na day¹",
        "ours:\ncopies",
        "charged\ntwice",
        "CPU² per\nnaive",
        "order:\nours",
    )
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for n, o in zip(result.naive_rates, result.our_rates, strict=True):
        table.add_row(
            f"{100 * n.rate:g} %",
            f"{n.orders:,}",
            f"{n.duplicates:,}",
            Text(f"{n.twice:,}", style="bold red" if n.twice else "bold green"),
            f"{result.projected(n.rate):,}",
            f"{o.duplicates:,}",
            Text(f"{o.twice:,}", style="bold red" if o.twice else "bold green"),
            f"{n.cpu_ms:.1f} ms",
            f"{o.cpu_ms:.1f} ms",
        )
    return table


def _footnote(result: Result) -> str:
    calm, worst = result.our_rates[0].cpu_ms, result.our_rates[-1].cpu_ms
    return (
        f"¹ Projected, not measured: 10,000,000 × the rate × {result.share:.2f}, the share of copies\n"
        "  that became a second charge. All else in this table was counted in this run.\n"
        "² All processes, PostgreSQL and Valkey, without Stripe's. Ours takes its orders\n"
        "  over HTTP, keeps an outbox, a ledger and fees; naive has none of these. What\n"
        f"  absorbing the copies alone cost: {worst - calm:+.1f} ms an order, "
        f"{100 * result.our_rates[-1].rate:g} % against 0 %."
    )


def _verdict(result: Result) -> Text:
    naive, ours = result.naive, result.ours
    words = (
        f"\nnaive: {naive.twice} orders charged twice ({usd(naive.overcharged)} too much), {naive.lost} lost\n"
        f"       {naive.refunded_twice} refunded twice ({usd(naive.over_refunded)} too much), "
        f"{naive.refunds_lost} refunds lost\n"
        f"effectively-once: {ours.twice} charged twice, {ours.lost} lost, {ours.refunded_twice} refunded twice, "
        f"{ours.refunds_lost} refunds lost;\n"
        f"       the reconciliation is {result.reconciliation['verdict']}\n"
        f"seed {result.plan.seed}, {result.took_s:.0f} s"
    )
    return Text(words, style="bold green" if result.ok else "bold red")
