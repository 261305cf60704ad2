"""Each guard holds or breaks as its documentation says, on every store: after a crash at each of its points, and when
two consumers have the message at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from scripted import DictStore

from consumers.effects import EffectStore, Key
from consumers.guards import GUARDS
from consumers.sqlite import SqliteStore

KEY = Key("orders", "a")


class Crash(BaseException):
    """Stands for the death of the process: nothing after the point happens."""


def crash_at(point: str) -> Callable[[str], None]:
    def step(at: str) -> None:
        if at == point:
            raise Crash

    return step


def carry_on(point: str) -> None: ...


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


@pytest.mark.parametrize("name", GUARDS)
def test_one_delivery_applies_once_and_visits_both_points(name: str, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        points: list[str] = []
        assert await GUARDS[name](store, KEY, points.append) == "applied"
        assert points == ["before-effect", "after-effect"]
        assert await store.read_back("orders") == {"a": 1}

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "outcome", "applied"),
    [
        ("none", "applied", 2),
        ("check-then-act", "skipped", 1),
        ("claim-first", "skipped", 1),
        ("transaction", "skipped", 1),
    ],
)
def test_a_second_delivery(name: str, outcome: str, applied: int, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        points: list[str] = []
        await GUARDS[name](store, KEY, carry_on)
        assert await GUARDS[name](store, KEY, points.append) == outcome
        assert ("after-effect" in points) is (outcome == "applied")
        assert await store.read_back("orders") == {"a": applied}

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "point", "applied"),
    [
        ("none", "before-effect", 1),
        ("none", "after-effect", 2),
        ("check-then-act", "before-effect", 1),
        ("check-then-act", "after-effect", 2),
        ("claim-first", "before-effect", 0),
        ("claim-first", "after-effect", 1),
        ("transaction", "before-effect", 1),
        ("transaction", "after-effect", 1),
    ],
)
def test_a_crash_and_then_the_redelivery(name: str, point: str, applied: int, tmp_path: Path) -> None:
    async def scene(store: EffectStore) -> None:
        with pytest.raises(Crash):
            await GUARDS[name](store, KEY, crash_at(point))
        await GUARDS[name](store, KEY, carry_on)
        assert (await store.read_back("orders")).get("a", 0) == applied

    on_each_store(scene, tmp_path)


@pytest.mark.parametrize(
    ("name", "applied"), [("none", 2), ("check-then-act", 2), ("claim-first", 1), ("transaction", 1)]
)
def test_two_consumers_with_the_message_at_once(name: str, applied: int, tmp_path: Path) -> None:
    """The second begins while the first stands before its effect, and overtakes it."""

    async def scene(store: EffectStore) -> None:
        reached, go = asyncio.Event(), asyncio.Event()

        class Held:
            """The first consumer's store: it waits at the write that applies."""

            seen, claim = store.seen, store.claim

            async def apply(self, key: Key) -> None:
                reached.set()
                await go.wait()
                await store.apply(key)

            async def claim_and_apply(self, key: Key) -> bool:
                reached.set()
                await go.wait()
                return await store.claim_and_apply(key)

        first = asyncio.create_task(GUARDS[name](Held(), KEY, carry_on))
        await reached.wait()
        await GUARDS[name](store, KEY, carry_on)
        go.set()
        await first
        assert await store.read_back("orders") == {"a": applied}

    on_each_store(scene, tmp_path)
