"""What `eo reconcile` and `eo reconcile ack` refuse, before anything is asked."""

import pytest
from click.testing import CliRunner

from service.ops.cli import cli

FINGERPRINT = "0123456789ab"


@pytest.mark.parametrize(
    "words",
    [
        ("--yes",),
        ("ack",),
        ("ack", FINGERPRINT),
        ("ack", FINGERPRINT, "--reason", " "),
        ("ack", FINGERPRINT, "--reason", "two\nlines"),
        ("ack", FINGERPRINT, "--reason", "x" * 501),
        ("ack", FINGERPRINT, "--reason", "known", "--by", ""),
        ("ack", "0123", "--reason", "known"),
        ("ack", "not-a-fingerprint", "--reason", "known"),
        ("ack", FINGERPRINT + "%", "--reason", "known"),
    ],
)
def test_a_wrong_question_is_2(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["reconcile", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error" in done.stderr
