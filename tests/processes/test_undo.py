"""Undo records: what is not done is found again, whatever became of who wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gameday.history.errors import HistoryError
from gameday.processes import proc
from gameday.processes.undo import FILE, Undo


def test_what_is_not_done_is_open_with_all_that_was_told_of_it(tmp_path: Path) -> None:
    undo = Undo(tmp_path)
    assert undo.open() == []
    first, second = undo.will("process", name="load"), undo.will("policy", queue="http://q", sid="gameday-r-1")
    first.now(pid=7, began="99")
    assert [(each.kind, each.what) for each in undo.open()] == [
        ("process", {"name": "load", "pid": 7, "began": "99"}),
        ("policy", {"queue": "http://q", "sid": "gameday-r-1"}),
    ]
    first.done()
    first.done()
    # Somebody else, later.
    (left,) = Undo(tmp_path).open()
    assert left.kind == "policy"
    Undo(tmp_path).done(left)
    assert Undo(tmp_path).open() == []
    second.done()
    assert Undo(tmp_path).open() == []


def test_it_is_there_when_its_writer_dies_at_once(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from gameday.processes.undo import Undo\n"
        "Undo(pathlib.Path(sys.argv[1])).will('resources'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    assert [each.kind for each in Undo(tmp_path).open()] == ["resources"]


def test_half_a_line_hides_none_of_the_others(tmp_path: Path) -> None:
    undo = Undo(tmp_path)
    undo.will("resources")
    whole = (tmp_path / FILE).read_bytes()
    for cut in range(1, len(whole)):
        (tmp_path / FILE).write_bytes(whole + whole[:cut])
        undo.will("lasting", what="a reshard")
        assert [each.kind for each in undo.open()][-1] == "lasting"
        assert len(undo.open()) == 2


def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot write to"):
        Undo(tmp_path / "nowhere").will("process", name="load")
    pending = Undo(tmp_path).will("resources")
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    # It may be undone once more: that costs nothing.
    pending.done()
    with pytest.raises(HistoryError, match="cannot be read"):
        Undo(tmp_path).open()


def test_a_process_is_told_from_another_with_its_number() -> None:
    process = subprocess.Popen(["sleep", "60"], env={"MARK": "mine"}, start_new_session=True)
    try:
        began = proc.began(process.pid)
        assert began is not None and proc.lives(process.pid)
        assert int(began) >= int(proc.began(os.getpid()) or 0)
        assert proc.session(process.pid) == process.pid and process.pid in set(proc.pids())
        while proc.variable(process.pid, "MARK") is None:
            pass  # between fork and exec it still has this process's environment
        assert (proc.variable(process.pid, "MARK"), proc.variable(process.pid, "MAR")) == ("mine", None)
    finally:
        process.kill()
        while proc.state(process.pid) != "Z":
            pass
        assert not proc.lives(process.pid)
        process.wait()
    assert (proc.began(process.pid), proc.state(process.pid), proc.variable(process.pid, "MARK")) == (None, None, None)
