"""The workers with a handler of somebody else's: what is deleted, released, left or read again for each answer, and
who the history says has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.own_handler import OwnHandler
from gameday.history.errors import ProcessError
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import EffectUnknown, Unanswered
from gameday.transports.lambda_events import EVENTS, Origin
from gameday.transports.registry import TRANSPORTS
from tests.consumers.scripted import Bench, message
from tests.consumers.streaming import World, virtually

Make = Callable[..., Bench]
NAME = "orders-1.1"


class Answers:
    """In place of the processes: answers each request by a function, or raises what that gives."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.asked: list[Any] = []
        self._answer = answer

    async def ask(self, document: Any, *, timeout_s: float, version: object = None, argv: object = None) -> object:
        await asyncio.sleep(0)
        self.asked.append(document)
        answer = self._answer(document)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def records(self) -> list[list[str]]:
        """The identifiers of the records in each event."""
        return [
            [record.get("messageId") or record["kinesis"]["sequenceNumber"] for record in document["event"]["Records"]]
            for document in self.asked
        ]


def own(answers: Answers, event: str | None) -> OwnHandler:
    return OwnHandler(
        answers,  # type: ignore[arg-type]  # as much of a pool as it uses
        subscription="orders",
        event=None if event is None else EVENTS[event],
        origin=Origin(region="us-east-1", arn="arn:…"),
        timeout_s=5,
    )


