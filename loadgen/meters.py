"""What a sending process counts for its own metrics, which die with it: totals are the observer's business.

They tell which worker falls behind the schedule, and what its attempts came to.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from gameday.history.clock import NS_PER_S
from gameday.loadgen.sender import Sample
from gameday.processes.exposition import Family
from gameday.processes.meters import Distribution

LAG = Family(
    name="load_schedule_lag_seconds",
    kind="histogram",
    help="From when a message was due to its first attempt, in this worker. Above 0.1 s the load is late and the run "
    "tests less than the scenario says: more users (`load.users`), more `load.processes` or a smaller rate.",
)
ATTEMPTS = Family(
    name="load_attempts",
    kind="counter",
    labels=("outcome",),
    help="Attempts of this worker to send a message, retries included, by what became of them. unknown: the answer was "
    "lost, so the message may be there and the retry a second copy of it; expect duplicates, and look at "
    "gameday_aws_call_errors_total for the kind of failure.",
)
FAMILIES = (LAG, ATTEMPTS)


class Meters:
    def __init__(self) -> None:
        self._lag = Distribution()
        self._attempts = {("ok",): 0, ("failed",): 0, ("unknown",): 0}

    def sent(self, sample: Sample) -> None:
        for attempt in sample.attempts:
            if attempt.number == 1:
                self._lag.add(max(0, sample.started - attempt.message.due) / NS_PER_S)
        for outcome in sample.outcomes:
            self._attempts[(outcome.outcome,)] += 1

    def collect(self) -> Iterator[Metric]:
        yield LAG.histogram({(): self._lag})
        yield ATTEMPTS.counter(self._attempts)
