"""A host's messages, held to Locust's own: its socket hears them, and is heard."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gameday.run.channel import Channel, packed, unpacked
from tests.series import in_series

# In a process of its own, for Locust brings gevent with it. It answers each message with its type and data.
_MASTER = """
from locust.rpc import Message, zmqrpc
server = zmqrpc.Server("127.0.0.1", 0)
print(server.port, flush=True)
while True:
    node, message = server.recv_from_client()
    assert node == message.node_id, (node, message.node_id)
    server.send_to_client(Message(message.type, {"heard": message.data, "of": node}, node))
"""


@in_series
def test_locusts_own_socket_hears_it_and_is_heard() -> None:
    async def scene(port: int) -> None:
        channel = Channel(f"127.0.0.1:{port}", name="b")
        try:
            nodes = []
            for _ in range(2):
                await channel.send("gameday-letter", {"n": 2**60, "s": "x", "l": [None, True]})
                kind, data = await asyncio.wait_for(channel.receive(), 20)
                assert (kind, data["heard"]) == ("gameday-letter", {"n": 2**60, "s": "x", "l": [None, True]})
                nodes.append(data["of"])
                channel.anew()
            assert len(set(nodes)) == 2 and all(node.startswith("b_") for node in nodes)
        finally:
            channel.close(linger_ms=0)

    with subprocess.Popen([sys.executable, "-c", _MASTER], stdout=subprocess.PIPE, text=True) as master:
        try:
            assert master.stdout is not None
            asyncio.run(scene(int(master.stdout.readline())))
        finally:
            master.kill()


def test_what_is_no_message_is_an_error() -> None:
    assert unpacked(packed("k", [1], "n")) == ("k", [1])
    for wrong in (b"", b"\xc1", packed("k", 1, "n")[:-1], b"\x01"):
        with pytest.raises(ValueError, match="no message"):
            unpacked(wrong)
