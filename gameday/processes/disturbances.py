"""Disturbances: what a fault asks a process to do to its own work, and whether one strikes now.

They have one meaning in every process. Code that a fault can strike asks `struck`, by the name of the kind and a key
for what it has at hand; the fault in chaos/faults arms that kind. These two name it, and nobody else. With nothing
armed, asking costs a truth test.

It promises that all processes with the same disturbance answer alike for the same key; that `nth` counts what came to
the disturbance's own place since it was armed; and that the first strike of each is reported at once, before anything
comes of it: that evidence must survive a process that dies of it.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gameday.processes import control


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """One strike's disturbance, named by its `instance`. `version`: of a function, what is deployed instead.

    `share` (0 to 1) of what comes by is struck, chosen by `seed` and the key; with `nth` the n-th instead, once; with
    `rate_per_s` whatever comes by faster than that. `point` is where in the work it strikes, for a kind that can strike
    at several; `seconds` is how long what it does takes, for a kind that does something that takes time, and longer by
    up to `more_s` where that is `spread` evenly, by `more_s` on average where it is so exponentially. On the wire
    `operations` says which calls it strikes (none named: all), and `code` what a service is made to answer; it is
    armed there (`on_wire`) and not in the process whose calls it strikes. One that only watches what the service itself
    refuses counts by `codes`, and at `point` on a queue of that name alone. `most`: of what it keeps, so much at most.
    """

    kind: str
    instance: str
    seed: int = 0
    share: float = 1.0
    nth: int | None = None
    rate_per_s: float | None = None
    seconds: float = 0.0
    more_s: float = 0.0
    spread: Literal["even", "exponential"] = "even"
    point: str | None = None
    operations: Sequence[str] = ()
    code: str | None = None
    version: str | None = None
    codes: Sequence[str] = ()
    most: int | None = None
    on_wire: bool = False

    def in_share(self, key: str) -> bool:
        """Whether what is named `key` is in the share: the same answer in every process."""
        return self._number(key) < self.share * 2**64

    def takes_s(self, key: str) -> float:
        """How long what it does to that takes."""
        # Above 0, up to 1.
        drawn = (self._number(f"{key}:more") + 1) / 2**64
        return self.seconds + self.more_s * (drawn if self.spread == "even" else -math.log(drawn))

    def _number(self, key: str) -> int:
        digest = hashlib.blake2b(f"{self.seed}:{self.instance}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _report(instance: str) -> None:
    control.report("fired", instance=instance)


class Buckets:
    """What may still pass where a rate is the limit: a bucket for each name, which holds what one second fills.

    It begins full, and holds one at least.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._left: dict[Hashable, tuple[float, float]] = {}

    def take(self, name: Hashable, rate_per_s: float) -> bool:
        """Whether one more may pass now."""
        now_s = self._now_s()
        most = max(1.0, rate_per_s)
        left, at_s = self._left.get(name, (most, now_s))
        left = min(most, left + (now_s - at_s) * rate_per_s)
        passes = left >= 1.0
        self._left[name] = left - passes, now_s
        return passes


class Disturbances:
    """Those that are armed in this process. `fired`: how often each struck, also those that are disarmed by now.

    `report_first` is called with the instance at its first strike. Who gives several the same `buckets` has one limit
    for all that comes by there.
    """

    def __init__(self, report_first: Callable[[str], None] = _report, buckets: Buckets | None = None) -> None:
        self.fired: dict[str, int] = {}
        self._armed: dict[str, Disturbance] = {}
        self._asked: dict[str, int] = {}
        self._when_over: dict[str, list[Callable[[], None]]] = {}
        self._report_first = report_first
        self._buckets = buckets or Buckets()

    def arm(self, disturbance: Disturbance) -> None:
        """To arm one again changes nothing."""
        self._armed.setdefault(disturbance.instance, disturbance)
        self._asked.setdefault(disturbance.instance, 0)
        self.fired.setdefault(disturbance.instance, 0)

    def disarm(self, instance: str) -> int:
        """How often it struck in this process; 0 for one that was never armed."""
        self._armed.pop(instance, None)
        for call in self._when_over.pop(instance, ()):
            call()
        return self.fired.get(instance, 0)

    def when_over(self, instance: str, call: Callable[[], None]) -> None:
        """Call `call` once that one, which is armed, is disarmed."""
        self._when_over.setdefault(instance, []).append(call)

    @property
    def armed(self) -> bool:
        """Whether any is: for who would have to make a key before it asks."""
        return bool(self._armed)

    def stands(self, kind: str) -> bool:
        """Whether one of this kind is armed."""
        return any(disturbance.kind == kind for disturbance in self._armed.values())

    def standing(self, kind: str) -> list[Disturbance]:
        """All of this kind that are armed."""
        return [disturbance for disturbance in self._armed.values() if disturbance.kind == kind]

    def struck(
        self, kind: str, key: str, *, point: str | None = None, operation: str | None = None
    ) -> Disturbance | None:
        """The first disturbance of this kind, armed at this point and for this operation, that strikes what is named
        `key`."""
        found = self.chosen(kind, key, point=point, operation=operation)
        if found is not None:
            self.count(found)
        return found

    def chosen(
        self, kind: str, key: str, *, point: str | None = None, operation: str | None = None
    ) -> Disturbance | None:
        """As `struck`, of a kind that strikes only later, if it does: then `count` says so."""
        if not self._armed:
            return None
        for instance, disturbance in self._armed.items():
            if disturbance.kind != kind or disturbance.point != point:
                continue
            if disturbance.operations and operation not in disturbance.operations:
                continue
            self._asked[instance] += 1
            if self._strikes(disturbance, key, operation):
                return disturbance
        return None

    def count(self, disturbance: Disturbance) -> None:
        """It has struck once more."""
        self.fired[disturbance.instance] += 1
        if self.fired[disturbance.instance] == 1:
            self._report_first(disturbance.instance)

    def _strikes(self, disturbance: Disturbance, key: str, operation: str | None) -> bool:
        if disturbance.rate_per_s is not None:
            return not self._buckets.take((disturbance.instance, operation), disturbance.rate_per_s)
        if disturbance.nth is not None:
            return self._asked[disturbance.instance] == disturbance.nth
        return disturbance.in_share(key)
