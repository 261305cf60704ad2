"""What the wire records of a stream: reads, shards, and how far each is read; in JSON and in CBOR."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.wire.spoken import Cbor
from gameday.wire.stream import Checkpoint, Position, StreamTraffic
from tests.transports.asked import served
from tests.wire.wired import BY_BROKER, Wired, sdk, until, wired


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture
def wire(memory: Endpoint, tmp_path: Path) -> Iterator[Wired]:
    direct, stream = sdk("kinesis", memory.urls["*"]), f"s-{uuid.uuid4().hex[:8]}"
    direct.create_stream(StreamName=stream, ShardCount=1)
    direct.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    with wired(memory, tmp_path, transport="kinesis", addresses=Addresses(send_to=stream)) as wire:
        yield wire


def put(wire: Wired, *bodies: str) -> list[str]:
    direct = sdk("kinesis", wire.target)
    return [
        direct.put_record(StreamName=wire.addresses.send_to, Data=body.encode(), PartitionKey="k")["SequenceNumber"]
        for body in bodies
    ]


def opened(wire: Wired, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    client = wire.sdk("kinesis")
    (shard,) = client.list_shards(StreamName=wire.addresses.send_to)["Shards"]
    answer = client.get_shard_iterator(
        StreamName=wire.addresses.send_to, ShardId=shard["ShardId"], ShardIteratorType=kind, **more
    )
    return str(answer["ShardIterator"])


def position(wire: Wired) -> Position:
    until(lambda: not wire.proxy.working, "all is recorded")
    assert wire.proxy.stream is not None
    (position,) = wire.proxy.stream.positions
    return position


def test_reads_are_recorded_with_their_shard(wire: Wired) -> None:
    first, second = put(wire, "a", "b")
    answer = wire.sdk("kinesis").get_records(ShardIterator=opened(wire))
    assert [record["Data"] for record in answer["Records"]] == [b"a", b"b"]
    mark, *received, delivered = wire.records
    assert (mark["name"], mark["parents"]) == ("partition", [])
    assert [record["broker_seq"] for record in received] == [first, second]
    assert {record["partition"] for record in received} == {mark["partition"]}
    assert all(record["group"] == "k" and record["enqueued"] > 0 and "id" not in record for record in received)
    assert (delivered["batch"], delivered["outcome"]) == (received[0]["batch"], "ok")
    assert position(wire).read_to is None, "it may die with them"
    assert wire.client.holding == 1
    wire.sdk("kinesis").get_records(ShardIterator=answer["NextShardIterator"])
    assert wire.client.holding == 0, "who asks for more is done with what it had"
    assert position(wire).read_to == second and not position(wire).done


def test_who_opens_the_shard_anew_reads_from_there(wire: Wired) -> None:
    first, second, third = put(wire, "a", "b", "c")
    old = opened(wire)
    later = wire.sdk("kinesis").get_records(ShardIterator=old, Limit=2)["NextShardIterator"]
    wire.sdk("kinesis").get_records(ShardIterator=later, Limit=1)
    assert position(wire).read_to == second
    new = opened(wire, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first)
    assert position(wire).read_to == first, "it went back"
    wire.sdk("kinesis").get_records(ShardIterator=later)
    wire.sdk("kinesis").get_records(ShardIterator=later)
    assert position(wire).read_to == first, "one who lost the shard takes nobody forward"
    later = wire.sdk("kinesis").get_records(ShardIterator=new)["NextShardIterator"]
    wire.sdk("kinesis").get_records(ShardIterator=later)
    assert position(wire).read_to == third
    opened(wire, "LATEST")
    assert position(wire).read_to is None, "nobody can tell where that is"


def test_a_lost_answer_takes_nobody_forward(wire: Wired) -> None:
    put(wire, "a")
    iterator = opened(wire)
    wire.arm("lose-answer", operations=["GetRecords"])
    with pytest.raises(ConnectionClosedError):
        wire.sdk("kinesis").get_records(ShardIterator=iterator)
    assert [record["outcome"] for record in wire.recorded("delivered")] == ["failed"]
    assert position(wire).read_to is None


LEASE_KEY = "leaseKey"


@pytest.fixture
def leases(wire: Wired) -> str:
    """A lease table as the Kinesis Client Library makes it."""
    table = f"{wire.addresses.send_to}-worker"
    wire.sdk("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": LEASE_KEY, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": LEASE_KEY, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return table


def put_checkpoint(wire: Wired, table: str, text: str) -> None:
    lease = {LEASE_KEY: {"S": position(wire).shard}, "checkpoint": {"S": text}}
    wire.sdk("dynamodb").put_item(TableName=table, Item=lease)


def test_who_reads_ahead_is_as_far_as_its_lease_table_says(wire: Wired, leases: str) -> None:
    first, second = put(wire, "a", "b")
    iterator = opened(wire)
    put_checkpoint(wire, leases, "TRIM_HORIZON")
    for _ in range(3):
        iterator = wire.sdk("kinesis").get_records(ShardIterator=iterator, Limit=2)["NextShardIterator"]
    assert position(wire).read_to is None, "it asked for more, and none of it is begun"
    assert wire.client.holding == 1
    put_checkpoint(wire, leases, first)
    assert position(wire).read_to == first
    assert wire.client.holding == 1
    put_checkpoint(wire, leases, second)
    assert position(wire).read_to == second and not position(wire).done
    assert wire.client.holding == 0
    put_checkpoint(wire, leases, "SHARD_END")
    assert position(wire).done


def test_a_lease_is_updated_with_a_checkpoint(wire: Wired) -> None:
    (seq,) = put(wire, "a")
    opened(wire)
    traffic, shard = wire.proxy.stream, position(wire).shard
    assert traffic is not None
    lease = {"TableName": "t", "Key": {LEASE_KEY: {"S": shard}}}
    update = {**lease, "AttributeUpdates": {"checkpoint": {"Value": {"S": seq}, "Action": "PUT"}}}
    assert traffic.checkpoint("UpdateItem", update) == Checkpoint(shard, seq, done=False)
    renewal = {**lease, "AttributeUpdates": {"leaseCounter": {"Value": {"N": "7"}, "Action": "PUT"}}}
    assert traffic.checkpoint("UpdateItem", renewal) is None
    assert traffic.checkpoint("GetItem", lease) is None
    assert traffic.checkpoint("UpdateItem", {**update, "Key": {LEASE_KEY: {"S": "of another stream"}}}) is None


@pytest.mark.parametrize(("point", "is_set"), [("before-delete", False), ("after-delete", True)])
def test_of_a_stream_a_delete_is_the_checkpoint(wire: Wired, leases: str, point: str, is_set: bool) -> None:
    first, second = put(wire, "a", "b")
    opened(wire)
    put_checkpoint(wire, leases, first)
    wire.arm("crash-at", point=point, nth=1)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as consumer:
        wire.client.pid = consumer.pid
        put_checkpoint(wire, leases, first)
        assert consumer.poll() is None, "that takes the shard nowhere"
        with pytest.raises(ConnectionClosedError):
            put_checkpoint(wire, leases, second)
        assert consumer.wait(10) == -signal.SIGKILL
    (lease,) = sdk("dynamodb", wire.target).scan(TableName=leases)["Items"]
    assert lease["checkpoint"]["S"] == (second if is_set else first)
    assert position(wire).read_to == (second if is_set else first)
    assert [(record["broker_seq"], record["outcome"]) for record in wire.recorded("settled")] == [
        (first, "ok"),
        (second, "ok" if is_set else "failed"),
    ]


def test_a_checkpoint_is_recorded_before_and_after(wire: Wired, leases: str) -> None:
    (seq,) = put(wire, "a")
    opened(wire)
    put_checkpoint(wire, leases, "TRIM_HORIZON")
    put_checkpoint(wire, leases, seq)
    put_checkpoint(wire, leases, seq)
    wire.arm("throttle", operations=["PutItem"])
    with pytest.raises(ClientError):
        put_checkpoint(wire, leases, str(int(seq) + 1))
    done, refused = wire.recorded("settled")
    assert [record["call"] for record in wire.recorded("settling")] == [done["call"], refused["call"]]
    assert (done["action"], done["partition"], done["broker_seq"]) == ("checkpoint", position(wire).shard, seq)
    assert (done["outcome"], refused["outcome"]) == ("ok", "failed")


def test_cbor_says_the_same(wire: Wired, memory: Endpoint) -> None:
    """The Java SDK's protocol, which the broker in memory does not speak: the answer is read as the SDK would."""
    arrived_ms = 1_795_580_181_298
    traffic = StreamTraffic(
        subscription="orders",
        stream="s",
        source=wire.proxy.stream._source,  # type: ignore[union-attr]
        identification=BY_BROKER,
        write=lambda *records: written.extend(records),
        now=lambda: 0,
    )
    written: list[dict[str, Any]] = []
    traffic.opened(
        {"StreamName": "s", "ShardId": "shard-0", "ShardIteratorType": "TRIM_HORIZON"}, {"ShardIterator": "i1"}
    )
    body = cbor2.dumps(
        {
            "Records": [
                {
                    "Data": b"a",
                    "PartitionKey": "k",
                    "SequenceNumber": "7",
                    "ApproximateArrivalTimestamp": cbor2.CBORTag(1, arrived_ms),
                }
            ],
            "NextShardIterator": "i2",
            "MillisBehindLatest": 0,
        }
    )
    iterator = traffic.iterator(Cbor().read(cbor2.dumps({"ShardIterator": "i1"})))
    assert iterator is not None
    traffic.received(wire.client, iterator, Cbor().read_answer(body), started=0)
    (received,) = written
    assert received["enqueued"] == arrived_ms * 1_000_000 and received["broker_seq"] == "7"


def test_cbor_passes(wire: Wired) -> None:
    """A refusal is in the words of who asked."""
    wire.arm("throttle")
    request = urllib.request.Request(
        wire.client.origin,
        cbor2.dumps({"ShardIterator": "x"}),
        {"X-Amz-Target": "Kinesis_20131202.GetRecords", "Content-Type": "application/x-amz-cbor-1.1"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert cbor2.loads(refused.value.read())["__type"] == "ProvisionedThroughputExceededException"
