"""What the observer has seen, as Prometheus metrics made when they are asked for: what dashboards take totals from.

They are read from the history, so no process that dies takes anything with it. A metric's name, type, labels, help and
value stand in one place, `METRICS`, from which docs/metrics.md is written too. Every label value that is known before
is there from the start, at 0, so that a first occurrence is an increase. No label names a message; exemplars do, on
latencies and duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import Metric
from prometheus_client.core import Exemplar

from gameday.history.clock import NS_PER_S
from gameday.history.manifest import BOUNDS
from gameday.history.trace import trace_id
from gameday.processes.exposition import Family, exemplar
from gameday.watch.live import COUNTS, EFFECT_OUTCOMES, PHASES, SEND_OUTCOMES, Live, Sub
from gameday.watch.meters import Histogram

DUPLICATES = ("send-duplicate", "effect-duplicate")
ORDER_VIOLATIONS = ("nonmonotonic-delivery",)
SETTLE_ACTIONS = {"queue": ("delete", "release", "extend"), "stream": ("checkpoint",)}
DEPTHS = ("visible", "hidden", "delayed")
_SECONDS = "_s"


class Observed(Protocol):
    """What metrics are made of, while nobody reads on."""

    @property
    def live(self) -> Live: ...
    @property
    def records(self) -> int: ...
    @property
    def unreadable(self) -> int: ...


Values = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A metric and where its values come from, by label values."""

    family: Family
    values: Callable[[Observed], Values]
    exemplars: Callable[[Observed], Mapping[Any, Exemplar]] | None = None

    def metric(self, observed: Observed) -> Metric:
        values = self.values(observed)
        match self.family.kind:
            case "counter":
                return self.family.counter(values, self.exemplars and self.exemplars(observed))
            case "gauge":
                return self.family.gauge(values)
            case _:
                distributions = {key: each.distribution for key, each in values.items()}
                run = observed.live.manifest.run
                exemplars = {key: _of_buckets(run, each) for key, each in values.items()}
                return self.family.histogram(distributions, exemplars)


METRICS: list[Shown] = []


def collect(observed: Observed) -> Iterator[Metric]:
    for shown in METRICS:
        yield shown.metric(observed)


def _counter(
    name: str,
    *labels: str,
    help: str,
    values: Callable[[Observed], Values],
    exemplars: Callable[[Observed], Mapping[Any, Exemplar]] | None = None,
) -> None:
    family = Family(name=name, kind="counter", labels=labels, help=help)
    METRICS.append(Shown(family=family, values=values, exemplars=exemplars))


def _gauge(name: str, *labels: str, help: str, values: Callable[[Observed], Values]) -> None:
    METRICS.append(Shown(family=Family(name=name, kind="gauge", labels=labels, help=help), values=values))


def _histogram(name: str, *labels: str, help: str, values: Callable[[Observed], Mapping[Any, Histogram]]) -> None:
    METRICS.append(Shown(family=Family(name=name, kind="histogram", labels=labels, help=help), values=values))


# Of each subscription.


def _subs(read: Callable[[Sub], Any], *, kind: str | None = None) -> Callable[[Observed], Values]:
    """A number of each subscription (of a kind); one that has none is left out."""

    def values(observed: Observed) -> Values:
        subs = observed.live.subs.items()
        found = {(name,): read(sub) for name, sub in subs if kind is None or sub.promise.kind == kind}
        return {key: value for key, value in found.items() if value is not None}

    return values


def _subs_by(read: Callable[[Sub], Iterable[tuple[Any, Any]]]) -> Callable[[Observed], Values]:
    """Numbers of each subscription by a label more, or by several."""

    def values(observed: Observed) -> Values:
        return {
            (name, *(label if isinstance(label, tuple) else (label,))): value
            for name, sub in observed.live.subs.items()
            for label, value in read(sub)
        }

    return values


def _depth(state: str) -> Callable[[Observed], Values]:
    return _subs(lambda sub: None if sub.depth is None else sub.depth[state], kind="queue")


