"""Simulated time, processes and the network between them and the broker.

A process is a generator. It yields a number of nanoseconds to sleep, or a `Call` to the broker, and is resumed with the
answer, or with None when no answer came. Processes can be paused between any two steps, killed between any two steps,
or killed in the middle of a write, which leaves a torn line. What a process writes goes to a file of its own, on a
clock of its own that may be off by up to what the plan allows. A process that has several requests open at once posts
them, and looks for their answers.
"""

from __future__ import annotations

import gzip
import heapq
import random
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
EPOCH = 1_700_000_000 * SECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request: what the broker does when it arrives, and how long the caller waits for the answer."""

    action: Callable[[], Any]
    timeout: int = 2 * SECOND


@dataclass(kw_only=True, slots=True)
class Ticket:
    """A request that was posted: whether its answer came, or will never come, and what it is."""

    done: bool = False
    answer: Any = None


Script = Generator["int | Call", Any, None]


class Killed(Exception):
    """The process died in the middle of a write."""


class World:
    """The clock and all that is going to happen."""

    def __init__(self, chance: random.Random, *, grain: int, clock_error: int) -> None:
        self.chance = chance
        self.grain = grain
        self.clock_error = clock_error
        self.now = EPOCH
        self.flaky = 0.0
        self.files: dict[str, bytearray] = {}
        self.closed: set[str] = set()
        self._ahead: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._ahead, (max(time, self.now), self._order, action))

    def run(self, until: int) -> None:
        while self._ahead and self._ahead[0][0] <= until:
            self.now, _, action = heapq.heappop(self._ahead)
            action()
        self.now = max(self.now, until)

    def between(self, low: int, high: int) -> int:
        """A random duration, in whole grains and at least one."""
        return max(self.grain, self.chance.randint(low, high) // self.grain * self.grain)

    def save(self, history: Path, packed: Collection[str] = ()) -> None:
        history.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            if name in packed:
                (history / f"{name}.gz").write_bytes(gzip.compress(bytes(content), mtime=0))
            else:
                (history / name).write_bytes(content)


class Process:
    """One process with a history file of its own."""

    def __init__(self, world: World, name: str, file: str) -> None:
        self.world = world
        self.name = name
        self.file = file
        self.skew = world.chance.randint(0, world.clock_error)
        self.alive = True
        self.done = False
        self.doomed = False
        self.closes = True
        self.paused_until = 0
        self._script: Script | None = None
        world.files.setdefault(file, bytearray())

    @property
    def clock(self) -> int:
        """What time this process reads."""
        return self.world.now + self.skew

    def start(self, script: Script, *, after: int = 0) -> None:
        self._script = script
        self.world.at(self.world.now + after, lambda: self._step(None))

    def kill(self, *, in_write: bool) -> None:
        if in_write and self.closes:
            self.doomed = True
        else:
            self.alive = False

    def pause(self, until: int) -> None:
        self.paused_until = max(self.paused_until, until)

    def write(self, *records: dict[str, Any]) -> None:
        """One write to the kernel; a process doomed to die in it leaves only a beginning of it."""
        if not self.alive:
            raise Killed
        content = b"".join(orjson.dumps({**record, "at": self.clock, "by": self.name}) + b"\n" for record in records)
        if self.doomed:
            content = content[: self.world.chance.randint(0, len(content))]
            self.world.files[self.file] += content
            self.alive = False
            raise Killed
        self.world.files[self.file] += content

    def close(self) -> None:
        if not self.closes:
            return
        self.write({"event": "mark", "name": "closed"})
        self.world.closed.add(self.file)

    def _step(self, answer: Any) -> None:
        world = self.world
        if not self.alive or self._script is None:
            return
        if world.now < self.paused_until:
            world.at(self.paused_until, lambda: self._step(answer))
            return
        try:
            wanted = self._script.send(answer)
        except StopIteration:
            self.done = True
            return
        except Killed:
            return
        if isinstance(wanted, Call):
            self._send(wanted, self._step)
        else:
            world.at(world.now + max(0, wanted), lambda: self._step(None))

    def post(self, call: Call) -> Ticket:
        """Sends a request and does not wait for its answer."""
        ticket = Ticket()

        def answered(answer: Any) -> None:
            ticket.done, ticket.answer = True, answer

        self._send(call, answered)
        return ticket

    def _send(self, call: Call, answered: Callable[[Any], None]) -> None:
        """The request may be lost, or late, or its answer lost; the caller cannot tell which."""
        world = self.world
        there, back = world.between(MILLISECOND, 20 * MILLISECOND), world.between(MILLISECOND, 20 * MILLISECOND)
        given_up = world.now + call.timeout
        if world.chance.random() >= world.flaky:

            def arrive() -> None:
                answer = call.action()
                world.at(world.now + back, lambda: answered(answer))

            world.at(world.now + there, arrive)
            return
        fate = world.chance.choice(("request lost", "answer lost", "answer lost", "late"))
        if fate == "answer lost":
            world.at(world.now + there, lambda: (call.action(), None)[1])
        elif fate == "late":
            world.at(given_up + world.between(MILLISECOND, 2 * SECOND), lambda: (call.action(), None)[1])
        world.at(given_up, lambda: answered(None))
