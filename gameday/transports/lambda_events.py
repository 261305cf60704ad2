"""The event documents that AWS Lambda hands to a function, made of what we received, and its answers read as it does.

It promises documents that have the fields of AWS's own, under their names; where we cannot know a value it has the form
of one. An event of a queue or a stream is one receive's whole batch, and the answer to it may tell which records
failed. An event of a topic or a bus is one record, which succeeds or fails.

Sources, under docs.aws.amazon.com/lambda/latest/dg: with-sqs.html, with-kinesis.html and with-sns.html (the documents),
services-sqs-errorhandling.html and services-kinesis-batchfailurereporting.html (what an answer means); and
docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from gameday.history.events import EffectResult, SendResult
from gameday.transports.base import Addresses, Delivery, Transport
from gameday.transports.partitions import in_its_partition

Document = dict[str, Any]
# What emulators have for one.
_ACCOUNT = "000000000000"
# Of an event source mapping's execution role.
_ROLE = f"arn:aws:iam::{_ACCOUNT}:role/gameday"


class NoEvent(ValueError):
    """What was received is nothing that this kind of event could be made of."""


class BatchFails(ValueError):
    """The answer to a batch fails all of it; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a batch came from: `arn` of the queue or stream."""

    region: str
    arn: str

    @classmethod
    def of(cls, transport: Transport, addresses: Addresses, subscription: str, region: str) -> Origin:
        if transport.kind == "stream":
            arn = f"arn:aws:kinesis:{region}:{_ACCOUNT}:stream/{addresses.send_to}"
            return cls(region=region, arn=in_its_partition(arn, region))
        # …/ACCOUNT/NAME ("Queue name and URL" in "Amazon SQS queue and message identifiers" of the developer guide).
        *_, account, name = ("", *urllib.parse.urlsplit(addresses.queues[subscription]).path.split("/"))
        return cls(region=region, arn=in_its_partition(f"arn:aws:sqs:{region}:{account}:{name}", region))


@dataclass(frozen=True, kw_only=True, slots=True)
class EventKind:
    """One source of events. `identifier`: by what an answer names a record; None where a record stands alone.

    `missing`: why a transport has no such events, if it has none.
    """

    document: Callable[[Sequence[Delivery], Origin], Document]
    missing: Callable[[Transport], str | None]
    identifier: Callable[[Delivery], str] | None = None

    @property
    def is_batch(self) -> bool:
        return self.identifier is not None


def failed_of(answer: object, identifiers: Sequence[str]) -> list[int]:
    """The places in the batch of the records that an answer names as failed, lowest first. Errors: BatchFails.

    An identifier that is not in the batch fails all of it. Of queues AWS's page says so ("An itemIdentifier value with
    a message ID that doesn't exist"). That of streams is silent; that it is so there too is what LocalStack's tests saw
    on AWS (test_kinesis_report_batch_item_failure_scenarios, item_identifier_not_present_failure). An answer that is
    neither empty nor an object is what the first page calls an invalid JSON response.
    """
    if answer is None or answer in ("", [], {}):
        return []
    if not isinstance(answer, dict):
        raise BatchFails(f"the answer {_short(answer)} is no object")
    items = answer.get("batchItemFailures")
    if items is None or items == []:
        return []
    if not isinstance(items, list):
        raise BatchFails(f"batchItemFailures is {_short(items)}, and no list")
    places = {identifier: place for place, identifier in enumerate(identifiers)}
    failed = set()
    for item in items:
        identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not identifier:
            raise BatchFails(f"{_short(item)} in batchItemFailures has no itemIdentifier")
        if not isinstance(identifier, str) or identifier not in places:
            raise BatchFails(f"itemIdentifier {_short(identifier)} is not in the batch")
        failed.add(places[identifier])
    return sorted(failed)


def on_record(failed: Sequence[str | None]) -> tuple[SendResult, list[str]]:
    """How a partial answer stands in the history, by the ids of the messages that it names: its outcome, and whom it
    fails. Of one that names what has no id nobody could tell what it did not name."""
    named = [id for id in failed if id is not None]
    return ("ok" if len(named) == len(failed) else "unknown"), named


# Beside `batchItemFailures`, which is all that AWS reads of an answer.
TOLD = "gameday"


def effects_of(answer: object, identifiers: Sequence[str]) -> dict[int, EffectResult]:
    """What an answer tells of effects, by the place in the batch: {"gameday": {"applied": [identifier…], …}}.

    Of what it tells wrongly, or of nobody in the batch, nothing is known.
    """
    told = answer.get(TOLD) if isinstance(answer, dict) else None
    places = {identifier: place for place, identifier in enumerate(identifiers)}
    found: dict[int, EffectResult] = {}
    for outcome in get_args(EffectResult):
        named = told.get(outcome) if isinstance(told, dict) else None
        for identifier in named if isinstance(named, list) else ():
            if isinstance(identifier, str) and identifier in places:
                found[places[identifier]] = outcome
    return found


def _short(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 100 else f"{text[:100]}…"


# The documents


def _sqs(deliveries: Sequence[Delivery], origin: Origin) -> Document:
    return {"Records": [sqs_record(delivery.original, origin) for delivery in deliveries]}


def sqs_record(message: Mapping[str, Any], origin: Origin) -> Document:
    """One record of an event of a queue, from a message as a receive tells it."""
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message.get("Body", ""),
        "attributes": dict(message.get("Attributes") or {}),
        "messageAttributes": {
            name: _sqs_attribute(attribute) for name, attribute in (message.get("MessageAttributes") or {}).items()
        },
        "md5OfBody": message.get("MD5OfBody"),
        "eventSource": "aws:sqs",
        "eventSourceARN": origin.arn,
        "awsRegion": origin.region,
    }
    if md5 := message.get("MD5OfMessageAttributes"):
        record["md5OfMessageAttributes"] = md5
    return record


def _sqs_attribute(attribute: Mapping[str, Any]) -> Document:
    is_binary = "BinaryValue" in attribute
    value = (
        {"binaryValue": _base64(attribute["BinaryValue"])}
        if is_binary
        else {"stringValue": attribute.get("StringValue", "")}
    )
    return {**value, "stringListValues": [], "binaryListValues": [], "dataType": attribute["DataType"]}


def _kinesis(deliveries: Sequence[Delivery], origin: Origin) -> Document:
    return {"Records": [_kinesis_record(delivery, origin) for delivery in deliveries]}


def _kinesis_record(delivery: Delivery, origin: Origin) -> Document:
    record = delivery.original
    arrived = record.get("ApproximateArrivalTimestamp")
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": _base64(record["Data"]),
            "approximateArrivalTimestamp": None if arrived is None else round(arrived.timestamp(), 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{delivery.partition}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": _ROLE,
        "awsRegion": origin.region,
        "eventSourceARN": origin.arn,
    }


def _sns(deliveries: Sequence[Delivery], origin: Origin) -> Document:
    """Of what the topic put into the queue (docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html), which
    is spelled a little otherwise."""
    (delivery,) = deliveries
    told = _body_of(delivery)
    if told.get("Type") != "Notification" or "Message" not in told:
        raise NoEvent("it is no notification of a topic")
    unsubscribe = str(told.get("UnsubscribeURL") or "")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(unsubscribe).query)
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": query.get("SubscriptionArn", [told.get("TopicArn", "")])[0],
                "EventSource": "aws:sns",
                "Sns": {
                    "SignatureVersion": told.get("SignatureVersion") or "1",
                    "Timestamp": told.get("Timestamp"),
                    "Signature": told.get("Signature") or "",
                    "SigningCertUrl": told.get("SigningCertURL") or "",
                    "MessageId": told.get("MessageId"),
                    "Message": told["Message"],
                    "MessageAttributes": told.get("MessageAttributes") or {},
                    "Type": "Notification",
                    "UnsubscribeUrl": unsubscribe,
                    "TopicArn": told.get("TopicArn"),
                    "Subject": told.get("Subject"),
                },
            }
        ]
    }


def _eventbridge(deliveries: Sequence[Delivery], origin: Origin) -> Document:
    (delivery,) = deliveries
    event = _body_of(delivery)
    if "detail-type" not in event:
        raise NoEvent("it is no event of a bus")
    return event


def _body_of(delivery: Delivery) -> Document:
    try:
        told = orjson.loads(delivery.original.get("Body", ""))
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise NoEvent("its body is no JSON object")
    return told


def _base64(value: bytes | str) -> str:
    """The SDKs decode what is binary; what is text came through undecoded."""
    return value if isinstance(value, str) else base64.b64encode(value).decode()


# Where they come from


def _from_a_queue(transport: Transport) -> str | None:
    if "stepfunctions" in transport.services:
        # What a task puts there is no message of the load's, and waits for its token.
        return "a task of a workflow is worked off by a handler of ours"
    return None if transport.kind == "queue" else f"{transport.name} does not end in queues; its events are kinesis"


def _from_a_stream(transport: Transport) -> str | None:
    return None if transport.kind == "stream" else f"{transport.name} has no stream; its events are sqs"


def _from_a_topic(transport: Transport) -> str | None:
    if "sns" not in transport.services:
        return f"{transport.name} has no topic"
    # docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html
    return (
        "a FIFO topic delivers to queues alone, and a function gets what is in them: sqs" if transport.ordered else None
    )


def _from_a_bus(transport: Transport) -> str | None:
    return None if "events" in transport.services else f"{transport.name} has no event bus"


EVENTS: Mapping[str, EventKind] = {
    "sqs": EventKind(document=_sqs, missing=_from_a_queue, identifier=lambda delivery: str(delivery.broker_id)),
    "kinesis": EventKind(
        document=_kinesis, missing=_from_a_stream, identifier=lambda delivery: str(delivery.broker_seq)
    ),
    "sns": EventKind(document=_sns, missing=_from_a_topic),
    "eventbridge": EventKind(document=_eventbridge, missing=_from_a_bus),
}


def plain(delivery: Delivery, subscription: str) -> Document:
    """A message for a handler that asks for no event. What is not known is left out."""
    document: Document = {
        "id": delivery.id,
        "subscription": subscription,
        "body": delivery.body,
        "attributes": _plain_attributes(delivery),
        "group": delivery.group,
        "receives": delivery.receives,
        "enqueued_ms": None if delivery.enqueued is None else delivery.enqueued // 1_000_000,
        "broker_id": delivery.broker_id,
        "broker_seq": delivery.broker_seq,
        "partition": delivery.partition,
    }
    return {name: value for name, value in document.items() if value is not None}


def _plain_attributes(delivery: Delivery) -> dict[str, str]:
    """Those of the message as a producer gave them, as text: in the queue, or in what a topic wrapped around it."""
    told = delivery.original.get("MessageAttributes") or {}
    if not told and delivery.upstream_id is not None:
        found = orjson.loads(delivery.original["Body"]).get("MessageAttributes") or {}
        return {name: str(attribute["Value"]) for name, attribute in found.items()}
    return {
        name: _base64(attribute["BinaryValue"]) if "BinaryValue" in attribute else attribute.get("StringValue", "")
        for name, attribute in told.items()
    }
