"""The run's queues as a fault impairs them: on record before it is done, undone whichever way the strike ends."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gameday.emulator.services import SERVICES, World
from gameday.history.errors import HistoryError
from gameday.processes.undo import Undo
from gameday.run.policies import Policies
from gameday.transports.base import Answer, Call, CallFailed
from tests.transports.asked import Asked

RUN, INSTANCE = "quick-20260101-120000-1a2b", "impair-queue-1"


class Queues:
    """SQS in memory; `fails` calls of an operation fail, done or not done (`done`)."""

    def __init__(self, run: Path) -> None:
        self.sqs = Asked("sqs", SERVICES["sqs"].make(World()))
        self.url: str = self.sqs("CreateQueue", QueueName="orders")["QueueUrl"]
        self.undo = Undo(run)
        self.fails: dict[str, int] = {}
        self.done = False
        self.slowly: threading.Event | None = None
        self.open_when_set: list[int] = []
        self.policies = Policies({"orders": self.url}, self.carry, run=RUN, undo=self.undo, settle_s=0.0)

    def carry(self, call: Call) -> Answer:
        if call.operation == "SetQueueAttributes":
            self.open_when_set.append(len(self.undo.open()))
            if self.slowly is not None:
                self.slowly.wait(10)
        if self.fails.get(call.operation):
            self.fails[call.operation] -= 1
            if self.done:
                self.sqs(call.operation, **call.params)
            raise CallFailed("ReadTimeoutError", "no answer", definite=False)
        return self.sqs(call.operation, **call.params)

    @property
    def policy(self) -> str | None:
        told = self.sqs("GetQueueAttributes", QueueUrl=self.url, AttributeNames=["Policy"]).get("Attributes", {})
        found: str | None = told.get("Policy")
        return found


@pytest.fixture
def queues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queues:
    monkeypatch.setattr("gameday.run.policies._PAUSE_S", 0.0)
    return Queues(tmp_path)


def test_it_is_on_record_before_it_stands_there_and_off_it_afterwards(queues: Queues) -> None:
    async def strike() -> None:
        await queues.policies.deny("orders", instance=INSTANCE, actions=["SendMessage"])
        (record,) = queues.undo.open()
        assert (record.kind, record.what["queue"]) == ("policy", queues.url)
        assert str(record.what["sid"]) in (queues.policy or "")
        assert record.what["before"] == ""
        assert await queues.policies.allow("orders", instance=INSTANCE) is None

    asyncio.run(strike())
    assert queues.open_when_set[0] == 1
    assert queues.policy is None and queues.undo.open() == []


def test_a_change_whose_answer_was_lost_is_undone_as_well(queues: Queues) -> None:
    queues.fails, queues.done = {"SetQueueAttributes": 1}, True

    async def strike() -> None:
        with pytest.raises(CallFailed):
            await queues.policies.deny("orders", instance=INSTANCE, actions=["SendMessage"])
        assert queues.policy is not None
        assert await queues.policies.allow("orders", instance=INSTANCE) is None

    asyncio.run(strike())
    assert queues.policy is None and queues.undo.open() == []


@pytest.mark.parametrize("times", [2, 3])
def test_undoing_is_tried_again_and_stays_on_record_where_it_fails(queues: Queues, times: int) -> None:
    async def strike() -> str | None:
        await queues.policies.deny("orders", instance=INSTANCE, actions=["SendMessage"])
        queues.fails = {"SetQueueAttributes": times}
        return await queues.policies.allow("orders", instance=INSTANCE)

    left = asyncio.run(strike())
    assert (left is None, queues.policy is None, len(queues.undo.open())) == ((times == 2,) * 2 + (times == 3,))
    if left:
        assert "may still deny" in left and "gameday recover" in left


def test_an_interruption_leaves_no_change_half_done(queues: Queues) -> None:
    """It comes while the call is on its way; what is undone then must come after it."""
    queues.slowly = threading.Event()

    async def strike() -> None:
        denying = asyncio.create_task(queues.policies.deny("orders", instance=INSTANCE, actions=["SendMessage"]))
        while not queues.open_when_set:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
        denying.cancel()
        await asyncio.sleep(0)
        assert not denying.done()
        queues.slowly.set()
        with pytest.raises(asyncio.CancelledError):
            await denying
        assert queues.policy is not None
        await queues.policies.allow("orders", instance=INSTANCE)

    asyncio.run(strike())
    assert queues.policy is None


def test_what_cannot_be_put_on_record_is_not_done(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise HistoryError("no space left")

    monkeypatch.setattr(Undo, "_write", full)
    with pytest.raises(HistoryError):
        asyncio.run(queues.policies.deny("orders", instance=INSTANCE, actions=["SendMessage"]))
    assert queues.policy is None


def test_what_this_strike_did_not_deny_is_left_alone(queues: Queues) -> None:
    assert asyncio.run(queues.policies.allow("orders", instance=INSTANCE)) is None
    assert not queues.open_when_set