def _kinds(kinds: Iterable[str]) -> Callable[[Observed], Values]:
    return _subs_by(lambda sub: [(kind, sub.counts[kind]) for kind in kinds])


def _latest_of(kinds: Iterable[str]) -> Callable[[Observed], Mapping[Any, Exemplar]]:
    """The latest message of each kind on each subscription."""

    def exemplars(observed: Observed) -> Mapping[Any, Exemplar]:
        return {
            (name, kind): shown
            for name, sub in observed.live.subs.items()
            for kind in kinds
            if (latest := sub.latest.get(kind)) is not None
            and (shown := _exemplar(observed.live.manifest.run, latest[0], 1, latest[1])) is not None
        }

    return exemplars


def _of_buckets(run: str, histogram: Histogram) -> dict[int, Exemplar]:
    return {
        n: shown
        for n, latest in enumerate(histogram.latest)
        if latest is not None and (shown := _exemplar(run, latest.id, latest.seconds, latest.at)) is not None
    }


def _exemplar(run: str, id: str, value: float, at: int) -> Exemplar | None:
    """With the trace of the message or, where both are longer than an exemplar may be, with the message alone."""
    labels, at_s = {"message_id": id}, at / NS_PER_S
    return exemplar(labels | {"trace_id": trace_id(run, id)}, value, at_s) or exemplar(labels, value, at_s)


# The run.

_gauge(
    "run_info", "run", "scenario", "target", "transport", "seed",
    help="The run that is observed; always 1. Tells a dashboard what it shows.",
    values=lambda seen: {_run_of(seen.live): 1},
)  # fmt: skip
_gauge(
    "run_phase",
    "phase",
    help="1 for what the run is doing now, 0 for the rest. While it is draining, rates say nothing about the load; if "
    "it does not get from draining to drained, somebody does not settle: look at gameday_oldest_message_age_seconds.",
    values=lambda seen: {(phase,): phase == seen.live.phase for phase in PHASES},
)
_counter(
    "history_records",
    help="Records read from the history. When it stands still while the load goes on, so does all that is shown here.",
    values=lambda seen: {(): seen.records},
)
_counter(
    "history_unreadable_lines",
    help="Lines of the history that are no record. Any is a bug or a bad disk: `gameday verify` says where.",
    values=lambda seen: {(): seen.unreadable},
)
_counter(
    "messages_forgotten",
    help="Messages and groups that were too many to remember: from then on no count here need be the verdict's, which "
    "forgets none.",
    values=lambda seen: {(): seen.live.forgotten},
)

# The load.

_counter(
    "messages_scheduled",
    help="Messages that the schedule wants sent by now. When messages_intended falls behind it, the load is late and "
    "tests less than the scenario says: see gameday_send_lag_seconds.",
    values=lambda seen: {} if seen.live.scheduled is None else {(): seen.live.scheduled},
)
_counter(
    "messages_intended",
    help="Messages with an attempt to send. Equal to the verdict's intended.",
    values=lambda seen: {(): seen.live.intended},
)
_counter(
    "messages_acked",
    help="Messages that the broker has accepted. What is intended and never accepted, the broker refused or nobody "
    "knows: see gameday_errors_total.",
    values=lambda seen: {(): seen.live.acked},
)
_counter(
    "send_attempts",
    help="Attempts to send, retries included. Much more than messages_intended says that sends fail and are repeated.",
    values=lambda seen: {(): seen.live.attempts},
)
_counter(
    "messages_sent", "outcome",
    help="Attempts to send that ended, by what became of them. unknown: the answer was lost, so the message may be "
    "there twice once it is repeated; expect duplicates, which a guard must catch.",
    values=lambda seen: {(outcome,): seen.live.sent[outcome] for outcome in SEND_OUTCOMES},
)  # fmt: skip
_histogram(
    "send_lag_seconds",
    help="From when a message was due to its first attempt. Above 0.1 s the load cannot keep its schedule: more "
    "users, more processes, or a broker that answers sooner; until then latencies say more about the load than about "
    "consumers.",
    values=lambda seen: {(): seen.live.send_lag},
)

