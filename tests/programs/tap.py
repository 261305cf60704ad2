"""`python -m tests.programs.tap NAME`: what a program and MiniStack say to each other, byte by byte, into fixtures/.

Two ports of the tap stand before MiniStack: one is the program's AWS_ENDPOINT_URL, the other the host in its queue's
URL, so that a fixture tells to which of the two it sends. A line is an exchange: {"to", "connection", "request",
"answer"}, the last two as they were sent, each byte as the character of its number (latin-1). Of exchanges that show
the same, the first is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.programs.programs import HERE, PROGRAMS, Program
from tests.programs.servers import client, ministack

FIXTURES = HERE / "fixtures"
ORDERS = 3
DEADLINE_S = 90.0


class Tap:
    """Forwards what connects to it. An exchange begins when the client speaks after the server did."""

    def __init__(self, to: str, endpoint: str) -> None:
        self.to = to
        self.host, self.port = endpoint.removeprefix("http://").split(":")
        self.exchanges: list[dict[str, Any]] = []
        self.connections = 0

    async def listen(self) -> str:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        mine: list[dict[str, Any]] = []
        number = self.connections
        upstream, away = await asyncio.open_connection(self.host, int(self.port))

        async def asked() -> None:
            while data := await reader.read(65536):
                # After an interim answer (100 Continue) the client goes on with the same request.
                if not mine or re.sub(rb"^(HTTP/1.1 100[^\r]*\r\n\r\n)", b"", mine[-1]["answer"]):
                    mine.append({"to": self.to, "connection": number, "request": b"", "answer": b""})
                    self.exchanges.append(mine[-1])
                mine[-1]["request"] += data
                away.write(data)
            away.close()

        async def answered() -> None:
            while data := await upstream.read(65536):
                mine[-1]["answer"] += data
                writer.write(data)
            writer.close()

        await asyncio.gather(asked(), answered(), return_exceptions=True)


def operation(request: bytes) -> str:
    found = re.search(rb"(?i)x-amz-target: *(\S+)", request) or re.search(rb"(?:^|[&\n])Action=(\w+)", request)
    return found[1].decode() if found else request[:40].decode("latin-1")


def _shows(exchange: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes it worth keeping: no second one with the same."""
    request, answer = exchange["request"], exchange["answer"]
    filled = any(word in answer for word in (b"ReceiptHandle", b"PartitionKey", b'"Item":'))
    return exchange["to"], operation(request), answer[9:12], filled


async def _until(condition: Callable[[], bool], deadline: float) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the program did not do what it should; what it said stands above")
        await asyncio.sleep(0.1)


async def capture(program: Program, endpoint: str, kinesis_at: str | None) -> list[dict[str, Any]]:
    taps = [Tap("AWS_ENDPOINT_URL", endpoint), Tap("QUEUE_URL", endpoint)]
    to_endpoint, to_queue = [await tap.listen() for tap in taps]
    settings = {}
    if kinesis_at:
        taps.append(Tap("AWS_ENDPOINT_URL_KINESIS", kinesis_at))
        settings = {"AWS_ENDPOINT_URL_KINESIS": await taps[-1].listen(), "CBOR_ENABLED": "true"}
    orders = program.orders(ORDERS, "")
    queue_url = stream = ""
    if program.consumes == "queue":
        sqs = client("sqs", endpoint)
        real = sqs.create_queue(QueueName="orders")["QueueUrl"]
        for order in orders:
            sqs.send_message(QueueUrl=real, MessageBody=order.body)
        queue_url = re.sub(r"^http://[^/]+", to_queue, real)
    else:
        stream, kinesis = "orders", client("kinesis", kinesis_at or endpoint)
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream)
        for order in orders:
            kinesis.put_record(StreamName=stream, Data=order.body.encode(), PartitionKey=order.key)
    with tempfile.TemporaryDirectory() as place:
        effects = Path(place)
        env = program.environment(endpoint=to_endpoint, effects=effects, queue_url=queue_url, stream=stream)
        process = await asyncio.create_subprocess_exec(*program.argv, env={**env, **settings}, stdout=sys.stderr)
        deadline = time.monotonic() + DEADLINE_S
        await _until(lambda: all((effects / order.key).exists() for order in orders), deadline)
        # One poll more, which brings nothing.
        seen = sum(len(tap.exchanges) for tap in taps)
        await _until(lambda: sum(len(tap.exchanges) for tap in taps) >= seen + 3, deadline)
        process.send_signal(signal.SIGTERM)
        print("exit code", await process.wait(), "connections", [(tap.to, tap.connections) for tap in taps])
    return [exchange for tap in (taps[2:] or taps) for exchange in tap.exchanges]


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what a program says to AWS.")
    parser.add_argument("name", choices=PROGRAMS)
    parser.add_argument("--kinesis", metavar="URL", help="Kinesis alone at another endpoint, which reads CBOR: only it")
    parser.add_argument("--python", help="run a Python program with the packages of another environment")
    parser.add_argument("--into", help="the fixture's name, where it is not the program's")
    chosen = parser.parse_args()
    program = PROGRAMS[chosen.name]
    if chosen.python:
        program = replace(program, argv=[chosen.python, *program.argv[1:]])
    with ministack() as endpoint:
        exchanges = asyncio.run(capture(program, endpoint, chosen.kinesis))
    kept = {_shows(exchange): exchange for exchange in reversed(exchanges)}
    with (FIXTURES / f"{chosen.into or chosen.name}.jsonl").open("w") as file:
        for exchange in sorted(kept.values(), key=exchanges.index):
            as_text = {k: v.decode("latin-1") if isinstance(v, bytes) else v for k, v in exchange.items()}
            file.write(json.dumps(as_text) + "\n")


if __name__ == "__main__":
    main()
