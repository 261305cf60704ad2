"""What AWS counts a call for, worked by hand from its pages on prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gameday.transports.base import Call
from gameday.transports.carriers.measures import Measure, is_fifo, measure

KIB = 1024


def sent(*bodies: str) -> Mapping[str, Any]:
    return {"QueueUrl": "u", "Entries": [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]}


@pytest.mark.parametrize(
    ("operation", "params", "answer", "counts"),
    [
        # A call is a request, whatever it holds, and one for each 64 KiB of all of it together.
        ("SendMessageBatch", sent("a" * 100), {}, Measure(1, 0, 1, 100)),
        ("SendMessageBatch", sent(*["a" * 60 * KIB] * 3), {}, Measure(3, 0, 3, 180 * KIB)),
        ("SendMessageBatch", sent("a" * 64 * KIB, "a"), {}, Measure(2, 0, 2, 64 * KIB + 1)),
        # In UTF-8, with its attributes' names and types.
        ("SendMessageBatch", sent("é" * 10), {}, Measure(1, 0, 1, 20)),
        (
            "SendMessageBatch",
            {
                "Entries": [
                    {
                        "MessageBody": "body",
                        "MessageAttributes": {"name": {"DataType": "String", "StringValue": "value"}},
                    }
                ]
            },
            {},
            Measure(1, 0, 1, 4 + 4 + 6 + 5),
        ),
        ("ReceiveMessage", {}, {}, Measure(1, 0, 0, 0)),
        ("ReceiveMessage", {}, {"Messages": [{"Body": "a" * 50 * KIB}] * 10}, Measure(8, 0, 10, 500 * KIB)),
        ("DeleteMessageBatch", {"Entries": [{}] * 10}, {}, Measure()),
        (
            "PublishBatch",
            {"PublishBatchRequestEntries": [{"Message": "a" * 65 * KIB}] * 2},
            {},
            Measure(3, 0, 2, 130 * KIB),
        ),
        # An event counts by itself, with what stands beside its detail.
        (
            "PutEvents",
            {"Entries": [{"Detail": "a" * 64 * KIB, "DetailType": "order", "Source": "s"}, {"Detail": "b"}]},
            {},
            Measure(1, 2 + 1, 2, 64 * KIB + 7),
        ),
        ("PutRecords", {"Records": [{"Data": b"a" * 60_000}, {"Data": b"b"}]}, {}, Measure(1, 3 + 1, 2, 60_001)),
        ("UpdateItem", {}, {}, Measure(units=1)),
        ("TransactWriteItems", {"TransactItems": [{}, {}]}, {}, Measure(units=4)),
        # 100 items of 60 bytes are two times 4 KB begun.
        ("Scan", {}, {"ScannedCount": 100, "Items": []}, Measure(units=2)),
        ("Scan", {}, {"ScannedCount": 0}, Measure(units=1)),
        ("CreateQueue", {"QueueName": "q"}, {}, Measure()),
    ],
)
def test_what_a_call_counts_for(operation: str, params: Any, answer: Any, counts: Measure) -> None:
    assert measure(Call("any", operation, params), answer) == counts


def test_a_call_without_an_answer_counts_for_what_was_sent() -> None:
    assert measure(Call("sqs", "SendMessageBatch", sent("a" * 70_000)), None).requests == 2
    assert measure(Call("sqs", "ReceiveMessage", {}), None).requests == 1


def test_a_fifo_queue_or_topic_is_known_by_its_name() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/1/orders"
    assert is_fifo(Call("sqs", "ReceiveMessage", {"QueueUrl": f"{url}.fifo"}))
    assert is_fifo(Call("sns", "PublishBatch", {"TopicArn": "arn:aws:sns:eu-west-1:1:orders.fifo"}))
    assert not is_fifo(Call("sqs", "ReceiveMessage", {"QueueUrl": url}))
    assert not is_fifo(Call("kinesis", "PutRecords", {"StreamName": "orders"}))
