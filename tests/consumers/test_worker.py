"""The worker on a scripted queue: what it calls, in which order, and what stands in the history by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from consumers.effects import Key
from history.control import Disturbance
from history.errors import HistoryError
from tests.consumers.scripted import Bench, brief, message
from transports.base import Call, CallFailed

Make = Callable[..., Bench]


def test_a_batch_is_received_handled_and_deleted_with_its_records_before_each_step(bench: Make) -> None:
    made = bench([message("a", group="g"), message("b", group="g")])
    asyncio.run(made.work())
    assert made.brief() == [
        "received a",
        "received b",
        "effect a applied",
        "settling a delete",
        "effect b applied",
        "settling b delete",
        "settled a delete ok",
        "settled b delete ok",
    ]
    ((kind, receipts, before),) = made.queue.calls
    assert (kind, receipts) == ("delete", ["r-a", "r-b"])
    assert before == made.brief()[:6]
    assert made.store.applied == {Key("orders", "a"): 1, Key("orders", "b"): 1}


def test_what_belongs_together_is_one_write(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receive, an effect with its settling, and the answers of a call: a crash leaves all of one or nothing."""
    made = bench([message("a"), message("b")], concurrency=1)
    writes: list[list[str]] = []
    write = made.worker.tools.writer.write

    def noted(*records: Any) -> int:
        writes.append(brief(records))
        return write(*records)

    monkeypatch.setattr(made.worker.tools.writer, "write", noted)
    asyncio.run(made.work())
    assert writes == [
        ["received a", "received b"],
        ["effect a applied", "settling a delete"],
        ["effect b applied", "settling b delete"],
        ["settled a delete ok", "settled b delete ok"],
    ]


def test_records_carry_what_the_contract_names(bench: Make) -> None:
    made = bench([message("a", group="g", receives=3)], visibility_timeout_s=4.5)
    asyncio.run(made.work())
    received, effect, settling, settled = made.records()
    assert received | {"at": 0, "started": 0} == {
        "event": "received",
        "at": 0,
        "by": "orders-1.1",
        "id": "a",
        "subscription": "orders",
        "consumer": "orders-1.1",
        "batch": "orders-1.1-1",
        "started": 0,
        "broker_id": "b-a",
        "group": "g",
        "receives": 3,
        "enqueued": 1_000_000,
        "hidden_s": 5,
        "intact": True,
    }
    assert received["started"] <= received["at"] <= effect["started"] <= effect["at"] <= settled["started"]
    assert {settling["batch"], settled["batch"], effect["batch"]} == {"orders-1.1-1"}
    assert settling["broker_id"] == settled["broker_id"] == "b-a"


def test_a_group_is_handled_in_batch_order_and_groups_beside_each_other(bench: Make) -> None:
    order: list[str] = []
    both = asyncio.Event()

    async def handler(work: Any) -> None:
        order.append(work.id)
        if work.id == "a1":
            # Another group must be able to go on while this one waits.
            await both.wait()
        if work.id == "b2":
            both.set()

    made = bench([message(id, group=id[0]) for id in ("a1", "b1", "a2", "b2")], handler=handler)
    asyncio.run(made.work())
    assert order == ["a1", "b1", "b2", "a2"]


def test_no_more_than_concurrency_handlers_at_once(bench: Make) -> None:
    now = peak = 0

    async def handler(work: Any) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.001)
        now -= 1

    made = bench(*([message(f"{b}{n}") for n in range(10)] for b in "xyz"), concurrency=3, pollers=3, handler=handler)
    asyncio.run(made.work())
    assert peak == 3
    assert len(made.queue.receipts("delete")) == 30


