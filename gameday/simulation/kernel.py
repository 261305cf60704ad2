"""Time and processes of a simulated run: a clock that jumps, and event loops that can be stopped or lost at any step.

Every process has an asyncio event loop of its own, and the world runs one callback of one of them at a time. So a
paused process is a loop that is not run, whose timers are late when it goes on; and a killed one is a loop that is
never run again: no `finally` of it reaches anybody, for whatever it would do to others asks `alive` first. Which loop
runs next is drawn from the seed. When nobody has anything to do, the clock jumps to the next moment at which somebody
has.

Code that blocks (the sender, and what a loop hands to threads) runs in a greenlet and is put aside where it waits.

It promises that the same seed and the same code give the same run, to the byte.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from asyncio import events as asyncio_events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from gameday.history.clock import NS_PER_S, Clock

EPOCH_NS = 1_700_000_000 * NS_PER_S
# A float of seconds since the epoch of the world is exact to less than this.
_RESOLUTION_S = 2e-9
_ROUNDS_MAX = 10


class Gone(BaseException):
    """Raised where a process that is dead would do something that others see. Nobody catches it on the way."""


class Stuck(Exception):
    """Nothing will ever happen any more, or far too much has, and what the run waits for has not."""


class Planned:
    """What is to happen at some moment; `cancel` lets nothing happen."""

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], object]) -> None:
        self.do: Callable[[], object] | None = do

    def cancel(self) -> None:
        self.do = None


class World:
    """The clock, what is to happen when, and whose turn it is. `step_ns`: how long one step takes somebody."""

    def __init__(self, *, seed: int, step_ns: int) -> None:
        self.now_ns = EPOCH_NS
        self.dice = random.Random(f"{seed}:world")
        self.processes: list[Process] = []
        self.steps = 0
        self._step_ns = step_ns
        self._events: list[tuple[int, int, Planned]] = []
        self._planned = 0

    def at(self, when_ns: int, do: Callable[[], object]) -> Planned:
        self._planned += 1
        planned = Planned(do)
        heapq.heappush(self._events, (when_ns if when_ns > self.now_ns else self.now_ns, self._planned, planned))
        return planned

    def after(self, seconds: float, do: Callable[[], object]) -> Planned:
        return self.at(self.now_ns + int(seconds * NS_PER_S), do)

    def run(self, until: Callable[[], bool], *, steps_max: int, within_s: float) -> None:
        """Errors: Stuck."""
        end_ns = self.now_ns + round(within_s * NS_PER_S)
        random_ = self.dice.random
        while not until():
            # Looked into here and not asked: it is most of what a run costs.
            soon_s = (self.now_ns - EPOCH_NS) / NS_PER_S + _RESOLUTION_S
            ready = [
                process
                for process in self.processes
                if not process.paused
                and (process._ready or (process._scheduled and process._scheduled[0].when() < soon_s))
            ]
            while self._events and self._events[0][2].do is None:
                heapq.heappop(self._events)
            due = bool(self._events) and self._events[0][0] <= self.now_ns
            if choices := len(ready) + due:
                turn = int(random_() * choices) if choices > 1 else 0
                if turn < len(ready):
                    ready[turn].step()
                else:
                    planned = heapq.heappop(self._events)[2]
                    if planned.do is not None:
                        planned.do()
                self.steps += 1
                self.now_ns += self._step_ns
            else:
                self._jump()
            if self.steps > steps_max or self.now_ns > end_ns:
                raise Stuck(f"the run is not over after {self.steps} steps and {self.passed_s:.1f} s of its own time")

    @property
    def passed_s(self) -> float:
        return (self.now_ns - EPOCH_NS) / NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Of code in a greenlet."""
        me = getcurrent()
        self.after(seconds, me.switch)
        me.parent.switch()

    def _jump(self) -> None:
        moments = [when for process in self.processes if (when := process.next_timer_ns()) is not None]
        if self._events:
            moments.append(self._events[0][0])
        if not moments:
            raise Stuck("everybody waits and nothing will wake anybody")
        self.now_ns = max(self.now_ns, min(moments))


