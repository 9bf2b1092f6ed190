"""A part's log: moved, emptied, deleted or grown too large, it harms nobody and loses nothing that matters."""

import os
from pathlib import Path

import pytest

from service.ops.part_log import KEPT, PartLog


@pytest.fixture
def log(tmp_path: Path) -> PartLog:
    log = PartLog(tmp_path / "log" / "relay.log", max_bytes=100)
    log.open()
    return log


def write(descriptor_of: PartLog, text: str) -> None:
    """As the part does, through the descriptor it received."""
    os.write(descriptor_of._open_descriptor, text.encode())


def test_each_whole_line_is_new_once(log: PartLog) -> None:
    write(log, "one\ntwo\nhal")
    assert log.new_lines() == ["one", "two"]
    write(log, "f\n")
    assert log.new_lines() == ["half"]
    assert log.new_lines() == []


def test_what_an_earlier_start_wrote_is_not_said_again(log: PartLog) -> None:
    write(log, "ready\n")
    log.open()
    write(log, "starting\n")
    assert log.since_start() == "starting\n"


def test_a_moved_log_is_still_read(log: PartLog, tmp_path: Path) -> None:
    log.path.rename(tmp_path / "elsewhere.log")
    write(log, "after the move\n")
    assert log.new_lines() == ["after the move"]
    log.open()
    write(log, "a new file\n")
    assert log.path.read_text() == "a new file\n"


@pytest.mark.parametrize("size", [0, 4])
def test_an_emptied_log_is_read_from_its_beginning(log: PartLog, size: int) -> None:
    write(log, "a line that was long enough to be cut\n")
    assert log.new_lines()
    os.truncate(log.path, size)
    write(log, "ready\n")
    assert log.new_lines()[-1].endswith("ready")
    assert "ready" in log.since_start()


def test_a_deleted_log_is_no_error_and_its_folder_comes_back(log: PartLog) -> None:
    log.path.unlink()
    log.path.parent.rmdir()
    write(log, "to nobody\n")
    assert log.new_lines() == ["to nobody"]
    log.open()
    assert log.path.exists()
    assert log.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_large_log_is_kept_beside_and_begun_anew(log: PartLog) -> None:
    for turn in range(KEPT + 3):
        write(log, f"{turn}" * 101 + "\n")
        log.rotate()
    assert log.path.read_text() == ""
    kept = sorted(path.name for path in log.path.parent.iterdir() if path != log.path)
    assert kept == [f"relay.log.{number}" for number in range(1, KEPT + 1)]
    assert log.path.with_name("relay.log.1").read_text().startswith(f"{KEPT + 2}")
    assert log.path.with_name("relay.log.1").stat().st_mode & 0o777 == 0o600


def test_a_small_log_is_left_alone(log: PartLog) -> None:
    write(log, "x" * 99)
    log.rotate()
    assert log.path.stat().st_size == 99


def test_lines_after_a_rotation_go_on_in_the_same_file(log: PartLog) -> None:
    write(log, "x" * 101 + "\n")
    log.new_lines()
    log.rotate()
    write(log, "after\n")
    assert log.new_lines() == ["after"]
    assert log.path.read_text() == "after\n"


def test_a_disk_that_takes_no_copy_ends_nothing(log: PartLog) -> None:
    (log.path.with_name(f"relay.log.{KEPT}") / "taken").mkdir(parents=True)
    log.path.with_name(f"relay.log.{KEPT - 1}").mkdir()
    write(log, "x" * 101 + "\n")
    log.rotate()
    assert log.new_lines() == ["x" * 101]


def test_a_line_without_an_end_does_not_hide_the_next(log: PartLog) -> None:
    write(log, "x" * ((1 << 20) + 1))
    log.new_lines()
    write(log, "\nWARNING: seen\n")
    assert "WARNING: seen" in log.new_lines()
