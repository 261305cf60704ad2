"""A wire before a broker in memory, with everything that it recorded at hand: for tests that speak to it as an SDK."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import orjson
from botocore.config import Config

from gameday.history.clock import Clock
from gameday.history.identity import Identification
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbance
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.wire.client import Client
from gameday.wire.config import WireConfig
from gameday.wire.proxy import Proxy

T = TypeVar("T")
BY_BROKER = Identification(by="broker")


@dataclass
class Wired:
    """The wire runs in a loop of a thread of its own, so that a test may block. `client` is the consumer's port."""

    proxy: Proxy
    client: Client
    loop: asyncio.AbstractEventLoop
    path: Path
    target: str
    addresses: Addresses
    clock: Clock
    writer: Writer
    armed: list[Disturbance] = field(default_factory=list)

    @property
    def queue(self) -> str:
        return self.addresses.queues["orders"]

    def disarm(self, kind: str) -> int:
        async def disarm() -> int:
            return self.proxy.disarm(self.client.name, f"{kind}-1")

        return self.do(disarm())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def sdk(self, service: str = "sqs", *, retries: int = 1, mode: str = "legacy", read_timeout_s: float = 10) -> Any:
        return sdk(service, self.client.origin, retries=retries, mode=mode, read_timeout_s=read_timeout_s)

    def arm(self, kind: str, **fields: Any) -> Disturbance:
        disturbance = Disturbance(kind=kind, instance=f"{kind}-1", **fields)
        self.loop.call_soon_threadsafe(self.client.disturbances.arm, disturbance)
        self.do(asyncio.sleep(0))
        self.armed.append(disturbance)
        return disturbance

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was passed on is recorded after it was: so once nothing is on its way, where no fault holds a call."""
        if not self.armed:
            until(lambda: not self.proxy.working, "all is recorded")
        return self.written

    @property
    def written(self) -> list[dict[str, Any]]:
        """What is recorded by now."""
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()]

    def recorded(self, *events: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] in events]


def sdk(service: str, url: str, *, retries: int = 1, mode: str = "legacy", read_timeout_s: float = 10) -> Any:
    config = Config(
        retries={"total_max_attempts": retries, "mode": mode}, read_timeout=read_timeout_s, connect_timeout=2
    )
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


@contextmanager
def wired(
    target: Endpoint,
    tmp_path: Path,
    *,
    queue: str = "",
    addresses: Addresses | None = None,
    transport: str = "sqs",
    visibility_timeout_s: float = 30,
    signs: bool = False,
    identification: Identification = BY_BROKER,
) -> Iterator[Wired]:
    """`queue`: the URL of the one subscription's queue, as the target tells it, or `addresses` of something else."""
    addresses = addresses or Addresses(send_to=queue, queues={"orders": queue})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    (tmp_path / "history").mkdir(exist_ok=True)
    clock = Clock.start()
    writer = Writer(run=tmp_path, name="wire-orders", clock=clock)
    config = WireConfig(
        records_in=tmp_path,
        clock=clock,
        endpoint=target,
        transport=transport,
        addresses=addresses,
        subscription="orders",
        visibility_timeout_s=visibility_timeout_s,
        signs=signs,
        identification=identification,
    )
    proxy = Proxy(config=config, writer=writer, clock=clock)

    def do(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    do(proxy.start())
    try:
        client = do(proxy.listen("orders-1.1"))
        yield Wired(proxy, client, loop, writer.path, target.urls["*"], addresses, clock, writer)
    finally:
        do(proxy.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        writer.close()


def until(condition: Callable[[], object], what: str) -> None:
    """A condition that another thread brings about: there is no event to wait for."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.01)
