"""What a scenario cannot show, told before the run is spent.

Arithmetic over the scenario alone: how many messages will be due, for whom, and which faults stand in the way of a
claim. It promises that each note names its place in the scenario, the claims that it is about and what to do. A note
stops no run. A claim without one may still come out unknown: nobody knows beforehand what a run will meet.
"""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import orjson

from gameday.chaos.base import ConsumerFault, Fault, PlannedStrike
from gameday.chaos.faults.crash_at import CrashAt
from gameday.chaos.faults.kill_consumer import KillConsumer
from gameday.chaos.faults.lose_send_reply import LoseSendReply
from gameday.chaos.faults.reshard import Reshard
from gameday.chaos.faults.throttle_sends import ThrottleSends
from gameday.chaos.timeline import plan as plan_timeline
from gameday.history import envelope
from gameday.history.manifest import Claim, Subscription
from gameday.scenario.document import Route
from gameday.scenario.model import Scenario, SubscriptionModel, promises_of, topology_of
from gameday.transports.base import SubscriptionSpec, Topology
from gameday.transports.filters import event_pattern, sns_filter
from gameday.transports.filters.rules import leaves_of
from gameday.transports.registry import TRANSPORTS
from gameday.transports.sns import attributes_of
from gameday.verify.bounds import DEFAULT_GRACE_S, FEW, QUANTILES, QUIET_FLOOR_S
from gameday.verify.claims import RULES

# A run in a thousand that proves nothing is nobody's trouble.
_RARELY = 0.001
_SAMPLE = 300
# From the start of a replacement to its first poll, about.
_START_S = 1.0
_ORDERS = ("ordered-per-group", "ordered-per-partition", "ordered-effects")
# The claims that look at what was received, and those that look at what is meant to be. `filter-correct` looks at all
# that was sent, also at what is meant for nobody.
_BY_RECEIPT = frozenset({"no-phantom", *_ORDERS})
_OF_THE_LOAD = frozenset(name for name, rule in RULES.items() if rule.of_the_load)
_BY_MEANING = frozenset({*RULES, "lag", "recovery"}) - _BY_RECEIPT - _OF_THE_LOAD - {"filter-correct"}
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


def forecast(scenario: Scenario, *, seed: int = 0, effective_s: float = 0.0) -> list[Note]:
    """`seed` decides what is left to chance in the timeline. `effective_s`: how long the target may take to apply a
    filter; what is sent before is not judged."""
    return list(_Forecast(scenario, seed=seed, effective_s=effective_s).notes())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """A strike from its start to about when its harm is over, in seconds since the load began; `stop_s` is infinite
    where only the end of the load ends it."""

    strike: PlannedStrike
    called: str
    start_s: float
    stop_s: float


def _later(one: _Window, other: _Window) -> _Window:
    """The one that stops later."""
    return max(one, other, key=lambda window: window.stop_s)


