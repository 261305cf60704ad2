"""The message as it travels: an event that carries what gameday needs to recognise it.

The body is JSON in the shape of an EventBridge event: `source`, `detail-type` and a structured `detail`. Under
`detail.metadata` stand the message's id, group and a checksum over the rest of the detail, so that every service, with
message attributes or without, hands them through, and so that re-formatted JSON is still intact while changed content
is not.

An event may be a CloudEvent (github.com/cloudevents/spec, version 1.0) instead: what stands under `detail.metadata` is
then told by attributes beside `data`. Whatever its form, an event keeps three conventions: a correlation id, the domain
that it is of, and the time.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from gameday.history import trace
from gameday.history.claim_check import Reference, checksum
from gameday.history.clock import NS_PER_S

SOURCE = "gameday.orders"
DOMAIN = "orders"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DETAIL_TYPE = "OrderPlaced"
_PADDING_OVERHEAD = len(b',"note":""')
_BEGINNING = f'{{"source":"{SOURCE}","detail-type":"{DETAIL_TYPE}","detail":{{"orderId":'
# How many different ones there are in a run.
_ORDERS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What a consumer learns from a body. `intact`: the checksum agrees. `poison`: the handler must fail on it.
    `payload`: what a schema is asked of, where it has any; `reference`: where the body stands that this stands for;
    `conventional`: it keeps the conventions of events."""

    id: str
    run: str
    group: str | None
    poison: bool
    intact: bool
    event: dict[str, Any]
    payload: Any = None
    reference: Reference | None = None
    conventional: bool = True


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


Form = Literal["ours", "cloudevents"]
_CLOUD = {"run": "gamedayrun", "group": "gamedaygroup", "poison": "gamedaypoison", "checksum": "gamedaychecksum"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What an event carries besides: a `payload`, made from the version of a schema that `schema` names, or a
    `reference` to a body that is elsewhere."""

    form: Form = "ours"
    payload: Any = None
    schema: str | None = None
    reference: Reference | None = None


def pack_event(
    *,
    id: str,
    run: str,
    group: str | None,
    timestamp_ns: int,
    payload_bytes: int = 0,
    poison: bool = False,
    traceparent: str | None = None,
    content: Content,
) -> bytes:
    """As `pack`, with that content in place of an order."""
    traced = {} if traceparent is None else {trace.ATTRIBUTE: traceparent}
    if content.form == "cloudevents":
        return _pack_cloud_event(_cloud_event(id, run, group, timestamp_ns, poison, content) | traced, payload_bytes)
    detail: dict[str, Any] = {
        "orderId": f"order-{id}",
        "timestamp": timestamp_ns,
        "correlationId": id,
        **({} if content.payload is None else {"payload": content.payload}),
        **({} if content.schema is None else {"schema": content.schema}),
        **({} if content.reference is None else {"claimCheck": content.reference.to_json()}),
    }
    metadata = {"id": id, "run": run, "group": group, "poison": poison, "domain": DOMAIN, **traced}
    event = {"source": SOURCE, "detail-type": DETAIL_TYPE, "detail": {**detail, "metadata": metadata}}
    missing = payload_bytes - len(orjson.dumps(event)) - len(b',"checksum":"00000000"')
    if missing > 0:
        detail["note"] = "x" * max(missing - _PADDING_OVERHEAD, 0)
    detail["metadata"] = {**metadata, "checksum": _checksum({**detail, "metadata": metadata})}
    return orjson.dumps({**event, "detail": detail})


def _cloud_event(
    id: str, run: str, group: str | None, timestamp_ns: int, poison: bool, content: Content
) -> dict[str, Any]:
    """The names of attributes are small letters and digits, and their values text, whole numbers or truth values."""
    at = datetime.fromtimestamp(timestamp_ns // NS_PER_S, UTC)
    data: Any = {"orderId": f"order-{id}"} if content.payload is None else content.payload
    if content.reference is not None:
        data = {"claimCheck": content.reference.to_json()}
    return {
        "specversion": "1.0",
        "id": id,
        "source": SOURCE,
        "type": DETAIL_TYPE,
        "time": f"{at:%Y-%m-%dT%H:%M:%S}.{timestamp_ns % NS_PER_S:09}Z",
        "datacontenttype": "application/json",
        **({} if content.schema is None else {"dataschema": f"urn:gameday:{content.schema}"}),
        "correlationid": id,
        "domain": DOMAIN,
        _CLOUD["run"]: run,
        **({} if group is None else {_CLOUD["group"]: group}),
        _CLOUD["poison"]: poison,
        "data": data,
    }


def _pack_cloud_event(event: dict[str, Any], payload_bytes: int) -> bytes:
    missing = payload_bytes - len(orjson.dumps(event)) - len(b',"gamedaychecksum":"00000000"')
    if missing > 0:
        event["gamedaynote"] = "x" * max(missing - len(b',"gamedaynote":""'), 0)
    return orjson.dumps({**event, _CLOUD["checksum"]: _cloud_checksum(event)})


def _cloud_checksum(event: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in event.items() if name != _CLOUD["checksum"]}
    return checksum(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS))


def _read_cloud_event(event: dict[str, Any]) -> Envelope:
    """Errors: KeyError for what is none of ours."""
    data = event.get("data")
    told = (event.get("correlationid"), event.get("domain"), event["source"], event["type"])
    return Envelope(
        id=str(event["id"]),
        run=str(event[_CLOUD["run"]]),
        group=event.get(_CLOUD["group"]),
        poison=event[_CLOUD["poison"]] is True,
        intact=event[_CLOUD["checksum"]] == _cloud_checksum(event),
        event=event,
        payload=data,
        reference=Reference.of(data.get("claimCheck")) if isinstance(data, dict) else None,
        conventional=event["specversion"] == "1.0"
        and all(map(_is_text, told))
        and _RFC3339.fullmatch(str(event.get("time"))) is not None,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def unpack(body: bytes | str) -> Envelope | None:
    """Read a body; None when it is no event of ours (then nobody can say which message it was)."""
    try:
        event = orjson.loads(body)
        if "specversion" in event:
            return _read_cloud_event(event)
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
            payload=detail.get("payload"),
            reference=Reference.of(detail.get("claimCheck")),
            conventional=_is_text(detail.get("correlationId"))
            and _is_text(metadata.get("domain"))
            and type(detail.get("timestamp")) is int,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _checksum(detail: dict[str, Any]) -> str:
    """CRC-32 over the detail in canonical form (sorted keys, no spaces), its own checksum left out."""
    metadata = {name: value for name, value in detail["metadata"].items() if name != "checksum"}
    canonical = orjson.dumps({**detail, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)
    return checksum(canonical)
