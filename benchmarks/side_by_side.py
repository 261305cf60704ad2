"""gameday's producer and consumer beside what people would write themselves, in one run against one sink.

    python -m benchmarks.side_by_side [--rounds 3] [--seconds 6]

The sink is a process that costs less than any client: it looks for the operation and how many entries a call has, and
answers as SQS does. Against it run, in turn: a Locust user with boto3 that sends batches of ten, and an asyncio loop
with aiobotocore that receives ten and deletes ten, as tutorials have them; then gameday's load and consumer, which also
record everything; the consumer keeps each effect in SQLite behind its transaction guard, and both count metrics.

CPU is what /proc says of the whole process (Linux) between two moments when it is at work, so that starting costs
nobody anything; messages are those that the sink has counted meanwhile. What to quote are the ratios: the rest is this
machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.stores import make_store
from gameday.history import envelope
from gameday.history.clock import Clock
from gameday.loadgen.config import LoadConfig
from gameday.processes.child import python
from gameday.processes.exposition import LOOPBACK
from gameday.run.locust import LOCUSTFILE
from gameday.transports.base import Addresses, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
WARM_UP_S = 2.0
LIMIT_S = 60.0
BODY_BYTES = 512
USERS = 4
GROUPS = 10
# Of a queue whose groups are orders or customers: how people use FIFO queues where throughput matters.
MANY_GROUPS = 1000
# More than any of them can do.
RATE_PER_S = 30_000.0
RUN = "bench"


# The sink.


class Served(asyncio.Protocol):
    """A connection to a sink: `asked` is called with each request, and `say` answers it."""

    def __init__(self) -> None:
        self._held = b""

    def asked(self, operation: bytes, body: bytes) -> None:
        """`operation` in small letters."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._held) < end + 4 + length:
                return
            body = self._held[end + 4 : end + 4 + length]
            self._held = self._held[end + 4 + length :]
            operation = head.partition(b"x-amz-target: amazonsqs.")[2].partition(b"\r\n")[0].strip()
            self.asked(operation, body)

    def say(self, answer: bytes) -> None:
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: "
        self._transport.write(b"%b%d\r\n\r\n%b" % (kind, len(answer), answer))


class _Sink(Served):
    """Answers by the operation that stands in the head, without reading more of a body than it must."""

    def __init__(self, state: _Counts) -> None:
        super().__init__()
        self._state = state

    def asked(self, operation: bytes, body: bytes) -> None:
        self.say(self._state.answer(operation, body))


class _Counts:
    """What came, and what is to be received: a message is never the same twice."""

    def __init__(self, *, fifo: bool) -> None:
        self.calls = self.messages = 0
        self._fifo = fifo
        self._numbers = itertools.count(1)
        sequence = {"SequenceNumber": "18870000000000000000"} if fifo else {}
        self._sent = [
            orjson.dumps(
                {
                    "Successful": [
                        {
                            "Id": str(n),
                            "MessageId": f"5fea7756-0ea4-451a-a703-a558b933{n:04}",
                            "MD5OfMessageBody": "0" * 32,
                        }
                        | sequence
                        for n in range(count)
                    ]
                }
            )
            for count in range(11)
        ]
        self._deleted = [orjson.dumps({"Successful": [{"Id": str(n)} for n in range(count)]}) for count in range(11)]

    def answer(self, operation: bytes, body: bytes) -> bytes:
        match operation:
            case b"sendmessagebatch":
                return self._counted(self._sent, body.count(b'"MessageBody"'))
            case b"deletemessagebatch":
                return self._counted(self._deleted, body.count(b'"ReceiptHandle"'))
            case b"receivemessage":
                self.calls += 1
                return orjson.dumps({"Messages": [self._message(next(self._numbers)) for _ in range(10)]})
        return orjson.dumps({"calls": self.calls, "messages": self.messages})

    def _counted(self, answers: Sequence[bytes], count: int) -> bytes:
        self.calls += 1
        self.messages += count
        return answers[count]

    def _message(self, number: int) -> Mapping[str, Any]:
        group = f"g{number % MANY_GROUPS}"
        body = envelope.pack(id=f"m{number}", run=RUN, group=group, timestamp_ns=0, payload_bytes=BODY_BYTES)
        grouped = {"MessageGroupId": group, "SequenceNumber": str(number)} if self._fifo else {}
        return {
            "MessageId": f"5fea7756-0ea4-451a-a703-{number:012}",
            "ReceiptHandle": f"{'AQEB' * 40}{number}",
            "MD5OfBody": "0" * 32,
            "Body": body.decode(),
            "Attributes": {
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "SentTimestamp": "1750000000000",
                "ApproximateReceiveCount": "1",
                "ApproximateFirstReceiveTimestamp": "1750000000100",
                **grouped,
            },
        }


