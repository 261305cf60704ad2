"""An event source mapping of a queue: it receives, hands over a batch, and settles by what the function answers.

Rules, under docs.aws.amazon.com/lambda/latest/dg: with-sqs.html (batches and windows), services-sqs-errorhandling.html
(what an answer means, and throttles), with-sqs-filtering.html, services-sqs-scaling.html:
- a batch is handed over when it is full, or its window is over; without a window, with what one look finds;
- what the filter does not match is deleted, and no function sees it;
- what an answer reports done is deleted; the rest is left to its visibility timeout, and nothing is given back;
- a batch that is throttled is tried again until it is about to turn visible; its receives are used up by then;
- a queue that is FIFO gives nothing of a group while one of it is hidden, so a group has one invocation at a time.

Time is an argument, in ns. Not modelled: a batch ends at 6 MB, the number of pollers grows with the backlog, and fewer
poll while functions fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gameday.emulator.broker import shown
from gameday.emulator.queues import Message, Queue
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S
from gameday.transports.filters.function_filter import passes
from gameday.transports.lambda_events import BatchFails, Origin, failed_of, sqs_record

# Of a receive.
_RECEIVE_MOST = 10
# So long before its messages turn visible a throttled batch is given up.
_SPARE_NS = NS_PER_S // 5
_ALL = frozenset({"All"})


class MappingConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def refuses_timeout(self) -> bool:
        """Whether a mapping is refused whose function may outlast the visibility timeout of its queue."""
        return True

    def refuses_batch(self) -> bool:
        """Whether a batch is refused that is larger than its queue and its window allow."""
        return True

    def refuses_window(self) -> bool:
        """Whether a window is refused on a FIFO queue."""
        return True

    def throttles(self) -> bool:
        """Whether a function has no more invocations at once than its reserved concurrency."""
        return True

    def heeds_enabled(self) -> bool:
        """Whether a mapping that is disabled receives nothing."""
        return True

    def most(self, batch: int) -> int:
        """How many messages an invocation has at most."""
        return batch

    def passes(self, right: bool) -> bool:
        """Whether the function sees a message, by whether its filter matches."""
        return right

    def drops(self) -> bool:
        """Whether what the filter does not match is deleted."""
        return True

    def failed(self, answer: object, identifiers: Sequence[str]) -> Sequence[int]:
        """The places in the batch of what an answer fails."""
        try:
            return failed_of(answer, identifiers)
        except BatchFails:
            return range(len(identifiers))

    def fails(self) -> bool:
        """Whether a batch has failed whose invocation did."""
        return True

    def deletes(self) -> bool:
        """Whether what is done is deleted."""
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """How an invocation ended: its result, or the error with its kind, as Lambda calls it."""

    result: object = None
    error: str | None = None
    kind: str = "Runtime.HandlerError"


# Asks for an invocation with an event, and is told the end of it; False where it is throttled.
Begin = Callable[[Mapping[str, Any], Callable[[int, Ran], None]], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingSettings:
    """`batch`: the most messages of an invocation; `concurrency`: the most invocations at once; `partial`: the answer
    may say what failed; `filters`: of which a message must match one, if there are any."""

    batch: int
    window_ns: int
    concurrency: int
    partial: bool
    filters: Sequence[Mapping[str, Any]]
    enabled: bool


@dataclass(slots=True, eq=False)
class _Batch:
    """`until`: when its window is over; `visible`: when its first message is visible again. In ns."""

    until: int
    visible: int
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def identifiers(self) -> list[str]:
        return [record["messageId"] for record in self.records]


class QueueMapping:
    """One mapping. Whoever has it calls `advance` whenever something may have come, or `next_change_ns` is there."""

    def __init__(
        self,
        *,
        queue: Queue,
        origin: Origin,
        settings: MappingSettings,
        begin: Begin,
        denied: Callable[[str], bool],
        conduct: MappingConduct,
    ) -> None:
        """`denied`: whether the queue lets nobody do that, like sqs:ReceiveMessage."""
        self.settings = settings
        self._denied = denied
        self._queue = queue
        self._origin = origin
        self._begin = begin
        self._conduct = conduct
        self._gathering: _Batch | None = None
        self._throttled: list[_Batch] = []
        self._running = 0

    def advance(self, now: int) -> None:
        waiting, self._throttled = self._throttled, []
        for batch in waiting:
            # Who is too late has used up a receive of each message in vain.
            if now < batch.visible:
                self._hand_over(batch)
        while self._gathered(now):
            pass

    def next_change_ns(self) -> int | None:
        changes = [batch.visible for batch in self._throttled]
        if self._gathering is not None:
            changes.append(self._gathering.until)
        if self._receives() and (change := self._queue.next_change_ns()) is not None:
            changes.append(change)
        return min(changes, default=None)

    def _receives(self) -> bool:
        if not self.settings.enabled and self._conduct.heeds_enabled():
            return False
        if self._denied("sqs:ReceiveMessage"):
            return False
        return self._gathering is not None or self._running + len(self._throttled) < self.settings.concurrency

    def _gathered(self, now: int) -> bool:
        """Whether a batch was handed over."""
        most = self._conduct.most(self.settings.batch)
        batch = self._gathering
        while self._receives() and (batch is None or len(batch.records) < most):
            left = most if batch is None else most - len(batch.records)
            taken = self._queue.receive(now, most=min(left, _RECEIVE_MOST))
            if not taken:
                break
            passing = [message for message in taken if self._passes(now, message)]
            if passing and batch is None:
                visible = now + self._queue.settings.visibility_ns - _SPARE_NS
                batch = _Batch(until=now + self.settings.window_ns, visible=visible)
            if batch is not None:
                batch.records += [sqs_record(shown(self._queue, each, _ALL, ["All"]), self._origin) for each in passing]
        self._gathering = batch
        if batch is None or (len(batch.records) < most and now < batch.until):
            return False
        self._gathering = None
        self._hand_over(batch)
        return True

    def _passes(self, now: int, message: Message) -> bool:
        if self._conduct.passes(passes(self.settings.filters, message.draft.body)):
            return True
        if self._conduct.drops():
            self._delete(now, message.receipt)
        return False

    def _hand_over(self, batch: _Batch) -> None:
        if self._begin({"Records": batch.records}, lambda now, ran: self._over(now, batch, ran)):
            self._running += 1
        else:
            self._throttled.append(batch)

    def _over(self, now: int, batch: _Batch, ran: Ran) -> None:
        self._running -= 1
        if ran.error is None:
            failed = self._conduct.failed(ran.result, batch.identifiers) if self.settings.partial else ()
        else:
            failed = range(len(batch.records)) if self._conduct.fails() else ()
        for place, record in enumerate(batch.records):
            if place not in failed and self._conduct.deletes():
                self._delete(now, record["receiptHandle"])

    def _delete(self, now: int, receipt: str) -> None:
        if self._denied("sqs:DeleteMessage"):
            return
        # On FIFO an outdated receipt is refused: its message has come again.
        with suppress(Refused):
            self._queue.delete(now, receipt)
