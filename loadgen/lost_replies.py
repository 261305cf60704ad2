"""The disturbance `lose-send-reply`: the call reaches the broker, its answer never reaches the producer.

It strikes an answer that did arrive, so each time it is counted as fired the broker has seen the messages. The producer
is told at once of a timeout and does not sit it out: the schedule's lateness stays the broker's.
"""

from __future__ import annotations

from history.control import Disturbance
from transports.base import CallFailed

KIND = "lose-send-reply"


class LostReplies:
    """The standing orders of one process. A repeated `arm` of one instance changes nothing."""

    def __init__(self) -> None:
        self._armed: dict[str, Disturbance] = {}
        self._seen: dict[str, int] = {}
        self.fired: dict[str, int] = {}

    def arm(self, disturbance: Disturbance) -> None:
        self._armed.setdefault(disturbance.instance, disturbance)
        self._seen.setdefault(disturbance.instance, 0)
        self.fired.setdefault(disturbance.instance, 0)

    def disarm(self, instance: str) -> int:
        """How often it fired in this process."""
        self._armed.pop(instance, None)
        return self.fired.get(instance, 0)

    def strike(self, call: str) -> None:
        """Errors: CallFailed, indefinite, when the answer of this call is to be lost."""
        for instance, disturbance in self._armed.items():
            self._seen[instance] += 1
            if disturbance.nth is not None:
                struck = self._seen[instance] == disturbance.nth
            else:
                struck = disturbance.strikes(call)
            if struck:
                self.fired[instance] += 1
                raise CallFailed("ReadTimeoutError", f"the answer of {call} was lost ({instance})", definite=False)
