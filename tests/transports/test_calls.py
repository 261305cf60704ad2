"""AWS calls are counted by whoever carries them, with how they failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gameday.transports.base import Call, CallFailed
from gameday.transports.carriers import calls
from gameday.transports.carriers.aio import AioCarrier
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.carriers.calls import Calls
from gameday.transports.carriers.fast import FastCarrier
from gameday.transports.endpoint import Endpoint
from tests.transports.test_fast_carrier import CALL, OK, Server, http

NO = b'{"__type":"com.amazonaws.sqs#OverLimit","message":"too much"}'


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setattr(calls, "_calls", None)
    return calls.count_calls()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server([http("200 OK", OK), http("400 Bad Request", NO), None])
    yield server
    server.close()


def call(carrier: str, endpoint: Endpoint, times: int) -> None:
    if carrier == "aio":
        asyncio.run(call_with_aio(endpoint, times))
        return
    carry = (
        BotoCarrier(endpoint)
        if carrier == "boto"
        else FastCarrier(endpoint, services=("sqs",), read_timeout_s=5).for_one_user()
    )
    for _ in range(times):
        with suppress(CallFailed):
            carry(CALL)


async def call_with_aio(endpoint: Endpoint, times: int) -> None:
    carrier = AioCarrier(endpoint, read_timeout_s=5, connections=1)
    for _ in range(times):
        with suppress(CallFailed):
            await carrier(CALL)
    await carrier.close()


def values(tally: Calls) -> dict[str, float]:
    samples = (sample for metric in tally.collect() for sample in metric.samples)
    return {
        " ".join([s.name.removeprefix("gameday_aws_call_"), *s.labels.values()]): s.value
        for s in samples
        if "le" not in s.labels and not s.name.endswith("_sum")
    }


@pytest.mark.parametrize("carrier", ["aio", "boto", "fast"])
def test_each_carrier_counts_its_calls(carrier: str, server: Server, tally: Calls) -> None:
    call(carrier, server.endpoint, 3)
    assert values(tally) == {
        "seconds_count sqs SendMessageBatch": 3,
        "errors_total sqs SendMessageBatch OverLimit": 1,
        "errors_total sqs SendMessageBatch ConnectionClosedError": 1,
    }


def test_nothing_is_counted_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_calls", None)
    calls.ended(CALL, calls.began())
    assert values(calls.count_calls()) == {}


def test_seconds_are_those_since_it_began(tally: Calls) -> None:
    calls.ended(CALL, time.perf_counter() - 3)
    (total,) = (s.value for m in tally.collect() for s in m.samples if s.name.endswith("_sum"))
    assert total == pytest.approx(3, abs=1)


def test_codes_that_never_end_come_to_one_label(tally: Calls) -> None:
    for n in range(60):
        calls.ended(Call("sqs", "X", {}), 0.0, CallFailed(f"E{n}", "", definite=False))
    errors = {name: count for name, count in values(tally).items() if name.startswith("errors")}
    assert len(errors) == 51
    assert errors["errors_total sqs X other"] == 10
