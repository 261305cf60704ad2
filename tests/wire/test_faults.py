"""What faults do to calls on the wire, service by service: on the broker in memory, with boto3."""

from __future__ import annotations

import http.client
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import cbor2
import orjson
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, HTTPClientError
from botocore.retries.standard import ThrottledRetryableChecker

from gameday.processes.disturbances import Disturbance
from gameday.transports.base import Outgoing
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from gameday.wire.batches import SENDS, named
from gameday.wire.client import Client
from gameday.wire.exchange import Exchange
from gameday.wire.refusals import refusal
from gameday.wire.spoken import Cbor, Json, Query
from tests.transports.asked import served
from tests.wire.wired import Wired, sdk, until, wired


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture
def name() -> str:
    return f"n-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def wire(memory: Endpoint, tmp_path: Path, name: str) -> Iterator[Wired]:
    queue = sdk("sqs", memory.urls["*"]).create_queue(QueueName=name)["QueueUrl"]
    with wired(memory, tmp_path, queue=queue) as wire:
        yield wire


def send(wire: Wired, *bodies: str) -> None:
    """Past the wire."""
    direct = sdk("sqs", wire.queue.rpartition("/")[0])
    for body in bodies:
        direct.send_message(QueueUrl=wire.queue, MessageBody=body, MessageAttributes=ATTRIBUTES)


def taken(wire: Wired, **more: Any) -> list[dict[str, Any]]:
    """Past the wire."""
    direct = sdk("sqs", wire.queue.rpartition("/")[0])
    return list(direct.receive_message(QueueUrl=wire.queue, MaxNumberOfMessages=10, **more).get("Messages") or ())


def receive(client: Any, wire: Wired, **more: Any) -> list[dict[str, Any]]:
    answer = client.receive_message(QueueUrl=wire.queue, MaxNumberOfMessages=10, **more)
    return list(answer.get("Messages") or ())


def second(wire: Wired) -> tuple[Client, Any]:
    """Another consumer of the same subscription, and an SDK at its port."""
    client = wire.do(wire.proxy.listen("orders-2.1"))
    return client, sdk("sqs", client.origin)


ATTRIBUTES = {"colour": {"DataType": "String", "StringValue": "<red> & green"}}


# Throttles, in the words of each service


CALLS: list[tuple[str, str, dict[str, Any], str, int]] = [
    ("sqs", "receive_message", {"QueueUrl": "http://127.0.0.1/000000000000/q"}, "RequestThrottled", 403),
    ("sqs", "list_queues", {}, "ThrottlingException", 400),
    ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": "m"}, "Throttling", 400),
    ("kinesis", "get_records", {"ShardIterator": "i"}, "ProvisionedThroughputExceededException", 400),
    ("kinesis", "list_shards", {"StreamName": "s"}, "LimitExceededException", 400),
    (
        "events",
        "put_events",
        {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]},
        "ThrottlingException",
        400,
    ),
    (
        "dynamodb",
        "get_item",
        {"TableName": "t", "Key": {"id": {"S": "1"}}},
        "ProvisionedThroughputExceededException",
        400,
    ),
    ("dynamodb", "describe_table", {"TableName": "t"}, "ThrottlingException", 400),
]


@pytest.mark.parametrize(("service", "operation", "params", "code", "status"), CALLS)
def test_a_throttle_is_one_to_the_sdk(
    wire: Wired, service: str, operation: str, params: dict[str, Any], code: str, status: int
) -> None:
    """It is parsed as what it is, and botocore's standard mode tries again, as of nothing else with such a status."""
    wire.arm("throttle")
    client = wire.sdk(service, retries=2, mode="standard")
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**params)
    told = refused.value.response
    assert told["Error"]["Code"] == code and told["Error"]["Message"]
    assert told["ResponseMetadata"]["HTTPStatusCode"] == status
    assert told["ResponseMetadata"]["RetryAttempts"] == 1
    assert code in ThrottledRetryableChecker()._throttled_error_codes
    assert wire.client.disturbances.fired == {"throttle-1": 2}
    wire.disarm("throttle")


def test_a_throttle_of_s3_is_one_to_the_sdk(wire: Wired) -> None:
    wire.arm("throttle")
    with pytest.raises(ClientError) as refused:
        wire.sdk("s3").get_object(Bucket="b", Key="k")
    assert refused.value.response["Error"]["Code"] == "SlowDown"


