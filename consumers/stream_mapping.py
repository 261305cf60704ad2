"""The worker that invokes a function with the records of a stream, as Lambda's event source mapping does.

Shards are leased, found and given back as by every reader of streams of ours (consumers/stream.py); here stands what a
mapping does with what it has read. It promises that a checkpoint covers nothing but what a function reported done and
what was given up; that after a partial answer it goes on at the lowest record that failed, whatever stands behind that;
and that what is given up is on record where the scenario asks for a destination, record by record.

A batch that fails is tried again, one half after the other where it is to be bisected, until `retries` more tries have
failed or its oldest record is too old. Progress begins a count anew. Throttled invocations wait and use nothing up.

Sources, under docs.aws.amazon.com/lambda/latest/dg: with-kinesis.html, services-kinesis-batchfailurereporting.html,
kinesis-on-failure-destination.html, services-kinesis-parameters.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from gameday.consumers.config import ConsumerConfig, MappingConfig
from gameday.consumers.invoking import Answered, Invoker
from gameday.consumers.leases import Lease, LeaseStore
from gameday.consumers.stream import RETRY_S, Reader, StreamRecord, StreamWorker
from gameday.consumers.work import Tools, say
from gameday.history import events
from gameday.transports.base import Delivery, StreamSource

_DISABLED_S = 0.1


class StreamMapping(StreamWorker):
    """`concurrency` of its configuration bounds invocations; of one shard there is one at a time."""

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
        return FunctionReader(self, lease)

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

    async def _work_through(self, deliveries: Sequence[Delivery], started: int) -> bool:
        self._read_ns = self._worker.now()
        done = await self._work_off(deliveries, started)
        self._read_ns = None
        return done

    async def _work_off(self, deliveries: Sequence[Delivery], started: int) -> bool:
        """Until all of it is done or given up; False where the shard is not to be read on."""
        worker, mapping, left, tries = self._mapping_worker, self._mapping_worker.mapping, deliveries, 0
        while left:
            if self.over() or (came := await worker.invoke(left, started)) is None:
                return False
            records, answered = came
            tries += 1
            lowest = 0 if answered.failed is None else min(answered.failed, default=len(left))
            if lowest and not await self._checkpoint(records[:lowest]):
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

    async def _give_up(self, records: Sequence[StreamRecord]) -> bool:
        """Whether the shard is to be read on behind them."""
        worker = self._worker
        say(f"{len(records)} records of {self.lease.shard} are given up, from {records[0].name} on")
        if self._mapping_worker.mapping.on_failure:
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
        return await self._checkpoint(records)
