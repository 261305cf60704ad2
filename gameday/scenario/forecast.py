"""What a scenario cannot show, told before the run is spent.

It promises that each note names its place in the scenario, the claims that it is about and what to do. A note stops no
run. A claim without one may still come out unknown: nobody knows beforehand what a run will meet. What speaks against a
claim stands with the claim (gameday/scenario/claims.py), what speaks against a fault with the fault.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import orjson

from gameday.consumers.handlers import facts_of
from gameday.history.manifest import Claim, Subscription
from gameday.scenario.claims import CLAIMS
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.document import Route
from gameday.scenario.model import HandlerModel, Scenario, SubscriptionModel
from gameday.scenario.outlook import RARELY, Outlook, called
from gameday.transports.filters import event_pattern, sns_filter
from gameday.transports.filters.rules import leaves_of
from gameday.transports.sns import attributes_beside
from gameday.verify.claims import DRAINED, RULES

# What a claim that a message is missing from violates by, where the promise lets it: see Finding.never_received.
_MISSING = frozenset({"lost", "effect-missing"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """`where` is a file with its line, or a `--set`; `key` the key there; `claims` those that the note is about."""

    where: str
    key: str
    claims: Sequence[str]
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key} ({', '.join(self.claims)}): {self.text}"


def forecast(scenario: Scenario, *, seed: int = 0, effective_s: float = 0.0, policy_s: float = 0.0) -> list[Note]:
    """`seed` decides what is left to chance in the timeline. How long the target may take: `effective_s` to apply a
    filter (what is sent before is not judged), `policy_s` to apply the policy of a queue."""
    if not scenario.shape.total:
        return [_note(scenario, ("load",), "the load schedules no message at all; raise its rate or its duration")]
    outlook = Outlook(scenario, seed=seed, effective_s=effective_s)
    parts = (
        _faults_that_cannot_strike,
        _faults_unlikely_to_strike,
        _answers_that_alone_would_tell,
        _subscriptions_matching_nothing,
        _subscriptions_that_nothing_reaches,
        _filters_that_pass_everything,
        _subscriptions_promised_at_most_once,
        _poison_that_comes_back,
        _drains_that_end_early,
        _queues_that_others_use,
        _redrives_of_nothing,
        _effects_that_nobody_tells,
        _what_nobody_sees,
        _claims,
    )
    return [*(note for part in parts for note in part(outlook)), *_denials_too_short(outlook, policy_s)]


def _note(scenario: Scenario, path: Route, text: str, claims: Sequence[str] | None = None) -> Note:
    """Without `claims` it is about all of them."""
    return Note(
        where=scenario.source.where(path),
        key=".".join(map(str, path)),
        claims=["every claim"] if claims is None else claims,
        text=text,
    )


def _faults_that_cannot_strike(outlook: Outlook) -> Iterator[Note]:
    """Strikes on a stream's shards, one after another: each finds what those before it have left."""
    shards = outlook.scenario.topology.shards
    for strike in outlook.strikes:
        shards, why_not = strike.fault.reshape(shards)
        if why_not is not None:
            yield _note(outlook.scenario, ("chaos", strike.entry), why_not)


def _faults_unlikely_to_strike(outlook: Outlook) -> Iterator[Note]:
    for number, fault in enumerate(outlook.scenario.chaos):
        lasts_s = math.inf if fault.length_s is None else fault.length_s
        arrivals = [
            outlook.arrivals(strike, strike.at_s, strike.at_s + lasts_s)
            for strike in outlook.strikes
            if strike.entry == number
        ]
        hidden_s = outlook.scenario.topology.visibility_timeout
        if fault.outlasts_holds and lasts_s <= hidden_s:
            text = (
                f"{fault.fault} strikes when a visibility timeout is over, and it is over itself after {lasts_s:g} s; "
                f"let it last longer than the {hidden_s:g} s of topology.visibility_timeout"
            )
            yield _note(outlook.scenario, ("chaos", number), text)
        elif fault.when is None and (why := fault.may_strike_nothing(arrivals, rarely=RARELY)):
            text = f"{fault.fault} may strike nothing, and the run prove nothing: {why}"
            yield _note(outlook.scenario, ("chaos", number), text)


