"""The claims: which anomalies violate each, what leaves it unknown, and what it has to have looked at.

A claim ends `holds`, `violated` or `unknown`; violated beats unknown beats holds. It is unknown, unless violated, when
the run proves nothing (`vacuous`) and when it checked nothing on a subscription that it covers; and unknown even then
when the history is damaged. Every unknown claim says what is missing and what would settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from gameday.history.manifest import Claim, Subscription, WorkflowKind
from gameday.verify import bounds, execution_lag, fairness
from gameday.verify.bounds import Facts, Ruling
from gameday.verify.load import in_a_line

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
    # Of effects that stand elsewhere: why nobody knows them.
    unread_why: str | None
    unknown_effects: int
    unknown_effects_unapplied: int
    # Messages whose effects were read back under a key that another one has, too.
    shared_keys: int
    # Messages whose effects the store alone tells, where no consumer would.
    effects_untimed: int
    # Healthy dead letters of which nobody knows whether a handler failed them.
    deaths_untold: int
    # Messages that were received there, where others use it, too, and that they may have had as well.
    half_seen: int
    # Records that do not tell their message and cannot be told it, by what they are.
    unidentified: Mapping[str, int]

    @property
    def unheard(self) -> bool:
        """Nobody records who receives what."""
        return self.promised.seen_from == "nobody"


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
    # Hosts whose clocks nobody knows, each in a sentence.
    unsynchronised: Sequence[str]
    claims: Sequence[Claim]
    # The checks that could not be carried out, each with the reason.
    failed: Mapping[str, str]


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
    # What violates it, as it was found: each message of these broke the claim.
    broken_by: list[Finding] = field(default_factory=list)

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
class Requirement:
    """What must have been looked at for a claim to hold.

    `unknown_when` says in a few words when it was not; `unmet` gives the reasons, from the evidence and the
    subscriptions that the claim covers.
    """

    unknown_when: str
    unmet: Callable[[Evidence, Mapping[str, State]], Iterator[str]]


def _undrained(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if not state.drained:
            yield f"{name} not drained: {state.undrained_why}"


def _unrecorded(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if state.unread_why is not None:
            yield f"{name}: its effects were not read back: {state.unread_why}"
        elif not state.effects:
            yield f"{name}: no effects recorded"


def _effects_unknown(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if state.unknown_effects and state.unread_why is None:
            yield f"{name}: {state.unknown_effects} {_nothing_says(state)}"
        yield from _shared_keys(name, state)


def _none_known_applied(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if state.unknown_effects_unapplied and state.unread_why is None:
            yield f"{name}: {state.unknown_effects_unapplied} {_nothing_says(state)}"
        yield from _shared_keys(name, state)


def _nothing_says(state: State) -> str:
    who = "were accepted" if state.unheard else "were received, or may have been,"
    if not state.unheard and not any(state.unidentified.values()):
        who = "were received"
    return (
        f"messages {who} and nothing says whether their effect was applied; reading the effect store back would settle "
        "it"
    )


def _shared_keys(name: str, state: State) -> Iterator[str]:
    if state.shared_keys:
        yield (
            f"{name}: {state.shared_keys} messages share the `key` of their effects with another one, so nobody knows "
            "whose were read back; a key of their own would settle it"
        )


def _deaths_untold(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if state.deaths_untold:
            yield (
                f"{name}: {state.deaths_untold} messages died that are not poison, and nobody tells whether a handler "
                f"failed them (seen_from: {state.promised.seen_from}); an `effect` record of each handling would"
            )


def _no_replay(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    if not evidence.rows("SELECT run, replay FROM replays WHERE ended"):
        yield "no replay ran to its end"


def _load_unknown(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    facts = evidence.facts
    if not facts.intended:
        yield "no message was intended"
    unknown = evidence.rows(
        "SELECT m.run, count(*) FROM messages m WHERE m.status = 'unknown' AND m.intended_ns IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM pairs p WHERE p.id = m.id AND p.received) GROUP BY m.run"
    )
    for (count,) in unknown:
        yield f"{count} messages: nobody knows whether they were accepted, and nobody received them"
    if not facts.load_ended:
        yield "the load did not come to its end (no `load-stopped` mark that says how many were scheduled)"
    if facts.scheduled is not None and facts.intended < facts.scheduled:
        yield f"{facts.scheduled - facts.intended} of {facts.scheduled} scheduled messages were never sent"


DRAINED = Requirement(unknown_when="not drained", unmet=_undrained)
EFFECTS = Requirement(unknown_when="no effects recorded", unmet=_unrecorded)
EFFECTS_KNOWN = Requirement(unknown_when="any unknown effect", unmet=_effects_unknown)
APPLIED_KNOWN = Requirement(unknown_when="an unknown effect of a message with none applied", unmet=_none_known_applied)


def _untimed(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for name, state in covered.items():
        if state.effects_untimed:
            yield (
                f"{name}: {state.effects_untimed} messages have their effect in the store, and nobody recorded when it "
                f"was applied (seen_from: {state.promised.seen_from}); an `effect` record of each handling would"
            )


EFFECTS_TIMED = Requirement(unknown_when="an effect that the store alone tells of, and no consumer", unmet=_untimed)
CAUSES_TOLD = Requirement(
    unknown_when="a healthy dead letter of which nobody tells whether a handler failed it", unmet=_deaths_untold
)
REPLAYED = Requirement(unknown_when="no replay ran to its end", unmet=_no_replay)
LOAD_KNOWN = Requirement(
    unknown_when="an outcome that nobody knows; fewer intended than scheduled; the load never came to its end",
    unmet=_load_unknown,
)


def _objects_unread(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    if not evidence.rows("SELECT run, bounded FROM objects_read"):
        yield (
            "nothing says which objects were left after all that was received (no `objects-read` mark): a list of them "
            "at the end would settle it"
        )


def _counted(query: str, what: str) -> Callable[[Evidence, Mapping[str, State]], Iterator[str]]:
    """Of each covered subscription that `query`, SQL giving (run, s, count), has: that there is so much of `what`."""

    def unmet(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
        for name, count in evidence.rows(f"{query} GROUP BY run, s ORDER BY s"):
            if name in covered:
                yield f"{name}: {count} {what}"

    return unmet


OBJECTS_READ = Requirement(unknown_when="the objects that are left were not listed", unmet=_objects_unread)
FETCHED = Requirement(
    unknown_when="a reference that was received and never fetched",
    unmet=_counted(
        "SELECT run, s, count(*) FROM claim_checks WHERE received AND NOT looked",
        "references were received and nobody is known to have asked for their object",
    ),
)
COMPARED = Requirement(
    unknown_when="a reference whose object nobody held against its checksum",
    unmet=_counted(
        "SELECT run, s, count(*) FROM claim_checks WHERE received AND compared = 0",
        "references were received whose object nobody held against its checksum",
    ),
)
VALIDATED = Requirement(
    unknown_when="a message of which nothing says whether it fits its schema",
    unmet=_counted(
        "SELECT run, s, count(*) FROM conformity WHERE told = 0",
        "messages were received, and nothing says whether they fit their schema (`schema` of `received` or `fetched`)",
    ),
)


def _executions_unread(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    if not evidence.rows("SELECT run, 1 FROM executions_read"):
        yield "the executions were not read after the last start (no `executions-read` mark)"


def _steps_unrecorded(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    known = {s for (s,) in evidence.rows("SELECT u.run, r.s FROM steps_recorded r JOIN subs u ON u.s = r.s")}
    for name in covered:
        if name not in known:
            yield f"{name}: no effects of its tasks recorded"


def _items_untold(evidence: Evidence, covered: Mapping[str, State]) -> Iterator[str]:
    for (count,) in evidence.rows("SELECT run, count(*) FROM mapped WHERE items IS NULL GROUP BY run"):
        yield f"of {count} executions nobody told how many items there were (`items` of `intended`)"


EXECUTIONS_READ = Requirement(unknown_when="executions not read", unmet=_executions_unread)
STEPS = Requirement(unknown_when="no effects of tasks recorded", unmet=_steps_unrecorded)
STEPS_KNOWN = Requirement(
    unknown_when="any unknown effect of a task",
    unmet=_counted(
        "SELECT run, s, count(*) FROM tasks WHERE unknown",
        "tasks were received and nothing says whether their effect was applied; reading the effect store back would "
        "settle it",
    ),
)
COPIES_TOLD = Requirement(
    unknown_when="a task of which nobody told which message asked for it",
    unmet=_counted(
        "SELECT run, s, count(*) FROM tasks WHERE nameless",
        "tasks were received, and nothing tells by which message (`broker_id`), so that nobody knows how often each "
        "was asked for",
    ),
)
ITEMS_TOLD = Requirement(unknown_when="an execution of which nobody told its items", unmet=_items_untold)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A claim without a clock. `checked` is SQL giving (s, how many); `violated_by` names anomalies of any subscription
    that `covers` (or of every one, where `anywhere`)."""

    checked: str
    violated_by: tuple[str, ...]
    strict_adds: tuple[str, ...] = ()
    covers: Covers = lambda s: True
    anywhere: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()
    # Sends before `effective_from` are not judged.
    once_effective: bool = False
    # It speaks of the producer and of no subscription.
    of_the_load: bool = False
    # It speaks of workflows of that kind alone.
    workflow: WorkflowKind | None = None
    # It speaks of executions and of no subscription.
    of_executions: bool = False
    # Without it (seen_from: nobody) it can be judged: by what was sent and what was read back.
    rests_on_receives: bool = True
    # It rests on no comparison of times that different writers read.
    timeless: bool = False
    # Of what violates it only that with this note does.
    noted: str | None = None
    # Anomalies that violate nothing here, and leave it unknown by what they leave open.
    left_open_by: tuple[str, ...] = ()


