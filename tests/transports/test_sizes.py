"""What each service takes: the transports measure as our own brokers do, which measure as AWS documents it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gameday.history import envelope, trace
from gameday.transports.aws_errors import is_permanent
from gameday.transports.base import Addresses, CallFailed, Outgoing, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from tests.conformance.in_memory import conditions
from tests.emulator.inside import Inside

TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")])
RAISED = replace(TOPOLOGY, max_message_bytes=1024 * 1024)


def message(least: int) -> Outgoing:
    """As a load sends it: its trace is counted where it stands beside the body."""
    body = envelope.pack(id="g1-1", run="r", group="g1", timestamp_ns=10**18, payload_bytes=least).decode()
    parent = trace.traceparent("r", "g1-1")
    return Outgoing(id="g1-1", body=body, group="g1", dedup_id="r-g1-1", traceparent=parent, due=10**18)


def of_size(transport: str, topology: Topology, bytes: int) -> Outgoing:
    """A message that this service measures as so many bytes."""
    made = TRANSPORTS[transport].size(topology, message(10_000)).sent - 10_000
    found = message(bytes - made)
    assert TRANSPORTS[transport].size(topology, found).sent == bytes
    return found


class Broker:
    """What a transport makes for itself at our own broker."""

    def __init__(self, transport: str, topology: Topology) -> None:
        self.transport = TRANSPORTS[transport]
        self.carry = conditions().carry
        self.addresses = run_plan(self.transport.provision(topology, run="sizes", tags={}), self.carry)

    def outcomes(self, messages: Sequence[Outgoing]) -> list[str]:
        try:
            answer = self.carry(self.transport.send(self.addresses, messages))
        except CallFailed as refused:
            assert is_permanent(refused.code), refused.code
            return ["refused"] * len(messages)
        outcomes = self.transport.sent(answer, messages)
        assert all(each.final == (each.outcome == "failed") for each in outcomes)
        return ["refused" if each.final else each.outcome for each in outcomes]


# As AWS documents them, in numbers of their own.
@pytest.mark.parametrize(
    ("transport", "topology", "most", "call"),
    [
        ("sqs", TOPOLOGY, 1_048_576, 1_048_576),
        ("sqs-fifo", TOPOLOGY, 1_048_576, 1_048_576),
        ("sns", TOPOLOGY, 262_144, 262_144),
        ("sns-fifo", TOPOLOGY, 262_144, 262_144),
        ("sns", RAISED, 1_048_576, 1_048_576),
        ("eventbridge", TOPOLOGY, 1_048_576, 1_048_576),
        ("kinesis", TOPOLOGY, 1_048_576, 10_485_760),
    ],
)
def test_the_limits_are_those_of_aws(transport: str, topology: Topology, most: int, call: int) -> None:
    limits = TRANSPORTS[transport].limits(topology)
    assert (limits.message, limits.call) == (most, call)


every_pipeline = pytest.mark.parametrize(
    ("transport", "topology"), [*((name, TOPOLOGY) for name in TRANSPORTS), ("sns", RAISED)]
)


@every_pipeline
def test_a_message_of_the_limit_passes_and_one_byte_more_is_refused_for_good(
    transport: str, topology: Topology
) -> None:
    most = TRANSPORTS[transport].limits(topology).message
    broker = Broker(transport, topology)
    assert broker.outcomes([of_size(transport, topology, most)]) == ["ok"]
    assert broker.outcomes([of_size(transport, topology, most + 1)]) == ["refused"]


@every_pipeline
def test_a_call_of_the_limit_passes_and_one_byte_more_is_refused_for_good(transport: str, topology: Topology) -> None:
    if TRANSPORTS[transport].batch_max == 1:
        pytest.skip("no batches")
    limits = TRANSPORTS[transport].limits(topology)
    # More than fit at their largest, so that none of them is too large by itself.
    entries = max(10, limits.call // limits.message + 1)
    each, rest = limits.call // entries, limits.call - (entries - 1) * (limits.call // entries)
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
