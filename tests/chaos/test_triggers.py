"""Strikes that wait for a number, for another fault or for a call, and what ends chaos before its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.conditions import Condition
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, plan
from tests.chaos.chaos_fakes import World, until

BACKLOG = {"measure": "backlog", "above": True, "bound": 500.0}
PAUSE: dict[str, Any] = {"fault": "pause-consumer", "for": 1000.0}


class Gauge:
    """Whoever asks is told when the test says so."""

    def __init__(self) -> None:
        self.come = asyncio.Event()
        self.asked: list[str] = []
        self.highest: float | None = None

    async def met(self, condition: Condition) -> float:
        self.asked.append(str(condition))
        await self.come.wait()
        return condition.bound + 1

    def extreme(self, condition: Condition) -> float | None:
        return self.highest


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.writer.close()


def runner(world: World, *entries: dict[str, Any], gauge: Gauge | None = None, **options: Any) -> Runner:
    faults = [FAULTS[entry["fault"]].model_validate(entry) for entry in entries]
    strikes = plan(faults, duration_s=60.0, consumers={"orders": len(world.fleet.members)}, seed=7)
    return Runner(strikes, targets=world.targets, instruments=gauge, **options)


def test_it_waits_for_its_number(world: World) -> None:
    async def played() -> None:
        gauge = Gauge()
        chaos = runner(world, {"fault": "kill-consumer", "when": {"condition": BACKLOG}}, gauge=gauge)
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: gauge.asked == ["backlog > 500"])
        assert world.faults == []
        gauge.come.set()
        (result,) = await running
        assert (result.fired, result.error) == (1, None)

    asyncio.run(played())
    assert [record["phase"] for record in world.faults] == ["start", "stop"]
    assert world.faults[0]["params"]["when"] == "backlog > 500"


@pytest.mark.parametrize(
    ("until_s", "says"),
    [
        (0.02, "backlog > 500 had not come by `until`, 0.02 s (the highest was 312)"),
        (None, "the load ended before backlog > 500 (the highest was 312)"),
    ],
)
def test_a_number_that_never_comes_is_a_fault_that_never_struck(world: World, until_s: float | None, says: str) -> None:
    async def played() -> None:
        gauge = Gauge()
        gauge.highest = 312.0
        entry = {"fault": "kill-consumer", "when": {"condition": BACKLOG}, "until": until_s}
        chaos = runner(world, entry, gauge=gauge)
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: bool(gauge.asked))
        if until_s is None:
            chaos.heal_all()
        (result,) = await running
        assert (result.fired, result.error) == (0, says)

    asyncio.run(played())
    # So that the run cannot hold: it proves nothing about what it was to break.
    assert [(record["phase"], record["params"].get("fired")) for record in world.faults] == [
        ("start", None),
        ("stop", 0),
    ]


def test_it_follows_another_fault(world: World) -> None:
    async def played() -> None:
        second = {"fault": "kill-consumer", "when": {"fault": "lose-delete-1", "phase": "stop", "after_s": 0.01}}
        chaos = runner(world, {"fault": "lose-delete", "at": 0.0, "share": 0.5}, second)
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: chaos.at_work == ["lose-delete-1"])
        chaos.heal("lose-delete-1")
        await running

    asyncio.run(played())
    told = [(record["instance"], record["phase"]) for record in world.faults]
    assert told == [(name, phase) for name in ("lose-delete-1", "kill-consumer-1") for phase in ("start", "stop")]
    assert world.faults[2]["params"]["when"] == "0.01 s after the stop of lose-delete-1"


def test_a_fault_that_never_struck_starts_no_other(world: World) -> None:
    async def played() -> None:
        for member in world.fleet.members:
            member.alive = False
        chaos = runner(
            world,
            {"fault": "kill-consumer", "at": 0.0},
            {"fault": "lose-delete", "share": 0.5, "when": {"fault": "kill-consumer"}},
        )
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: len(world.faults) == 2)
        chaos.heal_all()
        _, second = await running
        assert second.error == "the load ended before the start of kill-consumer"

    asyncio.run(played())


def test_it_waits_for_a_call_of_any_consumer(world: World) -> None:
    async def played() -> None:
        chaos = runner(world, {"fault": "kill-consumer", "when": {"call": "ReceiveMessage", "nth": 9}})
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: bool(world.fleet.armed))
        ((watch, slots),) = world.fleet.armed.values()
        assert (watch.kind, watch.operations, watch.nth, watch.on_wire) == ("watch-call", ["ReceiveMessage"], 9, True)
        assert slots == [member.slot for member in world.fleet.members]
        assert world.faults == []
        world.fleet.members[1].reports.append({"report": "fired", "instance": watch.instance})
        (result,) = await running
        assert result.fired == 1

    asyncio.run(played())
    assert not world.fleet.armed


def test_no_strike_lasts_longer_than_its_box(world: World) -> None:
    async def played() -> None:
        chaos = runner(world, {"fault": "lose-delete", "at": 0.0, "share": 0.5}, each_s=0.02)
        (result,) = await asyncio.wait_for(chaos.run(start_ns=world.writer.clock.now_ns()), 10)
        assert result.fired == 3

    asyncio.run(played())
    assert [record["phase"] for record in world.faults] == ["start", "stop"]


@pytest.mark.parametrize("steady", [True, False])
def test_nothing_strikes_before_the_steady_state_held(world: World, steady: bool) -> None:
    async def played() -> None:
        chaos = runner(world, {"fault": "kill-consumer", "at": 0.0}, steady=False)
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        # It has had every chance to strike.
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.faults == [] and world.did == []
        if steady:
            chaos.may_begin()
        else:
            chaos.heal_all("chaos was ended (the steady state did not hold)")
        (result,) = await running
        told = None if steady else "chaos was ended (the steady state did not hold) before its moment, 0 s"
        assert (result.fired, result.error) == (int(steady), told)

    asyncio.run(played())


def test_what_ended_chaos_first_is_what_is_told(world: World) -> None:
    async def played() -> None:
        chaos = runner(world, {"fault": "kill-consumer", "at": 50.0})
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await asyncio.sleep(0)
        chaos.heal_all("chaos was ended (backlog > 500: it is 501)")
        assert chaos.ended
        chaos.heal_all()
        (result,) = await running
        assert result.error == "chaos was ended (backlog > 500: it is 501) before its moment, 50 s"

    asyncio.run(played())
