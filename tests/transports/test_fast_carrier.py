"""The fast carrier: botocore's signature, boto3's answers and errors, and never a second request for one call."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.loadgen.carriers import SharedBoto, carrier_for
from gameday.loadgen.config import LoadConfig
from gameday.transports.base import Addresses, Answer, Call, CallFailed, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.carriers.fast import FastCarrier
from gameday.transports.carriers.json_protocol import Signer
from gameday.transports.endpoint import Endpoint

CALL = Call("sqs", "SendMessageBatch", {"QueueUrl": "http://q", "Entries": [{"Id": "0", "MessageBody": "für dich"}]})
OK = b'{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"x","SequenceNumber":"18"}]}'

# Its data is a blob, which the protocol writes in Base64.
RECORDS = Call(
    "kinesis", "PutRecords", {"StreamName": "s", "Records": [{"PartitionKey": "k", "Data": b"\xfff\xc3\xbcr"}]}
)
STORED = b'{"FailedRecordCount":0,"Records":[{"SequenceNumber":"49","ShardId":"shard-1"}]}'


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return lines.encode() + b"\r\n" + body


class Server:
    """Answers each request with the next of its script: bytes, or None to close the connection instead. It closes it
    behind an answer that says so."""

    def __init__(self, script: list[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint(
            urls={"*": f"http://127.0.0.1:{self._socket.getsockname()[1]}"}, access_key="AK", secret_key="SK"
        )
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._script:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self._script and (request := self._read(connection)):
                    self.requests.append(request)
                    answer = self._script.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if b"Connection: close" in answer:
                        break

    def _read(self, connection: socket.socket) -> bytes:
        data = b""
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found:
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                if len(body) >= int(length.partition(b":")[2]):
                    return data
            more = connection.recv(65536)
            if not more:
                return b""
            data += more

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def serving(*script: bytes | None) -> Iterator[Server]:
    server = Server(list(script))
    try:
        yield server
    finally:
        server.close()


def fast(endpoint: Endpoint, *, service: str = "sqs", read_timeout_s: float = 5.0) -> FastCarrier:
    return FastCarrier(endpoint, services=(service,), read_timeout_s=read_timeout_s)


@settings(max_examples=50, deadline=None)
@given(
    body=st.binary(max_size=300),
    token=st.none() | st.text("abc/+=", min_size=1),
    at=st.integers(1_600_000_000, 1_900_000_000),
    secret=st.text("xyzXYZ019/+", min_size=1),
)
def test_the_signature_is_botocores(body: bytes, token: str | None, at: int, secret: str) -> None:
    credentials = Credentials("AKEXAMPLE", secret, token)
    signer = Signer(region="eu-west-1", service="sqs", host="sqs.eu-west-1.amazonaws.com", path="/")
    headers = signer.headers(
        credentials=credentials, content_type="application/x-amz-json-1.0", target="AmazonSQS.X", body=body, at=at
    )
    request = AWSRequest(
        method="POST",
        url="https://sqs.eu-west-1.amazonaws.com/",
        data=body,
        headers={name: value for name, value in headers.items() if name not in ("authorization", "host")},
    )
    request.context["timestamp"] = headers["x-amz-date"]
    theirs = SigV4Auth(credentials, "sqs", "eu-west-1")
    to_sign = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={theirs.signature(to_sign, request)}")
    assert f"SignedHeaders={theirs.signed_headers(theirs.headers_to_sign(request))}," in headers["authorization"]
    assert f"Credential={theirs.scope(request)}," in headers["authorization"]


PUT = Call(
    "events",
    "PutEvents",
    {"Entries": [{"EventBusName": "b", "Source": "s", "DetailType": "t", "Detail": "{}", "Time": 1_700_000_000}]},
)
PUT_OK = b'{"FailedEntryCount":1,"Entries":[{"EventId":"e"},{"ErrorCode":"InternalFailure","ErrorMessage":"no"}]}'


@pytest.mark.parametrize(
    ("call", "good"), [(CALL, OK), (RECORDS, STORED), (PUT, PUT_OK)], ids=["sqs", "kinesis", "events"]
)
def test_boto3_and_the_fast_carrier_say_and_hear_the_same(call: Call, good: bytes) -> None:
    with serving(http("200 OK", good), http("200 OK", good)) as server:
        theirs = dict(BotoCarrier(server.endpoint)(call))
        ours = fast(server.endpoint, service=call.service).for_one_user()(call)
        theirs.pop("ResponseMetadata")
        assert ours == theirs
        their_request, our_request = server.requests

    def spoken(request: bytes) -> tuple[dict[str, str], object]:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        kept = ("host", "content-type", "x-amz-target", "x-amzn-query-mode")
        return {k.lower(): v for k, v in lines.items() if k.lower() in kept}, orjson.loads(body)

    assert spoken(our_request) == spoken(their_request)


def test_a_connection_is_kept_and_a_closed_one_replaced_before_anything_is_sent() -> None:
    with serving(http("200 OK", OK), http("200 OK", OK), None, http("200 OK", OK)) as server:
        carry = fast(server.endpoint).for_one_user()
        carry(CALL)
        carry(CALL)
        assert server.connections == 1
        with pytest.raises(CallFailed) as broken:
            carry(CALL)
        assert broken.value.outcome == "unknown"
        assert len(server.requests) == 3, "no hidden second request"
        carry(CALL)
        assert server.connections == 2

    with serving(http("200 OK", OK, "Connection: close"), http("200 OK", OK)) as server:
        carry = fast(server.endpoint).for_one_user()
        assert carry(CALL) == carry(CALL)


NOT_THERE = orjson.dumps({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"})
ENDLESS = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + OK
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(OK), OK)


# An answer, the code of the error that it is, and what became of the call.
ANSWERS = [
    (http("400 Bad Request", NOT_THERE), "QueueDoesNotExist", "failed"),
    (http("400 Bad Request", NOT_THERE, "x-amzn-query-error: AWS.Old.Name;Sender"), "AWS.Old.Name", "failed"),
    (http("403 Forbidden", b""), "403", "failed"),
    (http("500 Oops", b'{"__type":"InternalFailure"}'), "InternalFailure", "unknown"),
    (http("503 Slow down", b'{"__type":"ThrottlingException"}'), "ThrottlingException", "failed"),
    (http("502 Bad Gateway", b"<html>"), "502", "unknown"),
    (http("200 OK", b"<html>"), "BadAnswer", "unknown"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "ReadTimeoutError", "unknown"),
    (b"garbage\r\n\r\n", "ConnectionClosedError", "unknown"),
    (None, "ConnectionClosedError", "unknown"),
    (b"", "ReadTimeoutError", "unknown"),
]


@pytest.mark.parametrize(("answer", "code", "outcome"), ANSWERS)
def test_what_an_answer_proves(answer: bytes | None, code: str, outcome: str) -> None:
    with serving(answer, http("200 OK", OK)) as server:
        carry = fast(server.endpoint, read_timeout_s=0.2).for_one_user()
        with pytest.raises(CallFailed) as failed:
            carry(CALL)
        assert (failed.value.code, failed.value.outcome) == (code, outcome)
        assert len(server.requests) == 1


@pytest.mark.parametrize("said", [CHUNKED, ENDLESS], ids=["chunked", "endless"])
def test_answers_that_do_not_say_how_long_they_are(said: bytes) -> None:
    with serving(said, said) as server:
        answer: Answer = fast(server.endpoint).for_one_user()(CALL)
        theirs = dict(BotoCarrier(server.endpoint)(CALL))
        theirs.pop("ResponseMetadata")
        assert answer == theirs == orjson.loads(OK)


NULLS = [
    (b'{"Failed":null,"Successful":[{"Id":"0","MessageId":"m","SequenceNumber" : null}]}', None),
    (b'{"Successful":[{"Id":"0","MessageId":"a \\"text\\":null"}]}', "as it is"),
]


@pytest.mark.parametrize(("said", "kept"), NULLS)
def test_a_member_that_is_null_is_not_there_and_a_text_stays_as_it_is(said: bytes, kept: str | None) -> None:
    with serving(http("200 OK", said), http("200 OK", said)) as server:
        theirs = dict(BotoCarrier(server.endpoint)(CALL))
        theirs.pop("ResponseMetadata")
        assert fast(server.endpoint).for_one_user()(CALL) == theirs
    assert (theirs == orjson.loads(said)) is (kept is not None)


def test_what_comes_behind_an_answer_is_the_answer_to_nothing() -> None:
    with serving(http("200 OK", OK) + http("200 OK", b'{"stray":1}'), http("200 OK", b"{}")) as server:
        carry = fast(server.endpoint).for_one_user()
        assert carry(CALL) == orjson.loads(OK)
        assert carry(CALL) == {}
        assert server.connections == 2


def test_nobody_there_is_definite() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    carry = fast(Endpoint(urls={"*": url}, access_key="a", secret_key="b")).for_one_user()
    with pytest.raises(CallFailed) as refused:
        carry(CALL)
    assert (refused.value.code, refused.value.outcome) == ("EndpointConnectionError", "failed")


def load_config(endpoint: Endpoint) -> LoadConfig:
    return LoadConfig(
        run_dir="",
        run="r",
        clock="0:0",
        endpoint=endpoint,
        transport="sqs",
        addresses=Addresses(send_to="q", queues={}),
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=1,
        duration_s=1,
    )


def test_where_a_proxy_is_named_boto3_goes_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    config = load_config(Endpoint(urls={"*": "http://127.0.0.1:1"}, access_key="a", secret_key="b"))
    assert isinstance(carrier_for(config), FastCarrier)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:2")
    assert isinstance(carrier_for(config), FastCarrier), "this one is not on the way"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    assert isinstance(carrier_for(config), SharedBoto)


def test_who_asks_for_the_sdk_gets_it() -> None:
    asked = load_config(Endpoint(urls={"*": "http://127.0.0.1:1"}, access_key="a", secret_key="b"))
    assert isinstance(carrier_for(asked), FastCarrier)
    again = LoadConfig.from_json(
        orjson.loads(orjson.dumps(replace(asked, endpoint=replace(asked.endpoint, carrier="sdk")).to_json()))
    )
    assert isinstance(carrier_for(again), SharedBoto)
