"""What the benchmarks take from the code is whole: a statement that PostgreSQL refuses would look very fast."""

import pytest

from benchmarks.door import _script


@pytest.mark.parametrize("size", [1, 64])
def test_the_statement_that_pgbench_runs_is_the_services_own_with_every_value_given(size: int) -> None:
    statement = _script(size)
    assert statement.count("INSERT INTO") == 2, "the order and its outbox row"
    assert statement.count(f"generate_series(1, {size})") == 4
