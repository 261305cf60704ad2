"""Tenants who share a queue: how many of each class there are, what each sends, and since when.

It promises that the load of all of them together is one shape, and that which tenant a message is of is drawn in
proportion to what each sends at that moment: so a run's messages stay a function of its seed alone. A tenant is a
group of its own, which a Standard queue can be told as `MessageGroupId`
(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from gameday.loadgen.shapes import Levels


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantClass:
    """So many tenants alike. `rate_per_s` is that of each, in messages; `from_s`: when they begin, in seconds since
    the load began. They go on until its end."""

    name: str
    count: int
    rate_per_s: float
    from_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tenants:
    """All classes of a load, in the order in which it names them."""

    classes: Sequence[TenantClass]

    @cached_property
    def names(self) -> list[str]:
        """Each tenant: its class and its number in it."""
        return [
            f"{each.name}-{number:0{len(str(each.count - 1))}d}"
            for each in self.classes
            for number in range(each.count)
        ]

    def shape(self, duration_s: float) -> Levels:
        """What all of them send together. Errors: ValueError where none begins before the load ends."""
        levels = tuple((from_s, self._sums[n][-1]) for n, from_s in enumerate(self._starts) if from_s < duration_s)
        highest = max((rate for _, rate in levels), default=0.0)
        if not highest:
            raise ValueError("no tenant begins before the load ends")
        return Levels(rate=highest, duration=duration_s, levels=levels)

    def whose(self, share: float, at_s: float) -> tuple[int, str]:
        """The tenant by its place in `names`, and its class, that `share` (from 0 to below 1) of all falls to."""
        sums = self._sums[bisect_right(self._starts, at_s) - 1]
        wanted = share * sums[-1]
        place = bisect_right(sums, wanted)
        chosen = self.classes[place]
        below = sums[place - 1] if place else 0.0
        number = min(int((wanted - below) / chosen.rate_per_s), chosen.count - 1)
        return self._firsts[place] + number, chosen.name

    @cached_property
    def _starts(self) -> list[float]:
        """Since when something changes; the load itself begins at 0."""
        return sorted({0.0, *(each.from_s for each in self.classes)})

    @cached_property
    def _sums(self) -> list[list[float]]:
        """From each of those moments on, the rates of the classes added up one after another."""
        return [
            list(accumulate(each.count * each.rate_per_s * (each.from_s <= start) for each in self.classes))
            for start in self._starts
        ]

    @cached_property
    def _firsts(self) -> list[int]:
        """Where the tenants of each class begin among all."""
        return [0, *accumulate(each.count for each in self.classes)]
