"""The two claims with a clock in them: `lag` (how late messages were) and `recovery` (how soon it was over).

SQL fetches what there is; every decision is a pure function over lists, and all times are nanoseconds of the run's
clock. Both claims look at the messages that were acked or received and are not dead, per subscription.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import duckdb

from gameday.history.clock import ERROR_UNKNOWN
from gameday.history.manifest import During
from gameday.verify.load import Loaded

NS_PER_S = 1_000_000_000
DEFAULT_GRACE_S = 5.0
QUIET_FLOOR_S = 3.0
FEW = 100
_NEVER_NS = 2**62
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
    start_file: int
    stop_ns: int | None


@dataclass(kw_only=True, slots=True)
class BoundRuling:
    """What a claim with a bound came to on one subscription. `covers`: how many messages it might have looked at."""

    ruling: Ruling = "holds"
    checked: int = 0
    covers: int = 0
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
    load_ended: bool
    clock_error_ns: int

    @classmethod
    def read(cls, run: Loaded) -> Facts:
        faults = run.rows(
            "SELECT run, fault || ' ' || coalesce(instance, ''), start_ns, start_file, stop_ns FROM faults "
            "ORDER BY start_ns"
        )
        marks = run.rows(
            "SELECT run, max(at_ns), max(at_ns) FILTER (event = 'mark' AND name = 'load-stopped'),"
            " (sum(scheduled) FILTER (event = 'mark' AND name = 'load-stopped'))::BIGINT,"
            " count(*) FILTER (event = 'mark' AND name = 'load-started'),"
            " count(*) FILTER (event = 'mark' AND name = 'load-stopped' AND scheduled IS NOT NULL) "
            "FROM raw GROUP BY run"
        )
        intended = run.rows("SELECT run, count(*) FROM messages WHERE intended_ns IS NOT NULL GROUP BY run")
        end_ns, stopped_ns, scheduled, starts, ends = marks[0] if marks else (0, None, None, 0, 0)
        return cls(
            faults=[
                Window(name=name, start_ns=start, start_file=file, stop_ns=stop) for name, start, file, stop in faults
            ],
            end_ns=end_ns or 0,
            load_stopped_ns=stopped_ns,
            scheduled=scheduled,
            intended=intended[0][0] if intended else 0,
            load_started=starts > 0,
            load_ended=ends >= max(1, starts),
            clock_error_ns=run.clocks.error_ns,
        )

    def windows(self, grace_ns: int, wider_ns: int) -> list[tuple[int, int]]:
        """The fault windows lengthened by the grace and moved out (in, where it is negative) by `wider_ns` at both
        ends, merged; those of which nothing is left are left out."""
        moved = [
            (w.start_ns - wider_ns, _NEVER_NS if w.stop_ns is None else w.stop_ns + grace_ns + wider_ns)
            for w in self.faults
        ]
        return merged([(start, stop) for start, stop in moved if start <= stop])


def merged(intervals: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, with those that overlap or touch made one."""
    result: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


