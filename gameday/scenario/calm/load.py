"""The load of a calm run: its schedule and its lanes as they are, on a clock that jumps, and every call is accepted.

A schedule that is too long to be played whole is played in windows, spread evenly over its messages: each begins with
nothing waiting, so what a load that is faster than its users piles up is then not in it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gameday.history.clock import NS_PER_S
from gameday.history.errors import UsageError
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Attempt, Feed
from gameday.loadgen.messages import Source
from gameday.loadgen.schedule import Message
from gameday.loadgen.sender import LOOK_AHEAD_NS
from gameday.scenario.calm.pace import drawn

# So many take about a third of a second.
MOST = 5_000
_WINDOWS = 10


class Sending(NamedTuple):
    """One call: when it is answered, and what it took, in seconds and messages."""

    ended_s: float
    messages: Sequence[Message]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of the schedule, played from an empty beginning. `stands_for`: how many times it counts."""

    messages: Sequence[Message]
    stands_for: float


def parts(config: LoadConfig, source: Source | None, *, most: int = MOST) -> list[Part]:
    """All of the schedule, or windows of it."""
    schedule = config.schedule(source)
    total = schedule.total
    if total <= most:
        try:
            return [Part(messages=list(schedule.messages(0)), stands_for=1.0)]
        except UsageError:
            # One of the user's own messages does not tell its group: that is said where it is made.
            return [Part(messages=list(config.schedule().messages(0)), stands_for=1.0)]
    length = most // _WINDOWS
    firsts = [1 + round((total - length) * n / (_WINDOWS - 1)) for n in range(_WINDOWS)]
    return [
        Part(messages=list(_window(config, first, length)), stands_for=total / (length * _WINDOWS)) for first in firsts
    ]


def _window(config: LoadConfig, first: int, length: int) -> Iterator[Message]:
    """Groups as they would be drawn, not as they are: walking to the middle of a long schedule takes too long. Times
    count from its first message."""
    due_at = config.curve().due_at
    begin = due_at(first)
    choice = random.Random(f"{config.seed}:window:{first}")
    for number in range(first, first + length):
        group = choice.randrange(config.groups)
        poison = choice.random() < config.poison_share
        due = round((due_at(number) - begin) * NS_PER_S)
        yield Message(number, f"m{number}", f"g{group}", number, due, poison, group % config.users)


def sendings(config: LoadConfig, messages: Sequence[Message], *, call_s: float) -> list[Sending]:
    """The calls that the load makes of these messages, in the order in which they end: what `Sender.run` does."""
    lanes = {number: config.lane() for number in range(config.users)}
    feed = Feed(messages, lanes)
    chance = random.Random(f"{config.seed}:sendings")
    begin = messages[0].due if messages else 0
    # (when, whose turn, what it has on its way): each user is there once.
    turns: list[tuple[int, int, list[Attempt]]] = [(begin, number, []) for number in lanes]
    made: list[Sending] = []
    while turns:
        now, number, on_its_way = heapq.heappop(turns)
        lane = lanes[number]
        if on_its_way:
            lane.settle(on_its_way, ["ok"] * len(on_its_way), now)
            made.append(Sending(now / NS_PER_S, [attempt.message for attempt in on_its_way]))
        feed.pull(now + LOOK_AHEAD_NS)
        if lane.over:
            continue
        attempts = lane.take(now)
        latest = now + LOOK_AHEAD_NS // 2
        call_ns = round(drawn(call_s, chance) * NS_PER_S)
        following = now + call_ns if attempts else min(lane.wake_at or latest, latest)
        heapq.heappush(turns, (max(following, now + 1), number, attempts))
    return made
