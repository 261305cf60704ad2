"""The worker on a scripted queue: what it calls, in which order, and what stands in the history by then."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gameday.consumers.effects import Key
from gameday.history.clock import NS_PER_S
from gameday.history.errors import HistoryError
from gameday.history.identity import Identification
from gameday.processes import control
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import HandlerFailed
from gameday.transports.base import Call, CallFailed
from gameday.transports.queue import SqsQueue
from tests.consumers.scripted import Bench, brief, message

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
        "enqueued": 1_700_000_000_000_000_000,
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


@pytest.mark.parametrize("transport", ["sqs", "sns"])
def test_without_an_order_a_failure_stops_nobody_else(bench: Make, transport: str) -> None:
    batch = [message("a1", group="a"), message("a2", group="a", poison=True), message("a3", group="a")]
    made = bench(batch, transport=transport)
    asyncio.run(made.work())
    assert sorted(made.queue.receipts("delete")) == ["r-a1", "r-a3"]
    assert made.queue.receipts("release") == ["r-a2"]
    assert {key.id for key in made.store.applied} == {"a1", "a3"}


def failing(*ids: str) -> Callable[[Any], Any]:
    """A handler whose work fails these messages, each time."""

    async def handler(work: Any) -> Any:
        async def fail() -> None:
            await work.process()
            if work.id in ids:
                raise HandlerFailed("not this time")

        return await work.effect(fail)

    return handler


def test_the_work_lies_inside_the_guard_and_the_effect_starts_after_it(bench: Make) -> None:
    """Whoever has the message while the first still works finds no mark."""
    looked, worked = asyncio.Event(), asyncio.Event()
    ended_ns: dict[int, int] = {}

    async def handler(work: Any) -> Any:
        async def together() -> None:
            (worked if looked.is_set() else looked).set()
            await worked.wait()
            ended_ns[work.delivery.receives] = made.worker.now()

        return await work.effect(together)

    made = bench([message("a")], [message("a", receives=2)], guard="check-then-act", handler=handler)
    asyncio.run(made.work())
    assert made.store.applied == {Key("orders", "a"): 2}
    started = {str(r["batch"])[-1]: int(str(r["started"])) for r in made.records() if r["event"] == "effect"}
    assert started["1"] >= ended_ns[1] and started["2"] >= ended_ns[2], "the write to the store begins after the work"


def test_what_is_in_progress_elsewhere_fails_this_time_and_is_released(bench: Make) -> None:
    began, refused = asyncio.Event(), asyncio.Event()

    async def handler(work: Any) -> Any:
        async def wait() -> None:
            began.set()
            await refused.wait()

        if work.delivery.receives == 2:
            await began.wait()
        return await work.effect(wait)

    made = bench(
        [message("a")], [message("a", receives=2)], guard="in-progress", guard_expiry_s=3600.0, handler=handler
    )

    def answer(call: Call) -> Any:
        refused.set()
        return {"Successful": [{"Id": "0"}]}

    made.queue.answers["release"] = answer
    asyncio.run(made.work())
    assert made.brief()[2:] == [
        *("effect a failed", "settling a release", "settled a release ok"),
        *("effect a applied", "settling a delete", "settled a delete ok"),
    ]
    assert made.store.guards == {Key("orders", "a"): None}, "done, for ever"


@pytest.mark.parametrize(("seconds", "effect"), [(0.0, "failed"), (20.0, "applied"), (-20.0, "failed")])
def test_who_has_a_clock_that_is_ahead_takes_a_mark_for_expired(bench: Make, seconds: float, effect: str) -> None:
    """And what it records is told by the right one."""
    made = bench([message("a")], guard="in-progress", guard_expiry_s=10.0)
    began_ns = made.worker.now()
    made.store.guards[Key("orders", "a")] = began_ns + 10 * NS_PER_S
    made.disturbances.arm(Disturbance(kind="clock-step", instance="i", seconds=seconds))
    asyncio.run(made.work())
    assert f"effect a {effect}" in made.brief()
    assert made.disturbances.disarm("i") == 1
    ended_ns = made.worker.now()
    for record in made.records():
        assert all(began_ns <= record[key] <= ended_ns for key in ("at", "started") if key in record), record


def test_who_has_a_clock_that_goes_back_extends_nothing_until_it_is_right_again(bench: Make) -> None:
    async def handler(work: Any) -> Any:
        made.disturbances.arm(Disturbance(kind="clock-step", instance="i", seconds=-3600.0))
        await asyncio.sleep(0.3)
        assert not made.queue.receipts("hide") and made.disturbances.disarm("i") > 0
        await extended.wait()
        return await work.effect()

    def answer(call: Call) -> Any:
        extended.set()
        return {"Successful": [{"Id": "0"}]}

    extended = asyncio.Event()
    made = bench([message("a")], heartbeat_s=0.05, handler=handler)
    made.queue.answers["hide"] = answer
    asyncio.run(made.work())
    assert made.brief()[-1] == "settled a delete ok"


def test_a_failed_handler_fails_that_delivery_only(bench: Make) -> None:
    made = bench([message("a"), message("b")], [message("a", receives=2)], concurrency=1)
    made.disturbances.arm(Disturbance(kind="fail-handler", instance="i", nth=1))
    asyncio.run(made.work())
    assert [line for line in made.brief() if line.startswith("effect")] == [
        *("effect a failed", "effect b applied", "effect a applied"),
    ]
    assert made.queue.receipts("release") == ["r-a"]
    assert made.store.applied == {Key("orders", "a"): 1, Key("orders", "b"): 1}
    assert made.disturbances.disarm("i") == 1


GROUPS = ("a1", "a2", "b1", "a3", "b2")


@pytest.mark.parametrize(
    ("after_failure", "applied", "deleted", "released"),
    [
        ("stop", ["a1", "b1", "b2"], ["a1", "b1", "b2"], ["a2", "a3"]),
        ("continue", ["a1", "a3", "b1", "b2"], ["a1", "a3", "b1", "b2"], ["a2"]),
        # One handler at a time: what stands behind the failure is not begun.
        ("fail-batch", ["a1"], [], ["a1", "a2", "a3", "b1", "b2"]),
    ],
)
def test_what_a_failure_does_to_the_rest_of_its_batch(
    after_failure: str, applied: list[str], deleted: list[str], released: list[str], bench: Make
) -> None:
    batch = [message(id, group=id[0]) for id in GROUPS]
    made = bench(batch, handler=failing("a2"), after_failure=after_failure, concurrency=1)
    asyncio.run(made.work())
    assert sorted(key.id for key in made.store.applied) == applied
    assert sorted(made.queue.receipts("delete")) == [f"r-{id}" for id in deleted]
    assert sorted(made.queue.receipts("release")) == [f"r-{id}" for id in released]
    assert made.worker.holding == 0


def test_a_batch_in_which_nothing_fails_is_deleted_whole_and_not_before_its_last(bench: Make) -> None:
    made = bench([message("a"), message("b"), message("c")], after_failure="fail-batch", concurrency=1)
    asyncio.run(made.work())
    assert made.brief()[3:] == [
        *("effect a applied", "effect b applied", "effect c applied"),
        *(f"settling {id} delete" for id in "abc"),
        *(f"settled {id} delete ok" for id in "abc"),
    ]
    assert made.worker.holding == 0


def test_a_batch_that_fails_comes_again_with_what_was_done(bench: Make) -> None:
    both = [message(id, receives=2) for id in "ab"]
    made = bench([message("a"), message("b")], both, guard="none", after_failure="fail-batch", concurrency=1)
    made.disturbances.arm(Disturbance(kind="fail-handler", instance="i", nth=2))
    asyncio.run(made.work())
    assert made.queue.receipts("release") == ["r-a", "r-b"]
    assert made.store.applied == {Key("orders", "a"): 2, Key("orders", "b"): 1}


def test_a_store_that_fails_a_batch_leaves_its_message_to_expire(
    bench: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def claim_and_apply(key: Key) -> bool:
        if key.id == "b":
            raise CallFailed("Timeout", "no answer", definite=False)
        return await type(made.store).claim_and_apply(made.store, key)

    made = bench([message("a"), message("b"), message("c")], after_failure="fail-batch", concurrency=1)
    monkeypatch.setattr(made.store, "claim_and_apply", claim_and_apply)
    asyncio.run(made.work())
    assert made.queue.receipts("release") == ["r-a", "r-c"]
    assert made.queue.receipts("delete") == []
    assert made.worker.holding == 0
    assert "no answer" in capsys.readouterr().err


def test_a_failed_message_is_hidden_for_its_retry_delay_and_the_rest_of_its_group_is_not(bench: Make) -> None:
    calls: list[list[tuple[str, int]]] = []

    def hide(call: Call) -> Any:
        calls.append([(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in call.params["Entries"]])
        return {"Successful": [{"Id": entry["Id"]} for entry in call.params["Entries"]]}

    batch = [message("a", group="g", receives=3), message("b", group="g"), message("c", group="h", poison=True)]
    made = bench(batch, handler=failing("a"), retry_delay_s=2, retry_delay_max_s=60)
    made.queue.answers |= {"hide": hide, "release": hide}
    asyncio.run(made.work())
    assert sorted(calls) == [[("r-a", 8)], [("r-b", 0)], [("r-c", 2)]]
    told = {r["id"]: (r["action"], r.get("hidden_s")) for r in made.records() if r["event"] == "settled"}
    assert told == {"a": ("extend", 8), "b": ("release", None), "c": ("extend", 2)}
    assert made.worker.holding == 0


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

    async def handler(work: Any) -> Any:
        async def wait() -> None:
            await extended.wait()

        return await work.effect(wait if work.id == "a" else work.process)

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


@pytest.mark.parametrize("after_failure", ["stop", "fail-batch"])
@pytest.mark.parametrize(
    ("on_term", "handled", "released"),
    [
        ("release", ["a1"], ["r-a2", "r-b1"]),
        ("finish", ["a1", "a2", "b1"], []),
        ("abandon", ["a1"], []),
    ],
)
def test_what_a_stop_does_with_what_was_not_begun(
    on_term: str, handled: list[str], released: list[str], after_failure: str, bench: Make
) -> None:
    async def handler(work: Any) -> Any:
        made.worker.stop()
        return await work.effect()

    batch = [message("a1", group="a"), message("a2", group="a"), message("b1", group="b")]
    made = bench(batch, concurrency=1, handler=handler, on_term=on_term, after_failure=after_failure)
    asyncio.run(made.work())
    assert [key.id for key in made.store.applied] == handled
    assert made.queue.receipts("delete") == [f"r-{id}" for id in handled]
    assert made.queue.receipts("release") == released
    assert made.queue.receives == 1
    assert made.worker.holding == 0


@pytest.mark.parametrize(("on_term", "told"), [("finish", "settled a delete ok"), ("abandon", "received a")])
def test_what_a_receive_brings_after_a_stop_is_treated_as_the_rest(on_term: str, told: str, bench: Make) -> None:
    made = bench([message("a")], on_term=on_term)
    made.queue.on_receive = made.worker.stop
    asyncio.run(made.work())
    assert made.brief()[0] == "received a"
    assert made.brief()[-1] == told


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


@pytest.mark.parametrize("drain", [False, True])
def test_a_message_of_others_is_kept_out_of_sight_and_counted_and_no_more(bench: Make, drain: bool) -> None:
    """Never deleted nor handled, received once: not given back by who may receive it again. The run has its receipt."""
    theirs = {"MessageId": "b-x", "ReceiptHandle": "r-x", "Body": "hello"}
    made = bench([message("a"), theirs], identification=Identification(run="r"), foreign_hold_s=300)
    kept: list[list[str]] = []
    hidden: list[object] = []
    made.worker.tools = replace(made.worker.tools, keeps_foreign=lambda receipts: kept.append(list(receipts)))

    def hide(call: Call) -> Any:
        hidden.append(call.params["Entries"])
        if drain:
            made.worker.stop()
        return {"Successful": [{"Id": "0"}]}

    made.queue.answers["hide"] = hide
    asyncio.run(made.work())
    assert kept == [["r-x"]]
    assert hidden == [[{"Id": "0", "ReceiptHandle": "r-x", "VisibilityTimeout": 300}]]
    (mark,) = [record for record in made.records() if record["event"] == "mark"]
    assert (mark["name"], mark["subscription"], mark["count"]) == ("foreign", "orders", 1)
    assert not [record for record in made.records() if record.get("id") == "b-x" or record.get("broker_id") == "b-x"]
    assert made.queue.receipts("delete") in ([], ["r-a"]) and "r-x" not in made.queue.receipts("release")


def test_a_message_of_another_run_is_one_of_others(bench: Make) -> None:
    made = bench([message("a")], identification=Identification(run="r2"), foreign_hold_s=300)
    asyncio.run(made.work())
    assert [record["name"] for record in made.records()] == ["foreign"]
    assert made.store.applied == {}


def own(name: str, body: str, **attributes: str) -> dict[str, Any]:
    """A message of somebody else's making, as SQS answers it."""
    beside = {key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()}
    return {**message(name), "Body": body, "MessageAttributes": beside}


