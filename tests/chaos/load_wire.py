"""The wire before a load, as a run starts it where a fault strikes what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gameday.consumers.starters import Port
from gameday.history.clock import Clock
from gameday.processes.child import Child, python
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.wire.config import WireConfig

DEADLINE_S = 30.0


@asynccontextmanager
async def before_load(
    run: Path, *, clock: Clock, endpoint: Endpoint, transport: str, addresses: Addresses
) -> AsyncIterator[Port]:
    """The load's port of it."""
    config = WireConfig(clock=clock, endpoint=endpoint, transport=transport, addresses=addresses, subscription=None)
    path = run / f"{config.name}.json"
    config.save(path)
    wire = await Child.start(name=config.name, argv=python("-m", "gameday.wire", "--config", path), run=run)
    try:
        assert await wire.report("ready", timeout_s=DEADLINE_S), wire.last_words()
        yield await Port.open(wire, "load", [])
    finally:
        await wire.end(timeout_s=DEADLINE_S)
