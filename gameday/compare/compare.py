"""Compares recorded runs with the first of them: what is worse beyond a tolerance, and is proven not to be noise.

It promises that of all that one comparison says, nothing is called different by noise alone with the confidence asked
for: the numbers of all subscriptions and all runs are one family (gameday/compare/noise.py). What it cannot know is how
far two runs of the same thing differ as wholes, because a machine was busier that day: one run has no noise bounds for
that. The tolerance is for it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gameday.compare.measure import COUNTED, RESOLUTION, Delays, Measured, Recorded, Span, measure, read
from gameday.compare.noise import ALL, BLOCKS, Weights, doubt, errors_at, holm, spread
from gameday.history import manifest as manifests
from gameday.history.errors import UsageError
from gameday.history.manifest import Manifest
from gameday.verify.load import Progress

TOLERANCE = 0.1
CONFIDENCE = 0.99
# The schedulers of a busy machine alone move a delay by this much.
LEAST_DELAY_S = 0.005
# Fewer messages than these have no such quantile worth the name: five lie beyond it.
FEWEST = {0.5: 100, 0.99: 500}
_WARM_UP_SHARE = 0.1
_WARM_UP_MOST_S = 30.0
_DIFFERENCES_MOST = 8

Call = Literal["same", "worse", "better", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number of one run beside the baseline's. `run`: its place among the runs, from 1.

    `change` is the number divided by the baseline's, of what is counted per 1,000 messages the difference; `low` and
    `high` bound it. All are None where `why` says that nothing can be said. `doubt`: how probable noise alone is.
    """

    run: int
    metric: str
    subscription: str | None
    unit: Literal["s", "/s", "per 1,000"]
    baseline: float | None
    value: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    doubt: float | None = None
    call: Call = "unknown"
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRow:
    """A claim's verdict in the baseline and in a run."""

    run: int
    claim: str
    baseline: str
    value: str
    call: Call


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """`runs`: the baseline first. `differences`: how their scenarios and targets differ, where that was asked for."""

    runs: Sequence[Mapping[str, Any]]
    confidence: float
    tolerance: float
    warm_up_s: float
    compared_s: float
    block_s: float
    rows: Sequence[Row]
    claims: Sequence[ClaimRow]
    differences: Sequence[str]

    @property
    def verdict(self) -> Literal["regressed", "unknown", "no regression"]:
        """`unknown`: nothing is proven to be worse, but a claim is not settled that was, or there were too few messages
        for anything at all."""
        calls = [row.call for row in self.rows]
        claims = [claim.call for claim in self.claims]
        if "worse" in calls or "worse" in claims:
            return "regressed"
        return "unknown" if "unknown" in claims or set(calls) <= {"unknown"} else "no regression"


