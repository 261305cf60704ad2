"""A stream, its leases and its consumers in this process, on a clock that stands still while anybody works."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS, Handle
from gameday.consumers.leases import Lease
from gameday.consumers.stream import StreamWorker
from gameday.consumers.stream_mapping import StreamMapping
from gameday.consumers.work import Tools
from gameday.emulator.kinesis import Kinesis
from gameday.emulator.wire import Refused
from gameday.history.clock import Clock
from gameday.history.events import Record
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbances
from gameday.transports.base import Addresses, Answer, Call, CallFailed, ReshardAction, Resharding
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.kinesis import KinesisStream
from tests.consumers.scripted import DictStore, body, brief, read_history

T = TypeVar("T")
STREAM = "s"
EPOCH_NS = 1_700_000_000 * 10**9


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time jumps to the next timer as soon as nobody has anything to do."""

    _virtual_s = 0.0

    def time(self) -> float:
        return self._virtual_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]  # asyncio's own, which it does not name
            self._virtual_s = max(self._virtual_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]  # as above


class LoopClock(Clock):
    """The run's clock, told by the loop."""

    def now_ns(self) -> int:
        return self.epoch_ns + round(asyncio.get_running_loop().time() * 1e9)


def virtually(scene: Awaitable[T]) -> T:
    """Run a scene on a virtual clock."""

    async def whole() -> T:
        return await scene

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(whole())


class DictLeases:
    """A lease store as plain as can be."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Lease] = {}

    async def create(self, *, tags: Mapping[str, str]) -> None: ...
    async def open(self) -> None: ...
    async def remove(self) -> None: ...
    async def close(self) -> None: ...

    async def all(self, subscription: str) -> list[Lease]:
        return [lease for lease in self.rows.values() if lease.subscription == subscription]

    async def add(self, lease: Lease) -> bool:
        key = (lease.subscription, lease.shard)
        return self.rows.setdefault(key, lease) is lease

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        if not self._changed(seen, beat=seen.beat, owner=owner, token=seen.token + 1):
            return None
        return self.rows[seen.subscription, seen.shard]

    async def renew(self, mine: Lease) -> bool:
        return self._changed(mine)

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        return self._changed(mine, position=position, done=done)

    async def release(self, mine: Lease) -> bool:
        return self._changed(mine, owner=None, token=mine.token + 1)

    def _changed(self, lease: Lease, *, beat: int | None = None, **change: Any) -> bool:
        key = (lease.subscription, lease.shard)
        row = self.rows[key]
        if row.token != lease.token or beat not in (None, row.beat):
            return False
        self.rows[key] = replace(row, beat=row.beat + 1, **change)
        return True


@dataclass
class World:
    """One stream with its readers. `before_call` may delay or fail any call of a reader."""

    run: Path
    shards: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=lambda: LoopClock(epoch_ns=EPOCH_NS, monotonic_ns=0))

    def __post_init__(self) -> None:
        (self.run / "history").mkdir()
        self.kinesis = Kinesis()
        self.leases = DictLeases()
        self.store = DictStore()
        self.source = KinesisStream(STREAM)
        self.names: list[str] = []
        self.sent: list[str] = []
        self.kinesis.call(EPOCH_NS, "CreateStream", {"StreamName": STREAM, "ShardCount": self.shards})

    def call(self, call: Call) -> Answer:
        """Answered as an SDK hands it on. Errors: CallFailed."""
        try:
            answer = self.kinesis.call(self.clock.now_ns(), call.operation, call.params)
        except Refused as refused:
            raise CallFailed(refused.code, str(refused), definite=True) from refused
        if "Records" not in answer:
            return answer
        return {**answer, "Records": [_as_sdk(record) for record in answer["Records"]]}

    async def carry(self, call: Call) -> Answer:
        await asyncio.sleep(0)
        return self.call(call)

    def send(self, *ids: str) -> None:
        """a1 has the partition key a."""
        for id in ids:
            data = base64.b64encode(body(id, group=id[0]).encode()).decode()
            self.call(Call("kinesis", "PutRecord", {"StreamName": STREAM, "PartitionKey": id[0], "Data": data}))
            self.sent.append(id)

    def reshard(self, action: ReshardAction) -> Resharding:
        return run_plan(self.source.reshard(action), self.call)

    def worker(
        self,
        name: str,
        *,
        handler: str | Handle = "reference",
        carry: Callable[[Call], Awaitable[Answer]] | None = None,
        leases: Any = None,
        store: Any = None,
        **changes: Any,
    ) -> StreamWorker:
        config = ConsumerConfig(
            run_dir=self.run,
            run="r",
            clock=self.clock,
            endpoint=Endpoint(),
            transport="kinesis",
            addresses=Addresses(send_to=STREAM),
            subscription="orders",
            visibility_timeout_s=5,
            **{**self.config, **changes},
        )
        self.names.append(name)
        tools = Tools(
            writer=Writer(run=self.run, name=name, clock=self.clock),
            carry=carry or self.carry,
            store=store or self.store,
            handler=HANDLERS[handler] if isinstance(handler, str) else handler,
            guard=GUARDS[config.guard],
            disturbances=Disturbances(),
        )
        source = KinesisStream(STREAM, config.identification)
        given = {"config": config, "name": name, "tools": tools, "source": source, "leases": leases or self.leases}
        mapping = config.mapping
        return StreamWorker(**given) if mapping is None else StreamMapping(**given, mapping=mapping)

    def records(self, *names: str) -> list[Record]:
        """What those (or all) wrote, in the order of time."""
        found = [record for name in names or self.names for record in read_history(self.run, name)]
        return sorted(found, key=lambda record: int(str(record["at"])))

    def brief(self, *names: str) -> list[str]:
        return [line for line in brief(self.records(*names)) if not line.startswith("mark")]

    def lease(self, shard: int = 0) -> Lease:
        return self.leases.rows["orders", f"shardId-{shard:012d}"]

    def all_read(self) -> bool:
        """Whether every shard's position is its last record, and every closed one is done."""
        listed, _ = self.source.shards_of(self.call(self.source.shards()))
        for shard in listed:
            lease = self.leases.rows.get(("orders", shard.id))
            if lease is None or (shard.closed and not lease.done):
                return False
            after = self.source.iterator_of(self.call(self.source.iterator(shard.id, after=lease.position)))
            if self.source.read_of(self.call(self.source.read(after, most=1)), shard.id).deliveries:
                return False
        return True

    async def until_read(self, *workers: StreamWorker, within_s: float = 60) -> None:
        """Let them work until all is read, then stop them."""
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.run())
            await self.read()
            for worker in workers:
                worker.stop()

    async def read(self) -> None:
        while not self.all_read():  # noqa: ASYNC110  # the clock is virtual: this waits for nothing
            await asyncio.sleep(0.05)


def checkpoints(records: Sequence[Record]) -> list[tuple[int, int, str, int]]:
    """(began, answered, partition, position) of each that was answered ok."""
    return [
        (int(str(r["started"])), int(str(r["at"])), str(r["partition"]), int(str(r["broker_seq"])))
        for r in records
        if r["event"] == "settled" and r["outcome"] == "ok"
    ]


def _as_sdk(record: Mapping[str, Any]) -> Mapping[str, Any]:
    arrived = datetime.fromtimestamp(record["ApproximateArrivalTimestamp"], UTC)
    return {**record, "Data": base64.b64decode(record["Data"]), "ApproximateArrivalTimestamp": arrived}
