"""What Kinesis Data Streams documents: order in a shard, keys by their hash, parents readable after a reshard.

Sources: the developer guide (docs.aws.amazon.com/streams/latest/dev) and API reference
(docs.aws.amazon.com/kinesis/latest/APIReference). A shard may be read five times a second, so reads pause.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.conformance.base import Bench, Probe, Undecided, Violated, claim, increasing
from gameday.conformance.queues import numbered
from gameday.transports.aws_errors import lacks
from gameday.transports.base import Answer, Call, CallFailed

_READ_PAUSE_S = 0.25
_HASH_KEYS = 2**128
# Twice what a shard takes in a second (1 MB), in one call, so that some must be refused where there are limits.
_FLOOD_RECORDS, _FLOOD_BYTES = 4, 500_000
_FLOOD_CALLS = 3


class Stream:
    """A stream made for one probe."""

    def __init__(self, bench: Bench, *, shards: int = 1) -> None:
        self.bench = bench
        self.name = bench.name("stream")
        self.call("CreateStream", ShardCount=shards)
        bench.afterwards("kinesis", "DeleteStream", StreamName=self.name)
        self._settle()

    def call(self, operation: str, **params: Any) -> Answer:
        return self.bench.call("kinesis", operation, StreamName=self.name, **params)

    def shards(self) -> Mapping[str, Mapping[str, Any]]:
        return {shard["ShardId"]: shard for shard in self.call("ListShards")["Shards"]}

    def put(self, data: str, *, key: str = "k", after: str | None = None) -> Answer:
        """`after`: the sequence number that the record's must be above."""
        order = {} if after is None else {"SequenceNumberForOrdering": after}
        return self.call("PutRecord", PartitionKey=key, Data=data.encode(), **order)

    def put_in_order(self, names: Sequence[str], *, key: str = "k") -> list[Answer]:
        answers: list[Answer] = []
        for name in names:
            answers.append(self.put(name, key=key, after=answers[-1]["SequenceNumber"] if answers else None))
        return answers

    def iterator(self, shard: str) -> str:
        """From the oldest record on. Errors: Violated where the shard is not there to be read."""
        try:
            answer = self.call("GetShardIterator", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        except CallFailed as failed:
            if failed.code == "ResourceNotFoundException":
                raise Violated(f"{shard} cannot be read: {failed}") from failed
            raise
        iterator: str = answer["ShardIterator"]
        return iterator

    def read(self, shard: str, count: int) -> list[Mapping[str, Any]]:
        """Read from the oldest record on until `count` came. Errors: Violated if they do not."""
        iterator: str | None = self.iterator(shard)
        got: list[Mapping[str, Any]] = []

        def look() -> bool | None:
            nonlocal iterator
            answer = self.bench.call("kinesis", "GetRecords", ShardIterator=iterator)
            got.extend(answer["Records"])
            if len(got) >= count:
                return True
            iterator = answer.get("NextShardIterator")
            claim(bool(iterator), f"{shard} ended after {len(got)} of {count} records")
            self.bench.wait(_READ_PAUSE_S)
            return None

        self.bench.until(look, f"of {count} records in {shard} not all were read")
        return got

    def split(self, shard: str) -> list[str]:
        """Split it in the middle; its children."""
        keys = self.shards()[shard]["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"]) + 1) // 2
        return self._reshard("SplitShard", ShardToSplit=shard, NewStartingHashKey=str(middle))

    def merge(self, first: str, second: str) -> list[str]:
        """Merge two neighbours; their child, in a list."""
        return self._reshard("MergeShards", ShardToMerge=first, AdjacentShardToMerge=second)

    def _reshard(self, operation: str, **params: str) -> list[str]:
        before = self.shards()
        self.call(operation, **params)
        self._settle()
        return [shard for shard in self.shards() if shard not in before]

    def _settle(self) -> None:
        self.bench.ready(
            lambda: self.call("DescribeStream")["StreamDescription"]["StreamStatus"] == "ACTIVE", "the stream"
        )


def _data(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [record["Data"].decode() for record in records]


def order_in_shard(bench: Bench) -> None:
    """Records of one shard are read in the order in which they were put (developer guide, "Key concepts")."""
    stream = Stream(bench)
    names = numbered("r", 10)
    (shard,) = {answer["ShardId"] for answer in stream.put_in_order(names)}
    got = _data(stream.read(shard, len(names)))
    claim(got == names, f"put {', '.join(names)}; read {', '.join(got)}")


def shard_by_hash_of_key(bench: Bench) -> None:
    """The MD5 of the partition key decides on the shard (developer guide, "Key concepts": partition key)."""
    stream = Stream(bench, shards=3)
    shards = stream.shards()
    keys = numbered("key", 12)
    for key in keys:
        taken = shards[stream.put(key, key=key)["ShardId"]]["HashKeyRange"]
        place = int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(), 16)
        inside = int(taken["StartingHashKey"]) <= place <= int(taken["EndingHashKey"])
        claim(inside, f"the key {key!r} hashes to {place} and went to the shard of {taken}")
    ranges = [shard["HashKeyRange"] for shard in shards.values()]
    covered = sum(int(each["EndingHashKey"]) + 1 - int(each["StartingHashKey"]) for each in ranges)
    claim(covered == _HASH_KEYS, "the shards do not share out all hash keys")


