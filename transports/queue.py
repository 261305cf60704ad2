"""Consuming an SQS queue, as data: shared by every pipeline that ends in one.

Rules of SQS relied on: receive and batch calls take at most 10 entries, a batch answers entry by entry
(docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference); SentTimestamp is in milliseconds; SequenceNumber comes
with FIFO messages only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from history import envelope
from history.events import SendResult
from transports.base import Answer, Call, Delivery, Depth

SERVICE = "sqs"
BATCH_MAX = 10
NS_PER_MS = 1_000_000
_DEPTHS = {
    "visible": "ApproximateNumberOfMessages",
    "hidden": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


class SqsQueue:
    """The `QueueSource` of one queue URL."""

    batch_max = BATCH_MAX

    def __init__(self, queue: str) -> None:
        self.queue = queue

    def receive(self, *, most: int, wait_s: int) -> Call:
        return self._call(
            "ReceiveMessage",
            MaxNumberOfMessages=min(most, BATCH_MAX),
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
        )

    def received(self, answer: Answer) -> list[Delivery]:
        return [_delivery(message) for message in answer.get("Messages") or ()]

    def delete(self, deliveries: Sequence[Delivery]) -> Call:
        return self._call(
            "DeleteMessageBatch",
            Entries=[{"Id": str(n), "ReceiptHandle": d.receipt} for n, d in enumerate(deliveries)],
        )

    def hide(self, deliveries: Sequence[Delivery], *, hidden_s: int) -> Call:
        return self._call(
            "ChangeMessageVisibilityBatch",
            Entries=[
                {"Id": str(n), "ReceiptHandle": d.receipt, "VisibilityTimeout": hidden_s}
                for n, d in enumerate(deliveries)
            ],
        )

    def settled(self, answer: Answer, deliveries: Sequence[Delivery]) -> list[tuple[SendResult, str | None]]:
        return [
            ("unknown", "entry missing from the answer")
            if entry is None
            else ("ok", None)
            if ok
            else (failure(entry), f"{entry.get('Code')}: {entry.get('Message', '')}")
            for ok, entry in entries_by_id(answer, len(deliveries))
        ]

    def depth(self) -> Call:
        return self._call("GetQueueAttributes", AttributeNames=list(_DEPTHS.values()))

    def depth_of(self, answer: Answer) -> Depth:
        attributes = answer.get("Attributes", {})
        return Depth(**{name: int(attributes.get(key, 0)) for name, key in _DEPTHS.items()})

    def _call(self, operation: str, **params: Any) -> Call:
        return Call(SERVICE, operation, {"QueueUrl": self.queue, **params})


def entries_by_id(answer: Answer, count: int) -> list[tuple[bool, Mapping[str, Any] | None]]:
    """The answer of a batch call whose entry ids are "0", "1", …, in that order.

    Each is (succeeded, entry), the entry None where the answer does not mention it.
    """
    found: dict[str, tuple[bool, Mapping[str, Any]]] = {e["Id"]: (True, e) for e in answer.get("Successful") or ()}
    found |= {e["Id"]: (False, e) for e in answer.get("Failed") or ()}
    return [found.get(str(n), (False, None)) for n in range(count)]


def failure(entry: Mapping[str, Any]) -> SendResult:
    """A failed entry is proof unless the service blames itself (SenderFault false): then the message may be stored."""
    code = str(entry.get("Code", ""))
    internal = not entry.get("SenderFault", True) and "Throttl" not in code
    return "unknown" if internal else "failed"


def _delivery(message: Mapping[str, Any]) -> Delivery:
    attributes = message.get("Attributes") or {}
    body = message.get("Body", "")
    read = envelope.unpack(body)
    receives = attributes.get("ApproximateReceiveCount")
    enqueued = attributes.get("SentTimestamp")
    return Delivery(
        id=read.id if read else None,
        receipt=message["ReceiptHandle"],
        broker_id=message["MessageId"],
        broker_seq=attributes.get("SequenceNumber"),
        upstream_id=None,
        group=attributes.get("MessageGroupId") or (read.group if read else None),
        receives=int(receives) if receives else None,
        enqueued=int(enqueued) * NS_PER_MS if enqueued else None,
        intact=bool(read and read.intact),
        poison=bool(read and read.poison),
        body=body,
    )
