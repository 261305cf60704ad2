"""The claims: which anomalies violate each, what leaves it unknown, and what it has to have looked at.

A claim ends `holds`, `violated` or `unknown`; violated beats unknown beats holds. It is unknown, unless violated, when
the run proves nothing (`vacuous`) and when it checked nothing on a subscription that it covers; and unknown even then
when the history is damaged. Every unknown claim says what is missing and what would settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from gameday.history.manifest import Claim, Subscription
from gameday.verify import bounds
from gameday.verify.bounds import Facts, Ruling

_DAMAGES_MOST = 3
Covers = Callable[[Subscription], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """How often an anomaly was found: per subscription, per note of its check, before or after `effective_from`."""

    anomaly: str
    subscription: str | None
    note: str | None
    premature: bool
    never_received: bool
    count: int


@dataclass(kw_only=True, slots=True)
class State:
    """What was looked at on one subscription."""

    promised: Subscription
    drained: bool
    undrained_why: str
    read_back: bool
    effects: bool
    unknown_effects: int
    unknown_effects_unapplied: int


@dataclass(kw_only=True, slots=True)
class Evidence:
    """Everything that a ruling is made from."""

    db: duckdb.DuckDBPyConnection
    # What a query gives for this run: see Loaded.rows.
    rows: Callable[[str], list[tuple[Any, ...]]]
    findings: Sequence[Finding]
    states: Mapping[str, State]
    facts: Facts
    vacuous: Sequence[str]
    undeclared: Sequence[str]
    damaged: Sequence[str]
    # Records that the declared clocks say cannot be, each in a few words.
    contradictions: Sequence[str]
    claims: Sequence[Claim]


@dataclass(kw_only=True, slots=True)
class Judgement:
    """A claim's verdict with its evidence, as verdict.json shows it."""

    claim: Claim
    verdict: Ruling = "holds"
    checked: int = 0
    why: list[str] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)
    # Of a claim that leaves messages out: how many it might have looked at, and how many it left out for which reason.
    covers: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    # What a reader of the row should know besides: said in the verdict's notes.
    notes: list[str] = field(default_factory=list)

    def unknown(self, why: str) -> None:
        self.why.append(why)
        if self.verdict != "violated":
            self.verdict = "unknown"

    def violated(self, why: str | None = None) -> None:
        if why:
            self.why.append(why)
        self.verdict = "violated"

    def to_json(self) -> dict[str, Any]:
        holds = self.verdict == "holds" and self.checked
        return {
            "claim": self.claim.claim,
            "key": self.claim.key,
            **({"bounds": dict(self.claim.bounds)} if self.claim.bounds else {}),
            "verdict": self.verdict,
            "checked": self.checked,
            "rate_upper_95": min(1.0, 3 / self.checked) if holds else None,
            "why": self.why,
            "anomalies": self.anomalies,
            **({"covers": self.covers, "left_out": self.left_out} if self.covers is not None else {}),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A claim without a clock. `checked` is SQL giving (s, how many); `violated_by` names anomalies of any subscription
    that `covers` (or of every one, where `anywhere`)."""

    checked: str
    violated_by: tuple[str, ...]
    strict_adds: tuple[str, ...] = ()
    covers: Covers = lambda s: True
    anywhere: tuple[str, ...] = ()
    needs_drain: bool = False
    needs_effects: bool = False
    needs_replay: bool = False
    # How unknown effects leave it unknown: not at all, only where nothing is known to be applied, or any.
    unknown_effects: str = ""
    # Sends before `effective_from` are not judged.
    once_effective: bool = False
    # It speaks of the producer and of no subscription, so it asks whether the load came to its end.
    of_the_load: bool = False
    # It rests on no comparison of times that different writers read.
    timeless: bool = False


_DELIVERED = "SELECT s, count(*) FROM pairs p WHERE acked AND expected {once_effective} GROUP BY s"
_DUE_EFFECT = "SELECT s, count(*) FROM pairs WHERE expected AND (acked OR received) GROUP BY s"
_ORDERED = (
    "SELECT h.s, count(*) FROM preceded h JOIN subs u ON u.s = h.s WHERE h.asks = '{asks}' AND {ordered} GROUP BY h.s"
)
_EFFECTIVE = (
    "AND NOT EXISTS (SELECT 1 FROM subs u WHERE u.s = p.s AND p.intended_ns <= u.effective_from_ns + clock_error())"
)
_ORDER = ("nonmonotonic-delivery", "group-overtake", "nonmonotonic-send", "stored-out-of-order")

# What a check may note beside what it counts, and why the claim is unknown for it. `outside` a deduplication window is
# no violation at all.
_LEFT_OPEN: Mapping[str, str] = {
    "unknown": "some receives do not tell which copy it was, or when it was enqueued",
    "uncounted": "{anomaly} cannot be told: nothing counts the receives of some messages (`receives` is missing, or is "
    "the same each time)",
    "close": "{anomaly} cannot be told: records of different writers are no further apart than their clocks may differ "
    "(clock_error_ns)",
    "unread": "what looks like {anomaly} is one unless a message died unread; reading the dead letters to their end "
    "would settle it",
}

RULES: Mapping[str, Rule] = {
    "all-accepted": Rule(
        # As many messages as were intended: see _check_load.
        checked="SELECT s, 0 FROM subs",
        violated_by=("given-up",),
        covers=lambda s: False,
        of_the_load=True,
        timeless=True,
    ),
    "no-loss": Rule(
        checked=_DELIVERED.format(once_effective=""),
        violated_by=("lost", "vanished", "lost-on-redrive"),
        needs_drain=True,
    ),
    "no-phantom": Rule(
        checked="SELECT s, count(*) FROM rx GROUP BY s", violated_by=("phantom", "corrupt"), timeless=True
    ),
    "exactly-once-delivery": Rule(
        checked="SELECT s, count(*) FROM pairs WHERE received GROUP BY s",
        violated_by=("send-duplicate", "early-redelivery", "lost", "vanished"),
        needs_drain=True,
    ),
    "at-least-once-effect": Rule(
        checked=_DUE_EFFECT,
        violated_by=("effect-missing", "effect-lost"),
        needs_drain=True,
        needs_effects=True,
        unknown_effects="unapplied",
    ),
    "exactly-once-effect": Rule(
        checked=_DUE_EFFECT,
        violated_by=("effect-missing", "effect-lost", "effect-duplicate"),
        needs_drain=True,
        needs_effects=True,
        unknown_effects="any",
    ),
    "ordered-per-group": Rule(
        checked=_ORDERED.format(asks="received", ordered="u.ordered_by = 'group'"),
        violated_by=_ORDER,
        strict_adds=("dlq-gap",),
        covers=lambda s: s.ordered_by == "group",
    ),
    "ordered-per-partition": Rule(
        checked=_ORDERED.format(asks="received", ordered="u.ordered_by = 'partition'"),
        violated_by=(*(a for a in _ORDER if a != "group-overtake"), "child-before-parent"),
        strict_adds=("dlq-gap",),
        covers=lambda s: s.ordered_by == "partition",
    ),
    "ordered-effects": Rule(
        checked=_ORDERED.format(asks="stands", ordered="u.ordered_by IS NOT NULL"),
        violated_by=("effect-out-of-order", "stored-out-of-order"),
        covers=lambda s: s.ordered_by is not None,
        needs_effects=True,
        unknown_effects="any",
    ),
    "fanout-complete": Rule(
        checked=_DELIVERED.format(once_effective=_EFFECTIVE),
        violated_by=("lost",),
        needs_drain=True,
        once_effective=True,
    ),
    "replay-complete": Rule(
        checked="SELECT s, count(*) FROM to_replay GROUP BY s",
        violated_by=("replay-missing",),
        needs_drain=True,
        needs_replay=True,
    ),
    "filter-correct": Rule(
        checked=(
            "SELECT u.s, count(*) FROM messages m JOIN subs u ON u.run = m.run AND u.filtered "
            "AND NOT coalesce(m.intended_ns <= u.effective_from_ns + clock_error(), false) "
            "WHERE m.status = 'acked' GROUP BY u.s"
        ),
        violated_by=("misrouted", "lost"),
        covers=lambda s: s.filtered,
        anywhere=("misrouted",),
        needs_drain=True,
        once_effective=True,
    ),
    "dead-letter": Rule(
        checked=(
            "SELECT s, count(*) FROM pairs WHERE poison AND dead_letter AND expected AND (acked OR received) GROUP BY s"
        ),
        violated_by=("poison-escaped", "healthy-dead", "over-received"),
        strict_adds=("collateral-dead",),
        covers=lambda s: s.dead_letter,
        needs_drain=True,
    ),
}


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Rule on one claim."""
    judgement = Judgement(claim=claim)
    if claim.claim == "lag":
        _judge_lag(judgement, evidence)
    elif claim.claim == "recovery":
        _judge_recovery(judgement, evidence)
    else:
        _judge_rule(judgement, RULES[claim.claim], evidence)
    for name in evidence.undeclared:
        judgement.unknown(f"{name} is expected by messages, and the manifest does not say what is promised there")
    for reason in evidence.vacuous:
        judgement.unknown(f"the run proves nothing: {reason}")
    timeless = claim.claim in RULES and RULES[claim.claim].timeless
    if evidence.contradictions and not timeless:
        judgement.verdict = "unknown"
        judgement.why[:0] = evidence.contradictions
    if evidence.damaged:
        judgement.verdict = "unknown"
        more = len(evidence.damaged) - _DAMAGES_MOST
        judgement.why[:0] = [
            *(f"the history is damaged: {damage}" for damage in evidence.damaged[:_DAMAGES_MOST]),
            *([f"and {more:,} more places"] if more > 0 else []),
        ]
    return judgement


def _judge_rule(judgement: Judgement, rule: Rule, evidence: Evidence) -> None:
    covered = {name: state for name, state in evidence.states.items() if rule.covers(state.promised)}
    names = rule.violated_by + (rule.strict_adds if judgement.claim.bounds.get("strict") else ())
    judgement.anomalies = dict.fromkeys(names, 0)
    for finding in evidence.findings:
        state = evidence.states.get(finding.subscription or "")
        in_scope = state is None or rule.covers(state.promised) or finding.anomaly in rule.anywhere
        if not in_scope or (rule.once_effective and finding.premature):
            continue
        if finding.anomaly == "unseen" and "lost" in names:
            judgement.unknown(f"{finding.subscription}: {finding.count} acked, and neither received nor proven lost")
        if finding.anomaly not in names or finding.note == "outside":
            continue
        where = finding.subscription
        if finding.note is not None and finding.note in _LEFT_OPEN:
            judgement.unknown(f"{where}: {_LEFT_OPEN[finding.note].format(anomaly=finding.anomaly)}")
            continue
        judgement.anomalies[finding.anomaly] += finding.count
        if finding.never_received and state is not None and state.promised.promises == "at-most-once":
            judgement.unknown(f"{where}: {finding.count} never received, which an at-most-once subscription may do")
        else:
            judgement.violated()
    if rule.needs_replay and not evidence.rows("SELECT run, replay FROM replays WHERE ended"):
        judgement.unknown("no replay ran to its end")
    checked = dict(evidence.rows(f"SELECT u.run, c.* FROM ({rule.checked}) c JOIN subs u ON u.s = c.s"))
    if rule.of_the_load:
        _check_load(judgement, evidence)
    else:
        _check_coverage(judgement, evidence, covered, checked)
    for name, state in covered.items():
        if rule.needs_drain and not state.drained:
            judgement.unknown(f"{name} not drained: {state.undrained_why}")
        if rule.needs_effects and not state.effects:
            judgement.unknown(f"{name}: no effects recorded")
        unknown = {"": 0, "unapplied": state.unknown_effects_unapplied, "any": state.unknown_effects}
        if count := unknown[rule.unknown_effects]:
            judgement.unknown(
                f"{name}: {count} messages were received and nothing says whether their effect was applied; "
                "reading the effect store back would settle it"
            )


def _check_load(judgement: Judgement, evidence: Evidence) -> None:
    facts = evidence.facts
    judgement.checked = facts.intended
    if not judgement.checked:
        judgement.unknown("no message was intended")
    unknown = evidence.rows(
        "SELECT m.run, count(*) FROM messages m WHERE m.status = 'unknown' AND m.intended_ns IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM rx x WHERE x.id = m.id) GROUP BY m.run"
    )
    for (count,) in unknown:
        judgement.unknown(f"{count} messages: nobody knows whether they were accepted, and nobody received them")
    if not facts.load_ended:
        judgement.unknown("the load did not come to its end (no `load-stopped` mark that says how many were scheduled)")
    if facts.scheduled is not None and facts.intended < facts.scheduled:
        judgement.unknown(f"{facts.scheduled - facts.intended} of {facts.scheduled} scheduled messages were never sent")


def _check_coverage(
    judgement: Judgement, evidence: Evidence, covered: Mapping[str, State], checked: Mapping[str, int]
) -> None:
    judgement.checked = sum(checked.get(name, 0) for name in covered)
    if not covered:
        judgement.unknown(f"no subscription of this run is one that {judgement.claim.claim} speaks of")
    for name in covered:
        if not checked.get(name):
            judgement.unknown(f"{name}: nothing there to check")


def _judge_lag(judgement: Judgement, evidence: Evidence) -> None:
    claim = judgement.claim
    limits = {name: float(value) for name, value in claim.bounds.items() if name in bounds.QUANTILES}
    grace_s, whose = _grace(claim, evidence.claims)
    outcomes = {
        s: bounds.lag(evidence.db, s, evidence.facts, limits, grace_s=grace_s, during=claim.during)
        for s in evidence.states
    }
    _check_each(judgement, evidence, outcomes)
    judgement.covers = sum(outcome.covers for outcome in outcomes.values())
    if left_out := judgement.covers - judgement.checked:
        judgement.left_out = {"due around faults" if claim.during == "calm" else "not due around a fault": left_out}
    if claim.during != "all" and evidence.facts.faults:
        judgement.notes.append(f"around a fault: from its start to {grace_s:g} s after its stop ({whose})")


def _grace(claim: Claim, claims: Sequence[Claim]) -> tuple[float, str]:
    """How long after a fault messages still stand in its shadow, in seconds, and whose number that is."""
    if (own := claim.seconds("grace_s")) is not None:
        return own, "the claim's grace"
    for other in claims:
        if other.claim == "recovery" and (within := other.seconds("within_s")) is not None:
            return within, "recovery's within, for the claim has no grace"
    return bounds.DEFAULT_GRACE_S, "the default grace"


def _judge_recovery(judgement: Judgement, evidence: Evidence) -> None:
    within_s = judgement.claim.bounds.get("within_s")
    if within_s is None:
        judgement.unknown("recovery has no bound: give within_s")
        return
    given = [
        float(value)
        for claim in evidence.claims
        if claim.claim == "lag" and claim.during == "calm"
        for name, value in claim.bounds.items()
        if name in bounds.QUANTILES
    ]
    outcomes = {}
    rulings: dict[str, list[Ruling]] = {fault.name: [] for fault in evidence.facts.faults}
    for name, state in evidence.states.items():
        outcomes[name], found = bounds.recovery(
            evidence.db,
            name,
            state.promised.visibility_timeout_s,
            evidence.facts,
            float(within_s),
            max(given, default=None),
        )
        for fault, ruling in found.items():
            rulings[fault].append(ruling)
    _check_each(judgement, evidence, outcomes)
    judgement.checked = sum(
        "violated" in found or (found != [] and "unknown" not in found) for found in rulings.values()
    )
    if not evidence.facts.faults:
        judgement.unknown("no fault to recover from")


def _check_each(judgement: Judgement, evidence: Evidence, outcomes: Mapping[str, bounds.Outcome]) -> None:
    if not outcomes:
        judgement.unknown("the run has no subscription")
    for outcome in outcomes.values():
        judgement.checked += outcome.checked
        judgement.why += outcome.why
        if outcome.ruling == "violated" or judgement.verdict == "violated":
            judgement.verdict = "violated"
        elif outcome.ruling == "unknown":
            judgement.verdict = "unknown"
