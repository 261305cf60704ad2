"""What the load's messages carry beside their orders: payloads made from schemas, and bodies that go to S3.

A payload is a function of the seed and the message, drawn from some hundred that are made beforehand, for this is done
for every message of a load. A body that is larger than `above_bytes` is put into an object, and a reference to it is
sent: the object is there before the reference is, unless the mistake of sending first is planted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gameday.history import claim_check, events
from gameday.history.claim_check import Reference, Shape
from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.loadgen.json_payloads import make
from gameday.transports.base import Answer, Call, CallFailed

# How many different payloads there are of one version of a schema.
_PAYLOADS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimChecks:
    """Which bodies go to which bucket, and how they are referred to. `stores_first`: before the reference is sent."""

    bucket: str
    above_bytes: int
    shape: Shape = "plain"
    stores_first: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaVersion:
    """From `from_s` seconds of the load on, payloads are made from that version."""

    name: str
    from_s: float
    document: Mapping[str, Any] = field(hash=False)


def version_at(versions: Sequence[SchemaVersion], seconds: float) -> SchemaVersion | None:
    """The one that is in force then; they stand in the order of their times."""
    found = None
    for version in versions:
        if version.from_s <= seconds:
            found = version
    return found


def payload_of(version: SchemaVersion, *, seed: int, id: str) -> Any:
    number = zlib.crc32(f"{seed}:{id}".encode()) % _PAYLOADS
    return _made(version, seed, number)


@lru_cache(maxsize=4 * _PAYLOADS)
def _made(version: SchemaVersion, seed: int, number: int) -> Any:
    return make(version.document, seed=f"{seed}:{version.name}:{number}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A body that stands in an object."""

    id: str
    reference: Reference
    body: bytes


class Store:
    """Puts bodies into objects, and records it: the intent before each call, the outcome after it."""

    def __init__(self, *, carry: Callable[[Call], Answer], writer: Writer, clock: Clock) -> None:
        self._carry = carry
        self._writer = writer
        self._clock = clock
        self._there: set[str] = set()

    def put(self, body: Stored) -> CallFailed | None:
        """What failed; None where the object is there. One that is known to be there is not put again."""
        if body.reference.object in self._there:
            return None
        intent = events.storing(id=body.id, object=body.reference.object)
        self._writer.write(intent)
        started = self._clock.now_ns()
        put = {
            "Bucket": body.reference.bucket,
            "Key": body.reference.object,
            "Body": body.body,
            "ContentType": "application/json",
            "Metadata": {claim_check.STORED_NS: str(started)},
        }
        try:
            self._carry(Call("s3", "PutObject", put))
        except CallFailed as failed:
            self._writer.write(events.stored(intent, started=started, outcome=failed.outcome, error=str(failed)))
            return failed
        self._writer.write(events.stored(intent, started=started, outcome="ok"))
        self._there.add(body.reference.object)
        return None
