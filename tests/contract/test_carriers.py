"""Our carriers say and hear on every target what the SDKs do, and break as they do: the same answers, the same errors,
and the same word on whether something may have happened. Held against each other call by call."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from gameday.transports.base import Call
from gameday.transports.endpoint import Endpoint
from tests.carriers import carrier
from tests.contract.carriers import (
    PAIRS,
    Ask,
    Breaker,
    Failed,
    Fault,
    Which,
    asking,
    half,
    half_a_head,
    instead,
    nothing,
    outline,
    silence,
    silence_in_the_middle,
)

pytestmark = pytest.mark.live

_UNIQUE = count()
TARGETS = ["memory", "ministack", "localstack"]


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Endpoint:
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint


class Made:
    """Makes what is asked about, new each time; gives its name, or a queue's URL."""

    def __init__(self, target: Endpoint) -> None:
        self._control = carrier(target)

    def queue(self) -> str:
        return str(self._control(Call("sqs", "CreateQueue", {"QueueName": _new()}))["QueueUrl"])

    def stream(self) -> str:
        name = _new()
        self._control(Call("kinesis", "CreateStream", {"StreamName": name, "ShardCount": 1}))
        return self._once("kinesis", "stream_exists", StreamName=name)

    def table(self) -> str:
        of = {"TableName": _new(), "BillingMode": "PAY_PER_REQUEST"}
        attributes = [{"AttributeName": "pk", "AttributeType": "S"}]
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
        self._control(Call("dynamodb", "CreateTable", {**of, "AttributeDefinitions": attributes, "KeySchema": keys}))
        return self._once("dynamodb", "table_exists", TableName=of["TableName"])

    def _once(self, service: str, ready: str, **named: str) -> str:
        waiter = self._control.client(service).get_waiter(ready)
        waiter.wait(**named, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        (name,) = named.values()
        return name


def _new() -> str:
    return f"carried-{next(_UNIQUE)}"


@pytest.fixture
def made(target: Endpoint) -> Made:
    return Made(target)


# What is asked, with good answers, partial ones and refusals among the answers that the target itself gives.


def queue(ask: Ask, made: Made) -> Iterator[Any]:
    url = made.queue()
    attributes = {
        "of": {"DataType": "Binary", "BinaryValue": b"\xff\x00"},
        "name": {"DataType": "String", "StringValue": "für dich"},
    }
    entries = [{"Id": str(n), "MessageBody": f"für dich {n}", "MessageAttributes": attributes} for n in range(3)]
    yield ask(Call("sqs", "SendMessageBatch", {"QueueUrl": url, "Entries": entries}))
    later = [{"Id": "good", "MessageBody": "x"}, {"Id": "bad", "MessageBody": "x", "DelaySeconds": 5000}]
    yield ask(Call("sqs", "SendMessageBatch", {"QueueUrl": url, "Entries": later}))
    yield ask(Call("sqs", "SendMessageBatch", {"QueueUrl": f"{url}-not-there", "Entries": entries}))
    twice = [{"Id": "same", "MessageBody": "x"}] * 2
    yield ask(Call("sqs", "SendMessageBatch", {"QueueUrl": url, "Entries": twice}))
    receive = {"QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    got: list[dict[str, Any]] = []
    while len(got) < 4:
        answer = ask(Call("sqs", "ReceiveMessage", {**receive, "WaitTimeSeconds": 2}))
        assert isinstance(answer, dict) and answer.get("Messages"), answer
        got += answer["Messages"]
    yield sorted((outline(message) for message in got), key=str)
    assert {message["Body"] for message in got} >= {"für dich 0", "für dich 1", "für dich 2"}
    assert {a["of"]["BinaryValue"] for a in (m.get("MessageAttributes") for m in got) if a} == {b"\xff\x00"}
    receipts = [got[0]["ReceiptHandle"], "no receipt"]
    hide = [{"Id": str(n), "ReceiptHandle": r, "VisibilityTimeout": 60} for n, r in enumerate(receipts)]
    yield ask(Call("sqs", "ChangeMessageVisibilityBatch", {"QueueUrl": url, "Entries": hide}))
    delete = [{"Id": str(n), "ReceiptHandle": r} for n, r in enumerate(receipts)]
    yield ask(Call("sqs", "DeleteMessageBatch", {"QueueUrl": url, "Entries": delete}))
    yield ask(Call("sqs", "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]}))
    yield ask(Call("sqs", "ReceiveMessage", receive))


def stream(ask: Ask, made: Made) -> Iterator[Any]:
    name = made.stream()
    records = [{"PartitionKey": "k", "Data": b"\xfff\xc3\xbcr"}, {"PartitionKey": "l", "Data": b"x"}]
    yield ask(Call("kinesis", "PutRecords", {"StreamName": name, "Records": records}))
    yield ask(Call("kinesis", "PutRecords", {"StreamName": "not-there", "Records": records}))
    shards = ask(Call("kinesis", "ListShards", {"StreamName": name}))
    yield shards
    assert isinstance(shards, dict)
    where = {"StreamName": name, "ShardId": shards["Shards"][0]["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = ask(Call("kinesis", "GetShardIterator", where))
    yield iterator
    yield ask(Call("kinesis", "GetShardIterator", {**where, "StreamName": "not-there"}))
    assert isinstance(iterator, dict)
    read = ask(Call("kinesis", "GetRecords", {"ShardIterator": iterator["ShardIterator"], "Limit": 10}))
    yield read
    assert isinstance(read, dict)
    assert [record["Data"] for record in read["Records"]] == [b"\xfff\xc3\xbcr", b"x"]
    yield ask(Call("kinesis", "GetRecords", {"ShardIterator": read["NextShardIterator"], "Limit": 10}))
    yield ask(Call("kinesis", "GetRecords", {"ShardIterator": "no iterator", "Limit": 10}))


def table(ask: Ask, made: Made) -> Iterator[Any]:
    of = {"TableName": made.table()}
    key = {"pk": {"S": "a"}}
    new = {**of, "Item": {**key, "of": {"B": b"\xff"}, "n": {"N": "1"}, "no": {"NULL": True}}}
    only_new = {**new, "ConditionExpression": "attribute_not_exists(pk)"}
    add = {
        **of,
        "Key": key,
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    put = {"Put": {**of, "Item": {"pk": {"S": "b"}}, "ConditionExpression": "attribute_not_exists(pk)"}}
    both = {"TransactItems": [put, {"Update": add}]}
    find = {**of, "KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    for operation, params in (
        ("PutItem", only_new),
        ("PutItem", only_new),
        ("PutItem", {**only_new, "TableName": "not-there"}),
        ("GetItem", {**of, "Key": key, "ConsistentRead": True}),
        ("UpdateItem", add),
        ("TransactWriteItems", both),
        ("TransactWriteItems", both),
        ("Query", find),
        ("Scan", {**of, "ConsistentRead": True}),
        ("DeleteItem", {**of, "Key": key}),
        ("GetItem", {**of, "Key": key}),
    ):
        yield ask(Call("dynamodb", operation, params))


def bus(ask: Ask, made: Made) -> Iterator[Any]:
    good = {"EventBusName": "default", "Source": "s", "DetailType": "t", "Detail": "{}", "Time": 1_700_000_000}
    bad = {**good, "Detail": "no JSON"}
    yield ask(Call("events", "PutEvents", {"Entries": [good, bad]}))
    yield ask(Call("events", "PutEvents", {"Entries": []}))


# LocalStack's DynamoDB is a program of its own, which is not installed with it.
ASKED = [
    (of, script) for of in TARGETS for script in (queue, stream, table, bus) if (of, script) != ("localstack", table)
]


@pytest.mark.parametrize(("target", "script"), ASKED, indirect=["target"])
@pytest.mark.parametrize(("sdk", "ours"), PAIRS)
def test_what_a_target_says_is_heard_alike(
    target: Endpoint, made: Made, script: Callable[[Ask, Made], Iterator[Any]], sdk: Which, ours: Which
) -> None:
    heard = []
    for which in (sdk, ours):
        with asking(which, target) as ask:
            heard.append([outline(told) for told in script(ask, made)])
    assert heard[1] == heard[0]


# What is broken on the way.


def error(code: str) -> bytes:
    return b'{"__type":"com.amazonaws.x#%b","message":"no"}' % code.encode()


FAULTS: dict[str, tuple[Fault, str]] = {
    "refused": (instead(400, error("InvalidParameterValue")), "failed"),
    "no answer in words": (instead(400, b"<html>"), "failed"),
    "throttled": (instead(400, error("ThrottlingException:http://x/")), "failed"),
    "throttled as if it were down": (instead(503, error("ThrottlingException")), "failed"),
    "down": (instead(500, error("InternalFailure")), "unknown"),
    "a gateway": (instead(502, b"<html>Bad Gateway</html>"), "unknown"),
    "expired": (instead(403, error("ExpiredTokenException")), "failed"),
    "reset": (nothing(reset=True), "unknown"),
    "closed": (nothing(reset=False), "unknown"),
    "reset in the middle": (half(reset=True), "unknown"),
    "closed in the middle": (half(reset=False), "unknown"),
}
SLOW: dict[str, Fault] = {"slow": silence, "slow in the middle": silence_in_the_middle}


def hot(queue: str, stream: str) -> list[Call]:
    """One call of each kind that runs so often that we carry it. What a target without tables says arrives nowhere."""
    of = {"TableName": "t"}
    item = {"Item": {"pk": {"S": "a"}}}
    receipts = [{"Id": "0", "ReceiptHandle": "r"}]
    records = [{"PartitionKey": "k", "Data": b"x"}]
    event = {"EventBusName": "default", "Source": "s", "DetailType": "t", "Detail": "{}"}
    sqs = {"QueueUrl": queue}
    return [
        Call("sqs", "SendMessageBatch", {**sqs, "Entries": [{"Id": "0", "MessageBody": "x"}]}),
        Call("sqs", "ReceiveMessage", sqs),
        Call("sqs", "DeleteMessageBatch", {**sqs, "Entries": receipts}),
        Call("sqs", "ChangeMessageVisibilityBatch", {**sqs, "Entries": [{**receipts[0], "VisibilityTimeout": 9}]}),
        Call("kinesis", "PutRecords", {"StreamName": stream, "Records": records}),
        Call("kinesis", "GetRecords", {"ShardIterator": "i", "Limit": 1}),
        Call("events", "PutEvents", {"Entries": [event]}),
        Call("dynamodb", "PutItem", {**of, **item}),
        Call("dynamodb", "TransactWriteItems", {"TransactItems": [{"Put": {**of, **item}}]}),
    ]


@pytest.fixture
def breaker(target: Endpoint) -> Iterator[Breaker]:
    breaker = Breaker(target)
    yield breaker
    breaker.close()


@pytest.mark.parametrize(("sdk", "ours"), PAIRS)
def test_what_breaks_on_the_way_proves_the_same(breaker: Breaker, made: Made, sdk: Which, ours: Which) -> None:
    calls = hot(made.queue(), made.stream())
    with asking(sdk, breaker.endpoint) as by_sdk, asking(ours, breaker.endpoint) as by_ours:
        for name, (breaker.fault, outcome) in FAULTS.items():
            for call in calls:
                before = breaker.requests
                theirs, told = by_sdk(call), by_ours(call)
                assert breaker.requests == before + 2, f"{name}, {call.operation}: one request each"
                assert isinstance(theirs, Failed) and isinstance(told, Failed), (name, call.operation, theirs, told)
                assert told.outcome == theirs.outcome == outcome, (name, call.operation, theirs, told)
                if "the middle" not in name and name not in ("reset", "closed"):
                    assert told.code == theirs.code, (name, call.operation)


@pytest.mark.parametrize("which", ["fast", "fast for asyncio"])
def test_half_a_head_is_no_answer(breaker: Breaker, made: Made, which: Which) -> None:
    breaker.fault = half_a_head
    with asking(which, breaker.endpoint) as ask:
        for call in hot(made.queue(), made.stream()):
            assert ask(call) == Failed("unknown", "ConnectionClosedError"), call.operation


@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize(("sdk", "ours"), PAIRS)
def test_an_answer_that_does_not_come_in_time(
    breaker: Breaker, made: Made, sdk: Which, ours: Which, fault: Fault
) -> None:
    breaker.fault = fault
    calls = hot(made.queue(), made.stream())
    for which in (sdk, ours):
        with asking(which, breaker.endpoint, read_timeout_s=0.2) as ask:
            told = {call.operation: ask(call) for call in (calls[0], calls[1], calls[-1])}
        assert set(told.values()) == {Failed("unknown", "ReadTimeoutError")}, (which, told)


@pytest.mark.parametrize(("sdk", "ours"), PAIRS)
def test_where_nobody_listens(sdk: Which, ours: Which) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    endpoint = Endpoint(urls={"*": url}, access_key="test", secret_key="test")
    for which in (sdk, ours):
        with asking(which, endpoint) as ask:
            for call in hot(f"{url}/0/q", "s"):
                assert ask(call) == Failed("failed", "EndpointConnectionError"), (which, call.operation)
