"""What every worker does, whatever it consumes from: take records in, hand them over, write down what came of it.

It promises what the record format asks: what was received is recorded whole before any handler sees it. A receive whose
answer was lost is nothing it knows, so it records nothing. `concurrency` handlers work at once in the whole process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.effects import EffectStore, Key
from gameday.consumers.guards import Guard, Job
from gameday.consumers.handlers import Handle
from gameday.consumers.meters import Meters
from gameday.consumers.objects import Objects
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.schemas import Conformity
from gameday.history import envelope, events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import HistoryError, ProcessError
from gameday.history.events import Conforms, EffectResult, Record
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbances
from gameday.processes.handler_process import EffectUnknown, HandlerFailed, Unanswered
from gameday.transports.base import Answer, Call, CallFailed, Delivery, TaskOf

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a worker works with, besides what it consumes from. An `OwnHandler` has neither store nor guard of ours."""

    writer: Writer
    carry: Callable[[Call], Awaitable[Answer]]
    handler: Handle | OwnHandler
    disturbances: Disturbances
    store: EffectStore | None = None
    guard: Guard | None = None
    meters: Meters = field(default_factory=Meters)
    objects: Objects | None = None
    conforms: Conformity | None = None
    # Told the receipts of messages of others, where there may be any: who outlives this process gives them back.
    keeps_foreign: Callable[[Sequence[str]], None] = lambda receipts: None