def _denials_too_short(outlook: Outlook, policy_s: float) -> Iterator[Note]:
    for number, fault in enumerate(outlook.scenario.chaos):
        if fault.needs == "policy-deny" and fault.length_s is not None and fault.length_s <= policy_s:
            text = (
                f"{fault.fault} lasts {fault.length_s:g} s, and a change of a queue's policy may take {policy_s:g} s "
                "to be everywhere there: it may strike nothing, and the run prove nothing; let it last longer"
            )
            yield _note(outlook.scenario, ("chaos", number), text)


def _answers_that_alone_would_tell(outlook: Outlook) -> Iterator[Note]:
    """Of a message that tells no id the answer to its send does, and a lost one tells nothing."""
    if outlook.scenario.identification.by != "broker":
        return
    claims = [called(claim) for claim in outlook.scenario.claims if CLAIMS[claim.claim].looks_at is not None]
    for number, fault in enumerate(outlook.scenario.chaos):
        if fault.loses_answers and claims:
            yield _note(
                outlook.scenario,
                ("chaos", number),
                "a message whose send gets no answer cannot be told when it is received, and leaves unknown what it "
                "could decide; add load.message.id: a place in the body (/order/id), or `attribute` on SQS",
                claims,
            )


# Subscriptions


def _subscriptions(outlook: Outlook) -> Iterator[tuple[Route, str, SubscriptionModel]]:
    """Each with its path, and the key that says what is meant for it."""
    for number, model in enumerate(outlook.scenario.topology.subscriptions):
        yield ("topology", "subscriptions", number), "filter" if model.pattern is None else "pattern", model


def _subscriptions_matching_nothing(outlook: Outlook) -> Iterator[Note]:
    """Subscriptions whose filter matched none of the sample events, or asks for a field that no event has."""
    for path, key, model in _subscriptions(outlook):
        said = list(_absent_fields(outlook, model))
        if not outlook.meant[model.name]:
            said = said or [
                f"none of {len(outlook.events)} sample events passes it. docs/scenario.md tells what an event holds."
            ]
            said = [f"{text} No event is then meant for {model.name}, and nothing is there to check" for text in said]
        for text in said:
            yield _note(outlook.scenario, (*path, key), text, _empty(outlook, model.name) or None)


def _subscriptions_that_nothing_reaches(outlook: Outlook) -> Iterator[Note]:
    """Subscriptions that are not deployed as they are meant, so that some claim finds nothing to check there."""
    for path, _, model in _subscriptions(outlook):
        if outlook.meant[model.name] and (empty := _empty(outlook, model.name)):
            text = f"nothing reaches {model.name} as it is deployed, and nothing is there to check"
            yield _note(outlook.scenario, (*path, "deployed"), text, empty)


def _filters_that_pass_everything(outlook: Outlook) -> Iterator[Note]:
    for path, key, model in _subscriptions(outlook):
        passes_all = outlook.promises[model.name].filtered and outlook.meant[model.name] == 1.0
        if passes_all and outlook.claims("filter-correct"):
            yield _note(
                outlook.scenario,
                (*path, key),
                f"each of {len(outlook.events)} sample events passes it, so nothing could come to {model.name} that "
                "should not; filter-correct can only find what is missing there",
                ["filter-correct"],
            )


def _subscriptions_promised_at_most_once(outlook: Outlook) -> Iterator[Note]:
    for path, key, model in _subscriptions(outlook):
        promise = outlook.promises[model.name]
        if promise.promises == "at-most-once" and promise.step is None:
            yield _note(
                outlook.scenario,
                (*path, key),
                f"behind a filter a FIFO topic promises {model.name} at most once, so a message that never arrives "
                "there violates no claim and leaves it unknown. To hold the target to more than AWS promises: "
                "`promises: at-least-once`",
                _by_missing(outlook, promise),
            )


def _empty(outlook: Outlook, name: str) -> list[str]:
    """The claims that find nothing to check on a subscription."""
    shares = {"received": outlook.gets[name], "meant": outlook.meant[name]}
    return [
        called(claim)
        for claim in outlook.scenario.claims
        if _covers(claim, outlook.promises[name])
        and (looks_at := CLAIMS[claim.claim].looks_at) is not None
        and not shares[looks_at]
    ]


