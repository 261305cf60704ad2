"""Counting on a hot path, for Prometheus to look at now and then: plain numbers, no lock, O(1) for each value.

It promises to cost nothing when nobody looks: what Prometheus reads is made of these numbers when it asks
(gameday/processes/exposition.py). Whoever counts does so in one thread; a reader in another thread may see a value in a
bucket and not yet in the sum, which the next scrape puts right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# Steps of about 2.5, fine where a poll, a call or a handler usually lies.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Distribution:
    """Values counted by the bounds of a classic histogram, each bound inclusive, the last bucket open."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.buckets = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> int:
        """The number of its bucket."""
        bucket = bisect_left(self.bounds, value)
        self.buckets[bucket] += 1
        self.sum += value
        return bucket