@pytest.mark.parametrize("kind", ["throttle", "deny", "api-error", "expire-iterator"])
def test_every_protocol_tells_the_code(kind: str) -> None:
    """As the wire reads it itself; SQS's JSON has the older protocol's code in a header, which SDKs show."""
    said = refusal(kind, service="sqs", operation="ReceiveMessage")
    for dialect in (Json(), Cbor(), Cbor("application/cbor"), Query()):
        reply = dialect.refusal(said.code, said.message, status=said.status, old_code=None)
        assert reply.status == said.status and dialect.code_of(reply.body, reply.headers) == said.code
    reply = Json(error_header=True).refusal(said.code, said.message, status=said.status, old_code=said.old_code)
    fault = "Receiver" if kind == "api-error" else "Sender"
    assert reply.headers["x-amzn-query-error"] == f"{said.old_code or said.code};{fault}"


def test_a_rate_lets_so_many_pass(wire: Wired) -> None:
    """Of all consumers together, and of each operation: a bucket that begins full."""
    wire.arm("throttle", rate_per_s=0.001)
    other, client = second(wire)
    wire.do(_arm(other, wire))
    wire.sdk().get_queue_attributes(QueueUrl=wire.queue)
    with pytest.raises(ClientError):
        client.get_queue_attributes(QueueUrl=wire.queue)
    client.list_queues()
    assert wire.client.disturbances.fired == {"throttle-1": 0}
    assert other.disturbances.fired == {"throttle-1": 1}


async def _arm(client: Client, wire: Wired) -> None:
    """What the first consumer has armed."""
    for disturbance in wire.armed:
        client.disturbances.arm(disturbance)


@pytest.mark.parametrize(
    ("service", "operation", "params", "code"),
    [
        ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": "m"}, "AuthorizationError"),
        ("kinesis", "list_shards", {"StreamName": "s"}, "AccessDeniedException"),
        ("events", "list_rules", {}, "AccessDeniedException"),
    ],
)
def test_a_denial_is_in_the_services_words(
    wire: Wired, service: str, operation: str, params: dict[str, Any], code: str
) -> None:
    wire.arm("deny")
    with pytest.raises(ClientError) as refused:
        getattr(wire.sdk(service), operation)(**params)
    assert refused.value.response["Error"]["Code"] == code


def test_an_iterator_expires(wire: Wired) -> None:
    client = wire.sdk("kinesis")
    wire.arm("expire-iterator", operations=["GetRecords"])
    with pytest.raises(client.exceptions.ExpiredIteratorException):
        client.get_records(ShardIterator="i")
    assert wire.client.disturbances.fired == {"expire-iterator-1": 1}


def test_an_iterator_expires_in_cbor(wire: Wired) -> None:
    """As the SDKs for Java speak to Kinesis."""
    wire.arm("expire-iterator", operations=["GetRecords"])
    status, headers, body = post(
        wire, "Kinesis_20131202.GetRecords", "application/x-amz-cbor-1.1", cbor2.dumps({"ShardIterator": "i"})
    )
    assert status == 400 and headers["content-type"] == "application/x-amz-cbor-1.1"
    assert cbor2.loads(body)["__type"] == "ExpiredIteratorException"


