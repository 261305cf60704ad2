"""A whole calm run: the load, the consumers of each subscription, and when the conductor has seen that all is done.

It promises counts for what it was told: this pace, this target's patience, nothing that fails but poison. What depends
on chance in a real run (who is asked first, when a process is up) is played one way of many.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gameday.consumers.handlers import facts_of
from gameday.loadgen.schedule import Message
from gameday.scenario.calm import queue, stream
from gameday.scenario.calm.guards import steps_of
from gameday.scenario.calm.load import MOST, Part, parts, sendings
from gameday.scenario.calm.pace import Pace
from gameday.scenario.model import HandlerModel, Scenario
from gameday.scenario.outlook import Outlook
from gameday.scenario.sending import imagined
from gameday.targets.products import Product
from gameday.transports.base import SubscriptionSpec, Topology
from gameday.transports.lambda_events import EVENTS
from gameday.transports.queue import is_fifo

# How the conductor looks: gameday/run/backlog.py; when it has told the load to begin: gameday/run/phases/load.py.
LOOK_S, WATCH_S, LEAD_S = 0.5, 1.0, 0.5
# From the last answer to the load's own end, about.
_ENDING_S = 0.4
# From the last look to the last poll of a consumer, about.
_READY_S = 0.5


@dataclass(kw_only=True, slots=True)
class Received:
    """By one subscription. `sizes`: how many receives brought so many messages; `moved`: dead letters that were moved
    back, `dead`: those that stand at the end. Of a stream `empty` are the reads that found nothing, `ends_s` says when
    each shard was read to its end, and all of it was played for `played_s`."""

    sizes: Counter[int] = field(default_factory=Counter)
    empty: float = 0.0
    deletes: float = 0.0
    hides: float = 0.0
    extensions: float = 0.0
    applied: float = 0.0
    failed: float = 0.0
    dead: float = 0.0
    moved: float = 0.0
    ends_s: Sequence[float] = ()
    played_s: float = 0.0

    @property
    def calls(self) -> float:
        """That found something."""
        return sum(self.sizes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Calm:
    """`sizes`: how many send calls had so many messages. `stopped_s`: when the load was over; `lasts_s`: until the last
    look; `looks`: how often the conductor looked at all subscriptions."""

    sizes: Mapping[int, float]
    received: Mapping[str, Received]
    stopped_s: float
    lasts_s: float
    looks: float


class _Timeline:
    """When the conductor looks, and what it then knows. `look_s`: how long it takes to look once."""

    def __init__(self, topology: Topology, product: Product, *, stopped_s: float, look_s: float) -> None:
        self._settle_s = topology.settle_s
        self._empty_for_s = product.counts_settle_s
        self._gap_s = LOOK_S + look_s
        self.stopped_s = stopped_s
        self.watched = math.floor((LEAD_S + stopped_s) / (WATCH_S + look_s)) + 1

    def looks(self, since_s: float, done_s: float) -> int:
        """In the drain that begins then, where all is done at `done_s`."""
        wait_s = max(self._settle_s, done_s - since_s, 0.0)
        return math.ceil(wait_s / self._gap_s) + 1 + max(math.ceil(self._empty_for_s / self._gap_s), 1)

    def drained_s(self, since_s: float, done_s: float) -> float:
        return since_s + (self.looks(since_s, done_s) - 1) * self._gap_s


def play(
    scenario: Scenario,
    topology: Topology,
    outlook: Outlook,
    product: Product,
    *,
    pace: Pace,
    seed: int,
    most: int = MOST,
) -> Calm:
    config = imagined(scenario, scenario.shape, seed=seed)
    message = scenario.load.message
    # What a function of theirs will make, nobody knows yet.
    own = message.own.open(seed=seed, run=config.run) if message is not None and message.python is None else None
    names = [spec.name for spec in topology.subscriptions]
    pieces = parts(config, own, most=max(most // len(names), 1000))
    sizes: Counter[int] = Counter()
    received = {name: Received() for name in names}
    sent = [(piece, sendings(config, piece.messages, call_s=pace.send)) for piece in pieces]
    whole = len(pieces) == 1
    ended_s = sent[0][1][-1].ended_s if whole and sent[0][1] else 0.0
    stopped_s = max(ended_s, scenario.load.duration) + _ENDING_S
    timeline = _Timeline(topology, product, stopped_s=stopped_s, look_s=_look_s(scenario, topology, outlook, pace))
    over_s = 0.0
    for piece, calls in sent:
        for call in calls:
            sizes[len(call.messages)] += piece.stands_for  # type: ignore[assignment]  # a share of a call counts, too
        for spec in topology.subscriptions:
            # They are there half a call before the sender is answered.
            share = outlook.gets[spec.name]
            chosen = random.Random(f"{seed}:{spec.name}:share")
            arrivals = [
                (call.ended_s - pace.send / 2, [each for each in call.messages if chosen.random() < share])
                for call in calls
            ]
            told = received[spec.name]
            if outlook.transport.kind == "stream":
                over_s = max(over_s, _read(scenario, topology, pace, arrivals, told, piece.stands_for))
            else:
                over_s = max(
                    over_s,
                    _consume(scenario, topology, outlook, spec, pace, arrivals, told, piece, timeline, whole=whole),
                )
    return _ended(scenario, topology, timeline, sizes, received, over_s if whole else 0.0, pace, whole=whole)


def _look_s(scenario: Scenario, topology: Topology, outlook: Outlook, pace: Pace) -> float:
    """One look at all subscriptions, by one call after another."""
    of_one = 1 + (topology.max_receives is not None)
    if outlook.transport.kind == "stream":
        of_one = 1 + 2 * topology.shards + (scenario.consumers.store == "dynamodb")
    return of_one * len(topology.subscriptions) * pace.call


def endless(scenario: Scenario) -> bool:
    """Whether what nobody can do comes again for as long as the run lasts. Then it is played once, and what comes after
    that is the reader's to reckon with."""
    gives_up = scenario.consumers.lambda_ is not None and scenario.consumers.lambda_.direct
    return scenario.topology.max_receives is None and scenario.load.poison > 0 and not gives_up


