"""Plays a plan: the run as the conductor conducts it, with real parts, on the clock of a simulated world.

What is real and what is simulated, gameday/simulation/stage.py tells; of a plan, faults and hosts are simulated, too.
What the run leaves is a run directory like any other, and beside it what really happened (`Played`), which no history
tells whole.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.serving import run_until_drained
from gameday.consumers.work import BaseWorker
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import GamedayError
from gameday.history.events import Record
from gameday.history.manifest import Manifest
from gameday.loadgen.lanes import Tally
from gameday.processes.disturbances import Disturbance
from gameday.scenario.document import Document
from gameday.scenario.model import Scenario
from gameday.scenario.reading import resolve
from gameday.simulation.kernel import Process, Stuck, WorldClock
from gameday.simulation.network import (
    Effects,
    Strike,
    Trouble,
)
from gameday.simulation.stage import LEAD_S, NOWHERE, ProcessDisturbances, ProcessWriter, Stage, sealed
from gameday.transports.base import Addresses, CallFailed
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from tests.simulation.hosts import SimulatedHost
from tests.simulation.plan import ON_NETWORK, Counts, Fault, Plan

_STEPS_MAX = 100_000
_WITHIN_S = 900.0
_START_S = 0.2
_LOOK_AGAIN_S = 0.05
_OPERATIONS: Mapping[str, Sequence[str]] = {
    "send": ("SendMessageBatch", "PublishBatch", "PutEvents", "PutRecords"),
    "receive": ("ReceiveMessage", "GetRecords", "GetShardIterator", "ListShards"),
    "settle": ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"),
}
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
    with sealed(plan.seed) as said:
        game = _Game(plan, directory)
        try:
            game.play()
        finally:
            game.bury()
    game.played.said = said.getvalue()
    return game.played


class _Writer(ProcessWriter):
    """Writes for one process, which may die in the middle of a write. `tear`: at its next one."""

    def __init__(self, played: Played, process: Process, *, name: str, host: str | None = None) -> None:
        super().__init__(played.directory, process, name=name, host=host)
        self._played = played
        self._batch: Sequence[Record] = ()
        self.tear: Callable[[int], int] | None = None

    def write(self, *records: Record) -> int:
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
        self.process.crash()

    def _note(self, records: Sequence[Record], at: int) -> None:
        told, when = self._played.records, self.process.world.now_ns
        for record in records:
            told.append(Written(len(told), at, when, self.name, self.host, record))


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


class _Game(Stage):
    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.dice = random.Random(f"{plan.seed}:game")
        super().__init__(
            resolve(Document(name=f"seed {plan.seed}", data=dict(plan.scenario), places={})),
            seed=plan.seed,
            directory=directory,
            latency_s=plan.latency_s,
            timeout_s=plan.timeout_s,
            step_ns=plan.step_ns,
            planted=plan.planted,
        )
        # To several hosts the service is on another machine, with a clock of its own.
        seen_from = replace(self.target, endpoint=_ELSEWHERE) if plan.hosts else self.target
        self.manifest = replace(self.manifest, clock_error_ns=plan.clock_error_ns, broker_tick_ns=seen_from.tick_ns)
        self.played = Played(
            plan=plan,
            directory=directory,
            manifest=self.manifest,
            scenario=self.scenario,
            effects=self.effects,
            failures=self.failures,
        )
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
        played, addresses = self.played, self.provide()
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

    def process(self, name: str, host: SimulatedHost | None = None) -> Process:
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
            config = context.consumers(name, endpoint=NOWHERE, addresses=addresses)
            for n in range(1, scenario.consumers.processes + 1):
                self.slots.append(_Slot(f"{name}-{n}", config, self._host(len(self.slots))))
        for slot in self.slots:
            self._start(slot)
        backlog = self.backlog(addresses, writer)
        load_config = context.load(endpoint=NOWHERE, addresses=addresses, topology=self.topology)
        for number, name in enumerate(load_config.writers):
            self._announce(name, self._host(number + 1))
        start_ns = context.clock.now_ns() + round(LEAD_S * NS_PER_S)
        for host in self.hosts:
            host.load_begins(start_ns)
        writer.write(events.mark("load-started", start=start_ns, schedule=scenario.shape.outline()))
        strikes = [self._strike(number, fault) for number, fault in enumerate(self.plan.faults)]
        played.tally = await self.send(load_config, start_ns)
        scheduled = load_config.schedule().total
        writer.write(events.mark("load-stopped", scheduled=scheduled))
        self.over = True
        for strike in strikes:
            strike()
        emptied = await self.empty(backlog, addresses, writer, start_ns=start_ns)
        played.redriven, played.replayed = emptied.redriven, emptied.replayed
        await self._stop_fleet()
        await self._leave()
        played.drained = await self.read(backlog, writer)
        writer.close()

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

    def sending(self, number: int, name: str) -> tuple[Process, ProcessWriter]:
        host = self._host(number + 1)
        process = self.process(name, host)
        return process, self._writer(process, host)

    def _writer(self, process: Process, host: SimulatedHost | None) -> _Writer:
        return _Writer(self.played, process, name=process.name, host=None if host is None else host.name)

    # The consumers.

    def _start(self, slot: _Slot) -> None:
        slot.incarnations += 1
        name = f"{slot.name}.{slot.incarnations}"
        self._announce(name, slot.host)
        process = slot.process = self.process(name, slot.host)
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
        disturbances = ProcessDisturbances(process, lambda point: self.played.counts.add(f"crash {point}"))
        process.reported = lambda kind, fields: self._heard(slot, kind, fields)
        for disturbance in slot.armed.values():
            disturbances.arm(disturbance)
        writer = self._writer(process, slot.host)
        worker = self.worker(slot.config, process, writer, disturbances)
        slot.worker, slot.writer = worker, writer
        if self.stopping:
            worker.stop()
        code = 0
        try:
            if not await run_until_drained(worker, slot.config.drain_timeout_s):
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
        self.world.after(LEAD_S + fault.at_s, strike.begin)
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
                by_entry=True,
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
