"""Events as AWS documents them, field for field, and what an answer to one means."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gameday.transports.base import Addresses, Delivery, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.kinesis import KinesisStream
from gameday.transports.lambda_events import EVENTS, BatchFails, NoEvent, Origin, failed_of, plain
from gameday.transports.queue import SqsQueue
from gameday.transports.registry import TRANSPORTS
from gameday.transports.sns import unwrap as unwrap_sns
from tests.conformance.in_memory import conditions
from tests.transports.test_traces import PARENT, QUEUES, message

ACCOUNT = "123456789012"
QUEUE = f"https://sqs.us-east-2.amazonaws.com/{ACCOUNT}/my-queue"
ORIGIN = Origin(region="us-east-2", arn=f"arn:aws:sqs:us-east-2:{ACCOUNT}:my-queue")
# "Example standard queue message event" in docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
SQS_RECORD: dict[str, Any] = {
    "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
    "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
    "body": "Test message.",
    "attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1545082649183",
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": "1545082649185",
    },
    "messageAttributes": {
        "myAttribute": {
            "stringValue": "myValue",
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "String",
        }
    },
    "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
    "awsRegion": "us-east-2",
}
# As ReceiveMessage tells the same.
SQS_MESSAGE = {
    "MessageId": SQS_RECORD["messageId"],
    "ReceiptHandle": SQS_RECORD["receiptHandle"],
    "Body": SQS_RECORD["body"],
    "Attributes": SQS_RECORD["attributes"],
    "MessageAttributes": {"myAttribute": {"StringValue": "myValue", "DataType": "String"}},
    "MD5OfBody": SQS_RECORD["md5OfBody"],
}
# "Example" in docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html.
KINESIS_RECORD = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "1",
        "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "approximateArrivalTimestamp": 1545084650.987,
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:aws:iam::000000000000:role/gameday",
    "awsRegion": "us-east-2",
    "eventSourceARN": "arn:aws:kinesis:us-east-2:000000000000:stream/lambda-stream",
}
# "Example Amazon SNS message event" in docs.aws.amazon.com/lambda/latest/dg/with-sns.html.
SUBSCRIPTION = "arn:aws:sns:us-east-2:123456789012:sns-lambda:21be56ed-a058-49f5-8c98-aedd2564c486"
SNS: dict[str, Any] = {
    "SignatureVersion": "1",
    "Timestamp": "2019-01-02T12:45:07.000Z",
    "Signature": "tcc6faL2yUC6dgZdmrwh1Y4cGa/ebXEkAi6RibDsvpi+tE/1+82j...65r==",
    "SigningCertUrl": "https://sns.us-east-2.amazonaws.com/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem",
    "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
    "Message": "Hello from SNS!",
    "MessageAttributes": {
        "Test": {"Type": "String", "Value": "TestString"},
        "TestBinary": {"Type": "Binary", "Value": "TestBinary"},
    },
    "Type": "Notification",
    "UnsubscribeUrl": f"https://sns.us-east-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={SUBSCRIPTION}",
    "TopicArn": "arn:aws:sns:us-east-2:123456789012:sns-lambda",
    "Subject": "TestInvoke",
}
# As a queue gets the same: docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html spells two otherwise.
NOTIFICATION = {
    **{name: value for name, value in SNS.items() if name not in ("SigningCertUrl", "UnsubscribeUrl")},
    "SigningCertURL": SNS["SigningCertUrl"],
    "UnsubscribeURL": SNS["UnsubscribeUrl"],
}
# docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
BUS_EVENT = {
    "version": "0",
    "id": "12345678-1234-1234-1234-111122223333",
    "detail-type": "OrderPlaced",
    "source": "orders",
    "account": ACCOUNT,
    "time": "2017-12-22T18:43:48Z",
    "region": "us-west-1",
    "resources": [],
    "detail": {"orderId": "o-1"},
}


def queued(**message: Any) -> Delivery:
    (delivery,) = SqsQueue(QUEUE, unwrap_sns).received({"Messages": [{**SQS_MESSAGE, **message}]})
    return delivery


def of_stream() -> Delivery:
    record = {
        "SequenceNumber": KINESIS_RECORD["kinesis"]["sequenceNumber"],  # type: ignore[index]
        "PartitionKey": "1",
        "Data": b"Hello, this is a test.",
        "ApproximateArrivalTimestamp": datetime.fromtimestamp(1545084650.987, UTC),
    }
    (delivery,) = KinesisStream("lambda-stream").read_of({"Records": [record]}, "shardId-000000000006").deliveries
    return delivery


def test_an_event_of_a_queue() -> None:
    assert EVENTS["sqs"].document([queued()], ORIGIN) == {"Records": [SQS_RECORD]}


def test_attributes_of_a_queue_s_message_in_their_kinds() -> None:
    delivery = queued(
        MessageAttributes={
            "n": {"StringValue": "5", "DataType": "Number"},
            "b": {"BinaryValue": b"\0", "DataType": "Binary"},
        },
        MD5OfMessageAttributes="d8062e30406ad939a86bacea477e5a26",
    )
    (record,) = EVENTS["sqs"].document([delivery], ORIGIN)["Records"]
    lists: dict[str, list[str]] = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "n": {"stringValue": "5", **lists, "dataType": "Number"},
        "b": {"binaryValue": "AA==", **lists, "dataType": "Binary"},
    }
    assert record["md5OfMessageAttributes"] == "d8062e30406ad939a86bacea477e5a26"


def test_an_event_of_a_stream() -> None:
    origin = Origin.of(TRANSPORTS["kinesis"], Addresses(send_to="lambda-stream"), "orders", "us-east-2")
    assert EVENTS["kinesis"].document([of_stream()], origin) == {"Records": [KINESIS_RECORD]}


def test_an_event_of_a_topic() -> None:
    record = {"EventVersion": "1.0", "EventSubscriptionArn": SUBSCRIPTION, "EventSource": "aws:sns", "Sns": SNS}
    assert EVENTS["sns"].document([queued(Body=json.dumps(NOTIFICATION))], ORIGIN) == {"Records": [record]}


def test_what_a_topic_leaves_out_is_there_for_a_function() -> None:
    told = {name: NOTIFICATION[name] for name in ("Type", "MessageId", "TopicArn", "Message", "Timestamp")}
    (record,) = EVENTS["sns"].document([queued(Body=json.dumps(told))], ORIGIN)["Records"]
    assert record["Sns"].keys() == SNS.keys()
    assert (record["Sns"]["Subject"], record["Sns"]["MessageAttributes"]) == (None, {})
    assert record["EventSubscriptionArn"] == SNS["TopicArn"]


def test_an_event_of_a_bus() -> None:
    assert EVENTS["eventbridge"].document([queued(Body=json.dumps(BUS_EVENT))], ORIGIN) == BUS_EVENT


@pytest.mark.parametrize("event", ["sns", "eventbridge"])
@pytest.mark.parametrize("body", ["", "hello", "[]", "{}", '{"Type": "Notification"}'])
def test_of_what_is_no_event_none_is_made(event: str, body: str) -> None:
    with pytest.raises(NoEvent):
        EVENTS[event].document([queued(Body=body)], ORIGIN)


def test_where_a_batch_came_from() -> None:
    at = Origin.of(TRANSPORTS["sqs"], Addresses(send_to=QUEUE, queues={"orders": QUEUE}), "orders", "us-east-2")
    assert at == ORIGIN


@pytest.mark.parametrize(
    ("event", "transports"),
    [
        ("sqs", {"sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge"}),
        ("kinesis", {"kinesis"}),
        ("sns", {"sns"}),
        ("eventbridge", {"eventbridge"}),
    ],
)
def test_which_transport_has_which_events(event: str, transports: set[str]) -> None:
    assert {name for name, transport in TRANSPORTS.items() if EVENTS[event].missing(transport) is None} == transports


# What an answer means


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        # "Lambda treats a batch as a complete success if your function returns any of the following".
        (None, []),
        ({}, []),
        ({"batchItemFailures": []}, []),
        ({"batchItemFailures": None}, []),
        # Seen on AWS by LocalStack's tests (test_kinesis_report_batch_item_success_scenarios).
        ("", []),
        ([], []),
        # The list under a wrong key is no list: a null one.
        ({"batchItemFailure": [{"itemIdentifier": "b"}]}, []),
        ({"statusCode": 200}, []),
        ({"batchItemFailures": [{"itemIdentifier": "c"}, {"itemIdentifier": "b"}, {"itemIdentifier": "c"}]}, [1, 2]),
    ],
)
def test_an_answer_tells_what_failed(answer: object, failed: list[int]) -> None:
    assert failed_of(answer, ["a", "b", "c"]) == failed


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        # "Lambda treats a batch as a complete failure if your function returns any of the following".
        ("ok", 'the answer "ok" is no object'),
        (5, "the answer 5 is no object"),
        ([{"itemIdentifier": "a"}], "no object"),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, "has no itemIdentifier"),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, "has no itemIdentifier"),
        (
            {"batchItemFailures": [{"messageId": "a"}]},
            r'\{"messageId":"a"\} in batchItemFailures has no itemIdentifier',
        ),
        ({"batchItemFailures": ["a"]}, "has no itemIdentifier"),
        ({"batchItemFailures": {"itemIdentifier": "a"}}, "and no list"),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "z"}]}, 'itemIdentifier "z" is not in'),
        ({"batchItemFailures": [{"itemIdentifier": 123}]}, "itemIdentifier 123 is not in the batch"),
        ({"batchItemFailures": [{"itemIdentifier": ["a"]}]}, "is not in the batch"),
        ("x" * 500, "x…"),
    ],
)
def test_an_answer_that_fails_the_whole_batch(answer: object, why: str) -> None:
    with pytest.raises(BatchFails, match=why):
        failed_of(answer, ["a", "b", "c"])


def test_a_record_is_named_by_what_its_event_calls_it() -> None:
    queue, stream = EVENTS["sqs"].identifier, EVENTS["kinesis"].identifier
    assert queue is not None and queue(queued()) == SQS_RECORD["messageId"]
    assert stream is not None and stream(of_stream()) == "49590338271490256608559692538361571095921575989136588898"
    assert [EVENTS[name].is_batch for name in ("sns", "eventbridge")] == [False, False]


# Plain messages


@pytest.mark.parametrize("transport", QUEUES)
@pytest.mark.parametrize("raw", [False, True])
def test_a_plain_message_holds_what_the_producer_sent(transport: str, raw: bool) -> None:
    """Whatever the service put around it, or beside it."""
    chosen, carry, sent = TRANSPORTS[transport], conditions().carry, message(transport)
    spec = SubscriptionSpec(name="orders", raw=raw and "sns" in chosen.services)
    addresses = run_plan(chosen.provision(Topology(subscriptions=[spec]), run="plain", tags={}), carry)
    carry(chosen.send(addresses, [sent]))
    source = chosen.subscription(addresses, "orders")
    assert source.kind == "queue"
    (delivery,) = source.received(carry(source.receive(most=1, wait_s=0, attributes=True)))
    told = plain(delivery, "orders")
    assert json.loads(told["body"]) == json.loads(sent.body)
    assert told["attributes"].get("traceparent") == (PARENT if chosen.traced_in == "attribute" else None)
    assert (told["id"], told["subscription"], told["group"], told["receives"]) == ("m", "orders", "g", 1)
    assert told["broker_id"] == delivery.broker_id
    assert "partition" not in told


def test_a_plain_message_of_somebody_else_s_has_no_id() -> None:
    told = plain(queued(MessageAttributes={"b": {"BinaryValue": b"\0", "DataType": "Binary"}}), "orders")
    assert told == {
        "subscription": "orders",
        "body": "Test message.",
        "attributes": {"b": "AA=="},
        "receives": 1,
        "enqueued_ms": 1545082649183,
        "broker_id": SQS_RECORD["messageId"],
    }


def test_a_plain_record_of_a_stream() -> None:
    assert plain(of_stream(), "orders") == {
        "subscription": "orders",
        "body": base64.b64decode("SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==").decode(),
        "attributes": {},
        "group": "1",
        "enqueued_ms": 1545084650987,
        "broker_seq": "49590338271490256608559692538361571095921575989136588898",
        "partition": "shardId-000000000006",
    }
