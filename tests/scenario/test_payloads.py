"""Large bodies and schemas as a scenario writes them, what does not go together, and the events as AsyncAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.history.errors import TargetLacks, UsageError
from gameday.scenario import reading
from gameday.scenario.asyncapi import asyncapi
from gameday.scenario.model import Scenario, needs_of
from gameday.scenario.sending import bucket_of, imagined
from gameday.targets import products
from gameday.transports.registry import TRANSPORTS
from tests.targets.test_target import there

ORDER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LOAD: dict[str, Any] = {"rate": "5/s", "duration": "2s"}
LARGE = {**LOAD, "payload": "300KiB", "claim_check": {}}


def read(directory: Path, **parts: Any) -> Scenario:
    schemas = directory / "schemas"
    schemas.mkdir(exist_ok=True)
    (schemas / "order@1.json").write_text(json.dumps(ORDER))
    (schemas / "order@2.json").write_text(json.dumps({**ORDER, "required": []}))
    (schemas / "bad@1.json").write_text('{"type": "string", "pattern": "a+"}')
    path = directory / "s.yaml"
    scenario = {"name": "s", "transport": "sqs", "load": LARGE, "claims": ["no-loss"], **parts}
    path.write_text(yaml.safe_dump(scenario, sort_keys=False))
    return reading.load(path)


def complaint(directory: Path, **parts: Any) -> str:
    with pytest.raises(UsageError) as error:
        read(directory, **parts)
    return str(error.value)


def test_a_load_is_told_where_large_bodies_go(tmp_path: Path) -> None:
    scenario = read(tmp_path)
    config = imagined(scenario, scenario.shape, run="S-1")
    assert config.claim_check is not None
    assert (config.claim_check.bucket, config.claim_check.above_bytes) == (bucket_of("S-1"), 200 * 1024)
    assert bucket_of("S-1") == "gameday-s-1"
    told = json.loads(json.dumps(config.to_json()))
    assert json.loads(json.dumps(type(config).from_json(told).to_json())) == told


def test_a_real_account_is_refused(tmp_path: Path) -> None:
    needs = needs_of(read(tmp_path))
    with pytest.raises(TargetLacks, match="claim-check: no plan, policy or sweep") as refused:
        there(products.AWS).refuse_gaps(TRANSPORTS["sqs"], needs)
    assert refused.value.exit_code == 5
    there(products.MEMORY).refuse_gaps(TRANSPORTS["sqs"], needs)
    there(products.MINISTACK).refuse_gaps(TRANSPORTS["sqs"], needs)


def test_versions_of_a_schema_are_read_by_their_times(tmp_path: Path) -> None:
    load = {**LOAD, "schema": {"0s": "order@1", "1s": "order@2"}}
    scenario = read(tmp_path, schemas="schemas", load=load, claims=["schema-conformant"])
    assert [(version.name, version.from_s) for version in scenario.versions] == [("order@1", 0), ("order@2", 1)]
    assert scenario.asked_schema == ORDER
    config = imagined(scenario, scenario.shape)
    told = json.loads(json.dumps(config.to_json()))
    assert json.loads(json.dumps(type(config).from_json(told).to_json())) == told
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(dict(scenario.document), sort_keys=False))
    assert reading.load(again).load == scenario.load
    known = read(tmp_path, schemas="schemas", load=load, consumers={"schema": "order@2"})
    assert known.asked_schema == {**ORDER, "required": []}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"transport": "kinesis"}, "load.claim_check: consumers of kinesis fetch no bodies"),
        ({"transport": "eventbridge", "load": {**LARGE, "claim_check": {"shape": "extended"}}}, "a pointer is none"),
        ({"transport": "eventbridge", "load": {**LOAD, "envelope": "cloudevents"}}, "events in its own form alone"),
        ({"load": {**LOAD, "message": {"template": "{n}"}, "claim_check": {}}}, "are sent as they are"),
        ({"load": LOAD, "consumers": {"objects": "keep"}}, "consumers.objects: there are no objects"),
        (
            {
                "transport": "sns",
                "topology": {"subscriptions": [{"name": "a"}, {"name": "b"}]},
                "consumers": {"objects": "after-settle"},
            },
            "takes it from the others",
        ),
        ({"load": LOAD, "claims": ["no-orphan"]}, "no-orphan can show nothing"),
        ({"consumers": {"command": ["x"]}, "claims": ["payload-intact"]}, "unknown for consumers of your own"),
        ({"load": {**LOAD, "schema": "order@1"}}, "nothing says where schemas are"),
        (
            {"schemas": "schemas", "load": {**LOAD, "schema": "order@9"}},
            "in that directory are bad@1, order@1, order@2",
        ),
        ({"schemas": "schemas", "load": {**LOAD, "schema": "order"}}, "write it like order@1"),
        ({"schemas": "schemas", "load": {**LOAD, "schema": "bad@1"}}, "no payload can be made from bad@1"),
        ({"schemas": "schemas", "load": {**LOAD, "schema": {"1s": "order@1"}}}, "the first version is from 0s on"),
        ({"schemas": "schemas", "load": LOAD, "claims": ["schema-conformant"]}, "schema-conformant can show nothing"),
        ({"load": {**LARGE, "claim_check": {"above": "10"}}}, "claim_check.above"),
        ({"load": {**LARGE, "claim_check": {"buckets": "x"}}}, "bucket"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, parts: dict[str, Any], told: str) -> None:
    assert told in complaint(tmp_path, **parts)


def test_events_as_asyncapi(tmp_path: Path) -> None:
    load = {**LOAD, "schema": {"0s": "order@1", "1s": "order@2"}}
    document = asyncapi(read(tmp_path, schemas="schemas", load=load))
    assert document["asyncapi"] == "3.0.0"
    channel = document["channels"]["orders"]
    assert channel["bindings"]["sqs"]["queue"]["redrivePolicy"]["maxReceiveCount"] == 5
    assert list(channel["messages"]) == ["order-1", "order-2"]
    assert {name: each["action"] for name, each in document["operations"].items()} == {
        "send": "send",
        "receive-orders": "receive",
    }
    message = document["components"]["messages"]["order-1"]
    assert message["payload"]["properties"]["detail"]["properties"]["payload"] == ORDER


@pytest.mark.parametrize("name", ["sns-filters", "eventbridge", "kinesis", "quick", "claim-check"])
def test_every_reference_of_it_leads_somewhere(name: str) -> None:
    document = asyncapi(reading.load(reading.find(name)))

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return found + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    told = references({key: value for key, value in document.items() if key != "components"})
    assert told
    for reference in told:
        here: Any = document
        for token in reference.removeprefix("#/").split("/"):
            here = here[token]
    assert {each["action"] for each in document["operations"].values()} == {"send", "receive"}