class InHand(ABC):
    """A message from its receive to its end: what a handler sees as its `Work`.

    `id` names it in the history, None where nothing in it does; `name` does so for people, and `key` is what a
    disturbance rolls its dice on. `applied`: the effect is in the store, whatever comes after it.
    """

    __slots__ = ("_tries", "_worker", "applied", "batch_name", "delivery", "effect_started", "id", "key", "name")

    def __init__(self, worker: BaseWorker, batch_name: str, delivery: Delivery, *, name: str, again: object) -> None:
        self.delivery = delivery
        self.batch_name = batch_name
        self.name = delivery.id or name
        # Every order of ours names itself: what does not is none of them, and that is on record under the only name
        # that there is. Of others nobody knows so much.
        self.id = self.name if worker.config.identification.by == "envelope" else delivery.id
        # What comes again rolls the dice again.
        self.key = f"{self.name}:{again}"
        self.applied = False
        self.effect_started = 0
        self._tries = 0
        self._worker = worker

    @property
    def task(self) -> TaskOf | None:
        """What it asks for, where a workflow sent it."""
        return self.delivery.task

    async def process(self) -> None:
        if (seconds := self.processing_time_s()) > 0:
            await asyncio.sleep(seconds)
        if self.delivery.poison:
            raise HandlerFailed(f"{self.name} is poison")
        self.fail_if_struck()

    def processing_time_s(self) -> float:
        stretch = self._worker.tools.disturbances.struck("stretch-processing", self.key)
        return self._worker.config.processing_time_s if stretch is None else stretch.seconds

    def fail_if_struck(self) -> None:
        """Errors: HandlerFailed."""
        self._tries += 1
        if self._worker.tools.disturbances.struck("fail-handler", f"{self.key}:{self._tries}"):
            raise HandlerFailed(f"{self.name} fails this time (fail-handler)")

    async def effect(self, work: Callable[[], Awaitable[None]] | None = None) -> EffectResult:
        worker = self._worker
        assert self.id is not None, "a handler whose effects are kept by id is refused where nothing tells one"
        assert worker.tools.store is not None and worker.tools.guard is not None, "a handler of ours has both"
        # Where nothing comes to be written, this stands: the moment when the guard was asked.
        self.effect_started = worker.now()
        job = Job(
            store=worker.tools.store,
            key=Key(worker.config.subscription, self.id if self.task is None else self.task.key(self.id)),
            work=work or _nothing,
            step=self._step,
            now=worker.reckons_ns,
            expiry_s=worker.config.guard_expiry_s,
        )
        return await worker.tools.guard(job)

    @abstractmethod
    async def delete(self) -> None: ...

    def _step(self, point: str) -> None:
        if point == "before-effect":
            self.effect_started = self._worker.now()
        else:
            self.applied = True
        self._worker.crash(point, self)

    def received_record(self, started: int, *, hidden_s: int | None) -> Record:
        delivery = self.delivery
        return events.received(
            id=self.id,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch_name,
            started=started,
            broker_id=delivery.broker_id,
            broker_seq=delivery.broker_seq,
            upstream_id=delivery.upstream_id,
            partition=delivery.partition,
            group=delivery.group,
            receives=delivery.receives,
            enqueued=delivery.enqueued,
            hidden_s=hidden_s,
            intact=delivery.intact,
            replay=delivery.replay,
            schema=self._conforms(delivery.body) if delivery.reference is None and delivery.ours else None,
            execution=None if self.task is None else self.task.execution,
            item=None if self.task is None else self.task.item,
        )

    def _conforms(self, body: str) -> Conforms | None:
        asked = self._worker.tools.conforms
        return None if asked is None else asked(body)

    async def fetch(self) -> None:
        """Take the body that a reference stands for in its place, and tell what was found.

        Errors: HandlerFailed where there is none, or another one; CallFailed where nobody knows; HistoryError.
        """
        objects, reference = self._worker.tools.objects, self.delivery.reference
        if objects is None or reference is None or self.id is None:
            return
        told = partial(
            events.fetched,
            id=self.id,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch_name,
            object=reference.object,
            started=self._worker.now(),
        )
        try:
            body = await objects.fetch(reference)
        except CallFailed as failed:
            self._worker.write(told(outcome="failed", error=str(failed)))
            raise
        if body is None:
            self._worker.write(told(outcome="gone"))
            raise HandlerFailed(f"the object {reference.object} of {self.name} is gone")
        found = envelope.unpack(body)
        intact = found is not None and found.intact and found.id == self.id and reference.fits(body)
        text = body.decode("utf-8", "replace")
        self._worker.write(told(outcome="ok", intact=intact, schema=self._conforms(text)))
        if found is None or not intact:
            raise HandlerFailed(f"the object {reference.object} of {self.name} is not the one that was stored")
        self.delivery = replace(self.delivery, body=text, poison=found.poison, group=self.delivery.group or found.group)

    async def remove_object(self) -> None:
        """Errors: HistoryError."""
        objects, reference = self._worker.tools.objects, self.delivery.reference
        if objects is not None and reference is not None and self.id is not None:
            await objects.remove(
                reference, id=self.id, subscription=self._worker.config.subscription, consumer=self._worker.name
            )

    def effect_record(self, outcome: EffectResult, *, of_batch: bool = True) -> Record:
        if self.task is not None:
            return events.step(
                id=self.name,
                subscription=self._worker.config.subscription,
                execution=self.task.execution,
                item=self.task.item,
                consumer=self._worker.name,
                batch=self.batch_name if of_batch else None,
                started=self.effect_started or self._worker.now(),
                outcome=outcome,
            )
        return events.effect(
            id=self.name,
            subscription=self._worker.config.subscription,
            consumer=self._worker.name,
            batch=self.batch_name if of_batch else None,
            started=self.effect_started or self._worker.now(),
            outcome=outcome,
        )

    def failure_record(self, *, effect_known: bool = True) -> Record:
        """A handler that fails after its effect (check-then-act can, at its last write) has had the effect.

        Where its effect is not known, the record leaves out the batch: the receive is then one without an effect.
        """
        return self.effect_record("applied" if self.applied else "failed", of_batch=effect_known)


async def _nothing() -> None: ...


M = TypeVar("M", bound=InHand)


@dataclass(frozen=True, slots=True)
class Handling:
    """What came of handing a message over, with the records that tell it.

    `in_trouble`: the message itself may be good; the effect store is in trouble, or a handler of somebody else's.
    """

    done: bool
    records: Sequence[Record] = ()
    in_trouble: bool = False


