"""What SNS documents for topics that deliver to SQS queues; the same probes serve FIFO topics (`sns_fifo`).

Sources: the SNS developer guide and API reference (docs.aws.amazon.com/sns/latest). Standard topics may deliver twice
and in any order, and AWS may take 15 minutes to apply a filter policy (guide, "Message filtering").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gameday.conformance.base import Bench, NotImplementedHere, Probe, Undecided, claim, missing, mostly
from gameday.conformance.queues import ProbeQueue, dedup_id, numbered, texts
from gameday.transports.base import Answer, Call, CallFailed, Document

_LOOK_S = 2.0
_FILTER_APPLIES_S = 900.0
_BYTES_MAX = 262_144
_SCOPES = ("MessageAttributes", "MessageBody")


class TopicProbe(Protocol):
    """A probe of both kinds of topic."""

    def __call__(self, bench: Bench, *, fifo: bool = False) -> None: ...


class Topic:
    """A topic made for one probe, and the queues that it delivers to."""

    def __init__(self, bench: Bench, *, fifo: bool) -> None:
        self.bench = bench
        self.fifo = fifo
        name = bench.name("topic") + (".fifo" if fifo else "")
        kind = {"Attributes": {"FifoTopic": "true"}} if fifo else {}
        self.arn: str = bench.call("sns", "CreateTopic", Name=name, **kind)["TopicArn"]
        bench.afterwards("sns", "DeleteTopic", TopicArn=self.arn)

    def queue(self, *, raw: bool = True, fifo: bool | None = None, **attributes: str) -> ProbeQueue:
        """A subscribed queue, of the topic's kind unless `fifo` says; `attributes` are added to the subscription's."""
        queue = ProbeQueue(self.bench, fifo=self.fifo if fifo is None else fifo)
        answer = self.bench.call(
            "sns",
            "Subscribe",
            TopicArn=self.arn,
            Protocol="sqs",
            Endpoint=queue.open_to("sns.amazonaws.com"),
            Attributes={"RawMessageDelivery": str(raw).lower(), **attributes},
            ReturnSubscriptionArn=True,
        )
        self.bench.afterwards("sns", "Unsubscribe", SubscriptionArn=answer["SubscriptionArn"])
        return queue

    def draft(
        self, body: str, *, group: str = "a", dedup: str | None = None, attributes: Document | None = None
    ) -> dict[str, Any]:
        """What Publish and an entry of PublishBatch take; `dedup` stands in for the deduplication id of the body."""
        draft: dict[str, Any] = {"Message": body}
        if attributes:
            draft["MessageAttributes"] = {
                name: {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
                for name, value in attributes.items()
            }
        if self.fifo:
            draft |= {"MessageGroupId": group, "MessageDeduplicationId": dedup or dedup_id(body)}
        return draft

    def publish(self, body: str, **more: Any) -> Answer:
        return self.bench.call("sns", "Publish", TopicArn=self.arn, **self.draft(body, **more))


def fan_out_complete(bench: Bench, *, fifo: bool = False) -> None:
    """A published message reaches every subscription (SNS developer guide, "Fanout to Amazon SQS queues")."""
    topic = Topic(bench, fifo=fifo)
    queues = [topic.queue() for _ in range(3)]
    bodies = numbered("m", 5)
    for body in bodies:
        topic.publish(body)
    for queue in queues:
        queue.collect(bodies, delete=True)


def filter_attributes(bench: Bench, *, fifo: bool = False) -> None:
    """A filter policy lets through what its message attributes match, and nothing else (guide, "Message filtering")."""
    topic = Topic(bench, fifo=fifo)
    filtered = topic.queue(FilterPolicy=json.dumps({"kind": ["keep", {"prefix": "also-"}]}))
    everything = topic.queue()
    bench.let_apply(_FILTER_APPLIES_S)
    for body, kind in {"m1": "drop", "m2": "keep", "m3": "keeper", "m4": "also-this"}.items():
        topic.publish(body, attributes={"kind": kind})
    topic.publish("m5")
    _filtered(filtered, everything, wanted=["m2", "m4"], sent=numbered("m", 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """A policy of one operator, with messages that it matches and messages that it does not.

    A message stands for a body and for the attributes of the same names.
    """

    policy: Document
    matching: Sequence[Document]
    others: Sequence[Document]
    page: str


# The guide's pages on filter policies, and what they say alike of attributes and of the body.
OPERATORS: Mapping[str, Operator] = {
    "exact": Operator(
        policy={"x": ["red", "blue"]},
        matching=[{"x": "red"}, {"x": "blue"}],
        others=[{"x": "green"}, {"x": "Red"}, {"x": 5}, {"y": "red"}],
        page="String value matching",
    ),
    "prefix": Operator(
        policy={"x": [{"prefix": "re"}]},
        matching=[{"x": "red"}, {"x": "re"}],
        others=[{"x": "are"}, {"x": "Red"}],
        page="String value matching",
    ),
    "suffix": Operator(
        policy={"x": [{"suffix": ".png"}]},
        matching=[{"x": "a.png"}, {"x": ".png"}],
        others=[{"x": "a.png.txt"}, {"x": "a.PNG"}],
        page="String value matching",
    ),
    "anything-but": Operator(
        policy={"x": [{"anything-but": ["red", "blue"]}]},
        matching=[{"x": "green"}, {"x": "Red"}],
        others=[{"x": "red"}, {"x": "blue"}, {"y": "green"}],
        page="String value matching",
    ),
    "equals-ignore-case": Operator(
        policy={"x": [{"equals-ignore-case": "Red"}]},
        matching=[{"x": "red"}, {"x": "RED"}],
        others=[{"x": "reds"}, {"x": "blue"}],
        page="String value matching",
    ),
    "numeric": Operator(
        policy={"x": [{"numeric": [">", 0, "<=", 5]}]},
        matching=[{"x": 5}, {"x": 0.5}],
        others=[{"x": 0}, {"x": 5.1}, {"x": -1}, {"x": "red"}],
        page="Numeric value matching",
    ),
    "exists": Operator(
        policy={"x": [{"exists": True}], "y": [{"exists": False}]},
        matching=[{"x": "red"}, {"x": 1, "z": 1}],
        others=[{"z": "red"}, {"x": "red", "y": 1}],
        page="Key matching",
    ),
    "cidr": Operator(
        policy={"x": [{"cidr": "10.0.0.0/24"}]},
        matching=[{"x": "10.0.0.0"}, {"x": "10.0.0.255"}],
        others=[{"x": "10.0.1.0"}, {"x": "10.1.0.1"}, {"x": "host"}],
        page="String value matching",
    ),
    "or": Operator(
        policy={"$or": [{"x": [{"prefix": "re"}]}, {"y": [{"numeric": [">", 5]}]}]},
        matching=[{"x": "red"}, {"y": 6}, {"x": "blue", "y": 7}],
        others=[{"x": "blue", "y": 5}, {"z": 6}],
        page="AND/OR logic",
    ),
}


def _filter(name: str, operator: Operator) -> Probe:
    def probe(bench: Bench) -> None:
        topic = Topic(bench, fifo=False)
        policy = json.dumps(operator.policy)
        try:
            filtered = {scope: topic.queue(FilterPolicy=policy, FilterPolicyScope=scope) for scope in _SCOPES}
        except CallFailed as failed:
            if failed.code.startswith("InvalidParameter"):
                raise NotImplementedHere(f"{policy} is refused: {failed}") from failed
            raise
        everything = topic.queue()
        bench.let_apply(_FILTER_APPLIES_S)
        # Numbered, because two messages may say the same.
        sent = [json.dumps({"n": n, **one}) for n, one in enumerate([*operator.matching, *operator.others])]
        for body, one in zip(sent, [*operator.matching, *operator.others], strict=True):
            topic.publish(body, attributes=one)
        everything.collect(sent, delete=True)
        for scope, queue in filtered.items():
            _kept_out(queue, wanted=sent[: len(operator.matching)], what=f"the policy on {scope}")

    probe.__doc__ = f'A policy of `{name}` matches attributes and bodies as documented (guide, "{operator.page}").'
    return probe


def filter_body(bench: Bench, *, fifo: bool = False) -> None:
    """With FilterPolicyScope MessageBody the policy is matched with the body (guide, "Filter policy scope")."""
    _on_body(
        Topic(bench, fifo=fifo),
        policy={"kind": ["keep"], "size": [{"numeric": [">", 10]}]},
        matching=[{"kind": "keep", "size": 11}],
        others=[
            {"kind": "drop", "size": 20},
            {"kind": "keep ", "size": 12},
            {"kind": "keep", "size": 10},
            {"kind": "keep"},
        ],
    )


def filter_body_arrays(bench: Bench, *, fifo: bool = False) -> None:
    """A policy on the body looks into objects in arrays (blog "Introducing payload-based message filtering")."""
    _on_body(
        Topic(bench, fifo=fifo),
        policy={"Records": {"eventName": [{"prefix": "Obj"}]}},
        matching=[
            {"Records": [{"eventName": "ObjectCreated"}]},
            {"Records": [{"eventName": "Test"}, {"eventName": "ObjectRemoved"}]},
        ],
        others=[{"Records": [{"eventName": "Test"}]}, {"Records": []}, {"eventName": "ObjectCreated"}],
    )


def filter_body_dots(bench: Bench, *, fifo: bool = False) -> None:
    """A dot in a policy's key is a step into the body (github.com/aws/event-ruler, "keys with dots"; seen at AWS)."""
    _on_body(
        Topic(bench, fifo=fifo),
        policy={"a.b": ["x"]},
        matching=[{"a": {"b": "x"}}, {"a": {"b": "x", "c": 1}}, {"a.b": "x"}],
        others=[{"a": {"b": "y"}}, {"a": "x"}, {"b": "x"}],
    )


