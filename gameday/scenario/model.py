"""What a scenario is once it is read: what a run builds, pushes, breaks and claims, every default included.

The models are strict, so an unknown key is an error and no value is guessed. gameday/scenario/reading.py reads them
from YAML, and gameday/scenario/rules/ say what does not go together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from gameday.chaos.base import Fault
from gameday.consumers.objects import Removal
from gameday.history.envelope import Form
from gameday.history.identity import Identification
from gameday.history.manifest import Claim, SeenFrom, Subscription
from gameday.loadgen.messages import BY_ATTRIBUTE, OwnMessages
from gameday.loadgen.payloads import SchemaVersion
from gameday.loadgen.schedule import Hot
from gameday.loadgen.shapes import Shape
from gameday.scenario.brakes import BrakesModel, SteadyModel
from gameday.scenario.document import Document
from gameday.scenario.effects import EffectsEntry
from gameday.scenario.functions import LambdaModel
from gameday.scenario.payloads import ClaimCheckSpec, read_version, read_versions
from gameday.scenario.units import Duration, PositiveDuration, Rate, Share, Size
from gameday.scenario.workflows import WorkflowModel
from gameday.transports.attached import name_of
from gameday.transports.base import (
    ENVELOPE,
    Attached,
    AttachedQueue,
    Capability,
    Deployed,
    Encryption,
    Standing,
    SubscriptionSpec,
    Topology,
)
from gameday.transports.endpoint import CarrierName
from gameday.transports.experiments import Experiment
from gameday.transports.registry import TRANSPORTS
from gameday.transports.sns import BYTES_MAX as TOPIC_BYTES_MAX
from gameday.transports.sns import MESSAGE_SIZE_MAX

Verdict = Literal["holds", "violated", "unknown"]
# Ours; programs of the user's that the run starts, or that run already; or somebody whom nobody here sees.
# Or a function that the target invokes.
ConsumerKind = Literal["ours", "program", "attached", "unseen", "deployed"]
_SEEN_FROM: Mapping[ConsumerKind, SeenFrom] = {
    "ours": "consumer",
    "program": "wire",
    "attached": "wire",
    "unseen": "nobody",
    "deployed": "consumer",
}
Count = Annotated[int, Field(ge=1)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9-]*$"
# RUN is the name and 21 characters more. A queue is called gameday-RUN-SUBSCRIPTION-dlq.fifo, which SQS bounds at 80
# characters; an archive is called RUN, which EventBridge bounds at 48.
_NAME_MAX, _SUBSCRIPTION_MAX = 27, 16
NAMES_MAX = 41
_DELAY_MAX_S = 15 * 60
_QUEUE = re.compile(r"https?://.+/[^/]+/[^/]+|arn:[^:]+:sqs:[^:]*:[^:]*:[^:]+")
_TOPIC = re.compile(r"arn:[^:]+:sns:[^:]*:[^:]*:[^:]+")
_QUEUE_EXAMPLE = "arn:aws:sqs:eu-west-1:123456789012:orders"
ATTACHED_KINDS = ("queue", "topic", "bus", "stream")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _queue_place(given: str) -> str:
    """Errors: ValueError for a name alone, which does not say whose queue it is."""
    if not _QUEUE.fullmatch(given):
        raise ValueError(f"{given!r} is neither the URL nor the ARN of a queue; write it like {_QUEUE_EXAMPLE}")
    return given


def _topic_place(given: str) -> str:
    if not _TOPIC.fullmatch(given):
        raise ValueError(f"{given!r} is no ARN of a topic; write it like arn:aws:sns:eu-west-1:123456789012:orders")
    return given


QueuePlace = Annotated[str, AfterValidator(_queue_place)]
TopicPlace = Annotated[str, AfterValidator(_topic_place)]


class DeployedModel(_Strict):
    """What is really deployed, where it differs from what is meant: a mistake planted on purpose."""

    missing: bool = Field(default=False, description="the subscription was forgotten")
    filter: dict[str, Any] | None = Field(default=None, description="the SNS filter policy that it has instead")
    pattern: dict[str, Any] | None = Field(default=None, description="the EventBridge pattern that it has instead")


class SubscriptionModel(_Strict):
    """Who gets the messages, and which of them. Filters say what is meant; see `deployed`."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, data: Any) -> Any:
        if isinstance(data, dict) and "existing" in data:
            raise ValueError(
                "`existing` is gone: a queue that is there already is named by its URL or ARN, as "
                "topology: {attach: {queue: …}}"
            )
        return data

    name: str = Field(pattern=NAME, max_length=_SUBSCRIPTION_MAX, description="letters, digits and hyphens")
    queue: Literal["fifo", "standard"] | None = Field(
        default=None, description="what it ends in (default: as ordered as the transport)"
    )
    raw: bool = Field(default=False, description="SNS hands the body on as it is, without an envelope of its own")
    filter: dict[str, Any] | None = Field(default=None, description="an SNS filter policy")
    filter_on: Literal["attributes", "body"] = Field(
        default="attributes", description="what the filter policy looks at: message attributes, or the body"
    )
    pattern: dict[str, Any] | None = Field(
        default=None, description="an EventBridge event pattern (default: all of ours)"
    )
    deployed: DeployedModel | None = Field(
        default=None,
        description="what is really deployed, where that is not what is meant: a mistake planted on purpose",
    )
    promises: Literal["at-least-once"] | None = Field(
        default=None,
        description="hold the target to more than AWS promises: where AWS promises at most once (a FIFO topic behind a "
        "filter), what never arrives is then lost; refused on AWS itself",
    )


