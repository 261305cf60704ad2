"""A process that the conductor started, as the conductor sees it: gameday/processes/control.py tells what the two say.

A child's standard error goes to a log file in the run directory, whose tail is quoted when the child could not start.
It promises that a conductor which is killed leaves a record of each (gameday/processes/undo.py); and that no module of
the user's can take the place of one of ours in a child: `python` makes a command line that does not look into the
current directory, and `Child.start` does not hand on where else the user's modules are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from gameday.history.errors import ProcessError
from gameday.processes import proc
from gameday.processes.undo import Pending, Stops, Undo, marked

Report = dict[str, Any]
_TAIL_BYTES = 2_000
_PIPES_S = 1.0
_FOR_ALL = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
# Meant for programs of the user's own. PYTHONPATH may hold a module with the name of one of ours, and Locust takes its
# options from LOCUST_…. A token for Grafana is nobody's business but that of the process that is given it.
_NOT_HANDED_ON = ("PYTHONPATH", "LOCUST_", "GRAFANA_TOKEN")


async def reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was killed, and for its pipes to be closed.

    asyncio closes them when it has seen the end of the output. A loop that has ended by then never does, and Python
    says so from within whatever runs at that moment.
    """
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()
    if process.stdout is not None:
        # What has left the process's group may hold its output open for ever.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.stdout.read(), _PIPES_S)


def is_stopped(pid: int) -> bool:
    """Whether the kernel says so."""
    return proc.state(pid) == "T"


def python(*arguments: object) -> list[str]:
    """The command line of a Python program of ours. With -P it finds no module in the current directory."""
    return [sys.executable, "-P", *map(str, arguments)]


def environment() -> dict[str, str]:
    """What a program of ours gets of this process's environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)}


def ending(code: int | None) -> str:
    """A process's end in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


class Endable(Protocol):
    """A process that takes signals, wherever it is."""

    def signal(self, number: signal.Signals) -> None: ...
    async def wait(self) -> int: ...


async def end(process: Endable, *, timeout_s: float) -> int:
    """SIGCONT and SIGTERM, and SIGKILL when that did not end it in time; the exit code."""
    process.signal(signal.SIGCONT)
    process.signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(timeout_s):
            return await process.wait()
    except TimeoutError:
        process.signal(signal.SIGKILL)
        return await process.wait()


class Reports:
    """What a process has reported and nobody has asked for yet."""

    def __init__(self) -> None:
        self._kept: list[Report] = []
        self._news = asyncio.Condition()
        self._silent = False

    async def add(self, report: Report) -> None:
        async with self._news:
            self._kept.append(report)
            self._news.notify_all()

    async def end(self) -> None:
        """No more will come."""
        self._silent = True
        async with self._news:
            self._news.notify_all()

    async def take(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        """The first of this kind whose fields match, taken off the list; None when time runs out or no more come."""

        def found() -> Report | None:
            for report in self._kept:
                if report.get("report") == kind and all(report.get(k) == v for k, v in match.items()):
                    self._kept.remove(report)
                    return report
            return None

        try:
            async with asyncio.timeout(timeout_s), self._news:
                while (report := found()) is None:
                    if self._silent:
                        return None
                    await self._news.wait()
                return report
        except TimeoutError:
            return None


class Child:
    """A running process. Each report is kept until `report` asks for it; `on_report` sees each at once."""

    def __init__(
        self, *, name: str, process: asyncio.subprocess.Process, log: Path, pending: Pending, stops: Stops
    ) -> None:
        self.name = name
        self.log = log
        self._pending = pending
        self._stops = stops
        self.on_report: Callable[[Report], None] | None = None
        self._process = process
        self._reports = Reports()
        self._reader = asyncio.create_task(self._read(), name=f"reports of {name}")

    @classmethod
    async def start(
        cls,
        *,
        name: str,
        argv: Sequence[str],
        run: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ours: bool = True,
    ) -> Child:
        """`env` is added to what it inherits. Of a program that is not `ours` it is all of its environment but for the
        mark of the run, and what that says on either output goes to its log. Errors: ProcessError when it cannot be
        started at all, HistoryError when that cannot be written down."""
        log = run / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        undo = Undo(run)
        pending = undo.will("process", name=name)
        try:
            with log.open("ab") as errors:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.PIPE if ours else asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE if ours else errors,
                    stderr=errors,
                    env={**(environment() if ours else {}), **(env or {}), **marked(run)},
                    cwd=cwd,
                    # A session of its own: Ctrl-C reaches the conductor alone, which then ends its children in order.
                    start_new_session=True,
                )
        except OSError as error:
            pending.done()
            raise ProcessError(f"cannot start {name} ({argv[0]}): {error.strerror}") from error
        began = proc.began(process.pid)
        pending.now(pid=process.pid, began=began)
        stops = Stops(undo, name=name, pid=process.pid, began=began)
        return cls(name=name, process=process, log=log, pending=pending, stops=stops)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.returncode

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def stopped(self) -> bool:
        return is_stopped(self.pid)

    @property
    def frozen(self) -> bool:
        """Whether it is stopped with all that it has started."""
        return all(is_stopped(pid) for pid in (self.pid, *proc.members(self.pid)) if proc.lives(pid))

    async def command(self, do: str, **fields: object) -> None:
        """Send one command; a child that is gone hears nothing and that is no error."""
        stdin = self._process.stdin
        assert stdin is not None, "a program of the user's takes no commands"
        with contextlib.suppress(ConnectionError, RuntimeError):
            stdin.write(orjson.dumps({"do": do, **fields}) + b"\n")
            await stdin.drain()

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        """The first report of this kind whose fields match, taken off the list; None when time runs out or it dies."""
        return await self._reports.take(kind, timeout_s=timeout_s, **match)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone is no error.

        What it has started is killed, stopped and woken with it. Any other signal it gets alone: it tells them itself.
        """
        if self.alive:
            self._stops.before(number)
            # Not `send_signal`: it looks whether the process has ended, and so takes its exit code away from `wait`.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if number in _FOR_ALL:
                proc.signal_session(self.pid, number)
            self._stops.after(number)

    def sweep(self) -> None:
        """Kill what it has left behind, once it has ended."""
        proc.signal_session(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        code = await self._process.wait()
        self._pending.done()
        await asyncio.wait([self._reader])
        return code

    async def end(self, *, timeout_s: float) -> int:
        return await end(self, timeout_s=timeout_s)

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        try:
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        except OSError:
            text = ""
        return text or "it said nothing"

    async def _read(self) -> None:
        stdout = self._process.stdout
        try:
            if stdout is None:
                return
            async for line in stdout:
                try:
                    report = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if not isinstance(report, dict):
                    continue
                if self.on_report is not None:
                    self.on_report(report)
                await self._reports.add(report)
        finally:
            await self._reports.end()
