"""Every fault on the wire against real programs: it catches the broken one, and blames the correct one for nothing.

A fleet of a small boto3 program (worker.py) works off a queue of its own on the broker in memory, behind a wire of its
own, while the fault strikes it. What it did stands in its directory; what happened to its calls stands in the history
that the wire has written, and is asked of that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import StrikeResult
from gameday.consumers.fleet import Fleet
from gameday.consumers.readiness import Ready
from gameday.consumers.starters import Programs
from gameday.history.events import Record
from gameday.processes.child import Child, python
from gameday.transports import words
from gameday.transports.endpoint import Endpoint
from gameday.wire.config import WireConfig
from gameday.wire.urls import moved
from tests.chaos.test_catches import DEADLINE_S, HIDDEN_S, SEEN_ON_THE_WIRE, Arena, until
from tests.recorded import recorded
from tests.series import in_series, soak

pytestmark = pytest.mark.live

WORKER = Path(__file__).with_name("worker.py")
Told = Callable[[Sequence[Record]], bool]


def settled(outcome: str, error: str | None) -> Told:
    """Whether the wire's history has a delete with this outcome, for this reason."""

    def told(records: Sequence[Record]) -> bool:
        return any(
            record["event"] == "settled"
            and record["outcome"] == outcome
            and (error is None or str(record.get("error")).startswith(error))
            for record in records
        )

    return told


def never_left(why: str) -> Told:
    return settled("failed", f"{why}: it never left")


def all_settled(records: Sequence[Record]) -> bool:
    """Whether no delete failed: the consumer alone thinks so."""
    return settled("ok", None)(records) and not settled("failed", None)(records)


def recorded_twice(records: Sequence[Record]) -> bool:
    """Whether a message was received in two batches by the same count."""
    seen = [(r.get("broker_id"), r.get("receives")) for r in records if r["event"] == "received"]
    return len(set(seen)) < len(seen)


def deleted_late(records: Sequence[Record]) -> bool:
    """Whether a delete was begun when its message had been received again."""
    at = {r["batch"]: r["at"] for r in records if r["event"] == "received"}
    return any(r["event"] == "settling" and r["at"] > at[r["batch"]] + HIDDEN_S * 1e9 for r in records)


def given_late(records: Sequence[Record]) -> bool:
    """Whether an answer was with its consumer only when the message was hidden no more."""
    at = {r["batch"]: r["at"] for r in records if r["event"] == "received"}
    return any(r["event"] == "delivered" and r["at"] > at[r["batch"]] + HIDDEN_S * 1e9 for r in records)


def nothing(records: Sequence[Record]) -> bool:
    """What was refused at a receive leaves no trace."""
    return all(record.get("outcome") != "failed" for record in records)


@dataclass(frozen=True, kw_only=True)
class Case:
    """`broken` is the variant that the fault must catch, `wrong` what then goes wrong with a message; `told` what the
    wire must have recorded. `stuck`: the broken one stops working, so its queue is never empty.
    """

    entry: dict[str, Any]
    broken: str
    told: Told
    wrong: Callable[[int], bool] = lambda count: count > 1
    consumers: int = 1
    threads: int = 3
    # The event after which it strikes; None: it strikes first, and then messages come.
    after: str | None = None
    stuck: bool = False
    transport: str = "sqs"


def lost(count: int) -> bool:
    return count == 0


