"""What is there already, as data: it is read and not changed, and refused where a run could not use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest

from gameday.transports.attached import is_fifo_queue, name_of
from gameday.transports.base import (
    Addresses,
    Answer,
    Attached,
    AttachedQueue,
    Call,
    CallFailed,
    Deployed,
    Encryption,
    Found,
    SubscriptionSpec,
    Topology,
)
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from tests.contract.aws_answers import complaints

SQS = "arn:aws:sqs:eu-west-1:123456789012:"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
EMPTY = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
QUEUE = {
    **EMPTY,
    "VisibilityTimeout": "45",
    "DelaySeconds": "3",
    "ReceiveMessageWaitTimeSeconds": "20",
    "MessageRetentionPeriod": "3600",
    "MaximumMessageSize": "262144",
    "KmsMasterKeyId": "alias/orders",
    "RedrivePolicy": orjson.dumps({"deadLetterTargetArn": f"{SQS}orders-dead", "maxReceiveCount": 4}).decode(),
}
EURO = {"currency": ["EUR"]}


class Account:
    """Answers what is looked at; whatever would change something is an error."""

    def __init__(self, queues: Mapping[str, Mapping[str, str]], answers: Mapping[str, Answer] | None = None) -> None:
        self.queues = queues
        self.answers = answers or {}
        self.asked: list[str] = []
        self.params: dict[str, Mapping[str, Any]] = {}

    def __call__(self, call: Call) -> Answer:
        assert complaints(call) == ""
        self.asked.append(call.operation)
        self.params[call.operation] = call.params
        if call.operation in self.answers:
            return self.answers[call.operation]
        if call.operation == "GetQueueUrl":
            return {"QueueUrl": URL + call.params["QueueName"]}
        assert call.operation == "GetQueueAttributes", call
        name = name_of(call.params["QueueUrl"])
        return {"Attributes": {"QueueArn": SQS + name, **self.queues[name]}}


def topology(attached: Attached, *subscriptions: SubscriptionSpec, **more: Any) -> Topology:
    return Topology(subscriptions=subscriptions or (SubscriptionSpec(name="orders"),), attached=attached, **more)


def queue(place: str = f"{URL}orders", *, shared: bool = False, dead: str | None = None) -> Attached:
    queues = {"orders": AttachedQueue(queue=place, dead_letter_queue=dead)}
    return Attached(at=place, queues=queues, shared=shared)


def look(transport: str, asked: Topology, account: Account) -> Found:
    return run_plan(TRANSPORTS[transport].look(asked), account)


def test_places_are_named_by_their_last_part() -> None:
    assert name_of(f"{URL}orders.fifo") == name_of(f"{SQS}orders.fifo") == "orders.fifo"
    assert name_of("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks") == name_of("clicks") == "clicks"
    assert name_of("arn:aws:events:eu-west-1:123456789012:event-bus/staging") == "staging"
    assert (is_fifo_queue(f"{SQS}orders.fifo"), is_fifo_queue(f"{URL}orders")) == (True, False)


@pytest.mark.parametrize("place", [f"{URL}orders", f"{SQS}orders"])
def test_a_queue_promises_what_stands_there(place: str) -> None:
    account = Account({"orders": QUEUE, "orders-dead": EMPTY})
    asked = topology(queue(place), visibility_timeout_s=5, max_receives=None)
    found = look("sqs", asked, account)
    assert found.addresses == Addresses(
        send_to=f"{URL}orders",
        queues={"orders": f"{URL}orders"},
        dead_letter_queues={"orders": f"{URL}orders-dead"},
        attached=True,
    )
    known = Topology.from_json({**asdict_of(asked), "standing": {"orders": asdict_of(found.standing["orders"])}})
    (promised,) = TRANSPORTS["sqs"].promises(known).values()
    assert (promised.visibility_timeout_s, promised.max_receives, promised.dead_letter) == (45, 4, True)
    holds = found.standing["orders"]
    assert (holds.delay_s, holds.wait_s, holds.retention_s, holds.max_message_bytes) == (3, 20, 3600, 262144)
    assert list(holds.keys) == ["alias/orders"]
    assert set(account.asked) <= {"GetQueueUrl", "GetQueueAttributes"}
    assert list(TRANSPORTS["sqs"].tear_down(found.addresses)) == [], "nothing of it is removed"
    assert run_plan(TRANSPORTS["sqs"].provision(asked, run="r", tags={}), account) == found.addresses


def asdict_of(thing: Any) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(orjson.dumps(asdict(thing)))
    return document


@pytest.mark.parametrize("full", ["orders", "orders-dead"])
@pytest.mark.parametrize("depth", ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"])
def test_a_queue_that_is_not_empty_has_to_be_said_to_be_shared(full: str, depth: str) -> None:
    queues = {"orders": dict(QUEUE), "orders-dead": dict(EMPTY)}
    queues[full][depth] = "2"
    with pytest.raises(CallFailed, match=f"{full}.* holds 2 messages.*shared: true"):
        look("sqs", topology(queue()), Account(queues))
    assert look("sqs", topology(queue(shared=True)), Account(queues)).addresses.attached


def test_where_dead_letters_go_is_one_place() -> None:
    account = Account({"orders": QUEUE, "orders-dead": EMPTY, "other": EMPTY})
    assert look("sqs", topology(queue(dead=f"{URL}orders-dead")), account).addresses.dead_letter_queues
    with pytest.raises(CallFailed, match="go to orders-dead by its redrive policy, not to other"):
        look("sqs", topology(queue(dead=f"{SQS}other")), account)
    # Programs may put messages aside by themselves.
    alone = Account({"orders": {**QUEUE, "RedrivePolicy": ""}, "other": EMPTY})
    holds = look("sqs", topology(queue(dead=f"{SQS}other")), alone).standing["orders"]
    assert (holds.max_receives, holds.dead_letter) == (None, True)


def test_a_queue_of_the_other_kind_is_the_other_transports() -> None:
    with pytest.raises(ValueError, match="is a FIFO queue by its name; use the transport sqs-fifo"):
        TRANSPORTS["sqs"].promises(topology(queue(f"{SQS}orders.fifo")))
    with pytest.raises(ValueError, match="is no FIFO queue by its name; use the transport sqs"):
        TRANSPORTS["sqs-fifo"].promises(topology(queue()))


@pytest.mark.parametrize("by_content", ["true", "false"])
def test_what_deduplicates_by_content_has_to_do_so(by_content: str) -> None:
    account = Account({"orders.fifo": {**QUEUE, "ContentBasedDeduplication": by_content}, "orders-dead": EMPTY})
    asked = topology(queue(f"{URL}orders.fifo"), dedup="content")
    if by_content == "true":
        assert look("sqs-fifo", asked, account)
    else:
        with pytest.raises(CallFailed, match="does not deduplicate by content"):
            look("sqs-fifo", asked, account)


def topic(policy: Mapping[str, Any] | None = EURO, *, raw: bool = False, of: str = "orders") -> Account:
    attributes = {"RawMessageDelivery": str(raw).lower()}
    if policy is not None:
        attributes["FilterPolicy"] = orjson.dumps(policy).decode()
    subscribed = {"Protocol": "sqs", "Endpoint": SQS + of, "SubscriptionArn": f"{TOPIC}:1", "Owner": "o"}
    waiting = {**subscribed, "Endpoint": f"{SQS}orders", "SubscriptionArn": "PendingConfirmation"}
    return Account(
        {"orders": QUEUE, "orders-dead": EMPTY},
        {
            "GetTopicAttributes": {"Attributes": {"KmsMasterKeyId": "alias/topic"}},
            "ListSubscriptionsByTopic": {"Subscriptions": [waiting, subscribed]},
            "GetSubscriptionAttributes": {"Attributes": attributes},
        },
    )


TO_TOPIC = Attached(at=TOPIC, queues={"orders": AttachedQueue(queue=f"{SQS}orders")})
MEANT = SubscriptionSpec(name="orders", filter=EURO)


@pytest.mark.parametrize(
    ("account", "said", "deployed"),
    [
        (topic(), None, None),
        (topic({"currency": ["USD"]}), 'the filter policy that stands there is {"currency":["USD"]}', {"filter": True}),
        (topic(None), "the filter policy that stands there is none at all", {"filter": True}),
        (topic(raw=True), "messages come to it raw", None),
        (topic(of="another"), "its queue is not subscribed to the topic", {"missing": True}),
    ],
    ids=["as meant", "another filter", "no filter", "raw", "not subscribed"],
)
def test_what_a_topic_does_otherwise_is_told_and_counts(
    account: Account, said: str | None, deployed: Mapping[str, bool] | None
) -> None:
    found = look("sns", topology(TO_TOPIC, MEANT), account)
    assert [said in text for text in found.differs] == ([] if said is None else [True])
    holds = found.standing["orders"]
    told = holds.deployed
    assert (told is None) == (deployed is None)
    if told is not None and deployed is not None:
        assert (told.missing, told.filter is not None) == (deployed.get("missing", False), "filter" in deployed)
    assert list(holds.keys) == ["alias/topic", "alias/orders"]
    assert found.addresses.send_to == TOPIC and found.addresses.attached


def test_a_topic_of_the_other_kind_is_the_other_transports() -> None:
    with pytest.raises(CallFailed, match="is of the other kind; use the transport sns"):
        look("sns-fifo", topology(TO_TOPIC, MEANT), topic())


def bus(rule: Mapping[str, Any], target: Mapping[str, Any], *, of: str = "orders") -> Account:
    return Account(
        {"orders": QUEUE, "orders-dead": EMPTY},
        {
            "DescribeEventBus": {"Name": "staging", "Arn": "arn:aws:events:eu-west-1:123456789012:event-bus/staging"},
            "DescribeRule": {"State": "ENABLED", "EventPattern": '{"source": ["shop"]}', **rule},
            "ListTargetsByRule": {"Targets": [{"Id": "1", "Arn": SQS + of, **target}]},
        },
    )


TO_BUS = Attached(at="staging", queues={"orders": AttachedQueue(queue=f"{URL}orders", rule="to-orders")})


@pytest.mark.parametrize(
    ("account", "pattern", "said", "deployed"),
    [
        (bus({}, {}), {"source": ["shop"]}, None, None),
        # Whatever its rule lets through is what it is meant to get, where the scenario says nothing.
        (bus({}, {}), None, None, None),
        (bus({}, {}), {"source": ["other"]}, "the pattern that stands there", Deployed(pattern={"source": ["shop"]})),
        (bus({"State": "DISABLED"}, {}), None, "the rule to-orders is disabled", Deployed(missing=True)),
        (bus({}, {}, of="another"), None, "is no target of the rule", Deployed(missing=True)),
    ],
    ids=["as meant", "nothing said", "another pattern", "disabled", "no target"],
)
def test_what_a_bus_does_otherwise_is_told_and_counts(
    account: Account, pattern: Mapping[str, Any] | None, said: str | None, deployed: Deployed | None
) -> None:
    found = look("eventbridge", topology(TO_BUS, SubscriptionSpec(name="orders", pattern=pattern)), account)
    assert [said in text for text in found.differs] == ([] if said is None else [True])
    assert found.standing["orders"].deployed == deployed
    assert found.addresses.send_to == "staging"


def test_a_bus_that_is_named_by_its_arn_is_asked_for_by_its_name() -> None:
    """Its rules are, too; and emulators know no bus by its ARN."""
    account = bus({}, {})
    arn = "arn:aws:events:eu-west-1:123456789012:event-bus/staging"
    found = look("eventbridge", topology(replace(TO_BUS, at=arn)), account)
    assert account.params["DescribeEventBus"] == {"Name": "staging"}
    assert (found.addresses.send_to, found.addresses.extra["bus"]) == ("staging", arn)


@pytest.mark.parametrize("key", ["Input", "InputPath", "InputTransformer"])
def test_a_rule_that_hands_on_something_else_is_refused(key: str) -> None:
    changed = {key: {"InputTemplate": "x"} if key == "InputTransformer" else "$.detail"}
    with pytest.raises(CallFailed, match=f"sends something else than the event \\({key}\\)"):
        look("eventbridge", topology(TO_BUS), bus({}, changed))


def stream(**told: Any) -> Account:
    summary = {"StreamStatus": "ACTIVE", "RetentionPeriodHours": 48, "OpenShardCount": 5, "KeyId": "alias/s", **told}
    return Account({}, {"DescribeStreamSummary": {"StreamDescriptionSummary": summary}})


def test_a_stream_is_read_from_when_the_run_begins() -> None:
    asked = topology(Attached(at="arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"))
    found = look("kinesis", asked, stream())
    holds = found.standing["orders"]
    assert (holds.retention_s, holds.shards, list(holds.keys)) == (48 * 3600, 5, ["alias/s"])
    since = Addresses(send_to=found.addresses.send_to, attached=True, extra={"since_s": "1700000000.5"})
    source = TRANSPORTS["kinesis"].subscription(since, "orders")
    assert source.kind == "stream"
    assert source.iterator("s-0", after=None).params == {
        "StreamName": "clicks",
        "ShardId": "s-0",
        "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": 1700000000.5,
    }
    assert list(TRANSPORTS["kinesis"].tear_down(found.addresses)) == []


def test_a_stream_that_is_not_ready_is_refused() -> None:
    with pytest.raises(CallFailed, match="clicks is UPDATING; wait for it"):
        look("kinesis", topology(Attached(at="clicks")), stream(StreamStatus="UPDATING"))


# Encryption of what is made.


def made(transport: str, encryption: Encryption) -> dict[str, list[Mapping[str, Any]]]:
    asked = Topology(
        subscriptions=[SubscriptionSpec(name="orders")], encryption=encryption, archive=transport == "eventbridge"
    )
    calls: dict[str, list[Mapping[str, Any]]] = {}

    def carry(call: Call) -> Answer:
        assert complaints(call) == ""
        calls.setdefault(call.operation, []).append(call.params)
        return {
            "QueueUrl": URL + "q",
            "Attributes": {"QueueArn": SQS + "q"},
            "TopicArn": TOPIC,
            "SubscriptionArn": f"{TOPIC}:1",
            "EventBusArn": "arn:bus",
            "ArchiveArn": "arn:archive",
            "StreamDescriptionSummary": {"StreamStatus": "ACTIVE"},
        }

    run_plan(TRANSPORTS[transport].provision(asked, run="r", tags={"gameday:run": "r"}), carry)
    return calls


def test_queues_are_encrypted_as_the_scenario_says() -> None:
    for params in made("sqs", Encryption())["CreateQueue"]:
        assert params["Attributes"]["SqsManagedSseEnabled"] == "true"
    for params in made("sqs", Encryption(key="alias/own", reuse_s=600))["CreateQueue"]:
        assert params["Attributes"]["KmsMasterKeyId"] == "alias/own"
        assert params["Attributes"]["KmsDataKeyReusePeriodSeconds"] == "600"
        assert "SqsManagedSseEnabled" not in params["Attributes"]


def test_what_stands_before_the_queues_is_encrypted_with_the_same_key() -> None:
    key = Encryption(key="alias/own")
    (created,) = made("sns", key)["CreateTopic"]
    assert created["Attributes"] == {"KmsMasterKeyId": "alias/own"}
    assert "Attributes" not in made("sns", Encryption())["CreateTopic"][0]
    calls = made("eventbridge", key)
    assert [calls[name][0]["KmsKeyIdentifier"] for name in ("CreateEventBus", "CreateArchive")] == ["alias/own"] * 2
    calls = made("kinesis", key)
    assert calls["StartStreamEncryption"] == [
        {"StreamName": "gameday-r", "EncryptionType": "KMS", "KeyId": "alias/own"}
    ]
    assert len(calls["DescribeStreamSummary"]) == 2, "it is waited for again: it is being changed"
