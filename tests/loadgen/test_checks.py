"""What a service would refuse is said before it is sent, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gameday.history.clock import Clock
from gameday.loadgen.checks import Checks
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import Ask, Made, OwnMessages
from gameday.transports.base import Addresses, Attribute, Outgoing, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests.transports.test_sizes import Broker

TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders", raw=False)], own_messages=True)
ASK = Ask(1, "g0", 1, "m1", 10**18)


def checks(transport: str, *, batch: int = 1, own: Mapping[str, Any] | None = None, **topology: Any) -> Checks:
    config = LoadConfig(
        run_dir="",
        run="r",
        clock=str(Clock.start()),
        endpoint=Endpoint(),
        transport=transport,
        addresses=Addresses(send_to=""),
        topology=replace(TOPOLOGY, **topology),
        rate_per_s=1,
        duration_s=1,
        batch=batch,
        own=OwnMessages(kind="template", template="x", **(own or {})),
    )
    return Checks(config=config, where=lambda number: f"message {number}")


def made(body: str, **more: Any) -> Made:
    return Made(**{"body": body, "dedup_id": None, "key": None, "attributes": {}, **more})


def event(bytes: int) -> str:
    return orjson.dumps({"source": "s", "detail-type": "t", "detail": {"a": "x" * bytes}}).decode()


def of_size(found: Checks, bytes: int) -> Made:
    """A message that the service measures as so many bytes."""

    def size(message: Made) -> int:
        outgoing = found.outgoing(message, ASK)
        return TRANSPORTS[found.config.transport].size(found.config.topology, outgoing).sent

    form = event if found.config.transport in ("eventbridge", "stepfunctions") else "x".__mul__
    attributes = (
        {}
        if found.config.transport in ("eventbridge", "kinesis", "stepfunctions")
        else {"a": Attribute("Number", "12")}
    )
    message = made(form(bytes - size(made(form(0), attributes=attributes))), attributes=attributes)
    assert size(message) == bytes
    return message


@pytest.mark.parametrize("transport", list(TRANSPORTS))
def test_the_largest_message_passes_and_one_byte_more_does_not(transport: str) -> None:
    found = checks(transport)
    most = TRANSPORTS[transport].limits(found.config.topology).message
    # What a topic or a bus puts around the largest that it takes may be more than a queue does.
    small = most - 4096 if transport == "eventbridge" else most
    good = of_size(found, small)
    assert list(found.wrong(good, ASK)) == []
    assert Broker(transport, found.config.topology).outcomes([found.outgoing(good, ASK)]) == ["ok"]
    (why,) = found.wrong(of_size(found, most + 1), ASK)
    assert f"{transport} takes {most}" in why and f"{most + 1} bytes" in why


def test_a_call_takes_the_whole_batch_or_says_how_many_it_takes() -> None:
    found = checks("sqs", batch=10)
    assert list(found.wrong(of_size(found, 1024 * 1024 // 10), ASK)) == []
    (why,) = found.wrong(of_size(found, 1024 * 1024 // 10 + 1), ASK)
    assert "10 messages of 104858 bytes" in why and "lower load.batch to 9" in why
    (why,) = checks("sns", batch=10, max_message_bytes=1024 * 1024).wrong(of_size(checks("sns"), 200_000), ASK)
    assert "lower load.batch to 5" in why


def test_what_a_topic_makes_of_a_message_must_fit_into_a_queue() -> None:
    found = checks("sns", max_message_bytes=1024 * 1024)
    (why,) = found.wrong(of_size(found, 1024 * 1024), ASK)
    assert "so that it would be lost" in why


@pytest.mark.parametrize(
    ("transport", "message", "ask", "why"),
    [
        ("sqs", made(""), ASK, "it is empty"),
        ("kinesis", made(""), ASK, "it is empty"),
        ("sqs", made("ab\x00"), ASK, "the character '\\x00' at place 3, which sqs takes in no body"),
        ("sns", made("\ufffe"), ASK, "which sns takes in no body"),
        ("kinesis", made("ab\x00"), ASK, None),
        ("sqs-fifo", made("x"), ASK._replace(group="two words"), "its group is 'two words', and sqs-fifo takes 1 to"),
        ("sns-fifo", made("x"), ASK._replace(group="x" * 129), "1 to 128 letters"),
        ("sqs-fifo", made("x"), ASK._replace(group="x" * 128), None),
        ("sqs", made("x"), ASK._replace(group="two words"), None),
        ("kinesis", made("x"), ASK._replace(group="two words"), None),
        ("kinesis", made("x"), ASK._replace(group="x" * 257), "1 to 256 characters"),
        ("sqs-fifo", made("x", dedup_id="é"), ASK, "its dedup_id is 'é'"),
        ("sqs-fifo", made("x"), ASK._replace(id="x" * 257), "its id has 257 characters"),
        ("sqs", made("x", attributes={"a": Attribute("String", "")}), ASK, "its attribute a is empty"),
        ("sqs", made("x", attributes={str(n): Attribute("String", "b") for n in range(9)}), ASK, None),
        ("sqs", made("x", attributes={str(n): Attribute("String", "b") for n in range(10)}), ASK, "10 attributes of"),
        ("eventbridge", made(event(1)), ASK, None),
        ("eventbridge", made("hello"), ASK, "it is not JSON"),
        ("eventbridge", made('{"source": "s", "detail": {}}'), ASK, 'a body is an event: {"source": "…"'),
        ("eventbridge", made('{"source": "s", "detail-type": "", "detail": {}}'), ASK, "a body is an event"),
        ("eventbridge", made('{"source": "s", "detail-type": "t", "detail": []}'), ASK, "a body is an event"),
        ("eventbridge", made('{"source": "s", "detail-type": "t", "detail": {}, "id": 1}'), ASK, "a body is an event"),
    ],
)
def test_what_a_service_does_not_take_is_said(transport: str, message: Made, ask: Ask, why: str | None) -> None:
    told = list(checks(transport).wrong(message, ask))
    assert [why in each for each in told] == [True] if why is not None else told == []


def test_what_must_be_of_one_message_is_of_one() -> None:
    def taken(found: Checks, *messages: tuple[int, str, str | None]) -> Iterator[list[str]]:
        for number, id, dedup_id in messages:
            yield list(found.wrong(made("x", dedup_id=dedup_id), ASK._replace(number=number, id=id)))

    one, again, other, swallowed = taken(
        checks("sqs-fifo", own={"id": "/id"}), (1, "a", "d1"), (2, "a", "d2"), (3, "b", "d3"), (4, "c", "d1")
    )
    assert one == other == []
    assert again == [
        "its id 'a' is that of message 1 as well, and an id must be of one message: point `id` at a value that is "
        "unique, or leave it out where the broker's own id tells"
    ]
    assert swallowed == [
        "its dedup_id 'd1' is that of message 1 as well: the broker would swallow it, and it would be lost"
    ]


def test_the_trace_beside_a_message_counts() -> None:
    outgoing = checks("sqs").outgoing(made("x"), ASK)
    assert isinstance(outgoing, Outgoing) and outgoing.traceparent is not None
    assert TRANSPORTS["sqs"].size(TOPOLOGY, outgoing).sent == 1 + len("traceparent") + len("String") + 55
