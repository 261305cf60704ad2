"""SNS's operations as data: topics, Standard and FIFO, that deliver at once into the broker's own queues.

Names, limits and error codes are those of the API reference and the developer guide
(docs.aws.amazon.com/sns/latest/api, …/dg). A FIFO topic numbers what is published, accepts a deduplication id once in
its window and delivers in order of publishing; what a queue refuses or that is gone is dropped, as SNS does without a
dead-letter queue. Not modelled: other endpoints than SQS, signatures, retries, archives, policies, pages of lists.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from gameday.emulator.broker import ACCOUNT, BYTES_MAX, DEDUP_WINDOW_S, Broker, each, entries_of, size
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S
from gameday.transports.base import Attribute
from gameday.transports.filters import sns_filter

# What a topic takes unless its MaximumMessageSize says otherwise; that may be as much as a queue takes.
BYTES_DEFAULT, BYTES_LEAST = 262_144, 1_024
_ARN = f"arn:aws:sns:us-east-1:{ACCOUNT}:"
_TOPIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}\.fifo")
_SEQUENCE_FIRST = 10_000_000_000_000_000_000
_SEQUENCE_STEP = 1_000
_TOPIC_SETTABLE = {
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "DisplayName",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "Policy",
}
_SUBSCRIPTION_SETTABLE = {"RawMessageDelivery", "FilterPolicy", "FilterPolicyScope"}


class TopicConduct:
    """The right conduct of topics. A defect overrides one answer (gameday/emulator/defects.py)."""

    def delivers(self) -> bool:
        """Whether a message reaches a subscription that it is for."""
        return True

    def matches(self, scope: str, right: bool) -> bool:
        """Whether a filter policy lets a message through; `scope` is MessageAttributes or MessageBody."""
        return right

    def reads(self, policy: Mapping[str, Any]) -> Mapping[str, Any] | bool:
        """What there is to match of a policy; a bool is the answer to every message."""
        return policy

    def matches_body(self, policy: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """How a policy is read with a body."""
        return sns_filter.matches_body(policy, body)

    def counts(self, body: int, attributes: int) -> int:
        """How many bytes a message counts, by those of its body and of its attributes."""
        return body + attributes

    def limits_batches(self) -> bool:
        """Whether a batch may hold no more bytes than a message."""
        return True

    def largest(self, asked: int) -> int:
        """How many bytes a message may have, on a topic whose MaximumMessageSize asks for so many."""
        return asked

    def dedups_by_group(self, asked: bool) -> bool:
        """Whether a deduplication id counts within its group only; `asked`: whether the topic is set so."""
        return asked

    def delivers_raw(self, asked: bool) -> bool:
        """Whether a subscription gets the bare message."""
        return asked

    def published_in(self, entries: Sequence[Params]) -> Sequence[Params]:
        """A batch's entries, in the order in which they are published."""
        return entries

    def deduplicates(self) -> bool:
        """Whether a message with a known deduplication id is not delivered again."""
        return True

    def tells_failures(self) -> bool:
        """Whether a batch tells that an entry failed."""
        return True


@dataclass(slots=True)
class _Subscription:
    arn: str
    topic: Topic
    endpoint: str
    attributes: dict[str, str]
    policy: Mapping[str, Any] | None = None

    @property
    def raw(self) -> bool:
        return self.attributes["RawMessageDelivery"] == "true"

    @property
    def scope(self) -> str:
        return self.attributes["FilterPolicyScope"]


@dataclass(slots=True)
class Topic:
    """A topic. `known`: the deduplication ids of the window, oldest first, each with its end and what was answered."""

    arn: str
    fifo: bool
    attributes: dict[str, str]
    tags: dict[str, str]
    subscriptions: list[_Subscription] = field(default_factory=list)
    published: int = 0
    known: dict[tuple[str | None, str], tuple[int, Answer]] = field(default_factory=dict)