def _covers(claim: Claim, promise: Subscription) -> bool:
    """Whether it speaks of such a subscription; lag and recovery speak of each."""
    rule = RULES.get(claim.claim)
    return rule is None or rule.covers(promise)


def _by_missing(outlook: Outlook, promise: Subscription) -> list[str]:
    """The claims that a message which never arrives breaks."""
    return [
        called(claim)
        for claim in outlook.scenario.claims
        if claim.claim == "lag"
        or ((rule := RULES.get(claim.claim)) and rule.covers(promise) and _MISSING & set(rule.violated_by))
    ]


def _absent_fields(outlook: Outlook, model: SubscriptionModel) -> Iterator[str]:
    """The fields that a filter or a pattern asks for and no event has, each with the nearest one that is there."""
    if not outlook.events:
        return
    body, attributes = _fields(outlook)
    if model.pattern is not None:
        asked, there, no = event_pattern.fields(model.pattern), body, "no message has `{}`"
    elif model.filter is not None and model.filter_on == "body":
        asked, there, no = sns_filter.fields(model.filter, "body"), body, "no message has `{}`"
    elif model.filter is not None:
        asked, there, no = sns_filter.fields(model.filter), attributes, "no message has an attribute `{}`"
    else:
        return
    for field in sorted(asked - there):
        if near := _nearest(field, there):
            yield f"{no.format(field)}; did you mean `{near}`?"
        elif there is attributes and (near := _nearest(field, body)):
            yield f"{no.format(field)}; its body has `{near}`, which `filter_on: body` looks at."
        else:
            yield f"{no.format(field)}; there are {', '.join(sorted(there))}."


def _fields(outlook: Outlook) -> tuple[set[str], set[str]]:
    """What sample events have: places in their bodies, and attributes. All of ours have the same."""
    body: set[str] = set()
    attributes: set[str] = set()
    for event in outlook.events[:1] if outlook.scenario.load.message is None else outlook.events:
        attributes |= set(attributes_beside(event))
        with suppress(orjson.JSONDecodeError):
            body |= set(leaves_of(orjson.loads(event.body)))
    return body, attributes


def _nearest(field: str, there: Iterable[str]) -> str | None:
    """The field that was probably meant, by its own name: the same one elsewhere, or one that is written nearly so."""
    by_name = {path.rpartition(".")[2]: path for path in sorted(there)}
    close = difflib.get_close_matches(field.rpartition(".")[2], by_name, n=1)
    return by_name[close[0]] if close else None


# The drain


def _claims_that_need_a_drain(outlook: Outlook) -> list[str]:
    if not CONSUMPTION[outlook.transport.kind].hides:
        # Nothing waits there for what a dead consumer held, and nothing comes back: it is read to its end.
        return []
    ruled = [(claim, RULES[claim.claim]) for claim in outlook.scenario.claims if claim.claim in RULES]
    return [called(claim) for claim, rule in ruled if DRAINED in rule.requires]


def _poison_that_comes_back(outlook: Outlook) -> Iterator[Note]:
    scenario = outlook.scenario
    drained = _claims_that_need_a_drain(outlook)
    facts = facts_of(scenario.consumers.handler)
    returns = scenario.load.poison and facts is not None and facts.poison_returns
    gives_up = scenario.consumers.lambda_ is not None and scenario.consumers.lambda_.direct
    if drained and returns and scenario.topology.max_receives is None and not gives_up:
        yield _note(
            scenario,
            ("load", "poison"),
            "without topology.max_receives there is no dead-letter queue, so poison messages come back for ever "
            "and the queue is never drained; write max_receives",
            drained,
        )


def _drains_that_end_early(outlook: Outlook) -> Iterator[Note]:
    scenario, hidden_s = outlook.scenario, outlook.scenario.topology.visibility_timeout
    drained = _claims_that_need_a_drain(outlook)
    if drained and scenario.chaos and scenario.drain_timeout_s < hidden_s:
        yield _note(
            scenario,
            ("drain_timeout",),
            f"what a consumer held when it died stays hidden for {hidden_s:g} s, and after "
            f"{scenario.drain_timeout_s:g} s without progress the queue counts as not drained; raise it above "
            "topology.visibility_timeout",
            drained,
        )


