"""Payloads from schemas, and bodies that go to objects: what is made, in which order it is stored and sent, as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.consumers.schemas import compiled
from gameday.history import claim_check, envelope
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.identity import Identification
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.json_payloads import make
from gameday.loadgen.lanes import Feed
from gameday.loadgen.payloads import ClaimChecks, SchemaVersion, Store
from gameday.loadgen.sender import Sample, Sender
from gameday.transports.base import Addresses, Answer, Call, CallFailed, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint
from tests.loadgen.test_sender import accept, wait

LARGE = ClaimChecks(bucket="bodies", above_bytes=2000)
ORDER = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 4}, "note": {"type": "string"}},
    "required": ["n"],
}


@pytest.fixture
def config(tmp_path: Path) -> LoadConfig:
    return LoadConfig(
        run_dir=str(tmp_path),
        run="r1",
        clock=str(Clock.start()),
        endpoint=Endpoint(),
        transport="sqs",
        addresses=Addresses(send_to="queue", queues={"orders": "queue"}),
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=500,
        duration_s=0.02,
        groups=4,
        users=1,
        batch=5,
        payload_bytes=3000,
        claim_check=LARGE,
    )


def send(
    config: LoadConfig, put: Callable[[Call], Answer], *, carry: Callable[[Call], Answer] = accept
) -> tuple[list[dict[str, Any]], list[Call], list[Sample]]:
    """Everything is due at once: the records, the calls in their order, the samples."""
    clock = Clock.parse(config.clock)
    (Path(config.run_dir) / DIRECTORY).mkdir(parents=True)
    writer = Writer(run=Path(config.run_dir), name="load", clock=clock)
    calls: list[Call] = []
    samples: list[Sample] = []

    def called(by: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        def make_call(call: Call) -> Answer:
            calls.append(call)
            return by(call)

        return make_call

    start = clock.now_ns() - NS_PER_S
    lane = config.lane()
    sender = Sender(
        config=config,
        number=0,
        lane=lane,
        writer=writer,
        clock=clock,
        carry=called(carry),
        count=samples.append,
        store=Store(carry=called(put), writer=writer, clock=clock),
        start_ns=start,
    )
    sender.run(Feed(config.schedule().messages(start), {0: lane}), wait=wait)
    writer.close()
    return [orjson.loads(line) for line in writer.path.read_bytes().splitlines()], calls, samples


def bodies(calls: list[Call]) -> list[str]:
    return [entry["MessageBody"] for call in calls if call.service == "sqs" for entry in call.params["Entries"]]


def test_a_body_is_stored_before_its_reference_is_sent(config: LoadConfig) -> None:
    records, calls, _ = send(config, lambda call: {})
    (call,) = {call.service for call in calls[:5]}
    assert call == "s3" and calls[5].service == "sqs"
    told = [record["event"] for record in records][: 5 * 4]
    assert told == ["intended"] * 5 + ["storing", "stored"] * 5 + ["sent"] * 5
    objects = {call.params["Key"]: call.params["Body"] for call in calls if call.service == "s3"}
    for body in bodies(calls):
        read = envelope.unpack(body)
        assert read is not None and read.reference is not None and read.intact and len(body) < 1000
        stored = objects[read.reference.object]
        assert read.reference.bucket == "bodies" and read.reference.object == f"r1/{read.id}"
        found = envelope.unpack(stored)
        assert found is not None and found.intact and found.id == read.id and read.reference.fits(stored)
        assert not read.reference.fits(stored + b" ")


def test_the_pointer_of_the_extended_clients_names_its_message(config: LoadConfig) -> None:
    _, calls, _ = send(replace(config, claim_check=replace(LARGE, shape="extended")), lambda call: {})
    entries = [entry for call in calls if call.service == "sqs" for entry in call.params["Entries"]]
    for entry in entries:
        name, told = orjson.loads(entry["MessageBody"])
        assert name == "software.amazon.payloadoffloading.PayloadS3Pointer"
        assert told.keys() == {"s3BucketName", "s3Key"}
        assert entry["MessageAttributes"]["ExtendedPayloadSize"]["DataType"] == "Number"
        read = Identification().identify(entry["MessageBody"], {})
        assert read.reference is not None and read.ours and f"r1/{read.id}" == told["s3Key"]
        assert not Identification(run="another").identify(entry["MessageBody"], {}).ours


def test_small_bodies_are_sent_as_they_are(config: LoadConfig) -> None:
    records, calls, _ = send(replace(config, payload_bytes=0), lambda call: {})
    assert {call.service for call in calls} == {"sqs"}
    assert not {record["event"] for record in records} & {"storing", "stored"}


def test_nothing_of_a_call_is_sent_whose_bodies_could_not_be_stored(config: LoadConfig) -> None:
    refused = [CallFailed("SlowDown", "too often", definite=True)]

    def put(call: Call) -> Answer:
        if refused:
            raise refused.pop()
        return {}

    records, *_ = send(config, put)
    failed = [record for record in records if record.get("event") == "sent" and record["outcome"] == "failed"]
    assert len(failed) == 5 and all("could not be stored" in record["error"] for record in failed)
    assert sum(record["event"] == "sent" and record["outcome"] == "ok" for record in records) == 10
    assert {record["outcome"] for record in records if record["event"] == "stored"} == {"ok", "failed"}
    # What is known to be there is not stored again.
    kept = [record["id"] for record in records if record["event"] == "stored" and record["outcome"] == "ok"]
    assert len(kept) == len(set(kept)) == 10


def test_the_mistake_of_sending_first(config: LoadConfig) -> None:
    _, calls, _ = send(replace(config, claim_check=replace(LARGE, stores_first=False)), lambda call: {})
    assert [call.service for call in calls[:6]] == ["sqs", *["s3"] * 5]


def test_payloads_change_with_time_and_not_with_the_seed(config: LoadConfig) -> None:
    other = {**ORDER, "properties": {"n": {"const": 9}}}
    versions = (
        SchemaVersion(name="order@1", from_s=0.0, document=ORDER),
        SchemaVersion(name="order@2", from_s=0.01, document=other),
    )
    asked = replace(config, claim_check=None, payload_bytes=0, schemas=versions)
    _, calls, _ = send(asked, lambda call: {})
    read = [found for body in bodies(calls) if (found := envelope.unpack(body)) is not None]
    assert all(found.intact and found.conventional for found in read)
    due = {found.event["detail"]["schema"]: found.payload["n"] for found in read}
    assert due["order@1"] in (3, 4) and due["order@2"] == 9
    _, again, _ = send(replace(asked, run_dir=f"{asked.run_dir}/again"), lambda call: {})
    drawn = [found.payload for body in bodies(again) if (found := envelope.unpack(body)) is not None]
    assert drawn == [found.payload for found in read]


def test_cloud_events_are_read_back(config: LoadConfig) -> None:
    _, calls, _ = send(replace(config, claim_check=None, form="cloudevents"), lambda call: {})
    for body in bodies(calls):
        event = orjson.loads(body)
        assert event["specversion"] == "1.0" and {"id", "source", "type", "time", "data"} <= event.keys()
        # Names of attributes are small letters and digits, at most 20 of them by recommendation.
        assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in event)
        assert all(isinstance(value, str | bool | int) for name, value in event.items() if name != "data")
        read = envelope.unpack(body)
        assert read is not None and read.intact and read.conventional and len(body) >= 3000
        changed = envelope.unpack(orjson.dumps({**event, "type": "Other"}))
        assert changed is not None and not changed.intact
        bare = {name: value for name, value in event.items() if name != "correlationid"}
        unconventional = envelope.unpack(orjson.dumps(bare))
        assert unconventional is not None and not unconventional.conventional


def test_a_reference_is_a_cloud_event_too(config: LoadConfig) -> None:
    _, calls, _ = send(replace(config, form="cloudevents"), lambda call: {})
    for body in bodies(calls):
        read = envelope.unpack(body)
        assert read is not None and read.reference is not None and read.intact


SCHEMAS: tuple[Mapping[str, Any], ...] = (
    ORDER,
    {"type": "array", "minItems": 2, "maxItems": 5, "items": {"enum": ["a", 1, None]}},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "pattern": "^a+$", "examples": ["a", "aa"]},
    {"type": ["null", "number"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "minimum": 10, "maximum": 30, "multipleOf": 10},
    {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"type": "boolean"}}},
    {"type": "string", "minLength": 2, "maxLength": 2},
)


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_what_is_made_fits(schema: Mapping[str, Any]) -> None:
    fits = compiled(schema)
    made = [make(schema, seed=str(n)) for n in range(50)]
    for value in made:
        fits(value)
    assert made == [make(schema, seed=str(n)) for n in range(50)]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (
            {"type": "object", "properties": {"a": {"pattern": "x", "type": "string"}}, "required": ["a"]},
            "at /a: no text",
        ),
        ({}, "a `type` is missing"),
        ({"$ref": "other.json"}, "refers to another document"),
        ({"$ref": "#/$defs/none"}, "there is nothing at"),
        ({"type": "integer", "minimum": 4, "maximum": 3}, "no whole number"),
    ],
)
def test_what_nothing_is_made_from_is_told(schema: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(schema, seed="1")


def test_an_object_is_named_after_its_run_and_its_message() -> None:
    reference = claim_check.Reference(bucket="b", object=claim_check.name("run-1", "g1/7"))
    assert (reference.run, reference.id) == ("run-1", "g1/7")
    assert claim_check.read_pointer(claim_check.pointer(reference)) == reference
    for body in ('["other", {}]', '["software.amazon.payloadoffloading.PayloadS3Pointer"]', "{}", ""):
        assert claim_check.read_pointer(body) is None
