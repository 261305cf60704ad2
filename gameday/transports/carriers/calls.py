"""How long the AWS calls of a process take and how they fail, by operation, for its own metrics; and what AWS counts
them for, for the bill at the end of a run.

One tally a process, for whoever carries a call: stores and leases have carriers of their own, and what an operator asks
is what the process does to AWS. Nothing is counted before `count_calls`, which each process of a run asks for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import Metric

from gameday.processes.exposition import Family
from gameday.processes.meters import Distribution
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.measures import Measure, is_fifo, measure

SECONDS = Family(
    name="aws_call_seconds",
    kind="histogram",
    labels=("service", "operation"),
    help="How long the AWS calls of this process took, failed ones included. A receive's long poll is in it, so it is "
    "slow while a queue is empty, and that is fine. When sends or deletes get slow, the service or the way to it is: "
    "look at the errors beside it before you add consumers.",
)
ERRORS = Family(
    name="aws_call_errors",
    kind="counter",
    labels=("service", "operation", "error"),
    help="AWS calls of this process that got no good answer, by AWS's error code or the kind of failure. A throttle "
    "asks for less or for a higher quota, AccessDenied for a policy; a timeout or a closed connection is the way. "
    "Entries that fail inside a batch that was answered are no such call: see gameday_load_attempts_total and "
    "gameday_consumer_settle_failures_total.",
)
FAMILIES = (SECONDS, ERRORS)
_ERRORS_MAX = 50
_COLUMNS = ("calls", "seconds", *Measure._fields)
_NONE = (0,) * len(_COLUMNS)


class Calls:
    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], Distribution] = {}
        self._errors: dict[tuple[str, str, str], int] = {}
        self._used: dict[tuple[str, str, bool], list[float]] = {}

    def ended(self, call: Call, seconds: float, error: str | None, answer: Answer | None = None) -> None:
        operation = (call.service, call.operation)
        took = self._seconds.get(operation)
        if took is None:
            took = self._seconds[operation] = Distribution()
        took.add(seconds)
        if error is not None:
            key = (*operation, error[:60])
            if key not in self._errors and len(self._errors) >= _ERRORS_MAX:
                key = (*operation, "other")
            self._errors[key] = self._errors.get(key, 0) + 1
        self._use(call, seconds, measure(call, answer))

    def passed_on(self, call: Call) -> None:
        """Of a call that somebody else made and that is passed on as it is: that it was made, and not how large."""
        self._use(call, 0.0, Measure())

    def _use(self, call: Call, seconds: float, measured: Measure) -> None:
        of = (call.service, call.operation, is_fifo(call))
        more = (1, seconds, *measured)
        self._used[of] = [had + one for had, one in zip(self._used.get(of, _NONE), more, strict=True)]

    def used(self) -> list[dict[str, Any]]:
        """What was called until now, as the mark `calls` has it: a row for each operation, FIFO apart from others."""
        return [
            {"service": service, "operation": operation, "fifo": fifo, **dict(zip(_COLUMNS, counts, strict=True))}
            for (service, operation, fifo), counts in sorted(self._used.items())
        ]

    def collect(self) -> Iterator[Metric]:
        # Copies, for the process goes on counting while this is read.
        yield SECONDS.histogram(self._seconds.copy())
        yield ERRORS.counter(self._errors.copy())


_calls: Calls | None = None


def count_calls(*, anew: bool = False) -> Calls:
    """From now on the calls of this process are counted, here; `anew`: and none before."""
    global _calls
    if anew or _calls is None:
        _calls = Calls()
    return _calls


def began() -> float:
    return time.perf_counter()


def ended(call: Call, began: float, failed: CallFailed | None = None, answer: Answer | None = None) -> None:
    if _calls is not None:
        _calls.ended(call, time.perf_counter() - began, None if failed is None else failed.code, answer)
