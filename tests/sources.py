"""What a test consumes from, where it knows which kind that is."""

from __future__ import annotations

from gameday.transports.base import Addresses, QueueSource, StreamSource, Transport


def queue(transport: Transport, addresses: Addresses, subscription: str) -> QueueSource:
    source = transport.subscription(addresses, subscription)
    assert source.kind == "queue"
    return source


def stream(transport: Transport, addresses: Addresses, subscription: str) -> StreamSource:
    source = transport.subscription(addresses, subscription)
    assert source.kind == "stream"
    return source
