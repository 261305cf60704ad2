"""The worker that invokes a function with records of a stream: where it goes on after an answer, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.config import MappingConfig
from gameday.consumers.leases import Lease
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import EffectUnknown
from gameday.transports.base import Answer, Call, CallFailed
from tests.consumers.streaming import DictLeases, World, virtually
from tests.consumers.test_own_handler import NAME, Answers, failing, own

FOUR = ("a1", "b1", "a2", "b2")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names(document: Any) -> dict[str, str]:
    """Each message of an event, and the number that an answer names it by."""
    import base64
    import json

    found = {}
    for record in document["event"]["Records"]:
        body = json.loads(base64.b64decode(record["kinesis"]["data"]))
        found[body["detail"]["metadata"]["id"]] = record["kinesis"]["sequenceNumber"]
    return found


def invoke(world: World, answer: Callable[[dict[str, str]], Any], **mapping: Any) -> list[list[str]]:
    """The stream, invoked to its end by a function that answers to the messages by their names; with what it was."""
    answers = Answers(lambda document: answer(names(document)))

    async def scene() -> None:
        world.send(*FOUR)
        config = MappingConfig(function="orders", batch=100, **mapping)
        await world.until_read(world.worker(NAME, handler=own(answers, "kinesis"), mapping=config))

    virtually(scene())
    return [list(names(document)) for document in answers.asked]


def fails(id: str, times: int = 10**6) -> Callable[[dict[str, str]], Any]:
    """A function that names that message as failed, the first times that it has it."""
    left = [times]

    def answer(there: dict[str, str]) -> Any:
        if id not in there or not left[0]:
            return None
        left[0] -= 1
        return failing(there[id])

    return answer


def checkpoints(world: World) -> list[str]:
    return [line.split()[1] for line in world.brief() if line.startswith("settled")]


def test_what_is_told_of_an_invocation(world: World) -> None:
    assert invoke(world, lambda _: None) == [list(FOUR)]
    assert world.brief() == [
        "invoked",
        *(f"received {id}" for id in FOUR),
        "responded ok",
        "settling b2 checkpoint",
        "settled b2 checkpoint ok",
    ]


def test_it_goes_on_at_the_lowest_that_failed(world: World) -> None:
    assert invoke(world, fails("b1", 1)) == [list(FOUR), ["b1", "a2", "b2"]]
    assert checkpoints(world) == ["a1", "b2"]


def test_a_batch_that_fails_is_tried_again_whole(world: World) -> None:
    failed = [EffectUnknown("no")]
    assert invoke(world, lambda _: failed.pop() if failed else None) == [list(FOUR)] * 2
    assert checkpoints(world) == ["b2"]


def test_it_is_bisected(world: World) -> None:
    """Until the one that fails stands alone."""
    seen = invoke(world, lambda there: EffectUnknown("no") if "a2" in there else None, bisect=True, retries=2)
    assert seen == [list(FOUR), ["a1", "b1"], ["a2", "b2"], ["a2"], ["a2"], ["a2"], ["b2"]]


@pytest.mark.parametrize("on_failure, dead", [(False, []), (True, ["b1", "a2", "b2"])])
def test_what_is_given_up_is_passed_over(world: World, on_failure: bool, dead: list[str]) -> None:
    assert invoke(world, fails("b1"), retries=1, on_failure=on_failure) == [list(FOUR), ["b1", "a2", "b2"]]
    assert [str(r["id"]) for r in world.records() if r["event"] == "dead"] == dead
    assert checkpoints(world) == ["a1", "b2"], "and the shard is read on"


def test_what_is_too_old_is_given_up(world: World) -> None:
    seen = invoke(world, fails("a1"), max_age_s=3.0)
    assert len(seen) > 3 and set(map(tuple, seen)) == {FOUR}
    assert checkpoints(world) == ["b2"]


# What its filter does not match


OF_A = [{"data": {"detail": {"metadata": {"id": [{"prefix": "a"}]}}}}]


def test_what_does_not_match_is_passed_over_unseen(world: World) -> None:
    assert invoke(world, lambda _: None, filter=OF_A) == [["a1", "a2"]]
    assert world.brief() == [
        "invoked",
        "received a1",
        "received a2",
        "responded ok",
        "settling a2 checkpoint",
        "settled a2 checkpoint ok",
    ]


def test_where_nothing_matches_the_shard_is_read_on(world: World) -> None:
    """Up to its end, which is what whoever invokes it waits for; and nothing is on record."""
    assert invoke(world, lambda _: None, filter=[{"data": {"nothing": [1]}}]) == []
    assert world.brief() == []


def test_what_failed_is_tried_again_before_anything_behind_it_is_passed_over(world: World) -> None:
    """b2 stands behind a2, and does not match: its place is reached once a2 is done."""
    seen = invoke(world, fails("a2", 2), filter=OF_A)
    assert seen == [["a1", "a2"], ["a2"], ["a2"]]
    assert checkpoints(world) == ["a1", "a2"]


# Windows


def gathered(world: World, *, window_s: float, batch: int) -> list[tuple[float, list[str]]]:
    """When the function had what of eight records, sent one by one, half a second apart."""
    answers = Answers(lambda _: seen.append(asyncio.get_running_loop().time()))
    seen: list[float] = []

    async def scene() -> None:
        config = MappingConfig(function="orders", batch=batch, window_s=window_s)
        worker = world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, batch=batch)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker.run())
            for id in ("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"):
                world.send(id)
                await asyncio.sleep(0.5)
            await world.read()
            worker.stop()
            await running

    virtually(scene())
    return [(at, list(names(document))) for at, document in zip(seen, answers.asked, strict=True)]


def test_a_batch_is_gathered_for_its_window(world: World) -> None:
    (first, ids), (second, more) = gathered(world, window_s=2.0, batch=100)
    assert 2.0 <= first <= 2.5 and second >= first + 1.5
    assert ids + more == [f"a{n}" for n in range(1, 9)] and len(ids) >= 4


def test_a_batch_that_is_full_does_not_wait(world: World) -> None:
    found = gathered(world, window_s=300.0, batch=2)
    assert [ids for _, ids in found] == [["a1", "a2"], ["a3", "a4"], ["a5", "a6"], ["a7", "a8"]]
    assert found[0][0] < 1.5


def test_without_a_window_nothing_waits(world: World) -> None:
    found = gathered(world, window_s=0.0, batch=100)
    assert len(found) >= 7, "two stand there when it begins"


def test_what_is_gathered_is_not_read_again_with_a_new_iterator(world: World) -> None:
    answers, reads = Answers(lambda _: None), 0

    async def carry(call: Call) -> Answer:
        nonlocal reads
        reads += call.operation == "GetRecords"
        if reads == 3:
            reads += 1
            raise CallFailed("ExpiredIteratorException", "too old", definite=True)
        return await world.carry(call)

    async def scene() -> None:
        world.send(*FOUR)
        config = MappingConfig(function="orders", batch=100, window_s=3.0)
        await world.until_read(world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, carry=carry))

    virtually(scene())
    assert reads > 4 and [len(document["event"]["Records"]) for document in answers.asked] == [len(FOUR)]


# Several invocations of a shard at once


class Slow(Answers):
    """Takes a second for what has the key `a`, and as good as nothing for the rest. `at_work`: by key, while it is."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__(answer)
        self.at_work: list[set[str]] = []
        self.together = 0

    async def ask(self, document: Any, *, timeout_s: float, version: object = None, argv: object = None) -> object:
        keys = {id[0] for id in names(document)}
        assert not any(keys & others for others in self.at_work), "a key is in one invocation at a time"
        self.at_work.append(keys)
        self.together = max(self.together, len(self.at_work))
        await asyncio.sleep(1.0 if "a" in keys else 0.01)
        self.at_work.remove(keys)
        return await super().ask(document, timeout_s=timeout_s, version=version, argv=argv)


