"""Every probe is seen to hold on a correct broker and to fail where a defect is planted: one row of a table a probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gameday.conformance.base import Bench, Conditions, rule
from gameday.conformance.probes.sns import OPERATORS
from gameday.conformance.registry import NEEDS, PROBES
from gameday.conformance.run import ask
from gameday.emulator.defects import DEFECTS
from gameday.transports.base import Answer, Call, CallFailed
from tests.conformance.in_memory import conditions
from tests.series import series

# What each probe must find, by service and probe.
CAUGHT: dict[tuple[str, str], str] = {
    ("sqs", "at-least-once"): "lose:5",
    ("sqs", "hidden-while-in-flight"): "early-redelivery:0.2",
    ("sqs", "redelivered-after-visibility"): "forget-in-flight",
    ("sqs", "delete-is-final"): "undelete",
    ("sqs", "stale-receipt"): "stale-receipt-refused",
    ("sqs", "dead-letter-after-max-receives"): "no-dead-letter",
    ("sqs", "batch-partial-failure"): "batch-hides-failures",
    ("sqs", "delay"): "no-delay",
    ("sqs", "delay-queue"): "no-delay",
    ("sqs", "message-size"): "no-size-limit",
    ("sqs", "batch-size"): "no-batch-limit",
    ("sqs", "characters"): "any-character",
    ("sqs", "system-attributes"): "attribute-names-ignored:AttributeNames",
    ("sqs", "redrive"): "redrive-loses",
    ("sqs", "policy-deny"): "policy-ignored",
    ("sqs", "fair-queue"): "unfair",
    ("sqs-fifo", "order-in-group"): "reorder:2",
    ("sqs-fifo", "order-in-batch"): "reorder:2",
    ("sqs-fifo", "group-locked-while-in-flight"): "overtake",
    ("sqs-fifo", "other-groups-flow"): "one-lock",
    ("sqs-fifo", "order-after-visibility"): "requeue-at-end",
    ("sqs-fifo", "extended-head-blocks-group"): "extend-unlocks",
    ("sqs-fifo", "dedup-inside-window"): "no-dedup",
    ("sqs-fifo", "dedup-after-delete"): "dedup-forgets-after-delete",
    ("sqs-fifo", "dedup-after-window"): "dedup-never-forgets",
    ("sqs-fifo", "dedup-by-content"): "dedup-ignores-content",
    ("sqs-fifo", "dedup-scope-group"): "dedup-ignores-scope",
    ("sqs-fifo", "dedup-scope-queue"): "dedup-by-group",
    ("sqs-fifo", "delay-queue"): "no-delay",
    ("sqs-fifo", "delayed-head-keeps-order"): "delayed-overtaken",
    ("sqs-fifo", "delay-is-retroactive"): "delay-not-retroactive",
    ("sqs-fifo", "message-timer-refused"): "fifo-takes-timers",
    ("sqs-fifo", "receive-attempt-id"): "no-attempt-id",
    ("sqs-fifo", "stale-receipt-refused"): "stale-receipt-deletes",
    ("sqs-fifo", "sequence-numbers-increase"): "misnumber:3",
    ("sqs-fifo", "sequence-number-at-receive"): "misnumber-at-receive",
    ("sqs-fifo", "dead-letter-after-max-receives"): "no-dead-letter",
    ("sns", "fan-out-complete"): "topic-misses",
    ("sns", "filter-attributes"): "filter-always:attributes",
    ("sns", "filter-body"): "filter-always:body",
    ("sns", "filter-body-arrays"): "filter-stops-at-arrays",
    ("sns", "filter-body-dots"): "filter-literal-dots",
    ("sns", "raw-delivery"): "raw-ignored",
    ("sns", "publish-batch-partial-failure"): "topic-batch-hides-failures",
    ("sns", "message-size"): "topic-no-size-limit",
    ("sns", "batch-size"): "topic-no-batch-limit",
    ("sns", "raised-size"): "topic-size-fixed",
    ("sns", "filter-exact"): "filter-operator-always:exact",
    ("sns", "filter-prefix"): "filter-operator-never:prefix",
    ("sns", "filter-suffix"): "filter-operator-always:suffix",
    ("sns", "filter-anything-but"): "filter-operator-always:anything-but",
    ("sns", "filter-equals-ignore-case"): "filter-operator-never:equals-ignore-case",
    ("sns", "filter-numeric"): "filter-operator-always:numeric",
    ("sns", "filter-exists"): "filter-operator-always:exists",
    ("sns", "filter-cidr"): "filter-operator-always:cidr",
    ("sns", "filter-or"): "filter-operator-never:or",
    ("sns-fifo", "fan-out-complete"): "topic-misses",
    ("sns-fifo", "filter-attributes"): "filter-never:attributes",
    ("sns-fifo", "filter-body"): "filter-never:body",
    ("sns-fifo", "filter-body-arrays"): "filter-stops-at-arrays",
    ("sns-fifo", "filter-body-dots"): "filter-literal-dots",
    ("sns-fifo", "raw-delivery"): "raw-ignored",
    ("sns-fifo", "publish-batch-partial-failure"): "topic-batch-hides-failures",
    ("sns-fifo", "message-size"): "topic-no-size-limit",
    ("sns-fifo", "batch-size"): "topic-no-batch-limit",
    ("sns-fifo", "raised-size"): "topic-size-fixed",
    ("sns-fifo", "order-per-group"): "topic-reverses-batch",
    ("sns-fifo", "dedup"): "topic-no-dedup",
    ("sns-fifo", "dedup-scope-topic"): "topic-dedup-by-group",
    ("eventbridge", "fan-out-complete"): "rule-misses",
    ("eventbridge", "pattern-exact"): "pattern-always:exact",
    ("eventbridge", "pattern-prefix"): "pattern-never:prefix",
    ("eventbridge", "pattern-suffix"): "pattern-always:suffix",
    ("eventbridge", "pattern-anything-but"): "pattern-always:anything-but",
    ("eventbridge", "pattern-numeric"): "pattern-always:numeric",
    ("eventbridge", "pattern-exists"): "pattern-always:exists",
    ("eventbridge", "pattern-equals-ignore-case"): "pattern-never:equals-ignore-case",
    ("eventbridge", "pattern-wildcard"): "pattern-always:wildcard",
    ("eventbridge", "pattern-cidr"): "pattern-always:cidr",
    ("eventbridge", "pattern-or"): "pattern-never:or",
    ("eventbridge", "pattern-arrays"): "pattern-stops-at-arrays",
    ("eventbridge", "pattern-dots"): "pattern-literal-dots",
    ("eventbridge", "put-events-partial-failure"): "put-events-hides-failures",
    ("eventbridge", "archive-replay-complete"): "replay-misses",
    ("eventbridge", "replay-name"): "replay-unnamed",
    ("kinesis", "order-in-shard"): "reverse-reads",
    ("kinesis", "shard-by-hash-of-key"): "scatter-keys",
    ("kinesis", "sequence-numbers-increase"): "misnumber-records:3",
    ("kinesis", "split-keeps-parent-readable"): "reshard-drops-parent",
    ("kinesis", "merge-waits-for-both"): "merge-forgets-adjacent",
    ("kinesis", "closed-shard-ends"): "endless-shard",
    ("kinesis", "iterator-expires"): "eternal-iterator",
    ("kinesis", "put-records-partial-failure"): "throttled-said-stored",
    ("dynamodb", "conditional-put-race"): "conditional-write-race",
    ("dynamodb", "transaction-is-atomic"): "transaction-writes-part",
    ("scheduler", "one-time"): "schedule-never-sends",
    ("scheduler", "deleted"): "schedule-outlives-delete",
    ("pipes", "queue-to-queue"): "pipe-moves-nothing",
    ("pipes", "stopped"): "pipe-never-stops",
    ("s3", "read-after-write"): "object-lost:5",
    ("s3", "stays"): "object-expires",
    ("s3", "delete-is-final"): "object-undelete",
    ("s3", "list-after-write"): "object-list-misses",
    ("s3", "conditional-put"): "object-condition-ignored",
    ("stepfunctions", "one-name"): "name-used-twice",
    ("stepfunctions", "same-start"): "same-input-refused",
    ("stepfunctions", "every-start"): "start-lost:5",
    ("stepfunctions", "every-item"): "map-item-dropped:3",
    ("stepfunctions", "token-once"): "token-twice",
    ("stepfunctions", "callback-wakes"): "callback-lost:3",
    ("stepfunctions", "retried"): "retry-ignored",
    ("stepfunctions", "new-token"): "token-reused",
    ("stepfunctions", "heartbeat"): "heartbeat-ignored",
    ("stepfunctions", "machine-timeout"): "machine-timeout-ignored",
    ("stepfunctions", "redriven"): "redrive-reruns",
    ("stepfunctions", "sync-once"): "sync-twice:5",
    ("lambda", "delivered-and-deleted"): "mapping-keeps",
    ("lambda", "empty-answer"): "empty-answer-fails",
    ("lambda", "partial-failure"): "partial-ignored",
    ("lambda", "unknown-identifier"): "unknown-identifier-succeeds",
    ("lambda", "exception"): "failed-deleted",
    ("lambda", "batch-size"): "mapping-overfills",
    ("lambda", "fifo-order"): "reorder:2",
    ("lambda", "fifo-one-at-a-time"): "overtake",
    ("lambda", "filtered"): "mapping-filter-ignored",
    ("lambda", "timeout-above-visibility"): "outlasting-taken",
    ("lambda", "fifo-batch-above-ten"): "large-batch-taken",
    ("lambda", "fifo-window"): "fifo-window-taken",
    ("lambda", "batch-without-window"): "large-batch-taken",
    ("lambda", "reserved-zero"): "reserved-ignored",
    ("lambda", "disabled"): "disabled-ignored",
    ("lambda", "dead-letter"): "no-dead-letter",
}
# What a correct service does only when it is short of throughput, which a broker in memory never is.
RIGHT_BESIDE = {("kinesis", "put-records-partial-failure"): "throttle-records:5"}
# Further harms that the same probe must find.
CAUGHT_TOO = [
    ("sns", "filter-attributes", "filter-never:attributes"),
    ("stepfunctions", "same-start", "name-used-twice"),
    ("sns", "filter-body", "filter-never:body"),
    ("sqs", "message-size", "size-of-body-only"),
    ("scheduler", "one-time", "schedule-sends-early"),
    ("sqs", "batch-size", "no-size-limit"),
    ("sqs", "system-attributes", "attribute-names-ignored:MessageSystemAttributeNames"),
    ("sqs-fifo", "dedup-scope-queue", "no-dedup"),
    ("sns", "message-size", "topic-size-of-body-only"),
    ("sns", "filter-body-arrays", "filter-always:body"),
    ("sns", "filter-body-dots", "filter-always:body"),
    ("sns-fifo", "dedup-scope-topic", "topic-no-dedup"),
    ("eventbridge", "pattern-arrays", "pattern-always:exact"),
    ("eventbridge", "pattern-dots", "pattern-always:exact"),
    ("kinesis", "merge-waits-for-both", "reshard-drops-parent"),
    ("s3", "read-after-write", "object-corrupt:5"),
    ("kinesis", "put-records-partial-failure", "throttled-loses-call"),
    *(("sns", f"filter-{one}", f"filter-operator-{harm}:{one}") for one in OPERATORS for harm in ("always", "never")),
    ("lambda", "filtered", "mapping-filter-leaves"),
    ("lambda", "partial-failure", "mapping-keeps"),
    ("sns", "filter-exact", "filter-always:attributes"),
    ("sns", "filter-exact", "filter-always:body"),
    *(
        ("eventbridge", f"pattern-{operator}", f"pattern-{harm}:{operator}")
        for operator in (
            "exact", "prefix", "suffix", "anything-but", "numeric", "exists", "equals-ignore-case", "wildcard", "cidr",
            "or",
        )
        for harm in ("always", "never")
    ),
]  # fmt: skip

EVERY = [(service, name) for service, probes in PROBES.items() for name in probes]
Found = dict[tuple[str, str], tuple[str, str]]


def result(service: str, name: str, at: Conditions) -> tuple[str, str]:
    cell = ask(service, name, PROBES[service][name], at)
    assert (cell.service, cell.probe) == (service, name)
    return cell.result, cell.detail


def good(service: str, name: str) -> Conditions:
    return conditions(RIGHT_BESIDE.get((service, name)))


def bad(service: str, name: str) -> Conditions:
    return conditions(CAUGHT[service, name])


def other_than(
    wanted: Sequence[str],
    broker: Callable[[str, str], Conditions],
    mood: Callable[[Conditions], Conditions] = lambda at: at,
) -> Found:
    """The probes that find another thing than what is wanted of all: one test asks every probe."""
    asked = {(service, name): result(service, name, mood(broker(service, name))) for service, name in EVERY}
    return {probe: found for probe, found in asked.items() if found[0] not in wanted or not found[1]}


def test_the_table_is_the_registry() -> None:
    assert CAUGHT.keys() == set(EVERY)
    assert NEEDS.keys() == PROBES.keys()
    assert {text.partition(":")[0] for text in CAUGHT.values()} <= DEFECTS.keys()


def test_they_hold_on_a_correct_broker() -> None:
    for service, name in EVERY:
        assert result(service, name, good(service, name)) == ("holds", rule(PROBES[service][name]))


def test_they_are_violated_where_their_rule_is_broken() -> None:
    assert other_than(["violated"], bad) == {}


def test_they_find_the_other_harm_too() -> None:
    found = {caught: result(caught[0], caught[1], conditions(caught[2])) for caught in CAUGHT_TOO}
    assert {caught: result for caught, result in found.items() if result[0] != "violated"} == {}


@pytest.mark.parametrize("service", PROBES)
def test_they_remove_what_they_made(service: str) -> None:
    for name in PROBES[service]:
        at = conditions()
        made, removed = list[Call](), list[Call]()

        def carry(call: Call, at: Conditions = at, made: list[Call] = made, removed: list[Call] = removed) -> Answer:
            answer = at.carry(call)
            if call.operation.startswith(("Create", "Subscribe", "PutRule", "PutTargets")):
                made.append(call)
            elif call.operation.startswith(
                ("Delete", "Unsubscribe", "RemoveTargets")
            ) and not call.operation.startswith(("DeleteMessage", "DeleteObject")):
                removed.append(call)
            return answer

        result(service, name, replace(at, carry=carry))
        assert made, name
        assert len(removed) == len(made), name


def test_their_rule_is_one_sentence_with_its_source() -> None:
    rules = [rule(PROBES[service][name]) for service, name in EVERY]
    assert [text for text in rules if not text.endswith(").") or "(" not in text] == []


def _silent(at: Conditions) -> Conditions:
    """A service that takes everything and gives nothing."""

    def carry(call: Call) -> Answer:
        answer = at.carry(call)
        match call.operation:
            case "ReceiveMessage":
                return {}
            case "GetRecords":
                return {**answer, "Records": [], "ChildShards": []}
            case "GetItem":
                return {}
            case "GetObject":
                raise CallFailed("NoSuchKey", "there is no such object", definite=True)
            case "ListObjectsV2":
                return {}
        return answer

    return replace(at, carry=carry)


def test_they_do_not_hold_where_nothing_arrives() -> None:
    """What is not seen does not hold."""
    wrong = other_than(["violated", "unknown", "not-implemented"], lambda service, name: conditions(), _silent)
    assert wrong.keys() == NEEDS_NO_READ


def _legal(at: Conditions) -> Conditions:
    """The broker as AWS may be: one short poll in three finds nothing, and a standard queue delivers last first."""
    polls = 0

    def carry(call: Call) -> Answer:
        nonlocal polls
        if call.operation == "ReceiveMessage":
            polls += 1
            if polls % 3 == 1 and not call.params.get("WaitTimeSeconds"):
                return {}
        answer = at.carry(call)
        if call.operation == "ReceiveMessage" and not call.params["QueueUrl"].endswith(".fifo") and answer:
            return {**answer, "Messages": answer["Messages"][::-1]}
        return answer

    return replace(at, carry=carry)


def test_they_blame_nobody_for_what_aws_allows() -> None:
    def broker(service: str, name: str) -> Conditions:
        if service in ("sqs", "sns", "eventbridge"):
            # Standard queues may deliver a message twice, under one MessageId or two.
            return conditions("duplicate-copy:4")
        return good(service, name)

    unsure = other_than(["holds"], broker, _legal)
    assert {probe: it for probe, it in unsure.items() if it[0] != "unknown" or "now and then" not in it[1]} == {}


def _sparse(at: Conditions) -> Conditions:
    """The broker as AWS may be: it gives less than is asked for, and of a shard now and then nothing on the way."""
    reads = 0

    def carry(call: Call) -> Answer:
        nonlocal reads
        if call.operation == "ReceiveMessage" and call.params["QueueUrl"].endswith(".fifo"):
            call = replace(call, params={**call.params, "MaxNumberOfMessages": 1})
        if call.operation == "GetRecords":
            reads += 1
            if reads % 3:
                at.carry(call)  # an iterator that has expired is refused all the same
                return {"Records": [], "NextShardIterator": call.params["ShardIterator"], "MillisBehindLatest": 1000}
            call = replace(call, params={**call.params, "Limit": 1})
        return at.carry(call)

    return replace(at, carry=carry)


def _late(at: Conditions) -> Conditions:
    """What goes through a topic or a bus is seen in a queue seconds later, as behind any service with a retry."""
    quiet_until = 0.0

    def carry(call: Call) -> Answer:
        nonlocal quiet_until
        if call.operation in ("Publish", "PublishBatch", "PutEvents", "StartReplay"):
            quiet_until = at.now() + 4.0
        if call.operation == "ReceiveMessage" and at.now() < quiet_until:
            at.wait(min(call.params.get("WaitTimeSeconds", 0), quiet_until - at.now()))
            return {}
        return at.carry(call)

    return replace(at, carry=carry)


@pytest.mark.parametrize("mood", [_sparse, _late])
def test_they_wait_for_what_comes_bit_by_bit_or_late(mood: Callable[[Conditions], Conditions]) -> None:
    assert other_than(["holds"], good, mood) == {}


def test_what_is_late_is_found_all_the_same() -> None:
    assert other_than(["violated"], bad, _late) == {}


def _troubled(at: Conditions, nth: int, failure: CallFailed) -> Conditions:
    """Every nth call fails; one that is not definite has done its work, and only the answer is lost."""
    calls = 0

    def carry(call: Call) -> Answer:
        nonlocal calls
        calls += 1
        if calls % nth:
            return at.carry(call)
        if not failure.definite:
            at.carry(call)
        raise failure

    return replace(at, carry=carry)


EVERY_NTH = (2, 3, 4, 5, 7, 11, 16, 23)
THROTTLED = CallFailed("ThrottlingException", "Rate exceeded", definite=True)
UNAVAILABLE = CallFailed("ServiceUnavailable", "try again", definite=False)
TIMED_OUT = CallFailed("ReadTimeoutError", "no answer in time", definite=False)
every_trouble = pytest.mark.parametrize(
    "failure", [THROTTLED, UNAVAILABLE, TIMED_OUT], ids=lambda failure: failure.code
)
every_nth = pytest.mark.parametrize("nth", [*EVERY_NTH, *series(*(n for n in range(2, 30) if n not in EVERY_NTH))])


@every_trouble
@every_nth
def test_they_blame_nobody_for_trouble_on_the_way(failure: CallFailed, nth: int) -> None:
    assert other_than(["holds", "unknown"], good, lambda at: _troubled(at, nth, failure)) == {}


@every_trouble
@every_nth
def test_trouble_on_the_way_excuses_nobody(failure: CallFailed, nth: int) -> None:
    assert other_than(["violated", "unknown"], bad, lambda at: _troubled(at, nth, failure)) == {}


# What they judge is the answer to a send, or what a service lists, and not what is received.
NEEDS_NO_READ = {
    *(("stepfunctions", name) for name in ("one-name", "same-start", "every-start", "machine-timeout")),
    *(
        ("lambda", name)
        for name in ("timeout-above-visibility", "fifo-batch-above-ten", "fifo-window", "batch-without-window")
    ),
    ("sqs-fifo", "sequence-numbers-increase"),
    ("kinesis", "shard-by-hash-of-key"),
    ("kinesis", "iterator-expires"),
}


def test_a_slow_probe_is_skipped_with_the_reason_unless_it_is_asked_for() -> None:
    for service, name in (("sqs-fifo", "dedup-after-window"), ("kinesis", "iterator-expires")):
        skipped = result(service, name, replace(conditions(), slow=False))
        assert skipped == ("unknown", "skipped: takes 5 minutes; --slow runs it")


def test_a_pattern_that_the_endpoint_does_not_know_is_not_implemented() -> None:
    at = conditions()

    def carry(call: Call) -> Answer:
        if "cidr" in call.params.get("EventPattern", ""):
            raise CallFailed("InvalidEventPatternException", "unrecognised match type cidr", definite=True)
        return at.carry(call)

    assert result("eventbridge", "pattern-cidr", replace(at, carry=carry))[0] == "not-implemented"
    assert result("eventbridge", "pattern-exact", replace(at, carry=carry))[0] == "holds"


def test_a_short_window_needs_no_patience() -> None:
    at = replace(conditions(), slow=False, dedup_window_s=5.0)
    # The broker's window is as long as ever, so a probe that waits for five seconds finds that nothing comes.
    assert result("sqs-fifo", "dedup-after-window", at)[0] == "violated"


def test_a_bench_gives_up_in_time() -> None:
    at = replace(conditions(), limit_s=1.0)
    found, detail = result("sqs", "at-least-once", replace(at, patience_s=60.0, carry=lambda call: {"QueueUrl": "x"}))
    assert (found, detail) == ("unknown", "took longer than 1 s")


def test_names_are_never_used_twice() -> None:
    first, second = Bench(conditions()), Bench(conditions())
    assert len({first.name("q"), first.name("q"), second.name("q"), second.name("q")}) == 4
