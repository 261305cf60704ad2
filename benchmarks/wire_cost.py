"""What a call costs on its way through the wire, beside a bare reverse proxy of the same library and no proxy at all.

    python benchmarks/wire_cost.py [--rounds 5] [--seconds 1] [--connections 16]

Three calls as an SDK sends them (a receive of ten messages, a batch of ten deletes, and one that the wire only passes
on), three ways to a service that costs next to nothing: straight, through aiohttp's server and client and nothing else,
and through the wire with its record. They take turns. Two things are measured: how many calls a second one core of the
proxy carries (CPU of its process, under as many connections as are named), and how long a call takes on one connection
that waits for each answer. The ratios are what to quote: the rest is this machine's, and this client's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import orjson
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
from aiohttp import web

from gameday.history.clock import Clock
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.wire.config import WireConfig

_QUEUE = "/000000000000/orders"
_BODY = orjson.dumps({"id": "m-000001", "payload": "x" * 512}).decode()
_MESSAGES = [
    {
        "MessageId": f"5fea7756-0ea4-451a-a703-a558b933e2{n:02}",
        "ReceiptHandle": f"{'AQEB' * 40}{n}",
        "MD5OfBody": "0" * 32,
        "Body": _BODY,
        "Attributes": {
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "SentTimestamp": "1750000000000",
            "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": "1750000000100",
        },
    }
    for n in range(10)
]
_CALLS: Mapping[str, tuple[str, object, object]] = {
    "ReceiveMessage": ("AmazonSQS.ReceiveMessage", {"MaxNumberOfMessages": 10}, {"Messages": _MESSAGES}),
    "DeleteMessageBatch": (
        "AmazonSQS.DeleteMessageBatch",
        {"Entries": [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(_MESSAGES)]},
        {"Successful": [{"Id": str(n)} for n in range(10)]},
    ),
    "PutItem (passed on)": (
        "DynamoDB_20120810.PutItem",
        {"TableName": "orders", "Item": {"id": {"S": "m-000001"}, "payload": {"S": _BODY}}},
        {},
    ),
}
_WAYS = ("direct", "bare", "wire")


def request(call: str, *, port: int, queue: str) -> bytes:
    target, params, _ = _CALLS[call]
    assert isinstance(params, dict)
    body = orjson.dumps({"QueueUrl": queue, **params} if target.startswith("AmazonSQS") else params)
    return (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: identity\r\nX-Amz-Target: {target}\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nUser-Agent: Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux\r\n"
        "X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/"
        f"aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}\r\n"
        "amz-sdk-invocation-id: 00000000-0000-0000-0000-000000000000\r\namz-sdk-request: attempt=1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


# The service, and the bare proxy: processes of their own, which tell their port


class _Service(asyncio.Protocol):
    """Knows each call by its name in the head, and says the same to it every time."""

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            name = head.partition(b"x-amz-target:")[2].partition(b"\r\n")[0].strip()
            self._transport.write(self._answers[name])


def serve_service(tell: Connection) -> None:
    answers = {}
    for target, _, answer in _CALLS.values():
        body = orjson.dumps(answer)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n"
        answers[target.lower().encode()] = f"{head}x-amzn-RequestId: 0\r\n\r\n".encode() + body

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Service(answers), "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(serve())


def serve_bare(tell: Connection, target: str) -> None:
    async def serve() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def handle(asked: web.BaseRequest) -> web.StreamResponse:
                async with session.request(
                    asked.method, target + asked.path_qs, headers=asked.headers, data=await asked.read()
                ) as answer:
                    return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())

            runner = web.ServerRunner(web.Server(handle, access_log=None))
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            tell.send(runner.addresses[0][1])
            await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def spawned(serve: Callable[..., None], *arguments: str) -> Iterator[tuple[int, int]]:
    """The port and the pid of a process that serves."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, *arguments), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield here.recv(), process.pid
    finally:
        process.kill()
        process.join()


