"""What filters ask of the service that carries them out, told before a run."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.targets.products import PRODUCTS
from gameday.transports.base import Capability, Deployed, SubscriptionSpec, Topology
from gameday.transports.filters.event_pattern import EVENTBRIDGE
from gameday.transports.filters.reach import asks
from gameday.transports.registry import TRANSPORTS

SKU: dict[str, Any] = {"detail": {"items": {"sku": [{"prefix": "SKU-0"}]}}}
BOTH: dict[str, Any] = {"detail": {"items": {"sku": [{"prefix": "SKU-0"}], "quantity": [1]}}}
DOTTED: dict[str, Any] = {"detail.currency": ["EUR"]}
PLAIN: dict[str, Any] = {"detail": {"currency": ["EUR"], "metadata": {"domain": ["orders"]}}}


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        (PLAIN, set()),
        ({"detail": {"note": [{"prefix": "a.b"}, "c.d"]}}, set()),
        (SKU, {"filter-arrays"}),
        ({"detail": {"items": {"coupon": [{"exists": False}]}}}, {"filter-arrays"}),
        (BOTH, {"filter-arrays", "filter-arrays-together"}),
        ({"detail": {"items": {"$or": [{"sku": ["a"]}, {"quantity": [1]}]}}}, {"filter-arrays"}),
        (DOTTED, {"filter-dots"}),
        ({"$or": [DOTTED, {"source": ["x"]}]}, {"filter-dots"}),
        ({"detail": {"items.sku": ["SKU-001"]}}, {"filter-dots", "filter-arrays"}),
        # The array itself, and a field whose name only begins as its does.
        ({"detail": {"items": [{"exists": True}], "itemsTotal": [3]}}, set()),
    ],
)
def test_arrays_and_dots_are_noticed_and_nothing_else(document: dict[str, Any], asked: set[Capability]) -> None:
    assert asks(document, EVENTBRIDGE) == asked


def sns(filter: dict[str, Any] | None = None, *, deployed: Deployed | None = None, on: Any = "body") -> Topology:
    return Topology(subscriptions=[SubscriptionSpec(name="s", filter=filter, filter_on=on, deployed=deployed)])


def bus(pattern: dict[str, Any] | None = None, *, deployed: Deployed | None = None) -> Topology:
    return Topology(subscriptions=[SubscriptionSpec(name="s", pattern=pattern, deployed=deployed)])


@pytest.mark.parametrize(
    ("transport", "topology", "needs"),
    [
        ("sns", sns(SKU), {"filter-arrays"}),
        ("sns-fifo", sns(BOTH), {"filter-arrays", "filter-arrays-together"}),
        ("sns", sns(PLAIN), set()),
        ("sns", sns(), set()),
        # What is carried out counts, and not what is meant.
        ("sns", sns(SKU, deployed=Deployed(filter=PLAIN)), set()),
        ("sns", sns(SKU, deployed=Deployed(filter={})), set()),
        ("sns", sns(SKU, deployed=Deployed(missing=True)), set()),
        ("sns", sns(PLAIN, deployed=Deployed(filter=DOTTED)), {"filter-dots"}),
        # The name of a message attribute may have dots.
        ("sns", sns({"a.b": ["x"]}, on="attributes"), set()),
        ("eventbridge", bus(SKU), {"filter-arrays"}),
        ("eventbridge", bus(), set()),
        ("eventbridge", bus(SKU, deployed=Deployed(missing=True)), set()),
        ("eventbridge", bus(PLAIN, deployed=Deployed(pattern=DOTTED)), {"filter-dots"}),
        ("sqs", bus(), set()),
        ("kinesis", bus(), set()),
    ],
)
def test_a_topology_needs_what_its_deployed_filters_ask_for(
    transport: str, topology: Topology, needs: set[Capability]
) -> None:
    assert set(TRANSPORTS[transport].needs(topology)) == needs


FILTERS = {"filter-arrays", "filter-arrays-together", "filter-dots"}


@pytest.mark.parametrize(
    ("transport", "product", "lacks"),
    [
        ("sns", "ministack", {"filter-arrays", "filter-dots"}),
        ("sns-fifo", "localstack", {"filter-arrays-together"}),
        ("sns", "moto", {"filter-arrays-together", "filter-dots"}),
        ("eventbridge", "ministack", {"filter-dots"}),
        ("eventbridge", "localstack", {"filter-arrays-together"}),
        ("eventbridge", "moto", {"filter-arrays"}),
        ("sns", "memory", set()),
        ("eventbridge", "aws", set()),
    ],
)
def test_a_product_lacks_what_was_seen_to_fail_there(transport: str, product: str, lacks: set[str]) -> None:
    assert PRODUCTS[product].gaps_of(TRANSPORTS[transport]).keys() & FILTERS == lacks
