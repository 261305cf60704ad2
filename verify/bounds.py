"""The two claims with a clock in them: `lag` (how late messages were) and `recovery` (how soon it was over).

SQL fetches what there is; every decision is a pure function over lists, and all times are nanoseconds of the run's
clock. Both claims look at the messages that were acked or received and are not dead, per subscription.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import duckdb

NS_PER_S = 1_000_000_000
DEFAULT_GRACE_S = 5.0
QUIET_FLOOR_S = 3.0
FEW = 100
# Each bound of `lag` with its quantile in hundredths.
QUANTILES: Mapping[str, int] = {"p50_s": 50, "p99_s": 99, "max_s": 100}

Ruling = Literal["holds", "violated", "unknown"]


def seconds(ns: int) -> float:
    return ns / NS_PER_S


def nanoseconds(s: float) -> int:
    return round(s * NS_PER_S)


def rank(hundredths: int, count: int) -> int:
    """The nearest rank, from 1, of a quantile: ceil(q × n), in integers so that no rounding moves it."""
    return max(1, -(-hundredths * count // 100))


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A fault from its start to its stop; `stop_ns` None while nothing says that the harm is over."""

    name: str
    start_ns: int
    stop_ns: int | None


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What a claim with a bound came to on one subscription."""

    ruling: Ruling = "holds"
    checked: int = 0
    why: list[str] = field(default_factory=list)

    def unknown(self, why: str) -> None:
        self.why.append(why)
        if self.ruling != "violated":
            self.ruling = "unknown"

    def violated(self, why: str) -> None:
        self.why.append(why)
        self.ruling = "violated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What both claims need to know of the run besides its messages."""

    faults: Sequence[Window]
    end_ns: int
    load_stopped_ns: int | None
    scheduled: int | None
    intended: int
    load_started: bool
    clock_error_ns: int

    @classmethod
    def read(cls, db: duckdb.DuckDBPyConnection) -> Facts:
        faults = db.execute("SELECT fault || ' ' || coalesce(instance, ''), start_ns, stop_ns FROM faults ORDER BY 2")
        windows = [Window(name=name, start_ns=start, stop_ns=stop) for name, start, stop in faults.fetchall()]
        row = db.execute(
            "SELECT (SELECT max(at_ns) FROM raw),"
            " (SELECT max(at_ns) FROM raw WHERE event = 'mark' AND name = 'load-stopped'),"
            " (SELECT sum(scheduled)::BIGINT FROM raw WHERE event = 'mark' AND name = 'load-stopped'),"
            " (SELECT count(*) FROM messages WHERE intended_ns IS NOT NULL),"
            " (SELECT count(*) > 0 FROM raw WHERE event = 'mark' AND name = 'load-started'),"
            " clock_error()"
        ).fetchone()
        assert row is not None
        return cls(
            faults=windows,
            end_ns=row[0] or 0,
            load_stopped_ns=row[1],
            scheduled=row[2],
            intended=row[3],
            load_started=row[4],
            clock_error_ns=row[5],
        )

    def windows(self, grace_ns: int) -> list[tuple[int, int]]:
        """The fault windows lengthened by the grace, merged."""
        return merged([(w.start_ns, (self.end_ns if w.stop_ns is None else w.stop_ns) + grace_ns) for w in self.faults])


