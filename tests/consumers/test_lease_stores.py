"""What every lease store must do, step by step: SQLite, DynamoDB (on the broker in memory), and the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.consumers.lease_stores import LEASE_STORES, make_leases
from gameday.consumers.leases import Lease, LeaseStore
from gameday.transports.endpoint import Endpoint
from tests.consumers.scripted import opened
from tests.consumers.streaming import DictLeases
from tests.transports.asked import served

Make = Callable[[], LeaseStore]


@pytest.fixture(params=["dict", "sqlite", pytest.param("dynamodb", marks=pytest.mark.live)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same store anew."""
    if request.param == "dict":
        only = DictLeases()
        return lambda: only
    if request.param == "sqlite":
        return lambda: make_leases({"kind": "sqlite", "path": str(tmp_path / "leases.sqlite")}, Endpoint())
    url = request.getfixturevalue("dynamodb")
    endpoint = Endpoint(urls={"*": url}, access_key="test", secret_key="test")
    return lambda: make_leases({"kind": "dynamodb", "table": f"leases-{tmp_path.name}"}, endpoint)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[str]:
    with served() as url:
        yield url


A = Lease(subscription="orders", shard="shardId-a")
NUMBER = "49590338271490256608559692538361571095921577406475796480"


def test_every_registered_store_is_tried_here() -> None:
    assert set(LEASE_STORES) == {"sqlite", "dynamodb"}


def test_a_row_is_put_once_and_comes_back_whole(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            child = Lease(subscription="orders", shard="shardId-b", parents=("shardId-a", "shardId-z"))
            assert await store.add(A)
            assert await store.add(child)
            assert await store.add(Lease(subscription="audit", shard="shardId-a"))
            assert not await store.add(Lease(subscription="orders", shard="shardId-a", owner="x"))
            assert await store.all("orders") == [A, child]
            assert await store.all("nobody") == []

    asyncio.run(scene())


def test_of_two_who_take_what_they_saw_one_gets_it(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            await store.add(A)
            mine, *others = await asyncio.gather(*(store.take(A, f"c{n}") for n in range(4)))
            got = [lease for lease in (mine, *others) if lease is not None]
            assert len(got) == 1
            assert await store.all("orders") == got
            assert got[0].owner is not None
            assert got[0].token != A.token

    asyncio.run(scene())


def test_a_lease_that_was_renewed_since_it_was_seen_is_not_taken(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            await store.add(A)
            mine = await store.take(A, "x")
            assert mine is not None
            assert await store.renew(mine)
            assert await store.take(mine, "y") is None
            (seen,) = await store.all("orders")
            assert await store.checkpoint(mine, position="1", done=False)
            assert await store.take(seen, "y") is None, "and its position is known to whoever takes it"

    asyncio.run(scene())


def test_a_holder_writes_until_its_token_is_old(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            await store.add(A)
            zombie = await store.take(A, "x")
            assert zombie is not None
            assert await store.checkpoint(zombie, position=NUMBER, done=False)
            assert await store.renew(zombie), "its own checkpoints do not make its token old"
            (seen,) = await store.all("orders")
            assert (seen.position, seen.owner, seen.done) == (NUMBER, "x", False)
            heir = await store.take(seen, "y")
            assert heir is not None
            assert heir.position == NUMBER
            assert not await store.renew(zombie)
            assert not await store.checkpoint(zombie, position="1", done=True)
            assert not await store.release(zombie)
            assert await store.all("orders") == [heir]
            assert await store.checkpoint(heir, position=NUMBER, done=True)
            (last,) = await store.all("orders")
            assert last.done

    asyncio.run(scene())


def test_what_was_given_back_is_nobodys_and_its_token_is_old(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            await store.add(A)
            mine = await store.take(A, "x")
            assert mine is not None
            assert await store.checkpoint(mine, position="7", done=False)
            assert await store.release(mine)
            assert not await store.checkpoint(mine, position="6", done=False), "a late write of the last holder's"
            (free,) = await store.all("orders")
            assert (free.owner, free.position) == (None, "7")
            assert await store.take(free, "y") is not None

    asyncio.run(scene())


def test_two_processes_see_one_store(make: Make) -> None:
    async def scene() -> None:
        async with opened(make()) as store:
            other = make()
            await other.open()
            await store.add(A)
            mine = await other.take((await other.all("orders"))[0], "x")
            assert mine is not None
            assert (await store.all("orders")) == [mine]
            await other.close()

    asyncio.run(scene())
