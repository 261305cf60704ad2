"""What a run tells its parts, where it depends on the target."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gameday import scenario
from gameday.setting import Setting
from gameday.target import Target, refuse_gaps, settle_s
from history.clock import NS_PER_S
from history.errors import TargetError
from transports.base import Product
from transports.endpoint import Endpoint


def setting(tmp_path: Path, *overrides: str) -> Setting:
    read = scenario.load(scenario.find("sns-filters"), overrides)
    return Setting(scenario=read, id="filters-1", directory=tmp_path, seed=7)


def target(product: Product) -> Target:
    return Target(
        kind="localstack",
        what="an endpoint",
        endpoint=Endpoint(urls={"*": "http://127.0.0.1:4566"}),
        cannot_show=[],
        product=product,
        settle_s=settle_s(product, ["sns", "sqs"]),
        tick_ns=0,
    )


@pytest.mark.parametrize("product", ["ministack", "localstack", "unknown"])
def test_an_emulators_filters_apply_at_once(tmp_path: Path, product: Product) -> None:
    promised = setting(tmp_path).manifest(target(product)).subscriptions
    assert {name for name, promise in promised.items() if promise.filtered} == {"euro", "large", "trusted"}
    assert all(promise.effective_from is None for promise in promised.values())


def test_aws_needs_a_quarter_of_an_hour_for_a_filter_and_none_for_what_has_none(tmp_path: Path) -> None:
    made = setting(tmp_path)
    promised = made.manifest(target("aws")).subscriptions
    assert promised["audit"].effective_from is None
    for name in ("euro", "large", "trusted"):
        effective_from = promised[name].effective_from
        assert effective_from is not None
        assert effective_from > made.clock.now_ns() + 15 * 60 * NS_PER_S


@pytest.mark.parametrize(("product", "expected"), [("ministack", 0), ("localstack", 15), ("aws", 600)])
def test_a_topic_that_delivers_late_is_waited_for(tmp_path: Path, product: Product, expected: float) -> None:
    promised = setting(tmp_path).manifest(target(product)).subscriptions
    assert {promise.settle_s for promise in promised.values()} == {expected}


def test_a_filter_that_the_target_reads_otherwise_is_refused_before_the_run(tmp_path: Path) -> None:
    policy = "topology.subscriptions=[{name: a, filter_on: body, filter: {detail: {items: {sku: [SKU-001]}}}}]"
    asked = setting(tmp_path, policy, "claims=[no-loss]", "chaos=[]")
    assert asked.needs == ["filter-arrays"]
    with pytest.raises(TargetError, match=r"filter-arrays: MiniStack's SNS does not look into the objects of an array"):
        refuse_gaps(target("ministack"), asked.transport, asked.needs)
    refuse_gaps(target("localstack"), asked.transport, asked.needs)
    assert setting(tmp_path).needs == []


@pytest.mark.parametrize(
    ("fault", "doubtful"),
    [
        ("{at: 6s, fault: stretch-processing, to: 3s, share: 2%, for: 2s}", [6.8]),
        ("{at: 6s, fault: stretch-processing, to: 3s, share: 4%, for: 2s}", []),
        ("{at: 11900ms, fault: lose-delete, share: 20%}", [3.4]),
        ("{at: 6s, fault: lose-delete, for: 100ms}", []),
        ("{at: 6s, fault: crash-at, point: after-effect, nth: 2}", []),
        ("{at: 6s, fault: kill-consumer}", []),
    ],
    ids=["rare", "less so", "to the load's end", "all of them", "the second", "no share"],
)
def test_a_fault_that_may_strike_nothing_is_noticed(fault: str, doubtful: list[float], tmp_path: Path) -> None:
    # Of 85 messages a second; each of two subscriptions gets all of them.
    made = setting(
        tmp_path,
        f"chaos=[{fault}]",
        "load.rate=85/s",
        "topology.subscriptions=[{name: a}, {name: b}]",
        "claims=[no-loss]",
        "load.duration=12s",
    )
    found = made.doubtful()
    assert [round(struck, 1) for _, struck, _ in found] == doubtful
    for _, struck, none in found:
        assert none == pytest.approx(math.exp(-struck), rel=0.5)


@pytest.mark.parametrize("name", scenario.names())
def test_no_shipped_scenario_has_a_fault_that_may_strike_nothing(name: str, tmp_path: Path) -> None:
    made = Setting(scenario=scenario.load(scenario.find(name)), id="run-1", directory=tmp_path, seed=7)
    assert made.doubtful() == []


@pytest.mark.parametrize(("field", "unmeant"), [("currency", []), ("curency", ["b"])])
def test_a_filter_that_no_order_passes_is_noticed(field: str, unmeant: list[str], tmp_path: Path) -> None:
    found = setting(
        tmp_path, "chaos=[]", f"topology.subscriptions=[{{name: a}}, {{name: b, filter: {{{field}: [EUR]}}}}]"
    )
    assert found.unmeant(found.topology(target("ministack"))) == unmeant
