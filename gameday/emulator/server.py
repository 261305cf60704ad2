"""The broker on loopback: HTTP/1.1 with keep-alive, as far as the AWS SDKs use it, and long polls that wake at once.

It parses requests by hand, because the broker must never be what a measurement measures: one read, one document in,
one out, one write. The service is told by X-Amz-Target, by a path that is a service's alone, or by the version that a
form of SNS's carries; every other path, and every method but POST, is S3's. After each call, and whenever a hidden
message turns visible by itself, the polls that wait are asked again, oldest first. `GET /_gameday/health` says who
answers here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import orjson

from gameday.emulator.broker import LongPoll
from gameday.emulator.held import Held
from gameday.emulator.queues import Queue
from gameday.emulator.s3_wire import S3Wire, asked
from gameday.emulator.services import SERVICES, Service, World
from gameday.emulator.wire import Answer, Json, Params, Query, Refused, Rest, Wire, Written, form
from gameday.history.clock import NS_PER_S, Clock

PRODUCT = "gameday-memory"
HEALTH = "/_gameday/health"
_REASONS = {
    200: b"OK",
    206: b"Partial Content",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    409: b"Conflict",
    411: b"Length Required",
    412: b"Precondition Failed",
    416: b"Range Not Satisfiable",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}
_NO_SERVICE = Json(target="", version="1.0", namespace="gameday")
_JSON = b"application/json"


class Server:
    """Serves the services of one world; `clock` tells their time."""

    def __init__(self, *, world: World, clock: Clock) -> None:
        self._clock = clock
        self._world = world
        self._alarm = _Alarm(self._stir)
        self._waiting: dict[Queue, _Line] = {}
        self._requests = 0
        self._by_target: dict[str, tuple[Wire, Service]] = {}
        self._by_version: dict[str, tuple[Wire, Service]] = {}
        self._by_path: list[tuple[Rest, Service]] = []
        for name, spoken in SERVICES.items():
            wire, service = spoken.wire, world.service(name)
            if isinstance(wire, Json):
                self._by_target[wire.target] = wire, service
            elif isinstance(wire, Rest):
                self._by_path.append((wire, service))
            elif isinstance(wire, Query):
                self._by_version[wire.version] = wire, service
        self._s3 = world.service("s3")
        world.wake = self._stir

    def answer(self, connection: Connection, head: _Head, body: bytes) -> None:
        """Carry out one request; its response is written now, or by a later call when it is a long poll."""
        self._requests += 1
        if head.path == HEALTH:
            told = orjson.dumps({"product": PRODUCT, "services": list(SERVICES)})
            self._respond(connection, 200, Written(_JSON, told))
            return
        target, _, operation = head.target.partition(".")
        wire: Wire = _NO_SERVICE
        read: Params | None = None
        known: tuple[Wire, Service] | None
        try:
            if target:
                known = self._by_target.get(target)
            elif (found := self._routed(head)) is not None:
                rest, service, operation, in_path = found
                known, wire = (rest, service), rest
                read = {**rest.asked(operation, _headers(head.lines), body), **in_path}
            elif head.path not in ("", "/") or head.method != "POST":
                wire = S3Wire(head.method, {})
                operation, read = asked(head.method, head.path, _headers(head.lines), body)
                known = S3Wire(head.method, read), self._s3
            else:
                fields = form(body)
                operation = fields.get("Action", "")
                known = self._by_version.get(fields.get("Version", ""))
            if known is None:
                raise Refused(
                    "UnknownOperationException", f"No service here knows this. Here are {', '.join(SERVICES)}."
                )
            wire, service = known
            if read is None:
                read = wire.read(body)
            outcome = service.call(self._clock.now_ns(), operation, read)
        except Refused as refused:
            self._respond(connection, refused.status, wire.refuse(refused, request_id=self._requests))
        else:
            request = _Request(connection, wire, operation)
            if isinstance(outcome, dict):
                self._tell(request, outcome)
            elif isinstance(outcome, Held):
                outcome.tell(lambda answer: self._tell(request, answer))
            else:
                self._wait(request, outcome)
        self._stir()

    def _routed(self, head: _Head) -> tuple[Rest, Service, str, Params] | None:
        """Whose the path is, and what it asks for; None of a request that is told otherwise."""
        if head.path in ("", "/"):
            return None
        for rest, service in self._by_path:
            if (routed := rest.route(head.method, head.path)) is not None:
                return rest, service, *routed
        return None

    def refuse_endless(self, connection: Connection) -> None:
        """A request that does not say how long it is."""
        self._respond(connection, 411, Written(_JSON, orjson.dumps({"message": "Content-Length is missing."})))

    def _tell(self, request: _Request, answer: Answer) -> None:
        written = request.wire.write(request.operation, answer, request_id=self._requests)
        self._respond(request.connection, written.status, written)

    def _respond(self, connection: Connection, status: int, written: Written) -> None:
        content_type, body, headers, length, _ = written
        connection.finish(
            b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nx-amzn-RequestId: %08d\r\n%bContent-Length: %d\r\n\r\n%b"
            % (
                *(status, _REASONS[status], content_type, self._requests, headers),
                *(len(body) if length is None else length, body),
            )
        )

    def _wait(self, request: _Request, poll: LongPoll) -> None:
        line = self._waiting.setdefault(poll.queue, _Line())
        loop = asyncio.get_running_loop()
        waiter = _Waiter(request, poll)
        waiter.deadline = loop.call_later(max(0, poll.until - self._clock.now_ns()) / NS_PER_S, self._give_up, waiter)
        line.waiters.append(waiter)
        request.connection.waiter = waiter

    def _give_up(self, waiter: _Waiter) -> None:
        self._drop(waiter)
        self._tell(waiter.request, {})

    def forget(self, connection: Connection) -> None:
        """The client is gone: its long poll must take no message."""
        if connection.waiter is not None:
            self._drop(connection.waiter)

    def _drop(self, waiter: _Waiter) -> None:
        waiter.over()
        line = self._waiting[waiter.poll.queue]
        line.waiters.remove(waiter)
        self._close_if_empty(waiter.poll.queue, line)

    def _close_if_empty(self, queue: Queue, line: _Line) -> None:
        if not line.waiters:
            line.set_alarm(None)
            del self._waiting[queue]

    def _stir(self) -> None:
        """Let happen what has come due, and ask the long polls again; only queues on which one waits cost anything."""
        now = self._clock.now_ns()
        self._alarm.set(self._world.advance(now), now)
        if not self._waiting:
            return
        for queue, line in list(self._waiting.items()):
            queue.advance(now)
            while line.waiters and queue.deliverable():
                answer = line.waiters[0].poll.ask(now)
                if answer is None:
                    break
                waiter = line.waiters.popleft()
                waiter.over()
                self._tell(waiter.request, answer)
            self._arm(queue, line, now)
            self._close_if_empty(queue, line)

    def _arm(self, queue: Queue, line: _Line, now: int) -> None:
        change = queue.next_change_ns()
        if change != line.alarm_ns:
            handle = None
            if change is not None:
                delay_s = max(0, change - now) / NS_PER_S
                handle = asyncio.get_running_loop().call_later(delay_s, self._ring, line)
            line.set_alarm(handle, change)

    def _ring(self, line: _Line) -> None:
        line.alarm_ns = None
        self._stir()


class _Alarm:
    """Rings when something comes due by itself; there is one such moment at a time."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at_ns: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_ns: int | None, now: int) -> None:
        if at_ns == self._at_ns:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at_ns, self._handle = at_ns, None
        if at_ns is not None:
            delay_s = max(0, at_ns - now) / NS_PER_S
            self._handle = asyncio.get_running_loop().call_later(delay_s, self._over)

    def _over(self) -> None:
        self._at_ns = self._handle = None
        self._ring()


