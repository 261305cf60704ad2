"""Where a message's trace travels: what a consumer that knows OpenTelemetry, or X-Ray, finds on each transport."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gameday.history import envelope, trace
from gameday.transports.base import Addresses, Call, Outgoing, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from tests.conformance.in_memory import conditions
from tests.contract.aws_answers import complaints

PARENT = trace.traceparent("r", "m")
QUEUES = [name for name, transport in TRANSPORTS.items() if transport.kind == "queue"]


def message(transport: str) -> Outgoing:
    """As the sender makes it."""
    chosen = TRANSPORTS[transport]
    in_body = chosen.traced_in == "body"
    body = envelope.pack(
        id="m", run="r", group="g", timestamp_ns=10**18, payload_bytes=0, traceparent=PARENT if in_body else None
    )
    return Outgoing(
        id="m",
        body=body.decode(),
        group="g",
        dedup_id="r-m",
        traceparent=None if in_body else PARENT,
        aws_trace_header=trace.aws_header(PARENT) if chosen.takes_aws_trace_header else None,
    )


def received(transport: str, *, raw: bool | None = None) -> dict[str, Any]:
    """What ReceiveMessage tells of a message that was sent; its subscription is raw where that can be."""
    chosen, carry = TRANSPORTS[transport], conditions().carry
    spec = SubscriptionSpec(name="orders", raw=transport.startswith("sns") if raw is None else raw)
    addresses = run_plan(chosen.provision(Topology(subscriptions=[spec]), run="traced", tags={}), carry)
    call = chosen.send(addresses, [message(transport)])
    assert not complaints(call)
    carry(call)
    asked = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
    answer = carry(Call("sqs", "ReceiveMessage", {"QueueUrl": addresses.queues["orders"], **asked}))
    (found,) = answer["Messages"]
    return dict(found)


@pytest.mark.parametrize("transport", QUEUES)
def test_a_consumer_finds_traceparent(transport: str) -> None:
    found = received(transport)
    if TRANSPORTS[transport].traced_in == "attribute":
        assert found["MessageAttributes"]["traceparent"] == {"DataType": "String", "StringValue": PARENT}
    else:
        body = orjson.loads(found["Body"])
        event = body["input"] if transport == "stepfunctions" else body
        assert event["detail"]["metadata"]["traceparent"] == PARENT


@pytest.mark.parametrize("transport", ["sqs", "sqs-fifo"])
def test_x_rays_header_comes_with_the_message(transport: str) -> None:
    assert received(transport)["Attributes"]["AWSTraceHeader"] == trace.aws_header(PARENT)


def test_on_an_event_bus_x_rays_header_stands_beside_the_event() -> None:
    chosen, carry = TRANSPORTS["eventbridge"], conditions().carry
    topology = Topology(subscriptions=[SubscriptionSpec(name="orders")])
    addresses = run_plan(chosen.provision(topology, run="traced", tags={}), carry)
    (entry,) = chosen.send(addresses, [message("eventbridge")]).params["Entries"]
    assert entry["TraceHeader"] == trace.aws_header(PARENT)


def test_on_a_stream_it_stands_in_the_record() -> None:
    (record,) = TRANSPORTS["kinesis"].send(Addresses(send_to="stream"), [message("kinesis")]).params["Records"]
    assert orjson.loads(record["Data"])["detail"]["metadata"]["traceparent"] == PARENT


def test_behind_a_topic_that_wraps_it_stands_among_the_attributes_of_the_body() -> None:
    found = orjson.loads(received("sns", raw=False)["Body"])
    assert found["MessageAttributes"]["traceparent"] == {"Type": "String", "Value": PARENT}
