"""`python -m benchmarks [NAME …]`: run benchmarks, print their tables, write their JSON. No name: all of them."""

import argparse
import sys
import time
from importlib import import_module

from benchmarks import machine, report
from benchmarks.report import Report
from benchmarks.stack import Stack

# end-to-end has memory too
NAMES = ("start", "door", "ledger", "latency", "duplicates", "refunds", "watched", "end-to-end")


def main() -> None:
    """Exit status 0 where every target is met, 1 where one is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Every result is a ratio within one run.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}, memory; growth has its own target"
    )
    parser.add_argument("--name", default="bench", help="of the result file; `reference` replaces the committed one")
    options = parser.parse_args()
    with Stack() as stack:
        found = machine.facts(stack.folder)
        print("  ".join(f"{name} {value}" for name, value in found.items()), flush=True)
        reports = [_run(stack, name) for name in options.names or NAMES]
    path = report.write(reports, found, options.name)
    missed = [f"{r.name}: {ratio.name}" for r in reports for ratio in r.ratios if not ratio.is_met]
    print(f"\nwritten to {path}\n{len(missed)} targets missed" + "".join(f"\n  {m}" for m in missed))
    sys.exit(1 if missed else 0)


def _run(stack: Stack, name: str) -> Report:
    began = time.monotonic()
    found: Report = import_module(f"benchmarks.{name.replace('-', '_')}").run(stack)
    found.seconds = round(time.monotonic() - began, 1)
    report.show(found)
    sys.stdout.flush()
    return found


if __name__ == "__main__":
    main()
