"""What a sending process counts for its own metrics."""

from __future__ import annotations

from gameday.history.clock import NS_PER_S
from gameday.loadgen.lanes import Attempt
from gameday.loadgen.meters import FAMILIES, Meters
from gameday.loadgen.schedule import Message
from gameday.loadgen.sender import Sample
from gameday.transports.base import Call, SendOutcome


def sample(*attempts: tuple[int, str]) -> Sample:
    """A call at 5 s, of messages due at 4 s, by (number of the attempt, outcome)."""
    message = Message(number=0, lane=0, id="m", group="g", seq=1, due=4 * NS_PER_S, poison=False)
    return Sample(
        call=Call("sqs", "SendMessageBatch", {}),
        started=5 * NS_PER_S,
        ended=6 * NS_PER_S,
        bytes=1,
        attempts=[Attempt(message, number) for number, _ in attempts],
        outcomes=[SendOutcome(id="m", entry=n, outcome=outcome) for n, (_, outcome) in enumerate(attempts)],
    )


def test_lag_counts_first_attempts_and_attempts_all() -> None:
    meters = Meters()
    meters.sent(sample((1, "ok"), (1, "unknown"), (2, "ok")))
    meters.sent(sample((2, "failed")))
    lag, attempts = meters.collect()
    assert {s.name: s.value for s in lag.samples if "le" not in s.labels} == {
        "gameday_load_schedule_lag_seconds_count": 2,
        "gameday_load_schedule_lag_seconds_sum": 2.0,
    }
    assert {s.labels["outcome"]: s.value for s in attempts.samples} == {"ok": 2, "failed": 1, "unknown": 1}
    assert [lag.name, attempts.name] == [family.full_name.removesuffix("_total") for family in FAMILIES]
