"""`--carrier sdk`: whole runs with it and without, behind a server that sees which program asks for what."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gameday.emulator.server import Connection, Server
from gameday.emulator.services import World
from gameday.history.clock import Clock
from tests.commanded import Gameday

pytestmark = pytest.mark.live

SCENARIO = """\
name: carried
transport: {transport}
load: {{rate: 40/s, duration: 2s, groups: 4, users: 2}}
consumers: {{processes: 1, store: dynamodb}}
claims: [no-loss, no-phantom, exactly-once-effect]
"""
# What runs so often that gameday has a carrier of its own for it.
HOT = {
    "sqs": {"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "TransactWriteItems"},
    "kinesis": {"PutRecords", "GetRecords", "GetShardIterator", "ListShards", "TransactWriteItems"},
}


@contextmanager
def broker() -> Iterator[tuple[str, dict[str, set[str]]]]:
    """The broker in memory: its URL, and of each operation whose words asked for it (the User-Agent, if any)."""
    asked: defaultdict[str, set[str]] = defaultdict(set)
    there = threading.Event()
    url = ""
    loop = asyncio.new_event_loop()

    class Seeing(Connection):
        def data_received(self, data: bytes) -> None:
            # A small request comes in one piece, or its head does.
            head = data.partition(b"\r\n\r\n")[0].decode("latin-1")
            fields = (line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            lines = {name.lower(): value for name, value in fields}
            if target := lines.get("x-amz-target"):
                asked[target.partition(".")[2]].add(lines.get("user-agent", "").partition("/")[0])
            super().data_received(data)

    def serve() -> None:
        nonlocal url

        async def listen() -> None:
            nonlocal url
            world = World()
            server = Server(world=world, clock=Clock.start())
            listening = await loop.create_server(lambda: Seeing(server), "127.0.0.1", 0)
            url = world.sqs.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            there.set()

        loop.run_until_complete(listen())
        loop.run_forever()

    thread = threading.Thread(target=serve)
    thread.start()
    assert there.wait(30)
    try:
        yield url, asked
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("transport", HOT)
def test_the_sdks_carry_everything_or_our_own_what_it_speaks_and_the_verdict_is_the_same(
    gameday: Callable[..., Gameday], tmp_path: Path, transport: str
) -> None:
    path = tmp_path / "carried.yaml"
    path.write_text(SCENARIO.format(transport=transport))
    hot = HOT[transport]
    judged = []
    for carrier in ("sdk", "fast"):
        with broker() as (url, asked):
            run = gameday(str(path), "--endpoint-url", url, "--seed", "7", "--carrier", carrier)
            code, out, err = run.end()
        assert code == 0, (out, err)
        assert hot <= set(asked)
        # It has no words for itself, and the SDKs have.
        by_fast = {operation for operation, words in asked.items() if "" in words}
        assert by_fast == set() if carrier == "sdk" else hot <= by_fast
        manifest = json.loads((run.run / "manifest.json").read_bytes())
        assert manifest["scenario"]["carrier"] == carrier
        verdict = json.loads((run.run / "verdict.json").read_bytes())
        judged.append(
            (verdict["verdict"], [(claim["key"], claim["verdict"], claim["checked"]) for claim in verdict["claims"]])
        )
    assert judged[0] == judged[1]
    assert judged[0][0] == "holds"
