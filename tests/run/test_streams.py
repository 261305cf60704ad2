"""When a stream counts as drained: on a broker in this process, with leases that a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest

from gameday.consumers.leases import Lease
from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.run.streams import Streams
from gameday.transports.base import Addresses, Depth
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.consumers.streaming import STREAM, World


class Looked:
    """A stream of two shards and the conductor's look at it."""

    def __init__(self, run: Path) -> None:
        self.world = World(run, shards=2, clock=Clock.start())
        self.writer = Writer(run=run, name="conductor", clock=self.world.clock)
        self.streams = Streams(
            sources={"orders": sources.stream(TRANSPORTS["kinesis"], Addresses(send_to=STREAM), "orders")},
            carrier=cast(BotoCarrier, self.world.call),
            writer=self.writer,
            leases=self.world.leases,
        )

    async def left(self) -> int:
        depths = await self.streams.look()
        assert depths == {"orders": Depth(visible=depths["orders"].visible, hidden=0, delayed=0)}
        return depths["orders"].visible

    def lease(self, shard: int, *, position: str | None = None, done: bool = False) -> None:
        lease = Lease(subscription="orders", shard=f"shardId-{shard:012d}", position=position, done=done)
        self.world.leases.rows["orders", lease.shard] = lease

    def numbers(self, shard: int) -> list[str]:
        """The sequence numbers in a shard."""
        source, world = self.world.source, self.world
        iterator = source.iterator_of(world.call(source.iterator(f"shardId-{shard:012d}", after=None)))
        records = source.read_of(world.call(source.read(iterator, most=100)), "").deliveries
        return [record.broker_seq for record in records if record.broker_seq is not None]


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    made = Looked(tmp_path)
    yield made
    made.writer.close()


def test_a_shard_that_nobody_has_a_lease_for_is_not_drained(looked: Looked) -> None:
    async def scene() -> None:
        assert await looked.left() == 2
        looked.lease(0)
        assert await looked.left() == 1
        looked.lease(1)
        assert await looked.left() == 0

    asyncio.run(scene())


def test_what_stands_after_a_position_is_left(looked: Looked) -> None:
    async def scene() -> None:
        looked.world.send("a1", "a2", "a3")
        (shard,) = [n for n in (0, 1) if looked.numbers(n)]
        looked.lease(0)
        looked.lease(1)
        assert await looked.left() == 3
        looked.lease(shard, position=looked.numbers(shard)[-1])
        assert await looked.left() == 0
        looked.world.send("a4")
        assert await looked.left() == 1

    asyncio.run(scene())


def test_a_shard_that_was_read_to_its_end_is_not_read_again_and_its_children_count(looked: Looked) -> None:
    async def scene() -> None:
        looked.lease(0)
        looked.lease(1)
        looked.world.reshard("merge")
        assert await looked.left() == 1, "nobody knows the child yet"
        looked.lease(0, done=True)
        looked.lease(1, done=True)
        looked.lease(2)
        assert await looked.left() == 0

    asyncio.run(scene())


def test_readers_that_come_forward_are_waited_for_though_no_fewer_are_counted(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a long backlog no more than a bound is counted, however much of it has been read.
    monkeypatch.setattr("gameday.run.streams._COUNT_MAX", 1)
    looked.streams.look_again_s = 0
    looked.world.send("a1", "a2", "a3")
    (shard,) = [n for n in (0, 1) if looked.numbers(n)]
    positions = iter(looked.numbers(shard))
    looked.lease(0)
    looked.lease(1)

    def read_on(seen: Mapping[str, Depth]) -> None:
        if (position := next(positions, None)) is not None:
            looked.lease(shard, position=position)

    async def drained() -> Mapping[str, Depth]:
        return await looked.streams.drain(settled_ns=0, patience_s=0, tell=read_on)

    assert asyncio.run(drained())["orders"].total == 0


def test_a_stream_has_no_dead_letters(looked: Looked) -> None:
    async def scene() -> tuple[int, int]:
        return await looked.streams.drain_dead_letters(), await looked.streams.redrive()

    assert asyncio.run(scene()) == (0, 0)