class Process(asyncio.BaseEventLoop):
    """One process: its event loop, and whether it lives. `clock` is the run's clock as it reads it, the world's without
    one."""

    # asyncio's own, which it does not tell.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, world: World, name: str, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.name = name
        self.world = world
        self.clock = clock or WorldClock(world)
        self.alive = True
        self.paused = False
        self.errors: list[str] = []
        self.when_gone: list[Callable[[], object]] = []
        # What gives back what it holds of the machine, once the run is over.
        self.when_buried: list[Callable[[], object]] = []
        # What it wrote to the conductor's pipe, by those who listen.
        self.reported: Callable[[str, dict[str, Any]], object] = lambda kind, fields: None
        self.set_exception_handler(self._note)
        world.processes.append(self)

    # Its life.

    def begin(self, main: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.create_task(main)

    def die(self) -> None:
        """From now on nothing that it does reaches anybody."""
        if self.alive:
            self.alive = False
            if self in self.world.processes:
                self.world.processes.remove(self)
            for tell in self.when_gone:
                tell()

    def crash(self) -> None:
        """Die at this very moment, of its own code. Errors: Gone."""
        self.die()
        raise Gone

    def must_live(self) -> None:
        """Errors: Gone."""
        if not self.alive:
            raise Gone

    def bury(self) -> None:
        """Let its tasks end, unheard, so that none is left for the garbage collector to complain about."""
        self.die()
        # One that is cancelled may wait once more before it ends.
        for _ in range(_ROUNDS_MAX):
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            while self._ready:
                self.step()
            if not tasks:
                break
        self.close()
        for release in self.when_buried:
            release()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.alive:
            self.errors.append(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")

    # Its loop.

    def time(self) -> float:
        return (self.world.now_ns - EPOCH_NS) / NS_PER_S

    def next_timer_ns(self) -> int | None:
        """When it has something to do; None while it is paused or waits for others."""
        if self.paused or not self._scheduled or math.isinf(when_s := self._scheduled[0].when()):
            return None
        return EPOCH_NS + math.ceil(when_s * NS_PER_S)

    def step(self) -> None:
        """Run one callback, if there is one that was not cancelled."""
        self._take_due()
        ready = self._ready
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                asyncio_events._set_running_loop(self)
                try:
                    handle._run()
                finally:
                    asyncio_events._set_running_loop(None)
                return

    def _take_due(self) -> None:
        scheduled = self._scheduled
        soon_s = self.time() + _RESOLUTION_S
        while scheduled and scheduled[0].when() < soon_s:
            self._ready.append(heapq.heappop(scheduled))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A thread is a greenlet: `func` may block, and the loop goes on meanwhile."""
        answer: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:
                self.tell(answer, error)
            else:
                self.tell(answer, result)

        greenlet(work).switch()
        return answer

    def tell(self, future: asyncio.Future[Any], result: object) -> None:
        """From outside: the answer that one of its tasks waits for. A process that is gone hears nothing."""

        def hear() -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        if self.alive:
            self.call_soon(hear)


class WorldClock(Clock):
    """The run's clock as one process reads it. `skew_ns`: how far it is ahead of the world's."""

    __slots__ = ("_skew_ns", "_world")

    def __init__(self, world: World, skew_ns: int = 0) -> None:
        super().__init__(epoch_ns=EPOCH_NS, monotonic_ns=0)
        object.__setattr__(self, "_world", world)
        object.__setattr__(self, "_skew_ns", skew_ns)

    def now_ns(self) -> int:
        world: World = object.__getattribute__(self, "_world")
        skew_ns: int = object.__getattribute__(self, "_skew_ns")
        return world.now_ns + skew_ns