def _queues_that_others_use(outlook: Outlook) -> Iterator[Note]:
    attach, drained = outlook.scenario.topology.attach, _claims_that_need_a_drain(outlook)
    if attach is not None and attach.shared and drained:
        yield _note(
            outlook.scenario,
            ("topology", "attach", "shared"),
            "others use it, too, and what is not in it any more they may have taken: it is never proven drained, and "
            "what needs that will be unknown unless it is violated; a queue that the run alone uses would settle it",
            drained,
        )


def _redrives_of_nothing(outlook: Outlook) -> Iterator[Note]:
    if outlook.scenario.topology.redrive and (none := outlook.no_poison(1.0)) > RARELY:
        yield _note(
            outlook.scenario,
            ("topology", "redrive"),
            f"{outlook.poison_in_words(1.0, none)}, and a run with no dead letter to move back ends with an error; "
            "raise load.poison, or take redrive out",
        )


def _effects_that_nobody_tells(outlook: Outlook) -> Iterator[Note]:
    scenario, consumers = outlook.scenario, outlook.scenario.consumers
    about = [called(claim) for claim in scenario.claims if CLAIMS[claim.claim].of_effects]
    read = {entry.subscription for entry in scenario.effects}
    unread = [name for name in scenario.subscriptions if name not in read]
    if about and unread and (consumers.foreign or isinstance(consumers.handler, HandlerModel)):
        yield _note(
            scenario,
            ("consumers", "handler") if consumers.kind == "ours" else ("consumers",),
            f"yours keeps its effects to itself, and nothing reads those of {', '.join(unread)} back: no record "
            "tells how often each was applied; say in `effects` where they stand (docs/effects.md)",
            about,
        )


def _what_nobody_sees(outlook: Outlook) -> Iterator[Note]:
    """Of consumers that are the user's: what can be judged of them and what cannot."""
    scenario, kind = outlook.scenario, outlook.scenario.consumers.kind
    function = scenario.consumers.lambda_
    if function is not None and kind == "deployed":
        # It records itself, or nobody does.
        kind = "ours" if function.shim else "unseen"
    # A function may tell what it has done in its answers, and nobody here knows whether it does.
    untold = scenario.consumers.lambda_ is None
    own_handler = isinstance(scenario.consumers.handler, HandlerModel) and kind == "ours" and untold
    for number, claim in enumerate(scenario.claims):
        why = None
        if kind == "unseen" and not CLAIMS[claim.claim].without_receives:
            how, instead = (
                (
                    "with `attach: none`",
                    "a consumer that takes the wire for AWS (attach: {pid_file: …, port: …}) is seen",
                )
                if function is None
                else ("with `shim: false`", "with the shim functions record themselves")
            )
            why = f"{how} nobody records who receives what, so it will be unknown; {instead}"
        elif claim.claim == "ordered-effects" and (kind != "ours" or own_handler):
            why = (
                "what is read back of effects has no order, so it will be unknown unless it is violated; the order of "
                "receives is another claim"
            )
        elif claim.claim == "dead-letter" and kind != "ours":
            why = (
                "the wire sees no handler: where a message dies that is not poison, nobody knows whether one failed "
                "it, and it will be unknown"
            )
        if why is not None:
            yield _note(scenario, ("claims", number), why, [called(claim)])


# The claims


def _claims(outlook: Outlook) -> Iterator[Note]:
    for number, claim in enumerate(outlook.scenario.claims):
        for text in (*CLAIMS[claim.claim].notes(outlook, claim), *_before_filters_apply(outlook, claim)):
            yield _note(outlook.scenario, ("claims", number), text, [called(claim)])


def _before_filters_apply(outlook: Outlook, claim: Claim) -> Iterator[str]:
    rule = RULES.get(claim.claim)
    if rule and rule.once_effective and outlook.scenario.load.duration <= outlook.effective_s:
        filtered = [name for name, promise in outlook.promises.items() if promise.filtered and rule.covers(promise)]
        if filtered:
            yield (
                f"a filter may take {outlook.effective_s / 60:g} min to apply on this target, and what is sent before "
                f"is not judged on {', '.join(filtered)}. Let the load last longer than that"
            )