class _Forecast:
    def __init__(self, scenario: Scenario, *, seed: int, effective_s: float) -> None:
        self._scenario = scenario
        self._seed = seed
        self._effective_s = effective_s
        self._transport = TRANSPORTS[scenario.transport]
        self._topology = topology_of(scenario, settle_s=0)
        self._promises = promises_of(scenario, settle_s=0)

    def notes(self) -> Iterator[Note]:
        if not self._scenario.shape.total:
            yield self._note(("load",), "the load schedules no message at all; raise its rate or its duration")
            return
        yield from self._chaos()
        yield from self._subscriptions()
        yield from self._drain()
        for number, claim in enumerate(self._scenario.claims):
            path: Route = ("claims", number)
            for text in self._claim(claim):
                yield self._note(path, text, [_called(claim)])

    def _note(self, path: Route, text: str, claims: Sequence[str] | None = None) -> Note:
        """Without `claims` it is about all of them."""
        return Note(
            where=self._scenario.source.where(path),
            key=".".join(map(str, path)),
            claims=["every claim"] if claims is None else claims,
            text=text,
        )

    # What will happen, as far as it is known

    @cached_property
    def _meant(self) -> Mapping[str, float]:
        """The share of all events that is meant for each subscription."""
        return self._shares(self._topology)

    @cached_property
    def _gets(self) -> Mapping[str, float]:
        """The share of all events that reaches each subscription, as it is deployed."""
        deployed = replace(self._topology, subscriptions=[_as_deployed(spec) for spec in self._topology.subscriptions])
        missing = {spec.name for spec in self._topology.subscriptions if spec.deployed and spec.deployed.missing}
        return {name: 0.0 if name in missing else share for name, share in self._shares(deployed).items()}

    def _shares(self, topology: Topology) -> dict[str, float]:
        """By sample events."""
        counts = dict.fromkeys(topology.names, 0)
        for body in self._events():
            for name in self._transport.expect(topology, body):
                counts[name] += 1
        return {name: count / _SAMPLE for name, count in counts.items()}

    def _events(self, many: int = _SAMPLE) -> Iterator[str]:
        # A longer filler is of no interest to any filter.
        payload_bytes = min(self._scenario.load.payload, 2048)
        for n in range(many):
            yield envelope.pack(
                id=f"sample-{n}",
                run="sample",
                group="g",
                timestamp_ns=0,
                payload_bytes=payload_bytes,
                seed=self._seed,
            ).decode()

    @cached_property
    def _windows(self) -> list[_Window]:
        """In the order of their starts."""
        return sorted(map(self._window, self._strikes), key=lambda window: window.start_s)

    @cached_property
    def _longest(self) -> list[_Window]:
        """Of the windows up to each, the one that stops last."""
        return list(accumulate(self._windows, _later))

    @cached_property
    def _strikes(self) -> list[PlannedStrike]:
        consumers = dict.fromkeys(self._scenario.subscriptions, self._scenario.consumers.processes)
        return plan_timeline(
            self._scenario.chaos, duration_s=self._scenario.load.duration, consumers=consumers, seed=self._seed
        )

    def _window(self, strike: PlannedStrike) -> _Window:
        fault, moment = strike.fault, f", at {strike.at_s:.3g} s" if strike.fault.every else ""
        return _Window(
            strike=strike,
            called=f"chaos.{strike.entry} ({fault.fault}{moment})",
            start_s=strike.at_s,
            stop_s=strike.at_s + self._lasts_s(strike),
        )

    def _lasts_s(self, strike: PlannedStrike) -> float:
        """From the start of its harm to the end: a consumer that died is replaced before it is over."""
        fault = strike.fault
        length_s = math.inf if fault.length_s is None else fault.length_s
        if not isinstance(fault, KillConsumer | CrashAt):
            return length_s
        if isinstance(fault, CrashAt) and fault.nth is not None:
            a_second = self._arrivals(strike, strike.at_s, strike.at_s + 1.0) / len(strike.places)
            length_s = min(length_s, fault.nth / a_second if a_second else math.inf)
        return length_s + self._scenario.consumers.restart_delay + _START_S

    def _due(self, from_s: float, to_s: float) -> float:
        """How many messages are due between two moments."""
        shape, end_s = self._scenario.shape, self._scenario.load.duration
        return max(shape.area(min(to_s, end_s)) - shape.area(min(from_s, end_s)), 0.0)

    def _arrivals(self, strike: PlannedStrike, from_s: float, to_s: float) -> float:
        """How many messages due between two moments come to where it strikes: the load, or the picked consumers."""
        due = self._due(from_s, to_s)
        if not isinstance(strike.fault, ConsumerFault):
            return due
        return due * sum(self._gets[name] for name, _ in strike.places) / self._scenario.consumers.processes

    def _judged(self, name: str) -> float:
        """The share of all messages that lag and recovery look at on a subscription: those meant for it, less the
        dead."""
        dead = self._scenario.load.poison if self._promises[name].dead_letter else 0.0
        return self._meant[name] * (1.0 - dead)

    def _fewer(self, needed: int, due: float) -> dict[str, float]:
        """The subscriptions on which lag and recovery look at fewer messages than needed, of so many that are due."""
        counts = {name: due * self._judged(name) for name, share in self._meant.items() if share}
        return {name: count for name, count in counts.items() if count < needed}

    def _empty(self, name: str) -> list[str]:
        """The claims that find nothing to check on a subscription."""
        found = []
        for claim in self._scenario.claims:
            rule = RULES.get(claim.claim)
            if rule is not None and not rule.covers(self._promises[name]):
                continue
            if claim.claim in _BY_RECEIPT:
                share = self._gets[name]
            elif claim.claim in _BY_MEANING:
                share = self._meant[name]
            else:
                continue
            if not share:
                found.append(_called(claim))
        return found

    # The parts of a scenario

    def _chaos(self) -> Iterator[Note]:
        shards = self._scenario.topology.shards
        for strike in self._strikes:
            if not isinstance(strike.fault, Reshard):
                continue
            if strike.fault.action == "merge" and shards < 2:
                yield self._note(
                    ("chaos", strike.entry),
                    "there is one shard then, and nothing to merge it with, so the fault cannot strike; raise "
                    "topology.shards, or split before",
                )
            else:
                shards += 1 if strike.fault.action == "split" else -1
        for number, fault in enumerate(self._scenario.chaos):
            if text := self._unlikely_to_strike(fault, [strike for strike in self._strikes if strike.entry == number]):
                yield self._note(
                    ("chaos", number), f"{fault.fault} may strike nothing, and the run prove nothing: {text}"
                )

    def _unlikely_to_strike(self, fault: Fault, strikes: Sequence[PlannedStrike]) -> str | None:
        """Why one of the strikes of a fault may find nothing to strike. As if the picked consumers got their part."""
        share = getattr(fault, "share", None)
        lasts_s = math.inf if fault.length_s is None else fault.length_s
        come = [self._arrivals(strike, strike.at_s, strike.at_s + lasts_s) for strike in strikes]
        if share is not None:
            none = 1.0 - math.prod(1.0 - (1.0 - share) ** messages for messages in come)
            if none <= _RARELY:
                return None
            return (
                f"about {share * min(come):.2g} messages are in its share, and in {none:.1%} of all runs none. "
                "Raise its `share`, its `for`, or the rate."
            )
        if isinstance(fault, CrashAt) and fault.nth is not None:
            each = min(messages / len(strike.places) for messages, strike in zip(come, strikes, strict=True))
            if each < fault.nth:
                return (
                    f"it waits for message {fault.nth} of a consumer, and about {each:.2g} come to each. "
                    "Lower `nth`, or let it strike earlier."
                )
        return None

    def _subscriptions(self) -> Iterator[Note]:
        for number, model in enumerate(self._scenario.topology.subscriptions):
            path: Route = ("topology", "subscriptions", number)
            promise, share = self._promises[model.name], self._meant[model.name]
            key = "pattern" if model.pattern is not None else "filter"
            said = list(self._absent_fields(model))
            if not share:
                said = said or [
                    f"none of {_SAMPLE} sample events passes it. docs/scenario.md tells what an event holds."
                ]
                said = [
                    f"{text} No event is then meant for {model.name}, and nothing is there to check" for text in said
                ]
            for text in said:
                yield self._note((*path, key), text, self._empty(model.name) or None)
            if share and (empty := self._empty(model.name)):
                yield self._note(
                    (*path, "deployed"),
                    f"nothing reaches {model.name} as it is deployed, and nothing is there to check",
                    empty,
                )
            if promise.filtered and share == 1.0 and self._claims("filter-correct"):
                yield self._note(
                    (*path, key),
                    f"each of {_SAMPLE} sample events passes it, so nothing could come to {model.name} that should "
                    "not; filter-correct can only find what is missing there",
                    ["filter-correct"],
                )
            if promise.promises == "at-most-once":
                yield self._note(
                    (*path, key),
                    f"behind a filter a FIFO topic promises {model.name} at most once, so a message that never arrives "
                    "there violates no claim and leaves it unknown. To hold the target to more than AWS promises: "
                    "`promises: at-least-once`",
                    self._by_missing(promise),
                )

    def _by_missing(self, promise: Subscription) -> list[str]:
        """The claims that a message which never arrives breaks."""
        return [
            _called(claim)
            for claim in self._scenario.claims
            if claim.claim == "lag"
            or ((rule := RULES.get(claim.claim)) and rule.covers(promise) and _MISSING & set(rule.violated_by))
        ]

    def _absent_fields(self, model: SubscriptionModel) -> Iterator[str]:
        """The fields that a filter or a pattern asks for and no event has, each with the nearest one that is there."""
        event = next(self._events(1))
        body, attributes = set(leaves_of(orjson.loads(event))), set(attributes_of(event))
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

    def _drain(self) -> Iterator[Note]:
        spec, load = self._scenario.topology, self._scenario.load
        if self._transport.kind == "stream":
            return
        drained = [_called(c) for c in self._scenario.claims if (rule := RULES.get(c.claim)) and rule.needs_drain]
        if drained and load.poison and spec.max_receives is None and self._scenario.consumers.handler == "reference":
            yield self._note(
                ("load", "poison"),
                "without topology.max_receives there is no dead-letter queue, so poison messages come back for ever "
                "and the queue is never drained; write max_receives",
                drained,
            )
        if drained and self._scenario.chaos and self._scenario.drain_timeout_s < spec.visibility_timeout:
            yield self._note(
                ("drain_timeout",),
                f"what a consumer held when it died stays hidden for {spec.visibility_timeout:g} s, and after "
                f"{self._scenario.drain_timeout_s:g} s without progress the queue counts as not drained; raise it "
                "above topology.visibility_timeout",
                drained,
            )
        if spec.redrive and (none := self._no_poison(1.0)) > _RARELY:
            yield self._note(
                ("topology", "redrive"),
                f"{self._poison(1.0, none)}, and a run with no dead letter to move back ends with an error; raise "
                "load.poison, or take redrive out",
            )

    def _no_poison(self, share: float) -> float:
        """The chance that no message is poison, of a share of all."""
        return float((1.0 - self._scenario.load.poison) ** (self._scenario.shape.total * share))

    def _poison(self, share: float, none: float) -> str:
        if not self._scenario.load.poison:
            return "load.poison is 0%, so nothing has to die"
        about = self._scenario.load.poison * self._scenario.shape.total * share
        return f"about {about:.2g} messages are poison, and in {none:.1%} of all runs none"

    # The claims

    def _claims(self, name: str) -> list[Claim]:
        return [claim for claim in self._scenario.claims if claim.claim == name]

    def _claim(self, claim: Claim) -> Iterator[str]:
        if claim.claim == "lag":
            yield from self._lag(claim)
        elif claim.claim == "recovery":
            yield from self._recovery(claim)
        elif claim.claim in _ORDERS:
            yield from self._order(claim)
        elif claim.claim == "dead-letter":
            yield from self._dead_letter()
        rule = RULES.get(claim.claim)
        if rule and rule.once_effective and self._scenario.load.duration <= self._effective_s:
            filtered = [name for name, promise in self._promises.items() if promise.filtered and rule.covers(promise)]
            if filtered:
                yield (
                    f"a filter may take {self._effective_s / 60:g} min to apply on this target, and what is sent "
                    f"before is not judged on {', '.join(filtered)}. Let the load last longer than that"
                )

    def _order(self, claim: Claim) -> Iterator[str]:
        groups = self._scenario.load.groups
        few = {}
        for name, promise in self._promises.items():
            messages = self._scenario.shape.total * min(self._meant[name], self._gets[name])
            # As with birthdays: the chance that no two fall into the same group.
            none = math.exp(-messages * max(messages - 1.0, 0.0) / (2 * groups))
            if messages and RULES[claim.claim].covers(promise) and none > _RARELY:
                few[name] = messages
        if few:
            yield (
                f"{_about(few)} in {groups} groups: it may be that none has another before it in its group, and then "
                "there is no order to check. Lower load.groups, or raise load.rate or load.duration"
            )

    def _dead_letter(self) -> Iterator[str]:
        for name, promise in self._promises.items():
            if promise.dead_letter and (share := self._meant[name]) and (none := self._no_poison(share)) > _RARELY:
                yield f"{self._poison(share, none)}: there is nothing to check on {name}. Raise load.poison"
                if not self._scenario.load.poison:
                    return

    def _lag(self, claim: Claim) -> Iterator[str]:
        needed = FEW if any(QUANTILES[name] < 100 for name in claim.bounds if name in QUANTILES) else 1
        asked = " and ".join(name.removesuffix("_s") for name in claim.bounds if name in QUANTILES)
        during = claim.bounds.get("during", "calm")
        due, grace_s, whose = self._due_for(during, claim)
        few = self._fewer(needed, due)
        if few:
            where = {"calm": "outside fault windows", "faults": "within fault windows"}.get(str(during), "in all")
            windows = f" (which count for {grace_s:g} s more: {whose})" if self._windows and during != "all" else ""
            remedies = {
                "calm": ["Lower `grace`", "leave more time without faults", "judge every message (`during: all`)"],
                "faults": ["Add faults, or let them last longer"],
            }.get(str(during), [])
            if during == "calm" and not self._windows:
                remedies = []
            remedies = [*remedies, "raise load.rate or load.duration"]
            remedy = ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))
            yield (
                f"{_about(few)} will be due {where}{windows}; {asked} needs {needed}. {remedy[0].upper()}{remedy[1:]}"
            )
        give_up_s = self._scenario.load.give_up
        for window in self._windows:
            fault = window.strike.fault
            if not isinstance(fault, ThrottleSends | LoseSendReply) or fault.share < 1.0:
                continue
            lasts_s = min(window.stop_s, self._scenario.load.duration) - window.start_s
            if lasts_s >= give_up_s:
                yield (
                    f"no send succeeds for {lasts_s:g} s, during {window.called}, and a message is given up after "
                    f"{give_up_s:g} s: lag says nothing of what is never sent. Raise load.give_up, or lower its `share`"
                )
                return

    def _due_for(self, during: object, claim: Claim) -> tuple[float, float, str]:
        """How many messages lag looks at, over all subscriptions alike; the grace, and who says it."""
        within = next((c.bounds.get("within_s") for c in self._claims("recovery")), None)
        if (given := claim.bounds.get("grace_s")) is not None:
            grace_s, whose = float(given), "`grace`"
        elif within is not None:
            grace_s, whose = float(within), "`grace` is recovery's `within` unless given"
        else:
            grace_s, whose = DEFAULT_GRACE_S, "`grace` unless given"
        inside, end_s = 0.0, 0.0
        for window in self._windows:
            stop_s = window.stop_s + grace_s
            inside += self._due(max(window.start_s, end_s), max(stop_s, end_s))
            end_s = max(stop_s, end_s)
        total = float(self._scenario.shape.total)
        return {"calm": max(total - inside, 0.0), "faults": inside}.get(str(during), total), grace_s, whose

    def _recovery(self, recovery: Claim) -> Iterator[str]:
        calm = [c for c in self._claims("lag") if c.bounds.get("during", "calm") == "calm"]
        bounds_s = [float(bound) for claim in calm for name, bound in claim.bounds.items() if name in QUANTILES]
        few = {} if bounds_s else self._fewer(FEW, self._due(0.0, self._windows[0].start_s))
        if few:
            yield (
                f"what counts as late is told by lag before the first fault, which needs {FEW} messages; {_about(few)} "
                "will be due by then. Claim lag with a bound, {claim: lag, p99: 3s}, or let the faults begin later"
            )
        told: dict[int, list[str]] = {}
        for window in self._windows:
            if why := self._never_quiet(window, float(recovery.bounds["within_s"]), late_s=max(bounds_s, default=0.0)):
                told.setdefault(window.strike.entry, []).append(why)
        for texts in told.values():
            yield texts[0] + (f" The same is true of {len(texts) - 1} more of its strikes." if len(texts) > 1 else "")

    def _hidden_until_s(self, window: _Window) -> float:
        """Until when what a dead consumer held stays hidden, and what comes after it in its groups waits."""
        fault, promises = window.strike.fault, self._promises
        if isinstance(fault, KillConsumer):
            held = fault.signal == "KILL" and fault.while_holding
        else:
            held = isinstance(fault, CrashAt) and fault.point != "after-delete"
        ordered = any(promises[name].ordered_by == "group" for name, _ in window.strike.places)
        if not held or not ordered:
            return window.start_s
        died_s = window.stop_s - self._scenario.consumers.restart_delay - _START_S
        return died_s + self._scenario.topology.visibility_timeout

    def _never_quiet(self, window: _Window, within_s: float, *, late_s: float) -> str | None:
        """What stands in the way of seeing a recovery, if anything surely does: see docs/history.md, recovery.

        `late_s`: what is later than that counts as late.
        """
        untold = f"so recovery from {window.called} cannot be told."
        if math.isinf(window.stop_s):
            return f"{window.called} lasts until the load ends, {untold} Give it a `for`."
        begun = bisect_right(self._windows, window.stop_s, key=lambda other: other.start_s)
        if (other := self._longest[begun - 1]).stop_s > window.stop_s:
            until = "until the load ends" if math.isinf(other.stop_s) else f"to {other.stop_s:.3g} s"
            return f"{other.called} is open from {other.start_s:.3g} s {until}, {untold} Let one end before the other."
        quiet_s = max(QUIET_FLOOR_S, *((p.visibility_timeout_s or 0.0) + 1.0 for p in self._promises.values()))
        end_s = self._scenario.load.duration
        horizon_s, what = end_s, f"the load ends at {end_s:g} s"
        remedy = "Raise load.duration, or let it strike earlier."
        if begun < len(self._windows) and (following := self._windows[begun]).start_s < end_s:
            horizon_s, what = following.start_s, f"{following.called} begins at {following.start_s:.3g} s"
            remedy = "Leave more time between the two."
        hidden_s = self._hidden_until_s(window)
        if window.stop_s + quiet_s <= horizon_s:
            told = hidden_s + quiet_s <= horizon_s or window.stop_s + within_s < min(hidden_s, horizon_s)
            if told or late_s >= self._scenario.topology.visibility_timeout:
                return None
            return (
                f"{window.called} leaves messages hidden until about {hidden_s:.3g} s, and their groups wait; then no "
                f"message may be late for {quiet_s:g} s, and {what}, {untold} {remedy}"
            )
        return (
            f"after {window.called} is over, at about {window.stop_s:.3g} s, no message may be late for {quiet_s:g} s, "
            f"and {what}, {untold} {remedy}"
        )


def _as_deployed(spec: SubscriptionSpec) -> SubscriptionSpec:
    """With the filter and the pattern that it really has; an empty one lets everything through."""
    if (deployed := spec.deployed) is None:
        return spec
    filter = spec.filter if deployed.filter is None else (deployed.filter or None)
    return replace(spec, filter=filter, pattern=spec.pattern if deployed.pattern is None else deployed.pattern)


def _called(claim: Claim) -> str:
    """A claim is known by its name and its `during`."""
    during = claim.bounds.get("during")
    return f"{claim.claim} during {during}" if during else claim.claim


def _about(counts: Mapping[str, float]) -> str:
    """So many messages of each subscription, in words."""
    (first, count), *others = counts.items()
    return ", ".join(
        [f"about {math.floor(count)} messages of {first}", *(f"{math.floor(n)} of {name}" for name, n in others)]
    )


def _nearest(field: str, there: Iterable[str]) -> str | None:
    """The field that was probably meant, by its own name: the same one elsewhere, or one that is written nearly so."""
    by_name = {path.rpartition(".")[2]: path for path in sorted(there)}
    close = difflib.get_close_matches(field.rpartition(".")[2], by_name, n=1)
    return by_name[close[0]] if close else None
