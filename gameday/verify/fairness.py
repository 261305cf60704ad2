"""The claim `fair`: whether quiet tenants of a shared queue waited no longer for a noisy one.

It promises that it holds only where the noise was felt: where the noisy tenants' own messages waited longer than the
bound that the quiet ones kept. A queue that was never short of consumers shows nothing of its fairness. AWS promises no
number, so what is violated is the bound of whoever claims it, and no promise of the service's.

All times are nanoseconds of the run's clock. SQL fetches what there is; docs/history.md has the definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import duckdb

from gameday.verify.bounds import FEW, POPULATION, BoundRuling, Facts, nanoseconds, one_row, rank, rank_in_sql, seconds
from gameday.verify.load import Loaded

NOISY = "noisy"
BOUNDS = ("quiet_p99_s", "times_baseline")
BASELINE_LEAST_NS = 100_000_000

# How long a message of the population waited, at the least (from when its send began, in the hands of whoever may have
# had it) and at the most (from when it was due, in those of whoever is proven to have had it). Parameter: the history's
# last moment.
_LEAST = "greatest(coalesce(first_ns, {end}) - begun_ns - error_ns, 0)"
_MOST = "greatest(coalesce(had_ns, {end}) - due_ns, 0) + had_error_ns"
# Before the noise, at the least: what a message had waited when it began is all that the noise did not do.
_LEAST_BY = "greatest(least(coalesce(first_ns, {start}), {start}) - begun_ns - error_ns, 0)"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waits:
    """The p99 of what the quiet tenants of a class waited before the noise and during it, and the noisy ones, by one
    reading of the clocks; each at least and at most, in ns. `baseline`, `later`, `noisy`: of how many messages.

    `later_blamed_ns`: the least, over those alone whose absence the subscription does not excuse.
    """

    baseline: int
    later: int
    noisy: int
    baseline_least_ns: int
    baseline_most_ns: int
    later_blamed_ns: int
    later_most_ns: int
    noisy_least_ns: int

    @property
    def fewest(self) -> int:
        return min(self.baseline, self.later, self.noisy)

    def limits(self, name: str, bound: float) -> tuple[float, float]:
        """What the later messages may wait, in ns: at the least, for it to hold, and at the most, to be violated."""
        if name == "quiet_p99_s":
            return nanoseconds(bound), nanoseconds(bound)
        least, most = (max(each, BASELINE_LEAST_NS) for each in (self.baseline_least_ns, self.baseline_most_ns))
        return bound * least, bound * most


def fair(db: duckdb.DuckDBPyConnection, s: str, facts: Facts, bounds: Mapping[str, float]) -> BoundRuling:
    """Judge each of `bounds` (quiet_p99_s in seconds, times_baseline) on subscription `s`, for each quiet class."""
    ruled = BoundRuling()
    db.execute(POPULATION, [s])
    start_ns, stop_ns = one_row(db, "SELECT min(due_ns), max(due_ns) FROM population WHERE tenant_class = ?", [NOISY])
    quiet = [
        name
        for (name,) in db.execute(
            "SELECT DISTINCT tenant_class FROM population WHERE tenant_class <> ? ORDER BY tenant_class", [NOISY]
        ).fetchall()
    ]
    if start_ns is None or not quiet:
        what = "of a noisy tenant" if start_ns is None else "of a quiet tenant"
        ruled.unknown(f"{s}: no message {what} was acked or received (`tenant_class` and `due` tell)")
        return ruled
    (doubtful,) = one_row(
        db, "SELECT count(*) FROM pairs WHERE s = ? AND expected AND in_doubt AND tenant_class IS NOT NULL", [s]
    )
    for name in quiet:
        readings = [
            _waits(db, name, start_ns - wider_ns, stop_ns + wider_ns, facts.end_ns)
            for wider_ns in dict.fromkeys((0, facts.clock_error_ns, -facts.clock_error_ns))
        ]
        ruled.checked += min(reading.later for reading in readings)
        found = list(_judged(f"{s}: {name}", readings, bounds))
        if facts.faults or doubtful:
            # Nobody tells what the noise did from what the fault did, or what came without being told.
            found = [(False, why) for _, why in found]
        for violated, why in found:
            (ruled.violated if violated else ruled.unknown)(why)
        _judge_unsent(db, s, name, facts, readings, ruled)
    if facts.faults:
        ruled.unknown(f"{s}: there was a fault, and nobody can tell what it did from what the noise did")
    if doubtful:
        ruled.unknown(f"{s}: {doubtful} messages of tenants may have been received without being told")
    if facts.load_started and not facts.load_ended:
        ruled.unknown(f"{s}: the load did not come to its end, so nobody knows how many messages were never sent")
    return ruled


def _judged(what: str, readings: list[_Waits], bounds: Mapping[str, float]) -> Iterator[tuple[bool, str]]:
    """Why it does not hold: whether it is violated, and the reason."""
    few = min(readings, key=lambda reading: reading.fewest)
    if few.fewest < FEW:
        yield (
            False,
            f"{what}: {few.baseline} messages before the noise, {few.later} during it and {few.noisy} of noisy tenants "
            f"are too few to tell a p99 ({FEW} of each needed)",
        )
        return
    for name, bound in bounds.items():
        limits = [reading.limits(name, bound) for reading in readings]
        pairs = list(zip(readings, limits, strict=True))
        asked = f"{bound:g} s" if name == "quiet_p99_s" else f"{bound:g} times what they waited before it"
        waited = f"p99 of their wait is {seconds(max(reading.later_most_ns for reading in readings)):.3f} s"
        if all(reading.later_blamed_ns > most for reading, (_, most) in pairs):
            least = min(reading.later_blamed_ns for reading in readings)
            yield (
                True,
                f"{what}: during the noise the p99 of their wait is {seconds(least):.3f} s, more than "
                f"{seconds(round(max(most for _, most in limits))):.3f} s ({asked})",
            )
        elif any(reading.later_most_ns > least or reading.later_blamed_ns > most for reading, (least, most) in pairs):
            yield (
                False,
                f"{what}: during the noise the {waited} at the most, which may be more than {asked}, and nothing "
                "proves that it is: the sends began late, or the clocks or the records do not tell more exactly",
            )
        elif any(reading.noisy_least_ns <= least for reading, (least, _) in pairs):
            felt = seconds(min(reading.noisy_least_ns for reading in readings))
            yield (
                False,
                f"{what}: the noise was not felt: the p99 of the noisy tenants' own wait is {felt:.3f} s, within the "
                f"bound ({asked}), so the queue was never short of consumers. More noise, or fewer consumers, would "
                "show something",
            )


def _judge_unsent(
    db: duckdb.DuckDBPyConnection, s: str, name: str, facts: Facts, readings: list[_Waits], ruled: BoundRuling
) -> None:
    """What was never sent waited for nothing; where it is too much, a p99 says nothing of it."""
    (given_up,) = one_row(
        db, "SELECT count(*) FROM pairs WHERE s = ? AND expected AND status = 'failed' AND tenant_class = ?", [s, name]
    )
    planned = facts.intended if facts.scheduled is None else facts.scheduled
    unsent = max(0, planned - facts.intended) + given_up
    if unsent * 100 > min(min(reading.baseline, reading.later) for reading in readings):
        ruled.unknown(f"{s}: {name}: {unsent} messages were never sent or given up: p99 says nothing of them")


def _waits(db: duckdb.DuckDBPyConnection, name: str, start_ns: int, stop_ns: int, end_ns: int) -> _Waits:
    """Of one quiet class, the noise being from `start_ns` to `stop_ns`."""
    end, start = f"{end_ns}::BIGINT", f"{start_ns}::BIGINT"
    before = f"tenant_class = ? AND due_ns < {start}"
    during = f"tenant_class = ? AND due_ns BETWEEN {start} AND {stop_ns}::BIGINT"
    baseline, baseline_least = _p99(db, _LEAST_BY.format(start=start), before, name)
    _, baseline_most = _p99(db, _MOST.format(end=end), before, name)
    _, blamed = _p99(db, _LEAST.format(end=end), f"{during} AND NOT excused", name)
    later, later_most = _p99(db, _MOST.format(end=end), during, name)
    noisy, noisy_least = _p99(db, _LEAST.format(end=end), "tenant_class = ? AND first_ns IS NOT NULL", NOISY)
    return _Waits(
        baseline=baseline,
        later=later,
        noisy=noisy,
        baseline_least_ns=baseline_least,
        baseline_most_ns=baseline_most,
        later_blamed_ns=blamed,
        later_most_ns=later_most,
        noisy_least_ns=noisy_least,
    )


def _p99(db: duckdb.DuckDBPyConnection, wait: str, where: str, name: str) -> tuple[int, int]:
    """How many of the population there are, and the nearest-rank p99 of what they waited; 0 of none."""
    (count,) = one_row(db, f"SELECT count(*) FROM population WHERE {where}", [name])
    if not count:
        return 0, 0
    nth = rank(99, count) - 1
    (found,) = one_row(
        db, f"SELECT {wait} AS wait FROM population WHERE {where} ORDER BY wait LIMIT 1 OFFSET {nth}", [name]
    )
    return count, found


# By class and, where there is a noise, before it, during it and after it.
_RANKED = f"""
WITH noise AS (
    SELECT s, min(due_ns) AS start_ns, max(due_ns) AS stop_ns FROM pairs
    WHERE tenant_class = 'noisy' AND expected AND (acked OR may_have IS NOT NULL) AND NOT dead AND due_ns IS NOT NULL
    GROUP BY s
), waits AS (
    SELECT p.run, p.s, p.tenant_class,
           CASE WHEN n.s IS NULL THEN 'all' WHEN p.due_ns < n.start_ns THEN 'before'
                WHEN p.due_ns > n.stop_ns THEN 'after' ELSE 'during' END AS phase,
           greatest(p.had.at_ns - p.due_ns, 0) AS wait
    FROM pairs p LEFT JOIN noise n ON n.s = p.s
    WHERE p.tenant_class IS NOT NULL AND p.had IS NOT NULL AND p.due_ns IS NOT NULL
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY s, tenant_class, phase ORDER BY wait) AS n,
           count(*) OVER (PARTITION BY s, tenant_class, phase) AS count
    FROM waits
)
SELECT run, s, tenant_class, phase, any_value(count),
       min(wait) FILTER (n = {rank_in_sql(50)}),
       min(wait) FILTER (n = {rank_in_sql(99)}), max(wait)
FROM ranked GROUP BY run, s, tenant_class, phase ORDER BY s, tenant_class, phase
"""


def waits_of_tenants(run: Loaded) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Per subscription, class and phase (`before`, `during` and `after` the noise, or `all` where there is none): how
    many `messages` were received, and the exact p50, p99 and max of their first delivered receive − due, in seconds."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for s, name, phase, count, p50, p99, longest in run.rows(_RANKED):
        told = {"messages": count, "p50": seconds(p50), "p99": seconds(p99), "max": seconds(longest)}
        found.setdefault(s, {}).setdefault(name, {})[phase] = told
    return found
