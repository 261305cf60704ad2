"""A host as the conductor sees it: a process there, from start to end, and a host that is not there any more."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from gameday.history.errors import ProcessError
from gameday.processes.letters import Letters
from gameday.processes.remote import UNKNOWN_CODE, Host, HostGone, RemoteChild

DEADLINE_S = 10.0


class Played:
    """The other end. What is sent to it arrives at once; a `deaf` one gets nothing."""

    def __init__(self, *, patience_s: float = 60.0, instance: str = "one") -> None:
        self.notes: list[str] = []
        self.orders: list[dict[str, Any]] = []
        self.refused: dict[str, str] = {}
        self.deaf = False
        self._letters = Letters()
        self._instance = instance
        self.host = Host("b", run="r", send=self._take, patience_s=patience_s, note=self.notes.append)
        self._living = asyncio.create_task(self.host.live())

    async def _take(self, node: str, letter: Mapping[str, Any]) -> None:
        if "refused" in letter:
            self.refused[node] = letter["refused"]
        elif not self.deaf:
            self.orders += self._letters.hear(letter)

    async def say(self, **said: Any) -> None:
        self._letters.say(said)
        await self.beat()

    async def beat(self, instance: str | None = None) -> None:
        await self.host.hear("node", {"instance": instance or self._instance, "sent": 1, **self._letters.letter()})

    async def told(self, do: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for order in self.orders:
                    if order["do"] == do:
                        self.orders.remove(order)
                        return order
                await asyncio.sleep(0)

    async def started(self, name: str = "orders-1.1") -> RemoteChild:
        await self.say(say="join", directory="/there")
        starting = asyncio.create_task(self.host.start(name, "consumer", config={}))
        assert (await self.told("start"))["of"] == "consumer"
        await self.say(say="started", name=name, pid=7)
        return await starting


def test_a_process_there_is_like_one_here() -> None:
    async def scene() -> None:
        there = Played()
        child = await there.started()
        seen: list[Any] = []
        child.on_report = seen.append
        assert (child.pid, child.alive, str(child.log)) == (7, True, "/there/r/logs/orders-1.1.log")
        await there.say(say="report", name=child.name, report={"report": "ready"})
        assert await child.report("ready", timeout_s=0) == {"report": "ready"} == seen[0]
        await child.command("arm", disturbance={"instance": "x"})
        assert (await there.told("command"))["command"] == {"do": "arm", "disturbance": {"instance": "x"}}
        child.signal(signal.SIGSTOP)
        assert (await there.told("signal"))["signal"] == signal.SIGSTOP
        assert not child.stopped, "nobody has told that it is"
        await there.say(say="stopped", name=child.name, stopped=True)
        assert child.stopped
        ending = asyncio.create_task(child.end(timeout_s=0))
        assert [(await there.told("signal"))["signal"] for _ in range(3)] == [
            signal.SIGCONT,
            signal.SIGTERM,
            signal.SIGKILL,
        ]
        asked = asyncio.create_task(child.report("holding", timeout_s=DEADLINE_S))
        await asyncio.sleep(0)
        await there.say(say="exited", name=child.name, code=-9, words="boom")
        assert (await ending, await child.wait(), child.last_words()) == (-9, -9, "boom")
        assert not child.alive and not child.stopped
        assert await asked is None, "a process that has ended reports nothing any more"

    asyncio.run(scene())


def test_what_cannot_be_started_there_is_an_error_with_the_reason() -> None:
    async def scene() -> None:
        there = Played()
        await there.say(say="join", directory="/there")
        starting = asyncio.create_task(there.host.start("x", "consumer"))
        await there.told("start")
        await there.say(say="failed", name="x", why="the disk is full")
        with pytest.raises(ProcessError, match="host b cannot start x: the disk is full"):
            await starting

    asyncio.run(scene())


def test_a_file_there_is_listed_once_it_is_there() -> None:
    async def scene() -> None:
        there = Played()
        await there.say(say="join", directory="/there")
        creating = asyncio.create_task(there.host.create("x"))
        await there.told("create")
        assert not creating.done()
        await there.say(say="created", name="x")
        await creating
        creating = asyncio.create_task(there.host.create("y"))
        await there.told("create")
        await there.say(say="failed", name="y", why="the disk is full")
        with pytest.raises(ProcessError, match="host b cannot create y: the disk is full"):
            await creating

    asyncio.run(scene())


def test_a_silent_host_is_given_up_with_all_that_is_on_it_and_comes_back_for_nothing() -> None:
    async def scene() -> None:
        there = Played(patience_s=0.2)
        child = await there.started()
        there.deaf = True
        starting = asyncio.create_task(there.host.start("orders-2.1", "consumer"))
        assert await asyncio.wait_for(child.wait(), DEADLINE_S) == UNKNOWN_CODE
        with pytest.raises(HostGone, match=r"host b vanished: nothing was heard of it for 0\.2 s"):
            await starting
        with pytest.raises(HostGone):
            await there.host.start("orders-1.2", "consumer")
        with pytest.raises(HostGone):
            await there.host.finished()
        assert len(there.notes) == 1 and "vanished" in child.last_words()
        await there.beat()
        assert "vanished" in there.refused["node"]

    asyncio.run(scene())


def test_a_host_that_is_heard_again_in_time_is_none_that_vanished() -> None:
    async def scene() -> None:
        there = Played(patience_s=1.5)
        child = await there.started()
        # In all longer than its patience, and never as long at a time.
        for _ in range(4):
            await asyncio.sleep(0.5)
            await there.beat()
        assert child.alive and there.notes == []

    asyncio.run(scene())


def test_two_hosts_cannot_have_one_name() -> None:
    async def scene() -> None:
        there = Played()
        child = await there.started()
        await there.beat(instance="two")
        assert "another host has joined as b already" in there.refused["node"]
        assert child.alive

    asyncio.run(scene())


def test_a_host_that_leaves_says_why() -> None:
    async def scene() -> None:
        there = Played()
        child = await there.started()
        await there.say(say="leaving", why="its disk is full")
        assert await child.wait() == UNKNOWN_CODE
        assert there.notes == ["host b left before the end: its disk is full"]

    asyncio.run(scene())
