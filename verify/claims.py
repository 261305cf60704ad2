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

from history.manifest import Claim, Subscription
from verify import bounds
from verify.bounds import Facts, Ruling

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
    findings: Sequence[Finding]
    states: Mapping[str, State]
    facts: Facts
    vacuous: Sequence[str]
    undeclared: Sequence[str]
    damaged: Sequence[str]
    claims: Sequence[Claim]


@dataclass(kw_only=True, slots=True)
class Judgement:
    """A claim's verdict with its evidence, as verdict.json shows it."""

    claim: Claim
    verdict: Ruling = "holds"
    checked: int = 0
    why: list[str] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)

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
            **({"bounds": dict(self.claim.bounds)} if self.claim.bounds else {}),
            "verdict": self.verdict,
            "checked": self.checked,
            "rate_upper_95": min(1.0, 3 / self.checked) if holds else None,
            "why": self.why,
            "anomalies": self.anomalies,
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


_DELIVERED = "SELECT s, count(*) FROM pairs p WHERE acked AND expected {once_effective} GROUP BY s"
_DUE_EFFECT = "SELECT s, count(*) FROM pairs WHERE expected AND (acked OR received) GROUP BY s"
_ORDERED = (
    "SELECT h.s, count(*) FROM having_one_before('{rows}') h JOIN subs u ON u.s = h.s WHERE {ordered} GROUP BY h.s"
)
_EFFECTIVE = (
    "AND NOT EXISTS (SELECT 1 FROM subs u WHERE u.s = p.s AND p.intended_ns <= u.effective_from_ns + clock_error())"
)
_ORDER = ("nonmonotonic-delivery", "group-overtake", "nonmonotonic-send", "stored-out-of-order")

RULES: Mapping[str, Rule] = {
    "no-loss": Rule(
        checked=_DELIVERED.format(once_effective=""),
        violated_by=("lost", "vanished", "lost-on-redrive"),
        needs_drain=True,
    ),
    "no-phantom": Rule(checked="SELECT s, count(*) FROM rx GROUP BY s", violated_by=("phantom", "corrupt")),
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
        checked=_ORDERED.format(rows="first_receives", ordered="u.ordered_by = 'group'"),
        violated_by=_ORDER,
        strict_adds=("dlq-gap",),
        covers=lambda s: s.ordered_by == "group",
    ),
    "ordered-per-partition": Rule(
        checked=_ORDERED.format(rows="first_receives", ordered="u.ordered_by = 'partition'"),
        violated_by=(*(a for a in _ORDER if a != "group-overtake"), "child-before-parent"),
        strict_adds=("dlq-gap",),
        covers=lambda s: s.ordered_by == "partition",
    ),
    "ordered-effects": Rule(
        checked=_ORDERED.format(rows="applied", ordered="u.ordered_by IS NOT NULL"),
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
            "SELECT u.s, count(*) FROM messages m JOIN subs u ON u.filtered "
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
    if evidence.damaged:
        judgement.verdict = "unknown"
        judgement.why[:0] = [f"the history is damaged: {damage}" for damage in evidence.damaged[:3]]
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
        if finding.note == "unknown":
            judgement.unknown(f"{where}: some receives do not tell which copy it was, or when it was enqueued")
            continue
        if finding.note == "unread":
            judgement.unknown(
                f"{where}: what looks like {finding.anomaly} is one unless a message died unread; "
                "reading the dead letters to their end would settle it"
            )
            continue
        judgement.anomalies[finding.anomaly] += finding.count
        if finding.never_received and state is not None and state.promised.promises == "at-most-once":
            judgement.unknown(f"{where}: {finding.count} never received, which an at-most-once subscription may do")
        else:
            judgement.violated()
    if rule.needs_replay and not evidence.db.execute("SELECT 1 FROM replays WHERE ended").fetchone():
        judgement.unknown("no replay ran to its end")
    _check_coverage(judgement, evidence, covered, dict(evidence.db.execute(rule.checked).fetchall()))
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
    limits = {name: float(value) for name, value in judgement.claim.bounds.items() if name in bounds.QUANTILES}
    within = next((c.bounds.get("within_s") for c in evidence.claims if c.claim == "recovery"), None)
    grace_s = float(judgement.claim.bounds.get("grace_s", within if within is not None else bounds.DEFAULT_GRACE_S))
    _check_each(
        judgement,
        evidence,
        {s: bounds.lag(evidence.db, s, evidence.facts, limits, grace_s) for s in evidence.states},
    )


def _judge_recovery(judgement: Judgement, evidence: Evidence) -> None:
    within_s = judgement.claim.bounds.get("within_s")
    if within_s is None:
        judgement.unknown("recovery has no bound: give within_s")
        return
    given = [
        float(value)
        for claim in evidence.claims
        if claim.claim == "lag"
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
