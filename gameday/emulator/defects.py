"""Brokers that break one promise on purpose: every check is seen to fail against one of them.

A defect is the conduct of one service (queues, topics, buses, streams, tables, machines, mappings) with one answer
changed; its parameter stands behind a colon on the command line (`lose:50`: every 50th). Adding one is one class here,
entered in `DEFECTS`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.emulator.dynamodb import TableConduct, Write
from gameday.emulator.eventbridge import BusConduct, Event
from gameday.emulator.kinesis import Record, StreamConduct
from gameday.emulator.mappings import MappingConduct
from gameday.emulator.pipes import PipeConduct
from gameday.emulator.queues import Conduct, Draft
from gameday.emulator.s3 import ObjectConduct
from gameday.emulator.scheduler import SchedulerConduct
from gameday.emulator.sns import BYTES_DEFAULT, TopicConduct
from gameday.emulator.stepfunctions import Played, WorkflowConduct
from gameday.emulator.wire import Params
from gameday.history import envelope
from gameday.history.clock import NS_PER_S
from gameday.transports.filters.rules import OR
from gameday.transports.lambda_events import BatchFails, failed_of


class _Counting:
    """Strikes at every n-th question; the first n - 1 are answered as they should be."""

    _n = 10
    _asked = 0

    def __init__(self, n: float | None = None) -> None:
        if n is not None:
            if n < 1 or n != int(n):
                raise ValueError("n is a whole number from 1")
            self._n = int(n)

    def _strikes(self) -> bool:
        self._asked += 1
        return self._asked % self._n == 0


class _EveryNth(_Counting, Conduct):
    """A queue's."""


class Lose(_EveryNth):
    """Every n-th accepted message is never delivered."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        return () if self._strikes() else (draft,)


class DuplicateCopy(_EveryNth):
    """Every n-th message is stored twice, the second time under a MessageId of its own."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        return (draft, draft) if self._strikes() else (draft,)


