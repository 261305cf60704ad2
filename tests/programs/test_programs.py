"""The programs without gameday: each works, ends when it is told to, and makes the mistake that it is said to make."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import pytest

from tests.needed import lacking
from tests.programs.programs import HERE, PROGRAMS, Order, Program
from tests.programs.servers import client, memory, ministack
from tests.series import in_series, in_soak

pytestmark = [in_series, pytest.mark.live]

DEADLINE_S = 120.0
CONSUME_QUEUES = [name for name, program in PROGRAMS.items() if program.consumes == "queue"]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def queues() -> Iterator[str]:
    with memory() as url:
        yield url


@pytest.fixture(scope="module")
def streams() -> Iterator[str]:
    with ministack() as url:
        yield url


def installed(name: str) -> Program:
    if not PROGRAMS[name].ready:
        lacking(f"{name} of tests/programs is not installed; get it with: make programs")
    return PROGRAMS[name]


class Running:
    """Processes of a program, in a group each; what they print goes to a file. None outlives the test."""

    def __init__(self, program: Program, directory: Path) -> None:
        self.program = program
        self.effects = directory / "effects"
        self.effects.mkdir()
        self.log = directory / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, where: Mapping[str, str], **settings: object) -> subprocess.Popen[bytes]:
        env = {**self.program.environment(effects=self.effects, **where), **{k: str(v) for k, v in settings.items()}}
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.program.argv, env=env, stdout=log, stderr=log, start_new_session=True)
        self.started.append(process)
        return process

    def applied(self) -> Mapping[str, int]:
        argv = [sys.executable, str(HERE / "count_effects.py"), str(self.effects)]
        lines = subprocess.run(argv, capture_output=True, check=True).stdout.splitlines()
        return {line["key"]: line["applied"] for line in map(json.loads, lines)}

    def end(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_S)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    made: list[Running] = []

    def of(name: str) -> Running:
        made.append(Running(installed(name), tmp_path))
        return made[-1]

    yield of
    for one in made:
        for process in one.started:
            if process.poll() is None:
                one.kill(process)


class Queue:
    def __init__(self, endpoint: str, name: str, **attributes: str) -> None:
        self.sqs = client("sqs", endpoint)
        self.url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.where = {"endpoint": endpoint, "queue_url": self.url}

    def send(self, orders: Sequence[Order], **more: str) -> None:
        for order in orders:
            self.sqs.send_message(QueueUrl=self.url, MessageBody=order.body, **more)

    def empty(self) -> bool:
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return not any(int(count) for name, count in counts.items() if name.startswith("ApproximateNumberOf"))


@pytest.mark.parametrize("name", CONSUME_QUEUES)
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_it_consumes_a_queue_and_ends(running: Any, queues: str, name: str, suffix: str) -> None:
    run = running(name)
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if suffix else {}
    queue = Queue(queues, f"{name}{suffix}", **fifo)
    orders = run.program.orders(20, queue.url)
    queue.send(orders, **({"MessageGroupId": "a"} if suffix else {}))
    process = run.start(queue.where)
    wait_until(
        lambda: len(run.applied()) == len(orders) and queue.empty(), f"20 effects and nothing left; see {run.log}"
    )
    assert run.end(process) == 0
    assert run.applied() == dict.fromkeys((order.key for order in orders), 1)


class Stream:
    def __init__(self, endpoint: str, name: str, shards: int) -> None:
        self.name = name
        self.kinesis, self.dynamodb = client("kinesis", endpoint), client("dynamodb", endpoint)
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=name)
        self.where = {"endpoint": endpoint, "stream": name}

    def send(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.kinesis.put_record(StreamName=self.name, Data=order.body.encode(), PartitionKey=order.key)

    def checkpoints(self) -> Sequence[str]:
        """Of the shards that have one."""
        table = f"{self.name}-worker"
        if table not in self.dynamodb.list_tables()["TableNames"]:
            return []
        leases = [item for item in self.dynamodb.scan(TableName=table)["Items"] if "checkpoint" in item]
        return [lease["checkpoint"]["S"] for lease in leases if lease["checkpoint"]["S"].isdigit()]


def test_kcl_consumes_a_stream_and_ends(running: Any, streams: str) -> None:
    run, stream = running("kcl"), Stream(streams, "orders", shards=2)
    orders = run.program.orders(20, "")
    stream.send(orders)
    process = run.start(stream.where)
    wait_until(lambda: len(run.applied()) == len(orders), f"20 effects; see {run.log}")
    assert run.end(process) == 0
    assert run.applied() == dict.fromkeys((order.key for order in orders), 1)
    assert len(stream.checkpoints()) == 2


@in_soak
@pytest.mark.parametrize(("variant", "applied"), [("correct", 1), ("no-guard", 2), ("delete-first", 0)])
def test_kcl_killed_in_the_midst_of_its_work(running: Any, streams: str, variant: str, applied: int) -> None:
    run, stream = running("kcl"), Stream(streams, variant, shards=1)
    order, another = run.program.orders(2, "")
    stream.send([order])
    process = run.start(stream.where, VARIANT=variant, WORK_MS=6000)
    wait_until(lambda: bool(stream.checkpoints() if variant == "delete-first" else run.applied()), f"see {run.log}")
    run.kill(process)
    stream.send([another])
    process = run.start(stream.where, VARIANT=variant)
    wait_until(lambda: another.key in run.applied(), f"the rest done; see {run.log}")
    assert run.end(process) == 0
    assert run.applied().get(order.key, 0) == applied


@pytest.mark.parametrize("name", CONSUME_QUEUES)
def test_told_to_end_in_the_midst_of_its_work_it_finishes_it(running: Any, queues: str, name: str) -> None:
    run, queue = running(name), Queue(queues, f"{name}-finishes")
    orders = run.program.orders(1, queue.url)
    queue.send(orders)
    process = run.start(queue.where, WORK_MS=3000)
    wait_until(lambda: bool(run.applied()), f"the effect; see {run.log}")
    assert run.end(process) == 0
    assert queue.empty()


def mistakes(mistake: str) -> list[str]:
    return [name for name in CONSUME_QUEUES if mistake in PROGRAMS[name].variants]


def killed(run: Running, queue: Queue, when: Callable[[], bool], variant: str) -> int:
    """How often an order had its effect whose worker was killed in the midst of it, once another worker is through."""
    order, another = run.program.orders(2, queue.url)
    queue.send([order])
    process = run.start(queue.where, VARIANT=variant, WORK_MS=6000)
    wait_until(when, f"the moment of the kill; see {run.log}")
    run.kill(process)
    queue.send([another])
    process = run.start(queue.where, VARIANT=variant)
    wait_until(lambda: another.key in run.applied() and queue.empty(), f"the rest done and nothing left; see {run.log}")
    assert run.end(process) == 0
    return run.applied().get(order.key, 0)


@in_soak
@pytest.mark.parametrize("name", CONSUME_QUEUES)
def test_killed_after_its_effect_a_correct_one_has_it_once(running: Any, queues: str, name: str) -> None:
    run, queue = running(name), Queue(queues, f"{name}-correct", VisibilityTimeout="2")
    assert killed(run, queue, lambda: bool(run.applied()), "correct") == 1


@in_soak
@pytest.mark.parametrize("name", mistakes("no-guard"))
def test_killed_after_its_effect_one_without_guard_has_it_more_than_once(running: Any, queues: str, name: str) -> None:
    run, queue = running(name), Queue(queues, f"{name}-no-guard", VisibilityTimeout="2")
    assert killed(run, queue, lambda: bool(run.applied()), "no-guard") > 1


@in_soak
@pytest.mark.parametrize("name", mistakes("delete-first"))
def test_killed_before_its_effect_one_that_deletes_first_has_lost_it(running: Any, queues: str, name: str) -> None:
    run, queue = running(name), Queue(queues, f"{name}-delete-first", VisibilityTimeout="2")
    assert killed(run, queue, queue.empty, "delete-first") == 0


class _KeepsWhatIsDeleted(BaseHTTPRequestHandler):
    """Passes on all but the first batch to delete, of which it says that every entry failed."""

    protocol_version = "HTTP/1.1"
    endpoint: ClassVar[str]
    refused: ClassVar[list[str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Amz-Target"].endswith(".DeleteMessageBatch") and not self.refused:
            self.refused.extend(entry["Id"] for entry in json.loads(body)["Entries"])
            failed = [{"Id": id_, "Code": "InternalError", "SenderFault": False} for id_ in self.refused]
            status, answer = 200, json.dumps({"Successful": [], "Failed": failed}).encode()
        else:
            headers = {name: self.headers[name] for name in ("X-Amz-Target", "Content-Type")}
            with urlopen(Request(self.endpoint, body, headers), timeout=DEADLINE_S) as response:
                status, answer = response.status, response.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing into the test's output."""


@in_soak
@pytest.mark.parametrize(("variant", "applied"), [("correct", 1), ("ignores-failed", 2)])
@pytest.mark.parametrize("name", mistakes("ignores-failed"))
def test_only_one_that_ignores_failed_deletes_has_an_effect_twice(
    running: Any, queues: str, name: str, variant: str, applied: int
) -> None:
    refused: list[str] = []
    handler = type("Handler", (_KeepsWhatIsDeleted,), {"endpoint": queues, "refused": refused})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        run, queue = running(name), Queue(queues, f"{name}-{variant}-failed", VisibilityTimeout="1")
        orders = run.program.orders(3, queue.url)
        queue.send(orders)
        url = f"http://127.0.0.1:{server.server_port}"
        where = {"endpoint": url, "queue_url": queue.url.replace(queues, url)}
        process = run.start(where, VARIANT=variant)
        wait_until(lambda: bool(refused) and queue.empty(), f"nothing left; see {run.log}")
        assert run.end(process) == 0
        assert sorted(run.applied().values(), reverse=True)[: len(refused)] == [applied] * len(refused)
        assert set(run.applied()) == {order.key for order in orders}
        server.shutdown()