def _on_body(topic: Topic, *, policy: Document, matching: Sequence[Document], others: Sequence[Document]) -> None:
    """A filter on the body lets through what matches its policy, and nothing else."""
    filtered = topic.queue(FilterPolicy=json.dumps(policy), FilterPolicyScope="MessageBody")
    everything = topic.queue()
    topic.bench.let_apply(_FILTER_APPLIES_S)
    wanted = [json.dumps(body) for body in matching]
    sent = [*wanted, *(json.dumps(body) for body in others)]
    for body in sent:
        topic.publish(body)
    _filtered(filtered, everything, wanted=wanted, sent=sent)


def _filtered(filtered: ProbeQueue, everything: ProbeQueue, *, wanted: Sequence[str], sent: Sequence[str]) -> None:
    """The subscription without a filter shows that all were delivered: what is absent beside it was kept out."""
    everything.collect(sent, delete=True)
    _kept_out(filtered, wanted=wanted, what="the filter")


def _kept_out(filtered: ProbeQueue, *, wanted: Sequence[str], what: str) -> None:
    """Exactly what is wanted comes, of all that was delivered by now."""
    got = texts(filtered.gather(wanted, delete=True)) + texts(filtered.watch(_LOOK_S))
    wrong = sorted(set(got) - set(wanted))
    claim(not wrong, f"{what} let through {', '.join(wrong)}")
    lost = missing(wanted, got)
    if filtered.fifo:
        # With a filter a FIFO topic delivers at most once (guide, "Message delivery for FIFO topics").
        mostly(len(lost), len(wanted), "matching messages did not come", allowed="it is an at-most-once delivery")
    claim(not lost, f"{what} kept out {', '.join(lost)}")


