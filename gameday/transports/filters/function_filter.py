"""Filter criteria of an event source mapping: whether a function is to see a message, decided by us.

Patterns are EventBridge's. By with-sqs-filtering.html and with-kinesis-filtering.html of
docs.aws.amazon.com/lambda/latest/dg: of a queue `body` can be asked for, of a stream `data`, decoded, and nothing else.
One that is a JSON object is looked into; a body that is text is matched as a whole by a pattern that asks for one, and
of data no pattern may do that; a message that is of the other kind than its pattern is dropped. One pattern that
matches is enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gameday.transports.base import Outgoing, Topology, Transport
from gameday.transports.filters import event_pattern

Asks = Literal["body", "data"]
# docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
PATTERNS_MAX = 5


def asks_of(transport: Transport) -> Asks:
    """Where a message's body stands in what a mapping filters."""
    return "data" if transport.kind == "stream" else "body"


def passes(patterns: Sequence[Mapping[str, Any]], body: str, *, asks: Asks = "body") -> bool:
    """Whether a message with this body is handed to the function; with no pattern each one is."""
    if not patterns:
        return True
    try:
        told = json.loads(body)
    except ValueError:
        told = body
    if not isinstance(told, dict):
        told = body
    return any(_matches(pattern, asks, told) for pattern in patterns)


def expected(transport: Transport, topology: Topology, message: Outgoing) -> list[str]:
    """The subscriptions that must get this message, and where a function has a filter, hand it on."""
    names = transport.expect(topology, message)
    if not any(spec.invoked_for for spec in topology.subscriptions):
        return names
    asks = asks_of(transport)
    passing = {spec.name for spec in topology.subscriptions if passes(spec.invoked_for, message.body, asks=asks)}
    return [name for name in names if name in passing]


def _matches(pattern: Mapping[str, Any], asks: Asks, body: object) -> bool:
    asked = pattern.get(asks)
    if asked is not None and isinstance(asked, dict) != isinstance(body, dict):
        return False
    return event_pattern.matches(pattern, {asks: body})


def check(patterns: Sequence[Mapping[str, Any]], *, asks: Asks = "body") -> None:
    """Raise ValueError for criteria that are refused, or that can never match: which field, what to write."""
    if not patterns:
        raise ValueError(
            f"it holds no pattern; remove it, or write one like {{{asks}: {{detail: {{currency: [EUR]}}}}}}"
        )
    if len(patterns) > PATTERNS_MAX:
        raise ValueError(f"{len(patterns)} patterns, and a mapping takes {PATTERNS_MAX}")
    for pattern in patterns:
        if set(pattern) != {asks}:
            asked = ", ".join(map(str, pattern)) or "nothing"
            what = "a queue's message" if asks == "body" else "a stream's record"
            raise ValueError(f"of {what} a pattern here can ask for `{asks}` alone, not for {asked}")
        if asks == "data" and not isinstance(pattern[asks], dict):
            raise ValueError("of a stream's record `data` is asked for by its fields, like {data: {detail: …}}")
        event_pattern.check(pattern)
