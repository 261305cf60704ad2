"""Reading one history file, line by line, with the verdict on each line that the record format asks for.

A torn last line (no newline, not readable) is what SIGKILL leaves: skipped and counted. Any other line that is not a
JSON object with a string `event` and an integer `at` is damage, and so is a torn line after `closed`. So is a record of
a known event that lacks what it is about, or whose known fields are of another type: a check would pass over it in
silence, and what was not looked at does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

import orjson

from history.clock import SECONDS_MAX, TIME_MAX
from history.events import Record

_TEXT: frozenset[type] = frozenset((str, int, float, NoneType))
_NUMBER: frozenset[type] = frozenset((int, float, NoneType))
_FLAG: frozenset[type] = frozenset((bool, NoneType))
_TEXTS: frozenset[type] = frozenset((list, NoneType))
# What a known field of a known event holds, if it is there at all.
_TYPES: Mapping[str, frozenset[type]] = {
    **dict.fromkeys(
        ("id", "producer", "group", "outcome", "error", "broker_id", "broker_seq", "partition", "call", "subscription",
         "consumer", "batch", "action", "fault", "instance", "phase", "label"),
        _TEXT,
    ),
    "replay": frozenset((str, NoneType)),
    **dict.fromkeys(
        ("attempt", "seq", "due", "started", "entry", "receives", "enqueued", "hidden_s", "applied", "scheduled",
         "since", "until"),
        _NUMBER,
    ),
    **dict.fromkeys(("poison", "intact", "empty"), _FLAG),
    **dict.fromkeys(("expect", "targets", "parents"), _TEXTS),
}  # fmt: skip
# What a record cannot do without: a check would pass over it in silence.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "intended": ("id",),
    "sent": ("id", "outcome"),
    "received": ("id", "subscription"),
    "effect": ("id", "subscription", "outcome"),
    "settling": ("subscription", "action"),
    "settled": ("subscription", "action", "outcome"),
    "dead": ("id", "subscription"),
    "redriven": ("id", "subscription"),
    "effects": ("id", "subscription", "applied"),
    "fault": ("fault", "phase"),
}
_NEEDED_BY_MARK: Mapping[str, tuple[str, ...]] = {
    "drained": ("subscription", "empty"),
    "effects-read": ("subscription",),
    "partition": ("subscription", "partition"),
    "load-stopped": (),
    "replay-started": ("replay", "since", "until"),
    "replay-ended": ("replay", "outcome"),
    "writer": ("file",),
}
_WORDS: Mapping[tuple[str, str], frozenset[str]] = {
    ("sent", "outcome"): frozenset(("ok", "failed", "unknown")),
    ("effect", "outcome"): frozenset(("applied", "skipped", "failed")),
    ("settled", "outcome"): frozenset(("ok", "failed", "unknown")),
    ("fault", "phase"): frozenset(("start", "stop")),
}


def parse(line: bytes) -> Record | str:
    """One line without its newline: the record, or one sentence that says why it is none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not JSON ({error.msg})" if line.strip() else "an empty line"
    if not isinstance(record, dict):
        return "not a JSON object"
    if not isinstance(record.get("event"), str):
        return "no `event`"
    at = record.get("at")
    if type(at) is not int or not -TIME_MAX < at < TIME_MAX:
        return "no integer `at`"
    return _wrong(record) or record


def _wrong(record: Record) -> str | None:
    """Why a record of a known event says nothing that could be judged; None if all is well, or the event is unknown."""
    event = record["event"]
    needed = _NEEDED_BY_MARK.get(str(record.get("name"))) if event == "mark" else _NEEDED.get(str(event))
    if needed is None:
        return None
    for name in needed:
        if record.get(name) is None:
            return f"{event} without `{name}`"
    for name, value in record.items():
        allowed = _TYPES.get(name)
        if allowed is None:
            continue
        if type(value) not in allowed:
            return f"`{name}` of {event} is {_brief(value)}"
        if allowed is _NUMBER and value is not None:
            assert isinstance(value, int | float)
            if not (0 <= value <= SECONDS_MAX if name == "hidden_s" else -TIME_MAX < value < TIME_MAX):
                return f"`{name}` of {event} is {value}, beyond what can be"
        elif allowed is _TEXTS and isinstance(value, list) and not all(isinstance(item, str) for item in value):
            return f"`{name}` of {event} is {_brief(value)}"
    for (kind, name), words in _WORDS.items():
        if kind == event and record[name] not in words:
            return f"`{name}` of {event} is {_brief(record[name])}; it must be one of {', '.join(sorted(words))}"
    if event == "intended" and record.get("attempt") == 1 and record.get("expect") is None:
        return "the first intended of a message without `expect`"
    return None


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


@dataclass(slots=True)
class Scan:
    """What was seen in one file besides its records. `damaged`: line number (from 1) and why."""

    torn: bool = False
    damaged: list[tuple[int, str]] = field(default_factory=list)


def records(path: Path, scan: Scan) -> Iterator[tuple[int, Record]]:
    """The readable records of a file with their line numbers (from 1); what is not readable goes to `scan`."""
    closed = False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            whole = line.endswith(b"\n")
            record = parse(line[:-1] if whole else line)
            if not isinstance(record, str):
                closed = closed or (record["event"] == "mark" and record.get("name") == "closed")
                yield number, record
            elif whole:
                scan.damaged.append((number, record))
            else:
                scan.torn = True
                if closed:
                    scan.damaged.append((number, "a torn line after `closed`"))
