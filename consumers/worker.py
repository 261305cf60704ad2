"""The worker that consumes a queue: receives, hands over to the handler, settles, and writes it all down.

It promises what the record format asks of settling: an effect and the `settling` of its message stand in one write
before the call that settles, every answer after it. The rest of the promise is in consumers/work.py.

A poller receives the next batch as soon as no more is in hand than the handlers can take at once; so one slow message
holds nothing else up, and `concurrency` + `pollers` x `batch` bounds what waits here while its visibility timeout runs.
Where the transport keeps an order, messages of one group are handled one after another in batch order, groups beside
each other. Where it keeps none, every message stands alone.

What becomes of a message whose handler failed: it is released when the failure is the message's own; at once
(visibility 0), so that a poison message comes to its dead-letter queue in moments rather than blocking its group for
`max_receives` visibility timeouts, or hidden for a `retry_delay`, which is recorded as what it is, an extension to that
time. When the effect store failed, or a handler of somebody else's died or said nothing, it is left to expire: the
visibility timeout is the pause that a store in trouble needs, and trying again at once would only burn receives.

What becomes of the others of its batch says `after_failure`. `stop`: the rest of its group is released, for handling it
would overtake the one that failed. `continue`: the rest of its group is handled, which on a queue with an order is that
mistake. `fail-batch`: nothing of a batch is settled before all of it is handled, and if one fails, the handlers at work
end, no other begins, and all are released, those that were handled as well.

A handler of somebody else's that takes events of a queue is handed a whole batch, as one lane, and as many batches are
received as it has processes; its answer says what failed, and nothing else of the batch does (`after_failure` has no
say).

A message of others, where there may be any, is received once and kept out of sight until the run is over: each
receive brings it nearer to its dead-letter queue, and one that was given back at once would come again at once. The
conductor is told its receipt, and gives it back when the last consumer has ended, whoever was killed meanwhile. No
handler sees it, and it is never deleted.

What a fault holds in flight (`hold-in-flight`) is in hand, and nothing is done with it before that is over.

A drain begins no handler, unless `on_term` is `finish`; what was received and not begun is then released, or left to
expire (`abandon`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gameday.consumers.callbacks import Callbacks
from gameday.consumers.config import ConsumerConfig
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.work import BaseWorker, Handling, InHand, Tools, lanes, say
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record, SendResult, SettleAction
from gameday.transports.base import Call, CallFailed, Delivery, QueueSource, Workflows
from gameday.transports.registry import TRANSPORTS

# How long a finished message waits for others of its batch, so that one call deletes them together.
_LINGER_S = 0.1
# An empty answer that came sooner than this was no long poll: asking again at once would spin.
_EMPTY_PACE_S = 0.1


SettleOutcome = tuple[SendResult, str | None]


class QueueMessage(InHand):
    """`intent` is the `settling` record that ends it, once that is written. `abandoned`: it is left to expire.

    `done`: its handler has succeeded.
    """

    __slots__ = ("_queue", "abandoned", "batch", "done", "intent")

    def __init__(self, worker: Worker, batch: Batch, delivery: Delivery) -> None:
        super().__init__(worker, batch.name, delivery, name=delivery.broker_id or "", again=delivery.receives)
        self.intent: Record | None = None
        self.abandoned = self.done = False
        self._queue = worker
        self.batch = batch

    async def delete(self) -> None:
        self._queue.announce(deletes=[self])
        await self._queue.settle(self.batch)

    def settling(self, action: SettleAction, *, hidden_s: float | None = None) -> Record:
        return events.settling(
            id=self.id,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch_name,
            broker_id=self.delivery.broker_id,
            action=action,
            hidden_s=hidden_s,
        )


@dataclass(slots=True)
class Batch:
    """One receive call's messages. `deletes` and `releases`, these by how long they are to be hidden, are announced in
    the history and wait for their call. `failed`: a handler has failed one of them.
    """

    name: str
    messages: list[QueueMessage] = field(default_factory=list)
    deletes: list[QueueMessage] = field(default_factory=list)
    releases: dict[int, list[QueueMessage]] = field(default_factory=dict)
    failed: bool = False


class Worker(BaseWorker):
    """A message is in hand until it is ready to be settled or given up."""

    def __init__(self, *, config: ConsumerConfig, name: str, tools: Tools, source: QueueSource) -> None:
        super().__init__(config=config, name=name, tools=tools)
        self._source = source
        self._ordered = TRANSPORTS[config.transport].ordered
        self._whole = config.after_failure == "fail-batch"
        self._own = tools.handler if isinstance(tools.handler, OwnHandler) else None
        self._takes_batches = self._own is not None and self._own.takes_batches
        transport = TRANSPORTS[config.transport]
        self._callbacks = Callbacks(self, transport, config.callback) if isinstance(transport, Workflows) else None
        self._open_batches = 0
        self._room = asyncio.Event()
        self._room.set()

    def _works(self, tasks: asyncio.TaskGroup) -> Iterable[Coroutine[Any, Any, None]]:
        return (self._poll(tasks) for _ in range(self.config.pollers))

    # Receiving.

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        source = self._source
        most = min(self.config.batch, source.batch_max)
        receive = source.receive(most=most, wait_s=self.config.wait_s, attributes=self._own is not None)
        failures = 0
        while not self._stopping.is_set():
            started = self.now()
            try:
                answer = await self.tools.carry(receive)
            except CallFailed as error:
                failures += 1
                if failures == 1:
                    say(f"receiving failed, trying again more slowly: {error}")
                await self.back_off(failures)
                continue
            failures = 0
            self.tools.meters.polled((self.now() - started) / NS_PER_S)
            if received := source.received(answer):
                deliveries, foreign = self.apart(received)
                if foreign:
                    tasks.create_task(self._keep_out_of_sight(foreign))
                if deliveries:
                    tasks.create_task(self._work_through(self._batch(deliveries, started)))
                await self._room.wait()
            else:
                await self.pause(_EMPTY_PACE_S - (self.now() - started) / NS_PER_S)

    def _batch(self, deliveries: Sequence[Delivery], started: int) -> Batch:
        batch = Batch(name=self._next_batch())
        batch.messages = [QueueMessage(self, batch, delivery) for delivery in deliveries]
        self._open_batches += 1
        self._take(batch.messages, started, hidden_s=self.config.hidden_s)
        return batch

    def _hold(self, more: int) -> None:
        super()._hold(more)
        self._make_room()

    def _make_room(self) -> None:
        if self._takes_batches:
            # A batch that waited for a handler would only lose of its visibility timeout.
            has_room = self._open_batches < self.config.concurrency
        else:
            has_room = self.holding <= self.config.concurrency
        for hold in self.tools.disturbances.standing("hold-in-flight"):
            if hold.most is not None:
                has_room = self.holding < hold.most
        if has_room:
            self._room.set()
        else:
            self._room.clear()

    # Messages of others.

    async def _keep_out_of_sight(self, foreign: Sequence[Delivery]) -> None:
        self.tools.keeps_foreign([delivery.receipt for delivery in foreign])
        with suppress(CallFailed):  # then each comes again when its visibility timeout is over, and this is tried again
            await self.tools.carry(self._source.hide(foreign, hidden_s=self.config.foreign_hold_s or 0))

    # Handling.

    async def _work_through(self, batch: Batch) -> None:
        """Handle the batch's lanes; meanwhile settle what is finished and extend what is not.

        The calls are made one at a time: an extension that overtook a release would hide the message again.
        """
        await self._held(batch)
        every_s = self.config.heartbeat_s
        extended = self.reckons_ns() if every_s is not None else 0
        async with asyncio.TaskGroup() as tasks:
            if self._takes_batches:
                work = {tasks.create_task(self._work_whole(batch))}
            else:
                lanes_of = lanes(batch.messages, ordered=self._ordered)
                work = {tasks.create_task(self._work_lane(lane)) for lane in lanes_of}
            while work:
                _, work = await asyncio.wait(work, timeout=_LINGER_S)
                await self.settle(batch)
                if work and every_s is not None and (now := self.reckons_ns()) - extended >= every_s * NS_PER_S:
                    extended = now
                    await self._extend(batch)
        if self._whole:
            self._end(batch)
            await self.settle(batch)
        self._open_batches -= 1
        self._make_room()

    async def _held(self, batch: Batch) -> None:
        """Do nothing with it as long as a fault wants that; a drain ends it."""
        if not self.tools.disturbances.stands("hold-in-flight"):
            return
        struck = [self.tools.disturbances.struck("hold-in-flight", message.key) for message in batch.messages]
        for instance in {hold.instance for hold in struck if hold is not None}:
            over = asyncio.Event()
            self.tools.disturbances.when_over(instance, over.set)
            waits = [asyncio.ensure_future(over.wait()), asyncio.ensure_future(self._stopping.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            self._make_room()

    async def _work_whole(self, batch: Batch) -> None:
        """The batch is one request to a handler of somebody else's."""
        async with self.slots:
            if self._stopping.is_set() and self.config.on_term != "finish":
                self._leave(batch.messages)
                return
            handling = await self.hand_over_batch(batch.messages, ordered=self._ordered)
            if handling.in_trouble:
                self._abandon(batch.messages)
                self.announce(*handling.records)
                return
            failed = [batch.messages[place] for place in handling.failed]
            done = [message for place, message in enumerate(batch.messages) if place not in handling.failed]
            self.announce(*handling.records, deletes=done, releases=failed, failed=True)

    async def _work_lane(self, lane: Sequence[QueueMessage]) -> None:
        async with self.slots:
            for n, message in enumerate(lane):
                if self._stopping.is_set() and self.config.on_term != "finish":
                    self._leave(lane[n:])
                    return
                if self._whole and message.batch.failed:
                    return
                await self._handle(message)
                if not message.done and self.config.after_failure == "stop":
                    self.announce(releases=lane[n + 1 :])
                    return

    def _leave(self, unbegun: Sequence[QueueMessage]) -> None:
        """A drain has begun before they were."""
        if self.config.on_term == "release":
            self.announce(releases=unbegun)
        else:
            self._abandon(unbegun)

    def _abandon(self, messages: Sequence[QueueMessage]) -> None:
        for message in messages:
            message.abandoned = True
        self._hold(-len(messages))

    async def _handle(self, message: QueueMessage) -> None:
        # Of a message that is not ours our handlers have nothing to do, and in the queue it would only come back. Its
        # `received` record is what the claims need to see.
        nothing = not message.delivery.ours and self._own is None
        handling = Handling(True) if nothing else await self._hand_over(message)
        if not nothing and message.task is not None and message.task.token is not None:
            handling = await self._answer(message, handling)
        message.done = handling.done
        message.batch.failed |= not handling.done
        if handling.in_trouble:
            self._abandon([message])
        if handling.done and self.config.removal == "before-settle":
            # That mistake: until the message is deleted it may come again, to find its object gone.
            self.write(*handling.records)
            handling = replace(handling, records=())
            await message.remove_object()
        if self._whole or handling.in_trouble:
            self.announce(*handling.records)
        elif handling.done:
            self.announce(*handling.records, deletes=[message])
        else:
            self.announce(*handling.records, releases=[message], failed=True)

    async def _answer(self, message: QueueMessage, handling: Handling) -> Handling:
        """Tell the workflow that waits for it. One that has been told has no more use for the message: where a task
        failed, it sends another one, if at all."""
        if handling.in_trouble or self._callbacks is None:
            return handling
        self.write(*handling.records)
        told = await self._callbacks.answer(message, failed=not handling.done)
        return Handling(told, in_trouble=not told)

    def _end(self, batch: Batch) -> None:
        """All of a batch that succeeds or fails as a whole has been handled, or will not be."""
        rest = [message for message in batch.messages if not message.abandoned]
        if batch.failed:
            self.announce(releases=rest, failed=True)
        else:
            self.announce(deletes=rest)

    # Settling.

    def announce(
        self,
        *records: Record,
        deletes: Sequence[QueueMessage] = (),
        releases: Sequence[QueueMessage] = (),
        failed: bool = False,
    ) -> None:
        """Tell the records and the `settling` of each message; `settle` writes them if need be, and makes the calls.

        `releases` because they have `failed` stay hidden for their retry delay, others come again at once. A message
        that is settled already, by its handler, is left as it is.
        """
        deletes = [message for message in deletes if message.intent is None]
        releases = [message for message in releases if message.intent is None]
        for message in deletes:
            message.intent = message.settling("delete")
            message.batch.deletes.append(message)
        for message in releases:
            hidden_s = self.config.retry_after_s(message.delivery.receives or 1) if failed else 0
            message.intent = message.settling("extend", hidden_s=hidden_s) if hidden_s else message.settling("release")
            message.batch.releases.setdefault(hidden_s, []).append(message)
        intents = _intents(deletes) + _intents(releases)
        if records or intents:
            self.tell(*records, *intents)
        self._hold(-len(intents))

    async def settle(self, batch: Batch) -> None:
        """Delete and release what is announced, in one call for each length of time that something is to be hidden."""
        self.write()
        deletes, batch.deletes = batch.deletes, []
        releases, batch.releases = batch.releases, {}
        for message in deletes:
            self.crash("before-delete", message)
        if deletes:
            call = self._source.delete(_deliveries(deletes))
            settled = await self._call_and_record(call, deletes, _intents(deletes), crash="after-delete")
            if self.config.removal == "after-settle":
                done = [message for message, ok in zip(deletes, settled, strict=True) if ok]
                await asyncio.gather(*(message.remove_object() for message in done))
        for hidden_s, messages in releases.items():
            call = self._source.hide(_deliveries(messages), hidden_s=hidden_s)
            await self._call_and_record(call, messages, _intents(messages))

    async def _extend(self, batch: Batch) -> None:
        messages = [message for message in batch.messages if message.intent is None and not message.abandoned]
        if messages:
            intents = [message.settling("extend", hidden_s=self.config.hidden_s) for message in messages]
            self.write(*intents)
            self.tools.meters.heartbeat(len(messages))
            call = self._source.hide(_deliveries(messages), hidden_s=self.config.hidden_s)
            await self._call_and_record(call, messages, intents)

    async def _call_and_record(
        self, call: Call, messages: Sequence[QueueMessage], intents: Sequence[Record], *, crash: str | None = None
    ) -> list[bool]:
        """Which of them are settled for certain."""
        started = self.now()
        outcomes: list[SettleOutcome]
        try:
            answer = await self.tools.carry(call)
            outcomes = self._source.settled(answer, _deliveries(messages))
        except CallFailed as error:
            outcomes = [(error.outcome, str(error))] * len(messages)
        if crash is not None:
            for message in messages:
                self.crash(crash, message)
        for intent, (outcome, _) in zip(intents, outcomes, strict=True):
            if outcome != "ok":
                self.tools.meters.settle_failed(str(intent["action"]))
        self.write(
            *(
                events.settled(intent, started=started, outcome=outcome, error=error)
                for intent, (outcome, error) in zip(intents, outcomes, strict=True)
            )
        )
        return [outcome == "ok" for outcome, _ in outcomes]


def _deliveries(messages: Sequence[QueueMessage]) -> list[Delivery]:
    return [message.delivery for message in messages]


def _intents(messages: Sequence[QueueMessage]) -> list[Record]:
    return [message.intent for message in messages if message.intent is not None]