def test_a_message_of_the_users_own_is_known_by_what_it_tells(bench: Make) -> None:
    told = Identification(by="pointer", id="/id", group="/who")
    made = bench([own("a", '{"id": 7, "who": "c1"}'), own("x", '{"no": 1}'), own("y", "hello")], identification=told)
    asyncio.run(made.work())
    received = [record for record in made.records() if record["event"] == "received"]
    assert [(r.get("id"), r.get("group"), r["broker_id"]) for r in received] == [
        ("7", "c1", "b-a"),
        (None, None, "b-x"),
        (None, None, "b-y"),
    ]
    # Nothing that nobody can tell is of any use, and whether a body was changed nobody knows.
    assert all("intact" not in record for record in received)
    assert made.store.applied == {("orders", "7"): 1}
    assert sorted(line for line in made.brief() if line.startswith("settled")) == [
        "settled 7 delete ok",
        "settled delete ok",
        "settled delete ok",
    ]


def test_an_attribute_is_asked_for_where_it_tells_the_message(bench: Make) -> None:
    told = Identification(by="attribute")
    made = bench([own("a", "hello", **{"gameday-id": "m1"}), own("x", "hello")], identification=told)
    asyncio.run(made.work())
    assert made.store.applied == {("orders", "m1"): 1}
    source = SqsQueue("q", identification=told)
    assert source.receive(most=1, wait_s=0).params["MessageAttributeNames"] == ["gameday-id"]
    assert "MessageAttributeNames" not in SqsQueue("q").receive(most=1, wait_s=0).params


