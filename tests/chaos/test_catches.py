"""Every fault against real consumers: it catches the one that is broken, and blames the correct one for nothing.

Both work off a queue of their own on the broker in memory, while the same fault strikes them at the same time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.base import ConsumerFault
from gameday.chaos.fault_targets import FaultTargets, Load
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, StrikeResult, plan
from gameday.consumers.config import ConsumerConfig
from gameday.consumers.fleet import Fleet
from gameday.consumers.starters import Ours, Port
from gameday.consumers.stores import make_store
from gameday.history import envelope
from gameday.history.clock import Clock
from gameday.history.events import Record
from gameday.history.writer import Writer
from gameday.loadgen.config import LoadConfig
from gameday.processes.child import Child
from gameday.processes.undo import Undo
from gameday.run.policies import Policies
from gameday.transports.base import Addresses, Outgoing, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.chaos.load_wire import before_load
from tests.chaos.test_stream_faults import PROVEN
from tests.recorded import recorded
from tests.series import series

pytestmark = pytest.mark.live

DEADLINE_S = 30.0
HIDDEN_S = 1
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`broken` is what makes the second consumer one that the fault must catch; `wrong` is what then goes wrong."""

    entry: dict[str, Any]
    broken: dict[str, Any] = field(default_factory=lambda: {"guard": "none"})
    consumers: int = 1
    tuning: dict[str, Any] = field(default_factory=dict)
    # The event after which it strikes; None: it strikes first, and then messages come.
    after: str | None = None
    wrong: Callable[[int], bool] = lambda count: count > 1


CASES = {
    # Who deletes first has `settled` messages that have no effect yet.
    "kill-consumer": Case(
        entry={}, broken={"handler": "delete-first"}, after="settled", wrong=lambda applied: applied == 0
    ),
    "rolling-restart": Case(
        entry={"signal": "KILL"},
        broken={"handler": "delete-first"},
        after="settled",
        wrong=lambda applied: applied == 0,
    ),
    # Each takes a few messages at a time, so whichever is picked has some.
    "pause-consumer": Case(
        entry={"for": 2.5 * HIDDEN_S}, consumers=2, tuning={"pollers": 1, "concurrency": 2}, after="received"
    ),
    "stretch-processing": Case(entry={"to": {"times_visibility_timeout": 2.0}, "share": 0.2, "for": 1.5}),
    # A claim that is put before the work stays when the work fails.
    "fail-handler": Case(
        entry={"for": 1.0, "share": 0.5}, broken={"guard": "claim-first"}, wrong=lambda applied: applied == 0
    ),
    "crash-at": Case(entry={"point": "before-delete", "nth": 2}),
    # The look finds no mark, and the slow write comes when another delivery has done the same.
    "slow-store": Case(entry={"takes": 1.5 * HIDDEN_S, "share": 0.3, "for": 2.0}, broken={"guard": "check-then-act"}),
    # The mark is put, and the effect is refused.
    "store-down": Case(
        entry={"for": 3.0, "share": 0.5}, broken={"guard": "claim-first"}, wrong=lambda applied: applied == 0
    ),
    # What is in hand is extended no more, and others get it.
    "clock-step": Case(
        entry={"by": 60.0, "direction": "behind", "for": 2.0, "pick": 1.0},
        tuning={"processing_time_s": 2.0 * HIDDEN_S, "heartbeat_s": 0.3},
        after="received",
    ),
    # What is deleted already can have no effect any more.
    "full-disk": Case(
        entry={"for": 1.5}, broken={"handler": "delete-first"}, after="settled", wrong=lambda applied: applied == 0
    ),
    # Others get what it holds, and then it works on it all the same.
    "hold-in-flight": Case(entry={"for": 2.5 * HIDDEN_S}, consumers=2, tuning={"pollers": 1, "concurrency": 2}),
    "lose-send-reply": Case(entry={"for": 1.0, "share": 0.5}),
}


# What strikes the service itself is seen on the wire alone: it is proven in tests/wire/test_catches.py.
SEEN_ON_THE_WIRE = ("impair-queue",)
# What strikes starts of executions, or executions, is proven in whole runs: tests/run/test_workflow_run.py.
OF_WORKFLOWS = ("throttle-starts", "stop-execution")
# What strikes functions: tests/run/test_functions_run.py, tests/consumers/test_mapping.py and the scenarios
# broken-lambda-….
OF_FUNCTIONS = (
    "throttle-function",
    "disable-mapping",
    "function-error",
    "function-timeout",
    "cold-start",
    "deploy",
)
# What AWS alone can do is proven in whole runs on a server that plays it: tests/run/test_fis_run.py.
DONE_BY_AWS = ("fis",)
# What strikes the producer's processes is proven in whole runs: tests/run/test_frozen_load.py.
OF_PRODUCERS = ("freeze-producer",)
# Whoever goes away in good order is proven in whole runs: tests/run/test_scale.py.
GONE_IN_ORDER = ("scale",)


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {DEADLINE_S} s: {what}")