@dataclass(kw_only=True)
class Sns:
    """All topics of one account, delivering into the queues of `sqs`."""

    sqs: Broker
    conduct: TopicConduct = field(default_factory=TopicConduct)
    dedup_window_s: float = DEDUP_WINDOW_S

    def __post_init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateTopic": self._create_topic,
            "DeleteTopic": self._delete_topic,
            "ListTopics": self._list_topics,
            "GetTopicAttributes": self._get_topic_attributes,
            "SetTopicAttributes": self._set_topic_attributes,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
            "Subscribe": self._subscribe,
            "Unsubscribe": self._unsubscribe,
            "GetSubscriptionAttributes": self._get_subscription_attributes,
            "SetSubscriptionAttributes": self._set_subscription_attributes,
            "ListSubscriptions": self._list_all_subscriptions,
            "ListSubscriptionsByTopic": self._list_subscriptions,
            "Publish": self._publish,
            "PublishBatch": self._publish_batch,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """Errors: Refused."""
        carry_out = known(self._operations, operation, refusal="InvalidAction")
        return carry_out(now, params)

    # Topics.

    def _create_topic(self, now: int, params: Params) -> Answer:
        name, given = str(params.get("Name", "")), dict(params.get("Attributes") or {})
        fifo = given.pop("FifoTopic", "false") == "true"
        if not _TOPIC_NAME.fullmatch(name) or name.endswith(".fifo") is not fifo:
            raise _invalid(
                "Topic Name: 1 to 256 letters, digits, hyphens and underscores; that of a FIFO topic ends in .fifo, "
                f"and no other does: {name!r}"
            )
        topic = self._topics.get(_ARN + name)
        tags = _tags(params)
        if topic is not None:
            if any(topic.attributes.get(key) != value for key, value in given.items()) or tags != topic.tags:
                raise _invalid("Attributes Reason: Topic already exists with different attributes or tags")
            return {"TopicArn": topic.arn}
        attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "false"} if fifo else {}
        topic = Topic(arn=_ARN + name, fifo=fifo, attributes=attributes, tags=tags)
        for key, value in given.items():
            _set_topic(topic, key, value)
        self._topics[topic.arn] = topic
        return {"TopicArn": topic.arn}

    def _delete_topic(self, now: int, params: Params) -> Answer:
        topic = self._topics.pop(str(params.get("TopicArn", "")), None)
        for subscription in topic.subscriptions if topic is not None else ():
            del self._subscriptions[subscription.arn]
        return {}

    def _list_topics(self, now: int, params: Params) -> Answer:
        return {"Topics": [{"TopicArn": arn} for arn in sorted(self._topics)]}

    def _get_topic_attributes(self, now: int, params: Params) -> Answer:
        topic = self._topic(params)
        told = {"TopicArn": topic.arn, "Owner": ACCOUNT, "SubscriptionsConfirmed": str(len(topic.subscriptions))}
        return {"Attributes": {**topic.attributes, **told, "SubscriptionsPending": "0", "SubscriptionsDeleted": "0"}}

    def _set_topic_attributes(self, now: int, params: Params) -> Answer:
        _set_topic(self._topic(params), str(params.get("AttributeName")), str(params.get("AttributeValue", "")))
        return {}

    def _tag(self, now: int, params: Params) -> Answer:
        self._tagged(params).tags.update(_tags(params))
        return {}

    def _untag(self, now: int, params: Params) -> Answer:
        for key in params.get("TagKeys") or ():
            self._tagged(params).tags.pop(key, None)
        return {}

    def _list_tags(self, now: int, params: Params) -> Answer:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(params).tags.items()]}

    # Subscriptions.

    def _subscribe(self, now: int, params: Params) -> Answer:
        topic, endpoint = self._topic(params), str(params.get("Endpoint", ""))
        given = dict(params.get("Attributes") or {})
        if params.get("Protocol") != "sqs":
            raise _invalid(f"Only the protocol sqs is known here, not {params.get('Protocol')!r}")
        queue = self.sqs.find(endpoint)
        if queue is None:
            raise _invalid(f"Endpoint Reason: there is no queue {endpoint!r}")
        if queue.queue.fifo and not topic.fifo:
            raise _invalid("Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
        known = next((s for s in topic.subscriptions if s.endpoint == endpoint), None)
        if known is not None:
            if any(known.attributes.get(key) != value for key, value in given.items()):
                raise _invalid("Attributes Reason: Subscription already exists with different attributes")
            return {"SubscriptionArn": known.arn}
        attributes = {"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}
        subscription = _Subscription(f"{topic.arn}:{uuid.uuid4()}", topic, endpoint, attributes)
        _set_subscription(subscription, given)
        topic.subscriptions.append(subscription)
        self._subscriptions[subscription.arn] = subscription
        return {"SubscriptionArn": subscription.arn}

    def _unsubscribe(self, now: int, params: Params) -> Answer:
        subscription = self._subscriptions.pop(str(params.get("SubscriptionArn", "")), None)
        if subscription is not None:
            subscription.topic.subscriptions.remove(subscription)
        return {}

    def _get_subscription_attributes(self, now: int, params: Params) -> Answer:
        subscription = self._subscription(params)
        return {"Attributes": {**subscription.attributes, **_told(subscription), "PendingConfirmation": "false"}}

    def _set_subscription_attributes(self, now: int, params: Params) -> Answer:
        name, value = str(params.get("AttributeName")), str(params.get("AttributeValue", ""))
        _set_subscription(self._subscription(params), {name: value})
        return {}

    def _list_subscriptions(self, now: int, params: Params) -> Answer:
        return {"Subscriptions": [_told(subscription) for subscription in self._topic(params).subscriptions]}

    def _list_all_subscriptions(self, now: int, params: Params) -> Answer:
        return {"Subscriptions": [_told(subscription) for subscription in self._subscriptions.values()]}

    # Messages.

    def _publish(self, now: int, params: Params) -> Answer:
        return self._accept(now, self._topic(params), params)

    def _publish_batch(self, now: int, params: Params) -> Answer:
        topic = self._topic(params)
        entries = entries_of(params.get("PublishBatchRequestEntries"))
        most = self._largest(topic)
        if self.conduct.limits_batches() and sum(self._size(entry) for entry in entries) > most:
            raise Refused("BatchRequestTooLong", f"The length of all the messages is more than {most} bytes.")
        answer = each(
            self.conduct.published_in(entries),
            lambda entry: self._accept(now, topic, entry),
            pretend=None if self.conduct.tells_failures() else lambda entry: {"MessageId": str(uuid.uuid4())},
        )
        return {"Failed": [], **answer}

    def _accept(self, now: int, topic: Topic, entry: Params) -> Answer:
        if self._size(entry) > self._largest(topic):
            raise _invalid("Message too long")
        by_group = self.conduct.dedups_by_group(topic.attributes.get("FifoThroughputScope") == "MessageGroup")
        key = _checked(topic, entry, by_group=by_group)
        if key is None:
            answer = {"MessageId": str(uuid.uuid4())}
        else:
            while topic.known and next(iter(topic.known.values()))[0] <= now:
                del topic.known[next(iter(topic.known))]
            if key in topic.known and self.conduct.deduplicates():
                return topic.known[key][1]
            topic.published += 1
            sequence = f"{_SEQUENCE_FIRST + _SEQUENCE_STEP * topic.published}"
            answer = {"MessageId": str(uuid.uuid4()), "SequenceNumber": sequence}
            topic.known.pop(key, None)
            topic.known[key] = (now + int(self.dedup_window_s * NS_PER_S), answer)
        # A topic that does not deduplicate must not be covered up for by its queues.
        dedup_id = None if key is None else key[1] if self.conduct.deduplicates() else str(uuid.uuid4())
        for subscription in topic.subscriptions:
            if self._wanted(subscription, entry) and self.conduct.delivers():
                self._deliver(now, subscription, entry, answer, dedup_id)
        return answer

    def _wanted(self, subscription: _Subscription, entry: Params) -> bool:
        policy, scope = subscription.policy, subscription.scope
        return policy is None or self.conduct.matches(scope, self._passes(policy, scope, entry))

    def _deliver(
        self, now: int, subscription: _Subscription, entry: Params, answer: Answer, dedup_id: str | None
    ) -> None:
        raw = self.conduct.delivers_raw(subscription.raw)
        draft: dict[str, Any] = {"MessageBody": _text(entry) if raw else _wrapped(now, subscription, entry, answer)}
        if raw and entry.get("MessageAttributes"):
            draft["MessageAttributes"] = entry["MessageAttributes"]
        if entry.get("MessageGroupId"):
            draft["MessageGroupId"] = entry["MessageGroupId"]
        queue = self.sqs.find(subscription.endpoint)
        if queue is not None and queue.queue.fifo:
            draft["MessageDeduplicationId"] = dedup_id
        self.sqs.deliver(now, subscription.endpoint, draft)

    def _passes(self, policy: Mapping[str, Any], scope: str, entry: Params) -> bool:
        read = self.conduct.reads(policy)
        if isinstance(read, bool):
            return read
        try:
            if scope == "MessageBody":
                body = orjson.loads(_text(entry))
                return isinstance(body, dict) and self.conduct.matches_body(read, body)
            given = entry.get("MessageAttributes") or {}
            attributes = {
                name: Attribute(attribute["DataType"], _value(attribute)) for name, attribute in given.items()
            }
            return sns_filter.matches_attributes(read, attributes)
        except (
            ValueError
        ):  # a body that is no JSON, an attribute that is not what its type says: for nobody who filters
            return False

    # What they share.

    def _size(self, entry: Params) -> int:
        return size(entry.get("Message"), entry.get("MessageAttributes"), self.conduct.counts)

    def _largest(self, topic: Topic) -> int:
        return self.conduct.largest(int(topic.attributes.get("MaximumMessageSize", BYTES_DEFAULT)))

    def _topic(self, params: Params) -> Topic:
        topic = self._topics.get(str(params.get("TopicArn", "")))
        if topic is None:
            raise Refused("NotFound", "Topic does not exist", status=404)
        return topic

    def _tagged(self, params: Params) -> Topic:
        topic = self._topics.get(str(params.get("ResourceArn", "")))
        if topic is None:
            raise Refused("ResourceNotFound", "Resource does not exist", status=404)
        return topic

    def _subscription(self, params: Params) -> _Subscription:
        subscription = self._subscriptions.get(str(params.get("SubscriptionArn", "")))
        if subscription is None:
            raise Refused("NotFound", "Subscription does not exist", status=404)
        return subscription


def _set_topic(topic: Topic, name: str, value: str) -> None:
    if name not in _TOPIC_SETTABLE:
        raise _invalid(f"AttributeName: {name!r} is not known here")
    if name == "ContentBasedDeduplication" and (not topic.fifo or value not in ("true", "false")):
        raise _invalid(f"{name}: true or false, on a FIFO topic")
    if name == "FifoThroughputScope" and (not topic.fifo or value not in ("Topic", "MessageGroup")):
        raise _invalid(f"{name}: Topic or MessageGroup, on a FIFO topic")
    if name == "MaximumMessageSize" and not (value.isdecimal() and BYTES_LEAST <= int(value) <= BYTES_MAX):
        raise _invalid(f"{name}: a number from {BYTES_LEAST} to {BYTES_MAX}")
    topic.attributes[name] = value


def _set_subscription(subscription: _Subscription, given: Mapping[str, str]) -> None:
    """Take over attributes, all or none. An empty policy takes the filter away."""
    attributes = {**subscription.attributes, **given}
    unknown = given.keys() - _SUBSCRIPTION_SETTABLE
    if unknown:
        raise _invalid(f"AttributeName: {', '.join(sorted(unknown))} is not known here")
    if attributes["RawMessageDelivery"] not in ("true", "false"):
        raise _invalid("RawMessageDelivery: true or false")
    scope = attributes["FilterPolicyScope"]
    if scope not in ("MessageAttributes", "MessageBody"):
        raise _invalid("FilterPolicyScope: MessageAttributes or MessageBody")
    policy = None
    text = attributes.get("FilterPolicy", "")
    if text:
        try:
            policy = orjson.loads(text)
            if not isinstance(policy, dict):
                raise ValueError("it is no JSON object")
            sns_filter.check(policy, "body" if scope == "MessageBody" else "attributes")
        except ValueError as error:  # orjson's is one too
            raise _invalid(f"FilterPolicy: {error}") from None
    else:
        attributes.pop("FilterPolicy", None)
    subscription.attributes, subscription.policy = attributes, policy or None


def _told(subscription: _Subscription) -> dict[str, str]:
    return {
        "SubscriptionArn": subscription.arn,
        "Owner": ACCOUNT,
        "Protocol": "sqs",
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic.arn,
    }


def _checked(topic: Topic, entry: Params, *, by_group: bool) -> tuple[str | None, str] | None:
    """What a message is deduplicated by, None on a Standard topic. Errors: Refused, for one that cannot be."""
    message, group, dedup_id = entry.get("Message"), entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
    if not message:
        raise _invalid("Empty message")
    _text(entry)
    for name, attribute in (entry.get("MessageAttributes") or {}).items():
        if not attribute.get("DataType") or not _value(attribute):
            raise _invalid(f"The message attribute {name!r} has no type or no value")
    if not topic.fifo:
        if dedup_id:
            raise _invalid(
                "The request includes MessageDeduplicationId parameter that is not valid for this topic type"
            )
        return None
    if not group:
        raise _invalid("The MessageGroupId parameter is required for FIFO topics")
    if not dedup_id:
        if topic.attributes["ContentBasedDeduplication"] != "true":
            raise _invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly"
            )
        dedup_id = hashlib.sha256(str(message).encode()).hexdigest()
    return (group if by_group else None), dedup_id


def _text(entry: Params) -> str:
    """The message as a queue gets it; with MessageStructure json it has a form for each protocol."""
    message = str(entry["Message"])
    if entry.get("MessageStructure") != "json":
        return message
    try:
        forms = orjson.loads(message)
        return str(forms.get("sqs", forms["default"]))
    except (orjson.JSONDecodeError, AttributeError, KeyError):
        raise _invalid("Message Structure - a JSON object with the key default") from None


def _wrapped(now: int, subscription: _Subscription, entry: Params, answer: Answer) -> str:
    """As under "Message and JSON formats" in the developer guide, unsigned."""
    at = datetime.fromtimestamp(now / NS_PER_S, UTC)
    document: dict[str, Any] = {"Type": "Notification", **answer, "TopicArn": subscription.topic.arn}
    if entry.get("Subject"):
        document["Subject"] = entry["Subject"]
    document["Message"] = _text(entry)
    document["Timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document["UnsubscribeURL"] = f"http://127.0.0.1/?Action=Unsubscribe&SubscriptionArn={subscription.arn}"
    attributes = entry.get("MessageAttributes")
    if attributes:
        document["MessageAttributes"] = {
            name: {"Type": attribute["DataType"], "Value": _value(attribute)} for name, attribute in attributes.items()
        }
    return orjson.dumps(document).decode()


def _value(attribute: Mapping[str, str]) -> str:
    return attribute.get("StringValue") or attribute.get("BinaryValue") or ""


def _tags(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}


def _invalid(what: str) -> Refused:
    return Refused("InvalidParameter", f"Invalid parameter: {what}")
