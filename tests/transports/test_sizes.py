"""What each service takes: the transports measure as our own brokers do, which measure as AWS documents it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gameday.emulator.services import SERVICES, World
from gameday.emulator.wire import Refused
from gameday.history import envelope
from gameday.transports.aws_errors import is_permanent
from gameday.transports.base import Addresses, Call, Outgoing, SubscriptionSpec, Topology
from gameday.transports.registry import TRANSPORTS
from tests.emulator.inside import Inside
from tests.transports.asked import Asked

TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")])
RAISED = replace(TOPOLOGY, max_message_bytes=1024 * 1024)


def message(least: int) -> Outgoing:
    body = envelope.pack(id="g1-1", run="r", group="g1", timestamp_ns=10**18, payload_bytes=least).decode()
    return Outgoing(id="g1-1", body=body, group="g1", dedup_id="r-g1-1")


def of_size(transport: str, topology: Topology, bytes: int) -> Outgoing:
    """A message that this service measures as so many bytes."""
    made = TRANSPORTS[transport].size(topology, message(10_000)).sent - 10_000
    found = message(bytes - made)
    assert TRANSPORTS[transport].size(topology, found).sent == bytes
    return found


class Broker:
    """A queue, a topic, a bus or a stream of our own broker."""

    def __init__(self, transport: str, topology: Topology) -> None:
        self.transport, inside = TRANSPORTS[transport], Inside()
        kinesis = Asked("kinesis", SERVICES["kinesis"].make(World()))
        kind = ".fifo" if self.transport.ordered else ""
        if transport == "kinesis":
            kinesis("CreateStream", StreamName="s", ShardCount=1)
            self.ask, target = kinesis, "s"
        elif transport == "eventbridge":
            inside.events("CreateEventBus", Name="b")
            self.ask, target = inside.events, "b"
        elif transport.startswith("sns"):
            size = topology.max_message_bytes
            attributes = {} if size is None else {"MaximumMessageSize": str(size)}
            self.ask, target = inside.sns, inside.topic(f"t{kind}", **attributes)
        else:
            self.ask, target = inside.sqs, inside.queue(f"q{kind}")
        self.addresses = Addresses(send_to=target)

    def outcomes(self, messages: Sequence[Outgoing]) -> list[str]:
        call: Call = self.transport.send(self.addresses, messages)
        try:
            answer: dict[str, Any] = self.ask(call.operation, **_on_the_wire(call.params))
        except Refused as refused:
            assert is_permanent(refused.code), refused.code
            return ["refused"] * len(messages)
        outcomes = self.transport.sent(answer, messages)
        assert all(each.final == (each.outcome == "failed") for each in outcomes)
        return ["refused" if each.final else each.outcome for each in outcomes]


def _on_the_wire(params: Mapping[str, Any]) -> dict[str, Any]:
    """A record's data is a blob, which travels as base64."""
    records = [{**each, "Data": base64.b64encode(each["Data"]).decode()} for each in params.get("Records", ())]
    return {**params, **({"Records": records} if records else {})}


CASES = [
    ("sqs", TOPOLOGY, 1_048_576, 1_048_576),
    ("sqs-fifo", TOPOLOGY, 1_048_576, 1_048_576),
    ("sns", TOPOLOGY, 262_144, 262_144),
    ("sns-fifo", TOPOLOGY, 262_144, 262_144),
    ("sns", RAISED, 1_048_576, 1_048_576),
    ("eventbridge", TOPOLOGY, 1_048_576, 1_048_576),
    ("kinesis", TOPOLOGY, 1_048_576, 10_485_760),
]


@pytest.mark.parametrize(("transport", "topology", "most", "call"), CASES)
def test_a_message_of_the_limit_passes_and_one_byte_more_is_refused_for_good(
    transport: str, topology: Topology, most: int, call: int
) -> None:
    limits = TRANSPORTS[transport].limits(topology)
    assert (limits.message, limits.call) == (most, call)
    broker = Broker(transport, topology)
    assert broker.outcomes([of_size(transport, topology, most)]) == ["ok"]
    assert broker.outcomes([of_size(transport, topology, most + 1)]) == ["refused"]


@pytest.mark.parametrize(("transport", "topology", "most", "call"), CASES)
def test_a_call_of_the_limit_passes_and_one_byte_more_is_refused_for_good(
    transport: str, topology: Topology, most: int, call: int
) -> None:
    entries = 11 if transport == "kinesis" else 10
    each, rest = call // entries, call - (entries - 1) * (call // entries)
    broker = Broker(transport, topology)
    first = [of_size(transport, topology, each)] * (entries - 1)
    assert set(broker.outcomes([*first, of_size(transport, topology, rest)])) == {"ok"}
    assert set(broker.outcomes([*first, of_size(transport, topology, rest + 1)])) == {"refused"}


@pytest.mark.parametrize("raw", [True, False])
def test_what_arrives_behind_a_topic_is_never_longer_than_was_said(raw: bool) -> None:
    topology = Topology(subscriptions=[SubscriptionSpec(name="orders", raw=raw)])
    inside = Inside()
    queue, topic = inside.queue(), inside.topic()
    inside.subscribe(topic, queue, RawMessageDelivery="true" if raw else "false")
    sent = message(5_000)
    call = TRANSPORTS["sns"].send(Addresses(send_to=topic), [sent])
    inside.sns(call.operation, **call.params)
    (arrived,) = inside.bodies(queue)
    size = TRANSPORTS["sns"].size(topology, sent)
    assert len(sent.body) <= len(arrived) <= size.arrives


def test_what_arrives_behind_a_bus_is_never_longer_than_was_said() -> None:
    inside = Inside()
    queue = inside.queue()
    inside.rule("all", {"source": [envelope.SOURCE]}, queue)
    sent = message(5_000)
    call = TRANSPORTS["eventbridge"].send(Addresses(send_to="b"), [sent])
    inside.events(call.operation, **call.params)
    (arrived,) = inside.bodies(queue)
    assert len(sent.body) < len(arrived) <= TRANSPORTS["eventbridge"].size(TOPOLOGY, sent).arrives


@pytest.mark.parametrize(
    "code",
    [
        "InvalidParameter",
        "InvalidParameterValue",
        "InvalidMessageContents",
        "BatchRequestTooLong",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "ValidationException",
        "ValidationError",
        "InvalidArgumentException",
        "MalformedDetail",
        "SerializationException",
        "ParamValidationError",
    ],
)
def test_what_finds_fault_with_the_message_is_permanent(code: str) -> None:
    assert is_permanent(code)


@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "InternalFailure",
        "ReadTimeoutError",
        "EndpointConnectionError",
        # Somebody may mend these while the run goes on.
        "AccessDenied",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NotFound",
        "ExpiredToken",
        "KMSDisabledException",
        "None",
    ],
)
def test_what_may_pass_another_time_is_not(code: str) -> None:
    assert not is_permanent(code)
