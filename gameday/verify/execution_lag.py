"""The claim `execution-lag`: how soon executions were started, and how long they took.

SQL fetches what there is; every decision is a pure function over lists. It promises to blame nobody for what a start
may have waited for before it was sent, nor for a redrive or a stop; and that what nobody knows proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gameday.verify.bounds import FEW, QUANTILES, BoundRuling, Facts, nanoseconds, rank, seconds

DURATION = "duration_"
# Each bound with its quantile in hundredths.
BOUNDS: Mapping[str, int] = {**QUANTILES, **{f"{DURATION}{name}": quantile for name, quantile in QUANTILES.items()}}

# Of each message that was intended: when its start was first answered, at least 0 after it was due; and, from when its
# send began, before what time by proof no start of it may have been accepted.
_STARTS = (
    "SELECT run, CASE WHEN answered_ns IS NOT NULL AND due_ns IS NOT NULL "
    "THEN greatest(answered_ns - due_ns, 0) + error_ns END, "
    "CASE WHEN answered_ns IS NULL THEN 0 ELSE greatest(may_begin_ns - begun_ns - error_ns, 0) END FROM starts"
)
# Of each execution, but such as were stopped on purpose, how long it took; and how long by proof without any redrive.
_DURATIONS = (
    "SELECT run, CASE WHEN last.status <> 'running' THEN last.stopped_ns - last.started_ns END, "
    "CASE WHEN last.status = 'running' THEN "
    "last.at_ns - answered.at_ns - CASE WHEN last.file = answered.file THEN 0 ELSE clock_error() END "
    "WHEN coalesce(last.redrives, 0) = 0 THEN last.stopped_ns - last.started_ns END "
    "FROM executions WHERE last IS NOT NULL AND NOT stopped"
)
# The messages that may have an execution of which nobody told.
_UNTOLD = (
    "SELECT m.run, count(*) FROM starts m "
    "ANTI JOIN (SELECT id FROM executions WHERE last IS NOT NULL) e ON e.id = m.id "
    "WHERE m.status <> 'failed' GROUP BY m.run"
)


class Times(NamedTuple):
    """In ns. `most`: what each took at the most, None where nobody knows; `least`: what it surely took."""

    most: Sequence[int | None]
    least: Sequence[int]

    def quantile(self, hundredths: int, more: int) -> tuple[int | None, int]:
        """The same of a quantile, where there are so `more` of which nothing is known."""
        place = rank(hundredths, len(self.most) + more) - 1
        known = sorted(time for time in self.most if time is not None)
        return (known[place] if place < len(known) else None), sorted([0] * more + list(self.least))[place]


def judge(
    rows: Callable[[str], list[tuple[Any, ...]]], facts: Facts, bounds: Mapping[str, float], unread: Sequence[str]
) -> BoundRuling:
    """`unread`: why not all executions are known, if they are not."""
    ruled = BoundRuling()
    limits = {name: nanoseconds(bounds[name]) for name in BOUNDS if name in bounds}
    if not limits:
        ruled.unknown("execution-lag has no bound: give p50_s, p99_s, max_s, or one of them with duration_ before it")
    starts, durations = _times(rows(_STARTS)), _times(rows(_DURATIONS))
    planned = facts.intended if facts.scheduled is None else facts.scheduled
    untold = next(iter(rows(_UNTOLD)), (0,))[0]
    for name, limit_ns in limits.items():
        lasts = name.startswith(DURATION)
        times, more = (durations, untold) if lasts else (starts, max(0, planned - facts.intended))
        what = f"{name.removeprefix(DURATION)[:-2]} of {'durations' if lasts else 'starts'}"
        _judge(ruled, what, times, more, BOUNDS[name], limit_ns)
        for why in unread if lasts else ():
            ruled.unknown(why)
        if not lasts and facts.load_started and not facts.load_ended:
            ruled.unknown("the load did not come to its end, so nobody knows how many starts were never sent")
    return ruled


def _times(rows: Sequence[tuple[int | None, int | None]]) -> Times:
    return Times(most=[most for most, _ in rows], least=[max(least or 0, 0) for _, least in rows])


def _judge(ruled: BoundRuling, what: str, times: Times, more: int, hundredths: int, limit_ns: int) -> None:
    count = len(times.most)
    ruled.checked = max(ruled.checked, count)
    if not count:
        ruled.unknown(f"there is nothing to tell {what} by")
        return
    if count < FEW and hundredths < 100:
        ruled.unknown(f"{count} are too few to tell {what} ({FEW} needed)")
        return
    most_ns, least_ns = times.quantile(hundredths, more)
    if least_ns > limit_ns:
        ruled.violated(f"{what} is {seconds(least_ns):.3f} s at the least, more than {seconds(limit_ns):g} s")
    elif most_ns is None:
        ruled.unknown(f"nobody knows {what}: of too many nothing tells it")
    elif most_ns > limit_ns:
        ruled.unknown(
            f"{what} is somewhere from {seconds(least_ns):.3f} to {seconds(most_ns):.3f} s: nothing tells whether it "
            f"is more than {seconds(limit_ns):g} s"
        )
