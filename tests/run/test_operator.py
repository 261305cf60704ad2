"""An operator at the terminal: a key begins a fault of the scenario and ends it, in a real run on a real terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gameday.processes.child import python
from gameday.verify.judge import judge

SCENARIO = """
name: by-hand
transport: sqs
topology: {visibility_timeout: 5s, subscriptions: [{name: orders}]}
load: {shape: constant, rate: 50/s, duration: 8s, payload: 64B}
consumers: {processes: 2, concurrency: 2, guard: transaction}
chaos:
  - {at: 7s, fault: lose-delete, share: 100%}
claims: [no-loss, exactly-once-effect]
"""
DEADLINE_S = 90.0
# A process that leads a session, its standard input the session's terminal, becomes the command.
_ON_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A run on a terminal of its own; what it prints is kept."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_THE_TERMINAL, *python("-c", "from gameday.cli import main; main()", *arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
            start_new_session=True,
        )
        os.close(theirs)
        self.told = ""

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.told:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; this did: {self.told[-2000:]}"
            if select.select([self.ours], [], [], left)[0]:
                self._read()

    def _read(self) -> None:
        try:
            self.told += os.read(self.ours, 65536).decode(errors="replace")
        except OSError:
            raise AssertionError(f"it ended: {self.told[-2000:]}") from None

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> int:
        """Its exit code; what is printed meanwhile is read, or it could not end."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.ours], [], [], 0.2)[0]:
                try:
                    self.told += os.read(self.ours, 65536).decode(errors="replace")
                except OSError:
                    break  # the other side is closed
        return self.process.wait(DEADLINE_S)


@pytest.mark.live
def test_a_key_begins_a_fault_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "by-hand.yaml").write_text(SCENARIO)
    terminal = Terminal(
        "run", "by-hand.yaml", "--target", "memory", "--out", str(tmp_path / "run"), "--operator", cwd=tmp_path
    )
    try:
        terminal.read_until("keys begin and end faults: 1 lose-delete")
        terminal.press("x1")
        terminal.read_until("lose-delete-by-hand-1.1 begins")
        terminal.press("1")
        terminal.read_until("lose-delete-by-hand-1.1 is ended")
        assert terminal.end() in (0, 3)
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.ours)
    records = [json.loads(line) for line in (tmp_path / "run" / "history" / "conductor.jsonl").read_text().splitlines()]
    faults = [r for r in records if r["event"] == "fault" and r["instance"] == "lose-delete-by-hand-1.1"]
    assert [(fault["phase"], fault["params"]["by"]) for fault in faults] == [
        ("start", "operator"),
        ("stop", "operator"),
    ]
    assert not judge(tmp_path / "run").document["damaged"]