def _invoked(promised: Subscription) -> bool:
    """Functions are invoked for it, and somebody records that."""
    return promised.settled_by == "service" or promised.invocations == "all"


_UNHEARD = "nobody recorded what was received there (seen_from: nobody)"
_DELIVERED = "SELECT s, count(*) FROM pairs p WHERE acked AND expected {once_effective} GROUP BY s"
_DUE_EFFECT = "SELECT s, count(*) FROM pairs WHERE expected AND (acked OR received) GROUP BY s"
_ORDERED = (
    "SELECT h.s, count(*) FROM preceded h JOIN subs u ON u.s = h.s WHERE h.asks = '{asks}' AND {ordered} GROUP BY h.s"
)
_EFFECTIVE = (
    "AND NOT EXISTS (SELECT 1 FROM subs u WHERE u.s = p.s AND p.intended_ns <= u.effective_from_ns + clock_error())"
)
_WHOLE = "AND NOT EXISTS (SELECT 1 FROM cut_short c WHERE c.s = p.s AND c.id = p.id)"
_ACKED = "SELECT run, count(*) FROM messages WHERE status = 'acked' GROUP BY run"


def _is_step(promised: Subscription) -> bool:
    return promised.step is not None


_ORDER = ("nonmonotonic-delivery", "group-overtake", "nonmonotonic-send", "stored-out-of-order")