def failing(*identifiers: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


def effects(bench: Bench) -> list[tuple[Any, Any, bool]]:
    """(id, outcome, whether it names the batch) of each effect record."""
    return [(r["id"], r["outcome"], "batch" in r) for r in bench.records() if r["event"] == "effect"]


@pytest.fixture
def consumed(bench: Make) -> Callable[..., tuple[Bench, Answers]]:
    """The batches of a queue worked off by a handler that answers so."""

    def work(
        *batches: list[dict[str, Any]],
        answer: Callable[[Any], Any],
        event: str | None = None,
        arm: Iterable[Disturbance] = (),
        **changes: Any,
    ) -> tuple[Bench, Answers]:
        answers = Answers(answer)
        made = bench(*batches, handler=own(answers, event), **changes)
        for disturbance in arm:
            made.disturbances.arm(disturbance)
        asyncio.run(made.work())
        return made, answers

    return work


Consumed = Callable[..., tuple[Bench, Answers]]


def test_a_message_that_was_handled_is_deleted_and_nothing_is_said_of_its_effect(consumed: Consumed) -> None:
    made, answers = consumed([message("a", group="g")], answer=lambda _: {"whatever": 1})
    assert made.brief() == ["received a", "settling a delete", "settled a delete ok"]
    (asked,) = answers.asked
    assert (asked["message"]["id"], asked["message"]["receives"]) == ("a", 1)


def test_a_message_that_failed_is_released_and_its_effect_is_unknown(consumed: Consumed) -> None:
    """Without a batch: nobody knows what it did before it failed, so that receive stays one without an effect."""
    made, answers = consumed([message("a", group="g"), message("b", group="g")], answer=lambda _: EffectUnknown("no"))
    assert made.queue.receipts("release") == ["r-a", "r-b"]
    assert effects(made) == [("a", "failed", False)]
    assert len(answers.asked) == 1, "what comes after it in its group waits"


def test_a_message_without_an_answer_is_left_to_expire(consumed: Consumed) -> None:
    made, _ = consumed([message("a")], answer=lambda _: Unanswered("it ended (exit code 1)"))
    assert made.queue.calls == []
    assert effects(made) == [("a", "failed", False)]


def test_a_message_that_is_not_ours_is_handed_over_too(consumed: Consumed) -> None:
    theirs = {**message("a"), "Body": "an order"}
    made, answers = consumed([theirs], answer=lambda _: None)
    assert answers.asked[0]["message"]["body"] == "an order"
    assert made.queue.receipts("delete") == ["r-a"]


def test_a_handler_that_cannot_be_started_ends_the_worker(consumed: Consumed) -> None:
    with pytest.raises(ProcessError, match="gone"):
        consumed([message("a")], answer=lambda _: ProcessError("gone"))


def test_attributes_are_asked_for(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(handler=own(Answers(lambda _: None), None))
    calls: list[Any] = []
    carry = made.worker.tools.carry

    async def noted(call: Any) -> Any:
        calls.append(call)
        return await carry(call)

    monkeypatch.setattr(type(made.worker.tools), "carry", property(lambda _: noted), raising=False)
    asyncio.run(made.work())
    assert calls[0].params["MessageAttributeNames"] == ["All"]


# A whole batch


BATCH = [message(id, group="g") for id in ("a", "b", "c")]


def test_a_batch_is_one_event_and_what_it_names_comes_again(consumed: Consumed) -> None:
    made, answers = consumed(BATCH, answer=lambda _: failing("b-b"), event="sqs", transport="sqs")
    assert answers.records() == [["b-a", "b-b", "b-c"]]
    assert made.queue.receipts("delete") == ["r-a", "r-c"]
    assert made.queue.receipts("release") == ["r-b"]
    assert effects(made) == [("b", "failed", False)]


def test_a_retry_delay_keeps_what_failed(consumed: Consumed) -> None:
    made, _ = consumed(BATCH, answer=lambda _: failing("b-b"), event="sqs", retry_delay_s=3)
    assert made.queue.receipts("hide") == ["r-b"]


@pytest.mark.parametrize("answer", [None, {}, failing()])
def test_a_batch_that_succeeds_is_deleted(consumed: Consumed, answer: Any) -> None:
    made, _ = consumed(BATCH, answer=lambda _: answer, event="sqs")
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]
    assert effects(made) == []


@pytest.mark.parametrize("answer", [failing("b-a", "?"), failing(""), "ok", EffectUnknown("ValueError")])
def test_a_batch_that_fails_comes_again_and_nobody_is_named(consumed: Consumed, answer: Any) -> None:
    made, _ = consumed(BATCH, answer=lambda _: answer, event="sqs")
    assert made.queue.receipts("release") == ["r-a", "r-b", "r-c"]
    assert effects(made) == []


def test_in_a_batch_of_one_it_is_known_who_failed(consumed: Consumed) -> None:
    made, _ = consumed(BATCH[:1], answer=lambda _: EffectUnknown("ValueError"), event="sqs")
    assert effects(made) == [("a", "failed", False)]


def test_where_there_is_an_order_the_first_is_known_to_have_failed(consumed: Consumed) -> None:
    """The others may have been given back unhandled, as AWS asks for; all come again as they were told to."""
    made, _ = consumed(BATCH, answer=lambda _: failing("b-b", "b-c"), event="sqs", transport="sqs-fifo")
    assert made.queue.receipts("delete") == ["r-a"]
    assert made.queue.receipts("release") == ["r-b", "r-c"]
    assert effects(made) == [("b", "failed", False)]


def test_what_comes_after_a_failure_is_deleted_if_the_answer_says_so(consumed: Consumed) -> None:
    """Wrong on a FIFO queue, and done as told: the claims show it."""
    made, _ = consumed(BATCH, answer=lambda _: failing("b-a"), event="sqs", transport="sqs-fifo")
    assert made.queue.receipts("delete") == ["r-b", "r-c"]


def test_a_batch_without_an_answer_is_left_to_expire(consumed: Consumed) -> None:
    made, _ = consumed(BATCH, answer=lambda _: Unanswered("it ended"), event="sqs")
    assert made.queue.calls == []
    assert made.worker.holding == 0


def test_as_many_batches_are_in_hand_as_there_are_processes(bench: Make) -> None:
    """Many messages in hand hold no receive back while a handler is free; none is received that would have to wait."""
    both = asyncio.Event()
    received: list[int] = []

    class Two(Answers):
        async def ask(self, document: Any, *, timeout_s: float) -> object:
            self.asked.append(document)
            if len(self.asked) == 2:
                for _ in range(20):
                    await asyncio.sleep(0)
                received.append(made.queue.receives)
                both.set()
            await both.wait()
            return None

    batches = [[message(f"{n}{m}") for m in range(9)] for n in range(4)]
    made = bench(*batches, handler=own(Two(lambda _: None), "sqs"), concurrency=2)
    asyncio.run(made.work())
    assert received == [2]
    assert len(made.queue.receipts("delete")) == 36


def test_the_order_of_one_event_each(consumed: Consumed) -> None:
    """Events of a topic and a bus are one record: what failed holds back its group as with plain messages."""
    body = '{"detail-type": "OrderPlaced", "detail": {}}'
    made, answers = consumed(
        [{**one, "Body": body} for one in BATCH], answer=lambda _: EffectUnknown("no"), event="eventbridge"
    )
    assert [asked["event"]["detail-type"] for asked in answers.asked] == ["OrderPlaced"]
    assert len(made.queue.receipts("release")) == 3


def test_what_no_event_can_be_made_of_fails_and_surely_had_no_effect(consumed: Consumed) -> None:
    theirs = {**message("a"), "Body": "an order"}
    made, answers = consumed([theirs], answer=lambda _: None, event="eventbridge")
    assert answers.asked == []
    assert effects(made) == [("b-a", "failed", True)]


# Faults


def test_a_handling_that_a_fault_fails_is_never_asked_for(consumed: Consumed) -> None:
    fail = Disturbance(kind="fail-handler", instance="i")
    made, answers = consumed(BATCH, answer=lambda _: None, event="sqs", arm=[fail])
    assert answers.asked == []
    assert effects(made) == [("a", "failed", True), ("b", "failed", True), ("c", "failed", True)]
    assert made.queue.receipts("release") == ["r-a", "r-b", "r-c"]
    assert made.disturbances.fired == {"i": 1}
    assert made.worker.holding == 0


def test_a_message_that_a_fault_fails_is_never_asked_for(consumed: Consumed) -> None:
    fail = Disturbance(kind="fail-handler", instance="i")
    made, answers = consumed(BATCH[:1], answer=lambda _: None, arm=[fail])
    assert (answers.asked, effects(made)) == ([], [("a", "failed", True)])


@pytest.mark.parametrize("event", [None, "sqs"])
def test_work_that_a_fault_stretches_takes_longer(
    consumed: Consumed, event: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    stretch = Disturbance(kind="stretch-processing", instance="i", seconds=7.5)
    consumed(BATCH, answer=lambda _: None, event=event, arm=[stretch])
    assert slept.count(7.5) == (3 if event is None else 1)


# Streams


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def consume(world: World, answer: Callable[[Any], Any], *, event: str | None = "kinesis") -> Answers:
    """Everything on the stream, read to its end."""
    answers = Answers(answer)

    async def scene() -> None:
        world.send("a1", "b1", "a2", "b2")
        await world.until_read(world.worker(NAME, handler=own(answers, event)))

    virtually(scene())
    return answers


def ids(world: World) -> dict[str, str]:
    """Each sequence number's message."""
    return {str(r["broker_seq"]): str(r["id"]) for r in world.records() if r["event"] == "received"}


def seen(world: World, answers: Answers) -> list[list[str]]:
    return [[ids(world)[number] for number in batch] for batch in answers.records()]


def once(answer: Callable[[list[str]], Any]) -> Callable[[Any], Any]:
    """The first event is answered so, by the sequence numbers in it, and every other is a success."""
    before: list[Any] = []

    def answered(document: Any) -> Any:
        before.append(document)
        numbers = [record["kinesis"]["sequenceNumber"] for record in document["event"]["Records"]]
        return answer(numbers) if len(before) == 1 else None

    return answered


def test_a_batch_of_a_stream_is_checkpointed(world: World) -> None:
    answers = consume(world, lambda _: None)
    assert seen(world, answers) == [["a1", "b1", "a2", "b2"]]
    assert world.brief()[-2:] == ["settling b2 checkpoint", "settled b2 checkpoint ok"]


@pytest.mark.parametrize("places", [(1,), (3, 1), (2, 1, 2)])
def test_a_stream_begins_again_at_the_lowest_that_failed(world: World, places: tuple[int, ...]) -> None:
    answers = consume(world, once(lambda numbers: failing(*(numbers[place] for place in places))))
    assert seen(world, answers) == [["a1", "b1", "a2", "b2"], ["b1", "a2", "b2"]]
    settled = [line for line in world.brief() if line.startswith("settled")]
    assert settled == ["settled a1 checkpoint ok", "settled b2 checkpoint ok"]
    assert [(r["id"], "batch" in r) for r in world.records() if r["event"] == "effect"] == [("b1", False)]


@pytest.mark.parametrize("answer", [failing("?"), EffectUnknown("ValueError"), Unanswered("it ended")])
def test_a_batch_of_a_stream_that_fails_is_read_again(world: World, answer: Any) -> None:
    answers = consume(world, once(lambda _: answer))
    assert seen(world, answers) == [["a1", "b1", "a2", "b2"]] * 2
    assert [r for r in world.records() if r["event"] == "effect"] == []


def test_a_plain_record_that_failed_is_asked_for_again_in_its_place(world: World) -> None:
    failed: list[Any] = []

    def answer(document: Any) -> Any:
        id = document["message"]["id"]
        if id == "a1" and not failed:
            failed.append(id)
            return EffectUnknown("not yet")
        return None

    answers = consume(world, answer, event=None)
    order = [asked["message"]["id"] for asked in answers.asked]
    assert sorted(order) == ["a1", "a1", "a2", "b1", "b2"]
    assert order.index("a2") > max(n for n, id in enumerate(order) if id == "a1")


def test_every_event_has_a_transport() -> None:
    for name, event in EVENTS.items():
        assert any(event.missing(transport) is None for transport in TRANSPORTS.values()), name
