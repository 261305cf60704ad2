"""What AWS counts a call for, from the call and its answer: requests of 64 KiB, events, records, units of a table.

Pure, and cheap enough for hot paths: lengths of bodies and of their attributes, and no copy of any. Prices are not
known here (gameday/targets/prices.py has them), only what they are asked for.

Sources: aws.amazon.com/sqs/pricing, /sns/pricing, /eventbridge/pricing, /kinesis/data-streams/pricing and
/dynamodb/pricing/on-demand; userguide/eb-putevent-size.html (how an event is measured).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gameday.transports.base import Answer, Call

CHUNK = 64 * 1024
PUT_UNIT = 25 * 1024
# An item of ours in a table is so long, about; 4 KB are read for a unit.
_ITEM_BYTES, _READ_UNIT = 60, 4096
_EVENT_TIME_BYTES = 14
_NAMED = ("QueueUrl", "QueueName", "TopicArn", "SourceArn", "Name")


class Measure(NamedTuple):
    """`requests`: the call itself, or its payload's chunks of 64 KiB. `units`: what its entries count for one by one;
    of a table, units that are written or read. `entries` and `bytes`: how many messages went with it, how long."""

    requests: int = 1
    units: int = 0
    entries: int = 0
    bytes: int = 0


def is_fifo(call: Call) -> bool:
    """Whether it is about a FIFO queue or topic, which have prices of their own."""
    return any(str(call.params[key]).endswith(".fifo") for key in _NAMED if key in call.params)


def measure(call: Call, answer: Answer | None) -> Measure:
    """Without an answer it counts for what was sent."""
    of = _MEASURES.get(call.operation)
    return Measure() if of is None else of(call.params, answer or {})


def _length(text: str | bytes) -> int:
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())


def _attributes(attributes: Mapping[str, Mapping[str, Any]] | None) -> int:
    """An attribute counts with its name and type."""
    return sum(
        _length(name) + sum(_length(part) for part in value.values() if isinstance(part, str | bytes))
        for name, value in (attributes or {}).items()
    )


def _in_chunks(lengths: Sequence[int]) -> Measure:
    length = sum(lengths)
    return Measure(requests=max(math.ceil(length / CHUNK), 1), entries=len(lengths), bytes=length)


def _one_by_one(lengths: Sequence[int], size: int) -> Measure:
    units = sum(max(math.ceil(length / size), 1) for length in lengths)
    return Measure(units=units, entries=len(lengths), bytes=sum(lengths))


def _sent(params: Mapping[str, Any], answer: Answer) -> Measure:
    entries = params["Entries"]
    return _in_chunks([_length(e["MessageBody"]) + _attributes(e.get("MessageAttributes")) for e in entries])


def _published(params: Mapping[str, Any], answer: Answer) -> Measure:
    entries = params["PublishBatchRequestEntries"]
    return _in_chunks([_length(e["Message"]) + _attributes(e.get("MessageAttributes")) for e in entries])


def _received(params: Mapping[str, Any], answer: Answer) -> Measure:
    messages = answer.get("Messages") or ()
    return _in_chunks([_length(m.get("Body", "")) + _attributes(m.get("MessageAttributes")) for m in messages])


def _events(params: Mapping[str, Any], answer: Answer) -> Measure:
    lengths = [
        sum(_length(e[part]) for part in ("Detail", "DetailType", "Source") if part in e)
        + (_EVENT_TIME_BYTES if "Time" in e else 0)
        for e in params["Entries"]
    ]
    return _one_by_one(lengths, CHUNK)


def _records(params: Mapping[str, Any], answer: Answer) -> Measure:
    return _one_by_one([_length(record["Data"]) for record in params["Records"]], PUT_UNIT)


def _unit(params: Mapping[str, Any], answer: Answer) -> Measure:
    return Measure(units=1)


def _transaction(params: Mapping[str, Any], answer: Answer) -> Measure:
    """Each item counts twice."""
    return Measure(units=2 * len(params["TransactItems"]))


def _scan(params: Mapping[str, Any], answer: Answer) -> Measure:
    return Measure(units=max(math.ceil(answer.get("ScannedCount", 0) * _ITEM_BYTES / _READ_UNIT), 1))


_MEASURES: Mapping[str, Callable[[Mapping[str, Any], Answer], Measure]] = {
    "SendMessageBatch": _sent,
    "ReceiveMessage": _received,
    "PublishBatch": _published,
    "PutEvents": _events,
    "PutRecords": _records,
    "GetItem": _unit,
    "PutItem": _unit,
    "UpdateItem": _unit,
    "DeleteItem": _unit,
    "TransactWriteItems": _transaction,
    "Scan": _scan,
}
