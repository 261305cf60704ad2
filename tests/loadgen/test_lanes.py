"""Lanes against an adversarial broker that answers ok, failed or unknown as it likes."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.history.events import SendResult
from gameday.loadgen.lanes import LATE_NS, Attempt, Feed, Lane, Result, Tally
from gameday.loadgen.schedule import Message, Schedule
from gameday.loadgen.shapes import SHAPES

MS = 1_000_000
GIVE_UP_NS = 5_000 * MS
RESULTS: list[SendResult] = ["ok", "ok", "ok", "failed", "unknown"]


def message(number: int, *, group: str = "g1", seq: int | None = None, due: int = 0) -> Message:
    return Message(number, f"{group}-{seq or number}", group, seq or number, due, False, 0)


def lane(
    *, batch: int = 10, ordered: bool = True, retries: bool = True, once: bool = False, many: bool = False
) -> Lane:
    return Lane(batch=batch, ordered=ordered, give_up_ns=GIVE_UP_NS, retries=retries, once=once, many=many)


def run(
    schedule: Schedule, *, batch: int, ordered: bool, answers: Any, many: bool = False
) -> tuple[list[list[Attempt]], dict[tuple[str, int], SendResult], Tally]:
    """Drive all lanes to their end against `answers(attempt)`: the calls, each attempt's outcome, the sum."""
    lanes = {n: lane(batch=batch, ordered=ordered, many=many) for n in range(schedule.lanes)}
    feed = Feed(schedule.messages(0), lanes)
    calls: list[list[Attempt]] = []
    outcomes: dict[tuple[str, int], SendResult] = {}
    now = 0
    while not all(one.over for one in lanes.values()):
        feed.pull(now)
        for one in lanes.values():
            attempts = one.take(now)
            if attempts:
                calls.append(attempts)
                results = [answers(attempt) for attempt in attempts]
                outcomes |= {(a.message.id, a.number): r for a, r in zip(attempts, results, strict=True)}
                one.settle(attempts, results, now + 3 * MS)
        now += 20 * MS
        assert now < 10**12, "the lanes never end"
    tally = Tally()
    for one in lanes.values():
        tally.add(one.tally)
    return calls, outcomes, tally


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    return Schedule(
        shape=SHAPES["constant"](rate=draw(st.floats(5, 40)), duration=draw(st.floats(0.5, 4))),
        seed=draw(st.integers(0, 1000)),
        groups=draw(st.integers(1, 8)),
        lanes=draw(st.integers(1, 4)),
    )


@settings(max_examples=60, deadline=None)
@given(schedules(), st.integers(1, 10), st.booleans(), st.integers(0, 2**32))
def test_any_broker(schedule: Schedule, batch: int, ordered: bool, seed: int) -> None:
    choice = random.Random(seed)
    dead_from = {f"g{n}": choice.choice([1, 2, 5]) for n in range(schedule.groups) if choice.random() < 0.5}
    last_words: dict[str, SendResult] = {}

    def answer(attempt: Attempt) -> SendResult:
        sent = attempt.message
        if sent.seq >= dead_from.get(sent.group, 10**9):
            # One and the same answer to each attempt, so that `failed` and `unknown` messages both occur at the end.
            return last_words.setdefault(sent.id, choice.choice(["failed", "unknown"]))
        return choice.choice(RESULTS)

    calls, outcomes, tally = run(schedule, batch=batch, ordered=ordered, answers=answer)
    acked: set[str] = set()
    last_seq: defaultdict[str, int] = defaultdict(int)
    attempts_of: defaultdict[str, list[int]] = defaultdict(list)
    for call in calls:
        assert 1 <= len(call) <= batch
        names = [a.message.group if ordered else a.message.id for a in call]
        assert len(set(names)) == len(names), "two of one group in one call"
        for attempt in call:
            sent = attempt.message
            attempts_of[sent.id].append(attempt.number)
            assert sent.id not in acked, "sent again after its ok"
            if ordered:
                assert sent.seq in (last_seq[sent.group], last_seq[sent.group] + 1), "out of order"
                earlier = f"{sent.group}-{sent.seq - 1}"
                assert sent.seq == 1 or earlier in acked, "a later one before the earlier was answered ok"
                last_seq[sent.group] = sent.seq
            if outcomes[sent.id, attempt.number] == "ok":
                acked.add(sent.id)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in attempts_of.values())
    ends = {id: {outcomes[id, n] for n in numbers} for id, numbers in attempts_of.items()}
    assert tally.intended == len(ends)
    assert tally.acked == len(acked)
    assert tally.failed == sum(results == {"failed"} for results in ends.values())
    assert tally.intended == tally.acked + tally.failed + tally.unknown


