"""What at-least-once allows is judged as that: a message that a fault gives twice speaks against no service."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history import envelope, events
from gameday.history.writer import Writer
from gameday.transports.endpoint import Endpoint
from gameday.verify.judge import judge
from tests.transports.asked import served
from tests.wire.wired import Wired, sdk, until, wired

HIDDEN_S = 1
CLAIMS = ("no-loss", "no-phantom", "exactly-once-delivery")


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture
def wire(memory: Endpoint, tmp_path: Path) -> Iterator[Wired]:
    direct = sdk("sqs", memory.urls["*"])
    hidden = {"VisibilityTimeout": str(HIDDEN_S)}
    queue = direct.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}", Attributes=hidden)["QueueUrl"]
    with wired(memory, tmp_path, queue=queue, visibility_timeout_s=HIDDEN_S) as wire:
        yield wire


def judged(wire: Wired, work: Callable[[], None]) -> dict[str, Any]:
    """One message is sent, `work` consumes it, and the queue is found empty."""
    run = wire.path.parent.parent
    writer = Writer(run=run, name="conductor", clock=wire.clock)
    body = envelope.pack(id="m1", run="r", group=None, timestamp_ns=0, payload_bytes=0).decode()
    writer.write(events.intended(id="m1", attempt=1, producer="p", expect=["orders"]))
    direct = sdk("sqs", wire.queue.rpartition("/")[0])
    started = wire.clock.now_ns()
    broker_id = direct.send_message(QueueUrl=wire.queue, MessageBody=body)["MessageId"]
    writer.write(
        events.sent(id="m1", attempt=1, started=started, outcome="ok", broker_id=broker_id, call="c1", entry=0)
    )
    work()
    writer.write(events.mark("drained", subscription="orders", empty=True))
    writer.close()
    subscriptions = {"orders": {"kind": "queue", "visibility_timeout_s": HIDDEN_S}}
    claims = [{"claim": claim} for claim in CLAIMS]
    (run / "manifest.json").write_bytes(orjson.dumps({"schema": 1, "subscriptions": subscriptions, "claims": claims}))
    return judge(run).document


def holds(verdict: dict[str, Any]) -> None:
    assert {claim["claim"]: claim["verdict"] for claim in verdict["claims"]} == dict.fromkeys(CLAIMS, "holds"), verdict
    counts = {name: found["count"] for name, found in verdict["anomalies"].items() if found["count"]}
    assert counts.pop("redelivery") == 1
    assert set(counts) <= {"stale-delete"}, counts


def consume(client: Any, wire: Wired) -> str:
    answer = client.receive_message(QueueUrl=wire.queue, WaitTimeSeconds=5)
    return str(answer["Messages"][0]["ReceiptHandle"])


def test_a_second_consumer_is_a_redelivery(wire: Wired) -> None:
    other = wire.do(wire.proxy.listen("orders-2.1"))

    def work() -> None:
        wire.arm("duplicate-delivery")
        one, two = wire.sdk(), sdk("sqs", other.origin)
        receipts = [(one, consume(one, wire)), (two, consume(two, wire))]
        for client, receipt in receipts:
            client.delete_message(QueueUrl=wire.queue, ReceiptHandle=receipt)

    holds(judged(wire, work))


def test_a_late_delete_is_a_redelivery(wire: Wired) -> None:
    def work() -> None:
        wire.arm("late-delete", nth=1)
        client = wire.sdk()
        for _ in range(2):
            client.delete_message(QueueUrl=wire.queue, ReceiptHandle=consume(client, wire))
        until(lambda: not wire.proxy.working, "the delete is carried out")

    verdict = judged(wire, work)
    holds(verdict)
    assert verdict["anomalies"]["stale-delete"]["count"] == 1
