"""What a run used: read from the ends of its histories, and billed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gameday.history import events
from gameday.history.clock import Clock
from gameday.history.writer import DIRECTORY, Writer
from gameday.report.used import FILE, Row, kept, pace_of, read_calls, used
from gameday.scenario import document as documents
from gameday.scenario import reading
from gameday.scenario.calm.pace import Pace
from gameday.scenario.estimate import estimate
from gameday.scenario.model import Scenario
from gameday.transports.base import Call
from gameday.transports.carriers.calls import Calls
from gameday.transports.carriers.measures import Measure

SEND = Call("sqs", "SendMessageBatch", {"QueueUrl": "u/q", "Entries": [{"Id": "0", "MessageBody": "a" * 100_000}]})
EMPTY = Call("sqs", "ReceiveMessage", {"QueueUrl": "u/q"})


def scenario(transport: str, topology: str = "{}") -> Scenario:
    text = f"name: made\ntransport: {transport}\ntopology: {topology}\nload: {{rate: 1/s, duration: 9s}}\n"
    return reading.resolve(documents.parse(text + "claims: [no-loss]\n", name="made.yaml"))


def row(service: str, operation: str, calls: int, *, fifo: bool = False, **measured: int) -> Row:
    measure = Measure(**{"requests": calls, **measured})
    return Row(service=service, operation=operation, fifo=fifo, calls=calls, seconds=0.0, measured=measure)


def dollars(read: Scenario, *rows: Row, lasted_s: float = 60.0) -> Mapping[str, float]:
    found = used(read, rows, [], region="us-east-1", lasted_s=lasted_s)
    return {line.item: line.dollars.likely for line in found.costs}


def write(run: Path, name: str, *counts: int, closed: bool = True, after: int = 0) -> None:
    """A history of one process, which told so often what it had called: so many sends."""
    (run / DIRECTORY).mkdir(exist_ok=True)
    writer = Writer(run=run, name=name, clock=Clock.start())
    calls, before = Calls(), 0
    for count in counts:
        for _ in range(count - before):
            calls.ended(SEND, 0.25, None, {})
        before = count
        writer.write(events.mark("note", text="x" * 10_000))
        writer.write(events.mark("calls", calls=calls.used()))
    for _ in range(after):
        writer.write(events.mark("note", text='"name":"calls" is what a mark is called' + "x" * 10_000))
    if closed:
        writer.close()


def test_the_last_that_each_process_told_counts(tmp_path: Path) -> None:
    write(tmp_path, "conductor", 1, 3)
    write(tmp_path, "orders-1.1", 2, 5, closed=False, after=20)
    write(tmp_path, "orders-2.1", closed=False)
    rows, killed = read_calls(tmp_path)
    assert [(each.operation, each.calls) for each in rows] == [("SendMessageBatch", 3), ("SendMessageBatch", 5)]
    assert killed == ["orders-1.1", "orders-2.1"]
    # 100,000 bytes are two requests.
    assert [each.measured for each in rows] == [Measure(6, 0, 3, 300_000), Measure(10, 0, 5, 500_000)]
    assert pace_of(rows, Pace(send=1.0, call=2.0)) == Pace(send=0.25, call=2.0)


def test_a_line_that_was_cut_off_is_not_the_last_one(tmp_path: Path) -> None:
    write(tmp_path, "conductor", 1, 3, closed=False)
    path = tmp_path / DIRECTORY / "conductor.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    rows, _ = read_calls(tmp_path)
    assert [each.calls for each in rows] == [1]


def test_a_queue() -> None:
    """1,000 requests to a Standard queue at $0.40 for a million, 3,000 to a FIFO queue at $0.50."""
    told = dollars(
        scenario("sqs"),
        row("sqs", "SendMessageBatch", 400, requests=500),
        row("sqs", "ReceiveMessage", 500),
        row("sqs", "ReceiveMessage", 3000, fifo=True),
        row("sts", "GetCallerIdentity", 1),
    )
    assert told == {"sqs-standard": pytest.approx(1000 * 0.4e-6), "sqs-fifo": pytest.approx(3000 * 0.5e-6)}


def test_a_topic() -> None:
    two = "{subscriptions: [{name: one}, {name: two}]}"
    assert dollars(scenario("sns", two), row("sns", "PublishBatch", 10, requests=30)) == {
        "sns-publish": pytest.approx(30 * 0.5e-6)
    }
    fifo = row("sns", "PublishBatch", 10, fifo=True, entries=20, bytes=2**30)
    assert dollars(scenario("sns-fifo", two), fifo) == {
        "sns-fifo-publish": pytest.approx(10 * 0.3e-6),
        "sns-fifo-payload": pytest.approx(0.017),
        "sns-fifo-delivery": pytest.approx(2 * 20 * 0.01e-6),
        "sns-fifo-delivered-payload": pytest.approx(2 * 0.001),
    }


def test_a_bus_and_its_archive() -> None:
    put = row("events", "PutEvents", 10, units=40, bytes=2**30)
    assert dollars(scenario("eventbridge"), put) == {"events": pytest.approx(40e-6)}
    assert dollars(scenario("eventbridge", "{replay: true}"), put) == {
        "events": pytest.approx(80e-6),
        "events-archive": pytest.approx(0.10),
    }


def test_a_stream_and_tables() -> None:
    """Three shards for two hours begun; a million units of 25 KiB; written and read units."""
    told = dollars(
        scenario("kinesis", "{shards: 3}"),
        row("kinesis", "CreateStream", 1),
        row("kinesis", "GetRecords", 1000),
        row("kinesis", "PutRecords", 10, units=1_000_000),
        row("dynamodb", "TransactWriteItems", 10, units=40),
        row("dynamodb", "UpdateItem", 60, units=60),
        row("dynamodb", "Scan", 2, units=8),
        lasted_s=3601,
    )
    assert told == {
        "kinesis-shard-hour": pytest.approx(6 * 0.015),
        "kinesis-put-unit": pytest.approx(0.014),
        "dynamodb-write": pytest.approx(100 * 0.625e-6),
        "dynamodb-read": pytest.approx(8 * 0.125e-6),
    }


def test_it_is_told_beside_the_plan(tmp_path: Path) -> None:
    read = scenario("sqs")
    rows = [row("sqs", "SendMessageBatch", 9), row("sqs", "PurgeQueue", 1)]
    found = used(read, rows, ["orders-1.1"], region="eu-west-1", lasted_s=60.0)
    planned = estimate(read, region="eu-west-1")
    lines = list(found.lines(planned))
    assert any("sqs SendMessageBatch" in line and line.split()[2] == "9" and "(1 to 9)" in line for line in lines)
    assert any("sqs PurgeQueue" in line and "not planned" in line for line in lines)
    assert any("sqs CreateQueue" in line and line.split()[2:] == ["0", "2"] for line in lines)
    assert "orders-1.1 ended without telling" in lines[-1]
    found.save(tmp_path, planned)
    document: dict[str, Any] = json.loads((tmp_path / FILE).read_bytes())
    assert document["calls"] == {"sqs PurgeQueue": 1, "sqs SendMessageBatch": 9}
    assert document["cost"] == pytest.approx(10 * 0.4e-6 * 1.14)
    low, likely, high = document["planned_cost"]
    assert 0 < low < likely < high
    told = kept(tmp_path)
    assert told is not None and told.sentence.startswith("$0.0000 at AWS's list prices of")
    assert ("sqs SendMessageBatch", "9", "about 9 (1 to 9)") in told.calls
    assert ("sqs PurgeQueue", "1", "not planned") in told.calls


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"cost": "much"}'])
def test_a_bill_that_is_not_there_or_broken_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / FILE).write_text(text)
    assert kept(tmp_path) is None


def test_a_process_counts_what_it_calls() -> None:
    calls = Calls()
    calls.ended(SEND, 0.5, None, {})
    calls.ended(SEND, 0.25, "Throttling", None)
    calls.ended(EMPTY, 1.0, None, {})
    calls.passed_on(Call("sqs", "ReceiveMessage", {"QueueUrl": "u/q.fifo"}))
    told = {(each["operation"], each["fifo"]): each for each in calls.used()}
    assert told["SendMessageBatch", False] == {
        "service": "sqs",
        "operation": "SendMessageBatch",
        "fifo": False,
        "calls": 2,
        "seconds": 0.75,
        "requests": 4,
        "units": 0,
        "entries": 2,
        "bytes": 200_000,
    }
    assert told["ReceiveMessage", False]["calls"] == told["ReceiveMessage", True]["calls"] == 1
