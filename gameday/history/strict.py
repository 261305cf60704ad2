"""Reads many lines of a history in one go, where nothing about them is to be said.

The rules are those of gameday/history/reader.py, made from the same table, or stricter: whatever is accepted here would
be there. What is not may be in order all the same; the other one says it, line by line.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Annotated, Any, Literal

import msgspec

from gameday.history.clock import TIME_MIN
from gameday.history.schema import EVENTS, FIELDS, RecordKind


def _type(name: str, kind: RecordKind) -> Any:
    """Of the values of a field."""
    field = FIELDS[name]
    if name in kind.words:
        return Literal[kind.words[name]]
    match field.kind:
        case "text":
            return str
        case "texts":
            return list[str]
        case "flag":
            return bool
        case "number":
            least, most = field.limits
            of = msgspec.Meta(ge=max(least, TIME_MIN) if field.time else least, le=most)
            return Annotated[float, of] if field.seconds else Annotated[int, of]
    return Any


def _record(event: str, kind: RecordKind) -> Any:
    """The type of the records of one event. A message is known by its `id`, where it may be known in several ways."""
    needed = {"at", *(kind.needed or ()), *(("id",) if kind.known_by else ())}
    fields: list[Any] = [(name, _type(name, kind)) for name in needed]
    fields += [(name, _type(name, kind) | None, None) for name in ("by", *kind.fields) if name not in needed]
    return msgspec.defstruct(event, fields, tag_field="event", tag=event, forbid_unknown_fields=True, gc=False)


_RECORDS = {event: _record(event, kind) for event, kind in EVENTS.items()}
_INTENDED = _RECORDS["intended"]
_DECODER = msgspec.json.Decoder(reduce(operator.or_, _RECORDS.values()))


def latest(lines: bytes, count: int) -> int | None:
    """The latest `at` of so many records, each a JSON object; None where anything else is among them, or a mark."""
    try:
        records: Sequence[Any] = _DECODER.decode_lines(lines)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(records) != count:
        return None
    last_ns = TIME_MIN
    for record in records:
        if record.at > last_ns:
            last_ns = record.at
        if record.__class__ is _INTENDED and record.expect is None and record.attempt == 1:
            return None
    return last_ns
