"""A second judge, slow and obvious, written from HISTORY.md alone.

It exists to be compared with the judge of the product: both read the same run directories, and where they differ, one
of them misreads the contract. So it trades everything for closeness to the text: `reading` turns files into facts,
`words` defines the words, `anomalies` has one function per row of the anomaly table, and here each claim is one
function. Nothing is shared with the product. `python -m tests.reference.judge RUN` prints what it concludes.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.reference.anomalies import ANOMALIES, Case, kept_copies
from tests.reference.reading import SECOND, Fault, Message, Moment, Promise, Subscription, read
from tests.reference.words import NEVER, Past, Sample, later

HOLDS, VIOLATED, UNKNOWN = "holds", "violated", "unknown"
DEFAULT_GRACE_NS = 5 * SECOND
ENOUGH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one claim found, before the rules that all claims share."""

    covers: Sequence[str]
    checked: Mapping[str, int]
    anomalies: Mapping[str, int] = field(default_factory=dict)
    violated: bool
    unknown: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Court:
    """A run with every anomaly counted once, and what the claims ask of both."""

    past: Past
    cases: Mapping[str, Sequence[Case]]

    def all(self) -> list[Subscription]:
        return list(self.past.subscriptions.values())

    def within(self, name: str, covered: Sequence[Subscription], *, judged_only: bool = False) -> list[Case]:
        """The cases of an anomaly that concern the covered subscriptions."""
        names = {spec.name for spec in covered}
        return [
            case
            for case in self.cases[name]
            if (
                case.subscription in names
                if case.subscription is not None
                else bool(self.past.messages[case.id].expect & names)
            )
            and (not judged_only or self.judged(case.id, self.past.subscription(case.subscription or "")))
        ]

    def anywhere(self, name: str) -> list[Case]:
        return list(self.cases[name])

    def excused(self, case: Case) -> bool:
        """`at-most-once`: there a message never received is counted as everywhere, violates nothing, and leaves the
        claims that it would violate unknown."""
        if case.subscription is None:
            return False
        spec = self.past.subscription(case.subscription)
        return spec.promises == "at-most-once" and not self.past.received(case.id, case.subscription)

    def judged(self, id: str, spec: Subscription) -> bool:
        """Sends before `effective_from` are not judged by `fanout-complete` and `filter-correct`."""
        if spec.effective_from is None:
            return True
        since = Moment(time=spec.effective_from, file="")
        attempts = self.past.messages[id].attempts if id in self.past.messages else ()
        return all(self.past.before(since, attempt.intended) for attempt in attempts)

    def finding(
        self,
        *,
        covered: Sequence[Subscription],
        checked: Mapping[str, int],
        blamed: Mapping[str, Sequence[Case]],
        unknown: Sequence[str],
        counted: Mapping[str, Sequence[Case]] | None = None,
    ) -> Finding:
        """Blamed cases violate, unless the subscription promises too little for that."""
        excused = [name for name, cases in blamed.items() if any(self.excused(case) for case in cases)]
        return Finding(
            covers=[spec.name for spec in covered],
            checked=checked,
            anomalies={name: len(cases) for name, cases in (counted or blamed).items()},
            violated=any(not self.excused(case) for cases in blamed.values() for case in cases),
            unknown=[*unknown, *(f"{name} where delivery is at most once" for name in excused)],
        )

    # -- what makes claims unknown ---------------------------------------------------------------------------------

    def undrained(self, covered: Sequence[Subscription]) -> list[str]:
        return [f"{spec.name} not drained" for spec in covered if not self.past.drained(spec.name)]

    def as_no_loss(self, covered: Sequence[Subscription], *, judged_only: bool = False) -> list[str]:
        """unseen, not drained"""
        unseen = self.within("unseen", covered, judged_only=judged_only)
        return [f"{case.id} unseen on {case.subscription}" for case in unseen] + self.undrained(covered)

    def unrecorded_effects(self, covered: Sequence[Subscription]) -> list[str]:
        """no effects recorded"""
        return [f"no effects recorded on {spec.name}" for spec in covered if not self.past.effects_recorded(spec.name)]

    def unknown_effects(self, covered: Sequence[Subscription], *, none_applied: bool = False) -> list[str]:
        names = {spec.name for spec in covered}
        return [
            f"the effect of {id} on {name} is unknown"
            for id, name in self.past.receives
            if name in names
            and self.past.unknown_effect(id, name)
            and not (none_applied and self.past.applied(id, name) > 0)
        ]

    # -- what claims count -----------------------------------------------------------------------------------------

    def count_expected(
        self, covered: Sequence[Subscription], accept: Callable[[Message, Subscription], bool]
    ) -> Counter[str]:
        names = {spec.name for spec in covered}
        return Counter(
            spec.name for message, spec in self.past.expectations() if spec.name in names and accept(message, spec)
        )

    def count_behind_another(
        self, covered: Sequence[Subscription], accept: Callable[[Message, Subscription], bool]
    ) -> Counter[str]:
        """with one before it in its group"""
        return Counter(
            spec.name
            for spec in covered
            for id, befores in self.past.earlier(spec).items()
            if befores and accept(self.past.messages[id], spec)
        )


