"""Tenants in a scenario: what they make of the load, what does not go together, and what a run could not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.history.errors import UsageError
from gameday.scenario import reading
from gameday.scenario.forecast import forecast
from gameday.scenario.model import Scenario
from gameday.scenario.sending import imagined

TENANTS = {"quiet": {"count": 20, "rate": "2/s"}, "noisy": {"rate": "200/s", "from": "8s"}}
LOAD = {"duration": "20s", "tenants": TENANTS}
FAIR = {"claim": "fair", "quiet_p99": "1s", "times_baseline": 5}


def read(tmp_path: Path, *, load: Any = LOAD, claims: Any = (FAIR,), **more: Any) -> Scenario:
    path = tmp_path / "s.yaml"
    document = {"name": "s", "transport": "sqs", "load": load, "claims": [*claims], **more}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return reading.load(path)


def complaint(tmp_path: Path, **written: Any) -> str:
    with pytest.raises(UsageError) as wrong:
        read(tmp_path, **written)
    return str(wrong.value)


def with_tenants(**classes: Any) -> dict[str, Any]:
    return {**LOAD, "tenants": {**TENANTS, **classes}}


def test_they_say_how_fast_the_load_is_and_which_groups_it_has(tmp_path: Path) -> None:
    scenario = read(tmp_path)
    assert (scenario.load.rate, scenario.load.groups) == (240, 21)
    assert scenario.shape.rate_at(1) == 40
    assert scenario.shape.highest == 240
    assert scenario.shape.total == 20 * 40 + 12 * 200
    config = imagined(scenario, scenario.shape)
    assert [each.name for each in config.tenants] == ["quiet", "noisy"]
    assert config.schedule().total == scenario.shape.total


def test_bounds_are_those_of_the_manifest(tmp_path: Path) -> None:
    (claim,) = read(tmp_path).claims
    assert claim.bounds == {"quiet_p99_s": 1, "times_baseline": 5}


def test_written_back_it_is_the_same_scenario(tmp_path: Path) -> None:
    scenario = read(tmp_path)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(dict(scenario.document), sort_keys=False))
    assert reading.load(again).load == scenario.load
    assert "rate" not in scenario.document["load"]


@pytest.mark.parametrize(("key", "value"), [("rate", "5/s"), ("groups", 4), ("shape", "ramp")])
def test_what_the_tenants_say_nobody_else_says(tmp_path: Path, key: str, value: object) -> None:
    told = complaint(tmp_path, load={**LOAD, key: value})
    assert f"load.{key}: the tenants say how much is sent, when and by whom; remove it" in told


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ({**LOAD, "tenants": []}, "load.tenants: classes of tenants belong here"),
        ({**LOAD, "tenants": {}}, "load.tenants: classes of tenants belong here"),
        (with_tenants(noisy={"rate": "200"}), "load.tenants.noisy.rate: '200' has no unit"),
        (with_tenants(noisy={"count": 0, "rate": "2/s"}), "load.tenants.noisy.count"),
        (with_tenants(noisy={"rate": "2/s", "frm": "5s"}), "did you mean `from`?"),
        (with_tenants(gold={}), "load.tenants.gold.rate: is missing"),
        (with_tenants(**{"a b": {"rate": "2/s"}}), "'a b' is no name of a class"),
        (with_tenants(gold={"rate": "2/s", "from": "20s"}), "it begins after 20 s, and the load is over after 20 s"),
        ({"duration": "20s", "rate": "5/s", "tell_tenants": False}, "there are no tenants of whom"),
        ({**LOAD, "message": {"template": "{n}", "group": "/g"}}, "the group of a message is its tenant"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, load: Any, told: str) -> None:
    assert told in complaint(tmp_path, load=load, claims=["no-loss"])


@pytest.mark.parametrize("transport", ["sqs-fifo", "sns", "eventbridge", "kinesis"])
def test_only_a_standard_queue_has_tenants(tmp_path: Path, transport: str) -> None:
    told = complaint(tmp_path, transport=transport, claims=["no-loss"])
    assert f"nothing shares {transport} out among tenants" in told


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ({"duration": "20s", "rate": "5/s"}, "fair can show nothing"),
        (
            {**LOAD, "tenants": {"quiet": {"rate": "2/s"}, "loud": {"rate": "9/s", "from": "5s"}}},
            "fair can show nothing",
        ),
        ({**LOAD, "tenants": {"noisy": {"rate": "2/s", "from": "5s"}}}, "fair can show nothing"),
        (with_tenants(noisy={"rate": "200/s"}), "compares with the time before the noise"),
    ],
)
def test_fairness_needs_a_noise_and_a_time_before_it(tmp_path: Path, load: Any, told: str) -> None:
    assert told in complaint(tmp_path, load=load)


def test_fairness_needs_a_bound(tmp_path: Path) -> None:
    assert "write it like {claim: fair, times_baseline: 5}" in complaint(tmp_path, claims=["fair"])


def notes(scenario: Scenario) -> list[str]:
    return [note.text for note in forecast(scenario)]


def test_a_run_that_can_tell_has_no_note(tmp_path: Path) -> None:
    assert notes(read(tmp_path)) == []


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (with_tenants(quiet={"count": 5, "rate": "2/s"}), "about 80 messages of the class quiet will be due before"),
        (with_tenants(noisy={"rate": "5/s", "from": "8s"}), "about 60 messages of the class noisy will be due during"),
        (with_tenants(gold={"rate": "50/s", "from": "9s"}), "about 0 messages of the class gold will be due before"),
    ],
)
def test_too_few_messages_are_told_beforehand(tmp_path: Path, load: Any, told: str) -> None:
    (note,) = notes(read(tmp_path, load=load))
    assert told in note


def test_a_fault_is_told_beforehand(tmp_path: Path) -> None:
    scenario = read(tmp_path, chaos=[{"at": "10s", "fault": "kill-consumer"}])
    assert any("nobody can tell what a fault did" in note for note in notes(scenario))