class AttachedQueueModel(_Strict):
    """A queue that a topic or a bus which is there already sends to."""

    queue: QueuePlace = Field(description="its URL or ARN")
    dead_letter_queue: QueuePlace | None = Field(
        default=None, description="URL or ARN (default: as the queue's redrive policy says)"
    )
    rule: str | None = Field(default=None, min_length=1, description="behind a bus: the rule whose target it is")


class AttachedModel(_Strict):
    """What is there already, and is used in place of what a run would make. Exactly one of the first four."""

    queue: QueuePlace | None = Field(default=None, description="of SQS: a queue's URL or ARN")
    topic: TopicPlace | None = Field(default=None, description="of SNS: a topic's ARN")
    bus: str | None = Field(default=None, min_length=1, description="of EventBridge: a bus's name or ARN")
    stream: str | None = Field(default=None, min_length=1, description="of Kinesis: a stream's name or ARN")
    dead_letter_queue: QueuePlace | None = Field(
        default=None,
        description="with `queue`: where its dead letters go (default: as its redrive policy says)",
    )
    subscriptions: dict[str, AttachedQueueModel] = Field(
        default_factory=dict, description="with `topic` or `bus`: by subscription, the queue that it ends in"
    )
    shared: bool = Field(
        default=False,
        description="others use it, too: it need not be empty, what others sent is left alone, and no claim that needs "
        "a drain is proven",
    )
    foreign_max: Annotated[int, Field(ge=0)] = Field(
        default=100,
        description="of messages of others, how many each of our consumers may take out of sight before the run ends",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [kind for kind in ATTACHED_KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            what = f"{' and '.join(named)} are named" if named else "nothing is named"
            raise ValueError(f"{what} that is there already; exactly one of {', '.join(ATTACHED_KINDS)} is")
        if self.dead_letter_queue is not None and self.queue is None:
            raise ValueError("`dead_letter_queue` belongs to `queue`, or to one of `subscriptions`")
        if bool(self.subscriptions) != (self.topic is not None or self.bus is not None):
            raise ValueError(
                "`subscriptions` says which queue each subscription ends in; a topic and a bus need it, a queue and a "
                "stream have none"
            )
        for name, each in self.subscriptions.items():
            if (each.rule is not None) != (self.bus is not None):
                raise ValueError(f"subscriptions.{name}: `rule` is needed behind a bus, and belongs nowhere else")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in ATTACHED_KINDS if getattr(self, kind) is not None)

    def attached(self, only: str) -> Attached:
        """`only`: the subscription where there is one and no topic or bus names it."""
        queues = {name: AttachedQueue(**each.model_dump()) for name, each in self.subscriptions.items()}
        if self.queue is not None:
            queues[only] = AttachedQueue(queue=self.queue, dead_letter_queue=self.dead_letter_queue)
        return Attached(at=str(getattr(self, self.kind)), queues=queues, shared=self.shared)

    @property
    def places(self) -> list[str]:
        """Everything that it names."""
        queues = [self.queue, self.dead_letter_queue]
        for each in self.subscriptions.values():
            queues += [each.queue, each.dead_letter_queue]
        named = [self.topic, self.bus, self.stream, *queues]
        return [place for place in named if place is not None]


class KeyModel(_Strict):
    """A key of KMS."""

    kms: str = Field(min_length=1, description="a key of KMS: its id, its ARN, or alias/NAME")
    reuse: Annotated[Duration, Field(ge=60, le=24 * 3600)] | None = Field(
        default=None,
        description="of queues: how long a data key is used before KMS is asked for another (default: 5min)",
    )


class TopologySpec(_Strict):
    """What is built, or is there already."""

    attach: AttachedModel | None = Field(
        default=None, description="use what is there already, and make nothing: docs/staging.md"
    )
    encryption: KeyModel | Literal["sqs"] | None = Field(
        default=None,
        description="at rest: `sqs`, with keys of SQS's own, or {kms: KEY} for queues, topic, bus and stream (default: "
        "as the service does it)",
    )

    visibility_timeout: PositiveDuration = Field(default=5.0, description="how long a received message stays hidden")
    max_receives: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=5, description="receives before a message goes to the dead-letter queue; null: no dead-letter queue"
    )
    subscriptions: list[SubscriptionModel] = Field(
        default_factory=lambda: [SubscriptionModel(name="orders")],
        min_length=1,
        description="who gets the messages (default: one, called orders)",
    )
    delay: Annotated[Duration, Field(ge=0, le=_DELAY_MAX_S)] = Field(
        default=0.0, description="how long a queue keeps every new message back (DelaySeconds); lag counts it"
    )
    max_message: Annotated[Size, Field(ge=1024, le=MESSAGE_SIZE_MAX)] | None = Field(
        default=None, description="what an SNS topic takes: a message, or a batch, with attributes (default: 256KiB)"
    )
    dedup_window: PositiveDuration | None = Field(
        default=None,
        description="how long a FIFO queue or topic drops what is sent again; the broker in memory alone can be told "
        "(default: 5min, as AWS does it)",
    )
    shards: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="of a stream, when it is made")
    redrive: bool = Field(default=False, description="move dead letters back once the load is done, and drain again")
    replay: bool = Field(default=False, description="replay everything from an archive once the load is done")
    workflow: WorkflowModel | None = Field(
        default=None, description="of the transport stepfunctions: the machine that messages start (default: our order)"
    )
    settle: Duration | None = Field(
        default=None, description="how long an absence must last before it is loss (default: what the target needs)"
    )


