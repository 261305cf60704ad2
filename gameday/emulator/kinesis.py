"""Kinesis Data Streams as pure decisions: parameters in, answer out, the time passed in, nothing read or written.

Rules from the API reference and the developer guide (docs.aws.amazon.com/kinesis, docs.aws.amazon.com/streams):
- a record goes to the open shard whose hash-key range holds the MD5 of its partition key, or its explicit hash key;
- sequence numbers, decimal strings of 56 digits, increase within a shard; a child's are above those of its parents;
- a split or a merge closes the parents: what is in them stays readable, and new records go to the children, which name
  their parents; a read that reaches the end of a closed shard names the children and gives no iterator for more;
- an iterator expires five minutes after it was given out;
- the records of one PutRecords call succeed or fail one by one.

Streams are ACTIVE at once, so nothing is refused as in use. Not modelled: throughput limits, retention, on-demand
streams, enhanced fan-out, shard filters, encryption. What a defect may change stands in `StreamConduct`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import orjson

from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

ITERATOR_LIFE_S = 300.0
RECORDS_MAX = 500
CALL_BYTES_MAX = 10_485_760
RECORD_BYTES_MAX = 1_048_576
# How many records, shards or streams one call may ask for.
ASKED_MAX = 10_000
KEY_CHARACTERS_MAX = 256
HASH_KEYS = 2**128
_SHARDS_PAGE = 1_000
_NAMES_PAGE = 100
_NS_PER_MS = 1_000_000
_ACCOUNT = "000000000000"
_ARN = f"arn:aws:kinesis:us-east-1:{_ACCOUNT}:stream/"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# As AWS's look: 56 digits. The lowest ones say in which shard a number was given out.
_SEQUENCE_FIRST = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_800
_SEQUENCE_STEP = 2**32

T = TypeVar("T")


class Record(NamedTuple):
    """A stored record: `number` is its place in the stream's time, `sequence` what it is told by, `data` in Base64."""

    number: int
    sequence: int
    arrived_ns: int
    key: str
    data: str


@dataclass(slots=True, eq=False)
class Shard:
    """A range of hash keys, both ends in it. `closed` is its last number, once it was split or merged."""

    index: int
    first_hash: int
    last_hash: int
    opened: int
    parents: Sequence[str] = ()
    closed: int | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"shardId-{self.index:012d}"

    @property
    def hash_key_range(self) -> dict[str, str]:
        return {"StartingHashKey": str(self.first_hash), "EndingHashKey": str(self.last_hash)}


@dataclass(slots=True, eq=False)
class Stream:
    """The shards, closed ones too, in the order in which they were made. `numbers` counts what got a number so far."""

    name: str
    created_ns: int
    tags: dict[str, str]
    shards: dict[str, Shard] = field(default_factory=dict)
    numbers: int = 0
    key: str | None = None

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def open_shard(self, first_hash: int, last_hash: int, parents: Sequence[str] = ()) -> Shard:
        shard = Shard(len(self.shards), first_hash, last_hash, self.number(), parents)
        self.shards[shard.id] = shard
        return shard

    def open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.closed is None]

    def children(self, shard: Shard) -> list[Shard]:
        return [child for child in self.shards.values() if shard.id in child.parents]


class StreamConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def hash_of(self, key: str) -> int:
        """Where a partition key belongs."""
        return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest())

    def number_told(self, number: int) -> int:
        """The number that a record's sequence number is made from, from its own."""
        return number

    def throttles(self) -> bool:
        """Whether the next record is refused for want of throughput."""
        return False

    def throttled_entries(self, throttled: Sequence[bool]) -> Sequence[tuple[bool, bool]]:
        """For each entry of a PutRecords call: whether it is stored, and whether it is said to be."""
        return [(not each, not each) for each in throttled]

    def read(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records of one answer, in their order."""
        return records

    def keeps_closed(self) -> bool:
        """Whether the records of a shard outlive its being split or merged."""
        return True

    def parents_named(self, parents: Sequence[str]) -> Sequence[str]:
        """Which of its parents a child names."""
        return parents

    def ends_closed(self) -> bool:
        """Whether a closed shard that was read to its end gives no further iterator."""
        return True

    def expires(self) -> bool:
        """Whether an iterator's life ends."""
        return True


@dataclass(kw_only=True)
class Kinesis:
    """All streams of one account."""

    conduct: StreamConduct = field(default_factory=StreamConduct)
    iterator_life_s: float = ITERATOR_LIFE_S

    def __post_init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateStream": self._create_stream,
            "DescribeStream": self._describe_stream,
            "DescribeStreamSummary": self._describe_stream_summary,
            "ListStreams": self._list_streams,
            "DeleteStream": self._delete_stream,
            "StartStreamEncryption": self._start_encryption,
            "StopStreamEncryption": self._stop_encryption,
            "AddTagsToStream": self._add_tags,
            "ListTagsForStream": self._list_tags,
            "ListShards": self._list_shards,
            "SplitShard": self._split_shard,
            "MergeShards": self._merge_shards,
            "PutRecord": self._put_record,
            "PutRecords": self._put_records,
            "GetShardIterator": self._get_shard_iterator,
            "GetRecords": self._get_records,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """`now` is in ns since the epoch. Errors: Refused."""
        carry_out = known(self._operations, operation)
        return carry_out(now, params)

    # Streams.

    def _create_stream(self, now: int, params: Params) -> Answer:
        name = str(params.get("StreamName", ""))
        if not _NAME.fullmatch(name):
            raise _invalid(f"The name of a stream has 1 to 128 letters, digits, _, . and -: {name!r}")
        if name in self._streams:
            raise Refused("ResourceInUseException", f"Stream {name} under account {_ACCOUNT} already exists.")
        count = _integer(params, "ShardCount", 1, ASKED_MAX, default=1)
        stream = Stream(name, now, dict(params.get("Tags") or {}))
        width = HASH_KEYS // count
        for n in range(count):
            stream.open_shard(n * width, (n + 1) * width - 1 if n + 1 < count else HASH_KEYS - 1)
        self._streams[name] = stream
        return {}

    def _start_encryption(self, now: int, params: Params) -> Answer:
        """Kept and told, without effect: nothing is encrypted here."""
        key = str(params.get("KeyId") or "")
        if params.get("EncryptionType") != "KMS" or not key:
            raise _invalid("EncryptionType is KMS, and KeyId names a key.")
        self._of(params).key = key
        return {}

    def _stop_encryption(self, now: int, params: Params) -> Answer:
        self._of(params).key = None
        return {}

    def _describe_stream(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        shards, more = self._shards_after(stream, params.get("ExclusiveStartShardId"), params, "Limit", _NAMES_PAGE)
        return {"StreamDescription": {**_described(stream), "Shards": shards, "HasMoreShards": more}}

    def _describe_stream_summary(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        open_shards = len(stream.open_shards())
        return {"StreamDescriptionSummary": {**_described(stream), "OpenShardCount": open_shards, "ConsumerCount": 0}}

    def _list_streams(self, now: int, params: Params) -> Answer:
        after = params.get("NextToken") or params.get("ExclusiveStartStreamName") or ""
        most = _integer(params, "Limit", 1, ASKED_MAX, default=_NAMES_PAGE)
        names, more = _page([name for name in sorted(self._streams) if name > after], most)
        return {"StreamNames": names, "HasMoreStreams": more, **({"NextToken": names[-1]} if more else {})}

    def _delete_stream(self, now: int, params: Params) -> Answer:
        del self._streams[self._of(params).name]
        return {}

    def _add_tags(self, now: int, params: Params) -> Answer:
        self._of(params).tags.update(params.get("Tags") or {})
        return {}

    def _list_tags(self, now: int, params: Params) -> Answer:
        tags = self._of(params).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())], "HasMoreTags": False}

    # Shards.

    def _list_shards(self, now: int, params: Params) -> Answer:
        if params.get("ShardFilter"):
            raise _invalid("Shard filters are not known here.")
        token = params.get("NextToken")
        if token is None:
            stream, after = self._of(params), params.get("ExclusiveStartShardId")
        elif params.get("StreamName") or params.get("StreamARN"):
            raise _invalid("NextToken and StreamName cannot be provided together.")
        else:
            name, after = _read_token(token, "NextToken", str, str)
            stream = self._named(name)
        shards, more = self._shards_after(stream, after, params, "MaxResults", _SHARDS_PAGE)
        return {"Shards": shards, **({"NextToken": _token(stream.name, shards[-1]["ShardId"])} if more else {})}

    def _split_shard(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        parent = self._open_shard(stream, params, "ShardToSplit")
        middle = _hash_key(params, "NewStartingHashKey")
        if not parent.first_hash + 1 < middle < parent.last_hash:
            raise _invalid(
                f"NewStartingHashKey {middle} used in SplitShard() on shard {parent.id} in stream {stream.name} is not "
                f"both greater than one plus the shard's StartingHashKey {parent.first_hash} and less than the shard's "
                f"EndingHashKey {parent.last_hash}."
            )
        self._close(stream, parent)
        for first_hash, last_hash in ((parent.first_hash, middle - 1), (middle, parent.last_hash)):
            stream.open_shard(first_hash, last_hash, self.conduct.parents_named([parent.id]))
        return {}

    def _merge_shards(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        parents = [self._open_shard(stream, params, name) for name in ("ShardToMerge", "AdjacentShardToMerge")]
        low, high = sorted(parents, key=lambda shard: shard.first_hash)
        if low.last_hash + 1 != high.first_hash:
            raise _invalid(
                f"Shards {parents[0].id} and {parents[1].id} in stream {stream.name} are not an adjacent pair of "
                "shards eligible for merging."
            )
        for parent in parents:
            self._close(stream, parent)
        named = self.conduct.parents_named([parent.id for parent in parents])
        stream.open_shard(low.first_hash, high.last_hash, named)
        return {}

    def _close(self, stream: Stream, shard: Shard) -> None:
        shard.closed = stream.number()
        if not self.conduct.keeps_closed():
            shard.records.clear()

    # Records.

    def _put_record(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        shard = self._check(stream, params)
        if self.conduct.throttles():
            raise Refused("ProvisionedThroughputExceededException", _throttled(stream, shard))
        return {**self._store(now, stream, shard, params), "EncryptionType": "NONE"}

    def _put_records(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        entries: Sequence[Params] = params.get("Records") or ()
        if not 1 <= len(entries) <= RECORDS_MAX:
            raise _invalid(f"A call has 1 to {RECORDS_MAX} records, not {len(entries)}.")
        if sum(map(_bytes, entries)) > CALL_BYTES_MAX:
            raise _invalid(f"Records size exceeds {CALL_BYTES_MAX} bytes.")
        # What is wrong in one record is an error of the call: all are looked at before the first is stored.
        shards = [self._check(stream, entry) for entry in entries]
        fates = self.conduct.throttled_entries([self.conduct.throttles() for _ in entries])
        records = []
        for entry, shard, (stored, said_stored) in zip(entries, shards, fates, strict=True):
            if said_stored:
                records.append(self._store(now, stream, shard, entry, keep=stored))
            else:
                code = "ProvisionedThroughputExceededException"
                records.append({"ErrorCode": code, "ErrorMessage": _throttled(stream, shard)})
        failed = sum("ErrorCode" in record for record in records)
        return {"FailedRecordCount": failed, "Records": records, "EncryptionType": "NONE"}

    def _check(self, stream: Stream, entry: Params) -> Shard:
        """The shard to which a record goes. Errors: Refused, for what is no record."""
        key = entry.get("PartitionKey")
        if not isinstance(key, str) or not 1 <= len(key) <= KEY_CHARACTERS_MAX:
            raise _invalid(f"A partition key has 1 to {KEY_CHARACTERS_MAX} characters.")
        if not isinstance(entry.get("Data"), str):
            raise _invalid("A record has data.")
        if _bytes(entry) > RECORD_BYTES_MAX:
            raise _invalid(f"A record has up to {RECORD_BYTES_MAX} bytes, its partition key included.")
        explicit = entry.get("ExplicitHashKey") is not None
        where = _hash_key(entry, "ExplicitHashKey") if explicit else self.conduct.hash_of(key)
        return next(shard for shard in stream.open_shards() if shard.first_hash <= where <= shard.last_hash)

    def _store(self, now: int, stream: Stream, shard: Shard, entry: Params, *, keep: bool = True) -> Answer:
        number = stream.number()
        sequence = _sequence(self.conduct.number_told(number), shard)
        if keep:
            shard.records.append(Record(number, sequence, now, entry["PartitionKey"], entry["Data"]))
        return {"ShardId": shard.id, "SequenceNumber": str(sequence)}

    def _get_shard_iterator(self, now: int, params: Params) -> Answer:
        stream = self._of(params)
        shard = self._shard(stream, str(params.get("ShardId", "")))
        match params.get("ShardIteratorType"):
            case "TRIM_HORIZON":
                place = 0
            case "LATEST":
                place = len(shard.records)
            case "AT_SEQUENCE_NUMBER":
                place = bisect_left(shard.records, _number(params, shard), key=_number_of)
            case "AFTER_SEQUENCE_NUMBER":
                place = bisect_right(shard.records, _number(params, shard), key=_number_of)
            case "AT_TIMESTAMP":
                since = params.get("Timestamp")
                if not isinstance(since, int | float):
                    raise _invalid("AT_TIMESTAMP needs a Timestamp.")
                since_ms = round(since * 1_000)
                place = bisect_left(shard.records, since_ms, key=lambda record: record.arrived_ns // _NS_PER_MS)
            case other:
                raise _invalid(f"There is no shard iterator type {other!r}.")
        return {"ShardIterator": _token(stream.name, shard.id, place, now)}

    def _get_records(self, now: int, params: Params) -> Answer:
        name, shard_id, place, given_ns = _read_token(params.get("ShardIterator"), "ShardIterator", str, str, int, int)
        most = _integer(params, "Limit", 1, ASKED_MAX, default=ASKED_MAX)
        stream = self._named(name)
        shard = self._shard(stream, shard_id)
        if now - given_ns > self.iterator_life_s * NS_PER_S and self.conduct.expires():
            raise Refused(
                "ExpiredIteratorException",
                f"Iterator expired. It was created {(now - given_ns) // _NS_PER_MS} milliseconds ago, longer than the "
                f"tolerated delay of {round(self.iterator_life_s * 1_000)} milliseconds.",
            )
        records = _read(shard.records, place, most)
        place += len(records)
        unread = shard.records[place : place + 1]
        # Zero means that nothing is left to read, so the smallest lag is one.
        behind = max(1, (now - unread[0].arrived_ns) // _NS_PER_MS) if unread else 0
        answer: Answer = {
            "Records": [_shown(record) for record in self.conduct.read(records)],
            "MillisBehindLatest": behind,
        }
        if shard.closed is not None and not unread and self.conduct.ends_closed():
            children = stream.children(shard)
            return {**answer, "NextShardIterator": None, "ChildShards": [_child(child) for child in children]}
        return {**answer, "NextShardIterator": _token(name, shard_id, place, now)}

    # What they share.

    def _of(self, params: Params) -> Stream:
        name, arn = params.get("StreamName"), params.get("StreamARN")
        if name is None and arn is None:
            raise _invalid("The request must contain StreamName or StreamARN.")
        return self._named(str(name) if name is not None else str(arn).removeprefix(_ARN))

    def _named(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            raise Refused("ResourceNotFoundException", f"Stream {name} under account {_ACCOUNT} not found.")
        return stream

    def _shard(self, stream: Stream, shard_id: str) -> Shard:
        shard = stream.shards.get(shard_id)
        if shard is None:
            raise Refused(
                "ResourceNotFoundException",
                f"Could not find shard {shard_id} in stream {stream.name} under account {_ACCOUNT}.",
            )
        return shard

    def _open_shard(self, stream: Stream, params: Params, name: str) -> Shard:
        shard = self._shard(stream, str(params.get(name, "")))
        if shard.closed is not None:
            raise _invalid(
                f"Shard {shard.id} in stream {stream.name} has already been merged or split, and thus is not eligible "
                "for merging or splitting."
            )
        return shard

    def _shards_after(
        self, stream: Stream, after: str | None, params: Params, limit: str, default: int
    ) -> tuple[list[Answer], bool]:
        most = _integer(params, limit, 1, ASKED_MAX, default=default)
        start = self._shard(stream, after).index + 1 if after is not None else 0
        shards, more = _page(list(stream.shards.values())[start:], most)
        return [_told(shard) for shard in shards], more


def _described(stream: Stream) -> Answer:
    return {
        "StreamName": stream.name,
        "StreamARN": _ARN + stream.name,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": stream.created_ns // NS_PER_S,
        "EnhancedMonitoring": [],
        **({"EncryptionType": "NONE"} if stream.key is None else {"EncryptionType": "KMS", "KeyId": stream.key}),
    }


def _told(shard: Shard) -> Answer:
    """A shard as ListShards and DescribeStream tell it."""
    numbers = {"StartingSequenceNumber": str(_sequence(shard.opened, shard))}
    if shard.closed is not None:
        numbers["EndingSequenceNumber"] = str(_sequence(shard.closed, shard))
    answer: Answer = {"ShardId": shard.id, "HashKeyRange": shard.hash_key_range, "SequenceNumberRange": numbers}
    return answer | dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))


def _child(shard: Shard) -> Answer:
    return {"ShardId": shard.id, "ParentShards": list(shard.parents), "HashKeyRange": shard.hash_key_range}


def _shown(record: Record) -> Answer:
    return {
        "SequenceNumber": str(record.sequence),
        "ApproximateArrivalTimestamp": record.arrived_ns // _NS_PER_MS / 1_000,
        "Data": record.data,
        "PartitionKey": record.key,
        "EncryptionType": "NONE",
    }


def _read(records: Sequence[Record], place: int, most: int) -> Sequence[Record]:
    """Up to `most` records from a place on, but no more than one answer may hold."""
    size = 0
    for end in range(place, min(place + most, len(records))):
        size += len(records[end].data) * 3 // 4
        if size > CALL_BYTES_MAX:
            return records[place:end]
    return records[place : place + most]


def _sequence(number: int, shard: Shard) -> int:
    return _SEQUENCE_FIRST + number * _SEQUENCE_STEP + shard.index


def _number_of(record: Record) -> int:
    return record.number


def _number(params: Params, shard: Shard) -> int:
    """The number that StartingSequenceNumber was made from. Errors: Refused, for one of another shard."""
    given = str(params.get("StartingSequenceNumber", ""))
    number, index = divmod(int(given) - _SEQUENCE_FIRST, _SEQUENCE_STEP) if given.isdecimal() else (0, -1)
    if index != shard.index:
        raise _invalid(f"Invalid StartingSequenceNumber {given!r}. It was not given out by shard {shard.id}.")
    return number


def _hash_key(params: Params, name: str) -> int:
    given = str(params.get(name, ""))
    if not given.isdecimal() or int(given) >= HASH_KEYS:
        raise _invalid(f"Invalid {name} {given!r}: a hash key is a whole number below 2^128.")
    return int(given)


def _bytes(entry: Params) -> int:
    data, key = str(entry.get("Data", "")), str(entry.get("PartitionKey", ""))
    return len(data) * 3 // 4 - data.count("=", -2) + len(key.encode())


def _token(*parts: str | int) -> str:
    """What a client hands back unread: everything that the answer to it depends on, so nothing is remembered here."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def _read_token(token: object, name: str, *kinds: type) -> Sequence[Any]:
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(str(token)))
    except (binascii.Error, orjson.JSONDecodeError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise _invalid(f"Invalid {name}.")
    return parts


def _page(rows: Sequence[T], most: int) -> tuple[Sequence[T], bool]:
    """The first rows, and whether there are more."""
    return rows[:most], len(rows) > most


def _integer(params: Params, name: str, least: int, most: int, *, default: int) -> int:
    value = params.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or not least <= value <= most:
        raise _invalid(f"{name} is a whole number from {least} to {most}, not {value!r}.")
    return value


def _throttled(stream: Stream, shard: Shard) -> str:
    return f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {_ACCOUNT}."


def _invalid(message: str) -> Refused:
    return Refused("InvalidArgumentException", message)
