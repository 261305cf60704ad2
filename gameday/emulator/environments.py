"""The processes in which the broker runs functions: each an execution environment, with one invocation at a time.

It promises that a function finds what one of Lambda's finds: its code in the directory where it is started, its
variables beside Lambda's own (lambda/latest/dg/configuration-envvars.html), and the end of its process when its time is
over; that environments are used again, and started when none is idle; and that none of them outlives the broker,
whatever that dies of.

Functions in Python run in the interpreter that runs the broker, where boto3 is, as it is on Lambda; those of Node in
`node`. What they print goes to the broker's standard error.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from gameday.emulator.functions import BadCode, Code
from gameday.emulator.mappings import Ran
from gameday.history.errors import ProcessError
from gameday.processes.handler_process import (
    NODE_SHIM,
    PYTHON_SHIM,
    EffectUnknown,
    HandlerProcess,
    TimedOut,
    Unanswered,
)
from gameday.processes.mortal import mortal
from gameday.processes.undo import MARK

# lambda/latest/dg/gettingstarted-limits.html
_UNPACKED_BYTES_MAX = 262_144_000
_REGION = "us-east-1"
# What of the broker's own environment a program needs, and by what it is found again.
_HANDED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", MARK)


class Host:
    """Where functions run. `url` tells where the broker is reached; `directory` is where code is unpacked (None: a
    temporary one, which goes with `close`)."""

    def __init__(self, *, url: Callable[[], str], directory: Path | None = None) -> None:
        self._url = url
        self._directory = directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._numbers = count(1)
        self._environments: list[ProcessEnvironments] = []

    def deploy(self, code: Code) -> ProcessEnvironments:
        """Errors: BadCode."""
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gameday-functions-", ignore_cleanup_errors=True)
            self._directory = Path(self._temporary.name)
        place = self._directory / f"{code.name}-{next(self._numbers)}"
        _unpack(code.archive, place)
        made = ProcessEnvironments(code, place, _environment(code, place, self._url()))
        self._environments = [each for each in self._environments if not each.gone] + [made]
        return made

    async def close(self) -> None:
        """End whatever runs."""
        await asyncio.gather(*(each.close() for each in self._environments))
        if self._temporary is not None:
            self._temporary.cleanup()


class ProcessEnvironments:
    """Those of one state of a function."""

    def __init__(self, code: Code, place: Path, env: Mapping[str, str]) -> None:
        self._code = code
        self._place = place
        self._env = env
        self._argv = _argv(code)
        self._started = 0
        self._idle: list[HandlerProcess] = []
        self._all: set[HandlerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = False

    @property
    def gone(self) -> bool:
        return self._retired and not self._tasks

    def invoke(self, event: object, tell: Callable[[Ran], None]) -> None:
        self._begin(self._run(event, tell))

    def retire(self) -> None:
        self._retired = True
        self._begin(self._clear())

    async def close(self) -> None:
        """Kill what runs. Nobody hears of it any more."""
        self._retired = True
        for task in self._tasks:
            task.cancel()
        for process in self._all:
            process.kill()
        await asyncio.gather(*self._tasks, *map(self._end, self._all), return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, event: object, tell: Callable[[Ran], None]) -> None:
        process: HandlerProcess | None = None
        try:
            process = await self._ready()
            result = await process.ask({"event": event}, timeout_s=self._code.timeout_s)
            ran = Ran(result=result)
        except ProcessError as error:
            ran = Ran(error=str(error), kind="Runtime.Unknown")
        except TimedOut:
            ran = Ran(error=f"Task timed out after {self._code.timeout_s:.2f} seconds", kind="Sandbox.Timedout")
        except Unanswered as error:
            ran = Ran(error=str(error), kind="Runtime.ExitError")
        except EffectUnknown as error:
            kind, _, why = str(error).partition(": ")
            ran = Ran(error=why or kind, kind=kind)
        if process is not None and process.alive:
            self._idle.append(process)
        tell(ran)
        if process is not None and not process.alive:
            await self._end(process)
        if self._retired:
            await self._clear()

    async def _ready(self) -> HandlerProcess:
        """An idle environment, or a new one. Errors: ProcessError."""
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            await self._end(process)
        self._started += 1
        process = await HandlerProcess.start(
            mortal(self._argv),
            name=f"{self._code.name} {self._started}",
            cwd=self._place,
            env=self._env,
            say=_say,
        )
        self._all.add(process)
        return process

    async def _clear(self) -> None:
        """End what has nothing to do any more; the code goes with the last."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(self._end, idle))
        if not self._all:
            shutil.rmtree(self._place, ignore_errors=True)

    async def _end(self, process: HandlerProcess) -> None:
        await process.end()
        self._all.discard(process)


def _unpack(archive: bytes, place: Path) -> None:
    """Errors: BadCode."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) >= _UNPACKED_BYTES_MAX:
                raise BadCode(f"Unzipped size must be smaller than {_UNPACKED_BYTES_MAX} bytes")
            place.mkdir(parents=True)
            packed.extractall(place)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadCode("Could not unzip uploaded file. Please check your file, then try to upload again.") from error


def _argv(code: Code) -> list[str]:
    file, _, name = code.handler.rpartition(".")
    if code.runtime.startswith("python"):
        return [sys.executable, str(PYTHON_SHIM), f"{file.replace('/', '.')}:{name}"]
    return ["node", str(NODE_SHIM), file, name]


def _environment(code: Code, place: Path, url: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in _HANDED_ON if name in os.environ},
        "HOME": str(place),
        "TZ": ":UTC",
        "AWS_ENDPOINT_URL": url,
        **code.variables,
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        # Nobody here looks at signatures.
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": code.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(code.memory_mb),
        "LAMBDA_TASK_ROOT": str(place),
        "_HANDLER": code.handler,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
