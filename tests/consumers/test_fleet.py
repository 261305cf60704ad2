"""Real consumer processes on a real queue: their records up to the moment they die, and the fleet around them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday.consumers.config import HandlerProgram
from gameday.consumers.fleet import Fleet
from gameday.consumers.starters import Ours
from gameday.consumers.stores import make_store
from gameday.history.errors import ProcessError
from gameday.history.writer import Writer
from gameday.processes.child import Child
from gameday.processes.disturbances import Disturbance
from tests.consumers.scripted import DEADLINE_S, ConsumedQueue, brief, read_history
from tests.series import series

pytestmark = pytest.mark.live


@asynccontextmanager
async def running(queue: ConsumedQueue, *, size: int = 1) -> AsyncIterator[Fleet]:
    run = queue.config.run_dir
    writer = Writer(run=run, name="conductor", clock=queue.config.clock)
    fleet = Fleet(starter=Ours(queue.config, run=run), size=size, writer=writer, restart_delay_s=0.1)
    try:
        await fleet.start(DEADLINE_S)
        yield fleet
    finally:
        await fleet.stop(DEADLINE_S)
        writer.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.05)


def history(queue: ConsumedQueue, name: str) -> list[str]:
    return brief(read_history(queue.config.run_dir, name))


async def applied(queue: ConsumedQueue) -> dict[str, int]:
    return dict(await make_store(queue.config.store, queue.config.endpoint).read_back("orders"))


def test_a_fleet_works_drains_and_exits_zero(queue: ConsumedQueue) -> None:
    queue.config = replace(queue.config, wait_s=1)

    async def scene() -> None:
        async with running(queue, size=2) as fleet:
            await asyncio.to_thread(queue.send, *(f"m{n}" for n in range(8)))
            await until(lambda: queue.queued() == 0, "the queue is empty")
            pids = [member.pid for member in fleet.members]
            assert all(pids) and len(set(pids)) == 2
        assert [member.alive for member in fleet.members] == [False, False]
        assert await applied(queue) == {f"m{n}": 1 for n in range(8)}

    asyncio.run(scene())
    marks = read_history(queue.config.run_dir, "conductor")
    assert {(m["name"], m.get("file") or m.get("slot"), m.get("code")) for m in marks if m["name"] != "closed"} == {
        ("writer", "orders-1.1.jsonl", None),
        ("writer", "orders-2.1.jsonl", None),
        ("consumer-started", "orders-1", None),
        ("consumer-started", "orders-2", None),
        ("consumer-exited", "orders-1", 0),
        ("consumer-exited", "orders-2", 0),
    }
    for name in ("orders-1.1", "orders-2.1"):
        assert history(queue, name)[-1] == "mark closed"


def test_a_term_finishes_what_is_in_hand(queue: ConsumedQueue) -> None:
    queue.config = replace(queue.config, processing_time_s=0.5, batch=2)

    async def scene() -> None:
        async with running(queue) as fleet:
            (member,) = fleet.members
            await asyncio.to_thread(queue.send, "a", "b")
            await member.command("tell-when-holding")
            assert await member.report("holding", timeout_s=DEADLINE_S) == {"report": "holding", "messages": 2}
            member.signal(signal.SIGTERM)
            assert await member.ready_after("orders-1.1", DEADLINE_S), "it was not asked to go, so it is replaced"
            lines = history(queue, "orders-1.1")
            assert lines[:4] == ["received a", "received b", "effect a applied", "settling a delete"]
            assert "settled a delete ok" in lines
            assert "settled b release ok" in lines, "it had not been begun"
            assert lines[-1] == "mark closed"
            await until(lambda: queue.queued() == 0, "the replacement handles what was released")

    asyncio.run(scene())


def test_the_end_of_the_input_is_a_drain(queue: ConsumedQueue) -> None:
    async def scene() -> None:
        queue.config.save(queue.config.run_dir / "c.json")
        argv = [
            sys.executable,
            "-m",
            "gameday.consumers",
            "--config",
            str(queue.config.run_dir / "c.json"),
            "--name",
            "x.1",
        ]
        child = await Child.start(name="x.1", argv=argv, run=queue.config.run_dir)
        try:
            assert await child.report("ready", timeout_s=DEADLINE_S)
            stdin = child._process.stdin
            assert stdin is not None
            stdin.close()
            async with asyncio.timeout(DEADLINE_S):
                assert await child.wait() == 0
            assert history(queue, "x.1") == ["mark closed"]
        finally:
            child.signal(signal.SIGKILL)

    asyncio.run(scene())


def test_a_killed_consumer_leaves_a_judgeable_file_and_is_replaced(queue: ConsumedQueue) -> None:
    queue.config = replace(queue.config, processing_time_s=1.0)

    async def scene() -> None:
        async with running(queue) as fleet:
            (member,) = fleet.members
            await asyncio.to_thread(queue.send, "a")
            await member.command("tell-when-holding")
            assert await member.report("holding", timeout_s=DEADLINE_S)
            member.signal(signal.SIGKILL)
            assert await member.ready_after("orders-1.1", DEADLINE_S)
            assert member.name == "orders-1.2"
            assert history(queue, "orders-1.1") == ["received a"]
            await until(lambda: queue.queued() == 0, "the replacement handles it after the visibility timeout")
        assert "effect a applied" in history(queue, "orders-1.2")
        assert await applied(queue) == {"a": 1}

    asyncio.run(scene())
    assert "mark consumer-exited" in history(queue, "conductor")
    exited = [m for m in read_history(queue.config.run_dir, "conductor") if m["name"] == "consumer-exited"]
    assert [(m["consumer"], m["code"]) for m in exited] == [("orders-1.1", -9), ("orders-1.2", 0)]


@pytest.mark.parametrize(
    ("point", "left", "applied_by_then"),
    [
        ("after-effect", ["received a"], {"a": 1}),
        ("before-delete", ["received a", "effect a applied", "settling a delete"], {"a": 1}),
        *series(
            ("after-receive", ["received a"], {}),
            ("before-effect", ["received a"], {}),
            ("after-delete", ["received a", "effect a applied", "settling a delete"], {"a": 1}),
        ),
    ],
)
def test_a_crash_leaves_exactly_the_records_up_to_its_point(
    queue: ConsumedQueue, point: str, left: list[str], applied_by_then: dict[str, int]
) -> None:
    async def scene() -> None:
        async with running(queue) as fleet:
            await fleet.arm(Disturbance(kind="crash-at", instance="c", point=point, nth=1), ["orders-1"])
            (member,) = fleet.members
            await asyncio.to_thread(queue.send, "a")
            assert await member.report("fired", timeout_s=DEADLINE_S, instance="c")
            await until(lambda: member.name == "orders-1.2" or not member.alive, "it dies")
            assert history(queue, "orders-1.1") == left
            assert await applied(queue) == applied_by_then
            assert queue.queued() == (0 if point == "after-delete" else 1)
            assert await member.ready_after("orders-1.1", DEADLINE_S)
            told = await fleet.disarm("c")
            assert told == {"orders-1.1": 1, "orders-1.2": 0}, "the replacement does not crash again"

    asyncio.run(scene())


def test_a_fault_that_stands_binds_the_replacement_before_its_first_receive(queue: ConsumedQueue) -> None:
    async def scene() -> None:
        async with running(queue) as fleet:
            (member,) = fleet.members
            await fleet.arm(Disturbance(kind="stretch-processing", instance="s", seconds=0.3), ["orders-1"])
            await fleet.arm(Disturbance(kind="fail-handler", instance="l"), ["orders-2"])
            member.signal(signal.SIGKILL)
            await asyncio.to_thread(queue.send, "a")
            assert await member.ready_after("orders-1.1", DEADLINE_S)
            await until(lambda: "settled a delete ok" in history(queue, "orders-1.2"), "a is handled")
            received, effect = read_history(queue.config.run_dir, "orders-1.2")[:2]
            assert effect["started"] - received["at"] >= 300_000_000
            assert await fleet.disarm("s") == {"orders-1.2": 1}, "who was killed had nothing to do"
            assert await fleet.disarm("s") == {}, "it is withdrawn"
            assert await fleet.disarm("l") == {}, "it stood in another slot"

    asyncio.run(scene())


def test_a_consumer_that_cannot_start_is_an_error_with_its_last_words(queue: ConsumedQueue) -> None:
    queue.config = replace(queue.config, store={"kind": "sqlite", "path": "/nowhere/effects.sqlite"})

    async def scene() -> None:
        async with running(queue):
            pytest.fail("it started")

    with pytest.raises(ProcessError, match=r"orders-1 died 3 times.*/nowhere/effects\.sqlite"):
        asyncio.run(scene())
    exited = [m for m in read_history(queue.config.run_dir, "conductor") if m["name"] == "consumer-exited"]
    assert [m["code"] for m in exited] == [4, 4, 4]


def test_a_consumer_s_handlers_die_with_it_and_end_with_it(queue: ConsumedQueue, tmp_path: Path) -> None:
    """Each handling tells its process and never ends: no SIGKILL of a consumer may leave one at work."""
    script = 'echo "{\\"ready\\": true}"; read -r line && echo $$ >> handling; sleep 60; echo done >> done'
    program = HandlerProgram(argv=["/bin/sh", "-c", script], cwd=tmp_path, timeout_s=30)
    queue.config = replace(queue.config, program=program, concurrency=2, drain_timeout_s=0.1)

    def handling() -> list[int]:
        path = tmp_path / "handling"
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    def gone(pids: Iterable[int]) -> bool:
        return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)

    async def scene() -> None:
        async with running(queue) as fleet:
            await asyncio.to_thread(queue.send, "m1")
            await until(lambda: len(handling()) == 1, "a message is handled")
            fleet.members[0].signal(signal.SIGKILL)
            await until(lambda: gone(handling()), "the handler is gone")
            assert await fleet.members[0].ready_after("orders-1.1", DEADLINE_S)
            await until(lambda: len(handling()) == 2, "it came again and is handled")

    asyncio.run(scene())
    assert gone(handling())
    assert not (tmp_path / "done").exists()
    assert history(queue, "orders-1.1") == ["received m1"]
