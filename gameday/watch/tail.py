"""Following the files of a history while they are written: each line is read once, when it is whole, and the records
of all files are given in the order of their times; those of one file keep the order of its lines.

A record waits for two more rounds of reading, so that whatever was written before it in another file has been read. A
quiet file, or one with a line that is torn or still grows, keeps nobody waiting: it has been read to its end. While a
file has more than one round takes (`behind`), nothing is given that is newer than what was read of it, and a file whose
records wait is not read on: what waits in memory is never more than one chunk of each file, `_ROUND_BYTES` together
(with more than 500 files `_CHUNK_MIN_BYTES` of each). Only a writer that was stopped between reading its clock and
writing comes too late; its records are given when they are read.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from gameday.history.events import Record
from gameday.history.reader import parse

_CHUNK_BYTES = 1 << 20
_CHUNK_MIN_BYTES = 1 << 16
_ROUND_BYTES = 32 << 20
_ROUNDS_BACK = 2


class _File:
    """How far one was read. `waiting`: its records with their times; a time that goes back in the file counts as the
    newest before it, so that the order of the lines is kept."""

    __slots__ = ("newest", "read", "rest", "waiting")

    def __init__(self) -> None:
        self.read = self.newest = 0
        self.rest = b""
        self.waiting: deque[tuple[int, Record]] = deque()

    def take(self, record: Record) -> None:
        at = record["at"]
        assert isinstance(at, int)  # else the reader calls it damage
        self.newest = max(self.newest, at)
        self.waiting.append((self.newest, record))


class Tail:
    """The records of `directory/*.jsonl` from their beginning; files may come at any time, the directory too.

    No file is held open: a run may start more consumers than a process may have files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, _File] = {}
        self._horizons: deque[int] = deque([0] * _ROUNDS_BACK, maxlen=_ROUNDS_BACK)
        self.unreadable = 0
        self.behind = False

    @property
    def waiting(self) -> int:
        """How many records were read and not given yet."""
        return sum(len(file.waiting) for file in self._files.values())

    def read(self) -> list[Record]:
        """One round; `behind` says that there was more than it takes, and that the next one should follow at once."""
        horizon, behind = self._horizons[0], False
        entries = self._entries()
        chunk_bytes = min(_CHUNK_BYTES, max(_CHUNK_MIN_BYTES, _ROUND_BYTES // max(1, len(entries))))
        for name, path, size in entries:
            file = self._files.setdefault(name, _File())
            if size > file.read and not (self.behind and file.waiting):
                self._read_on(file, path, chunk_bytes)
            if size > file.read:
                behind = True
                horizon = min(horizon, file.newest)
        self.behind = behind
        self._horizons.append(max((file.newest for file in self._files.values()), default=0))
        return self._until(horizon)

    def rest(self) -> list[Record]:
        """At the end: all that waits. A last line without a newline is a record if it can be read, and torn if not."""
        for file in self._files.values():
            if file.rest and not isinstance(record := parse(file.rest), str):
                file.take(record)
            file.rest = b""
        return self._until(None)

    def _entries(self) -> list[tuple[str, str, int]]:
        try:
            entries = [entry for entry in os.scandir(self._directory) if entry.name.endswith(".jsonl")]
        except FileNotFoundError:
            return []
        return [(entry.name, entry.path, entry.stat().st_size) for entry in entries]

    def _read_on(self, file: _File, path: str, most_bytes: int) -> None:
        with Path(path).open("rb", buffering=0) as stream:
            stream.seek(file.read)
            chunk = stream.read(most_bytes)
        file.read += len(chunk)
        *lines, file.rest = (file.rest + chunk).split(b"\n")
        for line in lines:
            record = parse(line)
            if isinstance(record, str):
                self.unreadable += 1
            else:
                file.take(record)

    def _until(self, horizon: int | None) -> list[Record]:
        given: list[tuple[int, Record]] = []
        for file in self._files.values():
            while file.waiting and (horizon is None or file.waiting[0][0] <= horizon):
                given.append(file.waiting.popleft())
        # Stable: those of one file stay as they are.
        given.sort(key=lambda timed: timed[0])
        return [record for _, record in given]
