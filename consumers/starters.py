"""What a fleet's slots are filled with: consumers of ours, here or on other hosts, or programs that poll by themselves.

It promises that faults, readiness and what is in hand are asked of both in the same words. A program of the user's
answers none of them itself: the wire, which all its calls to AWS go through, answers for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any, Protocol

import orjson

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.readiness import Ready
from gameday.history.errors import ProcessError
from gameday.history.writer import Writer
from gameday.processes.child import Child, Report, python
from gameday.processes.disturbances import Disturbance
from gameday.processes.remote import Host

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
    @property
    def stopped(self) -> bool:
        """By SIGSTOP."""
        ...

    def signal(self, number: Signals) -> None: ...
    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    async def wait(self) -> int: ...
    async def end(self, *, timeout_s: float) -> int: ...
    def sweep(self) -> None:
        """Kill what it has left behind, once it has ended."""
        ...

    def last_words(self) -> str: ...


class Starter(Protocol):
    """Starts what becomes a consumer. Errors: ProcessError."""

    subscription: str
    # Whether a consumer writes a history file of its own, named after it.
    records: bool
    # Whether what it gives was there before the run, and goes on after it.
    lasts: bool = False

    async def announce(self, name: str, writer: Writer) -> None:
        """Create the history file of a consumer about to be started, and list it with `writer`, the conductor's.

        Errors: HistoryError, ProcessError.
        """
        writer.announce(name)

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

    async def start(self, name: str, armed: Sequence[Disturbance], *, endpoint: str | None = None) -> Child:
        """`endpoint`: where it finds AWS, if not where its configuration says."""
        argv = python("-m", "gameday.consumers", "--config", self._path, "--name", name)
        if endpoint is not None:
            argv += ["--endpoint", endpoint]
        for disturbance in armed:
            argv += ["--arm", orjson.dumps(disturbance.to_json()).decode()]
        return await Child.start(name=name, argv=argv, run=self._run)


class OnHosts(Starter):
    """Consumers of ours on other hosts; `hosts` are by slot."""

    records = True

    def __init__(self, config: ConsumerConfig, *, hosts: Mapping[str, Host]) -> None:
        self.subscription = config.subscription
        self._config = config.to_json()
        self._hosts = hosts

    async def announce(self, name: str, writer: Writer) -> None:
        host = self._at(name)
        await host.create(name)
        writer.announce_on(host.name, name)

    def prepare(self) -> None:
        """Each is told with its start."""

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        return await self._at(name).start(
            name, "consumer", config=self._config, armed=[disturbance.to_json() for disturbance in armed]
        )

    def _at(self, name: str) -> Host:
        return self._hosts[name.rpartition(".")[0]]


class Wire(Protocol):
    """The process of the wire, as far as a starter speaks with it: see gameday/wire/__main__.py."""

    on_report: Callable[[Report], None] | None

    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    def last_words(self) -> str: ...


class Port:
    """A consumer's port of the wire, by its name; or the load's."""

    def __init__(self, wire: Wire, consumer: str, url: str) -> None:
        self.url = url
        self._wire = wire
        self._consumer = consumer
        self._open = True

    @classmethod
    async def open(cls, wire: Wire, consumer: str, armed: Sequence[Disturbance], *, number: int = 0) -> Port:
        """`number`: that port; 0 takes any free one. Errors: ProcessError."""
        await wire.command("listen", consumer=consumer, port=number)
        listening = await wire.report("listening", timeout_s=_LISTEN_S, consumer=consumer)
        if listening is None:
            where = f"port {number}" if number else "a port"
            raise ProcessError(f"the wire could not open {where} for {consumer}; it said: {wire.last_words()}")
        port = cls(wire, consumer, f"http://127.0.0.1:{listening['port']}")
        for disturbance in armed:
            await port.command("arm", disturbance=disturbance.to_json())
            await port.report("armed", timeout_s=_LISTEN_S, instance=disturbance.instance)
        return port

    async def command(self, do: str, **fields: object) -> None:
        await self._wire.command(do, consumer=self._consumer, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        return await self._wire.report(kind, timeout_s=timeout_s, consumer=self._consumer, **match)

    async def close(self) -> None:
        """Once the consumer is gone; closing twice does nothing."""
        if self._open:
            self._open = False
            await self.command("forget")


class Program:
    """An incarnation of a program of the user's, with all that it has started."""

    def __init__(self, child: Child, *, port: Port, ready: Ready) -> None:
        self.name = child.name
        self.log = child.log
        self.on_report: Callable[[Report], None] | None = None
        self._child = child
        self._port = port
        self._ready = ready

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    @property
    def stopped(self) -> bool:
        return self._child.stopped

    def signal(self, number: Signals) -> None:
        self._child.signal(number)

    async def command(self, do: str, **fields: object) -> None:
        await self._port.command(do, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        """None when time runs out or it dies."""
        if kind == "ready":
            asking = asyncio.ensure_future(self._is_ready(timeout_s))
        else:
            asking = asyncio.ensure_future(self._port.report(kind, timeout_s=timeout_s, **match))
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
        # What it has started and left behind is no consumer any more.
        self._child.sweep()
        await self._port.close()
        return code

    async def end(self, *, timeout_s: float) -> int:
        await self._child.end(timeout_s=timeout_s)
        return await self.wait()

    def sweep(self) -> None:
        self._child.sweep()

    def last_words(self) -> str:
        return self._child.last_words()

    async def _is_ready(self, timeout_s: float) -> Report | None:
        async def polls(within_s: float) -> bool:
            return await self._port.report("polls", timeout_s=within_s) is not None

        return {"report": "ready"} if await self._ready.wait(self.log, polls, timeout_s) else None


class OursBehindWire:
    """An incarnation of a consumer of ours behind the wire, which does what strikes its calls."""

    def __init__(self, child: Child, *, port: Port, on_wire: set[str]) -> None:
        self.name = child.name
        self.log = child.log
        self._child = child
        self._port = port
        self._on_wire = on_wire

    @property
    def on_report(self) -> Callable[[Report], None] | None:
        return self._child.on_report

    @on_report.setter
    def on_report(self, hear: Callable[[Report], None] | None) -> None:
        self._child.on_report = hear

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    @property
    def stopped(self) -> bool:
        return self._child.stopped

    def signal(self, number: Signals) -> None:
        self._child.signal(number)

    async def command(self, do: str, **fields: object) -> None:
        disturbance = fields.get("disturbance")
        if isinstance(disturbance, dict) and disturbance["on_wire"]:
            self._on_wire.add(disturbance["instance"])
        to = self._port if self._instance(fields) in self._on_wire else self._child
        await to.command(do, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        of = self._port if match.get("instance") in self._on_wire else self._child
        return await of.report(kind, timeout_s=timeout_s, **match)

    async def wait(self) -> int:
        code = await self._child.wait()
        await self._port.close()
        return code

    async def end(self, *, timeout_s: float) -> int:
        code = await self._child.end(timeout_s=timeout_s)
        await self._port.close()
        return code

    def sweep(self) -> None:
        self._child.sweep()

    def last_words(self) -> str:
        return self._child.last_words()

    @staticmethod
    def _instance(fields: Mapping[str, object]) -> object:
        disturbance = fields.get("disturbance")
        return disturbance["instance"] if isinstance(disturbance, dict) else fields.get("instance")


class BehindWire(Starter):
    """What the consumers behind one wire share: what it reports goes to the one that it is about."""

    def __init__(self, *, subscription: str, run: Path, wire: Wire) -> None:
        self.subscription = subscription
        self._run = run
        self._wire = wire
        self._running: dict[str, Incarnation] = {}

    def prepare(self) -> None:
        self._wire.on_report = self._hear

    def _hear(self, report: dict[str, Any]) -> None:
        running = self._running.get(report.get("consumer", ""))
        if running is not None and running.on_report is not None:
            running.on_report(report)


class WiredOurs(BehindWire):
    """Consumers of ours behind a wire."""

    records = True

    def __init__(self, ours: Ours, *, run: Path, wire: Wire) -> None:
        super().__init__(subscription=ours.subscription, run=run, wire=wire)
        self._ours = ours

    def prepare(self) -> None:
        super().prepare()
        self._ours.prepare()

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        on_wire = [disturbance for disturbance in armed if disturbance.on_wire]
        port = await Port.open(self._wire, name, on_wire)
        child = await self._ours.start(
            name, [disturbance for disturbance in armed if not disturbance.on_wire], endpoint=port.url
        )
        consumer = OursBehindWire(child, port=port, on_wire={disturbance.instance for disturbance in on_wire})
        self._running[name] = consumer
        return consumer


class Programs(BehindWire):
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
        super().__init__(subscription=subscription, run=run, wire=wire)
        self._command = command
        self._environment = environment
        self._cwd = cwd
        self._ready = ready

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        port = await Port.open(self._wire, name, armed)
        child = await Child.start(
            name=name,
            argv=self._command(name, port.url),
            run=self._run,
            env=self._environment(name, port.url),
            cwd=self._cwd,
            ours=False,
        )
        program = Program(child, port=port, ready=self._ready)
        self._running[name] = program
        await port.command("born", pid=child.pid)
        return program