class Arena:
    """A queue, the consumers that work it off, and everything needed to strike them."""

    def __init__(self, run: Path, endpoint: Endpoint, *, consumers: int, transport: str = "sqs", **config: Any) -> None:
        (run / "history").mkdir(parents=True)
        self.run, self.endpoint = run, endpoint
        self.transport = TRANSPORTS[transport]
        self.clock = Clock.start()
        self.writer = Writer(run=run, name="conductor", clock=self.clock)
        self.carry = BotoCarrier(endpoint)
        self.topology = Topology(
            subscriptions=[SubscriptionSpec(name="orders")], visibility_timeout_s=HIDDEN_S, max_receives=None
        )
        self.addresses: Addresses = run_plan(self.transport.provision(self.topology, run=run.name, tags={}), self.carry)
        self.policies = Policies(self.addresses.queues, self.carry, run=run.name, undo=Undo(run), settle_s=0.0)
        self.ids: list[str] = []
        self.store = {"kind": "sqlite", "path": str(run / "effects.sqlite")}
        # Never all hands full: what comes back must find somebody to receive it while the first still works.
        settings = {
            "concurrency": 8,
            "pollers": 4,
            "batch": 2,
            "processing_time_s": 0.5,
            "guard": "transaction",
            **config,
        }
        self.fleet = Fleet(
            starter=Ours(
                ConsumerConfig(
                    run_dir=run,
                    run=run.name,
                    clock=self.clock,
                    endpoint=endpoint,
                    transport=self.transport.name,
                    addresses=self.addresses,
                    subscription="orders",
                    visibility_timeout_s=HIDDEN_S,
                    store=self.store,
                    **settings,
                ),
                run=run,
            ),
            size=consumers,
            writer=self.writer,
            restart_delay_s=0.1,
        )

    def send(self) -> None:
        """As many messages as one call to SQS takes."""
        self.ids = [f"m{n}" for n in range(10)]
        messages = []
        for name in self.ids:
            body = envelope.pack(id=name, run=self.run.name, group=None, timestamp_ns=0, payload_bytes=0).decode()
            messages.append(Outgoing(id=name, body=body, group=None, dedup_id=name))
        self.carry(self.transport.send(self.addresses, messages))

    async def strike(self, entry: dict[str, Any], load: Load | None = None) -> StrikeResult:
        targets = FaultTargets(
            fleets={"orders": self.fleet},
            visibility_timeout_s={"orders": HIDDEN_S},
            load=load,
            writer=self.writer,
            seed=1,
            queues=self.policies,
        )
        fault = FAULTS[entry["fault"]].model_validate({"at": 0.0, **entry})
        strikes = plan([fault], duration_s=60, consumers={"orders": len(self.fleet.members)}, seed=1)
        (result,) = await Runner(strikes, targets=targets).run(start_ns=self.clock.now_ns())
        return result

    def records(self, event: str) -> list[Record]:
        return [record for path in (self.run / "history").glob("*.jsonl") for record in recorded(path, event)]

    def empty(self) -> bool:
        source = sources.queue(self.transport, self.addresses, "orders")
        return source.depth_of(self.carry(source.depth())).total == 0

    async def applied(self) -> dict[str, int]:
        """How often each message's effect was applied, once the queue is empty and nobody works any more."""
        await until(self.empty, "the queue is empty")
        await self.fleet.stop(DEADLINE_S)
        counts = await make_store(self.store, self.endpoint).read_back("orders")
        return {name: counts.get(name, 0) for name in self.ids}


@asynccontextmanager
async def arenas(tmp_path: Path, case: Case) -> AsyncIterator[tuple[Arena, Arena]]:
    """The correct consumers and the broken ones."""
    broker = await Child.start(name="broker", argv=[sys.executable, "-m", "gameday.emulator"], run=tmp_path)
    try:
        ready = await broker.report("ready", timeout_s=DEADLINE_S)
        assert ready, broker.last_words()
        endpoint = Endpoint(urls={"*": ready["url"]}, access_key="test", secret_key="test")
        pair = [
            Arena(tmp_path / name, endpoint, consumers=case.consumers, **case.tuning, **config)
            for name, config in (("correct", {}), ("broken", case.broken))
        ]
        try:
            for arena in pair:
                await make_store(arena.store, endpoint).create(tags={})
            await asyncio.gather(*(arena.fleet.start(DEADLINE_S) for arena in pair))
            yield pair[0], pair[1]
        finally:
            await asyncio.gather(*(arena.fleet.stop(DEADLINE_S) for arena in pair))
            for arena in pair:
                arena.writer.close()
    finally:
        await broker.end(timeout_s=DEADLINE_S)


