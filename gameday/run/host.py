"""A host of somebody else's run: `gameday host` joins the master of the run, and does there what the conductor says.

It starts consumers of ours, and Locust's workers beside it, sends them signals and commands, and tells what becomes of
them; gameday/processes/remote.py has the words. It promises that no process which it has started outlives it; that its
records are on this host's disk before anything depends on them; that how far its clock may be off is measured as the
part begins, every five seconds and at the end, and told; and that without a word from the conductor for the patience of
the run it ends in good order, by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.starters import Ours
from gameday.history.errors import GamedayError, HistoryError, Interrupted, ProcessError, RunError, UsageError
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import Here
from gameday.processes.child import Child, python
from gameday.processes.clock_sync import HostClock, clock_of, measured
from gameday.processes.disturbances import Disturbance
from gameday.processes.letters import Letters, Said
from gameday.processes.round_trips import MEASURE_S, RoundTrips
from gameday.run import locust
from gameday.run.channel import Channel
from gameday.run.gathering import RUN_FILE, Shelf
from gameday.transports.endpoint import Endpoint

_BEAT_S = 1.0
# After so long a silence the way to the master is made anew.
_ANEW_S = 10.0
_END_S = 30.0
_GOODBYE_S = 3.0
_STOPPED_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class HostRequest:
    """`master` is HOST:PORT, as the conductor's hosts.yaml says it after `listen`. `directory` gets a directory for the
    run; `wait_s` is how long the conductor may stay away before the run."""

    master: str
    name: str
    directory: Path
    wait_s: float
    metrics_host: str


@dataclass(kw_only=True)
class _Part:
    """This host's part in a run, from its beginning. `shelf` is where what was recorded is shipped, if anywhere."""

    directory: Path
    patience_s: float
    clock: HostClock
    writer: Writer
    shelf: Shelf | None
    measuring: asyncio.Lock = field(default_factory=asyncio.Lock)
    shipping: threading.Lock = field(default_factory=threading.Lock)


class _Over(Exception):
    """There is no more to be done here."""


async def serve(asked: HostRequest, tell: Callable[[str], None]) -> None:
    """One run, from joining it to leaving it. `tell` tells people.

    Errors: UsageError when the run does not want this host; RunError when the conductor stays away, or the part cannot
    begin; Interrupted after a signal.
    """
    await _Host(asked, tell).serve()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits, bounded."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