def merged(intervals: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, with those that overlap or touch made one."""
    result: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


POPULATION = (
    "SELECT due_ns, first.at_ns AS first_ns, at_most_once AND NOT received AS excused FROM pairs "
    "WHERE s = ? AND expected AND (acked OR received) AND NOT dead AND due_ns IS NOT NULL"
)


def lag(db: duckdb.DuckDBPyConnection, s: str, facts: Facts, bounds: Mapping[str, float], grace_s: float) -> Outcome:
    """Judge each bound given in `bounds` (p50_s, p99_s, max_s, in seconds) on subscription `s`."""
    outcome = Outcome()
    windows = facts.windows(nanoseconds(grace_s))
    limits = {name: nanoseconds(bounds[name]) for name in QUANTILES if name in bounds}
    if not limits:
        outcome.unknown("lag has no bound: give p50_s, p99_s or max_s")
    for name, limit_ns in limits.items():
        judge_bound(db, s, facts, name, limit_ns, windows, outcome)
    return outcome


def judge_bound(
    db: duckdb.DuckDBPyConnection,
    s: str,
    facts: Facts,
    name: str,
    limit_ns: int,
    windows: Sequence[tuple[int, int]],
    outcome: Outcome,
) -> None:
    hundredths = QUANTILES[name]
    db.execute("CREATE OR REPLACE TEMP TABLE fault_windows (start_ns BIGINT, stop_ns BIGINT)")
    if windows:
        db.executemany("INSERT INTO fault_windows VALUES (?, ?)", windows)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE lags AS "
        f"SELECT coalesce(p.first_ns, ?) - p.due_ns - clock_error() AS lag_ns, p.excused FROM ({POPULATION}) p "
        "ANTI JOIN fault_windows w "
        "ON w.start_ns - clock_error() <= least(coalesce(p.first_ns, p.due_ns + ?), p.due_ns + ?) "
        "AND w.stop_ns + clock_error() >= p.due_ns",
        [facts.end_ns, s, limit_ns, limit_ns],
    )
    count, excused = _one(db, "SELECT count(*), count(*) FILTER (excused) FROM lags")
    outcome.checked = max(outcome.checked, count)
    if not count:
        outcome.unknown(f"{s}: no message to judge {name} by (those due around a fault are left out)")
        return
    few = count < FEW and hundredths < 100
    if not few:
        found = _nth_lag(db, hundredths, count, excused=False)
        if found > limit_ns:
            received_only = count - excused
            text = f"{s}: {name[:-2]} of lag is {seconds(found):.3f} s, more than {seconds(limit_ns):g} s"
            if excused and (not received_only or _nth_lag(db, hundredths, received_only, excused=True) <= limit_ns):
                outcome.unknown(text + ", for messages that an at-most-once subscription may drop")
            else:
                outcome.violated(text)
            return
    else:
        outcome.unknown(f"{s}: {count} messages are too few to tell {name[:-2]} ({FEW} needed)")
    if facts.scheduled is None and facts.load_started:
        outcome.unknown(f"{s}: the load did not come to its end, so nobody knows how many messages were never sent")
    missing = (facts.scheduled or 0) - facts.intended
    if facts.scheduled is not None and missing * 100 > (100 - hundredths) * facts.scheduled:
        outcome.unknown(
            f"{missing} of {facts.scheduled} scheduled messages were never sent: {name} says nothing of them"
        )


def _nth_lag(db: duckdb.DuckDBPyConnection, hundredths: int, count: int, *, excused: bool) -> int:
    """The quantile of `count` lags, in ns; `excused` leaves out messages that the subscription may drop."""
    where = "WHERE NOT excused " if excused else ""
    (found,) = _one(db, f"SELECT lag_ns FROM lags {where}ORDER BY lag_ns LIMIT 1 OFFSET {rank(hundredths, count) - 1}")
    return found


def recovery(
    db: duckdb.DuckDBPyConnection,
    s: str,
    visibility_s: float | None,
    facts: Facts,
    within_s: float,
    bound_s: float | None,
) -> tuple[Outcome, dict[str, Ruling]]:
    """Judge every fault on subscription `s`; the outcome, and the ruling on each fault.

    `bound_s` is how late counts as late; None takes twice the p99 of lag before the first fault.
    """
    outcome = Outcome()
    bound_ns = nanoseconds(bound_s) if bound_s is not None else _usual_bound(db, s, facts)
    if bound_ns is None:
        outcome.unknown(f"{s}: fewer than {FEW} messages before the first fault, so nothing tells what is late")
        return outcome, {fault.name: "unknown" for fault in facts.faults}
    (traffic,) = _one(db, f"SELECT count(*) FROM ({POPULATION})", [s])
    if not traffic:
        outcome.unknown(f"{s}: no message to tell a recovery by")
        return outcome, {fault.name: "unknown" for fault in facts.faults}
    forever = facts.end_ns + 10**18
    error = facts.clock_error_ns
    rows = db.execute(
        f"SELECT due_ns + ?, coalesce(first_ns, ?), excused FROM ({POPULATION}) "
        "WHERE coalesce(first_ns, ?) + 2 * clock_error() > due_ns + ? AND due_ns + ? < ?",
        [bound_ns, forever, s, forever, bound_ns, bound_ns, facts.end_ns + error],
    ).fetchall()
    perhaps_late = merged([(start - error, stop + error) for start, stop, _ in rows])
    surely_late = merged(
        [(start + error, stop - error) for start, stop, excused in rows if not excused and start + error < stop - error]
    )
    quiet_ns = nanoseconds(max(QUIET_FLOOR_S, (visibility_s or 0) + 1))
    rulings: dict[str, Ruling] = {}
    for fault in facts.faults:
        ruling = recovered(fault, facts, perhaps_late, surely_late, quiet_ns=quiet_ns, within_ns=nanoseconds(within_s))
        rulings[fault.name] = ruling
        if ruling == "violated":
            outcome.violated(f"{s}: still late {within_s:g} s after {fault.name} (late: {seconds(bound_ns):g} s)")
        elif ruling == "unknown":
            outcome.unknown(
                f"{s}: nothing tells whether it recovered from {fault.name}: "
                + ("it never stopped" if fault.stop_ns is None else "another fault or the end of the load came first")
            )
    return outcome, rulings


def recovered(
    fault: Window,
    facts: Facts,
    perhaps_late: Sequence[tuple[int, int]],
    surely_late: Sequence[tuple[int, int]],
    *,
    quiet_ns: int,
    within_ns: int,
) -> Ruling:
    """Whether there is a moment, at most `within_ns` after the stop, from which nothing is late for `quiet_ns`.

    Both sequences are merged open intervals: when some message may have been late (what holding asks), and when one
    surely was (what violating asks); they differ by the error of the clocks, and by what may be dropped.
    """
    if fault.stop_ns is None:
        return "unknown"
    stop_ns = fault.stop_ns
    others = [other for other in facts.faults if other is not fault]
    error = facts.clock_error_ns
    if any(o.start_ns - error <= stop_ns and (o.stop_ns is None or o.stop_ns > stop_ns + error) for o in others):
        return "unknown"
    ends = [o.start_ns for o in others if o.start_ns > stop_ns]
    ends.append(facts.end_ns if facts.load_stopped_ns is None else facts.load_stopped_ns)
    horizon_ns = min(ends) - error
    starts = [start for start, _ in perhaps_late]
    for moment in _moments(perhaps_late, stop_ns, within_ns):
        if moment + quiet_ns <= horizon_ns and not _meets(perhaps_late, starts, moment, moment + quiet_ns):
            return "holds"
    # A moment is refuted only by what is late before the horizon: one that lies there or beyond stays open.
    starts = [start for start, _ in surely_late]
    refuted = stop_ns + within_ns < horizon_ns and all(
        _meets(surely_late, starts, moment, min(moment + quiet_ns, horizon_ns))
        for moment in _moments(surely_late, stop_ns, within_ns)
    )
    return "violated" if refuted else "unknown"


def _moments(late: Sequence[tuple[int, int]], stop_ns: int, within_ns: int) -> list[int]:
    """The moments worth asking about: the stop itself, and each end of a lateness soon after."""
    return [stop_ns] + [end for _, end in late if stop_ns < end <= stop_ns + within_ns]


def _meets(late: Sequence[tuple[int, int]], starts: Sequence[int], from_ns: int, to_ns: int) -> bool:
    """Whether an open late interval meets [from, to]."""
    n = bisect_left(starts, to_ns)
    return n > 0 and late[n - 1][1] > from_ns and to_ns > from_ns


def _usual_bound(db: duckdb.DuckDBPyConnection, s: str, facts: Facts) -> int | None:
    if not facts.faults:
        return None
    first_fault_ns = facts.faults[0].start_ns
    db.execute(
        "CREATE OR REPLACE TEMP TABLE lags AS SELECT first_ns - due_ns AS lag_ns, false AS excused "
        f"FROM ({POPULATION}) WHERE first_ns < ?",
        [s, first_fault_ns],
    )
    (count,) = _one(db, "SELECT count(*) FROM lags")
    return 2 * _nth_lag(db, 99, count, excused=False) if count >= FEW else None


def latencies(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, float]]:
    """Per subscription the exact p50, p99 and max of first receive − due, in seconds, over all that was received."""
    result = {}
    for (s,) in db.execute("SELECT DISTINCT s FROM pairs WHERE received AND due_ns IS NOT NULL ORDER BY s").fetchall():
        db.execute(
            "CREATE OR REPLACE TEMP TABLE lags AS SELECT first.at_ns - due_ns AS lag_ns, false AS excused "
            "FROM pairs WHERE s = ? AND received AND due_ns IS NOT NULL",
            [s],
        )
        (count,) = _one(db, "SELECT count(*) FROM lags")
        result[s] = {
            name[:-2]: seconds(_nth_lag(db, hundredths, count, excused=False)) for name, hundredths in QUANTILES.items()
        }
    return result


def _one(db: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> tuple[int, ...]:
    row = db.execute(sql, list(parameters)).fetchone()
    assert row is not None
    return row
