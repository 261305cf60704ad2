"""What a fault does to a call on the wire, by the kind of its disturbance.

Kinds that stop a call before it leaves: `throttle`, `api-error` and `deny` (the service's own words, none of its work),
`lose-request` and `reset` (the connection breaks), `blackhole` (no answer while the fault stands). `lose-answer` breaks
the connection after the call was done. `latency` delays it, `slow-body` lets the answer drip, `partial-batch` refuses
entries of a batch, which do not leave.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from gameday.processes.disturbances import Disturbance
from gameday.wire.spoken import Json, Params

if TYPE_CHECKING:
    from gameday.wire.proxy import Exchange
    from gameday.wire.queue import Settle

_REFUSALS: Mapping[str, tuple[str, int, str]] = {
    "throttle": ("ThrottlingException", 400, "Rate exceeded"),
    "api-error": ("InternalFailure", 500, "The request processing has failed because of an unknown error."),
    "deny": ("AccessDeniedException", 403, "User is not authorized to perform this action"),
}
# What each service calls a throttle (docs.aws.amazon.com, "Common errors" and the errors of the operation).
_THROTTLED = {"kinesis": "ProvisionedThroughputExceededException", "sqs": "RequestThrottled", "sns": "Throttled"}
_BREAKS = ("blackhole", "reset", "lose-request")
_PIECES = 20
_PIECE_BYTES = 4096
_ENTRY_CODES = {
    "sqs": "InternalError",
    "events": "ThrottlingException",
    "kinesis": "ProvisionedThroughputExceededException",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """What strikes a call. `forwards`: it is carried out, and its answer is lost."""

    disturbance: Disturbance
    forwards: bool = False

    @property
    def why(self) -> str:
        return self.disturbance.kind


class Faults:
    async def before(self, exchange: Exchange) -> Broken | None:
        """Delay the call where it is to be delayed; gives what breaks it, if anything does."""
        if (latency := exchange.struck("latency")) is not None:
            await asyncio.sleep(latency.takes_s(exchange.key))
        for kind in (*_REFUSALS, *_BREAKS):
            if (disturbance := exchange.struck(kind)) is not None:
                return Broken(disturbance)
        if (disturbance := exchange.struck("lose-answer")) is not None:
            return Broken(disturbance, forwards=True)
        return None

    async def answer(self, exchange: Exchange, broken: Broken) -> web.StreamResponse:
        """Of a call that does not leave."""
        kind, request = broken.disturbance.kind, exchange.request
        if kind in _REFUSALS:
            code, status, message = _REFUSALS[kind]
            if kind == "throttle":
                code = _THROTTLED.get(exchange.asked.service or "", code)
            code = broken.disturbance.code or code
            if kind == "api-error" and code == "ServiceUnavailable":
                status = 503
            dialect = exchange.asked.dialect or Json("application/x-amz-json-1.0")
            reply = dialect.refusal(code, message, status=status)
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        if kind == "blackhole":
            # Until the consumer hangs up, or the fault is over.
            while exchange.client.disturbances.stands(broken.disturbance.instance):
                transport = request.transport
                if transport is None or transport.is_closing():
                    break
                await asyncio.sleep(0.1)
        if isinstance(request.transport, asyncio.Transport):
            if kind == "reset":
                with suppress(OSError):
                    sock = request.transport.get_extra_info("socket")
                    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return web.Response()

    async def after(self, exchange: Exchange, broken: Broken) -> str | None:
        """Why the answer of a call that was carried out is not passed on."""
        return broken.why if broken.forwards else None

    def refused(self, exchange: Exchange, settles: Sequence[Settle]) -> dict[str, Params]:
        """The entries of a batch that are refused, by their id, each as the service would tell it."""
        found: dict[str, Params] = {}
        for settle in settles:
            if settle.entry is None:
                continue
            struck = exchange.client.disturbances.struck(
                "partial-batch", settle.key, operation=exchange.asked.operation or ""
            )
            if struck is not None:
                code = struck.code or _ENTRY_CODES.get(exchange.asked.service or "", "InternalError")
                found[settle.entry] = {
                    "Id": settle.entry,
                    "SenderFault": False,
                    "Code": code,
                    "Message": "The entry was refused.",
                }
        return found

    async def drip(self, response: web.StreamResponse, body: bytes | aiohttp.ClientResponse, seconds: float) -> None:
        """Write a body in pieces, over so many seconds; of one whose length nobody told, each piece takes a part."""
        if isinstance(body, bytes):
            size = max(1, len(body) // _PIECES)
            for first in range(0, len(body), size):
                piece = body[first : first + size]
                await response.write(piece)
                await asyncio.sleep(seconds * len(piece) / len(body))
            return
        size = max(1, (body.content_length or _PIECES * _PIECE_BYTES) // _PIECES)
        async for piece in body.content.iter_chunked(size):
            await response.write(piece)
            await asyncio.sleep(seconds * len(piece) / (body.content_length or size * _PIECES))
