"""Effects that a program of the user's counts: it prints a line of JSON for each, `{"id": …, "applied": 1}`.

`id` is the message's own, `key` what the scenario calls the key of a message; all lines have the one or all the other.
Lines of one message are added up. A bad line, an exit code other than 0, or more time than there is, is an error:
nothing of what it printed counts then.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, BinaryIO, ClassVar, Literal

import orjson
from pydantic import Field

from gameday.consumers.read_back.base import (
    Counts,
    EffectReader,
    Place,
    ReadFailed,
    Settings,
    add,
    brief,
    how_often,
    name_of,
)
from gameday.processes.child import reap
from gameday.processes.control import die_with_parent
from gameday.transports.words import environment

_TAIL_BYTES = 1000


class CommandLines(Settings):
    """What a program prints: lines like {"id": "g03-7", "applied": 1}."""

    short: ClassVar = "argv"

    argv: Annotated[list[str], Field(min_length=1)] = Field(
        description="the program and its arguments; it runs in the scenario's directory, without a shell"
    )

    def reader(self, place: Place) -> EffectReader:
        return _Reader(self.argv, place)


class _Reader(EffectReader):
    def __init__(self, argv: list[str], place: Place) -> None:
        self._argv = argv
        self._place = place
        # Its process group, while it runs.
        self._pid: int | None = None

    async def read(self) -> Counts:
        called = shlex.join(self._argv)
        with self._place.log.open("ab") as log:
            began = log.tell()
            starting = asyncio.ensure_future(self._start(log))
            try:
                process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                # Half started it could not be ended with all that it has started by now.
                process = await starting
                self._pid = process.pid
                self.kill()
                await reap(process)
                raise
            except OSError as error:
                raise ReadFailed(f"`{called}` cannot be started: {error.strerror}") from error
            self._pid = process.pid
            try:
                printed, _ = await process.communicate()
            finally:
                # Also what it left behind, and all of it where there was no more time.
                self.kill()
                await reap(process)
                self._pid = None
        if process.returncode:
            raise ReadFailed(f"`{called}` ended with exit code {process.returncode}; {self._last_words(began)}")
        return _counts(printed, called)

    async def _start(self, log: BinaryIO) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=self._place.directory,
            env=environment(self._place.words, self._place.endpoint, inherited=os.environ),
            # A session of its own, so that all of it can be ended.
            start_new_session=True,
            # Nobody would end it if this process were killed.
            preexec_fn=partial(die_with_parent, signal.SIGKILL),
        )

    def kill(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)

    def _last_words(self, began: int) -> str:
        """The last line, which of a traceback is the one that tells; all of it stands in the log."""
        with suppress(OSError), self._place.log.open("rb") as log:
            log.seek(began)
            if said := log.read()[-_TAIL_BYTES:].decode(errors="replace").strip():
                return f"its last words, from logs/{self._place.log.name}: {said.splitlines()[-1]}"
        return "it said nothing on standard error"


def _counts(printed: bytes, called: str) -> Counts:
    applied: dict[str, int] = {}
    of: Literal["id", "key"] | None = None
    for number, line in enumerate(printed.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number} of `{called}`"
        kind, name, times = _read(line, where)
        if of not in (None, kind):
            raise ReadFailed(f"{where} has {'an id' if kind == 'id' else 'a key'} where those before it have the other")
        of = kind
        add(applied, name, times)
    return Counts(of=of or "key", applied=applied)


def _read(line: bytes, where: str) -> tuple[Literal["id", "key"], str, int]:
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ReadFailed(f"{where} is not JSON ({error.msg}): {brief(line.decode(errors='replace'))}") from error
    match document:
        case {"id": id, "applied": applied, **rest} if not rest:
            return "id", name_of(id, where), how_often(applied, where)
        case {"key": key, "applied": applied, **rest} if not rest:
            return "key", name_of(key, where), how_often(applied, where)
    raise ReadFailed(f'{where} is not like {{"id": "g03-7", "applied": 1}}: {brief(line.decode(errors="replace"))}')
