"""Reading one history file, line by line, with the verdict on each line that the record format asks for.

A torn last line (no newline, not readable) is what SIGKILL leaves: skipped and counted. Any other line that is not a
JSON object with a string `event` and an integer `at` is damage, and so is a torn line after `closed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from history.events import Record

_INT64_MAX = 2**63 - 1


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
    if not isinstance(at, int) or isinstance(at, bool) or not -_INT64_MAX <= at <= _INT64_MAX:
        return "no integer `at`"
    return record


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