@settings(max_examples=60, deadline=None)
@given(schedules(), st.integers(1, 10), st.integers(0, 2**32))
def test_any_broker_that_is_sent_several_of_a_group_in_a_call(schedule: Schedule, batch: int, seed: int) -> None:
    choice = random.Random(seed)
    unlucky = {f"g{n}" for n in range(schedule.groups) if choice.random() < 0.2}

    def answer(attempt: Attempt) -> Result:
        return choice.choice(["failed", "unknown"] if attempt.message.group in unlucky else [*RESULTS, "refused"])

    calls, outcomes, tally = run(schedule, batch=batch, ordered=True, answers=answer, many=True)
    over: set[str] = set()
    begun: defaultdict[str, int] = defaultdict(int)
    attempts_of: defaultdict[str, list[int]] = defaultdict(list)
    for call in calls:
        assert 1 <= len(call) <= batch
        for group in {attempt.message.group for attempt in call}:
            ours = [attempt for attempt in call if attempt.message.group == group]
            sent = [attempt.message.seq for attempt in ours]
            assert sent == sorted(sent), "out of order in a call"
            for attempt in ours:
                attempts_of[attempt.message.id].append(attempt.number)
                assert attempt.message.id not in over, "sent again after it was over"
            # Whatever was begun and is not over goes out again before anything new does.
            new = [seq for seq in sent if seq > begun[group]]
            assert new == list(range(begun[group] + 1, begun[group] + 1 + len(new)))
            if new:
                assert all(f"{group}-{seq}" in over for seq in range(1, begun[group] + 1))
            begun[group] = max(begun[group], *sent)
        over |= {a.message.id for a in call if outcomes[a.message.id, a.number] in ("ok", "refused")}
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in attempts_of.values())
    acked = sum("ok" in {outcomes[id, n] for n in numbers} for id, numbers in attempts_of.items())
    assert (tally.intended, tally.acked) == (len(attempts_of), acked)
    assert tally.intended == tally.acked + tally.failed + tally.unknown


def test_several_of_a_group_fill_a_call_and_what_failed_goes_out_before_what_had_no_room() -> None:
    one = lane(batch=4, many=True)
    for number in range(1, 6):
        one.add(message(number, due=0 if number < 5 else MS))
    assert one.has_a_call(0)
    first = one.take(0)
    assert [a.message.seq for a in first] == [1, 2, 3, 4]
    one.settle(first, ["failed", "ok", "failed", "failed"], 0)
    one.add(message(6, group="g0", seq=1))
    one.add(message(7, group="g0", seq=2))
    again = one.take(50 * MS)
    assert [(a.message.group, a.message.seq) for a in again] == [("g0", 1), ("g0", 2), ("g1", 1), ("g1", 3)]
    one.settle(again, ["ok", "ok", "failed", "ok"], 50 * MS)
    assert one.take(150 * MS) == [Attempt(message(1), 3), Attempt(message(4), 2)]


def test_a_good_broker_gets_everything_at_the_first_attempt() -> None:
    schedule = Schedule(shape=SHAPES["constant"](rate=100, duration=5), seed=3, groups=9, lanes=4)
    calls, _, tally = run(schedule, batch=10, ordered=True, answers=lambda attempt: "ok")
    assert {attempt.number for call in calls for attempt in call} == {1}
    assert tally == Tally(intended=500, acked=500)


def test_a_failed_entry_waits_alone_and_longer_each_time() -> None:
    one = lane()
    one.add(message(1))
    one.add(message(2))
    one.add(message(3, group="g2", seq=1))
    first = one.take(0)
    assert [a.message.id for a in first] == ["g1-1", "g2-1"]
    one.settle(first, ["failed", "ok"], 0)
    assert one.take(49 * MS) == []
    again = one.take(50 * MS)
    assert again == [Attempt(message(1), 2)]
    one.settle(again, ["unknown"], 50 * MS)
    assert one.wake_at == 150 * MS
    third = one.take(150 * MS)
    one.settle(third, ["ok"], 150 * MS)
    assert one.take(150 * MS) == [Attempt(message(2), 1)]


@pytest.mark.parametrize(("last", "field"), [("failed", "failed"), ("unknown", "unknown")])
def test_a_group_without_an_ok_is_abandoned_and_its_later_messages_never_go_out(last: SendResult, field: str) -> None:
    one = lane()
    for number in (1, 2):
        one.add(message(number))
    one.add(message(3, group="g2", seq=1))
    attempts = one.take(0)
    one.settle(attempts, [last, "failed"], 0)
    attempts = one.take(GIVE_UP_NS)
    one.settle(attempts, ["failed", "ok"], GIVE_UP_NS)
    one.add(message(4, seq=3))
    assert one.take(GIVE_UP_NS * 2) == []
    expected = Tally(intended=2, acked=1, late=0)
    setattr(expected, field, 1)
    assert one.tally == expected


