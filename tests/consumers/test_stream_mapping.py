"""The worker that invokes a function with records of a stream: where it goes on after an answer, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.config import MappingConfig
from gameday.processes.disturbances import Disturbance
from gameday.processes.handler_process import EffectUnknown
from tests.consumers.streaming import World, virtually
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
