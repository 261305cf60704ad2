"""What EventBridge Scheduler documents for one-time schedules: sent at their time, and not at all once deleted.

Source: the user guide of EventBridge Scheduler (docs.aws.amazon.com/scheduler/latest/UserGuide). A schedule is invoked
within the minute of its time, so nothing here is late before that minute is over. Times are those of the service: the
clock of this machine may be another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from gameday.conformance.base import ROLE, Bench, Probe, Undecided, claim
from gameday.conformance.queues import ProbeQueue
from gameday.history.clock import NS_PER_S
from gameday.transports.base import Delivery

_AHEAD_S = 5
# "EventBridge Scheduler provides 60-second precision" (user guide, "Schedule types").
_PRECISION_S = 60.0


def one_time(bench: Bench) -> None:
    """A one-time schedule sends its input at its time, and within the minute after it (guide, "Schedule types")."""
    queue = ProbeQueue(bench)
    at_s = _clock_s(queue) + _AHEAD_S
    _schedule(bench, queue, at_s, "due")
    came = _arrival(bench, queue, _AHEAD_S + _PRECISION_S)
    claim(came is not None, f"nothing came within {_PRECISION_S:g} s of the time of a schedule")
    assert came is not None
    claim(orjson.loads(came.body) == "due", f"what came is {came.body!r}, and not the input of the schedule")
    early_s = at_s - _sent_s(came)
    claim(early_s <= bench.conditions.tick_s, f"a schedule sent {early_s:.1f} s before its time")


def deleted(bench: Bench) -> None:
    """A schedule that is deleted before its time sends nothing (guide, "Deleting a schedule")."""
    queue = ProbeQueue(bench)
    at_s = _clock_s(queue) + _AHEAD_S
    name = _schedule(bench, queue, at_s, "deleted", tidy=False)
    bench.call("scheduler", "DeleteSchedule", Name=name)
    # Another one, of the same time, tells when that time has come.
    _schedule(bench, queue, at_s, "kept")
    bodies: list[str] = []
    came = _arrival(bench, queue, _AHEAD_S + _PRECISION_S)
    while came is not None:
        bodies.append(orjson.loads(came.body))
        came = _arrival(bench, queue, 2.0)
    claim("deleted" not in bodies, "a schedule that was deleted five seconds before its time was sent all the same")
    if "kept" not in bodies:
        raise Undecided("a schedule of the same time, which was kept, sent nothing either")


def _schedule(bench: Bench, queue: ProbeQueue, at_s: int, text: str, *, tidy: bool = True) -> str:
    name = bench.name("schedule")
    at = datetime.fromtimestamp(at_s, tz=UTC)
    bench.call(
        "scheduler",
        "CreateSchedule",
        Name=name,
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": queue.arn, "RoleArn": ROLE, "Input": orjson.dumps(text).decode()},
    )
    if tidy:
        bench.afterwards("scheduler", "DeleteSchedule", Name=name)
    return name


def _clock_s(queue: ProbeQueue) -> int:
    """What the service's clock says, in whole seconds since 1970, rounded up."""
    queue.send("what time is it?")
    (told, *_) = queue.collect(["what time is it?"], delete=True)
    return int(_sent_s(told)) + 1


def _sent_s(delivery: Delivery) -> float:
    if delivery.enqueued is None:
        raise Undecided("a message does not tell when it was sent (SentTimestamp)")
    return delivery.enqueued / NS_PER_S


def _arrival(bench: Bench, queue: ProbeQueue, seconds: float) -> Delivery | None:
    """What comes within so long; not the question for the time, which a standard queue may deliver again."""
    end = bench.now + seconds
    while bench.now < end:
        for delivery in queue.watch(end - bench.now):
            queue.settle([delivery])
            if delivery.body != "what time is it?":
                return delivery
    return None


PROBES: Mapping[str, Probe] = {
    "one-time": one_time,
    "deleted": deleted,
}