# What a check may note beside what it counts, and why the claim is unknown for it. `outside` a deduplication window is
# no violation at all.
_LEFT_OPEN: Mapping[str, str] = {
    "unknown": "some receives do not tell which copy it was, or when it was enqueued",
    "uncounted": "{anomaly} cannot be told: nothing counts the receives of some messages (`receives` is missing, or is "
    "the same each time)",
    "close": "{anomaly} cannot be told: records of different writers are no further apart than their clocks may differ "
    "(clock_error_ns)",
    "given back": "{anomaly} cannot be told: messages came again too soon that the service may have given back, for "
    "a function's answer may be lost after it was recorded; who records every invocation (invocations: all) would "
    "settle it",
    "origin": "some messages were received by functions that did not record where they came from; it may have been a "
    "replay",
    "unrecorded": "some messages died with fewer invocations on record than they may have receives, and a function "
    "that died before it wrote left none; who records every invocation (invocations: all) would settle it",
    "unanswered": "some messages are gone that no invocation is known to have done, and some gave no answer on record",
    "unread": "what looks like {anomaly} is one unless a message died unread; reading the dead letters to their end "
    "would settle it",
}

RULES: Mapping[str, Rule] = {
    "all-accepted": Rule(
        checked="",
        violated_by=("given-up",),
        covers=lambda s: False,
        requires=(LOAD_KNOWN,),
        of_the_load=True,
        rests_on_receives=False,
        timeless=True,
    ),
    "no-loss": Rule(
        checked=_DELIVERED.format(once_effective=_WHOLE),
        violated_by=("lost", "vanished", "lost-on-redrive"),
        requires=(DRAINED,),
    ),
    "no-phantom": Rule(
        checked="SELECT s, sum(receives)::BIGINT FROM pairs WHERE received GROUP BY s",
        violated_by=("phantom", "corrupt"),
        timeless=True,
    ),
    "exactly-once-delivery": Rule(
        checked="SELECT s, count(*) FROM pairs WHERE received GROUP BY s",
        violated_by=("send-duplicate", "early-redelivery", "lost", "vanished"),
        requires=(DRAINED,),
    ),
    "at-least-once-effect": Rule(
        checked=_DUE_EFFECT,
        violated_by=("effect-missing", "effect-lost"),
        requires=(DRAINED, EFFECTS, APPLIED_KNOWN),
        rests_on_receives=False,
    ),
    "exactly-once-effect": Rule(
        checked=_DUE_EFFECT,
        violated_by=("effect-missing", "effect-lost", "effect-duplicate"),
        requires=(DRAINED, EFFECTS, EFFECTS_KNOWN),
        rests_on_receives=False,
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
        requires=(EFFECTS, EFFECTS_KNOWN, EFFECTS_TIMED),
    ),
    "fanout-complete": Rule(
        checked=_DELIVERED.format(once_effective=f"{_EFFECTIVE} {_WHOLE}"),
        violated_by=("lost",),
        requires=(DRAINED,),
        once_effective=True,
    ),
    "replay-complete": Rule(
        checked="SELECT s, count(*) FROM to_replay GROUP BY s",
        violated_by=("replay-missing",),
        requires=(DRAINED, REPLAYED),
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
        requires=(DRAINED,),
        once_effective=True,
    ),
    "dead-letter": Rule(
        checked=(
            "SELECT s, count(*) FROM pairs WHERE poison AND dead_letter AND expected AND (acked OR received) GROUP BY s"
        ),
        violated_by=("poison-escaped", "healthy-dead", "over-received"),
        strict_adds=("collateral-dead",),
        covers=lambda s: s.dead_letter,
        requires=(DRAINED, CAUSES_TOLD),
    ),
    "batch-isolation": Rule(
        checked=("SELECT s, count(DISTINCT id) FROM handlings WHERE done GROUP BY s"),
        violated_by=("early-redelivery",),
        covers=lambda s: _invoked(s) and s.kind == "queue" and s.dedup_window_s is not None,
        noted="reported done",
        left_open_by=("batch-rerun",),
    ),
    "esm-ordered": Rule(
        checked=_ORDERED.format(asks="received", ordered="u.ordered_by IS NOT NULL"),
        violated_by=("nonmonotonic-delivery", "group-overtake", "concurrent-invocation"),
        covers=lambda s: s.settled_by == "service" and s.ordered_by is not None,
    ),
    "no-premature-death": Rule(
        checked=_DUE_EFFECT,
        violated_by=("premature-death",),
        covers=lambda s: _invoked(s) and s.kind == "queue" and s.dead_letter and s.max_receives is not None,
        requires=(DRAINED,),
    ),
    "discard-accounted": Rule(
        checked=_DUE_EFFECT,
        violated_by=("discarded",),
        covers=lambda s: s.settled_by == "service",
        requires=(DRAINED,),
    ),
    "no-dangling-reference": Rule(
        checked="SELECT s, count(*) FROM claim_checks WHERE received GROUP BY s",
        violated_by=("dangling-reference",),
        covers=lambda s: s.kind == "queue",
        requires=(DRAINED, FETCHED),
    ),
    "no-orphan": Rule(
        checked="SELECT s, count(*) FROM claim_checks WHERE expected AND stored GROUP BY s",
        violated_by=("orphan",),
        requires=(DRAINED, OBJECTS_READ),
    ),
    "payload-intact": Rule(
        checked="SELECT s, sum(compared)::BIGINT FROM claim_checks GROUP BY s",
        violated_by=("corrupt-object",),
        requires=(COMPARED,),
        timeless=True,
    ),
    "schema-conformant": Rule(
        checked="SELECT s, sum(told)::BIGINT FROM conformity GROUP BY s",
        violated_by=("schema-bad",),
        requires=(VALIDATED,),
        timeless=True,
    ),
    "exactly-once-execution": Rule(
        checked="",
        violated_by=("execution-duplicate", "execution-missing", "start-refused"),
        covers=lambda s: False,
        requires=(EXECUTIONS_READ,),
        workflow="standard",
        of_executions=True,
        rests_on_receives=False,
    ),
    "at-least-once-execution": Rule(
        checked=_DELIVERED.format(once_effective=""),
        violated_by=("execution-unseen",),
        covers=_is_step,
        requires=(DRAINED,),
        workflow="express",
    ),
    "at-most-once-execution": Rule(
        checked="SELECT s, count(*) FROM tasks WHERE received GROUP BY s",
        violated_by=("execution-repeated", "start-repeated", "task-repeated"),
        covers=lambda s: s.step is not None and not s.retried,
        requires=(DRAINED, COPIES_TOLD),
        workflow="express-sync",
    ),
    "redrive-no-rerun": Rule(
        checked="SELECT s, count(*) FROM tasks WHERE received AND over_before_redrive GROUP BY s",
        violated_by=("redrive-rerun",),
        covers=lambda s: s.step is not None and not s.retried and bool(s.followed_by),
        requires=(DRAINED, EXECUTIONS_READ, COPIES_TOLD),
        workflow="standard",
    ),
    "exactly-once-step-effect": Rule(
        checked="SELECT s, count(*) FROM tasks GROUP BY s",
        violated_by=("step-effect-duplicate", "step-effect-missing"),
        covers=_is_step,
        requires=(DRAINED, STEPS, STEPS_KNOWN),
    ),
    "callback-once": Rule(
        checked="SELECT s, count(*) FROM tokens WHERE NOT (accepted > 0 AND unsure) GROUP BY s",
        violated_by=("token-accepted-twice", "token-answered-again"),
        covers=lambda s: s.step == "callback",
    ),
    "map-complete": Rule(
        checked=(
            "SELECT u.s, coalesce(sum(m.items), 0)::BIGINT FROM mapped m "
            "JOIN subs u ON u.run = m.run AND u.per_item GROUP BY u.s"
        ),
        violated_by=("item-missing",),
        covers=lambda s: s.per_item,
        requires=(DRAINED, ITEMS_TOLD),
    ),
}
# What befalls tasks and tokens violates where a message need not come at all, too.
_OF_TASKS = frozenset(
    anomaly
    for claim in ("exactly-once-step-effect", "callback-once", "map-complete", "redrive-no-rerun")
    for anomaly in RULES[claim].violated_by
)