# What comes to the consumers.

_counter(
    "messages_received", "subscription",
    help="Receives, redeliveries included. Equal to the verdict's receives. When it stands still while the backlog "
    "does not, nobody consumes.",
    values=_subs(lambda sub: sub.received),
)  # fmt: skip
_histogram(
    "end_to_end_latency_seconds", "subscription",
    help="From when a message was due to its first receive; the bounds of the lag claim are among the buckets. When "
    "it grows with the backlog, consumers are too slow or too few; when it grows without, sending is late or the "
    "broker slow.",
    values=_subs(lambda sub: sub.latency),
)  # fmt: skip
_histogram(
    "tenant_latency_seconds", "subscription", "tenant_class",
    help="The same by class of tenant, where a queue is shared; at most 20 classes have one of their own. When that of "
    "quiet tenants grows with that of noisy ones, the queue is not fair: see whether messages bring their tenant as "
    "MessageGroupId.",
    values=_subs_by(lambda sub: sub.tenants.items()),
)  # fmt: skip
_gauge(
    "backlog_messages", "subscription",
    help="Messages not settled yet, as last measured at the broker. It should fall once a fault is healed: one that "
    "keeps growing needs more consumers, or a smaller rate.",
    values=_subs(lambda sub: sub.backlog),
)  # fmt: skip
_gauge(
    "queue_messages", "subscription", "state",
    help="What is left as the broker counts it, about once a second. Much hidden and little visible: consumers hold "
    "more than they finish. Of a stream, all that is behind the checkpoints is visible.",
    values=_subs_by(lambda sub: [(state, n) for state, n in (sub.depth or {}).items()]),
)  # fmt: skip
_gauge(
    "oldest_message_age_seconds", "subscription",
    help="How long ago the oldest message was accepted that is neither deleted nor about to be a dead letter; of a "
    "stream, its iterator age. When it grows steadily, one message or one group is stuck although others pass: look "
    "for a handler that fails, or a message that is poison.",
    values=lambda seen: {(name,): sub.oldest_s(seen.live.now) for name, sub in seen.live.subs.items()},
)  # fmt: skip
_gauge(
    "iterator_age_seconds", "subscription",
    help="How far the slowest reader of a stream is behind its tip. Growing: more shards or a faster handler; on one "
    "shard alone (gameday_iterator_age_milliseconds): a hot key, or a reader that died.",
    values=_subs(lambda sub: sub.iterator_age_s, kind="stream"),
)  # fmt: skip
_counter(
    "dead_letters", "subscription",
    help="Messages found in the dead-letter queue, those that were then moved back included; the queue is read when "
    "the consumers have stopped. More than were meant to be poison: a handler fails good messages, or max_receives is "
    "too small for the faults.",
    values=_subs(lambda sub: sub.dead),
)  # fmt: skip
_gauge(
    "dead_letter_queue_messages", "subscription",
    help="What is in the dead-letter queue now as the broker counts it, about once a second. More than were meant to "
    "be poison: look into the consumers' logs while the run goes on.",
    values=_subs(lambda sub: sub.dead_waiting, kind="queue"),
)  # fmt: skip

# What consumers do.

