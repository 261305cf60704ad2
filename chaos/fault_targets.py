"""What a fault may touch: the consumers, the load and the stream, as far as breaking them asks for.

The protocols tell what a fault needs of each; who they really are is the roof's business.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gameday.history.errors import RunError
from gameday.history.events import SendResult, Steering
from gameday.history.writer import Writer
from gameday.processes.child import Report
from gameday.processes.disturbances import Disturbance
from gameday.processes.undo import Undo
from gameday.transports.base import ExecutionSeen, ReshardAction, Resharding
from gameday.transports.experiments import Experiment, State
from gameday.transports.queue_policy import Action


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

    def vacate(self, instance: str, slots: Sequence[str]) -> None:
        """Start nobody in these slots once they are empty, until they are filled."""
        ...

    def fill(self, instance: str) -> None:
        """What was vacated under this name is filled again."""
        ...


class Load(Protocol):
    """The wire before whatever sends: commands to it, reports from it."""

    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...


class Producer(Protocol):
    """The load's processes on this machine."""

    @property
    def alive(self) -> bool: ...
    @property
    def stopped(self) -> bool:
        """Whether the first of them does nothing, by SIGSTOP."""
        ...

    @property
    def frozen(self) -> bool:
        """Whether none of them does."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """To all of them."""
        ...


class StreamControl(Protocol):
    """Who may reshape the run's stream, one change at a time."""

    async def reshard(self, action: ReshardAction) -> Resharding:
        """Split a shard or merge two, and wait until the stream takes records again. Errors: CallFailed."""
        ...


class QueueControl(Protocol):
    """Who may deny, for a while, what is asked of the run's queues."""

    @property
    def subscriptions(self) -> Sequence[str]: ...
    def name(self, subscription: str) -> str: ...

    async def deny(self, subscription: str, *, instance: str, actions: Sequence[Action]) -> None:
        """Everybody, on the queue of that subscription. Errors: CallFailed, after which it may stand there or not;
        HistoryError where nobody would know how to undo it, and then it does not."""
        ...

    async def allow(self, subscription: str, *, instance: str) -> str | None:
        """What this strike denied, if it did. What is left of it and why, if it cannot be undone."""
        ...

    async def settle(self) -> None:
        """As long as a change may take to be everywhere."""
        ...


class ExperimentControl(Protocol):
    """Who may run experiments of AWS's own fault injection."""

    @property
    def look_every_s(self) -> float: ...

    async def start(self, experiment: Experiment, *, instance: str) -> State:
        """Errors: CallFailed; HistoryError where nobody would know how to stop it, and then it does not begin."""
        ...

    async def look(self, instance: str) -> State | None:
        """At what that strike has started; None where there is no answer now."""
        ...

    async def stop(self, instance: str) -> State | None:
        """End what that strike has started, where it is not over, and wait, bounded, until it is.

        Gives what it was seen to be last; None where nothing is known to have been started.
        """
        ...


class ExecutionControl(Protocol):
    """Who may stop the executions that the run has started."""

    async def running(self) -> Sequence[ExecutionSeen]:
        """Those that run, each with its message. Errors: CallFailed."""
        ...

    async def steer(self, execution: ExecutionSeen, action: Steering) -> SendResult:
        """Stop it, or have it redriven; on record before and after. Errors: HistoryError."""
        ...


class FunctionControl(Protocol):
    """Who may change, for a while, how the target invokes the run's functions. Each: errors CallFailed."""

    @property
    def names(self) -> Sequence[str]: ...

    async def throttle(self) -> None:
        """Let no invocation begin."""
        ...

    async def unthrottle(self) -> None:
        """As it was."""
        ...

    async def enable(self, on: bool) -> None:
        """Whether the mappings receive, and wait until they say so."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultTargets:
    """Everything that a fault may touch. `fleets` and `visibility_timeout_s` go by subscription; durations in seconds.

    `load` is None where no fault of the scenario strikes what is sent, `producer` where the load is on other hosts,
    `stream` where the subscriptions are queues, `queues` where they are a stream, `experiments` where the scenario asks
    for none, `functions` where the target invokes none, `executions` where messages start none that can be asked about.
    `find_s`: how long a strike waits for its consumers to be there; `hold_s`: for one of them to hold a message;
    `answer_s`: for an answer of a process; `recover_s`: for a replacement to poll.
    """

    fleets: Mapping[str, Fleet]
    visibility_timeout_s: Mapping[str, float]
    writer: Writer
    seed: int
    load: Load | None = None
    producer: Producer | None = None
    stream: StreamControl | None = None
    queues: QueueControl | None = None
    experiments: ExperimentControl | None = None
    functions: FunctionControl | None = None
    executions: ExecutionControl | None = None
    find_s: float = 10.0
    hold_s: float = 5.0
    answer_s: float = 5.0
    recover_s: float = 30.0

    @property
    def undo(self) -> Undo:
        """Where is written, before it is done, what lasts longer than the conductor if that is killed."""
        return Undo(self.writer.run)
