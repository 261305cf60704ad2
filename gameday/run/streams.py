"""The streams of a run as the conductor sees them: how many records stand behind the consumers' checkpoints.

A stream says nothing about its readers, so each shard is read on from where its lease stands. It promises that a
stream counts as empty only when every shard that it lists has a lease, and nothing is found after the position of any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gameday.consumers.leases import Lease
from gameday.history.writer import Writer
from gameday.run.backlog import Backlog
from gameday.transports.base import Depth, StreamSource
from gameday.transports.carriers.boto import BotoCarrier

# More than so many records of a shard are not counted: who drains wants to know whether there are any.
_COUNT_MAX = 1000


class Positions(Protocol):
    """Who knows how far the consumers have read."""

    async def all(self, subscription: str) -> list[Lease]:
        """Errors: CallFailed."""
        ...


class Streams(Backlog):
    def __init__(
        self,
        *,
        sources: Mapping[str, StreamSource],
        carrier: BotoCarrier,
        writer: Writer,
        leases: Positions,
        ours_alone: bool = False,
    ) -> None:
        """`ours_alone`: others write there, too, and what they wrote is nothing that is left to do."""
        super().__init__(subscriptions=list(sources), carrier=carrier, writer=writer)
        self._sources = sources
        self._leases = leases
        self._ours_alone = ours_alone
        self.reached: dict[str, dict[str, str | None]] = {}

    async def drain_dead_letters(self) -> int:
        """A stream has no dead letters."""
        return 0

    async def redrive(self) -> int:
        return 0

    async def _depth(self, name: str) -> Depth:
        rows = await self._insist(lambda: self._leases.all(name), f"for the leases of {name}")
        leases = {lease.shard: lease for lease in rows}
        self.reached = {**self.reached, name: {lease.shard: lease.position for lease in rows}}
        shards = await self._shards(name)
        # A shard that no consumer has seen yet is nothing that is done, whatever is in it.
        unseen = sum(shard not in leases for shard in shards)
        unread = [await self._after(name, lease) for lease in leases.values() if not lease.done]
        return Depth(visible=unseen + sum(unread), hidden=0, delayed=0)

    async def _shards(self, name: str) -> list[str]:
        source, page = self._sources[name], None
        found: list[str] = []
        while True:
            shards, page = source.shards_of(await self._answer(source.shards(page=page)))
            found += [shard.id for shard in shards]
            if page is None:
                return found

    async def _after(self, name: str, lease: Lease) -> int:
        """How many records stand after its position, bounded."""
        source = self._sources[name]
        iterator: str | None = source.iterator_of(
            await self._answer(source.iterator(lease.shard, after=lease.position))
        )
        # A read may find nothing although there is something further on; only one at the tip tells.
        while iterator is not None:
            reading = source.read_of(await self._answer(source.read(iterator, most=_COUNT_MAX)), lease.shard)
            found = sum(each.ours or not self._ours_alone for each in reading.deliveries)
            if found or not reading.behind_ms:
                return found
            iterator = reading.next
        return 0
