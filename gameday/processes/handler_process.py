"""Handlers in processes of their own: the line protocol of docs/handlers.md from our side, and the pool of processes.

A process has one request open at a time. It promises that a request ends: with its answer, or with a failure where the
process ended, said something else, or said nothing in time; that a process which broke the protocol is killed, with
whatever it started, and never asked again; and that what is printed and is no answer goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gameday.history.errors import ProcessError
from gameday.processes.child import ending

# What speaks the protocol for a function of somebody else's, started by its path.
PYTHON_SHIM = Path(__file__).resolve().parent / "python_handler.py"
NODE_SHIM = Path(__file__).resolve().parent / "node_handler.js"
START_S = 30.0
# How long a process may take to end by itself once its input has ended, and then after SIGTERM.
_END_S, _TERM_S = 2.0, 1.0
# And how long its output may stay open for.
_PIPES_S = 1.0
# A request may be as long as a receive: ten messages of 1 MiB, or 10 MiB of records, in base64. So may an answer.
_LINE_BYTES_MAX = 16 * 1024 * 1024
_SHOWN_BYTES = 200

Say = Callable[[str], None]


class HandlerFailed(Exception):
    """The handler cannot do this message: never if it is poison, else this time."""


class EffectUnknown(HandlerFailed):
    """A handler of somebody else's had the message and failed: nobody knows what it did before."""


class Unanswered(EffectUnknown):
    """Its process said nothing that would be an answer: the message may be good, and the handler is in trouble."""


class TimedOut(Unanswered):
    """It said nothing in time."""


class HandlerProcess:
    """One process, from its start to its end. `name` is what the log calls it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, say: Say) -> None:
        self.name = name
        # Which of several it is, where there are any.
        self.version: object = None
        self.alive = True
        self._process = process
        self._say = say
        self._request = 0
        # What is waited for: the answer to the request, and before the first one the line that says ready.
        self._awaited: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(), name=f"answers of {name}")

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, name: str, cwd: Path, env: Mapping[str, str], say: Say, limit_s: float = START_S
    ) -> HandlerProcess:
        """Returns once it is ready. Errors: ProcessError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=env,
                cwd=cwd,
                limit=_LINE_BYTES_MAX,
                # A group of its own: what it starts is killed with it.
                process_group=0,
            )
        except OSError as error:
            raise ProcessError(f"cannot start the handler {shlex.join(argv)}: {error.strerror}") from error
        started = cls(name, process, say)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(started._awaited)
        except TimeoutError:
            why = f'it did not say {{"ready": true}} within {limit_s:g} s'
        except Unanswered as error:
            why = str(error)
        except asyncio.CancelledError:
            started.kill()
            raise
        else:
            return started
        started.kill()
        await started.end()
        raise ProcessError(f"the handler {shlex.join(argv)} did not become ready: {why}")

    async def ask(self, document: Mapping[str, Any], *, timeout_s: float) -> object:
        """The result that it answers with. Errors: EffectUnknown where it failed, Unanswered."""
        self._request += 1
        self._awaited = asyncio.get_running_loop().create_future()
        line = orjson.dumps({"request": self._request, "timeout_s": timeout_s, **document}) + b"\n"
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with asyncio.timeout(timeout_s):
                # One that has ended is told by its output.
                with contextlib.suppress(ConnectionError):
                    stdin.write(line)
                    await stdin.drain()
                answer = await self._awaited
        except TimeoutError:
            self.kill()
            raise TimedOut(f"it did not answer within {timeout_s:g} s, and was killed") from None
        except asyncio.CancelledError:
            # It may be at work still, for nobody.
            self.kill()
            raise
        if answer["outcome"] == "failed":
            raise EffectUnknown(str(answer.get("error") or "it gave no reason"))
        return answer.get("result")

    def kill(self) -> None:
        self.alive = False
        self._signal(signal.SIGKILL)

    async def end(self) -> None:
        """End its input, and what has not ended by itself then."""
        self.alive = False
        # One that is stopped could not read that.
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        for limit_s, then in ((_END_S, signal.SIGTERM), (_TERM_S, signal.SIGKILL)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), limit_s)
                break
            self._signal(then)
        await self._process.wait()
        # What it has left behind.
        self._signal(signal.SIGKILL)
        await asyncio.wait([self._reader], timeout=_PIPES_S)
        self._reader.cancel()

    def _signal(self, number: signal.Signals) -> None:
        """To its group; one that is empty is no error."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            try:
                line = await stdout.readline()
            except ValueError:
                self._break(f"it said a line of more than {_LINE_BYTES_MAX} bytes")
                return
            if not line:
                break
            if not line.startswith(b"{"):
                self._say(f"{self.name} printed: {_shown(line)}")
            elif wrong := self._hear(line):
                self._break(f"it said {_shown(line)}, which {wrong}")
                return
        self.alive = False
        code = await self._process.wait()
        self._fail(f"it ended ({ending(code)})")

    def _hear(self, line: bytes) -> str | None:
        """What is wrong with a line, if anything."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return "is no JSON"
        if self._awaited.done():
            return "answers no request"
        if not self._request:
            if said.get("ready") is not True:
                return 'is not {"ready": true}'
        elif type(said.get("request")) is not int or said["request"] != self._request:
            return f"does not answer request {self._request}"
        elif said.get("outcome") not in ("ok", "failed"):
            return 'has no outcome "ok" or "failed"'
        self._awaited.set_result(said)
        return None

    def _break(self, why: str) -> None:
        self.kill()
        self._fail(f"{why}; it was killed")

    def _fail(self, why: str) -> None:
        if not self._awaited.done():
            self._awaited.set_exception(Unanswered(why))
            # Whether or not anybody waits for it.
            self._awaited.exception()


