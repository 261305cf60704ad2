"""The four carriers, asked alike: boto3 and ours beside it, aiobotocore and ours beside it. And what stands before a
target and breaks its answers."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from botocore.model import Shape

from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.aio import AioCarrier
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.carriers.fast import FastCarrier
from gameday.transports.carriers.fast_aio import FastAioCarrier
from gameday.transports.carriers.json_protocol import SERVICES
from gameday.transports.endpoint import Endpoint
from tests.contract.aws_answers import model_of

Which = Literal["boto3", "fast", "aiobotocore", "fast for asyncio"]
# Each of ours is held to the one that it stands for.
PAIRS: list[tuple[Which, Which]] = [("boto3", "fast"), ("aiobotocore", "fast for asyncio")]


class Failed(NamedTuple):
    """`outcome`: failed or unknown."""

    outcome: str
    code: str


Told = Answer | Failed
Ask = Callable[[Call], Told]


@contextmanager
def asking(
    which: Which, endpoint: Endpoint, *, read_timeout_s: float = 60.0, services: Collection[str] = SERVICES
) -> Iterator[Ask]:
    """What makes a call with a carrier, one at a time, and tells what it gave."""
    if which in ("boto3", "fast"):
        carry: Callable[[Call], Answer] = (
            BotoCarrier(endpoint, read_timeout_s=read_timeout_s)
            if which == "boto3"
            else FastCarrier(endpoint, services=tuple(services), read_timeout_s=read_timeout_s).for_one_user()
        )
        yield lambda call: _told(call, lambda: carry(call))
        return
    kind = AioCarrier if which == "aiobotocore" else FastAioCarrier
    with asyncio.Runner() as runner:

        async def make() -> AioCarrier | FastAioCarrier:
            return kind(endpoint, read_timeout_s=read_timeout_s, connections=4)

        carrier = runner.run(make())
        try:
            yield lambda call: _told(call, lambda: runner.run(carrier(call)))
        finally:
            runner.run(carrier.close())


def _told(call: Call, ask: Callable[[], Answer]) -> Told:
    try:
        answer = ask()
    except CallFailed as failed:
        return Failed(failed.outcome, failed.code)
    shape = model_of(call.service, call.operation).output_shape
    return {} if shape is None else dict(_known(dict(answer), shape))


def _known(value: Any, shape: Shape) -> Any:
    """Without what botocore's model does not have, which emulators make up and the SDKs drop."""
    if isinstance(value, dict) and shape.type_name == "structure":
        return {key: _known(member, shape.members[key]) for key, member in value.items() if key in shape.members}
    if isinstance(value, list) and shape.type_name == "list":
        return [_known(item, shape.member) for item in value]
    return value


def outline(told: Any) -> Any:
    """What an answer has, and of which types: two calls that do the same differ in nothing else."""
    if isinstance(told, Failed):
        return told
    if isinstance(told, dict):
        return {key: outline(value) for key, value in told.items()}
    return [outline(item) for item in told] if isinstance(told, list) else type(told).__name__


# What stands before a target.

Fault = Callable[["_Handler", bytes], None]


class Breaker:
    """Passes requests on to a target; `fault` is what it does with an answer in place of giving it. `requests` counts
    them."""

    def __init__(self, target: Endpoint) -> None:
        url = target.url("*")
        assert url is not None
        self.target = urlsplit(url)
        self.fault: Fault | None = None
        self.requests = 0
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.breaker = self
        self.endpoint = Endpoint(
            urls={"*": f"http://127.0.0.1:{self._server.server_address[1]}"}, access_key="test", secret_key="test"
        )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    breaker: Breaker

    def shutdown_request(self, request: Any) -> None:
        # Without the farewell that it would say first: a reset is one.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go when they have what they came for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        breaker = self.server.breaker
        breaker.requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert breaker.target.hostname is not None
        target = http.client.HTTPConnection(breaker.target.hostname, breaker.target.port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            target.request("POST", self.path, body, headers)
            answer = target.getresponse()
            whole = response(answer.status, answer.read(), query_error=answer.getheader("x-amzn-query-error"))
        finally:
            target.close()
        if breaker.fault is None:
            self.say(whole)
        else:
            breaker.fault(self, whole)

    def say(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def hang_up(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""


def response(status: int, body: bytes, *, query_error: str | None = None) -> bytes:
    named = f"x-amzn-query-error: {query_error}\r\n" if query_error else ""
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def instead(status: int, body: bytes) -> Fault:
    """It answers this."""
    return lambda handler, whole: handler.say(response(status, body))


def half(*, reset: bool) -> Fault:
    """It gives the head and half of the body, and breaks the connection."""

    def give(handler: _Handler, whole: bytes) -> None:
        handler.say(_half(whole))
        handler.hang_up(reset=reset)

    return give


def _half(whole: bytes) -> bytes:
    head, end, body = whole.partition(b"\r\n\r\n")
    return head + end + body[: len(body) // 2]


def half_a_head(handler: _Handler, whole: bytes) -> None:
    handler.say(whole[:30])
    handler.hang_up(reset=False)


def nothing(*, reset: bool) -> Fault:
    return lambda handler, whole: handler.hang_up(reset=reset)


def silence(handler: _Handler, whole: bytes) -> None:
    """Until the test is over."""
    handler.server.breaker.over.wait()
    handler.hang_up(reset=True)


def silence_in_the_middle(handler: _Handler, whole: bytes) -> None:
    handler.say(_half(whole))
    silence(handler, whole)