def post(wire: Wired, target: str, content_type: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """A call by hand."""
    connection = http.client.HTTPConnection("127.0.0.1", wire.client.port, timeout=10)
    headers = {"Content-Type": content_type, **({"X-Amz-Target": target} if target else {})}
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


# Batches of which entries are refused


def test_entries_of_a_send_are_refused(wire: Wired) -> None:
    wire.arm("partial-batch", nth=2)
    entries = [{"Id": id, "MessageBody": id} for id in "abc"]
    answer = wire.sdk().send_message_batch(QueueUrl=wire.queue, Entries=entries)
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("b", "InternalError", False)
    assert [entry["Id"] for entry in answer["Successful"]] == ["a", "c"]
    assert sorted(message["Body"] for message in taken(wire)) == ["a", "c"]
    assert wire.client.disturbances.fired == {"partial-batch-1": 1}


# Of each service's sends: the call, and the code with which a throttled entry is refused.
SENT: dict[str, tuple[str, dict[str, Any], str]] = {
    "sqs": (
        "SendMessageBatch",
        {"Entries": [{"Id": str(n), "MessageBody": str(n)} for n in range(8)]},
        "RequestThrottled",
    ),
    "sns": (
        "PublishBatch",
        {"PublishBatchRequestEntries": [{"Id": str(n), "Message": str(n)} for n in range(8)]},
        "Throttling",
    ),
    "events": (
        "PutEvents",
        {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"} for _ in range(8)]},
        "ThrottlingException",
    ),
    "kinesis": (
        "PutRecords",
        {"Records": [{"Data": b"a", "PartitionKey": "k"} for _ in range(8)]},
        "ProvisionedThroughputExceededException",
    ),
}


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("service", SENT)
def test_a_throttled_entry_is_one_that_was_certainly_not_stored(
    wire: Wired, name: str, service: str, share: float
) -> None:
    """In the service's own words, which a producer takes for proof (`failed`, and not `unknown`)."""
    operation, params, code = SENT[service]
    where: dict[str, Any] = {}
    if service == "sqs":
        where = {"QueueUrl": wire.queue}
    elif service == "sns":
        where = {"TopicArn": wire.sdk("sns").create_topic(Name=name)["TopicArn"]}
    elif service == "kinesis":
        where = {"StreamName": name}
        wire.sdk("kinesis").create_stream(StreamName=name, ShardCount=1)
        wire.sdk("kinesis").get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    wire.arm("throttle-entries", share=share, operations=[operation])
    answer = getattr(wire.sdk(service), xform_name(operation))(**params, **where)
    transport = TRANSPORTS[{"events": "eventbridge"}.get(service, service)]
    messages = [Outgoing(id=str(n), body="", group=None, dedup_id=None) for n in range(8)]
    outcomes = transport.sent(answer, messages)
    failed = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    assert all(str(outcome.error).startswith(f"{code}: ") and not outcome.final for outcome in failed)
    assert {outcome.outcome for outcome in outcomes} == ({"failed"} if share == 1.0 else {"failed", "ok"})
    assert wire.disarm("throttle-entries") == len(failed)


def test_all_entries_of_a_send_are_refused(wire: Wired) -> None:
    wire.arm("partial-batch")
    entries = [{"Id": id, "MessageBody": id} for id in "ab"]
    answer = wire.sdk().send_message_batch(QueueUrl=wire.queue, Entries=entries)
    assert [entry["Id"] for entry in answer["Failed"]] == ["a", "b"] and not answer.get("Successful")
    assert not taken(wire)
    assert wire.client.disturbances.fired == {"partial-batch-1": 2}


def form(operation: str, version: str, **fields: str) -> bytes:
    return urlencode({"Action": operation, "Version": version, **fields}).encode()


@pytest.mark.parametrize(("nth", "failed"), [(1, ["a"]), (None, ["a", "b"])])
def test_entries_of_a_batch_in_the_older_protocol(nth: int | None, failed: list[str]) -> None:
    """The request without them, and the answer with them; a service is not needed for that."""
    dialect = Query()
    body = form("DeleteMessageBatch", "2012-11-05")
    told = [{"Id": id, "SenderFault": False, "Code": "InternalError", "Message": "x < y"} for id in failed]
    done = [] if nth is None else [{"Id": "b"}]
    answer = dialect.with_entries(b"", "DeleteMessageBatch", done=done, failed=told)
    read = dialect.read_answer(answer)
    assert [entry["Id"] for entry in read["Failed"]] == failed
    assert [entry["Id"] for entry in read.get("Successful", ())] == [entry["Id"] for entry in done]
    assert read["Failed"][0]["SenderFault"] is False and read["Failed"][0]["Message"] == "x < y"
    assert b"DeleteMessageBatchResult>" in answer and dialect.read(body)["Action"] == "DeleteMessageBatch"


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_entries_of_a_publish_are_refused(wire: Wired, name: str, share: float) -> None:
    """SNS speaks the older protocol, in which lists have members."""
    topic = wire.sdk("sns").create_topic(Name=name)["TopicArn"]
    arn = wire.sdk().get_queue_attributes(QueueUrl=wire.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    wire.sdk("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    wire.arm("partial-batch", share=share, operations=["PublishBatch"])
    entries = [{"Id": id, "Message": id, "MessageAttributes": ATTRIBUTES} for id in "abcdefgh"]
    answer = wire.sdk("sns").publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    failed = {entry["Id"] for entry in answer["Failed"]}
    went = {entry["Id"] for entry in answer.get("Successful") or ()}
    assert failed and failed | went == set("abcdefgh") and not failed & went
    assert (not went) == (share == 1.0)
    assert {message["Body"] for message in taken(wire)} == went
    assert wire.client.disturbances.fired == {"partial-batch-1": len(failed)}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_entries_of_events_are_refused_in_their_places(wire: Wired, share: float) -> None:
    wire.arm("partial-batch", share=share)
    entries = [{"Source": "s", "DetailType": "d", "Detail": orjson.dumps({"n": n}).decode()} for n in range(8)]
    answer = wire.sdk("events").put_events(Entries=entries)
    failed = [entry for entry in answer["Entries"] if "ErrorCode" in entry]
    assert len(answer["Entries"]) == 8 and answer["FailedEntryCount"] == len(failed) > 0
    assert {entry["ErrorCode"] for entry in failed} == {"ThrottlingException"}
    assert all("EventId" in entry for entry in answer["Entries"] if entry not in failed)
    assert (len(failed) == 8) == (share == 1.0)


def test_records_are_refused_in_their_places(wire: Wired, name: str) -> None:
    client = wire.sdk("kinesis")
    client.create_stream(StreamName=name, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    wire.arm("partial-batch", nth=2, operations=["PutRecords"])
    records = [{"Data": data, "PartitionKey": "k"} for data in (b"a", b"b", b"c")]
    answer = client.put_records(StreamName=name, Records=records)
    codes = [record.get("ErrorCode") for record in answer["Records"]]
    assert codes == [None, "ProvisionedThroughputExceededException", None] and answer["FailedRecordCount"] == 1
    shard = client.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    iterator = client.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    stored = client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert [record["Data"] for record in stored] == [b"a", b"c"]
    assert [record["SequenceNumber"] for record in stored] == [
        record["SequenceNumber"] for record in answer["Records"] if "ErrorCode" not in record
    ]


@pytest.mark.parametrize("kind", ["partial-batch", "late-delete"])
@pytest.mark.parametrize("entry", [{"Id": ["x"], "ReceiptHandle": "r"}, {"Id": "x"}, {"ReceiptHandle": "r"}])
def test_entries_that_make_no_sense_are_the_services_to_refuse(wire: Wired, kind: str, entry: object) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire)
    wire.arm(kind)
    good = {"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}
    body = orjson.dumps({"QueueUrl": wire.queue, "Entries": [good, entry]})
    status, _, told = post(wire, "AmazonSQS.DeleteMessageBatch", "application/x-amz-json-1.0", body)
    assert status in (200, 400), told


def test_what_is_no_entry_is_left_where_it_is() -> None:
    params = {"QueueUrl": "q", "Entries": [{"Id": "a"}, 7, {"Id": ["a"]}, {"Id": "b"}]}
    assert named(params, {"a"}) == {"QueueUrl": "q", "Entries": [{"Id": "a"}]}
    assert named(params, {"a"}, without=True)["Entries"] == [7, {"Id": ["a"]}, {"Id": "b"}]


def test_records_in_cbor_are_refused_in_their_places() -> None:
    dialect, batch = Cbor(), SENDS["kinesis", "PutRecords"]
    params = dialect.read(cbor2.dumps({"Records": [{"Data": data} for data in (b"a", b"b", b"c")]}))
    left = dialect.read(dialect.write(batch.without(params, {0: "X", 2: "Y"}), b""))
    assert left == {"Records": [{"Data": b"b"}]}
    answer = {"FailedRecordCount": 0, "Records": [{"SequenceNumber": "1"}]}
    whole = dialect.read_answer(dialect.write_answer(batch.in_places(answer, {0: "X", 2: "Y"}), b""))
    assert [record.get("ErrorCode") for record in whole["Records"]] == ["X", None, "Y"]
    assert whole["FailedRecordCount"] == 2


# What is recorded


STOPPING = ["throttle", "api-error", "deny", "lose-request", "reset", "blackhole", "partition"]


@pytest.mark.parametrize("kind", STOPPING)
def test_what_never_left_is_recorded_as_that(wire: Wired, kind: str) -> None:
    """A delete was not done, which is proven; of a receive there is nothing to tell."""
    send(wire, "a")
    client = wire.sdk(read_timeout_s=0.3 if kind in ("blackhole", "partition") else 10)
    (message,) = receive(client, wire, VisibilityTimeout=0)
    until(lambda: not wire.proxy.working, "that is recorded")
    before = len(wire.records)
    wire.arm(kind)
    with pytest.raises((ClientError, HTTPClientError)):
        client.delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    settling, settled = wire.records[before:]
    assert (settling["event"], settled["event"], settled["outcome"]) == ("settling", "settled", "failed")
    assert settled["error"] == f"{kind}: it never left"
    with pytest.raises((ClientError, HTTPClientError)):
        receive(client, wire)
    assert len(wire.records) == before + 2
    assert wire.disarm(kind) == 2
    (again,) = receive(client, wire)
    assert again["MessageId"] == message["MessageId"] and wire.recorded("received")[-1]["receives"] == 2


@pytest.mark.parametrize("others", [[], ["b", "c"]])
def test_a_delete_that_is_lost_leaves_the_others_of_its_batch_deleted(wire: Wired, others: list[str]) -> None:
    """And the consumer learns of none of them what became of it."""
    send(wire, "a", *others)
    client = wire.sdk()
    messages = sorted(receive(client, wire, VisibilityTimeout=0), key=lambda message: str(message["Body"]))
    until(lambda: not wire.proxy.working, "that is recorded")
    before = len(wire.records)
    wire.arm("lose-delete", nth=1)
    entries = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
    with pytest.raises(HTTPClientError):
        client.delete_message_batch(QueueUrl=wire.queue, Entries=entries)
    until(lambda: len(wire.records) == before + 2 * len(messages), "that is recorded")
    told = {
        record["broker_id"]: (record["outcome"], record.get("error"))
        for record in wire.records[before:]
        if record["event"] == "settled"
    }
    first, *rest = messages
    assert told.pop(first["MessageId"]) == ("failed", "lose-delete: it never left")
    assert told == {message["MessageId"]: ("ok", None) for message in rest}
    assert wire.disarm("lose-delete") == 1
    (again,) = taken(wire)
    assert again["Body"] == "a"


def test_a_delete_of_one_message_is_lost(wire: Wired) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire, VisibilityTimeout=0)
    wire.arm("lose-delete")
    with pytest.raises(HTTPClientError):
        wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    assert wire.disarm("lose-delete") == 1
    assert taken(wire)


def test_what_is_lost_on_the_way_back_was_done(wire: Wired) -> None:
    send(wire, "a", "b")
    wire.arm("lose-answer", nth=1)
    with pytest.raises(HTTPClientError):
        receive(wire.sdk(), wire, VisibilityTimeout=0)
    first, second, delivered = wire.records
    assert {first["event"], second["event"]} == {"received"}
    assert (delivered["event"], delivered["outcome"], delivered["error"]) == ("delivered", "failed", "lose-answer")
    assert wire.client.holding == 0, "it has them not"


# Crash points; the consumer here is nobody's process, so nothing is killed


@pytest.fixture
def mortal(wire: Wired) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for the consumer's."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        wire.client.pid = process.pid
        yield process
        process.kill()


def test_a_crash_before_its_delete(wire: Wired, mortal: subprocess.Popen[bytes]) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire, VisibilityTimeout=0)
    wire.arm("crash-at", point="before-delete", nth=1)
    with pytest.raises(HTTPClientError):
        wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    (settled,) = wire.recorded("settled")
    assert (settled["outcome"], settled["error"]) == ("failed", "the consumer crashed: it never left")
    assert taken(wire) and wire.client.disturbances.fired == {"crash-at-1": 1}
    assert mortal.wait(10) == -9


def test_who_cannot_be_killed_is_not_struck(wire: Wired) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire)
    wire.arm("crash-at", point="before-delete", nth=1)
    wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    assert wire.client.disturbances.fired == {"crash-at-1": 0}
    assert [record["outcome"] for record in wire.recorded("settled")] == ["ok"]


def test_a_crash_after_a_delete_is_after_one_that_was_done(wire: Wired, mortal: subprocess.Popen[bytes]) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire)
    wire.arm("crash-at", point="after-delete", nth=1)
    with pytest.raises(ClientError):
        wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle="nonsense")
    assert wire.client.disturbances.fired == {"crash-at-1": 0}
    with pytest.raises(HTTPClientError):
        wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    assert [record["outcome"] for record in wire.recorded("settled")] == ["failed", "ok"]
    assert wire.client.disturbances.fired == {"crash-at-1": 1}


