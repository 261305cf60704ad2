"""A call on its way through the wire, and what the target has answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from gameday.processes.disturbances import Disturbance
from gameday.wire.client import Client
from gameday.wire.spoken import Asked, Params

Body = bytes | AsyncIterator[bytes] | None


@dataclass(slots=True)
class Exchange:
    """One request on its way, as far as anybody here understands it. `body` is what goes to the target: whole, or as
    it comes."""

    client: Client
    request: web.BaseRequest
    asked: Asked
    number: int
    body: Body
    path: str
    params: Params | None = None
    # Set when the consumer waits no more.
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_read(self) -> bool:
        """Whether anybody here understands it, and so reads its answer, too."""
        return self.params is not None

    @property
    def key(self) -> str:
        """What a fault rolls its dice on."""
        return f"{self.client.name}:{self.number}"

    def chosen(self, kind: str) -> Disturbance | None:
        """As `struck`, of a kind that strikes only later, if it does."""
        if not self.client.disturbances.armed:
            return None
        return self.client.disturbances.chosen(kind, self.key, operation=self.asked.operation or "")

    def struck(self, kind: str, key: str | None = None) -> Disturbance | None:
        """`key`: of a part of it."""
        if not self.client.disturbances.armed:
            return None
        return self.client.disturbances.struck(kind, key or self.key, operation=self.asked.operation or "")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the target has answered, kept whole."""

    status: int
    reason: str | None
    headers: CIMultiDict[str]
    body: bytes

    def again(self, body: bytes) -> Answered:
        """With another body, of which a checksum of the old one says nothing."""
        headers = self.headers.copy()
        headers.popall("x-amz-crc32", None)
        return Answered(self.status, self.reason, headers, body)
