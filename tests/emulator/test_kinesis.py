"""Kinesis in the in-memory broker, rule by rule; time is a number here. A few tests speak to the process by boto3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from gameday.emulator.defects import DEFECTS, ThrottledLosesCall, ThrottledSaidStored, ThrottleRecords, defect
from gameday.emulator.kinesis import HASH_KEYS, Kinesis, StreamConduct
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S
from tests.transports.asked import START, Asked, code_of, served

S = NS_PER_S
HALF = HASH_KEYS // 2
THROTTLED = "ProvisionedThroughputExceededException"


def kinesis(*, shards: int = 1, conduct: StreamConduct | None = None) -> Asked:
    """An account with the stream `s`."""
    ask = Asked("kinesis", Kinesis(conduct=conduct or StreamConduct()))
    ask("CreateStream", StreamName="s", ShardCount=shards)
    return ask


def blob(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def put(ask: Asked, *texts: str, key: str = "k", **more: Any) -> list[dict[str, Any]]:
    """One PutRecord for each text."""
    return [ask("PutRecord", StreamName="s", PartitionKey=key, Data=blob(text), **more) for text in texts]


def put_together(ask: Asked, *texts: str) -> dict[str, Any]:
    return ask("PutRecords", StreamName="s", Records=[{"PartitionKey": "k", "Data": blob(text)} for text in texts])


def texts_of(answer: dict[str, Any]) -> list[str]:
    return [base64.b64decode(record["Data"]).decode() for record in answer["Records"]]


def iterator(ask: Asked, shard: int = 0, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    answer = ask("GetShardIterator", StreamName="s", ShardId=shard_id(shard), ShardIteratorType=kind, **more)
    return str(answer["ShardIterator"])


def read(ask: Asked, shard: int = 0, kind: str = "TRIM_HORIZON", **more: Any) -> list[str]:
    return texts_of(ask("GetRecords", ShardIterator=iterator(ask, shard, kind, **more)))


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


def shards(ask: Asked) -> list[dict[str, Any]]:
    return list(ask("ListShards", StreamName="s")["Shards"])


def split(ask: Asked, shard: int = 0) -> None:
    ends = shards(ask)[shard]["HashKeyRange"]
    middle = (int(ends["StartingHashKey"]) + int(ends["EndingHashKey"]) + 1) // 2
    ask("SplitShard", StreamName="s", ShardToSplit=shard_id(shard), NewStartingHashKey=str(middle))


def merge(ask: Asked, one: int, other: int) -> None:
    ask("MergeShards", StreamName="s", ShardToMerge=shard_id(one), AdjacentShardToMerge=shard_id(other))


class TestStreams:
    def test_a_key_is_kept_and_told(self) -> None:
        ask = Asked("kinesis", Kinesis())
        ask("CreateStream", StreamName="s")
        told = ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]
        assert (told["EncryptionType"], told.get("KeyId")) == ("NONE", None)
        ask("StartStreamEncryption", StreamName="s", EncryptionType="KMS", KeyId="alias/k")
        told = ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]
        assert (told["EncryptionType"], told["KeyId"]) == ("KMS", "alias/k")
        ask("StopStreamEncryption", StreamName="s", EncryptionType="KMS", KeyId="alias/k")
        assert ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]["EncryptionType"] == "NONE"
        refused = ask.refusal("StartStreamEncryption", StreamName="s", EncryptionType="NONE", KeyId="alias/k")
        assert refused == "InvalidArgumentException"

    def test_a_stream_from_its_making_to_its_end(self) -> None:
        ask = Asked("kinesis", Kinesis())
        ask("CreateStream", StreamName="one", ShardCount=3, Tags={"run": "r7"})
        ask("CreateStream", StreamName="two")
        ask("AddTagsToStream", StreamName="one", Tags={"more": "m"})
        assert ask("ListTagsForStream", StreamName="one")["Tags"] == [
            {"Key": "more", "Value": "m"},
            {"Key": "run", "Value": "r7"},
        ]
        summary = ask("DescribeStreamSummary", StreamName="one")["StreamDescriptionSummary"]
        assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 3)
        assert summary["StreamCreationTimestamp"] == START // S
        assert ask("DescribeStream", StreamARN=summary["StreamARN"])["StreamDescription"]["StreamName"] == "one"
        first = ask("ListStreams", Limit=1)
        assert (first["StreamNames"], first["HasMoreStreams"]) == (["one"], True)
        second = ask("ListStreams", NextToken=first["NextToken"])
        assert (second["StreamNames"], second["HasMoreStreams"]) == (["two"], False)
        assert ask("ListStreams", ExclusiveStartStreamName="one")["StreamNames"] == ["two"]
        assert ask.refusal("CreateStream", StreamName="one") == "ResourceInUseException"
        ask("DeleteStream", StreamName="one")
        assert ask.refusal("DescribeStreamSummary", StreamName="one") == "ResourceNotFoundException"
        assert ask.refusal("CreateStream", StreamName="a b") == "InvalidArgumentException"
        assert ask.refusal("ListShards") == "InvalidArgumentException"
        assert ask.refusal("Nonsense") == "UnknownOperationException"

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_shards_share_the_hash_keys_without_a_gap(self, count: int) -> None:
        told = [shard["HashKeyRange"] for shard in shards(kinesis(shards=count))]
        ranges = [(int(r["StartingHashKey"]), int(r["EndingHashKey"])) for r in told]
        assert (ranges[0][0], ranges[-1][1], len(ranges)) == (0, HASH_KEYS - 1, count)
        assert all(low[1] + 1 == high[0] for low, high in pairwise(ranges))

    def test_shards_are_listed_page_by_page(self) -> None:
        ask = kinesis(shards=5)
        pages = [ask("ListShards", StreamName="s", MaxResults=2)]
        while token := pages[-1].get("NextToken"):
            pages.append(ask("ListShards", NextToken=token, MaxResults=2))
        assert [[s["ShardId"][-1] for s in page["Shards"]] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
        after = ask("ListShards", StreamName="s", ExclusiveStartShardId=shard_id(2))
        assert [s["ShardId"] for s in after["Shards"]] == [shard_id(3), shard_id(4)]
        described = ask("DescribeStream", StreamName="s", Limit=3)["StreamDescription"]
        assert (len(described["Shards"]), described["HasMoreShards"]) == (3, True)
        token = pages[0]["NextToken"]
        assert ask.refusal("ListShards", StreamName="s", NextToken=token) == "InvalidArgumentException"
        assert ask.refusal("ListShards", NextToken="nonsense") == "InvalidArgumentException"
        assert (
            ask.refusal("ListShards", StreamName="s", ShardFilter={"Type": "AT_LATEST"}) == "InvalidArgumentException"
        )


class TestPutting:
    def test_the_md5_of_the_key_chooses_the_shard(self) -> None:
        ask = kinesis(shards=4)
        for key in map(str, range(50)):
            (answer,) = put(ask, "x", key=key)
            quarter = int(hashlib.md5(key.encode()).hexdigest(), 16) // (HASH_KEYS // 4)
            assert answer["ShardId"] == shard_id(quarter)

    @pytest.mark.parametrize(("hash_key", "shard"), [(0, 0), (HALF - 1, 0), (HALF, 1), (HASH_KEYS - 1, 1)])
    def test_an_explicit_hash_key_overrides_it(self, hash_key: int, shard: int) -> None:
        assert put(kinesis(shards=2), "x", ExplicitHashKey=str(hash_key))[0]["ShardId"] == shard_id(shard)

    def test_sequence_numbers_have_56_digits_and_increase(self) -> None:
        ask = kinesis()
        numbers = [answer["SequenceNumber"] for answer in put(ask, *"abc")]
        numbers += [record["SequenceNumber"] for record in put_together(ask, *"def")["Records"]]
        assert {len(number) for number in numbers} == {56}
        assert numbers == sorted(set(numbers), key=int)
        told = ask("GetRecords", ShardIterator=iterator(ask))["Records"]
        assert [record["SequenceNumber"] for record in told] == numbers

    @pytest.mark.parametrize(
        "entries",
        [
            [],
            [{"PartitionKey": "k", "Data": blob("x")}] * 501,
            [{"PartitionKey": "k", "Data": blob("x" * 1_048_000)}] * 11,
            [{"PartitionKey": "k", "Data": blob("x")}, {"PartitionKey": "k", "Data": blob("x" * 1_048_576)}],
            [{"PartitionKey": "k", "Data": blob("x")}, {"PartitionKey": "", "Data": blob("x")}],
            [{"PartitionKey": "k", "Data": blob("x")}, {"PartitionKey": "k" * 257, "Data": blob("x")}],
            [{"PartitionKey": "k", "Data": blob("x")}, {"PartitionKey": "k"}],
            [{"PartitionKey": "k", "Data": blob("x"), "ExplicitHashKey": str(HASH_KEYS)}],
        ],
        ids=["none", "too many", "too large together", "too large", "no key", "long key", "no data", "wrong hash key"],
    )
    def test_what_is_wrong_in_one_record_refuses_the_call_whole(self, entries: list[dict[str, str]]) -> None:
        ask = kinesis()
        assert ask.refusal("PutRecords", StreamName="s", Records=entries) == "InvalidArgumentException"
        assert read(ask) == []

    def test_a_record_and_a_call_may_be_as_large_as_the_limits(self) -> None:
        ask = kinesis()
        put(ask, "x" * 1_048_575)
        put(ask, "x" * 1_048_574, key="kk")
        assert put_together(ask, *["x"] * 500)["FailedRecordCount"] == 0
        assert put_together(ask, *["x" * 1_048_575] * 10)["FailedRecordCount"] == 0

    def test_throttled_records_fail_one_by_one(self) -> None:
        ask = kinesis(conduct=ThrottleRecords(3))
        answer = put_together(ask, *"abcdefg")
        errors = [record.get("ErrorCode") for record in answer["Records"]]
        assert (errors, answer["FailedRecordCount"]) == ([None, None, THROTTLED, None, None, THROTTLED, None], 2)
        assert read(ask) == [*"abdeg"]
        put(ask, "h")
        assert ask.refusal("PutRecord", StreamName="s", PartitionKey="k", Data=blob("i")) == THROTTLED
        assert read(ask)[5:] == ["h"]


class TestReading:
    def test_each_kind_of_iterator_starts_where_it_says(self) -> None:
        ask = kinesis()
        numbers = []
        for text in "abc":
            ask.now += S
            numbers += [answer["SequenceNumber"] for answer in put(ask, text)]
        opened = shards(ask)[0]["SequenceNumberRange"]["StartingSequenceNumber"]
        assert read(ask) == [*"abc"]
        assert read(ask, kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]) == [*"bc"]
        assert read(ask, kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]) == ["c"]
        assert read(ask, kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=opened) == [*"abc"]
        assert read(ask, kind="AT_TIMESTAMP", Timestamp=START / S + 2) == [*"bc"]
        assert read(ask, kind="AT_TIMESTAMP", Timestamp=START / S + 2.001) == ["c"]
        latest = iterator(ask, kind="LATEST")
        put(ask, "d")
        assert texts_of(ask("GetRecords", ShardIterator=latest)) == ["d"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "12"},
            {"ShardIteratorType": "AT_TIMESTAMP"},
            {"ShardIteratorType": "SOMEWHERE"},
        ],
    )
    def test_an_iterator_that_starts_nowhere_is_refused(self, wrong: dict[str, str]) -> None:
        refusal = kinesis().refusal("GetShardIterator", StreamName="s", ShardId=shard_id(0), **wrong)
        assert refusal == "InvalidArgumentException"

    def test_a_sequence_number_of_another_shard_is_refused(self) -> None:
        ask = kinesis(shards=2)
        (answer,) = put(ask, "x", ExplicitHashKey="0")
        place = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": answer["SequenceNumber"]}
        ask("GetShardIterator", StreamName="s", ShardId=shard_id(0), **place)
        refusal = ask.refusal("GetShardIterator", StreamName="s", ShardId=shard_id(1), **place)
        assert refusal == "InvalidArgumentException"

    def test_it_goes_on_where_it_stopped_and_says_how_far_behind_it_is(self) -> None:
        ask = kinesis()
        put(ask, *"abc")
        answer = ask("GetRecords", ShardIterator=iterator(ask), Limit=2)
        assert answer["MillisBehindLatest"] == 1, "zero would say that nothing is left"
        ask.now += 2 * S
        answer = ask("GetRecords", ShardIterator=iterator(ask), Limit=2)
        assert (texts_of(answer), answer["MillisBehindLatest"]) == ([*"ab"], 2_000)
        again = answer["NextShardIterator"]
        for _ in range(2):  # an iterator is a place, and reading from it takes nothing away
            answer = ask("GetRecords", ShardIterator=again)
            assert (texts_of(answer), answer["MillisBehindLatest"]) == (["c"], 0)
        answer = ask("GetRecords", ShardIterator=answer["NextShardIterator"])
        assert (texts_of(answer), answer["MillisBehindLatest"]) == ([], 0)

    def test_a_record_tells_its_key_and_when_it_came(self) -> None:
        ask = kinesis()
        ask.now += 1_234_567_890
        put(ask, "x", key="ключ")
        (record,) = ask("GetRecords", ShardIterator=iterator(ask))["Records"]
        assert (record["PartitionKey"], record["ApproximateArrivalTimestamp"]) == ("ключ", START / S + 1.234)

    def test_one_answer_holds_ten_mebibytes(self) -> None:
        ask = kinesis()
        put(ask, *["x" * 1_000_000] * 12)
        answer = ask("GetRecords", ShardIterator=iterator(ask))
        assert len(answer["Records"]) == 10
        assert len(ask("GetRecords", ShardIterator=answer["NextShardIterator"])["Records"]) == 2

    def test_an_iterator_lives_five_minutes(self) -> None:
        ask = kinesis()
        put(ask, "a")
        old = iterator(ask)
        ask.now += 300 * S
        following = ask("GetRecords", ShardIterator=old)["NextShardIterator"]
        ask.now += 1
        assert ask.refusal("GetRecords", ShardIterator=old) == "ExpiredIteratorException"
        assert texts_of(ask("GetRecords", ShardIterator=following)) == []
        assert ask.refusal("GetRecords", ShardIterator="bm9uc2Vuc2U=") == "InvalidArgumentException"


class TestResharding:
    def test_a_split_closes_the_parent_which_stays_readable_and_names_its_children(self) -> None:
        ask = kinesis()
        put(ask, "a")
        (before,) = put(ask, "b")
        split(ask)
        low, high = put(ask, "c", ExplicitHashKey=str(HALF - 1)) + put(ask, "d", ExplicitHashKey=str(HALF))
        assert (low["ShardId"], high["ShardId"]) == (shard_id(1), shard_id(2))
        assert int(before["SequenceNumber"]) < int(low["SequenceNumber"]) < int(high["SequenceNumber"])

        first = ask("GetRecords", ShardIterator=iterator(ask), Limit=1)
        assert (texts_of(first), "ChildShards" in first) == (["a"], False)
        last = ask("GetRecords", ShardIterator=first["NextShardIterator"])
        assert (texts_of(last), last["NextShardIterator"], last["MillisBehindLatest"]) == (["b"], None, 0)
        assert last["ChildShards"] == [
            {
                "ShardId": shard_id(1),
                "ParentShards": [shard_id(0)],
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(HALF - 1)},
            },
            {
                "ShardId": shard_id(2),
                "ParentShards": [shard_id(0)],
                "HashKeyRange": {"StartingHashKey": str(HALF), "EndingHashKey": str(HASH_KEYS - 1)},
            },
        ]
        assert (read(ask, 1), read(ask, 2)) == (["c"], ["d"])

        parent, *children = shards(ask)
        ends = parent["SequenceNumberRange"]
        assert int(before["SequenceNumber"]) < int(ends["EndingSequenceNumber"])
        for child in children:
            assert child["ParentShardId"] == shard_id(0)
            assert "AdjacentParentShardId" not in child
            assert int(child["SequenceNumberRange"]["StartingSequenceNumber"]) > int(ends["EndingSequenceNumber"])
            assert "EndingSequenceNumber" not in child["SequenceNumberRange"]
        assert ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]["OpenShardCount"] == 2

    def test_an_iterator_from_before_the_split_still_reads_what_was_unread_and_then_ends(self) -> None:
        ask = kinesis()
        put(ask, "a")
        place = ask("GetRecords", ShardIterator=iterator(ask))["NextShardIterator"]
        put(ask, "b")
        split(ask)
        answer = ask("GetRecords", ShardIterator=place)
        assert (texts_of(answer), answer["NextShardIterator"]) == (["b"], None)
        answer = ask("GetRecords", ShardIterator=iterator(ask, kind="LATEST"))
        assert (texts_of(answer), answer["NextShardIterator"], len(answer["ChildShards"])) == ([], None, 2)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_merge_closes_both_parents_and_its_child_names_them(self, order: tuple[int, int]) -> None:
        ask = kinesis(shards=3)
        put(ask, "a", ExplicitHashKey="0")
        put(ask, "b", ExplicitHashKey=str(HALF))
        merge(ask, *order)
        put(ask, "c", ExplicitHashKey="0")
        child = shards(ask)[3]
        assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (shard_id(order[0]), shard_id(order[1]))
        assert [read(ask, n) for n in range(4)] == [["a"], ["b"], [], ["c"]]
        for parent in (0, 1):
            answer = ask("GetRecords", ShardIterator=iterator(ask, parent))
            assert answer["NextShardIterator"] is None
            (told,) = answer["ChildShards"]
            assert (told["ShardId"], set(told["ParentShards"])) == (shard_id(3), {shard_id(0), shard_id(1)})

    def test_what_cannot_be_split_or_merged_is_refused(self) -> None:
        ask = kinesis(shards=4)
        split(ask, 0)

        def splitting(shard: int, at: int) -> str:
            return ask.refusal("SplitShard", StreamName="s", ShardToSplit=shard_id(shard), NewStartingHashKey=str(at))

        def merging(one: int, other: int) -> str:
            return ask.refusal(
                "MergeShards", StreamName="s", ShardToMerge=shard_id(one), AdjacentShardToMerge=shard_id(other)
            )

        before = shards(ask)
        quarter = HASH_KEYS // 4
        assert splitting(0, 5) == "InvalidArgumentException", "it was split"
        assert splitting(1, quarter + 1) == "InvalidArgumentException", "a child would have a single hash key"
        assert splitting(1, 2 * quarter - 1) == "InvalidArgumentException", "a child would have a single hash key"
        assert splitting(1, 2 * quarter) == "InvalidArgumentException", "that is in another shard"
        assert splitting(9, 5) == "ResourceNotFoundException"
        assert merging(1, 3) == "InvalidArgumentException", "another lies between"
        assert merging(1, 1) == "InvalidArgumentException"
        assert merging(0, 1) == "InvalidArgumentException", "it was split"
        assert merging(1, 9) == "ResourceNotFoundException"
        assert shards(ask) == before


class Reader:
    """Reads a stream as the developer guide says: a shard once all the parents that it names are read to their end."""

    def __init__(self, ask: Asked) -> None:
        self._ask = ask
        self._places: dict[str, str | None] = {}
        self.texts: list[str] = []

    def step(self, limit: int) -> bool:
        """One read of each shard that may be read; whether it found anything, or a shard's end."""
        moved = False
        for shard in shards(self._ask):
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} - {None}
            if not all(self._places.get(str(parent), "") is None for parent in parents):
                continue
            number = int(shard["ShardId"].rpartition("-")[2])
            place = self._places.get(shard["ShardId"], "")
            if place is None:
                continue
            answer = self._ask("GetRecords", ShardIterator=place or iterator(self._ask, number), Limit=limit)
            self.texts += texts_of(answer)
            self._places[shard["ShardId"]] = answer["NextShardIterator"]
            moved |= bool(answer["Records"]) or answer["NextShardIterator"] is None
        return moved


