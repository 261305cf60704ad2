"""Filter criteria of an event source mapping on a queue: whether a function is to see a message, decided by us.

Patterns are EventBridge's. By docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html: of a queue `body` can be
asked for. A body that is a JSON object is looked into; a text is matched as a whole by a pattern that asks for one; a
message whose body is of the other kind than its pattern is dropped. One pattern that matches is enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.transports.base import Outgoing, Topology, Transport
from gameday.transports.filters import event_pattern

_BODY = "body"
# docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
PATTERNS_MAX = 5


def passes(patterns: Sequence[Mapping[str, Any]], body: str) -> bool:
    """Whether a message with this body is handed to the function; with no pattern each one is."""
    if not patterns:
        return True
    try:
        told = json.loads(body)
    except ValueError:
        told = body
    if not isinstance(told, dict):
        told = body
    return any(_matches(pattern, told) for pattern in patterns)


def expected(transport: Transport, topology: Topology, message: Outgoing) -> list[str]:
    """The subscriptions that must get this message, and where a function has a filter, hand it on."""
    names = transport.expect(topology, message)
    if not any(spec.invoked_for for spec in topology.subscriptions):
        return names
    passing = {spec.name for spec in topology.subscriptions if passes(spec.invoked_for, message.body)}
    return [name for name in names if name in passing]


def _matches(pattern: Mapping[str, Any], body: object) -> bool:
    asked = pattern.get(_BODY)
    if asked is not None and isinstance(asked, dict) != isinstance(body, dict):
        return False
    return event_pattern.matches(pattern, {_BODY: body})


def check(patterns: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError for criteria that are refused, or that can never match: which field, what to write."""
    if not patterns:
        raise ValueError("it holds no pattern; remove it, or write one like {body: {detail: {currency: [EUR]}}}")
    if len(patterns) > PATTERNS_MAX:
        raise ValueError(f"{len(patterns)} patterns, and a mapping takes {PATTERNS_MAX}")
    for pattern in patterns:
        if set(pattern) != {_BODY}:
            asked = ", ".join(map(str, pattern)) or "nothing"
            raise ValueError(f"of a queue's message a pattern here can ask for `{_BODY}` alone, not for {asked}")
        event_pattern.check(pattern)
