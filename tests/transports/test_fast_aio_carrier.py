"""The fast carrier for consuming: aiobotocore's answers and errors, a connection for each call at a time, and
aiobotocore itself for what it does not speak."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.aio import AioCarrier
from gameday.transports.carriers.fast_aio import FastAioCarrier, aio_carrier
from gameday.transports.endpoint import Endpoint
from tests.transports.test_fast_carrier import ANSWERS, CHUNKED, ENDLESS, OK, http, serving
from tests.transports.test_fast_carrier import CALL as SEND

RECEIVE = Call("sqs", "ReceiveMessage", {"QueueUrl": "http://q", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1})
MESSAGES = orjson.dumps(
    {
        "Messages": [
            {
                "MessageId": "m",
                "ReceiptHandle": "r",
                "Body": "für dich",
                "MD5OfBody": "a5f0fb8b4ee3a1fc4f5a6f7e3c0d5d6e",
                "Attributes": {"SentTimestamp": "1700000000000"},
                "MessageAttributes": {
                    "of": {"DataType": "Binary", "BinaryValue": "//8="},
                    "name": {"DataType": "String", "StringValue": "text"},
                },
            }
        ]
    }
)
READ = Call("kinesis", "GetRecords", {"ShardIterator": "i", "Limit": 10})
RECORDS = orjson.dumps(
    {
        "Records": [
            {
                "SequenceNumber": "49",
                "PartitionKey": "k",
                "Data": "/2bDvHI=",
                "ApproximateArrivalTimestamp": 1700000000.25,
            }
        ],
        "NextShardIterator": "n",
        "MillisBehindLatest": 0,
    }
)
FIND = Call("kinesis", "ListShards", {"StreamName": "s"})
SHARDS = orjson.dumps(
    {
        "Shards": [
            {
                "ShardId": "shardId-0",
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
                "SequenceNumberRange": {"StartingSequenceNumber": "49"},
            }
        ]
    }
)
PUT = Call(
    "dynamodb",
    "PutItem",
    {"TableName": "t", "Item": {"pk": {"S": "k"}}, "ConditionExpression": "attribute_not_exists(pk)"},
)
BOTH = Call(
    "dynamodb",
    "TransactWriteItems",
    {"TransactItems": [{"Put": {"TableName": "t", "Item": {"pk": {"S": "k"}}}}], "ClientRequestToken": "token"},
)
REFUSED = orjson.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
)
CANCELLED = orjson.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer to the reasons [ConditionalCheckFailed]",
    }
)


def with_carrier(
    endpoint: Endpoint,
    scene: Callable[[FastAioCarrier], Awaitable[Any]],
    *,
    read_timeout_s: float = 5.0,
    connections: int = 4,
) -> Any:
    async def go() -> Any:
        carrier = FastAioCarrier(endpoint, read_timeout_s=read_timeout_s, connections=connections)
        try:
            return await scene(carrier)
        finally:
            await carrier.close()

    return asyncio.run(go())


def by_the_sdk(endpoint: Endpoint, call: Call) -> Answer | tuple[str, str, str]:
    async def go() -> Answer | tuple[str, str, str]:
        carrier = AioCarrier(endpoint, read_timeout_s=5.0, connections=1)
        try:
            answer = dict(await carrier(call))
            answer.pop("ResponseMetadata")
            return answer
        except CallFailed as failed:
            return failed.code, failed.outcome, str(failed)
        finally:
            await carrier.close()

    return asyncio.run(go())


def by_ours(endpoint: Endpoint, call: Call) -> Answer | tuple[str, str, str]:
    async def scene(carrier: FastAioCarrier) -> Answer | tuple[str, str, str]:
        try:
            return await carrier(call)
        except CallFailed as failed:
            return failed.code, failed.outcome, str(failed)

    answered: Answer | tuple[str, str, str] = with_carrier(endpoint, scene)
    return answered


def spoken(request: bytes) -> tuple[dict[str, str], object]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    kept = ("host", "content-type", "x-amz-target", "x-amzn-query-mode")
    return {k.lower(): v for k, v in lines.items() if k.lower() in kept}, orjson.loads(body)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (RECEIVE, http("200 OK", MESSAGES)),
        (RECEIVE, http("200 OK", b"{}")),
        (READ, http("200 OK", RECORDS)),
        (FIND, http("200 OK", SHARDS)),
        (PUT, http("200 OK", b"{}")),
        (PUT, http("400 Bad Request", REFUSED)),
        (BOTH, http("400 Bad Request", CANCELLED)),
        (PUT, http("500 Oops", b'{"__type":"InternalServerError","message":"no"}')),
        (READ, http("400 Bad Request", b'{"__type":"ExpiredIteratorException","message":"old"}')),
        (RECEIVE, http("200 OK", b'{"Messages":[{"MessageId":"m","Body":"null","Attributes":null}],"Failed":null}')),
        (
            RECEIVE,
            http("400 Bad", b'{"__type":"a#OverLimit","message":"no"}', "x-amzn-query-error: Old;Sender"),
        ),
        (PUT, http("400 Bad Request", b'{"__type":"a#ThrottlingException:http://b/","message":"no"}')),
        (PUT, http("404 Not Found", b"")),
        (
            RECEIVE,
            http("403 Forbidden", b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"old"}'),
        ),
    ],
)
def test_aiobotocore_and_ours_say_and_hear_the_same(call: Call, answer: bytes) -> None:
    with serving(answer, answer) as server:
        theirs, ours = by_the_sdk(server.endpoint, call), by_ours(server.endpoint, call)
        assert ours == theirs
        their_request, our_request = server.requests
    assert spoken(our_request) == spoken(their_request)


@pytest.mark.parametrize(("answer", "code", "outcome"), ANSWERS)
def test_what_an_answer_proves(answer: bytes | None, code: str, outcome: str) -> None:
    async def scene(carrier: FastAioCarrier) -> None:
        with pytest.raises(CallFailed) as failed:
            await carrier(RECEIVE)
        assert (failed.value.code, failed.value.outcome) == (code, outcome)

    with serving(answer, http("200 OK", OK)) as server:
        with_carrier(server.endpoint, scene, read_timeout_s=0.2)
        assert len(server.requests) == 1, "no hidden second request"


@pytest.mark.parametrize("said", [CHUNKED, ENDLESS], ids=["chunked", "endless"])
def test_answers_that_do_not_say_how_long_they_are(said: bytes) -> None:
    with serving(said, said) as server:
        assert by_ours(server.endpoint, SEND) == by_the_sdk(server.endpoint, SEND) == orjson.loads(OK)


def test_what_comes_behind_an_answer_is_the_answer_to_nothing() -> None:
    async def scene(carrier: FastAioCarrier) -> None:
        assert await carrier(RECEIVE) == orjson.loads(OK)
        assert await carrier(RECEIVE) == {}
        assert server.connections == 2

    stray = http("200 OK", b'{"stray":1}')
    with serving(http("200 OK", OK) + stray, http("200 OK", b"{}")) as server:
        with_carrier(server.endpoint, scene)


def test_nobody_there_is_definite() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    code, outcome, _ = by_ours(Endpoint(urls={"*": url}, access_key="a", secret_key="b"), RECEIVE)
    assert (code, outcome) == ("EndpointConnectionError", "failed")


def test_a_connection_is_kept_and_a_closed_one_replaced() -> None:
    async def scene(carrier: FastAioCarrier) -> None:
        await carrier(RECEIVE)
        await carrier(RECEIVE)
        assert server.connections == 1
        with pytest.raises(CallFailed) as broken:
            await carrier(RECEIVE)
        assert broken.value.outcome == "unknown"
        await carrier(RECEIVE)
        assert server.connections == 2

    with serving(http("200 OK", OK), http("200 OK", OK), None, http("200 OK", OK)) as server:
        with_carrier(server.endpoint, scene)

    async def closing(carrier: FastAioCarrier) -> None:
        assert await carrier(RECEIVE) == await carrier(RECEIVE)

    with serving(http("200 OK", OK, "Connection: close"), http("200 OK", OK)) as server:
        with_carrier(server.endpoint, closing)


def test_who_stops_waiting_leaves_no_answer_to_the_next_call() -> None:
    async def scene(carrier: FastAioCarrier) -> None:
        waiting = asyncio.create_task(carrier(RECEIVE))
        while not server.requests:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await carrier(RECEIVE) == {}

    # Nothing is answered to the first; what comes after it, on a connection of its own, is.
    with serving(b"", http("200 OK", b"{}")) as server:
        with_carrier(server.endpoint, scene)
        assert server.connections == 2


def test_more_calls_than_connections_wait_for_one() -> None:
    async def scene(carrier: FastAioCarrier) -> None:
        answers = await asyncio.gather(*(carrier(RECEIVE) for _ in range(3)))
        assert answers == [orjson.loads(OK)] * 3

    with serving(*[http("200 OK", OK)] * 3) as server:
        with_carrier(server.endpoint, scene, connections=1)
        assert server.connections == 1


def test_what_it_does_not_speak_and_what_goes_through_a_proxy_is_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    carried: list[str] = []

    class Sdk:
        def __init__(self, endpoint: Endpoint, **_: object) -> None: ...
        async def __call__(self, call: Call) -> Answer:
            carried.append(call.operation)
            return {}

        async def close(self) -> None: ...

    monkeypatch.setattr("gameday.transports.carriers.aio.AioCarrier", Sdk)

    async def scene(carrier: FastAioCarrier) -> None:
        await carrier(Call("dynamodb", "CreateTable", {"TableName": "t"}))
        await carrier(Call("s3", "GetObject", {"Bucket": "b", "Key": "k"}))

    with serving() as server:
        with_carrier(server.endpoint, scene)
        assert carried == ["CreateTable", "GetObject"]
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
        with_carrier(server.endpoint, lambda carrier: carrier(RECEIVE))
        assert carried[-1] == "ReceiveMessage" and not server.requests


def test_who_asks_for_the_sdk_gets_it() -> None:
    async def go() -> None:
        for endpoint, kind in ((Endpoint(), FastAioCarrier), (Endpoint(carrier="sdk"), AioCarrier)):
            made = aio_carrier(endpoint, read_timeout_s=5.0, connections=1)
            assert type(made) is kind
            await made.close()

    asyncio.run(go())


def test_credentials_of_the_chain_are_asked_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that expire are renewed by the SDK, which knows when."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the token")

    async def scene(carrier: FastAioCarrier) -> None:
        await carrier(RECEIVE)
        carrier._source.access_key = "AKIASECOND"
        await carrier(RECEIVE)

    with serving(http("200 OK", OK), http("200 OK", OK)) as server:
        with_carrier(Endpoint(urls=server.endpoint.urls), scene)
        first, second = server.requests
    assert b"Credential=AKIAFIRST/" in first and b"x-amz-security-token: the token" in first
    assert b"Credential=AKIASECOND/" in second


def test_without_any_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with serving() as server:
        code, outcome, _ = by_ours(Endpoint(urls=server.endpoint.urls), RECEIVE)
        assert (code, outcome, server.requests) == ("NoCredentialsError", "failed", [])