def _serve(tell: Connection, fifo: bool) -> None:
    async def serve() -> None:
        state = _Counts(fifo=fifo)
        server = await asyncio.get_running_loop().create_server(lambda: _Sink(state), LOOPBACK, 0)
        tell.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def sink(*, fifo: bool) -> Iterator[str]:
    """The URL of a queue at a sink of its own."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, fifo), daemon=True)
    process.start()
    try:
        yield f"http://{LOOPBACK}:{here.recv()}/000000000000/orders{'.fifo' if fifo else ''}"
    finally:
        process.kill()
        process.join()


# What people would write.

_NAIVE_USER = """
import json, os, random, time, uuid
import boto3
from locust import User, events, task

URL, FIFO, GROUPS = os.environ["QUEUE"], os.environ["QUEUE"].endswith(".fifo"), int(os.environ["GROUPS"])


class Producer(User):
    def on_start(self):
        self.sqs = boto3.client("sqs", endpoint_url=URL[: URL.index("/", 8)], region_name="us-east-1",
                                aws_access_key_id="test", aws_secret_access_key="test")

    @task
    def send(self):
        entries = []
        for n in range(10):
            order = {"orderId": str(uuid.uuid4()), "customerId": random.randrange(10_000),
                     "total": random.randrange(100, 100_000) / 100, "currency": random.choice(["EUR", "USD", "GBP"]),
                     "timestamp": time.time(), "note": "x" * 350}
            entry = {"Id": str(n), "MessageBody": json.dumps(order)}
            if FIFO:
                entry |= {"MessageGroupId": f"g{random.randrange(GROUPS)}", "MessageDeduplicationId": str(uuid.uuid4())}
            entries.append(entry)
        began = time.perf_counter()
        error = None
        try:
            answer = self.sqs.send_message_batch(QueueUrl=URL, Entries=entries)
            if answer.get("Failed"):
                error = RuntimeError("failed")
        except Exception as raised:
            error = raised
        events.request.fire(request_type="sqs", name="send_message_batch", response_length=0, exception=error,
                            response_time=(time.perf_counter() - began) * 1000, context={})
"""

_NAIVE_LOOP = """
import asyncio, json, os
from aiobotocore.session import get_session

URL = os.environ["QUEUE"]


async def main():
    async with get_session().create_client("sqs", endpoint_url=URL[: URL.index("/", 8)], region_name="us-east-1",
                                           aws_access_key_id="test", aws_secret_access_key="test") as sqs:
        while True:
            answer = await sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = answer.get("Messages", [])
            for message in messages:
                json.loads(message["Body"])
            if messages:
                await sqs.delete_message_batch(QueueUrl=URL, Entries=[
                    {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)])

asyncio.run(main())
"""


# What runs.

Command = tuple[list[str], dict[str, str]]


def naive_producer(run: Path, queue: str, groups: int) -> Command:
    (run / "naive.py").write_text(_NAIVE_USER)
    locust = python("-m", "locust", "-f", run / "naive.py", "--headless", "--only-summary", "-u", USERS, "-r", USERS)
    return locust, {"QUEUE": queue, "GROUPS": str(groups)}


def naive_consumer(run: Path, queue: str, groups: int) -> Command:
    (run / "naive.py").write_text(_NAIVE_LOOP)
    return python(run / "naive.py"), {"QUEUE": queue}


def gameday_producer(run: Path, queue: str, groups: int) -> Command:
    endpoint, transport, addresses = _where(queue)
    config = LoadConfig(
        run_dir=str(run),
        run=RUN,
        clock=str(Clock.start()),
        endpoint=endpoint,
        transport=transport,
        addresses=addresses,
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=RATE_PER_S,
        duration_s=3600,
        groups=groups,
        users=USERS,
        payload_bytes=BODY_BYTES,
        metrics_host=LOOPBACK,
    )
    config.save(run / "load.json")
    locust = python("-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary")
    return locust, {"GAMEDAY_LOAD": str(run / "load.json")}


def gameday_consumer(run: Path, queue: str, groups: int) -> Command:
    endpoint, transport, addresses = _where(queue)
    config = ConsumerConfig(
        run_dir=run,
        run=RUN,
        clock=Clock.start(),
        endpoint=endpoint,
        transport=transport,
        addresses=addresses,
        subscription="orders",
        visibility_timeout_s=30,
        concurrency=20,
        store={"kind": "sqlite", "path": str(run / "effects.sqlite")},
        metrics_host=LOOPBACK,
    )
    config.save(run / "consumer.json")
    asyncio.run(make_store(config.store, endpoint).create(tags={}))
    return python("-m", "gameday.consumers", "--config", run / "consumer.json", "--name", "orders-1.1"), {}


def _where(queue: str) -> tuple[Endpoint, str, Addresses]:
    endpoint = Endpoint(urls={"*": queue[: queue.index("/", 8)]}, access_key="test", secret_key="test")
    fifo = queue.endswith(".fifo")
    return endpoint, "sqs-fifo" if fifo else "sqs", Addresses(send_to=queue, queues={"orders": queue})


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table. `naive` is what it is measured against."""

    name: str
    make: Callable[[Path, str, int], Command]
    fifo: bool
    groups: int
    naive: str | None = None