_NTH = st.integers(0, 100)
_STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 7)),
    st.tuples(st.just("split"), _NTH),
    st.tuples(st.just("merge"), _NTH),
    st.tuples(st.just("read"), st.integers(1, 5)),
)


_CASES = st.tuples(st.integers(1, 4), st.lists(_STEPS, max_size=60))


def kept(ask: Asked, steps: list[tuple[str, int]]) -> bool:
    """Whether a reader gets each record once and each key in order, while shards are split and merged."""
    reader, written = Reader(ask), list[str]()
    for step, n in steps:
        open_shards = sorted(
            (s for s in shards(ask) if "EndingSequenceNumber" not in s["SequenceNumberRange"]),
            key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]),
        )
        numbers = [int(s["ShardId"].rpartition("-")[2]) for s in open_shards]
        if step == "put":
            written.append(f"{n}-{len(written)}")
            put(ask, written[-1], key=str(n))
        elif step == "split":
            split(ask, numbers[n % len(numbers)])
        elif step == "merge" and len(numbers) > 1:
            low = n % (len(numbers) - 1)
            merge(ask, numbers[low], numbers[low + 1])
        elif step == "read":
            reader.step(n)
    while reader.step(1):
        pass
    texts = reader.texts
    return sorted(texts) == sorted(written) and all(
        [t for t in texts if t[0] == key] == [t for t in written if t[0] == key] for key in map(str, range(8))
    )


