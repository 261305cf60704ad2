"""What the observer tells of a run while it goes on, for those who wait for a number of it.

It is told twice a second, or oftener where somebody waits (gameday/watch/live.py says what it counts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gameday.chaos.conditions import Condition
from gameday.history.manifest import Claim
from gameday.verify.claims import anomalies_against
from gameday.watch.live import COUNTS, LATENCY_BOUNDS

MEASURED_EVERY_S = 0.1
Snapshot = Mapping[str, Any]


class Instruments:
    """What was measured last, and what came nearest to each condition that anybody has asked about."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        # Set by the next one, and then replaced.
        self._new = asyncio.Event()
        self._nearest: dict[Condition, float | None] = {}

    def observe(self, snapshot: Snapshot) -> None:
        """What the observer has told."""
        self.snapshot = snapshot
        for condition in self._nearest:
            self._note(condition)
        told, self._new = self._new, asyncio.Event()
        told.set()

    async def next(self, timeout_s: float) -> Snapshot | None:
        """The next snapshot; None where none comes in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._new.wait()
        except TimeoutError:
            return None
        return self.snapshot

    async def met(self, condition: Condition) -> float:
        self._nearest.setdefault(condition, None)
        while (value := self._note(condition)) is None or not condition.met(value):
            await self._new.wait()
        return value

    def extreme(self, condition: Condition) -> float | None:
        return self._nearest.get(condition)

    def _note(self, condition: Condition) -> float | None:
        value = None if self.snapshot is None else measured(condition, self.snapshot)
        if value is not None:
            before = self._nearest.get(condition)
            nearer = max if condition.above else min
            self._nearest[condition] = value if before is None else nearer(before, value)
        return value


def measured(condition: Condition, snapshot: Snapshot) -> float | None:
    """The number that a condition asks for; None where nobody knows it yet."""
    if condition.measure == "errors":
        attempts = snapshot["attempts"]
        return (snapshot["sent"]["failed"] + snapshot["sent"]["unknown"]) / attempts if attempts else None
    subs = snapshot["subscriptions"]
    if condition.subscription is not None:
        subs = {condition.subscription: subs[condition.subscription]} if condition.subscription in subs else {}
    elif condition.measure == "rate":
        return float(snapshot["acked_per_s"])
    of_each = [
        value for sub in subs.values() if (value := _OF_A_SUBSCRIPTION[condition.measure](sub, condition)) is not None
    ]
    if not of_each:
        return None
    return float(sum(of_each) if condition.measure in _ADDED else max(of_each))


_ADDED = ("backlog", "dead_letters", "point")
_OF_A_SUBSCRIPTION: Mapping[str, Callable[[Snapshot, Condition], float | None]] = {
    "backlog": lambda sub, _: sub["backlog"],
    "oldest": lambda sub, _: sub["oldest_s"],
    "lag": lambda sub, _: None if sub["latency_s"] is None else sub["latency_s"]["p99"],
    "rate": lambda sub, _: sub["received_per_s"],
    "dead_letters": lambda sub, _: sub["dead_letters"],
    "iterator_age": lambda sub, _: sub["iterator_age_s"],
    "point": lambda sub, condition: sub["points"][condition.point],
}


def against(claim: Claim, snapshot: Snapshot) -> str | None:
    """What was counted already that speaks against a claim, in words; the verdict alone tells whether it is broken."""
    violating = {*anomalies_against(claim)}
    for name, count in COUNTS.items():
        if {*count.anomalies} <= violating and (times := snapshot["counts"].get(name, 0)):
            return f"{times:,} {name}"
    for bound in LATENCY_BOUNDS.get(claim.claim, ()) if claim.claim == "lag" else ():
        at_most = claim.bounds.get(bound)
        quantile = bound.removesuffix("_s")
        for name, sub in snapshot["subscriptions"].items():
            found = sub["latency_s"]
            if isinstance(at_most, float) and found is not None and found[quantile] > at_most:
                return f"{quantile} on {name} is {found[quantile]:.3g} s, and not {at_most:g} s"
    return None
