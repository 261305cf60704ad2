"""The writer of one history file: one process, append-only, one `write` to the kernel per batch of records.

It promises that when `write` returns, the records are with the kernel and survive the death of the process; that `at`
never decreases within the file; and that a batch that could not be written whole (a full disk) leaves no half line
behind, so that what was recorded stays judgeable.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from gameday.history import events
from gameday.history.clock import Clock
from gameday.history.errors import HistoryError
from gameday.history.events import Record

DIRECTORY = "history"
_LINE = orjson.OPT_APPEND_NEWLINE
# Records in one write, of those that are there all at once.
_AT_ONCE = 1000


class Writer:
    """Appends records to `RUN/history/NAME.jsonl`, which whoever starts this process has created empty."""

    def __init__(self, *, run: Path, name: str, clock: Clock, host: str | None = None) -> None:
        """`host` names the machine that it runs on, where that is not the conductor's own.

        Errors: HistoryError when the file cannot be opened.
        """
        self.run = run
        self.path = run / DIRECTORY / f"{name}.jsonl"
        self.name = name
        self.clock = clock
        self.host = host
        self._by = b'"by":%b,' % orjson.dumps(name)
        # Reentrant lock: a batch must be stamped and written as one, whichever thread or greenlet it comes from.
        self._lock = threading.RLock()
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise HistoryError(f"cannot open the history file {self.path}: {error.strerror}") from error

    def write(self, *records: Record) -> int:
        """Stamp and append the records in one write; give their `at`, which they share, in nanoseconds."""
        with self._lock:
            at = self.clock.now_ns()
            # A record begins with its event: the rest of it is put behind the stamp as it is, and not copied before.
            stamp = b'{"at":%d,%b' % (at, self._by)
            self._append(b"".join([stamp + orjson.dumps(record, option=_LINE)[1:] for record in records]))
        return at

    def write_many(self, records: Sequence[Record]) -> None:
        """Write records of any number, so many at once that no write is too large."""
        for first in range(0, len(records), _AT_ONCE):
            self.write(*records[first : first + _AT_ONCE])

    def announce(self, name: str) -> None:
        """Create the empty history file of a process about to be started on this host, and list it here."""
        path = self.path.with_name(f"{name}.jsonl")
        try:
            path.touch(exist_ok=False)
        except OSError as error:
            raise HistoryError(f"cannot create the history file {path}: {error.strerror}") from error
        self.write(events.mark("writer", file=path.name, host=self.host))

    def announce_on(self, host: str, name: str) -> None:
        """List the history file of a process about to be started on another host, where it has been created."""
        self.write(events.mark("writer", file=f"{name}.jsonl", host=host))

    def close(self) -> None:
        """Write `closed`, the last record of a process that ends in good order. Closing twice does nothing."""
        with self._lock:
            if self._fd >= 0:
                try:
                    self.write(events.mark("closed"))
                finally:
                    self.release()

    def release(self) -> None:
        """Give the file back without a word: of a process that has not ended in good order."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _put(self, data: memoryview) -> int:
        """How much of it is with the kernel. Errors: OSError."""
        return os.write(self._fd, data)

    def _append(self, lines: bytes) -> None:
        if self._fd < 0:
            raise HistoryError(f"the history file {self.path} is closed already")
        view = memoryview(lines)
        written = 0
        try:
            while written < len(view):
                written += self._put(view[written:])
        except OSError as error:
            if written:
                # Half a batch is worse than none: cut it off, so that no torn line stands in the middle of the file.
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise HistoryError(
                f"cannot write to {self.path}: {error.strerror}. What was recorded so far can be judged with "
                f"`gameday verify {self.run}`."
            ) from error
