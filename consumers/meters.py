"""What a consumer process counts for its own metrics, which die with it: totals are the observer's business.

They tell which process is slow, and at what. `Meters` counts nothing, for a process that nobody scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from gameday.processes.exposition import Family
from gameday.processes.meters import Distribution

POLL = Family(
    name="consumer_poll_seconds",
    kind="histogram",
    help="How long this consumer's receives took that were answered, a long poll's wait included: about its whole wait "
    "says that there was nothing to do, a few milliseconds that messages were waiting.",
)
PROCESSING = Family(
    name="consumer_processing_seconds",
    kind="histogram",
    help="How long the handler and its guard had a message in hand, failures included. When it nears the visibility "
    "timeout, messages come again while they are worked on: raise the timeout, or let the consumer send heartbeats.",
)
BATCH = Family(
    name="consumer_batch_size",
    kind="histogram",
    help="Messages in each receive that brought any. Near the most that was asked for, the consumer is behind: add "
    "consumers or concurrency.",
)
SETTLE_FAILURES = Family(
    name="consumer_settle_failures",
    kind="counter",
    labels=("action",),
    help="Deletes, releases, extensions and checkpoints of this consumer that failed or whose answer was lost, one for "
    "each message. Expect each message again: look for duplicate effects, and at gameday_aws_call_errors_total for "
    "why.",
)
HEARTBEATS = Family(
    name="consumer_heartbeats",
    kind="counter",
    help="Messages that were hidden for longer because they were still in hand, or leases of shards renewed. None at "
    "all while handlers take longer than the visibility timeout: set `heartbeat` in the scenario.",
)
FAMILIES = (POLL, PROCESSING, BATCH, SETTLE_FAILURES, HEARTBEATS)

_BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25, 50, 100, 250, 500, 1_000, 10_000)
_ACTIONS = ("delete", "release", "extend", "checkpoint")


class Meters:
    """What a worker tells; seconds. Here nobody listens."""

    def polled(self, seconds: float) -> None: ...

    def took(self, messages: int) -> None: ...

    def handled(self, seconds: float) -> None: ...

    def settle_failed(self, action: str) -> None: ...

    def heartbeat(self, messages: int) -> None: ...


class Counted(Meters):
    def __init__(self) -> None:
        self._poll = Distribution()
        self._processing = Distribution()
        self._batch = Distribution(_BATCHES)
        self._settle_failures = {(action,): 0 for action in _ACTIONS}
        self._heartbeats = 0

    def polled(self, seconds: float) -> None:
        self._poll.add(seconds)

    def took(self, messages: int) -> None:
        self._batch.add(messages)

    def handled(self, seconds: float) -> None:
        self._processing.add(seconds)

    def settle_failed(self, action: str) -> None:
        self._settle_failures[(action,)] += 1

    def heartbeat(self, messages: int) -> None:
        self._heartbeats += messages

    def collect(self) -> Iterator[Metric]:
        yield POLL.histogram({(): self._poll})
        yield PROCESSING.histogram({(): self._processing})
        yield BATCH.histogram({(): self._batch})
        yield SETTLE_FAILURES.counter(self._settle_failures)
        yield HEARTBEATS.counter({(): self._heartbeats})
