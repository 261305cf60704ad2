"""What passes about the queue of a subscription, written down: receives, deliveries, and what settles them.

It promises the order that the record format asks for: `received` stands in the history before the answer is passed on,
`settling` before a call that settles is, `settled` after its answer. A settling call belongs to the receive that gave
its receipt, whichever consumer makes it.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record, SendResult, SettleAction
from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Delivery, QueueSource
from gameday.transports.queue import entries_of
from gameday.wire.client import Client
from gameday.wire.spoken import Params, Unreadable

RECEIVE = "ReceiveMessage"
DELETES = ("DeleteMessage", "DeleteMessageBatch")
_HIDES = ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch")
SETTLES = (*DELETES, *_HIDES)
# So many receipts are remembered; SQS lets no more messages be in flight in one queue.
_RECEIPTS_MAX = 150_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a receive gave: what settles it says so by its receipt."""

    batch: str
    delivery: Delivery

    @property
    def key(self) -> str:
        """What a fault rolls its dice on; a redelivery rolls again."""
        return f"{self.delivery.id or self.delivery.broker_id}:{self.delivery.receives}"


@dataclass(frozen=True, slots=True)
class Receive:
    """The messages of one answer; `batch` is None of one that gave none."""

    batch: str | None
    taken: Sequence[Taken] = ()


@dataclass(frozen=True, slots=True)
class Settle:
    """One message that a call settles. `entry`: its id in a batch, None where the call is about one message."""

    entry: str | None
    receipt: str
    taken: Taken | None
    record: Record

    @property
    def key(self) -> str:
        return self.receipt if self.taken is None else self.taken.key