# What the claims with a clock look at, of one subscription: the messages that were acked or received, and those that
# were given up.
# `first_ns`: when a consumer may first have had it, `had_ns`: when one is proven to have. `error_ns`, `had_error_ns`:
# how far the clocks that these and `due` were read from may differ. `doubt`: it may have been received without having
# been told (25_in_doubt.sql), at any time. `begun_ns`: when its send began, which may be long after it was due.
POPULATION = (
    "CREATE OR REPLACE TEMP TABLE population AS "
    "SELECT due_ns, greatest(begun_ns, due_ns) AS begun_ns, "
    "CASE WHEN may_have IS NOT NULL THEN greatest(may_have.at_ns, due_ns) END AS first_ns, "
    "may_have.file AS first_file, CASE WHEN may_have.file = intended_file THEN 0 ELSE clock_error() END AS error_ns, "
    "CASE WHEN had IS NOT NULL THEN greatest(had.at_ns, due_ns) END AS had_ns, "
    "CASE WHEN had.file = intended_file THEN 0 ELSE clock_error() END AS had_error_ns, "
    "at_most_once AND may_have IS NULL AS excused, in_doubt AS doubt, tenant_class "
    "FROM pairs "
    "WHERE s = ? AND expected AND (acked OR may_have IS NOT NULL) AND NOT dead AND due_ns IS NOT NULL"
)
# Those that may have been received soon, whatever is known of them: nothing is broken that they could mend.
_DOUBTFUL = (
    "CREATE OR REPLACE TEMP TABLE doubtful AS "
    "SELECT due_ns FROM pairs WHERE s = ? AND expected AND in_doubt AND due_ns IS NOT NULL"
)
_GIVEN_UP = (
    "CREATE OR REPLACE TEMP TABLE given_up AS "
    "SELECT due_ns, NULL::BIGINT AS first_ns, 0 AS error_ns, false AS excused FROM pairs "
    "WHERE s = ? AND expected AND status = 'failed'"
)
# Which messages `during` speaks of, by how they stand to the fault windows.
_DURING: Mapping[During, str] = {"calm": "ANTI", "faults": "SEMI", "all": ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Quantile:
    """One bound of `lag` under one reading of the clocks: how many lags there are and where the quantile lies.

    `least_ns`: with the clocks' error taken off, whoever may have had its message having had it, and those in doubt at
    once; `most_ns`: with the error added, and only who is proven to have had it. None where there is no message.
    `blamed_ns`: the least over those alone whose absence the subscription does not excuse; `proven_ns`: the same
    counted from when their sends began, so that no lateness of the load is in it. They are asked only where `least_ns`
    is more than the bound.
    """

    count: int
    least_ns: int | None
    most_ns: int | None
    blamed_ns: int | None = None
    proven_ns: int | None = None

    def breaks(self, limit_ns: int) -> bool:
        return self.least_ns is not None and self.least_ns > limit_ns


def lag(
    db: duckdb.DuckDBPyConnection,
    s: str,
    facts: Facts,
    bounds: Mapping[str, float],
    *,
    grace_s: float,
    during: During = "calm",
) -> BoundRuling:
    """Judge each bound given in `bounds` (p50_s, p99_s, max_s, in seconds) on subscription `s`."""
    ruled = BoundRuling()
    limits = {name: nanoseconds(bounds[name]) for name in QUANTILES if name in bounds}
    if not limits:
        ruled.unknown("lag has no bound: give p50_s, p99_s or max_s")
    db.execute(POPULATION, [s])
    db.execute(_DOUBTFUL, [s])
    db.execute(_GIVEN_UP, [s])
    (ruled.covers,) = one_row(db, "SELECT count(*) FROM population")
    for name, limit_ns in limits.items():
        judge_bound(db, s, facts, name, limit_ns, nanoseconds(grace_s), during, ruled)
    return ruled


def judge_bound(
    db: duckdb.DuckDBPyConnection,
    s: str,
    facts: Facts,
    name: str,
    limit_ns: int,
    grace_ns: int,
    during: During,
    ruled: BoundRuling,
) -> None:
    hundredths = QUANTILES[name]
    # The fault windows as they stand, and as wide and as narrow as the clocks' error may make them: a ruling has to be
    # the same.
    readings, given_up = [], 0
    for wider_ns in dict.fromkeys((0, facts.clock_error_ns, -facts.clock_error_ns)):
        _find_windows(db, facts, grace_ns, wider_ns)
        readings.append(_quantile(db, facts, hundredths, limit_ns, during))
        (unsent,) = one_row(
            db,
            # Of one without `due` nobody knows how it stands to the faults, so it counts in any case.
            "SELECT (SELECT count(*) FROM given_up WHERE due_ns IS NULL) + "
            f"(SELECT count(*) FROM ({_during('(FROM given_up WHERE due_ns IS NOT NULL)', during)}))",
            [] if during == "all" else [limit_ns, limit_ns],
        )
        given_up = max(given_up, unsent)
    count = min(reading.count for reading in readings)
    ruled.checked = max(ruled.checked, count)
    if not count:
        why = _WHOM[during] if ruled.covers else " (none that was acked or received here has a `due`)"
        ruled.unknown(f"{s}: no message to judge {name[:-2]} by{why}")
        return
    if count < FEW and hundredths < 100:
        ruled.unknown(f"{s}: {count} messages{_WHOM[during]} are too few to tell {name[:-2]} ({FEW} needed)")
    else:
        broken = [reading for reading in readings if reading.breaks(limit_ns)]
        blamed = [reading for reading in broken if reading.blamed_ns is not None and reading.blamed_ns > limit_ns]
        proven = [reading for reading in blamed if reading.proven_ns is not None and reading.proven_ns > limit_ns]
        kept = [reading for reading in readings if reading.most_ns is not None and reading.most_ns <= limit_ns]
        found_ns = max(reading.least_ns or 0 for reading in readings)
        text = f"{s}: {name[:-2]} of lag is {seconds(found_ns):.3f} s, more than {seconds(limit_ns):g} s"
        if len(proven) == len(readings):
            ruled.violated(text)
            return
        if len(blamed) == len(readings):
            begun_ns = max(reading.proven_ns or 0 for reading in readings)
            ruled.unknown(
                f"{text}, but {seconds(begun_ns):.3f} s counted from when the sends began: the load was late, and "
                "nothing proves that what came after it was slow"
            )
            return
        if len(broken) == len(readings):
            ruled.unknown(text + ", for messages that an at-most-once subscription may drop")
            return
        if len(kept) < len(readings) and facts.clock_error_ns >= ERROR_UNKNOWN:
            ruled.unknown(f"{s}: nothing tells {name[:-2]} of lag: clocks may differ by any time")
        elif len(kept) < len(readings):
            most_ns = max(reading.most_ns or 0 for reading in readings)
            ruled.unknown(
                f"{s}: {name[:-2]} of lag is somewhere from {seconds(found_ns):.3f} to {seconds(most_ns):.3f} s, for "
                f"{_why_open(db, facts)}: nothing tells whether it is more than {seconds(limit_ns):g} s"
            )
    _judge_unsent(s, facts, name, hundredths, given_up, ruled)


def _why_open(db: duckdb.DuckDBPyConnection, facts: Facts) -> str:
    """Why a lag is not known exactly."""
    perhaps, doubtful = one_row(
        db,
        "SELECT (SELECT count(*) FROM population WHERE first_ns IS DISTINCT FROM had_ns), "
        "(SELECT count(*) FROM doubtful)",
    )
    reasons = [f"clocks may differ by {seconds(facts.clock_error_ns):g} s"] if facts.clock_error_ns else []
    reasons += [f"nobody knows whether {perhaps} messages reached their consumer when they were received"] * bool(
        perhaps
    )
    reasons += [f"{doubtful} messages may have been received without being told"] * bool(doubtful)
    return ", and ".join(reasons)


_WHOM: Mapping[During, str] = {
    "calm": " (those due around a fault are left out)",
    "faults": " (only those due around a fault count)",
    "all": "",
}


def _judge_unsent(s: str, facts: Facts, name: str, hundredths: int, given_up: int, ruled: BoundRuling) -> None:
    """What nobody received because nobody sent it has no lag; where it is too much, the quantile says nothing."""
    if facts.load_started and not facts.load_ended:
        ruled.unknown(f"{s}: the load did not come to its end, so nobody knows how many messages were never sent")
    planned = facts.intended if facts.scheduled is None else facts.scheduled
    never = max(0, planned - facts.intended)
    if (never + given_up) * 100 > (100 - hundredths) * planned:
        parts = [f"{never} were never sent"] * bool(never) + [f"{given_up} were given up"] * bool(given_up)
        ruled.unknown(f"{s}: of {planned} messages {' and '.join(parts)}: {name[:-2]} says nothing of them")


def _find_windows(db: duckdb.DuckDBPyConnection, facts: Facts, grace_ns: int, wider_ns: int) -> None:
    db.execute("CREATE OR REPLACE TEMP TABLE fault_windows (start_ns BIGINT, stop_ns BIGINT)")
    if windows := facts.windows(grace_ns, wider_ns):
        db.executemany("INSERT INTO fault_windows VALUES (?, ?)", windows)


def _during(messages: str, during: During) -> str:
    """Those of a table that `during` speaks of. Parameters, but for `all`: twice the bound in ns."""
    if during == "all":
        return f"FROM {messages}"
    return (
        f"SELECT p.* FROM {messages} p {_DURING[during]} JOIN fault_windows w "
        "ON w.start_ns <= least(coalesce(p.first_ns, p.due_ns + ?), p.due_ns + ?) AND w.stop_ns >= p.due_ns"
    )


def _quantile(db: duckdb.DuckDBPyConnection, facts: Facts, hundredths: int, limit_ns: int, during: During) -> _Quantile:
    parameters = [facts.end_ns] if during == "all" else [facts.end_ns, limit_ns, limit_ns]
    db.execute(
        "CREATE OR REPLACE TEMP TABLE lags AS "
        "SELECT coalesce(first_ns, end_ns) - due_ns - error_ns AS least_ns, "
        "coalesce(had_ns, end_ns) - due_ns + had_error_ns AS most_ns, excused, doubt, "
        "greatest(coalesce(first_ns, end_ns) - begun_ns, 0) - error_ns AS begun_least_ns "
        f"FROM (SELECT *, ?::BIGINT AS end_ns FROM ({_during('population', during)}))",
        parameters,
    )
    count, apart, doubtful = one_row(
        db, "SELECT count(*), count(*) FILTER (least_ns <> most_ns), (SELECT count(*) FROM doubtful) FROM lags"
    )
    if not count:
        return _Quantile(count=0, least_ns=None, most_ns=None)
    # Most lags are known exactly, and two sorts of them cost twice as much as one.
    most = _nth_lag(db, hundredths, count, of="most_ns") if apart or doubtful else None
    if doubtful:
        db.execute("DELETE FROM lags WHERE doubt")
        db.execute("INSERT INTO lags SELECT 0, 0, false, true, 0 FROM doubtful")
    count_least, excused = one_row(db, "SELECT count(*), count(*) FILTER (excused) FROM lags")
    least = _nth_lag(db, hundredths, count_least, of="least_ns")
    found = _Quantile(count=count, least_ns=least, most_ns=least if most is None else most)
    if not found.breaks(limit_ns) or count_least == excused:
        return found
    inexcusable = partial(_nth_lag, db, hundredths, count_least - excused, where="WHERE NOT excused")
    return replace(found, blamed_ns=inexcusable(of="least_ns"), proven_ns=inexcusable(of="begun_least_ns"))


def _nth_lag(db: duckdb.DuckDBPyConnection, hundredths: int, count: int, *, of: str = "lag_ns", where: str = "") -> int:
    """The quantile of the `count` values `of` the table `lags`, in ns."""
    nth = rank(hundredths, count) - 1
    (found,) = one_row(db, f"SELECT {of} AS found FROM lags {where} ORDER BY found LIMIT 1 OFFSET {nth}")
    return found


def recovery(
    db: duckdb.DuckDBPyConnection,
    s: str,
    visibility_s: float | None,
    facts: Facts,
    within_s: float,
    bound_s: float | None,
) -> tuple[BoundRuling, dict[str, Ruling]]:
    """Judge every fault on subscription `s`; the ruling, and that on each fault.

    `bound_s` is how late counts as late; None takes twice the p99 of lag before the first fault.
    """
    ruled = BoundRuling()
    db.execute(POPULATION, [s])
    db.execute(_DOUBTFUL, [s])
    bound_ns = nanoseconds(bound_s) if bound_s is not None else _usual_bound(db, facts)
    if bound_ns is None:
        ruled.unknown(f"{s}: {_NOTHING_USUAL}")
        return ruled, {fault.name: "unknown" for fault in facts.faults}
    (traffic,) = one_row(db, "SELECT count(*) FROM population")
    if not traffic:
        ruled.unknown(f"{s}: no message to tell a recovery by")
        return ruled, {fault.name: "unknown" for fault in facts.faults}
    perhaps_late, surely_late = _late(db, facts, bound_ns)
    quiet_ns = _quiet_ns(visibility_s)
    rulings: dict[str, Ruling] = {}
    for fault in facts.faults:
        ruling = recovered(fault, facts, perhaps_late, surely_late, quiet_ns=quiet_ns, within_ns=nanoseconds(within_s))
        rulings[fault.name] = ruling
        if ruling == "violated":
            ruled.violated(f"{s}: still late {within_s:g} s after {fault.name} (late: {seconds(bound_ns):g} s)")
        elif ruling == "unknown":
            ruled.unknown(
                f"{s}: nothing tells whether it recovered from {fault.name}: "
                + ("it never stopped" if fault.stop_ns is None else "another fault or the end of the load came first")
            )
    return ruled, rulings


def _late(
    db: duckdb.DuckDBPyConnection, facts: Facts, bound_ns: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """When some message of the population may have been late, and when one surely was: see `recovered`."""
    forever = facts.end_ns + 10**18
    error = facts.clock_error_ns
    rows = db.execute(
        "SELECT due_ns + ?, coalesce(first_ns, ?), coalesce(had_ns, ?), excused OR doubt FROM population "
        "WHERE coalesce(had_ns, ?) + 2 * clock_error() > due_ns + ? AND due_ns + ? < ?",
        [bound_ns, forever, forever, forever, bound_ns, bound_ns, facts.end_ns + error],
    ).fetchall()
    perhaps_late = merged([(start - error, had + error) for start, _, had, _ in rows])
    surely_late = merged(
        [
            (start + error, first - error)
            for start, first, _, excused in rows
            if not excused and start + error < first - error
        ]
    )
    return perhaps_late, surely_late


def _quiet_ns(visibility_s: float | None) -> int:
    """How long nothing must be late before it is over."""
    return nanoseconds(max(QUIET_FLOOR_S, (visibility_s or 0) + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """How long after its stop it took until nothing was late any more; None with the reason why nobody can tell."""

    s: str
    fault: str
    bound_s: float | None
    took_s: float | None
    why: str = ""


def recovery_times(
    db: duckdb.DuckDBPyConnection, s: str, visibility_s: float | None, facts: Facts, bound_s: float | None
) -> list[Recovery]:
    """Of every fault on subscription `s`, by the same reading as the claim `recovery`; it judges nothing.

    `bound_s` is how late counts as late; None takes twice the p99 of lag before the first fault.
    """
    db.execute(POPULATION, [s])
    db.execute(_DOUBTFUL, [s])
    bound_ns = nanoseconds(bound_s) if bound_s is not None else _usual_bound(db, facts)
    late = None if bound_ns is None else _late(db, facts, bound_ns)[0]
    found = []
    for fault in facts.faults:
        took_s, why = None, _NOTHING_USUAL
        if late is not None:
            moment_ns, why = _recovered_at(fault, facts, late, quiet_ns=_quiet_ns(visibility_s))
            took_s = None if moment_ns is None or fault.stop_ns is None else seconds(moment_ns - fault.stop_ns)
        found.append(
            Recovery(
                s=s, fault=fault.name, bound_s=None if bound_ns is None else seconds(bound_ns), took_s=took_s, why=why
            )
        )
    return found


def _recovered_at(
    fault: Window, facts: Facts, perhaps_late: Sequence[tuple[int, int]], *, quiet_ns: int
) -> tuple[int | None, str]:
    """The first moment from which nothing is late for `quiet_ns`, or why there is none."""
    if fault.stop_ns is None:
        return None, "it never stopped"
    if _others_open(fault, facts):
        return None, "another fault was still on when it stopped"
    horizon_ns = _horizon_ns(fault, facts)
    moment = _quiet_moment(perhaps_late, fault.stop_ns, horizon_ns - fault.stop_ns, horizon_ns, quiet_ns)
    return moment, "" if moment is not None else "not before another fault or the end of the load"


def _others_open(fault: Window, facts: Facts) -> bool:
    """Whether another fault was on when this one stopped."""
    stop_ns, error = fault.stop_ns, facts.clock_error_ns
    assert stop_ns is not None
    others = [other for other in facts.faults if other is not fault]
    return any(o.start_ns - error <= stop_ns and (o.stop_ns is None or o.stop_ns > stop_ns + error) for o in others)


def _horizon_ns(fault: Window, facts: Facts) -> int:
    """Until when what is late can be laid to this fault: the next one's start, or the end of the load."""
    stop_ns = fault.stop_ns
    assert stop_ns is not None
    ends = [o.start_ns for o in facts.faults if o is not fault and o.start_ns > stop_ns]
    ends.append(facts.end_ns if facts.load_stopped_ns is None else facts.load_stopped_ns)
    return min(ends) - facts.clock_error_ns


def _quiet_moment(
    late: Sequence[tuple[int, int]], stop_ns: int, within_ns: int, horizon_ns: int, quiet_ns: int
) -> int | None:
    """The first moment, at most `within_ns` after the stop, from which nothing is late for `quiet_ns`."""
    starts = [start for start, _ in late]
    for moment in _moments(late, stop_ns, within_ns):
        if moment + quiet_ns <= horizon_ns and not _meets(late, starts, moment, moment + quiet_ns):
            return moment
    return None


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
    if _others_open(fault, facts):
        return "unknown"
    horizon_ns = _horizon_ns(fault, facts)
    if _quiet_moment(perhaps_late, stop_ns, within_ns, horizon_ns, quiet_ns) is not None:
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


_NOTHING_USUAL = f"fewer than {FEW} messages of known lag before the first fault, so nothing tells what is late"


def _usual_bound(db: duckdb.DuckDBPyConnection, facts: Facts) -> int | None:
    """Twice the p99 of lag before the first fault; None where too few were received by then, or the lag of one that was
    due by then is not known."""
    if not facts.faults:
        return None
    first = facts.faults[0]
    (open_lags,) = one_row(
        db,
        "SELECT (SELECT count(*) FROM population WHERE first_ns IS DISTINCT FROM had_ns AND due_ns <= ?) "
        "+ (SELECT count(*) FROM doubtful WHERE due_ns <= ?)",
        [first.start_ns, first.start_ns],
    )
    if open_lags:
        return None
    db.execute(
        "CREATE OR REPLACE TEMP TABLE lags AS SELECT first_ns - due_ns AS lag_ns FROM population "
        "WHERE before(first_ns, first_file, ?, ?)",
        [first.start_ns, first.start_file],
    )
    (count,) = one_row(db, "SELECT count(*) FROM lags")
    return 2 * _nth_lag(db, 99, count) if count >= FEW else None


def rank_in_sql(hundredths: int) -> str:
    """The nearest rank of a quantile, of as many as the column `count` says."""
    return f"greatest(1, ({hundredths} * count + 99) // 100)"


_RANKS = ", ".join(map(rank_in_sql, QUANTILES.values()))
# The lags of all that was received, each with its rank among those of its subscription.
_RANKED = f"""
SELECT run, s, lag_ns, n, count FROM (
    SELECT run, s, greatest(had.at_ns - due_ns, 0) AS lag_ns,
           row_number() OVER (PARTITION BY s ORDER BY greatest(had.at_ns - due_ns, 0)) AS n,
           count(*) OVER (PARTITION BY s) AS count
    FROM pairs WHERE had IS NOT NULL AND due_ns IS NOT NULL)
WHERE n IN ({_RANKS}) ORDER BY s, n
"""


def latencies(run: Loaded) -> dict[str, dict[str, float]]:
    """Per subscription the exact p50, p99 and max of first delivered receive − due, in seconds, over all that was."""
    ranked: dict[str, dict[int, int]] = {}
    counts: dict[str, int] = {}
    for s, lag_ns, nth, count in run.rows(_RANKED):
        ranked.setdefault(s, {})[nth] = lag_ns
        counts[s] = count
    return {
        s: {name[:-2]: seconds(found[rank(hundredths, counts[s])]) for name, hundredths in QUANTILES.items()}
        for s, found in ranked.items()
    }


def one_row(db: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> tuple[int, ...]:
    row = db.execute(sql, list(parameters)).fetchone()
    assert row is not None
    return row