class CorruptBody(_EveryNth):
    """Every n-th body is changed: an order's currency, and a body that is no order of ours gets a letter more."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        if not self._strikes():
            return (draft,)
        changed = draft.body.replace('"currency":"', '"currency":"X', 1)
        return (draft._replace(body=changed if changed != draft.body else f"{draft.body}X"),)


class Phantom(_EveryNth):
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


class Reorder(_EveryNth):
    """Every n-th message stands before its neighbour in its group, if that one is still waiting."""

    def place(self, number: int, last: float) -> float:
        return last - 0.5 if self._strikes() else number


class Misnumber(_EveryNth):
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


class ForgetInFlight(_EveryNth):
    """Every n-th message that was received and not deleted is not delivered again."""

    _n = 1

    def comes_back(self) -> bool:
        return not self._strikes()


class DedupForgetsAfterDelete(Conduct):
    """A deduplication id is forgotten once its message is deleted."""

    def remembers_deleted(self) -> bool:
        return False


class DedupNeverForgets(Conduct):
    """A deduplication id counts forever."""

    def forgets(self) -> bool:
        return False


class NoDedup(Conduct):
    """A message is stored however often its deduplication id was seen."""

    def deduplicates(self) -> bool:
        return False


class DedupIgnoresContent(Conduct):
    """The same body twice is never the same message."""

    def content_id(self, digest: str) -> str:
        return str(uuid.uuid4())


class DedupIgnoresScope(Conduct):
    """A deduplication id counts in the whole queue, also where it is to count in its group."""

    def dedups_by_group(self, asked: bool) -> bool:
        return False


class DedupByGroup(Conduct):
    """A deduplication id counts in its group only, also where it is to count in the whole queue."""

    def dedups_by_group(self, asked: bool) -> bool:
        return True


class MisnumberAtReceive(Conduct):
    """A receive tells another sequence number than the send did."""

    def told_sequence(self, sequence: str) -> str:
        return str(int(sequence) + 1)


class OneLock(Conduct):
    """A message in flight keeps every group back."""

    def locks_others(self) -> bool:
        return True


class RequeueAtEnd(Conduct):
    """A message that comes back stands at the end of its group."""

    def returns_to(self, place: float, last: float) -> float:
        return last + 0.5


class ExtendUnlocks(Conduct):
    """A message whose visibility was changed does not keep the rest of its group back."""

    def locks_extended(self) -> bool:
        return False


class Undelete(_EveryNth):
    """Every n-th delete succeeds and deletes nothing."""

    _n = 1

    def deletes(self) -> bool:
        return not self._strikes()


class Unfair(Conduct):
    """A Standard queue does not heed message groups: whoever sends most is served most."""

    def fair(self) -> bool:
        return False


class StaleReceiptRefused(Conduct):
    """An outdated receipt is an error on Standard too."""

    def refuses_stale(self, *, fifo: bool) -> bool:
        return True


class StaleReceiptDeletes(Conduct):
    """An outdated receipt deletes on FIFO."""

    def refuses_stale(self, *, fifo: bool) -> bool:
        return False


class NoAttemptId(Conduct):
    """A receive cannot be repeated: its ReceiveRequestAttemptId is ignored."""

    def repeats(self) -> bool:
        return False


class NoDelay(Conduct):
    """A delayed message is there at once."""

    def delays_ns(self, asked_ns: int) -> int:
        return 0


class DelayNotRetroactive(Conduct):
    """A new delay of a FIFO queue does not reach the messages that are delayed already."""

    def redelays(self) -> bool:
        return False


class DelayedOvertaken(DelayNotRetroactive):
    """A delayed message keeps nobody behind it back, and a new delay of its FIFO queue does not reach it."""

    def waits_for_delayed(self) -> bool:
        return False


class FifoTakesTimers(Conduct):
    """A message of a FIFO queue may have a delay of its own."""

    def refuses_timers(self) -> bool:
        return False


class AnyCharacter(Conduct):
    """A body may have characters outside the allowed set."""

    def refuses_characters(self) -> bool:
        return False


class NoSizeLimit(Conduct):
    """Messages and batches may be of any size."""

    def counts(self, body: int, attributes: int) -> int:
        return 0


class SizeOfBodyOnly(Conduct):
    """The attributes of a message do not count in its size."""

    def counts(self, body: int, attributes: int) -> int:
        return body


class NoBatchLimit(Conduct):
    """A batch may hold ten of the largest messages."""

    def limits_batches(self) -> bool:
        return False


class AttributeNamesIgnored(Conduct):
    """A receive tells no system attributes that are asked for by `AttributeNames` or `MessageSystemAttributeNames`."""

    def __init__(self, parameter: str = "AttributeNames") -> None:
        if parameter not in ("AttributeNames", "MessageSystemAttributeNames"):
            raise ValueError("the parameter is AttributeNames or MessageSystemAttributeNames")
        self._parameter = parameter

    def system_names(self, asked: Sequence[str], asked_of_old: Sequence[str]) -> Sequence[str]:
        return asked if self._parameter == "AttributeNames" else asked_of_old


class BatchHidesFailures(Conduct):
    """An entry that failed in a batch is told as a success."""

    def tells_failures(self) -> bool:
        return False


class RedriveLoses(_EveryNth):
    """Every n-th message that is taken out of a dead-letter queue arrives nowhere."""

    _n = 1

    def moves(self) -> bool:
        return not self._strikes()


class NoDeadLetter(Conduct):
    """A message is delivered again however often it was received."""

    def buries(self) -> bool:
        return False


class PolicyIgnored(Conduct):
    """What a queue's policy denies everybody is done all the same."""

    def heeds_policy(self) -> bool:
        return False


class TopicMisses(_Counting, TopicConduct):
    """Every n-th delivery of a topic to one of its subscriptions does not take place."""

    _n = 2

    def delivers(self) -> bool:
        return not self._strikes()


