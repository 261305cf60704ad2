"""The vocabulary of transports: calls and answers as data, what a message is on its way out and on its way in.

`Transport` is the protocol that an entry of `TRANSPORTS` fulfils. Whatever takes several calls (provisioning,
tear-down) is a `Plan`: a generator that yields calls and is sent their answers, so that it runs over any carrier and
is tested with none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from gameday.history import events
from gameday.history.claim_check import Reference
from gameday.history.events import ExecutionStatus, Record, SendResult
from gameday.history.identity import Identification
from gameday.history.manifest import Kind, Subscription

T = TypeVar("T")

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS API call: a boto3 service name, an operation as AWS spells it (SendMessageBatch), its parameters.

    `after_s`: how long whoever carries out a plan waits before it, where the plan asks again until something is so.
    `undo`: of a call that makes something, the call that removes it, from the answer; made when the plan then fails.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    after_s: float = 0.0
    undo: Callable[[Answer], Call] | None = field(default=None, compare=False)


Plan = Generator[Call, Answer, T]


class CallFailed(Exception):
    """A call that got no good answer, in our own words.

    `definite`: the answer proves that nothing was stored or changed. `code`: AWS's error code or the kind of failure.
    """

    def __init__(self, code: str, message: str, *, definite: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.definite = definite

    @property
    def outcome(self) -> SendResult:
        return "failed" if self.definite else "unknown"


Document = Mapping[str, Any]
"""A filter policy of SNS or a pattern of EventBridge, as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """What is really deployed for a subscription, where that differs from what is meant.

    It is what somebody forgot or got wrong, planted on purpose: no subscription at all (`missing`), or another filter.
    """

    missing: bool = False
    filter: Document | None = None
    pattern: Document | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionSpec:
    """One subscription as it is meant.

    `queue`: of which kind it ends in (None: as ordered as the transport). `raw`: SNS hands the body on as it is.
    `filter` with `filter_on` is an SNS filter policy, `pattern` an EventBridge one. `invoked_for`: the filter criteria
    of the function that it is handed to, if it has some.
    """

    name: str
    queue: Literal["fifo", "standard"] | None = None
    raw: bool = False
    filter: Document | None = None
    filter_on: Literal["attributes", "body"] = "attributes"
    pattern: Document | None = None
    deployed: Deployed | None = None
    invoked_for: Sequence[Document] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachedQueue:
    """A queue that is there already, by its URL or ARN.

    `dead_letter_queue`: where its dead letters go, where that is not what its redrive policy says. `rule`: behind a
    bus, the rule that fills it.
    """

    queue: str
    dead_letter_queue: str | None = None
    rule: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """What is there already, and is used in place of what a run would make: nothing of it is made, tagged or removed.

    `at`: what producers send to, a queue by its URL or ARN, a topic by its ARN, a bus or a stream by its name or ARN.
    `queues`: by subscription; a stream has none. `shared`: others use it, too.
    """

    at: str
    queues: Mapping[str, AttachedQueue] = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Encryption:
    """At rest: with a key of KMS by its id, ARN or alias, or with the service's own (`key` is None).

    `reuse_s`: how long a queue uses a data key before it asks KMS for another.
    """

    key: str | None = None
    reuse_s: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What holds for one subscription: of what is there already as it was read there, else as the scenario says.

    `deployed`: what the topic or bus lets through to it, where that is not what is meant. `wait_s`: how long a poll
    waits that does not say so. `max_message_bytes`: the largest message that it takes. `keys`: those of KMS that who
    sends or receives needs. `shards`: of a stream, those that take records.
    """

    visibility_timeout_s: float | None = None
    max_receives: int | None = None
    dead_letter: bool = False
    delay_s: float = 0.0
    wait_s: float | None = None
    retention_s: float | None = None
    max_message_bytes: int | None = None
    shards: int | None = None
    keys: Sequence[str] = ()
    deployed: Deployed | None = None


WorkflowType = Literal["standard", "express", "express-sync"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workflow:
    """The machine that messages start: its definition in Amazon States Language, in which `${queue:NAME}` stands for
    the URL of a subscription's queue. `named`: each start names its execution after its message. `start_again`: a start
    that somebody waits for is sent again where its answer was lost, which may begin a second execution."""

    machine: Document
    type: WorkflowType = "standard"
    named: bool = True
    start_again: bool = False

    @property
    def express(self) -> bool:
        return self.type != "standard"

    @property
    def starts_once(self) -> bool:
        """Nobody sends a start again that may have begun an execution."""
        return self.type == "express-sync" and not self.start_again


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """What the scenario asks a transport to build. Durations in seconds.

    `shards`: of a stream, when it is made. `archive`: keep what was published, so that it can be replayed.
    `max_message_bytes`: what a topic takes, where it shall be another size than its default. `delay_s`: how long a
    queue keeps a new message back. `dedup`: by which of the two the first service deduplicates, where it does.
    `own_messages`: what is sent is of the user's making, and nobody else knows what is in it. `attached`: what is there
    already and is used instead; `standing` is then what was read there, by subscription, once it was.
    """

    subscriptions: Sequence[SubscriptionSpec]
    visibility_timeout_s: float = 5.0
    max_receives: int | None = 5
    dedup_window_s: float | None = None
    settle_s: float = 0.0
    shards: int = 1
    archive: bool = False
    max_message_bytes: int | None = None
    delay_s: float = 0.0
    dedup: Literal["id", "content"] = "id"
    own_messages: bool = False
    attached: Attached | None = None
    standing: Mapping[str, Standing] = field(default_factory=dict)
    encryption: Encryption | None = None
    workflow: Workflow | None = None

    @property
    def names(self) -> list[str]:
        return [subscription.name for subscription in self.subscriptions]

    def of(self, name: str) -> Standing:
        """What holds for a subscription: what was read where it stands, else what is asked for."""
        return self.standing.get(name) or Standing(
            visibility_timeout_s=self.visibility_timeout_s,
            max_receives=self.max_receives,
            dead_letter=self.max_receives is not None,
            delay_s=self.delay_s,
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Topology:
        attached, encryption = document.get("attached"), document.get("encryption")
        workflow = document.get("workflow")
        return cls(
            **{
                **document,
                "subscriptions": [SubscriptionSpec(**_with_deployed(spec)) for spec in document["subscriptions"]],
                "standing": {
                    name: Standing(**_with_deployed(each)) for name, each in (document.get("standing") or {}).items()
                },
                "attached": None
                if attached is None
                else Attached(
                    **{
                        **attached,
                        "queues": {name: AttachedQueue(**each) for name, each in attached["queues"].items()},
                    }
                ),
                "encryption": None if encryption is None else Encryption(**encryption),
                "workflow": None if workflow is None else Workflow(**workflow),
            }
        )


def _with_deployed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**document, "deployed": Deployed(**document["deployed"]) if document.get("deployed") else None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where the built things are: what producers send to, and each subscription's queue and dead-letter queue.

    `extra` is whatever else the transport must find again, under names of its own. A stream has no queues. `attached`:
    all of it was there before, and is not the run's.
    """

    send_to: str
    queues: Mapping[str, str] = field(default_factory=dict)
    dead_letter_queues: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    attached: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Addresses:
        return cls(**document)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found where a run attaches: where it is, what holds there by subscription, and in words whatever a topic
    or bus does otherwise than the scenario means."""

    addresses: Addresses
    standing: Mapping[str, Standing]
    differs: Sequence[str] = ()


class Attribute(NamedTuple):
    """A message attribute as SNS has it: `String`, `Number`, `String.Array` (JSON) or `Binary`, and its value."""

    data_type: str
    value: str | bytes


class Outgoing(NamedTuple):
    """A message to send: `body` is the envelope, or the user's own; `dedup_id` is the same in every attempt.

    `dedup_id` is None where the service makes one of the body. `delay_s` keeps this one message back. `traceparent`
    goes beside the body where there is a place for it (`traced_in`); `aws_trace_header` is the same for X-Ray.
    `attributes` are those of a message of the user's own; None: the body is our envelope, which they are made of.
    `due` is when it should go out, in ns. `tenant`: whose it is, where a queue without an order is told.
    """

    id: str
    body: str
    group: str | None
    dedup_id: str | None
    delay_s: int | None = None
    traceparent: str | None = None
    aws_trace_header: str | None = None
    attributes: Mapping[str, Attribute] | None = None
    due: int | None = None
    tenant: str | None = None


# What a FIFO queue or topic takes for a group and for a deduplication id, as a regular expression
# (docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
FIFO_NAME = r"[!-~]{1,128}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a service takes, in bytes as it counts them: of one message, and of all messages of one send call.

    `raised_by` says what would let it take more, if anything does. `group` is what a group may be, as a regular
    expression; None where the service is told no group. `text`: whether it takes no body with control characters.
    """

    message: int
    call: int
    raised_by: str = ""
    group: str | None = None
    text: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How long a message is, in bytes: as the service counts it when it is sent, and what at most ends in a queue.

    `arrives` is 0 where the message ends in no queue. `beside` says what was counted besides the body.
    """

    sent: int
    arrives: int
    beside: str = ""


class SendOutcome(NamedTuple):
    """What became of one entry of a send call. `entry`: its place in the batch, from 0.

    `final`: the message itself is refused, and so would every repetition be. `execution`: what the answer tells of the
    one that the send began, where it was waited for.
    """

    id: str
    entry: int
    outcome: SendResult
    final: bool = False
    error: str | None = None
    broker_id: str | None = None
    broker_seq: str | None = None
    partition: str | None = None
    execution: ExecutionSeen | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOf:
    """Of which task of a workflow a message is: its execution's ARN; the item, in a map; and the token, where the
    execution waits for its answer."""

    execution: str
    item: int | None = None
    token: str | None = None

    def key(self, id: str) -> str:
        """What its effect stands under in a store: one for each execution and item of a message."""
        return "\n".join((id, self.execution, "" if self.item is None else str(self.item)))

    @classmethod
    def of_key(cls, key: str) -> tuple[str, TaskOf]:
        """The message and the task that a key is of."""
        id, execution, item = key.rsplit("\n", 2)
        return id, cls(execution=execution, item=int(item) if item else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One received message. `receipt` settles it on a queue; `enqueued` is the broker's own time in ns.

    `id` is None where nothing in it tells it; `ours`: it may be the run's all the same. `intact` is None where nobody
    can tell. A record of a stream has no `broker_id` but a `partition`. `replay` names the replay that sent it once
    more. `reference`: it stands for a body that is elsewhere. `original` is the message or record as the service
    answered it. `task`: what it asks for, where a workflow sent it.
    """

    id: str | None
    receipt: str
    broker_id: str | None
    broker_seq: str | None
    upstream_id: str | None
    group: str | None
    receives: int | None
    enqueued: int | None
    intact: bool | None
    poison: bool
    body: str
    partition: str | None = None
    replay: str | None = None
    ours: bool = True
    reference: Reference | None = None
    task: TaskOf | None = None
    original: Answer = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A partition of a stream. `parents`: what it was split off or merged from; `closed`: it takes no more records."""

    id: str
    parents: Sequence[str] = ()
    closed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one read of a shard gave. `next` is the iterator to go on with, None at a closed shard's end.

    `behind_ms`: how far the read is behind the shard's tip.
    """

    deliveries: Sequence[Delivery]
    next: str | None
    behind_ms: int