def test_a_failure_stops_its_group_and_releases_the_rest_of_it(bench: Make) -> None:
    made = bench(
        [
            message("a1", group="a"),
            message("a2", group="a", poison=True),
            message("b1", group="b"),
            message("a3", group="a"),
            message("a4", group="a"),
            message("b2", group="b"),
        ]
    )
    asyncio.run(made.work())
    assert sorted(made.queue.receipts("delete")) == ["r-a1", "r-b1", "r-b2"]
    assert made.queue.receipts("release") == ["r-a2", "r-a3", "r-a4"]
    lines = made.brief()
    assert "effect a2 failed" in lines
    assert not [line for line in lines if line.startswith("effect a3") or line.startswith("effect a4")]
    assert lines.index("settling a3 release") < lines.index("settled a3 release ok")
    assert {key.id for key in made.store.applied} == {"a1", "b1", "b2"}


@pytest.mark.parametrize("transport", ["sqs", "memory"])
def test_without_an_order_a_failure_stops_nobody_else(bench: Make, transport: str) -> None:
    batch = [message("a1", group="a"), message("a2", group="a", poison=True), message("a3", group="a")]
    made = bench(batch, transport=transport)
    asyncio.run(made.work())
    assert sorted(made.queue.receipts("delete")) == ["r-a1", "r-a3"]
    assert made.queue.receipts("release") == ["r-a2"]
    assert {key.id for key in made.store.applied} == {"a1", "a3"}


def test_a_handler_that_raises_anything_has_failed(bench: Make, capsys: pytest.CaptureFixture[str]) -> None:
    async def handler(work: Any) -> None:
        raise ZeroDivisionError("its own bug")

    made = bench([message("a")], handler=handler)
    asyncio.run(made.work())
    assert made.brief()[1:3] == ["effect a failed", "settling a release"]
    assert "its own bug" in capsys.readouterr().err