async def struck(arena: Arena, case: Case, entry: dict[str, Any]) -> tuple[StrikeResult, dict[str, int]]:
    """What the fault says, and how often each message's effect was applied in the end."""
    if case.after is not None:
        event = case.after
        await asyncio.to_thread(arena.send)
        await until(lambda: bool(arena.records(event)), f"the first {event}")
        result = await arena.strike(entry)
    else:
        striking = asyncio.create_task(arena.strike(entry))
        await until(lambda: bool(recorded(arena.writer.path, "fault")), "the fault's start")
        await asyncio.to_thread(arena.send)
        result = await striking
    return result, await arena.applied()


async def load(arena: Arena, port: Port) -> Child:
    """Real load on the arena's queue, ready to start, behind a wire."""
    config = LoadConfig(
        run_dir=str(arena.run),
        run=arena.run.name,
        clock=str(arena.clock),
        endpoint=replace(arena.endpoint, urls={"*": port.url}),
        transport=arena.transport.name,
        addresses=arena.addresses,
        topology=arena.topology,
        rate_per_s=30,
        duration_s=2,
        users=2,
        batch=2,
    )
    config.save(arena.run / "load.json")
    arena.writer.announce("load")
    argv = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadgen/locustfile.py"), "--headless"]
    child = await Child.start(name="load", argv=argv, run=arena.run, env={"GAMEDAY_LOAD": str(arena.run / "load.json")})
    assert await child.report("ready", timeout_s=DEADLINE_S), child.last_words()
    return child


async def struck_under_load(arena: Arena, case: Case, entry: dict[str, Any]) -> tuple[StrikeResult, dict[str, int]]:
    """The same for a fault that strikes the producer: it must send again what it cannot know to be stored, and here no
    broker drops the second copy.
    """
    async with before_load(
        arena.run,
        clock=arena.clock,
        endpoint=arena.endpoint,
        transport=arena.transport.name,
        addresses=arena.addresses,
    ) as port:
        child = await load(arena, port)
        try:
            start_ns = arena.clock.now_ns()
            striking = asyncio.create_task(arena.strike(entry, port))
            await child.command("start", at=start_ns)
            result = await striking
            assert await child.report("done", timeout_s=DEADLINE_S)
        finally:
            await child.end(timeout_s=DEADLINE_S)
    arena.ids = sorted({str(record["id"]) for record in arena.records("intended")})
    assert [record for record in arena.records("sent") if record["outcome"] != "ok"]
    return result, await arena.applied()


def check(case: Case, name: str, results: list[tuple[StrikeResult, dict[str, int]]], pair: tuple[Arena, Arena]) -> None:
    for (result, _), arena in zip(results, pair, strict=True):
        assert result.error is None
        assert result.fired > 0
        start, stop = recorded(arena.writer.path, "fault")
        assert (start["phase"], stop["phase"], stop["params"]["fired"]) == ("start", "stop", result.fired), name
        assert stop["params"].get("held", 1) == 1, "it struck somebody who had nothing in hand"
    (_, correct), (_, broken) = results
    assert set(correct.values()) == {1}, "nothing happened to the correct one"
    assert [count for count in broken.values() if case.wrong(count)], f"{name} has not caught the broken one"


# One that strikes processes, one that strikes the work.
SOONER = ("kill-consumer", "stretch-processing")


@pytest.mark.parametrize("name", [*SOONER, *series(*(name for name in CASES if name not in SOONER))])
def test_it_catches_the_broken_consumer_and_only_that(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    entry = {"fault": name, **case.entry}
    there = struck if issubclass(FAULTS[name], ConsumerFault) else struck_under_load

    async def strike() -> None:
        async with arenas(tmp_path, case) as pair:
            results = await asyncio.gather(*(there(arena, case, entry) for arena in pair))
            check(case, name, results, pair)

    asyncio.run(strike())


def test_every_fault_is_proven() -> None:
    """Those of streams in tests/chaos/test_stream_faults.py, those on the wire in tests/wire/test_catches.py."""
    here = {name for name, fault in FAULTS.items() if fault.strikes != "wire"}
    assert {
        *CASES,
        *PROVEN,
        *SEEN_ON_THE_WIRE,
        *OF_WORKFLOWS,
        *OF_FUNCTIONS,
        *DONE_BY_AWS,
        *OF_PRODUCERS,
        *GONE_IN_ORDER,
    } == here