class MessageSpec(_Strict):
    """Messages of the user's own, in place of ours: docs/messages.md. Pointers are JSON Pointers into the body."""

    file: str | None = Field(default=None, description="a file, in which each line is the body of a message")
    repeat: bool | None = Field(
        default=None, description="of a file: begin again at its end (default), or end with an error before the run"
    )
    template: dict[str, Any] | list[Any] | str | None = Field(
        default=None, description="a body, JSON or text, in which {n}, {uuid}, {choice:a|b} … stand for what changes"
    )
    python: str | None = Field(default=None, description="a function that makes each message, as module:function")
    interpreter: str | None = Field(
        default=None, description="of `python`: the Python that it runs in (default: python3)"
    )
    cwd: str | None = Field(
        default=None, description="of `python`: where it runs and is looked for (default: where the scenario stands)"
    )
    group: str | None = Field(
        default=None, description="where in a body its group stands (default: one of load.groups)"
    )
    dedup_id: str | None = Field(
        default=None, description="where its deduplication id stands (default: one of the run's own)"
    )
    key: str | None = Field(default=None, description="where that stands which its effects are read back under")
    id: str | None = Field(
        default=None,
        description="what tells a receiver which message it is: a place in the body, unique in the run; `attribute`, "
        "one that is added; or nothing, where the broker's own id tells",
    )
    attributes: dict[str, str] = Field(
        default_factory=dict, description="message attributes: a text, or a place in the body where it begins with /"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in ("file", "template", "python") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            what = f"{' and '.join(kinds)} say" if kinds else "nothing says"
            raise ValueError(f"{what} what the messages are; exactly one of file, template, python does")
        for key, kind in (("repeat", "file"), ("interpreter", "python"), ("cwd", "python")):
            if getattr(self, key) is not None and kinds != [kind]:
                raise ValueError(f"`{key}` belongs to `{kind}`; remove it")
        return self

    @property
    def own(self) -> OwnMessages:
        """What the load is told; of a function, once it has made them, with the file that they are in."""
        return OwnMessages(
            kind="file" if self.file is not None else "template" if self.template is not None else "made",
            path=self.file or "",
            repeat=self.repeat is not False,
            template=self.template,
            group=self.group,
            dedup_id=self.dedup_id,
            key=self.key,
            id=self.id,
            attributes=self.attributes,
        )

    @property
    def identification(self) -> Identification:
        if self.id == BY_ATTRIBUTE:
            return Identification(by="attribute", group=self.group)
        if self.id is not None:
            return Identification(by="pointer", id=self.id, group=self.group)
        return Identification(by="broker", group=self.group)


class TenantSpec(_Strict):
    """Tenants of one class, alike."""

    count: Annotated[int, Field(ge=1, le=10_000)] = Field(default=1, description="how many there are")
    rate: Rate = Field(gt=0, description="messages per second of each of them")
    from_: Duration = Field(default=0.0, alias="from", description="when they begin, counted from the load's start")


class HotSpec(_Strict):
    """When most of the load goes to one group."""

    at: Duration = Field(description="from when on, counted from the load's start")
    for_: PositiveDuration = Field(alias="for", description="for how long")
    share: Annotated[Share, Field(gt=0)] = Field(
        default=0.8, description="how much of the load that is, besides what falls to the group anyway"
    )

    @property
    def hot(self) -> Hot:
        return Hot(at_s=self.at, for_s=self.for_, share=self.share)


class LoadSpec(_Strict):
    """What is sent. A shape adds keys of its own (`gameday list shapes`)."""

    shape: str = Field(default="constant", description="how the rate changes: `gameday list shapes`")
    rate: Rate = Field(
        gt=0,
        description="messages per second over all users; a ramp and a staircase end at it, other shapes move around it",
    )
    duration: PositiveDuration = Field(description="how long the load lasts")
    groups: Count = Field(default=10, description="message groups; each belongs to one user, so its order is real")
    tenants: dict[str, TenantSpec] | None = Field(
        default=None,
        description="who shares a Standard queue, by class, in place of `rate`, `shape` and `groups`: like {quiet: "
        "{count: 20, rate: 2/s}, noisy: {count: 1, rate: 200/s, from: 5s}}",
    )
    hot: HotSpec | None = Field(
        default=None,
        description="most of the load goes to one group for a while, and on a stream so to one shard: like {at: 5s, "
        "for: 10s, share: 80%}",
    )
    tell_tenants: bool = Field(
        default=True,
        description="whether each message brings its tenant as MessageGroupId; without it a queue cannot be fair",
    )
    message: MessageSpec | None = Field(
        default=None, description="messages of your own, in place of our orders: docs/messages.md"
    )
    schema_: str | dict[str, str] | None = Field(
        default=None,
        alias="schema",
        description="the version that payloads are made from, like order@2; or several, each from a time of the load "
        "on: {0s: order@1, 5s: order@2}",
    )
    envelope: Form = Field(
        default="ours", description="what an event looks like: `ours`, that of EventBridge, or `cloudevents` (1.0)"
    )
    claim_check: ClaimCheckSpec | None = Field(
        default=None, description="large bodies go to S3, and a reference is sent: docs/payloads.md"
    )
    payload: Size = Field(default=512, ge=0, description="least size of a body; how large it may be the service says")
    batch: Count = Field(
        default=10,
        description="messages in one send call, at most as many as the transport takes; the default is cut to that",
    )
    users: Count = Field(default=4, description="producers; at most as many as groups")
    poison: Share = Field(default=0.0, description="messages that no handler can do")
    processes: Count = Field(default=1, description="Locust processes")
    give_up: PositiveDuration = Field(default=10.0, description="how long a message is retried")
    retry: Literal["ordered", "unordered", "none"] = Field(
        default="ordered",
        description="whether a message that was not accepted holds back what comes after it in its group; unordered "
        "breaks the order of a group on purpose; none sends nothing again, as a producer that ignores partial failures",
    )
    in_call: Literal["one", "many"] = Field(
        default="one",
        description="how many messages of one group a send call takes; with many, one that fails in the middle of a "
        "call comes after those behind it, as from any producer that does so",
    )
    delay: Annotated[Duration, Field(ge=0, le=_DELAY_MAX_S)] | None = Field(
        default=None, description="a delay that each message brings, in place of the queue's; Standard queues only"
    )
    dedup: Literal["id", "content"] = Field(
        default="id",
        description="by what a FIFO queue or topic deduplicates: an id that the producer names, or the body "
        "(ContentBasedDeduplication)",
    )
    aws_trace_header: bool = Field(
        default=False,
        description="also send X-Ray's header of the trace that each message belongs to (SQS and EventBridge take it)",
    )
    dedup_reuse: Share = Field(
        default=0.0,
        description="messages that go out, by mistake, as an earlier one of their group: under its deduplication id, "
        "or with its body where `dedup` is content; the broker swallows them",
    )


class ReadySpec(_Strict):
    """When a program counts as ready; exactly one of these."""

    polls: Literal[True] | None = Field(default=None, description="when it asks for messages for the first time")
    log: str | None = Field(default=None, description="when it has written this text on one of its outputs")
    http: str | None = Field(default=None, description="when this URL answers without an error")

    @model_validator(mode="after")
    def _one(self) -> ReadySpec:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one of polls, log, http says when a program is ready")
        return self


class AttachSpec(_Strict):
    """A consumer that runs already: whose process it is, and the port of this machine that it takes for AWS."""

    pid_file: str | None = Field(default=None, description="the file in which the number of its process stands")
    compose_service: str | None = Field(default=None, description="the Docker Compose service that it is")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        description="where the wire waits for it: its AWS_ENDPOINT_URL is http://127.0.0.1:PORT"
    )

    @model_validator(mode="after")
    def _one(self) -> AttachSpec:
        if (self.pid_file is None) == (self.compose_service is None):
            raise ValueError("either pid_file or compose_service says whose process it is")
        return self


