"""Real signals to real processes, seen in /proc; and what becomes of a paused process when its conductor dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.processes.child import is_stopped
from tests.chaos import dummy_consumer
from tests.chaos.dummy_consumer import DEADLINE_S, DummyFleet, runner
from tests.recorded import recorded

pytestmark = pytest.mark.live


def state(pid: int) -> str | None:
    """The kernel's letter for the process; None when it is gone or only waits to be reaped."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return None if letter == "Z" else letter


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait, condition)


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_a_killed_process_is_dead_and_its_replacement_lives_when_the_fault_stops(tmp_path: Path, number: str) -> None:
    async def strike() -> None:
        async with DummyFleet(2, tmp_path) as fleet:
            before = {member.name: (member.pid, member.child) for member in fleet.members}
            chaos, start_ns = runner(fleet, tmp_path, {"fault": "kill-consumer", "signal": number})
            (result,) = await chaos.run(start_ns=start_ns)
            assert (result.fired, result.error) == (1, None)
            (name,) = recorded(tmp_path / "history/conductor.jsonl", "fault")[0]["targets"]
            pid, child = before.pop(name)
            assert pid is not None and state(pid) is None
            assert child.returncode == (-signal.SIGKILL if number == "KILL" else 0)
            assert all(state(pid or 0) for pid, _ in before.values()), "nobody else is touched"
            assert all(member.alive and member.pid is not None and state(member.pid) for member in fleet.members)

    asyncio.run(strike())
    start, stop = recorded(tmp_path / "history/conductor.jsonl", "fault")
    assert (start["phase"], stop["phase"], stop["params"]["fired"], stop["params"]["held"]) == ("start", "stop", 1, 1)


def test_a_paused_process_is_stopped_and_then_continues(tmp_path: Path) -> None:
    async def strike() -> None:
        async with DummyFleet(2, tmp_path) as fleet:
            pids = [member.pid or 0 for member in fleet.members]
            chaos, start_ns = runner(fleet, tmp_path, {"fault": "pause-consumer", "for": 3600.0, "pick": 2})
            running = asyncio.create_task(chaos.run(start_ns=start_ns))
            await until(lambda: all(state(pid) == "T" for pid in pids))
            assert all(is_stopped(pid) for pid in pids)
            assert [record["phase"] for record in recorded(tmp_path / "history/conductor.jsonl", "fault")] == ["start"]
            chaos.heal_all()
            (result,) = await running
            assert (result.fired, result.error) == (2, None)
            assert all(state(pid) in ("S", "R") for pid in pids)

    asyncio.run(strike())


def test_a_paused_process_that_is_killed_is_over_when_its_replacement_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look(pid: int) -> bool:
        seen.extend([pid] if is_stopped(pid) else [])
        return pid in seen

    monkeypatch.setattr("gameday.processes.child.is_stopped", look)

    async def strike() -> None:
        async with DummyFleet(1, tmp_path) as fleet:
            (member,) = fleet.members
            pid, name = member.pid or 0, member.name
            chaos, start_ns = runner(fleet, tmp_path, {"fault": "pause-consumer", "for": 3600.0})
            running = asyncio.create_task(chaos.run(start_ns=start_ns))
            await until(lambda: pid in seen)
            member.signal(signal.SIGKILL)
            await until(lambda: not member.alive or member.name != name)
            chaos.heal_all()
            (result,) = await running
            assert (result.fired, result.error) == (1, None)
            assert member.name != name and member.alive

    asyncio.run(strike())
    assert [record["phase"] for record in recorded(tmp_path / "history/conductor.jsonl", "fault")] == ["start", "stop"]


class Conductor:
    """A conductor of its own process, and the dummy that it has paused."""

    def __init__(self, run: Path) -> None:
        self.run = run
        paths = os.pathsep.join([str(Path(dummy_consumer.__file__).parents[2]), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, dummy_consumer.__file__, str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self.pid: int = self.said("pid")["pid"]

    def said(self, kind: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        report: dict[str, Any] = orjson.loads(self.process.stdout.readline())
        assert report["report"] == kind
        return report


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    conductor = Conductor(tmp_path)
    try:
        wait(lambda: state(conductor.pid) == "T")
        yield conductor
    finally:
        conductor.process.kill()
        conductor.process.communicate()
        # The dummy ends by itself: it sees the end of its input.
        wait(lambda: state(conductor.pid) is None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conductor_wakes_whom_it_paused(conductor: Conductor, number: signal.Signals) -> None:
    conductor.process.send_signal(number)
    conductor.said("healed")
    assert state(conductor.pid) in ("S", "R")
    assert [record["phase"] for record in recorded(conductor.run / "history/conductor.jsonl", "fault")] == [
        "start",
        "stop",
    ]
    assert conductor.process.stdin is not None
    conductor.process.stdin.write(b"go on\n")
    conductor.process.stdin.flush()
    conductor.process.wait(DEADLINE_S)


def test_a_killed_conductor_leaves_nobody_frozen(conductor: Conductor) -> None:
    conductor.process.kill()
    conductor.process.wait()
    wait(lambda: state(conductor.pid) != "T")
    assert [record["phase"] for record in recorded(conductor.run / "history/conductor.jsonl", "fault")] == ["start"]
