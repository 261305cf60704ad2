"""Consumers and a load that only remember what was done to them, and the fault records that stood when it was done."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gameday.chaos.fault_targets import FaultTargets
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, StrikeResult, plan
from gameday.history.clock import Clock
from gameday.history.events import SendResult, Steering
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbance
from gameday.transports.base import CallFailed, ExecutionSeen, ReshardAction, Resharding
from gameday.transports.experiments import Experiment, State
from gameday.transports.queue_policy import Action
from tests.recorded import recorded


class FakeConsumer:
    """A consumer whose process dies of SIGKILL and SIGTERM and is replaced at once, unless `replaces` is False."""

    def __init__(self, fleet: FakeFleet, slot: str) -> None:
        self.fleet, self.slot = fleet, slot
        self.incarnation = 1
        self.alive = True
        self.holds = True
        self.replaces = True
        self.deaf = False
        self.dies_when_asked = False
        self.dies_when_stopped = False
        self.reports: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return f"{self.slot}.{self.incarnation}"

    @property
    def pid(self) -> int | None:
        # Of no process that exists: Linux's largest pid is 2**22.
        return 2**23 + int(self.slot[-1]) if self.alive else None

    @property
    def stopped(self) -> bool:
        """From its SIGSTOP to its SIGCONT."""
        signals = [what for who, what, _ in self.fleet.did if who == self.name and what in ("SIGSTOP", "SIGCONT")]
        return self.alive and signals[-1:] == ["SIGSTOP"]

    def signal(self, number: signal.Signals) -> None:
        self.fleet.note(self.name, number.name)
        if number is signal.SIGSTOP and self.dies_when_stopped:
            self.dies_when_stopped = False
            self.die()
        elif number in (signal.SIGKILL, signal.SIGTERM) and not self.deaf:
            self.die()

    def die(self) -> None:
        if self.replaces:
            self.incarnation += 1
        else:
            self.alive = False

    async def command(self, do: str, **fields: object) -> None:
        if do == "tell-when-holding" and self.dies_when_asked:
            self.dies_when_asked = False
            self.die()
        elif do == "tell-when-holding" and self.holds:
            self.reports.append({"report": "holding", "messages": 1})

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> dict[str, Any] | None:
        for report in self.reports:
            if report["report"] == kind and all(report.get(k) == v for k, v in match.items()):
                self.reports.remove(report)
                return report
        await asyncio.sleep(min(timeout_s, 0.05))
        return None

    async def ready_after(self, name: str, timeout_s: float) -> bool:
        self.fleet.note(name, "replaced")
        return self.alive and self.name != name


class FakeFleet:
    def __init__(self, size: int, history: Path) -> None:
        self.history = history
        self.members = [FakeConsumer(self, f"orders-{n}") for n in range(1, size + 1)]
        self.did: list[tuple[str, str, list[str]]] = []
        self.armed: dict[str, tuple[Disturbance, list[str]]] = {}
        self.vacant: set[str] = set()
        self.ever_armed: list[tuple[Disturbance, list[str]]] = []
        self.fires = 3
        self.broken: Exception | None = None

    def note(self, who: str, what: str) -> None:
        """Remember it with the phases of the fault records written so far."""
        self.did.append((who, what, [record["phase"] for record in recorded(self.history, "fault")]))

    async def arm(self, disturbance: Disturbance, slots: Sequence[str]) -> None:
        self.note(disturbance.instance, "arm")
        self.armed[disturbance.instance] = (disturbance, list(slots))
        self.ever_armed.append((disturbance, list(slots)))
        if self.broken:
            raise self.broken

    async def disarm(self, instance: str) -> dict[str, int]:
        self.note(instance, "disarm")
        await asyncio.sleep(0)
        armed = self.armed.pop(instance, None)
        return {member.name: self.fires for member in self.members if armed and member.slot == armed[1][0]}

    def vacate(self, instance: str, slots: Sequence[str]) -> None:
        self.note(instance, "vacate")
        self.vacant.add(instance)

    def fill(self, instance: str) -> None:
        self.note(instance, "fill")
        self.vacant.discard(instance)


class FakeLoad:
    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.answers = True
        # It tells of its first strike, and then no more.
        self.silent_end = False
        self.reports: list[dict[str, Any]] = []
        self.armed: list[str] = []
        self.fires = 5

    async def command(self, do: str, **fields: Any) -> None:
        instance = fields["disturbance"]["instance"] if do == "arm" else fields["instance"]
        self.fleet.note(instance, do)
        if self.answers:
            if do == "arm":
                self.armed.append(instance)
                self.reports.append({"report": "armed", "instance": instance})
                if self.fires:
                    self.reports.append({"report": "fired", "instance": instance})
            elif not self.silent_end:
                fired = self.fires if instance in self.armed else 0
                self.reports.append({"report": "disarmed", "instance": instance, "fired": fired})

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        for report in self.reports:
            if report["report"] == kind and all(report.get(k) == v for k, v in match.items()):
                self.reports.remove(report)
                return report
        return None


class FakeProducer:
    """A load that stops and goes on at once."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.alive = True
        self.deaf = False

    @property
    def stopped(self) -> bool:
        """From its SIGSTOP to its SIGCONT."""
        signals = [what for who, what, _ in self.fleet.did if who == "load" and what.startswith("SIG")]
        return not self.deaf and signals[-1:] == ["SIGSTOP"]

    @property
    def frozen(self) -> bool:
        return self.stopped

    def signal(self, number: signal.Signals) -> None:
        self.fleet.note("load", number.name)


