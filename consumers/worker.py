"""The worker of one consumer process: receives, hands over to the handler, settles, and writes it all down.

It promises what the record format asks: a receive is recorded whole before any handler sees it, an effect and the
`settling` of its message in one write before the call that settles, every answer after it. A receive whose answer was
lost is nothing it knows, so it records nothing.

A poller receives the next batch as soon as no more is in hand than the handlers can take at once; so one slow message
holds nothing else up, and `concurrency` + `pollers` x `batch` bounds what waits here while its visibility timeout runs.
Where the transport keeps an order, messages of one group are handled one after another in batch order, groups beside
each other, and the first failure stops its group: the rest of that group's messages in the batch are released, for
handling them would overtake the one that failed. Where it keeps none, every message stands alone. `concurrency`
handlers work at once in the whole process.

What becomes of a message whose handler failed: it is released at once (visibility 0) when the failure is the message's
own, so that a poison message comes to its dead-letter queue in moments rather than blocking its group for
`max_receives` visibility timeouts. When the effect store failed it is left to expire: the visibility timeout is the
pause that a store in trouble needs, and trying again at once would only burn receives.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from consumers.config import ConsumerConfig
from consumers.disturbances import Disturbances
from consumers.effects import EffectStore, Key
from consumers.guards import Guard
from consumers.handlers import Handler, HandlerFailed
from history import events
from history.clock import NS_PER_S
from history.errors import HistoryError
from history.events import EffectResult, Record, SendResult, SettleAction
from history.writer import Writer
from transports.base import Answer, Call, CallFailed, Delivery, QueueSource
from transports.registry import TRANSPORTS

# How long a finished message waits for others of its batch, so that one call deletes them together.
_LINGER_S = 0.1
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
# An empty answer that came sooner than this was no long poll: asking again at once would spin.
_EMPTY_PACE_S = 0.1


Outcome = tuple[SendResult, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a worker works with."""

    writer: Writer
    carry: Callable[[Call], Awaitable[Answer]]
    source: QueueSource
    store: EffectStore
    handler: Handler
    guard: Guard
    disturbances: Disturbances


class InHand:
    """A message from its receive to its settling: what a handler sees as its `Work`.

    `intent` is the `settling` record that ends it, once that is written. `abandoned`: it is left to expire. `applied`:
    the effect is in the store, whatever comes after it.
    """

    __slots__ = ("_worker", "abandoned", "applied", "batch", "delivery", "effect_started", "id", "intent", "key")

    def __init__(self, worker: Worker, batch: Batch, delivery: Delivery) -> None:
        self.delivery = delivery
        self.batch = batch
        # The history needs a name for a message that is not ours as well; the broker's is the only one it has.
        self.id = delivery.id or delivery.broker_id or ""
        # What a disturbance rolls its dice on: a redelivery rolls again.
        self.key = f"{self.id}:{delivery.receives}"
        self.intent: Record | None = None
        self.abandoned = False
        self.applied = False
        self.effect_started = 0
        self._worker = worker

    async def process(self) -> None:
        stretched_s = self._worker.tools.disturbances.stretched(self.key)
        seconds = self._worker.config.processing_time_s if stretched_s is None else stretched_s
        if seconds > 0:
            await asyncio.sleep(seconds)
        if self.delivery.poison:
            raise HandlerFailed(f"{self.id} is poison")

    async def effect(self) -> EffectResult:
        tools = self._worker.tools
        self.effect_started = self._worker.now()
        return await tools.guard(tools.store, Key(self._worker.config.subscription, self.id), self._step)

    async def delete(self) -> None:
        self._worker.queue(deletes=[self])
        await self._worker.settle(self.batch)

    def _step(self, point: str) -> None:
        if point == "before-effect":
            self.effect_started = self._worker.now()
        else:
            self.applied = True
        self._worker.tools.disturbances.crash(point, self.key)

    def effect_record(self, outcome: EffectResult) -> Record:
        return events.effect(
            id=self.id,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch.name,
            started=self.effect_started or self._worker.now(),
            outcome=outcome,
        )

    def failure_record(self) -> Record:
        """A handler that fails after its effect (check-then-act can, at its last write) has had the effect."""
        return self.effect_record("applied" if self.applied else "failed")

    def settling(self, action: SettleAction, *, hidden_s: float | None = None) -> Record:
        return events.settling(
            id=self.id,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch.name,
            broker_id=self.delivery.broker_id,
            action=action,
            hidden_s=hidden_s,
        )