def raw_delivery(bench: Bench, *, fifo: bool = False) -> None:
    """With raw delivery the body comes as it was published, else in SNS's envelope (guide, "Raw message delivery")."""
    topic = Topic(bench, fifo=fifo)
    raw, wrapped = topic.queue(raw=True), topic.queue(raw=False)
    published = topic.publish("m1")
    raw.collect(["m1"])
    bodies = bench.until(lambda: texts(wrapped.receive()) or None, "the subscription without raw delivery got nothing")
    envelope = json.loads(bodies[0])
    told = {name: envelope.get(name) for name in ("Type", "MessageId", "TopicArn", "Message")}
    meant = {"Type": "Notification", "MessageId": published["MessageId"], "TopicArn": topic.arn, "Message": "m1"}
    claim(told == meant, f"the envelope says {told} instead of {meant}")


def publish_batch_partial_failure(bench: Bench, *, fifo: bool = False) -> None:
    """PublishBatch succeeds or fails entry by entry, and the answer says which (API reference, PublishBatch)."""
    topic = Topic(bench, fifo=fifo)
    queue = topic.queue()
    reasons = []
    for number, (what, spoilt) in enumerate(_SPOILT.items(), start=1):
        good, bad = f"good{number}", f"bad{number}"
        entries = [
            {"Id": good, **topic.draft(good)},
            {"Id": bad, **topic.draft(bad), "MessageAttributes": {"x": spoilt}},
        ]
        call = Call("sns", "PublishBatch", {"TopicArn": topic.arn, "PublishBatchRequestEntries": entries})
        try:
            answer = bench.carry(call)
        except CallFailed as failed:
            # Refused as a whole, so nothing can be told of its parts.
            reasons.append(f"{what} fails the whole call with {failed.code}")
            continue
        told = {entry["Id"] for name in ("Successful", "Failed") for entry in answer.get(name) or ()}
        claim(told == {good, bad}, f"of the entries {good} and {bad} the answer mentions {sorted(told)}")
        accepted = [entry["Id"] for entry in answer.get("Successful") or ()]
        claim(good in accepted, "a good entry failed together with a bad one")
        queue.collect(accepted, delete=True)
        if bad not in accepted:
            came = texts(queue.watch(_LOOK_S))
            claim(not came, f"after an entry that was answered as failed, {', '.join(came)} came")
            return
        reasons.append(f"{what} is accepted")
    raise Undecided(f"no entry could be made to fail alone: {', '.join(reasons)}")


