"""The worker that consumes a stream: takes shards by their leases, reads them, handles, and checkpoints how far it is.

One task looks for new shards; one tends the leases: it renews what is held and takes what is free or left (consumers/
leases.py decides). Each shard that is held has a reader: read, record, handle, checkpoint, and again. Records of a
group are handled in their order, groups beside each other.

It promises that a checkpoint covers nothing that is not done (`checkpoint: before`, which is wrong, covers what is in
hand before it is handled), that it is announced before it is made and only then answered, and that one that was refused
or got no answer is the reader's last: what else it wrote could arrive late, so the lease is left behind, and with it
the token. A record whose handler failed is handled again, after a pause, until it works: a stream has no dead-letter
queue, and what went on without it would lose it. A running handler is never cut off by the loss of a lease.

What comes after it in its group waits for it (`after_failure: stop`) or, wrongly, does not (`continue`). With
`fail-batch` no more of the batch is begun; nothing of it is checkpointed, and all of it is read again. A handler of
somebody else's that takes events of a stream is handed the whole batch, and what its answer says to have failed first
is where the shard is read again from.

A drain begins no handler, unless `on_term` is `finish`; it checkpoints what is done and gives the shards back, or
(`abandon`) leaves their leases to expire.

Whatever was received and not checkpointed comes again, to whoever takes the lease next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from itertools import takewhile
from typing import Any

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.leases import Lease, LeaseStore, Watch, plan
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.work import BaseWorker, InHand, Tools, lanes, say
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import SendResult
from gameday.transports.base import CallFailed, Delivery, Shard, StreamSource

# AWS answers five reads a second on a shard (docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html).
_READ_PACE_S = 0.2
_LIST_EVERY_S = 1.0
_AGE_EVERY_S = 1.0
RETRY_S = 0.5
_TENDS_A_LEASE = 4
_NS_PER_MS = 1_000_000
_REFUSED = "LeaseLost: somebody else holds the shard"


class StreamRecord(InHand):
    """`handled`: it needs nothing more."""

    __slots__ = ("handled",)

    def __init__(self, worker: StreamWorker, batch: str, delivery: Delivery) -> None:
        # A stream does not count receives, but what comes again comes in another batch.
        super().__init__(worker, batch, delivery, name=f"{delivery.partition}:{delivery.broker_seq}", again=batch)
        # What is not ours needs nothing but its `received` record, unless the handler is not ours either.
        self.handled = not delivery.ours and worker.own is None

    async def delete(self) -> None:
        raise NotImplementedError("a record of a stream cannot be deleted")


class StreamWorker(BaseWorker):
    """A record is in hand until its handler is done with it or its reader ends."""

    def __init__(
        self, *, config: ConsumerConfig, name: str, tools: Tools, source: StreamSource, leases: LeaseStore
    ) -> None:
        super().__init__(config=config, name=name, tools=tools)
        self.source = source
        self.leases = leases
        self.own = tools.handler if isinstance(tools.handler, OwnHandler) else None
        self._watch = Watch(config.lease_s)
        self._known: set[str] = set()
        self._readers: dict[str, Reader] = {}
        self._steal_at_s = 0.0

    def _works(self, tasks: asyncio.TaskGroup) -> Iterable[Coroutine[Any, Any, None]]:
        # Apart, so that a stream that does not answer keeps nobody from renewing.
        return [self._discover_all(), self._tend_all(tasks), self._tell_ages()]

    # Shards and their leases.

    async def _discover_all(self) -> None:
        failures = 0
        while not self.stopping:
            try:
                await self._discover()
                failures = 0
                await self.pause(_LIST_EVERY_S)
            except CallFailed as error:
                failures = _log_first_failure("looking for shards", error, failures)
                await self.back_off(failures)

    async def _discover(self) -> None:
        """Give every new shard a lease; its parents, if they are listed too, got theirs before."""
        new = [shard for shard in await self._shards() if shard.id not in self._known]
        if new:
            # Where each comes from is on record before anybody can read it.
            self.write(*(self._partition_mark(shard) for shard in new))
        for shard in _parents_first(new):
            await self.leases.add(
                Lease(subscription=self.config.subscription, shard=shard.id, parents=tuple(shard.parents))
            )
            self._known.add(shard.id)

    async def _shards(self) -> list[Shard]:
        found: list[Shard] = []
        page: str | None = None
        while True:
            shards, page = self.source.shards_of(await self.tools.carry(self.source.shards(page=page)))
            found += shards
            if page is None:
                return found

    def _partition_mark(self, shard: Shard) -> events.Record:
        return events.mark(
            "partition", subscription=self.config.subscription, partition=shard.id, parents=list(shard.parents)
        )

    async def _tend_all(self, tasks: asyncio.TaskGroup) -> None:
        """Until the last reader has ended: what is still handled while the worker drains stays its own."""
        every_s = self.config.lease_s / _TENDS_A_LEASE
        failures = 0
        while not self.stopping or self._readers:
            try:
                await asyncio.gather(*(self._renew(reader) for reader in self._readers.values()))
                if not self.stopping:
                    await self._take_shards(tasks)
                failures = 0
            except CallFailed as error:
                failures = _log_first_failure("tending the leases", error, failures)
            if self.stopping and self._readers:
                await asyncio.wait([reader.task for reader in self._readers.values()], timeout=every_s)
            await self.pause(every_s)

    async def _renew(self, reader: Reader) -> None:
        self.tools.meters.heartbeat(1)
        if not await self.leases.renew(reader.lease):
            reader.lost = True

    async def _take_shards(self, tasks: asyncio.TaskGroup) -> None:
        now_s = asyncio.get_running_loop().time() + self.clock_error_ns() / NS_PER_S
        leases = await self.leases.all(self.config.subscription)
        self._watch.see(leases, now_s)
        wanted = plan(
            leases,
            me=self.name,
            held=self._readers,
            expired=lambda lease: self._watch.expired(lease, now_s),
            early=self.config.children == "early",
            may_steal=now_s >= self._steal_at_s,
        )
        for lease in wanted:
            if not self._watch.expired(lease, now_s):
                self._steal_at_s = now_s + self.config.lease_s
            mine = await self.leases.take(lease, self.name)
            # A stop that came meanwhile leaves it to expire.
            if mine is not None and not self.stopping:
                reader = self._readers[mine.shard] = self._reader(mine)
                reader.task = tasks.create_task(self._read(reader))

    def _reader(self, lease: Lease) -> Reader:
        return Reader(self, lease)

    async def _read(self, reader: Reader) -> None:
        try:
            await reader.run()
        finally:
            del self._readers[reader.lease.shard]

    # Records.

    def batch(self, deliveries: Sequence[Delivery], started: int) -> list[StreamRecord]:
        name = self._next_batch()
        batch = [StreamRecord(self, name, delivery) for delivery in deliveries]
        self._take(batch, started)
        self.let_go(sum(record.handled for record in batch))
        return batch

    def let_go(self, records: int) -> None:
        self._hold(-records)

    async def handle(self, record: StreamRecord) -> None:
        """One attempt."""
        handling = await self._hand_over(record)
        if handling.records:
            self.write(*handling.records)
        if handling.done:
            record.handled = True
            self.let_go(1)

    async def handle_batch(self, batch: Sequence[StreamRecord]) -> None:
        """One request for all of it: what stands before the first that failed is done."""
        handling = await self.hand_over_batch(batch, ordered=True)
        if handling.records:
            self.write(*handling.records)
        done = min(handling.failed, default=len(batch))
        for record in batch[:done]:
            record.handled = True
        self.let_go(done)

    async def _tell_ages(self) -> None:
        """How far behind each shard is that is read here, once a second: what Lambda and the KCL call iterator age."""
        while not self.stopping:
            self.tell_ages(self._readers.values())
            await self.pause(_AGE_EVERY_S)

    def tell_ages(self, readers: Iterable[Reader]) -> None:
        marks = [
            events.mark(
                "iterator-age",
                subscription=self.config.subscription,
                partition=reader.lease.shard,
                behind_ms=reader.behind_ms(),
            )
            for reader in readers
        ]
        if marks:
            self.write(*marks)


class Reader:
    """Reads one shard as long as its lease holds. `lost`: the lease is somebody else's, as far as is known."""

    task: asyncio.Task[None]

    def __init__(self, worker: StreamWorker, lease: Lease) -> None:
        self.lease = lease
        self.lost = False
        self._worker = worker
        self._position = lease.position
        self._behind_ms = 0
        self._passed_ns = 0
        # When what is in hand was read; None with nothing in hand.
        self._read_ns: int | None = None
        # A batch failed, and is to be read again: from its beginning, or from what failed first in it.
        self._again = False

    def over(self) -> bool:
        return self.lost or self._worker.stopping

    def behind_ms(self) -> int:
        """What is in hand ages while it is handled, though nothing is read meanwhile."""
        held_ns = 0 if self._read_ns is None else self._worker.now() - self._read_ns
        return self._behind_ms + held_ns // _NS_PER_MS

    async def run(self) -> None:
        worker, shard, source = self._worker, self.lease.shard, self._worker.source
        carry, most = worker.tools.carry, min(worker.config.batch, source.batch_max)
        iterator: str | None = None
        failures = 0
        while not self.over():
            started = worker.now()
            try:
                if iterator is None:
                    iterator = source.iterator_of(await carry(source.iterator(shard, after=self._read_from())))
                    started = worker.now()
                reading = source.read_of(await carry(source.read(iterator, most=most)), shard)
            except CallFailed as error:
                iterator = None
                # An iterator lives for five minutes, and a process may pause for longer: a new one is all it takes.
                if error.code != "ExpiredIteratorException":
                    failures = _log_first_failure(f"reading {shard}", error, failures)
                    await worker.back_off(failures)
                continue
            worker.tools.meters.polled((worker.now() - started) / NS_PER_S)
            if self.over():
                # It was read for somebody else.
                break
            failures = 0
            iterator, self._behind_ms = reading.next, reading.behind_ms
            deliveries, foreign = worker.apart(reading.deliveries)
            if foreign and not deliveries and not self._holds():
                await self._pass_over(foreign[-1])
            if not await self._take(deliveries, started, last=iterator is None):
                if not self._again:
                    break
                # From the last checkpoint.
                self._again, iterator = False, None
                await worker.pause(RETRY_S)
                continue
            if iterator is None:
                if not await self._let_end():
                    break
                await self._finish()
                return
            await worker.pause(_READ_PACE_S - (worker.now() - started) / NS_PER_S)
        await self._let_end()
        if not self.lost and not (worker.stopping and worker.config.on_term == "abandon"):
            await self._give_back()

    def _read_from(self) -> str | None:
        """Behind which record the shard is read on, where a new iterator is needed."""
        return self._position

    def _holds(self) -> bool:
        """Whether anything that was read is not checkpointed, between two reads."""
        return False

    async def _take(self, deliveries: Sequence[Delivery], started: int, *, last: bool) -> bool:
        """What was read, which may be nothing; whether to read on. `last`: the shard has no more."""
        return not deliveries or await self._work_through(deliveries, started)

    async def _let_end(self) -> bool:
        """Waits for what is still at work; whether all that was read is done."""
        return True

    async def _work_through(self, deliveries: Sequence[Delivery], started: int) -> bool:
        """Handle what was read and checkpoint it; whether to read on after it."""
        worker = self._worker
        batch = worker.batch(deliveries, started)
        self._read_ns = worker.now()
        before = worker.config.checkpoint == "before"
        refused = before and not await self._checkpoint(batch)
        if not refused:
            async with asyncio.TaskGroup() as tasks:
                if worker.own is not None and worker.own.takes_batches:
                    tasks.create_task(self._work_whole(batch))
                else:
                    for lane in lanes(batch, ordered=True):
                        tasks.create_task(self._work_lane(lane))
        worker.let_go(sum(not record.handled for record in batch))
        self._read_ns = None
        if self._again and self._worker.config.after_failure == "fail-batch":
            return False
        done = list(takewhile(lambda record: record.handled, batch))
        if not before and done:
            refused = not await self._checkpoint(done)
        self._again &= not refused
        return not refused and len(done) == len(batch)

    async def _work_whole(self, batch: Sequence[StreamRecord]) -> None:
        """The batch is one request to a handler of somebody else's. From the first record that failed it is read again,
        as Lambda does it (docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html)."""
        async with self._worker.slots:
            if self._may_begin():
                await self._worker.handle_batch(batch)
                self._again = not all(record.handled for record in batch)

    async def _work_lane(self, lane: Sequence[StreamRecord]) -> None:
        """In rounds: each goes on from the first record that is not handled yet."""
        after_failure = self._worker.config.after_failure
        while waiting := [record for record in lane if not record.handled]:
            for record in waiting:
                async with self._worker.slots:
                    if self._again or not self._may_begin():
                        return
                    await self._worker.handle(record)
                if not record.handled and after_failure != "continue":
                    break
            if not all(record.handled for record in waiting):
                if after_failure == "fail-batch":
                    self._again = True
                    return
                await asyncio.sleep(RETRY_S)

    def _may_begin(self) -> bool:
        config = self._worker.config
        # What is checkpointed already would be handled by nobody else.
        if config.checkpoint == "before":
            return True
        return not self.lost and (not self._worker.stopping or config.on_term == "finish")

    # Checkpoints.

    async def _checkpoint(self, covered: Sequence[StreamRecord]) -> bool:
        """Up to the last of `covered`; whether the shard is still ours to read."""
        worker, last = self._worker, covered[-1]
        intent = events.settling(
            id=last.id,
            subscription=worker.config.subscription,
            consumer=worker.name,
            batch=last.batch_name,
            action="checkpoint",
            partition=self.lease.shard,
            broker_seq=last.delivery.broker_seq,
        )
        worker.write(intent)
        for record in covered:
            worker.crash("before-delete", record)
        started = worker.now()
        outcome: SendResult = "ok"
        why: str | None = None
        try:
            if await worker.leases.checkpoint(self.lease, position=last.delivery.broker_seq, done=False):
                self._position = last.delivery.broker_seq
            else:
                outcome, why, self.lost = "failed", _REFUSED, True
        except CallFailed as error:
            outcome, why = error.outcome, str(error)
            say(f"a checkpoint of {self.lease.shard} failed, so it is given back: {error}")
        for record in covered:
            worker.crash("after-delete", record)
        if outcome != "ok":
            worker.tools.meters.settle_failed("checkpoint")
        worker.write(events.settled(intent, started=started, outcome=outcome, error=why))
        return outcome == "ok"

    async def _pass_over(self, last: Delivery) -> None:
        """There is nothing of the run's up to this record of others: who reads on after it misses nothing."""
        now_ns = self._worker.now()
        if now_ns < self._passed_ns + NS_PER_S:
            return
        self._passed_ns = now_ns
        await self._skip_to(last)

    async def _skip_to(self, last: Delivery) -> None:
        """Nothing is covered that anybody was to have, so nothing is settled."""
        try:
            if await self._worker.leases.checkpoint(self.lease, position=last.broker_seq, done=False):
                self._position = last.broker_seq
            else:
                self.lost = True
        except CallFailed as error:
            say(f"how far {self.lease.shard} is read could not be kept: {error}")

    async def _finish(self) -> None:
        """The shard is closed and read to its end: nothing is covered that was not before, so nothing is settled."""
        try:
            await self._worker.leases.checkpoint(self.lease, position=self._position, done=True)
            self._worker.tell_ages([self])
        except CallFailed as error:
            say(f"{self.lease.shard} is read to its end, which somebody else must find once more: {error}")

    async def _give_back(self) -> None:
        try:
            await self._worker.leases.release(self.lease)
        except CallFailed as error:
            say(f"{self.lease.shard} could not be given back and is left to expire: {error}")


def _log_first_failure(what: str, error: CallFailed, failures: int) -> int:
    """Say so if it is the first failure in a row; how many there are now."""
    if not failures:
        say(f"{what} failed, trying again more slowly: {error}")
    return failures + 1


def _parents_first(shards: Sequence[Shard]) -> list[Shard]:
    """In an order in which each comes after those of its parents that are among them."""
    waiting = {shard.id: shard for shard in shards}
    ordered: list[Shard] = []

    def put(shard: Shard) -> None:
        for parent in shard.parents:
            if parent in waiting:
                put(waiting.pop(parent))
        ordered.append(shard)

    while waiting:
        put(waiting.pop(next(iter(waiting))))
    return ordered
