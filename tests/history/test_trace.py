"""The ids of a message's trace: of the form that W3C and X-Ray ask for, and the same whoever makes them."""

from __future__ import annotations

import re

from gameday.history import envelope, trace


def test_they_have_the_form_that_w3c_asks_for() -> None:
    parent = trace.traceparent("run-1", "g0-1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent)
    assert parent == f"00-{trace.trace_id('run-1', 'g0-1')}-{trace.span_id('run-1', 'g0-1')}-01"


def test_x_ray_is_told_the_same_trace() -> None:
    header = trace.aws_header(trace.traceparent("run-1", "g0-1"))
    found = re.fullmatch(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=1", header)
    assert found is not None
    assert found[1] + found[2] == trace.trace_id("run-1", "g0-1")
    assert found[3] == trace.span_id("run-1", "g0-1")


def test_no_two_messages_and_no_two_spans_share_one() -> None:
    messages = [(run, id) for run in ("a", "b") for id in ("g0-1", "g0-2")]
    assert len({trace.trace_id(*message) for message in messages}) == 4
    spans = [trace.span_id("a", "g0-1", *what) for what in ((), ("send", 1), ("send", 2), ("process", 1))]
    assert len(set(spans)) == 4


def test_in_a_body_it_is_part_of_what_the_checksum_covers() -> None:
    parent = trace.traceparent("r", "m")
    body = envelope.pack(id="m", run="r", group=None, timestamp_ns=1, payload_bytes=400, traceparent=parent)
    read = envelope.unpack(body)
    assert read is not None and read.intact and len(body) >= 400
    assert read.event["detail"]["metadata"]["traceparent"] == parent
    changed = envelope.unpack(body.replace(parent.encode(), trace.traceparent("r", "n").encode()))
    assert changed is not None and not changed.intact
