"""What a consumer counts for its own metrics: on a queue and on a stream, and nothing where nobody looks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

from gameday.consumers.meters import FAMILIES, Counted
from gameday.consumers.work import BaseWorker
from gameday.transports.base import Answer, Call, CallFailed
from tests.consumers.scripted import Bench, message
from tests.consumers.streaming import World, virtually

Make = Callable[..., Bench]


def counted(worker: BaseWorker) -> Counted:
    meters = Counted()
    worker.tools = dataclasses.replace(worker.tools, meters=meters)
    return meters


def values(meters: Counted) -> dict[str, float]:
    """Every sample that is not 0, without the buckets."""
    samples = (sample for metric in meters.collect() for sample in metric.samples)
    return {
        " ".join([s.name.removeprefix("gameday_consumer_"), *s.labels.values()]): s.value
        for s in samples
        if s.value and "le" not in s.labels and not s.name.endswith("seconds_sum")
    }


def test_a_queue(bench: Make) -> None:
    made = bench([message("a"), message("b"), message("c")], CallFailed("Throttled", "", definite=True), [message("d")])
    meters = counted(made.worker)
    made.queue.answers["delete"] = lambda call: {
        "Successful": [entry for entry in call.params["Entries"] if entry["ReceiptHandle"] != "r-b"],
        "Failed": [
            {**entry, "Code": "InternalError", "SenderFault": False}
            for entry in call.params["Entries"]
            if entry["ReceiptHandle"] == "r-b"
        ],
    }
    asyncio.run(made.work())
    seen = values(meters)
    # A receive that brought nothing is a poll, one that failed is none.
    assert seen.pop("poll_seconds_count") >= 2
    assert seen == {
        "batch_size_count": 2,
        "batch_size_sum": 4,
        "processing_seconds_count": 4,
        "settle_failures_total delete": 1,
    }


def test_heartbeats(bench: Make) -> None:
    extended = asyncio.Event()

    async def handler(work: object) -> None:
        await extended.wait()

    made = bench([message("a")], handler=handler, heartbeat_s=0.01)
    meters = counted(made.worker)

    def hide(call: Call) -> Answer:
        extended.set()
        return {"Successful": [{"Id": entry["Id"]} for entry in call.params["Entries"]]}

    made.queue.answers["hide"] = hide
    asyncio.run(made.work())
    assert values(meters)["heartbeats_total"] >= 1


def test_a_stream(tmp_path: Path) -> None:
    async def scene() -> None:
        there = World(tmp_path, 1, {})
        there.send("a1", "b1", "a2")
        worker = there.worker("orders-1.1")
        meters = counted(worker)
        await there.until_read(worker)
        seen = values(meters)
        assert seen["batch_size_sum"] == 3
        assert seen["processing_seconds_count"] == 3
        assert seen["poll_seconds_count"] >= 1
        assert seen["heartbeats_total"] >= 1
        assert "settle_failures_total checkpoint" not in seen

    virtually(scene())


def test_what_is_collected_is_what_is_declared(bench: Make) -> None:
    meters = Counted()
    declared = [family.full_name.removesuffix("_total") for family in FAMILIES]
    assert [metric.name for metric in meters.collect()] == declared
