"""What the tests of the consumers share: a run directory, a worker on its bench, and a real emulator with a queue."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.direct import DirectWorker
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS, Handle
from gameday.consumers.mapping import MappingWorker
from gameday.consumers.stores import make_store
from gameday.consumers.work import Tools
from gameday.consumers.worker import Worker
from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbances
from gameday.transports.base import Addresses, CallFailed, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.queue import SqsQueue
from gameday.transports.registry import TRANSPORTS
from tests.carriers import carrier
from tests.consumers.scripted import DEADLINE_S, Bench, ConsumedQueue, DictStore, ScriptedQueue, read_history


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "history").mkdir()
    return tmp_path


@pytest.fixture
def config(run: Path) -> ConsumerConfig:
    """For workers in this process: nothing in it points at a real service."""
    return ConsumerConfig(
        run_dir=run,
        run="r",
        clock=Clock.start(),
        endpoint=Endpoint(),
        transport="sqs-fifo",
        addresses=Addresses(send_to="q", queues={"orders": "q"}),
        subscription="orders",
        visibility_timeout_s=5,
        store={"kind": "sqlite", "path": str(run / "effects.sqlite")},
    )


@pytest.fixture
def bench(run: Path, config: ConsumerConfig) -> Callable[..., Bench]:
    """Makes a bench: the batches that the queue answers with, a handler of its own, changed configuration."""

    def make(
        *batches: list[dict[str, Any]] | CallFailed,
        handler: str | Handle = "reference",
        source: SqsQueue | None = None,
        **changes: Any,
    ) -> Bench:
        changed = replace(config, **changes)
        queue = ScriptedQueue(list(batches), history=lambda: read_history(run, "orders-1.1"))
        store = DictStore()
        tools = Tools(
            writer=Writer(run=run, name="orders-1.1", clock=changed.clock),
            carry=queue,
            store=store,
            handler=HANDLERS[handler] if isinstance(handler, str) else handler,
            guard=GUARDS[changed.guard],
            disturbances=Disturbances(),
        )
        source = source or SqsQueue("q", identification=changed.identification)
        given: dict[str, Any] = {"config": changed, "name": "orders-1.1", "tools": tools, "source": source}
        if (mapping := changed.mapping) is None:
            worker = Worker(**given)
        else:
            worker = (DirectWorker if mapping.direct else MappingWorker)(**given, mapping=mapping)
        queue.when_empty = lambda: None if worker.holding else worker.stop()
        return Bench(worker, queue, store, run)

    return make


@pytest.fixture(scope="session")
def emulator() -> Iterator[Endpoint]:
    """MiniStack on a free loopback port, one per test process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "the emulator died"
                assert time.monotonic() < deadline, "the emulator does not answer"
                time.sleep(0.1)
        yield Endpoint(urls={"*": f"http://127.0.0.1:{port}"}, access_key="test", secret_key="test")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def queue(config: ConsumerConfig, emulator: Endpoint, tmp_path: Path) -> ConsumedQueue:
    """A FIFO queue of its own on the emulator, and consumers configured for it."""
    carry = carrier(emulator)
    topology = Topology(subscriptions=[SubscriptionSpec(name="orders")], visibility_timeout_s=2)
    name = f"{os.getpid()}-{tmp_path.name}"[-40:].strip("-")
    addresses = run_plan(TRANSPORTS["sqs-fifo"].provision(topology, run=name, tags={}), carry)
    # No long poll: a drain waits for its end, and most tests end in a drain.
    real = replace(config, endpoint=emulator, addresses=addresses, visibility_timeout_s=2, concurrency=2, wait_s=0)
    asyncio.run(make_store(real.store, emulator).create(tags={}))
    return ConsumedQueue(real, carry)