def work_s(scenario: Scenario, pace: Pace) -> float:
    """Of one message, and of its effect."""
    spec = scenario.consumers
    facts = facts_of(spec.handler)
    if spec.foreign or facts is None or not facts.has_effects:
        return 0.0
    if isinstance(spec.handler, HandlerModel):
        return spec.processing_time
    step_s = pace.call if spec.store == "dynamodb" else pace.commit
    return spec.processing_time + step_s * len(steps_of(spec.guard))


def _consume(
    scenario: Scenario,
    topology: Topology,
    outlook: Outlook,
    subscription: SubscriptionSpec,
    pace: Pace,
    arrivals: Sequence[tuple[float, Sequence[Message]]],
    told: Received,
    piece: Part,
    timeline: _Timeline,
    *,
    whole: bool,
) -> float:
    """Adds what is received of one part; when all of it was done."""
    spec, transport = scenario.consumers, outlook.transport
    handler = spec.handler
    facts = facts_of(handler)
    event = EVENTS[handler.event] if isinstance(handler, HandlerModel) and handler.event is not None else None
    consuming = queue.Consuming(
        consumers=max(spec.count, 1),
        pollers=1 if spec.foreign else spec.pollers,
        batch=10 if spec.foreign else scenario.receive_batch,
        wait_s=int(spec.wait),
        concurrency=spec.concurrency,
        call_s=pace.call,
        work_s=work_s(scenario, pace),
        fifo=is_fifo(topology, subscription, ordered=transport.ordered),
        ordered=transport.ordered,
        max_receives=1 if endless(scenario) else topology.max_receives,
        after_failure=scenario.after_failure,
        heartbeat_s=spec.heartbeat,
        poison_fails=facts is not None and facts.poison_returns,
        hidden_s=lambda receives: _hidden_s(scenario, receives),
        whole=event is not None and event.is_batch,
        alone=facts is not None and facts.deletes_itself,
    )
    moved: list[int] = []

    def again(consumed: queue.Consumed) -> list[list[Message]]:
        """Moved back, and replayed: in this order, as the phases of a run are."""
        bursts: list[list[Message]] = []
        if scenario.topology.redrive:
            moved.append(len(consumed.dead))
            bursts.append(list(consumed.dead))
        if topology.archive:
            bursts.append([message for _, messages in arrivals for message in messages])
        return bursts

    def until_s(done_s: float) -> float:
        return timeline.drained_s(timeline.stopped_s, done_s) + _READY_S if whole else done_s

    played = queue.consume(
        consuming,
        arrivals,
        until_s=until_s,
        again=again,
        limit_s=timeline.stopped_s + topology.settle_s + scenario.drain_timeout_s,
    )
    for size in played.received:
        told.sizes[size] += piece.stands_for  # type: ignore[assignment]  # a share of a call counts, too
    told.empty += played.empty * piece.stands_for
    told.deletes += played.deletes * piece.stands_for
    told.hides += played.hides * piece.stands_for
    told.extensions += played.extensions * piece.stands_for
    told.applied += played.applied * piece.stands_for
    told.failed += (played.handled - played.applied) * piece.stands_for
    told.dead += len(played.dead) * piece.stands_for
    told.moved += sum(moved) * piece.stands_for
    return played.over_s


