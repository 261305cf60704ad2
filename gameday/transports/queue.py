"""SQS queues, as data: making, consuming and removing them, shared by every pipeline that ends in one.

Rules of SQS relied on: receive and batch calls take at most 10 entries, a batch answers entry by entry
(docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference); SentTimestamp is in milliseconds; SequenceNumber comes
with FIFO messages only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from gameday.history.events import SendResult
from gameday.history.identity import Identification
from gameday.history.manifest import Subscription
from gameday.transports.attached import DEPTHS, found_queue, is_fifo_queue
from gameday.transports.aws_errors import is_permanent, is_throttle
from gameday.transports.base import (
    ENVELOPE,
    Addresses,
    Answer,
    Attribute,
    Call,
    Capability,
    Delivery,
    Depth,
    MoveState,
    Outgoing,
    Plan,
    QueueSource,
    SendOutcome,
    Standing,
    SubscriptionSpec,
    TaskOf,
    Topology,
)

SERVICE = "sqs"
BATCH_MAX = 10
NS_PER_MS = 1_000_000
DEDUP_WINDOW_S = 300.0
# Of a message, and of all messages of one call
# (docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html).
BYTES_MAX = 1024 * 1024
_RETENTION_S = 4 * 24 * 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Unwrapped:
    """What a service in front of the queue put into a body: the producer's own body, and the service's id for it.

    `regrouped`: the queue's message groups are that service's, not the producers'. `attributes`: those that stand in
    it and not beside it. `task`: what a workflow asks for by it.
    """

    body: str
    upstream_id: str | None = None
    replay: str | None = None
    regrouped: bool = False
    task: TaskOf | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def as_sent(body: str) -> Unwrapped:
    """Of a queue that producers send to themselves."""
    return Unwrapped(body=body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Queues:
    """What was built for each subscription, or found: URLs and ARNs by its name, and what holds for those found."""

    urls: Mapping[str, str]
    arns: Mapping[str, str]
    dead_letter_urls: Mapping[str, str] = field(default_factory=dict)
    standing: Mapping[str, Standing] = field(default_factory=dict)
    by_content: Collection[str] = ()


def is_fifo(topology: Topology, spec: SubscriptionSpec, *, ordered: bool) -> bool:
    """Whether a subscription ends in a FIFO queue: as one is called that is there already, as it says, or else as its
    transport is `ordered`."""
    if topology.attached is not None and spec.name in topology.attached.queues:
        return is_fifo_queue(topology.attached.queues[spec.name].queue)
    return ordered if spec.queue is None else spec.queue == "fifo"


def promise(topology: Topology, spec: SubscriptionSpec, *, fifo: bool) -> Subscription:
    """What SQS documents for a queue that nothing stands in front of.

    "Standard queues" and "FIFO queues" in docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide.
    """
    holds = topology.of(spec.name)
    return Subscription(
        kind="queue",
        ordered_by="group" if fifo else None,
        visibility_timeout_s=holds.visibility_timeout_s,
        max_receives=holds.max_receives,
        dead_letter=holds.dead_letter,
        dedup_window_s=(topology.dedup_window_s or DEDUP_WINDOW_S) if fifo else None,
        settle_s=topology.settle_s,
    )


def create_queues(
    topology: Topology, *, ordered: bool, run: str, tags: Mapping[str, str], sender: str | None = None
) -> Plan[Queues]:
    """A queue for each subscription, with a dead-letter queue where there are receives to be exceeded.

    `sender` is the service that may send to them ("sns.amazonaws.com"), and then deduplicates by whatever that names;
    None: whoever created them, and the topology says by what.
    """
    urls: dict[str, str] = {}
    arns: dict[str, str] = {}
    dead_letter_urls: dict[str, str] = {}
    for spec in topology.subscriptions:
        fifo = is_fifo(topology, spec, ordered=ordered)
        name = f"gameday-{run}-{spec.name}"
        kept = {"MessageRetentionPeriod": str(_RETENTION_S), **_encrypted(topology)}
        attributes = {"VisibilityTimeout": str(math.ceil(topology.visibility_timeout_s)), **kept}
        if topology.max_receives is not None:
            dead_letter_urls[spec.name], arn = yield from _create(f"{name}-dlq", kept, tags, fifo=fifo)
            redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": topology.max_receives}
            attributes["RedrivePolicy"] = orjson.dumps(redrive).decode()
        if topology.delay_s:
            attributes["DelaySeconds"] = str(math.ceil(topology.delay_s))
        if fifo and sender is None and topology.dedup == "content":
            attributes["ContentBasedDeduplication"] = "true"
        urls[spec.name], arns[spec.name] = yield from _create(name, attributes, tags, fifo=fifo)
        if sender is not None:
            policy = {"Policy": sending_policy(sender, arns[spec.name])}
            yield Call(SERVICE, "SetQueueAttributes", {"QueueUrl": urls[spec.name], "Attributes": policy})
    return Queues(urls=urls, arns=arns, dead_letter_urls=dead_letter_urls)


def _encrypted(topology: Topology) -> dict[str, str]:
    """What a queue is made with (APIReference/API_CreateQueue, KmsMasterKeyId and SqsManagedSseEnabled)."""
    encryption = topology.encryption
    if encryption is None:
        return {}
    if encryption.key is None:
        return {"SqsManagedSseEnabled": "true"}
    reuse = {} if encryption.reuse_s is None else {"KmsDataKeyReusePeriodSeconds": str(encryption.reuse_s)}
    return {"KmsMasterKeyId": encryption.key, **reuse}


def find_queues(topology: Topology) -> Plan[Queues]:
    """The same of queues that are there. Errors: CallFailed where one is not, or holds what is not the run's."""
    found = {}
    for spec in topology.subscriptions:
        found[spec.name] = yield from found_queue(spec.name, topology)
    return Queues(
        urls={name: each.url for name, each in found.items()},
        arns={name: each.arn for name, each in found.items()},
        dead_letter_urls={name: each.dead_letter_url for name, each in found.items() if each.dead_letter_url},
        standing={name: each.standing for name, each in found.items()},
        by_content=[name for name, each in found.items() if each.by_content],
    )


