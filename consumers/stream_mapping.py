"""The worker that invokes a function with the records of a stream, as Lambda's event source mapping does.

Shards are leased, found and given back as by every reader of streams of ours (consumers/stream.py); here stands what a
mapping does with what it has read. It promises that a checkpoint covers nothing but what a function reported done and
what was given up; that after a partial answer it goes on at the lowest record that failed, whatever stands behind that;
and that what is given up is on record where the scenario asks for a destination, record by record.

A batch that fails is tried again, one half after the other where it is to be bisected, until `retries` more tries have
failed or its oldest record is too old. Progress begins a count anew. Throttled invocations wait and use nothing up.

What its filter does not match no function sees, and it is passed over. With a window, records are gathered until there
is a batch or the window is over. With `parallel` above 1 a shard has so many invocations at once; the records of a
partition key stay in their order, and those of different keys do not.

Sources, under docs.aws.amazon.com/lambda/latest/dg: with-kinesis.html, services-kinesis-batchfailurereporting.html,
kinesis-on-failure-destination.html, services-kinesis-parameters.html, with-kinesis-filtering.html and, of parallel
batches, services-kinesis-create.html.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gameday.consumers.config import ConsumerConfig, MappingConfig
from gameday.consumers.invoking import Answered, Invoker
from gameday.consumers.leases import Lease, LeaseStore
from gameday.consumers.stream import RETRY_S, Reader, StreamRecord, StreamWorker
from gameday.consumers.work import Tools, say
from gameday.history import events
from gameday.transports.base import Delivery, StreamSource
from gameday.transports.filters.function_filter import passes

_DISABLED_S = 0.1


class StreamMapping(StreamWorker):
    """`concurrency` of its configuration bounds invocations; of one shard there are `parallel` at a time."""

    def __init__(
        self,
        *,
        config: ConsumerConfig,
        name: str,
        tools: Tools,
        source: StreamSource,
        leases: LeaseStore,
        mapping: MappingConfig,
    ) -> None:
        super().__init__(config=config, name=name, tools=tools, source=source, leases=leases)
        self.mapping = mapping
        self._invoker = Invoker(self, mapping)

    def _reader(self, lease: Lease) -> Reader:
        return FunctionReader(self, lease) if self.mapping.parallel == 1 else ParallelReader(self, lease)

    async def enabled(self) -> bool:
        """Waits while the mapping is disabled; False where the worker stops meanwhile."""
        while self.tools.disturbances.struck("disable-mapping", self.name):
            if self.stopping:
                return False
            await self.pause(_DISABLED_S)
        return True

    async def invoke(self, deliveries: Sequence[Delivery], started: int) -> tuple[list[StreamRecord], Answered] | None:
        """One invocation with these; None where the worker stops before it may begin."""
        name = self._next_batch()
        async with self.slots:
            if not await self.enabled() or not await self._invoker.may_begin(name):
                return None
            try:
                records = [StreamRecord(self, name, delivery) for delivery in deliveries]
                received = [record.received_record(started, hidden_s=None) for record in records]
                self.took(records, [self._invoker.invoked(name, records), *received])
                answered = await self._invoker.invoke(name, records)
                self.let_go(len(records))
                self.write()
                return records, answered
            finally:
                self._invoker.over()


class FunctionReader(Reader):
    """Reads one shard, and goes on behind what is done or given up."""

    def __init__(self, worker: StreamMapping, lease: Lease) -> None:
        super().__init__(worker, lease)
        self._mapping_worker = worker
        self._mapping = worker.mapping
        # The last record that was read, whatever became of it.
        self._read_to: str | None = None
        # What passes the filter and is handed over to nobody yet, when its reading began, and until when it waits.
        self._gathered: list[Delivery] = []
        self._gathered_since = 0
        self._until_s = 0.0
        # The last record behind it that does not pass.
        self._passed: Delivery | None = None

    def _read_from(self) -> str | None:
        return self._read_to or self._position

    def _holds(self) -> bool:
        return bool(self._gathered)

    async def _take(self, deliveries: Sequence[Delivery], started: int, *, last: bool) -> bool:
        """Hands over what is gathered, once it is a batch, or its window is over."""
        mapping, now_s = self._mapping, asyncio.get_running_loop().time()
        passing = [each for each in deliveries if passes(mapping.filter, each.body, asks="data")]
        if deliveries:
            self._read_to = deliveries[-1].broker_seq
            self._passed = None if passing and passing[-1] is deliveries[-1] else deliveries[-1]
        if passing and not self._gathered:
            self._gathered_since, self._until_s = started, now_s + mapping.window_s
        self._gathered += passing
        if self._gathered and (last or now_s >= self._until_s or len(self._gathered) >= self._most()):
            gathered, self._gathered = self._gathered, []
            if not await self._hand_over(gathered, self._gathered_since):
                return False
        if self._passed is not None and not self._holds():
            passed, self._passed = self._passed, None
            await self._skip_to(passed)
        return True

    def _most(self) -> int:
        """So much is handed over whether or not its window is over."""
        return self._mapping.batch

    async def _hand_over(self, deliveries: Sequence[Delivery], started: int) -> bool:
        """Whether the shard is to be read on."""
        self._read_ns = self._worker.now()
        done = True
        for first in range(0, len(deliveries), self._mapping.batch):
            done = done and await self._work_off(deliveries[first : first + self._mapping.batch], started)
        self._read_ns = None
        return done

    async def _work_off(self, deliveries: Sequence[Delivery], started: int) -> bool:
        """Until all of it is done or given up; False where the shard is not to be read on."""
        worker, mapping, left, tries = self._mapping_worker, self._mapping, deliveries, 0
        while left:
            if self.over() or (came := await worker.invoke(left, started)) is None:
                return False
            records, answered = came
            tries += 1
            lowest = 0 if answered.failed is None else min(answered.failed, default=len(left))
            if lowest and not await self._settle(records[:lowest]):
                return False
            left, records = left[lowest:], records[lowest:]
            if lowest:
                tries = 1
            if left and mapping.gives_up(tries=tries, enqueued=left[0].enqueued, now=worker.now()):
                return await self._give_up(records)
            # What stands behind progress is a smaller batch already.
            if mapping.bisect and len(left) > 1 and not lowest:
                middle = len(left) // 2
                return await self._work_off(left[:middle], started) and await self._work_off(left[middle:], started)
            if left:
                await worker.pause(RETRY_S)
        return True

    async def _settle(self, records: Sequence[StreamRecord]) -> bool:
        """They are done or given up; whether the shard is still ours to read."""
        return await self._checkpoint(records)

    async def _give_up(self, records: Sequence[StreamRecord]) -> bool:
        """Whether the shard is to be read on behind them."""
        worker = self._worker
        say(f"{len(records)} records of {self.lease.shard} are given up, from {records[0].name} on")
        if self._mapping.on_failure:
            worker.write(
                *(
                    events.dead(
                        id=record.id,
                        subscription=worker.config.subscription,
                        partition=record.delivery.partition,
                        broker_seq=record.delivery.broker_seq,
                    )
                    for record in records
                )
            )
        return await self._settle(records)


@dataclass(slots=True, eq=False)
class _Entry:
    """A record in hand, and what it became once it was done or given up."""

    delivery: Delivery
    started: int
    done: StreamRecord | None = None


class ParallelReader(FunctionReader):
    """Reads one shard for several invocations at once: each partition key has its lane, in which one comes after the
    other. A lane that fails keeps the others from nothing but the checkpoint, which covers what is done up to the
    lowest record that is not."""

    def __init__(self, worker: StreamMapping, lease: Lease) -> None:
        super().__init__(worker, lease)
        self._lanes: list[deque[_Entry]] = [deque() for _ in range(self._mapping.parallel)]
        self._at_work: dict[int, asyncio.Task[None]] = {}
        # In the order of the shard.
        self._open: deque[_Entry] = deque()
        self._by_seq: dict[str | None, _Entry] = {}
        self._broken = False
        self._checkpointing = asyncio.Lock()
        self._freed = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await super().run()

    def _holds(self) -> bool:
        return bool(self._gathered or self._open or self._checkpointing.locked())

    def _most(self) -> int:
        return self._mapping.batch * self._mapping.parallel

    async def _hand_over(self, deliveries: Sequence[Delivery], started: int) -> bool:
        """Returns once there is room for more."""
        if self._read_ns is None:
            self._read_ns = self._worker.now()
        for delivery in deliveries:
            entry = _Entry(delivery, started)
            self._open.append(entry)
            self._by_seq[delivery.broker_seq] = entry
            number = zlib.crc32((delivery.group or "").encode()) % self._mapping.parallel
            self._lanes[number].append(entry)
            if number not in self._at_work:
                self._at_work[number] = self._tasks.create_task(self._work_lane_off(number))
        while len(self._open) >= self._most() and not self._broken:
            self._freed.clear()
            await self._freed.wait()
        return not self._broken

    async def _work_lane_off(self, number: int) -> None:
        lane = self._lanes[number]
        while lane and not self._broken:
            taken = [lane.popleft() for _ in range(min(self._mapping.batch, len(lane)))]
            if not await self._work_off([entry.delivery for entry in taken], taken[0].started):
                self._broken = True
        del self._at_work[number]
        self._freed.set()

    async def _settle(self, records: Sequence[StreamRecord]) -> bool:
        for record in records:
            self._by_seq.pop(record.delivery.broker_seq).done = record
        async with self._checkpointing:
            if self._broken:
                return False
            covered = []
            while self._open and (done := self._open[0].done) is not None:
                covered.append(done)
                self._open.popleft()
            if not self._open:
                self._read_ns = None
            self._freed.set()
            # One that is refused is the last.
            self._broken = bool(covered) and not await self._checkpoint(covered)
            return not self._broken

    async def _let_end(self) -> bool:
        if self._at_work:
            await asyncio.wait(self._at_work.values())
        return not self._broken and not self._open
