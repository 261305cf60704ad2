"""Reading one history file, line by line, with the verdict on each line that the record format asks for.

A torn last line (no newline, not readable) is what SIGKILL leaves: skipped and counted. Any other line that is not a
JSON object with a string `event` and an integer `at` is damage, and so is a torn line after `closed`. So is a record of
a known event that lacks what it is about, or whose known fields are of another type, or whose times are in another
unit: a check would pass over it in silence, and what was not looked at does not hold. Events and fields that the format
does not know are no damage; they are counted by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import orjson

from gameday.history import strict
from gameday.history.clock import TIME_MAX, TIME_MIN
from gameday.history.events import Record
from gameday.history.schema import ALL_MARKS, EVENTS, FIELDS, kind_of

_DAMAGED_MOST = 100


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
    if at < TIME_MIN:
        return f"`at` is {at}{_of_another_unit(at)}"
    return _wrong(record) or record


def _wrong(record: Record) -> str | None:
    """Why a record of a known event says nothing that could be judged; None if all is well, or the event is unknown."""
    event = str(record["event"])
    kind = kind_of(event, str(record.get("name")))
    if kind is None or kind.needed is None:
        return None
    for name in kind.needed:
        if record.get(name) is None:
            return f"{event} without `{name}`"
    if kind.known_by and not any(all(record.get(name) is not None for name in names) for names in kind.known_by):
        ways = (" with ".join(f"`{name}`" for name in names) for names in kind.known_by)
        return f"{event} without {', or '.join(ways)}"
    for name, value in record.items():
        known = FIELDS.get(name)
        if known is None or (allowed := known.json) is None:
            continue
        if type(value) not in allowed:
            return f"`{name}` of {event} is {_brief(value)}"
        if known.kind == "number" and value is not None:
            assert isinstance(value, int | float)
            least, most = known.limits
            if not least <= value <= most:
                return f"`{name}` of {event} is {value}, beyond what can be"
            if known.time and value < TIME_MIN:
                return f"`{name}` of {event} is {value}{_of_another_unit(value)}"
        elif known.kind == "texts" and isinstance(value, list) and not all(isinstance(item, str) for item in value):
            return f"`{name}` of {event} is {_brief(value)}"
    for name, words in kind.words.items():
        if record[name] not in words:
            return f"`{name}` of {event} is {_brief(record[name])}; it must be one of {', '.join(sorted(words))}"
    if event == "effects" and record.get("id") is None and record.get("key") is None:
        return "effects without `id` or `key`"
    if event == "intended" and record.get("attempt") == 1 and record.get("expect") is None:
        return "the first intended of a message without `expect`"
    return None


def _of_another_unit(time: int | float) -> str:
    # A time of these years has 10 digits in seconds, 13 in milliseconds, 16 in microseconds, 19 in nanoseconds.
    unit = next(
        (unit for unit, most in (("seconds", 1e11), ("milliseconds", 1e14), ("microseconds", 1e17)) if time < most), ""
    )
    looks = f", which looks like {unit}" if unit and time >= 0 else ""
    return f"{looks}: times are nanoseconds since 1970, and this would be before 2001"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """A name that the format does not know. `kind`: event, mark or field; `of`: what has the field."""

    kind: str
    name: str
    of: str = ""

    @property
    def near(self) -> str | None:
        """The known name that it may be meant for."""
        if self.kind == "field":
            event, _, mark = self.of.partition(" ")
            kind = kind_of(event, mark)
            known = list(kind.fields) if kind else []
        else:
            known = [*EVENTS, "mark"] if self.kind == "event" else list(ALL_MARKS)
        return next(iter(get_close_matches(self.name, known, n=1)), None)


def unknown_names(record: Record) -> tuple[Unknown, ...]:
    """What the format does not know of a record: its event or mark, or some of its fields."""
    event, mark = str(record["event"]), str(record.get("name"))
    kind = kind_of(event, mark)
    if kind is None:
        return (Unknown(kind="mark", name=mark) if event == "mark" else Unknown(kind="event", name=event),)
    of = f"mark {mark}" if event == "mark" else event
    allowed = {"event", "at", "by", *(["name"] if event == "mark" else []), *kind.fields}
    return tuple(Unknown(kind="field", name=name, of=of) for name in record if name not in allowed)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


@dataclass(slots=True)
class Scan:
    """What was seen in one file besides its records.

    `damaged`: line number (from 1) and why, of the first hundred; `unknown`: how often each name that the format does
    not know was met, and `first_met` on which line first.
    """

    torn: bool = False
    damaged: list[tuple[int, str]] = field(default_factory=list)
    damaged_more: int = 0
    unknown: Counter[Unknown] = field(default_factory=Counter)
    first_met: dict[Unknown, int] = field(default_factory=dict)

    def damage(self, line: int, why: str) -> None:
        if len(self.damaged) < _DAMAGED_MOST:
            self.damaged.append((line, why))
        else:
            self.damaged_more += 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What some lines of a file, one after the other, hold: how many records, the latest `at` of them (None of none),
    and those that are marks."""

    count: int
    last_ns: int | None
    marks: Sequence[Record]


