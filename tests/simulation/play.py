"""Plays a plan: the run as the conductor conducts it, with real parts, on the clock of a simulated world.

Real are the schedule, lanes and sender, the workers with handlers, guards and disturbances, the emulator, the watch
over queues and streams (drain, redrive, burial), the replay, the manifest and every history file. Simulated are the
processes, the network, the stores and the clock. What the run leaves is a run directory like any other, and beside it
what really happened (`Played`), which no history tells whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import traceback
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from greenlet import greenlet  # type: ignore[import-untyped]

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS, facts_of
from gameday.consumers.stream import StreamWorker
from gameday.consumers.work import BaseWorker, Tools
from gameday.consumers.worker import Worker
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import GamedayError
from gameday.history.events import Record
from gameday.history.manifest import Manifest
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Feed, Lane, Tally
from gameday.loadgen.sender import Sender
from gameday.processes import control
from gameday.processes.disturbances import Disturbance, Disturbances
from gameday.run.backlog import Backlog
from gameday.run.context import RunContext
from gameday.run.queues import Queues
from gameday.run.replay import Replay
from gameday.run.streams import Streams
from gameday.scenario.document import Document
from gameday.scenario.model import Scenario
from gameday.scenario.reading import resolve
from gameday.targets.products import MEMORY
from gameday.targets.target import Target
from gameday.transports.base import Addresses, CallFailed, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from tests.simulation.hosts import SimulatedHost
from tests.simulation.kernel import Process, Stuck, World, WorldClock
from tests.simulation.network import (
    Broker,
    Effects,
    Link,
    Network,
    RemoteEffects,
    RemoteLeases,
    Rows,
    Strike,
    Trouble,
    blocking,
)
from tests.simulation.plan import ON_NETWORK, Counts, Fault, Plan

DEDUP_WINDOW_S = 300.0
_LEAD_S = 0.5
_STEPS_MAX = 100_000
_WITHIN_S = 900.0
_START_S = 0.2
_LOOK_AGAIN_S = 0.05
_OPERATIONS: Mapping[str, Sequence[str]] = {
    "send": ("SendMessageBatch", "PublishBatch", "PutEvents", "PutRecords"),
    "receive": ("ReceiveMessage", "GetRecords", "GetShardIterator", "ListShards"),
    "settle": ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"),
}
# What the simulation asks of the carriers that it takes the place of.
_NOWHERE = Endpoint(urls={"*": "http://127.0.0.1:1"})
_ELSEWHERE = Endpoint(urls={"*": "http://10.0.0.1:1"})


@dataclass(frozen=True, slots=True)
class Written:
    """A record as it stands in the history. `place`: its number among all records of the run, as they were written.
    `when`: what the world's clock showed then. `host` is where, None the conductor's own."""

    place: int
    at: int
    when: int
    by: str
    host: str | None
    record: Record


@dataclass(kw_only=True)
class Played:
    """What really happened. `records` in the order in which they were written; `tally` as the lanes count."""

    plan: Plan
    directory: Path
    manifest: Manifest
    scenario: Scenario
    records: list[Written] = field(default_factory=list)
    effects: Effects = field(default_factory=Effects)
    tally: Tally = field(default_factory=Tally)
    counts: Counts = field(default_factory=Counts)
    drained: bool = False
    # Why the run was not done to its end.
    refused: str | None = None
    # What went wrong with the parts themselves: nothing of it may be.
    failures: list[str] = field(default_factory=list)
    said: str = ""
    redriven: bool = False
    replayed: bool = False
    # How often the planted defect has struck.
    struck: int = 0
    # When each consumer ended, and whether it was killed; when which stood still; whose calls the network struck, how.
    ends: dict[str, tuple[int, bool]] = field(default_factory=dict)
    pauses: list[tuple[str, int, int]] = field(default_factory=list)
    strikes: Sequence[Strike] = ()


def play(plan: Plan, directory: Path) -> Played:
    """Play the run and leave its history in `directory`, which must not be there yet."""
    with _sealed(plan.seed) as said:
        game = _Game(plan, directory)
        try:
            game.play()
        finally:
            game.bury()
    game.played.said = said.getvalue()
    return game.played


@contextlib.contextmanager
def _sealed(seed: int) -> Iterator[io.StringIO]:
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


class _Writer(Writer):
    """Writes for one process, which may die in the middle of a write. `tear`: at its next one."""

    def __init__(self, played: Played, process: Process, *, name: str, host: str | None = None) -> None:
        super().__init__(run=played.directory, name=name, clock=process.clock, host=host)
        self._played = played
        self._process = process
        self._batch: Sequence[Record] = ()
        self.tear: Callable[[int], int] | None = None

    def write(self, *records: Record) -> int:
        self._process.must_live()
        self._batch = records
        at = super().write(*records)
        self._note(records, at)
        return at

    def _append(self, lines: bytes) -> None:
        if self.tear is None or not lines:
            super()._append(lines)
            return
        kept = lines[: self.tear(len(lines))]
        super()._append(kept)
        # A last line that lacks nothing but its end is a record.
        whole = kept.count(b"\n") + (lines[len(kept) : len(kept) + 1] == b"\n" and not kept.endswith(b"\n"))
        self._note(self._batch[:whole], self.clock.now_ns())
        self._played.counts.add("torn write" if len(kept) < len(lines) else "death after a write")
        self._process.crash()

    def _note(self, records: Sequence[Record], at: int) -> None:
        told, when = self._played.records, self._process.world.now_ns
        for record in records:
            told.append(Written(len(told), at, when, self.name, self.host, record))


class _Disturbances(Disturbances):
    """Of a process that is simulated, a crash is the end of its loop."""

    def __init__(self, process: Process, counts: Counts) -> None:
        super().__init__()
        self._process = process
        self._counts = counts

    def struck(
        self, kind: str, key: str, *, point: str | None = None, operation: str | None = None
    ) -> Disturbance | None:
        found = super().struck(kind, key, point=point, operation=operation)
        if found is not None and kind == "crash-at":
            self._counts.add(f"crash {point}")
            self._process.crash()
        return found


class _Slot:
    """A place for a consumer, and who stands there now."""

    def __init__(self, name: str, config: ConsumerConfig, host: SimulatedHost | None) -> None:
        self.name = name
        self.config = config
        self.host = host
        self.armed: dict[str, Disturbance] = {}
        self.process: Process | None = None
        self.worker: BaseWorker | None = None
        self.writer: _Writer | None = None
        self.incarnations = 0
        self.over = asyncio.Event()


class _Game:
    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        scenario = resolve(Document(name=f"seed {plan.seed}", data=dict(plan.scenario), places={}))
        self.world = World(seed=plan.seed, step_ns=plan.step_ns)
        self.dice = random.Random(f"{plan.seed}:game")
        self.everybody: list[Process] = []
        self.conductor = self._process("conductor")
        clock = self.conductor.clock
        directory.mkdir(parents=True)
        self.context = RunContext(
            scenario=scenario, id=f"sim-{plan.seed}", directory=directory, seed=plan.seed, clock=clock
        )
        self.target = Target(
            kind="memory", what="simulated", endpoint=_NOWHERE, product=MEMORY, services=self.context.services
        )
        # To several hosts the service is on another machine, with a clock of its own.
        seen_from = replace(self.target, endpoint=_ELSEWHERE) if plan.hosts else self.target
        manifest = replace(
            self.context.manifest(self.target),
            clock_error_ns=plan.clock_error_ns,
            broker_tick_ns=seen_from.tick_ns,
        )
        self.played = Played(plan=plan, directory=directory, manifest=manifest, scenario=scenario)
        self.scenario = scenario
        self.topology: Topology = self.context.topology(self.target)
        self.network = Network(self.world, latency_s=plan.latency_s, timeout_s=plan.timeout_s)
        self.broker = Broker(self.world, planted=plan.planted, dedup_window_s=DEDUP_WINDOW_S)
        self.leases = Rows()
        self.hosts: list[SimulatedHost] = []
        # By host, who writes its own file.
        self.host_writers: dict[SimulatedHost, _Writer] = {}
        self.slots: list[_Slot] = []
        # Whom to tell that a fault struck, by its instance.
        self.fired: dict[str, Callable[[], object]] = {}
        self.stopping = False
        self.over = False

    # From the first process to the last.

    def play(self) -> None:
        played, context = self.played, self.context
        played.manifest.save(context.directory)
        (context.directory / DIRECTORY).mkdir()
        addresses = run_plan(
            context.transport.provision(self.topology, run=context.id, tags=context.tags), self.broker.carry
        )
        self.writer = _Writer(played, self.conductor, name="conductor")
        work = self.conductor.begin(self._conduct(addresses))
        try:
            self.world.run(work.done, steps_max=_STEPS_MAX, within_s=_WITHIN_S)
            work.result()
        except Stuck as stuck:
            self._abort(str(stuck))
        except GamedayError as error:
            self._abort(str(error))
        except Exception:
            played.failures.append(f"failure: the conductor: {traceback.format_exc()}")
        for process in self.everybody:
            played.failures += [f"failure: {error}" for error in process.errors]
        played.struck = self.broker.struck
        played.strikes = self.network.struck

    def _abort(self, why: str) -> None:
        """As the conductor does when it cannot go on; a correct broker gives it no reason to, but one."""
        self.played.refused = why
        self.writer.write(events.mark("aborted", reason=why))
        if self.plan.planted is None and "stand behind others of their group" not in why:
            self.played.failures.append(f"failure: the run could not be done: {why}")

    def bury(self) -> None:
        for process in self.everybody:
            process.bury()

    def _process(self, name: str, host: SimulatedHost | None = None) -> Process:
        most = self.plan.clock_error_ns // 2
        skew_ns = self.dice.randint(-most, most) if most else 0
        clock = WorldClock(self.world, skew_ns) if host is None else host.clock(skew_ns=skew_ns)
        process = Process(self.world, name, clock=clock)
        self.everybody.append(process)
        return process

    async def _conduct(self, addresses: Addresses) -> None:
        """As gameday/run/conductor.py does it."""
        context, scenario, writer, played = self.context, self.scenario, self.writer, self.played
        await self._join()
        for name in scenario.subscriptions:
            config = context.consumers(name, endpoint=_NOWHERE, addresses=addresses)
            for n in range(1, scenario.consumers.processes + 1):
                self.slots.append(_Slot(f"{name}-{n}", config, self._host(len(self.slots))))
        for slot in self.slots:
            self._start(slot)
        backlog = self._backlog(addresses)
        load_config = context.load(endpoint=_NOWHERE, addresses=addresses, topology=self.topology)
        for number, name in enumerate(load_config.writers):
            self._announce(name, self._host(number + 1))
        start_ns = context.clock.now_ns() + round(_LEAD_S * NS_PER_S)
        for host in self.hosts:
            host.load_begins(start_ns)
        writer.write(events.mark("load-started", start=start_ns, schedule=scenario.shape.outline()))
        strikes = [self._strike(number, fault) for number, fault in enumerate(self.plan.faults)]
        await self._load(load_config, start_ns)
        scheduled = load_config.schedule().total
        writer.write(events.mark("load-stopped", scheduled=scheduled))
        self.over = True
        for strike in strikes:
            strike()
        drained = await self._drain(backlog)
        if scenario.topology.redrive and drained:
            played.redriven = bool(await backlog.redrive())
            await self._drain(backlog)
        if self.topology.archive:
            why = await self._replay(addresses, start_ns).run(
                patience_s=scenario.drain_timeout_s, tell=lambda state: None
            )
            played.replayed = why is None
            await self._drain(backlog)
        await self._stop_fleet()
        await self._leave()
        await backlog.drain_dead_letters()
        depths = await backlog.look()
        for name, depth in depths.items():
            writer.write(events.mark("drained", subscription=name, empty=depth.total == 0, **asdict(depth)))
        played.drained = not any(depth.total for depth in depths.values())
        facts = facts_of(scenario.consumers.handler)
        if facts is not None and facts.has_effects:
            for name in scenario.subscriptions:
                applied = self.played.effects.of(name)
                writer.write(
                    *(events.effects(id=id, subscription=name, applied=times) for id, times in sorted(applied.items()))
                )
                writer.write(events.mark("effects-read", subscription=name))
        writer.close()

    async def _drain(self, backlog: Backlog) -> bool:
        settled_ns = self.context.clock.now_ns() + round(self.topology.settle_s * NS_PER_S)
        depths = await backlog.drain(
            settled_ns=settled_ns, patience_s=self.scenario.drain_timeout_s, tell=lambda seen: None
        )
        return not any(depth.total for depth in depths.values())

    def _backlog(self, addresses: Addresses) -> Backlog:
        carrier: Any = blocking(self.network, self.broker, "conductor")
        transport = self.context.transport
        sources = {
            name: transport.subscription(addresses, name, self.scenario.identification)
            for name in self.scenario.subscriptions
        }
        if transport.kind == "queue":
            queues = {name: source for name, source in sources.items() if source.kind == "queue"}
            return Queues(sources=queues, carrier=carrier, writer=self.writer)
        streams = {name: source for name, source in sources.items() if source.kind == "stream"}
        leases = RemoteLeases(Link(self.network, self.conductor, self.broker), self.leases)
        return Streams(sources=streams, carrier=carrier, writer=self.writer, leases=leases)

    def _replay(self, addresses: Addresses, start_ns: int) -> Replay:
        transport: Any = self.context.transport
        return Replay(
            transport=transport,
            addresses=addresses,
            name=f"gameday-{self.context.id}",
            since_ns=start_ns,
            carry=blocking(self.network, self.broker, "conductor"),
            writer=self.writer,
        )

    # The hosts.

    async def _join(self) -> None:
        """Whose clocks are measured before anything is written by them."""
        for planned in self.plan.hosts:
            name = f"host-{planned.name}"
            self.writer.announce_on(planned.name, name)
            process = Process(self.world, name)
            self.everybody.append(process)
            host = SimulatedHost(planned, process, self.network)
            await self._there(host, host.join())
            process.clock = host.clock()
            self.host_writers[host] = _Writer(self.played, process, name=name, host=host.name)
            host.begin(self.host_writers[host])
            self.hosts.append(host)

    async def _leave(self) -> None:
        for host, writer in self.host_writers.items():
            await self._there(host, host.end(writer))

    async def _there(self, host: SimulatedHost, work: Coroutine[Any, Any, None]) -> None:
        """Wait for what the process of a host does."""
        over: asyncio.Future[None] = self.conductor.create_future()
        doing = host.process.begin(work)
        doing.add_done_callback(lambda done: self.conductor.tell(over, done.exception()))
        await over

    def _host(self, number: int) -> SimulatedHost | None:
        """Where the process with that number runs."""
        places = [None, *self.hosts]
        return places[number % len(places)]

    def _announce(self, name: str, host: SimulatedHost | None) -> None:
        """As the conductor and the host do it together."""
        if host is None:
            self.writer.announce(name)
        else:
            self.host_writers[host].announce(name)
            self.writer.announce_on(host.name, name)

    # The load.

    async def _load(self, config: LoadConfig, start_ns: int) -> None:
        """Each user is a greenlet; the users of a process share a history file and what is fed to them."""
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
            self._load_process(name, self._host(number + 1), own, config, start_ns, ended)
        await done
        for lane in lanes:
            self.played.tally.add(lane.tally)

    def _load_process(
        self,
        name: str,
        host: SimulatedHost | None,
        lanes: Mapping[int, Lane],
        config: LoadConfig,
        start_ns: int,
        ended: Callable[[], None],
    ) -> None:
        process = self._process(name, host)
        writer = _Writer(self.played, process, name=name, host=None if host is None else host.name)
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
                carry=blocking(self.network, self.broker, name),
                count=lambda sample: None,
                source=source,
            )
            try:
                sender.run(feed, wait)
            except Exception:
                self.played.failures.append(f"failure: a user: {traceback.format_exc()}")
            working -= 1
            if not working:
                for lane in lanes.values():
                    lane.stop()
                writer.close()
                ended()

        for number in lanes:
            user = greenlet(live)
            self.world.at(min(start_ns - offset_ns, start_ns), lambda user=user, number=number: user.switch(number))  # type: ignore[misc]

    # The consumers.

    def _start(self, slot: _Slot) -> None:
        slot.incarnations += 1
        name = f"{slot.name}.{slot.incarnations}"
        self._announce(name, slot.host)
        process = slot.process = self._process(name, slot.host)
        self.writer.write(events.mark("consumer-started", consumer=name, slot=slot.name))
        slot.worker = slot.writer = None

        def gone() -> None:
            self.played.ends[name] = (self.world.now_ns, True)
            if self.conductor.alive:
                self.conductor.call_soon(self._exited, slot, name, -9)

        process.when_gone.append(gone)
        process.begin(self._serve(slot, process))

    async def _serve(self, slot: _Slot, process: Process) -> None:
        """As gameday/consumers/__main__.py does it."""
        await asyncio.sleep(self.dice.uniform(0, _START_S))
        disturbances = _Disturbances(process, self.played.counts)
        process.reported = lambda kind, fields: self._heard(slot, kind, fields)
        for disturbance in slot.armed.values():
            disturbances.arm(disturbance)
        link = Link(self.network, process, self.broker)
        writer = _Writer(self.played, process, name=process.name, host=None if slot.host is None else slot.host.name)
        tools = Tools(
            writer=writer,
            carry=link.carry,
            store=RemoteEffects(link, self.played.effects),
            handler=HANDLERS[slot.config.handler],
            guard=GUARDS[slot.config.guard],
            disturbances=disturbances,
        )
        worker = self._worker(slot.config, process.name, tools, link)
        slot.worker, slot.writer = worker, writer
        if self.stopping:
            worker.stop()
        code = 0
        try:
            if not await _until_drained(worker, slot.config.drain_timeout_s):
                code = 1
        except Exception:
            self.played.failures.append(f"failure: a consumer died of itself: {traceback.format_exc()}")
            code = 70
        process.must_live()
        writer.close()
        process.when_gone.clear()
        process.die()
        self.played.ends[process.name] = (self.world.now_ns, False)
        self.conductor.call_soon(self._exited, slot, process.name, code)

    def _worker(self, config: ConsumerConfig, name: str, tools: Tools, link: Link) -> BaseWorker:
        source = self.context.transport.subscription(config.addresses, config.subscription, config.identification)
        if source.kind == "queue":
            return Worker(config=config, name=name, tools=tools, source=source)
        leases = RemoteLeases(link, self.leases)
        return StreamWorker(config=config, name=name, tools=tools, source=source, leases=leases)

    def _exited(self, slot: _Slot, name: str, code: int) -> None:
        self.writer.write(events.mark("consumer-exited", consumer=name, slot=slot.name, code=code))
        slot.process = slot.worker = slot.writer = None
        if self.stopping:
            slot.over.set()
        else:
            self.conductor.call_later(self.scenario.consumers.restart_delay, self._restart, slot)

    def _restart(self, slot: _Slot) -> None:
        if self.stopping:
            slot.over.set()
        else:
            self._start(slot)

    async def _stop_fleet(self) -> None:
        self.stopping = True
        for slot in self.slots:
            if slot.process is not None:
                slot.process.paused = False
            if slot.worker is not None and slot.process is not None:
                slot.process.call_soon(slot.worker.stop)
        for slot in self.slots:
            await slot.over.wait()

    def _heard(self, slot: _Slot, kind: str, fields: Mapping[str, Any]) -> None:
        if kind == "fired":
            instance = fields["instance"]
            self.fired[instance]()
            if (armed := slot.armed.get(instance)) is not None and armed.nth is not None:
                del slot.armed[instance]

    # The faults.

    def kill(self, process: Process, *, noticed: bool) -> None:
        """`noticed`: the broker hears that its connections are closed; else its long polls go on for a while."""
        process.die()
        if noticed:
            self.broker.forget(process)

    def _strike(self, number: int, fault: Fault) -> Callable[[], None]:
        """Plan a fault; what is given heals it."""
        strike = _Strike(self, fault, f"{fault.kind}-{number + 1}")
        self.world.after(_LEAD_S + fault.at_s, strike.begin)
        return strike.heal


class _Strike:
    """One fault from its beginning to its end. Its records are written when it really strikes something."""

    def __init__(self, game: _Game, fault: Fault, instance: str) -> None:
        self._game = game
        self._fault = fault
        self._instance = instance
        self._begun = self._told = self._healed = False
        self._struck = 0
        self._targets: list[str] = []
        self._undo: Callable[[], object] = lambda: None
        game.fired[instance] = self._fires

    def begin(self) -> None:
        game, fault = self._game, self._fault
        if game.over or self._healed:
            return
        slot = game.slots[fault.slot % len(game.slots)]
        if fault.holding and slot.worker is not None:

            def strike_soon(messages: int) -> None:
                game.world.after(fault.seconds, lambda: self._strike(slot))

            slot.worker.tell_when_holding(strike_soon)
        else:
            self._strike(slot)

    def _strike(self, slot: _Slot) -> None:
        game, fault = self._game, self._fault
        if game.over or self._healed:
            return
        self._begun = True
        if fault.kind in ("kill", "kill-in-write", "term"):
            self._kill(slot)
            return
        if fault.kind in ("split", "merge"):
            self._reshard()
            return
        if fault.kind == "pause":
            self._pause(slot)
        elif fault.kind in ON_NETWORK:
            self._trouble()
        elif fault.kind == "lose-delete":
            self._lose_deletes(slot)
        else:
            self._disturb(slot)
        game.world.after(fault.for_s, self.heal)

    def heal(self) -> None:
        if self._begun and not self._healed:
            self._undo()
            if self._told:
                self._stop()
        self._healed = True

    # What it writes.

    def _fires(self) -> None:
        """It strikes, now: the first time it is told before anything comes of it."""
        self._struck += 1
        self._game.played.counts.add(f"fault {self._fault.kind}")
        if self._struck == 1 and self._fault.told:
            self._told = True
            self._write("start", {})

    def _stop(self) -> None:
        self._told = False
        self._write("stop", {"fired": self._struck})

    def _write(self, phase: Any, params: Mapping[str, Any]) -> None:
        if self._game.conductor.alive:
            self._game.writer.write(
                events.fault(
                    fault=self._fault.kind, instance=self._instance, phase=phase, targets=self._targets, params=params
                )
            )

    # What it breaks.

    def _kill(self, slot: _Slot) -> None:
        game, fault, process = self._game, self._fault, slot.process
        if process is None or slot.worker is None or slot.writer is None:
            return
        self._targets = [process.name]
        incarnation = slot.incarnations

        def replaced() -> None:
            polls = slot.incarnations > incarnation and slot.worker is not None
            if polls or game.stopping:
                self.heal()
            elif not self._healed:
                game.world.after(_LOOK_AGAIN_S, replaced)

        if fault.kind == "kill":
            self._fires()
            game.kill(process, noticed=fault.noticed)
        elif fault.kind == "term":
            self._fires()
            process.paused = False
            process.call_soon(slot.worker.stop)
        else:

            def tear(length: int) -> int:
                self._fires()
                if fault.noticed:
                    game.broker.forget(process)
                return game.world.dice.randint(0, length)

            slot.writer.tear = tear
        game.world.after(_LOOK_AGAIN_S, replaced)

    def _pause(self, slot: _Slot) -> None:
        process = slot.process
        if process is None or process.paused or slot.worker is None:
            self._healed = True
            return
        self._targets = [process.name]
        self._fires()
        process.paused = True
        game, since_ns = self._game, self._game.world.now_ns

        def resume() -> None:
            process.paused = False
            game.played.pauses.append((process.name, since_ns, game.world.now_ns))

        self._undo = resume

    def _trouble(self) -> None:
        fault = self._fault
        part = fault.part or "send"
        load = part == "send"
        names = _OPERATIONS.get(part)

        def what(operation: str) -> bool:
            return operation in names if names is not None else operation.startswith(f"{part}.")

        trouble = Trouble(
            fate=fault.kind,  # type: ignore[arg-type]
            share=fault.share,
            whom=lambda who: who.startswith("load") if load else who != "conductor" and not who.startswith("load"),
            what=what,
            late_s=fault.seconds,
            slow=fault.slow,
            strikes=self._fires,
        )
        self._stand(trouble)

    def _lose_deletes(self, slot: _Slot) -> None:
        self._targets = [slot.process.name] if slot.process else [slot.name]
        self._stand(
            Trouble(
                fate="lose-entries",
                share=self._fault.share,
                whom=lambda who: who.rpartition(".")[0] == slot.name,
                what=lambda operation: operation == "DeleteMessageBatch",
                strikes=self._fires,
            )
        )

    def _stand(self, trouble: Trouble) -> None:
        troubles = self._game.network.troubles
        troubles.append(trouble)
        self._undo = lambda: troubles.remove(trouble)

    def _disturb(self, slot: _Slot) -> None:
        disturbance = self._disturbance()
        slot.armed[self._instance] = disturbance
        self._targets = [slot.process.name] if slot.process else [slot.name]
        if slot.worker is not None:
            slot.worker.tools.disturbances.arm(disturbance)

        def undo() -> None:
            slot.armed.pop(self._instance, None)
            if slot.worker is not None:
                slot.worker.tools.disturbances.disarm(self._instance)

        self._undo = undo

    def _disturbance(self) -> Disturbance:
        fault = self._fault
        return Disturbance(
            kind=fault.kind,
            instance=self._instance,
            seed=self._game.plan.seed,
            share=fault.share,
            nth=fault.nth,
            seconds=fault.seconds or 0.0,
            point=fault.point,
        )

    def _reshard(self) -> None:
        game = self._game
        addresses = Addresses(send_to=f"gameday-{game.context.id}")
        stream: Any = game.context.transport.subscription(addresses, "orders")
        self._targets = ["stream"]
        action: Any = self._fault.kind
        try:
            run_plan(stream.reshard(action), game.broker.carry)
        except CallFailed:
            # One shard cannot be merged.
            self._healed = True
            return
        self._fires()
        self.heal()


async def _until_drained(worker: BaseWorker, drain_timeout_s: float) -> bool:
    """As gameday/consumers/__main__.py does it: whether the drain came to its end in time."""
    work = asyncio.get_running_loop().create_task(worker.run())
    stopped = asyncio.get_running_loop().create_task(worker.stopped())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    done, _ = await asyncio.wait({work}, timeout=drain_timeout_s)
    if done:
        work.result()
        return True
    work.cancel()
    await asyncio.wait({work})
    return False