# -- The claims ----------------------------------------------------------------------------------------------------


def no_loss(court: Court, promise: Promise) -> Finding:
    """violated by lost, vanished, lost-on-redrive; unknown when unseen, not drained; checked: acked, per expected
    subscription"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.acked(message.id)),
        blamed={name: court.anywhere(name) for name in ("lost", "vanished", "lost-on-redrive")},
        unknown=[f"{case.id} unseen on {case.subscription}" for case in court.anywhere("unseen")]
        + court.undrained(covered),
    )


def no_phantom(court: Court, promise: Promise) -> Finding:
    """violated by phantom, corrupt; checked: receives"""
    return court.finding(
        covered=court.all(),
        checked=Counter(received.subscription for received in court.past.facts.receives),
        blamed={name: court.anywhere(name) for name in ("phantom", "corrupt")},
        unknown=[],
    )


def exactly_once_delivery(court: Court, promise: Promise) -> Finding:
    """violated by send-duplicate enqueued within `dedup_window_s` of the copy before it (window null: any),
    early-redelivery, lost, vanished; unknown: as no-loss; a duplicate without `enqueued`; checked: received, per
    subscription"""
    covered = court.all()
    too_close: list[Case] = []
    unknown: list[str] = []
    for id, name in court.past.receives:
        copies = kept_copies(court.past, id, name)
        window = court.past.subscription(name).dedup_window_ns
        if len(copies) < 2:
            continue
        if window is None:
            too_close += [Case(id=id, subscription=name) for _ in copies[1:]]
            continue
        enqueued = [min((one.enqueued for one in copy if one.enqueued is not None), default=None) for copy in copies]
        known = sorted(time for time in enqueued if time is not None)
        if len(known) < len(enqueued):
            unknown.append(f"a duplicate of {id} on {name} does not say when it was enqueued")
        too_close += [Case(id=id, subscription=name) for one, two in itertools.pairwise(known) if two - one < window]
    others = {name: court.anywhere(name) for name in ("early-redelivery", "lost", "vanished")}
    return court.finding(
        covered=covered,
        checked=Counter(name for id, name in court.past.receives),
        blamed={"send-duplicate": too_close, **others},
        counted={"send-duplicate": court.anywhere("send-duplicate"), **others},
        unknown=[f"{case.id} unseen on {case.subscription}" for case in court.anywhere("unseen")]
        + court.undrained(covered)
        + unknown,
    )


def at_least_once_effect(court: Court, promise: Promise) -> Finding:
    """violated by effect-missing, effect-lost; unknown when not drained; no effects recorded; an unknown effect of a
    message with none applied; checked: acked or received, per expected subscription"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={name: court.anywhere(name) for name in ("effect-missing", "effect-lost")},
        unknown=court.undrained(covered)
        + court.unrecorded_effects(covered)
        + court.unknown_effects(covered, none_applied=True),
    )


