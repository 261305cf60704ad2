"""EventBridge as data: what is deployed, what is meant, what is promised, and how an event looks on both ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gameday.history import envelope
from gameday.transports.base import (
    Addresses,
    Answer,
    Call,
    CallFailed,
    Deployed,
    Outgoing,
    ReplayState,
    SubscriptionSpec,
)
from gameday.transports.base import Topology as Built
from gameday.transports.carriers.boto import run_plan
from gameday.transports.eventbridge import Eventbridge, unwrap
from tests.contract.aws_answers import answer, complaints

BUS = Eventbridge()
EURO = {"detail": {"currency": ["EUR"]}}
BIG = {"detail": {"total": [{"numeric": [">=", 500]}]}}
NS = 10**9


def topology(*subscriptions: SubscriptionSpec, archive: bool = False) -> Built:
    return Built(subscriptions=subscriptions, archive=archive)


def event(id: str = "m", **detail: Any) -> str:
    """An event with some of its fields set."""
    event = orjson.loads(envelope.pack(id=id, run="r", group="a", timestamp_ns=5 * NS + 7, payload_bytes=0))
    event["detail"] |= detail
    return orjson.dumps(event).decode()


def outgoing(body: str) -> Outgoing:
    return Outgoing(id="m", body=body, group="a", dedup_id="r-m", due=5 * NS + 7)


def provisioned(*subscriptions: SubscriptionSpec, archive: bool = False) -> tuple[list[Call], Addresses]:
    calls: list[Call] = []

    def carry(call: Call) -> Answer:
        assert complaints(call) == ""
        calls.append(call)
        return answer(call)

    plan = BUS.provision(topology(*subscriptions, archive=archive), run="r", tags={"gameday:run": "r"})
    return calls, run_plan(plan, carry)


def params(calls: list[Call], operation: str) -> list[Mapping[str, Any]]:
    return [call.params for call in calls if call.operation == operation]


class TestProvisioning:
    def test_a_bus_and_a_rule_with_its_pattern_for_each_subscription(self) -> None:
        calls, addresses = provisioned(SubscriptionSpec(name="all"), SubscriptionSpec(name="euro", pattern=EURO))
        tags = [{"Key": "gameday:run", "Value": "r"}]
        assert params(calls, "CreateEventBus") == [{"Name": "gameday-r", "Tags": tags}]
        rules = params(calls, "PutRule")
        assert [(rule["Name"], rule["EventBusName"], rule["Tags"]) for rule in rules] == [
            ("all", "gameday-r", tags),
            ("euro", "gameday-r", tags),
        ]
        assert [json.loads(rule["EventPattern"]) for rule in rules] == [{"source": ["gameday.orders"]}, EURO]
        assert addresses.send_to == "gameday-r"
        assert params(calls, "CreateArchive") == []

    def test_eventbridge_may_send_to_every_queue_before_a_rule_does(self) -> None:
        calls, _ = provisioned(SubscriptionSpec(name="a"), SubscriptionSpec(name="b"))
        policies = [call["Attributes"]["Policy"] for call in params(calls, "SetQueueAttributes")]
        assert len(policies) == 2
        assert all("events.amazonaws.com" in policy for policy in policies)
        operations = [call.operation for call in calls]
        assert operations.index("PutTargets") > max(n for n, o in enumerate(operations) if o == "SetQueueAttributes")

    def test_a_fifo_queue_takes_the_group_from_the_event_and_deduplicates_by_content(self) -> None:
        calls, _ = provisioned(SubscriptionSpec(name="f", queue="fifo"), SubscriptionSpec(name="s", queue="standard"))
        fifo, standard = [call["Targets"] for call in params(calls, "PutTargets")]
        assert [target.get("SqsParameters") for target in fifo] == [{"MessageGroupId": "$.detail.metadata.group"}]
        assert [target.get("SqsParameters") for target in standard] == [None]
        by_content = [a for a in params(calls, "SetQueueAttributes") if "ContentBasedDeduplication" in a["Attributes"]]
        assert len(by_content) == 1
        names = [call["QueueName"] for call in params(calls, "CreateQueue")]
        assert names == ["gameday-r-f-dlq.fifo", "gameday-r-f.fifo", "gameday-r-s-dlq", "gameday-r-s"]

    def test_what_is_deployed_may_be_another_rule_or_none(self) -> None:
        calls, addresses = provisioned(
            SubscriptionSpec(name="gone", deployed=Deployed(missing=True)),
            SubscriptionSpec(name="wide", pattern=EURO, deployed=Deployed(pattern=BIG)),
        )
        assert [(rule["Name"], json.loads(rule["EventPattern"])) for rule in params(calls, "PutRule")] == [
            ("wide", BIG)
        ]
        assert set(addresses.queues) == {"gone", "wide"}

    def test_a_target_that_could_not_be_put_is_not_swallowed(self) -> None:
        def carry(call: Call) -> Answer:
            if call.operation != "PutTargets":
                return answer(call)
            failed = {"TargetId": "queue", "ErrorCode": "ConcurrentModificationException", "ErrorMessage": "no"}
            return {"FailedEntryCount": 1, "FailedEntries": [failed]}

        plan = BUS.provision(topology(SubscriptionSpec(name="a")), run="r", tags={})
        with pytest.raises(CallFailed, match="ConcurrentModificationException"):
            run_plan(plan, carry)

    def test_an_archive_of_the_bus_before_anything_can_be_sent_to_it(self) -> None:
        calls, addresses = provisioned(SubscriptionSpec(name="a"), archive=True)
        assert params(calls, "CreateArchive") == [{"ArchiveName": "r", "EventSourceArn": addresses.extra["bus"]}]

    def test_everything_is_removed_the_rules_without_their_targets_and_the_bus_without_its_rules(self) -> None:
        _, addresses = provisioned(SubscriptionSpec(name="a"), SubscriptionSpec(name="b"), archive=True)
        calls: list[Call] = []

        def carry(call: Call) -> Answer:
            assert complaints(call) == ""
            calls.append(call)
            if call.operation == "ListRules":
                return {"Rules": [{"Name": "a"}, {"Name": "of-the-archive", "ManagedBy": "aws"}, {"Name": "b"}]}
            return answer(call)

        run_plan(BUS.tear_down(addresses), carry)
        assert [(call.operation, call.params.get("Rule", call.params.get("Name"))) for call in calls[:-4]] == [
            ("DeleteArchive", None),
            ("ListRules", None),
            ("RemoveTargets", "a"),
            ("DeleteRule", "a"),
            ("RemoveTargets", "b"),
            ("DeleteRule", "b"),
            ("DeleteEventBus", "gameday-r"),
        ]
        assert {call.operation for call in calls[-4:]} == {"DeleteQueue"}


class TestPromises:
    def test_at_least_once_in_no_order_even_in_a_fifo_queue(self) -> None:
        promised = BUS.promises(
            topology(SubscriptionSpec(name="all"), SubscriptionSpec(name="f", queue="fifo", pattern=EURO))
        )
        assert {(s.promises, s.ordered_by, s.dedup_window_s) for s in promised.values()} == {
            ("at-least-once", None, None)
        }
        assert {name: s.filtered for name, s in promised.items()} == {"all": False, "f": True}

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ({"pattern": {"detail": {"total": [{"numeric": [">", "x"]}]}}}, "pattern of s: "),
            ({"deployed": Deployed(pattern={"detail": "EUR"})}, "deployed.pattern of s: "),
            ({"pattern": {"account": ["1"]}}, "pattern of s: `account` is EventBridge's to fill in"),
            ({"pattern": {"$or": [EURO, {"replay-name": [{"exists": False}]}]}}, "pattern of s: `replay-name` is"),
            ({"filter": {"currency": ["EUR"]}}, "eventbridge makes nothing of `filter`"),
            ({"raw": True}, "eventbridge makes nothing of `raw`"),
            ({"deployed": Deployed(filter={"currency": ["EUR"]})}, "eventbridge makes nothing of `deployed.filter`"),
        ],
    )
    def test_what_it_cannot_make_or_nobody_could_judge_is_refused(self, spec: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError) as refused:
            BUS.promises(topology(SubscriptionSpec(name="s", **spec)))
        assert str(refused.value).startswith(said)

    def test_expected_is_what_is_meant_whatever_is_deployed(self) -> None:
        meant = topology(
            SubscriptionSpec(name="all", deployed=Deployed(missing=True)),
            SubscriptionSpec(name="euro", pattern=EURO, deployed=Deployed(pattern=BIG)),
            SubscriptionSpec(name="either", pattern={"$or": [EURO, BIG]}),
        )
        assert BUS.expect(meant, outgoing(event(currency="EUR", total=1.0))) == ["all", "euro", "either"]
        assert BUS.expect(meant, outgoing(event(currency="USD", total=500.0))) == ["all", "either"]
        assert BUS.expect(meant, outgoing(event(currency="USD", total=499.99))) == ["all"]


class TestSending:
    def test_a_message_is_an_event_with_its_time_in_seconds(self) -> None:
        body = event()
        (entry,) = BUS.send(Addresses(send_to="bus"), [outgoing(body)]).params["Entries"]
        sent = json.loads(body)
        assert json.loads(entry.pop("Detail")) == sent["detail"]
        assert entry == {
            "EventBusName": "bus", "Source": sent["source"], "DetailType": sent["detail-type"], "Time": 5
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [
            ("ThrottlingException", "failed"),
            ("MalformedDetail", "failed"),
            ("NotAuthorizedForSourceException", "failed"),
            ("InternalFailure", "unknown"),
            ("NobodyDocumentsThis", "unknown"),
        ],
    )
    def test_only_a_documented_refusal_proves_that_the_event_is_not_on_the_bus(self, code: str, outcome: str) -> None:
        entries = [{"EventId": "e0"}, {"ErrorCode": code, "ErrorMessage": "no"}, {"EventId": "e2"}]
        outcomes = BUS.sent({"FailedEntryCount": 1, "Entries": entries}, [outgoing(event())] * 3)
        assert [(o.entry, o.outcome, o.broker_id, o.error) for o in outcomes] == [
            (0, "ok", "e0", None),
            (1, outcome, None, f"{code}: no"),
            (2, "ok", "e2", None),
        ]


def wrapped(body: str, **fields: Any) -> str:
    """As EventBridge delivers it, the JSON written by somebody else."""
    around = {
        "version": "0", "id": "event-id", "account": "000000000000", "time": "1970-01-01T00:00:05Z",
        "region": "us-east-1", "resources": [],
    }  # fmt: skip
    return json.dumps({**around, **json.loads(body), **fields}, indent=2, sort_keys=True)


class TestReceiving:
    def received(self, body: str) -> Any:
        attributes = {"MessageGroupId": "$.detail.metadata.group", "ApproximateReceiveCount": "1"}
        source = BUS.subscription(Addresses(send_to="bus", queues={"s": "http://q"}), "s")
        (delivery,) = source.received(
            {"Messages": [{"MessageId": "x", "ReceiptHandle": "h", "Body": body, "Attributes": attributes}]}
        )
        return delivery

    def test_what_eventbridge_put_around_it_is_taken_off_and_the_order_is_intact(self) -> None:
        delivery = self.received(wrapped(event()))
        assert (delivery.id, delivery.intact, delivery.upstream_id, delivery.replay) == ("m", True, "event-id", None)
        assert json.loads(delivery.body) == json.loads(event())
        # The queue's group is the rule's; the producer's stands in the event.
        assert delivery.group == "a"

    def test_a_changed_order_is_not_intact(self) -> None:
        assert self.received(wrapped(event(total=1e9))).intact is False

    def test_a_replayed_one_tells_its_replay(self) -> None:
        assert self.received(wrapped(event(), **{"replay-name": "again"})).replay == "again"

    @pytest.mark.parametrize("body", ["", "[]", "not json", '{"detail": 1}', '"text"'])
    def test_a_body_that_is_no_event_is_nobodys(self, body: str) -> None:
        assert unwrap(body).body == body
        assert self.received(body).id is None


class TestReplay:
    def test_a_replay_is_of_the_archive_to_all_rules_of_the_bus(self) -> None:
        _, addresses = provisioned(SubscriptionSpec(name="a"), archive=True)
        call = BUS.start_replay(addresses, name="again", since_s=5, until_s=9)
        assert complaints(call) == ""
        assert call.params["EventSourceArn"] == addresses.extra["archive"]
        assert call.params["Destination"] == {"Arn": addresses.extra["bus"]}
        assert (call.params["EventStartTime"], call.params["EventEndTime"]) == (5, 9)
        assert complaints(BUS.describe_replay("again")) == ""

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [("STARTING", None), ("RUNNING", None), ("COMPLETED", "ok"), ("FAILED", "failed"), ("CANCELLED", "failed")],
    )
    def test_it_is_over_when_eventbridge_says_so(self, state: str, outcome: Any) -> None:
        told = {"State": state, "StateReason": "why", "EventLastReplayedTime": 7}
        assert BUS.replay_of(told) == ReplayState(state=state, outcome=outcome, reached="7", why="why")