class HandlerModel(_Strict):
    """A handler of your own: docs/handlers.md."""

    python: str | None = Field(default=None, description="a function of Python's, MODULE:FUNCTION; or `command`")
    interpreter: str | None = Field(
        default=None, description="which Python runs it (default: the python3 on PATH, never gameday's own)"
    )
    command: list[str] | None = Field(default=None, description="a program that speaks the line protocol; or `python`")
    protocol: Literal["lines"] | None = Field(default=None, description="how a command is spoken to (default: lines)")
    event: Literal["sqs", "kinesis", "sns", "eventbridge"] | None = Field(
        default=None, description="ask it with the event that Lambda gets from there (default: a plain message)"
    )
    cwd: str = Field(default=".", description="where it runs; counts from the scenario's directory")
    env: dict[str, str] = Field(default_factory=dict, description="variables of its environment")
    timeout: PositiveDuration | None = Field(
        default=None, description="how long an answer may take (default: the visibility timeout; of a stream 60s)"
    )


def _kind_of_handler(written: object) -> str:
    return "name" if isinstance(written, str) else "own"


class ConsumersSpec(_Strict):
    """Who receives: each consumer is an OS process of its own."""

    # Of these keys alone each kind of consumer of the user's makes something.
    OF_KINDS: ClassVar[Mapping[str, frozenset[str]]] = {
        "program": frozenset({"command", "env", "cwd", "ready", "processes", "restart_delay", "drain_timeout"}),
        "attached": frozenset({"attach"}),
        "unseen": frozenset({"attach"}),
        "deployed": frozenset({"lambda_"}),
    }
    # And of these whoever invokes functions.
    OF_FUNCTIONS: ClassVar[frozenset[str]] = frozenset(
        {"lambda_", "processes", "wait", "restart_delay", "drain_timeout"}
    )

    command: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="a program of yours that polls by itself, in place of our consumers: docs/consumers.md. Words like "
        "{queue_url} are replaced in it",
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="of `command`: what stands in its environment besides, with the same words"
    )
    cwd: str | None = Field(
        default=None, description="of `command`: where it is started (default: where the scenario stands)"
    )
    ready: ReadySpec | None = Field(default=None, description="of `command`: when it counts as ready (default: polls)")
    attach: AttachSpec | Literal["none"] | None = Field(
        default=None,
        description="a consumer that runs already, in place of ours; `none`: nobody sees it, and what can be judged is "
        "judged by its effects",
    )

    lambda_: LambdaModel | None = Field(
        default=None,
        alias="lambda",
        description="a function of yours, invoked as Lambda's event source mappings do: docs/functions.md",
    )

    processes: Count = Field(
        default=3, description="consumer processes, for each subscription (default with `lambda`: one)"
    )
    concurrency: Count = Field(default=4, description="messages in work at once in each process")
    pollers: Count = Field(default=1, description="receive loops in each process")
    batch: Count | None = Field(
        default=None, description="messages in one receive (default: of a queue 10, its most; of a stream 100 of 1000)"
    )
    wait: Annotated[Duration, Field(ge=0, le=20)] = Field(default=1.0, description="long polling")
    handler: Annotated[HandlerModel, Tag("own")] | Annotated[str, Tag("name")] = Field(
        default="reference",
        discriminator=Discriminator(_kind_of_handler),
        description="what is done with a message: `gameday list handlers`, or one of your own",
    )
    processing_time: Annotated[Duration, Field(ge=0)] = Field(
        default=0.0, description="how long the work of one message takes"
    )
    guard: str = Field(default="transaction", description="what stands around an effect: `gameday list guards`")
    guard_expiry: PositiveDuration | None = Field(
        default=None,
        description="of the guard in-progress, which needs it: how long the mark of who has begun a message keeps "
        "others from it",
    )
    store: Literal["sqlite", "dynamodb"] = Field(default="sqlite", description="where effects are kept")
    heartbeat: PositiveDuration | None = Field(default=None, description="how often what is in hand is hidden anew")
    after_failure: Literal["stop", "continue", "fail-batch"] | None = Field(
        default=None,
        description="what a failed message does to others of its batch (default: stop where there is an order, else "
        "continue). stop: the rest of its group waits for it; continue: the rest goes on, which breaks an order; "
        "fail-batch: all of them fail, as with Lambda without batchItemFailures",
    )
    retry_delay: Annotated[Duration, Field(ge=0)] = Field(
        default=0.0, description="how long a message whose handler failed stays hidden before it comes again"
    )
    retry_delay_max: PositiveDuration | None = Field(
        default=None, description="with it retry_delay doubles with each receive, up to this (default: no doubling)"
    )
    objects: Removal | None = Field(
        default=None,
        description="with load.claim_check: whether an object is removed once its message is deleted (after-settle), "
        "before that, which is a mistake (before-settle), or never (default: keep)",
    )
    schema_: str | None = Field(
        default=None,
        alias="schema",
        description="the version that they hold what they receive against (default: the first of load.schema)",
    )
    on_term: Literal["release", "finish", "abandon"] = Field(
        default="release",
        description="what SIGTERM does with what was received and not begun; what is begun is finished. release: "
        "gives it back; finish: works it off; abandon: leaves it to expire",
    )
    drain_timeout: PositiveDuration = Field(
        default=20.0, description="how long after SIGTERM it may work; then it leaves what is in hand to expire"
    )
    restart_delay: Annotated[Duration, Field(ge=0)] = Field(
        default=1.0, description="how long a consumer that died stays away"
    )
    callback: Literal["once", "twice", "never", "insist"] = Field(
        default="once",
        description="of a workflow: how often the token of a task that waits is sent back; `insist`: again and again, "
        "with the work, until it is taken, though a refused one never is. Not `once` is a mistake",
    )
    checkpoint: Literal["after", "before"] = Field(
        default="after", description="of a stream: after the effects of what it covers or, wrongly, before them"
    )
    children: Literal["wait", "early"] = Field(
        default="wait", description="of a stream: shards wait for their parents to be read or, wrongly, do not"
    )
    lease: PositiveDuration = Field(default=2.0, description="of a stream: how long a silent holder keeps its shards")

    @property
    def kind(self) -> ConsumerKind:
        if self.command is not None:
            return "program"
        if self.attach is not None:
            return "unseen" if self.attach == "none" else "attached"
        if self.lambda_ is not None and self.lambda_.by == "target":
            return "deployed"
        return "ours"

    @property
    def foreign(self) -> bool:
        """Whether the consumers are somebody else's."""
        return self.kind != "ours"

    @property
    def count(self) -> int:
        """How many there are for each subscription, as far as anybody here knows them."""
        return {"unseen": 0, "attached": 1, "deployed": 1}.get(self.kind, self.processes)


