"""The worker that invokes a function with what stands in a queue, as Lambda's event source mapping does.

It promises the mapping's own conduct, so that a function can be judged on every target: it gathers a batch, drops what
its filter does not match, invokes, deletes what the answer reports done, and leaves the rest to its visibility timeout.
It gives nothing back and extends nothing. An invocation that is throttled is tried again until the messages are about
to turn visible; then they have used up a receive in vain.

consumers/invoking.py says what is on record of each.

Sources, under docs.aws.amazon.com/lambda/latest/dg: with-sqs.html, services-sqs-configure.html,
services-sqs-errorhandling.html (what an answer means, and throttles), services-sqs-batching (gathering) and
with-sqs-filtering.html. A FIFO queue gives nothing of a group while one of it is hidden, so one invocation at a time
has a group as long as none outlasts the visibility timeout.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gameday.consumers.config import ConsumerConfig, MappingConfig
from gameday.consumers.invoking import Invoker
from gameday.consumers.work import Tools, say
from gameday.consumers.worker import Batch, QueueMessage, Worker
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record
from gameday.transports.base import CallFailed, Delivery, QueueSource
from gameday.transports.filters.function_filter import passes

# So long before its messages turn visible a throttled invocation is given up.
_SPARE_S = 0.2
# How long nothing is asked for after an empty answer that came at once, and by a mapping that is disabled.
_PAUSE_S = 0.1
# Of a call that deletes.
_SETTLE_MOST = 10
# The longest poll.
_WAIT_MOST_S = 20


@dataclass(slots=True)
class Gathered:
    """What was received for one invocation, by the broker's name for it, with when its receive began."""

    deliveries: dict[str, tuple[Delivery, int]] = field(default_factory=dict)
    failed: bool = False

    def add(self, deliveries: Sequence[Delivery], started: int) -> None:
        for delivery in deliveries:
            # One that came twice is handed over once, by its latest receipt.
            self.deliveries[delivery.broker_id or delivery.receipt] = delivery, started


class MappingWorker(Worker):
    """`concurrency` of its configuration is how many invocations the mapping has at once."""

    def __init__(
        self, *, config: ConsumerConfig, name: str, tools: Tools, source: QueueSource, mapping: MappingConfig
    ) -> None:
        super().__init__(config=config, name=name, tools=tools, source=source)
        self._mapping = mapping
        self._invoker = Invoker(self, mapping)

    # Receiving.

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        failures = 0
        while not self._stopping.is_set():
            await self._room.wait()
            if self.tools.disturbances.struck("disable-mapping", self.name):
                await self.pause(_PAUSE_S)
                continue
            started = self.now()
            gathered = await self._gather()
            if gathered.failed:
                failures += 1
                await self.back_off(failures)
            else:
                failures = 0
            if gathered.deliveries:
                tasks.create_task(self._work_off(*self._in_hand(gathered)))
            elif not gathered.failed:
                await self.pause(_PAUSE_S - (self.now() - started) / NS_PER_S)

    async def _gather(self) -> Gathered:
        """One receive, or with a window as many as it lasts for, until there are as many as one invocation takes."""
        gathered = Gathered()
        until: float | None = None
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            left_s = self.config.wait_s if until is None else until - loop.time()
            most = min(self._mapping.batch - len(gathered.deliveries), self._source.batch_max)
            if most <= 0 or left_s < 0:
                break
            started = self.now()
            receive = self._source.receive(most=most, wait_s=min(math.ceil(left_s), _WAIT_MOST_S), attributes=True)
            try:
                answer = await self.tools.carry(receive)
            except CallFailed as error:
                say(f"receiving failed: {error}")
                gathered.failed = True
                break
            self.tools.meters.polled((self.now() - started) / NS_PER_S)
            deliveries, foreign = self.apart(self._source.received(answer))
            if foreign:
                await self._keep_out_of_sight(foreign)
            gathered.add(await self._passing(deliveries), started)
            if until is None:
                if not gathered.deliveries or not self._mapping.window_s:
                    break
                until = loop.time() + self._mapping.window_s
        return gathered

    async def _passing(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those that the function is to see; the others are deleted unseen, and nobody expects them."""
        patterns = self._mapping.filter
        passing = [delivery for delivery in deliveries if passes(patterns, delivery.body)]
        dropped = [delivery for delivery in deliveries if delivery not in passing]
        if dropped:
            try:
                await self.tools.carry(self._source.delete(dropped))
            except CallFailed as error:
                say(f"{len(dropped)} messages that the filter drops were not deleted, and come again: {error}")
        return passing

    def _in_hand(self, gathered: Gathered) -> tuple[Batch, Sequence[int]]:
        """The batch, and when the receive of each of its messages began."""
        batch = Batch(name=self._next_batch())
        batch.messages = [QueueMessage(self, batch, delivery) for delivery, _ in gathered.deliveries.values()]
        self._open_batches += 1
        self._make_room()
        return batch, [started for _, started in gathered.deliveries.values()]

    # Invoking.

    async def _work_off(self, batch: Batch, starts: Sequence[int]) -> None:
        visible_again = min(starts) + round((self.config.hidden_s - _SPARE_S) * NS_PER_S)
        try:
            if await self._invoker.may_begin(batch.name, until=visible_again):
                try:
                    await self._invoke(batch, starts)
                finally:
                    self._invoker.over()
            else:
                # Nobody was invoked with them, and they have used up a receive.
                self._take_all(batch, starts)
                self._abandon(batch.messages)
        finally:
            self._open_batches -= 1
            self._make_room()

    async def _invoke(self, batch: Batch, starts: Sequence[int]) -> None:
        self._take_all(batch, starts, self._invoker.invoked(batch.name, batch.messages))
        answered = await self._invoker.invoke(batch.name, batch.messages)
        places = range(len(batch.messages))
        failed = set(places if answered.failed is None else answered.failed)
        self._abandon([batch.messages[place] for place in sorted(failed)])
        done = [batch.messages[place] for place in places if place not in failed]
        for first in range(0, len(done), _SETTLE_MOST):
            self.announce(deletes=done[first : first + _SETTLE_MOST])
            await self.settle(batch)
        self.write()

    def _take_all(self, batch: Batch, starts: Sequence[int], *before: Record) -> None:
        """Record the receives in one write; from here on their messages are in hand."""
        received = [
            message.received_record(started, hidden_s=self.config.hidden_s)
            for message, started in zip(batch.messages, starts, strict=True)
        ]
        self.took(batch.messages, [*before, *received])
