"""The stream worker in this process: what it writes, when it checkpoints, and what becomes of a shard it loses."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.effects import Key
from gameday.history.clock import NS_PER_S
from gameday.history.identity import Identification
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import HandlerFailed
from gameday.transports.base import Answer, Call, CallFailed
from tests.consumers.scripted import brief
from tests.consumers.streaming import DictLeases, World, checkpoints, virtually

NAME = "orders-1.1"


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def make(shards: int = 1, **config: Any) -> World:
        return World(tmp_path, shards, config)

    return make


Make = Callable[..., World]


def test_what_is_read_is_recorded_then_handled_then_checkpointed(world: Make) -> None:
    async def scene() -> None:
        there = world()
        there.send("a1", "b1", "a2")
        await there.until_read(there.worker(NAME))
        assert there.brief() == [
            *("received a1", "received b1", "received a2"),
            *("effect a1 applied", "effect b1 applied", "effect a2 applied"),
            *("settling a2 checkpoint", "settled a2 checkpoint ok"),
        ]
        received, *_ = [r for r in there.records() if r["event"] == "received"]
        assert received["partition"] == there.lease().shard
        assert received["group"] == "a"
        assert received["intact"] is True
        assert "broker_id" not in received
        assert "hidden_s" not in received
        settling, settled = [r for r in there.records() if "action" in r]
        assert settling["broker_seq"] == settled["broker_seq"] == there.lease().position
        assert settling["batch"] == received["batch"]

    virtually(scene())


def test_where_a_shard_comes_from_is_recorded_before_it_is_read(world: Make) -> None:
    async def scene() -> None:
        there = world()
        there.send("a1", "b1")
        there.reshard("split")
        there.send("a2", "b2")
        await there.until_read(there.worker(NAME))
        records = there.records()
        marks = {r["partition"]: (n, r["parents"]) for n, r in enumerate(records) if r.get("name") == "partition"}
        assert sorted(parents for _, parents in marks.values()) == [[], *[["shardId-000000000000"]] * 2]
        for n, record in enumerate(records):
            assert record["event"] != "received" or marks[record["partition"]][0] < n

    virtually(scene())


def test_children_are_read_after_their_parents_even_when_those_are_blocked(world: Make) -> None:
    async def scene() -> None:
        there = world(processing_time_s=5)
        there.send("a1", "b1")
        there.reshard("split")
        there.send("a2", "b2")
        await there.until_read(there.worker("x"), there.worker("y"), there.worker("z"))
        got = [r["id"] for r in there.records() if r["event"] == "received"]
        assert set(got[:2]) == {"a1", "b1"}
        assert set(got[2:]) == {"a2", "b2"}

    virtually(scene())


def test_early_children_overtake(world: Make) -> None:
    async def scene() -> None:
        there = world(processing_time_s=5, children="early", batch=1)
        there.send("a1", "a2", "b1")
        there.reshard("split")
        there.send("a3", "b2")
        await there.until_read(there.worker("x"))
        got = [str(r["id"]) for r in there.records() if r["event"] == "received"]
        assert got.index("a3") < got.index("a2")

    virtually(scene())


def test_a_group_is_handled_in_order_and_others_beside_it(world: Make) -> None:
    async def scene() -> None:
        there = world(concurrency=2, processing_time_s=1)
        there.send("a1", "a2", "b1")
        await there.until_read(there.worker(NAME))
        done = {str(r["id"]): int(str(r["at"])) for r in there.records() if r["event"] == "effect"}
        assert done["a1"] == done["b1"]
        assert done["a2"] == done["a1"] + NS_PER_S

    virtually(scene())


def test_a_record_that_fails_is_handled_again_in_its_place(world: Make) -> None:
    async def scene() -> None:
        there = world()
        failures = iter([HandlerFailed("not now"), CallFailed("Timeout", "the store", definite=False)])

        async def handler(work: Any) -> Any:
            if work.id == "a1" and (failure := next(failures, None)):
                raise failure
            return await work.effect()

        there.send("a1", "a2", "b1")
        await there.until_read(there.worker(NAME, handler=handler))
        assert there.brief()[3:] == [
            # What was not definite is no record: the effect may be there.
            *("effect a1 failed", "effect b1 applied", "effect a1 applied", "effect a2 applied"),
            *("settling b1 checkpoint", "settled b1 checkpoint ok"),
        ]

    virtually(scene())


def test_after_a_failure_the_rest_of_its_group_may_wrongly_go_on(world: Make) -> None:
    async def scene() -> None:
        there = world(after_failure="continue", concurrency=1)
        there.send("a1", "a2", "a3")
        worker = there.worker(NAME)
        worker.tools.disturbances.arm(Disturbance(kind="fail-handler", instance="i", nth=1))
        await there.until_read(worker)
        assert there.brief()[3:] == [
            *("effect a1 failed", "effect a2 applied", "effect a3 applied", "effect a1 applied"),
            *("settling a3 checkpoint", "settled a3 checkpoint ok"),
        ], "nothing is checkpointed that is not done"

    virtually(scene())


def test_a_failure_may_fail_its_whole_batch_which_is_then_read_again(world: Make) -> None:
    async def scene() -> None:
        there = world(after_failure="fail-batch", guard="none", concurrency=1)
        there.send("a1", "b1", "a2")
        worker = there.worker(NAME)
        worker.tools.disturbances.arm(Disturbance(kind="fail-handler", instance="i", nth=2))
        await there.until_read(worker)
        received = ["received a1", "received b1", "received a2"]
        assert there.brief() == [
            *(*received, "effect a1 applied", "effect b1 failed"),
            *(*received, "effect a1 applied", "effect b1 applied", "effect a2 applied"),
            *("settling a2 checkpoint", "settled a2 checkpoint ok"),
        ]
        assert len({str(r["batch"]) for r in there.records() if r["event"] == "received"}) == 2
        assert worker.holding == 0

    virtually(scene())


def test_a_mark_in_progress_is_waited_out_on_a_stream(world: Make) -> None:
    async def scene() -> None:
        there = world(guard="in-progress", guard_expiry_s=10.0)
        there.send("a1", "a2")
        # What somebody left behind who died during the work.
        now_ns = there.clock.now_ns()
        await there.store.begin(Key("orders", "a1"), now_ns=now_ns, expires_ns=now_ns + 10 * NS_PER_S)
        await there.until_read(there.worker(NAME))
        effects = [r for r in there.records() if r["event"] == "effect"]
        *refused, first, second = [f"{r['id']} {r['outcome']}" for r in effects]
        assert set(refused) == {"a1 failed"}
        assert (first, second) == ("a1 applied", "a2 applied")
        assert int(str(effects[-1]["at"])) >= now_ns + 10 * NS_PER_S

    virtually(scene())


def test_what_is_not_ours_is_recorded_and_passed_over(world: Make) -> None:
    async def scene() -> None:
        there = world()
        there.call(Call("kinesis", "PutRecord", {"StreamName": "s", "PartitionKey": "a", "Data": "Zm9v"}))
        there.send("a1")
        worker = there.worker(NAME)
        await there.until_read(worker)
        foreign, *rest = there.brief()
        assert foreign.startswith("received shardId-000000000000:")
        assert rest == ["received a1", "effect a1 applied", "settling a1 checkpoint", "settled a1 checkpoint ok"]
        assert worker.holding == 0

    virtually(scene())


def test_a_record_of_the_users_own_is_known_by_a_place_in_it_or_by_where_it_stands(world: Make) -> None:
    async def scene() -> None:
        there = world()
        for body in (b'{"id": "o-1"}', b"hello", b'{"id": "o-2"}'):
            data = base64.b64encode(body).decode()
            there.call(Call("kinesis", "PutRecord", {"StreamName": "s", "PartitionKey": "a", "Data": data}))
        pointed = there.worker("orders-1.1", identification=Identification(by="pointer", id="/id"))
        await there.until_read(pointed)
        received = [record for record in there.records() if record["event"] == "received"]
        assert [record.get("id") for record in received] == ["o-1", None, "o-2"]
        assert there.store.applied == {("orders", "o-1"): 1, ("orders", "o-2"): 1}
        assert pointed.holding == 0

    virtually(scene())


def test_where_its_place_alone_tells_a_record_it_is_handled_and_checkpointed_without_an_id(world: Make) -> None:
    async def scene() -> None:
        there = world()
        there.send("a1", "a2")
        seen = []

        async def handler(work: Any) -> Any:
            seen.append(work.delivery.body)

        worker = there.worker("orders-1.1", handler=handler, identification=Identification(by="broker"))
        await there.until_read(worker)
        assert len(seen) == 2
        assert set(there.brief()) == {"received", "settling checkpoint", "settled checkpoint ok"}
        records = [record for record in there.records() if record["event"] != "mark"]
        assert all(record["partition"] and record["broker_seq"] and "id" not in record for record in records)

    virtually(scene())


def test_a_drain_begins_nothing_checkpoints_what_is_done_and_gives_the_shard_back(world: Make) -> None:
    async def scene() -> None:
        there = world(concurrency=1)

        async def handler(work: Any) -> Any:
            if work.id == "a2":
                worker.stop()
                await asyncio.sleep(30)
            return await work.effect()

        there.send("a1", "a2", "a3")
        worker = there.worker(NAME, handler=handler)
        await worker.run()
        assert there.brief()[3:] == [
            *("effect a1 applied", "effect a2 applied", "settling a2 checkpoint", "settled a2 checkpoint ok"),
        ], "it kept its lease although the last handler took longer than that lasts"
        assert there.lease().owner is None
        assert worker.holding == 0
        await there.until_read(there.worker("orders-1.2"))
        assert there.brief("orders-1.2")[0] == "received a3"

    virtually(scene())


def test_a_drain_may_finish_what_was_read(world: Make) -> None:
    async def scene() -> None:
        there = world(concurrency=1, on_term="finish")

        async def handler(work: Any) -> Any:
            worker.stop()
            await asyncio.sleep(30)
            return await work.effect()

        there.send("a1", "a2")
        worker = there.worker(NAME, handler=handler)
        await worker.run()
        assert there.brief()[2:] == [
            *("effect a1 applied", "effect a2 applied", "settling a2 checkpoint", "settled a2 checkpoint ok"),
        ]
        assert there.lease().owner is None

    virtually(scene())


def test_a_drain_may_leave_the_lease_to_expire(world: Make) -> None:
    async def scene() -> None:
        there = world(concurrency=1, on_term="abandon")

        async def handler(work: Any) -> Any:
            worker.stop()
            return await work.effect()

        there.send("a1", "a2")
        worker = there.worker(NAME, handler=handler)
        await worker.run()
        assert there.brief()[2:] == ["effect a1 applied", "settling a1 checkpoint", "settled a1 checkpoint ok"]
        assert there.lease().owner == NAME
        assert worker.holding == 0

    virtually(scene())


class Slowed(DictLeases):
    """Leases of a process that is stopped at its first checkpoint until somebody continues it."""

    def __init__(self, shared: DictLeases) -> None:
        self.rows = shared.rows
        self.awake = asyncio.Event()
        self.awake.set()
        self.asleep = asyncio.Event()

    async def renew(self, mine: Any) -> bool:
        await self.awake.wait()
        return await super().renew(mine)

    async def all(self, subscription: str) -> Any:
        await self.awake.wait()
        return await super().all(subscription)

    async def checkpoint(self, mine: Any, **place: Any) -> bool:
        self.asleep.set()
        await self.awake.wait()
        return await super().checkpoint(mine, **place)


def test_a_zombie_is_refused_and_reads_no_further(world: Make) -> None:
    async def scene() -> None:
        there = world()
        leases = Slowed(there.leases)
        there.send("a1")
        zombie, heir = there.worker(NAME, leases=leases), there.worker("orders-2.1")
        leases.awake.clear()
        # It has the shard, for taking needs no waiting, once it has looked.
        leases.awake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(zombie.run())
            await leases.asleep.wait()
            await there.read()
            leases.awake.clear()
            leases.asleep.clear()
            there.send("a2")
            await leases.asleep.wait()
            running = tasks.create_task(heir.run())
            await there.read()
            there.send("a3")
            await there.read()
            leases.awake.set()
            zombie.stop()
            await asyncio.sleep(1)
            heir.stop()
            await running
        mine = there.brief(NAME)
        assert mine[-3:] == ["effect a2 applied", "settling a2 checkpoint", "settled a2 checkpoint failed"]
        assert "received a3" not in mine
        assert there.brief("orders-2.1")[:2] == ["received a2", "effect a2 skipped"]
        assert there.store.applied == dict.fromkeys(there.store.applied, 1)
        *_, last = [r for r in there.records(NAME) if r["event"] == "settled"]
        assert "LeaseLost" in str(last["error"])

    virtually(scene())


def test_a_checkpoint_without_an_answer_gives_the_shard_back(world: Make) -> None:
    """It could arrive late: only another token keeps it out."""

    class Lost(DictLeases):
        lost = 0

        async def checkpoint(self, mine: Any, **place: Any) -> bool:
            self.lost += 1
            if self.lost == 1:
                raise CallFailed("ReadTimeout", "no answer", definite=False)
            return await super().checkpoint(mine, **place)

    async def scene() -> None:
        there = world()
        there.leases = Lost()
        there.send("a1")
        await there.until_read(there.worker(NAME))
        assert there.brief() == [
            *("received a1", "effect a1 applied", "settling a1 checkpoint", "settled a1 checkpoint unknown"),
            *("received a1", "effect a1 skipped", "settling a1 checkpoint", "settled a1 checkpoint ok"),
        ]
        # Taken, given back, taken again.
        assert there.lease().token >= 3

    virtually(scene())


def test_trouble_with_the_leases_or_the_stream_is_waited_out(world: Make, capsys: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        there = world()
        failing = dict.fromkeys(("ListShards", "GetShardIterator", "GetRecords"), 3)

        async def carry(call: Call) -> Answer:
            if failing[call.operation]:
                failing[call.operation] -= 1
                raise CallFailed("ProvisionedThroughputExceededException", "slow down", definite=True)
            return await there.carry(call)

        there.send("a1")
        await there.until_read(there.worker(NAME, carry=carry))
        assert there.brief()[-1] == "settled a1 checkpoint ok"
        assert set(failing.values()) == {0}

    virtually(scene())
    assert capsys.readouterr().err.count("slow down") == 2, "said once for the leases and once for the shard"


def test_an_iterator_that_expired_is_replaced(world: Make) -> None:
    async def scene() -> None:
        there = world(processing_time_s=400)
        there.send("a1")
        worker = there.worker(NAME)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            await there.read()
            there.send("a2")
            await there.read()
            worker.stop()
        assert [line for line in there.brief() if line.startswith("received")] == ["received a1", "received a2"]

    virtually(scene())


def test_each_takes_a_share_of_the_shards(world: Make) -> None:
    async def scene() -> None:
        there = world(shards=4)
        workers = [there.worker(f"orders-{n}.1") for n in (1, 2)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workers[0].run())
            await asyncio.sleep(1)
            tasks.create_task(workers[1].run())
            await asyncio.sleep(10)
            owners = [lease.owner for lease in there.leases.rows.values()]
            assert sorted(map(str, owners)) == ["orders-1.1"] * 2 + ["orders-2.1"] * 2
            for worker in workers:
                worker.stop()

    virtually(scene())


@pytest.mark.parametrize(("seconds", "taken"), [(None, False), (10.0, True), (-10.0, False)])
def test_who_has_a_clock_that_is_stepped_ahead_takes_what_is_held(
    world: Make, seconds: float | None, taken: bool
) -> None:
    """From a holder that is silent for less than its lease lasts."""

    async def silent(reader: object) -> None: ...

    async def scene() -> None:
        there = world(shards=1)
        holder, other = there.worker("orders-1.1"), there.worker("orders-2.1")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(holder.run())
            await asyncio.sleep(1)
            tasks.create_task(other.run())
            await asyncio.sleep(5)
            assert there.lease().owner == "orders-1.1"
            renew, holder._renew = holder._renew, silent  # type: ignore[method-assign]
            await asyncio.sleep(0.8)
            if seconds is not None:
                other.tools.disturbances.arm(Disturbance(kind="clock-step", instance="i", seconds=seconds))
            await asyncio.sleep(0.6)
            holder._renew = renew  # type: ignore[method-assign]
            assert (there.lease().owner == "orders-2.1") is taken
            assert (other.tools.disturbances.disarm("i") > 0) is (seconds is not None)
            for worker in (holder, other):
                worker.stop()

    virtually(scene())


class Crash(BaseException):
    """Stands in for the death of the process."""


@pytest.mark.parametrize(
    ("checkpoint", "point", "left"),
    [
        ("after", "after-receive", ["received a1", "received a2"]),
        ("after", "before-effect", ["received a1", "received a2"]),
        ("after", "before-delete", ["effect a1 applied", "effect a2 applied", "settling a2 checkpoint"]),
        ("after", "after-delete", ["effect a1 applied", "effect a2 applied", "settling a2 checkpoint"]),
        ("before", "before-delete", ["received a1", "received a2", "settling a2 checkpoint"]),
        ("before", "before-effect", ["settling a2 checkpoint", "settled a2 checkpoint ok"]),
    ],
)
def test_where_it_can_crash_and_what_is_lost(
    checkpoint: str, point: str, left: list[str], world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(pid: int, number: int) -> None:
        raise Crash

    async def scene() -> None:
        there = world(checkpoint=checkpoint)
        there.send("a1", "a2")
        doomed = there.worker(NAME)
        doomed.tools.disturbances.arm(Disturbance(kind="crash-at", instance="i", point=point, nth=1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", die)
            with pytest.raises(BaseException) as raised:
                await doomed.run()
            assert isinstance(raised.value, Crash)
        assert brief([r for r in there.records() if r["event"] != "mark"])[-len(left) :] == left
        await there.until_read(there.worker("orders-1.2"))
        missing = {"a1", "a2"} - {key.id for key in there.store.applied}
        assert missing == ({"a1", "a2"} if (checkpoint, point) == ("before", "before-effect") else set())

    virtually(scene())


def test_iterator_age_grows_while_a_shard_is_blocked(world: Make) -> None:
    async def scene() -> None:
        there = world(processing_time_s=10)
        there.send("a1")
        await there.until_read(there.worker(NAME))
        ages = [int(str(r["behind_ms"])) for r in there.records() if r.get("name") == "iterator-age"]
        assert max(ages) >= 9_000
        assert ages == sorted(ages)

    virtually(scene())


def test_checkpoints_are_found_by_the_helper_that_the_properties_rest_on(world: Make) -> None:
    async def scene() -> None:
        there = world()
        there.send("a1", "a2")
        await there.until_read(there.worker(NAME))
        ((began, answered, partition, position),) = checkpoints(there.records())
        assert began <= answered
        assert (partition, str(position)) == (there.lease().shard, there.lease().position)

    virtually(scene())
