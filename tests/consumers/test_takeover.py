"""Consumers that pause, die and are replaced at any moment: no checkpoint goes back, no child overtakes its parent, and
everything is read. By chance on a virtual clock, and once with real processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.lease_stores import make_leases
from gameday.consumers.leases import Lease, LeaseStore
from gameday.consumers.stores import make_store
from gameday.consumers.stream import StreamWorker
from gameday.history.clock import Clock
from gameday.history.events import Record
from gameday.transports.base import Answer, Call, Outgoing, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests.consumers.scripted import DEADLINE_S, body, read_history
from tests.consumers.streaming import World, checkpoints, virtually
from tests.series import series
from tests.transports.asked import served

LEASE_S = 1.0
KEYS = "abcdefgh"


class Process:
    """What a process is to the outside: it may stand still at any step, for longer than its leases last, or die."""

    def __init__(self, world: World, name: str, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self._runs = asyncio.Event()
        self._runs.set()
        self.worker: StreamWorker = world.worker(name, carry=self._carry, leases=_Leases(self, world.leases))
        self.task = asyncio.create_task(self.worker.run())

    async def still(self) -> None:
        """A step takes a while, and none is made while the process stands still."""
        await asyncio.sleep(self._dice.choice([0, 0, 0.001, 0.05]))
        await self._runs.wait()

    async def pause(self, seconds: float) -> None:
        self._runs.clear()
        await asyncio.sleep(seconds)
        self._runs.set()

    def kill(self) -> None:
        self.task.cancel()

    async def _carry(self, call: Call) -> Answer:
        await self.still()
        answer = await self._world.carry(call)
        await self.still()
        return answer


class _Leases:
    """The shared leases as one process reaches them: before and after each step it may stand still."""

    def __init__(self, process: Process, leases: LeaseStore) -> None:
        self._process = process
        self._leases = leases

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._leases, name)

        async def slowly(*arguments: Any, **named: Any) -> Any:
            await self._process.still()
            answer = await step(*arguments, **named)
            await self._process.still()
            return answer

        return slowly


async def trouble(world: World, dice: random.Random) -> list[Record]:
    """Send, reshard, pause and kill for a while; then leave those in peace who are there until all is read."""
    fleet = [Process(world, f"orders-{n}.1", dice) for n in (1, 2, 3)]
    sent = 0
    for round in range(2, 14):
        for _ in range(dice.randrange(8)):
            sent += 1
            world.send(f"{dice.choice(KEYS)}{sent}")
        what, slot = dice.choice(["pause", "pause", "kill", "split", "merge", "nothing"]), dice.randrange(3)
        if what == "pause":
            asyncio.create_task(fleet[slot].pause(dice.uniform(0.1, 3) * LEASE_S))  # noqa: RUF006  # it ends by itself
        elif what == "kill":
            fleet[slot].kill()
            fleet[slot] = Process(world, f"orders-{slot + 1}.{round}", dice)
        elif what != "nothing" and (what == "split" or _open(world) > 1):
            world.reshard("split" if what == "split" else "merge")
        await asyncio.sleep(dice.uniform(0, 1.5))
    async with asyncio.timeout(120):
        await world.read()
    for process in fleet:
        process.worker.stop()
    await asyncio.gather(*(process.task for process in fleet))
    return world.records()


def _open(world: World) -> int:
    shards, _ = world.source.shards_of(world.call(world.source.shards()))
    return sum(not shard.closed for shard in shards)


def stale(records: list[Record]) -> list[tuple[int, int, str, int]]:
    """Checkpoints at a position below one that had worked before they began."""
    done = checkpoints(records)
    return [c for c in done if any(o[2] == c[2] and o[1] < c[0] and o[3] > c[3] for o in done)]


def overtaken(records: list[Record]) -> list[str]:
    """Records first received after one of their group in a descendant of their shard."""
    parents = {str(r["partition"]): r["parents"] for r in records if r.get("name") == "partition"}

    def ancestors(shard: str) -> set[str]:
        direct = {str(parent) for parent in parents[shard]}
        return direct.union(*(ancestors(parent) for parent in direct))

    first: dict[tuple[str, str, str], int] = {}
    for record in records:
        if record["event"] == "received":
            first.setdefault(
                (str(record["id"]), str(record["partition"]), str(record["group"])), int(str(record["at"]))
            )
    return [
        id
        for (id, shard, group), at in first.items()
        for (_, below, other), earlier in first.items()
        if other == group and earlier < at and shard in ancestors(below)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_pauses_and_dies_nothing_goes_back_and_all_is_read(seed: int) -> None:
    async def scene() -> None:
        with tempfile.TemporaryDirectory() as directory:
            world = World(
                Path(directory), 2, {"lease_s": LEASE_S, "batch": 5, "concurrency": 2, "processing_time_s": 0.02}
            )
            records = await trouble(world, random.Random(seed))
            assert stale(records) == []
            assert overtaken(records) == []
            assert {r["id"] for r in records if r["event"] == "received"} == set(world.sent)
            assert {key.id: n for key, n in world.store.applied.items()} == dict.fromkeys(world.sent, 1)

    virtually(scene())


@pytest.mark.parametrize(
    ("broken", "found"),
    [("fence", stale), ("children", overtaken)],
)
def test_the_property_would_see_what_it_looks_for(broken: str, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that lets a zombie's checkpoint through, and consumers that do not wait for parents."""

    async def scene(seed: int) -> bool:
        with tempfile.TemporaryDirectory() as directory:
            children = "early" if broken == "children" else "wait"
            config = {"lease_s": LEASE_S, "batch": 5, "concurrency": 2, "processing_time_s": 0.02, "children": children}
            world = World(Path(directory), 2, config)
            if broken == "fence":

                async def checkpoint(mine: Lease, *, position: str | None, done: bool) -> bool:
                    row = world.leases.rows[mine.subscription, mine.shard]
                    world.leases.rows[mine.subscription, mine.shard] = replace(row, position=position, done=done)
                    return True

                monkeypatch.setattr(world.leases, "checkpoint", checkpoint)
            # What is broken may not come to its end either.
            with contextlib.suppress(TimeoutError):
                return bool(found(await trouble(world, random.Random(seed))))
            return True

    assert any(virtually(scene(seed)) for seed in range(40))


