"""A process that answers like a consumer and does nothing else: it always says that it holds a message.

Run without arguments it is the dummy. Run with a run directory it is a conductor that pauses such a dummy for an hour,
so that a test can end the conductor and see what becomes of the dummy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from gameday.chaos.fault_targets import FaultTargets
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, plan
from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.processes.child import Child, Report
from gameday.processes.control import continue_when_orphaned, report
from gameday.processes.disturbances import Disturbance

DEADLINE_S = 20.0


class DummyMember:
    """A consumer with a real process; whoever dies is replaced at once."""

    def __init__(self, slot: str, run: Path) -> None:
        self.slot = slot
        self._run = run
        self._incarnation = 0
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._replaced = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def name(self) -> str:
        return f"{self.slot}.{self._incarnation}"

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child.alive else None

    @property
    def alive(self) -> bool:
        return self.child.alive

    @property
    def stopped(self) -> bool:
        return self.child.alive and self.child.stopped

    def signal(self, number: signal.Signals) -> None:
        self.child.signal(number)

    async def command(self, do: str, **fields: object) -> None:
        await self.child.command(do, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        return await self.child.report(kind, timeout_s=timeout_s, **match)

    async def ready_after(self, name: str, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self.name == name:
                    await self._replaced.wait()
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    async def start(self) -> None:
        self._ready.clear()
        self._incarnation += 1
        self._replaced.set()
        self._replaced = asyncio.Event()
        # It imports from tests/, as this process does.
        env = {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._child = await Child.start(name=self.name, argv=[sys.executable, __file__], run=self._run, env=env)
        assert await self._child.report("ready", timeout_s=DEADLINE_S), self._child.last_words()
        self._ready.set()
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        await self.child.wait()
        await self.start()

    async def end(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self.child.end(timeout_s=DEADLINE_S)


class DummyFleet:
    def __init__(self, size: int, run: Path) -> None:
        self.members = [DummyMember(f"orders-{n}", run) for n in range(1, size + 1)]

    async def arm(self, disturbance: Disturbance, slots: Sequence[str]) -> None:
        raise AssertionError("a dummy takes no orders")

    async def disarm(self, instance: str) -> dict[str, int]:
        raise AssertionError("a dummy takes no orders")

    def vacate(self, instance: str, slots: Sequence[str]) -> None:
        raise AssertionError("a dummy keeps its place")

    def fill(self, instance: str) -> None:
        raise AssertionError("a dummy keeps its place")

    async def __aenter__(self) -> DummyFleet:
        for member in self.members:
            await member.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for member in self.members:
            await member.end()


def runner(fleet: DummyFleet, run: Path, entry: dict[str, object]) -> tuple[Runner, int]:
    """A runner of one fault, and the moment to start it: now."""
    (run / "history").mkdir(exist_ok=True)
    writer = Writer(run=run, name="conductor", clock=Clock.start())
    fault = FAULTS[str(entry["fault"])].model_validate({"at": 0.0, **entry})
    strikes = plan([fault], duration_s=7200, consumers={"orders": len(fleet.members)}, seed=1)
    # None of these faults touches the load, so there is none.
    targets = FaultTargets(
        fleets={"orders": fleet}, visibility_timeout_s={"orders": 1.0}, load=fleet.members[0], writer=writer, seed=1
    )
    return Runner(strikes, targets=targets), writer.clock.now_ns()


async def conduct(run: Path) -> None:
    """Pause a dummy for an hour, unless a signal ends it before."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    async with DummyFleet(1, run) as fleet:
        report("pid", pid=fleet.members[0].pid)
        loop.add_signal_handler(signal.SIGINT, me.cancel)
        loop.add_signal_handler(signal.SIGTERM, me.cancel)
        chaos, start_ns = runner(fleet, run, {"fault": "pause-consumer", "for": 3600.0})
        try:
            await chaos.run(start_ns=start_ns)
        finally:
            # Before anything ends the dummy: is it awake?
            report("healed")
            for line in iter(sys.stdin.readline, "go on\n"):
                assert line


def dummy() -> None:
    continue_when_orphaned()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    report("ready")
    for line in sys.stdin:
        if orjson.loads(line)["do"] == "tell-when-holding":
            report("holding", messages=1)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        asyncio.run(conduct(Path(sys.argv[1])))
    else:
        dummy()
