"""Functions in Python played inside the process of a test, on its clock: what the broker is handed to run code with.

A function's own doors to the world, where it has them, are replaced: `_now` and `_sleep` are of the test's clock, and
`_send` goes where the test says. It has done everything at once, and its end is told when its time is over.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import Any

from gameday.emulator.functions import Code
from gameday.emulator.mappings import Ran
from gameday.emulator.services import World
from gameday.history.clock import NS_PER_S

Send = Callable[[Mapping[str, Any], Mapping[str, str]], None]


def _nowhere(told: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    raise AssertionError(f"nobody reads {told}")


class Played:
    """`send` gets what a function tells, with its variables. Whoever has it calls `advance` as the time passes."""

    def __init__(self, *, send: Send = _nowhere, now: int = 0) -> None:
        self.send = send
        self.now = now
        self.deployed: list[Code] = []
        self.invoked: list[Any] = []
        self.retired = 0
        self._order = count()
        self._ends: list[tuple[int, int, Callable[[Ran], None], Ran]] = []

    def deploy(self, code: Code) -> PlayedFunction:
        self.deployed.append(code)
        return PlayedFunction(self, code)

    def advance(self, now: int) -> None:
        self.now = now
        while self._ends and self._ends[0][0] <= now:
            _, _, tell, ran = heappop(self._ends)
            tell(ran)

    def next_change_ns(self) -> int | None:
        return self._ends[0][0] if self._ends else None

    def ends(self, after_s: float, tell: Callable[[Ran], None], ran: Ran) -> None:
        heappush(self._ends, (self.now + int(after_s * NS_PER_S), next(self._order), tell, ran))


def pass_time(world: World, played: Played, now: int, to: int) -> None:
    """From one thing that comes due to the next."""
    while True:
        played.advance(now)
        changes = (world.advance(now), played.next_change_ns())
        at = min((change for change in changes if change is not None), default=to)
        if at >= to:
            break
        now = max(at, now + 1)
    played.advance(to)
    world.advance(to)


class PlayedFunction:
    def __init__(self, played: Played, code: Code) -> None:
        self._played = played
        self._code = code
        self._slept_s = 0.0
        with zipfile.ZipFile(io.BytesIO(code.archive)) as packed:
            file, _, name = code.handler.rpartition(".")
            self._module: dict[str, Any] = {"__name__": file}
            exec(compile(packed.read(f"{file}.py"), f"{file}.py", "exec"), self._module)  # noqa: S102  # a test's own code
        self._handler = self._module[name]
        self._module |= {"_now": self._now, "_sleep": self._sleep, "os": SimpleNamespace(environ=code.variables)}
        self._module["_send"] = lambda told: played.send(told, code.variables)

    def invoke(self, event: object, tell: Callable[[Ran], None]) -> None:
        self._played.invoked.append(event)
        self._slept_s = 0.0
        try:
            ran = Ran(result=self._handler(event, SimpleNamespace(function_name=self._code.name)))
        except Exception as error:
            ran = Ran(error=str(error), kind=type(error).__name__)
        if self._slept_s > self._code.timeout_s:
            ran = Ran(error="Task timed out", kind="Sandbox.Timedout")
        self._played.ends(min(self._slept_s, self._code.timeout_s), tell, ran)

    def retire(self) -> None:
        self._played.retired += 1

    def _now(self) -> float:
        return self._played.now / NS_PER_S + self._slept_s

    def _sleep(self, seconds: float) -> None:
        self._slept_s += seconds