@contextmanager
def wire(target: str, directory: Path) -> Iterator[tuple[int, int]]:
    (directory / "history").mkdir()
    queue = target + _QUEUE
    config = WireConfig(
        records_in=directory,
        clock=Clock.start(),
        endpoint=Endpoint(urls={"*": target}, access_key="test", secret_key="test"),
        transport="sqs",
        addresses=Addresses(send_to=queue, queues={"orders": queue}),
        subscription="orders",
        visibility_timeout_s=30,
    )
    config.save(directory / "wire.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "gameday.wire", "--config", directory / "wire.json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        assert orjson.loads(process.stdout.readline())["report"] == "ready"
        process.stdin.write(b'{"do": "listen", "consumer": "orders-1.1"}\n')
        process.stdin.flush()
        yield orjson.loads(process.stdout.readline())["port"], process.pid
    finally:
        process.kill()
        process.wait()


# The client


async def calls(port: int, sent: bytes, *, seconds: float, connections: int) -> list[float]:
    """How long each call took, on so many connections of which each waits for its answer before the next."""
    until = time.perf_counter() + seconds

    async def one() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        took = []
        while (began := time.perf_counter()) < until:
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            took.append(time.perf_counter() - began)
        writer.close()
        return took

    return [each for took in await asyncio.gather(*(one() for _ in range(connections))) for each in took]


@dataclass
class Found:
    """Of one call one way, round by round: CPU of the proxy a call, and latencies."""

    cpu_us: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)


def measure(
    ways: Mapping[str, tuple[int, int]], *, queue: str, rounds: int, seconds: float, connections: int
) -> dict[tuple[str, str], Found]:
    found: dict[tuple[str, str], Found] = defaultdict(Found)
    for number in range(rounds):
        for call in _CALLS:
            for way, (port, pid) in ways.items():
                sent = request(call, port=port, queue=queue)
                process = psutil.Process(pid)
                before = sum(process.cpu_times()[:2])
                crowd = asyncio.run(calls(port, sent, seconds=seconds, connections=connections))
                of = found[call, way]
                of.cpu_us.append((sum(process.cpu_times()[:2]) - before) / len(crowd) * 1e6)
                alone = asyncio.run(calls(port, sent, seconds=seconds, connections=1))
                of.p50_us.append(statistics.median(alone) * 1e6)
                of.p99_us.append(statistics.quantiles(alone, n=100)[98] * 1e6)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def show(found: Mapping[tuple[str, str], Found]) -> None:
    print(f"{'call':20} {'way':7} {'calls/s a core':>14} {'p50 µs':>8} {'p99 µs':>8} {'+ p50':>8} {'+ p99':>8}")
    for call in _CALLS:
        straight = found[call, "direct"]
        for way in _WAYS:
            of = found[call, way]
            p50, p99 = statistics.median(of.p50_us), statistics.median(of.p99_us)
            carried = "" if way == "direct" else f"{1e6 / statistics.median(of.cpu_us):.0f}"
            added = ["", ""]
            if way != "direct":
                added = [
                    f"{p50 - statistics.median(straight.p50_us):.0f}",
                    f"{p99 - statistics.median(straight.p99_us):.0f}",
                ]
            print(f"{call:20} {way:7} {carried:>14} {p50:8.0f} {p99:8.0f} {added[0]:>8} {added[1]:>8}")
        bare, through = found[call, "bare"], found[call, "wire"]
        # Round by round, so that what the machine did meanwhile met both.
        cpu = statistics.median(w / b for w, b in zip(through.cpu_us, bare.cpu_us, strict=True))
        rounds = zip(through.p50_us, bare.p50_us, straight.p50_us, strict=True)
        later = statistics.median((w - s) / (b - s) for w, b, s in rounds)
        print(f"{'':20} wire / bare: {cpu:.2f} × the CPU, {later:.2f} × the added p50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="each way takes its turn so often")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement, 18 of them a round")
    parser.add_argument("--connections", type=int, default=16, help="at once, while CPU is measured")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores; load {load:.1f}; {time.strftime('%Y-%m-%d')}; aiohttp {aiohttp.__version__}")
    with tempfile.TemporaryDirectory(prefix="gameday-wire-cost-") as scratch, spawned(serve_service) as service:
        target = f"http://127.0.0.1:{service[0]}"
        with spawned(serve_bare, target) as bare, wire(target, Path(scratch)) as through:
            found = measure(
                dict(zip(_WAYS, (service, bare, through), strict=True)),
                queue=target + _QUEUE,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                connections=arguments.connections,
            )
    show(found)


if __name__ == "__main__":
    main()
