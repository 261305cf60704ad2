"""What HTTP asks of a proxy, seen from both sides of the wire by hand."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest

from gameday.transports.endpoint import Endpoint
from gameday.wire.http import READ_MAX_BYTES
from gameday.wire.proxy import _CHUNK_BYTES
from tests.commanded import wait_until
from tests.wire.sink import Got, Last, Sink, answer, sink
from tests.wire.wired import Wired, wired

JSON = {"Content-Type": "application/x-amz-json-1.0"}
RECEIVE = {**JSON, "X-Amz-Target": "AmazonSQS.ReceiveMessage"}


@pytest.fixture
def service() -> Iterator[Sink]:
    with sink() as served:
        yield served


@pytest.fixture
def wire(service: Sink, tmp_path: Path) -> Iterator[Wired]:
    target = Endpoint(urls={"*": service.url}, access_key="test", secret_key="test")
    with wired(target, tmp_path, queue=f"{service.url}/000000000000/orders") as wire:
        yield wire


def connection(wire: Wired, *, timeout_s: float = 10) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", wire.client.port, timeout=timeout_s))


def raw(wire: Wired, request: bytes) -> bytes:
    """All that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", wire.client.port), timeout=10) as consumer:
        consumer.sendall(request)
        return _rest(consumer)


def _rest(consumer: socket.socket) -> bytes:
    parts: list[bytes] = []
    with suppress(ConnectionError):
        parts.extend(iter(lambda: consumer.recv(65536), b""))
    return b"".join(parts)


