"""SNS as data: what is deployed, what is meant, what is promised, and how a message looks on both ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from gameday.history import envelope
from gameday.history.identity import Identification
from gameday.transports.base import Addresses, Answer, Call, Deployed, Outgoing, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from gameday.transports.sns import attributes_of, unwrap
from tests.contract.aws_answers import answer, complaints

SNS, FIFO = TRANSPORTS["sns"], TRANSPORTS["sns-fifo"]
EURO = {"currency": ["EUR"]}
WIDE = {"currency": [{"anything-but": ["GBP"]}]}


def topology(*subscriptions: SubscriptionSpec) -> Topology:
    return Topology(subscriptions=subscriptions)


def event(id: str = "m", **detail: Any) -> str:
    """An event with some of its fields set."""
    event = orjson.loads(envelope.pack(id=id, run="r", group="a", timestamp_ns=1, payload_bytes=0))
    event["detail"] |= detail
    return orjson.dumps(event).decode()


def outgoing(body: str) -> Outgoing:
    return Outgoing(id="m", body=body, group="a", dedup_id="r-m")


def provisioned(*subscriptions: SubscriptionSpec, fifo: bool = False) -> tuple[list[Call], Addresses]:
    calls: list[Call] = []

    def carry(call: Call) -> Answer:
        assert complaints(call) == ""
        calls.append(call)
        return answer(call)

    transport = FIFO if fifo else SNS
    # What is refused when the scenario is read never comes to this.
    transport.promises(topology(*subscriptions))
    return calls, run_plan(transport.provision(topology(*subscriptions), run="r", tags={"gameday:run": "r"}), carry)


def attributes_by_queue(calls: Sequence[Call]) -> list[dict[str, str]]:
    return [dict(call.params["Attributes"]) for call in calls if call.operation == "Subscribe"]


class TestProvisioning:
    @pytest.mark.parametrize("fifo", [False, True])
    def test_a_topic_of_the_right_kind_with_its_tags(self, fifo: bool) -> None:
        calls, addresses = provisioned(SubscriptionSpec(name="a"), fifo=fifo)
        (topic,) = [call.params for call in calls if call.operation == "CreateTopic"]
        assert topic["Name"] == ("gameday-r.fifo" if fifo else "gameday-r")
        assert topic.get("Attributes") == ({"FifoTopic": "true"} if fifo else None)
        assert topic["Tags"] == [{"Key": "gameday:run", "Value": "r"}]
        assert ":TopicArn" in addresses.send_to

    def test_a_fifo_topic_may_end_in_queues_of_both_kinds(self) -> None:
        calls, _ = provisioned(SubscriptionSpec(name="a"), SubscriptionSpec(name="b", queue="standard"), fifo=True)
        names = [call.params["QueueName"] for call in calls if call.operation == "CreateQueue"]
        assert names == ["gameday-r-a-dlq.fifo", "gameday-r-a.fifo", "gameday-r-b-dlq", "gameday-r-b"]

    def test_sns_may_send_to_every_queue_before_it_is_subscribed(self) -> None:
        calls, _ = provisioned(SubscriptionSpec(name="a"), SubscriptionSpec(name="b"))
        policies = [call.params["Attributes"]["Policy"] for call in calls if call.operation == "SetQueueAttributes"]
        assert len(policies) == 2
        assert all("sns.amazonaws.com" in policy for policy in policies)
        operations = [call.operation for call in calls]
        assert operations.index("Subscribe") > max(n for n, o in enumerate(operations) if o == "SetQueueAttributes")

    def test_what_each_subscription_asks_for(self) -> None:
        calls, _ = provisioned(
            SubscriptionSpec(name="plain"),
            SubscriptionSpec(name="raw", raw=True),
            SubscriptionSpec(name="attributes", filter=EURO),
            SubscriptionSpec(name="body", filter={"detail": EURO}, filter_on="body"),
        )
        policy = orjson.dumps(EURO).decode()
        assert attributes_by_queue(calls) == [
            {"RawMessageDelivery": "false"},
            {"RawMessageDelivery": "true"},
            {"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes", "FilterPolicy": policy},
            {
                "RawMessageDelivery": "false",
                "FilterPolicyScope": "MessageBody",
                "FilterPolicy": orjson.dumps({"detail": EURO}).decode(),
            },
        ]

    def test_what_is_deployed_is_deployed_whatever_is_meant(self) -> None:
        calls, addresses = provisioned(
            SubscriptionSpec(name="forgotten", deployed=Deployed(missing=True)),
            SubscriptionSpec(name="wide", filter=EURO, deployed=Deployed(filter=WIDE)),
            SubscriptionSpec(name="open", filter=EURO, deployed=Deployed(filter={})),
            SubscriptionSpec(name="as-meant", filter=EURO, deployed=Deployed()),
        )
        # Its queue is there all the same: nobody notices that nothing comes.
        assert set(addresses.queues) == {"forgotten", "wide", "open", "as-meant"}
        policies = [attributes.get("FilterPolicy") for attributes in attributes_by_queue(calls)]
        assert policies == [orjson.dumps(WIDE).decode(), None, orjson.dumps(EURO).decode()]

    def test_tear_down_removes_the_topic_before_its_queues(self) -> None:
        _, addresses = provisioned(SubscriptionSpec(name="a"))
        calls: list[Call] = []
        run_plan(SNS.tear_down(addresses), lambda call: calls.append(call) or answer(call))
        assert [call.operation for call in calls] == ["DeleteTopic", "DeleteQueue", "DeleteQueue"]


class TestPromises:
    def test_each_subscription_has_its_own(self) -> None:
        promised = FIFO.promises(
            topology(
                SubscriptionSpec(name="fifo"),
                SubscriptionSpec(name="standard", queue="standard"),
                SubscriptionSpec(name="filtered", filter=EURO),
            )
        )
        told = {name: (p.ordered_by, p.dedup_window_s, p.filtered, p.promises) for name, p in sorted(promised.items())}
        assert told == {
            "fifo": ("group", 300.0, False, "at-least-once"),
            "filtered": ("group", 300.0, True, "at-most-once"),
            "standard": (None, None, False, "at-least-once"),
        }

    def test_a_standard_topic_promises_at_least_once_with_a_filter_too(self) -> None:
        (promised,) = SNS.promises(topology(SubscriptionSpec(name="a", filter=EURO))).values()
        assert (promised.ordered_by, promised.filtered, promised.promises) == (None, True, "at-least-once")

    def test_a_filter_is_promised_as_it_is_meant(self) -> None:
        deployed = Deployed(filter=WIDE)
        promised = SNS.promises(
            topology(SubscriptionSpec(name="meant", filter=EURO, deployed=deployed), SubscriptionSpec(name="all"))
        )
        assert {name: p.filtered for name, p in promised.items()} == {"meant": True, "all": False}

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            (SubscriptionSpec(name="a", queue="fifo"), "a: a Standard topic delivers to no FIFO queue"),
            (SubscriptionSpec(name="a", filter={"currency": "EUR"}), "the filter policy of a: currency"),
            (SubscriptionSpec(name="a", filter={"detail": EURO}), "the filter policy of a: detail"),
            (
                SubscriptionSpec(name="a", filter=EURO, deployed=Deployed(filter={"total": [{"nummeric": []}]})),
                "the filter policy of a: total",
            ),
            (SubscriptionSpec(name="a", pattern={"source": ["x"]}), "sns makes nothing of `pattern`"),
            (
                SubscriptionSpec(name="a", deployed=Deployed(pattern={"source": ["x"]})),
                r"sns makes nothing of `deployed\.pattern`",
            ),
        ],
    )
    def test_what_sns_would_refuse_is_refused(self, spec: SubscriptionSpec, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            SNS.promises(topology(spec))


class TestWhoIsMeant:
    def test_attributes_come_from_the_order(self) -> None:
        items = [{"sku": "SKU-001", "quantity": 1}, {"sku": "SKU-002", "quantity": 2}]
        attributes = attributes_of(event(currency="EUR", total=12.5, items=items))
        assert attributes == {
            "source": ("String", "gameday.orders"),
            "detail-type": ("String", "OrderPlaced"),
            "domain": ("String", "orders"),
            "currency": ("String", "EUR"),
            "total": ("Number", "12.5"),
            "skus": ("String.Array", '["SKU-001","SKU-002"]'),
        }

    @pytest.mark.parametrize(
        ("filter", "on", "meant"),
        [
            (EURO, "attributes", ["m1", "m3"]),
            ({"total": [{"numeric": [">=", 100]}]}, "attributes", ["m2", "m3"]),
            ({"skus": ["SKU-002"]}, "attributes", ["m2"]),
            ({"detail": {"currency": ["USD"]}}, "body", ["m2"]),
            ({"source": [{"prefix": "gameday."}]}, "body", ["m1", "m2", "m3"]),
            ({"nothing": [{"exists": True}]}, "attributes", []),
        ],
    )
    def test_a_filter_says_who_is_meant_and_what_is_deployed_does_not(
        self, filter: dict[str, Any], on: Any, meant: list[str]
    ) -> None:
        orders = {
            "m1": event(currency="EUR", total=10.0, items=[{"sku": "SKU-001", "quantity": 1}]),
            "m2": event(currency="USD", total=100.0, items=[{"sku": "SKU-002", "quantity": 1}]),
            "m3": event(currency="EUR", total=1e5, items=[{"sku": "SKU-003", "quantity": 1}]),
        }
        subscriptions = topology(
            SubscriptionSpec(name="some", filter=filter, filter_on=on, deployed=Deployed(missing=True)),
            SubscriptionSpec(name="all", deployed=Deployed(filter=EURO)),
        )
        expected = {id: SNS.expect(subscriptions, outgoing(body)) for id, body in orders.items()}
        assert [id for id, names in expected.items() if "some" in names] == meant
        assert all("all" in names for names in expected.values())


class TestSending:
    def messages(self) -> list[Outgoing]:
        return [
            Outgoing(id="m1", body=event("m1"), group="a", dedup_id="r-m1"),
            Outgoing(id="m2", body=event("m2"), group=None, dedup_id="r-m2"),
        ]

    def test_fifo_has_groups_and_deduplication_ids(self) -> None:
        entries = FIFO.send(Addresses(send_to="arn"), self.messages()).params["PublishBatchRequestEntries"]
        told = [(e["Id"], e["MessageGroupId"], e["MessageDeduplicationId"]) for e in entries]
        assert told == [("0", "a", "r-m1"), ("1", "m2", "r-m2")]

    def test_standard_has_none(self) -> None:
        call = SNS.send(Addresses(send_to="arn"), self.messages())
        assert call.params["TopicArn"] == "arn"
        for entry in call.params["PublishBatchRequestEntries"]:
            assert set(entry) == {"Id", "Message", "MessageAttributes"}
            assert entry["MessageAttributes"]["total"]["DataType"] == "Number"
            assert len(entry["MessageAttributes"]) <= 10

    def test_the_topics_numbers_are_those_of_the_send(self) -> None:
        entry = {"Id": "0", "MessageId": "topic-id", "SequenceNumber": "10000000000000003000"}
        (outcome,) = FIFO.sent({"Successful": [entry]}, self.messages()[:1])
        assert (outcome.broker_id, outcome.broker_seq) == ("topic-id", "10000000000000003000")


class TestReceiving:
    ENVELOPE = orjson.dumps(
        {"Type": "Notification", "MessageId": "topic-id", "TopicArn": "arn", "Message": event("m1")}
    ).decode()

    def received(self, body: str) -> Any:
        source = SNS.subscription(Addresses(send_to="arn", queues={"a": "url"}), "a")
        (delivery,) = source.received({"Messages": [{"MessageId": "queue-id", "ReceiptHandle": "r", "Body": body}]})
        return delivery

    def test_an_envelope_is_taken_off_and_tells_the_topics_id(self) -> None:
        delivery = self.received(self.ENVELOPE)
        assert (delivery.id, delivery.intact, delivery.body) == ("m1", True, event("m1"))
        assert (delivery.broker_id, delivery.upstream_id) == ("queue-id", "topic-id")

    def test_an_attribute_tells_the_message_within_the_envelope_and_beside_a_raw_body(self) -> None:
        attributes = {"gameday-id": {"Type": "String", "Value": "m1"}}
        wrapped = {**orjson.loads(self.ENVELOPE), "Message": "hello", "MessageAttributes": attributes}
        beside = {"gameday-id": {"DataType": "String", "StringValue": "m2"}}
        source = SNS.subscription(Addresses(send_to="arn", queues={"a": "url"}), "a", Identification(by="attribute"))
        messages = [
            {"MessageId": "q1", "ReceiptHandle": "r", "Body": orjson.dumps(wrapped).decode()},
            {"MessageId": "q2", "ReceiptHandle": "r", "Body": "hello", "MessageAttributes": beside},
        ]
        got = source.received({"Messages": messages})
        assert [(d.id, d.body, d.intact) for d in got] == [("m1", "hello", None), ("m2", "hello", None)]

    def test_a_raw_delivery_has_none(self) -> None:
        delivery = self.received(event("m1"))
        assert (delivery.id, delivery.intact, delivery.upstream_id) == ("m1", True, None)

    def test_dead_letters_are_in_the_same_envelope(self) -> None:
        source = SNS.subscription(
            Addresses(send_to="arn", queues={"a": "q"}, dead_letter_queues={"a": "url"}), "a"
        ).dead_letters
        assert source is not None
        message = {"MessageId": "queue-id", "ReceiptHandle": "r", "Body": self.ENVELOPE}
        assert [d.id for d in source.received({"Messages": [message]})] == ["m1"]

    @pytest.mark.parametrize(
        "body",
        ["", "no json", "[]", "7", "null", '{"Type": "Notification"}', '{"Type": "UnsubscribeConfirmation"}'],
    )
    def test_what_is_no_notification_stays_as_it_is(self, body: str) -> None:
        assert unwrap(body).body == body
        assert self.received(body).id is None