def _hidden_s(scenario: Scenario, receives: int) -> float:
    """As `ConsumerConfig.retry_after_s` has it."""
    spec = scenario.consumers
    if spec.retry_delay_max is None:
        return int(spec.retry_delay)
    return min(int(spec.retry_delay_max), int(spec.retry_delay) << min(max(receives, 1) - 1, 31))


def _read(
    scenario: Scenario,
    topology: Topology,
    pace: Pace,
    arrivals: Sequence[tuple[float, Sequence[Message]]],
    told: Received,
    stands_for: float,
) -> float:
    found, told.ends_s = stream.read(reading_of(scenario, topology, pace), arrivals)
    told.sizes[1] += found.found
    told.empty += found.reads - found.found
    told.applied += sum(len(messages) for _, messages in arrivals) * stands_for
    told.played_s += found.over_s
    return found.over_s


def reading_of(scenario: Scenario, topology: Topology, pace: Pace) -> stream.Reading:
    spec = scenario.consumers
    held = math.ceil(topology.shards / max(spec.count, 1))
    return stream.Reading(
        shards=topology.shards,
        batch=scenario.receive_batch,
        slots=max(spec.concurrency // held, 1),
        call_s=pace.call,
        work_s=work_s(scenario, pace),
        checkpoint_s=pace.call if spec.store == "dynamodb" else pace.commit,
    )


def _ended(
    scenario: Scenario,
    topology: Topology,
    timeline: _Timeline,
    sizes: Mapping[int, float],
    received: Mapping[str, Received],
    over_s: float,
    pace: Pace,
    *,
    whole: bool,
) -> Calm:
    """With one drain after the load, and one after each redrive and replay."""
    drains = scenario.topology.redrive + scenario.topology.replay
    looks = timeline.watched + timeline.looks(timeline.stopped_s, over_s)
    lasts_s = timeline.drained_s(timeline.stopped_s, over_s)
    for _ in range(drains):
        looks += timeline.looks(0.0, 0.0)
        lasts_s = timeline.drained_s(lasts_s, lasts_s)
    for told in received.values():
        if told.played_s:
            _idle_reads(scenario, topology, pace, told, lasts_s, whole=whole)
        elif not whole:
            # What waits after the load was not played.
            told.empty += _idle_polls(scenario, pace, max(lasts_s - scenario.load.duration, 0.0))
    return Calm(sizes=sizes, received=received, stopped_s=timeline.stopped_s, lasts_s=lasts_s, looks=looks)


def _idle_polls(scenario: Scenario, pace: Pace, idle_s: float) -> float:
    spec = scenario.consumers
    pollers = max(spec.count, 1) * (1 if spec.foreign else spec.pollers)
    return pollers * idle_s / max(int(spec.wait) + pace.call, queue.EMPTY_PACE_S)


def _idle_reads(
    scenario: Scenario, topology: Topology, pace: Pace, told: Received, lasts_s: float, *, whole: bool
) -> None:
    """Before the first message and after the last; and where parts of the load were played, as often in all of it."""
    ends_s = told.ends_s
    if not whole:
        times = scenario.load.duration / told.played_s
        told.sizes = Counter({size: round(count * times) for size, count in told.sizes.items()})
        told.empty *= times
        ends_s = [scenario.load.duration] * topology.shards
    stopped_s = lasts_s + LEAD_S + _READY_S
    told.empty += stream.idle_reads(reading_of(scenario, topology, pace), ends_s, stopped_s)
