"""Running the command as a person does: a process, its signals, its output, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # comes with Locust, without types

from gameday.processes import proc
from gameday.processes.undo import MARK

DEADLINE_S = 120.0
# The command itself, not a shell around it: signals must reach the conductor.
COMMAND = [sys.executable, "-c", "from gameday.cli import main; main()"]


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.02)


def processes_of(run: Path) -> list[int]:
    """Whoever belongs to the run in that directory, by what started it or by its environment."""
    named = os.fsencode(run)
    return [
        pid
        for pid in proc.pids()
        if proc.lives(pid) and (named in _commanded(pid) or proc.variable(pid, MARK) == str(run.resolve()))
    ]


def _commanded(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Gameday:
    """A running `gameday`. `run` is its --out directory."""

    def __init__(
        self,
        *arguments: str,
        run: Path,
        env: dict[str, str],
        preexec: Callable[[], None] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.run = run
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            preexec_fn=preexec,  # noqa: PLW1509  # tests start no threads that a fork could catch in the middle
            start_new_session=True,
        )
        self.family: dict[int, psutil.Process] = {}

    def marks(self) -> list[dict[str, Any]]:
        """The conductor's marks so far."""
        path = self.run / "history" / "conductor.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith(b"}")]
        return [record for record in records if record["event"] == "mark"]

    def wait_for_mark(self, name: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return any(mark["name"] == name for mark in self.marks())

        wait_until(there, f"mark {name}")

    def wait_for_traffic(self) -> None:
        """Until the load runs and consumers have received something."""
        self.wait_for_mark("load-started")
        wait_until(
            lambda: any(b'"received"' in file.read_bytes() for file in self.run.glob("history/orders-*")), "traffic"
        )

    def remember_family(self) -> None:
        """Note the processes it has now, to see later that none outlived it."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self.family[child.pid] = child

    def child(self, *words: str) -> psutil.Process:
        """The child whose command line has all these words."""
        self.remember_family()
        (found,) = [c for c in self.family.values() if c.is_running() and all(w in c.cmdline() for w in words)]
        return found

    def send(self, number: signal.Signals) -> None:
        self.remember_family()
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and error, once it has ended."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def assert_nothing_left(self) -> None:
        """No process that it had outlives it by more than a moment."""
        wait_until(
            lambda: not [c for c in self.family.values() if c.is_running() and c.status() != "zombie"], "all ended", 20
        )

    def clean_up(self) -> None:
        for process in [
            *self.family.values(),
            psutil.Process(self.process.pid) if self.process.poll() is None else None,
        ]:
            if process is not None and process.is_running():
                process.kill()
        self.process.communicate()


def poison_and_dead(run: Path, subscription: str) -> tuple[set[str], set[str]]:
    """The ids of what was sent as poison, and of what was found among the dead letters of a subscription."""
    records = [json.loads(line) for path in run.glob("history/*.jsonl") for line in path.read_bytes().splitlines()]
    poison = {record["id"] for record in records if record["event"] == "intended" and record.get("poison")}
    found = [record for record in records if record["event"] == "dead" and record["subscription"] == subscription]
    return poison, {record["id"] for record in found}


def verify(run: Path, *, deadline_s: float = DEADLINE_S) -> tuple[int, dict[str, Any]]:
    """What `gameday verify` says of a run directory."""
    done = subprocess.run(
        [*COMMAND, "verify", str(run), "--format", "json"],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    assert done.returncode in (0, 1, 3), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document
