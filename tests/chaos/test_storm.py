"""A short storm. `make chaos` has the long one, `python -m tests.chaos.storm --help` the others."""

from pathlib import Path

import pytest

from tests.chaos.storm import storm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEED = 20_261_124
STORM_S = 20.0


def test_nothing_is_lost_and_nothing_is_there_twice_while_everything_dies(servers_folder: Path) -> None:
    report = storm(SEED, STORM_S, days=0, folder=servers_folder)
    print(report)
    assert not report.broke_off
    assert report.happened["forgot: standby promoted in the dark"], "the seed's dice, and with them a day, have changed"
    assert report.verdict is not None
    assert not report.verdict.violations, "\n".join(report.verdict.violations)
    assert not report.missing, f"proves nothing, because it did not happen: {report.missing}"
