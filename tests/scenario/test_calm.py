"""A calm run on a clock that jumps: small ones whose calls can be counted by hand, and what of it real parts say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gameday.consumers.dynamodb import DynamoDBStore
from gameday.consumers.effects import Key
from gameday.consumers.guards import GUARDS, Job
from gameday.history.clock import NS_PER_S
from gameday.loadgen.schedule import Message
from gameday.scenario import reading
from gameday.scenario.calm import load, stream
from gameday.scenario.calm.guards import STEPS, steps_of
from gameday.scenario.calm.queue import Consumed, Consuming, consume
from gameday.scenario.estimate import estimate
from gameday.scenario.sending import imagined
from gameday.targets.products import AWS, PRODUCTS
from gameday.transports.base import Answer, Call
from gameday.transports.carriers.measures import measure

# Of a call that takes no time at all nothing is left to chance.
ALONE = Consuming(
    consumers=1,
    pollers=1,
    batch=10,
    wait_s=1.0,
    concurrency=4,
    call_s=0.0,
    work_s=0.25,
    fifo=False,
    ordered=False,
    max_receives=3,
    after_failure="stop",
)
FIFO = replace(ALONE, fifo=True, ordered=True)


def messages(count: int, *, groups: int = 1, poison: Sequence[int] = (), lanes: int = 1) -> list[Message]:
    return [
        Message(n, f"m{n}", f"g{n % groups}", 1 + n // groups, 0, n in poison, n % groups % lanes)
        for n in range(1, count + 1)
    ]


def consumed(
    spec: Consuming, *arrivals: tuple[float, Sequence[Message]], stays_s: float = 0.0, **more: Any
) -> Consumed:
    return consume(spec, arrivals, until_s=lambda done_s: done_s + stays_s, **more)


# How messages are put into send calls.


def sizes(transport: str, due: list[Message], *, call_s: float = 0.0, **config: Any) -> list[int]:
    scenario = reading.load(reading.find("quick" if transport == "sqs-fifo" else "standard-at-least-once"), ())
    told = replace(imagined(scenario, scenario.shape), users=1, **config)
    return [len(call.messages) for call in load.sendings(told, due, call_s=call_s)]


def test_what_is_due_at_once_goes_out_in_full_calls() -> None:
    assert sizes("sqs", messages(25)) == [10, 10, 5]
    assert sizes("sqs", messages(25), batch=3) == [3] * 8 + [1]


def test_of_a_group_one_message_is_on_its_way_at_a_time() -> None:
    """25 messages of 4 groups: 7 of one group, 6 of each other."""
    assert sizes("sqs-fifo", messages(25, groups=4)) == [4] * 6 + [1]


def test_what_comes_due_during_a_call_waits_for_its_end() -> None:
    """One a second, and a call that takes some: while it lasts, others come due."""
    later = [message._replace(due=message.number * NS_PER_S) for message in messages(100)]
    assert sizes("sqs", later, call_s=0.01) == [1] * 100
    slow = sizes("sqs", later, call_s=5.0)
    assert sum(slow) == 100 and 14 <= len(slow) <= 30


def test_a_long_schedule_is_played_in_windows_that_stand_for_all_of_it() -> None:
    scenario = reading.load(reading.find("standard-at-least-once"), ["load.duration=1h"])
    config = imagined(scenario, scenario.shape)
    parts = load.parts(config, None, most=1000)
    # A ramp from 20 to 120 a second: in an hour 252,000 messages.
    assert sum(len(part.messages) * part.stands_for for part in parts) == pytest.approx(252_000)
    assert {len(part.messages) for part in parts} == {100}
    first, last = parts[0].messages, parts[-1].messages
    assert (first[0].number, last[-1].number) == (1, 252_000)
    # The window at the end is as busy as the end is.
    assert (last[-1].due - last[0].due) < (first[-1].due - first[0].due) / 5


# How they are received and settled.


def test_one_receive_and_a_delete_for_what_is_finished_together() -> None:
    """Ten messages, four at a time, a quarter of a second each: done after 0.25 s, 0.5 s and 0.75 s. What is done waits
    0.1 s at most for others of its batch, so each four have a delete of their own, and the last two as well."""
    told = consumed(ALONE, (0.0, messages(10)))
    assert (told.received, told.deletes, told.hides, told.applied) == ([10], 3, 0, 10)
    assert consumed(replace(ALONE, concurrency=10), (0.0, messages(10))).deletes == 1
    assert consumed(replace(ALONE, alone=True), (0.0, messages(10))).deletes == 10


def test_a_poller_waits_until_there_is_room() -> None:
    """With ten in hand and four at work it asks for no more before six are done."""
    told = consumed(replace(ALONE, batch=5), *((0.01 * n, [message]) for n, message in enumerate(messages(20))))
    # Five are taken one by one, then none before a quarter of a second is over.
    assert told.received[:5] == [1] * 5 and max(told.received) == 5


def test_a_group_is_locked_while_one_of_it_is_in_hand() -> None:
    """The second and the third wait until the first is deleted, and come together."""
    one, two, three = messages(3)
    told = consumed(FIFO, (0.0, [one]), (0.01, [two]), (0.02, [three]))
    assert told.received == [1, 2]
    assert consumed(ALONE, (0.0, [one]), (0.01, [two]), (0.02, [three])).received == [1, 1, 1]


def test_a_poison_message_comes_until_it_is_dead() -> None:
    told = consumed(ALONE, (0.0, messages(1, poison=[1])))
    assert (told.received, told.hides, told.deletes, len(told.dead)) == ([1, 1, 1], 3, 0, 1)
    assert not told.cut


def test_what_stands_behind_it_in_its_group_dies_with_it() -> None:
    """`stop` lets the rest of the group go, which burns its receives; alone, it is deleted at once."""
    told = consumed(FIFO, (0.0, messages(2, poison=[1])))
    assert (told.received, told.hides, len(told.dead)) == ([2, 2, 2], 3, 2)
    told = consumed(replace(FIFO, after_failure="continue"), (0.0, messages(2, poison=[1])))
    assert (told.deletes, len(told.dead)) == (1, 1)


def test_a_batch_fails_as_a_whole() -> None:
    told = consumed(replace(ALONE, after_failure="fail-batch"), (0.0, messages(2, poison=[1])))
    assert (told.received, told.deletes, told.hides, len(told.dead)) == ([2, 2, 2], 0, 3, 2)


def test_what_failed_stays_hidden() -> None:
    told = consumed(replace(ALONE, hidden_s=lambda receives: 10.0), (0.0, messages(1, poison=[1])))
    # Received at 0 s, 10.25 s and 20.5 s; dead when it is visible again for the last time.
    assert told.over_s == pytest.approx(30.75)


def test_a_long_piece_of_work_is_extended() -> None:
    """It looks every 0.1 s whether 0.35 s are over: after 0.4 s, 0.8 s and 1.2 s."""
    told = consumed(replace(ALONE, work_s=1.35, heartbeat_s=0.35), (0.0, messages(1)))
    assert (told.extensions, told.deletes) == (3, 1)


def test_polls_that_find_nothing() -> None:
    """Three pollers that wait a second, for ten seconds; without waiting they ask ten times a second."""
    waiting = consumed(replace(ALONE, consumers=3), (0.0, []), stays_s=10.01)
    assert waiting.empty == 30
    assert consumed(replace(ALONE, wait_s=0.0), (0.0, []), stays_s=10.05).empty == 101


def test_what_is_moved_back_comes_and_dies_again() -> None:
    told = consumed(ALONE, (0.0, messages(1, poison=[1])), again=lambda first: [list(first.dead)])
    assert (len(told.received), len(told.dead)) == (6, 1)


def test_what_never_ends_is_cut() -> None:
    told = consumed(replace(ALONE, max_receives=None), (0.0, messages(1, poison=[1])), limit_s=10.0)
    assert told.cut and told.dead == [] and 39 <= len(told.received) <= 41


# Streams.


def reading_spec(**changes: Any) -> stream.Reading:
    spec = stream.Reading(shards=1, batch=100, slots=4, call_s=0.0, work_s=0.0, checkpoint_s=0.0)
    return replace(spec, **changes)


def test_a_shard_is_read_five_times_a_second() -> None:
    """Records at 0.05, 0.25 and 0.45 s are found at 0.2, 0.4 and 0.6 s; the read at 0 s found nothing."""
    arrivals = [(0.05, messages(1)), (0.25, messages(1)), (0.45, messages(1))]
    read, ends = stream.read(reading_spec(), arrivals)
    assert (read.reads, read.found) == (4, 3)
    assert ends == pytest.approx([0.6])
    assert stream.idle_reads(reading_spec(), [1.0], 2.0) == 5


def test_a_reader_that_works_reads_no_more_meanwhile() -> None:
    """Eight records of eight groups, four at a time, half a second each: a second until the next read."""
    read, ends = stream.read(reading_spec(work_s=0.5), [(0.0, messages(8, groups=8)), (0.1, messages(1))])
    assert (read.reads, read.found) == (2, 2)
    assert ends == pytest.approx([1.5])
    # Of one group they are one after another.
    assert stream.read(reading_spec(work_s=0.5), [(0.0, messages(8))])[1] == pytest.approx([4.0])


def test_a_key_belongs_to_the_shard_that_its_hash_says() -> None:
    shares = Counter(stream.shard_of(f"g{n}", 4) for n in range(4000))
    assert sorted(shares) == [0, 1, 2, 3] and min(shares.values()) > 900


# Guards and their store.


def at_once(work: Any) -> Any:
    return asyncio.run(work)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> tuple[DynamoDBStore, list[Call]]:
    """The real one, on nothing that answers."""
    made = DynamoDBStore.__new__(DynamoDBStore)
    asked: list[Call] = []

    async def carry(call: Call) -> Answer:
        asked.append(call)
        return {}

    made._table, made._carry = "t", carry  # type: ignore[assignment]  # in place of a carrier
    return made, asked


@pytest.mark.parametrize("guard", GUARDS)
def test_the_steps_of_a_guard_are_what_its_store_calls(guard: str, store: tuple[DynamoDBStore, list[Call]]) -> None:
    made, asked = store

    async def nothing() -> None: ...

    job = Job(store=made, key=Key("s", "m1"), work=nothing, step=lambda point: None, now=lambda: 0, expiry_s=1.0)
    at_once(GUARDS[guard](job))
    steps = steps_of(guard)
    assert [step.operation for step in steps] == [call.operation for call in asked]
    assert [step.writes + step.reads for step in steps] == [measure(call, {}).units for call in asked]


def test_work_that_fails_leaves_out_what_comes_after_it() -> None:
    assert steps_of("transaction", fails=True) == []
    assert steps_of("check-then-act", fails=True) == [STEPS["seen"]]
    assert steps_of("in-progress", fails=True) == [STEPS["begin"], STEPS["forget"]]


# Products.


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=lambda product: product.name)
def test_every_product_has_a_pace(product: Any) -> None:
    assert 0 < product.call_s.low <= product.call_s.likely <= product.call_s.high


def test_a_slow_target_puts_more_into_a_call_and_a_patient_one_is_looked_at_longer() -> None:
    read = reading.load(reading.find("quick"), ["load.rate=200/s", "chaos=[]", "claims=[no-loss]"])
    counts: list[Callable[[str], float]] = []
    for product in (PRODUCTS["memory"], AWS):
        planned = estimate(read, region="us-east-1", product=product)
        counts.append(lambda operation, planned=planned: planned.calls["sqs", operation].likely)  # type: ignore[misc]
    memory, aws = counts
    assert aws("SendMessageBatch") < memory("SendMessageBatch")
    assert aws("GetQueueAttributes") > 3 * memory("GetQueueAttributes")