class _Host:
    def __init__(self, asked: HostRequest, tell: Callable[[str], None]) -> None:
        self._asked = asked
        self._tell = tell
        self._channel = Channel(asked.master, name=asked.name)
        self._instance = uuid.uuid4().hex
        self._letters = Letters()
        self._orders: asyncio.Queue[Said] = asyncio.Queue()
        self._part: _Part | None = None
        self._children: dict[str, Child] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._shipped: list[str] = []
        self._finished = False
        self._heard_at = 0.0
        self._to_send = asyncio.Event()
        self._round_trips = RoundTrips(self._send)
        self._say({"say": "join", "directory": str(asked.directory.absolute())})

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        interrupted = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted.set)
        self._tell(f"joining the run at {self._asked.master} as {self._asked.name}")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(), name="letters")
                group.create_task(self._beat(), name="beat")
                group.create_task(self._obey_all(), name="orders")
                group.create_task(self._measure(), name="clock")
                group.create_task(self._stopped_by(interrupted), name="signals")
        except* _Over:
            self._tell("the run is over")
        except* GamedayError as errors:
            error = errors.exceptions[0]
            await self._leave(str(error))
            raise error from None
        finally:
            self._channel.close(linger_ms=round(_GOODBYE_S * 1000))

    async def _stopped_by(self, interrupted: asyncio.Event) -> None:
        """Errors: Interrupted."""
        await interrupted.wait()
        raise Interrupted("interrupted")

    async def _leave(self, why: str) -> None:
        """Before the end of the run: with all that was started here, and with what was recorded kept."""
        await self._end()
        self._say({"say": "leaving", "why": why})
        await self._send()
        if (part := self._part) is not None:
            self._tell(f"what was recorded stands in {part.directory}")
            try:
                await asyncio.to_thread(self._ship, part)
            except RunError as error:
                self._tell(str(error))

    # What goes there and comes back

    def _say(self, said: Said) -> None:
        self._letters.say(said)
        self._to_send.set()

    async def _send(self) -> None:
        sent_ns = self._round_trips.sending()
        letter = {"host": self._asked.name, "instance": self._instance, "sent": sent_ns, **self._letters.letter()}
        await self._channel.send("gameday-letter", letter)

    async def _hear(self) -> None:
        """Errors: UsageError when the run refuses this host."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_ANEW_S):
                    kind, data = await self._channel.receive()
            except TimeoutError:
                self._channel.anew()
                continue
            except ValueError:
                continue
            self._heard_at = loop.time()
            if kind == "gameday-time":
                self._round_trips.came_back(sent_ns=data["sent"], there_ns=data["there"])
            elif kind == "gameday-letter":
                if (why := data.get("refused")) is not None:
                    raise UsageError(f"the run at {self._asked.master} refuses this host: {why}")
                for said in self._letters.hear(data):
                    self._orders.put_nowait(said)

    async def _beat(self) -> None:
        """Errors: RunError when nothing is heard for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await self._send()
            patience_s = self._asked.wait_s if self._part is None else self._part.patience_s
            if loop.time() - self._heard_at > patience_s:
                raise RunError(
                    f"nothing was heard of the run at {self._asked.master} for {patience_s:g} s. Is it still there, "
                    "and does this host reach that address?"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._to_send.wait(), _BEAT_S)
            self._to_send.clear()

    # The clock

    async def _measure(self) -> None:
        """Errors: HistoryError."""
        while True:
            await asyncio.sleep(MEASURE_S)
            if self._part is not None and not self._finished:
                await self._mark(self._part)

    async def _mark(self, part: _Part) -> None:
        """Errors: HistoryError."""
        async with part.measuring:
            trips = await self._round_trips.made()
            if trips and not self._finished:
                part.writer.write(part.clock.again(measured(trips), now_ns=part.clock.clock.now_ns()))

    # What it is told

    async def _obey_all(self) -> None:
        """Errors: GamedayError; _Over."""
        while True:
            await self._obey(await self._orders.get())

    async def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "welcome":
            self._part = await self._begun(order)
            return
        if order["do"] == "leave":
            await self._end()
            self._say({"say": "left"})
            await _until(lambda: self._letters.all_heard, _GOODBYE_S)
            raise _Over
        part = self._part
        assert part is not None, "a host is welcome before it is told anything"
        child = self._children.get(order.get("name", ""))
        match order["do"]:
            case "create":
                self._create(part, order["name"])
            case "start":
                await self._start(part, order)
            case "signal" if child is not None:
                await self._signal(child, signal.Signals(order["signal"]))
            case "command" if child is not None:
                await child.command(**order["command"])
            case "sweep" if child is not None:
                child.sweep()
            case "finish":
                await self._finish(part)

    async def _begun(self, order: dict[str, Any]) -> _Part:
        """Errors: RunError."""
        run, name = str(order["run"]), self._asked.name
        found = measured(await self._round_trips.made())
        if found is None:
            raise RunError("the clock of this host runs wrong: what the conductor's shows contradicts itself by it")
        clock = HostClock(host=name, found=found, taken_off_ns=time.time_ns() - clock_of(found).now_ns())
        self._round_trips.by(clock.clock.now_ns)
        directory = self._asked.directory.absolute() / run
        try:
            (directory / DIRECTORY).mkdir(parents=True)
            locust.place(directory).mkdir()
            (directory / RUN_FILE).write_text(run)
        except OSError as error:
            raise RunError(f"cannot make {directory} for this run: {error.strerror}") from error
        writer = Writer(run=directory, name=f"host-{name}", clock=clock.clock, host=name)
        writer.write(clock.begun(clock.clock.now_ns()))
        place = order["history"]
        self._tell(f"run {run}, recorded in {directory}")
        return _Part(
            directory=directory,
            patience_s=float(order["patience_s"]),
            clock=clock,
            writer=writer,
            shelf=None if place is None else Shelf(place, run=run, endpoint=Endpoint.from_json(order["endpoint"])),
        )

    def _create(self, part: _Part, name: str) -> None:
        try:
            part.writer.announce(name)
        except HistoryError as error:
            self._say({"say": "failed", "name": name, "why": str(error)})
        else:
            self._say({"say": "created", "name": name})

    async def _start(self, part: _Part, order: dict[str, Any]) -> None:
        name = order["name"]
        try:
            if order["of"] == "load":
                child = await self._sender(part, name)
            else:
                child = await self._consumer(part, order)
        except (GamedayError, KeyError, TypeError, ValueError, OSError) as error:
            self._say({"say": "failed", "name": name, "why": str(error)})
            return
        self._children[name] = child
        self._say({"say": "started", "name": name, "pid": child.pid})
        child.on_report = lambda report: self._say({"say": "report", "name": name, "report": report})
        watcher = asyncio.create_task(self._watch(part, child), name=f"watch over {name}")
        self._watchers.add(watcher)

    async def _consumer(self, part: _Part, order: dict[str, Any]) -> Child:
        """Errors: ProcessError; KeyError, TypeError or ValueError for a configuration of another version's."""
        config = replace(
            ConsumerConfig.from_json(order["config"]),
            run_dir=part.directory,
            clock=part.clock.clock,
            metrics_host=self._asked.metrics_host,
        )
        if config.program is not None:
            # Whoever reaches the master could have any program started here.
            raise ProcessError("a host starts consumers of gameday's alone")
        starter = Ours(config, run=part.directory)
        starter.prepare()
        return await starter.start(order["name"], [Disturbance(**armed) for armed in order["armed"]])

    async def _sender(self, part: _Part, name: str) -> Child:
        """Errors: ProcessError."""
        here = Here(
            writer=name,
            run_dir=str(part.directory),
            clock=str(part.clock.clock),
            metrics_host=self._asked.metrics_host,
            patience_s=part.patience_s,
        )
        path = part.directory / f"{name}.json"
        here.save(path)
        host, _, port = self._asked.master.rpartition(":")
        master = ("--worker", "--master-host", host, "--master-port", port, "--gameday-here", path)
        return await Child.start(
            name=name,
            argv=python(*locust.ARGUMENTS, *master),
            run=part.directory,
            env=locust.aws_files(os.environ),
            cwd=locust.place(part.directory),
        )

    async def _watch(self, part: _Part, child: Child) -> None:
        code = await child.wait()
        self._say({"say": "exited", "name": child.name, "code": code, "words": child.last_words()})
        # What cannot be shipped now is tried once more at the end, and told then.
        with suppress(RunError):
            await asyncio.to_thread(self._ship, part)

    async def _signal(self, child: Child, number: signal.Signals) -> None:
        child.signal(number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            to_stop = number == signal.SIGSTOP
            await _until(lambda: not child.alive or child.stopped == to_stop, _STOPPED_WITHIN_S)
            if child.alive:
                self._say({"say": "stopped", "name": child.name, "stopped": child.stopped})

    # The end

    async def _finish(self, part: _Part) -> None:
        await self._end_children()
        await self._mark(part)
        await self._end()
        why = None
        try:
            await asyncio.to_thread(self._ship, part)
        except RunError as error:
            why = str(error)
            self._tell(why)
        self._say({"say": "finished", "failed": why})

    async def _end(self) -> None:
        """Nothing is written after it."""
        await self._end_children()
        self._finished = True
        if self._part is not None:
            with suppress(HistoryError):  # of a disk that is full
                self._part.writer.close()

    async def _end_children(self) -> None:
        await asyncio.gather(*(child.end(timeout_s=_END_S) for child in self._children.values() if child.alive))
        if self._watchers:
            await asyncio.wait(self._watchers)

    def _ship(self, part: _Part) -> None:
        """What nobody writes to any more and has not been shipped. Errors: RunError."""
        if part.shelf is None:
            return
        with part.shipping:
            for path in sorted((part.directory / DIRECTORY).glob("*.jsonl")):
                child = self._children.get(path.stem)
                open_still = child.alive if child is not None else not self._finished
                if path.name not in self._shipped and not open_still:
                    part.shelf.put(self._asked.name, path)
                    self._shipped.append(path.name)
