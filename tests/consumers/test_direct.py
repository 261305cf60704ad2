"""The worker that invokes a function as a topic or a bus does: what is tried again, and what becomes of what is given
up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gameday.consumers.config import MappingConfig
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import EffectUnknown
from gameday.transports.eventbridge import unwrap
from gameday.transports.queue import SqsQueue
from tests.consumers.scripted import Bench, body, message
from tests.consumers.test_mapping import told
from tests.consumers.test_own_handler import Answers, own

Make = Callable[..., Bench]
NO = EffectUnknown("no")


def event(id: str) -> dict[str, Any]:
    """A message as a bus puts it into the queue behind it."""
    sent = json.loads(body(id))
    return {**message(id), "Body": json.dumps({**sent, "id": f"e-{id}", "account": "1", "region": "r"})}


@pytest.fixture
def invoked(bench: Make) -> Callable[..., tuple[Bench, Answers]]:
    def work(
        *ids: str, answer: Callable[[Any], Any] = lambda _: None, empty: int = 0, arm: str = "", **mapping: Any
    ) -> tuple[Bench, Answers]:
        answers = Answers(answer)
        config = MappingConfig(**{"function": "f", "batch": 1, "direct": True, "retries": 2, **mapping})
        batches = [*([event(id)] for id in ids), *([] for _ in range(empty))]
        made = bench(
            *batches,
            handler=own(answers, "eventbridge"),
            mapping=config,
            transport="eventbridge",
            source=SqsQueue("q", unwrap),
            wait_s=0,
        )
        if arm:
            made.disturbances.arm(Disturbance(kind=arm, instance=arm, nth=1))
        # Between its tries a message is in nobody's hand.
        made.queue.when_empty = lambda: made.worker.stop() if len(made.queue.receipts("delete")) == len(ids) else None
        asyncio.run(made.work())
        return made, answers

    return work


Invoked = Callable[..., tuple[Bench, Answers]]


def tries(answers: Answers) -> list[str]:
    return [asked["event"]["id"] for asked in answers.asked]


def test_what_succeeds_is_done(invoked: Invoked) -> None:
    made, answers = invoked("a", "b", answer=lambda _: {"gameday": {"applied": ["e-a"]}})
    assert sorted(tries(answers)) == ["e-a", "e-b"]
    assert sorted(made.queue.receipts("delete")) == ["r-a", "r-b"]
    assert [(record["id"], record["outcome"]) for record in told(made, "effect")] == [("a", "applied")]
    assert not [record for record in told(made, "received") if "receives" in record or "hidden_s" in record]


@pytest.mark.parametrize("on_failure", [False, True])
def test_what_fails_three_times_is_given_up(invoked: Invoked, on_failure: bool) -> None:
    made, answers = invoked("a", answer=lambda _: NO, on_failure=on_failure)
    assert tries(answers) == ["e-a"] * 3
    assert len({record["batch"] for record in told(made, "invoked")}) == 3, "each try is an invocation of its own"
    assert [record["outcome"] for record in told(made, "responded")] == ["failed"] * 3
    assert [record["id"] for record in told(made, "dead")] == (["a"] if on_failure else [])
    assert made.queue.receipts("delete") == ["r-a"]
    assert made.worker.holding == 0


def test_what_fails_once_is_done_then(invoked: Invoked) -> None:
    answers_to = [NO, None]
    made, answers = invoked("a", answer=lambda _: answers_to.pop(0), retry_wait_s=0.05)
    assert tries(answers) == ["e-a", "e-a"]
    assert told(made, "dead") == [] and made.queue.receipts("delete") == ["r-a"]


def test_what_is_too_old_is_given_up(invoked: Invoked) -> None:
    """It was sent years ago."""
    _, answers = invoked("a", answer=lambda _: NO, max_age_s=60.0)
    assert len(tries(answers)) == 1


def test_a_throttle_uses_no_try_up(invoked: Invoked) -> None:
    _, answers = invoked("a", answer=lambda _: NO, arm="throttle-function")
    assert len(tries(answers)) == 3


def test_who_waits_for_the_next_try_takes_no_place(bench: Make) -> None:
    """With one invocation at a time, another message is handled meanwhile."""
    order: list[str] = []

    def answer(asked: Any) -> Any:
        order.append(asked["event"]["id"])
        return NO if order == ["e-a"] else None

    mapping = MappingConfig(function="f", batch=1, direct=True, retries=2, retry_wait_s=0.3)
    made = bench(
        *([event(id)] for id in "ab"),
        handler=own(Answers(answer), "eventbridge"),
        mapping=mapping,
        transport="eventbridge",
        source=SqsQueue("q", unwrap),
        concurrency=1,
        wait_s=0,
    )
    made.queue.when_empty = lambda: made.worker.stop() if len(made.queue.receipts("delete")) == 2 else None
    asyncio.run(made.work())
    assert order == ["e-a", "e-b", "e-a"]
