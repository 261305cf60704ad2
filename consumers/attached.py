"""Consumers that run already, started and watched by somebody else: gameday sees them at work and may strike them.

It promises to end none of them, but where a fault says so; and to follow who takes the place of one that died.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, Signals

from gameday.consumers.starters import BehindWire, Incarnation, Port, Wire
from gameday.history.errors import ProcessError
from gameday.processes import proc
from gameday.processes.child import Report, is_stopped
from gameday.processes.disturbances import Disturbance
from gameday.processes.undo import Stops, Undo

# How long somebody else may take to start another one.
_FIND_S = 60.0
_LOOK_AGAIN_S = 0.2
# A file's time may be coarser than a process's.
_CLOCK_S = 2.0
_COMPOSE = ("docker", "compose")

FindPid = Callable[[], Awaitable[int | None]]


def by_pid_file(path: Path) -> FindPid:
    """The process whose number stands in a file."""

    def read() -> int | None:
        try:
            pid = int(path.read_text().split()[0])
            # A number is given again: a process that began after the file was written is not the one that it names.
            return pid if _began_s(pid) < path.stat().st_mtime + _CLOCK_S else None
        except (OSError, ValueError, IndexError):
            return None

    async def find() -> int | None:
        return await asyncio.to_thread(read)

    return find


def by_compose_service(service: str, *, cwd: Path) -> FindPid:
    """The first process of a Compose service's container, as this machine numbers it."""

    async def ask(*argv: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise ProcessError(f"cannot ask Docker for {service} ({argv[0]}): {error.strerror}") from error
        out, _ = await process.communicate()
        return out.decode().strip() if process.returncode == 0 else ""

    async def find() -> int | None:
        container = (await ask(*_COMPOSE, "ps", "--quiet", service)).partition("\n")[0]
        if not container:
            return None
        pid = await ask("docker", "inspect", "--format", "{{.State.Pid}}", container)
        return int(pid) if pid.isdecimal() and pid != "0" else None

    return find


def _began_s(pid: int) -> float:
    """When a process began, in seconds since 1970. Errors: OSError where there is none."""
    ticks = int(proc.stat(pid)[19])
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


class AttachedConsumer:
    """An incarnation that somebody else started. `log` is where nothing stands: what it says is theirs."""

    def __init__(self, name: str, pid: int, *, port: Port, run: Path) -> None:
        self.name = name
        self.pid = pid
        self.log = run / "logs" / f"{name}.log"
        self.on_report: Callable[[Report], None] | None = None
        self._port = port
        self._left = asyncio.Event()
        # Tells it from another process that has its number later.
        self._began = proc.began(pid)
        self._stops = Stops(Undo(run), name=name, pid=pid, began=self._began)

    @property
    def alive(self) -> bool:
        return proc.lives(self.pid) and proc.began(self.pid) == self._began

    @property
    def stopped(self) -> bool:
        return is_stopped(self.pid)

    def signal(self, number: Signals) -> None:
        """Errors: ProcessError for a process that is not ours to signal."""
        if not self.alive:
            return
        self._stops.before(number)
        try:
            os.kill(self.pid, number)
            self._stops.after(number)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise ProcessError(f"{self.name}, process {self.pid}, may not be sent a signal by this user") from error

    async def command(self, do: str, **fields: object) -> None:
        await self._port.command(do, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        kind = "polls" if kind == "ready" else kind
        asking = asyncio.ensure_future(self._port.report(kind, timeout_s=timeout_s, **match))
        dying = asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait((asking, dying), return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()
            dying.cancel()

    async def wait(self) -> int:
        """Until it is gone, or left alone. Nobody but its parent learns its exit code."""
        while self.alive and not self._left.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), _LOOK_AGAIN_S)
        await self._port.close()
        return 0

    async def end(self, *, timeout_s: float) -> int:
        """It goes on: it was not started here. One that a fault has stopped is woken."""
        with suppress(ProcessError):
            self.signal(SIGCONT)
        self._left.set()
        return await self.wait()

    def sweep(self) -> None:
        """Nothing of it was started here."""

    def last_words(self) -> str:
        return "what it says is written where whoever started it has it written"


class Attached(BehindWire):
    """The consumer that runs already, behind a wire at a port that it was told before."""

    records = False
    lasts = True

    def __init__(self, *, subscription: str, run: Path, wire: Wire, find: FindPid, what: str, port: int) -> None:
        super().__init__(subscription=subscription, run=run, wire=wire)
        self._find = find
        self._what = what
        self._number = port
        self._last: int | None = None

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        port = await Port.open(self._wire, name, armed, number=self._number)
        self._last = pid = await self._other_than(self._last)
        consumer = AttachedConsumer(name, pid, port=port, run=self._run)
        self._running[name] = consumer
        await port.command("born", pid=pid, lasts=True)
        return consumer

    async def _other_than(self, last: int | None) -> int:
        """Errors: ProcessError when nobody comes."""
        try:
            async with asyncio.timeout(_FIND_S):
                while True:
                    pid = await self._find()
                    if pid is not None and pid != last and proc.lives(pid):
                        return pid
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            raise ProcessError(
                f"no consumer runs by {self._what}, for {_FIND_S:g} s now: start it, or let whatever watches over it "
                "start it again"
            ) from None
