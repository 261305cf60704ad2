"""A rate above what was seen is told before the run, in one sentence; one below it is not."""

from __future__ import annotations

import pytest

from gameday.scenario import reading
from gameday.scenario.document import parse
from gameday.scenario.model import Scenario
from gameday.scenario.rates import CONSUMER, PRODUCER, SEEN, warning
from gameday.targets.products import AWS, LOCALSTACK, MEMORY, MINISTACK, PRODUCTS, Product
from gameday.transports.registry import TRANSPORTS


def scenario(rate: str, *, transport: str = "sqs-fifo", load: str = "", processes: int = 8) -> Scenario:
    text = f"""\
name: fast
transport: {transport}
load: {{rate: {rate}, duration: 10s, groups: 100{load}}}
consumers: {{processes: {processes}}}
claims: [no-loss]
"""
    return reading.resolve(parse(text, name="fast.yaml"))


@pytest.mark.parametrize(
    ("product", "transport", "least", "most"),
    [
        (MINISTACK, "sqs-fifo", "240/s", "241/s"),
        (MINISTACK, "sqs", "240/s", "241/s"),
        (LOCALSTACK, "sqs", "1000/s", "1001/s"),
        (LOCALSTACK, "sns-fifo", "50/s", "51/s"),
        # A call has ten: of Kinesis 10 calls a second, of EventBridge 3.
        (LOCALSTACK, "kinesis", "100/s", "101/s"),
        (LOCALSTACK, "eventbridge", "30/s", "31/s"),
    ],
)
def test_what_a_target_was_seen_to_do(product: Product, transport: str, least: str, most: str) -> None:
    assert warning(scenario(least, transport=transport), product, cores=64) is None
    told = warning(scenario(most, transport=transport), product, cores=64)
    assert told is not None
    assert told.startswith(f"fast.yaml:3: load.rate asks for up to {float(most[:-2]):,.10g} messages a second")
    assert f"this target ({product.name}) has been seen to do {float(least[:-2]):,.0f} (" in told


def test_larger_batches_send_more_where_calls_are_what_counts() -> None:
    assert warning(scenario("900/s", transport="kinesis", load=", batch: 100"), LOCALSTACK, cores=64) is None
    assert warning(scenario("950/s", transport="kinesis", load=", batch: 100"), LOCALSTACK, cores=64)


def test_the_highest_moment_of_a_load_counts() -> None:
    ramp = ", shape: ramp, from: 20/s"
    assert warning(scenario("250/s", load=ramp), MINISTACK, cores=64)
    assert warning(scenario("230/s", load=ramp), MINISTACK, cores=64) is None


def test_one_process_of_load() -> None:
    told = warning(scenario("14100/s"), AWS, cores=64)
    assert told is not None and "a load of one process has been seen to do 14,000" in told
    assert warning(scenario("14100/s", load=", processes: 2"), AWS, cores=64) is None


def test_few_consumers() -> None:
    told = warning(scenario("8100/s", processes=1), MEMORY, cores=64)
    assert told is not None and "one consumer has been seen to do 8,000" in told
    assert warning(scenario("8100/s", processes=2), MEMORY, cores=64) is None


def test_a_machine_that_is_too_small_for_both() -> None:
    # 1 / 14,000 and 1 / 8,000 of a second for each message, on two cores.
    told = warning(scenario("10200/s"), MEMORY, cores=2)
    assert told is not None and "gameday on 2 cores, as here, has been seen to do 10,182" in told
    assert warning(scenario("10100/s"), MEMORY, cores=2) is None
    assert warning(scenario("10200/s"), MEMORY, cores=None) is None


def test_consumers_that_are_not_ours_cost_nothing_known() -> None:
    document = parse(
        """\
name: theirs
transport: sqs-fifo
load: {rate: 4000/s, duration: 10s, groups: 100}
consumers: {command: [/bin/true], processes: 1}
claims: [no-loss]
""",
        name="theirs.yaml",
    )
    assert warning(reading.resolve(document), MEMORY, cores=2) is None


@pytest.mark.parametrize("name", reading.names())
def test_what_is_shipped_asks_for_no_more_on_the_default_target(name: str) -> None:
    assert warning(reading.load(reading.find(name)), MINISTACK, cores=2) is None


def test_the_table_speaks_of_what_there_is() -> None:
    services = {service for transport in TRANSPORTS.values() for service in transport.services}
    assert {(product in PRODUCTS, service in services) for product, service in SEEN} == {(True, True)}
    assert all(each.source and each.how for each in [*SEEN.values(), *PRODUCER.values(), *CONSUMER.values()])