class QueueTraffic:
    """`write` puts records into the history, and gives when; `now` is the run's clock."""

    def __init__(
        self,
        *,
        subscription: str,
        source: QueueSource,
        hidden_s: float,
        write: Callable[..., object],
        now: Callable[[], int],
    ) -> None:
        self._subscription = subscription
        self._source = source
        self._hidden_s = hidden_s
        self._write = write
        self._now = now
        self._receipts: OrderedDict[str, Taken] = OrderedDict()
        self._batches = itertools.count(1)
        self._calls = itertools.count(1)

    # Receiving

    @staticmethod
    def ask_for_all(params: Params) -> frozenset[str] | None:
        """Have the service tell all of a message's attributes; gives those that the consumer asked for, None where it
        asked for all (or for what is no list of names, which the service will refuse)."""
        given = [params.get(member) or [] for member in ("AttributeNames", "MessageSystemAttributeNames")]
        if not all(isinstance(names, list) for names in given):
            return None
        asked = frozenset(str(name) for names in given for name in names)
        if "All" in asked:
            return None
        # Of the two members that mean the same a service may read the newer alone, so that one is asked which is there.
        member = "MessageSystemAttributeNames" if params.get("MessageSystemAttributeNames") else "AttributeNames"
        params[member] = ["All"]
        return asked

    @staticmethod
    def leave_out(answer: Params, wanted: frozenset[str]) -> None:
        """Take out of the answer the attributes that the consumer did not ask for."""
        for message in answer.get("Messages") or ():
            attributes = message.get("Attributes")
            if attributes is not None:
                message["Attributes"] = {name: value for name, value in attributes.items() if name in wanted}
                if not message["Attributes"]:
                    del message["Attributes"]

    def received(self, client: Client, params: Params, answer: Params, *, started: int) -> Receive:
        """Record the messages of an answer, which is not passed on yet. Errors: Unreadable for what is no such
        answer."""
        try:
            deliveries = self._source.received(answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"not what SQS gives: {error!r}") from error
        if not deliveries:
            return Receive(None)
        batch = f"{client.name}-{next(self._batches)}"
        hidden_s = self._hides_s(params)
        taken = [Taken(batch, delivery) for delivery in deliveries]
        self._write(*(self._received(client, each, started, hidden_s) for each in taken))
        for each in taken:
            self._receipts[each.delivery.receipt] = each
        while len(self._receipts) > _RECEIPTS_MAX:
            self._receipts.popitem(last=False)
        return Receive(batch, taken)

    def delivered(
        self, client: Client, receive: Receive, params: Params, *, outcome: SendResult, error: str | None = None
    ) -> None:
        """Record that the answer was passed on, or that it was not."""
        if receive.batch is None:
            return
        self._write(
            events.delivered(
                subscription=self._subscription,
                consumer=client.name,
                batch=receive.batch,
                outcome=outcome,
                error=error,
            )
        )
        if outcome == "ok":
            until = self._now() + round(self._hides_s(params) * NS_PER_S)
            client.took((each.delivery.receipt for each in receive.taken), until)

    def _hides_s(self, params: Params) -> float:
        """How long a receive hides what it gives: as it says, else as the queue does."""
        asked = _seconds(params.get("VisibilityTimeout"))
        return self._hidden_s if asked is None else asked

    def _received(self, client: Client, taken: Taken, started: int, hidden_s: float) -> Record:
        delivery = taken.delivery
        return events.received(
            id=delivery.id,
            subscription=self._subscription,
            consumer=client.name,
            batch=taken.batch,
            started=started,
            broker_id=delivery.broker_id,
            broker_seq=delivery.broker_seq,
            upstream_id=delivery.upstream_id,
            group=delivery.group,
            receives=delivery.receives,
            enqueued=delivery.enqueued,
            hidden_s=hidden_s,
            intact=delivery.intact,
            replay=delivery.replay,
        )

    # Settling

    def settling(self, client: Client, operation: str, params: Params) -> list[Settle]:
        """Record what a call is about to settle, before it is passed on. One that cannot be read settles nothing."""
        call = f"{client.name}-c{next(self._calls)}"
        entries = params.get("Entries") if operation.endswith("Batch") else [params]
        settles = [
            self._settle(client, operation, entry, call)
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
            and isinstance(entry.get("ReceiptHandle"), str)
            and isinstance(entry.get("Id", ""), str)
        ]
        if settles:
            self._write(*(settle.record for settle in settles))
        return settles

    def settled(
        self,
        client: Client,
        settles: Sequence[Settle],
        outcomes: Sequence[tuple[SendResult, str | None]],
        *,
        began: int,
    ) -> None:
        """Record what became of them."""
        if not settles:
            return
        self._write(
            *(
                events.settled(settle.record, started=began, outcome=outcome, error=error)
                for settle, (outcome, error) in zip(settles, outcomes, strict=True)
            )
        )
        for settle, (outcome, _) in zip(settles, outcomes, strict=True):
            if outcome == "ok":
                self._was_settled(client, settle)

    def unsent(self, client: Client, settles: Sequence[Settle], why: str, *, began: int) -> None:
        """Record that they never left, which is proof that nothing became of them."""
        self.settled(client, settles, [("failed", f"{why}: it never left")] * len(settles), began=began)

    def _was_settled(self, client: Client, settle: Settle) -> None:
        hidden_s = settle.record.get("hidden_s")
        if settle.record["action"] == "extend" and isinstance(hidden_s, (int, float)):
            client.keeps(settle.receipt, self._now() + round(hidden_s * NS_PER_S))
        else:
            client.gave_back(settle.receipt)

    def _settle(self, client: Client, operation: str, entry: Mapping[str, Any], call: str) -> Settle:
        receipt: str = entry["ReceiptHandle"]
        taken = self._receipts.get(receipt)
        action: SettleAction = "delete"
        hidden_s = None
        if operation in _HIDES:
            hidden_s = _seconds(entry.get("VisibilityTimeout"))
            action = "release" if hidden_s == 0 else "extend"
        record = events.settling(
            id=None if taken is None else taken.delivery.id,
            subscription=self._subscription,
            consumer=client.name,
            batch=None if taken is None else taken.batch,
            broker_id=None if taken is None else taken.delivery.broker_id,
            action=action,
            hidden_s=hidden_s or None,
            call=call,
        )
        return Settle(entry.get("Id") if operation.endswith("Batch") else None, receipt, taken, record)


def outcomes(settles: Sequence[Settle], status: int, answer: Params, code: str) -> list[tuple[SendResult, str | None]]:
    """What an answer says of each message that the call was to settle. `code`: of an answer that is an error."""
    if status >= 300:
        became: SendResult = "failed" if is_definite(status, code) else "unknown"
        return [(became, code or f"status {status}")] * len(settles)
    if not settles or settles[0].entry is None:
        return [("ok", None)] * len(settles)
    try:
        return entries_of(answer, [settle.entry or "" for settle in settles])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return [("unknown", f"not what SQS answers: {error!r}")] * len(settles)


def _seconds(value: object) -> float | None:
    """A number of seconds that a consumer has sent, which may be anything; those of SQS are finite."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) else None
