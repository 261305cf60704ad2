"""What passes about the queue of a subscription, written down: receives, deliveries, and what settles them.

It promises the order that the record format asks for: `received` stands in the history before the answer is passed on,
`settling` before a call that settles is, `settled` after its answer. A settling call belongs to the receive that gave
its receipt, whichever consumer makes it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Record, SendResult, SettleAction
from gameday.history.identity import Identification
from gameday.processes import control
from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Delivery, QueueSource
from gameday.transports.queue import entries_of
from gameday.wire.client import Client
from gameday.wire.spoken import Params, Unreadable
from gameday.wire.taken import Receive, Taken
from gameday.wire.taken import taken as named

RECEIVE = "ReceiveMessage"
DELETES = ("DeleteMessage", "DeleteMessageBatch")
_HIDES = ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch")
SETTLES = (*DELETES, *_HIDES)
# So many receipts are remembered; SQS lets no more messages be in flight in one queue.
_RECEIPTS_MAX = 150_000


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


class DeadLetters:
    """The dead-letter queue of a subscription, where a program works it off by itself.

    What it is given there has died; that it is, is told to the run, which then waits for that queue as well.
    """

    def __init__(
        self, *, subscription: str, source: QueueSource, write: Callable[..., object], leaves_foreign: bool = False
    ) -> None:
        """`leaves_foreign`: there may be dead letters of others, which are no business of the run's."""
        self._subscription = subscription
        self._source = source
        self._write = write
        self._leaves_foreign = leaves_foreign
        self._told: set[str] = set()

    def received(self, answer: Params) -> None:
        """Errors: Unreadable for what is no such answer."""
        try:
            deliveries = self._source.received(answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"not what SQS gives: {error!r}") from error
        new = [
            each
            for each in deliveries
            if each.broker_id is not None
            and each.broker_id not in self._told
            and (each.ours or not self._leaves_foreign)
        ]
        if not new:
            return
        if not self._told:
            control.report("reads-dead-letters")
        self._told.update(each.broker_id for each in new if each.broker_id is not None)
        self._write(
            *(events.dead(id=each.id, subscription=self._subscription, broker_id=each.broker_id) for each in new)
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of the service's attributes of messages a consumer asks for, and which of the sender's were `added`."""

    system: frozenset[str]
    added: frozenset[str]


class QueueTraffic:
    """`write` puts records into the history, and gives when; `now` is the run's clock."""

    def __init__(
        self,
        *,
        subscription: str,
        source: QueueSource,
        hidden_s: float,
        identification: Identification,
        write: Callable[..., object],
        now: Callable[[], int],
    ) -> None:
        self._subscription = subscription
        self._source = source
        self._identification = identification
        self._hidden_s = hidden_s
        self._write = write
        self._now = now
        self._receipts: OrderedDict[str, Taken] = OrderedDict()
        self._foreign: dict[str, None] = {}
        self._batches = itertools.count(1)
        self._calls = itertools.count(1)

    # Receiving

    def ask_for_more(self, params: Params) -> Asked:
        """Have the service tell all that the record needs of a message; gives what the consumer itself asked for."""
        system = _names(params, "AttributeNames") | _names(params, "MessageSystemAttributeNames")
        own = _names(params, "MessageAttributeNames")
        if "All" not in system:
            # Of two members that mean the same a service may read the newer alone: so that one which is there.
            member = "MessageSystemAttributeNames" if params.get("MessageSystemAttributeNames") else "AttributeNames"
            params[member] = ["All"]
        if more := [name for name in self._identification.attributes if not _asks(own, name)]:
            params["MessageAttributeNames"] = [*sorted(own), *more]
        return Asked(system, frozenset(more))

    @staticmethod
    def leave_out(answer: Params, asked: Asked) -> bool:
        """Take out of the answer what the consumer did not ask for; whether there was anything."""
        found = False
        for message in answer.get("Messages") or ():
            system, own = message.get("Attributes"), message.get("MessageAttributes")
            if system and "All" not in asked.system:
                message["Attributes"] = {name: value for name, value in system.items() if name in asked.system}
                found |= len(message["Attributes"]) < len(system)
            if own and asked.added & own.keys():
                found = True
                message["MessageAttributes"] = {name: value for name, value in own.items() if name not in asked.added}
                message["MD5OfMessageAttributes"] = digest(message["MessageAttributes"])
                if not message["MessageAttributes"]:
                    del message["MD5OfMessageAttributes"]
            for member in ("Attributes", "MessageAttributes"):
                if message.get(member) == {}:
                    del message[member]
        return found

    def received(
        self, client: Client, answer: Params, *, started: int, hidden_s: float, real: str | None = None
    ) -> Receive:
        """Record the messages of an answer, which is not passed on yet. `real`: of a copy, the receipt that the service
        knows. Errors: Unreadable for what is no such answer."""
        try:
            deliveries = self._source.received(answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"not what SQS gives: {error!r}") from error
        if not deliveries:
            return Receive(None)
        if (again := self._given_again(deliveries)) is not None:
            return self._told_again(client, again, started=started, hidden_s=hidden_s)
        batch = f"{client.name}-{next(self._batches)}"
        if not (deliveries := self._without_foreign(deliveries)):
            return Receive(None)
        taken = [named(batch, delivery, self._identification, real=real) for delivery in deliveries]
        self._write(*(self._received(client, each, started, hidden_s) for each in taken))
        for each in taken:
            self._receipts[each.delivery.receipt] = each
        while len(self._receipts) > _RECEIPTS_MAX:
            self._receipts.popitem(last=False)
        return Receive(batch, taken)

    def _without_foreign(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The run's; those of others, where there may be any, are counted, and what settles them is not recorded."""
        if self._identification.run is None:
            return list(deliveries)
        foreign = [delivery for delivery in deliveries if not delivery.ours]
        if foreign:
            self._write(events.mark("foreign", subscription=self._subscription, count=len(foreign)))
            self._foreign |= dict.fromkeys(delivery.receipt for delivery in foreign)
            while len(self._foreign) > _RECEIPTS_MAX:
                del self._foreign[next(iter(self._foreign))]
        return [delivery for delivery in deliveries if delivery.ours]

    def _given_again(self, deliveries: Sequence[Delivery]) -> list[Taken] | None:
        """What was given before with the very same receipts: the answer to a receive that was made again, with the id
        of its first attempt, is the same receive (APIReference/API_ReceiveMessage, ReceiveRequestAttemptId)."""
        known = [self._receipts.get(delivery.receipt) for delivery in deliveries]
        again = [taken for taken in known if taken is not None]
        same = len(again) == len(deliveries) and len({taken.batch for taken in again}) == 1
        counted = [taken.delivery.receives for taken in again] == [each.receives for each in deliveries]
        return again if same and counted else None

    def _told_again(self, client: Client, again: Sequence[Taken], *, started: int, hidden_s: float) -> Receive:
        """The service hides them anew, as if that had been asked for."""
        call = f"{client.name}-c{next(self._calls)}"
        hidden = [
            events.settling(
                id=taken.id,
                subscription=self._subscription,
                consumer=client.name,
                batch=taken.batch,
                broker_id=taken.delivery.broker_id,
                action="extend",
                hidden_s=hidden_s,
                call=call,
            )
            for taken in again
        ]
        self._write(*hidden, *(events.settled(each, started=started, outcome="ok") for each in hidden))
        return Receive(again[0].batch, again)

    def hidden_s(self, params: Params) -> float:
        """How long what a receive gives is hidden."""
        asked = _seconds(params.get("VisibilityTimeout"))
        return self._hidden_s if asked is None else asked

    def delivered(
        self, client: Client, receive: Receive, *, until: int, outcome: SendResult, error: str | None = None
    ) -> None:
        """Record that the answer was passed on, or that it was not; `until`: when the hold ends."""
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
            client.took((each.delivery.receipt for each in receive.taken), until)

    def _received(self, client: Client, taken: Taken, started: int, hidden_s: float) -> Record:
        delivery = taken.delivery
        return events.received(
            id=taken.id,
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

    def settles(self, client: Client, operation: str, params: Params) -> list[Settle]:
        """What a call is about to settle of the run's. One that cannot be read settles nothing."""
        call = f"{client.name}-c{next(self._calls)}"
        return [
            self._settle(client, operation, entry, call)
            for entry in _entries(operation, params)
            if entry["ReceiptHandle"] not in self._foreign
        ]

    def settling(self, settles: Sequence[Settle]) -> None:
        """Record that they are about to be settled, before the call is passed on."""
        if settles:
            self._write(*(settle.record for settle in settles))

    def with_real_receipts(self, operation: str, params: Params) -> bool:
        """Put the service's own receipts in place of those that copies were given; whether there was one."""
        found = False
        for entry in _entries(operation, params):
            taken = self._receipts.get(entry["ReceiptHandle"])
            if taken is not None and taken.real is not None:
                entry["ReceiptHandle"], found = taken.real, True
        return found

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
            id=None if taken is None else taken.id,
            subscription=self._subscription,
            consumer=client.name,
            batch=None if taken is None else taken.batch,
            broker_id=None if taken is None else taken.delivery.broker_id,
            action=action,
            hidden_s=hidden_s or None,
            call=call,
        )
        name = entry.get("Id") if operation.endswith("Batch") else None
        return Settle(name if isinstance(name, str) else None, receipt, taken, record)


def _entries(operation: str, params: Params) -> list[Params]:
    """The parts of a settling call that name a message, as far as they can be read."""
    entries = params.get("Entries") if operation.endswith("Batch") else [params]
    return [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("ReceiptHandle"), str)
        and isinstance(entry.get("Id", ""), str)
    ]


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


def digest(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """What SQS tells of attributes, for consumers to check.

    docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html, "Calculating the MD5
    message digest for message attributes".
    """
    told = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        binary = attribute.get("BinaryValue")
        value = base64.b64decode(binary) if isinstance(binary, str) else binary
        for text in (name.encode(), str(attribute.get("DataType", "")).encode()):
            told.update(len(text).to_bytes(4, "big") + text)
        if value is None:
            value = str(attribute.get("StringValue", "")).encode()
            told.update(b"\x01")
        else:
            told.update(b"\x02")
        told.update(len(value).to_bytes(4, "big") + value)
    return told.hexdigest()


def _names(params: Params, member: str) -> frozenset[str]:
    """None of what is no list of names, which the service will refuse."""
    given = params.get(member)
    return frozenset(str(name) for name in given) if isinstance(given, list) else frozenset()


def _asks(names: frozenset[str], name: str) -> bool:
    """Whether somebody who asks for these attributes gets this one (APIReference/API_ReceiveMessage)."""
    return (
        name in names
        or "All" in names
        or any(name.startswith(prefix.removesuffix(".*")) for prefix in names if prefix.endswith(".*"))
    )


def _seconds(value: object) -> float | None:
    """A number of seconds that a consumer has sent, which may be anything; those of SQS are finite."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) else None
