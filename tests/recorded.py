"""What a process wrote into its history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gameday.history.reader import parse


def recorded(path: Path, event: str | None = None) -> list[dict[str, Any]]:
    """The records of a history file, or those of one event. A torn last line is left out; no other may be damaged."""
    *lines, _ = path.read_bytes().split(b"\n")
    found: list[dict[str, Any]] = []
    for line in lines:
        record = parse(line)
        assert not isinstance(record, str), f"{record}: {line!r}"
        found.append(record)
    return [record for record in found if event in (None, record["event"])]
