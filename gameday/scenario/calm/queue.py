"""Consumers of a queue in a calm run, as gameday/consumers/worker.py has them, before a queue as SQS documents it.

Messages of one send call can be received from the same moment on, and a long poll that waits is answered with what is
there then: AWS may well answer with less of it. Who waits longest is asked first. What stays in hand for longer than it
is hidden, and what comes again by that, is not in it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gameday.loadgen.schedule import Message
from gameday.scenario.calm.pace import drawn

# As in gameday/consumers/worker.py.
_LINGER_S = 0.1
EMPTY_PACE_S = 0.1
# What does not come to its end is not played for ever: so many steps, and so many more for each message.
_STEPS, _STEPS_EACH = 50_000, 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Consuming:
    """`call_s`: of a receive that finds something, and of a call that settles, on average; `work_s`: of one message.
    `hidden_s`: by how often it came, how long what failed stays hidden. `whole`: a batch is one piece of work. `alone`:
    a message is deleted by a call of its own, before the work."""

    consumers: int
    pollers: int
    batch: int
    wait_s: float
    concurrency: int
    call_s: float
    work_s: float
    fifo: bool
    ordered: bool
    max_receives: int | None
    after_failure: str
    heartbeat_s: float | None = None
    poison_fails: bool = True
    hidden_s: Callable[[int], float] = lambda receives: 0.0
    whole: bool = False
    alone: bool = False


@dataclass(kw_only=True, slots=True)
class Consumed:
    """What was called, and what came of it. `received`: how many messages each receive brought that found any.
    `over_s`: when all was done; `cut`: it was not played to its end."""

    received: list[int] = field(default_factory=list)
    empty: int = 0
    deletes: int = 0
    hides: int = 0
    extensions: int = 0
    handled: int = 0
    applied: int = 0
    dead: list[Message] = field(default_factory=list)
    over_s: float = 0.0
    cut: bool = False


class _Copy:
    __slots__ = ("message", "receives")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.receives = 0


class _Queue:
    def __init__(self, spec: Consuming, dead: list[Message]) -> None:
        self._spec = spec
        self._dead = dead
        self._standing: deque[_Copy] = deque()
        # Of FIFO: by group what stands, in order, and how much of it is in somebody's hands.
        self._groups: dict[str, list[tuple[int, _Copy]]] = {}
        self._held: dict[str, int] = {}
        self._line: deque[str] = deque()

    def put(self, copy: _Copy) -> None:
        if not self._spec.fifo:
            self._standing.append(copy)
            return
        heapq.heappush(self._groups.setdefault(copy.message.group, []), (copy.message.number, copy))
        self._list(copy.message.group)

    def let_go(self, copy: _Copy) -> None:
        """It is in nobody's hands any more: it was deleted, or is to be put again."""
        if self._spec.fifo:
            group = copy.message.group
            self._held[group] -= 1
            self._list(group)

    def take(self) -> list[_Copy]:
        taken: list[_Copy] = []
        while len(taken) < self._spec.batch and (copy := self._next()) is not None:
            most = self._spec.max_receives
            if most is not None and copy.receives >= most:
                self._dead.append(copy.message)
                continue
            copy.receives += 1
            taken.append(copy)
            if self._spec.fifo:
                self._held[copy.message.group] = self._held.get(copy.message.group, 0) + 1
        self._taking = ""
        return taken

    # The group that a receive is in the middle of: as much of it as possible, then the next one.
    _taking = ""

    def _next(self) -> _Copy | None:
        if not self._spec.fifo:
            return self._standing.popleft() if self._standing else None
        if self._taking and self._groups.get(self._taking):
            return heapq.heappop(self._groups[self._taking])[1]
        while self._line:
            group = self._line.popleft()
            if self._groups.get(group) and not self._held.get(group):
                self._taking = group
                return heapq.heappop(self._groups[group])[1]
        return None

    def _list(self, group: str) -> None:
        if self._groups.get(group) and not self._held.get(group) and group not in self._line:
            self._line.append(group)


class _Consumer:
    """`polling`: how many of its pollers wait for room."""

    __slots__ = ("free", "holding", "open", "polling", "waiting")

    def __init__(self, concurrency: int) -> None:
        self.free = concurrency
        self.holding = self.open = self.polling = 0
        self.waiting: deque[_Lane] = deque()


class _Batch:
    __slots__ = ("consumer", "deletes", "extended_s", "failed", "in_hand", "pending", "releases", "tick", "waits")

    def __init__(self, consumer: _Consumer, copies: Iterable[_Copy], now: float) -> None:
        self.consumer = consumer
        self.in_hand = {copy.message.number: copy for copy in copies}
        self.pending = 0
        self.deletes: list[_Copy] = []
        self.releases: dict[float, list[_Copy]] = {}
        self.failed = self.waits = False
        self.tick = 0
        self.extended_s = now


class _Lane:
    __slots__ = ("batch", "copies", "place")

    def __init__(self, batch: _Batch, copies: Sequence[_Copy]) -> None:
        self.batch = batch
        self.copies = copies
        self.place = 0