def message_size(bench: Bench, *, fifo: bool = False) -> None:
    """A message has at most 262,144 bytes, its attributes counted (API, Publish; guide, "Large message payloads")."""
    topic = Topic(bench, fifo=fifo)
    queue = topic.queue()
    largest = "x" * _BYTES_MAX
    topic.publish(largest)
    queue.collect([largest], delete=True)
    for what, draft in (
        ("a body of 262,145 bytes", topic.draft(largest + "x")),
        ("a body of 262,144 bytes with an attribute", topic.draft(largest, dedup="other", attributes={"x": "y"})),
    ):
        refused = bench.refusal(Call("sns", "Publish", {"TopicArn": topic.arn, **draft}))
        claim(refused is not None, f"{what} was accepted")


def batch_size(bench: Bench, *, fifo: bool = False) -> None:
    """The messages of a batch have at most 262,144 bytes together (API reference, PublishBatch)."""
    topic = Topic(bench, fifo=fifo)
    queue = topic.queue()
    bodies = ["x" * (_BYTES_MAX // 2), "y" * (_BYTES_MAX // 2)]

    def publishing(bodies: Sequence[str]) -> Call:
        entries = [{"Id": body[0], **topic.draft(body)} for body in bodies]
        return Call("sns", "PublishBatch", {"TopicArn": topic.arn, "PublishBatchRequestEntries": entries})

    claim(not bench.carry(publishing(bodies)).get("Failed"), "a batch of 262,144 bytes was refused in part")
    queue.collect(bodies, delete=True)
    refused = bench.refusal(publishing([f"{body}!" for body in bodies]))
    claim(refused is not None, "a batch of 262,146 bytes was accepted")


def raised_size(bench: Bench, *, fifo: bool = False) -> None:
    """A topic's MaximumMessageSize raises what it takes, up to 1,048,576 bytes (guide, "Large message payloads")."""
    topic = Topic(bench, fifo=fifo)
    queue = topic.queue()
    raised = {"TopicArn": topic.arn, "AttributeName": "MaximumMessageSize", "AttributeValue": "1048576"}
    if (unknown := bench.refusal(Call("sns", "SetTopicAttributes", raised))) is not None:
        raise NotImplementedHere(f"MaximumMessageSize is refused: {unknown}")
    large = "x" * (_BYTES_MAX + 1)
    refused = bench.refusal(Call("sns", "Publish", {"TopicArn": topic.arn, **topic.draft(large)}))
    claim(refused is None, f"with a MaximumMessageSize of 1,048,576 a body of 262,145 bytes is refused: {refused}")
    queue.collect([large], delete=True)


# Message attributes that SNS refuses, each alone (guide, "Message attributes": data types and validation).
_SPOILT: Mapping[str, Mapping[str, str]] = {
    "an empty attribute": {"DataType": "String", "StringValue": ""},
    "a number that is none": {"DataType": "Number", "StringValue": "none"},
    "an unknown data type": {"DataType": "Nonsense", "StringValue": "x"},
}

# Asked of Standard topics alone: a FIFO topic filters as they do, and with a filter it delivers at most once.
FILTERS: Mapping[str, Probe] = {f"filter-{name}": _filter(name, operator) for name, operator in OPERATORS.items()}

TOPICS: Mapping[str, TopicProbe] = {
    "fan-out-complete": fan_out_complete,
    "filter-attributes": filter_attributes,
    "filter-body": filter_body,
    "filter-body-arrays": filter_body_arrays,
    "filter-body-dots": filter_body_dots,
    "raw-delivery": raw_delivery,
    "publish-batch-partial-failure": publish_batch_partial_failure,
    "message-size": message_size,
    "batch-size": batch_size,
    "raised-size": raised_size,
}

PROBES: Mapping[str, Probe] = {**TOPICS, **FILTERS}
