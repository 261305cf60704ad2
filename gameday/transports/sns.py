"""The pipelines `sns` and `sns-fifo`: producers publish to one topic, and each subscription ends in a queue of its own.

Promises, as AWS documents them (docs.aws.amazon.com/sns/latest/dg, pages "fifo-message-delivery" and
"fifo-message-dedup"): what the topic accepted reaches the queue of every subscription whose filter policy it
satisfies, at least once. Behind a FIFO topic, a FIFO queue keeps order by message group and is spared what repeats a
deduplication id within 5 minutes; a Standard queue behind it keeps neither, and where there is a filter, SNS FIFO
promises at most once. SNS and SQS give a message an id and a sequence number each: what was sent carries the topic's,
what was received the queue's, and the topic's id besides it where the delivery is not raw.

A message with its attributes, and a batch of them, may have 256 KiB, or what the topic's `MaximumMessageSize` says, at
most 1 MiB (page "large-message-payloads" and APIReference/API_PublishBatch).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from gameday.history.manifest import Subscription
from gameday.history.trace import ATTRIBUTE
from gameday.transports.attached import deployed_as, filter_differs
from gameday.transports.base import (
    FIFO_NAME,
    Addresses,
    Answer,
    Attribute,
    Call,
    CallFailed,
    Capability,
    Document,
    Found,
    Limits,
    Outgoing,
    Plan,
    SendOutcome,
    Size,
    SubscriptionSpec,
    Topology,
    refuse_unknown,
)
from gameday.transports.filters.reach import asks
from gameday.transports.filters.sns_filter import SNS, check, matches_attributes, matches_body
from gameday.transports.queue import SERVICE as SQS
from gameday.transports.queue import (
    EndsInQueues,
    Unwrapped,
    batch_outcomes,
    bytes_of,
    create_queues,
    delete_queues,
    find_queues,
    is_fifo,
    promise,
)

SERVICE = "sns"
BYTES_MAX = 256 * 1024
MESSAGE_SIZE_MAX = 1024 * 1024
# What SNS puts around a body besides the attributes: ids, the topic's name, a signature and two addresses.
_ADDED_BYTES = 2048
_SCOPES = {"attributes": "MessageAttributes", "body": "MessageBody"}


def unwrap(body: str) -> Unwrapped:
    """Take SNS's envelope off; a body without one was delivered raw, and then SNS's id for it is nowhere.

    Its form: docs.aws.amazon.com/sns/latest/dg/http-notification-json.html, which queues get too.
    """
    try:
        document = orjson.loads(body)
        if document["Type"] == "Notification":
            beside = document.get("MessageAttributes") or {}
            return Unwrapped(
                body=document["Message"],
                upstream_id=document["MessageId"],
                attributes={name: each["Value"] for name, each in beside.items()},
            )
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        # Not SNS's form, so it is what the producer wrote, or nothing of ours.
        pass
    return Unwrapped(body=body)


class Sns(EndsInQueues):
    """One topic with its queues. `fifo` is the only difference between the two pipelines."""

    batch_max = 10
    services = (SERVICE, SQS)
    attaches_to: Literal["topic"] = "topic"
    unwrap = staticmethod(unwrap)
    lacks: Mapping[Capability, str] = {need: why for need, why in EndsInQueues.lacks.items() if need != "max_message"}

    def __init__(self, *, name: str, fifo: bool) -> None:
        self.name = name
        self.ordered = self.deduplicates = fifo

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """Errors: ValueError for a queue that the topic cannot reach, and for a filter policy that SNS would refuse."""
        refuse_unknown(self.name, topology, takes=("queue", "raw", "filter", "filter_on", "deployed", "max_message"))
        return {spec.name: self._promise(topology, spec) for spec in topology.subscriptions}

    def _promise(self, topology: Topology, spec: SubscriptionSpec) -> Subscription:
        fifo = is_fifo(topology, spec, ordered=self.ordered)
        if fifo and not self.ordered:
            raise ValueError(
                f"{spec.name}: a Standard topic delivers to no FIFO queue; "
                "remove `queue: fifo`, or use the transport sns-fifo"
            )
        # What is deployed may be no filter at all, {}: the commonest mistake there is.
        for policy in (spec.filter, _deployed_filter(spec) or None):
            if policy is not None:
                _check(spec, policy)
        filtered = spec.filter is not None
        return replace(
            promise(topology, spec, fifo=fifo),
            filtered=filtered,
            promises="at-most-once" if filtered and self.ordered else "at-least-once",
        )

    def look(self, topology: Topology) -> Plan[Found]:
        assert topology.attached is not None
        arn = topology.attached.at
        answer = yield Call(SERVICE, "GetTopicAttributes", {"TopicArn": arn})
        topic: Mapping[str, str] = answer["Attributes"]
        if (topic.get("FifoTopic") == "true") != self.ordered:
            other = "sns" if self.ordered else "sns-fifo"
            raise CallFailed("TopicDiffers", f"{arn} is of the other kind; use the transport {other}", definite=True)
        if self.ordered and topology.dedup == "content" and topic.get("ContentBasedDeduplication") != "true":
            raise CallFailed(
                "TopicDiffers",
                f"{arn} does not deduplicate by content, and load.dedup says so; write dedup: id",
                definite=True,
            )
        found = yield from find_queues(topology)
        subscribed = yield from _subscribed(arn)
        size = int(topic["MaximumMessageSize"]) if "MaximumMessageSize" in topic else None
        standing, differs = {}, list[str]()
        for spec in topology.subscriptions:
            there = subscribed.get(found.arns[spec.name])
            told: Mapping[str, str] = {}
            if there is None:
                differs.append(f"{spec.name}: its queue is not subscribed to the topic, so nothing can come there")
            else:
                asked = yield Call(SERVICE, "GetSubscriptionAttributes", {"SubscriptionArn": there})
                told = asked["Attributes"]
                differs += _subscription_differs(spec, told)
            policy = orjson.loads(told["FilterPolicy"]) if told.get("FilterPolicy") else None
            holds = found.standing[spec.name]
            keys = [key for key in (topic.get("KmsMasterKeyId"), *holds.keys) if key]
            standing[spec.name] = replace(
                holds,
                deployed=deployed_as(spec, there=there is not None, filter=policy or None, pattern=spec.pattern),
                max_message_bytes=size,
                keys=list(dict.fromkeys(keys)),
            )
        addresses = Addresses(send_to=arn, queues=found.urls, dead_letter_queues=found.dead_letter_urls, attached=True)
        return Found(addresses=addresses, standing=standing, differs=differs)

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        if topology.attached is not None:
            return (yield from self.look(topology)).addresses
        made = yield from create_queues(
            topology, ordered=self.ordered, run=run, tags=tags, sender=f"{SERVICE}.amazonaws.com"
        )
        topic: dict[str, Any] = {
            "Name": f"gameday-{run}",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        attributes: dict[str, str] = {}
        if self.ordered:
            topic["Name"] = f"gameday-{run}.fifo"
            attributes["FifoTopic"] = "true"
            if topology.dedup == "content":
                attributes["ContentBasedDeduplication"] = "true"
        if topology.encryption is not None and topology.encryption.key is not None:
            attributes["KmsMasterKeyId"] = topology.encryption.key
        if topology.max_message_bytes is not None:
            attributes["MaximumMessageSize"] = str(topology.max_message_bytes)
        if attributes:
            topic["Attributes"] = attributes
        answer = yield Call(SERVICE, "CreateTopic", topic, undo=lambda made: _deleted(made["TopicArn"]))
        arn: str = answer["TopicArn"]
        for spec in topology.subscriptions:
            if spec.deployed is None or not spec.deployed.missing:
                params = {"TopicArn": arn, "Protocol": SQS, "Endpoint": made.arns[spec.name]}
                yield Call(SERVICE, "Subscribe", {**params, "Attributes": _subscription_attributes(spec)})
        return Addresses(send_to=arn, queues=made.urls, dead_letter_queues=made.dead_letter_urls)

    def needs(self, topology: Topology) -> Collection[Capability]:
        carried_out = [_carried_out(spec) for spec in topology.subscriptions if spec.filter_on == "body"]
        return set().union(*(asks(policy, SNS) for policy in carried_out if policy))

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        """The topic takes its subscriptions with it."""
        if addresses.attached:
            return
        yield _deleted(addresses.send_to)
        yield from delete_queues(addresses)

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        entries = []
        for n, message in enumerate(messages):
            attributes = {
                name: {"DataType": attribute.data_type, "StringValue": attribute.value}
                for name, attribute in attributes_beside(message).items()
            }
            entry = {"Id": str(n), "Message": message.body, "MessageAttributes": attributes}
            if self.ordered:
                entry["MessageGroupId"] = message.group or message.id
                if message.dedup_id is not None:
                    entry["MessageDeduplicationId"] = message.dedup_id
            entries.append(entry)
        return Call(SERVICE, "PublishBatch", {"TopicArn": addresses.send_to, "PublishBatchRequestEntries": entries})

    def limits(self, topology: Topology) -> Limits:
        most = topology.max_message_bytes or BYTES_MAX
        raised_by = "topology.max_message, at most 1MiB" if most < MESSAGE_SIZE_MAX else ""
        return Limits(message=most, call=most, raised_by=raised_by, group=FIFO_NAME if self.ordered else None)

    def size(self, topology: Topology, message: Outgoing) -> Size:
        """Attributes count with their names and types, on the way in and, raw, in the queue."""
        attributes = attributes_beside(message)
        beside = bytes_of(attributes)
        length = len(message.body.encode())
        raw = all(spec.raw for spec in topology.subscriptions)
        values = orjson.dumps({name: each.value for name, each in attributes.items()})
        wrapped = len(orjson.dumps(message.body)) + len(values)
        return Size(
            sent=length + beside,
            arrives=length + beside if raw else wrapped + beside + _ADDED_BYTES,
            beside="its attributes",
        )

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        return batch_outcomes(answer, messages)

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        if all(spec.filter is None for spec in topology.subscriptions):
            return topology.names
        return [spec.name for spec in topology.subscriptions if _is_for(spec, message.body, attributes_beside(message))]


def attributes_beside(message: Outgoing) -> dict[str, Attribute]:
    """All attributes of a message, which a filter policy can ask for."""
    traced = {} if message.traceparent is None else {ATTRIBUTE: Attribute("String", message.traceparent)}
    own = attributes_of(message.body) if message.attributes is None else message.attributes
    return {**own, **traced}


def attributes_of(body: str) -> dict[str, Attribute]:
    """The message attributes of an order event, which a filter policy can ask for.

    They are fewer than ten, because SNS drops a message with more on its way to a queue by raw delivery
    (docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html).
    """
    event = orjson.loads(body)
    detail = event["detail"]
    return {
        "source": Attribute("String", event["source"]),
        "detail-type": Attribute("String", event["detail-type"]),
        "domain": Attribute("String", detail["metadata"]["domain"]),
        "currency": Attribute("String", detail["currency"]),
        "total": Attribute("Number", str(detail["total"])),
        "skus": Attribute("String.Array", orjson.dumps([item["sku"] for item in detail["items"]]).decode()),
    }


def _subscribed(topic: str) -> Plan[dict[str, str]]:
    """The ARNs of the topic's subscriptions, by the queue that each ends in."""
    found: dict[str, str] = {}
    page: str | None = None
    while True:
        params = {"TopicArn": topic, **({"NextToken": page} if page else {})}
        answer = yield Call(SERVICE, "ListSubscriptionsByTopic", params)
        for each in answer.get("Subscriptions") or ():
            # One that was never confirmed has no ARN, and gets nothing.
            if each["Protocol"] == SQS and str(each["SubscriptionArn"]).startswith("arn:"):
                found[each["Endpoint"]] = each["SubscriptionArn"]
        page = answer.get("NextToken")
        if not page:
            return found