DELETES: dict[str, Any] = {"operation": "delete", "for": 1.5, "share": 0.5}
RECEIVES: dict[str, Any] = {"operation": "receive", "for": 1.5}
CASES: dict[str, Case] = {
    "throttle": Case(entry=RECEIVES, broken="gives-up", told=nothing, wrong=lost, stuck=True),
    "api-error": Case(entry=DELETES, broken="redo-on-error", told=never_left("api-error")),
    "deny": Case(entry=RECEIVES, broken="gives-up", told=nothing, wrong=lost, stuck=True),
    # Long enough for the slow one's messages to come to the other one.
    "latency": Case(
        entry={"operation": "delete", "for": 4.0, "by": 1.5 * HIDDEN_S, "pick": 1},
        broken="no-guard",
        told=deleted_late,
        consumers=2,
    ),
    "blackhole": Case(entry=DELETES, broken="no-guard", told=never_left("blackhole")),
    "reset": Case(entry=RECEIVES, broken="gives-up", told=nothing, wrong=lost, stuck=True),
    "lose-request": Case(entry=DELETES, broken="no-guard", told=never_left("lose-request")),
    "lose-delete": Case(entry={"for": 1.5, "share": 0.5}, broken="no-guard", told=never_left("lose-delete")),
    "lose-answer": Case(entry=DELETES, broken="redo-on-error", told=all_settled),
    "partial-batch": Case(entry=DELETES, broken="ignores-failed", told=never_left("partial-batch")),
    "slow-body": Case(
        entry={**RECEIVES, "for": 4.0, "by": 1.5 * HIDDEN_S, "pick": 1}, broken="no-guard", told=given_late, consumers=2
    ),
    "duplicate-delivery": Case(entry={"for": 1.5, "share": 0.5}, broken="no-guard", told=recorded_twice, consumers=2),
    "late-delete": Case(entry={"for": 4.0, "share": 0.5}, broken="no-guard", told=deleted_late),
    "expire-iterator": Case(
        entry={"for": 1.0}, broken="gives-up", told=nothing, wrong=lost, stuck=True, threads=1, transport="kinesis"
    ),
    # Cut off with work in hand, which it ends: its messages come to the other one.
    "partition": Case(
        entry={"for": 2.5 * HIDDEN_S},
        broken="no-guard",
        told=never_left("partition"),
        consumers=2,
        after="delivered",
    ),
    "impair-queue DeleteMessage": Case(
        entry={"actions": ["DeleteMessage"], "for": 1.5}, broken="no-guard", told=settled("failed", "AccessDenied")
    ),
    "impair-queue ReceiveMessage": Case(
        entry={"actions": ["ReceiveMessage"], "for": 1.5}, broken="gives-up", told=nothing, wrong=lost, stuck=True
    ),
    "kill-consumer": Case(entry={}, broken="delete-first", told=settled("ok", None), wrong=lost, after="settled"),
    # Each takes a few messages at a time, so whichever is picked has some.
    "pause-consumer": Case(
        entry={"for": 2.5 * HIDDEN_S},
        broken="no-guard",
        told=settled("ok", None),
        consumers=2,
        threads=1,
        after="delivered",
    ),
    # One thread receives while others work on what they have deleted.
    "crash-at after-receive": Case(
        entry={"point": "after-receive", "nth": 8}, broken="delete-first", told=settled("ok", None), wrong=lost
    ),
    "crash-at before-delete": Case(
        entry={"point": "before-delete", "nth": 2}, broken="no-guard", told=never_left("the consumer crashed")
    ),
    "crash-at after-delete": Case(
        entry={"point": "after-delete", "nth": 2}, broken="delete-first", told=settled("ok", None), wrong=lost
    ),
}


class Behind(Arena):
    """A queue (or a stream), the programs that work it off, and the wire that they are behind."""

    def __init__(self, run: Path, endpoint: Endpoint, case: Case, *, variant: str) -> None:
        super().__init__(run, endpoint, consumers=case.consumers, transport=case.transport)
        self.case, self.variant = case, variant
        self.effects = run / "effects"
        self.effects.mkdir()
        self.wire: Child | None = None

    async def open(self) -> None:
        config = WireConfig(
            records_in=self.run,
            clock=self.clock,
            endpoint=self.endpoint,
            transport=self.transport.name,
            addresses=self.addresses,
            subscription="orders",
            visibility_timeout_s=HIDDEN_S,
        )
        config.save(self.run / "wire.json")
        self.wire = await Child.start(
            name="wire", argv=python("-m", "gameday.wire", "--config", self.run / "wire.json"), run=self.run
        )
        assert await self.wire.report("ready", timeout_s=DEADLINE_S), self.wire.last_words()
        starter = Programs(
            subscription="orders",
            run=self.run,
            wire=self.wire,
            command=lambda name, url: [sys.executable, str(WORKER)],
            environment=self.environment,
            cwd=self.run,
            ready=Ready() if self.transport.kind == "queue" else Ready(log="polling"),
        )
        self.fleet = Fleet(starter=starter, size=self.case.consumers, writer=self.writer, restart_delay_s=0.1)
        await self.fleet.start(DEADLINE_S)

    def environment(self, name: str, url: str) -> dict[str, str]:
        endpoint = replace(self.endpoint, urls={"*": url})
        told = words.words(
            run=self.run.name,
            effects=self.effects,
            transport=self.transport,
            addresses=replace(
                self.addresses, queues={name: moved(queue, url) for name, queue in self.addresses.queues.items()}
            ),
            endpoint=endpoint,
            subscription="orders",
            consumer=name,
        )
        own = {"VARIANT": self.variant, "THREADS": str(self.case.threads)}
        return words.environment(told, endpoint, inherited=os.environ) | own

    def count(self) -> dict[str, int]:
        """How many effects each message has had."""
        paths = {name: self.effects / name for name in self.ids}
        return {name: len(path.read_bytes().splitlines()) if path.exists() else 0 for name, path in paths.items()}

    def done(self) -> bool:
        if self.transport.kind == "queue":
            return self.empty()
        return all(self.count().values())

    def gave_up(self) -> bool:
        logs = [path.read_text() for path in (self.run / "logs").glob("orders-*.log")]
        return sum(log.count("gave up") for log in logs) == self.case.threads * self.case.consumers

    async def applied(self) -> dict[str, int]:
        if self.case.stuck and self.variant != "correct":
            await until(self.gave_up, "the program has given up")
        else:
            await until(self.done, "all is worked off")
        await self.fleet.stop(DEADLINE_S)
        return self.count()

    async def close(self) -> None:
        await self.fleet.stop(DEADLINE_S)
        if self.wire is not None:
            await self.wire.end(timeout_s=DEADLINE_S)
        self.writer.close()

    @property
    def told(self) -> list[Record]:
        """What the wire has written."""
        return [record for event in WRITTEN for record in self.records(event)]