class FakeStream:
    """Splits and merges at once; `refuses` is what a call fails with instead."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.refuses: CallFailed | None = None
        self.result = Resharding(parents=["shard-1"], children=["shard-2", "shard-3"])

    async def reshard(self, action: ReshardAction) -> Resharding:
        self.fleet.note("stream", action)
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses
        return self.result


class FakeQueues:
    """Queues whose policies change at once; `refuses` is what a change fails with instead, `stays` why it cannot be
    undone."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.subscriptions = ["orders", "billing"]
        self.refuses: CallFailed | None = None
        self.stays: str | None = None
        self.denied: dict[str, Sequence[Action]] = {}
        self.ever_denied: list[tuple[str, Sequence[Action]]] = []

    def name(self, subscription: str) -> str:
        return f"the-{subscription}"

    async def deny(self, subscription: str, *, instance: str, actions: Sequence[Action]) -> None:
        self.fleet.note(subscription, "deny")
        self.denied[subscription] = actions
        self.ever_denied.append((subscription, actions))
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses

    async def allow(self, subscription: str, *, instance: str) -> str | None:
        self.fleet.note(subscription, "allow")
        await asyncio.sleep(0)
        if self.stays is None:
            self.denied.pop(subscription, None)
        return self.stays

    async def settle(self) -> None:
        self.fleet.note("queues", "settle")


class FakeExperiments:
    """Experiments that run at once, and until they are stopped."""

    look_every_s = 0.02

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.running: list[str] = []

    async def start(self, experiment: Experiment, *, instance: str) -> State:
        self.fleet.note(experiment.named, "experiment")
        self.running.append(instance)
        return State(id=instance, status="running", ran=True)

    async def look(self, experiment: str) -> State:
        return State(id=experiment, status="running", ran=True)

    async def stop(self, experiment: str) -> State:
        self.fleet.note(experiment, "stopped")
        self.running.remove(experiment)
        return State(id=experiment, status="stopped", ran=True)


class FakeExecutions:
    """They run until they are stopped; `refuses`: what a list of them fails with; `answers`: what comes of a stop."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.left = [ExecutionSeen(arn=f"arn:{n}", name=f"e{n}", status="running", id=f"m{n}") for n in range(10)]
        self.refuses: CallFailed | None = None
        self.answers: SendResult = "ok"
        self.stopped: list[str] = []

    async def running(self) -> list[ExecutionSeen]:
        if self.refuses:
            raise self.refuses
        return list(self.left)

    async def steer(self, execution: ExecutionSeen, action: Steering) -> SendResult:
        self.fleet.note(execution.name, action)
        await asyncio.sleep(0)
        if self.answers == "ok":
            self.left.remove(execution)
            self.stopped.append(execution.arn)
        return self.answers


class World:
    """Targets that are fakes, with a real history. Waits are short: nobody here needs longer than an instant."""

    def __init__(self, run: Path, *, consumers: int = 3) -> None:
        (run / "history").mkdir()
        self.writer = Writer(run=run, name="conductor", clock=Clock.start())
        self.fleet = FakeFleet(consumers, self.writer.path)
        self.load = FakeLoad(self.fleet)
        self.producer = FakeProducer(self.fleet)
        self.stream = FakeStream(self.fleet)
        self.queues = FakeQueues(self.fleet)
        self.experiments = FakeExperiments(self.fleet)
        self.executions = FakeExecutions(self.fleet)
        self.targets = FaultTargets(
            fleets={"orders": self.fleet},
            visibility_timeout_s={"orders": 4.0},
            load=self.load,
            producer=self.producer,
            writer=self.writer,
            seed=7,
            stream=self.stream,
            queues=self.queues,
            experiments=self.experiments,
            executions=self.executions,
            find_s=0.1,
            hold_s=0.1,
            answer_s=0.1,
            recover_s=0.1,
        )

    def runner(self, *entries: dict[str, Any], duration_s: float = 60.0, seed: int = 7) -> Runner:
        faults = [FAULTS[entry["fault"]].model_validate(entry) for entry in entries]
        consumers = {"orders": len(self.fleet.members)}
        return Runner(plan(faults, duration_s=duration_s, consumers=consumers, seed=seed), targets=self.targets)

    async def strike(self, *entries: dict[str, Any], heal: bool = False) -> list[StrikeResult]:
        """Carry out entries that end by themselves; with `heal` they are healed when each has broken something."""
        runner = self.runner(*entries)
        running = asyncio.create_task(runner.run(start_ns=self.writer.clock.now_ns()))
        if heal:
            await until(lambda: running.done() or self.breaks == len(entries))
            runner.heal_all()
        return await running

    @property
    def breaks(self) -> int:
        return len({(who, what) for who, what, _ in self.did if what in ("arm", "SIGSTOP", "vacate")})

    @property
    def did(self) -> list[tuple[str, str, list[str]]]:
        return self.fleet.did

    @property
    def records(self) -> list[dict[str, Any]]:
        return recorded(self.writer.path)

    @property
    def faults(self) -> list[dict[str, Any]]:
        return recorded(self.writer.path, "fault")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
