"""What a run of a scenario would take, before anything is created: resources, calls, time, and what AWS asks for it.

Pure arithmetic, from the scenario alone. It promises two ends for whatever depends on how the run goes: at the low one
batches are full and a poll that finds nothing waits as long as it may; at the high one each message travels alone, and
polls come back at once. Retries, what faults make come again and reading effects back are in neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gameday.consumers.read_back.base import Settings
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.imagined import built_and_removed
from gameday.scenario.model import Scenario, topology_of
from gameday.scenario.outlook import Outlook
from gameday.targets import cloudwatch
from gameday.targets.prices import NOTHING, Cost, Item, Range, bill, chunks, total
from gameday.targets.products import AWS
from gameday.transports import eventbridge, experiments, kinesis, queue, sns
from gameday.transports.base import Call, SubscriptionSpec
from gameday.transports.queue import is_fifo
from gameday.transports.registry import TRANSPORTS

# The conductor looks at every queue so often: gameday/run/backlog.py.
_LOOKS_PER_S = Range(low=0.9, high=2.0)
# How long an answer takes at least, and so how often a poll that does not wait can be repeated.
_ANSWER_S = 0.005
# A shard is read so often at most: docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html.
_READS_PER_S = Range(low=1.0, high=5.0)
_PUT_UNIT = 25 * 1024
_DYNAMODB = "dynamodb"
# Of what a guard does for a message: units written and read, from one conditional write to a transaction of two items,
# which counts twice (docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html).
_WRITES, _READS = Range(low=1, high=4), Range(low=0, high=1)
# What the service is asked once everything is there, of each table: is it active, and all that is in it.
_TABLE_CALLS = Range(low=4, high=130)

# "Up to 20 actions" has a template (docs.aws.amazon.com/fis/latest/userguide/fis-quotas.html).
_ACTIONS_MAX = 20

Operation = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """Something that the run creates, and removes at its end."""

    what: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """`calls`: by service and operation. `peak_per_s`: the most messages that are due in a second. `bytes`: of one
    message, as the first service counts it. `lasts_s`: from the first message to the last look."""

    messages: int
    peak_per_s: float
    bytes: int
    load_s: float
    lasts_s: Range
    resources: Sequence[Resource]
    calls: Mapping[Operation, Range]
    costs: Sequence[Cost]
    existing: Sequence[str] = ()
    breaks: Sequence[str] = ()

    @property
    def cost(self) -> Range:
        return total(self.costs)


def estimate(scenario: Scenario, *, region: str, run: str = "RUN", seed: int = 0) -> Estimate:
    """`region`: whose prices count. It is always a run on AWS that is estimated."""
    return _Estimating(scenario, region=region, run=run, seed=seed).done()


class _Estimating:
    def __init__(self, scenario: Scenario, *, region: str, run: str, seed: int) -> None:
        self.scenario = scenario
        self.region = region
        self.run = run
        self.transport = TRANSPORTS[scenario.transport]
        self.topology = topology_of(scenario, settle_s=AWS.settles_after_s(self.transport.services))
        self.outlook = Outlook(scenario, seed=seed)
        self.messages = scenario.shape.total
        self.calls: dict[Operation, Range] = {}
        self.used: dict[Item, Range] = {}
        self.resources: list[Resource] = []
        self.addresses, self.building = built_and_removed(self.transport, self.topology, run)
        self.lasts_s = self._lasts_s()
        self.sent_bytes, self.arriving_bytes = self._bytes()

    def _lasts_s(self) -> Range:
        """With a drain after the load, and one after each redrive and replay: until all has settled, and then until the
        queues are told to be empty for long enough; or as long as the consumers take, and nobody gets on."""
        spec = self.scenario.topology
        drains = 1 + spec.redrive + spec.replay
        settled_s = self.topology.settle_s + (AWS.counts_settle_s if self.transport.kind == "queue" else 0.0) + 1.0
        consumers = self.scenario.consumers
        in_work = max(consumers.count * consumers.concurrency, 1)
        work_s = self.messages * max(self.outlook.gets.values(), default=1.0) * consumers.processing_time / in_work
        end_s = self.scenario.load.duration
        late_s = max(work_s - end_s, 0.0) + self.scenario.drain_timeout_s
        return Range(low=end_s + drains * settled_s, high=end_s + drains * (settled_s + late_s))

    def _bytes(self) -> tuple[int, int]:
        """How long a message is at most: as it is sent, and as it arrives."""
        message = self.scenario.load.message
        sizes = [self.transport.size(self.topology, event) for event in self.outlook.events]
        sent = max((size.sent for size in sizes), default=0)
        arrives = max((size.arrives for size in sizes), default=0)
        if message is None:
            # A sample's filler is cut short.
            more = max(self.scenario.load.payload - 2048, 0)
        elif message.python is not None:
            # Nobody knows what it makes before it makes it.
            return (self.transport.limits(self.topology).message,) * 2
        elif message.file is not None:
            path = self.scenario.source.directory / message.file
            with path.open("rb") as lines:
                more = max(max(map(len, lines), default=0) - sent, 0)
        else:
            more = 0
        return sent + more, arrives + more

    def done(self) -> Estimate:
        self._build()
        self._send()
        for spec in self.topology.subscriptions:
            share = self.outlook.gets[spec.name]
            if self.transport.kind == "queue":
                self._consume_queue(self.messages * share, fifo=is_fifo(spec, ordered=self.transport.ordered))
                self._change_policy(spec)
        if self.transport.kind == "stream":
            self._consume_stream()
        self._experiment()
        self._read_metrics()
        self._keep_effects()
        queues = self.scenario.existing
        struck = [name for fault in self.scenario.chaos for name in fault.existing]
        read = [name for entry in self.scenario.effects if (name := _place_of(entry.settings))]
        return Estimate(
            messages=self.messages,
            peak_per_s=self.scenario.shape.highest,
            bytes=self.sent_bytes,
            load_s=self.scenario.load.duration,
            lasts_s=self.lasts_s,
            resources=self.resources,
            calls=self.calls,
            costs=bill(self.used, self.region),
            existing=list(dict.fromkeys([*queues, *read, *struck])),
            breaks=list(dict.fromkeys([*(queues if self.scenario.chaos else []), *struck])),
        )

    def _count(self, service: str, operation: str, count: Range) -> None:
        if count.high:
            key = (service, operation)
            self.calls[key] = self.calls.get(key, NOTHING) + count

    def _use(self, item: Item, count: Range) -> None:
        self.used[item] = self.used.get(item, NOTHING) + count

    def _asked(self, operation: str, count: Range, *, fifo: bool, billed: Range | None = None) -> None:
        """Of a queue: so many calls, which count for as many requests unless they are `billed` as others."""
        self._count(queue.SERVICE, operation, count)
        self._use("sqs-fifo" if fifo else "sqs-standard", count if billed is None else billed)

    def _build(self) -> None:
        """What is created and removed, by carrying out the transport's own plans."""
        for call in self.building:
            self._made(call)
            count = Range.exactly(1)
            if call.operation == "DescribeStreamSummary":
                # Once a second, until the stream is there.
                count = Range(low=1, high=60)
            if call.service == queue.SERVICE:
                self._asked(call.operation, count, fifo=_names_fifo(call))
            else:
                self._count(call.service, call.operation, count)

    def _made(self, call: Call) -> None:
        kinds = {
            "CreateQueue": ("queue", "QueueName"),
            "CreateTopic": ("topic", "Name"),
            "CreateEventBus": ("bus", "Name"),
            "CreateArchive": ("archive", "ArchiveName"),
            "PutRule": ("rule", "Name"),
            "CreateStream": ("stream", "StreamName"),
        }
        if call.operation in kinds:
            what, key = kinds[call.operation]
            self.resources.append(Resource(what=what, name=str(call.params[key])))
        elif call.operation == "Subscribe":
            endpoint = str(call.params["Endpoint"]).rpartition(":")[2]
            self.resources.append(Resource(what="subscription", name=f"to {endpoint}"))

    def _send(self) -> None:
        messages = float(self.messages)
        batch = min(self.scenario.load.batch, self.transport.batch_max)
        if self.transport.ordered or self.transport.kind == "stream":
            # One of a group is on its way at a time, and each group is one user's.
            spec = self.scenario.load
            batch = min(batch, math.ceil(spec.groups / min(spec.users, spec.groups)))
        calls = Range(low=math.ceil(messages / batch), high=messages)
        alone, full = chunks(self.sent_bytes), chunks(self.sent_bytes * batch)
        billed = Range(low=calls.low * full, high=calls.high * alone)
        send = self.transport.send(self.addresses, ())
        self._count(send.service, send.operation, calls)
        match send.service:
            case queue.SERVICE:
                self._use("sqs-fifo" if self.transport.ordered else "sqs-standard", billed)
            case sns.SERVICE:
                self._publish(calls, billed)
            case eventbridge.SERVICE:
                # An event counts, however many are in a call.
                each = Range.exactly(messages * alone)
                if self.topology.archive:
                    # Looked at every half second until it has sent all.
                    self._count(eventbridge.SERVICE, "DescribeArchive", Range(low=0, high=1200))
                    self._count(eventbridge.SERVICE, "StartReplay", Range.exactly(1))
                    self._count(eventbridge.SERVICE, "DescribeReplay", Range(low=1, high=1200))
                    self._use("events-archive", Range.exactly(messages * self.sent_bytes))
                    each = each.times(2)
                self._use("events", each)
            case kinesis.SERVICE:
                self._use("kinesis-put-unit", Range.exactly(messages * chunks(self.sent_bytes, _PUT_UNIT)))
            case other:
                raise AssertionError(f"nobody knows what sending to {other} costs")

    def _publish(self, calls: Range, billed: Range) -> None:
        delivered = self.messages * sum(self.outlook.gets.values())
        if not self.transport.ordered:
            self._use("sns-publish", billed)
        else:
            self._use("sns-fifo-publish", calls)
            self._use("sns-fifo-payload", Range.exactly(self.messages * self.sent_bytes))
            self._use("sns-fifo-delivery", Range.exactly(delivered))
            self._use("sns-fifo-delivered-payload", Range.exactly(delivered * self.arriving_bytes))
        filters = [spec.filter_on for spec in self.topology.subscriptions if spec.filter is not None]
        if filtered := filters.count("body"):
            self._use("sns-body-filter", Range.exactly(self.messages * self.sent_bytes * filtered))

    def _consume_queue(self, messages: float, *, fifo: bool) -> None:
        spec = self.scenario.consumers
        poison = self.scenario.load.poison
        again = self._receives_of_one()
        # What is in hand for longer than it is hidden comes again, too.
        hidden_s = self.topology.visibility_timeout_s
        late = spec.processing_time > hidden_s and not spec.heartbeat
        receives = messages * (again if late else 1 - poison + poison * again)
        if self.topology.archive:
            receives *= 2
        batch = self.scenario.receive_batch
        full = Range(low=math.ceil(receives / batch), high=receives)
        alone, together = chunks(self.arriving_bytes), chunks(self.arriving_bytes * batch)
        billed = Range(low=full.low * together, high=full.high * alone)
        self._asked("ReceiveMessage", full, fifo=fifo, billed=billed)
        if self.transport.services[0] != queue.SERVICE:
            # What a topic or a bus sends to it may count as its requests.
            self._use("sqs-fifo" if fifo else "sqs-standard", Range(low=0, high=messages * alone))
        self._asked("ReceiveMessage", self._empty_polls(), fifo=fifo)
        done = messages * (1 - poison) * (2 if self.topology.archive else 1)
        self._asked("DeleteMessageBatch", Range(low=math.ceil(done / batch), high=done), fifo=fifo)
        if failed := messages * poison * again:
            self._asked("ChangeMessageVisibilityBatch", Range(low=0, high=failed), fifo=fifo)
        if spec.heartbeat:
            beats = math.floor(spec.processing_time / spec.heartbeat)
            self._asked("ChangeMessageVisibilityBatch", Range(low=0, high=receives * (beats + 1)), fifo=fifo)
        queues = 2 if self.topology.max_receives is not None else 1
        looks = Range(low=self.lasts_s.low * _LOOKS_PER_S.low, high=self.lasts_s.high * _LOOKS_PER_S.high)
        self._asked("GetQueueAttributes", looks.times(queues), fifo=fifo)
        if queues == 2:
            dead = math.ceil(messages * poison)
            self._asked("ReceiveMessage", Range(low=1 + math.ceil(dead / 10), high=2 + 2 * dead), fifo=fifo)
            self._asked("GetQueueAttributes", Range(low=1, high=2 + dead), fifo=fifo)
            self._asked("DeleteMessageBatch", Range(low=math.ceil(dead / 10), high=dead), fifo=fifo)

    def _change_policy(self, spec: SubscriptionSpec) -> None:
        """By the faults that deny: read and written once to deny, and once more to allow again."""
        strikes = [
            strike
            for strike in self.outlook.strikes
            if strike.fault.needs == "policy-deny" and getattr(strike.fault, "subscription", None) in (None, spec.name)
        ]
        for operation in ("GetQueueAttributes", "SetQueueAttributes"):
            count = Range.exactly(2 * len(strikes))
            if count.high:
                self._asked(operation, count, fifo=is_fifo(spec, ordered=self.transport.ordered))

    def _read_metrics(self) -> None:
        """From CloudWatch, at the end."""
        if self.scenario.cloudwatch is False:
            return
        metrics = len(cloudwatch.metrics_of(self.transport.services, self.addresses))
        self._count(cloudwatch.SERVICE, "GetMetricData", Range(low=0, high=math.ceil(metrics / 500)))
        self._use("cloudwatch-metric", Range(low=0, high=metrics))

    def _experiment(self) -> None:
        """By FIS: what it has is asked once, and a template is made for each entry with an action."""
        made, there = set[str](), set[str]()
        for strike in self.outlook.strikes:
            if (experiment := strike.fault.experiment) is None:
                continue
            (made if experiment.template is None else there).add(str(experiment))
            lasts_s = strike.fault.length_s or self.scenario.load.duration - strike.at_s
            # How many actions a template has that is there already, nobody knows here.
            most = math.ceil(lasts_s / 60) * (1 if experiment.template is None else _ACTIONS_MAX)
            self._use("fis-action-minute", Range(low=1, high=most))
            self._count(experiments.SERVICE, "StartExperiment", Range.exactly(1))
            self._count(experiments.SERVICE, "GetExperiment", Range(low=1, high=lasts_s / 2 + 100))
            self._count(experiments.SERVICE, "StopExperiment", Range(low=0, high=1))
        if made or there:
            self._count(experiments.SERVICE, "ListActions", Range(low=1, high=10))
        self._count(experiments.SERVICE, "GetExperimentTemplate", Range.exactly(len(there)))
        for operation in ("CreateExperimentTemplate", "DeleteExperimentTemplate"):
            self._count(experiments.SERVICE, operation, Range.exactly(len(made)))

    def _receives_of_one(self) -> int:
        """How often a message that nobody can do comes at most: until it is dead, or for as long as the run lasts."""
        spec = self.scenario.consumers
        if self.topology.max_receives is not None:
            return self.topology.max_receives
        pause_s = max(spec.processing_time, min(spec.retry_delay or 1.0, self.topology.visibility_timeout_s), 0.05)
        return math.ceil(self.lasts_s.high / pause_s)

    def _empty_polls(self) -> Range:
        """While all wait once everything is done; and at most all the time."""
        spec = self.scenario.consumers
        pollers = spec.count * (spec.pollers if not spec.foreign else 1)
        idle_s = max(self.lasts_s.low - self.scenario.load.duration, 0.0)
        fewest = idle_s / 20 if spec.foreign else idle_s / max(spec.wait, _ANSWER_S)
        shortest = _ANSWER_S if spec.foreign else max(spec.wait, _ANSWER_S)
        return Range(low=math.floor(fewest / 2) * pollers, high=math.ceil(self.lasts_s.high / shortest) * pollers)

    def _consume_stream(self) -> None:
        """Reading costs nothing but the shards' hours."""
        splits = sum(1 for strike in self.outlook.strikes if strike.fault.needs == "reshard")
        shards = self.topology.shards + splits
        hours = Range(low=math.ceil(self.lasts_s.low / 3600), high=math.ceil(self.lasts_s.high / 3600) + 1)
        self._use("kinesis-shard-hour", Range(low=hours.low * self.topology.shards, high=hours.high * shards))
        reads = Range(low=self.lasts_s.low * _READS_PER_S.low, high=self.lasts_s.high * _READS_PER_S.high)
        self._count(kinesis.SERVICE, "GetRecords", reads.times(shards * len(self.topology.subscriptions)))
        self._count(kinesis.SERVICE, "GetShardIterator", Range(low=shards, high=shards * (self.lasts_s.high + 1)))
        self._count(kinesis.SERVICE, "ListShards", Range(low=1, high=self.lasts_s.high * 5 * self._consumers))

    @property
    def _consumers(self) -> int:
        return max(self.scenario.consumers.count, 1) * len(self.topology.subscriptions)

    def _keep_effects(self) -> None:
        spec = self.scenario.consumers
        if spec.store != "dynamodb" or spec.foreign:
            return
        tables = [f"gameday-{self.run}-effects"]
        handled = sum(self.messages * share for share in self.outlook.gets.values())
        self._use("dynamodb-write", _WRITES.times(handled))
        # All of it is read at the end, 4 KB for a unit.
        self._use("dynamodb-read", _READS.times(handled) + Range.exactly(math.ceil(handled / 8)))
        self._count(_DYNAMODB, "steps of the guard", Range(low=handled, high=handled * 3))
        if CONSUMPTION[self.transport.kind].leased:
            tables.append(f"gameday-{self.run}-leases")
            renewals = self.lasts_s.high / (spec.lease / 3) * self.topology.shards * self._consumers
            self._use("dynamodb-write", Range(low=self.topology.shards, high=renewals))
            self._use("dynamodb-read", Range(low=self.topology.shards, high=renewals))
            self._count(_DYNAMODB, "leases", Range(low=self.topology.shards, high=2 * renewals))
        self.resources += [Resource(what="table", name=name) for name in tables]
        self._count(_DYNAMODB, "tables", _TABLE_CALLS.times(len(tables)))


def _place_of(settings: Settings) -> str | None:
    """What effects are read back from, by the name that it has on AWS; None where it is no service of AWS's."""
    for key in ("name", "url", "table", "bucket"):
        if settings.services and (named := getattr(settings, key, None)):
            return str(named).rpartition("/")[2]
    return None


def _names_fifo(call: Call) -> bool:
    return any(str(call.params.get(key, "")).endswith(".fifo") for key in ("QueueName", "QueueUrl"))
