"""Each guard holds or breaks as its documentation says, on every store: after a crash at each of its points and during
the work, after work that failed, and when two consumers have the message at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.disturbed_store import DisturbedStore
from gameday.consumers.effects import EffectStore, Key
from gameday.consumers.guards import GUARDS, InProgress, Job
from gameday.consumers.sqlite import SqliteStore
from gameday.history.clock import NS_PER_S
from gameday.processes.disturbances import Disturbances
from gameday.processes.handler_process import HandlerFailed
from gameday.transports.base import CallFailed
from tests.consumers.scripted import DictStore

KEY = Key("orders", "a")
EXPIRY_S = 10.0


class Crash(BaseException):
    """Stands for the death of the process: nothing after the point happens."""


def crash_at(point: str) -> Callable[[str], None]:
    def step(at: str) -> None:
        if at == point:
            raise Crash

    return step


def carry_on(point: str) -> None: ...


async def no_work() -> None: ...


def job(store: EffectStore, *, at_s: float = 0.0, **fields: Any) -> Job:
    given = {"work": no_work, "step": carry_on, **fields}
    return Job(store=store, key=KEY, now=lambda: round(at_s * NS_PER_S), expiry_s=EXPIRY_S, **given)


def on_each_store(scene: Callable[[EffectStore], Awaitable[None]], path: Path) -> None:
    async def on_sqlite() -> None:
        store = SqliteStore(path / "effects.sqlite")
        await store.create(tags={})
        await store.open()
        try:
            await scene(store)
        finally:
            await store.close()

    asyncio.run(on_sqlite())
    asyncio.run(scene(DictStore()))
    # A fault that is not there changes nothing.
    asyncio.run(scene(DisturbedStore(DictStore(), Disturbances(), name="orders-1.1")))


@pytest.mark.parametrize("name", GUARDS)
def test_one_delivery_works_applies_once_and_visits_both_points(name: str, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        points: list[str] = []

        async def work() -> None:
            assert await store.read_back("orders") == {}
            points.append("work")

        assert await GUARDS[name](job(store, work=work, step=points.append)) == "applied"
        assert points == ["work", "before-effect", "after-effect"]
        assert await store.read_back("orders") == {"a": 1}

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "outcome", "applied", "works"),
    [
        ("none", "applied", 2, True),
        ("check-then-act", "skipped", 1, False),
        ("claim-first", "skipped", 1, False),
        ("in-progress", "skipped", 1, False),
        # It learns only in its write that there was nothing to do.
        ("transaction", "skipped", 1, True),
    ],
)
def test_a_second_delivery(name: str, outcome: str, applied: int, works: bool, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        points: list[str] = []

        async def work() -> None:
            points.append("work")

        await GUARDS[name](job(store))
        assert await GUARDS[name](job(store, work=work, step=points.append)) == outcome
        assert ("after-effect" in points) is (outcome == "applied")
        assert ("work" in points) is works
        assert await store.read_back("orders") == {"a": applied}

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "point", "applied"),
    [
        ("none", "work", 1),
        ("none", "before-effect", 1),
        ("none", "after-effect", 2),
        ("check-then-act", "work", 1),
        ("check-then-act", "before-effect", 1),
        ("check-then-act", "after-effect", 2),
        ("claim-first", "work", 0),
        ("claim-first", "before-effect", 0),
        ("claim-first", "after-effect", 1),
        # The redelivery comes after its mark has expired.
        ("in-progress", "work", 1),
        ("in-progress", "before-effect", 1),
        ("in-progress", "after-effect", 2),
        ("transaction", "work", 1),
        ("transaction", "before-effect", 1),
        ("transaction", "after-effect", 1),
    ],
)
def test_a_crash_and_then_the_redelivery(name: str, point: str, applied: int, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        async def work() -> None:
            crash_at(point)("work")

        with pytest.raises(Crash):
            await GUARDS[name](job(store, work=work, step=crash_at(point)))
        await GUARDS[name](job(store, at_s=EXPIRY_S))
        assert (await store.read_back("orders")).get("a", 0) == applied

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "applied"),
    [("none", 1), ("check-then-act", 1), ("claim-first", 0), ("in-progress", 1), ("transaction", 1)],
)
def test_work_that_fails_and_then_its_retry_at_once(name: str, applied: int, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        async def work() -> None:
            raise HandlerFailed("not this time")

        points: list[str] = []
        with pytest.raises(HandlerFailed, match="not this time"):
            await GUARDS[name](job(store, work=work, step=points.append))
        assert points == []
        await GUARDS[name](job(store))
        assert (await store.read_back("orders")).get("a", 0) == applied

    on_each_store(scene, tmp_path)


async def overtaken(name: str, store: EffectStore, *, second_s: float = 0.0, held: str) -> None:
    """The second consumer begins while the first is in its work, or stands before its effect, and overtakes it."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    class Held:
        """The first consumer's store: it waits at the write that applies."""

        seen, claim, begin, finish = store.seen, store.claim, store.begin, store.finish

        async def apply(self, key: Key) -> None:
            await wait()
            await store.apply(key)

        async def claim_and_apply(self, key: Key) -> bool:
            await wait()
            return await store.claim_and_apply(key)

    whole = job(store, work=wait) if held == "work" else replace(job(store), store=Held())  # type: ignore[arg-type]
    first = asyncio.create_task(GUARDS[name](whole))
    await reached.wait()
    try:
        await GUARDS[name](job(store, at_s=second_s))
    finally:
        go.set()
        await first


@pytest.mark.parametrize("held", ["work", "effect"])
@pytest.mark.parametrize(
    ("name", "applied"), [("none", 2), ("check-then-act", 2), ("claim-first", 1), ("transaction", 1)]
)
def test_two_consumers_with_the_message_at_once(name: str, applied: int, held: str, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        await overtaken(name, store, held=held)
        assert await store.read_back("orders") == {"a": applied}

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize("held", ["work", "effect"])
def test_what_is_in_progress_is_refused_until_the_mark_expires(held: str, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        with pytest.raises(InProgress):
            await overtaken("in-progress", store, held=held, second_s=EXPIRY_S - 1)
        assert await store.read_back("orders") == {"a": 1}
        assert await GUARDS["in-progress"](job(store, at_s=2 * EXPIRY_S)) == "skipped", "done does not expire"

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize("held", ["work", "effect"])
def test_a_mark_that_expires_during_the_work_lets_two_in(held: str, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        await overtaken("in-progress", store, held=held, second_s=EXPIRY_S)
        assert await store.read_back("orders") == {"a": 2}

    on_each_store(scene, tmp_path)


def test_the_first_error_is_told_where_the_mark_cannot_be_taken_away_either() -> None:
    async def scene() -> None:
        store = DictStore()

        async def work() -> None:
            store.fail = CallFailed("Throttled", "later", definite=True)
            raise HandlerFailed("its own failure")

        with pytest.raises(HandlerFailed, match="its own failure"):
            await GUARDS["in-progress"](job(store, work=work))

    asyncio.run(scene())