class FilterAlways(TopicConduct):
    """Filter policies on `attributes` or `body` let everything through."""

    passes = True

    def __init__(self, on: str) -> None:
        if on not in ("attributes", "body"):
            raise ValueError("a policy is on attributes or body")
        self._scope = "MessageBody" if on == "body" else "MessageAttributes"

    def matches(self, scope: str, right: bool) -> bool:
        return self.passes if scope == self._scope else right


class FilterNever(FilterAlways):
    """Filter policies on `attributes` or `body` let nothing through."""

    passes = False


OPERATORS = (
    "exact",
    "prefix",
    "suffix",
    "anything-but",
    "equals-ignore-case",
    "numeric",
    "exists",
    "cidr",
    "wildcard",
    "or",
)


# SNS has no wildcard.
FILTER_OPERATORS = tuple(operator for operator in OPERATORS if operator != "wildcard")


class FilterOperatorAlways(TopicConduct):
    """An operator of filter policies (exact, prefix, …, or) is always satisfied."""

    satisfied = True

    def __init__(self, operator: str) -> None:
        if operator not in FILTER_OPERATORS:
            raise ValueError(f"an operator is one of {', '.join(FILTER_OPERATORS)}")
        self._operator = operator

    def reads(self, policy: Mapping[str, Any]) -> Mapping[str, Any] | bool:
        return _decided(policy, self._operator, self.satisfied)


class FilterOperatorNever(FilterOperatorAlways):
    """An operator of filter policies (exact, prefix, …, or) is never satisfied."""

    satisfied = False


