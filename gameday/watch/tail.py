"""Following the files of a history while they are written: each line is read once, when it is whole."""

from __future__ import annotations

import os
from pathlib import Path

from gameday.history.events import Record
from gameday.history.reader import parse

_CHUNK_BYTES = 1 << 20


class Tail:
    """The records of `directory/*.jsonl` from their beginning; files may come at any time, the directory too.

    No file is held open: a run may start more consumers than a process may have files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}
        self._rests: dict[str, bytes] = {}
        self.unreadable = 0
        self.behind = False

    def read(self) -> list[tuple[str, Record]]:
        """What is new, with the name of its file; `behind` says that there was more than one round takes."""
        self.behind = False
        found: list[tuple[str, Record]] = []
        try:
            entries = [entry for entry in os.scandir(self._directory) if entry.name.endswith(".jsonl")]
        except FileNotFoundError:
            return found
        for entry in entries:
            name, start = entry.name, self._read.get(entry.name, 0)
            if entry.stat().st_size <= start:
                continue
            with Path(entry.path).open("rb", buffering=0) as file:
                file.seek(start)
                chunk = file.read(_CHUNK_BYTES)
            self._read[name] = start + len(chunk)
            self.behind = self.behind or len(chunk) == _CHUNK_BYTES
            *lines, self._rests[name] = (self._rests.get(name, b"") + chunk).split(b"\n")
            self._parse(name, lines, found)
        return found

    def rest(self) -> list[tuple[str, Record]]:
        """At the end: a last line without a newline is a record if it can be read, and torn if not."""
        found: list[tuple[str, Record]] = []
        for name, line in self._rests.items():
            if line and not isinstance(record := parse(line), str):
                found.append((name, record))
        self._rests = dict.fromkeys(self._rests, b"")
        return found

    def _parse(self, name: str, lines: list[bytes], found: list[tuple[str, Record]]) -> None:
        for line in lines:
            record = parse(line)
            if isinstance(record, str):
                self.unreadable += 1
            else:
                found.append((name, record))
