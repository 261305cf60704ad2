"""Brokers that break one promise on purpose: every check is seen to fail against one of them.

A defect is the conduct of a service with one answer changed; its parameter, a number, stands behind a colon on the
command line (`lose:50`: every 50th). Adding one is one class here, entered in `DEFECTS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from history import envelope
from transports.memory.dynamodb import TableConduct, Write
from transports.memory.kinesis import Record, StreamConduct
from transports.memory.queues import Conduct, Draft


class _EveryNth:
    """Strikes at every n-th question; the first n - 1 are answered as they should be."""

    def __init__(self, n: float = 10) -> None:
        if n < 1 or n != int(n):
            raise ValueError("n is a whole number from 1")
        self._n = int(n)
        self._asked = 0

    def _strikes(self) -> bool:
        self._asked += 1
        return self._asked % self._n == 0


class Lose(_EveryNth, Conduct):
    """Every n-th accepted message is never delivered."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        return () if self._strikes() else (draft,)


class DuplicateCopy(_EveryNth, Conduct):
    """Every n-th message is stored twice, the second time under a MessageId of its own."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        return (draft, draft) if self._strikes() else (draft,)


class CorruptBody(_EveryNth, Conduct):
    """Every n-th body is changed: an order's currency, and a body that is no order of ours gets a letter more."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        if not self._strikes():
            return (draft,)
        changed = draft.body.replace('"currency":"', '"currency":"X', 1)
        return (draft._replace(body=changed if changed != draft.body else f"{draft.body}X"),)


class Phantom(_EveryNth, Conduct):
    """Every n-th message is followed by an order that nobody sent."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        if not self._strikes():
            return (draft,)
        sent = envelope.unpack(draft.body)
        body = envelope.pack(
            id=f"phantom-{self._asked}",
            run=sent.run if sent else "",
            group=draft.group,
            timestamp_ns=0,
            payload_bytes=0,
        )
        return (draft, draft._replace(body=body.decode(), dedup_id=f"phantom-{self._asked}"))


class Reorder(_EveryNth, Conduct):
    """Every n-th message stands before its neighbour in its group, if that one is still waiting."""

    def place(self, number: int, last: float) -> float:
        return last - 0.5 if self._strikes() else number


class Misnumber(_EveryNth, Conduct):
    """Every n-th message is told by a number far below that of the one before it."""

    _BACK = 1_000_000

    def sequence(self, number: int) -> int:
        return number - self._BACK if self._strikes() else number


class Overtake(Conduct):
    """A message in flight does not keep the rest of its group back."""

    def locks(self) -> bool:
        return False


class EarlyRedelivery(Conduct):
    """A received message is hidden only for this share of the visibility timeout."""

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share < 1:
            raise ValueError("a share lies between 0 and 1")
        self._share = share

    def hides_ns(self, asked_ns: int) -> int:
        return int(asked_ns * self._share)


class ForgetInFlight(_EveryNth, Conduct):
    """Every n-th message that was received and not deleted is not delivered again."""

    def __init__(self, n: float = 1) -> None:
        super().__init__(n)

    def comes_back(self) -> bool:
        return not self._strikes()


class DedupForgetsAfterDelete(Conduct):
    """A deduplication id is forgotten once its message is deleted."""

    def remembers_deleted(self) -> bool:
        return False


class NoDeadLetter(Conduct):
    """A message is delivered again however often it was received."""

    def buries(self) -> bool:
        return False


# Kinesis.


class ReverseReads(StreamConduct):
    """What one GetRecords answers stands in the wrong order, last first."""

    def read(self, records: Sequence[Record]) -> Sequence[Record]:
        return records[::-1]


class ScatterKeys(StreamConduct):
    """A record's shard has nothing to do with its partition key: shards take turns, more or less."""

    def __init__(self) -> None:
        self._asked = 0

    def hash_of(self, key: str) -> int:
        self._asked += 1
        return super().hash_of(str(self._asked))