def test_where_the_broker_alone_tells_a_message_is_handled_and_recorded_without_an_id(bench: Make) -> None:
    seen = []

    async def handler(work: Any) -> None:
        seen.append(work.delivery.body)
        if work.delivery.body == "bad":
            raise HandlerFailed("it is bad")

    made = bench(
        [own("a", "good"), own("b", "bad")],
        handler=handler,
        identification=Identification(by="broker"),
        after_failure="continue",
    )
    asyncio.run(made.work())
    assert sorted(seen) == ["bad", "good"]
    assert all("id" not in record for record in made.records())
    assert [(r["event"], r["broker_id"], r["action"]) for r in made.records() if r["event"] == "settling"] == [
        ("settling", "b-a", "delete"),
        ("settling", "b-b", "release"),
    ]


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


def test_a_stretch_gives_processing_another_time(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    made = bench([message("a"), message("b")], processing_time_s=1.5, concurrency=1)
    made.disturbances.arm(Disturbance(kind="stretch-processing", instance="i", seconds=7.0, nth=2))
    monkeypatch.setattr("gameday.consumers.worker.asyncio.sleep", sleep)
    asyncio.run(made.work())
    assert [seconds for seconds in slept if seconds > 1] == [1.5, 7.0]
    assert made.disturbances.disarm("i") == 1


def test_what_is_held_in_flight_stays_in_hand_and_is_worked_on_when_that_is_over(bench: Make) -> None:
    made = bench([message("a"), message("p", poison=True)], [message("b")], heartbeat_s=0.01)
    made.disturbances.arm(Disturbance(kind="hold-in-flight", instance="i"))
    goes_on, empty = made.queue.when_empty, 0

    def when_empty() -> None:
        nonlocal empty
        empty += 1
        if empty == 3:
            assert (made.queue.calls, made.worker.holding) == ([], 3)
            assert made.brief() == ["received a", "received p", "received b"], "no more is done with them"
            assert made.disturbances.disarm("i") == 3
        goes_on()

    made.queue.when_empty = when_empty
    asyncio.run(made.work())
    assert sorted(made.queue.receipts("delete")) == ["r-a", "r-b"]
    assert made.queue.receipts("release") == ["r-p"]
    assert made.worker.holding == 0


@pytest.mark.parametrize(("most", "received"), [(2, 2), (5, 5), (None, 4)])
def test_no_more_is_held_in_flight_than_asked_for(bench: Make, most: int | None, received: int) -> None:
    """None: what it has in hand by itself; one more is asked for when as many are in hand as handlers work at once."""
    made = bench(*([message(f"m{n}")] for n in range(8)), concurrency=3)
    made.disturbances.arm(Disturbance(kind="hold-in-flight", instance="i", most=most))

    async def scene() -> None:
        working = asyncio.create_task(made.work())
        while made.worker.holding < received:  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.worker.holding == made.queue.receives == received
        made.disturbances.disarm("i")
        await working

    asyncio.run(scene())
    assert len(made.queue.receipts("delete")) == 8


def test_a_drain_ends_the_hold(bench: Make) -> None:
    made = bench([message("a")])
    made.disturbances.arm(Disturbance(kind="hold-in-flight", instance="i"))
    made.queue.when_empty = made.worker.stop
    asyncio.run(made.work())
    assert (made.queue.receipts("release"), made.worker.holding) == (["r-a"], 0)


def test_a_crash_is_reported_right_before_the_kill(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append(f"{kind} {fields['instance']}"))
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(f"{signal.Signals(number).name} {pid}"))
    made = bench([message("a")])
    made.disturbances.arm(Disturbance(kind="crash-at", instance="i", point="after-effect", nth=1))
    asyncio.run(made.work())
    assert told == ["fired i", f"SIGKILL {os.getpid()}"], "at its own point, and at no other"


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
