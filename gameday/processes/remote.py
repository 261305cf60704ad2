"""A host of the run other than the conductor's, and the processes there, as the conductor sees them.

What the two say goes in letters (gameday/processes/letters.py). The conductor says one of

    {"do": "welcome", "run": …, …}              the host belongs to the run: gameday/run/host.py has the rest of it
    {"do": "create", "name": …}                 create the history file of a process that is going to be started
    {"do": "start", "name": …, "of": …, …}      start a process of ours; `of` says which kind
    {"do": "signal", "name": …, "signal": 9}    send it a signal
    {"do": "command", "name": …, "command": …}  a command for it: gameday/processes/control.py
    {"do": "sweep", "name": …}                  kill what it has left behind
    {"do": "finish"}                            the run is over: bring the histories to an end, and ship them
    {"do": "leave"}                             nothing more is wanted: end whatever is left, and {"say": "left"}

and the host

    {"say": "join", "directory": …}             it is there, and what it is given to do will be recorded there
    {"say": "created", "name": …}               or {"say": "failed", "name": …, "why": …}
    {"say": "started", "name": …, "pid": …}     or {"say": "failed", "name": …, "why": …}
    {"say": "stopped", "name": …, "stopped": …} whether SIGSTOP holds it, when that has changed
    {"say": "report", "name": …, "report": …}   what the process reports
    {"say": "exited", "name": …, "code": …, "words": …}
    {"say": "finished", "failed": …}            with why not all of it could be shipped, or null
    {"say": "leaving", "why": …}                its part ends before the run does

A letter of the conductor's that has `refused` in it says why the host does not belong to the run, or no more.

It promises that a process there can be started, told and waited for like one here; and that a host of which nothing is
heard for the patience of the run is given up for good, with all its processes: then each of them has ended, nobody
knows how, and nothing more is started there.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gameday.history.errors import ProcessError
from gameday.processes.child import Report, Reports, end
from gameday.processes.letters import Letters, Said

# The exit code of a process that ended with its host, which told nobody.
UNKNOWN_CODE = 255
_START_S = 30.0
# Carries a letter to the one who is named so.
Send = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class HostGone(ProcessError):
    """Nothing can be started on a host that is not there any more."""


class RemoteChild:
    """A process on another host: like Child of gameday/processes/child.py."""

    def __init__(self, name: str, *, host: Host, log: Path) -> None:
        self.name = name
        self.log = log
        self.pid = 0
        self.returncode: int | None = None
        self.stopped = False
        self.on_report: Callable[[Report], None] | None = None
        self._host = host
        self._words = f"what it said stands on host {host.name}, in {log}"
        self._reports = Reports()
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self.returncode is None

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            self._host.say({"do": "signal", "name": self.name, "signal": int(number)})

    async def command(self, do: str, **fields: object) -> None:
        self._host.say({"do": "command", "name": self.name, "command": {"do": do, **fields}})

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        return await self._reports.take(kind, timeout_s=timeout_s, **match)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def end(self, *, timeout_s: float) -> int:
        return await end(self, timeout_s=timeout_s)

    def sweep(self) -> None:
        self._host.say({"do": "sweep", "name": self.name})

    def last_words(self) -> str:
        return self._words

    async def hear(self, said: Said) -> None:
        """What its host says of it."""
        match said["say"]:
            case "stopped":
                self.stopped = bool(said["stopped"])
            case "report":
                if self.on_report is not None:
                    self.on_report(said["report"])
                await self._reports.add(said["report"])
            case "exited":
                await self.ended(int(said["code"]), str(said["words"]))

    async def ended(self, code: int, words: str) -> None:
        if self.returncode is None:
            self.returncode, self.stopped, self._words = code, False, words
            self._ended.set()
            await self._reports.end()


class Host:
    """`send` carries a letter; `patience_s` is how long nothing may be heard; `note` tells people."""

    def __init__(self, name: str, *, run: str, send: Send, patience_s: float, note: Callable[[str], None]) -> None:
        self.name = name
        self._run = run
        self.gone: str | None = None
        self.directory = Path()
        self._send = send
        self._patience_s = patience_s
        self._note = note
        self._letters = Letters()
        # Who speaks for it: the one that has joined first, and where that is reached now.
        self._instance: str | None = None
        self._node = ""
        self._heard_at = 0.0
        self._wake = asyncio.Event()
        self._joined = asyncio.Event()
        self._left = asyncio.Event()
        self._finished: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._awaited: dict[str, asyncio.Future[Said]] = {}
        self._children: dict[str, RemoteChild] = {}

    def say(self, said: Said) -> None:
        self._letters.say(said)
        self._wake.set()

    @property
    def is_there(self) -> bool:
        return self._joined.is_set() and self.gone is None

    async def joined(self) -> None:
        await self._joined.wait()

    async def create(self, name: str) -> None:
        """Create the history file of a process that is going to be started. Once it is there it may be listed: one that
        was listed, and then not created because the host was gone, would be missed for ever.

        Errors: HostGone; ProcessError when it cannot be created there.
        """
        await self._asked("create", name)

    async def start(self, name: str, of: str, **fields: object) -> RemoteChild:
        """Errors: HostGone; ProcessError when it cannot be started there."""
        child = self._children[name] = RemoteChild(name, host=self, log=self.directory / "logs" / f"{name}.log")
        child.pid = int((await self._asked("start", name, of=of, **fields))["pid"])
        return child

    async def _asked(self, do: str, name: str, **fields: object) -> Said:
        """The answer. Errors: HostGone; ProcessError when there is none, or it is that it failed."""
        self._refuse_gone()
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._awaited[name] = answer
        self.say({"do": do, "name": name, **fields})
        try:
            async with asyncio.timeout(self._patience_s + _START_S):
                told = await answer
        except TimeoutError:
            raise ProcessError(f"host {self.name} did not {do} {name} within {_START_S:g} s") from None
        finally:
            del self._awaited[name]
        if told["say"] == "failed":
            raise ProcessError(f"host {self.name} cannot {do} {name}: {told['why']}")
        return told

    async def finished(self) -> str | None:
        """Once its part is over: why not all that it recorded could be shipped, if it should be. Errors: HostGone."""
        self._refuse_gone()
        self.say({"do": "finish"})
        return await asyncio.shield(self._finished)

    async def leave(self, within_s: float) -> None:
        """Nothing more is wanted of it. Waits, bounded, until it says that it goes."""
        if not self.is_there:
            return
        self.say({"do": "leave"})
        with suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), within_s)

    async def hear(self, node: str, letter: Mapping[str, Any]) -> None:
        """A letter in its name. Errors: KeyError, TypeError or ValueError for what is no letter."""
        if self._instance is None:
            self._instance = letter["instance"]
        if letter["instance"] != self._instance or self.gone is not None:
            why = self.gone or f"another host has joined as {self.name} already; each needs a name of its own"
            await self._send(node, {**Letters().letter(), "refused": why})
            return
        self._node = node
        self._heard_at = asyncio.get_running_loop().time()
        for said in self._letters.hear(letter):
            await self._take(said)
        # So that it knows what was heard, and gets what it has not.
        self._wake.set()

    async def live(self) -> None:
        """Send what is to be sent, and look whether anything is heard, until it is gone."""
        await self._joined.wait()
        loop = asyncio.get_running_loop()
        while self.gone is None:
            left_s = self._heard_at + self._patience_s - loop.time()
            try:
                async with asyncio.timeout(max(left_s, 0)):
                    await self._wake.wait()
            except TimeoutError:
                if loop.time() - self._heard_at >= self._patience_s:
                    await self._give_up(
                        f"host {self.name} vanished: nothing was heard of it for {self._patience_s:g} s. What it has "
                        "recorded may still stand on its disk"
                    )
                continue
            self._wake.clear()
            await self._send(self._node, self._letters.letter())

    async def _take(self, said: Said) -> None:
        match said["say"]:
            case "join":
                self.directory = Path(said["directory"]) / self._run
                self._joined.set()
            case "created" | "started" | "failed":
                if (waiting := self._awaited.get(said["name"])) is not None and not waiting.done():
                    waiting.set_result(said)
            case "finished":
                if not self._finished.done():
                    self._finished.set_result(said["failed"])
            case "left":
                self.gone = f"host {self.name} has left: the run is over"
                self._left.set()
            case "leaving":
                await self._give_up(f"host {self.name} left before the end: {said['why']}")
            case _:
                if (child := self._children.get(said["name"])) is not None:
                    await child.hear(said)

    async def _give_up(self, why: str) -> None:
        self.gone = why
        self._note(why)
        error = HostGone(why)
        for waiting in self._awaited.values():
            if not waiting.done():
                waiting.set_exception(error)
        if not self._finished.done():
            self._finished.set_exception(error)
            # Whoever has not asked yet is told by `gone`.
            self._finished.exception()
        for child in self._children.values():
            await child.ended(UNKNOWN_CODE, f"{why}; {child.last_words()}")
        self._left.set()
        self._wake.set()

    def _refuse_gone(self) -> None:
        if self.gone is not None:
            raise HostGone(self.gone)
