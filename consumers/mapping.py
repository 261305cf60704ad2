"""The worker that invokes a function with what stands in a queue, as Lambda's event source mapping does.

It promises the mapping's own conduct, so that a function can be judged on every target: it gathers a batch, drops what
its filter does not match, invokes, deletes what the answer reports done, and leaves the rest to its visibility timeout.
It gives nothing back and extends nothing. An invocation that is throttled is tried again until the messages are about
to turn visible; then they have used up a receive in vain.

Each invocation is on record: `invoked`, with a `received` for each message, before the function has them, and
`responded` before anything is settled by its answer. What a function says of its own effects stands beside those.

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
from gameday.consumers.handlers import HandlerFailed
from gameday.consumers.lambda_events import BatchFails, effects_of, failed_of
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.work import Tools, say
from gameday.consumers.worker import Batch, QueueMessage, Worker
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record
from gameday.transports.base import CallFailed, Delivery, QueueSource
from gameday.transports.filters.function_filter import passes

# So long before its messages turn visible a throttled invocation is given up, and how often it is tried until then.
_SPARE_S = 0.2
_TRY_AGAIN_S = 0.1
_DISABLED_S = 0.1
# Of a call that deletes.
_SETTLE_MOST = 10
# The longest poll.
_WAIT_MOST_S = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What came of an invocation: the places that failed, or None where all did; what is known of effects; why."""

    failed: Sequence[int] | None
    effects: Sequence[tuple[int, events.EffectResult]] = ()
    error: str | None = None


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
        assert isinstance(tools.handler, OwnHandler), "a function is somebody else's"
        self._function = tools.handler
        self._mapping = mapping
        self._running = 0

    # Receiving.

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        failures = 0
        while not self._stopping.is_set():
            await self._room.wait()
            if self.tools.disturbances.struck("disable-mapping", self.name):
                await self.pause(_DISABLED_S)
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
                await self.pause(_TRY_AGAIN_S - (self.now() - started) / NS_PER_S)

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
        try:
            if await self._may_run(batch, until=min(starts) + round((self.config.hidden_s - _SPARE_S) * NS_PER_S)):
                try:
                    await self._invoke(batch, starts)
                finally:
                    self._running -= 1
            else:
                # Nobody was invoked with them, and they have used up a receive.
                self._take_all(batch, starts)
                self._abandon(batch.messages)
        finally:
            self._open_batches -= 1
            self._make_room()

    async def _may_run(self, batch: Batch, *, until: int) -> bool:
        """Waits while the function is throttled, and then takes its place; not longer than `until`."""
        reserved = self._mapping.reserved
        while True:
            full = reserved is not None and self._running >= reserved
            if not self.tools.disturbances.struck("throttle-function", batch.name) and not full:
                self._running += 1
                return True
            if self._stopping.is_set() or self.now() >= until:
                return False
            await self.pause(_TRY_AGAIN_S)

    async def _invoke(self, batch: Batch, starts: Sequence[int]) -> None:
        self._take_all(batch, starts, self._invoked(batch))
        began = self.now()
        answered = await self._answer(batch)
        self.tools.meters.handled((self.now() - began) / NS_PER_S)
        places = range(len(batch.messages))
        failed = set(places if answered.failed is None else answered.failed)
        self._abandon([batch.messages[place] for place in sorted(failed)])
        for place, _ in answered.effects:
            batch.messages[place].effect_started = began
        records = [batch.messages[place].effect_record(outcome) for place, outcome in answered.effects]
        done = [batch.messages[place] for place in places if place not in failed]
        self.tell(*records, self._responded(batch, answered))
        for first in range(0, len(done), _SETTLE_MOST):
            self.announce(deletes=done[first : first + _SETTLE_MOST])
            await self.settle(batch)
        self.write()

    async def _answer(self, batch: Batch) -> Answered:
        deliveries = [message.delivery for message in batch.messages]
        try:
            # What a fault makes it slower by is of its own time.
            async with asyncio.timeout(self._mapping.timeout_s):
                await self._be_disturbed(batch.messages)
            told = await self._function.invoke(deliveries)
        except TimeoutError:
            return self._failed(batch, f"it did not answer within {self._mapping.timeout_s:g} s")
        except HandlerFailed as error:
            return self._failed(batch, str(error))
        identifiers = self._function.identifiers(deliveries)
        effects = tuple(effects_of(told, identifiers).items())
        try:
            failed = failed_of(told, identifiers) if self._mapping.partial else []
        except BatchFails as error:
            say(f"{batch.name}: its whole batch fails: {error}")
            return Answered(failed=None, effects=effects, error=str(error))
        return Answered(failed=failed, effects=effects)

    def _failed(self, batch: Batch, why: str) -> Answered:
        say(f"the invocation {batch.name} failed: {why}")
        return Answered(failed=None, error=why)

    # What is told.

    def _take_all(self, batch: Batch, starts: Sequence[int], *before: Record) -> None:
        """Record the receives in one write; from here on their messages are in hand."""
        received = [
            message.received_record(started, hidden_s=self.config.hidden_s)
            for message, started in zip(batch.messages, starts, strict=True)
        ]
        self._took(batch.messages, [*before, *received])

    def _invoked(self, batch: Batch) -> Record:
        return events.invoked(
            subscription=self.config.subscription,
            batch=batch.name,
            ids=[message.id for message in batch.messages if message.id is not None],
            function=self._mapping.function,
            request=batch.name,
            consumer=self.name,
        )

    def _responded(self, batch: Batch, answered: Answered) -> Record:
        ids = [batch.messages[place].id for place in answered.failed or ()]
        named = [id for id in ids if id is not None]
        # Of a partial answer that names what has no name here nobody could tell what it did not name.
        outcome: events.SendResult = (
            "failed" if answered.failed is None else "ok" if len(named) == len(ids) else "unknown"
        )
        return events.responded(
            subscription=self.config.subscription,
            batch=batch.name,
            outcome=outcome,
            failed=named,
            error=answered.error,
            function=self._mapping.function,
            request=batch.name,
            consumer=self.name,
        )
