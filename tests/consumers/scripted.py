"""A scripted queue and an effect store in this process, and the bench on which a test lays a worker between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.effects import Begun, EffectStore, Key
from gameday.consumers.leases import LeaseStore
from gameday.consumers.worker import Worker
from gameday.history import envelope
from gameday.history.events import Record
from gameday.processes.disturbances import Disturbances
from gameday.transports.base import Answer, Call, CallFailed, Outgoing
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.recorded import recorded

DEADLINE_S = 30.0
Store = TypeVar("Store", EffectStore, LeaseStore)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """The store from its creation to its removal."""
    await store.create(tags={"gameday:run": "r"})
    await store.open()
    try:
        yield store
    finally:
        await store.remove()
        await store.close()


def read_history(run: Path, name: str) -> list[Record]:
    """All records of one file, which must not be damaged."""
    return recorded(run / "history" / f"{name}.jsonl")


def brief(records: Sequence[Record]) -> list[str]:
    """Records as words that a test can compare: "received a", "effect a applied", "settled a delete ok"."""
    return [
        " ".join(
            str(record[name]) for name in ("event", "name", "id", "action", "outcome") if record.get(name) is not None
        )
        for record in records
    ]


def body(id: str, *, group: str | None = None, poison: bool = False) -> str:
    return envelope.pack(id=id, run="r", group=group, timestamp_ns=0, payload_bytes=0, poison=poison).decode()


def message(id: str, *, group: str | None = None, poison: bool = False, receives: int = 1) -> dict[str, Any]:
    """A message as SQS answers it; its receipt is "r-ID"."""
    attributes = {"ApproximateReceiveCount": str(receives), "SentTimestamp": "1700000000000"}
    if group is not None:
        attributes["MessageGroupId"] = group
    return {
        "MessageId": f"b-{id}",
        "ReceiptHandle": f"r-{id}",
        "Body": body(id, group=group, poison=poison),
        "Attributes": attributes,
    }


@dataclass
class ScriptedQueue:
    """Carries calls: answers receives with `batches`, one after another, then stops the worker. Keeps all other calls.

    `calls` holds (operation, receipts, what the history held when it came). `answers` overrides an operation's answer.
    """

    batches: list[list[dict[str, Any]] | CallFailed]
    history: Callable[[], list[Record]]
    on_receive: Callable[[], None] = lambda: None
    when_empty: Callable[[], None] = lambda: None
    calls: list[tuple[str, list[str], list[str]]] = field(default_factory=list)
    answers: dict[str, Callable[[Call], Answer]] = field(default_factory=dict)
    receives: int = 0

    async def __call__(self, call: Call) -> Answer:
        await asyncio.sleep(0)
        if call.operation == "ReceiveMessage":
            self.receives += 1
            self.on_receive()
            if not self.batches:
                self.when_empty()
                return {}
            batch = self.batches.pop(0)
            if isinstance(batch, CallFailed):
                raise batch
            return {"Messages": batch}
        receipts = [entry["ReceiptHandle"] for entry in call.params["Entries"]]
        kind = {"DeleteMessageBatch": "delete", "ChangeMessageVisibilityBatch": "hide"}[call.operation]
        if kind == "hide" and call.params["Entries"][0]["VisibilityTimeout"] == 0:
            kind = "release"
        self.calls.append((kind, receipts, brief(self.history())))
        if kind in self.answers:
            return self.answers[kind](call)
        return {"Successful": [{"Id": entry["Id"]} for entry in call.params["Entries"]]}

    def receipts(self, kind: str) -> list[str]:
        return [receipt for called, receipts, _ in self.calls if called == kind for receipt in receipts]


class DictStore:
    """An effect store in memory. `fail` is raised by every step while it is set.

    A guard's mark is None where it says done, else the moment when it expires.
    """

    def __init__(self) -> None:
        self.guards: dict[Key, int | None] = {}
        self.applied: dict[Key, int] = {}
        self.fail: CallFailed | None = None

    async def create(self, *, tags: Mapping[str, str]) -> None: ...
    async def open(self) -> None: ...
    async def remove(self) -> None: ...
    async def close(self) -> None: ...

    async def _step(self) -> None:
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail

    async def seen(self, key: Key) -> bool:
        await self._step()
        return key in self.guards

    async def claim(self, key: Key) -> bool:
        await self._step()
        new = key not in self.guards
        self.guards.setdefault(key, None)
        return new

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        await self._step()
        if key in self.guards:
            stands = self.guards[key]
            if stands is None:
                return "done"
            if stands > now_ns:
                return "in-progress"
        self.guards[key] = expires_ns
        return "begun"

    async def finish(self, key: Key) -> None:
        await self._step()
        self.guards[key] = None

    async def forget(self, key: Key) -> None:
        await self._step()
        self.guards.pop(key, None)

    async def apply(self, key: Key) -> None:
        await self._step()
        self.applied[key] = self.applied.get(key, 0) + 1

    async def claim_and_apply(self, key: Key) -> bool:
        await self._step()
        if key in self.guards:
            return False
        self.guards[key] = None
        self.applied[key] = self.applied.get(key, 0) + 1
        return True

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        return {key.id: n for key, n in self.applied.items() if key.subscription == subscription}


@dataclass
class Bench:
    """A worker in this process, on a scripted queue, and everything around it that a test looks at."""

    worker: Worker
    queue: ScriptedQueue
    store: DictStore
    run: Path

    @property
    def disturbances(self) -> Disturbances:
        return self.worker.tools.disturbances

    def records(self) -> list[Record]:
        return read_history(self.run, "orders-1.1")

    def brief(self) -> list[str]:
        return brief(self.records())

    async def work(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.worker.run()


@dataclass
class ConsumedQueue:
    """A real queue, and the configuration of consumers on it."""

    config: ConsumerConfig
    carry: BotoCarrier

    def send(self, *ids: str, group: str = "g") -> None:
        transport = TRANSPORTS[self.config.transport]
        messages = [Outgoing(id=id, body=body(id, group=group), group=group, dedup_id=f"r-{id}") for id in ids]
        answer = self.carry(transport.send(self.config.addresses, messages))
        assert [outcome.outcome for outcome in transport.sent(answer, messages)] == ["ok"] * len(ids)

    def queued(self) -> int:
        source = sources.queue(TRANSPORTS[self.config.transport], self.config.addresses, "orders")
        return source.depth_of(self.carry(source.depth())).total
