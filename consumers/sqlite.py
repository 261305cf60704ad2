"""Stores in SQLite: the default on one machine, one file shared by every consumer process.

In WAL mode a commit is with the kernel when it returns, so it survives SIGKILL at any moment (that is what a run
inflicts; it does not survive a power cut, for `synchronous` is NORMAL). Writers wait for each other: a process that is
stopped in the middle of a commit holds the others up until it continues, which costs them time and no step.

Steps are carried out by one thread per process. What the loop asks for in one turn, and whatever has gathered while the
thread was busy, is committed as one transaction: a step is answered after that commit, so it is still atomic and
durable by itself, at a fraction of the price.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.consumers.effects import Begun, Key
from gameday.transports.base import CallFailed

# Longer than any pause that a scenario inflicts: failing instead would burn a receive of every message in hand.
_BUSY_S = 120.0
_CLOSE_S = 5.0

Action = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True)
class _Job:
    action: Action
    answer: asyncio.Future[Any]


class SqliteFile:
    """One file with the tables of `schema`."""

    schema = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._thread: threading.Thread | None = None

    async def create(self, *, tags: Mapping[str, str]) -> None:
        """Tags have no place in a file and are left out."""

        def make() -> None:
            with contextlib.closing(self._connect("rwc")) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(self.schema)

        await self._guarded(make)

    async def open(self) -> None:
        connection: sqlite3.Connection = await self._guarded(lambda: self._connect("rw"))
        self._thread = threading.Thread(target=self._work, args=(connection,), name=self._path.name, daemon=True)
        self._thread.start()

    async def remove(self) -> None:
        """The file lies in the run directory and stays there as evidence."""

    async def close(self) -> None:
        if self._thread is not None:
            self._hand_over()
            self._jobs.put(None)
            # A thread that still waits for another process's lock ends with this process; nothing waits for its answer.
            await asyncio.to_thread(self._thread.join, _CLOSE_S)
            self._thread = None

    def _connect(self, mode: str) -> sqlite3.Connection:
        # check_same_thread: a connection is opened in one thread and then used by one other.
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    async def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(action)
        except sqlite3.Error as error:
            raise _translate(self._path, error) from error

    async def _step(self, action: Action) -> Any:
        assert self._thread is not None, "the store is not open"
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._gathered:
            # After all that this turn of the loop has still to do: the handlers of a batch ask in one.
            loop.call_soon(self._hand_over)
        self._gathered.append(_Job(action, answer))
        return await answer

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._jobs.put(gathered)

    def _work(self, connection: sqlite3.Connection) -> None:
        """The thread: take all that waits, carry it out in one transaction, answer. None ends it."""
        with contextlib.closing(connection):
            while (jobs := self._jobs.get()) is not None:
                # Ends at an empty queue, or at the None that ends the thread, which then waits for the next round.
                with contextlib.suppress(queue.Empty):
                    while (more := self._jobs.get_nowait()) is not None:
                        jobs += more
                    self._jobs.put(None)
                _answer(jobs, self._commit(connection, jobs))

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[Any] | CallFailed:
        try:
            # IMMEDIATE: the lock is waited for here, before anything is read; upgrading later could not wait.
            connection.execute("BEGIN IMMEDIATE")
            results = [job.action(connection) for job in jobs]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return _translate(self._path, error)
        return results


class SqliteStore(SqliteFile):
    """Effects, and the marks of their guards. A mark without `expires_ns` says that the message is done."""

    schema = """
CREATE TABLE IF NOT EXISTS guards (
    subscription TEXT NOT NULL, id TEXT NOT NULL, expires_ns INTEGER, PRIMARY KEY (subscription, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effects (
    subscription TEXT NOT NULL, id TEXT NOT NULL, applied INTEGER NOT NULL, PRIMARY KEY (subscription, id)
    ) WITHOUT ROWID;
"""

    async def seen(self, key: Key) -> bool:
        found: bool = await self._step(lambda connection: _seen(connection, key))
        return found

    async def claim(self, key: Key) -> bool:
        put: bool = await self._step(lambda connection: _claim(connection, key))
        return put

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        begun: Begun = await self._step(lambda connection: _begin(connection, key, now_ns, expires_ns))
        return begun

    async def finish(self, key: Key) -> None:
        await self._step(
            lambda connection: connection.execute("INSERT OR REPLACE INTO guards VALUES (?, ?, NULL)", key)
        )

    async def forget(self, key: Key) -> None:
        await self._step(
            lambda connection: connection.execute("DELETE FROM guards WHERE subscription = ? AND id = ?", key)
        )

    async def apply(self, key: Key) -> None:
        await self._step(lambda connection: _apply(connection, key))

    async def claim_and_apply(self, key: Key) -> bool:
        def both(connection: sqlite3.Connection) -> bool:
            if not _claim(connection, key):
                return False
            _apply(connection, key)
            return True

        put: bool = await self._step(both)
        return put

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        def read() -> dict[str, int]:
            with contextlib.closing(self._connect("ro")) as connection:
                rows = connection.execute("SELECT id, applied FROM effects WHERE subscription = ?", (subscription,))
                return dict(rows)

        applied: dict[str, int] = await self._guarded(read)
        return applied


def _seen(connection: sqlite3.Connection, key: Key) -> bool:
    return connection.execute("SELECT 1 FROM guards WHERE subscription = ? AND id = ?", key).fetchone() is not None


def _claim(connection: sqlite3.Connection, key: Key) -> bool:
    return connection.execute("INSERT OR IGNORE INTO guards VALUES (?, ?, NULL)", key).rowcount == 1


def _begin(connection: sqlite3.Connection, key: Key, now_ns: int, expires_ns: int) -> Begun:
    put = connection.execute(
        "INSERT INTO guards VALUES (?, ?, ?) ON CONFLICT (subscription, id) "
        "DO UPDATE SET expires_ns = excluded.expires_ns WHERE expires_ns <= ?",
        (*key, expires_ns, now_ns),
    )
    if put.rowcount == 1:
        return "begun"
    stands = "SELECT expires_ns FROM guards WHERE subscription = ? AND id = ?"
    (expires,) = connection.execute(stands, key).fetchone()
    return "done" if expires is None else "in-progress"


def _apply(connection: sqlite3.Connection, key: Key) -> None:
    connection.execute(
        "INSERT INTO effects VALUES (?, ?, 1) ON CONFLICT (subscription, id) DO UPDATE SET applied = applied + 1", key
    )


def _answer(jobs: list[_Job], results: list[Any] | CallFailed) -> None:
    """Wake the loop once for all of them. A loop that is gone, or a step nobody waits for any more, is no error."""

    def wake() -> None:
        for n, job in enumerate(jobs):
            if job.answer.done():
                continue
            if isinstance(results, CallFailed):
                job.answer.set_exception(results)
            else:
                job.answer.set_result(results[n])

    with contextlib.suppress(RuntimeError):
        jobs[0].answer.get_loop().call_soon_threadsafe(wake)


def _translate(path: Path, error: sqlite3.Error) -> CallFailed:
    """Definite: whatever SQLite could not finish is rolled back."""
    return CallFailed(type(error).__name__, f"{path}: {error}", definite=True)
