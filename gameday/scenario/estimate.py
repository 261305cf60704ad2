"""What a run of a scenario would take, before anything is created: resources, calls, time, and what AWS asks for it.

From the scenario alone. It promises two ends for whatever depends on how the run goes: at the low one batches are full
and a poll that finds nothing waits as long as it may; at the high one each message travels alone, and polls come back
at once. What is likely lies between them: it is counted in a calm run, played beforehand at the target's pace. Retries,
what faults make come again and reading effects back are in none of the three.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gameday.chaos.faults.reshard import Reshard
from gameday.consumers.handlers import facts_of
from gameday.consumers.read_back.base import Settings
from gameday.scenario.brakes import ALARMS_EVERY_S
from gameday.scenario.calm import stream
from gameday.scenario.calm.guards import Step, steps_of
from gameday.scenario.calm.pace import Pace
from gameday.scenario.calm.whole import LEAD_S, LOOK_S, WATCH_S, Calm, Received, endless, play
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.imagined import built_and_removed
from gameday.scenario.model import Scenario, topology_of
from gameday.scenario.outlook import Outlook
from gameday.targets import cloudwatch
from gameday.targets.prices import NOTHING, Cost, Item, Range, bill, chunks, total
from gameday.targets.products import AWS, Product
from gameday.transports import eventbridge, experiments, kinesis, queue, sns
from gameday.transports.base import Call, SubscriptionSpec
from gameday.transports.queue import BATCH_MAX, is_fifo
from gameday.transports.registry import TRANSPORTS

# How long an answer takes at least, and so how often a poll that does not wait can be repeated.
_ANSWER_S = 0.005
# And how soon a message that is given back at once comes again: it is received, given back, and received.
_AGAIN_S = 0.05
PUT_UNIT = 25 * 1024
# How long a service uses a data key, unless a queue says otherwise.
_KEY_REUSED_S = 300
_DYNAMODB = "dynamodb"
# An item of ours and of a guard is so long, about, and a page of a Scan
# (docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html); 4 KB are read for a unit.
_ITEM_BYTES, _PAGE_BYTES, _READ_UNIT = 60, 1024 * 1024, 4096
# Where reads of dead letters, and looks at a move and at a replay, are asked again: gameday/run/queues.py, replay.py.
_DEAD_LOOKS = 3
_TABLE_LOOK_S = 0.5
# Who else polls has his own wait; the longest that there is.
_LONGEST_WAIT_S = 20
_REPLAY_S = Range(low=0.0, likely=0.5, high=600.0)

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
    """`calls`: by service and operation; `empty`: those of them that find nothing. `peak_per_s`: the most messages that
    are due in a second. `bytes`: of one message, as the first service counts it. `lasts_s`: from the first message to
    the last look."""

    messages: int
    peak_per_s: float
    bytes: int
    load_s: float
    lasts_s: Range
    resources: Sequence[Resource]
    calls: Mapping[Operation, Range]
    costs: Sequence[Cost]
    empty: Mapping[Operation, Range] = field(default_factory=dict)
    existing: Sequence[str] = ()
    breaks: Sequence[str] = ()

    @property
    def cost(self) -> Range:
        return total(self.costs)


def estimate(
    scenario: Scenario,
    *,
    region: str,
    run: str = "RUN",
    seed: int = 0,
    product: Product = AWS,
    pace: Pace | None = None,
) -> Estimate:
    """`region`: whose prices count. `product`: whose patience and pace, but for what of its pace was measured."""
    return _Estimating(scenario, region, run, seed, product, pace or Pace.of(product)).done()


class _Estimating:
    def __init__(self, scenario: Scenario, region: str, run: str, seed: int, product: Product, pace: Pace) -> None:
        self.scenario = scenario
        self.region = region
        self.run = run
        self.product = product
        self.pace = pace
        self.transport = TRANSPORTS[scenario.transport]
        self.topology = topology_of(scenario, settle_s=product.settles_after_s(self.transport.services))
        self.outlook = Outlook(scenario, seed=seed)
        self.messages = scenario.shape.total
        self.calls: dict[Operation, Range] = {}
        self.empty: dict[Operation, Range] = {}
        self.used: dict[Item, Range] = {}
        self.resources: list[Resource] = []
        self.addresses, self.building = built_and_removed(self.transport, self.topology, run)
        self.sent_bytes, self.arriving_bytes = self._bytes()
        self.calm = play(scenario, self.topology, self.outlook, product, pace=pace, seed=seed)
        self.lasts_s = self._lasts_s(self.calm)

    def _lasts_s(self, calm: Calm) -> Range:
        """With a drain after the load, and one after each redrive and replay: until all has settled, and then until the
        queues are told to be empty for long enough; or as long as the consumers take, and nobody gets on."""
        spec = self.scenario.topology
        drains = 1 + spec.redrive + spec.replay
        settled_s = self.topology.settle_s + self.product.counts_settle_s
        consumers = self.scenario.consumers
        in_work = max(consumers.count * consumers.concurrency, 1)
        work_s = self.messages * max(self.outlook.gets.values(), default=1.0) * consumers.processing_time / in_work
        end_s = self.scenario.load.duration
        late_s = max(work_s - end_s, 0.0) + self.scenario.drain_timeout_s
        return Range.about(
            calm.lasts_s, low=end_s + drains * settled_s, high=end_s + drains * (settled_s + 2 * LOOK_S + late_s)
        )

    def _bytes(self) -> tuple[Range, Range]:
        """How long a message is, as it is sent and as it arrives; at the high end the longest that may be."""
        message = self.scenario.load.message
        sizes = [self.transport.size(self.topology, event) for event in self.outlook.events]
        sent, arrives = (_spread([getattr(size, name) for size in sizes]) for name in ("sent", "arrives"))
        more = NOTHING
        if message is None:
            # A sample's filler is cut short.
            more = Range.exactly(max(self.scenario.load.payload - 2048, 0))
        elif message.python is not None:
            # Nobody knows what it makes before it makes it.
            return (Range.about(1024, low=0, high=self.transport.limits(self.topology).message),) * 2
        elif message.file is not None:
            path = self.scenario.source.directory / message.file
            with path.open("rb") as lines:
                longest = max(map(len, lines), default=0)
            more = Range(low=0, likely=0, high=max(longest - sent.high, 0))
        return sent + more, arrives + more

    def done(self) -> Estimate:
        # Who calls, and whether that looks like production.
        self._count("sts", "GetCallerIdentity", Range.exactly(1))
        self._count("iam", "ListAccountAliases", Range.exactly(1))
        self._build()
        self._send()
        for spec in self.topology.subscriptions:
            if self.transport.kind == "queue":
                fifo = is_fifo(self.topology, spec, ordered=self.transport.ordered)
                received = self.calm.received[spec.name]
                self._consume_queue(self.messages * self.outlook.gets[spec.name], received, fifo=fifo)
                self._look_at_queue(self.messages * self.outlook.gets[spec.name], received, fifo=fifo)
                self._change_policy(spec)
        if self.transport.kind == "stream":
            self._consume_stream()
        self._experiment()
        self._read_metrics()
        self._ask_alarms()
        self._keep_effects()
        self._keep_leases()
        self._use_keys()
        attached = self.scenario.attached
        struck = [name for fault in self.scenario.chaos for name in fault.existing]
        read = [name for entry in self.scenario.effects if (name := _place_of(entry.settings))]
        return Estimate(
            messages=self.messages,
            peak_per_s=self.scenario.shape.highest,
            bytes=int(self.sent_bytes.high),
            load_s=self.scenario.load.duration,
            lasts_s=self.lasts_s,
            resources=self.resources,
            calls=self.calls,
            empty=self.empty,
            costs=bill(self.used, self.region),
            existing=list(dict.fromkeys([*attached, *read, *struck])),
            breaks=list(dict.fromkeys([*(attached if self.scenario.chaos else []), *struck])),
        )

    def _count(self, service: str, operation: str, count: Range, *, empty: bool = False) -> None:
        if count.high:
            key = (service, operation)
            self.calls[key] = self.calls.get(key, NOTHING) + count
            if empty:
                self.empty[key] = self.empty.get(key, NOTHING) + count

    def _use(self, item: Item, count: Range) -> None:
        self.used[item] = self.used.get(item, NOTHING) + count

    def _asked(
        self, operation: str, count: Range, *, fifo: bool, billed: Range | None = None, empty: bool = False
    ) -> None:
        """Of a queue: so many calls, which count for as many requests unless they are `billed` as others."""
        self._count(queue.SERVICE, operation, count, empty=empty)
        self._use("sqs-fifo" if fifo else "sqs-standard", count if billed is None else billed)

    def _build(self) -> None:
        """What is created and removed, by carrying out the transport's own plans."""
        for call in self.building:
            self._made(call)
            count = Range.exactly(1)
            if call.operation == "DescribeStreamSummary" and self.topology.attached is None:
                # Once a second, until the stream is there.
                made_s = self.product.made_s
                count = Range(low=1 + made_s.low, likely=1 + made_s.likely, high=1 + made_s.high)
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
        spec = self.scenario.load
        if spec.in_call == "one" and (self.transport.ordered or self.transport.kind == "stream"):
            # One of a group is on its way at a time, and each group is one user's.
            batch = min(batch, math.ceil(spec.groups / min(spec.users, spec.groups)))
        sizes = self.calm.sizes
        calls = Range.about(sum(sizes.values()), low=math.ceil(messages / batch), high=messages)
        billed = self._in_chunks(calls, sizes, batch, self.sent_bytes)
        each = self._each(self.sent_bytes)
        send = self.transport.send(self.addresses, ())
        self._count(send.service, send.operation, calls)
        match send.service:
            case queue.SERVICE:
                self._use("sqs-fifo" if self.transport.ordered else "sqs-standard", billed)
            case sns.SERVICE:
                self._publish(calls, billed)
            case eventbridge.SERVICE:
                # An event counts, however many are in a call.
                if self.topology.archive:
                    # Looked at every half second until it has sent all.
                    self._count(eventbridge.SERVICE, "StartReplay", Range.exactly(1))
                    looks = [1 + seconds / LOOK_S for seconds in (_REPLAY_S.low, 0.0, _REPLAY_S.high)]
                    self._count(eventbridge.SERVICE, "DescribeReplay", Range(low=1, likely=looks[1], high=looks[2]))
                    self._use("events-archive", self.sent_bytes.times(messages))
                    each = each.times(2)
                self._use("events", each)
            case kinesis.SERVICE:
                self._use("kinesis-put-unit", self._each(self.sent_bytes, PUT_UNIT))
            case other:
                raise AssertionError(f"nobody knows what sending to {other} costs")

    def _each(self, length: Range, size: int = 64 * 1024) -> Range:
        """What counts for one for each so many bytes of a message, however it travels."""
        return Range(
            low=self.messages * chunks(length.low, size),
            likely=self.messages * chunks(length.likely, size),
            high=self.messages * chunks(length.high, size),
        )

    def _in_chunks(self, calls: Range, sizes: Mapping[int, float], batch: int, length: Range) -> Range:
        """What calls with so many messages count for; at the low end all are full, at the high one each has one."""
        return Range.about(
            sum(count * chunks(length.likely * size) for size, count in sizes.items()),
            low=calls.low * chunks(length.low * batch),
            high=calls.high * chunks(length.high),
        )

    def _publish(self, calls: Range, billed: Range) -> None:
        delivered = self.messages * sum(self.outlook.gets.values())
        if not self.transport.ordered:
            self._use("sns-publish", billed)
        else:
            self._use("sns-fifo-publish", calls)
            self._use("sns-fifo-payload", self.sent_bytes.times(self.messages))
            self._use("sns-fifo-delivery", Range.exactly(delivered))
            self._use("sns-fifo-delivered-payload", self.arriving_bytes.times(delivered))
        filters = [spec.filter_on for spec in self.topology.subscriptions if spec.filter is not None]
        if filtered := filters.count("body"):
            self._use("sns-body-filter", self.sent_bytes.times(self.messages * filtered))

    def _consume_queue(self, messages: float, calm: Received, *, fifo: bool) -> None:
        """What the consumers do."""
        spec = self.scenario.consumers
        poison = self.scenario.load.poison
        again = self._receives_of_one()
        # What is in hand for longer than it is hidden comes again, too.
        hidden_s = self.topology.visibility_timeout_s
        late = spec.processing_time > hidden_s and not spec.heartbeat
        most = messages * (again if late else 1 - poison + poison * again)
        fewest = messages
        if self.topology.archive:
            fewest, most = fewest * 2, most * 2
        if self.scenario.topology.redrive:
            most += messages * poison * again
        batch = BATCH_MAX if spec.foreign else self.scenario.receive_batch
        # Of those that come late, each as often as it has been hidden for long enough when its work is done.
        times = min(math.ceil(spec.processing_time / hidden_s), again) if late else 1
        comes_again = self._endless(messages)
        received = Range.about(calm.calls * times + comes_again, low=math.ceil(fewest / batch), high=most)
        sizes = {size: count * times for size, count in calm.sizes.items()}
        self._asked(
            "ReceiveMessage",
            received,
            fifo=fifo,
            billed=self._in_chunks(received, sizes, batch, self.arriving_bytes),
        )
        if self.transport.services[0] != queue.SERVICE:
            # What a topic or a bus sends to it may count as its requests.
            most_of_it = messages * chunks(self.arriving_bytes.high)
            self._use("sqs-fifo" if fifo else "sqs-standard", Range(low=0, likely=0, high=most_of_it))
        self._asked("ReceiveMessage", self._empty_polls(calm), fifo=fifo, empty=True)
        done = messages * (1 - poison) * (2 if self.topology.archive else 1)
        deletes = Range.about(calm.deletes, low=math.floor(done / batch), high=done)
        self._asked("DeleteMessageBatch", deletes, fifo=fifo)
        failed = messages * poison * again * (2 if self.scenario.topology.redrive else 1)
        beats = math.floor(spec.processing_time / spec.heartbeat) + 1 if spec.heartbeat else 0
        hides = Range.about(calm.hides + calm.extensions + comes_again, low=0, high=failed + most * beats)
        self._asked("ChangeMessageVisibilityBatch", hides, fifo=fifo)

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
                self._asked(operation, count, fifo=is_fifo(self.topology, spec, ordered=self.transport.ordered))

    def _read_metrics(self) -> None:
        """From CloudWatch, at the end."""
        if self.scenario.cloudwatch is False:
            return
        metrics = len(cloudwatch.metrics_of(self.transport.services, self.addresses))
        self._count(cloudwatch.SERVICE, "GetMetricData", Range.about(math.ceil(metrics / 500), low=0, high=0))
        self._use("cloudwatch-metric", Range.about(metrics, low=0, high=0))

    def _ask_alarms(self) -> None:
        """Of what ends chaos: before the load, and while it lasts."""
        if any(self.scenario.brakes.alarms):
            asked = 1 + self.scenario.load.duration / ALARMS_EVERY_S
            calls = Range.about(asked, low=1, high=1 + asked)
            self._count(cloudwatch.SERVICE, "DescribeAlarms", calls)
            self._use("cloudwatch-request", calls)

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
            self._use("fis-action-minute", Range(low=1, likely=most, high=most))
            self._count(experiments.SERVICE, "StartExperiment", Range.exactly(1))
            self._count(experiments.SERVICE, "GetExperiment", Range(low=1, likely=lasts_s / 2, high=lasts_s / 2 + 100))
            self._count(experiments.SERVICE, "StopExperiment", Range(low=0, likely=1, high=1))
        if made or there:
            self._count(experiments.SERVICE, "ListActions", Range(low=1, likely=1, high=10))
        self._count(experiments.SERVICE, "GetExperimentTemplate", Range.exactly(len(there)))
        for operation in ("CreateExperimentTemplate", "DeleteExperimentTemplate"):
            self._count(experiments.SERVICE, operation, Range.exactly(len(made)))

    def _receives_of_one(self) -> int:
        """How often a message that nobody can do comes at most: until it is dead, or for as long as the run lasts."""
        spec = self.scenario.consumers
        if self.topology.max_receives is not None:
            return self.topology.max_receives
        return math.ceil(self.lasts_s.high / max(spec.processing_time, spec.retry_delay, _AGAIN_S))

    def _endless(self, messages: float) -> float:
        """How often what nobody can do comes again in all, if nobody takes it away: from half of the load on."""
        if not endless(self.scenario):
            return 0.0
        spec = self.scenario.consumers
        pause_s = max(spec.processing_time, spec.retry_delay, 3 * self.pace.call)
        poison = messages * self.scenario.load.poison
        left_s = self.lasts_s.likely - self.scenario.load.duration / 2
        # No more than all of them can handle, and nothing is worked on but this.
        most = spec.count * spec.concurrency * left_s / max(spec.processing_time, self.pace.call)
        return min(poison * left_s / pause_s, most)

    def _empty_polls(self, calm: Received) -> Range:
        """While all wait once everything is done; and at most all the time."""
        spec = self.scenario.consumers
        pollers = spec.count * (spec.pollers if not spec.foreign else 1)
        idle_s = max(self.lasts_s.low - self.scenario.load.duration, 0.0)
        fewest = idle_s / _LONGEST_WAIT_S if spec.foreign else idle_s / max(spec.wait, _ANSWER_S)
        shortest = _ANSWER_S if spec.foreign else max(spec.wait, _ANSWER_S)
        # They are there a moment before the first message, and after the last look.
        longest_s = self.lasts_s.high + 2 * max(spec.wait, 1.0)
        return Range.about(
            calm.empty, low=math.floor(fewest / 2) * pollers, high=math.ceil(longest_s / shortest) * pollers
        )

    def _look_at_queue(self, messages: float, calm: Received, *, fifo: bool) -> None:
        """What the conductor does: it looks, and takes the dead letters out."""
        queues = 2 if self.topology.max_receives is not None else 1
        # Once more when the consumers have stopped.
        self._asked("GetQueueAttributes", self._looks().times(queues), fifo=fifo)
        if queues == 1:
            return
        most = math.ceil(messages * self.scenario.load.poison)
        looks = _DEAD_LOOKS if self.product.counts_settle_s else 1
        dead = Range.about(math.ceil(calm.dead / BATCH_MAX), low=0, high=2 * most)
        self._asked("ReceiveMessage", dead, fifo=fifo)
        empty = Range(low=looks, likely=looks, high=2 * looks + most)
        self._asked("ReceiveMessage", empty, fifo=fifo, empty=True)
        self._asked("GetQueueAttributes", empty, fifo=fifo)
        self._asked("DeleteMessageBatch", dead, fifo=fifo)
        if self.scenario.topology.redrive:
            moved = Range.about(math.ceil(calm.moved / BATCH_MAX), low=1, high=2 * most)
            # It is asked how many are left before each receive, and after the last.
            self._asked("GetQueueAttributes", moved + Range.exactly(2), fifo=fifo)
            self._asked("ReceiveMessage", moved, fifo=fifo)
            self._asked("ChangeMessageVisibilityBatch", moved, fifo=fifo)
            self._asked("StartMessageMoveTask", Range.exactly(1), fifo=fifo)
            self._asked("ListMessageMoveTasks", Range(low=0, likely=1, high=120), fifo=fifo)

    def _looks(self) -> Range:
        """How often it looks at a subscription."""
        end_s = self.scenario.load.duration
        fewest = (end_s / (WATCH_S + 1.0)) + (self.lasts_s.low - end_s) / (LOOK_S + 1.0)
        most = (end_s + LEAD_S + 1.0) / WATCH_S + (self.lasts_s.high - end_s) / LOOK_S + 4
        return Range.about(self.calm.looks + 1, low=math.floor(fewest), high=math.ceil(most))

    def _consume_stream(self) -> None:
        """Reading costs nothing but the shards' hours."""
        reshards = [strike.fault for strike in self.outlook.strikes if isinstance(strike.fault, Reshard)]
        for fault in reshards:
            self._count(kinesis.SERVICE, "SplitShard" if fault.action == "split" else "MergeShards", Range.exactly(1))
        splits = sum(fault.action == "split" for fault in reshards)
        shards, names = self.topology.shards, self.topology.names
        most_shards = shards + splits
        low, likely, high = (math.ceil(s / 3600) for s in (self.lasts_s.low, self.lasts_s.likely, self.lasts_s.high))
        if self.topology.attached is None:
            hours = Range(low=low * shards, likely=likely * shards, high=(high + 1) * most_shards)
            self._use("kinesis-shard-hour", hours)
        reads = Range(low=self.lasts_s.low, likely=0, high=(self.lasts_s.high + 3) / stream.READ_PACE_S)
        for name in names:
            calm = self.calm.received[name]
            found = Range.about(calm.calls, low=1, high=min(float(self.messages), reads.high * most_shards))
            empty = Range.about(calm.empty, low=0, high=reads.high * most_shards)
            self._count(kinesis.SERVICE, "GetRecords", found)
            self._count(kinesis.SERVICE, "GetRecords", empty, empty=True)
        # The conductor looks at each shard from where its consumer is.
        looks = self._looks().times(len(names))
        self._count(kinesis.SERVICE, "ListShards", looks)
        for operation in ("GetShardIterator", "GetRecords"):
            at_each = Range(low=looks.low * shards, likely=looks.likely * shards, high=looks.high * most_shards)
            self._count(kinesis.SERVICE, operation, at_each)
        begun = len(names) * (shards + self._steals)
        again = len(names) * most_shards * (self.lasts_s.high + 1)
        self._count(kinesis.SERVICE, "GetShardIterator", Range.about(begun, low=shards, high=again))
        rounds = self._rounds(stream.LIST_EVERY_S + self.pace.call)
        self._count(kinesis.SERVICE, "ListShards", rounds.times(self._consumers))

    @property
    def _steals(self) -> int:
        """Who is there first takes all shards, and those who come then take their share of them."""
        count = max(self.scenario.consumers.count, 1)
        return max(self.topology.shards - math.ceil(self.topology.shards / count), 0)

    @property
    def _consumers(self) -> int:
        return max(self.scenario.consumers.count, 1) * len(self.topology.subscriptions)

    def _rounds(self, every_s: float) -> Range:
        """How often something is done that each consumer does again and again."""
        longest_s = self.lasts_s.high + 5 * LOOK_S
        likely_s = self.lasts_s.likely + 2 * LOOK_S
        return Range(
            low=math.floor(self.lasts_s.low / (every_s + 1.0)),
            likely=likely_s / every_s,
            high=math.ceil(longest_s / max(every_s - self.pace.call, _ANSWER_S)) + 1,
        )

    def _use_keys(self) -> None:
        """What the services ask KMS: for each data key that a sender needs two requests, a receiver one
        (SQSDeveloperGuide/sqs-key-management.html and sns/latest/dg/sns-key-management.html, "Estimating AWS KMS
        costs"); a stream and a bus keep a data key for five minutes as well."""
        encryption = self.topology.encryption
        if encryption is None or encryption.key is None:
            return
        senders, receivers = self.scenario.load.processes, self._consumers + 1
        reused_s = encryption.reuse_s or _KEY_REUSED_S
        lasts_s = self.lasts_s
        low, likely, high = (math.ceil(s / reused_s) for s in (lasts_s.low, lasts_s.likely, lasts_s.high))
        places = len(self.topology.names) if self.transport.kind == "queue" else 1
        most = 2 * senders + receivers
        count = Range(low=low * 3, likely=likely * most, high=high * most).times(places)
        if self.transport.services[0] != queue.SERVICE and self.transport.kind == "queue":
            # The topic or the bus has a key of its own to ask for.
            count += Range(low=2 * low, likely=2 * likely * senders, high=2 * high * senders)
        self._count("kms", "GenerateDataKey, Decrypt", count)
        self._use("kms-request", count)

    def _keep_effects(self) -> None:
        spec, facts = self.scenario.consumers, facts_of(self.scenario.consumers.handler)
        if spec.store != _DYNAMODB or spec.foreign or not isinstance(spec.handler, str):
            return
        self._make_table(f"gameday-{self.run}-effects")
        if facts is None or not facts.has_effects:
            return
        handled = sum(self.messages * share for share in self.outlook.gets.values())
        applied = sum(calm.applied for calm in self.calm.received.values())
        failed = sum(calm.failed for calm in self.calm.received.values())
        times = 2 if self.topology.archive else 1
        good, bad = steps_of(spec.guard), steps_of(spec.guard, fails=True)
        most = failed * 2 + handled * self.scenario.load.poison * self._receives_of_one() * times
        # What was read and not checkpointed when a shard changed hands is read again.
        again = self._steals * self.scenario.receive_batch if self.transport.kind == "stream" else 0
        fewest = handled * (1 - self.scenario.load.poison)
        applied_to = Range.about(applied, low=fewest, high=handled * times + again)
        for operation, counts in _by_operation(good, bad).items():
            count = applied_to.times(counts[0]) + Range.about(failed, low=0, high=most).times(counts[1])
            self._count(_DYNAMODB, operation, count)
        self._use_units(good, applied_to)
        self._use_units(bad, Range.about(failed, low=0, high=most))
        # All of it is read at the end, for each subscription; a mark and an effect stand for each message.
        standing = handled * (1 if spec.guard == "none" else 2) * _ITEM_BYTES
        pages = math.ceil(standing / _PAGE_BYTES)
        names = len(self.topology.subscriptions)
        self._count(_DYNAMODB, "Scan", Range(low=names, likely=names * max(pages, 1), high=names * (2 * pages + 1)))
        read = names * math.ceil(standing / _READ_UNIT)
        self._use("dynamodb-read", Range(low=0, likely=read, high=4 * read))

    def _use_units(self, steps: Sequence[Step], times: Range) -> None:
        self._use("dynamodb-write", times.times(sum(step.writes for step in steps)))
        self._use("dynamodb-read", times.times(sum(step.reads for step in steps)))

    def _keep_leases(self) -> None:
        spec = self.scenario.consumers
        if spec.store != _DYNAMODB or spec.foreign or not CONSUMPTION[self.transport.kind].leased:
            return
        self._make_table(f"gameday-{self.run}-leases")
        names, shards = len(self.topology.subscriptions), self.topology.shards
        # A look at all leases, and one more beat of each that is held.
        rounds = self._rounds(spec.lease / stream.TENDS_A_LEASE + 2 * self.pace.call)
        scans = rounds.times(self._consumers) + self._looks().times(names)
        self._count(_DYNAMODB, "Scan", scans)
        self._use("dynamodb-read", scans)
        added = Range.exactly(self._consumers * shards)
        self._count(_DYNAMODB, "PutItem", added)
        found = sum(calm.calls for calm in self.calm.received.values())
        checkpoints = Range.about(found, low=shards, high=self.messages * names)
        taken = Range.about(names * (2 * shards + self._steals), low=2 * shards, high=4 * shards * self._consumers)
        changed = rounds.times(names * shards) + checkpoints + taken
        self._count(_DYNAMODB, "UpdateItem", changed)
        self._use("dynamodb-write", added + changed)

    def _make_table(self, name: str) -> None:
        """It is asked every half second whether it is there, once more by who made it, and once by each consumer."""
        self.resources.append(Resource(what="table", name=name))
        self._count(_DYNAMODB, "CreateTable", Range.exactly(1))
        made_s = self.product.made_s
        looks = (2 + self._consumers + seconds / _TABLE_LOOK_S for seconds in (made_s.low, made_s.likely, made_s.high))
        low, likely, high = looks
        self._count(_DYNAMODB, "DescribeTable", Range(low=low, likely=likely, high=high))
        self._count(_DYNAMODB, "DeleteTable", Range.exactly(1))


def _spread(sizes: Sequence[int]) -> Range:
    """From the least to the most, and the mean of them."""
    if not sizes:
        return NOTHING
    return Range(low=min(sizes), likely=sum(sizes) / len(sizes), high=max(sizes))


def _by_operation(good: Sequence[Step], bad: Sequence[Step]) -> dict[str, tuple[int, int]]:
    """How often each operation is in the one and in the other."""
    of_good, of_bad = (Counter(step.operation for step in steps) for steps in (good, bad))
    return {operation: (of_good[operation], of_bad[operation]) for operation in {**of_good, **of_bad}}


def _place_of(settings: Settings) -> str | None:
    """What effects are read back from, by the name that it has on AWS; None where it is no service of AWS's."""
    for key in ("name", "url", "table", "bucket"):
        if settings.services and (named := getattr(settings, key, None)):
            return str(named).rpartition("/")[2]
    return None


def _names_fifo(call: Call) -> bool:
    return any(str(call.params.get(key, "")).endswith(".fifo") for key in ("QueueName", "QueueUrl"))
