"""What passes about the stream of a subscription, written down: records read, and how far each shard was read.

A shard iterator is all that a read names, so the wire remembers which shard each of them is of. Who opens a new
iterator reads on from there: where the shard is read now is told by the iterator that was opened last, and by those
that came of it. A stream says nothing of its readers, so this is how the run knows that all was read.

A worker of the Kinesis Client Library reads ahead: it asks for more while what it has is not begun. What it has done
stands in its lease table (`leaseKey`, `checkpoint`), and where calls to that pass, they alone tell how far it is.
"""

from __future__ import annotations

import base64
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cbor2 import CBORTag

from gameday.history import events
from gameday.history.clock import TIME_MAX
from gameday.history.events import Record, SendResult
from gameday.history.identity import Identification
from gameday.transports.base import Delivery, StreamSource
from gameday.wire.client import Client
from gameday.wire.spoken import Params
from gameday.wire.taken import Receive, Taken
from gameday.wire.taken import taken as named

READ = "GetRecords"
OPEN = "GetShardIterator"
LISTS = ("ListShards", "DescribeStream")
# An iterator lives for five minutes; of one that is forgotten nothing could be told.
_ITERATORS_MAX = 100_000
# Kinesis speaks of seconds in JSON, and of milliseconds in CBOR.
_MS_FROM = 100_000_000_000


@dataclass(frozen=True, slots=True)
class Iterator:
    """A shard iterator. `lineage`: the opened iterator that it came of."""

    shard: str
    lineage: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a shard is read: up to the record `read_to` (None: nobody can tell), or to its end (`done`).

    Records that were delivered count once their consumer asks for more of the shard: until then it may die with them
    (`in_hand`: the last of them).
    """

    shard: str
    lineage: int
    read_to: str | None = None
    done: bool = False
    in_hand: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a lease table of the Kinesis Client Library is told of a shard. `read_to` is None at its beginning."""

    shard: str
    read_to: str | None
    done: bool

    @property
    def key(self) -> str:
        """What a fault rolls its dice on."""
        return f"{self.shard}:{self.read_to}"

    def is_after(self, other: Checkpoint | None) -> bool:
        """Whether it takes the shard forward, from `other`."""
        if self.read_to is None:
            return False
        return other is None or other.read_to is None or int(self.read_to) > int(other.read_to)


@dataclass(slots=True)
class Read:
    """One read of a shard, while it is on its way to who asked."""

    receive: Receive
    iterator: Iterator
    last: str | None = None
    next: str | None = None


