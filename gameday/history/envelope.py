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
from functools import lru_cache
from typing import Any

import orjson

from gameday.history import trace

SOURCE = "gameday.orders"
DETAIL_TYPE = "OrderPlaced"
_PADDING_OVERHEAD = len(b',"note":""')
_BEGINNING = f'{{"source":"{SOURCE}","detail-type":"{DETAIL_TYPE}","detail":{{"orderId":'
# How many different ones there are in a run.
_ORDERS = 4096


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

    The content is a function of `seed` and `id` alone, one of some thousand orders; `timestamp_ns` is when the schedule
    wanted the message sent. `traceparent` stands in it where the service has no place for it beside the body.
    """
    # Written as text around an order that is kept, for this is done for every message of a load.
    drawn = zlib.crc32(f"{seed}:{id}".encode()) % _ORDERS
    customer_to_items, currency_to_items, total = _order(seed, drawn)
    name, ran, of = _text(id), _text(run), "null" if group is None else _text(group)
    order = f'"order-{name[1:]}'
    doomed = "true" if poison else "false"
    traced = "" if traceparent is None else f',"{trace.ATTRIBUTE}":{_text(traceparent)}'
    head = (
        f'{_BEGINNING}{order},{customer_to_items},"timestamp":{timestamp_ns},"correlationId":{name},"metadata":{{"id":{name},'
        f'"run":{ran},"group":{of},"poison":{doomed},"domain":"orders"{traced},"checksum":"'
    ).encode()
    missing = payload_bytes - len(head) - len(b'00000000"}}}')
    note = f',"note":"{"x" * max(missing - _PADDING_OVERHEAD, 0)}"' if missing > 0 else ""
    # The detail in canonical form, over which the checksum goes: see `_checksum`.
    canonical = (
        f'{{"correlationId":{name},{currency_to_items},"metadata":{{"domain":"orders","group":{of},"id":{name},'
        f'"poison":{doomed},"run":{ran}{traced}}}{note},"orderId":{order},"timestamp":{timestamp_ns},"total":{total}}}'
    )
    return b'%b%08x"}%b}}' % (head, zlib.crc32(canonical.encode()), note.encode())


@lru_cache(maxsize=_ORDERS)
def _order(seed: int, number: int) -> tuple[str, str, float]:
    """What an order is about, as it stands in an event and as it does in canonical form, and its total."""
    choice = random.Random(f"{seed}:{number}")
    items = [(choice.randrange(1000), choice.randint(1, 5)) for _ in range(choice.randint(1, 3))]
    customer = f'"customerId":"customer-{choice.randrange(10_000):04d}"'
    total = choice.randrange(100, 100_000) / 100
    currency = f'"currency":"{choice.choice(("EUR", "USD", "GBP"))}"'
    told = ",".join(f'{{"sku":"SKU-{sku:03d}","quantity":{quantity}}}' for sku, quantity in items)
    canonical = ",".join(f'{{"quantity":{quantity},"sku":"SKU-{sku:03d}"}}' for sku, quantity in items)
    return (
        f'{customer},"total":{total},{currency},"items":[{told}]',
        f'{currency},{customer},"items":[{canonical}]',
        total,
    )


def _text(text: str) -> str:
    """As JSON has it."""
    return orjson.dumps(text).decode()


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
