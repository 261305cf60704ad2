"""The broker on loopback: HTTP/1.1 with keep-alive, as far as the AWS SDKs use it, and long polls that wake at once.

It parses requests by hand, because the broker must never be what a measurement measures: one read, one JSON document
in, one out, one write. After each call, and whenever a hidden message turns visible by itself, the polls that wait
are asked again, oldest first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import orjson

from history.clock import NS_PER_S, Clock
from transports.memory.broker import Broker, LongPoll
from transports.memory.queues import Queue, Refused

_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 411: b"Length Required"}
_TARGET = "AmazonSQS."
# The codes that SQS had before it spoke JSON; the SDKs still show these, from a header.
_QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
}


class Server:
    """Serves one broker; `clock` tells its time."""

    def __init__(self, *, broker: Broker, clock: Clock) -> None:
        self.broker = broker
        self._clock = clock
        self._waiting: dict[Queue, _Line] = {}
        self._requests = 0

    def answer(self, connection: Connection, target: str, body: bytes) -> None:
        """Carry out one request; its response is written now, or by a later call when it is a long poll."""
        self._requests += 1
        try:
            params = orjson.loads(body) if body else {}
            if not target.startswith(_TARGET) or not isinstance(params, dict):
                raise Refused("UnknownOperationException", "This is an SQS endpoint that speaks AWS JSON 1.0.")
            outcome = self.broker.call(self._clock.now_ns(), target.removeprefix(_TARGET), params)
        except orjson.JSONDecodeError as error:
            self._refuse(connection, Refused("SerializationException", f"The body is not JSON: {error}"))
        except Refused as refused:
            self._refuse(connection, refused)
        else:
            if isinstance(outcome, LongPoll):
                self._wait(connection, outcome)
            else:
                self.respond(connection, 200, outcome)
        self._stir()

    def respond(self, connection: Connection, status: int, document: dict[str, Any], headers: bytes = b"") -> None:
        body = orjson.dumps(document)
        connection.finish(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: %08d\r\n%b"
            b"Content-Length: %d\r\n\r\n%b" % (status, _REASONS[status], self._requests, headers, len(body), body)
        )

    def _refuse(self, connection: Connection, refused: Refused) -> None:
        code = _QUERY_CODES.get(refused.code, refused.code)
        self.respond(
            connection,
            400,
            {"__type": f"com.amazonaws.sqs#{refused.code}", "message": refused.message},
            b"x-amzn-query-error: %b;Sender\r\n" % code.encode(),
        )

    def _wait(self, connection: Connection, poll: LongPoll) -> None:
        line = self._waiting.setdefault(poll.queue, _Line())
        loop = asyncio.get_running_loop()
        waiter = _Waiter(connection, poll)
        waiter.deadline = loop.call_later(max(0, poll.until - self._clock.now_ns()) / NS_PER_S, self._give_up, waiter)
        line.waiters.append(waiter)
        connection.waiter = waiter

    def _give_up(self, waiter: _Waiter) -> None:
        self._drop(waiter)
        self.respond(waiter.connection, 200, {})

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
        """Ask the long polls again; only queues on which one waits cost anything."""
        if not self._waiting:
            return
        now = self._clock.now_ns()
        for queue, line in list(self._waiting.items()):
            queue.advance(now)
            while line.waiters and queue.deliverable():
                answer = line.waiters[0].poll.ask(now)
                if answer is None:
                    break
                waiter = line.waiters.popleft()
                waiter.over()
                self.respond(waiter.connection, 200, answer)
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


class _Waiter:
    """A long poll that waits, and the connection that wants its answer."""

    def __init__(self, connection: Connection, poll: LongPoll) -> None:
        self.connection = connection
        self.poll = poll
        self.deadline: asyncio.TimerHandle | None = None

    def over(self) -> None:
        self.connection.waiter = None
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
        target, length = _read_head(bytes(self._buffer[:end]))
        start = end + 4
        if length is None:
            self._server.respond(self, 411, {"message": "Content-Length is missing."})
            self._transport.close()
            return
        if len(self._buffer) < start + length:
            return
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        self._busy = True
        self._server.answer(self, target, body)


def _read_head(head: bytes) -> tuple[str, int | None]:
    """The operation (X-Amz-Target) and the length of the body; a GET has none."""
    first, *lines = head.split(b"\r\n")
    target, length = "", None if first.startswith(b"POST") else 0
    for line in lines:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"x-amz-target":
                target = value.strip().decode("latin-1")
            case b"content-length":
                length = int(value)
    return target, length
