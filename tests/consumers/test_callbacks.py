"""Task tokens that consumers send back: what is written before and after, and what becomes of the message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gameday.consumers.callbacks import Callbacks
from gameday.transports.base import Answer, Call, CallFailed, TaskOf
from gameday.transports.stepfunctions import StepFunctions

REFUSED = CallFailed("TaskTimedOut", "the token was sent back before", definite=True)
LOST = CallFailed("ReadTimeoutError", "no answer", definite=False)


@dataclass
class Worker:
    """What callbacks need of one; `answers`: None for a good one."""

    answers: list[CallFailed | None]
    calls: list[Call] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    name: str = "pay-1.1"

    @property
    def config(self) -> Any:
        return SimpleNamespace(subscription="pay")

    @property
    def tools(self) -> Any:
        return SimpleNamespace(carry=self.carry)

    async def carry(self, call: Call) -> Answer:
        # The intent is with the kernel before the call.
        assert self.written[-1]["event"] == "answering"
        self.calls.append(call)
        if (failure := self.answers.pop(0)) is not None:
            raise failure
        return {}

    def now(self) -> int:
        return 7

    def write(self, *records: dict[str, Any]) -> None:
        self.written += records


def answered(how: str, *answers: CallFailed | None, failed: bool = False) -> tuple[bool, Worker]:
    worker = Worker(list(answers))
    message = SimpleNamespace(name="m1", batch_name="b1", task=TaskOf(execution="arn", item=2, token="t"))
    callbacks = Callbacks(cast(Any, worker), StepFunctions(), how)
    done = asyncio.run(callbacks.answer(cast(Any, message), failed=failed))
    assert not worker.answers
    return done, worker


@pytest.mark.parametrize(
    "answer, done, outcome", [(None, True, "ok"), (REFUSED, True, "failed"), (LOST, False, "unknown")]
)
def test_who_has_no_sure_answer_leaves_the_message(answer: CallFailed | None, done: bool, outcome: str) -> None:
    told, worker = answered("once", answer)
    assert told is done
    intent, after = worker.written
    assert (intent["token"], intent["answer"], intent["item"], intent["batch"]) == ("t", "success", 2, "b1")
    assert (after["event"], after["outcome"], after["call"], after["started"]) == (
        "answered",
        outcome,
        intent["call"],
        7,
    )


def test_a_failure_is_sent_back_as_one() -> None:
    _, worker = answered("once", None, failed=True)
    assert [call.operation for call in worker.calls] == ["SendTaskFailure"]
    assert worker.written[0]["answer"] == "failure"


def test_the_mistakes_are_made() -> None:
    assert answered("never")[1].written == []
    _, worker = answered("twice", None, REFUSED)
    assert [record["event"] for record in worker.written] == ["answering", "answered"] * 2
    # Of one that was refused there is nothing to repeat.
    assert len(answered("twice", REFUSED)[1].calls) == 1
