"""An operator of a real run, on a real terminal: a key or a button begins a fault of the scenario and ends it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.processes.child import python
from gameday.verify.judge import judge
from tests.series import in_series

SCENARIO = """
name: by-hand
transport: sqs
topology: {visibility_timeout: 5s, subscriptions: [{name: orders}]}
load: {shape: constant, rate: 20/s, duration: 7s, payload: 64B}
consumers: {processes: 2, concurrency: 2, guard: transaction}
chaos:
  - {at: 6500ms, fault: lose-delete, share: 100%}
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


def ask(url: str, order: dict[str, object] | None = None, *, token: str = "") -> tuple[int, str]:
    """The page's own requests: what is there, or an order."""
    body = None if order is None else json.dumps(order).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"} if body else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(state: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not state():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@in_series
@pytest.mark.live
def test_a_key_and_a_button_begin_a_fault_and_end_it(tmp_path: Path) -> None:
    (tmp_path / "by-hand.yaml").write_text(SCENARIO)
    terminal = Terminal(
        "run", "by-hand.yaml", "--target", "memory", "--out", str(tmp_path / "run"), "--operator", cwd=tmp_path
    )
    try:
        terminal.read_until("keys begin and end faults: 1 lose-delete")
        found = re.search(r"buttons at (http://127\.0\.0\.1:\d+)/#token=([\w-]+)", terminal.told)
        assert found is not None
        url, token = found[1], found[2]
        terminal.press("x1")
        terminal.read_until("lose-delete-by-hand-1.1 begins")
        terminal.press("1")
        terminal.read_until("lose-delete-by-hand-1.1 is ended")

        def at_work() -> list[str]:
            (fault,) = json.loads(ask(f"{url}/state")[1])["faults"]
            return list(fault["at_work"])

        assert "<title>gameday: live</title>" in ask(url)[1]
        assert ask(f"{url}/orders", {"do": "begin", "entry": 0}, token="guessed")[0] == 401
        assert ask(f"{url}/orders", {"do": "begin", "entry": 0}, token=token)[0] == 202
        wait_for(lambda: at_work() == ["lose-delete-by-hand-1.2"])
        assert ask(f"{url}/orders", {"do": "end", "instance": "lose-delete-by-hand-1.2"}, token=token)[0] == 202
        wait_for(lambda: at_work() == [])
        notes = [note["text"] for note in json.loads(ask(f"{url}/state")[1])["notes"]]
        assert "operator: lose-delete-by-hand-1.2 is ended" in notes
        assert terminal.end() in (0, 3)
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.ours)
    records = [json.loads(line) for line in (tmp_path / "run" / "history" / "conductor.jsonl").read_text().splitlines()]
    faults = [record for record in records if record["event"] == "fault" and record["params"].get("by") == "operator"]
    assert sorted((fault["instance"], fault["phase"]) for fault in faults) == [
        (f"lose-delete-by-hand-1.{nth}", phase) for nth in (1, 2) for phase in ("start", "stop")
    ]
    assert not judge(tmp_path / "run").document["damaged"]
    assert token not in "".join(path.read_text(errors="replace") for path in (tmp_path / "run").rglob("*.json*"))
