"""A lane: what one user may send now, and what an answer means. Pure decisions, no clock and no I/O.

It promises that at most one unanswered message of a group is ever on its way; that an attempt which failed, or of
which nobody knows, is repeated (same id, next attempt number, after a growing pause) before anything later of its
group goes out; and that a group which got no `ok` for `give_up_ns` is abandoned, its later messages never intended.

A message that is `refused`, which no repetition would change, is given up at once and alone: its group goes on with the
next one. That breaks no order, for the refused one stands nowhere, and one message that is too large must not silence
a group. Without `retries` that is what happens to every message that was not accepted.

On a transport without order a group means nothing to the broker, so there every message stands for itself: nothing
waits for another, and only what was not accepted itself is given up. `group` and `seq` stay on it for the records.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from gameday.history.events import SendResult
from gameday.loadgen.schedule import Message

Result = SendResult | Literal["refused"]

NS_PER_MS = 1_000_000
LATE_NS = 100 * NS_PER_MS
FIRST_PAUSE_NS = 50 * NS_PER_MS
LONGEST_PAUSE_NS = 2_000 * NS_PER_MS


class Attempt(NamedTuple):
    """One message on its way for the `number`-th time (from 1)."""

    message: Message
    number: int


@dataclass(kw_only=True, slots=True)
class Tally:
    """What became of messages. intended = acked + failed + unknown. `late`: first intended over 100 ms after due."""

    intended: int = 0
    acked: int = 0
    failed: int = 0
    unknown: int = 0
    late: int = 0

    def add(self, other: Tally) -> None:
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass(slots=True)
class _Track:
    """Messages that go out one after another. Its head is waiting for its moment, or on its way."""

    waiting: deque[Message] = field(default_factory=deque)
    attempts: int = 0
    since: int = 0
    unknown: bool = False
    on_its_way: bool = False


class Lane:
    """`batch`: how many messages one call takes; `retries`: whether any is sent again. Times are in ns of one clock."""

    def __init__(self, *, batch: int, ordered: bool, give_up_ns: int, retries: bool = True) -> None:
        self.tally = Tally()
        self._batch = batch
        self._ordered = ordered
        self._retries = retries
        self._give_up_ns = give_up_ns
        self._tracks: dict[str, _Track] = {}
        self._abandoned: set[str] = set()
        # (when its head may go out, the head's number, the track): one entry for each track that is not on its way.
        self._ready: list[tuple[int, int, str]] = []
        self._all_planned_at: int | None = None
        self._failing_since: int | None = None

    def add(self, message: Message) -> None:
        """A message of this lane, in the order of due times."""
        name = self._track_of(message)
        if name in self._abandoned:
            return
        track = self._tracks.setdefault(name, _Track())
        track.waiting.append(message)
        if len(track.waiting) == 1:
            heapq.heappush(self._ready, (message.due, message.number, name))

    def all_planned(self, now: int) -> None:
        """Nothing more will be added: from now on the whole lane gives up when it gets no `ok` for so long."""
        self._all_planned_at = now

    @property
    def wake_at(self) -> int | None:
        """When the next message may go out; None while there is none."""
        return self._ready[0][0] if self._ready else None

    @property
    def over(self) -> bool:
        """Nothing more will go out."""
        return self._all_planned_at is not None and not self._tracks

    def take(self, now: int) -> list[Attempt]:
        """The messages of the next call, at most one of each group; empty when none may go out yet."""
        attempts: list[Attempt] = []
        while self._ready and self._ready[0][0] <= now and len(attempts) < self._batch:
            track = self._tracks[heapq.heappop(self._ready)[2]]
            message = track.waiting[0]
            if track.attempts == 0:
                track.since = now
                self.tally.intended += 1
                self.tally.late += now - message.due > LATE_NS
            track.attempts += 1
            track.on_its_way = True
            attempts.append(Attempt(message, track.attempts))
        return attempts

    def settle(self, attempts: Sequence[Attempt], outcomes: Sequence[Result], now: int) -> None:
        """The outcome of each attempt that `take` gave out, in its order."""
        if "ok" in outcomes:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            name = self._track_of(attempt.message)
            track = self._tracks[name]
            track.on_its_way = False
            if outcome == "ok":
                self.tally.acked += 1
                self._next(name, track)
                continue
            track.unknown = track.unknown or outcome == "unknown"
            if outcome == "refused" or not self._retries:
                self._count_given_up(track)
                self._next(name, track)
            elif now - track.since >= self._give_up_ns:
                self._give_up(name, track)
            else:
                pause = min(FIRST_PAUSE_NS << min(attempt.number - 1, 20), LONGEST_PAUSE_NS)
                heapq.heappush(self._ready, (now + pause, attempt.message.number, name))
        if self._hopeless(now):
            self.stop()

    def stop(self) -> None:
        """Give up everything, also what is on its way: nobody will learn what became of it."""
        for name, track in list(self._tracks.items()):
            self._give_up(name, track)
        self._ready.clear()

    def _hopeless(self, now: int) -> bool:
        """The schedule is over, and no call has brought an `ok` for so long: what is left would only take for ever."""
        if self._all_planned_at is None or self._failing_since is None:
            return False
        return now - max(self._failing_since, self._all_planned_at) >= self._give_up_ns

    def _next(self, name: str, track: _Track) -> None:
        track.waiting.popleft()
        if not track.waiting:
            del self._tracks[name]
            return
        track.attempts, track.unknown = 0, False
        heapq.heappush(self._ready, (track.waiting[0].due, track.waiting[0].number, name))

    def _give_up(self, name: str, track: _Track) -> None:
        if track.attempts:
            self._count_given_up(track)
        self._abandoned.add(name)
        del self._tracks[name]

    def _count_given_up(self, track: _Track) -> None:
        """The head, of which no more attempts are made."""
        if track.unknown or track.on_its_way:
            self.tally.unknown += 1
        else:
            self.tally.failed += 1

    def _track_of(self, message: Message) -> str:
        return message.group if self._ordered else message.id


class Feed:
    """Hands the schedule's messages to the lanes of this process, not much earlier than they are due."""

    def __init__(self, messages: Iterable[Message], lanes: Mapping[int, Lane]) -> None:
        self._messages: Iterator[Message] = iter(messages)
        self._lanes = lanes
        self._next: Message | None = next(self._messages, None)
        if self._next is None:
            self._end(0)

    def pull(self, until: int) -> None:
        """Hand out everything due until and at `until`."""
        while (message := self._next) is not None and message.due <= until:
            if (lane := self._lanes.get(message.lane)) is not None:
                lane.add(message)
            self._next = next(self._messages, None)
            if self._next is None:
                self._end(message.due)

    def _end(self, now: int) -> None:
        for lane in self._lanes.values():
            lane.all_planned(now)