class MisnumberRecords(_EveryNth, StreamConduct):
    """Every n-th record is told by a sequence number far below that of the one before it."""

    _BACK = 1_000_000

    def number_told(self, number: int) -> int:
        return number - self._BACK if self._strikes() else number


class ReshardDropsParent(StreamConduct):
    """A split or a merge drops what is in the parents, read or not."""

    def keeps_closed(self) -> bool:
        return False


class MergeForgetsAdjacent(StreamConduct):
    """The child of a merge names one of its two parents, so a reader does not wait for the other."""

    def parents_named(self, parents: Sequence[str]) -> Sequence[str]:
        return parents[:1]


class EndlessShard(StreamConduct):
    """A closed shard that was read to its end gives iterators on and on, and never names its children."""

    def ends_closed(self) -> bool:
        return False


class EternalIterator(StreamConduct):
    """A shard iterator never expires."""

    def expires(self) -> bool:
        return False


class ThrottleRecords(_EveryNth, StreamConduct):
    """Every n-th record is refused for want of throughput, and said to be: no defect, but what AWS may do."""

    def throttles(self) -> bool:
        return self._strikes()


class ThrottledSaidStored(ThrottleRecords):
    """Every n-th record is refused for want of throughput, and PutRecords says that it is stored."""

    def throttled_entries(self, throttled: Sequence[bool]) -> Sequence[tuple[bool, bool]]:
        return [(not each, True) for each in throttled]


class ThrottledLosesCall(ThrottleRecords):
    """Every n-th record is refused for want of throughput, and what PutRecords says it stored beside it is lost."""

    def throttled_entries(self, throttled: Sequence[bool]) -> Sequence[tuple[bool, bool]]:
        return [(not any(throttled), not each) for each in throttled]


# DynamoDB.


class ConditionalWriteRace(_EveryNth, TableConduct):
    """Every n-th conditional write whose condition does not hold is done and answered all the same."""

    def __init__(self, n: float = 1) -> None:
        super().__init__(n)

    def stops(self) -> bool:
        return not self._strikes()


class TransactionWritesPart(TableConduct):
    """A cancelled transaction leaves those of its writes whose own condition holds."""

    def written_of_cancelled(self, upheld: Sequence[Write]) -> Sequence[Write]:
        return upheld


DEFECTS: Mapping[str, type] = {
    "lose": Lose,
    "forget-in-flight": ForgetInFlight,
    "duplicate-copy": DuplicateCopy,
    "reorder": Reorder,
    "overtake": Overtake,
    "early-redelivery": EarlyRedelivery,
    "dedup-forgets-after-delete": DedupForgetsAfterDelete,
    "misnumber": Misnumber,
    "no-dead-letter": NoDeadLetter,
    "corrupt-body": CorruptBody,
    "phantom": Phantom,
    # Kinesis.
    "reverse-reads": ReverseReads,
    "scatter-keys": ScatterKeys,
    "misnumber-records": MisnumberRecords,
    "reshard-drops-parent": ReshardDropsParent,
    "merge-forgets-adjacent": MergeForgetsAdjacent,
    "endless-shard": EndlessShard,
    "eternal-iterator": EternalIterator,
    "throttle-records": ThrottleRecords,
    "throttled-said-stored": ThrottledSaidStored,
    "throttled-loses-call": ThrottledLosesCall,
    # DynamoDB.
    "conditional-write-race": ConditionalWriteRace,
    "transaction-writes-part": TransactionWritesPart,
}


def defect(text: str) -> object:
    """Read `NAME` or `NAME:PARAM`: the conduct of one service. Errors: ValueError, with what is known."""
    name, colon, parameter = text.partition(":")
    make = DEFECTS.get(name)
    if make is None:
        raise ValueError(f"no defect is called {name!r}; known are {', '.join(DEFECTS)}")
    try:
        return make(float(parameter)) if colon else make()
    except (TypeError, ValueError):
        raise ValueError(f"defect {text!r}: {make.__doc__} {parameter!r} does not fit that") from None