def test_a_crash_after_a_receive_is_after_one_that_gave_something(wire: Wired, mortal: subprocess.Popen[bytes]) -> None:
    wire.arm("crash-at", point="after-receive", nth=1)
    assert receive(wire.sdk(), wire) == []
    assert wire.client.disturbances.fired == {"crash-at-1": 0}
    send(wire, "a")
    assert receive(wire.sdk(), wire)
    until(lambda: wire.client.disturbances.fired["crash-at-1"] == 1, "it crashes")
    assert wire.recorded("delivered")[0]["outcome"] == "ok", "it had the message"


# What at-least-once allows


def test_a_message_is_delivered_to_a_second_consumer(wire: Wired) -> None:
    send(wire, "a", "b")
    _, other = second(wire)
    wire.arm("duplicate-delivery", nth=2)
    first = {message["Body"]: message for message in receive(wire.sdk(), wire)}
    assert set(first) == {"a", "b"}
    (again,) = receive(
        other, wire, MessageSystemAttributeNames=["ApproximateReceiveCount"], MessageAttributeNames=["All"]
    )
    same = first[again["Body"]]
    assert again["MessageId"] == same["MessageId"] and again["ReceiptHandle"] != same["ReceiptHandle"]
    assert again["Attributes"] == {"ApproximateReceiveCount": "1"}
    assert receive(other, wire) == [], "each is offered once"
    one, two, three = wire.recorded("received")
    assert {one["consumer"], two["consumer"]} == {"orders-1.1"} and three["consumer"] == "orders-2.1"
    assert three["broker_id"] == same["MessageId"] and three["receives"] == 1
    assert 29 < three["hidden_s"] < 30, "as long as it is hidden from others"
    assert wire.client.disturbances.fired == {"duplicate-delivery-1": 1}
    other.delete_message(QueueUrl=wire.queue, ReceiptHandle=again["ReceiptHandle"])
    settled = wire.recorded("settled")[0]
    assert (settled["outcome"], settled["batch"], settled["consumer"]) == ("ok", three["batch"], "orders-2.1")
    wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=same["ReceiptHandle"])
    left = [message for message in first.values() if message is not same]
    assert [record["outcome"] for record in wire.recorded("settled")] == ["ok", "ok"] and len(left) == 1