@dataclass(frozen=True, slots=True)
class BatchHandling:
    """The same of a whole batch. `failed`: the places of the messages that failed in it."""

    failed: Collection[int]
    records: Sequence[Record] = ()
    in_trouble: bool = False


class BaseWorker(ABC):
    """Works until `stop`. Whoever made the tools closes them.

    `holding` counts the messages in hand: received, and not done with yet.
    """

    def __init__(self, *, config: ConsumerConfig, name: str, tools: Tools) -> None:
        self.name = name
        self.config = config
        self.tools = tools
        self.holding = 0
        self._tell_holding: Callable[[int], None] | None = None
        self._batches = 0
        # What is to be written at the end of this turn of the loop, and why that could not be.
        self._told: list[Record] = []
        self._unwritten: HistoryError | None = None
        self.slots = asyncio.Semaphore(config.concurrency)
        self._stopping = asyncio.Event()
        self._random = random.Random(f"{config.seed}:{name}")

    def now(self) -> int:
        return self.tools.writer.clock.now_ns()

    def reckons_ns(self) -> int:
        """The time that it decides by: `now`, which is what it records, unless its clock is off."""
        return self.now() + self.clock_error_ns()

    def clock_error_ns(self) -> int:
        """How far its clock is ahead."""
        step = self.tools.disturbances.struck("clock-step", self.name)
        return 0 if step is None else round(step.seconds * NS_PER_S)

    def stop(self) -> None:
        """Drain: receive no more, end what is begun, and do with the rest what `on_term` says; then `run` returns."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

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
                for work in self._works(tasks):
                    tasks.create_task(work)
        except BaseExceptionGroup as group:
            # The first cause is the one to tell; the others are its consequences.
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    @abstractmethod
    def _works(self, tasks: asyncio.TaskGroup) -> Iterable[Coroutine[Any, Any, None]]:
        """What `run` does; more may be begun in `tasks`."""
        ...

    def _next_batch(self) -> str:
        self._batches += 1
        return f"{self.name}-{self._batches}"

    def tell(self, *records: Record) -> None:
        """Write these at the end of this turn of the loop, with what else is told in it: the handlers of a batch end in
        one turn, and that is then one write."""
        if not self._told:
            asyncio.get_running_loop().call_soon(self._write_told)
        self._told += records

    def write(self, *records: Record) -> None:
        """Write these now, after what was told before. Errors: HistoryError, that of an earlier turn as well."""
        if self._unwritten is not None:
            raise self._unwritten
        told, self._told = self._told, []
        if told or records:
            self.tools.writer.write(*told, *records)

    def _write_told(self) -> None:
        try:
            self.write()
        except HistoryError as error:
            self._unwritten = error

    def _take(self, messages: Sequence[InHand], started: int, *, hidden_s: int | None = None) -> None:
        """Record the whole receive in one write; from here on its messages are in hand."""
        self.took(messages, [message.received_record(started, hidden_s=hidden_s) for message in messages])

    def took(self, messages: Sequence[InHand], records: Sequence[Record]) -> None:
        """These are in hand from here on, and `records` tell of it."""
        self.write(*records)
        self.tools.meters.took(len(messages))
        self._hold(len(messages))
        if self._tell_holding is not None:
            self._tell_holding(self.holding)
            self._tell_holding = None
        for message in messages:
            self.crash("after-receive", message)

    def _hold(self, more: int) -> None:
        self.holding += more

    def apart(self, deliveries: Sequence[Delivery]) -> tuple[Sequence[Delivery], Sequence[Delivery]]:
        """The run's, and those of others where there may be any: these are counted, and nothing more is recorded."""
        if self.config.foreign_hold_s is None:
            return deliveries, ()
        foreign = [delivery for delivery in deliveries if not delivery.ours]
        if foreign:
            self.tools.writer.write(events.mark("foreign", subscription=self.config.subscription, count=len(foreign)))
        return [delivery for delivery in deliveries if delivery.ours], foreign

    async def _hand_over(self, message: InHand) -> Handling:
        """Hand a message of ours to the handler. Errors: HistoryError."""
        began = self.now()
        try:
            handling = await self._handled(message)
            # An effect is known by its message's id alone, so what tells none leaves none on record.
            return handling if message.id is not None else replace(handling, records=())
        finally:
            self.tools.meters.handled((self.now() - began) / NS_PER_S)

    async def _handled(self, message: InHand) -> Handling:
        handler = self.tools.handler
        try:
            await message.fetch()
            if isinstance(handler, OwnHandler):
                await self.be_disturbed([message])
                await handler.one(message.delivery)
                # What it did, only its own store can tell.
                return Handling(True)
            outcome = await handler(message)
        except (HistoryError, ProcessError):
            raise
        except EffectUnknown as error:
            say(f"the handler failed on {message.id}: {error}")
            return Handling(False, [message.failure_record(effect_known=False)], isinstance(error, Unanswered))
        except CallFailed as error:
            say(f"the effect store failed on {message.name}: {error}")
            # Not definite means that the effect may be there: no record of an effect says exactly that.
            told = error.definite or message.applied
            return Handling(False, [message.failure_record()] if told else [], in_trouble=True)
        except Exception as error:
            if not isinstance(error, HandlerFailed):
                say(f"the handler failed on {message.name}:\n{traceback.format_exc()}")
            return Handling(False, [message.failure_record()])
        return Handling(True, [] if outcome is None else [message.effect_record(outcome)])

    async def hand_over_batch(self, messages: Sequence[InHand], *, ordered: bool) -> BatchHandling:
        """Hand a whole batch to a handler of somebody else's that takes batches. Errors: HistoryError, ProcessError.

        Who is told to have failed must have: in a batch that fails as a whole it may have been any, and where there is
        an order the first, for a function may stop there and give the rest back
        (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html asks it to).
        """
        handler = self.tools.handler
        assert isinstance(handler, OwnHandler)
        began = self.now()
        try:
            await self.be_disturbed(messages)
            failed = await handler.batch([message.delivery for message in messages])
        except EffectUnknown as error:
            say(f"the handler failed on the batch {messages[0].batch_name}: {error}")
            told = [] if len(messages) > 1 else [messages[0].failure_record(effect_known=False)]
            return BatchHandling(range(len(messages)), told, isinstance(error, Unanswered))
        except HandlerFailed as error:
            # It was never asked.
            say(f"the batch {messages[0].batch_name} failed: {error}")
            return BatchHandling(range(len(messages)), [message.failure_record() for message in messages])
        finally:
            self.tools.meters.handled((self.now() - began) / NS_PER_S)
        surely = failed[:1] if ordered else failed
        return BatchHandling(failed, [messages[place].failure_record(effect_known=False) for place in surely])

    async def be_disturbed(self, messages: Sequence[InHand]) -> None:
        """What faults do to the work of a handler that is not ours: they strike what it is asked, before it is asked.

        Errors: HandlerFailed.
        """
        if (seconds := max(message.processing_time_s() for message in messages)) > 0:
            await asyncio.sleep(seconds)
        messages[0].fail_if_struck()

    def crash(self, point: str, message: InHand) -> None:
        """End this process, as a power cut would, if a crash at this point of the work strikes the message."""
        if self.tools.disturbances.struck("crash-at", message.key, point=point):
            self.write()
            os.kill(os.getpid(), signal.SIGKILL)

    async def back_off(self, failures: int) -> None:
        """Pause after that many failed calls in a row."""
        most_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** min(failures, 10))
        await self.pause(self._random.uniform(_BACKOFF_FIRST_S, most_s))

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past `stop`."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)


def lanes(messages: Iterable[M], *, ordered: bool) -> Iterable[list[M]]:
    """Messages that must be handled one after another: those of a group, if it is ordered; else each alone."""
    found: dict[object, list[M]] = {}
    for n, message in enumerate(messages):
        group = message.delivery.group if ordered else None
        found.setdefault(n if group is None else group, []).append(message)
    return found.values()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