def exactly_once_effect(court: Court, promise: Promise) -> Finding:
    """violated by those and effect-duplicate; unknown when not drained; no effects recorded; any unknown effect;
    checked: the same"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={name: court.anywhere(name) for name in ("effect-missing", "effect-lost", "effect-duplicate")},
        unknown=court.undrained(covered) + court.unrecorded_effects(covered) + court.unknown_effects(covered),
    )


def ordered_per_group(court: Court, promise: Promise) -> Finding:
    """violated by nonmonotonic-delivery, group-overtake, nonmonotonic-send, stored-out-of-order; `strict: true` adds
    dlq-gap; checked: received with one before it in its group, where `ordered_by` is `group`"""
    names = ["nonmonotonic-delivery", "group-overtake", "nonmonotonic-send", "stored-out-of-order"]
    return _ordered(court, "group", names + ["dlq-gap"] * promise.strict)


def ordered_per_partition(court: Court, promise: Promise) -> Finding:
    """violated by the same without group-overtake, and child-before-parent; checked: the same, where `ordered_by` is
    `partition`"""
    names = ["nonmonotonic-delivery", "nonmonotonic-send", "stored-out-of-order", "child-before-parent"]
    return _ordered(court, "partition", names + ["dlq-gap"] * promise.strict)


def _ordered(court: Court, ordered_by: str, names: Sequence[str]) -> Finding:
    covered = [spec for spec in court.all() if spec.ordered_by == ordered_by]
    return court.finding(
        covered=covered,
        checked=court.count_behind_another(covered, lambda message, spec: court.past.received(message.id, spec.name)),
        blamed={name: court.within(name, covered) for name in names},
        unknown=[],
    )


def ordered_effects(court: Court, promise: Promise) -> Finding:
    """violated by effect-out-of-order, stored-out-of-order; unknown when no effects recorded; any unknown effect;
    checked: applied with one before it, where `ordered_by`"""
    covered = court.past.ordered()
    return court.finding(
        covered=covered,
        checked=court.count_behind_another(
            covered, lambda message, spec: court.past.applied(message.id, spec.name) > 0
        ),
        blamed={name: court.within(name, covered) for name in ("effect-out-of-order", "stored-out-of-order")},
        unknown=court.unrecorded_effects(covered) + court.unknown_effects(covered),
    )


def fanout_complete(court: Court, promise: Promise) -> Finding:
    """violated by lost; unknown: as no-loss; checked: as no-loss"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(
            covered, lambda message, spec: court.past.acked(message.id) and court.judged(message.id, spec)
        ),
        blamed={"lost": court.within("lost", covered, judged_only=True)},
        unknown=court.as_no_loss(covered, judged_only=True),
    )


def filter_correct(court: Court, promise: Promise) -> Finding:
    """violated by misrouted; lost where `filtered`; unknown: as no-loss; checked: acked, per `filtered` subscription,
    expected there or not"""
    covered = [spec for spec in court.all() if spec.filtered]
    misrouted = [
        case
        for case in court.anywhere("misrouted")
        if court.judged(case.id, court.past.subscription(case.subscription or ""))
    ]
    return court.finding(
        covered=covered,
        checked=Counter(
            spec.name
            for spec in covered
            for id in court.past.messages
            if court.past.acked(id) and court.judged(id, spec)
        ),
        blamed={"misrouted": misrouted, "lost": court.within("lost", covered, judged_only=True)},
        unknown=court.as_no_loss(covered, judged_only=True),
    )


