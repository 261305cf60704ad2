"""What will happen in a run of a scenario, as far as it is known before: arithmetic, and the plan of the timeline.

How many messages will be due, for whom, where each strike stands in the way and until when. As if the picked consumers
got their part of the messages, and a replacement came up as fast as most do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, islice

from gameday.chaos.base import Arrivals, PlannedStrike
from gameday.chaos.timeline import plan as plan_timeline
from gameday.history import envelope
from gameday.history.manifest import Claim
from gameday.loadgen.checks import Checks
from gameday.loadgen.sender import ask_for
from gameday.scenario.model import Scenario, promises_of, topology_of
from gameday.scenario.sending import imagined
from gameday.transports.base import Outgoing, SubscriptionSpec, Topology
from gameday.transports.filters.function_filter import expected
from gameday.transports.registry import TRANSPORTS

# A run in a thousand that proves nothing is nobody's trouble.
RARELY = 0.001
SAMPLE = 300
# From the start of a replacement to its first poll, about.
_START_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A strike from its start to about when its harm is over, in seconds since the load began; `stop_s` is infinite
    where only the end of the load ends it."""

    strike: PlannedStrike
    called: str
    start_s: float
    stop_s: float


def _later(one: Window, other: Window) -> Window:
    """The one that stops later."""
    return max(one, other, key=lambda window: window.stop_s)


@lru_cache(maxsize=4)
def _sample(seed: int, payload_bytes: int) -> Sequence[Outgoing]:
    """Events as a run with this seed sends them. Kept: they are asked for several times, and a megabyte at most."""
    return [
        Outgoing(
            id=f"sample-{n}",
            body=envelope.pack(
                id=f"sample-{n}", run="sample", group="g", timestamp_ns=0, payload_bytes=payload_bytes, seed=seed
            ).decode(),
            group="g",
            dedup_id=None,
        )
        for n in range(SAMPLE)
    ]