def test_a_copy_is_given_to_nobody_when_its_hold_is_over(wire: Wired) -> None:
    send(wire, "a")
    _, other = second(wire)
    wire.arm("duplicate-delivery")
    assert receive(wire.sdk(), wire, VisibilityTimeout=0)
    (again,) = receive(other, wire)
    assert wire.client.disturbances.fired == {"duplicate-delivery-1": 0}
    assert wire.recorded("received")[-1]["receives"] == 2 and again["Body"] == "a", "SQS itself has given it again"


def test_a_copy_is_given_to_nobody_when_the_fault_is_over(wire: Wired) -> None:
    send(wire, "a")
    _, other = second(wire)
    wire.arm("duplicate-delivery")
    assert receive(wire.sdk(), wire)
    assert wire.disarm("duplicate-delivery") == 0
    assert receive(other, wire) == []


def test_a_copy_of_a_copy_is_not_made(wire: Wired) -> None:
    send(wire, "a")
    client, other = second(wire)
    wire.arm("duplicate-delivery")
    wire.do(_arm(client, wire))
    assert receive(wire.sdk(), wire) and receive(other, wire)
    assert receive(wire.sdk(), wire) == [] and receive(other, wire) == []


def test_a_copy_in_the_older_protocol() -> None:
    body = (
        b"<ReceiveMessageResponse><ReceiveMessageResult>"
        b"<Message><MessageId>1</MessageId><ReceiptHandle>r1</ReceiptHandle><Body>a</Body></Message>"
        b"<Message><MessageId>2</MessageId><ReceiptHandle>r2</ReceiptHandle><Body>&lt;Message&gt;</Body></Message>"
        b"</ReceiveMessageResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></ReceiveMessageResponse>"
    )
    (message,) = Query().read_answer(Query().only(body, 1, "r2.1"))["Messages"]
    assert message == {"MessageId": "2", "ReceiptHandle": "r2.1", "Body": "<Message>"}


