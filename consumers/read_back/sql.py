"""Effects that stand in a SQL database: what a query of the user's gives, read and never written.

The first column is the key, the second how often (one where there is none); rows of one key are added up. A database
is known by the scheme of its DSN: SQLite is read by Python's own module, PostgreSQL by psycopg, which is an extra.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import Field, field_validator

from gameday.consumers.read_back.base import (
    Counts,
    EffectReader,
    NotThere,
    Place,
    ReadFailed,
    Settings,
    add,
    brief,
    how_often,
    name_of,
)

_BUSY_S = 10.0
_CONNECT_S = 10
_PASSWORD = re.compile(r"[?&]password=|^[^/]*//[^/@]*:[^/@]*@")

Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Names of the columns, and the rows."""


class SqlRows(Settings):
    """Rows of a SQL query: SQLite, or PostgreSQL with the extra `postgresql`."""

    dsn: str = Field(
        description="sqlite:///PATH (relative to the scenario's file; sqlite:////PATH is absolute), or "
        "postgresql://USER@HOST:PORT/DATABASE, whose password stands in PGPASSWORD or ~/.pgpass"
    )
    query: str = Field(description="first column the key, second how often (without it: each row is one effect)")

    @field_validator("dsn")
    @classmethod
    def _known(cls, value: str) -> str:
        if _scheme(value) not in _DATABASES or (_scheme(value) == "sqlite" and not value.startswith("sqlite:///")):
            raise ValueError("no database is called so; write sqlite:///PATH, or postgresql://USER@HOST:PORT/DATABASE")
        if _PASSWORD.search(value):
            raise ValueError(
                "a scenario is kept with every run, and no place for a password; leave it out, and give it in the "
                "environment (PGPASSWORD) or in ~/.pgpass"
            )
        return value

    def reader(self, place: Place) -> EffectReader:
        return _Reader(self, place.directory)


class _Reader(EffectReader):
    def __init__(self, settings: SqlRows, directory: Path) -> None:
        self._settings = settings
        self._directory = directory

    async def read(self) -> Counts:
        columns, rows = await _DATABASES[_scheme(self._settings.dsn)](
            self._settings.dsn, self._settings.query, self._directory
        )
        if not 1 <= len(columns) <= 2:
            raise ReadFailed(
                f"the query gives {len(columns)} columns ({', '.join(columns)}); the first is the key, the second how "
                "often, and there is no third"
            )
        applied: dict[str, int] = {}
        for number, (key, *times) in enumerate(rows, start=1):
            where = f"row {number} of the query"
            if key is None:
                raise ReadFailed(f"{where}: the key is NULL; add WHERE {columns[0]} IS NOT NULL")
            if times == [None]:
                raise ReadFailed(f"{where}: how often is NULL; write coalesce({columns[1]}, 0) for none")
            add(applied, name_of(_key(key), f"{where}, {columns[0]}"), how_often(times[0], where) if times else 1)
        return Counts(applied=applied)


def _key(value: object) -> object:
    """What a database has beside texts and whole numbers and can be told as one of them."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def _scheme(dsn: str) -> str:
    return urllib.parse.urlsplit(dsn).scheme


async def _sqlite(dsn: str, query: str, directory: Path) -> Rows:
    path = directory / dsn.removeprefix("sqlite:///")
    if not path.exists():
        raise NotThere(f"there is no SQLite file {path}")
    connection: sqlite3.Connection | None = None

    def read() -> Rows:
        nonlocal connection
        # Nobody else uses it but who interrupts it.
        opened = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, check_same_thread=False
        )
        with contextlib.closing(opened) as connection:
            cursor = connection.execute(query)
            if cursor.description is None:
                raise ReadFailed(f"the query gives no rows: {brief(query)}")
            return [name for name, *_ in cursor.description], cursor.fetchall()

    try:
        return await asyncio.to_thread(read)
    except asyncio.CancelledError:
        # No time left; the thread would go on, and the run would wait for it when it ends.
        if connection is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):
                connection.interrupt()
        raise
    except (sqlite3.Error, sqlite3.Warning) as error:
        kind = NotThere if "no such table" in str(error) else ReadFailed
        raise kind(f"{path}: {error}; the query was {brief(query)}") from error


async def _postgresql(dsn: str, query: str, directory: Path) -> Rows:
    try:
        import psycopg
    except ImportError:
        raise ReadFailed(
            "PostgreSQL is read with psycopg, which is not installed: pip install 'gameday[postgresql]'"
        ) from None
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=_CONNECT_S) as connection:
            await connection.set_read_only(True)
            cursor = await connection.execute(query.encode())
            if cursor.description is None:
                raise ReadFailed(f"the query gives no rows: {brief(query)}")
            return [column.name for column in cursor.description], await cursor.fetchall()
    except psycopg.Error as error:
        told = " ".join(str(error).split())
        kind = NotThere if isinstance(error, psycopg.errors.UndefinedTable) else ReadFailed
        raise kind(f"{dsn}: {told}; the query was {brief(query)}") from error


_DATABASES: Mapping[str, Callable[[str, str, Path], Awaitable[Rows]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}