class _Request(NamedTuple):
    """Who asked for what, and in which words they want the answer."""

    connection: Connection
    wire: Wire
    operation: str


class _Waiter:
    """A long poll that waits, and the request that it answers."""

    def __init__(self, request: _Request, poll: LongPoll) -> None:
        self.request = request
        self.poll = poll
        self.deadline: asyncio.TimerHandle | None = None

    def over(self) -> None:
        self.request.connection.waiter = None
        if self.deadline is not None:
            self.deadline.cancel()


class _Line:
    """The long polls on one queue, oldest first, and the alarm for its next change."""

    def __init__(self) -> None:
        self.waiters: deque[_Waiter] = deque()
        self.alarm_ns: int | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def set_alarm(self, handle: asyncio.TimerHandle | None, at_ns: int | None = None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self.alarm_ns = handle, at_ns


class Connection(asyncio.Protocol):
    """One client: requests are answered one after the other, in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._busy = False
        self._told_to_continue = False
        self._transport: asyncio.Transport | None = None
        self.waiter: _Waiter | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.forget(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def finish(self, response: bytes) -> None:
        """The answer to the request that is being worked on."""
        self._busy = False
        if self._transport is not None:
            self._transport.write(response)
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Take one whole request off the buffer, if there is one and none is being worked on."""
        if self._busy or self._transport is None:
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = _read_head(bytes(self._buffer[:end]))
        start, length = end + 4, head.length
        if length is None:
            self._server.refuse_endless(self)
            self._transport.close()
            return
        if len(self._buffer) < start + length:
            if b"100-continue" in head.lines and not self._told_to_continue:
                self._told_to_continue = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._told_to_continue = False
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        self._busy = True
        self._server.answer(self, head, body)


class _Head(NamedTuple):
    """What of a request's head matters; one without a length has no body, but for a POST. `lines`: all of it."""

    method: str
    path: str
    target: str
    length: int | None
    lines: bytes


def _read_head(head: bytes) -> _Head:
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.decode("latin-1").partition(" ")
    path, target, length = rest.partition(" ")[0], "", None if method == "POST" else 0
    for line in lines:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"x-amz-target":
                target = value.strip().decode("latin-1")
            case b"content-length":
                length = int(value)
    return _Head(method, path, target, length, head)


def _headers(head: bytes) -> dict[str, str]:
    """All of them, their names in small letters."""
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower().decode("latin-1"): value.strip().decode("latin-1") for name, _, value in pairs}
