"""Filter criteria of a mapping, and what they make of who expects a message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gameday.transports.base import Outgoing, SubscriptionSpec, Topology
from gameday.transports.filters.function_filter import check, expected, passes
from gameday.transports.registry import TRANSPORTS

EUR: dict[str, Any] = {"body": {"currency": ["EUR"]}}
TEXT: dict[str, Any] = {"body": ["go"]}


@pytest.mark.parametrize(
    "patterns, body, goes",
    [
        ([], "anything", True),
        ([EUR], '{"currency": "EUR"}', True),
        ([EUR], '{"currency": "USD"}', False),
        ([EUR], '{"currency": ["USD", "EUR"]}', True),
        # One of several is enough.
        ([EUR, {"body": {"currency": ["USD"]}}], '{"currency": "USD"}', True),
        # The table in with-sqs-filtering.html: a body of the other kind than its pattern is dropped.
        ([EUR], "EUR", False),
        ([EUR], '"EUR"', False),
        ([TEXT], "go", True),
        ([TEXT], "stop", False),
        ([TEXT], '{"go": 1}', False),
        ([{"body": {"total": [{"numeric": [">", 5]}]}}], '{"total": 6}', True),
    ],
)
def test_which_messages_a_function_sees(patterns: list[dict[str, Any]], body: str, goes: bool) -> None:
    assert passes(patterns, body) is goes


def test_of_a_stream_its_data_is_asked_for() -> None:
    (asked,) = [{"data": {"currency": ["EUR"]}}]
    assert passes([asked], '{"currency": "EUR"}', asks="data")
    assert not passes([asked], '{"currency": "USD"}', asks="data")
    check([asked], asks="data")
    with pytest.raises(ValueError, match=r"a stream's record .* `data` alone, not for body"):
        check([EUR], asks="data")
    # Its data must be JSON, and so must be what is asked of it.
    assert not passes([asked], "EUR", asks="data")
    with pytest.raises(ValueError, match="by its fields"):
        check([{"data": ["EUR"]}], asks="data")


@pytest.mark.parametrize(
    "patterns, why",
    [
        ([], "no pattern"),
        ([EUR] * 6, "takes 5"),
        ([{"detail": {"a": [1]}}], "`body` alone, not for detail"),
        ([{}], "not for nothing"),
        ([{"body": {"a": [{"nearly": 1}]}}], "nearly"),
    ],
)
def test_what_is_refused(patterns: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(patterns)


def test_what_a_filter_drops_nobody_expects() -> None:
    def names(currency: str, *filters: dict[str, Any], transport: str = "sqs") -> list[str]:
        topology = Topology(subscriptions=[SubscriptionSpec(name="orders", invoked_for=filters)])
        message = Outgoing(id="a", body=json.dumps({"currency": currency}), group=None, dedup_id=None)
        return expected(TRANSPORTS[transport], topology, message)

    assert (names("EUR"), names("EUR", EUR), names("USD", EUR)) == (["orders"], ["orders"], [])
    of_data = {"data": EUR["body"]}
    assert names("EUR", of_data, transport="kinesis") == ["orders"]
    assert names("USD", of_data, transport="kinesis") == []