@dataclass(slots=True)
class Batch:
    """One receive call's messages. `deletes` and `releases` are announced in the history and wait for their call."""

    name: str
    messages: list[InHand] = field(default_factory=list)
    deletes: list[InHand] = field(default_factory=list)
    releases: list[InHand] = field(default_factory=list)

    def lanes(self, *, ordered: bool) -> Iterable[list[InHand]]:
        """Messages that must be handled one after another: those of a group, if it is ordered; else each alone."""
        lanes: dict[object, list[InHand]] = {}
        for n, message in enumerate(self.messages):
            group = message.delivery.group if ordered else None
            lanes.setdefault(n if group is None else group, []).append(message)
        return lanes.values()


class Worker:
    """Works until `stop`. Whoever made the tools closes them.

    `holding` counts the messages in hand: received, and neither ready to be settled nor given up.
    """

    def __init__(self, *, config: ConsumerConfig, name: str, tools: Tools) -> None:
        self.name = name
        self.config = config
        self.tools = tools
        self.holding = 0
        self._tell_holding: Callable[[int], None] | None = None
        self._ordered = TRANSPORTS[config.transport].ordered
        self._batches = 0
        self._slots = asyncio.Semaphore(config.concurrency)
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = asyncio.Event()
        self._random = random.Random(f"{config.seed}:{name}")

    def now(self) -> int:
        return self.tools.writer.clock.now_ns()

    def stop(self) -> None:
        """Drain: receive no more, finish what is in hand, release what was not begun; then `run` returns."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Until somebody calls `stop`."""
        await self._stopping.wait()

    def tell_when_holding(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with how many messages are in hand, now or as soon as there is one."""
        if self.holding:
            tell(self.holding)
        else:
            self._tell_holding = tell

    async def run(self) -> None:
        """Errors: HistoryError when a record could not be written."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self.config.pollers):
                    tasks.create_task(self._poll(tasks))
        except BaseExceptionGroup as group:
            # The first cause is the one to tell; the others are its consequences.
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    # Receiving.

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        source = self.tools.source
        receive = source.receive(most=min(self.config.batch, source.batch_max), wait_s=self.config.wait_s)
        failures = 0
        while not self._stopping.is_set():
            started = self.now()
            try:
                answer = await self.tools.carry(receive)
            except CallFailed as error:
                failures += 1
                if failures == 1:
                    _say(f"receiving failed, trying again more slowly: {error}")
                most_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** min(failures, 10))
                await self._pause(self._random.uniform(_BACKOFF_FIRST_S, most_s))
                continue
            failures = 0
            if deliveries := source.received(answer):
                tasks.create_task(self._work_through(self._take(deliveries, started)))
                await self._room.wait()
            else:
                await self._pause(_EMPTY_PACE_S - (self.now() - started) / NS_PER_S)

    def _take(self, deliveries: Sequence[Delivery], started: int) -> Batch:
        """Record the whole receive in one write; from here on its messages are in hand."""
        self._batches += 1
        batch = Batch(name=f"{self.name}-{self._batches}")
        batch.messages = [InHand(self, batch, delivery) for delivery in deliveries]
        self.tools.writer.write(*(self._received_record(message, started) for message in batch.messages))
        self._hold(len(batch.messages))
        if self._tell_holding is not None:
            self._tell_holding(self.holding)
            self._tell_holding = None
        for message in batch.messages:
            self.tools.disturbances.crash("after-receive", message.key)
        return batch

    def _hold(self, more: int) -> None:
        self.holding += more
        if self.holding <= self.config.concurrency:
            self._room.set()
        else:
            self._room.clear()

    def _received_record(self, message: InHand, started: int) -> Record:
        delivery = message.delivery
        return events.received(
            id=message.id,
            subscription=self.config.subscription,
            consumer=self.name,
            batch=message.batch.name,
            started=started,
            broker_id=delivery.broker_id,
            broker_seq=delivery.broker_seq,
            upstream_id=delivery.upstream_id,
            group=delivery.group,
            receives=delivery.receives,
            enqueued=delivery.enqueued,
            hidden_s=self.config.hidden_s,
            intact=delivery.intact,
            replay=delivery.replay,
        )

    # Handling.

    async def _work_through(self, batch: Batch) -> None:
        """Handle the batch's lanes; meanwhile settle what is finished and extend what is not.

        The calls are made one at a time: an extension that overtook a release would hide the message again.
        """
        every_s = self.config.heartbeat_s
        extended = self.now()
        async with asyncio.TaskGroup() as tasks:
            lanes = {tasks.create_task(self._work_lane(lane)) for lane in batch.lanes(ordered=self._ordered)}
            while lanes:
                _, lanes = await asyncio.wait(lanes, timeout=_LINGER_S)
                await self.settle(batch)
                if lanes and every_s is not None and self.now() - extended >= every_s * NS_PER_S:
                    extended = self.now()
                    await self._extend(batch)

    async def _work_lane(self, lane: Sequence[InHand]) -> None:
        async with self._slots:
            for n, message in enumerate(lane):
                if self._stopping.is_set():
                    self.queue(releases=lane[n:])
                    return
                if not await self._handle(message):
                    self.queue(releases=lane[n + 1 :])
                    return

    async def _handle(self, message: InHand) -> bool:
        """Whether those behind it in its lane may go on."""
        if message.delivery.id is None:
            # No message of ours: there is nothing to do with it, and in the queue it would only come back. Its
            # `received` record is what the claims need to see.
            self.queue(deletes=[message])
            return True
        try:
            outcome = await self.tools.handler(message)
        except HistoryError:
            raise
        except CallFailed as error:
            _say(f"the effect store failed on {message.id}, which is left to expire: {error}")
            message.abandoned = True
            self._hold(-1)
            # Not definite means that the effect may be there: no record of an effect says exactly that.
            if error.definite or message.applied:
                self.tools.writer.write(message.failure_record())
            return False
        except Exception as error:
            if not isinstance(error, HandlerFailed):
                _say(f"the handler failed on {message.id}:\n{traceback.format_exc()}")
            self.queue(message.failure_record(), releases=[message])
            return False
        if outcome is None:
            self.queue(deletes=[message])
        else:
            self.queue(message.effect_record(outcome), deletes=[message])
        return True

    # Settling.

    def queue(self, *records: Record, deletes: Sequence[InHand] = (), releases: Sequence[InHand] = ()) -> None:
        """Write the records and the `settling` of each message in one write; `settle` makes the calls.

        A message that is settled already, by its handler, is left as it is.
        """
        deletes = [message for message in deletes if message.intent is None]
        releases = [message for message in releases if message.intent is None]
        for message in deletes:
            message.intent = message.settling("delete")
            message.batch.deletes.append(message)
        for message in releases:
            message.intent = message.settling("release")
            message.batch.releases.append(message)
        intents = _intents(deletes) + _intents(releases)
        if records or intents:
            self.tools.writer.write(*records, *intents)
        self._hold(-len(intents))

    async def settle(self, batch: Batch) -> None:
        """Delete and release what is queued, in one call each."""
        deletes, batch.deletes = batch.deletes, []
        releases, batch.releases = batch.releases, []
        if deletes := self._survive_deleting(deletes):
            call = self.tools.source.delete(_deliveries(deletes))
            await self._call_and_record(call, deletes, _intents(deletes), crash="after-delete")
        if releases:
            call = self.tools.source.hide(_deliveries(releases), hidden_s=0)
            await self._call_and_record(call, releases, _intents(releases))

    def _survive_deleting(self, messages: Sequence[InHand]) -> list[InHand]:
        """The messages whose delete really leaves: crash or lose some where a disturbance wants that."""
        disturbances = self.tools.disturbances
        for message in messages:
            disturbances.crash("before-delete", message.key)
        lost = [message for message in messages if disturbances.loses_delete(message.key)]
        if not lost:
            return list(messages)
        outcomes: list[Outcome] = [("unknown", "timeout: the delete was lost on its way (lose-delete)")] * len(lost)
        self._record(_intents(lost), self.now(), outcomes)
        return [message for message in messages if message not in lost]

    async def _extend(self, batch: Batch) -> None:
        messages = [message for message in batch.messages if message.intent is None and not message.abandoned]
        if messages:
            intents = [message.settling("extend", hidden_s=self.config.hidden_s) for message in messages]
            self.tools.writer.write(*intents)
            call = self.tools.source.hide(_deliveries(messages), hidden_s=self.config.hidden_s)
            await self._call_and_record(call, messages, intents)

    async def _call_and_record(
        self, call: Call, messages: Sequence[InHand], intents: Sequence[Record], *, crash: str | None = None
    ) -> None:
        started = self.now()
        outcomes: list[Outcome]
        try:
            answer = await self.tools.carry(call)
            outcomes = self.tools.source.settled(answer, _deliveries(messages))
        except CallFailed as error:
            outcomes = [(error.outcome, str(error))] * len(messages)
        if crash is not None:
            for message in messages:
                self.tools.disturbances.crash(crash, message.key)
        self._record(intents, started, outcomes)

    def _record(self, intents: Sequence[Record], started: int, outcomes: Sequence[Outcome]) -> None:
        self.tools.writer.write(
            *(
                events.settled(intent, started=started, outcome=outcome, error=error)
                for intent, (outcome, error) in zip(intents, outcomes, strict=True)
            )
        )

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past `stop`."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)


def _deliveries(messages: Sequence[InHand]) -> list[Delivery]:
    return [message.delivery for message in messages]


def _intents(messages: Sequence[InHand]) -> list[Record]:
    return [message.intent for message in messages if message.intent is not None]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
