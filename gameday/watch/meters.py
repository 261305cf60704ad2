"""Numbers to watch: how long things take, how many happen a second, and how many should."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from gameday.history.clock import NS_PER_S
from gameday.processes.meters import Distribution

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
RATE_WINDOW_S = 5
_RECENT = 2_000


class Timed(NamedTuple):
    """How long it was for a message; `at` is when that was known, in ns."""

    id: str
    seconds: float
    at: int


class Histogram:
    """Seconds counted by `LATENCY_BUCKETS_S` and the bounds that are given besides, the latest message of each bucket,
    and the latest values for quantiles."""

    def __init__(self, more_bounds: Sequence[float] = ()) -> None:
        self.distribution = Distribution(sorted({*LATENCY_BUCKETS_S, *more_bounds}))
        self.latest: list[Timed | None] = [None] * len(self.distribution.buckets)
        self.max_s = 0.0
        self.recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, seconds: float, id: str, at: int) -> None:
        self.latest[self.distribution.add(seconds)] = Timed(id, seconds, at)
        self.max_s = max(self.max_s, seconds)
        self.recent.append(seconds)

    def quantiles(self) -> dict[str, float] | None:
        """Nearest-rank p50 and p99 of the latest values, and the largest of all; None without any."""
        if not self.recent:
            return None
        ranked = sorted(self.recent)
        p50, p99 = (ranked[math.ceil(len(ranked) * q) - 1] for q in (0.5, 0.99))
        return {"p50": p50, "p99": p99, "max": self.max_s}


class Plan:
    """A load's schedule: how many messages are due by a moment, from points between which the line is straight.

    `start` is when the load began, in ns; `points` are (seconds since then, messages due by then), in order.
    """

    def __init__(self, start: int, points: Sequence[tuple[float, float]]) -> None:
        self._start = start
        self._times = [seconds for seconds, _ in points]
        self._due = [due for _, due in points]

    def due_by(self, at: int) -> float:
        seconds = (at - self._start) / NS_PER_S
        after = bisect_right(self._times, seconds)
        if after == 0:
            return 0.0
        if after == len(self._times):
            return self._due[-1]
        since, until = self._times[after - 1], self._times[after]
        passed = (seconds - since) / (until - since)
        return self._due[after - 1] + passed * (self._due[after] - self._due[after - 1])

    def per_s(self, now: int) -> float:
        """How many messages a second fell due, over the same seconds as `Rate`."""
        end = now // NS_PER_S * NS_PER_S
        return (self.due_by(end) - self.due_by(end - RATE_WINDOW_S * NS_PER_S)) / RATE_WINDOW_S


class Rate:
    """Events a second, over the last whole seconds."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}

    def add(self, at: int) -> None:
        second = at // NS_PER_S
        self._seconds[second] = self._seconds.get(second, 0) + 1
        if len(self._seconds) > 4 * RATE_WINDOW_S:
            del self._seconds[min(self._seconds)]

    def per_s(self, now: int) -> float:
        end = now // NS_PER_S
        return sum(self._seconds.get(second, 0) for second in range(end - RATE_WINDOW_S, end)) / RATE_WINDOW_S