class ExpectSpec(_Strict):
    """What the verdict should be, for scenarios that show something: no run is judged by it, a script checks it."""

    verdict: Verdict = Field(description="of the whole run")
    claims: dict[str, Verdict] = Field(
        default_factory=dict,
        description="what single claims must come out as, each by what it is known by: `no-loss`, `lag during faults`",
    )
    anomalies: list[str] = Field(default_factory=list, description="anomalies that must be counted at least once")


class Body(_Strict):
    """The document but for effects, chaos and claims, whose forms the readers, faults and claims themselves tell."""

    name: str = Field(
        pattern=NAME,
        max_length=_NAME_MAX,
        description="letters, digits and hyphens; run directories are named after it",
    )
    transport: str = Field(description="the pipeline: `gameday list transports`")
    topology: TopologySpec = Field(default=TopologySpec(), description="what is built")
    schemas: str | None = Field(
        default=None, description="a directory of JSON Schemas, each version a file NAME@VERSION.json: docs/payloads.md"
    )
    load: LoadSpec = Field(description="what is sent")
    consumers: ConsumersSpec = Field(default=ConsumersSpec(), description="who receives")
    steady: SteadyModel | None = Field(
        default=None, description="what must hold before the first fault; where it does not, no fault strikes"
    )
    brakes: BrakesModel | None = Field(default=None, description="what ends chaos before its end")
    drain_timeout: PositiveDuration | None = Field(
        default=None,
        description="how long the queues may take to be empty after the load (default: long enough for every "
        "message to reach the dead-letter queue)",
    )
    seed: int | None = Field(default=None, description="makes schedule, payloads, groups and chaos repeatable")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="where /metrics and /sd are served; 0: any free port"
    )
    carrier: CarrierName = Field(
        default="fast",
        description="who carries what is sent, received and written to DynamoDB: `fast`, gameday's own carrier where "
        "it speaks the service's protocol, or `sdk`, boto3 and aiobotocore everywhere",
    )
    cloudwatch: bool | None = Field(
        default=None,
        description="whether CloudWatch's numbers of what the run used are read back into its report (default: on AWS)",
    )
    expect: ExpectSpec | None = Field(
        default=None, description="what the verdict should be; `python -m gameday.run.rehearsal` compares, no run does"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A scenario that can be run. `document` is all of it as it would be written, defaults included; `source` is what
    was written, and where."""

    name: str
    transport: str
    topology: TopologySpec
    load: LoadSpec
    shape: Shape
    consumers: ConsumersSpec
    receive_batch: int
    after_failure: str
    effects: Sequence[EffectsEntry]
    chaos: Sequence[Fault]
    claims: Sequence[Claim]
    drain_timeout_s: float
    seed: int | None
    metrics_port: int
    carrier: CarrierName
    expect: ExpectSpec | None
    cloudwatch: bool | None
    steady: SteadyModel | None
    brakes: BrakesModel
    document: Mapping[str, Any] = field(repr=False)
    source: Document = field(repr=False)
    # The directory of the schemas.
    schemas: str | None = None
    # What was read where it attaches, by subscription; nothing before that.
    standing: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def behind_wire(self) -> bool:
        """Whether a wire stands before the consumers: they are the user's, or a fault strikes there."""
        return self.consumers.kind in ("program", "attached") or any(
            "wire" in fault.wires or fault.watches_calls for fault in self.chaos
        )

    @property
    def load_behind_wire(self) -> bool:
        """Whether a wire stands before the load: a fault strikes there."""
        return any("load" in fault.wires for fault in self.chaos)

    @property
    def measured(self) -> bool:
        """Whether anything waits for a number of the run while it goes on."""
        triggers = [fault.when for fault in self.chaos if fault.when is not None]
        return bool(self.steady or self.brakes.stop_when or any(trigger.condition for trigger in triggers))

    @property
    def experiments(self) -> list[Experiment]:
        """What it asks of AWS's own fault injection."""
        return [fault.experiment for fault in self.chaos if fault.experiment is not None]

    @property
    def versions(self) -> list[SchemaVersion]:
        """What payloads are made from, in the order of time."""
        if self.schemas is None or self.load.schema_ is None:
            return []
        return read_versions(Path(self.schemas), self.load.schema_)

    @property
    def asked_schema(self) -> Mapping[str, Any] | None:
        """What consumers of ours hold what they receive against."""
        if self.schemas is None:
            return None
        if self.consumers.schema_ is not None:
            return read_version(Path(self.schemas), self.consumers.schema_)
        return next((version.document for version in self.versions), None)

    @property
    def subscriptions(self) -> list[str]:
        return [subscription.name for subscription in self.topology.subscriptions]

    @property
    def attached(self) -> list[str]:
        """What is there already and is used, by its names."""
        attach = self.topology.attach
        return [] if attach is None else list(dict.fromkeys(map(name_of, attach.places)))

    @property
    def identification(self) -> Identification:
        """How whoever receives a message knows which one it is."""
        return ENVELOPE if self.load.message is None else self.load.message.identification


def needs_of(scenario: Scenario) -> list[Capability]:
    """What its target must be able to do beyond sending and receiving."""
    topology = scenario.topology
    asked: dict[Capability, bool] = {
        "replay": topology.replay,
        "redrive": topology.redrive,
        "max_message": (topology.max_message or 0) > TOPIC_BYTES_MAX,
        "claim-check": scenario.load.claim_check is not None,
        "dedup-window": topology.dedup_window is not None,
        # One without a name is another one.
        "start-again": topology.workflow is not None
        and topology.workflow.named
        and not topology.workflow.workflow.starts_once
        and any(fault.loses_answers for fault in scenario.chaos),
        "redrive-executions": topology.workflow is not None and topology.workflow.redrive,
        "functions": scenario.consumers.kind == "deployed",
    }
    filters = TRANSPORTS[scenario.transport].needs(topology_of(scenario, settle_s=0.0))
    faults = {fault.needs for fault in scenario.chaos if fault.needs is not None}
    readers = {entry.settings.needs for entry in scenario.effects if entry.settings.needs is not None}
    return [*(need for need, wanted in asked.items() if wanted), *sorted(faults), *sorted(filters), *sorted(readers)]


def promises_of(scenario: Body | Scenario, *, settle_s: float) -> dict[str, Subscription]:
    """What is promised on each subscription: what AWS documents, and more where the scenario asks for more.

    Errors: ValueError for a topology that the transport cannot have.
    """
    promised = TRANSPORTS[scenario.transport].promises(topology_of(scenario, settle_s=settle_s))
    for subscription in scenario.topology.subscriptions:
        promise = promised[subscription.name]
        if subscription.promises is not None and promise.promises != subscription.promises:
            promised[subscription.name] = replace(promise, promises=subscription.promises, promised_by="user")
    seen_from: SeenFrom = _SEEN_FROM[scenario.consumers.kind]
    if seen_from != "consumer":
        promised = {name: replace(promise, seen_from=seen_from) for name, promise in promised.items()}
    if (model := scenario.consumers.lambda_) is not None:
        own = _of_functions(model)
        filtered = model.filter is not None
        promised = {
            name: replace(promise, filtered=promise.filtered or filtered, **own) for name, promise in promised.items()
        }
    return promised


def _of_functions(model: LambdaModel) -> dict[str, Any]:
    """What is otherwise where functions are invoked. Our poller settles as a mapping does, and records each invocation;
    what the target invokes records itself. Where a topic or a bus invokes by itself, nothing is hidden and tries are
    counted."""
    own: dict[str, Any] = {"settled_by": "service"}
    if model.by == "poller":
        own["invocations"] = "all"
    elif not model.shim:
        own["seen_from"] = "nobody"
    if model.direct:
        tries = None if model.retries is None else model.retries + 1
        own |= {"visibility_timeout_s": None, "max_receives": tries, "dead_letter": model.on_failure}
    return own


def topology_of(scenario: Body | Scenario, *, settle_s: float) -> Topology:
    """`settle_s`: the target's, where the scenario says nothing."""
    spec = scenario.topology
    return Topology(
        subscriptions=[_meant(subscription, scenario.consumers) for subscription in spec.subscriptions],
        visibility_timeout_s=spec.visibility_timeout,
        max_receives=spec.max_receives,
        dedup_window_s=spec.dedup_window,
        settle_s=settle_s if spec.settle is None else spec.settle,
        shards=spec.shards,
        archive=spec.replay,
        max_message_bytes=spec.max_message,
        delay_s=spec.delay,
        dedup=scenario.load.dedup,
        own_messages=scenario.load.message is not None,
        attached=None if spec.attach is None else spec.attach.attached(spec.subscriptions[0].name),
        standing=scenario.standing if isinstance(scenario, Scenario) else {},
        encryption=_encryption(spec.encryption),
        workflow=None if spec.workflow is None else spec.workflow.workflow,
    )


def _encryption(model: KeyModel | str | None) -> Encryption | None:
    if isinstance(model, KeyModel):
        return Encryption(key=model.kms, reuse_s=None if model.reuse is None else int(model.reuse))
    return None if model is None else Encryption()


def _meant(model: SubscriptionModel, consumers: ConsumersSpec) -> SubscriptionSpec:
    deployed = None if model.deployed is None else Deployed(**model.deployed.model_dump())
    invoked_for = (consumers.lambda_ and consumers.lambda_.filter) or []
    own = {"deployed": deployed, "invoked_for": invoked_for}
    return SubscriptionSpec(**{**model.model_dump(exclude={"promises"}), **own})