# Keys that fall into four lanes of four.
KEYS = "abde"


def in_parallel(world: World, answers: Answers, *ids: str, parallel: int = 4, **mapping: Any) -> None:
    async def scene() -> None:
        world.send(*ids)
        config = MappingConfig(function="orders", batch=2, parallel=parallel, **mapping)
        await world.until_read(world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, batch=100))

    virtually(scene())


IDS = [f"{key}{n}" for n in range(1, 5) for key in KEYS]


def test_keys_are_handed_over_beside_each_other_and_each_in_its_order(world: World) -> None:
    answers = Slow(lambda _: None)
    in_parallel(world, answers, *IDS)
    seen = [id for document in answers.asked for id in names(document)]
    assert sorted(seen) == sorted(IDS) and 1 < answers.together <= 4
    for key in KEYS:
        assert [id for id in seen if id[0] == key] == [f"{key}{n}" for n in range(1, 5)]


def test_a_checkpoint_covers_what_is_done_up_to_the_lowest_that_is_not(world: World) -> None:
    """At each, all before it had an answer that it is done."""
    answers = Slow(lambda _: None)
    in_parallel(world, answers, *IDS)
    done: set[str] = set()
    reached = 0
    for line in world.brief():
        kind, *rest = line.split()
        if kind == "settled":
            place = IDS.index(rest[0])
            assert place >= reached, "it never goes back"
            reached = place
            assert set(IDS[: place + 1]) <= done
        elif kind == "received":
            done.add(rest[0])
    records = world.records()
    answered = {str(r["batch"]): int(str(r["at"])) for r in records if r["event"] == "responded"}
    batches = {str(r["id"]): str(r["batch"]) for r in records if r["event"] == "received"}
    for settling in [r for r in records if r["event"] == "settling"]:
        covered = IDS[: IDS.index(str(settling["id"])) + 1]
        assert all(answered[batches[id]] <= int(str(settling["at"])) for id in covered)
    assert checkpoints(world)[-1] == IDS[-1]


