"""The message as it travels: an event that carries what gameday needs to recognise it.

The body is JSON in the shape of an EventBridge event: `source`, `detail-type` and a structured `detail`. Under
`detail.metadata` stand the message's id, group and a checksum over the rest of the detail, so that every service, with
message attributes or without, hands them through, and so that re-formatted JSON is still intact while changed content
is not.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from gameday.history import trace

SOURCE = "gameday.orders"
DETAIL_TYPE = "OrderPlaced"
_PADDING_OVERHEAD = len(b',"note":""')


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What a consumer learns from a body. `intact`: the checksum agrees. `poison`: the handler must fail on it."""

    id: str
    run: str
    group: str | None
    poison: bool
    intact: bool
    event: dict[str, Any]


def pack(
    *,
    id: str,
    run: str,
    group: str | None,
    timestamp_ns: int,
    payload_bytes: int,
    poison: bool = False,
    seed: int = 0,
    traceparent: str | None = None,
) -> bytes:
    """An event of at least `payload_bytes` bytes (a shorter one is padded, a longer one stays as it is).

    The content is a function of `seed` and `id` alone; `timestamp_ns` is when the schedule wanted the message sent.
    `traceparent` stands in it where the service has no place for it beside the body.
    """
    choice = random.Random(f"{seed}:{id}")
    items = [
        {"sku": f"SKU-{choice.randrange(1000):03d}", "quantity": choice.randint(1, 5)}
        for _ in range(choice.randint(1, 3))
    ]
    detail: dict[str, Any] = {
        "orderId": f"order-{id}",
        "customerId": f"customer-{choice.randrange(10_000):04d}",
        "total": choice.randrange(100, 100_000) / 100,
        "currency": choice.choice(("EUR", "USD", "GBP")),
        "items": items,
        "timestamp": timestamp_ns,
        "correlationId": id,
        "metadata": {"id": id, "run": run, "group": group, "poison": poison, "domain": "orders"},
    }
    event = {"source": SOURCE, "detail-type": DETAIL_TYPE, "detail": detail}
    if traceparent is not None:
        detail["metadata"][trace.ATTRIBUTE] = traceparent
    detail["metadata"]["checksum"] = "00000000"
    missing = payload_bytes - len(orjson.dumps(event))
    if missing > 0:
        detail["note"] = "x" * max(missing - _PADDING_OVERHEAD, 0)
    detail["metadata"]["checksum"] = _checksum(detail)
    return orjson.dumps(event)


def unpack(body: bytes | str) -> Envelope | None:
    """Read a body; None when it is no event of ours (then nobody can say which message it was)."""
    try:
        event = orjson.loads(body)
        detail = event["detail"]
        metadata = detail["metadata"]
        claimed = metadata["checksum"]
        return Envelope(
            id=str(metadata["id"]),
            run=str(metadata["run"]),
            group=metadata["group"],
            poison=metadata["poison"] is True,
            intact=claimed == _checksum(detail),
            event=event,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _checksum(detail: dict[str, Any]) -> str:
    """CRC-32 over the detail in canonical form (sorted keys, no spaces), its own checksum left out."""
    metadata = {name: value for name, value in detail["metadata"].items() if name != "checksum"}
    canonical = orjson.dumps({**detail, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)
    return f"{zlib.crc32(canonical):08x}"