class Outlook:
    """`seed` decides what is left to chance in the timeline. `effective_s`: how long the target may take to apply a
    filter; what is sent before is not judged."""

    def __init__(self, scenario: Scenario, *, seed: int = 0, effective_s: float = 0.0) -> None:
        self.scenario = scenario
        self.effective_s = effective_s
        self.transport = TRANSPORTS[scenario.transport]
        self.topology = topology_of(scenario, settle_s=0)
        self.promises = promises_of(scenario, settle_s=0)
        self._seed = seed

    def claims(self, name: str) -> list[Claim]:
        return [claim for claim in self.scenario.claims if claim.claim == name]

    @property
    def replacement_s(self) -> float:
        """From the death of a consumer to the first poll of its replacement."""
        return self.scenario.consumers.restart_delay + _START_S

    @cached_property
    def meant(self) -> Mapping[str, float]:
        """The share of all events that is meant for each subscription."""
        return self._shares(self.topology)

    @cached_property
    def gets(self) -> Mapping[str, float]:
        """The share of all events that reaches each subscription, as it is deployed."""
        deployed = replace(self.topology, subscriptions=[_as_deployed(spec) for spec in self.topology.subscriptions])
        missing = {spec.name for spec in self.topology.subscriptions if spec.deployed and spec.deployed.missing}
        return {name: 0.0 if name in missing else share for name, share in self._shares(deployed).items()}

    def _shares(self, topology: Topology) -> dict[str, float]:
        """By sample events; without any, all is taken for meant for all."""
        if not self.events:
            return dict.fromkeys(topology.names, 1.0)
        counts = dict.fromkeys(topology.names, 0)
        for event in self.events:
            for name in expected(self.transport, topology, event):
                counts[name] += 1
        return {name: count / len(self.events) for name, count in counts.items()}

    @cached_property
    def events(self) -> Sequence[Outgoing]:
        """The first of the user's own messages, or orders of ours; none where a function of theirs makes them."""
        scenario = self.scenario
        message = scenario.load.message
        if message is None:
            # A longer filler is of no interest to any filter.
            return _sample(self._seed, min(scenario.load.payload, 2048))
        if message.python is not None:
            return []
        config = imagined(scenario, scenario.shape, seed=self._seed)
        source = message.own.open(seed=self._seed, run=config.run)
        checks = Checks(config=config, where=source.where)
        asks = map(ask_for, islice(config.schedule(source).messages(0), SAMPLE))
        return [checks.outgoing(source.make(ask), ask) for ask in asks]

    @cached_property
    def windows(self) -> list[Window]:
        """In the order of their starts; when one will be that waits for something, nobody knows."""
        timed = [strike for strike in self.strikes if strike.trigger is None]
        return sorted(map(self._window, timed), key=lambda window: window.start_s)

    @cached_property
    def longest(self) -> list[Window]:
        """Of the windows up to each, the one that stops last."""
        return list(accumulate(self.windows, _later))

    @cached_property
    def strikes(self) -> list[PlannedStrike]:
        consumers = dict.fromkeys(self.scenario.subscriptions, self.scenario.consumers.count)
        return plan_timeline(
            self.scenario.chaos, duration_s=self.scenario.load.duration, consumers=consumers, seed=self._seed
        )

    def _window(self, strike: PlannedStrike) -> Window:
        fault, moment = strike.fault, f", at {strike.at_s:.3g} s" if strike.fault.every else ""
        return Window(
            strike=strike,
            called=f"chaos.{strike.entry} ({fault.fault}{moment})",
            start_s=strike.at_s,
            stop_s=strike.at_s + self._lasts_s(strike),
        )

    def _lasts_s(self, strike: PlannedStrike) -> float:
        """From the start of its harm to the end: a consumer that died is replaced before it is over."""
        arrivals_per_s = self.arrivals(strike, strike.at_s, strike.at_s + 1.0).with_each
        return strike.fault.harm_s(arrivals_per_s) + (self.replacement_s if strike.fault.kills else 0.0)

    def due(self, from_s: float, to_s: float) -> float:
        """How many messages are due between two moments."""
        shape, end_s = self.scenario.shape, self.scenario.load.duration
        return max(shape.area(min(to_s, end_s)) - shape.area(min(from_s, end_s)), 0.0)

    def arrivals(self, strike: PlannedStrike, from_s: float, to_s: float) -> Arrivals:
        """The messages due between two moments that come to where it strikes: the load, or the picked consumers."""
        due = self.due(from_s, to_s)
        if not strike.places:
            return Arrivals(messages=due, with_each=due)
        come = due * sum(self.gets[name] for name, _ in strike.places) / self.scenario.consumers.count
        return Arrivals(messages=come, with_each=come / len(strike.places))

    def judged(self, name: str) -> float:
        """The share of all messages that lag and recovery look at on a subscription: those meant for it, less the
        dead."""
        dead = self.scenario.load.poison if self.promises[name].dead_letter else 0.0
        return self.meant[name] * (1.0 - dead)

    def fewer(self, needed: int, due: float) -> dict[str, float]:
        """The subscriptions on which lag and recovery look at fewer messages than needed, of so many that are due."""
        counts = {name: due * self.judged(name) for name, share in self.meant.items() if share}
        return {name: count for name, count in counts.items() if count < needed}

    def no_poison(self, share: float) -> float:
        """The chance that no message is poison, of a share of all."""
        return float((1.0 - self.scenario.load.poison) ** (self.scenario.shape.total * share))

    def poison_in_words(self, share: float, none: float) -> str:
        if not self.scenario.load.poison:
            return "load.poison is 0%, so nothing has to die"
        about = self.scenario.load.poison * self.scenario.shape.total * share
        return f"about {about:.2g} messages are poison, and in {none:.1%} of all runs none"


def _as_deployed(spec: SubscriptionSpec) -> SubscriptionSpec:
    """With the filter and the pattern that it really has; an empty one lets everything through."""
    if (deployed := spec.deployed) is None:
        return spec
    filter = spec.filter if deployed.filter is None else (deployed.filter or None)
    return replace(spec, filter=filter, pattern=spec.pattern if deployed.pattern is None else deployed.pattern)


def called(claim: Claim) -> str:
    """A claim is known by its name and its `during`."""
    during = claim.bounds.get("during")
    return f"{claim.claim} during {during}" if during else claim.claim


def about(counts: Mapping[str, float]) -> str:
    """So many messages of each subscription, in words."""
    (first, count), *others = counts.items()
    return ", ".join(
        [f"about {math.floor(count)} messages of {first}", *(f"{math.floor(n)} of {name}" for name, n in others)]
    )