_counter(
    "effects", "subscription", "outcome",
    help="Handled messages by what the handler did. skipped: the guard knew the message already, which is its work; "
    "many failed: look into the consumers' logs in the run directory.",
    values=_subs_by(lambda sub: [(outcome, sub.effects[outcome]) for outcome in EFFECT_OUTCOMES]),
)  # fmt: skip
_counter(
    "settles", "subscription", "action", "outcome",
    help="Answers to deletes, releases, extensions and checkpoints. Each that is not ok lets its message come again.",
    values=_subs_by(
        lambda sub: [
            ((action, outcome), sub.settles[action, outcome])
            for action in SETTLE_ACTIONS[sub.promise.kind]
            for outcome in SEND_OUTCOMES
        ]
    ),
)  # fmt: skip
_counter(
    "errors", "where", "subscription", "error",
    help="Sends and settles that did not succeed, by the kind of failure; a send is on no subscription. A throttle "
    "asks for less, AccessDenied for a policy, a timeout for a look at the broker. Many at once during a fault are "
    "the fault.",
    values=lambda seen: seen.live.errors,
)  # fmt: skip
_gauge(
    "consumers_running", "subscription",
    help="Consumer processes that run. Fewer than the scenario says for longer than a restart takes: they die at their "
    "start; their logs are in the run directory.",
    values=_subs(lambda sub: sub.running),
)  # fmt: skip
_counter(
    "consumer_restarts", "subscription",
    help="Consumers started again in the place of one that ended. More than faults killed: they crash by themselves.",
    values=_subs(lambda sub: sub.restarts),
)  # fmt: skip
_gauge(
    "messages_in_flight", "subscription", "consumer",
    help="Messages that a running consumer has received and not let go, as far as the history tells. One consumer with "
    "many while others have none is stuck, paused or slow.",
    values=lambda seen: dict(seen.live.hands.counts()),
)  # fmt: skip

# What the verdict counts, too: each says how it may differ.

_counter(
    "redeliveries", "subscription",
    help=f"{COUNTS['redelivery'].told} Legal for at-least-once; many without a fault: handlers outlast the visibility "
    "timeout.",
    values=_subs(lambda sub: sub.counts["redelivery"]),
)  # fmt: skip
_counter(
    "duplicates", "subscription", "kind",
    help=" ".join(f"{kind}: {COUNTS[kind].told}" for kind in DUPLICATES)
    + " An effect-duplicate says that the guard does not hold: its exemplar names the message, and the verdict what "
    "led to it.",
    values=_kinds(DUPLICATES),
    exemplars=_latest_of(DUPLICATES),
)  # fmt: skip
_counter(
    "order_violations", "subscription", "kind",
    help=" ".join(f"{kind}: {COUNTS[kind].told}" for kind in ORDER_VIOLATIONS),
    values=_kinds(ORDER_VIOLATIONS),
    exemplars=_latest_of(ORDER_VIOLATIONS),
)  # fmt: skip
_counter(
    "over_received", "subscription",
    help=f"{COUNTS['over-received'].told} The redrive policy is not what you think, or the broker does not keep it.",
    values=_subs(lambda sub: sub.counts["over-received"]),
)  # fmt: skip
_counter(
    "misrouted", "subscription",
    help=f"{COUNTS['misrouted'].told} A filter or a rule lets through too much.",
    values=_subs(lambda sub: sub.counts["misrouted"]),
)  # fmt: skip

# Chaos.

_gauge(
    "fault_active", "fault", "instance", "target",
    help="1 for each target of a strike while it is at work; by fault alone, 0 where none is. What is bad meanwhile is "
    "meant; what is still bad when it is over by a claim's grace is not.",
    values=lambda seen: _active(seen.live),
)  # fmt: skip
_counter(
    "fault_strikes", "fault", "target",
    help="Strikes by the slot that they hit, or `load`. 0 for a fault whose time has come: it found nobody to strike, "
    "and a run that was not harmed proves little.",
    values=lambda seen: {**{(fault, ""): 0 for fault in seen.live.faults}, **seen.live.strikes},
)  # fmt: skip

# What is claimed.

_gauge(
    "claim_info", "claim",
    help="The claims that the verdict will judge; always 1.",
    values=lambda seen: {(claim.key,): 1 for claim in seen.live.manifest.claims},
)  # fmt: skip
_gauge(
    "claim_bound_seconds", "claim", "bound",
    help="The bounds of claims, to draw beside what is measured. A quantile of a histogram above its bound is a "
    "warning; the verdict looks at every message.",
    values=lambda seen: {
        (claim.key, bound.removesuffix(_SECONDS)): seconds
        for claim in seen.live.manifest.claims
        for bound in BOUNDS[claim.claim]
        if bound.endswith(_SECONDS) and (seconds := claim.seconds(bound)) is not None
    },
)  # fmt: skip