@pytest.mark.parametrize("batch", [False, True])
def test_a_delete_comes_late(wire: Wired, batch: bool) -> None:
    """The consumer is told that it is done; the message comes again, and is deleted then."""
    send(wire, "a", "b")
    wire.arm("late-delete", nth=1)
    messages = receive(wire.sdk(), wire, VisibilityTimeout=1)
    late, other = messages
    if batch:
        entries = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
        answer = wire.sdk().delete_message_batch(QueueUrl=wire.queue, Entries=entries)
        assert {entry["Id"] for entry in answer["Successful"]} == {"a", "b"} and not answer.get("Failed")
    else:
        for message in messages:
            wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    assert wire.client.holding == 0, "as it sees it"
    assert [record["broker_id"] for record in wire.recorded("settled")] == [other["MessageId"]]
    assert wire.client.disturbances.fired == {"late-delete-1": 0}
    (again,) = receive(wire.sdk(), wire, WaitTimeSeconds=5)
    assert again["MessageId"] == late["MessageId"]
    until(lambda: not wire.proxy.working, "the delete is carried out")
    received, record = wire.recorded("received")[0], wire.recorded("settled")[-1]
    assert (record["broker_id"], record["outcome"], record["batch"]) == (late["MessageId"], "ok", received["batch"])
    assert wire.recorded("settling")[-1]["at"] > received["at"] + 1_000_000_000
    assert wire.client.disturbances.fired == {"late-delete-1": 1}


def test_a_delete_waits_no_longer_than_its_fault(wire: Wired) -> None:
    send(wire, "a")
    wire.arm("late-delete")
    (message,) = receive(wire.sdk(), wire)
    wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    assert wire.disarm("late-delete") == 0, "it comes in time"
    until(lambda: not wire.proxy.working, "the delete is carried out")
    assert wire.recorded("settled")[0]["outcome"] == "ok"


# What is answered to a task of a workflow


