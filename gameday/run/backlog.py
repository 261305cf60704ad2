"""What is left for the consumers of a run to do, as the conductor sees it, whatever they consume from.

It promises that a subscription is called drained only after two looks in a row have found nothing left.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import TargetError
from gameday.history.events import Record
from gameday.history.writer import Writer
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import Answer, Call, CallFailed, Depth
from gameday.transports.carriers.boto import BotoCarrier

T = TypeVar("T")

# A broker that somebody else runs is called gone after so many seconds without an answer.
_SILENCE_S = 10.0


class Backlog(ABC):
    """`carrier` is called from threads, so that a slow broker stalls nothing else."""

    look_again_s = 0.5
    # How far the consumers were at the last look, where a depth that is counted to a bound only does not tell.
    reached: object = None

    def __init__(self, *, subscriptions: Sequence[str], carrier: BotoCarrier, writer: Writer) -> None:
        self._subscriptions = subscriptions
        self._carrier = carrier
        self._writer = writer

    async def watch(self, every_s: float = 1.0) -> None:
        """Note the depths again and again, until cancelled. Errors: TargetError when nobody has answered for long."""
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def look(self) -> dict[str, Depth]:
        """The depth of each subscription, which is noted. Errors: TargetError after a long silence."""
        depths = {}
        for name in self._subscriptions:
            dead_letters = await self._dead_letters(name)
            depths[name] = await self._depth(name)
            self._writer.write(_depth_mark(name, depths[name], dead_letters))
        return depths

    async def drain(
        self,
        *,
        settled_ns: int,
        patience_s: float,
        tell: Callable[[Mapping[str, Depth]], None],
        empty_for_s: float = 0.0,
    ) -> dict[str, Depth]:
        """Wait until all are empty; gives what the last look saw, all zero when they are.

        They count as empty from `settled_ns` on (the run's clock), and once every look has found them so for
        `empty_for_s`, at least two. It gives up when they have not become emptier, nor
        the consumers got any further, for `patience_s`. Errors: TargetError.
        """
        clock = self._writer.clock
        fewest: int | None = None
        fewest_ns = clock.now_ns()
        reached: object = None
        empty_since_ns: int | None = None
        while True:
            looked_ns = clock.now_ns()
            depths = await self.look()
            left = sum(depth.total for depth in depths.values())
            if left or looked_ns < settled_ns:
                if empty_since_ns is not None:
                    # It was told to be empty, and is not: patience begins anew.
                    fewest = None
                empty_since_ns = None
            elif empty_since_ns is None:
                empty_since_ns = looked_ns
            elif looked_ns - empty_since_ns >= empty_for_s * NS_PER_S:
                return depths
            if fewest is None or left < fewest or self.reached != reached:
                fewest, fewest_ns, reached = left, looked_ns, self.reached
            if left and looked_ns > max(fewest_ns, settled_ns) + patience_s * NS_PER_S:
                return depths
            tell(depths)
            await asyncio.sleep(self.look_again_s)

    @abstractmethod
    async def drain_dead_letters(self) -> int:
        """Record and remove every dead letter; how many there were. Errors: TargetError."""
        ...

    async def give_back(self, name: str, receipts: Sequence[str]) -> int:
        """Let messages of others come again that were kept out of sight; of a stream nothing is kept."""
        return 0

    @abstractmethod
    async def redrive(self) -> int:
        """Record every dead letter and have it moved back to its queue; how many there were.

        Errors: TargetError when they cannot be read without being removed, or are not moved.
        """
        ...

    @abstractmethod
    async def _depth(self, name: str) -> Depth: ...

    async def _dead_letters(self, name: str) -> int | None:
        """How many wait in the dead-letter queue; None where there is none, or nobody says."""
        return None

    async def _answer(self, call: Call) -> Answer:
        """Errors: TargetError."""
        return await self._insist(lambda: asyncio.to_thread(self._carrier, call), call.operation)

    async def _insist(self, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """Ask again until there is an answer. Errors: TargetError when there has been none for long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SILENCE_S
        while True:
            try:
                return await ask()
            except CallFailed as error:
                if loop.time() > deadline:
                    raise TargetError(f"the target no longer answers {what}: {with_advice(error)}") from error
                await asyncio.sleep(self.look_again_s)


def _depth_mark(name: str, depth: Depth, dead_letters: int | None) -> Record:
    dead = {} if dead_letters is None else {"dead_letters": dead_letters}
    return events.mark(
        "depth", subscription=name, visible=depth.visible, hidden=depth.hidden, delayed=depth.delayed, **dead
    )
