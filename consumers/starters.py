"""What a fleet's slots are filled with: consumers of ours, or programs of anybody's that poll by themselves.

It promises that faults, readiness and what is in hand are asked of both in the same words. A program of the user's
answers none of them itself: the wire, which all its calls to AWS go through, answers for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import Any, Protocol

import orjson

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.readiness import Ready
from gameday.history.errors import ProcessError
from gameday.processes.child import Child, Report, python
from gameday.processes.disturbances import Disturbance

_LISTEN_S = 10.0


class Incarnation(Protocol):
    """One process in a slot, from its start to its end."""

    name: str
    log: Path
    on_report: Callable[[Report], None] | None

    @property
    def pid(self) -> int: ...
    @property
    def alive(self) -> bool: ...

    def signal(self, number: Signals) -> None: ...
    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    async def wait(self) -> int: ...
    async def end(self, *, timeout_s: float) -> int: ...
    def last_words(self) -> str: ...


class Starter(Protocol):
    """Starts what becomes a consumer. Errors: ProcessError."""

    subscription: str
    # Whether a consumer writes a history file of its own, named after it.
    records: bool

    def prepare(self) -> None:
        """Before the first one."""
        ...

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        """`armed` stands before its first receive."""
        ...


class Ours(Starter):
    """Consumers of ours: `python -m gameday.consumers`."""

    records = True

    def __init__(self, config: ConsumerConfig, *, run: Path) -> None:
        self.subscription = config.subscription
        self._config = config
        self._run = run
        self._path = run / f"consumers-{config.subscription}.json"

    def prepare(self) -> None:
        self._config.save(self._path)

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        argv = python("-m", "gameday.consumers", "--config", self._path, "--name", name)
        for disturbance in armed:
            argv += ["--arm", orjson.dumps(disturbance.to_json()).decode()]
        return await Child.start(name=name, argv=argv, run=self._run)


class Wire(Protocol):
    """The process of the wire, as far as a program's starter speaks with it: see gameday/wire/__main__.py."""

    on_report: Callable[[Report], None] | None

    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    def last_words(self) -> str: ...


class Program:
    """An incarnation of a program of the user's; its process is the head of a process group, which ends with it."""

    def __init__(self, child: Child, *, wire: Wire, ready: Ready) -> None:
        self.name = child.name
        self.log = child.log
        self.on_report: Callable[[Report], None] | None = None
        self._child = child
        self._wire = wire
        self._ready = ready
        self._forgotten = False

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    def signal(self, number: Signals) -> None:
        """SIGTERM goes to the program alone, which knows how to end what it has forked; any other to all of it."""
        if number == SIGTERM:
            self._child.signal(number)
        elif self.alive:
            self._signal_group(number)

    async def command(self, do: str, **fields: object) -> None:
        await self._wire.command(do, consumer=self.name, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        """None when time runs out or it dies."""
        if kind == "ready":
            asking = asyncio.ensure_future(self._is_ready(timeout_s))
        else:
            asking = asyncio.ensure_future(self._wire.report(kind, timeout_s=timeout_s, consumer=self.name, **match))
        dying = asyncio.ensure_future(self._child.wait())
        try:
            # What was told before it died is told.
            await asyncio.wait((asking, dying), return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()
            dying.cancel()

    async def wait(self) -> int:
        code = await self._child.wait()
        # What it has forked and left behind is no consumer any more.
        self._signal_group(SIGKILL)
        if not self._forgotten:
            self._forgotten = True
            await self._wire.command("forget", consumer=self.name)
        return code

    async def end(self, *, timeout_s: float) -> int:
        self.signal(SIGCONT)
        self.signal(SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                return await self.wait()
        except TimeoutError:
            self.signal(SIGKILL)
            return await self.wait()

    def last_words(self) -> str:
        return self._child.last_words()

    async def _is_ready(self, timeout_s: float) -> Report | None:
        async def polls(within_s: float) -> bool:
            return await self._wire.report("polls", timeout_s=within_s, consumer=self.name) is not None

        return {"report": "ready"} if await self._ready.wait(self.log, polls, timeout_s) else None

    def _signal_group(self, number: Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


class Programs(Starter):
    """Programs of the user's behind the wire of their subscription.

    `command` and `environment` say, given a consumer's name and the URL of its port, what is started and with what
    environment; `cwd` is where.
    """

    records = False

    def __init__(
        self,
        *,
        subscription: str,
        run: Path,
        wire: Wire,
        command: Callable[[str, str], Sequence[str]],
        environment: Callable[[str, str], Mapping[str, str]],
        cwd: Path,
        ready: Ready,
    ) -> None:
        self.subscription = subscription
        self._run = run
        self._wire = wire
        self._command = command
        self._environment = environment
        self._cwd = cwd
        self._ready = ready
        self._running: dict[str, Program] = {}

    def prepare(self) -> None:
        self._wire.on_report = self._hear

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        await self._wire.command("listen", consumer=name)
        listening = await self._wire.report("listening", timeout_s=_LISTEN_S, consumer=name)
        if listening is None:
            raise ProcessError(f"the wire opened no port for {name}; it said: {self._wire.last_words()}")
        for disturbance in armed:
            await self._wire.command("arm", consumer=name, disturbance=disturbance.to_json())
            await self._wire.report("armed", timeout_s=_LISTEN_S, consumer=name, instance=disturbance.instance)
        url = f"http://127.0.0.1:{listening['port']}"
        child = await Child.start(
            name=name,
            argv=self._command(name, url),
            run=self._run,
            env=self._environment(name, url),
            cwd=self._cwd,
            ours=False,
        )
        program = self._running[name] = Program(child, wire=self._wire, ready=self._ready)
        await self._wire.command("born", consumer=name, pid=child.pid)
        return program

    def _hear(self, report: dict[str, Any]) -> None:
        program = self._running.get(report.get("consumer", ""))
        if program is not None and program.on_report is not None:
            program.on_report(report)