ReshardAction = Literal["split", "merge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resharding:
    """Which shards were closed, and which ones the stream lists in their place."""

    parents: Sequence[str]
    children: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """How many messages a queue holds: visible, hidden (received, not settled) and delayed. Approximate on AWS."""

    visible: int
    hidden: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.hidden + self.delayed


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayState:
    """How far a replay of an archive is. `outcome` is None while it runs; `reached` changes while it comes forward."""

    state: str
    outcome: SendResult | None
    reached: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveState:
    """How far moving dead letters back is. `failed` says why it ended otherwise than it should have."""

    over: bool
    failed: str | None = None


class QueueSource(Protocol):
    """How to consume one queue, which is polled: every method is a call as data or reads an answer.

    `dead_letters` is the queue that its dead letters go to, where there is one.
    """

    @property
    def kind(self) -> Literal["queue"]: ...
    @property
    def dead_letters(self) -> QueueSource | None: ...
    @property
    def batch_max(self) -> int: ...

    def receive(self, *, most: int, wait_s: int, attributes: bool = False) -> Call:
        """`attributes`: with those of the messages, which a handler of somebody else's may want to see."""
        ...

    def received(self, answer: Answer) -> list[Delivery]: ...
    def delete(self, deliveries: Sequence[Delivery]) -> Call: ...
    def hide(self, deliveries: Sequence[Delivery], *, hidden_s: int) -> Call:
        """ChangeMessageVisibility for each: 0 releases, more extends from now."""
        ...

    def settled(self, answer: Answer, deliveries: Sequence[Delivery]) -> list[tuple[SendResult, str | None]]:
        """Outcome and error of each delivery, in order, of a delete or hide call that was answered."""
        ...

    def depth(self) -> Call: ...
    def depth_of(self, answer: Answer) -> Depth: ...
    def move_back(self) -> Plan[MoveState]:
        """Of a dead-letter queue: begin to move everything in it back to where it came from."""
        ...

    def moving(self) -> Plan[MoveState]:
        """How far that is."""
        ...


class StreamSource(Protocol):
    """How to read one stream, shard by shard under a lease, and to reshape it.

    Every method is a call as data, reads an answer or is a plan.
    """

    @property
    def kind(self) -> Literal["stream"]: ...
    @property
    def batch_max(self) -> int: ...

    def shards(self, *, page: str | None = None) -> Call: ...
    def shards_of(self, answer: Answer) -> tuple[list[Shard], str | None]:
        """The shards of one page, and the next page if there is one."""
        ...

    def iterator(self, shard: str, *, after: str | None) -> Call:
        """To read what stands after that sequence number; None: from the oldest record that may be the run's."""
        ...

    def iterator_of(self, answer: Answer) -> str: ...
    def read(self, iterator: str, *, most: int) -> Call: ...
    def read_of(self, answer: Answer, shard: str) -> Reading: ...
    def reshard(self, action: ReshardAction) -> Plan[Resharding]:
        """Split one shard or merge two, and wait until the stream takes records again."""
        ...


Source = QueueSource | StreamSource
"""What a subscription is consumed from. `kind` tells which."""


def shortened(name: str, *, of: str, most: int) -> str:
    """A name cut to `most` characters, with the hash of what it is the name `of` in place of its end."""
    return f"{name[: most - 9]}-{hashlib.sha256(of.encode()).hexdigest()[:8]}"


def refuse_unknown(transport: str, topology: Topology, *, takes: Collection[str]) -> None:
    """Errors: ValueError when a subscription says something that the transport makes nothing of.

    `takes`: the fields of SubscriptionSpec, besides the name, that it understands, "archive" where it keeps one, and
    "max_message" where its topic's size can be set.
    """
    nothing = SubscriptionSpec(name="")
    for spec in topology.subscriptions:
        for name in ("queue", "raw", "filter", "filter_on", "pattern", "deployed"):
            if name not in takes and getattr(spec, name) != getattr(nothing, name):
                raise ValueError(f"{transport} makes nothing of `{name}`, which {spec.name} has; remove it")
        for name in ("filter", "pattern"):
            if name not in takes and getattr(spec.deployed, name, None) is not None:
                raise ValueError(f"{transport} makes nothing of `deployed.{name}`, which {spec.name} has; remove it")
    if topology.archive and "archive" not in takes:
        raise ValueError(f"{transport} keeps no archive, so there is nothing to replay; remove `replay`")
    if topology.max_message_bytes is not None and "max_message" not in takes:
        raise ValueError(f"{transport} has no topic whose size could be set; remove `max_message`")


ENVELOPE = Identification()

Capability = Literal[
    "redrive",
    "reshard",
    "replay",
    "max_message",
    "filter-arrays",
    "filter-arrays-together",
    "filter-dots",
    "s3",
    "claim-check",
    "policy-deny",
    "workflows",
    "start-again",
    "redrive-executions",
    "functions",
    "dedup-window",
]
"""What a scenario may ask of a target beyond sending and receiving: moving dead letters back, splitting and merging
shards, replaying an archive, a topic that takes more than 256 KiB; filters that ask for a field of the objects in an
array, for several fields of one such object together, and for a field by a key with dots; objects in S3, and those that
a run itself makes (`claim-check`); a queue that refuses what its policy denies; machines that executions are started
of, a start that is repeated while the first one runs, and executions that failed and go on; functions that it runs."""


class Transport(Protocol):
    """One pipeline. `batch_max`: entries in one send call; `services`: the boto3 services it needs.

    `keeps_ids`: what a send is answered with is what a receiver sees, the broker's id or partition and number.
    `deduplicates`: producers name an id, or let the service make one of the body, and what repeats it is swallowed.
    `delays_messages`: a message may bring a delay of its own. `takes_tenants`: one may say whose it is, and the service
    shares itself out fairly among tenants.
    `traced_in`: where a message's `traceparent` travels. `takes_aws_trace_header`: one call may bring X-Ray's as well.
    `kind` tells what its subscriptions are consumed from.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def ordered(self) -> bool: ...
    @property
    def keeps_ids(self) -> bool: ...
    @property
    def deduplicates(self) -> bool: ...
    @property
    def delays_messages(self) -> bool: ...
    @property
    def takes_tenants(self) -> bool: ...
    @property
    def traced_in(self) -> Literal["attribute", "body"]: ...
    @property
    def takes_aws_trace_header(self) -> bool: ...
    @property
    def batch_max(self) -> int: ...
    @property
    def services(self) -> Sequence[str]: ...

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """What AWS documents for each subscription of this pipeline."""
        ...

    @property
    def attaches_to(self) -> Literal["queue", "topic", "bus", "stream", "machine"]:
        """What producers send to, as a scenario calls it that attaches to one."""
        ...

    def look(self, topology: Topology) -> Plan[Found]:
        """Read what is there already where `topology.attached` says; nothing is changed.

        Errors: CallFailed where it is not there, or cannot be used as the scenario would use it.
        """
        ...

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        """Make it, or, where it is attached, find it."""
        ...

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        """Remove what was made."""
        ...

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call: ...

    def limits(self, topology: Topology) -> Limits:
        """How large a message and a call may be."""
        ...

    def size(self, topology: Topology, message: Outgoing) -> Size:
        """How large this message is, by the same measure."""
        ...

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        """The outcome of each entry, in the order of `messages`."""
        ...

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        """The subscriptions that must get this message."""
        ...

    def needs(self, topology: Topology) -> Collection[Capability]:
        """What this topology asks for that some product lacks."""
        ...

    @property
    def lacks(self) -> Mapping[Capability, str]:
        """What this pipeline cannot do anywhere, each with the reason; what a product does not do stands with it."""
        ...

    def subscription(self, addresses: Addresses, name: str, identification: Identification = ENVELOPE) -> Source:
        """What a subscription is consumed from; all of a transport's are of its kind."""
        ...


@runtime_checkable
class Replayer(Protocol):
    """A transport that keeps an archive of what was published, and can send it all once more."""

    def start_replay(self, addresses: Addresses, *, name: str, since_s: int, until_s: int) -> Call:
        """Of everything from one time to the other, in seconds of the epoch. `name` marks what it sends."""
        ...

    def describe_replay(self, name: str) -> Call: ...
    def replay_of(self, answer: Answer) -> ReplayState: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionSeen:
    """An execution as its service tells it; times in ns, by the service's clock. `id`: the message that it was started
    for, where its input was looked at."""

    arn: str
    name: str
    status: ExecutionStatus
    started: int | None = None
    stopped: int | None = None
    redrives: int = 0
    version: str | None = None
    id: str | None = None

    def record(self, id: str) -> Record:
        """As the history has it, of that message."""
        return events.execution(
            id=id,
            arn=self.arn,
            name=self.name,
            status=self.status,
            started=self.started,
            stopped=self.stopped,
            redrives=self.redrives,
            version=self.version,
        )


@runtime_checkable
class Workflows(Protocol):
    """A transport whose messages start executions, which can be asked about afterwards."""

    def executions(
        self, addresses: Addresses, *, status: ExecutionStatus | None = None, page: str | None = None
    ) -> Call:
        """A page of all that were started, or of those of one status."""
        ...

    def executions_of(self, answer: Answer) -> tuple[list[ExecutionSeen], str | None]:
        """The executions of one page, and the next page if there is one."""
        ...

    def execution(self, arn: str) -> Call: ...
    def execution_of(self, answer: Answer, identification: Identification) -> ExecutionSeen: ...
    def redrive(self, arn: str) -> Call:
        """Go on behind what is done, of an execution that failed, was aborted or timed out."""
        ...

    def stop_execution(self, arn: str) -> Call: ...
    def answer_task(self, token: str, *, failed: str | None = None) -> Call:
        """Send a task's token back: it is done, or it has failed for that reason."""
        ...
