"""The worker that invokes a function as an event source mapping does: what it deletes, what it leaves, and what it
tells of each invocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from gameday.consumers.config import MappingConfig
from gameday.history.errors import ProcessError
from gameday.history.identity import Identification
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import EffectUnknown, Unanswered
from gameday.transports.lambda_events import effects_of
from tests.consumers.scripted import Bench, message
from tests.consumers.test_own_handler import Answers, failing, own

Make = Callable[..., Bench]
ABC = [message(id, group="g") for id in ("a", "b", "c")]
MAPPING = MappingConfig(function="orders")


@pytest.fixture
def invoked(bench: Make) -> Callable[..., tuple[Bench, Answers]]:
    """The batches of a queue handed to a function that answers so."""

    def work(
        *batches: list[dict[str, Any]],
        answer: Callable[[Any], Any] = lambda _: None,
        arm: Iterable[Disturbance] = (),
        mapping: dict[str, Any] | None = None,
        answers: type[Answers] = Answers,
        **changes: Any,
    ) -> tuple[Bench, Answers]:
        answering = answers(answer)
        made = bench(*batches, handler=own(answering, "sqs"), mapping=replace(MAPPING, **mapping or {}), **changes)
        for disturbance in arm:
            made.disturbances.arm(disturbance)
        asyncio.run(made.work())
        return made, answering

    return work


Invoked = Callable[..., tuple[Bench, Answers]]


def told(made: Bench, event: str) -> list[dict[str, Any]]:
    return [dict(record) for record in made.records() if record["event"] == event]


def test_what_is_told_of_an_invocation_and_in_which_order(invoked: Invoked) -> None:
    made, answers = invoked(ABC, answer=lambda _: failing("b-b"))
    assert answers.records() == [["b-a", "b-b", "b-c"]]
    assert made.brief() == [
        "invoked",
        *("received a", "received b", "received c"),
        "responded ok",
        *("settling a delete", "settling c delete", "settled a delete ok", "settled c delete ok"),
    ]
    (began,), (ended,) = told(made, "invoked"), told(made, "responded")
    assert (began["ids"], began["function"]) == (["a", "b", "c"], "orders")
    assert (ended["outcome"], ended["failed"]) == ("ok", ["b"])
    assert {record["batch"] for record in made.records()} == {began["batch"]}
    # Before the call that deletes.
    (_, _, history), *_ = made.queue.calls
    assert "responded ok" in history


def test_what_failed_is_left_to_its_visibility_timeout(invoked: Invoked) -> None:
    made, _ = invoked(ABC, answer=lambda _: failing("b-b"))
    assert made.queue.receipts("delete") == ["r-a", "r-c"]
    assert made.queue.receipts("release") == made.queue.receipts("hide") == []


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"messageId": "b-b"}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        failing("b-b", "?"),
        "ok",
        EffectUnknown("ValueError"),
        Unanswered("it ended"),
    ],
)
def test_a_whole_batch_that_fails_is_left(invoked: Invoked, answer: Any) -> None:
    made, _ = invoked(ABC, answer=lambda _: answer)
    assert made.queue.calls == []
    (ended,) = told(made, "responded")
    assert ended["outcome"] == "failed" and ended["error"]


@pytest.mark.parametrize("answer", [None, "", {}, {"batchItemFailures": None}, failing()])
def test_an_empty_answer_is_success(invoked: Invoked, answer: Any) -> None:
    made, _ = invoked(ABC, answer=lambda _: answer)
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]


def test_without_partial_answers_whatever_it_returns_is_success(invoked: Invoked) -> None:
    made, _ = invoked(ABC, answer=lambda _: failing("b-b"), mapping={"partial": False})
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]
    assert "failed" not in told(made, "responded")[0] or not told(made, "responded")[0]["failed"]


def test_what_a_function_tells_of_its_effects(invoked: Invoked) -> None:
    says = {**failing("b-b"), "gameday": {"applied": ["b-a"], "failed": ["b-b", "?"], "nonsense": 1}}
    made, _ = invoked(ABC, answer=lambda _: says)
    assert [(r["id"], r["outcome"], "batch" in r) for r in told(made, "effect")] == [
        ("a", "applied", True),
        ("b", "failed", True),
    ]


@pytest.mark.parametrize("says", [None, "x", {"gameday": 1}, {"gameday": {"applied": "b-a"}}, {"gameday": {"a": []}}])
def test_what_is_told_wrongly_tells_nothing(says: Any) -> None:
    assert effects_of(says, ["b-a"]) == {}


def test_effects_are_told_of_a_batch_that_fails_too(invoked: Invoked) -> None:
    """What it did it did, although AWS cannot read what it says of failures."""
    says = {"batchItemFailures": [{"messageId": "b-b"}], "gameday": {"applied": ["b-a", "b-c"]}}
    made, _ = invoked(ABC, answer=lambda _: says)
    assert [record["id"] for record in told(made, "effect")] == ["a", "c"]
    assert made.queue.calls == []


# Gathering and dropping


def test_a_window_gathers_several_receives(invoked: Invoked) -> None:
    batches = [[message("a")], [], [message("b")]]
    made, answers = invoked(*batches, mapping={"window_s": 0.2, "batch": 20}, transport="sqs", wait_s=0)
    assert answers.records() == [["b-a", "b-b"]]
    assert [record["started"] for record in told(made, "received")] == sorted(
        {record["started"] for record in told(made, "received")}
    )


def test_without_a_window_each_receive_is_a_batch(invoked: Invoked) -> None:
    _, answers = invoked([message("a")], [message("b")], transport="sqs")
    assert answers.records() == [["b-a"], ["b-b"]]


def test_more_than_a_call_takes_is_deleted_in_several(invoked: Invoked) -> None:
    batches = [[message(f"{n}{m}") for m in range(10)] for n in range(2)]
    made, answers = invoked(*batches, mapping={"window_s": 5.0, "batch": 20}, transport="sqs")
    assert [len(each) for each in answers.records()] == [20]
    assert [len(receipts) for kind, receipts, _ in made.queue.calls] == [10, 10]


def test_what_a_filter_drops_is_deleted_unseen(invoked: Invoked) -> None:
    wanted = [{"body": {"detail": {"correlationId": ["a", "c"]}}}]
    made, answers = invoked(ABC, mapping={"filter": wanted})
    assert answers.records() == [["b-a", "b-c"]]
    assert made.queue.receipts("delete") == ["r-b", "r-a", "r-c"]
    assert [record["id"] for record in told(made, "received")] == ["a", "c"], "nobody expects what it drops"


# Throttles


def test_what_is_throttled_uses_up_a_receive_and_nobody_is_invoked(invoked: Invoked) -> None:
    throttle = Disturbance(kind="throttle-function", instance="t")
    made, answers = invoked(ABC, arm=[throttle], visibility_timeout_s=1)
    assert answers.asked == [] and made.queue.calls == []
    assert made.brief() == ["received a", "received b", "received c"]
    assert made.disturbances.fired["t"] > 0


def test_a_throttle_that_ends_in_time_costs_nothing(invoked: Invoked) -> None:
    once = Disturbance(kind="throttle-function", instance="t", nth=1)
    # Another receive, so that it has not ended before.
    made, answers = invoked(ABC, [], [], [], arm=[once], wait_s=0)
    assert len(answers.asked) == 1
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]


def test_reserved_concurrency_throttles_what_is_above_it(bench: Make) -> None:
    most = at_work = 0

    class Counting(Answers):
        async def ask(self, document: Any, *, timeout_s: float) -> object:
            nonlocal most, at_work
            at_work += 1
            most = max(most, at_work)
            for _ in range(9):
                await asyncio.sleep(0)
            at_work -= 1
            return await super().ask(document, timeout_s=timeout_s)

    for reserved, at_once in ((None, 3), (1, 1)):
        most = 0
        answers = Counting(lambda _: None)
        batches = [*([message(id)] for id in "abc"), *([] for _ in range(9))]
        mapping = replace(MAPPING, reserved=reserved)
        made = bench(*batches, handler=own(answers, "sqs"), mapping=mapping, transport="sqs", wait_s=0)
        asyncio.run(made.work())
        assert (most, len(answers.asked)) == (at_once, 3)


def test_a_mapping_that_is_disabled_receives_nothing(bench: Make) -> None:
    made = bench(ABC, handler=own(Answers(lambda _: None), "sqs"), mapping=MAPPING)
    made.disturbances.arm(Disturbance(kind="disable-mapping", instance="d"))

    async def work() -> None:
        working = asyncio.create_task(made.work())
        while not made.disturbances.fired["d"]:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        assert made.queue.receives == 0
        made.disturbances.disarm("d")
        await working

    asyncio.run(work())
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]


def test_a_function_that_takes_too_long_has_failed(invoked: Invoked) -> None:
    slow = Disturbance(kind="stretch-processing", instance="s", seconds=5.0)
    made, answers = invoked(ABC, arm=[slow], mapping={"timeout_s": 0.05})
    assert answers.asked == [] and made.queue.calls == []
    assert told(made, "responded")[0]["outcome"] == "failed"


def test_a_message_without_an_id_is_in_no_list(invoked: Invoked) -> None:
    """And a partial answer that names one cannot be told, so nobody is told that the others are done."""
    by_broker = Identification(by="broker")
    made, _ = invoked(ABC, answer=lambda _: failing("b-b"), identification=by_broker)
    assert told(made, "invoked")[0].get("ids", []) == []
    assert told(made, "responded")[0]["outcome"] == "unknown"
    assert [record["broker_id"] for record in told(made, "received")] == ["b-a", "b-b", "b-c"]


# Faults of functions


def test_an_invocation_that_a_fault_fails_is_never_asked_for(invoked: Invoked) -> None:
    made, answers = invoked(ABC, arm=[Disturbance(kind="function-error", instance="e")])
    assert answers.asked == [] and made.queue.calls == []
    (ended,) = told(made, "responded")
    assert (ended["outcome"], made.disturbances.fired) == ("failed", {"e": 1})


def test_an_invocation_that_times_out_has_done_its_work(invoked: Invoked) -> None:
    says = {"gameday": {"applied": ["b-a"]}}
    late = Disturbance(kind="function-timeout", instance="t")
    made, answers = invoked(ABC, answer=lambda _: says, arm=[late], mapping={"timeout_s": 0.05})
    assert len(answers.asked) == 1 and made.queue.calls == []
    assert told(made, "effect") == [], "nobody was told"
    assert told(made, "responded")[0]["outcome"] == "failed"


def test_a_cold_start_takes_none_of_the_function_s_own_time(invoked: Invoked) -> None:
    cold = Disturbance(kind="cold-start", instance="c", seconds=0.2)
    made, _ = invoked(ABC, arm=[cold], mapping={"timeout_s": 0.1})
    (began,), (ended,) = told(made, "invoked"), told(made, "responded")
    assert ended["outcome"] == "ok" and ended["at"] - began["at"] >= 200_000_000
    assert made.queue.receipts("delete") == ["r-a", "r-b", "r-c"]


@pytest.mark.parametrize("handler, argv", [(None, None), ("deep/other.main", ["python", "shim", "deep.other:main"])])
def test_a_new_version_takes_over_and_is_rolled_back(bench: Make, handler: str | None, argv: list[str] | None) -> None:
    asked: list[Any] = []

    class Versions(Answers):
        argv = ("python", "shim", "orders:handler")

        async def ask(self, document: Any, *, timeout_s: float, version: Any = None, argv: Any = None) -> object:
            asked.append((version, argv))
            if len(asked) == 1:
                made.disturbances.disarm("d")
            return await super().ask(document, timeout_s=timeout_s)

    batches = [[message("a")], [message("b")]]
    made = bench(
        *batches, handler=own(Versions(lambda _: None), "sqs"), mapping=MAPPING, transport="sqs", concurrency=1
    )
    made.disturbances.arm(Disturbance(kind="deploy", instance="d", version=handler))
    asyncio.run(made.work())
    assert asked == [("d", argv), (None, None)]


def test_a_version_that_cannot_be_started_fails_its_invocations(invoked: Invoked) -> None:
    broken = Disturbance(kind="deploy", instance="d", version="orders.nothing")

    class Broken(Answers):
        argv = ("python", "shim", "orders:handler")

    made, _ = invoked(ABC, answer=lambda _: ProcessError("no such function"), arm=[broken], answers=Broken)
    assert told(made, "responded")[0]["outcome"] == "failed" and made.queue.calls == []
    with pytest.raises(ProcessError):
        invoked(ABC, answer=lambda _: ProcessError("gone"))
