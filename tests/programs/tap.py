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
from pathlib import Path
from typing import Any

from tests.programs.programs import HERE, PROGRAMS, Program
from tests.programs.servers import client, ministack

FIXTURES = HERE / "fixtures"
ORDERS = 3
DEADLINE_S = 90.0


class Tap:
    """Forwards what connects to it. An exchange begins when the client speaks after the server did."""

    def __init__(self, to: str, host: str, port: int) -> None:
        self.to, self.host, self.port = to, host, port
        self.exchanges: list[dict[str, Any]] = []
        self.connections = 0

    async def listen(self) -> str:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        mine: list[dict[str, Any]] = []
        number = self.connections
        upstream, away = await asyncio.open_connection(self.host, self.port)

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
    filled = re.search(rb'"(Messages|Records|Item|Items)": *\[?\{', answer) is not None
    return exchange["to"], operation(request), answer[9:12], filled


async def _until(condition: Callable[[], bool], deadline: float) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the program did not do what it should; what it said stands above")
        await asyncio.sleep(0.1)


async def capture(program: Program, endpoint: str) -> list[dict[str, Any]]:
    host, _, port = endpoint.removeprefix("http://").partition(":")
    taps = [Tap(to, host, int(port)) for to in ("AWS_ENDPOINT_URL", "QUEUE_URL")]
    to_endpoint, to_queue = [await tap.listen() for tap in taps]
    orders = program.orders(ORDERS, "")
    queue_url = stream = ""
    if program.consumes == "queue":
        sqs = client("sqs", endpoint)
        real = sqs.create_queue(QueueName="orders")["QueueUrl"]
        for order in orders:
            sqs.send_message(QueueUrl=real, MessageBody=order.body)
        queue_url = re.sub(r"^http://[^/]+", to_queue, real)
    else:
        stream, kinesis = "orders", client("kinesis", endpoint)
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream)
        for order in orders:
            kinesis.put_record(StreamName=stream, Data=order.body.encode(), PartitionKey=order.key)
    with tempfile.TemporaryDirectory() as place:
        effects = Path(place)
        process = await asyncio.create_subprocess_exec(
            *program.argv,
            env=program.environment(endpoint=to_endpoint, effects=effects, queue_url=queue_url, stream=stream),
            stdout=sys.stderr,
        )
        deadline = time.monotonic() + DEADLINE_S
        await _until(lambda: all((effects / order.key).exists() for order in orders), deadline)
        # One poll more, which brings nothing.
        seen = sum(len(tap.exchanges) for tap in taps)
        await _until(lambda: sum(len(tap.exchanges) for tap in taps) >= seen + 3, deadline)
        process.send_signal(signal.SIGTERM)
        print("exit code", await process.wait(), "connections", [(tap.to, tap.connections) for tap in taps])
    return [exchange for tap in taps for exchange in tap.exchanges]


def main(name: str) -> None:
    with ministack() as endpoint:
        exchanges = asyncio.run(capture(PROGRAMS[name], endpoint))
    kept = {_shows(exchange): exchange for exchange in reversed(exchanges)}
    FIXTURES.mkdir(exist_ok=True)
    with (FIXTURES / f"{name}.jsonl").open("w") as file:
        for exchange in sorted(kept.values(), key=exchanges.index):
            as_text = {k: v.decode("latin-1") if isinstance(v, bytes) else v for k, v in exchange.items()}
            file.write(json.dumps(as_text) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Record what a program says to AWS.")
    parser.add_argument("name", choices=PROGRAMS)
    main(parser.parse_args().name)
