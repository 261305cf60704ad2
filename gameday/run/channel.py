"""A host's place at Locust's master: messages there and back, as Locust's own workers send them.

Locust's messaging is ZeroMQ with a tuple of type, data and sender in MessagePack (locust/rpc/protocol.py); a worker of
Locust's would be given users to run, and would bring gevent with it, so this speaks as one and registers as none. It
promises to reach the master again by itself when it was away, under another name each time that `anew` asks for it:
a ROUTER keeps the place of one whose connection broke without a word, and lets nobody else have it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types
import zmq
import zmq.asyncio


def packed(kind: str, data: object, node: str) -> bytes:
    message: bytes = msgpack.packb((kind, data, node))
    return message


def unpacked(message: bytes) -> tuple[str, Any]:
    """Its type and data. Errors: ValueError for what is no message."""
    try:
        kind, data, _ = msgpack.unpackb(message, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"no message of Locust's: {error}") from error
    return kind, data


class Channel:
    """`master` is HOST:PORT; `name` is for people who read Locust's log."""

    def __init__(self, master: str, *, name: str) -> None:
        self._master = master
        self._name = name
        self._context = zmq.asyncio.Context()
        self._node, self._socket = self._opened()

    async def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """What finds no room is lost: whoever must be heard says it again."""
        try:
            await self._socket.send(packed(kind, data, self._node), zmq.NOBLOCK)
        except zmq.Again:
            return

    async def receive(self) -> tuple[str, Any]:
        """The next message. Errors: ValueError for what is none."""
        return unpacked(await self._socket.recv())

    def anew(self) -> None:
        """Nobody may be waiting for a message meanwhile."""
        self._socket.close(linger=0)
        self._node, self._socket = self._opened()

    def close(self, linger_ms: int) -> None:
        self._socket.close(linger=linger_ms)
        self._context.term()

    def _opened(self) -> tuple[str, zmq.asyncio.Socket]:
        node = f"{self._name}_{uuid.uuid4().hex}"
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, node.encode())
        # As Locust's client sets it.
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        if self._master.startswith("["):
            socket.setsockopt(zmq.IPV6, 1)
        socket.connect(f"tcp://{self._master}")
        return node, socket