def _subscription_differs(spec: SubscriptionSpec, told: Mapping[str, str]) -> list[str]:
    policy = orjson.loads(told["FilterPolicy"]) if told.get("FilterPolicy") else None
    differs = filter_differs(spec.name, spec.filter, policy or None, "filter policy")
    scope = told.get("FilterPolicyScope") or _SCOPES["attributes"]
    if policy and spec.filter and scope != _SCOPES[spec.filter_on]:
        differs.append(f"{spec.name}: its filter policy looks at {scope}, and not at {_SCOPES[spec.filter_on]}")
    if (told.get("RawMessageDelivery") == "true") != spec.raw:
        differs.append(f"{spec.name}: messages come to it {'wrapped by SNS' if spec.raw else 'raw'}")
    return differs


def _deleted(topic: str) -> Call:
    return Call(SERVICE, "DeleteTopic", {"TopicArn": topic})


def _is_for(spec: SubscriptionSpec, body: str, attributes: Mapping[str, Attribute]) -> bool:
    """Whether the subscription is meant to get a message with this body and these attributes."""
    if spec.filter is None:
        return True
    if spec.filter_on == "body":
        event = _object(body)
        return event is not None and matches_body(spec.filter, event)
    return matches_attributes(spec.filter, attributes)


def _object(body: str) -> Mapping[str, Any] | None:
    """What a policy on the body looks at; a body that is no JSON object satisfies none (page "message-filtering")."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _subscription_attributes(spec: SubscriptionSpec) -> dict[str, str]:
    attributes = {"RawMessageDelivery": "true" if spec.raw else "false"}
    # An empty policy lets everything through, as none does.
    if policy := _carried_out(spec):
        attributes["FilterPolicyScope"] = _SCOPES[spec.filter_on]
        attributes["FilterPolicy"] = orjson.dumps(policy).decode()
    return attributes


def _carried_out(spec: SubscriptionSpec) -> Document | None:
    """The policy that SNS is given; None where it is given no subscription."""
    if spec.deployed and spec.deployed.missing:
        return None
    deployed = _deployed_filter(spec)
    return spec.filter if deployed is None else deployed


def _deployed_filter(spec: SubscriptionSpec) -> Document | None:
    return spec.deployed.filter if spec.deployed else None


def _check(spec: SubscriptionSpec, policy: Document) -> None:
    try:
        check(policy, spec.filter_on)
    except ValueError as error:
        raise ValueError(f"the filter policy of {spec.name}: {error}") from error