def dead_letter(court: Court, promise: Promise) -> Finding:
    """violated by poison-escaped, healthy-dead, over-received; `strict: true` adds collateral-dead; unknown when not
    drained; checked: poison, per subscription with `dead_letter`"""
    covered = [spec for spec in court.all() if spec.dead_letter]
    names = ["poison-escaped", "healthy-dead", "over-received"] + ["collateral-dead"] * promise.strict
    return court.finding(
        covered=covered,
        checked=court.count_expected(
            covered, lambda message, spec: message.poison and court.past.concerned(message.id, spec.name)
        ),
        blamed={name: court.within(name, covered) for name in names},
        unknown=court.undrained(covered),
    )


# -- lag -----------------------------------------------------------------------------------------------------------

PERCENT: Mapping[str, int] = {"p50_s": 50, "p99_s": 99, "max_s": 100}


def lag(court: Court, promise: Promise) -> Finding:
    """per subscription, over messages acked or received and not dead: first(m, s) - `due`; one never received counts
    with the history's last `at` - `due`. For each bound, a message is left out if a fault window, lengthened by
    `grace_s`, overlaps [`due`, the earlier of first(m, s) and `due` + bound]. Quantiles are nearest-rank. With fewer
    than 100 messages p50 and p99 are unknown; one is enough to break `max_s`. Unknown too if more than (1 - q) x
    `scheduled` messages were never intended."""
    past = court.past
    grace = grace_of(court, promise)
    violated = False
    unknown: list[str] = []
    checked: Counter[str] = Counter()
    for spec in court.all():
        judged: set[str] = set()
        for name, percent in PERCENT.items():
            bound = promise.bounds_ns.get(name)
            if bound is None:
                continue
            kept = [sample for sample in past.samples(spec.name) if not _left_out(past, sample, bound, grace)]
            judged |= {sample.message.id for sample in kept}
            over = [sample for sample in kept if _exceeds(past, sample, bound)]
            if name != "max_s" and len(kept) < ENOUGH:
                unknown.append(f"{name} of {spec.name}: {len(kept)} messages")
            elif not kept:
                unknown.append(f"{name} of {spec.name}: no message")
            else:
                proven = [sample for sample in over if spec.promises != "at-most-once" or sample.first is not None]
                needed = len(kept) - nearest_rank(percent, len(kept)) + 1
                violated = violated or len(proven) >= needed
                if len(over) >= needed > len(proven):
                    unknown.append(f"{name} of {spec.name}: broken only by messages never received")
            unknown += _never_intended(past, name, percent)
        checked[spec.name] = len(judged)
    return Finding(covers=list(past.subscriptions), checked=checked, violated=violated, unknown=unknown)


def grace_of(court: Court, promise: Promise) -> int:
    """`grace_s` (default: `recovery`'s `within_s`, else 5)"""
    if "grace_s" in promise.bounds_ns:
        return promise.bounds_ns["grace_s"]
    within = [other.bounds_ns["within_s"] for other in court.past.facts.manifest.promises if other.claim == "recovery"]
    return max(within, default=DEFAULT_GRACE_NS)


def _left_out(past: Past, sample: Sample, bound: int, grace: int) -> bool:
    limit = later(sample.due, bound)
    end = limit if sample.first is None or limit.time < sample.first.time else sample.first
    return any(
        past.possibly_before(fault.start, end)
        and past.possibly_before(sample.due, NEVER if fault.stop is None else later(fault.stop, grace))
        for fault in past.facts.faults
    )


def _exceeds(past: Past, sample: Sample, bound: int) -> bool:
    """Proven to have taken longer than that."""
    seen = sample.first if sample.first is not None else Moment(time=past.facts.last_at or 0, file="")
    return past.before(later(sample.due, bound), seen)


def _never_intended(past: Past, name: str, percent: int) -> list[str]:
    scheduled = past.facts.scheduled
    if scheduled is None:
        return [f"{name}: nobody wrote how many messages were scheduled"]
    missing = scheduled - sum(1 for id in past.messages if past.intended(id))
    return [f"{name}: {missing} messages never intended"] if missing * 100 > (100 - percent) * scheduled else []