@pytest.mark.parametrize(
    "target",
    ["/", "/?x", "/a//b/../c", "/a%2Fb%2fc", "/a+b%20c?d+e=%26&&f", "/b/k@evil.example/:80", "//evil.example/x"],
)
def test_a_path_goes_on_as_it_is(target: str, service: Sink, wire: Wired) -> None:
    raw(wire, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    (got,) = service.got
    assert got.target == target


def test_headers_go_on_in_their_order(service: Sink, wire: Wired) -> None:
    service.always(answer(headers={"X-b": "1", "X-A": "é ", "x-B": "2", "Set-Cookie": "a=b"}))
    said = raw(
        wire,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Odd: 1\r\nx-oDD: 2\r\nX-Wide: \xc3\xa9\r\nX-Empty:\r\n"
        b"Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\n"
        b"Accept-Encoding: gzip, br\r\n\r\n",
    )
    (got,) = service.got
    headers = [(name, value) for name, value in got.headers if name != "Host"]
    wide = b"\xc3\xa9".decode("latin-1")
    assert headers == [
        ("X-Odd", "1"), ("X-Odd", "2"), ("X-Wide", wide), ("X-Empty", ""), ("Accept-Encoding", "gzip, br"),
    ]  # fmt: skip
    assert got.header("Host") == service.url.removeprefix("http://"), "it is the target's own"
    head = said.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 200 Said"
    assert head[2:6] == [b"X-b: 1", b"X-A: \xc3\xa9", b"x-B: 2", b"Set-Cookie: a=b"]


@pytest.mark.parametrize(
    ("method", "said", "status", "headers"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: x\r\n\r\n", 200, {"Content-Length": "12345"}),
        ("HEAD", b"HTTP/1.1 404 No\r\n\r\n", 404, {"Content-Length": None}),
        ("GET", b"HTTP/1.1 304 Same\r\nETag: x\r\n\r\n", 304, {"ETag": "x", "Content-Length": None}),
        ("DELETE", b"HTTP/1.1 204 Gone\r\nX-A: b\r\n\r\n", 204, {"X-A": "b", "Content-Length": None}),
        ("PUT", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, {"Content-Length": "0"}),
    ],
)
def test_answers_without_a_body(
    method: str, said: bytes, status: int, headers: dict[str, str | None], service: Sink, wire: Wired
) -> None:
    service.always(said)
    with connection(wire) as consumer:
        for _ in range(3):
            consumer.request(method, "/b/k")
            response = consumer.getresponse()
            assert (response.status, response.read()) == (status, b"")
            assert {name: response.headers[name] for name in headers} == headers
            assert response.headers["Transfer-Encoding"] is None


def test_a_connection_is_used_again_on_both_sides(service: Sink, wire: Wired) -> None:
    with connection(wire) as consumer:
        for status in (200, 400, 500, 200):
            service.always(answer(status=status))
            consumer.request("POST", "/", body=b"{}", headers=RECEIVE)
            assert consumer.getresponse().read() == b"{}"
        local = consumer.sock.getsockname()
        consumer.request("GET", "/")
        assert consumer.getresponse().read() == b"{}" and consumer.sock.getsockname() == local
    assert service.connections == 1


def test_a_large_body_passes_in_both_directions_at_a_slow_readers_pace(service: Sink, wire: Wired) -> None:
    """It is never held whole: the one that sends must wait for the one that reads."""
    body = bytes(range(256)) * 250_000
    service.says = lambda got: answer(got.body)
    with socket.create_connection(("127.0.0.1", wire.client.port), timeout=10) as consumer:
        head = b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        consumer.sendall(head + body)
        wait_until(lambda: bool(service.got), "the service has all of it")
        # What nobody reads stands still somewhere: no buffer takes all of it.
        sent = -1
        while sent != service.sent:
            sent = service.sent
            time.sleep(0.2)
        assert sent < len(body) / 2
        said = b"".join(iter(lambda: consumer.recv(1 << 20), b""))
    assert said.endswith(body) and service.got[0].body == body


def test_a_call_too_long_to_be_read_passes_unread(service: Sink, wire: Wired) -> None:
    body = b'{"Padding": "' + b"x" * READ_MAX_BYTES + b'"}'
    with connection(wire) as consumer:
        for given in (body, iter([body[: READ_MAX_BYTES // 2], body[READ_MAX_BYTES // 2 :]])):
            consumer.request("POST", "/", body=given, headers=RECEIVE, encode_chunked=not isinstance(given, bytes))
            assert consumer.getresponse().read() == b"{}"
    assert [got.body == body for got in service.got] == [True, True]


def test_what_streams_is_passed_on_as_it_comes(service: Sink, wire: Wired) -> None:
    """An event stream's first event is there before its second."""
    more = threading.Event()

    def says(_: Got) -> bytes:
        service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert more.wait(10)
        return b"6\r\nsecond\r\n0\r\n\r\n"

    service.says = says
    headers = {**JSON, "X-Amz-Target": "Kinesis_20131202.SubscribeToShard"}
    with connection(wire) as consumer:
        consumer.request("POST", "/", body=b"{}", headers=headers)
        response = consumer.getresponse()
        assert response.read1() == b"first"
        more.set()
        assert response.read() == b"second"


def test_a_compressed_answer_is_read_all_the_same(service: Sink, wire: Wired) -> None:
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "hello", "Attributes": {"SentTimestamp": "1"}}
    service.always(answer(gzip.compress(orjson.dumps({"Messages": [message]})), headers={"Content-Encoding": "gzip"}))
    with connection(wire) as consumer:
        headers = {**RECEIVE, "Accept-Encoding": "gzip"}
        consumer.request("POST", "/", body=orjson.dumps({"QueueUrl": wire.queue}), headers=headers)
        response = consumer.getresponse()
        assert response.headers["Content-Encoding"] is None
        assert orjson.loads(response.read())["Messages"][0]["Body"] == "hello"
    assert service.got[0].header("Accept-Encoding") == "identity"
    assert [record["broker_id"] for record in wire.recorded("received")] == ["m"]


def test_a_receive_by_get(service: Sink, wire: Wired) -> None:
    """As the oldest clients of SQS do it: its form stands in the path."""
    message = b"<MessageId>m</MessageId><ReceiptHandle>r</ReceiptHandle><Body>hello</Body>"
    attribute = b"<Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>"
    said = b"<R><ReceiveMessageResult><Message>%b%b</Message></ReceiveMessageResult></R>"
    service.always(answer(said % (message, attribute)))
    path = "/000000000000/orders?Action=ReceiveMessage&Version=2012-11-05"
    with connection(wire) as consumer:
        consumer.request("GET", path)
        assert consumer.getresponse().read() == said % (message, b"")
        consumer.request("GET", path.replace("Receive", "Delete") + "&ReceiptHandle=r")
        consumer.getresponse().read()
    assert [got.target for got in service.got] == [
        f"{path}&AttributeName.1=All",
        path.replace("Receive", "Delete") + "&ReceiptHandle=r",
    ]
    assert [record["broker_id"] for record in wire.recorded("received", "settled")] == ["m", "m"]


def test_a_call_is_sent_once(service: Sink, wire: Wired) -> None:
    """Also one that HTTP lets a client repeat: the consumer decides."""
    with connection(wire) as consumer:
        consumer.request("DELETE", "/b/k")
        consumer.getresponse().read()
        service.says = lambda _: None
        consumer.request("DELETE", "/b/k")
        with pytest.raises(ConnectionError):
            consumer.getresponse()
    assert len(service.got) == 2


def test_an_upload_that_breaks_off_does_not_end_well(service: Sink, wire: Wired) -> None:
    with socket.create_connection(("127.0.0.1", wire.client.port)) as consumer:
        consumer.sendall(b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        wait_until(lambda: bool(service.begun), "a request has begun")
    wait_until(lambda: bool(service.broken), "the service sees it break off")
    assert not service.got


@pytest.mark.parametrize("headers", [b"", b"X-Amz-Target: AmazonSQS.ReceiveMessage\r\n"], ids=["streamed", "read"])
def test_a_body_that_turns_out_to_be_broken_keeps_nobody_waiting(headers: bytes, service: Sink, wire: Wired) -> None:
    with socket.create_connection(("127.0.0.1", wire.client.port), timeout=10) as consumer:
        start = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
        consumer.sendall(start + headers + b"\r\n")
        assert consumer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        consumer.sendall(b"5\r\nhello\r\nno size\r\n")
        said = _rest(consumer)
    assert said.startswith(b"HTTP/1.1 400") if headers else not said
    assert not service.got


def test_a_lost_answer_of_any_size(service: Sink, wire: Wired) -> None:
    wire.arm("lose-answer")
    service.says = lambda got: answer(got.body)
    body = b"x" * (READ_MAX_BYTES + 1)
    with connection(wire) as consumer, pytest.raises(ConnectionError):
        consumer.request("PUT", "/b/k", body=body)
        consumer.getresponse()
    assert service.got[0].body == body


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_body_drips(service: Sink, wire: Wired, chunked: bool) -> None:
    body = b"y" * _CHUNK_BYTES
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    service.always(said if chunked else answer(body))
    wire.arm("slow-body", seconds=0.4)
    with connection(wire) as consumer:
        began = time.monotonic()
        consumer.request("GET", "/b/k")
        assert consumer.getresponse().read() == body
        assert time.monotonic() - began > 0.2


def test_a_port_that_is_forgotten_breaks_off_whatever_is_open(service: Sink, wire: Wired) -> None:
    """A request that waits for its answer, one whose head never ends, and a connection that says nothing."""
    over = threading.Event()
    service.says = lambda _: answer() if over.wait(10) else None
    with ThreadPoolExecutor(3) as pool:
        begun = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        waiting = [pool.submit(raw, wire, request) for request in (begun + b"Content-Length: 0\r\n\r\n", begun)]
        with socket.create_connection(("127.0.0.1", wire.client.port), timeout=10) as silent:
            server = wire.proxy._server
            assert server is not None
            wait_until(lambda: len(service.got) == 1 and len(server.connections) == 3, "all three are open")
            wire.do(wire.proxy.forget(wire.client.port))
            ended = [each.result(10) for each in waiting]
            ended.append(_rest(silent))
        over.set()
    assert ended == [b"", b"", b""]
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", wire.client.port), timeout=10)


def test_a_settle_whose_consumer_is_forgotten_is_followed_to_its_answer(service: Sink, wire: Wired) -> None:
    over = threading.Event()
    service.says = lambda _: answer() if over.wait(10) else None
    params = orjson.dumps({"QueueUrl": wire.queue, "ReceiptHandle": "r"})
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.DeleteMessage\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", wire.client.port)) as consumer:
        consumer.sendall(head % len(params) + params)
        wait_until(lambda: bool(service.got), "the service has it")
        wire.do(wire.proxy.forget(wire.client.port))
    assert not [record for record in wire.written if record["event"] == "settled"]
    over.set()
    wait_until(lambda: bool(wire.recorded("settled")), "the answer is recorded")
    assert wire.recorded("settled")[0]["outcome"] == "ok"


def test_hundreds_of_connections_wait_at_once(service: Sink, wire: Wired) -> None:
    over = threading.Event()
    service.says = lambda _: answer() if over.wait(20) else None
    consumers = [socket.create_connection(("127.0.0.1", wire.client.port), timeout=20) for _ in range(300)]
    for consumer in consumers:
        consumer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: len(service.got) == 300, "all of them wait")
    over.set()
    for consumer in consumers:
        with consumer:
            assert consumer.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "1.2.3.4"])
def test_it_is_nobody_elses_proxy(host: str, service: Sink, wire: Wired) -> None:
    assert raw(wire, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.1 421")
    assert raw(wire, f"GET http://{host}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).startswith(b"HTTP/1.1 400")
    assert raw(wire, f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.1 400")
    assert not service.got


def test_it_listens_on_loopback_alone(wire: Wired) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{wire.client.port:04X}")]
    assert own == [f"0100007F:{wire.client.port:04X}"]


@pytest.mark.parametrize("given", ["localhost", "bucket.localhost", "bucket.localhost:{port}", "LOCALHOST"])
def test_names_of_loopback(given: str, service: Sink, wire: Wired) -> None:
    host = given.format(port=wire.client.port)
    said = raw(wire, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 200")
    port = service.url.rpartition(":")[2]
    assert service.got[0].header("Host") == (f"bucket.localhost:{port}" if "bucket" in host else f"127.0.0.1:{port}")


def test_a_target_that_ends_every_connection(service: Sink, wire: Wired) -> None:
    service.says = lambda _: Last(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
    with connection(wire) as consumer:
        for _ in range(5):
            consumer.request("GET", "/")
            assert consumer.getresponse().read() == b"all of it"