def test_what_nobody_knows_of_one_message_says_nothing_of_the_next() -> None:
    one = lane()
    one.add(message(1))
    one.add(message(2))
    for outcome in ("unknown", "ok", "failed"):
        assert one.wake_at is not None
        one.settle(one.take(one.wake_at), [outcome], one.wake_at or 0)
    one.stop()
    assert one.tally == Tally(intended=2, acked=1, failed=1)


def test_without_order_nothing_waits_for_its_group() -> None:
    one = lane(ordered=False)
    for number in range(1, 5):
        one.add(message(number))
    attempts = one.take(0)
    assert [a.message.seq for a in attempts] == [1, 2, 3, 4]
    one.settle(attempts, ["unknown", "ok", "ok", "ok"], 0)
    one.add(message(5))
    assert [a.message.seq for a in one.take(0)] == [5]


def test_when_everything_is_planned_a_dead_broker_ends_the_lane() -> None:
    second = 1000 * MS
    one = lane(batch=1, ordered=False)
    for number in range(1, 100):
        one.add(message(number))
    one.all_planned(0)
    now = 60 * second  # The lane comes late, which is no reason to give up.
    while not one.over:
        attempts = one.take(now)
        now += second
        one.settle(attempts, ["failed"] * len(attempts), now)
    assert now == 61 * second + GIVE_UP_NS
    assert one.tally.intended == one.tally.failed == 6


def test_late_is_counted_from_due_at_the_first_attempt_only() -> None:
    one = lane()
    one.add(message(1, due=0))
    one.add(message(2, group="g2", seq=1, due=1))
    attempts = one.take(LATE_NS + 1)
    assert one.tally.late == 1
    one.settle(attempts, ["failed", "failed"], LATE_NS + 1)
    assert len(one.take(LATE_NS * 10)) == 2
    assert one.tally.late == 1


def test_stopping_counts_what_is_on_its_way_as_unknown() -> None:
    one = lane(batch=1)
    one.add(message(1))
    one.add(message(2, group="g2", seq=1))
    one.all_planned(0)
    assert len(one.take(0)) == 1
    one.stop()
    assert one.over
    assert one.tally == Tally(intended=1, unknown=1)


def test_a_refused_message_is_given_up_at_once_and_its_group_goes_on() -> None:
    one = lane()
    for number in (1, 2):
        one.add(message(number))
    one.settle(one.take(0), ["refused"], 0)
    assert one.take(0) == [Attempt(message(2), 1)]
    assert one.tally == Tally(intended=2, failed=1)


def test_a_message_that_may_be_stored_already_stays_unknown_when_it_is_refused() -> None:
    one = lane()
    one.add(message(1))
    one.settle(one.take(0), ["unknown"], 0)
    one.settle(one.take(GIVE_UP_NS // 2), ["refused"], GIVE_UP_NS // 2)
    assert one.tally == Tally(intended=1, unknown=1)


def test_what_is_sent_once_is_sent_again_only_where_it_surely_was_not() -> None:
    one = lane(ordered=False, once=True)
    for number in (1, 2, 3):
        one.add(message(number))
    one.all_planned(0)
    answers: dict[tuple[int, int], Result] = {(1, 1): "failed", (1, 2): "ok", (2, 1): "unknown", (3, 1): "ok"}
    now = 0
    while not one.over:
        attempts = one.take(now)
        one.settle(attempts, [answers.pop((attempt.message.seq, attempt.number)) for attempt in attempts], now)
        now = one.wake_at or now
    assert not answers
    assert one.tally == Tally(intended=3, acked=2, unknown=1)


@pytest.mark.parametrize("ordered", [True, False])
def test_without_retries_nothing_goes_out_twice_and_everything_once(ordered: bool) -> None:
    one = lane(ordered=ordered, retries=False)
    for number in range(1, 5):
        one.add(message(number))
    one.all_planned(0)
    answers: list[Result] = ["failed", "ok", "unknown", "ok"]
    went: list[tuple[int, int]] = []
    while not one.over:
        attempts = one.take(0)
        went += [(attempt.message.seq, attempt.number) for attempt in attempts]
        one.settle(attempts, [answers[attempt.message.seq - 1] for attempt in attempts], 0)
    assert went == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert one.tally == Tally(intended=4, acked=2, failed=1, unknown=1)