class _Waiter:
    __slots__ = ("began_s", "consumer", "over")

    def __init__(self, consumer: _Consumer, began_s: float) -> None:
        self.consumer = consumer
        self.began_s = began_s
        self.over = False


Arrivals = Sequence[tuple[float, Sequence[Message]]]


def consume(
    spec: Consuming,
    arrivals: Arrivals,
    *,
    until_s: Callable[[float], float],
    again: Callable[[Consumed], Sequence[Sequence[Message]]] = lambda consumed: (),
    limit_s: float = float("inf"),
) -> Consumed:
    """Play it: `arrivals` are (when, what), in order; `until_s` says when the consumers stop, once all is done.

    `again`: what then comes once more, all at one moment, one after another: a redrive, a replay. `limit_s`: when
    nobody waits any longer, done or not.
    """
    return _Play(spec, arrivals, until_s, again, limit_s).played()


class _Play:
    def __init__(
        self,
        spec: Consuming,
        arrivals: Arrivals,
        until_s: Callable[[float], float],
        again: Callable[[Consumed], Sequence[Sequence[Message]]],
        limit_s: float,
    ) -> None:
        self.spec = spec
        self.counts = Consumed()
        self.queue = _Queue(spec, self.counts.dead)
        self.now = 0.0
        self.until_s, self.again, self.limit_s = until_s, again, limit_s
        # What has not come yet, or is not done with.
        self.left = sum(len(messages) for _, messages in arrivals)
        self.more: list[Sequence[Message]] | None = None
        self.end_s = float("inf")
        self.waiters: deque[_Waiter] = deque()
        self.numbers = itertools.count()
        self.chance = random.Random("consume")
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        for at_s, messages in arrivals:
            self._at(at_s, lambda messages=messages: self._arrive(messages))  # type: ignore[misc]
        for _ in range(spec.consumers):
            consumer = _Consumer(spec.concurrency)
            for _ in range(spec.pollers):
                self._at(0.0, lambda consumer=consumer: self._poll(consumer))  # type: ignore[misc]

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.numbers), do))

    def _call_s(self) -> float:
        return drawn(self.spec.call_s, self.chance)

    def played(self) -> Consumed:
        if not self.left:
            self._done()
        for _ in range(_STEPS + _STEPS_EACH * self.left):
            if not self.events or self.events[0][0] > min(self.end_s, self.limit_s):
                break
            self.now, _, do = heapq.heappop(self.events)
            do()
        else:
            self.counts.cut = True
        if self.left:
            self.counts.cut, self.counts.over_s = True, self.now
        return self.counts

    def _arrive(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.queue.put(_Copy(message))
        self._stir()

    def _finish(self, count: int) -> None:
        self.left -= count
        if not self.left:
            self._done()

    def _done(self) -> None:
        self.counts.over_s = self.now
        if self.more is None:
            self.more = [messages for messages in self.again(self.counts) if messages]
            if self.more:
                # What is dead is taken out of where the dead stand.
                self.counts.dead.clear()
        if self.more:
            messages = self.more.pop(0)
            self.left = len(messages)
            self._at(self.until_s(self.now), lambda: self._arrive(messages))
        else:
            self.end_s = self.until_s(self.now)

    # Receiving.

    def _poll(self, consumer: _Consumer) -> None:
        waiter = _Waiter(consumer, self.now)
        self._at(self.now + self._call_s() / 2, lambda: self._ask(waiter))

    def _ask(self, waiter: _Waiter) -> None:
        self.waiters.append(waiter)
        self._stir()
        if not waiter.over:
            self._at(self.now + self.spec.wait_s, lambda: self._give_up(waiter))

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.over:
            waiter.over = True
            self.waiters.remove(waiter)
            self._at(self.now + self._call_s() / 2, lambda: self._found_nothing(waiter))

    def _stir(self) -> None:
        while self.waiters:
            dead = len(self.counts.dead)
            copies = self.queue.take()
            self._finish_dead(len(self.counts.dead) - dead)
            if not copies:
                return
            waiter = self.waiters.popleft()
            waiter.over = True
            self._at(
                self.now + self._call_s() / 2,
                lambda waiter=waiter, copies=copies: self._got(waiter.consumer, copies),  # type: ignore[misc]
            )

    def _finish_dead(self, count: int) -> None:
        if count:
            self._finish(count)

    def _found_nothing(self, waiter: _Waiter) -> None:
        self.counts.empty += 1
        pause_s = max(EMPTY_PACE_S - (self.now - waiter.began_s), 0.0)
        self._at(self.now + pause_s, lambda: self._poll(waiter.consumer))

    def _got(self, consumer: _Consumer, copies: list[_Copy]) -> None:
        self.counts.received.append(len(copies))
        batch = _Batch(consumer, copies, self.now)
        consumer.holding += len(copies)
        consumer.open += 1
        lanes = self._lanes(batch, copies)
        batch.pending = len(lanes)
        for lane in lanes:
            if consumer.free:
                consumer.free -= 1
                self._begin(lane)
            else:
                consumer.waiting.append(lane)
        self._iterate(batch)
        consumer.polling += 1
        self._make_room(consumer)

    def _lanes(self, batch: _Batch, copies: list[_Copy]) -> list[_Lane]:
        if self.spec.whole:
            return [_Lane(batch, copies)]
        if not self.spec.ordered:
            return [_Lane(batch, [copy]) for copy in copies]
        by_group: dict[str, list[_Copy]] = {}
        for copy in copies:
            by_group.setdefault(copy.message.group, []).append(copy)
        return [_Lane(batch, group) for group in by_group.values()]

    def _make_room(self, consumer: _Consumer) -> None:
        spec = self.spec
        if consumer.open < spec.concurrency if spec.whole else consumer.holding <= spec.concurrency:
            for _ in range(consumer.polling):
                self._poll(consumer)
            consumer.polling = 0

    # Handling.

    def _begin(self, lane: _Lane) -> None:
        """The next message of a lane, or all of it."""
        copies = lane.copies if self.spec.whole else [lane.copies[lane.place]]
        work_s = self.spec.work_s
        if self.spec.alone:
            self.counts.deletes += len(copies)
            work_s += self._call_s()
        self._at(self.now + work_s, lambda: self._handled(lane, copies))

    def _handled(self, lane: _Lane, copies: Sequence[_Copy]) -> None:
        batch, spec = lane.batch, self.spec
        for copy in copies:
            self.counts.handled += 1
            failed = copy.message.poison and spec.poison_fails
            self.counts.applied += not failed
            batch.failed |= failed
            if spec.after_failure == "fail-batch" and not spec.whole:
                continue
            if failed:
                self._release(batch, copy, spec.hidden_s(copy.receives))
            else:
                self._delete(batch, copy)
        lane.place += len(copies)
        failed = copies[-1].message.poison and spec.poison_fails
        if lane.place < len(lane.copies) and failed and spec.after_failure == "stop":
            for copy in lane.copies[lane.place :]:
                self._release(batch, copy, 0.0)
            lane.place = len(lane.copies)
        if lane.place < len(lane.copies) and not (spec.after_failure == "fail-batch" and batch.failed):
            self._begin(lane)
            return
        consumer = batch.consumer
        if consumer.waiting:
            self._begin(consumer.waiting.popleft())
        else:
            consumer.free += 1
        batch.pending -= 1
        if not batch.pending and batch.waits:
            self._tick(batch, batch.tick)

    def _delete(self, batch: _Batch, copy: _Copy) -> None:
        batch.deletes.append(copy)
        self._put_down(batch, copy)

    def _release(self, batch: _Batch, copy: _Copy, hidden_s: float) -> None:
        batch.releases.setdefault(hidden_s, []).append(copy)
        self._put_down(batch, copy)

    def _put_down(self, batch: _Batch, copy: _Copy) -> None:
        del batch.in_hand[copy.message.number]
        batch.consumer.holding -= 1
        self._make_room(batch.consumer)

    # Settling.

    def _iterate(self, batch: _Batch) -> None:
        """Wait until all is handled, or for a moment."""
        batch.waits = True
        batch.tick += 1
        tick = batch.tick
        if batch.pending:
            self._at(self.now + _LINGER_S, lambda: self._tick(batch, tick))
        else:
            self._tick(batch, tick)

    def _tick(self, batch: _Batch, tick: int) -> None:
        if not batch.waits or tick != batch.tick:
            return
        batch.waits = False
        if not batch.pending:
            for copy in list(batch.in_hand.values()):
                # A batch that succeeds or fails as a whole.
                if batch.failed:
                    self._release(batch, copy, self.spec.hidden_s(copy.receives))
                else:
                    self._delete(batch, copy)
        took_s = self._settle(batch)
        every_s = self.spec.heartbeat_s
        if batch.pending and every_s is not None and self.now - batch.extended_s >= every_s:
            batch.extended_s = self.now
            self.counts.extensions += 1
            took_s += self._call_s()
        if batch.pending:
            self._at(self.now + took_s, lambda: self._iterate(batch))
        else:
            batch.consumer.open -= 1
            self._make_room(batch.consumer)

    def _settle(self, batch: _Batch) -> float:
        """The calls, one after another; how long they take."""
        took_s = 0.0
        if deletes := batch.deletes:
            batch.deletes = []
            self.counts.deletes += not self.spec.alone
            call_s = self._call_s()
            self._at(self.now + call_s / 2, lambda: self._deleted(deletes))
            took_s += call_s
        for hidden_s, copies in batch.releases.items():
            self.counts.hides += 1
            call_s = self._call_s()
            self._at(
                self.now + took_s + call_s / 2,
                lambda hidden_s=hidden_s, copies=copies: self._hide(hidden_s, copies),  # type: ignore[misc]
            )
            took_s += call_s
        batch.releases = {}
        return took_s

    def _deleted(self, copies: Sequence[_Copy]) -> None:
        for copy in copies:
            self.queue.let_go(copy)
        self._finish(len(copies))
        self._stir()

    def _hide(self, hidden_s: float, copies: Sequence[_Copy]) -> None:
        def show() -> None:
            for copy in copies:
                self.queue.let_go(copy)
                self.queue.put(copy)
            self._stir()

        self._at(self.now + hidden_s, show)