def delete_queues(addresses: Addresses) -> Plan[None]:
    """Those that the run has made."""
    for queues in (addresses.queues, addresses.dead_letter_queues):
        for queue in queues.values():
            yield _deleted(queue)


def _deleted(queue: str) -> Call:
    return Call(SERVICE, "DeleteQueue", {"QueueUrl": queue})


def _create(name: str, attributes: Mapping[str, str], tags: Mapping[str, str], *, fifo: bool) -> Plan[tuple[str, str]]:
    """The new queue's URL and ARN."""
    if fifo:
        name, attributes = f"{name}.fifo", {**attributes, "FifoQueue": "true"}
    params = {"QueueName": name, "Attributes": dict(attributes), "tags": dict(tags)}
    made = yield Call(SERVICE, "CreateQueue", params, undo=lambda made: _deleted(made["QueueUrl"]))
    url: str = made["QueueUrl"]
    return url, (yield from _arn(url))


def _arn(queue: str) -> Plan[str]:
    answer = yield Call(SERVICE, "GetQueueAttributes", {"QueueUrl": queue, "AttributeNames": ["QueueArn"]})
    arn: str = answer["Attributes"]["QueueArn"]
    return arn


def sending_policy(sender: str, arn: str) -> str:
    """Lets a service send: docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html."""
    statement = {"Effect": "Allow", "Principal": {"Service": sender}, "Action": "sqs:SendMessage", "Resource": arn}
    return orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()