class FilterStopsAtArrays(TopicConduct):
    """A filter policy on the body does not look into the objects of an array."""

    def matches_body(self, policy: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        return super().matches_body(policy, _without_objects_in_arrays(body))


class FilterLiteralDots(TopicConduct):
    """A dot in a key of a filter policy on the body is no step into an object."""

    def matches_body(self, policy: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        return super().matches_body(_without_dots(policy), _without_dots(body))


def _without_objects_in_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_objects_in_arrays(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [inner for inner in value if not isinstance(inner, Mapping | list)]
    return value


def _without_dots(value: Any) -> Any:
    """The document with another character for the dots of its keys: they match each other and no nested field."""
    if isinstance(value, Mapping):
        return {key.replace(".", "\u2024"): _without_dots(inner) for key, inner in value.items()}
    return [_without_dots(inner) for inner in value] if isinstance(value, list) else value


class TopicDedupByGroup(TopicConduct):
    """A deduplication id counts in its group only, also where it is to count in the whole topic."""

    def dedups_by_group(self, asked: bool) -> bool:
        return True


class TopicNoSizeLimit(TopicConduct):
    """What is published may be of any size."""

    def counts(self, body: int, attributes: int) -> int:
        return 0


class TopicSizeOfBodyOnly(TopicConduct):
    """The attributes of a message that is published do not count in its size."""

    def counts(self, body: int, attributes: int) -> int:
        return body


class TopicNoBatchLimit(TopicConduct):
    """A batch that is published may hold ten of the largest messages."""

    def limits_batches(self) -> bool:
        return False


class TopicSizeFixed(TopicConduct):
    """A topic takes no larger messages when its MaximumMessageSize is raised."""

    def largest(self, asked: int) -> int:
        return min(asked, BYTES_DEFAULT)


class RawIgnored(TopicConduct):
    """A subscription that asked for the bare message gets it wrapped."""

    def delivers_raw(self, asked: bool) -> bool:
        return False


class TopicReversesBatch(TopicConduct):
    """The entries of a batch are published last first."""

    def published_in(self, entries: Sequence[Params]) -> Sequence[Params]:
        return entries[::-1]


class TopicNoDedup(TopicConduct):
    """A topic delivers a deduplication id again, under one of its own making, so that no queue covers up for it."""

    def deduplicates(self) -> bool:
        return False


class TopicBatchHidesFailures(TopicConduct):
    """An entry that failed in a PublishBatch is told as a success."""

    def tells_failures(self) -> bool:
        return False


class RuleMisses(_Counting, BusConduct):
    """Every n-th event for a target does not get there."""

    _n = 2

    def delivers(self) -> bool:
        return not self._strikes()


class PatternAlways(BusConduct):
    """An operator of event patterns (exact, prefix, …, or) is always satisfied."""

    satisfied = True

    def __init__(self, operator: str) -> None:
        if operator not in OPERATORS:
            raise ValueError(f"an operator is one of {', '.join(OPERATORS)}")
        self._operator = operator

    def matches(self, pattern: Mapping[str, Any], event: Event) -> bool:
        left = _decided(pattern, self._operator, self.satisfied)
        return left if isinstance(left, bool) else super().matches(left, event)


class PatternNever(PatternAlways):
    """An operator of event patterns (exact, prefix, …, or) is never satisfied."""

    satisfied = False


def _decided(pattern: Mapping[str, Any], operator: str, satisfied: bool) -> Mapping[str, Any] | bool:
    """What is left of a pattern when one operator has its answer already; a bool when nothing is."""
    left: dict[str, Any] = {}
    for key, value in pattern.items():
        answer: Any
        if key == OR and operator == "or":
            answer = satisfied
        elif key == OR:
            ways = [_decided(one, operator, satisfied) for one in value]
            open_ways = [way for way in ways if not isinstance(way, bool)]
            # An `$or` has two ways at least.
            answer = True in ways or (open_ways * 2 if open_ways else False)
        elif isinstance(value, Mapping):
            answer = _decided(value, operator, satisfied)
        else:
            others = [one for one in value if _operator(one) != operator]
            answer = satisfied if satisfied and len(others) < len(value) else others or False
        if answer is False:
            return False
        if answer is not True:
            left[key] = answer
    return left or True


def _operator(value: Any) -> str:
    return next(iter(value)) if isinstance(value, Mapping) else "exact"


class PatternStopsAtArrays(BusConduct):
    """A pattern does not look into the objects of an array."""

    def matches(self, pattern: Mapping[str, Any], event: Event) -> bool:
        return super().matches(pattern, _without_objects_in_arrays(event))


class PatternLiteralDots(BusConduct):
    """A dot in a key of a pattern is no step into an object."""

    def matches(self, pattern: Mapping[str, Any], event: Event) -> bool:
        return super().matches(_without_dots(pattern), _without_dots(event))


class PutEventsHidesFailures(BusConduct):
    """An entry that failed in a PutEvents is told as a success."""

    def tells_failures(self) -> bool:
        return False


class ReplayMisses(_Counting, BusConduct):
    """Every n-th archived event is not replayed."""

    _n = 2

    def replays(self) -> bool:
        return not self._strikes()


class ReplayUnnamed(BusConduct):
    """A replayed event looks like a new one."""

    def names_replay(self) -> bool:
        return False


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


class MisnumberRecords(_Counting, StreamConduct):
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


class ThrottleRecords(_Counting, StreamConduct):
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


class ConditionalWriteRace(_Counting, TableConduct):
    """Every n-th conditional write whose condition does not hold is done and answered all the same."""

    _n = 1

    def stops(self) -> bool:
        return not self._strikes()


class TransactionWritesPart(TableConduct):
    """A cancelled transaction leaves those of its writes whose own condition holds."""

    def written_of_cancelled(self, upheld: Sequence[Write]) -> Sequence[Write]:
        return upheld


class ScheduleNeverSends(SchedulerConduct):
    """A one-time schedule sends nothing, ever."""

    def sends_at(self, now: int, at: int) -> int | None:
        return None


class ScheduleSendsEarly(SchedulerConduct):
    """A one-time schedule sends as soon as it is made."""

    def sends_at(self, now: int, at: int) -> int | None:
        return now


class ScheduleOutlivesDelete(SchedulerConduct):
    """A schedule that is deleted before its time sends all the same."""

    def cancels(self) -> bool:
        return False


class PipeMovesNothing(PipeConduct):
    """A pipe that says RUNNING moves nothing."""

    def moves(self) -> bool:
        return False


class PipeNeverStops(PipeConduct):
    """A pipe that says STOPPED moves all the same."""

    def stops(self) -> bool:
        return False


class ObjectExpires(ObjectConduct):
    """An object is gone so many seconds after it was written, whatever the lifecycle says."""

    def __init__(self, seconds: float = 2.0) -> None:
        if seconds <= 0:
            raise ValueError("an object lives for more than no time")
        self._seconds = seconds

    def lives_ns(self) -> int | None:
        return int(self._seconds * NS_PER_S)


class ObjectLost(_Counting, ObjectConduct):
    """Every n-th object that is answered as written is not there."""

    def stores(self) -> bool:
        return not self._strikes()


class ObjectCorrupt(_Counting, ObjectConduct):
    """Every n-th read of an object gives wrong bytes, and their checksum."""

    def given(self, body: bytes) -> bytes:
        return bytes([*body[:-1], body[-1] ^ 1]) if body and self._strikes() else body


class ObjectConditionIgnored(ObjectConduct):
    """A write whose condition does not hold is done all the same."""

    def heeds_conditions(self) -> bool:
        return False


class ObjectUndelete(ObjectConduct):
    """An object that was removed, and said to be, is still there."""

    def deletes(self) -> bool:
        return False


class ObjectListMisses(ObjectConduct):
    """A list of objects leaves out the one that was written last."""

    def lists_all(self) -> bool:
        return False


class _EveryNthStart(_Counting, WorkflowConduct):
    """A machine's."""


class NameUsedTwice(WorkflowConduct):
    """A name that is in use begins a second execution."""

    def keeps_names(self) -> bool:
        return False

    def repeats_answer(self) -> bool:
        return False


class SameInputRefused(WorkflowConduct):
    """The same name and input are refused while their execution runs."""

    def repeats_answer(self) -> bool:
        return False


class StartLost(_EveryNthStart):
    """Every n-th start that is answered becomes no execution."""

    def runs(self) -> bool:
        return not self._strikes()


class ExpressTwice(_EveryNthStart):
    """Every n-th asynchronous Express execution is carried out twice, as AWS may do."""

    def plays(self, kind: Played) -> int:
        return 2 if kind == "express" and self._strikes() else 1


class SyncTwice(_EveryNthStart):
    """Every n-th Express execution that somebody waits for is carried out twice."""

    def plays(self, kind: Played) -> int:
        return 2 if kind == "sync" and self._strikes() else 1


class MapItemDropped(_EveryNthStart):
    """Every n-th map leaves out its last item."""

    def items(self, number: int) -> Sequence[int]:
        return range(number - 1) if number and self._strikes() else range(number)


class TokenTwice(WorkflowConduct):
    """A token is accepted again after it was answered, and after its time is over."""

    def closes_tokens(self) -> bool:
        return False


class TokenReused(WorkflowConduct):
    """A task that is tried again has the token of its first attempt, as MiniStack does it."""

    def renews_tokens(self) -> bool:
        return False


class CallbackLost(_EveryNthStart):
    """Every n-th callback that is accepted wakes nobody."""

    def tells_tokens(self) -> bool:
        return not self._strikes()


class RetryIgnored(WorkflowConduct):
    """No state is tried again."""

    def retries(self) -> bool:
        return False


class HeartbeatIgnored(WorkflowConduct):
    """A task that gives no sign of life is waited for all the same."""

    def heeds_heartbeats(self) -> bool:
        return False


class MachineTimeoutIgnored(WorkflowConduct):
    """A machine's own TimeoutSeconds ends nothing."""

    def heeds_timeout(self) -> bool:
        return False


class RedriveReruns(WorkflowConduct):
    """A redrive begins at the beginning."""

    def redrives_from_failure(self) -> bool:
        return False


class MappingKeeps(MappingConduct):
    """A mapping does not delete what its function has done."""

    def deletes(self) -> bool:
        return False


class PartialIgnored(MappingConduct):
    """A mapping takes every answer for success, whatever it reports to have failed."""

    def failed(self, answer: object, identifiers: Sequence[str]) -> Sequence[int]:
        return ()


class UnknownIdentifierSucceeds(MappingConduct):
    """A mapping passes over an identifier that is not in the batch, as MiniStack does it."""

    def failed(self, answer: object, identifiers: Sequence[str]) -> Sequence[int]:
        try:
            return failed_of(answer, identifiers)
        except BatchFails:
            return ()


class EmptyAnswerFails(MappingConduct):
    """A mapping takes an empty answer for a failure of the whole batch."""

    def failed(self, answer: object, identifiers: Sequence[str]) -> Sequence[int]:
        return super().failed(answer, identifiers) if answer else range(len(identifiers))


class FailedDeleted(MappingConduct):
    """A mapping deletes a batch whose invocation failed."""

    def fails(self) -> bool:
        return False


class MappingOverfills(MappingConduct):
    """An invocation has up to twice as many messages as its mapping's BatchSize."""

    def most(self, batch: int) -> int:
        return 2 * batch


class MappingFilterIgnored(MappingConduct):
    """A function sees what its mapping's filter does not match."""

    def passes(self, right: bool) -> bool:
        return True


class MappingFilterLeaves(MappingConduct):
    """What a mapping's filter does not match is not deleted."""

    def drops(self) -> bool:
        return False


class OutlastingTaken(MappingConduct):
    """A mapping is made whose function may outlast the visibility timeout of its queue."""

    def refuses_timeout(self) -> bool:
        return False


class LargeBatchTaken(MappingConduct):
    """A mapping is made whose batch is larger than its queue and its window allow."""

    def refuses_batch(self) -> bool:
        return False


class FifoWindowTaken(MappingConduct):
    """A mapping of a FIFO queue may have a batching window."""

    def refuses_window(self) -> bool:
        return False


class ReservedIgnored(MappingConduct):
    """A function is invoked whatever its reserved concurrency is."""

    def throttles(self) -> bool:
        return False


class DisabledIgnored(MappingConduct):
    """A mapping that says Disabled goes on."""

    def heeds_enabled(self) -> bool:
        return False


DEFECTS: Mapping[str, type] = {
    # Queues.
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
    "dedup-never-forgets": DedupNeverForgets,
    "no-dedup": NoDedup,
    "dedup-ignores-content": DedupIgnoresContent,
    "dedup-ignores-scope": DedupIgnoresScope,
    "dedup-by-group": DedupByGroup,
    "misnumber-at-receive": MisnumberAtReceive,
    "one-lock": OneLock,
    "requeue-at-end": RequeueAtEnd,
    "extend-unlocks": ExtendUnlocks,
    "undelete": Undelete,
    "unfair": Unfair,
    "stale-receipt-refused": StaleReceiptRefused,
    "stale-receipt-deletes": StaleReceiptDeletes,
    "no-attempt-id": NoAttemptId,
    "no-delay": NoDelay,
    "delay-not-retroactive": DelayNotRetroactive,
    "delayed-overtaken": DelayedOvertaken,
    "fifo-takes-timers": FifoTakesTimers,
    "any-character": AnyCharacter,
    "no-size-limit": NoSizeLimit,
    "size-of-body-only": SizeOfBodyOnly,
    "no-batch-limit": NoBatchLimit,
    "attribute-names-ignored": AttributeNamesIgnored,
    "batch-hides-failures": BatchHidesFailures,
    "redrive-loses": RedriveLoses,
    "policy-ignored": PolicyIgnored,
    # Topics.
    "topic-misses": TopicMisses,
    "filter-always": FilterAlways,
    "filter-never": FilterNever,
    "filter-operator-always": FilterOperatorAlways,
    "filter-operator-never": FilterOperatorNever,
    "filter-stops-at-arrays": FilterStopsAtArrays,
    "filter-literal-dots": FilterLiteralDots,
    "topic-dedup-by-group": TopicDedupByGroup,
    "topic-no-size-limit": TopicNoSizeLimit,
    "topic-size-of-body-only": TopicSizeOfBodyOnly,
    "topic-no-batch-limit": TopicNoBatchLimit,
    "topic-size-fixed": TopicSizeFixed,
    "raw-ignored": RawIgnored,
    "topic-reverses-batch": TopicReversesBatch,
    "topic-no-dedup": TopicNoDedup,
    "topic-batch-hides-failures": TopicBatchHidesFailures,
    # Buses.
    "rule-misses": RuleMisses,
    "pattern-always": PatternAlways,
    "pattern-never": PatternNever,
    "pattern-stops-at-arrays": PatternStopsAtArrays,
    "pattern-literal-dots": PatternLiteralDots,
    "put-events-hides-failures": PutEventsHidesFailures,
    "replay-misses": ReplayMisses,
    "replay-unnamed": ReplayUnnamed,
    # Streams.
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
    # Tables.
    "conditional-write-race": ConditionalWriteRace,
    "transaction-writes-part": TransactionWritesPart,
    "schedule-never-sends": ScheduleNeverSends,
    "schedule-sends-early": ScheduleSendsEarly,
    "schedule-outlives-delete": ScheduleOutlivesDelete,
    "pipe-moves-nothing": PipeMovesNothing,
    "pipe-never-stops": PipeNeverStops,
    # Objects.
    "object-expires": ObjectExpires,
    "object-lost": ObjectLost,
    "object-corrupt": ObjectCorrupt,
    "object-condition-ignored": ObjectConditionIgnored,
    "object-undelete": ObjectUndelete,
    "object-list-misses": ObjectListMisses,
    # Machines.
    "name-used-twice": NameUsedTwice,
    "same-input-refused": SameInputRefused,
    "start-lost": StartLost,
    "express-twice": ExpressTwice,
    "sync-twice": SyncTwice,
    "map-item-dropped": MapItemDropped,
    "token-twice": TokenTwice,
    "token-reused": TokenReused,
    "callback-lost": CallbackLost,
    "retry-ignored": RetryIgnored,
    "heartbeat-ignored": HeartbeatIgnored,
    "machine-timeout-ignored": MachineTimeoutIgnored,
    "redrive-reruns": RedriveReruns,
    # Mappings.
    "mapping-keeps": MappingKeeps,
    "partial-ignored": PartialIgnored,
    "unknown-identifier-succeeds": UnknownIdentifierSucceeds,
    "empty-answer-fails": EmptyAnswerFails,
    "failed-deleted": FailedDeleted,
    "mapping-overfills": MappingOverfills,
    "mapping-filter-ignored": MappingFilterIgnored,
    "mapping-filter-leaves": MappingFilterLeaves,
    "outlasting-taken": OutlastingTaken,
    "large-batch-taken": LargeBatchTaken,
    "fifo-window-taken": FifoWindowTaken,
    "reserved-ignored": ReservedIgnored,
    "disabled-ignored": DisabledIgnored,
}


def defect(text: str) -> object:
    """Read `NAME` or `NAME:PARAM`: the conduct of one service. Errors: ValueError, with what is known."""
    name, colon, parameter = text.partition(":")
    make = DEFECTS.get(name)
    if make is None:
        raise ValueError(f"no defect is called {name!r}; known are {', '.join(DEFECTS)}")
    try:
        return make(_value(parameter)) if colon else make()
    except (TypeError, ValueError):
        raise ValueError(f"defect {text!r}: {make.__doc__} {parameter!r} does not fit that") from None


def _value(parameter: str) -> float | str:
    try:
        return float(parameter)
    except ValueError:
        return parameter
