"""Strikes by hand: an operator begins a fault of the scenario and ends it; it is recorded like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.chaos.base import Fault, PlannedStrike, TimelineError
from gameday.chaos.fault_targets import NotInjected
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, StrikeResult, by_hand
from tests.chaos.chaos_fakes import World, until

PAUSE = {"fault": "pause-consumer", "at": 50.0, "for": 1000.0}
KILL = {"fault": "kill-consumer", "at": 50.0}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.writer.close()


def entries(*written: dict[str, object]) -> list[Fault]:
    return [FAULTS[str(entry["fault"])].model_validate(entry) for entry in written]


def now(number: int, *, nth: int = 1) -> PlannedStrike:
    return by_hand(entries(PAUSE, KILL), number, nth=nth, at_s=3.0, consumers={"orders": 3}, seed=7)


async def played(world: World, *, heal: bool) -> list[StrikeResult]:
    """A lost delete is begun by hand, and ended by hand or with the load."""
    runner = Runner([], targets=world.targets, by_hand=True)
    running = asyncio.create_task(runner.run(start_ns=world.writer.clock.now_ns()))
    await asyncio.sleep(0)
    (fault,) = entries({"fault": "lose-delete", "share": 0.5, "at": 50.0})
    planned = by_hand([fault], 0, nth=1, at_s=0.0, consumers={"orders": 3}, seed=7)
    runner.begin(planned)
    await until(lambda: world.breaks == 1)
    assert runner.at_work == ["lose-delete-by-hand-1.1"]
    assert [record["phase"] for record in world.faults] == ["start"]
    if heal:
        runner.heal("lose-delete-by-hand-1.1")
        await until(lambda: not runner.at_work)
        assert not running.done()
    runner.heal_all()
    return await running


@pytest.mark.parametrize("heal", [True, False])
def test_it_is_recorded_like_any_other(world: World, heal: bool) -> None:
    (result,) = asyncio.run(played(world, heal=heal))
    assert (result.error, result.fired) == (None, 3)
    start, stop = world.faults
    assert (start["phase"], stop["phase"]) == ("start", "stop")
    assert start["instance"] == stop["instance"] == "lose-delete-by-hand-1.1"
    assert start["params"]["by"] == stop["params"]["by"] == "operator"
    assert stop["params"]["fired"] == 3


def test_whom_it_strikes_is_told_by_the_seed() -> None:
    assert now(1) == now(1)
    assert {now(1, nth=nth).places for nth in range(1, 20)} == {(("orders", n),) for n in range(3)}


def test_what_cannot_be_carried_out_is_an_error() -> None:
    with pytest.raises(TimelineError, match="picks 5 consumers, but there are 3"):
        by_hand(entries({**KILL, "pick": 5}), 0, nth=1, at_s=0.0, consumers={"orders": 3}, seed=7)


def test_when_the_load_is_over_nothing_more_is_broken(world: World) -> None:
    async def play() -> None:
        runner = Runner([], targets=world.targets, by_hand=True)
        planned = by_hand(entries(KILL), 0, nth=1, at_s=0.0, consumers={"orders": 3}, seed=7)
        with pytest.raises(NotInjected, match="the load does not run"):
            runner.begin(planned)
        running = asyncio.create_task(runner.run(start_ns=world.writer.clock.now_ns()))
        await asyncio.sleep(0)
        runner.heal_all()
        assert await running == []
        with pytest.raises(NotInjected, match="the load does not run"):
            runner.begin(planned)
        with pytest.raises(NotInjected, match="kill-consumer-1 is not at work"):
            runner.heal("kill-consumer-1")

    asyncio.run(play())
    assert world.faults == []


def test_a_planned_strike_that_is_at_work_can_be_ended(world: World) -> None:
    async def play() -> StrikeResult:
        runner = world.runner({"fault": "lose-delete", "share": 0.5, "at": 0.0, "for": 50.0})
        running = asyncio.create_task(runner.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: world.breaks == 1)
        runner.heal("lose-delete-1")
        (result,) = await running
        return result

    result = asyncio.run(asyncio.wait_for(play(), 10))
    assert (result.error, result.fired) == (None, 3)