class SqsQueue:
    """The `QueueSource` of one queue URL. `unwrap` takes off what a service in front of it put around a body;
    `identification` tells which message it is."""

    kind: Literal["queue"] = "queue"
    batch_max = BATCH_MAX

    def __init__(
        self,
        queue: str,
        unwrap: Callable[[str], Unwrapped] = as_sent,
        *,
        identification: Identification = ENVELOPE,
        dead_letters: QueueSource | None = None,
    ) -> None:
        self.queue = queue
        self.dead_letters = dead_letters
        self._unwrap = unwrap
        self._identification = identification

    def receive(self, *, most: int, wait_s: int, attributes: bool = False) -> Call:
        names = ["All"] if attributes else list(self._identification.attributes)
        return self._call(
            "ReceiveMessage",
            MaxNumberOfMessages=min(most, BATCH_MAX),
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            **({"MessageAttributeNames": names} if names else {}),
        )

    def received(self, answer: Answer) -> list[Delivery]:
        return [_delivery(message, self._unwrap, self._identification) for message in answer.get("Messages") or ()]

    def delete(self, deliveries: Sequence[Delivery]) -> Call:
        return self._call(
            "DeleteMessageBatch",
            Entries=[{"Id": str(n), "ReceiptHandle": d.receipt} for n, d in enumerate(deliveries)],
        )

    def hide(self, deliveries: Sequence[Delivery], *, hidden_s: int) -> Call:
        return self._call(
            "ChangeMessageVisibilityBatch",
            Entries=[
                {"Id": str(n), "ReceiptHandle": d.receipt, "VisibilityTimeout": hidden_s}
                for n, d in enumerate(deliveries)
            ],
        )

    def settled(self, answer: Answer, deliveries: Sequence[Delivery]) -> list[tuple[SendResult, str | None]]:
        return entries_of(answer, [str(n) for n in range(len(deliveries))])

    def depth(self) -> Call:
        return self._call("GetQueueAttributes", AttributeNames=list(DEPTHS.values()))

    def depth_of(self, answer: Answer) -> Depth:
        attributes = answer.get("Attributes", {})
        return Depth(**{name: int(attributes.get(key, 0)) for name, key in DEPTHS.items()})

    def move_back(self) -> Plan[MoveState]:
        """Without a destination each message goes back to the queue that it died in.

        docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
        """
        arn = yield from _arn(self.queue)
        yield Call(SERVICE, "StartMessageMoveTask", {"SourceArn": arn})
        return MoveState(over=False)

    def moving(self) -> Plan[MoveState]:
        arn = yield from _arn(self.queue)
        answer = yield Call(SERVICE, "ListMessageMoveTasks", {"SourceArn": arn, "MaxResults": 1})
        tasks = answer.get("Results") or ()
        # LocalStack forgets a task that is done.
        task: Mapping[str, Any] = tasks[0] if tasks else {"Status": "COMPLETED"}
        if task["Status"] in ("FAILED", "CANCELLED"):
            reason = task.get("FailureReason") or "no reason was given"
            return MoveState(over=True, failed=f"{task['Status']}: {reason}")
        return MoveState(over=task["Status"] == "COMPLETED")

    def _call(self, operation: str, **params: Any) -> Call:
        return Call(SERVICE, operation, {"QueueUrl": self.queue, **params})


class EndsInQueues:
    """What all pipelines share whose subscriptions are SQS queues.

    `unwrap` takes off what a service in front of the queue put around a body.
    """

    kind: Literal["queue"] = "queue"
    name: str
    # A service in front of a queue names messages itself, and the queue anew.
    keeps_ids = False
    deduplicates = False
    delays_messages = False
    takes_tenants = False
    traced_in: Literal["attribute", "body"] = "attribute"
    takes_aws_trace_header = False
    unwrap: Callable[[str], Unwrapped] = staticmethod(as_sent)
    lacks: Mapping[Capability, str] = {
        "reshard": "a queue has no shards",
        "replay": "a queue keeps no archive",
        "max_message": "there is no topic",
    }

    def needs(self, topology: Topology) -> Collection[Capability]:
        return ()

    def subscription(self, addresses: Addresses, name: str, identification: Identification = ENVELOPE) -> QueueSource:
        dead = addresses.dead_letter_queues.get(name)
        return SqsQueue(
            addresses.queues[name],
            self.unwrap,
            identification=identification,
            dead_letters=SqsQueue(dead, self.unwrap, identification=identification) if dead else None,
        )