@settings(max_examples=150, deadline=None)
@given(_CASES)
def test_who_reads_parents_first_reads_each_record_once_and_each_key_in_order(
    case: tuple[int, list[tuple[str, int]]],
) -> None:
    count, steps = case
    assert kept(kinesis(shards=count), steps)


@pytest.mark.parametrize(
    "name", ["reverse-reads", "scatter-keys", "reshard-drops-parent", "merge-forgets-adjacent", "endless-shard"]
)
def test_on_a_broker_with_a_defect_the_same_reader_does_not(name: str) -> None:
    def harmed(case: tuple[int, list[tuple[str, int]]]) -> bool:
        count, steps = case
        return not kept(kinesis(shards=count, conduct=DEFECTS[name]()), steps)

    # Any example will do, however long.
    found = settings(max_examples=2_000, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    find(_CASES, harmed, settings=found)


def out_of_order(ask: Asked) -> bool:
    put(ask, *"abc", ExplicitHashKey="0")
    return read(ask) != [*"abc"]


def scattered(ask: Asked) -> bool:
    return len({answer["ShardId"] for answer in put(ask, *"abcdefgh")}) > 1


def misnumbered(ask: Asked) -> bool:
    numbers = [int(answer["SequenceNumber"]) for answer in put(ask, *"abcd")]
    return numbers != sorted(numbers)


def parent_dropped(ask: Asked) -> bool:
    put(ask, *"abc", ExplicitHashKey="0")
    split(ask)
    return read(ask) == []


def parent_forgotten(ask: Asked) -> bool:
    merge(ask, 0, 1)
    (child,) = ask("GetRecords", ShardIterator=iterator(ask))["ChildShards"]
    return child["ParentShards"] == [shard_id(0)] and "AdjacentParentShardId" not in shards(ask)[2]


def endless(ask: Asked) -> bool:
    split(ask)
    return ask("GetRecords", ShardIterator=iterator(ask))["NextShardIterator"] is not None


def eternal(ask: Asked) -> bool:
    place = iterator(ask)
    ask.now += 3_600 * S
    try:
        ask("GetRecords", ShardIterator=place)
    except Refused:
        return False
    return True


def partly_refused(ask: Asked) -> bool:
    return 0 < int(put_together(ask, *"abcd")["FailedRecordCount"]) < 4


def lied_about(ask: Asked) -> bool:
    answer = put_together(ask, *"abcd")
    said = sum("SequenceNumber" in record for record in answer["Records"])
    return sum(len(read(ask, shard)) for shard in (0, 1)) < said


HARM: dict[str, tuple[str, Callable[[Asked], bool]]] = {
    "reverse-reads": ("reverse-reads", out_of_order),
    "scatter-keys": ("scatter-keys", scattered),
    "misnumber-records": ("misnumber-records:3", misnumbered),
    "reshard-drops-parent": ("reshard-drops-parent", parent_dropped),
    "merge-forgets-adjacent": ("merge-forgets-adjacent", parent_forgotten),
    "endless-shard": ("endless-shard", endless),
    "eternal-iterator": ("eternal-iterator", eternal),
    "throttle-records": ("throttle-records:3", partly_refused),
    "throttled-said-stored": ("throttled-said-stored:3", lied_about),
    "throttled-loses-call": ("throttled-loses-call:3", lied_about),
}


@pytest.mark.parametrize("name", [name for name, kind in DEFECTS.items() if issubclass(kind, StreamConduct)])
def test_a_defect_does_its_harm_and_a_correct_broker_does_not(name: str) -> None:
    text, harmed = HARM[name]
    broken = defect(text)
    assert isinstance(broken, StreamConduct)
    assert harmed(kinesis(shards=2, conduct=broken))
    assert not harmed(kinesis(shards=2))


def test_what_a_throttled_call_says_and_what_it_stores() -> None:
    ask = kinesis(conduct=ThrottledSaidStored(3))
    assert put_together(ask, *"abcd")["FailedRecordCount"] == 0
    assert read(ask) == [*"abd"]
    ask = kinesis(conduct=ThrottledLosesCall(3))
    assert put_together(ask, *"abcd")["FailedRecordCount"] == 1
    assert read(ask) == []
    put_together(ask, "e")
    assert read(ask) == ["e"]


@pytest.mark.live
class TestProcess:
    @staticmethod
    def client(url: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
        credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        return boto3.client("kinesis", endpoint_url=url, config=config, **credentials)

    def test_an_sdk_writes_reads_and_reshards(self) -> None:
        with served() as url:
            client = self.client(url)
            client.create_stream(StreamName="s", ShardCount=2, Tags={"run": "r7"})
            client.get_waiter("stream_exists").wait(StreamName="s", WaiterConfig={"Delay": 0, "MaxAttempts": 1})
            sent = client.put_records(
                StreamName="s", Records=[{"Data": b"\x00\xff", "PartitionKey": str(n)} for n in range(20)]
            )
            assert sent["FailedRecordCount"] == 0
            client.merge_shards(StreamName="s", ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))
            assert len(client.list_shards(StreamName="s")["Shards"]) == 3
            answers = []
            for shard in (0, 1):
                start = {"ShardId": shard_id(shard), "ShardIteratorType": "AT_TIMESTAMP"}
                place = client.get_shard_iterator(StreamName="s", Timestamp=datetime.fromtimestamp(0, UTC), **start)
                answers.append(client.get_records(ShardIterator=place["ShardIterator"]))
            assert all("NextShardIterator" not in answer for answer in answers)
            assert [answer["ChildShards"][0]["ShardId"] for answer in answers] == [shard_id(2)] * 2
            records = [record for answer in answers for record in answer["Records"]]
            assert len(records) == 20
            assert {record["Data"] for record in records} == {b"\x00\xff"}
            assert isinstance(records[0]["ApproximateArrivalTimestamp"], datetime)
            assert code_of(client.describe_stream, StreamName="no") == "ResourceNotFoundException"

    def test_iterators_may_be_told_to_expire_at_once(self) -> None:
        with served("--iterator-life-s", "0") as url:
            client = self.client(url)
            client.create_stream(StreamName="s", ShardCount=1)
            start = {"StreamName": "s", "ShardId": shard_id(0), "ShardIteratorType": "TRIM_HORIZON"}
            place = client.get_shard_iterator(**start)["ShardIterator"]
            assert code_of(client.get_records, ShardIterator=place) == "ExpiredIteratorException"

    def test_throttling_is_asked_for_by_name(self) -> None:
        with served("--defect", "throttle-records:2") as url:
            client = self.client(url)
            client.create_stream(StreamName="s", ShardCount=1)
            entries = [{"Data": b"x", "PartitionKey": "k"}] * 4
            answer = client.put_records(StreamName="s", Records=entries)
            assert [record.get("ErrorCode") for record in answer["Records"]] == [None, THROTTLED] * 2