# With real processes


@pytest.fixture(scope="module")
def broker() -> Iterator[Endpoint]:
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.mark.live
@pytest.mark.parametrize(("store", "end"), [("dynamodb", signal.SIGSTOP), *series(("sqlite", signal.SIGKILL))])
def test_a_holder_that_falls_silent_is_followed_and_fenced(
    store: str, end: signal.Signals, broker: Endpoint, tmp_path: Path
) -> None:
    transport, carry = TRANSPORTS["kinesis"], BotoCarrier(broker)
    name = f"{os.getpid()}-{tmp_path.name}"[-40:].strip("-")
    topology = Topology(subscriptions=[SubscriptionSpec(name="orders")], shards=2)
    addresses = run_plan(transport.provision(topology, run=name, tags={}), carry)
    (tmp_path / "history").mkdir()

    def kept(what: str) -> dict[str, str]:
        if store == "dynamodb":
            return {"kind": "dynamodb", "table": f"{name}-{what}"}
        return {"kind": "sqlite", "path": str(tmp_path / f"{what}.sqlite")}

    config = ConsumerConfig(
        run_dir=tmp_path,
        run=name,
        clock=Clock.start(),
        endpoint=broker,
        transport="kinesis",
        addresses=addresses,
        subscription="orders",
        visibility_timeout_s=5,
        processing_time_s=0.3,
        store=kept("effects"),
        leases=kept("leases"),
        lease_s=0.5,
    )
    config.save(tmp_path / "config.json")

    async def create() -> None:
        for made in (make_store(config.store, broker), make_leases(config.leases, broker)):
            await made.create(tags={})
            await made.close()

    asyncio.run(create())
    sent = [f"{key}{n}" for n in range(3) for key in KEYS]

    def records(*names: str) -> list[Record]:
        return [record for each in names for record in read_history(tmp_path, each)]

    def until(condition: Any) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def started(who: str) -> subprocess.Popen[bytes]:
        (tmp_path / "history" / f"{who}.jsonl").touch()
        argv = [sys.executable, "-m", "gameday.consumers", "--config", str(tmp_path / "config.json"), "--name", who]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    first, second = started("orders-1.1"), None
    try:
        messages = [Outgoing(id=id, body=body(id, group=id[0]), group=id[0], dedup_id=id) for id in sent]
        carry(transport.send(addresses, messages))
        # In its hands, and not handled yet.
        until(lambda: any(r["event"] == "received" for r in records("orders-1.1")))
        first.send_signal(end)
        second = started("orders-2.1")
        until(lambda: {r["id"] for r in records("orders-2.1") if r["event"] == "effect"} >= set(sent))
        if end == signal.SIGSTOP:
            first.send_signal(signal.SIGCONT)
            until(lambda: any(r.get("outcome") == "failed" for r in records("orders-1.1")))
        for process in (first, second):
            process.terminate()
        assert second.wait(DEADLINE_S) == 0
        assert first.wait(DEADLINE_S) == (0 if end == signal.SIGSTOP else -signal.SIGKILL)
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()

    async def applied() -> dict[str, int]:
        opened = make_store(config.store, broker)
        try:
            return dict(await opened.read_back("orders"))
        finally:
            await opened.close()

    assert asyncio.run(applied()) == dict.fromkeys(sent, 1)
    assert stale(records("orders-1.1", "orders-2.1")) == []
