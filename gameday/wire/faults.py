"""What a fault does to a call on the wire, by the kind of its disturbance.

Kinds that stop a call before it leaves: `throttle`, `api-error`, `deny` and `expire-iterator` (the service's own words,
none of its work), `lose-request` and `reset` (the connection breaks), `blackhole` (no answer while the fault stands).
`partition` does the same to all calls, and keeps the answers, too, of those that had left before it.
`lose-answer` breaks the connection after the call was done. `latency` delays it, `slow-body` lets the answer drip,
`partial-batch` refuses entries of a batch, which do not leave, and so does `throttle-entries`, in the words of a
service that is asked too often. `lose-delete` leaves single messages out of a call that deletes, and breaks the
connection once the others are deleted. `late-delete` tells a consumer that its message is deleted, and deletes it when
its hold is over; `late-callback` keeps a call back, and counts it where it was kept for long enough; `double-callback`
makes it twice; `duplicate-delivery` gives a message to a second consumer (copies.py). `refused-there` does nothing to
a call: it counts those that the service itself refused, where a fault strikes the service; nor does `watch-call`, which
counts those of an operation.

It promises that what waits for a fault goes on at once when the fault is over.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import TypeVar
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web

from gameday.processes.disturbances import Buckets, Disturbance
from gameday.wire.client import Client
from gameday.wire.copies import Copies
from gameday.wire.exchange import Exchange
from gameday.wire.queue import Settle
from gameday.wire.refusals import Refusal, entry_code, refusal
from gameday.wire.spoken import Json, Reply

H = TypeVar("H", bound=Hashable)
_REFUSALS = ("throttle", "api-error", "deny", "expire-iterator")
_BREAKS = ("blackhole", "reset", "lose-request", "partition")
_SILENT = ("blackhole", "partition")
REFUSED_THERE = "refused-there"
REFUSE_ENTRIES = ("partial-batch", "throttle-entries")
_PIECES = 20
_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Broken:
    """What strikes a call. `forwards`: it is carried out, and its answer is lost."""

    disturbance: Disturbance
    forwards: bool = False

    @property
    def why(self) -> str:
        return self.disturbance.kind


@dataclass(frozen=True, slots=True)
class Late:
    """A delete that is carried out when the hold of its message is over: at `until` (ns)."""

    disturbance: Disturbance
    settle: Settle
    until: int


class Faults:
    """Those of one wire, in front of all of its consumers."""

    def __init__(self) -> None:
        self.buckets = Buckets()
        self.copies = Copies()
        self._overs: dict[str, asyncio.Event] = {}

    def end(self, instance: str) -> None:
        """It is over: what waits for it goes on."""
        self._over(instance).set()

    async def lasts(
        self, disturbance: Disturbance, seconds: float | None = None, *, gone: asyncio.Event | None = None
    ) -> None:
        """Wait so long (None: without end), or until the fault is over, or the consumer is gone."""
        events = [self._over(disturbance.instance), *([] if gone is None else [gone])]
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def before(self, exchange: Exchange) -> Broken | None:
        """Delay the call where it is to be delayed; gives what breaks it, if anything does."""
        exchange.struck("watch-call")
        if (latency := exchange.struck("latency")) is not None:
            await self.lasts(latency, latency.takes_s(exchange.key))
        if (late := exchange.chosen("late-callback")) is not None:
            await self.lasts(late, late.seconds)
            if not self._over(late.instance).is_set():
                exchange.client.disturbances.count(late)
        for kind in (*_REFUSALS, *_BREAKS):
            if (disturbance := exchange.struck(kind)) is not None:
                return Broken(disturbance)
        if (disturbance := exchange.struck("lose-answer")) is not None:
            return Broken(disturbance, forwards=True)
        return None

    @staticmethod
    def cut(exchange: Exchange) -> Broken | None:
        """What keeps an answer that has come from the consumer."""
        partition = exchange.struck("partition")
        return None if partition is None else Broken(partition, forwards=True)

    async def answer(self, exchange: Exchange, broken: Broken) -> web.StreamResponse:
        """Of a call that does not leave, or whose answer is not to arrive."""
        kind, request = broken.disturbance.kind, exchange.request
        if kind in _REFUSALS:
            asked = exchange.asked
            said = refusal(kind, service=asked.service, operation=asked.operation, code=broken.disturbance.code)
            reply = _told(said, exchange)
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        if kind in _SILENT:
            await self.lasts(broken.disturbance, gone=exchange.gone)
        if isinstance(request.transport, asyncio.Transport):
            if kind == "reset":
                with suppress(OSError):
                    sock = request.transport.get_extra_info("socket")
                    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return web.Response()

    def refused(self, exchange: Exchange, entries: Mapping[H, str]) -> dict[H, str]:
        """The entries of a batch that are refused, each with its code. `entries`: what the dice are rolled on."""
        found: dict[H, str] = {}
        asked, standing = exchange.asked, exchange.client.disturbances
        for kind in filter(standing.stands, REFUSE_ENTRIES):
            code = entry_code(kind, service=asked.service, operation=asked.operation)
            for entry, key in entries.items():
                if entry not in found and exchange.struck(kind, key) is not None:
                    found[entry] = code
        return found

    @staticmethod
    def lost(client: Client, operation: str, settles: Sequence[Settle]) -> list[Settle]:
        """Those of the deletes that never leave. An entry that nobody can name is the service's to refuse."""
        if not client.disturbances.stands("lose-delete"):
            return []
        able = [settle for settle in settles if settle.entry is not None or operation == "DeleteMessage"]
        return [settle for settle in able if client.disturbances.struck("lose-delete", settle.key) is not None]

    def late(self, client: Client, settles: Sequence[Settle]) -> list[Late]:
        """Those of the deletes that are carried out later. What the consumer holds no more is late already."""
        if not client.disturbances.stands("late-delete"):
            return []
        found = []
        for settle in settles:
            until = client.held_until(settle.receipt)
            if until is not None and (struck := client.disturbances.chosen("late-delete", settle.key)) is not None:
                found.append(Late(struck, settle, until))
        return found

    @staticmethod
    def saw_refusal(exchange: Exchange, code: str, queue: str | None) -> None:
        """The service itself has refused this call, with that code; `queue`: the name of the one that it is about."""
        watching, operation = exchange.client.disturbances, exchange.asked.operation
        for watch in watching.standing(REFUSED_THERE):
            if (
                code in watch.codes
                and watch.point in (None, queue)
                and (not watch.operations or operation in watch.operations)
            ):
                watching.count(watch)

    async def drip(self, response: web.StreamResponse, body: bytes | aiohttp.ClientResponse, slow: Disturbance) -> None:
        """Write a body in pieces, over as long as the fault says; of one of unknown length each takes a part."""
        if isinstance(body, bytes):
            size = max(1, -(-len(body) // _PIECES))
            for first in range(0, len(body), size):
                piece = body[first : first + size]
                await self.lasts(slow, slow.seconds * len(piece) / len(body))
                await response.write(piece)
            return
        size = max(1, (body.content_length or _PIECES * _PIECE_BYTES) // _PIECES)
        async for piece in body.content.iter_chunked(size):
            await self.lasts(slow, slow.seconds * len(piece) / (body.content_length or size * _PIECES))
            await response.write(piece)

    def _over(self, instance: str) -> asyncio.Event:
        return self._overs.setdefault(instance, asyncio.Event())


def _told(said: Refusal, exchange: Exchange) -> Reply:
    """As the service would write it."""
    if exchange.asked.service == "s3":
        text = f"<Error><Code>{escape(said.code)}</Code><Message>{escape(said.message)}</Message></Error>"
        return Reply(said.status, text.encode(), {"Content-Type": "application/xml"})
    dialect = exchange.asked.dialect or Json()
    return dialect.refusal(said.code, said.message, status=said.status, old_code=said.old_code)
