"""What a run tells its parts, where it depends on the target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gameday.history.clock import NS_PER_S
from gameday.history.errors import NotARun, TargetError
from gameday.history.manifest import load
from gameday.run.context import RunContext
from gameday.scenario import model
from gameday.scenario import reading as scenario
from gameday.targets.products import AWS, LOCALSTACK, MINISTACK, UNKNOWN, Product
from gameday.targets.target import Target
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint


def context(tmp_path: Path, *overrides: str) -> RunContext:
    read = scenario.load(scenario.find("sns-filters"), overrides)
    return RunContext(scenario=read, id="filters-1", directory=tmp_path, seed=7)


def target(product: Product) -> Target:
    endpoint = Endpoint(urls={"*": "http://127.0.0.1:4566"})
    return Target(kind="localstack", what="an endpoint", endpoint=endpoint, product=product, services=["sns", "sqs"])


@pytest.mark.parametrize("product", [MINISTACK, LOCALSTACK, UNKNOWN])
def test_an_emulators_filters_apply_at_once(tmp_path: Path, product: Product) -> None:
    promised = context(tmp_path).manifest(target(product)).subscriptions
    assert {name for name, promise in promised.items() if promise.filtered} == {"euro", "large", "trusted"}
    assert all(promise.effective_from is None for promise in promised.values())


def test_aws_needs_a_quarter_of_an_hour_for_a_filter_and_none_for_what_has_none(tmp_path: Path) -> None:
    made = context(tmp_path)
    promised = made.manifest(target(AWS)).subscriptions
    assert promised["audit"].effective_from is None
    for name in ("euro", "large", "trusted"):
        effective_from = promised[name].effective_from
        assert effective_from is not None
        assert effective_from > made.clock.now_ns() + 15 * 60 * NS_PER_S


@pytest.mark.parametrize(("product", "expected"), [(MINISTACK, 0), (LOCALSTACK, 15), (AWS, 600)])
def test_a_topic_that_delivers_late_is_waited_for(tmp_path: Path, product: Product, expected: float) -> None:
    promised = context(tmp_path).manifest(target(product)).subscriptions
    assert {promise.settle_s for promise in promised.values()} == {expected}


def test_a_filter_that_the_target_reads_otherwise_is_refused_before_the_run(tmp_path: Path) -> None:
    policy = "topology.subscriptions=[{name: a, filter_on: body, filter: {detail: {items: {sku: [SKU-001]}}}}]"
    asked = context(tmp_path, policy, "claims=[no-loss]", "chaos=[]")
    assert model.needs_of(asked.scenario) == ["filter-arrays"]
    with pytest.raises(TargetError, match=r"filter-arrays: MiniStack's SNS does not look into the objects of an array"):
        target(MINISTACK).refuse_gaps(asked.transport, model.needs_of(asked.scenario))
    target(LOCALSTACK).refuse_gaps(asked.transport, model.needs_of(asked.scenario))
    assert model.needs_of(context(tmp_path).scenario) == []


def test_the_users_promise_stands_in_the_manifest_as_the_users(tmp_path: Path) -> None:
    made = context(
        tmp_path,
        "transport=sns-fifo",
        "chaos=[]",
        "topology.subscriptions=[{name: a, filter: {currency: [EUR]}, promises: at-least-once}, "
        "{name: b, filter: {currency: [EUR]}}, {name: c}]",
    )
    manifest = made.manifest(target(MINISTACK))
    manifest.save(tmp_path)
    read = load(tmp_path).subscriptions
    assert {name: (promise.promises, promise.promised_by) for name, promise in read.items()} == {
        "a": ("at-least-once", "user"),
        "b": ("at-most-once", None),
        "c": ("at-least-once", None),
    }


def test_only_the_user_promises_more_than_aws(tmp_path: Path) -> None:
    document = {"schema": 1, "subscriptions": {"a": {"promised_by": "somebody"}}, "claims": [{"claim": "no-loss"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(NotARun, match="promised_by is 'somebody'; it must be one of user"):
        load(tmp_path)


def test_consumers_and_load_serve_metrics_where_the_run_does(tmp_path: Path) -> None:
    there = context(tmp_path)
    assert there.metrics_host == "127.0.0.1"
    there = replace(there, metrics_host="0.0.0.0")
    topology = there.topology(target(MINISTACK))
    addresses = Addresses(send_to="t", queues={})
    consumers = there.consumers("audit", endpoint=Endpoint(), addresses=addresses)
    load = there.load(endpoint=Endpoint(), addresses=addresses, topology=topology)
    assert consumers.metrics_host == load.metrics_host == "0.0.0.0"