def test_a_key_that_fails_keeps_no_other_back(world: World) -> None:
    failed = [EffectUnknown("no")] * 3

    def answer(document: Any) -> Any:
        return failed.pop() if any(id[0] == "a" for id in names(document)) and failed else None

    answers = Answers(answer)
    in_parallel(world, answers, *IDS)
    seen = [list(names(document)) for document in answers.asked]
    last_of_others = max(place for place, ids in enumerate(seen) if ids[0][0] != "a")
    assert seen.index(["a3", "a4"]) > last_of_others
    assert sum(ids == ["a1", "a2"] for ids in seen) == 4
    assert checkpoints(world)[-1] == IDS[-1], "and what was given back to it is checkpointed at last"


def test_what_a_key_gives_up_is_passed_over_in_its_place(world: World) -> None:
    answers = Answers(lambda document: EffectUnknown("no") if "a1" in names(document) else None)
    in_parallel(world, answers, *IDS, retries=1, on_failure=True)
    assert [str(r["id"]) for r in world.records() if r["event"] == "dead"] == ["a1", "a2"]
    assert checkpoints(world)[-1] == IDS[-1]


def test_a_checkpoint_that_is_refused_is_the_last(world: World) -> None:
    """Whoever takes the shard over has it all, and no lane goes on."""
    answers = Slow(lambda _: None)

    async def scene() -> None:
        world.send(*IDS)
        config = MappingConfig(function="orders", batch=2, parallel=4)
        worker = world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, batch=100)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker.run())
            while not answers.at_work:  # noqa: ASYNC110  # the clock is virtual: this waits for nothing
                await asyncio.sleep(0.05)
            lease = world.lease()
            world.leases.rows["orders", lease.shard] = replace(lease, owner="other", token=lease.token + 1)
            # Not so long that it would take the lease back.
            await asyncio.sleep(1.5)
            worker.stop()
            await running

    virtually(scene())
    outcomes = [line.split()[-1] for line in world.brief() if line.startswith("settled")]
    assert outcomes.count("failed") <= 1 and "ok" not in outcomes[outcomes.index("failed") :]
    assert world.lease().owner == "other"
    assert len(answers.asked) < len(IDS) / 2


def test_a_closed_shard_is_read_to_its_end_first(world: World) -> None:
    """Its children wait until every lane is done."""
    answers = Slow(lambda _: None)

    few = IDS[:4]

    async def scene() -> None:
        world.send(*few)
        world.reshard("split")
        world.send("a5", "b5")
        config = MappingConfig(function="orders", batch=2, parallel=4)
        await world.until_read(world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, batch=100))

    virtually(scene())
    seen = [id for document in answers.asked for id in names(document)]
    assert sorted(seen) == sorted([*few, "a5", "b5"])
    assert {*seen[-2:]} == {"a5", "b5"}


class Positions(DictLeases):
    """The first checkpoint takes two seconds. `reached`: one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[str] = []
        self._takes_s = 2.0

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        takes_s, self._takes_s = self._takes_s, 0.0
        await asyncio.sleep(takes_s)
        if position is not None:
            self.reached.append(position)
        return await super().checkpoint(mine, position=position, done=done)


def test_what_does_not_match_is_passed_over_once_all_before_it_is_done(world: World) -> None:
    """And no checkpoint that is on its way comes after that."""
    answers = Slow(lambda _: None)

    async def scene() -> None:
        world.leases = leases = Positions()
        world.send("a1", "b1")
        config = MappingConfig(function="orders", batch=2, parallel=4, filter=OF_A)
        await world.until_read(world.worker(NAME, handler=own(answers, "kinesis"), mapping=config, batch=100))
        assert leases.reached == sorted(leases.reached, key=int) and len(leases.reached) == 2

    virtually(scene())
    assert [list(names(document)) for document in answers.asked] == [["a1"]]
    assert checkpoints(world) == ["a1"]


def test_a_throttle_uses_nothing_up(world: World) -> None:
    """What waits is invoked once it may be, and nothing is on record before."""

    async def scene() -> None:
        world.send(*FOUR)
        answers = Answers(lambda _: None)
        worker = world.worker(NAME, handler=own(answers, "kinesis"), mapping=MappingConfig(function="f", retries=0))
        for kind in ("throttle-function", "disable-mapping"):
            worker.tools.disturbances.arm(Disturbance(kind=kind, instance=kind))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.until_read(worker))
            await asyncio.sleep(5)
            worker.tools.disturbances.disarm("disable-mapping")
            await asyncio.sleep(5)
            assert answers.asked == [] and "invoked" not in world.brief()
            worker.tools.disturbances.disarm("throttle-function")
        assert len(answers.asked) == 1
        assert all(worker.tools.disturbances.fired.values())

    virtually(scene())