class StreamTraffic:
    """`stream` is its name; `write` and `now` as in `QueueTraffic`."""

    def __init__(
        self,
        *,
        subscription: str,
        stream: str,
        source: StreamSource,
        identification: Identification,
        write: Callable[..., object],
        now: Callable[[], int],
    ) -> None:
        self._subscription = subscription
        self._stream = stream
        self._source = source
        self._identification = identification
        self._write = write
        self._now = now
        self._iterators: OrderedDict[str, Iterator] = OrderedDict()
        self._positions: dict[str, Position] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._told: set[str] = set()
        self._batches = itertools.count(1)
        self._calls = itertools.count(1)
        self._lineages = itertools.count(1)

    @property
    def positions(self) -> list[Position]:
        return [self._by_checkpoint(position) for position in self._positions.values()]

    def _by_checkpoint(self, position: Position) -> Position:
        told = self._checkpoints.get(position.shard)
        return position if told is None else replace(position, read_to=told.read_to, done=told.done)

    def checkpoint(self, operation: str | None, params: Params) -> Checkpoint | None:
        """What a call to DynamoDB would set as the checkpoint of a shard of this stream; None of any other call."""
        match operation, params:
            case "UpdateItem", {
                "Key": {"leaseKey": {"S": str(shard)}},
                "AttributeUpdates": {"checkpoint": {"Value": {"S": str(text)}}},
            }:
                pass
            case "PutItem", {"Item": {"leaseKey": {"S": str(shard)}, "checkpoint": {"S": str(text)}}}:
                pass
            case _:
                return None
        if shard not in self._told:
            return None
        # Else a word for the place where reading begins: TRIM_HORIZON, LATEST, AT_TIMESTAMP.
        return Checkpoint(shard, text if text.isdecimal() else None, text == "SHARD_END")

    def goes_on(self, checkpoint: Checkpoint) -> bool:
        """Whether it covers records that none before it covered."""
        return checkpoint.is_after(self._checkpoints.get(checkpoint.shard))

    def settling(self, client: Client, checkpoint: Checkpoint) -> Record | None:
        """Record what is about to be set, before it is passed on; None of what is set already."""
        known = self._checkpoints.get(checkpoint.shard)
        if checkpoint.read_to is None or (known is not None and known.read_to == checkpoint.read_to):
            return None
        record = events.settling(
            subscription=self._subscription,
            consumer=client.name,
            action="checkpoint",
            partition=checkpoint.shard,
            broker_seq=checkpoint.read_to,
            call=f"{client.name}-c{next(self._calls)}",
        )
        self._write(record)
        return record

    def settled(self, intent: Record | None, *, began: int, outcome: SendResult, error: str | None = None) -> None:
        """Record what became of it."""
        if intent is not None:
            self._write(events.settled(intent, started=began, outcome=outcome, error=error))

    def checkpointed(self, client: Client, checkpoint: Checkpoint) -> None:
        """It was set."""
        self._checkpoints[checkpoint.shard] = checkpoint
        position = self._positions.get(checkpoint.shard)
        if checkpoint.done or (position is not None and position.in_hand == checkpoint.read_to):
            client.gave_back(checkpoint.shard)

    def is_ours(self, params: Params) -> bool:
        name = params.get("StreamName") or str(params.get("StreamARN", "")).rpartition("/")[2]
        return bool(name == self._stream)

    def listed(self, answer: Params) -> None:
        """Tell the shards that a consumer is told, each once."""
        shards = answer.get("Shards") or (answer.get("StreamDescription") or {}).get("Shards") or ()
        new = [shard for shard in shards if shard.get("ShardId") not in self._told]
        if new:
            self._told.update(shard["ShardId"] for shard in new)
            self._write(*(self._partition_mark(shard) for shard in new))

    def opened(self, params: Params, answer: Params) -> None:
        """A consumer has got a new iterator and reads on from there."""
        shard, iterator = params.get("ShardId"), answer.get("ShardIterator")
        if not isinstance(shard, str) or not isinstance(iterator, str):
            return
        lineage = next(self._lineages)
        self._remember(iterator, Iterator(shard, lineage))
        after = params.get("StartingSequenceNumber")
        known = after if params.get("ShardIteratorType") == "AFTER_SEQUENCE_NUMBER" else None
        self._positions[shard] = Position(shard, lineage, known if isinstance(known, str) else None)

    def iterator(self, params: Params) -> Iterator | None:
        """What a read reads; None where it is of another stream, or was opened by nobody here."""
        named = params.get("ShardIterator")
        return self._iterators.get(named) if isinstance(named, str) else None

    def asked(self, client: Client, iterator: Iterator) -> None:
        """A consumer asks for more of a shard: it is done with what it had, unless checkpoints tell."""
        if iterator.shard in self._checkpoints:
            return
        client.gave_back(iterator.shard)
        position = self._positions.get(iterator.shard)
        if position is not None and position.lineage == iterator.lineage and position.in_hand is not None:
            self._positions[iterator.shard] = replace(position, read_to=position.in_hand, in_hand=None)

    def received(self, client: Client, iterator: Iterator, answer: Params, *, started: int) -> Read:
        """Record what was read, which is not passed on yet."""
        reading = self._source.read_of(_as_sdk(answer), iterator.shard)
        last = reading.deliveries[-1].broker_seq if reading.deliveries else None
        deliveries = self._without_foreign(reading.deliveries)
        if not deliveries:
            return Read(Receive(None), iterator, last, reading.next)
        batch = f"{client.name}-{next(self._batches)}"
        taken = [named(batch, delivery, self._identification) for delivery in deliveries]
        self._write(*(self._received(client, each, started) for each in taken))
        return Read(Receive(batch, taken), iterator, last, reading.next)

    def _without_foreign(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """The run's; records of others, where there may be any, are counted."""
        ours = [each for each in deliveries if each.ours or self._identification.run is None]
        if foreign := len(deliveries) - len(ours):
            self._write(events.mark("foreign", subscription=self._subscription, count=foreign))
        return ours

    def delivered(self, client: Client, read: Read, *, outcome: SendResult, error: str | None = None) -> None:
        """Record that the answer was passed on, or that it was not."""
        if read.receive.batch is not None:
            self._write(
                events.delivered(
                    subscription=self._subscription,
                    consumer=client.name,
                    batch=read.receive.batch,
                    outcome=outcome,
                    error=error,
                )
            )
        if outcome != "ok":
            return
        shard, position = read.iterator.shard, self._positions.get(read.iterator.shard)
        if read.next is not None:
            self._remember(read.next, read.iterator)
        if position is not None and position.lineage == read.iterator.lineage:
            in_hand = read.last or (position.in_hand if shard in self._checkpoints else None)
            self._positions[shard] = replace(position, in_hand=in_hand, done=read.next is None)
        if read.receive.taken:
            client.took([shard], TIME_MAX)

    def _received(self, client: Client, taken: Taken, started: int) -> Record:
        delivery = taken.delivery
        return events.received(
            id=taken.id,
            subscription=self._subscription,
            consumer=client.name,
            batch=taken.batch,
            started=started,
            broker_seq=delivery.broker_seq,
            partition=delivery.partition,
            group=delivery.group,
            enqueued=delivery.enqueued,
            intact=delivery.intact,
        )

    def _partition_mark(self, shard: Mapping[str, Any]) -> Record:
        parents = [shard.get("ParentShardId"), shard.get("AdjacentParentShardId")]
        return events.mark(
            "partition",
            subscription=self._subscription,
            partition=shard["ShardId"],
            parents=[parent for parent in parents if parent],
        )

    def _remember(self, iterator: str, of: Iterator) -> None:
        self._iterators[iterator] = of
        while len(self._iterators) > _ITERATORS_MAX:
            self._iterators.popitem(last=False)


def _as_sdk(answer: Params) -> Params:
    """The answer with bytes and times as an SDK gives them, from JSON and from CBOR."""
    return {**answer, "Records": [_record(record) for record in answer.get("Records") or ()]}


def _record(record: Mapping[str, Any]) -> Params:
    data, arrived = record.get("Data", b""), record.get("ApproximateArrivalTimestamp")
    if isinstance(arrived, CBORTag):
        arrived = arrived.value
    if isinstance(arrived, (int, float)):
        seconds = arrived / 1000 if arrived > _MS_FROM else arrived
        arrived = datetime.fromtimestamp(seconds, UTC)
    return {
        **record,
        "Data": base64.b64decode(data) if isinstance(data, str) else data,
        "ApproximateArrivalTimestamp": arrived,
    }
