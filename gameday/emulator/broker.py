"""SQS's operations as data: parameters in, answer out, the time passed in; the queues behind them decide.

A ReceiveMessage that finds nothing and may wait is a `LongPoll`, which the server asks again whenever its queue could
have something. Names, limits and error codes are those of the API reference
(docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference).
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gameday.emulator import policies
from gameday.emulator.capacity import UNBOUNDED, Capacity
from gameday.emulator.queues import Conduct, Draft, FifoQueue, Message, Queue, Redrive, Settings, StandardQueue
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

ACCOUNT = "000000000000"
BATCH_MAX = 10
BYTES_MAX = 1_048_576
VISIBILITY_S_MAX = 43_200
DEDUP_WINDOW_S = 300.0
NS_PER_MS = 1_000_000
_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
# The characters that a body may have, as SendMessage's page lists them.
_ALLOWED = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")

# What a queue has when nobody set it, and the bounds of what is a number.
_DEFAULTS = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MaximumMessageSize": str(BYTES_MAX),
    "MessageRetentionPeriod": "345600",
}
_DEFAULTS_FIFO = {"ContentBasedDeduplication": "false", "DeduplicationScope": "queue"}
_BOUNDS = {
    "VisibilityTimeout": (0, VISIBILITY_S_MAX),
    "DelaySeconds": (0, 900),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "MaximumMessageSize": (1_024, BYTES_MAX),
    "MessageRetentionPeriod": (60, 1_209_600),
}
# Kept and told, without effect: what they rule is not modelled.
_NOTED = {
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
    "FifoThroughputLimit",
}


@dataclass(slots=True)
class Hosted:
    """A queue with what the API knows about it besides its messages."""

    name: str
    queue: Queue
    attributes: dict[str, str]
    tags: dict[str, str]
    created_ns: int
    modified_ns: int
    denied: frozenset[str] = frozenset()

    @property
    def content_dedup(self) -> bool:
        return self.attributes.get("ContentBasedDeduplication") == "true"


@dataclass(slots=True, eq=False)
class LongPoll:
    """A receive that waits for a message until `until`, in ns."""

    queue: Queue
    until: int
    most: int
    hidden_ns: int | None
    system: frozenset[str]
    custom: Sequence[str]
    attempt: str | None

    def ask(self, now: int) -> Answer | None:
        messages = self.queue.receive(now, most=self.most, hidden_ns=self.hidden_ns, attempt=self.attempt)
        if not messages:
            return None
        return {"Messages": [shown(self.queue, m, self.system, self.custom) for m in messages]}


@dataclass(kw_only=True)
class Broker:
    """All queues of one account. `url` is where it is reached, without a slash at the end."""

    url: str
    conduct: Conduct = field(default_factory=Conduct)
    dedup_window_s: float = DEDUP_WINDOW_S
    capacity: Capacity = UNBOUNDED

    def __post_init__(self) -> None:
        self._hosted: dict[str, Hosted] = {}
        self._moves: list[Answer] = []
        self._operations: dict[str, Callable[[int, Params], Answer | LongPoll]] = {
            "CreateQueue": self._create_queue,
            "GetQueueUrl": self._get_queue_url,
            "GetQueueAttributes": self._get_queue_attributes,
            "SetQueueAttributes": self._set_queue_attributes,
            "ListQueues": self._list_queues,
            "TagQueue": self._tag_queue,
            "UntagQueue": self._untag_queue,
            "ListQueueTags": self._list_queue_tags,
            "DeleteQueue": self._delete_queue,
            "PurgeQueue": self._purge_queue,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
            "ReceiveMessage": self._receive_message,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
            "ListDeadLetterSourceQueues": self._list_sources,
            "StartMessageMoveTask": self._start_move,
            "ListMessageMoveTasks": self._list_moves,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer | LongPoll:
        """Errors: Refused."""
        carry_out = known(self._operations, operation)
        if (action := policies.ACTIONS.get(operation)) is not None:
            self._permit(action, params)
        if operation in ("SendMessage", "SendMessageBatch"):
            self._throttle(now, len(params.get("Entries") or ()) or 1)
        return carry_out(now, params)

    def _permit(self, action: str, params: Params) -> None:
        """Errors: Refused, for what the queue's policy denies everybody."""
        hosted = self._of(params)
        if self.denies(hosted, action):
            raise Refused(
                "AccessDeniedException",
                f"User is not authorized to perform: {action.lower()} on resource: {hosted.queue.arn} with an explicit "
                "deny in a resource-based policy",
                status=403,
            )

    def _throttle(self, now: int, messages: int) -> None:
        """Errors: Refused, for what is more than the capacity that was planted."""
        if (bucket := self.capacity.sends) is None:
            return
        if not bucket.available(now):
            raise Refused("RequestThrottled", "The request was denied due to request throttling.", status=403)
        bucket.take(messages)

    # Queues.

    def _create_queue(self, now: int, params: Params) -> Answer:
        name = str(params.get("QueueName", ""))
        given = _strings(params.get("Attributes"))
        fifo = given.pop("FifoQueue", "false") == "true"
        if not _NAME.fullmatch(name) or name.endswith(".fifo") is not fifo:
            raise Refused(
                "InvalidParameterValue",
                "The name of a queue has 1 to 80 letters, digits, hyphens and underscores; that of a FIFO queue ends "
                f"in .fifo, and no other does: {name!r}",
            )
        known = self._hosted.get(name)
        if known is not None:
            if any(known.attributes.get(key) != value for key, value in given.items()):
                raise Refused("QueueNameExists", "A queue already exists with the same name and different attributes.")
            return {"QueueUrl": self._url(name)}
        kind = FifoQueue if fifo else StandardQueue
        hosted = Hosted(
            name=name,
            queue=kind(arn=_ARN + name, settings=Settings(), conduct=self.conduct),
            attributes={**_DEFAULTS, **(_DEFAULTS_FIFO if fifo else {})},
            tags=_strings(params.get("tags")),
            created_ns=now,
            modified_ns=now,
        )
        hosted.queue.receives = self.capacity.receives
        self._apply(hosted, given)
        self._hosted[name] = hosted
        return {"QueueUrl": self._url(name)}

    def _get_queue_url(self, now: int, params: Params) -> Answer:
        return {"QueueUrl": self._url(self._named(str(params.get("QueueName", ""))).name)}

    def _get_queue_attributes(self, now: int, params: Params) -> Answer:
        hosted = self._of(params)
        visible, hidden, delayed = hosted.queue.depth(now)
        attributes = {
            **hosted.attributes,
            "QueueArn": hosted.queue.arn,
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
            "CreatedTimestamp": str(hosted.created_ns // NS_PER_S),
            "LastModifiedTimestamp": str(hosted.modified_ns // NS_PER_S),
            **({"FifoQueue": "true"} if hosted.queue.fifo else {}),
        }
        wanted = params.get("AttributeNames") or ()
        if "All" not in wanted:
            attributes = {name: value for name, value in attributes.items() if name in wanted}
        return {"Attributes": attributes} if attributes else {}

    def _set_queue_attributes(self, now: int, params: Params) -> Answer:
        hosted = self._of(params)
        self._apply(hosted, _strings(params.get("Attributes")))
        hosted.modified_ns = now
        return {}

    def _list_queues(self, now: int, params: Params) -> Answer:
        prefix = params.get("QueueNamePrefix") or ""
        urls = [self._url(name) for name in sorted(self._hosted) if name.startswith(prefix)]
        return {"QueueUrls": urls} if urls else {}

    def _tag_queue(self, now: int, params: Params) -> Answer:
        self._of(params).tags.update(_strings(params.get("Tags")))
        return {}

    def _untag_queue(self, now: int, params: Params) -> Answer:
        tags = self._of(params).tags
        for key in params.get("TagKeys") or ():
            tags.pop(key, None)
        return {}

    def _list_queue_tags(self, now: int, params: Params) -> Answer:
        tags = self._of(params).tags
        return {"Tags": tags} if tags else {}

    def _delete_queue(self, now: int, params: Params) -> Answer:
        hosted = self._of(params)
        hosted.queue.purge()
        del self._hosted[hosted.name]
        return {}

    def _purge_queue(self, now: int, params: Params) -> Answer:
        self._of(params).queue.purge()
        return {}

    # Messages.

    def _send_message(self, now: int, params: Params) -> Answer:
        return self._send(now, self._of(params), params)

    def _send_message_batch(self, now: int, params: Params) -> Answer:
        hosted = self._of(params)
        entries = entries_of(params.get("Entries"))
        if self.conduct.limits_batches() and sum(self._size(entry) for entry in entries) > BYTES_MAX:
            raise Refused("BatchRequestTooLong", f"Batch requests cannot be longer than {BYTES_MAX} bytes.")
        return self._each(entries, lambda entry: self._send(now, hosted, entry), pretend=_pretended)

    def _send(self, now: int, hosted: Hosted, entry: Params) -> Answer:
        draft = _draft(hosted, entry)
        accepted = hosted.queue.send(now, draft)
        answer = {"MessageId": accepted.message_id, "MD5OfMessageBody": _md5(draft.body.encode())}
        if draft.attributes:
            answer["MD5OfMessageAttributes"] = _md5_of_attributes(draft.attributes)
        if draft.system:
            answer["MD5OfMessageSystemAttributes"] = _md5_of_attributes(draft.system)
        if accepted.sequence is not None:
            answer["SequenceNumber"] = accepted.sequence
        return answer

    def _receive_message(self, now: int, params: Params) -> Answer | LongPoll:
        hosted = self._of(params)
        most = _integer(params, "MaxNumberOfMessages", 1, BATCH_MAX, default=1)
        wait_s = _integer(
            params, "WaitTimeSeconds", 0, 20, default=int(hosted.attributes["ReceiveMessageWaitTimeSeconds"])
        )
        hidden_s = params.get("VisibilityTimeout")
        poll = LongPoll(
            queue=hosted.queue,
            until=now + wait_s * NS_PER_S,
            most=most,
            hidden_ns=None
            if hidden_s is None
            else _integer(params, "VisibilityTimeout", 0, VISIBILITY_S_MAX, default=0) * NS_PER_S,
            system=frozenset(
                self.conduct.system_names(
                    params.get("MessageSystemAttributeNames") or (), params.get("AttributeNames") or ()
                )
            ),
            custom=params.get("MessageAttributeNames") or (),
            attempt=params.get("ReceiveRequestAttemptId"),
        )
        answer = poll.ask(now)
        if answer is None:
            return poll if wait_s else {}
        return answer

    def _delete_message(self, now: int, params: Params) -> Answer:
        self._of(params).queue.delete(now, _receipt(params))
        return {}

    def _delete_message_batch(self, now: int, params: Params) -> Answer:
        queue = self._of(params).queue

        def delete(entry: Params) -> Answer:
            queue.delete(now, _receipt(entry))
            return {}

        return self._each(entries_of(params.get("Entries")), delete)

    def _change_visibility(self, now: int, params: Params) -> Answer:
        hidden_s = _integer(params, "VisibilityTimeout", 0, VISIBILITY_S_MAX)
        self._of(params).queue.hide(now, _receipt(params), hidden_s * NS_PER_S)
        return {}

    def _change_visibility_batch(self, now: int, params: Params) -> Answer:
        queue = self._of(params).queue

        def hide(entry: Params) -> Answer:
            hidden_s = _integer(entry, "VisibilityTimeout", 0, VISIBILITY_S_MAX)
            queue.hide(now, _receipt(entry), hidden_s * NS_PER_S)
            return {}

        return self._each(entries_of(params.get("Entries")), hide)

    # Dead letters.

    def _list_sources(self, now: int, params: Params) -> Answer:
        return {"queueUrls": [self._url(source.name) for source in self._sources(self._of(params))]}

    def _start_move(self, now: int, params: Params) -> Answer:
        """A task is over at once. A message goes back to the queue that gave it up, unless a destination is named."""
        arn, destination_arn = str(params.get("SourceArn", "")), params.get("DestinationArn")
        source = self._at(arn)
        if not self._sources(source):
            raise Refused("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        destination = None if destination_arn is None else self._at(destination_arn)
        if destination is not None and destination.queue.fifo is not source.queue.fifo:
            raise Refused("InvalidParameterValue", "The destination queue must be of the same type as the source.")

        def home(message: Message) -> Queue | None:
            if destination is not None:
                return destination.queue
            came_from = self.find(message.source_arn or "")
            return None if came_from is None else came_from.queue

        waiting, _, _ = source.queue.depth(now)
        moved = source.queue.move(now, to=home)
        task = {
            "Status": "COMPLETED" if moved == waiting else "FAILED",
            "SourceArn": arn,
            **({} if destination is None else {"DestinationArn": destination.queue.arn}),
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": waiting,
            "StartedTimestamp": now // NS_PER_MS,
            **({} if moved == waiting else {"FailureReason": "CouldNotDetermineMessageSource"}),
        }
        self._moves.insert(0, task)
        return {"TaskHandle": base64.b64encode(f"{arn}/{len(self._moves)}".encode()).decode()}

    def _list_moves(self, now: int, params: Params) -> Answer:
        arn = self._at(str(params.get("SourceArn", ""))).queue.arn
        most = _integer(params, "MaxResults", 1, 10, default=1)
        return {"Results": [task for task in self._moves if task["SourceArn"] == arn][:most]}

    def _sources(self, dead: Hosted) -> list[Hosted]:
        """The queues whose dead letters go there."""
        redrives = ((hosted, hosted.queue.settings.redrive) for hosted in self._hosted.values())
        return [hosted for hosted, redrive in redrives if redrive is not None and redrive.dead_letter is dead.queue]

    # What the services that end in a queue ask for.

    def find(self, arn: str) -> Hosted | None:
        return self._hosted.get(arn.removeprefix(_ARN)) if arn.startswith(_ARN) else None

    def denies(self, hosted: Hosted, action: str) -> bool:
        """Whether the queue's policy denies everybody that action, like sqs:ReceiveMessage."""
        return action in hosted.denied and self.conduct.heeds_policy()

    def queue_of(self, arn: str) -> Queue:
        """Errors: Refused, where a service is to send to or take from a queue that is not there."""
        hosted = self.find(arn)
        if hosted is None:
            raise Refused("ValidationException", f"There is no queue {arn!r}, and nothing else is known here.")
        return hosted.queue

    def deliver(self, now: int, arn: str, message: Params) -> bool:
        """Send to the queue of that name; `message` as for SendMessage. False when it is gone or refuses."""
        hosted = self.find(arn)
        # A denial of everybody is one of the services, too.
        if hosted is None or self.denies(hosted, "sqs:SendMessage"):
            return False
        try:
            self._send(now, hosted, message)
        except Refused:
            return False
        return True

    # What they share.

    def _each(
        self,
        entries: Iterable[Params],
        do: Callable[[Params], Answer],
        pretend: Callable[[Params], Answer] = lambda entry: {},
    ) -> Answer:
        """A batch: each entry succeeds or fails on its own."""
        return each(entries, do, pretend=None if self.conduct.tells_failures() else pretend)

    def _size(self, entry: Params) -> int:
        return size(entry.get("MessageBody"), entry.get("MessageAttributes"), self.conduct.counts)

    def _url(self, name: str) -> str:
        return f"{self.url}/{ACCOUNT}/{name}"

    def _of(self, params: Params) -> Hosted:
        return self._named(str(params.get("QueueUrl", "")).rpartition("/")[2])

    def _at(self, arn: str) -> Hosted:
        hosted = self.find(arn)
        if hosted is None:
            raise Refused(
                "ResourceNotFoundException", f"The resource that you specified for the ARN {arn} is not there."
            )
        return hosted

    def _named(self, name: str) -> Hosted:
        hosted = self._hosted.get(name)
        if hosted is None:
            raise Refused("QueueDoesNotExist", "The specified queue does not exist.")
        return hosted

    def _apply(self, hosted: Hosted, given: Mapping[str, str]) -> None:
        """Take over attributes, all or none."""
        fifo_only = _DEFAULTS_FIFO if hosted.queue.fifo else {}
        for name, value in given.items():
            if name in _BOUNDS:
                least, most = _BOUNDS[name]
                right = value.isdecimal() and least <= int(value) <= most
            elif name == "ContentBasedDeduplication":
                right = name in fifo_only and value in ("true", "false")
            elif name == "DeduplicationScope":
                right = name in fifo_only and value in ("queue", "messageGroup")
            elif name == "Policy":
                right = _is_policy(value)
            elif name == "RedrivePolicy" or name in _NOTED:
                right = True
            else:
                raise Refused("InvalidAttributeName", f"Unknown Attribute {name}.")
            if not right:
                raise Refused("InvalidAttributeValue", f"Invalid value for the parameter {name}: {value!r}.")
        attributes = {**hosted.attributes, **given}
        if not attributes.get("RedrivePolicy", "-"):
            del attributes["RedrivePolicy"]
        if not attributes.get("Policy", "-"):
            del attributes["Policy"]
        redrive = self._redrive(hosted, attributes["RedrivePolicy"]) if "RedrivePolicy" in attributes else None
        hosted.attributes = attributes
        hosted.denied = policies.denied(attributes.get("Policy", ""), hosted.queue.arn)
        hosted.queue.settings = replace(
            hosted.queue.settings,
            visibility_ns=int(attributes["VisibilityTimeout"]) * NS_PER_S,
            delay_ns=int(attributes["DelaySeconds"]) * NS_PER_S,
            dedup_window_ns=int(self.dedup_window_s * NS_PER_S),
            dedup_by_group=attributes.get("DeduplicationScope") == "messageGroup",
            redrive=redrive,
        )
        if "DelaySeconds" in given:
            hosted.queue.redelay()

    def _redrive(self, hosted: Hosted, policy: str) -> Redrive:
        try:
            document = orjson.loads(policy)
            arn, max_receives = document["deadLetterTargetArn"], int(document["maxReceiveCount"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise Refused("InvalidParameterValue", f"Value {policy} for parameter RedrivePolicy is invalid.") from None
        target = self._hosted.get(str(arn).removeprefix(_ARN))
        if target is None or target.queue.fifo is not hosted.queue.fifo or target is hosted:
            raise Refused(
                "InvalidParameterValue",
                f"Value {policy} for parameter RedrivePolicy is invalid. Reason: the dead-letter target must be "
                "another queue that exists and is of the same kind.",
            )
        if not 1 <= max_receives <= 1_000:
            raise Refused(
                "InvalidParameterValue",
                f"Value {policy} for parameter RedrivePolicy is invalid. Reason: maxReceiveCount is 1 to 1000.",
            )
        return Redrive(dead_letter=target.queue, max_receives=max_receives)


def _draft(hosted: Hosted, entry: Params) -> Draft:
    body, group, dedup_id = entry.get("MessageBody"), entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
    if not body:
        raise Refused("MissingParameter", "The request must contain the parameter MessageBody.")
    conduct = hosted.queue.conduct
    if conduct.refuses_characters() and not _ALLOWED.fullmatch(body):
        raise Refused("InvalidMessageContents", "Invalid characters found: outside the set that SendMessage allows.")
    encoded = body.encode()
    if size(body, entry.get("MessageAttributes"), conduct.counts) > int(hosted.attributes["MaximumMessageSize"]):
        raise Refused(
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than "
            f"{hosted.attributes['MaximumMessageSize']} bytes.",
        )
    delay_s = entry.get("DelaySeconds")
    if not hosted.queue.fifo:
        if dedup_id is not None:
            raise Refused(
                "InvalidParameterValue",
                "The request includes a parameter that is not valid for this queue type: MessageDeduplicationId",
            )
    else:
        if group is None:
            raise Refused("MissingParameter", "The request must contain the parameter MessageGroupId.")
        if dedup_id is None:
            if not hosted.content_dedup:
                raise Refused(
                    "InvalidParameterValue",
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                    "provided explicitly",
                )
            dedup_id = conduct.content_id(hashlib.sha256(encoded).hexdigest())
        if delay_s and conduct.refuses_timers():
            raise Refused(
                "InvalidParameterValue",
                f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: The request include parameter that "
                "is not valid for this queue type.",
            )
        delay_s = delay_s or None
    return Draft(
        body=body,
        group=group,
        dedup_id=dedup_id,
        delay_ns=None if delay_s is None else _integer(entry, "DelaySeconds", 0, 900) * NS_PER_S,
        attributes=entry.get("MessageAttributes"),
        system=entry.get("MessageSystemAttributes"),
    )


def shown(queue: Queue, message: Message, system: frozenset[str], custom: Sequence[str]) -> Answer:
    """A message as ReceiveMessage tells it."""
    draft = message.draft
    answer: Answer = {
        "MessageId": message.accepted.message_id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": _md5(draft.body.encode()),
        "Body": draft.body,
    }
    if system:
        attributes = {
            "SenderId": ACCOUNT,
            "SentTimestamp": str(message.sent_ns // NS_PER_MS),
            "ApproximateReceiveCount": str(message.receives),
            "ApproximateFirstReceiveTimestamp": str(message.first_received_ns // NS_PER_MS),
        }
        if draft.group is not None:
            attributes["MessageGroupId"] = draft.group
        if queue.fifo:
            attributes["MessageDeduplicationId"] = draft.dedup_id or ""
            attributes["SequenceNumber"] = queue.conduct.told_sequence(message.accepted.sequence or "")
        attributes |= {name: value["StringValue"] for name, value in (draft.system or {}).items()}
        if message.source_arn is not None:
            attributes["DeadLetterQueueSourceArn"] = message.source_arn
        if "All" not in system:
            attributes = {name: value for name, value in attributes.items() if name in system}
        answer["Attributes"] = attributes
    if draft.attributes and custom:
        chosen = {name: value for name, value in draft.attributes.items() if _chosen(name, custom)}
        if chosen:
            answer["MessageAttributes"] = chosen
            answer["MD5OfMessageAttributes"] = _md5_of_attributes(chosen)
    return answer


def size(body: str | None, attributes: Mapping[str, Any] | None, counts: Callable[[int, int], int]) -> int:
    """How many bytes a message has: names, types and values of its attributes are counted with its body."""
    told = sum(
        len(name.encode()) + len(attribute.get("DataType", "").encode()) + len(_bytes_of(attribute))
        for name, attribute in (attributes or {}).items()
    )
    return counts(len((body or "").encode()), told)


def _bytes_of(attribute: Mapping[str, str]) -> bytes:
    binary = attribute.get("BinaryValue")
    return attribute.get("StringValue", "").encode() if binary is None else base64.b64decode(binary)


def _chosen(name: str, wanted: Sequence[str]) -> bool:
    return any(w in ("All", ".*", name) or (w.endswith(".*") and name.startswith(w[:-2])) for w in wanted)


def each(
    entries: Iterable[Params], do: Callable[[Params], Answer], *, pretend: Callable[[Params], Answer] | None
) -> Answer:
    """Do a batch entry by entry. `pretend` is a defective broker's: how it answers a failure as if it were none."""
    successful: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **do(entry)})
        except Refused as refused:
            if pretend is None:
                error = {"SenderFault": True, "Code": refused.code, "Message": refused.message}
                failed.append({"Id": entry["Id"], **error})
            else:
                successful.append({"Id": entry["Id"], **pretend(entry)})
    answer: Answer = {"Successful": successful}
    if failed:
        answer["Failed"] = failed
    return answer


def _pretended(entry: Params) -> Answer:
    return {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": _md5(str(entry.get("MessageBody", "")).encode())}


def entries_of(given: Sequence[Params] | None) -> Sequence[Params]:
    """The entries of a batch. Errors: Refused, when the batch as a whole cannot be."""
    entries = given or ()
    if not entries:
        raise Refused("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > BATCH_MAX:
        raise Refused(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_MAX}. You have sent {len(entries)}.",
        )
    ids = [str(entry.get("Id", "")) for entry in entries]
    if not all(map(_ENTRY_ID.fullmatch, ids)):
        raise Refused("InvalidBatchEntryId", "A batch entry id has 1 to 80 letters, digits, hyphens and underscores.")
    if len(set(ids)) < len(ids):
        raise Refused("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    return entries


def _receipt(params: Params) -> str:
    receipt = params.get("ReceiptHandle")
    if not receipt:
        raise Refused("MissingParameter", "The request must contain the parameter ReceiptHandle.")
    return str(receipt)


def _integer(params: Params, name: str, least: int, most: int, *, default: int | None = None) -> int:
    value = params.get(name, default)
    if value is None:
        value = default
    if value is None:
        raise Refused("MissingParameter", f"The request must contain the parameter {name}.")
    if not isinstance(value, int) or not least <= value <= most:
        raise Refused(
            "InvalidParameterValue",
            f"Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}.",
        )
    return value


def _strings(given: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}


def _is_policy(text: str) -> bool:
    try:
        policies.denied(text, "")
    except ValueError:
        return False
    return True


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _md5_of_attributes(attributes: Mapping[str, Any]) -> str:
    """As told under "Calculating the MD5 message digest for message attributes" in the SQS developer guide."""
    digest = hashlib.md5(usedforsecurity=False)

    def put(data: bytes) -> None:
        digest.update(len(data).to_bytes(4, "big") + data)

    for name in sorted(attributes):
        value = attributes[name]
        put(name.encode())
        put(value["DataType"].encode())
        digest.update(b"\x01" if value.get("BinaryValue") is None else b"\x02")
        put(_bytes_of(value))
    return digest.hexdigest()
