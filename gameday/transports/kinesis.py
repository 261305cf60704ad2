"""The pipeline `kinesis`: producers put records into one stream, and every subscription reads all of it.

Each subscription is an application of its own: it keeps its own place in every shard, so that no subscription takes
anything from another. Promises, as AWS documents them ("Key concepts" and "Handle duplicate records" in
docs.aws.amazon.com/streams/latest/dev): the records of a partition key come in the order of their sequence numbers
within a shard, each at least once; nothing is deduplicated, nothing is hidden, and there is no dead-letter queue.

Rules of Kinesis relied on (docs.aws.amazon.com/kinesis/latest/APIReference): PutRecords takes up to 500 records, its
answer follows them entry by entry, and promises no order among them; a closed shard has an ending sequence number, and
a read that has reached its end gives no iterator to go on with; a reshard closes the parents, and the children name
them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from gameday.history.identity import Identification
from gameday.history.manifest import Subscription
from gameday.transports.attached import name_of
from gameday.transports.aws_errors import is_permanent
from gameday.transports.base import (
    ENVELOPE,
    Addresses,
    Answer,
    Call,
    CallFailed,
    Capability,
    Delivery,
    Found,
    Limits,
    Outgoing,
    Plan,
    Reading,
    ReshardAction,
    Resharding,
    SendOutcome,
    Shard,
    Size,
    Standing,
    StreamSource,
    Topology,
    refuse_unknown,
)

SERVICE = "kinesis"
BATCH_MAX = 500
# A stream takes records of up to 1 MiB unless it is told otherwise, and a call of up to 10 MiB; partition keys count.
RECORD_BYTES_MAX = 1024 * 1024
CALL_BYTES_MAX = 10 * 1024 * 1024
# What a partition key may be (APIReference/API_PutRecordsRequestEntry).
_KEY = r"(?s:.{1,256})"
READ_MAX = 10_000
NS_PER_MS = 1_000_000
# AWS makes and reshards a stream in some tens of seconds, and answers DescribeStreamSummary 20 times a second.
_LOOK_AGAIN_S = 0.5
_LOOKS = 600


class Kinesis:
    """One stream; the message's group is its partition key."""

    kind: Literal["stream"] = "stream"
    lacks: Mapping[Capability, str] = {
        "redrive": "a stream has no dead-letter queue",
        "replay": "a stream keeps no archive: its consumers go back in it by themselves",
        "max_message": "a stream has no topic",
    }
    ordered = True
    keeps_ids = True
    deduplicates = False
    delays_messages = False
    takes_tenants = False
    batch_max = BATCH_MAX
    services = (SERVICE,)
    attaches_to: Literal["stream"] = "stream"
    traced_in: Literal["attribute", "body"] = "body"
    takes_aws_trace_header = False

    def __init__(self, *, name: str) -> None:
        self.name = name

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """A stream has neither a visibility timeout nor a dead-letter queue, so it promises nothing about them."""
        refuse_unknown(self.name, topology, takes=())
        return {
            name: Subscription(kind="stream", ordered_by="partition", settle_s=topology.settle_s)
            for name in topology.names
        }

    def look(self, topology: Topology) -> Plan[Found]:
        assert topology.attached is not None
        stream = name_of(topology.attached.at)
        answer = yield Call(SERVICE, "DescribeStreamSummary", {"StreamName": stream})
        told: Mapping[str, Any] = answer["StreamDescriptionSummary"]
        if told["StreamStatus"] != "ACTIVE":
            raise CallFailed("StreamNotActive", f"{stream} is {told['StreamStatus']}; wait for it", definite=True)
        standing = Standing(
            retention_s=float(told["RetentionPeriodHours"]) * 3600 if "RetentionPeriodHours" in told else None,
            keys=[key] if (key := told.get("KeyId")) else [],
            shards=told.get("OpenShardCount"),
        )
        return Found(
            addresses=Addresses(send_to=stream, attached=True),
            standing=dict.fromkeys(topology.names, standing),
        )

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        """Errors: CallFailed, also when the stream does not become active in some minutes."""
        if topology.attached is not None:
            return (yield from self.look(topology)).addresses
        stream = f"gameday-{run}"
        params: dict[str, Any] = {"StreamName": stream, "ShardCount": topology.shards, "Tags": dict(tags)}
        yield Call(SERVICE, "CreateStream", params, undo=lambda _: _deleted(stream))
        yield from _until_active(stream)
        if topology.encryption is not None and topology.encryption.key is not None:
            params = {"StreamName": stream, "EncryptionType": "KMS", "KeyId": topology.encryption.key}
            yield Call(SERVICE, "StartStreamEncryption", params)
            yield from _until_active(stream)
        return Addresses(send_to=stream)

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        if addresses.attached:
            return
        yield _deleted(addresses.send_to)

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        records = [{"Data": m.body.encode(), "PartitionKey": m.group or m.id} for m in messages]
        return Call(SERVICE, "PutRecords", {"StreamName": addresses.send_to, "Records": records})

    def limits(self, topology: Topology) -> Limits:
        return Limits(message=RECORD_BYTES_MAX, call=CALL_BYTES_MAX, group=_KEY, text=False)

    def size(self, topology: Topology, message: Outgoing) -> Size:
        key = message.group or message.id
        return Size(sent=len(message.body.encode()) + len(key.encode()), arrives=0, beside="its partition key")

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        records: Sequence[Mapping[str, Any]] = answer.get("Records") or ()
        return [_sent(message, n, records[n] if n < len(records) else {}) for n, message in enumerate(messages)]

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        return topology.names

    def needs(self, topology: Topology) -> Collection[Capability]:
        return ()

    def subscription(self, addresses: Addresses, name: str, identification: Identification = ENVELOPE) -> StreamSource:
        """All read the one stream."""
        return KinesisStream(addresses.send_to, identification, since_s=float(addresses.extra.get("since_s") or 0))


