"""What a fault may touch: the consumers, the load and the stream, as far as breaking them asks for.

The protocols tell what a fault needs of each; who they really are is the roof's business.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gameday.history.errors import RunError
from gameday.history.writer import Writer
from gameday.processes.child import Report
from gameday.processes.disturbances import Disturbance
from gameday.transports.base import ReshardAction, Resharding


class NotInjected(RunError):
    """A fault could not be put in place: nobody there to break, or no answer. The message says which and why."""


class Consumer(Protocol):
    """One slot of a fleet, and the process that is in it now: its replacement has the next `name`."""

    @property
    def slot(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def alive(self) -> bool: ...
    @property
    def stopped(self) -> bool:
        """Whether the process that is there now does nothing, by SIGSTOP."""
        ...

    def signal(self, number: signal.Signals) -> None: ...
    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    async def ready_after(self, name: str, timeout_s: float) -> bool:
        """Wait until a later incarnation than `name` polls; False when time runs out."""
        ...


class Fleet(Protocol):
    """The consumers of one subscription; `members` always names the same slots in the same order."""

    @property
    def members(self) -> Sequence[Consumer]: ...

    async def arm(self, disturbance: Disturbance, slots: Sequence[str]) -> None:
        """Disturb these slots: a replacement that starts there before it is disarmed is disturbed too."""
        ...

    async def disarm(self, instance: str) -> Mapping[str, int]:
        """Disturb no more; how often it fired, by the name of the incarnation."""
        ...


class Load(Protocol):
    """The wire before whatever sends: commands to it, reports from it."""

    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...


class StreamControl(Protocol):
    """Who may reshape the run's stream, one change at a time."""

    async def reshard(self, action: ReshardAction) -> Resharding:
        """Split a shard or merge two, and wait until the stream takes records again. Errors: CallFailed."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultTargets:
    """Everything that a fault may touch. `fleets` and `visibility_timeout_s` go by subscription; durations in seconds.

    `load` is None where no fault of the scenario strikes what is sent, `stream` where the subscriptions are queues.
    `find_s`: how long a strike waits for its consumers to be there; `hold_s`: for one of them to hold a message;
    `answer_s`: for an answer of a process; `recover_s`: for a replacement to poll.
    """

    fleets: Mapping[str, Fleet]
    visibility_timeout_s: Mapping[str, float]
    writer: Writer
    seed: int
    load: Load | None = None
    stream: StreamControl | None = None
    find_s: float = 10.0
    hold_s: float = 5.0
    answer_s: float = 5.0
    recover_s: float = 30.0
