"""The faults of a stream under real load: each catches the one that is broken, and blames the correct one for nothing.

Producer and reader are told apart: throttled sends catch a producer that retries without regard for the order of a
key, a reshard catches a reader that takes children before their parents. The judge says who was caught.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.fault_targets import FaultTargets, Load
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, StrikeResult, plan
from gameday.consumers.starters import Port
from gameday.history import events
from gameday.history.clock import Clock
from gameday.history.manifest import Claim, Manifest
from gameday.history.writer import Writer
from gameday.loadgen.config import LoadConfig
from gameday.processes.child import Child
from gameday.run.resharding import Resharder
from gameday.transports.base import Addresses, Delivery, Shard, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from gameday.verify.judge import judge
from tests import sources
from tests.chaos.load_wire import before_load
from tests.recorded import recorded
from tests.series import in_series

pytestmark = pytest.mark.live

DEADLINE_S = 30.0
LOAD_S = 2.0
# A busy machine takes seconds for a reshard, and the load must outlast two.
RESHARDED_LOAD_S = 8.0
TRANSPORT = TRANSPORTS["kinesis"]
TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")], shards=2)
LOCUSTFILE = Path(__file__).resolve().parents[2] / "loadgen/locustfile.py"

# The faults that are proven here.
PROVEN = ("throttle-sends", "reshard")

ReadOrder = Callable[[Sequence[Shard]], Sequence[Shard]]


def parents_first(shards: Sequence[Shard]) -> Sequence[Shard]:
    """They are listed in the order in which they were made."""
    return shards


def children_first(shards: Sequence[Shard]) -> Sequence[Shard]:
    return shards[::-1]


class Arena:
    """A stream of its own on the common broker, a load on it, and a judge of what a reader finds there."""

    def __init__(self, run: Path, endpoint: Endpoint, **load: Any) -> None:
        (run / "history").mkdir(parents=True)
        self.run = run
        self.clock = Clock.start()
        self.writer = Writer(run=run, name="conductor", clock=self.clock)
        self.carry = BotoCarrier(endpoint)
        self.addresses: Addresses = run_plan(TRANSPORT.provision(TOPOLOGY, run=run.name, tags={}), self.carry)
        self.source = sources.stream(TRANSPORT, self.addresses, "orders")
        self.config = LoadConfig(
            run_dir=str(run),
            run=run.name,
            clock=str(self.clock),
            endpoint=endpoint,
            transport=TRANSPORT.name,
            addresses=self.addresses,
            topology=TOPOLOGY,
            rate_per_s=150,
            **{"duration_s": LOAD_S, "groups": 12, "users": 2, "batch": 6, **load},
        )
        for name in ("load", "reader"):
            self.writer.announce(name)

    async def strike(self, load: Load | None, *entries: dict[str, Any], start_ns: int) -> list[StrikeResult]:
        targets = FaultTargets(
            fleets={},
            visibility_timeout_s={},
            load=load,
            writer=self.writer,
            seed=1,
            stream=Resharder(self.source, self.carry),
        )
        entered = [FAULTS[entry["fault"]].model_validate(entry) for entry in entries]
        strikes = plan(entered, duration_s=self.config.duration_s, consumers={}, seed=1)
        return await Runner(strikes, targets=targets).run(start_ns=start_ns)

    async def struck(self, *entries: dict[str, Any]) -> list[StrikeResult]:
        """Push the whole load, strike meanwhile."""
        async with before_load(
            self.run,
            clock=self.clock,
            endpoint=self.config.endpoint,
            transport=TRANSPORT.name,
            addresses=self.addresses,
        ) as port:
            return await self._struck(port, *entries)

    async def _struck(self, port: Port, *entries: dict[str, Any]) -> list[StrikeResult]:
        replace(self.config, endpoint=replace(self.config.endpoint, urls={"*": port.url})).save(self.run / "load.json")
        argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
        env = {"GAMEDAY_LOAD": str(self.run / "load.json")}
        load = await Child.start(name="load", argv=argv, run=self.run, env=env)
        try:
            assert await load.report("ready", timeout_s=DEADLINE_S), load.last_words()
            start_ns = self.clock.now_ns()
            await load.command("start", at=start_ns)
            results = await self.strike(port, *entries, start_ns=start_ns)
            done = await load.report("done", timeout_s=DEADLINE_S)
            assert done and done["acked"] == done["scheduled"], load.last_words()
            return results
        finally:
            await load.end(timeout_s=DEADLINE_S)
            self.writer.close()

    def anomalies(self, order: ReadOrder = parents_first, **scenario: Any) -> dict[str, str]:
        """What the judge finds when the stream was read in that order: each anomaly that there is, and a cause."""
        run = self.run.with_name(f"{self.run.name}-{order.__name__}")
        shutil.copytree(self.run, run)
        Manifest(
            run=self.run.name,
            subscriptions=TRANSPORT.promises(TOPOLOGY),
            claims=[Claim(claim="ordered-per-partition")],
            scenario=scenario,
        ).save(run)
        self._read(Writer(run=run, name="reader", clock=self.clock), order)
        document = judge(run).document
        assert document["damaged"] == []
        found = {name: anomaly for name, anomaly in document["anomalies"].items() if anomaly["count"]}
        return {name: anomaly["examples"][0]["cause"] for name, anomaly in found.items()}

    def _read(self, writer: Writer, order: ReadOrder) -> None:
        """Read every shard to its tip, one after another, and record it as a consumer would."""
        shards = self.shards()
        for shard in shards:
            writer.write(
                events.mark("partition", subscription="orders", partition=shard.id, parents=list(shard.parents))
            )
        for shard in order(shards):
            started = self.clock.now_ns()
            iterator = self.source.iterator_of(self.carry(self.source.iterator(shard.id, after=None)))
            reading = self.source.read_of(self.carry(self.source.read(iterator, most=10_000)), shard.id)
            assert reading.behind_ms == 0
            for delivery in reading.deliveries:
                writer.write(_received(delivery, started))
        writer.write(events.mark("drained", subscription="orders", empty=True))
        writer.close()

    def shards(self) -> Sequence[Shard]:
        shards, page = self.source.shards_of(self.carry(self.source.shards()))
        assert page is None
        return shards

    def records(self, event: str) -> list[dict[str, Any]]:
        return recorded(self.run / "history" / "load.jsonl", event)


def _received(delivery: Delivery, started: int) -> events.Record:
    assert delivery.id is not None
    return events.received(
        id=delivery.id,
        subscription="orders",
        consumer="orders-1.1",
        batch=f"{delivery.partition}-{started}",
        started=started,
        broker_seq=delivery.broker_seq,
        partition=delivery.partition,
        group=delivery.group,
        enqueued=delivery.enqueued,
        intact=delivery.intact,
    )


@asynccontextmanager
async def broker(tmp_path: Path) -> AsyncIterator[Endpoint]:
    process = await Child.start(name="broker", argv=[sys.executable, "-m", "gameday.emulator"], run=tmp_path)
    try:
        ready = await process.report("ready", timeout_s=DEADLINE_S)
        assert ready, process.last_words()
        yield Endpoint(urls={"*": ready["url"]}, access_key="test", secret_key="test")
    finally:
        await process.end(timeout_s=DEADLINE_S)


@in_series
def test_throttled_sends_catch_the_producer_whose_retries_overtake_and_only_that(tmp_path: Path) -> None:
    entry = {"fault": "throttle-sends", "at": 0.2, "share": 0.3, "for": 1.5}

    async def strike() -> None:
        async with broker(tmp_path) as endpoint:
            arenas = [Arena(tmp_path / retry, endpoint, retry=retry) for retry in ("ordered", "unordered")]
            results = await asyncio.gather(*(arena.struck(entry) for arena in arenas))
            for arena, (result,) in zip(arenas, results, strict=True):
                refused = [record for record in arena.records("sent") if record["outcome"] == "failed"]
                assert (result.fired, result.error) == (len(refused), None)
                assert refused
                start, stop = recorded(arena.writer.path, "fault")
                assert (start["phase"], stop["phase"], stop["params"]["fired"]) == ("start", "stop", len(refused))
            correct, broken = arenas
            assert correct.anomalies(chaos=[entry]) == {}
            label = "30% of the messages in each send call are refused"
            assert broken.anomalies(chaos=[entry]) == {"stored-out-of-order": label}

    asyncio.run(strike())


@in_series
def test_a_reshard_catches_the_reader_that_takes_children_first_and_only_that(tmp_path: Path) -> None:
    split = {"fault": "reshard", "at": 0.6, "action": "split"}
    merge = {"fault": "reshard", "at": 1.2, "action": "merge"}

    async def strike() -> None:
        async with broker(tmp_path) as endpoint:
            arena = Arena(tmp_path / "run", endpoint, duration_s=RESHARDED_LOAD_S)
            results = await arena.struck(split, merge)
            assert [(result.fired, result.error) for result in results] == [(1, None), (1, None)]
            stops = [record["params"] for record in recorded(arena.writer.path, "fault") if record["phase"] == "stop"]
            children = {child for stop in stops for child in stop["children"]}
            assert {shard.id for shard in arena.shards() if shard.parents} == children
            assert {s.id for s in arena.shards() if s.closed} == {
                parent for stop in stops for parent in stop["parents"]
            }
            assert children & {record["partition"] for record in arena.records("sent")}, "the load went on into them"
            assert arena.anomalies(parents_first, chaos=[split, merge]) == {}
            caught = arena.anomalies(children_first, chaos=[split, merge])
            assert set(caught) == {"nonmonotonic-delivery", "child-before-parent"}

    asyncio.run(strike())


def test_a_reshard_that_the_service_refuses_says_so(tmp_path: Path) -> None:
    async def strike() -> None:
        async with broker(tmp_path) as endpoint:
            arena = Arena(tmp_path / "run", endpoint)
            merges = [{"fault": "reshard", "at": at, "action": "merge"} for at in (0.0, 0.001)]
            first, second = await arena.strike(None, *merges, start_ns=arena.clock.now_ns())
            assert (first.fired, first.error) == (1, None)
            assert second.fired == 0
            assert second.error and "one open shard" in second.error

    asyncio.run(strike())