def blocks(path: Path, scan: Scan, *, size: int = 1 << 17) -> Iterator[Block]:
    """The records of a file, block by block of about `size` bytes; what is not readable goes to `scan`.

    What `parse` says of each line decides. Blocks of which each line is surely a record without anything unknown, which
    is nearly all, are read by the same rules in one go.
    """
    lines = _Lines(scan)
    # Of the line that has no end yet.
    begun: list[bytes] = []
    with path.open("rb") as file:
        while read := file.read(size):
            end = read.rfind(b"\n") + 1
            if end:
                yield _block(b"".join((*begun, read[:end])), lines)
                begun.clear()
            begun.append(read[end:])
    if torn := b"".join(begun):
        yield lines.read([torn])


def _block(lines: bytes, reader: _Lines) -> Block:
    count = lines.count(b"\n")
    # A line begins where another ends, and an object does, too: between two of them alone, `}` and `{` meet. And each
    # object says once, and plainly, what event it is.
    if (
        lines.count(b"}\n{") == count - 1
        and lines.startswith(b"{")
        and lines.endswith(b"}\n")
        and lines.count(b'"event":') == count
        and b"\\u" not in lines
        and (last_ns := strict.latest(lines, count)) is not None
    ):
        reader.number += count
        return Block(count=count, last_ns=last_ns, marks=())
    return reader.read([line + b"\n" for line in lines[:-1].split(b"\n")])


class _Lines:
    """Reads line by line. `number`: how many lines of the file were read."""

    def __init__(self, scan: Scan) -> None:
        self.number = 0
        self._scan = scan
        self._closed = False
        # Records of one shape have the same names; there are few shapes.
        self._shapes: dict[tuple[object, ...], tuple[Unknown, ...]] = {}

    def read(self, lines: Sequence[bytes]) -> Block:
        count, last_ns, marks = 0, -TIME_MAX, []
        for line in lines:
            record = self._line(line)
            if record is None:
                continue
            count += 1
            last_ns = max(last_ns, record["at"])  # type: ignore[type-var, assignment]  # `parse` saw that it is one
            if record["event"] == "mark":
                marks.append(record)
        return Block(count=count, last_ns=last_ns if count else None, marks=marks)

    def _line(self, line: bytes) -> Record | None:
        self.number += 1
        whole = line.endswith(b"\n")
        record = parse(line[:-1] if whole else line)
        if not isinstance(record, str):
            self._know(record)
            return record
        if whole:
            self._scan.damage(self.number, record)
        else:
            self._scan.torn = True
            if self._closed:
                self._scan.damage(self.number, "a torn line after `closed`")
        return None

    def _know(self, record: Record) -> None:
        mark = record["event"] == "mark"
        self._closed = self._closed or (mark and record.get("name") == "closed")
        shape = (record["event"], str(record.get("name")) if mark else None, *record)
        unknown = self._shapes.get(shape)
        if unknown is None:
            unknown = self._shapes[shape] = unknown_names(record)
        for each in unknown:
            self._scan.unknown[each] += 1
            self._scan.first_met.setdefault(each, self.number)
