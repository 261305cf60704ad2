"""Runs of scenarios as a person would start them, each a process of its own, several side by side.

It promises that each ends with whoever asked for it: on an interruption every run is interrupted, too, and waited for.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.processes.child import python
from gameday.verify.judge import FILE as VERDICT

_RUN = python("-c", "from gameday.cli import main; main()", "run")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """`arguments` of `gameday run`, but for where its directory is."""

    arguments: Sequence[str]
    directory: Path

    @property
    def argv(self) -> list[str]:
        return [*_RUN, *self.arguments, "--out", str(self.directory)]

    def done(self, code: int, said: str) -> Done:
        """What it has left, once it has ended. `said`: on standard error."""
        path = self.directory / VERDICT
        verdict = json.loads(path.read_bytes()) if path.exists() else None
        return Done(task=self, verdict=verdict, code=code, said=said.strip().removeprefix("gameday: "))


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """`verdict`: the object of verdict.json; None where there is none, and then `said` tells why."""

    task: Task
    verdict: dict[str, Any] | None
    code: int
    said: str


async def play(tasks: Iterable[Task], *, at_once: int) -> AsyncIterator[Done]:
    """Each as it ends. A task is asked for when there is a place for it."""
    waiting = iter(tasks)
    working: set[asyncio.Task[Done]] = set()
    try:
        while True:
            while len(working) < at_once and (task := next(waiting, None)) is not None:
                working.add(asyncio.create_task(_run(task)))
            if not working:
                return
            ended, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                yield each.result()
    finally:
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def _run(task: Task) -> Done:
    process = await asyncio.create_subprocess_exec(
        *task.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # Ctrl-C at the terminal is ours to pass on.
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.wait()
    assert process.returncode is not None
    return task.done(process.returncode, said.decode(errors="replace"))
