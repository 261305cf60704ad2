"""The load's configuration: what is saved is loaded, and what cannot be used says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history.clock import Clock
from gameday.history.errors import UsageError
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import OwnMessages
from gameday.transports.base import Addresses, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint


def config(**changes: Any) -> LoadConfig:
    return LoadConfig(
        **{
            "run_dir": "runs/r1",
            "run": "r1",
            "clock": str(Clock.start()),
            "endpoint": Endpoint(urls={"*": "http://127.0.0.1:1"}, access_key="a", secret_key="b"),
            "transport": "sqs-fifo",
            "addresses": Addresses(send_to="q", queues={"orders": "q"}, dead_letter_queues={"orders": "d"}),
            "topology": Topology(subscriptions=[SubscriptionSpec(name="orders")], visibility_timeout_s=2.5),
            "shape": "ramp",
            "rate_per_s": 200.0,
            "duration_s": 30.0,
            "params": {"from": 20.0},
            **changes,
        }
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    config().save(path)
    loaded = LoadConfig.load(path)
    assert loaded == config(clock=loaded.clock)
    assert loaded.schedule().total == 3300


def test_messages_of_the_users_own_are_saved_with_it(tmp_path: Path) -> None:
    own = OwnMessages(kind="template", template={"id": ["{n}"]}, id="/id/0", attributes={"a": "b"})
    path = tmp_path / "load.json"
    config(own=own).save(path)
    loaded = LoadConfig.load(path)
    assert loaded.own == own
    source = loaded.source()
    assert source is not None
    assert [message.id for message in loaded.schedule(source).messages(0)][:2] == ["1", "2"]


def test_a_queue_alone_is_enough() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/1/orders.fifo"
    made = LoadConfig.for_queue(url, rate_per_s=10, duration_s=60)
    assert (made.transport, made.addresses.send_to, made.schedule().total) == ("sqs-fifo", url, 600)
    assert LoadConfig.for_queue(url.removesuffix(".fifo"), rate_per_s=1, duration_s=1).transport == "sqs"
    with pytest.raises(UsageError, match="rate"):
        LoadConfig.for_queue(url, rate_per_s=0, duration_s=1)


def test_a_queue_is_where_its_url_says() -> None:
    def endpoint(url: str, environ: dict[str, str]) -> Endpoint:
        return LoadConfig.for_queue(url, rate_per_s=1, duration_s=1, environ=environ).endpoint

    local, at = "http://127.0.0.1:14566/000000000000/orders", "http://127.0.0.1:14566"
    made_up = endpoint(local, {})
    assert (made_up.url("sqs"), made_up.access_key, made_up.secret_key) == (at, "test", "test")
    assert endpoint(local, {"AWS_ENDPOINT_URL": f"{at}/"}).url("sqs") == at
    assert endpoint(local, {"AWS_ENDPOINT_URL_SQS": at, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}).url("sqs") == at
    assert endpoint(local, {"AWS_ACCESS_KEY_ID": "x"}).access_key is None
    for url in ("https://sqs.eu-west-1.amazonaws.com/1/orders", "https://sqs.cn-north-1.amazonaws.com.cn/1/orders"):
        aws = endpoint(url, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
        assert (aws.urls, aws.access_key) == ({}, None)


@pytest.mark.parametrize(
    ("url", "environ", "said"),
    [
        (
            "http://127.0.0.1:2/0/q",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "AWS_ENDPOINT_URL says http://127.0.0.1:1;",
        ),
        ("http://127.0.0.1:2/0/q", {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"}, "AWS_ENDPOINT_URL_SQS says"),
        ("https://amazonaws.com.example/0/q", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "the queue is at https://"),
        ("orders", {}, "'orders' is no queue URL"),
        ("http://127.0.0.1:4566/", {}, "is no queue URL"),
        ("http://[::1/0/q", {}, "is no queue URL"),
    ],
)
def test_a_queue_that_is_nowhere_or_in_two_places(url: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        LoadConfig.for_queue(url, rate_per_s=1, duration_s=1, environ=environ)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_writers() -> None:
    assert config().writers == ["load"]
    assert config(processes=3).writers == ["load-0", "load-1", "load-2"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"shape": "square"}, "no shape is called 'square'; known are constant"),
        ({"params": {"from": -1.0}}, "shape ramp: from: Input should be greater"),
        ({"params": {"to": 1.0}}, "shape ramp: to: Extra inputs"),
        ({"transport": "carrier-pigeon"}, "no transport is called 'carrier-pigeon'"),
        ({"users": 0}, "users is 0; at least 1"),
        ({"users": 1, "processes": 2}, "2 processes share 1 users"),
        ({"retry": "nine"}, "retry is 'nine'; it is one of ordered, unordered, none"),
        ({"topology": {"nonsense": 1}}, "lacks a field or has one too many"),
        ({"nonsense": 1}, "lacks a field or has one too many"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "load.json"
    path.write_bytes(orjson.dumps({**config().to_json(), **change}))
    with pytest.raises(UsageError) as refused:
        LoadConfig.load(path)
    assert complaint in str(refused.value)


def test_a_file_that_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        LoadConfig.load(tmp_path / "nothing.json")
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        LoadConfig.load(tmp_path / "torn.json")