def bytes_of(attributes: Mapping[str, Attribute]) -> int:
    """What they count for: their names, types and values."""
    return sum(
        len(name.encode()) + len(each.data_type) + len(str(each.value).encode()) for name, each in attributes.items()
    )


def entries_by_id(answer: Answer, ids: Iterable[str]) -> list[tuple[bool, Mapping[str, Any] | None]]:
    """The answer of a batch call to entries with these ids, in their order.

    Each is (succeeded, entry), the entry None where the answer does not mention it.
    """
    found: dict[str, tuple[bool, Mapping[str, Any]]] = {e["Id"]: (True, e) for e in answer.get("Successful") or ()}
    found |= {e["Id"]: (False, e) for e in answer.get("Failed") or ()}
    return [found.get(id, (False, None)) for id in ids]


def entries_of(answer: Answer, ids: Iterable[str]) -> list[tuple[SendResult, str | None]]:
    """Outcome and error of each of these entries of a batch call that settles."""
    return [
        ("unknown", "entry missing from the answer")
        if entry is None
        else ("ok", None)
        if ok
        else (failure(entry), f"{entry.get('Code')}: {entry.get('Message', '')}")
        for ok, entry in entries_by_id(answer, ids)
    ]


def batch_outcomes(answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
    """What became of each message of a SendMessageBatch or a PublishBatch: SQS and SNS answer alike."""
    outcomes = []
    for n, (ok, entry) in enumerate(entries_by_id(answer, map(str, range(len(messages))))):
        if entry is None:
            outcome = SendOutcome(id=messages[n].id, entry=n, outcome="unknown", error="entry missing from the answer")
        elif ok:
            outcome = SendOutcome(
                id=messages[n].id,
                entry=n,
                outcome="ok",
                broker_id=entry.get("MessageId"),
                broker_seq=entry.get("SequenceNumber"),
            )
        else:
            code = str(entry.get("Code"))
            became = failure(entry)
            outcome = SendOutcome(
                id=messages[n].id,
                entry=n,
                outcome=became,
                final=became == "failed" and is_permanent(code),
                error=f"{code}: {entry.get('Message', '')}",
            )
        outcomes.append(outcome)
    return outcomes


def failure(entry: Mapping[str, Any]) -> SendResult:
    """A failed entry is proof unless the service blames itself (SenderFault false): then the message may be stored."""
    code = str(entry.get("Code", ""))
    internal = not entry.get("SenderFault", True) and not is_throttle(code)
    return "unknown" if internal else "failed"


def _delivery(
    message: Mapping[str, Any], unwrap: Callable[[str], Unwrapped], identification: Identification
) -> Delivery:
    attributes = message.get("Attributes") or {}
    unwrapped = unwrap(message.get("Body", ""))
    beside = {
        name: each["StringValue"]
        for name, each in (message.get("MessageAttributes") or {}).items()
        if "StringValue" in each
    }
    read = identification.identify(unwrapped.body, {**beside, **unwrapped.attributes})
    group = None if unwrapped.regrouped else attributes.get("MessageGroupId")
    receives = attributes.get("ApproximateReceiveCount")
    enqueued = attributes.get("SentTimestamp")
    return Delivery(
        id=read.id,
        receipt=message["ReceiptHandle"],
        broker_id=message["MessageId"],
        broker_seq=attributes.get("SequenceNumber"),
        upstream_id=unwrapped.upstream_id,
        group=group or read.group,
        receives=int(receives) if receives else None,
        enqueued=int(enqueued) * NS_PER_MS if enqueued else None,
        intact=read.intact,
        poison=read.poison,
        body=unwrapped.body,
        replay=unwrapped.replay,
        ours=read.ours,
        reference=read.reference,
        task=unwrapped.task,
        original=message,
    )
