"""A store between which and its consumer a fault stands: what is refused changed nothing, what is slow is done late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gameday.consumers.disturbed_store import DisturbedStore
from gameday.consumers.effects import Key
from gameday.processes.disturbances import Disturbance, Disturbances
from gameday.transports.base import CallFailed
from tests.consumers.scripted import DictStore

KEY = Key("orders", "a")
Step = Callable[[DisturbedStore], Awaitable[object]]

READS: list[Step] = [lambda store: store.seen(KEY)]
WRITES: list[Step] = [
    lambda store: store.claim(KEY),
    lambda store: store.begin(KEY, now_ns=0, expires_ns=1),
    lambda store: store.finish(KEY),
    lambda store: store.forget(KEY),
    lambda store: store.apply(KEY),
    lambda store: store.claim_and_apply(KEY),
]


class Counted(DictStore):
    """Counts the steps that have reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = 0

    async def _step(self) -> None:
        self.reached += 1


def disturbed(*armed: Disturbance) -> tuple[Counted, Disturbances, DisturbedStore]:
    disturbances = Disturbances(report_first=lambda instance: None)
    for disturbance in armed:
        disturbances.arm(disturbance)
    store = Counted()
    return store, disturbances, DisturbedStore(store, disturbances, name="orders-1.1", on_disk=True)


@pytest.mark.parametrize("step", [*READS, *WRITES])
def test_a_store_that_is_down_refuses_each_step_and_changes_nothing(step: Step) -> None:
    store, disturbances, seen = disturbed(Disturbance(kind="store-down", instance="d"))
    with pytest.raises(CallFailed) as refused:
        asyncio.run(_awaited(step(seen)))
    assert refused.value.definite and store.reached == 0 and disturbances.fired == {"d": 1}
    disturbances.disarm("d")
    asyncio.run(_awaited(step(seen)))
    assert store.reached == 1 and disturbances.fired == {"d": 1}


def test_of_a_store_that_is_down_in_part_each_step_is_struck_anew() -> None:
    _, disturbances, seen = disturbed(Disturbance(kind="store-down", instance="d", share=0.5))

    async def ask() -> int:
        refused = 0
        for _ in range(200):
            try:
                await seen.seen(KEY)
            except CallFailed:
                refused += 1
        return refused

    refused = asyncio.run(ask())
    assert 60 < refused < 140 and disturbances.fired == {"d": refused}


@pytest.mark.parametrize("step", WRITES)
def test_a_slow_write_is_done_at_its_end(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    store, disturbances, seen = disturbed(Disturbance(kind="slow-store", instance="s", seconds=7.0))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        assert store.reached == 0, "nothing is written yet"
        slept.append(seconds)

    monkeypatch.setattr("gameday.consumers.disturbed_store.asyncio.sleep", sleep)
    asyncio.run(_awaited(step(seen)))
    assert slept == [7.0] and store.reached == 1 and disturbances.fired == {"s": 1}


@pytest.mark.parametrize("step", WRITES)
def test_on_a_full_disk_nothing_is_written(step: Step) -> None:
    store, disturbances, seen = disturbed(Disturbance(kind="full-disk", instance="f"))
    with pytest.raises(CallFailed) as refused:
        asyncio.run(_awaited(step(seen)))
    assert refused.value.definite and store.reached == 0 and disturbances.fired == {"f": 1}
    elsewhere = DisturbedStore(store, disturbances, name="orders-1.1")
    asyncio.run(_awaited(step(elsewhere)))
    assert store.reached == 1 and disturbances.fired == {"f": 1}, "its store is on no disk of the consumer's"


@pytest.mark.parametrize("step", READS)
def test_a_read_is_as_quick_as_ever(step: Step) -> None:
    _, disturbances, seen = disturbed(Disturbance(kind="slow-store", instance="s", seconds=60.0))
    asyncio.run(_awaited(step(seen)))
    assert disturbances.fired == {"s": 0}


async def _awaited(step: Awaitable[object]) -> None:
    await step