def compare(
    directories: Sequence[Path],
    *,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    warm_up_s: float | None = None,
    anyway: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the runs in these directories with the first of them.

    `warm_up_s`: what is left out at the start of each load, by default a tenth of the shortest load, at most 30 s.
    Errors: those of `judge`; UsageError for runs of different scenarios or targets unless `anyway`, and for what leaves
    nothing to compare.
    """
    if len(directories) < 2:
        raise UsageError("a comparison needs two runs or more: the baseline, and what is held against it")
    recorded = [manifests.load(directory) for directory in directories]
    differences = [
        f"{directory}: {difference}"
        for directory, manifest in zip(directories[1:], recorded[1:], strict=True)
        for difference in _differences(recorded[0], manifest)
    ]
    if differences and not anyway:
        raise UsageError(
            "\n".join(
                [
                    f"these are not runs of the same thing as {directories[0]}; to compare them all the same: --anyway",
                    *(f"  {difference}" for difference in differences),
                ]
            )
        )
    with tempfile.TemporaryDirectory(prefix="gameday-compare-") as scratch:
        runs = []
        for number, directory in enumerate(directories):
            place = Path(scratch) / str(number)
            place.mkdir()
            runs.append(read(directory, place, progress))
        span = _span(runs, warm_up_s)
        measured = [measure(run, span) for run in runs]
    return Comparison(
        runs=[_told(run) for run in runs],
        confidence=confidence,
        tolerance=tolerance,
        warm_up_s=span.start_ns / 1e9,
        compared_s=(span.end_ns - span.start_ns) / 1e9,
        block_s=span.block_s,
        rows=rows(measured, tolerance=tolerance, confidence=confidence),
        claims=[row for number in range(1, len(runs)) for row in _claims(runs[0], runs[number], number)],
        differences=differences,
    )


def _span(runs: Sequence[Recorded], warm_up_s: float | None) -> Span:
    shortest = min(runs, key=lambda run: run.lasted_ns)
    lasted_s = shortest.lasted_ns / 1e9
    if warm_up_s is None:
        warm_up_s = min(_WARM_UP_SHARE * lasted_s, _WARM_UP_MOST_S)
    start_ns = round(warm_up_s * 1e9)
    if shortest.lasted_ns - start_ns < BLOCKS:
        raise UsageError(
            f"{shortest.directory}: its load lasted {lasted_s:g} s, and without {warm_up_s:g} s of warm-up nothing is "
            "left to compare"
        )
    return Span(start_ns=start_ns, end_ns=shortest.lasted_ns)


def _told(run: Recorded) -> dict[str, Any]:
    keys = ("run", "scenario", "seed", "target", "verdict")
    return {"directory": str(run.directory), **{key: run.document[key] for key in keys}}


# Whether they are runs of the same thing


def _differences(baseline: Manifest, other: Manifest) -> list[str]:
    """In which points they were told to do something else, each in a few words."""
    ours, theirs = (
        {"target": manifest.target, "subscriptions": sorted(manifest.subscriptions), "scenario": manifest.scenario}
        for manifest in (baseline, other)
    )
    found = list(_different(ours, theirs, ""))
    more = len(found) - _DIFFERENCES_MOST
    return [*found[:_DIFFERENCES_MOST], *([f"and {more} more differences"] if more > 0 else [])]


def _different(one: object, two: object, path: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for key in dict.fromkeys([*one, *two]):
            yield from _different(one.get(key), two.get(key), f"{path}.{key}" if path else str(key))
    elif one != two:
        yield f"{path} is {_brief(two)} and was {_brief(one)}"


def _brief(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# The numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    """A row without its ruling. `at`: the number that `low` and `high` bound, its error, and how to show it."""

    row: Row
    worse: float = 1.0
    better: float = 1.0
    at: tuple[float, float, Callable[[float], float]] | None = None

    @property
    def doubt(self) -> float:
        return min(1.0, 2 * min(self.worse, self.better))


def rows(measured: Sequence[Measured], *, tolerance: float, confidence: float) -> list[Row]:
    """Every number of every run beside the baseline's, the first, and all of them held to one confidence together."""
    tests = [
        test for number in range(1, len(measured)) for test in _tests(measured[0], measured[number], number, tolerance)
    ]
    return _ruled(tests, 1 - confidence)


def _tests(baseline: Measured, run: Measured, number: int, tolerance: float) -> Iterator[_Test]:
    def row(metric: str, unit: Literal["s", "/s", "per 1,000"], subscription: str | None = None) -> Row:
        return Row(run=number, metric=metric, subscription=subscription, unit=unit, baseline=None, value=None)

    seconds = run.block_s
    yield _rate(row("sent", "/s"), baseline.sent, run.sent, seconds, tolerance)
    for subscription, one in baseline.subscriptions.items():
        two = run.subscriptions.get(subscription)
        if two is None:
            continue
        yield _rate(row("received", "/s", subscription), one.received, two.received, seconds, tolerance)
        for what, ours, theirs in (("latency", one.latency, two.latency), ("until done", one.handled, two.handled)):
            if ours is None or theirs is None:
                continue
            for q in FEWEST:
                yield _delay(row(f"{what} p{q * 100:g}", "s", subscription), ours, theirs, q, tolerance)
        for what in COUNTED:
            counts = (one.counted[what], one.messages), (two.counted[what], two.messages)
            yield _share(row(what, "per 1,000", subscription), *counts, tolerance)


def _delay(row: Row, one: Delays, two: Delays, q: float, tolerance: float) -> _Test:
    fewest = min(one.count, two.count)
    if fewest < FEWEST[q]:
        return _Test(row=replace(row, why=f"{fewest} messages; p{q * 100:g} asks for {FEWEST[q]}"))
    a, b = one.quantile(q, ALL), two.quantile(q, ALL)
    assert a is not None and b is not None

    def change(weights: Weights) -> float | None:
        before, after = one.quantile(q, weights), two.quantile(q, weights)
        return None if before is None or after is None else math.log(after / before)

    # What the classes of delays do not resolve, no draw shows.
    error = max(spread(change), RESOLUTION / 2)
    # A few milliseconds more are not worth a word, whatever share of a small delay they are.
    allowed = math.log1p(max(tolerance, LEAST_DELAY_S / min(a, b)))
    return _ratio(replace(row, baseline=a, value=b), math.log(b / a), error, allowed, more_is_worse=True)


def _rate(row: Row, one: Sequence[int], two: Sequence[int], block_s: float, tolerance: float) -> _Test:
    row = replace(row, baseline=sum(one) / BLOCKS / block_s, value=sum(two) / BLOCKS / block_s)
    if not sum(one) or not sum(two):
        return _Test(row=replace(row, why="nothing in one of the two"))

    def change(weights: Weights) -> float | None:
        before, after = _weighed(weights, one), _weighed(weights, two)
        return math.log(after / before) if before and after else None

    whole = change(ALL)
    assert whole is not None
    return _ratio(row, whole, spread(change), math.log1p(tolerance), more_is_worse=False)


def _ratio(row: Row, change: float, error: float, allowed: float, *, more_is_worse: bool) -> _Test:
    more, less = doubt(change - allowed, error), doubt(-change - allowed, error)
    worse, better = (more, less) if more_is_worse else (less, more)
    return _Test(row=replace(row, change=math.exp(change)), worse=worse, better=better, at=(change, error, math.exp))


_Counts = tuple[Sequence[int], Sequence[int]]


def _share(row: Row, one: _Counts, two: _Counts, tolerance: float) -> _Test:
    """Of events and messages: how many of the ones per thousand of the others."""
    row = replace(row, baseline=_per_thousand(one, ALL), value=_per_thousand(two, ALL))
    if row.baseline is None or row.value is None:
        return _Test(row=replace(row, why="no messages in one of the two"))
    if not row.baseline and not row.value:
        # Nothing anywhere is no test: it has no noise, and takes nothing from the others' confidence.
        return _Test(row=replace(row, change=0.0, low=0.0, high=0.0, call="same"))

    def excess(more: _Counts, less: _Counts, factor: float) -> Callable[[Weights], float | None]:
        def of(weights: Weights) -> float | None:
            high, low = _per_thousand(more, weights), _per_thousand(less, weights)
            return None if high is None or low is None else high - low * factor

        return of

    def doubted(more: _Counts, less: _Counts) -> float:
        beyond = excess(more, less, 1 + tolerance)
        return doubt(beyond(ALL) or 0.0, spread(beyond))

    change = row.value - row.baseline
    return _Test(
        row=replace(row, change=change),
        worse=doubted(two, one),
        better=doubted(one, two),
        at=(change, spread(excess(two, one, 1.0)), float),
    )


def _per_thousand(counts: _Counts, weights: Weights) -> float | None:
    events, messages = (_weighed(weights, each) for each in counts)
    return 1000 * events / messages if messages else None


def _weighed(weights: Weights, counts: Sequence[int]) -> int:
    return sum(weight * count for weight, count in zip(weights, counts, strict=True))


def _ruled(tests: Sequence[_Test], level: float) -> list[Row]:
    """Each row with its ruling, all of them held to one level together."""
    family = [test for test in tests if test.at is not None]
    rulings = iter(holm([test.doubt for test in family], level))
    rows = []
    for test in tests:
        if test.at is None:
            rows.append(test.row)
            continue
        proven, held_to = next(rulings)
        number, error, shown = test.at
        reach = errors_at(held_to) * error
        call: Call = "same" if not proven else "worse" if test.worse < test.better else "better"
        rows.append(
            replace(test.row, low=shown(number - reach), high=shown(number + reach), doubt=test.doubt, call=call)
        )
    return rows


# The claims


def _claims(baseline: Recorded, run: Recorded, number: int) -> Iterator[ClaimRow]:
    """Those that both made. No noise is reckoned with: a claim that is violated is proven to be."""
    before = {claim["key"]: claim["verdict"] for claim in baseline.document["claims"]}
    for claim in run.document["claims"]:
        if (was := before.get(claim["key"])) is not None:
            ruling = claim["verdict"]
            call: Call = (
                "same"
                if ruling == was
                else "better"
                if ruling == "holds"
                else "worse"
                if (was, ruling) == ("holds", "violated")
                else "unknown"
            )
            yield ClaimRow(run=number, claim=claim["key"], baseline=was, value=ruling, call=call)