def waiting(wire: Wired, **more: Any) -> tuple[Any, str, str]:
    """An SDK past the wire, an execution that waits for an answer, and its token."""
    direct = sdk("stepfunctions", wire.queue.rpartition("/")[0].rpartition("/")[0])
    body = {"token.$": "$$.Task.Token"}
    asks = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": True, **more}
    asks["Parameters"] = {"QueueUrl": wire.queue, "MessageBody": body}
    definition = orjson.dumps({"StartAt": "Ask", "States": {"Ask": asks}}).decode()
    name = wire.queue.rpartition("/")[2]
    made = direct.create_state_machine(name=name, definition=definition, roleArn="arn:aws:iam::000000000000:role/r")
    execution = direct.start_execution(stateMachineArn=made["stateMachineArn"])["executionArn"]
    (message,) = taken(wire, WaitTimeSeconds=5)
    return direct, execution, orjson.loads(message["Body"])["token"]


def test_a_callback_is_sent_twice_and_the_second_answer_is_told(wire: Wired) -> None:
    direct, execution, token = waiting(wire)
    wire.arm("double-callback", operations=["SendTaskSuccess"])
    with pytest.raises(ClientError, match="TaskTimedOut"):
        wire.sdk("stepfunctions").send_task_success(taskToken=token, output='{"done": 1}')
    told = direct.describe_execution(executionArn=execution)
    assert (told["status"], told["output"]) == ("SUCCEEDED", '{"done":1}'), "the first one was taken"
    assert wire.client.disturbances.fired == {"double-callback-1": 1}


def test_a_callback_comes_when_its_task_s_time_is_over(wire: Wired) -> None:
    direct, execution, token = waiting(wire, TimeoutSeconds=1)
    wire.arm("late-callback", operations=["SendTaskSuccess"], seconds=1.5)
    with pytest.raises(ClientError, match="TaskTimedOut"):
        wire.sdk("stepfunctions").send_task_success(taskToken=token, output="{}")
    assert direct.describe_execution(executionArn=execution)["status"] == "FAILED"
    assert wire.client.disturbances.fired == {"late-callback-1": 1}


def test_a_callback_waits_no_longer_than_its_fault_and_has_then_not_been_struck(wire: Wired) -> None:
    direct, execution, token = waiting(wire)
    wire.arm("late-callback", operations=["SendTaskSuccess"], seconds=60)
    client = wire.sdk("stepfunctions")
    calling = threading.Thread(target=lambda: client.send_task_success(taskToken=token, output="{}"))
    calling.start()
    until(lambda: wire.proxy.working, "the call is on its way")
    assert wire.disarm("late-callback") == 0
    calling.join(10)
    assert direct.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"
    assert wire.client.disturbances.fired == {"late-callback-1": 0}


# What waits goes on when the fault is over


@pytest.mark.parametrize("kind", ["latency", "slow-body"])
def test_a_call_that_waits_goes_on_at_once_when_the_fault_is_over(wire: Wired, kind: str) -> None:
    send(wire, "a")
    wire.arm(kind, seconds=60)
    got: list[Any] = []
    calling = threading.Thread(target=lambda: got.extend(receive(wire.sdk(read_timeout_s=30), wire)))
    calling.start()
    until(lambda: wire.client.disturbances.fired[f"{kind}-1"], "the call is struck")
    assert wire.disarm(kind) == 1
    calling.join(10)
    assert [message["Body"] for message in got] == ["a"]
    until(lambda: wire.recorded("delivered"), "it is recorded")
    assert [record["outcome"] for record in wire.recorded("delivered")] == ["ok"]


def test_a_black_hole_keeps_nobody_who_has_hung_up(wire: Wired) -> None:
    wire.arm("blackhole")
    with pytest.raises(Exception, match="Read timeout"):
        wire.sdk(read_timeout_s=0.2).list_queues()
    until(lambda: not wire.proxy.working, "nobody waits any more")


def test_a_partition_keeps_the_answer_of_a_receive_that_waited_at_the_broker(wire: Wired) -> None:
    """The broker gives the message, and nobody has it: it is hidden until its timeout is over."""
    failed: list[Exception] = []

    def call() -> None:
        with pytest.raises(HTTPClientError) as broken:
            receive(wire.sdk(read_timeout_s=30), wire, WaitTimeSeconds=20, VisibilityTimeout=1)
        failed.append(broken.value)

    calling = threading.Thread(target=call)
    calling.start()
    until(wire.proxy.calls.used, "the receive waits at the broker")
    wire.arm("partition")
    send(wire, "a")
    until(lambda: wire.recorded("delivered"), "the broker has given it")
    assert [(r["outcome"], r["error"]) for r in wire.recorded("delivered")] == [("failed", "partition")]
    assert wire.client.holding == 0 and calling.is_alive() and not failed
    assert wire.disarm("partition") == 1
    calling.join(10)
    assert len(failed) == 1, "its connection breaks with the end of the partition"
    (again,) = taken(wire, WaitTimeSeconds=5)
    assert again["Body"] == "a"