def sequence_numbers_increase(bench: Bench) -> None:
    """A record put with SequenceNumberForOrdering has a higher number than that one (API reference, PutRecord)."""
    stream = Stream(bench)
    answers = stream.put_in_order(numbered("r", 6))
    numbers = [int(answer["SequenceNumber"]) for answer in answers]
    increasing(numbers)
    read = [int(record["SequenceNumber"]) for record in stream.read(answers[0]["ShardId"], len(numbers))]
    claim(read == numbers, f"records were read with other numbers than their puts were answered: {read}")


def split_keeps_parent_readable(bench: Bench) -> None:
    """What was in a shard before its split stays readable there (developer guide, "After a reshard")."""
    stream = Stream(bench)
    names = numbered("r", 5)
    parent = stream.put_in_order(names)[0]["ShardId"]
    children = stream.split(parent)
    claim(len(children) == 2, f"the split made {len(children)} shards")
    got = _data(stream.read(parent, len(names)))
    claim(got == names, f"before the split {', '.join(names)} were put; read {', '.join(got)}")
    later = stream.put("later")["ShardId"]
    claim(later in children, "a record put after the split went to another shard than a child")


def merge_waits_for_both(bench: Bench) -> None:
    """A merged shard names both its parents, and both stay readable (developer guide, "Merge two shards")."""
    stream = Stream(bench, shards=2)
    put: dict[str, list[str]] = {shard: [] for shard in stream.shards()}
    for name in numbered("r", 12):
        put[stream.put(name, key=name)["ShardId"]].append(name)
    if not all(put.values()):
        raise Undecided("all keys went to one of two shards")
    first, second = sorted(put, key=lambda shard: int(stream.shards()[shard]["HashKeyRange"]["StartingHashKey"]))
    children = stream.merge(first, second)
    claim(len(children) == 1, f"the merge made {len(children)} shards")
    child = stream.shards()[children[0]]
    named = {child.get("ParentShardId"), child.get("AdjacentParentShardId")}
    claim(named == {first, second}, f"{first} and {second} were merged, and the child names {sorted(map(str, named))}")
    for shard, names in put.items():
        got = _data(stream.read(shard, len(names)))
        claim(sorted(got) == sorted(names), f"{shard} held {', '.join(names)} and is read as {', '.join(got)}")


def closed_shard_ends(bench: Bench) -> None:
    """The end of a closed shard gives no NextShardIterator and names its children (API reference, GetRecords)."""
    stream = Stream(bench)
    parent = stream.put("r1")["ShardId"]
    children = stream.split(parent)
    iterator = stream.iterator(parent)
    last: Answer = {}

    def ended() -> bool | None:
        nonlocal iterator, last
        last = bench.call("kinesis", "GetRecords", ShardIterator=iterator)
        if not last.get("NextShardIterator"):
            return True
        iterator = last["NextShardIterator"]
        bench.wait(_READ_PAUSE_S)
        return None

    bench.until(ended, "a closed shard gave iterators on and on; its end was not read")
    named = sorted(child["ShardId"] for child in last.get("ChildShards") or ())
    claim(named == sorted(children), f"the end of {parent} names {named} as its children instead of {children}")


def iterator_expires(bench: Bench) -> None:
    """A shard iterator expires five minutes after it was returned (API reference, GetShardIterator)."""
    stream = Stream(bench)
    iterator = stream.iterator(stream.put("r1")["ShardId"])
    read = Call("kinesis", "GetRecords", {"ShardIterator": iterator})
    claim(bench.refusal(read) is None, "a fresh iterator was refused")
    bench.wait(bench.conditions.iterator_life_s + bench.conditions.tick_s)
    refused = bench.refusal(read)
    claim(refused is not None, "an iterator was good after its five minutes")
    assert refused is not None
    claim(refused.code == "ExpiredIteratorException", f"it was refused with {refused.code}")


def put_records_partial_failure(bench: Bench) -> None:
    """PutRecords stores or refuses record by record, and the answer says which (API reference, PutRecords)."""
    stream = Stream(bench)
    (shard,) = stream.shards()
    accepted: list[str] = []
    refused: list[str] = []
    for call in range(_FLOOD_CALLS):
        names = numbered(f"c{call}r", _FLOOD_RECORDS)
        records = [{"PartitionKey": name, "Data": name.encode().ljust(_FLOOD_BYTES)} for name in names]
        try:
            answer = stream.call("PutRecords", Records=records)
        except CallFailed as failed:
            if lacks(failed) or not failed.definite:
                raise
            raise Undecided(f"the whole call was refused: {failed}") from failed
        told = answer["Records"]
        claim(len(told) == len(names), f"of {len(names)} records the answer tells {len(told)}")
        bad = [name for name, one in zip(names, told, strict=True) if one.get("ErrorCode")]
        counted = answer.get("FailedRecordCount") or 0
        claim(counted == len(bad), f"FailedRecordCount is {counted}, and {len(bad)} records have an ErrorCode")
        refused += bad
        accepted += [name for name in names if name not in bad]
    got = [data.strip() for data in _data(stream.read(shard, len(accepted)))] if accepted else []
    claim(sorted(got) == sorted(accepted), f"accepted {', '.join(accepted)}; read {', '.join(sorted(got))}")
    if not refused:
        raise Undecided("no record could be made to fail: the endpoint does not limit a shard's throughput")


PROBES: Mapping[str, Probe] = {
    "order-in-shard": order_in_shard,
    "shard-by-hash-of-key": shard_by_hash_of_key,
    "sequence-numbers-increase": sequence_numbers_increase,
    "split-keeps-parent-readable": split_keeps_parent_readable,
    "merge-waits-for-both": merge_waits_for_both,
    "closed-shard-ends": closed_shard_ends,
    "iterator-expires": iterator_expires,
    "put-records-partial-failure": put_records_partial_failure,
}
