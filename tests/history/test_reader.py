"""What is read in one go is what is read line by line."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history import strict
from gameday.history.clock import ERROR_MAX, SECONDS_MAX, TIME_MAX, TIME_MIN
from gameday.history.reader import Scan, blocks
from gameday.history.schema import ALL_MARKS, EVENTS, FIELDS
from tests.reference.simulation import simulate

WHOLE = 1 << 30
VALUES = (
    None, True, False, "", "x", "é", "ok", "delete", "start", 0, 1, 2, -1, 1.0, 0.5, 1e300, [], ["a"], [1], [None], {},
    {"event": 1}, TIME_MIN - 1, TIME_MIN, TIME_MAX - 1, TIME_MAX, -TIME_MAX, 1 - TIME_MAX, SECONDS_MAX, SECONDS_MAX + 1,
    ERROR_MAX, ERROR_MAX + 1,
)  # fmt: skip


def read(path: Path, content: bytes, *, size: int) -> tuple[int, int | None, Sequence[Any], Scan]:
    path.write_bytes(content)
    scan = Scan()
    found = list(blocks(path, scan, size=size))
    lasts = [block.last_ns for block in found if block.last_ns is not None]
    marks = [mark for block in found for mark in block.marks]
    return sum(block.count for block in found), max(lasts, default=None), marks, scan


def line_by_line(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int | None, Any, Scan]:
    with monkeypatch.context() as patch:
        patch.setattr(strict, "latest", lambda lines, count: None)
        return read(path, content, size=WHOLE)


def usual(chance: random.Random) -> dict[str, Any]:
    """A record with all its fields, each with a value that is allowed."""
    event = chance.choice([*EVENTS, "mark"])
    name = chance.choice(list(ALL_MARKS))
    kind = ALL_MARKS[name] if event == "mark" else EVENTS[event]
    record: dict[str, Any] = {"event": event, "at": TIME_MIN + chance.randrange(10**9), "by": "w"}
    if event == "mark":
        record["name"] = name
    for field in kind.fields:
        known = FIELDS[field]
        values: dict[str, Any] = {"text": "t", "texts": ["a", "b"], "number": 3, "flag": True}
        record[field] = TIME_MIN if known.time else values.get(known.kind, "anything")
        if field in kind.words:
            record[field] = chance.choice(kind.words[field])
    return record


def odd_lines(chance: random.Random) -> Iterator[bytes]:
    record = usual(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        field = chance.choice(list(record))
        if chance.random() < 0.3:
            del record[field]
        else:
            record[chance.choice((field, field, "unheard_of", chance.choice(list(FIELDS))))] = chance.choice(VALUES)
    line = orjson.dumps(record)
    match chance.randrange(24):
        case 0:
            line = line.replace(b":", b" : ")
        case 1:
            line = line.replace(b",", b",\n", 1)
        case 2:
            line = line + orjson.dumps(usual(chance))
        case 3:
            line = line[: chance.randrange(len(line))]
        case 4:
            line = b""
        case 5:
            line = line.replace(b'"', b'"\\u00e9', 1 + chance.randrange(3))
        case 6:
            line = b'{"\\u0065vent":"sent",' + line[1:]
        case 7:
            line = line[:-1] + b',"event":"effects"}'
        case 8:
            line = line.replace(b'"', b'"\xff', chance.randrange(1, 9))
        case 9:
            line = line + chance.choice((b"\r", b" ", b"\x00"))
        case 10:
            line = chance.choice((b"[1]", b"3", b'"x"', b"null", b" " + line))
        case 11:
            line = line[:-1] + b',"at":' + chance.choice((b"1e18", b"-0", b"01", b"1" * 30, b"NaN")) + b"}"
        case _:
            pass
    yield line


@pytest.mark.parametrize("seeds", [range(400)])
def test_what_is_read_in_one_go_is_what_is_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    path, in_one_go = tmp_path / "h.jsonl", 0
    for seed in seeds:
        chance = random.Random(seed)
        lines = [line for _ in range(chance.randrange(1, 8)) for line in odd_lines(chance)]
        content = b"\n".join(lines) + chance.choice((b"\n", b""))
        expected = line_by_line(path, content, monkeypatch)
        for size in (1, 7, 300, WHOLE):
            assert read(path, content, size=size) == expected, f"seed {seed}, {size} bytes"
        for line in lines:
            in_one_go += strict.latest(line + b"\n", 1) is not None
    assert in_one_go > len(seeds)


def test_whatever_a_run_records_is_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(11, run=tmp_path / "run")
    for file in (tmp_path / "run" / "history").glob("*.jsonl"):
        content = file.read_bytes()
        assert read(tmp_path / "h.jsonl", content, size=200) == line_by_line(tmp_path / "h.jsonl", content, monkeypatch)
        records = [line for line in content.splitlines(keepends=True) if orjson.loads(line)["event"] in EVENTS]
        if records:
            assert strict.latest(b"".join(records), len(records)) == max(orjson.loads(line)["at"] for line in records)
