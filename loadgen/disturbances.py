"""What chaos asks of the load: where a disturbance strikes between a producer and its broker.

`throttle-sends` refuses an entry before it leaves, as a service does that is asked for too much: it is never stored.
`lose-send-reply` loses an answer that did arrive, so each time it is counted as fired the broker has seen the messages;
the producer is told at once of a timeout and does not sit it out: the schedule's lateness stays the broker's.
"""

from __future__ import annotations

from gameday.processes.control import Disturbance
from gameday.transports.base import CallFailed

LOST_REPLY = "lose-send-reply"
THROTTLE = "throttle-sends"
KINDS = (LOST_REPLY, THROTTLE)


class Disturbances:
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

    def throttled(self, attempt: str) -> str | None:
        """The error that this attempt to send one message is refused with, if it is."""
        instance = self._struck(THROTTLE, attempt)
        return instance and f"ProvisionedThroughputExceededException: rate exceeded (injected by {instance})"

    def lose_reply(self, call: str) -> None:
        """Errors: CallFailed, indefinite, when the answer of this call is to be lost."""
        if instance := self._struck(LOST_REPLY, call):
            raise CallFailed("ReadTimeoutError", f"the answer of {call} was lost ({instance})", definite=False)

    def _struck(self, kind: str, key: str) -> str | None:
        """The instance that strikes what `key` names, if one does."""
        for instance, disturbance in self._armed.items():
            if disturbance.kind != kind:
                continue
            self._seen[instance] += 1
            if disturbance.nth is not None:
                struck = self._seen[instance] == disturbance.nth
            else:
                struck = disturbance.strikes(key)
            if struck:
                self.fired[instance] += 1
                return instance
        return None