class KinesisStream:
    """The `StreamSource` of one stream, by its name. `since_s`: of one that was there before, the moment (in seconds of
    the epoch) from which its records may be the run's."""

    kind: Literal["stream"] = "stream"
    batch_max = READ_MAX

    def __init__(self, stream: str, identification: Identification = ENVELOPE, *, since_s: float | None = None) -> None:
        self._stream = stream
        self._since_s = since_s
        self._identification = identification

    def shards(self, *, page: str | None = None) -> Call:
        # The last shard of the page before: unlike the answer's token it does not expire while somebody pauses.
        after = {"ExclusiveStartShardId": page} if page else {}
        return self._call("ListShards", **after)

    def shards_of(self, answer: Answer) -> tuple[list[Shard], str | None]:
        shards = [_shard(shard) for shard in answer.get("Shards") or ()]
        return shards, shards[-1].id if shards and answer.get("NextToken") else None

    def iterator(self, shard: str, *, after: str | None) -> Call:
        if after is None and self._since_s:
            return self._call(
                "GetShardIterator", ShardId=shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=self._since_s
            )
        if after is None:
            return self._call("GetShardIterator", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return self._call(
            "GetShardIterator",
            ShardId=shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            StartingSequenceNumber=after,
        )

    def iterator_of(self, answer: Answer) -> str:
        iterator: str = answer["ShardIterator"]
        return iterator

    def read(self, iterator: str, *, most: int) -> Call:
        return Call(SERVICE, "GetRecords", {"ShardIterator": iterator, "Limit": min(most, READ_MAX)})

    def read_of(self, answer: Answer, shard: str) -> Reading:
        return Reading(
            deliveries=[_delivery(record, shard, self._identification) for record in answer.get("Records") or ()],
            next=answer.get("NextShardIterator"),
            behind_ms=answer.get("MillisBehindLatest") or 0,
        )

    def reshard(self, action: ReshardAction) -> Plan[Resharding]:
        """Split the widest open shard in two halves, or merge the two neighbours that are narrowest together.

        Errors: CallFailed, definite when the service has refused.
        """
        before = yield from self._listed()
        ranges = sorted(
            (
                int(shard["HashKeyRange"]["StartingHashKey"]),
                int(shard["HashKeyRange"]["EndingHashKey"]),
                shard["ShardId"],
            )
            for shard in before
            if not _shard(shard).closed
        )
        if action == "split":
            first, last, widest = max(ranges, key=lambda each: each[1] - each[0])
            parents = [widest]
            middle = str((first + last + 1) // 2)
            yield self._call("SplitShard", ShardToSplit=widest, NewStartingHashKey=middle)
        else:
            pairs = list(pairwise(ranges))
            if not pairs:
                raise CallFailed("NothingToMerge", f"{self._stream} has one open shard", definite=True)
            low, high = min(pairs, key=lambda pair: pair[1][1] - pair[0][0])
            parents = [low[2], high[2]]
            yield self._call("MergeShards", ShardToMerge=low[2], AdjacentShardToMerge=high[2])
        try:
            yield from _until_active(self._stream)
            after = yield from self._listed()
        except CallFailed as error:
            # However certainly this call failed, the one before it was accepted.
            raise CallFailed("NotSeen", f"the {action} was accepted, but then: {error}", definite=False) from error
        known = {shard["ShardId"] for shard in before}
        new = [_shard(shard) for shard in after if shard["ShardId"] not in known]
        return Resharding(
            parents=parents, children=[shard.id for shard in new if not set(parents).isdisjoint(shard.parents)]
        )

    def _listed(self) -> Plan[list[Mapping[str, Any]]]:
        """All shards as AWS describes them."""
        found: list[Mapping[str, Any]] = []
        page: str | None = None
        while True:
            answer = yield self.shards(page=page)
            found += answer.get("Shards") or ()
            page = self.shards_of(answer)[1]
            if page is None:
                return found

    def _call(self, operation: str, **params: Any) -> Call:
        return Call(SERVICE, operation, {"StreamName": self._stream, **params})


def _deleted(stream: str) -> Call:
    return Call(SERVICE, "DeleteStream", {"StreamName": stream, "EnforceConsumerDeletion": True})


def _until_active(stream: str) -> Plan[None]:
    """Errors: CallFailed when it takes too long."""
    after_s, status = 0.0, None
    for _ in range(_LOOKS):
        answer = yield Call(SERVICE, "DescribeStreamSummary", {"StreamName": stream}, after_s=after_s)
        status = answer["StreamDescriptionSummary"]["StreamStatus"]
        if status == "ACTIVE":
            return
        after_s = _LOOK_AGAIN_S
    raise CallFailed("StreamNotActive", f"{stream} is {status} after {_LOOKS * _LOOK_AGAIN_S:g} s", definite=False)


def _sent(message: Outgoing, n: int, record: Mapping[str, Any]) -> SendOutcome:
    """An entry that failed is proof that it was not stored, unless the service blames itself (InternalFailure)."""
    code = record.get("ErrorCode")
    if code:
        internal = str(code).startswith("Internal")
        return SendOutcome(
            id=message.id,
            entry=n,
            outcome="unknown" if internal else "failed",
            final=not internal and is_permanent(str(code)),
            error=f"{code}: {record.get('ErrorMessage') or ''}",
        )
    if not record.get("SequenceNumber"):
        return SendOutcome(id=message.id, entry=n, outcome="unknown", error="entry missing from the answer")
    return SendOutcome(
        id=message.id,
        entry=n,
        outcome="ok",
        broker_seq=record["SequenceNumber"],
        partition=record.get("ShardId"),
    )


def _shard(shard: Mapping[str, Any]) -> Shard:
    parents = [shard.get("ParentShardId"), shard.get("AdjacentParentShardId")]
    return Shard(
        id=shard["ShardId"],
        parents=tuple(parent for parent in parents if parent),
        closed=bool(shard["SequenceNumberRange"].get("EndingSequenceNumber")),
    )


def _delivery(record: Mapping[str, Any], shard: str, identification: Identification) -> Delivery:
    body = record["Data"].decode(errors="replace")
    read = identification.identify(body, {})
    arrived = record.get("ApproximateArrivalTimestamp")
    return Delivery(
        id=read.id,
        receipt="",
        broker_id=None,
        broker_seq=record["SequenceNumber"],
        upstream_id=None,
        group=record["PartitionKey"],
        receives=None,
        # AWS tells it in whole milliseconds; more digits would be the float's.
        enqueued=round(arrived.timestamp() * 1_000) * NS_PER_MS if arrived else None,
        intact=read.intact,
        poison=read.poison,
        body=body,
        partition=shard,
        ours=read.ours,
        original=record,
    )