@pytest.mark.parametrize("definite", [True, False])
def test_a_failing_store_leaves_the_message_to_expire(
    bench: Make, definite: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench([message("a", group="g"), message("b", group="g")])
    made.store.fail = CallFailed("Timeout", "no answer", definite=definite)
    asyncio.run(made.work())
    assert made.queue.receipts("release") == ["r-b"]
    assert made.queue.receipts("delete") == []
    assert ("effect a failed" in made.brief()) is definite, "an effect that may be there is not called failed"
    assert "no answer" in capsys.readouterr().err


def test_a_store_that_fails_after_the_effect_does_not_hide_the_effect(
    bench: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def claim(key: Key) -> bool:
        raise CallFailed("Throttled", "later", definite=True)

    made = bench([message("a")], guard="check-then-act")
    monkeypatch.setattr(made.store, "claim", claim)
    asyncio.run(made.work())
    assert made.brief() == ["received a", "effect a applied"]
    assert "later" in capsys.readouterr().err


def test_every_entry_of_a_delete_has_its_own_outcome(bench: Make) -> None:
    made = bench([message("a"), message("b"), message("c"), message("d")])
    made.queue.answers["delete"] = lambda call: {
        "Successful": [{"Id": "0"}],
        "Failed": [
            {"Id": "1", "Code": "ReceiptHandleIsInvalid", "Message": "stale", "SenderFault": True},
            {"Id": "2", "Code": "InternalError", "SenderFault": False},
        ],
    }
    asyncio.run(made.work())
    settled = {record["id"]: record for record in made.records() if record["event"] == "settled"}
    assert [settled[id]["outcome"] for id in "abcd"] == ["ok", "failed", "unknown", "unknown"]
    assert settled["b"]["error"] == "ReceiptHandleIsInvalid: stale"


@pytest.mark.parametrize(("definite", "outcome"), [(True, "failed"), (False, "unknown")])
def test_a_delete_without_an_answer(bench: Make, definite: bool, outcome: str) -> None:
    def lose(call: Call) -> Any:
        raise CallFailed("ReadTimeoutError", "no answer", definite=definite)

    made = bench([message("a")], [message("b")])
    made.queue.answers["delete"] = lose
    asyncio.run(made.work())
    assert f"settled a delete {outcome}" in made.brief()
    assert f"settled b delete {outcome}" in made.brief(), "it goes on afterwards"


def test_a_receive_that_failed_leaves_no_record_and_is_tried_again(
    bench: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = CallFailed("ReadTimeoutError", "lost", definite=False)
    made = bench(lost, lost, [message("a")])
    asyncio.run(made.work())
    assert made.brief()[0] == "received a"
    assert "settled a delete ok" in made.brief()
    assert capsys.readouterr().err.count("receiving failed") == 1


def test_a_dead_endpoint_makes_nobody_spin(bench: Make) -> None:
    async def scene(made: Bench) -> None:
        asyncio.get_running_loop().call_later(0.5, made.worker.stop)
        await made.work()

    dead = bench(*[CallFailed("EndpointConnectionError", "refused", definite=True)] * 1000)
    asyncio.run(scene(dead))
    # Each pause is at least a tenth of a second.
    assert dead.queue.receives <= 6


def test_empty_answers_at_once_make_nobody_spin(bench: Make) -> None:
    async def scene(made: Bench) -> None:
        asyncio.get_running_loop().call_later(0.5, made.worker.stop)
        await made.work()

    idle = bench()
    idle.queue.when_empty = lambda: None
    asyncio.run(scene(idle))
    assert idle.queue.receives <= 6


def test_what_was_handled_does_not_wait_for_a_slow_message_of_its_batch(bench: Make) -> None:
    deleted = asyncio.Event()

    async def handler(work: Any) -> None:
        if work.id == "slow":
            await deleted.wait()

    def answer(call: Call) -> Any:
        deleted.set()
        return {"Successful": [{"Id": "0"}]}

    made = bench([message("slow"), message("quick")], handler=handler)
    made.queue.answers["delete"] = answer
    asyncio.run(made.work())
    assert made.queue.receipts("delete") == ["r-quick", "r-slow"]


def test_a_slow_message_does_not_keep_others_from_being_received(bench: Make) -> None:
    quick = asyncio.Event()

    async def handler(work: Any) -> None:
        if work.id == "slow":
            await quick.wait()
        else:
            quick.set()

    made = bench([message("slow")], [message("quick")], handler=handler)
    asyncio.run(made.work())
    assert sorted(made.queue.receipts("delete")) == ["r-quick", "r-slow"]


def test_what_is_in_hand_is_bounded(bench: Make) -> None:
    async def handler(work: Any) -> None:
        most.append(made.worker.holding)
        await asyncio.sleep(0)

    most: list[int] = []
    made = bench(*([message(f"{b}-{n}") for n in range(5)] for b in range(12)), handler=handler, pollers=2)
    asyncio.run(made.work())
    assert len(most) == 60
    assert max(most) <= 4 + 2 * 5


def test_a_heartbeat_extends_what_is_in_hand_and_says_so(bench: Make) -> None:
    extended = asyncio.Event()

    async def handler(work: Any) -> None:
        if work.id == "a":
            await extended.wait()
        else:
            await work.process()

    def answer(call: Call) -> Any:
        extended.set()
        return {"Successful": [{"Id": "0"}]}

    made = bench([message("a", group="a"), message("p", poison=True)], heartbeat_s=0.05, handler=handler)
    made.queue.answers["hide"] = answer
    asyncio.run(made.work())
    assert set(made.queue.receipts("hide")) == {"r-a"}, "what is released already is not extended"
    announced = next(before for kind, _, before in made.queue.calls if kind == "hide")
    assert announced[-1] == "settling a extend"
    answered = next(r for r in made.records() if r["event"] == "settled" and r["action"] == "extend")
    assert (answered["hidden_s"], answered["outcome"], answered["batch"]) == (5, "ok", "orders-1.1-1")


def test_a_stop_finishes_what_is_in_hand_and_releases_what_was_not_begun(bench: Make) -> None:
    async def handler(work: Any) -> None:
        made.worker.stop()

    batch = [message("a1", group="a"), message("a2", group="a"), message("b1", group="b")]
    made = bench(batch, concurrency=1, handler=handler)
    asyncio.run(made.work())
    assert made.queue.receipts("delete") == ["r-a1"]
    assert made.queue.receipts("release") == ["r-a2", "r-b1"]
    assert made.queue.receives == 1
    assert made.worker.holding == 0


def test_what_a_receive_brings_after_a_stop_is_recorded_and_released(bench: Make) -> None:
    made = bench([message("a")])
    made.queue.on_receive = made.worker.stop
    asyncio.run(made.work())
    assert made.brief() == ["received a", "settling a release", "settled a release ok"]


def test_a_message_that_is_not_ours_is_recorded_under_the_brokers_id_and_deleted(bench: Make) -> None:
    made = bench([{"MessageId": "b-x", "ReceiptHandle": "r-x", "Body": "hello"}])
    asyncio.run(made.work())
    assert made.brief() == ["received b-x", "settling b-x delete", "settled b-x delete ok"]
    assert made.records()[0]["intact"] is False
    assert made.store.applied == {}


def test_delete_first_settles_before_it_works(bench: Make) -> None:
    made = bench([message("a"), message("p", poison=True)], handler="delete-first", concurrency=1)
    asyncio.run(made.work())
    assert made.brief()[2:] == [
        "settling a delete",
        "settled a delete ok",
        "effect a applied",
        "settling p delete",
        "settled p delete ok",
        "effect p failed",
    ]


def test_no_op_deletes_and_records_no_effect(bench: Make) -> None:
    made = bench([message("a"), message("p", poison=True)], handler="no-op")
    asyncio.run(made.work())
    assert not [line for line in made.brief() if line.startswith("effect")]
    assert made.queue.receipts("delete") == ["r-a", "r-p"]
    assert made.store.applied == {}


def test_a_skipped_effect_is_recorded_and_its_message_deleted(bench: Make) -> None:
    made = bench([message("a")], [message("a", receives=2)])
    asyncio.run(made.work())
    assert [line for line in made.brief() if line.startswith("effect")] == ["effect a applied", "effect a skipped"]
    assert made.queue.receipts("delete") == ["r-a", "r-a"]
    assert {record["batch"] for record in made.records()} == {"orders-1.1-1", "orders-1.1-2"}


def test_a_lost_delete_is_announced_never_made_and_unknown(bench: Make) -> None:
    made = bench([message("a"), message("b")])
    made.disturbances.arm(Disturbance(kind="lose-delete", instance="i", nth=1))
    asyncio.run(made.work())
    assert "settling a delete" in made.brief()
    assert "settled a delete unknown" in made.brief()
    assert "settled b delete ok" in made.brief()
    assert made.queue.receipts("delete") == ["r-b"]
    assert made.disturbances.disarm("i") == 1


def test_a_stretch_gives_processing_another_time(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    made = bench([message("a"), message("b")], processing_time_s=1.5, concurrency=1)
    made.disturbances.arm(Disturbance(kind="stretch-processing", instance="i", seconds=7.0, nth=2))
    monkeypatch.setattr("consumers.worker.asyncio.sleep", sleep)
    asyncio.run(made.work())
    assert [seconds for seconds in slept if seconds > 1] == [1.5, 7.0]
    assert made.disturbances.disarm("i") == 1


def test_tell_when_holding(bench: Make) -> None:
    made = bench([message("a"), message("b")])
    told: list[int] = []
    made.worker.tell_when_holding(told.append)
    assert told == []
    asyncio.run(made.work())
    assert told == [2]
    assert made.worker.holding == 0


def test_a_history_that_cannot_be_written_ends_the_worker_before_any_delete(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench([message("a")])
    write = made.worker.tools.writer.write

    def full(*records: Any) -> int:
        if records[0]["event"] == "effect":
            raise HistoryError("no space left")
        return write(*records)

    monkeypatch.setattr(made.worker.tools.writer, "write", full)
    with pytest.raises(HistoryError, match="no space left"):
        asyncio.run(made.work())
    assert made.queue.calls == []
