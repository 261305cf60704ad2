"""All that a simulated run has but its consumers and its faults: the world, the broker behind the network, the load,
the stores, and who watches the backlog.

Real are the schedule, lanes and sender, the workers with handlers and guards, the emulator, the watch over queues and
streams (drain, redrive, burial), the replay, the manifest and every history file. Simulated are the processes, the
network, the stores and the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import traceback
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from greenlet import greenlet  # type: ignore[import-untyped]

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.disturbed_store import DisturbedStore
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS, facts_of
from gameday.consumers.stream import StreamWorker
from gameday.consumers.work import BaseWorker, Tools
from gameday.consumers.worker import Worker
from gameday.emulator.broker import DEDUP_WINDOW_S
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Feed, Lane, Tally
from gameday.loadgen.sender import Sender
from gameday.processes import control
from gameday.processes.disturbances import Buckets, Disturbance, Disturbances
from gameday.run.backlog import Backlog
from gameday.run.context import RunContext
from gameday.run.queues import Queues
from gameday.run.replay import Replay
from gameday.run.streams import Streams
from gameday.scenario.model import Scenario
from gameday.simulation.kernel import Process, World
from gameday.simulation.network import Broker, Effects, Link, Network, RemoteEffects, RemoteLeases, Rows, blocking
from gameday.targets.products import MEMORY
from gameday.targets.target import Target
from gameday.transports.base import Addresses
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint

LEAD_S = 0.5
# What the simulation asks of the carriers that it takes the place of.
NOWHERE = Endpoint(urls={"*": "http://127.0.0.1:1"})


@contextlib.contextmanager
def sealed(seed: int) -> Iterator[io.StringIO]:
    """Nothing comes in but the seed, and what the parts say goes into a text."""
    dice = random.Random(f"{seed}:uuid")
    said = io.StringIO()
    with (
        mock.patch("uuid.uuid4", lambda: uuid.UUID(int=dice.getrandbits(128), version=4)),
        mock.patch.object(control, "report", _report),
        contextlib.redirect_stderr(said),
    ):
        yield said


def _report(kind: str, **fields: object) -> None:
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    if process.alive:
        process.reported(kind, fields)


class ProcessWriter(Writer):
    """Writes for one process, and nothing any more once that is dead."""

    def __init__(self, run: Path, process: Process, *, name: str, host: str | None = None) -> None:
        super().__init__(run=run, name=name, clock=process.clock, host=host)
        self.process = process
        process.when_buried.append(self.release)

    def write(self, *records: Record) -> int:
        self.process.must_live()
        return super().write(*records)


class ProcessDisturbances(Disturbances):
    """Of a process that is simulated, a crash is the end of its loop. `crashed` hears of it before, with the point."""

    def __init__(self, process: Process, crashed: Callable[[str | None], object] = lambda point: None) -> None:
        super().__init__()
        self._process = process
        self._crashed = crashed

    def struck(
        self, kind: str, key: str, *, point: str | None = None, operation: str | None = None
    ) -> Disturbance | None:
        found = super().struck(kind, key, point=point, operation=operation)
        if found is not None and kind == "crash-at":
            self._crashed(point)
            self._process.crash()
        return found


class Emptied(NamedTuple):
    """Whether nothing was left before a redrive; dead letters were given back; and an archive gave all again."""

    drained: bool
    redriven: bool
    replayed: bool


class Stage:
    """`directory` must not be there yet. `latency_s`: between the two a message's way over the network takes;
    `timeout_s`: how long a client waits for an answer; `step_ns`: how long a step takes somebody; `planted`: a defect
    of the broker, as the emulator's command line has it.

    `failures`: what went wrong with the parts themselves; nothing of it may be.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        directory: Path,
        latency_s: tuple[float, float],
        timeout_s: float,
        step_ns: int = 0,
        planted: str | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.failures: list[str] = []
        self.world = World(seed=seed, step_ns=step_ns)
        self.everybody: list[Process] = []
        self.conductor = self.process("conductor")
        directory.mkdir(parents=True)
        self.context = RunContext(
            scenario=scenario, id=f"sim-{seed}", directory=directory, seed=seed, clock=self.conductor.clock
        )
        self.target = Target(
            kind="memory", what="simulated", endpoint=NOWHERE, product=MEMORY, services=self.context.services
        )
        self.manifest = self.context.manifest(self.target)
        self.topology = self.context.topology(self.target)
        self.network = Network(self.world, latency_s=latency_s, timeout_s=timeout_s)
        remembers_s = self.topology.dedup_window_s or DEDUP_WINDOW_S
        self.broker = Broker(self.world, planted=planted, dedup_window_s=remembers_s)
        self.leases = Rows()
        self.effects = Effects()
        # By whose wire it is: what may still pass where a rate is the limit.
        self.buckets: defaultdict[str, Buckets] = defaultdict(lambda: Buckets(lambda: self.world.passed_s))

    # What may be otherwise: where a process is, and what else is noted of what it writes.

    def process(self, name: str) -> Process:
        process = Process(self.world, name)
        self.everybody.append(process)
        return process

    def writer_of(self, process: Process, name: str) -> ProcessWriter:
        return ProcessWriter(self.context.directory, process, name=name)

    def sending(self, number: int, name: str) -> tuple[Process, ProcessWriter]:
        """The sending process with that number, from 0, and its file."""
        process = self.process(name)
        return process, self.writer_of(process, name)

    # From the first process to the last.

    def provide(self) -> Addresses:
        """Save the manifest, make the run's directories, and create what it sends to."""
        context = self.context
        self.manifest.save(context.directory)
        (context.directory / DIRECTORY).mkdir()
        return run_plan(
            context.transport.provision(self.topology, run=context.id, tags=context.tags), self.broker.carry
        )

    def bury(self) -> None:
        for process in self.everybody:
            process.bury()

    def worker(
        self, config: ConsumerConfig, process: Process, writer: Writer, disturbances: Disturbances
    ) -> BaseWorker:
        """A consumer of that process."""
        link = Link(self.network, process, self.broker)
        tools = Tools(
            writer=writer,
            carry=link.carry,
            store=DisturbedStore(RemoteEffects(link, self.effects), disturbances, name=process.name),
            handler=HANDLERS[config.handler],
            guard=GUARDS[config.guard],
            disturbances=disturbances,
        )
        source = self.context.transport.subscription(config.addresses, config.subscription, config.identification)
        if source.kind == "queue":
            return Worker(config=config, name=process.name, tools=tools, source=source)
        leases = RemoteLeases(link, self.leases)
        return StreamWorker(config=config, name=process.name, tools=tools, source=source, leases=leases)

    async def send(self, config: LoadConfig, start_ns: int) -> Tally:
        """The whole load. Each user is a greenlet; the users of a process share a history file and what is fed to
        them."""
        done: asyncio.Future[None] = self.conductor.create_future()
        working = len(config.writers)
        lanes: list[Lane] = []

        def ended() -> None:
            nonlocal working
            working -= 1
            if not working:
                self.conductor.tell(done, None)

        for number, name in enumerate(config.writers):
            own = {lane: config.lane() for lane in range(number, config.users, config.processes)}
            lanes += own.values()
            self._send(*self.sending(number, name), own, config, start_ns, ended)
        await done
        tally = Tally()
        for lane in lanes:
            tally.add(lane.tally)
        return tally

    def _send(
        self,
        process: Process,
        writer: ProcessWriter,
        lanes: Mapping[int, Lane],
        config: LoadConfig,
        start_ns: int,
        ended: Callable[[], None],
    ) -> None:
        # A loop in name only: what works in it are greenlets.
        self.world.processes.remove(process)
        offset_ns = process.clock.now_ns() - self.world.now_ns
        source = config.source()
        feed = Feed(config.schedule(source).messages(start_ns), lanes)
        working = len(lanes)

        def wait(seconds: float) -> bool:
            if seconds > 0:
                self.world.sleep(seconds)
            return False

        def live(number: int) -> None:
            nonlocal working
            sender = Sender(
                config=config,
                number=number,
                lane=lanes[number],
                writer=writer,
                clock=process.clock,
                carry=blocking(self.network, self.broker, process.name),
                count=lambda sample: None,
                source=source,
            )
            try:
                sender.run(feed, wait)
            except Exception:
                self.failures.append(f"failure: a user: {traceback.format_exc()}")
            working -= 1
            if not working:
                for lane in lanes.values():
                    lane.stop()
                writer.close()
                ended()

        for number in lanes:
            user = greenlet(live)
            self.world.at(min(start_ns - offset_ns, start_ns), partial(user.switch, number))

    # What the conductor does when the load has ended.

    def backlog(self, addresses: Addresses, writer: Writer) -> Backlog:
        carrier: Any = blocking(self.network, self.broker, "conductor")
        transport = self.context.transport
        sources = {
            name: transport.subscription(addresses, name, self.scenario.identification)
            for name in self.scenario.subscriptions
        }
        if transport.kind == "queue":
            queues = {name: source for name, source in sources.items() if source.kind == "queue"}
            return Queues(sources=queues, carrier=carrier, writer=writer)
        streams = {name: source for name, source in sources.items() if source.kind == "stream"}
        leases = RemoteLeases(Link(self.network, self.conductor, self.broker), self.leases)
        return Streams(sources=streams, carrier=carrier, writer=writer, leases=leases)

    async def empty(self, backlog: Backlog, addresses: Addresses, writer: Writer, *, start_ns: int) -> Emptied:
        """Let the consumers take what is left, dead letters and an archive's events again where the scenario says
        so."""
        redriven = replayed = False
        drained = await self._drain(backlog)
        if self.scenario.topology.redrive and drained:
            redriven = bool(await backlog.redrive())
            await self._drain(backlog)
        if self.topology.archive:
            replayed = await self._replay(addresses, writer, start_ns=start_ns)
            await self._drain(backlog)
        return Emptied(drained=drained, redriven=redriven, replayed=replayed)

    async def _drain(self, backlog: Backlog) -> bool:
        """Whether nothing is left."""
        settled_ns = self.context.clock.now_ns() + round(self.topology.settle_s * NS_PER_S)
        depths = await backlog.drain(
            settled_ns=settled_ns, patience_s=self.scenario.drain_timeout_s, tell=lambda seen: None
        )
        return not any(depth.total for depth in depths.values())

    async def _replay(self, addresses: Addresses, writer: Writer, *, start_ns: int) -> bool:
        """Whether the archive gave all again."""
        transport: Any = self.context.transport
        replay = Replay(
            transport=transport,
            addresses=addresses,
            name=f"gameday-{self.context.id}",
            since_ns=start_ns,
            carry=blocking(self.network, self.broker, "conductor"),
            writer=writer,
        )
        return await replay.run(patience_s=self.scenario.drain_timeout_s, tell=lambda state: None) is None

    async def read(self, backlog: Backlog, writer: Writer) -> bool:
        """What the queues and the effect store hold at the end, once nobody works any more; whether nothing is left."""
        await backlog.drain_dead_letters()
        depths = await backlog.look()
        for name, depth in depths.items():
            writer.write(events.mark("drained", subscription=name, empty=depth.total == 0, **asdict(depth)))
        facts = facts_of(self.scenario.consumers.handler)
        if facts is not None and facts.has_effects:
            for name in self.scenario.subscriptions:
                applied = self.effects.of(name)
                writer.write(
                    *(events.effects(id=id, subscription=name, applied=times) for id, times in sorted(applied.items()))
                )
                writer.write(events.mark("effects-read", subscription=name))
        return not any(depth.total for depth in depths.values())
