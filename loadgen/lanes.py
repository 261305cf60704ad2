"""A lane: what one user may send now, and what an answer means. Pure decisions, no clock and no I/O.

It promises that at most one unanswered message of a group is ever on its way, or at most one call with several of them
in their order; that an attempt which failed, or of which nobody knows, is repeated (same id, next attempt number, after
a growing pause) before anything later of its group goes out; and that a group which got no `ok` for `give_up_ns` is
abandoned, its later messages never intended. With several in a call the broker may accept a later one and not an
earlier one: then the earlier one is repeated alone, and comes after it, as from any producer that does so.

A message that is `refused`, which no repetition would change, is given up at once and alone: its group goes on with the
next one. That breaks no order, for the refused one stands nowhere, and one message that is too large must not silence
a group. Without `retries` that is what happens to every message that was not accepted; and where a message is sent
`once`, to every one of which nobody knows whether it was.

On a transport without order a group means nothing to the broker, so there every message stands for itself: nothing
waits for another, and only what was not accepted itself is given up. `group` and `seq` stay on it for the records.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
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
class _Begun:
    """A message that was sent `attempts` times, for the first time at `since`."""

    message: Message
    since: int
    attempts: int = 0
    unknown: bool = False


@dataclass(slots=True)
class _Track:
    """Messages that go out one after another: those `on_their_way` in one call, those that must go out `again`, and
    those that are `waiting` for them."""

    waiting: deque[Message]
    on_their_way: deque[_Begun] = field(default_factory=deque)
    again: list[_Begun] = field(default_factory=list)


class Lane:
    """`batch`: how many messages one call takes; `many`: several of a group among them; `retries`: whether any is sent
    again; `once`: none that may have been accepted. Times are in ns of one clock."""

    def __init__(
        self,
        *,
        batch: int,
        ordered: bool,
        give_up_ns: int,
        retries: bool = True,
        once: bool = False,
        many: bool = False,
    ) -> None:
        self.tally = Tally()
        self._batch = batch
        self._many = many
        self._ordered = ordered
        self._retries = retries
        self._once = once
        self._give_up_ns = give_up_ns
        self._tracks: dict[str, _Track] = {}
        self._abandoned: set[str] = set()
        # (when its next may go out, that one's number, the track): one entry for each track that is not on its way.
        self._ready: list[tuple[int, int, str]] = []
        # Without an order, what was never sent, in the order of due times: each is a track of its own once it is.
        self._fresh: deque[Message] = deque()
        self._all_planned_at: int | None = None
        self._failing_since: int | None = None

    def add(self, message: Message) -> None:
        """A message of this lane, in the order of due times."""
        if not self._ordered:
            self._fresh.append(message)
            return
        name = self._track_of(message)
        if name in self._abandoned:
            return
        track = self._tracks.get(name)
        if track is None:
            self._tracks[name] = _Track(deque((message,)))
            heapq.heappush(self._ready, (message.due, message.number, name))
        else:
            track.waiting.append(message)

    def all_planned(self, now: int) -> None:
        """Nothing more will be added: from now on the whole lane gives up when it gets no `ok` for so long."""
        self._all_planned_at = now

    @property
    def wake_at(self) -> int | None:
        """When the next message may go out; None while there is none."""
        again = self._ready[0][0] if self._ready else None
        if not self._fresh:
            return again
        return self._fresh[0].due if again is None else min(again, self._fresh[0].due)

    def has_a_call(self, now: int) -> bool:
        """Whether there is a whole batch that may go out now, without anything that is still to be added."""
        if not self._ordered:
            return len(self._fresh) >= self._batch and self._fresh[self._batch - 1].due <= now
        if self._many:
            return self._due_by(now) >= self._batch
        full = len(self._ready) >= self._batch
        return full and heapq.nsmallest(self._batch, self._ready)[-1][0] <= now

    def _due_by(self, now: int) -> int:
        """How many messages may go out now, or a whole batch of them."""
        count = 0
        for due, _, name in self._ready:
            if due <= now:
                track = self._tracks[name]
                # What must go out again goes alone.
                due_now = takewhile(lambda each: each.due <= now, track.waiting)
                count += len(track.again) or sum(1 for _ in due_now)
                if count >= self._batch:
                    break
        return count

    @property
    def over(self) -> bool:
        """Nothing more will go out."""
        return self._all_planned_at is not None and not self._tracks and not self._fresh

    def take(self, now: int) -> list[Attempt]:
        """The messages of the next call, those of a group in their order; empty when none may go out yet."""
        attempts: list[Attempt] = []
        while len(attempts) < self._batch and (track := self._ready_by(now)) is not None:
            room = self._batch - len(attempts) if self._many else 1
            if track.again:
                track.on_their_way.extend(track.again[:room])
                del track.again[:room]
            else:
                self._begin(track, now, room)
            for begun in track.on_their_way:
                begun.attempts += 1
                attempts.append(Attempt(begun.message, begun.attempts))
        return attempts

    def _begin(self, track: _Track, now: int, most: int) -> None:
        """Put on their way those that were never sent: the next one, and as many more as are due."""
        assert track.waiting, "a track that is ready has something to send"
        while track.waiting and most and (not track.on_their_way or track.waiting[0].due <= now):
            message = track.waiting.popleft()
            self.tally.intended += 1
            self.tally.late += now - message.due > LATE_NS
            track.on_their_way.append(_Begun(message, now))
            most -= 1

    def _ready_by(self, now: int) -> _Track | None:
        """The track whose next message has waited longest of those that may go out."""
        ready, fresh = self._ready, self._fresh
        if fresh and fresh[0].due <= now and not (ready and ready[0] < (fresh[0].due, fresh[0].number, "")):
            message = fresh.popleft()
            track = self._tracks[message.id] = _Track(deque((message,)))
            return track
        return self._tracks[heapq.heappop(ready)[2]] if ready and ready[0][0] <= now else None

    def settle(self, attempts: Sequence[Attempt], outcomes: Sequence[Result], now: int) -> None:
        """The outcome of each attempt that `take` gave out, in its order."""
        if "ok" in outcomes:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            name = self._track_of(attempt.message)
            track = self._tracks[name]
            begun = track.on_their_way.popleft()
            if outcome == "ok":
                self.tally.acked += 1
            else:
                begun.unknown = begun.unknown or outcome == "unknown"
                if outcome == "refused" or not self._retries or (self._once and outcome == "unknown"):
                    self._count_given_up(begun)
                else:
                    track.again.append(begun)
            if not track.on_their_way:
                self._next(name, track, now)
        if self._hopeless(now):
            self.stop()

    def stop(self) -> None:
        """Give up everything, also what is on its way: nobody will learn what became of it."""
        for name, track in list(self._tracks.items()):
            self._give_up(name, track)
        self._ready.clear()
        self._fresh.clear()

    def _hopeless(self, now: int) -> bool:
        """The schedule is over, and no call has brought an `ok` for so long: what is left would only take for ever."""
        if self._all_planned_at is None or self._failing_since is None:
            return False
        return now - max(self._failing_since, self._all_planned_at) >= self._give_up_ns

    def _next(self, name: str, track: _Track, now: int) -> None:
        """Every answer to the call is there."""
        if track.again:
            # What failed comes before those that the call had no room for.
            track.again.sort(key=lambda begun: begun.message.number)
            first = track.again[0]
            if any(now - each.since >= self._give_up_ns for each in track.again):
                self._give_up(name, track)
            else:
                pause = min(FIRST_PAUSE_NS << min(first.attempts - 1, 20), LONGEST_PAUSE_NS)
                heapq.heappush(self._ready, (now + pause, first.message.number, name))
        elif track.waiting:
            heapq.heappush(self._ready, (track.waiting[0].due, track.waiting[0].number, name))
        else:
            del self._tracks[name]

    def _give_up(self, name: str, track: _Track) -> None:
        for begun in track.again:
            self._count_given_up(begun)
        for begun in track.on_their_way:
            begun.unknown = True
            self._count_given_up(begun)
        if self._ordered:
            self._abandoned.add(name)
        del self._tracks[name]

    def _count_given_up(self, begun: _Begun) -> None:
        """No more attempts are made."""
        if begun.unknown:
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

    def pull(self, until: int, *, most: int | None = None) -> bool:
        """Hand out everything due until and at `until`, or as many as `most` of it; then True: there is more."""
        for _ in itertools.count() if most is None else range(most):
            message = self._next
            if message is None or message.due > until:
                return False
            if (lane := self._lanes.get(message.lane)) is not None:
                lane.add(message)
            self._next = next(self._messages, None)
            if self._next is None:
                self._end(message.due)
        return True

    def _end(self, now: int) -> None:
        for lane in self._lanes.values():
            lane.all_planned(now)