CASES = [
    Case("Locust + boto3, Standard", naive_producer, False, GROUPS),
    Case("gameday producer, Standard", gameday_producer, False, GROUPS, "Locust + boto3, Standard"),
    Case("Locust + boto3, FIFO", naive_producer, True, MANY_GROUPS),
    Case("gameday producer, FIFO, 1000 groups", gameday_producer, True, MANY_GROUPS, "Locust + boto3, FIFO"),
    Case("gameday producer, FIFO, 10 groups", gameday_producer, True, GROUPS, "Locust + boto3, FIFO"),
    Case("aiobotocore loop, Standard", naive_consumer, False, GROUPS),
    Case("gameday consumer, Standard", gameday_consumer, False, GROUPS, "aiobotocore loop, Standard"),
    Case("aiobotocore loop, FIFO", naive_consumer, True, MANY_GROUPS),
    Case("gameday consumer, FIFO", gameday_consumer, True, MANY_GROUPS, "aiobotocore loop, FIFO"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Of one process at work: CPU of a message in µs, messages a second, and messages in a call."""

    cpu_us: float
    per_s: float
    in_a_call: float

    @property
    def per_s_of_a_core(self) -> float:
        return 1e6 / self.cpu_us


def measure(case: Case, *, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory(prefix="gameday-bench-") as directory, sink(fifo=case.fifo) as queue:
        run = Path(directory)
        (run / "history").mkdir()
        argv, environment = case.make(run, queue, case.groups)
        log = run / "log"
        with log.open("wb") as output:
            # Standard input is a pipe to a consumer, which lives as long as it is open; the load starts by itself.
            stdin = subprocess.PIPE if "gameday.consumers" in argv else subprocess.DEVNULL
            process = subprocess.Popen(
                argv, stdin=stdin, stdout=output, stderr=output, env={**os.environ, **environment}, cwd=directory
            )
            try:
                deadline = time.monotonic() + LIMIT_S
                while not _counts(queue)["messages"]:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"{case.name} did not begin:\n{log.read_text()[-2000:]}")
                    time.sleep(0.1)
                time.sleep(WARM_UP_S)
                return _between(process.pid, queue, seconds)
            finally:
                process.kill()
                process.wait()


def _between(pid: int, queue: str, seconds: float) -> Measured:
    before, cpu_before, at = _counts(queue), _cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    after, cpu_after, lasted = _counts(queue), _cpu_s(pid), time.monotonic() - at
    messages = after["messages"] - before["messages"]
    if not messages:
        raise SystemExit("nothing came while it was measured")
    return Measured(
        cpu_us=(cpu_after - cpu_before) / messages * 1e6,
        per_s=messages / lasted,
        in_a_call=messages / (after["calls"] - before["calls"]),
    )


def _counts(queue: str) -> dict[str, int]:
    with urllib.request.urlopen(queue, timeout=10) as answer:
        counts: dict[str, int] = json.loads(answer.read())
        return counts


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of all cases, in turn")
    parser.add_argument("--seconds", type=float, default=6.0, help="that each is measured for")
    parser.add_argument("--only", default="", help="cases with this in their name, and what they are measured against")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if arguments.only in case.name]
    needed = {case.naive for case in chosen} | {case.name for case in chosen}
    found: dict[str, list[Measured]] = defaultdict(list)
    for number in range(arguments.rounds):
        for case in CASES:
            if case.name in needed:
                print(f"round {number + 1}: {case.name} …", file=sys.stderr, flush=True)
                found[case.name].append(measure(case, seconds=arguments.seconds))
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
    print(f"{'':38}{'CPU of a message':>26}{'a core, a second':>18}{'in a call':>11}{'less CPU':>10}")
    for case in CASES:
        if rounds := found.get(case.name):
            costs = [each.cpu_us for each in rounds]
            median = statistics.median(costs)
            told = f"{median:.0f} µs ({min(costs):.0f} to {max(costs):.0f})"
            calls = statistics.median(each.in_a_call for each in rounds)
            less = ""
            if case.naive is not None:
                less = f"{statistics.median(each.cpu_us for each in found[case.naive]) / median:.1f} ×"
            print(f"{case.name:38}{told:>26}{1e6 / median:>18,.0f}{calls:>11.1f}{less:>10}")


if __name__ == "__main__":
    main()
