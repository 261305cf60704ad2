"""Kinesis as data: what its answers mean, how long its plans wait, and which shards a reshard takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gameday.history import envelope
from gameday.targets import products
from gameday.transports.base import Addresses, Answer, Call, CallFailed, Outgoing, Shard, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.kinesis import Kinesis, KinesisStream

KINESIS = Kinesis(name="kinesis")
AT = Addresses(send_to="stream")
STREAM = KinesisStream("stream")
ORDERS = Topology(subscriptions=[SubscriptionSpec(name="orders")], shards=3)


def outgoing(id: str, group: str | None) -> Outgoing:
    body = envelope.pack(id=id, run="r1", group=group, timestamp_ns=1, payload_bytes=0).decode()
    return Outgoing(id=id, body=body, group=group, dedup_id=id)


class Service:
    """Answers by operation, each time the next of several; remembers what was asked and how long was waited."""

    def __init__(self, **answers: Sequence[Answer]) -> None:
        self.answers = {operation: list(each) for operation, each in answers.items()}
        self.asked: list[Call] = []
        self.paused: list[float] = []
        self.refused: str | None = None

    def __call__(self, call: Call) -> Answer:
        self.asked.append(call)
        if call.operation == self.refused:
            raise CallFailed("AccessDenied", f"no {call.operation} for you", definite=True)
        answers = self.answers.get(call.operation, [{}])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.asked]

    def params(self, operation: str) -> list[dict[str, Any]]:
        return [dict(call.params) for call in self.asked if call.operation == operation]


def status(word: str) -> Answer:
    return {"StreamDescriptionSummary": {"StreamStatus": word}}


def described(number: int, first: int, last: int, *parents: int, closed: bool = False) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1", **({"EndingSequenceNumber": "9"} if closed else {})}
    named = dict(zip(("ParentShardId", "AdjacentParentShardId"), [f"shard-{n}" for n in parents], strict=False))
    hashes = {"StartingHashKey": str(first), "EndingHashKey": str(last)}
    return {"ShardId": f"shard-{number}", "HashKeyRange": hashes, "SequenceNumberRange": numbers, **named}


# Provisioning


def test_it_waits_until_the_stream_takes_records() -> None:
    service = Service(DescribeStreamSummary=[status("CREATING"), status("CREATING"), status("ACTIVE")])
    plan = KINESIS.provision(ORDERS, run="r1", tags={"gameday:run": "r1"})
    addresses = run_plan(plan, service, pause=service.paused.append)
    assert addresses == Addresses(send_to="gameday-r1")
    assert service.operations == ["CreateStream"] + ["DescribeStreamSummary"] * 3
    (made,) = service.params("CreateStream")
    assert (made["ShardCount"], made["Tags"]) == (3, {"gameday:run": "r1"})
    # Nothing is waited for before the first look.
    assert service.paused == [0.5, 0.5]


def test_it_does_not_wait_for_ever() -> None:
    service = Service(DescribeStreamSummary=[status("CREATING")])
    with pytest.raises(CallFailed, match="gameday-r1 is CREATING after"):
        run_plan(KINESIS.provision(ORDERS, run="r1", tags={}), service, pause=service.paused.append)
    assert sum(service.paused) > 60
    assert service.operations[-1] == "DeleteStream"


def test_a_stream_that_nobody_hears_of_again_is_removed() -> None:
    service = Service()
    service.refused = "DescribeStreamSummary"
    with pytest.raises(CallFailed, match="AccessDenied"):
        run_plan(KINESIS.provision(ORDERS, run="r1", tags={}), service)
    assert service.operations == ["CreateStream", "DescribeStreamSummary", "DeleteStream"]
    assert service.params("DeleteStream")[0]["StreamName"] == "gameday-r1"


# Sending


def test_the_group_is_the_key_and_who_has_none_stands_for_itself() -> None:
    call = KINESIS.send(AT, [outgoing("m1", "g1"), outgoing("m2", None)])
    assert [record["PartitionKey"] for record in call.params["Records"]] == ["g1", "m2"]
    assert [envelope.unpack(r["Data"]).id for r in call.params["Records"]] == ["m1", "m2"]  # type: ignore[union-attr]  # an event of ours


def test_each_record_is_answered_by_its_place() -> None:
    records = [
        {"SequenceNumber": "49", "ShardId": "shard-1"},
        {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"},
        {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."},
    ]
    messages = [outgoing(f"m{n}", "g") for n in range(4)]
    outcomes = KINESIS.sent({"FailedRecordCount": 2, "Records": records}, messages)
    assert [(o.id, o.entry, o.outcome, o.broker_seq, o.partition, o.error) for o in outcomes] == [
        ("m0", 0, "ok", "49", "shard-1", None),
        ("m1", 1, "failed", None, None, "ProvisionedThroughputExceededException: Rate exceeded"),
        ("m2", 2, "unknown", None, None, "InternalFailure: Internal service failure."),
        ("m3", 3, "unknown", None, None, "entry missing from the answer"),
    ]


# Reading


def test_a_record_becomes_a_delivery() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    record = {
        "SequenceNumber": "49",
        "ApproximateArrivalTimestamp": at,
        "Data": outgoing("m1", "g1").body.encode(),
        "PartitionKey": "g1",
    }
    foreign = {**record, "SequenceNumber": "50", "Data": b"\xffnot ours", "PartitionKey": "k"}
    answer = {"Records": [record, foreign], "NextShardIterator": "next", "MillisBehindLatest": 40}
    reading = STREAM.read_of(answer, "shard-1")
    ours, other = reading.deliveries
    assert (ours.id, ours.group, ours.partition, ours.broker_seq) == ("m1", "g1", "shard-1", "49")
    assert (ours.intact, ours.poison, ours.broker_id, ours.receives) == (True, False, None, None)
    assert ours.enqueued == 1_767_323_045_678_000_000
    assert (other.id, other.intact, other.broker_seq) == (None, False, "50")
    assert (reading.next, reading.behind_ms) == ("next", 40)


def test_the_end_of_a_closed_shard_gives_no_iterator() -> None:
    assert STREAM.read_of({"Records": [], "MillisBehindLatest": 0, "ChildShards": []}, "shard-1").next is None


def test_shards_name_their_parents_and_whether_they_are_closed() -> None:
    answer = {"Shards": [described(1, 0, 4, closed=True), described(2, 0, 1, 1), described(3, 0, 9, 1, 2)]}
    shards, page = STREAM.shards_of(answer)
    assert shards == [
        Shard(id="shard-1", closed=True),
        Shard(id="shard-2", parents=("shard-1",)),
        Shard(id="shard-3", parents=("shard-1", "shard-2")),
    ]
    assert page is None


def test_shards_come_in_pages_that_do_not_expire() -> None:
    _, page = STREAM.shards_of({"Shards": [described(1, 0, 4), described(2, 5, 9)], "NextToken": "of AWS"})
    assert page == "shard-2"
    assert STREAM.shards(page=page).params == {"StreamName": "stream", "ExclusiveStartShardId": "shard-2"}


# Resharding


def test_a_split_halves_the_widest_open_shard() -> None:
    before = [described(1, 0, 999, closed=True), described(2, 0, 99, 1), described(3, 100, 999, 1)]
    after = [described(4, 100, 549, 3), described(5, 550, 999, 3)]
    service = Service(
        ListShards=[{"Shards": before[:2], "NextToken": "more"}, {"Shards": before[2:]}, {"Shards": [*before, *after]}],
        DescribeStreamSummary=[status("UPDATING"), status("ACTIVE")],
    )
    found = run_plan(STREAM.reshard("split"), service, pause=service.paused.append)
    assert service.params("SplitShard") == [
        {"StreamName": "stream", "ShardToSplit": "shard-3", "NewStartingHashKey": "550"}
    ]
    assert (found.parents, found.children) == (["shard-3"], ["shard-4", "shard-5"])
    assert service.paused == [0.5]


def test_a_merge_takes_the_neighbours_that_are_narrowest_together() -> None:
    before = [described(1, 0, 99), described(2, 800, 999), described(3, 100, 799)]
    after = [*before, described(4, 0, 799, 1, 3), described(5, 800, 899, 2)]
    service = Service(ListShards=[{"Shards": before}, {"Shards": after}], DescribeStreamSummary=[status("ACTIVE")])
    found = run_plan(STREAM.reshard("merge"), service)
    (asked,) = service.params("MergeShards")
    assert (asked["ShardToMerge"], asked["AdjacentShardToMerge"]) == ("shard-1", "shard-3")
    # What somebody else split meanwhile is no child of this merge.
    assert (found.parents, found.children) == (["shard-1", "shard-3"], ["shard-4"])


def test_one_shard_cannot_be_merged() -> None:
    service = Service(ListShards=[{"Shards": [described(1, 0, 9)]}])
    with pytest.raises(CallFailed, match="one open shard") as failed:
        run_plan(STREAM.reshard("merge"), service)
    assert failed.value.definite
    assert service.operations == ["ListShards"]


@pytest.mark.parametrize(("refused", "definite"), [("SplitShard", True), ("DescribeStreamSummary", False)])
def test_a_reshard_that_was_accepted_is_never_said_to_be_refused(refused: str, definite: bool) -> None:
    service = Service(ListShards=[{"Shards": [described(1, 0, 9)]}])
    service.refused = refused
    with pytest.raises(CallFailed, match="AccessDenied") as failed:
        run_plan(STREAM.reshard("split"), service)
    assert failed.value.definite is definite


def test_a_reshard_whose_children_are_not_listed_has_none() -> None:
    shards = [described(1, 0, 9)]
    service = Service(ListShards=[{"Shards": shards}], DescribeStreamSummary=[status("ACTIVE")])
    assert run_plan(STREAM.reshard("split"), service).children == []


# What is not there


def test_it_promises_nothing_about_what_a_stream_does_not_have() -> None:
    (promise,) = KINESIS.promises(ORDERS).values()
    assert (promise.kind, promise.ordered_by) == ("stream", "partition")
    assert (promise.visibility_timeout_s, promise.max_receives, promise.dead_letter) == (None, None, False)
    assert promise.dedup_window_s is None


def test_where_a_reshard_is_none_it_says_so() -> None:
    assert "unread" in products.MINISTACK.gaps_of(KINESIS)["reshard"]
    assert "never end" in products.MOTO.gaps_of(KINESIS)["reshard"]
    for product in (products.AWS, products.LOCALSTACK, products.MEMORY):
        assert "reshard" not in product.gaps_of(KINESIS)
