"""How much a broker does in a second, where that is planted: token buckets that its sends and receives are held to.

It promises that over any time no more passes than the bucket held at its start plus the rate times that time, but for
what one call takes at once; and that nothing is lost: what may not pass yet is refused (a send) or stays where it is (a
receive). Pure: time is an argument in nanoseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gameday.history.clock import NS_PER_S

# So little that a run of a few seconds does not live on it.
_BURST_S = 0.05


class Bucket:
    """`per_s` messages a second, and what a twentieth of a second brings, and one, beforehand. Errors: ValueError."""

    def __init__(self, per_s: float) -> None:
        if not (math.isfinite(per_s) and per_s > 0):
            raise ValueError("a capacity is more than 0 messages a second")
        self._per_s = per_s
        # One more, so that no part of one is lost where somebody asks seldom.
        self._most = 1.0 + per_s * _BURST_S
        self._tokens = self._most
        self._at_ns = 0

    def available(self, now: int) -> int:
        """How many messages may pass now."""
        if now > self._at_ns:
            self._tokens = min(self._most, self._tokens + (now - self._at_ns) / NS_PER_S * self._per_s)
            self._at_ns = now
        return max(0, math.floor(self._tokens))

    def take(self, count: int) -> None:
        """So many have passed; more than were available is owed."""
        self._tokens -= count

    def next_ns(self) -> int | None:
        """When one may pass; None where one may already. As of the last `available`."""
        if self._tokens >= 1.0:
            return None
        return self._at_ns + math.ceil((1.0 - self._tokens) / self._per_s * NS_PER_S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """Of all queues of a broker together; None is as much as it can do."""

    sends: Bucket | None = None
    receives: Bucket | None = None

    @classmethod
    def of(cls, *, sends_per_s: float | None = None, receives_per_s: float | None = None) -> Capacity:
        """Errors: ValueError for a rate that is none."""
        return cls(
            sends=None if sends_per_s is None else Bucket(sends_per_s),
            receives=None if receives_per_s is None else Bucket(receives_per_s),
        )


UNBOUNDED = Capacity()
