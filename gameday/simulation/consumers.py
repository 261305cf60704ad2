"""The consumers of a simulated run, as a fleet starts, breaks and stops them, and the load as a fault breaks it.

Signals, commands and reports mean what they mean between real processes: what is told to one that is stopped it hears
when it goes on, and one that was killed says nothing more. On the wire before them stand those faults that the
simulated network can do (`ON_WIRE`).
"""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.serving import carry_out, run_until_drained
from gameday.consumers.starters import Incarnation, Starter
from gameday.consumers.work import BaseWorker
from gameday.processes import control
from gameday.processes.child import Report, Reports, end
from gameday.processes.disturbances import Disturbance, Disturbances
from gameday.simulation.kernel import Process
from gameday.simulation.network import ON_WIRE
from gameday.simulation.stage import ProcessDisturbances, Stage

# How long a process takes until it does its work.
_START_S = (0.05, 0.2)
_DIED = -signal.SIGKILL


class Wired:
    """What is armed and disarmed on the wire before somebody, and what it reports."""

    def __init__(self, stage: Stage, *whom: str, wire: str) -> None:
        """`whom`: before whom it stands; those behind one `wire` share its limits."""
        self.on_report: Callable[[Report], None] | None = None
        self._reports = Reports()
        self._stage = stage
        self._wire = Disturbances(lambda instance: self.hear("fired", instance=instance), stage.buckets[wire])
        stage.network.wires |= dict.fromkeys(whom, self._wire)

    async def command(self, do: str, **fields: Any) -> None:
        if do == "arm":
            disturbance = Disturbance(**fields["disturbance"])
            assert disturbance.kind in ON_WIRE, f"the simulated network cannot do {disturbance.kind}"
            self._wire.arm(disturbance)
            self.hear("armed", instance=disturbance.instance)
        else:
            instance = fields["instance"]
            self.hear("disarmed", instance=instance, fired=self._wire.disarm(instance))

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        return await self._reports.take(kind, timeout_s=timeout_s, **match)

    def hear(self, kind: str, **fields: object) -> None:
        """It is the conductor's from now on."""
        told = {"report": kind, **fields}

        def take() -> None:
            if self.on_report is not None:
                self.on_report(told)
            asyncio.get_running_loop().create_task(self._reports.add(told))

        self._stage.conductor.call_soon(take)


class SimulatedConsumer(Wired):
    """An incarnation."""

    def __init__(self, stage: Stage, config: ConsumerConfig, process: Process, armed: Sequence[Disturbance]) -> None:
        super().__init__(stage, process.name, wire=config.subscription)
        self.name = process.name
        self.log = Path()
        self._config = config
        self._process = process
        self._disturbances = ProcessDisturbances(process)
        self._worker: BaseWorker | None = None
        # What was told to it before it does its work.
        self._waiting: list[Callable[[BaseWorker], None]] = []
        self._ended: asyncio.Future[int] = stage.conductor.create_future()
        for disturbance in armed:
            (self._wire if disturbance.on_wire else self._disturbances).arm(disturbance)
        process.reported = lambda kind, fields: self.hear(kind, **fields)
        process.when_gone.append(lambda: self._end(_DIED))
        process.begin(self._serve())

    @property
    def pid(self) -> int:
        return 0

    @property
    def alive(self) -> bool:
        return not self._ended.done() and self._process.alive

    @property
    def stopped(self) -> bool:
        return self.alive and self._process.paused

    def signal(self, number: signal.Signals) -> None:
        if not self.alive:
            return
        match number:
            case signal.SIGKILL:
                self._process.die()
            case signal.SIGSTOP:
                self._process.paused = True
            case signal.SIGCONT:
                self._process.paused = False
            case _:
                self._tell(lambda worker: worker.stop())

    async def command(self, do: str, **fields: Any) -> None:
        disturbance = fields.get("disturbance")
        on_wire = disturbance["on_wire"] if disturbance else fields.get("instance") in self._wire.fired
        if on_wire:
            await super().command(do, **fields)
        elif self.alive:
            self._tell(lambda worker: carry_out({"do": do, **fields}, worker))

    def _tell(self, obey: Callable[[BaseWorker], None]) -> None:
        def hear() -> None:
            if self._worker is None:
                self._waiting.append(obey)
            else:
                obey(self._worker)

        self._process.call_soon(hear)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def end(self, *, timeout_s: float) -> int:
        return await end(self, timeout_s=timeout_s)

    def sweep(self) -> None:
        """It leaves nothing behind."""

    def last_words(self) -> str:
        return "it said nothing"

    async def _serve(self) -> None:
        """As gameday/consumers/__main__.py does it."""
        stage, process = self._stage, self._process
        await asyncio.sleep(stage.world.dice.uniform(*_START_S))
        writer = stage.writer_of(process, process.name)
        worker = self._worker = stage.worker(self._config, process, writer, self._disturbances)
        for obey in self._waiting:
            obey(worker)
        control.report("ready")
        code = 0
        try:
            if not await run_until_drained(worker, self._config.drain_timeout_s):
                code = 1
        except Exception:
            stage.failures.append(f"{process.name} died of itself: {traceback.format_exc()}")
            code = 70
        process.must_live()
        writer.close()
        process.when_gone.clear()
        process.die()
        self._end(code)

    def _end(self, code: int) -> None:
        stage = self._stage
        stage.broker.forget(self._process)
        stage.network.wires.pop(self.name, None)

        async def tell() -> None:
            if not self._ended.done():
                self._ended.set_result(code)
            await self._reports.end()

        if stage.conductor.alive:
            stage.conductor.call_soon(lambda: stage.conductor.create_task(tell()))


class Simulated(Starter):
    """Starts the consumers of a subscription."""

    records = True

    def __init__(self, stage: Stage, config: ConsumerConfig) -> None:
        self.subscription = config.subscription
        self._stage = stage
        self._config = config

    def prepare(self) -> None:
        """Each is told with its start."""

    async def start(self, name: str, armed: Sequence[Disturbance]) -> Incarnation:
        return SimulatedConsumer(self._stage, self._config, self._stage.process(name), armed)