WRITTEN = ("received", "delivered", "settling", "settled")


@asynccontextmanager
async def behind(tmp_path: Path, case: Case) -> AsyncIterator[tuple[Behind, Behind]]:
    """The correct program and the broken one."""
    broker = await Child.start(name="broker", argv=[sys.executable, "-m", "gameday.emulator"], run=tmp_path)
    try:
        ready = await broker.report("ready", timeout_s=DEADLINE_S)
        assert ready, broker.last_words()
        endpoint = Endpoint(urls={"*": ready["url"]}, access_key="test", secret_key="test")
        pair = [
            Behind(tmp_path / name, endpoint, case, variant=variant)
            for name, variant in (("correct", "correct"), ("broken", case.broken))
        ]
        try:
            await asyncio.gather(*(arena.open() for arena in pair))
            yield pair[0], pair[1]
        finally:
            await asyncio.gather(*(arena.close() for arena in pair))
    finally:
        await broker.end(timeout_s=DEADLINE_S)


async def struck(arena: Behind, entry: dict[str, Any]) -> tuple[StrikeResult, dict[str, int]]:
    """What the fault says, and how often each message's effect was applied in the end."""
    if (event := arena.case.after) is not None:
        await asyncio.to_thread(arena.send)
        await until(lambda: bool(arena.records(event)), f"the first {event}")
        result = await arena.strike(entry)
    else:
        striking = asyncio.create_task(arena.strike(entry))
        await until(lambda: bool(recorded(arena.writer.path, "fault")), "the fault's start")
        await asyncio.to_thread(arena.send)
        result = await striking
    return result, await arena.applied()


# One that refuses, one that loses an answer, one that strikes processes.
SOONER = ("throttle", "lose-answer", "crash-at before-delete")


@pytest.mark.parametrize("name", [*SOONER, *soak(*(name for name in CASES if name not in SOONER))])
def test_it_catches_the_broken_program_and_only_that(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    entry = {"fault": name.split()[0], **case.entry}

    async def strike() -> None:
        async with behind(tmp_path, case) as pair:
            results = await asyncio.gather(*(struck(arena, entry) for arena in pair))
            for (result, _), arena in zip(results, pair, strict=True):
                assert result.error is None and result.fired > 0
                start, stop = recorded(arena.writer.path, "fault")
                assert (start["phase"], stop["phase"], stop["params"]["fired"]) == ("start", "stop", result.fired)
                assert stop["params"].get("held", 1) == 1, "it struck somebody who had nothing in hand"
                assert case.told(arena.told), "the history tells another story"
            (_, correct), (_, broken) = results
            assert set(correct.values()) == {1}, "something happened to the correct one"
            assert [count for count in broken.values() if case.wrong(count)], f"{name} has not caught the broken one"

    asyncio.run(strike())


@in_series
def test_an_nth_that_has_struck_is_healed_with_its_fault(tmp_path: Path) -> None:
    """Its delete got no answer; it waits no longer than the fault lasts, and not until its own time limit."""

    async def strike() -> None:
        async with behind(tmp_path, CASES["blackhole"]) as (arena, _):
            entry = {"fault": "blackhole", "operation": "delete", "nth": 1, "for": 1.0}
            result, applied = await struck(arena, entry)
            assert result.fired == 1 and set(applied.values()) == {1}
            logs = "".join(path.read_text() for path in (arena.run / "logs").glob("orders-*.log"))
            assert "Connection was closed" in logs and "Read timeout" not in logs

    asyncio.run(strike())


def test_every_fault_on_the_wire_is_proven() -> None:
    there = {name for name, fault in FAULTS.items() if fault.strikes == "wire"}
    from_outside = {"kill-consumer", "pause-consumer", "crash-at"}
    # What is answered to a workflow is struck in whole runs: tests/run/test_workflow_run.py.
    of_workflows = {name for name, fault in FAULTS.items() if fault.strikes_callbacks}
    assert {name.split()[0] for name in CASES} == there - of_workflows | from_outside | {*SEEN_ON_THE_WIRE}
