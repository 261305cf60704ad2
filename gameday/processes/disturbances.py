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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gameday.processes import control


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """One strike's disturbance, named by its `instance`.

    `share` (0 to 1) of what comes by is struck, chosen by `seed` and the key; with `nth` the n-th instead, once.
    `point` is where in the work it strikes, for a kind that can strike at several; `seconds` is how long what it does
    takes, for a kind that does something that takes time, and up to `more_s` longer. On the wire `operations` says
    which calls it strikes (none named: all), and `code` what a service is made to answer; it is armed there (`on_wire`)
    and not in the process whose calls it strikes.
    """

    kind: str
    instance: str
    seed: int = 0
    share: float = 1.0
    nth: int | None = None
    seconds: float = 0.0
    more_s: float = 0.0
    point: str | None = None
    operations: Sequence[str] = ()
    code: str | None = None
    on_wire: bool = False

    def in_share(self, key: str) -> bool:
        """Whether what is named `key` is in the share: the same answer in every process."""
        return self._number(key) < self.share * 2**64

    def takes_s(self, key: str) -> float:
        """How long what it does to that takes."""
        return self.seconds + self.more_s * self._number(f"{key}:more") / 2**64

    def _number(self, key: str) -> int:
        digest = hashlib.blake2b(f"{self.seed}:{self.instance}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _report(instance: str) -> None:
    control.report("fired", instance=instance)


class Disturbances:
    """Those that are armed in this process. `fired`: how often each struck, also those that are disarmed by now.

    `report_first` is called with the instance at its first strike.
    """

    def __init__(self, report_first: Callable[[str], None] = _report) -> None:
        self.fired: dict[str, int] = {}
        self._armed: dict[str, Disturbance] = {}
        self._asked: dict[str, int] = {}
        self._report_first = report_first

    def arm(self, disturbance: Disturbance) -> None:
        """To arm one again changes nothing."""
        self._armed.setdefault(disturbance.instance, disturbance)
        self._asked.setdefault(disturbance.instance, 0)
        self.fired.setdefault(disturbance.instance, 0)

    def disarm(self, instance: str) -> int:
        """How often it struck in this process; 0 for one that was never armed."""
        self._armed.pop(instance, None)
        return self.fired.get(instance, 0)

    def stands(self, instance: str) -> bool:
        return instance in self._armed

    def struck(
        self, kind: str, key: str, *, point: str | None = None, operation: str | None = None
    ) -> Disturbance | None:
        """The first disturbance of this kind, armed at this point and for this operation, that strikes what is named
        `key`."""
        if not self._armed:
            return None
        for instance, disturbance in self._armed.items():
            if disturbance.kind != kind or disturbance.point != point:
                continue
            if disturbance.operations and operation not in disturbance.operations:
                continue
            self._asked[instance] += 1
            nth = disturbance.nth
            if disturbance.in_share(key) if nth is None else self._asked[instance] == nth:
                self.fired[instance] += 1
                if self.fired[instance] == 1:
                    self._report_first(instance)
                return disturbance
        return None