def _judge_execution_lag(judgement: Judgement, evidence: Evidence) -> None:
    kinds = [kind for (kind,) in evidence.rows("SELECT run, workflow FROM runs")]
    if not {*kinds} & {"standard", "express-sync"}:
        judgement.unknown("this run has no workflow of which anybody tells how its executions went")
        return
    unread = [] if kinds == ["express-sync"] else list(_executions_unread(evidence, {}))
    ruled = execution_lag.judge(
        evidence.rows,
        evidence.facts,
        {name: float(value) for name, value in judgement.claim.bounds.items()},
        unread,
    )
    judgement.verdict, judgement.checked, judgement.why = ruled.ruling, ruled.checked, ruled.why


def anomalies_against(claim: Claim) -> list[str]:
    """What violates this claim; nothing for one with a clock (lag, recovery, fair)."""
    rule = RULES.get(claim.claim)
    return [] if rule is None else [*rule.violated_by, *(rule.strict_adds if claim.bounds.get("strict") else ())]


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Rule on one claim."""
    judgement = Judgement(claim=claim)
    if claim.claim == "lag":
        _judge_lag(judgement, evidence)
    elif claim.claim == "recovery":
        _judge_recovery(judgement, evidence)
    elif claim.claim == "fair":
        _judge_fair(judgement, evidence)
    elif claim.claim in _OF_EXECUTIONS:
        try:
            _OF_EXECUTIONS[claim.claim](judgement, evidence)
        except duckdb.Error as error:
            judgement.unknown(f"how long executions took could not be told: {in_a_line(error)}")
    else:
        _judge_rule(judgement, RULES[claim.claim], evidence)
    for name in evidence.undeclared:
        judgement.unknown(f"{name} is expected by messages, and the manifest does not say what is promised there")
    for reason in evidence.vacuous:
        judgement.unknown(f"the run proves nothing: {reason}")
    if "vacuous" in evidence.failed:
        judgement.unknown(f"nothing tells whether the run proves anything: {evidence.failed['vacuous']}")
    timeless = claim.claim in RULES and RULES[claim.claim].timeless
    if evidence.unsynchronised and judgement.verdict != "violated" and (evidence.vacuous or not timeless):
        # What proves nothing, for that hosts' times cannot be compared, is no fault of the claim's own.
        judgement.verdict = "unknown"
        judgement.why[:0] = evidence.unsynchronised
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
    names = anomalies_against(judgement.claim)
    judgement.anomalies = dict.fromkeys(names, 0)
    for finding in evidence.findings:
        state = evidence.states.get(finding.subscription or "")
        in_scope = state is None or rule.covers(state.promised) or finding.anomaly in rule.anywhere
        if not in_scope or (rule.once_effective and finding.premature):
            continue
        if finding.anomaly == "unseen" and "lost" in names:
            judgement.unknown(f"{finding.subscription}: {finding.count} acked, and neither received nor proven lost")
        left_open = finding.note in _LEFT_OPEN
        if finding.anomaly not in names and not (left_open and finding.anomaly in rule.left_open_by):
            continue
        if finding.note == "outside":
            continue
        if rule.noted and finding.anomaly in names and finding.note not in (rule.noted, "close", "given back"):
            continue
        where = finding.subscription
        if finding.note is not None and left_open:
            judgement.unknown(f"{where}: {_LEFT_OPEN[finding.note].format(anomaly=finding.anomaly)}")
            continue
        judgement.anomalies[finding.anomaly] += finding.count
        excusable = finding.never_received and finding.anomaly not in _OF_TASKS
        if excusable and state is not None and state.promised.promises == "at-most-once":
            judgement.unknown(f"{where}: {finding.count} never received, which an at-most-once subscription may do")
        else:
            judgement.violated()
            judgement.broken_by.append(finding)
    for name in (*names, *rule.left_open_by, *(["unseen"] if "lost" in names else [])):
        if name in evidence.failed:
            judgement.unknown(f"the check {name} could not be carried out: {evidence.failed[name]}")
    if rule.of_the_load:
        judgement.checked = evidence.facts.intended
    elif rule.of_executions:
        (judgement.checked,) = next(iter(evidence.rows(_ACKED)), (0,))
        if not judgement.checked:
            judgement.unknown("no start was accepted, so there is nothing to check")
    else:
        _check_coverage(judgement, evidence, covered, rule)
        _check_unidentified(judgement, covered)
        if not rule.timeless:
            _check_half_seen(judgement, covered)
    if rule.workflow is not None and evidence.rows("SELECT run, workflow FROM runs") != [(rule.workflow,)]:
        judgement.unknown(f"this run has no {rule.workflow} workflow")
    for requirement in rule.requires:
        try:
            for why in requirement.unmet(evidence, covered):
                judgement.unknown(why)
        except duckdb.Error as error:
            judgement.unknown(f"whether it was looked at could not be told: {in_a_line(error)}")


def _check_unidentified(judgement: Judgement, covered: Mapping[str, State]) -> None:
    for name, state in covered.items():
        for what, count in state.unidentified.items():
            if count:
                judgement.unknown(
                    f"{name}: {count} {what} cannot be told: they have no `id`, and no answer to a send names what "
                    "they are of, so their sends may be those that were never answered; an id in the body or in an "
                    "attribute would settle it"
                )


def _check_half_seen(judgement: Judgement, covered: Mapping[str, State]) -> None:
    for name, state in covered.items():
        if state.half_seen:
            judgement.unknown(
                f"{name}: others use it, too (a `foreign` mark), and may have had {state.half_seen} of the messages "
                "that were received there; a queue of the run's own would settle it"
            )


def _check_coverage(judgement: Judgement, evidence: Evidence, covered: Mapping[str, State], rule: Rule) -> None:
    try:
        checked = dict(evidence.rows(f"SELECT u.run, c.* FROM ({rule.checked}) c JOIN subs u ON u.s = c.s"))
    except duckdb.Error as error:
        judgement.unknown(f"what there was to check could not be counted: {in_a_line(error)}")
        return
    judgement.checked = sum(checked.get(name, 0) for name in covered)
    if not covered:
        judgement.unknown(f"no subscription of this run is one that {judgement.claim.claim} speaks of")
    for name, state in covered.items():
        if state.unheard and rule.rests_on_receives:
            judgement.unknown(f"{name}: {_UNHEARD}")
        elif not checked.get(name):
            judgement.unknown(f"{name}: nothing there to check")


def _judge_lag(judgement: Judgement, evidence: Evidence) -> None:
    claim = judgement.claim
    limits = {name: float(value) for name, value in claim.bounds.items() if name in bounds.QUANTILES}
    grace_s, whose = _grace(claim, evidence.claims)
    outcomes = {
        s: _unheard(s)
        if state.unheard
        else bounds.lag(evidence.db, s, evidence.facts, limits, grace_s=grace_s, during=claim.during)
        for s, state in evidence.states.items()
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


def late_bound_s(claims: Sequence[Claim]) -> float | None:
    """How late counts as late for `recovery`, where the claims say it: the largest bound of `lag` away from faults."""
    given = [
        float(value)
        for claim in claims
        if claim.claim == "lag" and claim.during == "calm"
        for name, value in claim.bounds.items()
        if name in bounds.QUANTILES
    ]
    return max(given, default=None)


def _judge_recovery(judgement: Judgement, evidence: Evidence) -> None:
    within_s = judgement.claim.bounds.get("within_s")
    if within_s is None:
        judgement.unknown("recovery has no bound: give within_s")
        return
    outcomes = {}
    rulings: dict[str, list[Ruling]] = {fault.name: [] for fault in evidence.facts.faults}
    for name, state in evidence.states.items():
        if state.unheard:
            outcomes[name] = _unheard(name)
            for fault in rulings:
                rulings[fault].append("unknown")
            continue
        outcomes[name], found = bounds.recovery(
            evidence.db,
            name,
            state.promised.visibility_timeout_s,
            evidence.facts,
            float(within_s),
            late_bound_s(evidence.claims),
        )
        for fault, ruling in found.items():
            rulings[fault].append(ruling)
    _check_each(judgement, evidence, outcomes)
    judgement.checked = sum(
        "violated" in found or (found != [] and "unknown" not in found) for found in rulings.values()
    )
    if not evidence.facts.faults:
        judgement.unknown("no fault to recover from")


def _judge_fair(judgement: Judgement, evidence: Evidence) -> None:
    limits = {name: float(value) for name, value in judgement.claim.bounds.items() if name in fairness.BOUNDS}
    if not limits:
        judgement.unknown("fair has no bound: give quiet_p99_s or times_baseline")
        return
    outcomes = {
        s: _unheard(s) if state.unheard else fairness.fair(evidence.db, s, evidence.facts, limits)
        for s, state in evidence.states.items()
    }
    _check_each(judgement, evidence, outcomes)


# Of each execution: whether it ended, how long that took by the service's clock, and by ours how long after its start
# was answered it was last seen to run.
_LASTED = (
    "SELECT run, stopped, last.status, last.stopped_ns - last.started_ns, "
    "last.at_ns - answered.at_ns - CASE WHEN last.file = answered.file THEN 0 ELSE clock_error() END "
    "FROM executions WHERE last IS NOT NULL"
)


def _judge_hung(judgement: Judgement, evidence: Evidence) -> None:
    within_s = judgement.claim.seconds("within_s")
    if within_s is None:
        judgement.unknown("no-hung-execution has no bound: give within_s")
        return
    if not evidence.rows("SELECT run, workflow FROM runs WHERE workflow = 'standard'"):
        judgement.unknown("this run has no standard workflow")
        return
    within_ns, open_ones, untold, hung, left_out = bounds.nanoseconds(within_s), 0, 0, 0, 0
    for stopped, status, lasted_ns, ran_ns in evidence.rows(_LASTED):
        if stopped and (lasted_ns is None or lasted_ns <= within_ns):
            left_out += 1
            continue
        judgement.checked += 1
        if status == "running":
            late = ran_ns is not None and ran_ns > within_ns
            open_ones += not late
        else:
            late = lasted_ns is not None and lasted_ns > within_ns
            untold += lasted_ns is None
        hung += late
    if left_out:
        judgement.notes.append(
            f"{left_out} executions were stopped on purpose before {within_s:g} s were over, which shows nothing of "
            "how long they would have taken"
        )
    if hung:
        judgement.violated(f"{hung} of {judgement.checked} executions took longer than {within_s:g} s")
    if open_ones:
        judgement.unknown(f"{open_ones} executions were still running when they were last looked at")
    if untold:
        judgement.unknown(f"of {untold} executions nobody told when they started and stopped")
    if not judgement.checked:
        judgement.unknown("no execution was read, but such as were stopped on purpose, so there is nothing to check")
    for why in _executions_unread(evidence, {}):
        judgement.unknown(why)


def _unheard(name: str) -> bounds.BoundRuling:
    ruled = bounds.BoundRuling()
    ruled.unknown(f"{name}: {_UNHEARD}")
    return ruled


def _check_each(judgement: Judgement, evidence: Evidence, outcomes: Mapping[str, bounds.BoundRuling]) -> None:
    if not outcomes:
        judgement.unknown("the run has no subscription")
    _check_unidentified(judgement, evidence.states)
    _check_half_seen(judgement, evidence.states)
    for outcome in outcomes.values():
        judgement.checked += outcome.checked
        judgement.why += outcome.why
        if outcome.ruling == "violated" or judgement.verdict == "violated":
            judgement.verdict = "violated"
        elif outcome.ruling == "unknown":
            judgement.verdict = "unknown"


# The claims with a clock that speak of executions, and of no subscription.
_OF_EXECUTIONS: Mapping[str, Callable[[Judgement, Evidence], None]] = {
    "no-hung-execution": _judge_hung,
    "execution-lag": _judge_execution_lag,
}