def nearest_rank(percent: int, count: int) -> int:
    return max(1, -(-percent * count // 100))


def quantile(percent: int, sorted_lags: Sequence[int]) -> int:
    return sorted_lags[nearest_rank(percent, len(sorted_lags)) - 1]


# -- recovery ------------------------------------------------------------------------------------------------------

Span = tuple[int, int]
"""An open interval: when a message was late."""


def recovery(court: Court, promise: Promise) -> Finding:
    """After a fault's stop there must be a moment, at most `within_s` later, from which no message is late for
    max(3 s, `visibility_timeout_s` + 1 s)."""
    past = court.past
    within = promise.bounds_ns["within_s"]
    unknown: list[str] = []
    violated = False
    judged = 0
    for fault in past.facts.faults:
        verdicts = []
        for spec in court.all():
            verdict, why = recovered_on(past, fault, spec, within)
            verdicts.append(verdict)
            if verdict == UNKNOWN:
                unknown.append(f"fault {fault.instance} on {spec.name}: {why}")
        violated = violated or VIOLATED in verdicts
        judged += VIOLATED in verdicts or (bool(verdicts) and UNKNOWN not in verdicts)
    return Finding(covers=[], checked={"faults": judged}, violated=violated, unknown=unknown)


def late_bound(past: Past, spec: Subscription) -> int | None:
    """The bound is the largest of the `lag` claim, else twice the p99 of lag before the first fault (unknown under 100
    messages)."""
    bounds = [
        bound
        for promise in past.facts.manifest.promises
        if promise.claim == "lag"
        for name, bound in promise.bounds_ns.items()
        if name in PERCENT
    ]
    if bounds:
        return max(bounds)
    calm = sorted(
        sample.lag_ns
        for sample in past.samples(spec.name)
        if sample.first is not None and past.before(sample.first, past.facts.faults[0].start)
    )
    return None if len(calm) < ENOUGH else 2 * quantile(99, calm)


def recovered_on(past: Past, fault: Fault, spec: Subscription, within: int) -> tuple[str, str]:
    """Found, with that quiet time over, before the next fault starts and the load stops (or the history ends): holds.
    Every such moment refuted by a message late before either: violated. Else, with another fault open, or without a
    stop: unknown."""
    if fault.stop is None:
        return UNKNOWN, "it never stops"
    stop = fault.stop.time
    others = [other for other in past.facts.faults if other is not fault]
    if any(
        past.possibly_before(other.start, fault.stop) and (other.stop is None or past.before(fault.stop, other.stop))
        for other in others
    ):
        return UNKNOWN, "another fault is open"
    bound = late_bound(past, spec)
    if bound is None:
        return UNKNOWN, "no bound: too few messages before the first fault"
    quiet = max(3 * SECOND, (spec.visibility_timeout_ns or 0) + SECOND)
    end = past.facts.load_stopped.time if past.facts.load_stopped is not None else (past.facts.last_at or 0)
    limit = min([end - past.error, *(other.start.time for other in others if other.start.time >= stop)])
    if _quiet_moment(_late(past, spec, bound, -past.error, fair=False), stop, within, quiet, limit):
        return HOLDS, ""
    certain = [
        (start, min(end, limit))
        for start, end in _late(past, spec, bound, past.error, fair=True)
        if start < min(end, limit)
    ]
    if not _quiet_moment(certain, stop, within, quiet, None):
        return VIOLATED, ""
    return UNKNOWN, "the next fault or the end came too early to tell"


def _late(past: Past, spec: Subscription, bound: int, margin: int, *, fair: bool) -> list[Span]:
    """A message of s is *late* at t if it was acked or received, not dead, due more than the bound before t and not
    received by t. A positive margin keeps what is certainly late, a negative one what may be."""
    spans: list[Span] = []
    for sample in past.samples(spec.name):
        if sample.first is None and fair and spec.promises == "at-most-once":
            continue
        start = sample.due.time + bound + margin
        end = NEVER.time if sample.first is None else sample.first.time - margin
        if start < end:
            spans.append((start, end))
    return spans


def _quiet_moment(late: Sequence[Span], stop: int, within: int, quiet: int, limit: int | None) -> bool:
    """Whether some moment in [stop, stop + within] begins a quiet time in which no message is late and that is over by
    the limit. The first such moment is the stop itself or the end of a lateness."""
    moments = [stop, *(end for _, end in late if stop <= end <= stop + within)]
    return any(
        (limit is None or moment + quiet <= limit)
        and not any(start < moment + quiet and end > moment for start, end in late)
        for moment in moments
    )


CLAIMS: Mapping[str, Callable[[Court, Promise], Finding]] = {
    "no-loss": no_loss,
    "at-least-once": no_loss,
    "no-phantom": no_phantom,
    "exactly-once-delivery": exactly_once_delivery,
    "at-least-once-effect": at_least_once_effect,
    "exactly-once-effect": exactly_once_effect,
    "ordered-per-group": ordered_per_group,
    "ordered-per-partition": ordered_per_partition,
    "ordered-effects": ordered_effects,
    "fanout-complete": fanout_complete,
    "filter-correct": filter_correct,
    "dead-letter": dead_letter,
    "lag": lag,
    "recovery": recovery,
}


def rule(court: Court, promise: Promise) -> dict[str, Any]:
    """Violated beats unknown beats holds. Every claim is unknown, unless violated, when the run is `vacuous`, when the
    history is damaged (then even so), and when it checked nothing on a subscription that it covers."""
    finding = CLAIMS[promise.claim](court, promise)
    why = list(finding.unknown)
    why += [case.note for case in court.cases["vacuous"]]
    why += [f"checked nothing on {name}" for name in finding.covers if finding.checked.get(name, 0) == 0]
    checked = sum(finding.checked.values())
    if checked == 0:
        why.append("checked nothing")
    damaged = [f"{one.file}:{one.line} {one.reason}" for one in court.past.facts.damaged]
    if damaged:
        verdict, why = UNKNOWN, damaged
    elif finding.violated:
        verdict, why = VIOLATED, []
    else:
        verdict = UNKNOWN if why else HOLDS
    return {
        "claim": promise.claim,
        "verdict": verdict,
        "checked": checked,
        "anomalies": dict(finding.anomalies),
        "why": why,
    }


def latency(past: Past, subscription: str) -> dict[str, float | None]:
    lags = sorted(sample.lag_ns for sample in past.samples(subscription))
    if not lags:
        return {"p50": None, "p99": None, "max": None}
    return {name: quantile(percent, lags) / SECOND for name, percent in (("p50", 50), ("p99", 99), ("max", 100))}


def judge(run: Path) -> dict[str, Any]:
    """Judges a run directory. What is not one is a ValueError."""
    past = Past(read(run))
    court = Court(past=past, cases={name: find(past) for name, find in ANOMALIES.items()})
    claims = [rule(court, promise) for promise in past.facts.manifest.promises]
    verdicts = {claim["verdict"] for claim in claims}
    return {
        "verdict": next(verdict for verdict in (VIOLATED, UNKNOWN, HOLDS) if verdict in verdicts),
        "claims": claims,
        "anomalies": {name: len(cases) for name, cases in court.cases.items()},
        "latency_s": {name: latency(past, name) for name in past.subscriptions},
        "torn_lines": past.facts.torn_lines,
        "damaged": [{"file": one.file, "line": one.line, "reason": one.reason} for one in past.facts.damaged],
    }


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.reference.judge RUN", file=sys.stderr)
        return 2
    try:
        verdict = judge(Path(arguments[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(orjson.dumps(verdict, option=orjson.OPT_INDENT_2).decode())
    return {HOLDS: 0, VIOLATED: 1}.get(verdict["verdict"], 3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