def _shown(line: bytes) -> str:
    text = line.strip()
    return text[:_SHOWN_BYTES].decode(errors="replace") + ("…" if len(text) > _SHOWN_BYTES else "")


class HandlerPool:
    """As many processes as requests may be open at once; one that has ended is started anew for the next request.

    Whoever made it closes it.
    """

    def __init__(
        self, argv: Sequence[str], *, name: str, cwd: Path, env: Mapping[str, str], size: int, say: Say
    ) -> None:
        self._argv = argv
        self._name = name
        self._cwd = cwd
        self._env = env
        self._say = say
        self._size = size
        self._started = 0
        self._idle: list[HandlerProcess | None] = []
        self._all: set[HandlerProcess] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start them all. Errors: ProcessError."""
        started = await asyncio.gather(*(self._start() for _ in range(self._size)), return_exceptions=True)
        self._idle = []
        for each in started:
            if isinstance(each, BaseException):
                raise each
            self._idle.append(each)

    @property
    def argv(self) -> Sequence[str]:
        return self._argv

    async def ask(
        self,
        document: Mapping[str, Any],
        *,
        timeout_s: float,
        version: object = None,
        argv: Sequence[str] | None = None,
    ) -> object:
        """`version`: which of several is asked, and the command line that starts it, where it is not the usual one. A
        process of another is ended, and a new one takes its place.

        Errors: EffectUnknown, Unanswered; ProcessError where a new process was needed and could not be started.
        """
        assert self._idle, "no more requests are open than there are processes"
        process = self._idle.pop()
        try:
            if process is not None and process.version != version:
                # It takes its time to end, and nobody waits for that.
                self._leaving.add(asyncio.create_task(process.end(), name=f"end of {process.name}"))
                process = None
            if process is None or not process.alive:
                process = await self._start(argv or self._argv)
                process.version = version
            return await process.ask(document, timeout_s=timeout_s)
        finally:
            self._idle.append(process)

    async def close(self) -> None:
        await asyncio.gather(*(process.end() for process in self._all), *self._leaving)

    async def _start(self, argv: Sequence[str] | None = None) -> HandlerProcess:
        self._started += 1
        process = await HandlerProcess.start(
            argv or self._argv,
            name=f"{self._name}'s handler {self._started}",
            cwd=self._cwd,
            env=self._env,
            say=self._say,
        )
        # Those that have ended are forgotten.
        self._all = {other for other in self._all if other.alive} | {process}
        return process
