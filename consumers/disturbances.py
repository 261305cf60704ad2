"""The disturbances that a fault has armed in this process, and how often each has struck.

The worker asks at the places where one could strike; with nothing armed that costs a truth test. `nth` counts the
messages that came to the disturbance's own place since it was armed.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from gameday.processes import control
from gameday.processes.control import Disturbance

POINTS = ("after-receive", "before-effect", "after-effect", "before-delete", "after-delete")
KINDS = ("stretch-processing", "fail-handler", "crash-at", "lose-delete")


@dataclass(slots=True)
class _Armed:
    disturbance: Disturbance
    asked: int = 0
    fired: int = 0


class Disturbances:
    def __init__(self) -> None:
        self._armed: dict[str, _Armed] = {}

    def arm(self, disturbance: Disturbance) -> None:
        """Errors: ValueError for what no consumer can do."""
        if disturbance.kind not in KINDS:
            raise ValueError(f"a consumer knows no disturbance {disturbance.kind!r}; it knows {', '.join(KINDS)}")
        if disturbance.kind == "crash-at" and disturbance.point not in POINTS:
            raise ValueError(f"a consumer cannot crash at {disturbance.point!r}; it can at {', '.join(POINTS)}")
        if disturbance.kind == "stretch-processing" and disturbance.seconds is None:
            raise ValueError("stretch-processing needs `seconds`")
        self._armed[disturbance.instance] = _Armed(disturbance)

    def disarm(self, instance: str) -> int:
        """How often it struck in this process; 0 for one that is not armed."""
        armed = self._armed.pop(instance, None)
        return armed.fired if armed else 0

    def stretched(self, key: str) -> float | None:
        """The processing time of the message `key` if it is to be stretched."""
        struck = self._struck("stretch-processing", None, key) if self._armed else None
        return struck.seconds if struck else None

    def fails_handler(self, key: str) -> bool:
        return bool(self._armed) and self._struck("fail-handler", None, key) is not None

    def loses_delete(self, key: str) -> bool:
        return bool(self._armed) and self._struck("lose-delete", None, key) is not None

    def crash(self, point: str, key: str) -> None:
        """End this process, as a power cut would, if a crash is armed at `point` and strikes the message `key`."""
        if self._armed and self._struck("crash-at", point, key) is not None:
            os.kill(os.getpid(), signal.SIGKILL)

    def _struck(self, kind: str, point: str | None, key: str) -> Disturbance | None:
        """The first that strikes. Its first strike is reported at once: that evidence must survive this process."""
        for armed in self._armed.values():
            disturbance = armed.disturbance
            if disturbance.kind != kind or disturbance.point != point:
                continue
            armed.asked += 1
            if armed.asked == disturbance.nth if disturbance.nth is not None else disturbance.strikes(key):
                armed.fired += 1
                if armed.fired == 1:
                    control.report("fired", instance=disturbance.instance)
                return disturbance
        return None