@pytest.mark.parametrize("read", [True, False])
def test_a_partition_keeps_the_answer_of_any_call_that_has_left(
    wire: Wired, monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    """Of one that is understood here, and of one that is passed on as it comes."""
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire)
    opened = wire.proxy._open

    def open_and_cut(exchange: Exchange) -> Any:
        exchange.client.disturbances.arm(Disturbance(kind="partition", instance="partition-1"))
        return opened(exchange)

    monkeypatch.setattr(wire.proxy, "_open", open_and_cut)
    with pytest.raises(HTTPClientError):
        if read:
            wire.sdk(read_timeout_s=1).delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
        else:
            wire.sdk("sns", read_timeout_s=1).list_topics()
    assert wire.disarm("partition") == 1
    if read:
        until(lambda: wire.recorded("settled"), "the delete was done")
        assert [record["outcome"] for record in wire.recorded("settled")] == ["ok"]


def test_a_delete_on_its_way_arrives_though_its_consumer_is_gone(wire: Wired) -> None:
    send(wire, "a")
    (message,) = receive(wire.sdk(), wire)
    wire.arm("latency", seconds=0.5)
    with pytest.raises(Exception, match="Read timeout"):
        wire.sdk(read_timeout_s=0.1).delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    until(lambda: wire.recorded("settled"), "it is deleted")
    assert wire.recorded("settled")[0]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("service", "operation", "code", "query_code"),
    [
        ("sqs", "ReceiveMessage", "KmsAccessDenied", "KMS.AccessDeniedException"),
        ("sns", "PublishBatch", "KMSAccessDenied", None),
        ("kinesis", "GetRecords", "KMSAccessDeniedException", None),
    ],
)
def test_a_key_that_may_not_be_used_is_denied_in_the_services_own_words(
    service: str, operation: str, code: str, query_code: str | None
) -> None:
    said = refusal("deny", service=service, operation=operation, code="kms")
    assert (said.code, said.status, said.old_code) == (code, 400, query_code)
    model = boto3.client(service, region_name="us-east-1").meta.service_model.operation_model(operation)
    known = {(shape.metadata.get("error") or {}).get("code", shape.name) for shape in model.error_shapes}
    assert code in known, "as botocore knows it of that operation"


def test_an_sdk_sees_a_denied_key_as_such(wire: Wired) -> None:
    wire.arm("deny", operations=["ReceiveMessage"], code="kms")
    sqs = wire.sdk()
    with pytest.raises(ClientError) as error:
        sqs.receive_message(QueueUrl=wire.queue)
    assert error.value.response["Error"]["Code"] == "KMS.AccessDeniedException"
    assert isinstance(error.value, sqs.exceptions.KmsAccessDenied)


# What the service itself refuses


def deny_sends(wire: Wired) -> None:
    direct = sdk("sqs", wire.queue.rpartition("/")[0])
    arn = direct.get_queue_attributes(QueueUrl=wire.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    denial = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": [denial]}).decode()
    direct.set_queue_attributes(QueueUrl=wire.queue, Attributes={"Policy": policy})


@pytest.mark.parametrize(
    ("watch", "counted"),
    [
        ({}, 2),
        ({"operations": ["SendMessage"]}, 1),
        ({"operations": ["ReceiveMessage"]}, 0),
        ({"codes": ["RequestThrottled"]}, 0),
        ({"point": "another-queue"}, 0),
        ({"point": None}, 2),
    ],
)
def test_what_the_service_refuses_is_counted_and_passed_on(wire: Wired, watch: dict[str, Any], counted: int) -> None:
    deny_sends(wire)
    client = wire.sdk()
    entries = [{"Id": "1", "MessageBody": "m"}]
    # Before anybody watches nothing is counted, and what is done is never.
    for armed in (False, True):
        if armed:
            queue = wire.queue.rpartition("/")[2]
            wire.arm("refused-there", **{"codes": ["AccessDenied", "AccessDeniedException"], "point": queue, **watch})
        for send_it in (
            lambda: client.send_message(QueueUrl=wire.queue, MessageBody="m"),
            lambda: client.send_message_batch(QueueUrl=wire.queue, Entries=entries),
        ):
            with pytest.raises(ClientError) as refused:
                send_it()
            assert refused.value.response["Error"]["Code"] == "AccessDenied"
        assert receive(client, wire) == []
    assert wire.disarm("refused-there") == counted
