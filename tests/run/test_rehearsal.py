"""A verdict is held to what its scenario expects, and every difference is a surprise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.run.rehearsal import Asked, Refused, asked, expected, rehearse, surprises
from gameday.scenario.model import ExpectSpec


def verdict(overall: str, duplicates: int = 3, **claims: str) -> dict[str, Any]:
    return {
        "verdict": overall,
        "claims": [
            {
                "claim": name.replace("_", "-"),
                "key": name.replace("_", "-"),
                "verdict": one,
                "why": ["no traffic"],
                "anomalies": {},
            }
            for name, one in claims.items()
        ],
        "anomalies": {"effect-duplicate": {"count": duplicates}},
    }


def test_a_control_that_is_violated_as_expected() -> None:
    expect = ExpectSpec(
        verdict="violated",
        claims={"exactly-once-effect": "violated", "no-loss": "holds"},
        anomalies=["effect-duplicate"],
    )
    assert surprises(expect, verdict("violated", no_loss="holds", exactly_once_effect="violated")) == []
    assert surprises(expect, verdict("violated", no_loss="violated", exactly_once_effect="violated")) == [
        "no-loss is violated, not holds"
    ]
    assert surprises(expect, verdict("holds", 0, no_loss="holds", exactly_once_effect="holds")) == [
        "the verdict is holds, not violated",
        "exactly-once-effect is holds, not violated",
        "no effect-duplicate",
    ]


def test_a_scenario_that_should_hold_holds_in_every_claim() -> None:
    expect = ExpectSpec(verdict="holds")
    assert surprises(expect, verdict("holds", no_loss="holds")) == []
    assert surprises(expect, verdict("unknown", no_loss="unknown")) == [
        "the verdict is unknown, not holds",
        "no-loss is unknown: no traffic",
    ]


def test_what_an_option_takes_is_no_scenario() -> None:
    assert asked(["--target", "memory", "quick", "--times", "3", "--seed", "7"]) == Asked(
        names=("quick",), times=3, arguments=("--target", "memory", "--seed", "7")
    )
    assert len(asked(["--target", "memory"]).names) > 30


@pytest.mark.live
def test_a_scenario_that_the_target_refuses_surprises_nobody(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="MiniStack does not move dead letters back"):
        rehearse("redrive", expected("redrive"), [], tmp_path / "run")
