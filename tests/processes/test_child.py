"""What a signal to a child does to what the child has started."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gameday.processes.child import Child

DEADLINE_S = 20.0
# It starts a process in a group of its own, as handlers are, and one in its own group; both tell their ids.
SCRIPT = "set -m; sleep 60 >/dev/null & own=$!; set +m; sleep 60 >/dev/null & echo $own $! > tmp; mv tmp pids; wait"


def state(pid: int) -> str:
    """As /proc has it; Z also where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.fixture
def child(tmp_path: Path) -> Callable[[Callable[[Child, list[int]], Awaitable[None]]], None]:
    """Carries out a scene with a child and the two that it started."""

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110  # another process's doing has no event
            await asyncio.sleep(0.01)

    def carry_out(scene: Callable[[Child, list[int]], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(DEADLINE_S):
                child = await Child.start(name="c", argv=["/bin/sh", "-c", SCRIPT], run=tmp_path, cwd=tmp_path)
                try:
                    await until((tmp_path / "pids").exists)
                    await scene(child, [int(word) for word in (tmp_path / "pids").read_text().split()])
                finally:
                    child.signal(signal.SIGKILL)
                    await child.wait()
                    child.sweep()

        asyncio.run(whole())

    return carry_out


Carry = Callable[[Callable[[Child, list[int]], Awaitable[None]]], None]


async def until_all(pids: list[int], wanted: str) -> None:
    while {state(pid) for pid in pids} != {wanted}:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.01)


def test_what_it_started_is_stopped_woken_and_killed_with_it(child: Carry) -> None:
    async def scene(child: Child, started: list[int]) -> None:
        everybody = [child.pid, *started]
        child.signal(signal.SIGSTOP)
        await until_all(everybody, "T")
        assert child.frozen
        os.kill(started[0], signal.SIGCONT)
        await until_all(started[:1], "S")
        assert child.stopped and not child.frozen, "one of them goes on"
        child.signal(signal.SIGCONT)
        await until_all(everybody, "S")
        child.signal(signal.SIGKILL)
        await until_all(started, "Z")
        assert await child.wait() == -signal.SIGKILL

    child(scene)


def test_told_to_end_is_it_alone(child: Carry) -> None:
    async def scene(child: Child, started: list[int]) -> None:
        child.signal(signal.SIGTERM)
        assert await child.wait() == -signal.SIGTERM
        await until_all(started, "S")
        child.sweep()
        await until_all(started, "Z")

    child(scene)
