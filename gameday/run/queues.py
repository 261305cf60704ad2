"""The queues of a run as the conductor sees them: how much is in them, whether they are empty, what died in them.

It promises that a queue counts as empty when nothing is visible, hidden or delayed, and that dead letters are read to
the end, each recorded before it is removed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from gameday.history import events
from gameday.history.errors import TargetError
from gameday.history.events import Record
from gameday.history.writer import Writer
from gameday.run.backlog import Backlog
from gameday.transports.base import CallFailed, Delivery, Depth, Plan, QueueSource
from gameday.transports.carriers.boto import BotoCarrier, run_plan

T = TypeVar("T")

_MOVE_S = 60.0
# A queue may give a message once more that was deleted, but not again and again.
_AGAIN_MAX = 3
# A short poll may come back empty from a queue that is not, but not so often in a row.
_EMPTY_MAX = 6
# How long dead letters of others are kept out of sight, unless they are given back before.
_HELD_S = 600
# Of a service whose counts are approximate. A long poll asks all of its servers, a short one some of them
# (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html).
_LONG_POLL_S, _LOOKS = 5, 3


class Queues(Backlog):
    def __init__(
        self,
        *,
        sources: Mapping[str, QueueSource],
        carrier: BotoCarrier,
        writer: Writer,
        works_off_the_dead: Callable[[], Awaitable[bool]] | None = None,
        exact: bool = True,
        leaves_at: int | None = None,
    ) -> None:
        """`works_off_the_dead`: whether consumers work off dead letters by themselves, which are then something left
        to do. `exact`: one look tells how much is in a queue; else polls that ask all of it have to find nothing.
        `leaves_at`: of queues that were there before, how many dead letters of others are looked at before the rest is
        left unread."""
        super().__init__(subscriptions=list(sources), carrier=carrier, writer=writer)
        self._wait_s, self._looks = (0, 1) if exact else (_LONG_POLL_S, _LOOKS)
        self._sources = sources
        self._works_off_the_dead = works_off_the_dead
        self._leaves_at = leaves_at

    async def drain_dead_letters(self) -> int:
        drained = 0
        for name, source in self._sources.items():
            if source.dead_letters is not None:
                drained += await self._read_to_the_end(name, source.dead_letters)
        return drained

    async def redrive(self) -> int:
        moved = 0
        for name, source in self._sources.items():
            if source.dead_letters is not None:
                moved += await self._move_back(name, source.dead_letters)
        return moved

    async def _move_back(self, name: str, source: QueueSource) -> int:
        """All are held at once, so that each is seen and none twice, and let go before they are moved."""
        held: list[Delivery] = []
        empty = 0
        while visible := (await self._depth_of(source)).visible:
            if deliveries := await self._dead(name, source):
                held += deliveries
                empty = 0
                continue
            empty += 1
            if empty == _EMPTY_MAX:
                # Of a group in a FIFO queue no more can be seen than one receive gives.
                raise TargetError(
                    f"{name}: {visible} dead letters stand behind others of their group and cannot be read before "
                    "those are removed, so nothing is moved back; let fewer of a group die"
                )
            await asyncio.sleep(self.look_again_s)
        for first in range(0, len(held), source.batch_max):
            await self._answer(source.hide(held[first : first + source.batch_max], hidden_s=0))
        if not held:
            return 0
        if self._leaves_at is not None and (others := sum(not each.ours for each in held)):
            raise TargetError(
                f"{name}: {others} of its dead letters are none of this run's, and would be moved back with the rest, "
                "so nothing is moved"
            )
        self._writer.write(
            *(events.redriven(id=d.id, subscription=name, broker_id=_known_by(d)) for d in held if d.ours)
        )
        state = await self._carried_out(source.move_back())
        deadline = asyncio.get_running_loop().time() + _MOVE_S
        while not state.over:
            if asyncio.get_running_loop().time() > deadline:
                raise TargetError(f"{name}: its dead letters were not moved back within {_MOVE_S:g} s")
            await asyncio.sleep(self.look_again_s)
            state = await self._carried_out(source.moving())
        if state.failed:
            raise TargetError(f"{name}: its dead letters were not moved back: {state.failed}")
        return len(held)

    async def give_back(self, name: str, receipts: Sequence[str]) -> int:
        """Messages of others that were kept out of sight, at once; how many could be. Errors: TargetError."""
        source, given = self._sources[name], 0
        held = [_by_receipt(receipt) for receipt in receipts]
        for first in range(0, len(held), source.batch_max):
            some = held[first : first + source.batch_max]
            outcomes = source.settled(await self._answer(source.hide(some, hidden_s=0)), some)
            given += sum(outcome == "ok" for outcome, _ in outcomes)
        return given

    async def _read_to_the_end(self, name: str, source: QueueSource) -> int:
        held: dict[str | None, Delivery] = {}
        try:
            return await self._read(name, source, held)
        finally:
            kept = list(held.values())
            for first in range(0, len(kept), source.batch_max):
                await self._answer(source.hide(kept[first : first + source.batch_max], hidden_s=0))

    async def _foreign(
        self, name: str, source: QueueSource, deliveries: Sequence[Delivery], held: dict[str | None, Delivery]
    ) -> list[Delivery]:
        """Keep dead letters of others out of sight while the rest is read; gives the run's."""
        if self._leaves_at is None or all(each.ours for each in deliveries):
            return list(deliveries)
        foreign = [each for each in deliveries if not each.ours]
        self._writer.write(events.mark("foreign", subscription=name, count=len(foreign)))
        held |= {each.broker_id: each for each in foreign}
        await self._answer(source.hide(foreign, hidden_s=_HELD_S))
        return [each for each in deliveries if each.ours]

    async def _read(self, name: str, source: QueueSource, held: dict[str | None, Delivery]) -> int:
        drained = empty = 0
        deleted: Counter[str | None] = Counter()
        while True:
            if deliveries := await self._dead(name, source):
                empty = 0
                deliveries = await self._foreign(name, source, deliveries, held)
                if self._leaves_at is not None and len(held) > self._leaves_at:
                    # The rest is left to its owners; the queue is one that is shared, and nothing rests on its end.
                    return drained
                if not deliveries:
                    continue
                if any(deleted[delivery.broker_id] == _AGAIN_MAX for delivery in deliveries):
                    raise TargetError(f"{name}: dead letters come again and again although they were deleted")
                outcomes = source.settled(await self._answer(source.delete(deliveries)), deliveries)
                if not any(outcome == "ok" for outcome, _ in outcomes):
                    # They would come again for ever.
                    raise TargetError(f"{name}: dead letters cannot be deleted: {outcomes[0][1]}")
                answered = zip(deliveries, outcomes, strict=True)
                deleted.update(delivery.broker_id for delivery, (outcome, _) in answered if outcome == "ok")
                drained += sum(d.ours for d in deliveries)
                continue
            # A short poll may come back empty from a queue that is not; its depth tells.
            depth = await self._depth_of(source)
            if (depth.total if not held else depth.visible) == 0:
                empty += 1
                if empty == self._looks:
                    return drained
            await asyncio.sleep(self.look_again_s)

    async def _dead(self, name: str, source: QueueSource) -> list[Delivery]:
        """Receive some dead letters, and record them."""
        deliveries = source.received(await self._answer(source.receive(most=source.batch_max, wait_s=self._wait_s)))
        records: list[Record] = [
            events.dead(id=d.id, subscription=name, receives=_own_receives(d.receives), broker_id=_known_by(d))
            for d in deliveries
            if d.ours
        ]
        if records:
            self._writer.write(*records)
        return deliveries

    async def _depth(self, name: str) -> Depth:
        source = self._sources[name]
        depth = await self._depth_of(source)
        if source.dead_letters is None or self._works_off_the_dead is None or not await self._works_off_the_dead():
            return depth
        dead = await self._depth_of(source.dead_letters)
        return replace(depth, visible=depth.visible + dead.visible, hidden=depth.hidden + dead.hidden)

    async def _dead_letters(self, name: str) -> int | None:
        dead = self._sources[name].dead_letters
        if dead is None:
            return None
        try:
            # Once: it is for who watches, and nobody waits for it.
            return dead.depth_of(await asyncio.to_thread(self._carrier, dead.depth())).total
        except CallFailed:
            return None

    async def _depth_of(self, source: QueueSource) -> Depth:
        return source.depth_of(await self._answer(source.depth()))

    async def _carried_out(self, plan: Plan[T]) -> T:
        """Errors: TargetError."""
        try:
            return await asyncio.to_thread(run_plan, plan, self._carrier)
        except CallFailed as error:
            raise TargetError(f"the target does not move dead letters back: {error}") from error


def _by_receipt(receipt: str) -> Delivery:
    """A message of which nothing else is known, and nothing else is needed to give it back."""
    return Delivery(
        id=None,
        receipt=receipt,
        broker_id=None,
        broker_seq=None,
        upstream_id=None,
        group=None,
        receives=None,
        enqueued=None,
        intact=None,
        poison=False,
        body="",
        ours=False,
    )


def _known_by(delivery: Delivery) -> str | None:
    """The broker's id, where that alone tells which message it is."""
    return delivery.broker_id if delivery.id is None else None


def _own_receives(receives: int | None) -> int | None:
    """SQS goes on counting in the dead-letter queue; the read that found the message there is not one of its own."""
    return receives - 1 if receives is not None and receives > 1 else None