# CloudWatch's own words, for those who watch production by them.

_gauge(
    "approximate_age_of_oldest_message_seconds", "subscription",
    help="What CloudWatch calls ApproximateAgeOfOldestMessage, reckoned from the history: the age of the oldest "
    "message that is not deleted; in a standard queue, one that was received three times or more does not count. An "
    "alarm on it in production should fire where this is high.",
    values=lambda seen: {
        (name,): sub.cloudwatch_oldest_s(seen.live.now)
        for name, sub in seen.live.subs.items()
        if sub.promise.kind == "queue"
    },
)  # fmt: skip
_gauge(
    "approximate_number_of_messages_visible", "subscription",
    help="What CloudWatch calls ApproximateNumberOfMessagesVisible: those that a receive can get now, by the queue's "
    "own attributes, about once a second. What consumers are scaled by.",
    values=_depth("visible"),
)  # fmt: skip
_gauge(
    "approximate_number_of_messages_not_visible", "subscription",
    help="What CloudWatch calls ApproximateNumberOfMessagesNotVisible: those in flight, by the queue's own "
    "attributes. AWS lets a queue have 120,000, a FIFO queue too.",
    values=_depth("hidden"),
)  # fmt: skip
_gauge(
    "approximate_number_of_messages_delayed", "subscription",
    help="What CloudWatch calls ApproximateNumberOfMessagesDelayed: those whose delay is not over yet, by the queue's "
    "own attributes.",
    values=_depth("delayed"),
)  # fmt: skip
_gauge(
    "iterator_age_milliseconds", "subscription", "shard",
    help="What CloudWatch calls GetRecords.IteratorAgeMilliseconds, of each shard, as its reader tells it about once a "
    "second. Above half of the stream's retention, records are about to be lost.",
    values=_subs_by(lambda sub: sub.behind_ms.items()),
)  # fmt: skip


def _run_of(live: Live) -> tuple[str, ...]:
    manifest = live.manifest
    told = (manifest.scenario.get("name"), manifest.target, manifest.scenario.get("transport"), manifest.seed)
    return (manifest.run, *("" if word is None else str(word) for word in told))


def _active(live: Live) -> Values:
    idle = {(fault, "", ""): 0 for fault in live.faults}
    struck = {
        (fault, instance, target): 1
        for fault, instances in live.faults.items()
        for instance, targets in instances.items()
        for target in targets or ("",)
    }
    return {**idle, **struck}


# Held to the verdict.


def final_counts(observed: Observed) -> dict[str, int]:
    """What the metrics say of each of `COUNTS`, all subscriptions together."""
    found = dict.fromkeys(COUNTS, 0)
    names = {"gameday_redeliveries_total": "redelivery", "gameday_over_received_total": "over-received"}
    names["gameday_misrouted_total"] = "misrouted"
    for metric in collect(observed):
        for sample in metric.samples:
            kind = names.get(sample.name) or sample.labels.get("kind")
            if kind in found:
                found[kind] += int(sample.value)
    return found


def differing_totals(observed: Observed, totals: Mapping[str, Any]) -> list[str]:
    """Where the metrics of a run that is over differ from the totals of verdict.json: equal, but for dead letters where
    some were moved back, which the verdict does not count."""
    live = observed.live
    told = {(s.name, s.labels.get("subscription")): int(s.value) for m in collect(observed) for s in m.samples}
    wanted = {
        (f"gameday_messages_{name}_total", None): totals[name]
        for name in ("scheduled", "intended", "acked")
        # Nobody knows how much was scheduled of a load that did not come to its end.
        if totals[name] is not None
    }
    for name, of_sub in totals["subscriptions"].items():
        wanted["gameday_messages_received_total", name] = of_sub["receives"]
        if not live.subs[name].redriven:
            wanted["gameday_dead_letters_total", name] = of_sub["dead"]
    return [
        f"{name} of {subscription or 'the run'} is {told[name, subscription]}, by the verdict it is {judged}"
        for (name, subscription), judged in wanted.items()
        if told[name, subscription] != judged
    ]
