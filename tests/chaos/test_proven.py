"""The table of how whole runs prove faults: it has every fault, each of its scenarios can be played, and what surprises
is told. That the runs come out as it says shows `python -m tests.chaos.proven`; two of them are played here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.registry import FAULTS
from gameday.run.many import Task
from gameday.scenario import document, model, reading
from gameday.targets.products import MEMORY
from gameday.transports.registry import TRANSPORTS
from gameday.verify.claims import RULES
from gameday.verify.explaining import KIND_OF
from gameday.verify.registry import CAUSES, CHECKS
from tests.chaos.proofs import PROOFS, Elsewhere, Proof
from tests.chaos.proven import Turn, judged, main, turns
from tests.series import in_series, in_soak

ROOT = Path(__file__).resolve().parents[2]
PLAYED = {fault: proof for fault, proof in PROOFS.items() if isinstance(proof, Proof)}
ELSEWHERE = {fault: proof for fault, proof in PROOFS.items() if isinstance(proof, Elsewhere)}


def test_every_fault_of_the_registry_is_in_the_table() -> None:
    assert list(PROOFS) == list(FAULTS)


@pytest.mark.parametrize("broken", [False, True], ids=["correct", "broken"])
@pytest.mark.parametrize("fault", PLAYED)
def test_its_scenario_can_be_played(fault: str, broken: bool) -> None:
    turn = Turn(fault=fault, proof=PLAYED[fault], broken=broken)
    scenario = reading.resolve(document.override(document.parse(turn.scenario, name="proven.yaml"), turn.overrides))
    assert fault in [each.fault for each in scenario.chaos]
    assert turn.proof.violates in [claim.claim for claim in scenario.claims]
    assert not set(model.needs_of(scenario)) & set(MEMORY.gaps_of(TRANSPORTS[scenario.transport]))


@pytest.mark.parametrize("fault", PLAYED)
def test_what_it_violates_can_be_violated_so_and_is_explained_where_it_can_be(fault: str) -> None:
    proof = PLAYED[fault]
    assert proof.overrides(broken=True) != proof.overrides(broken=False)
    if proof.anomaly is None:
        assert proof.violates not in RULES and not proof.causes
        return
    assert proof.anomaly in CHECKS and proof.anomaly in RULES[proof.violates].violated_by
    kind_of = KIND_OF.get(proof.anomaly)
    assert kind_of in proof.causes if kind_of is not None else not proof.causes
    for kind, cause in proof.causes.items():
        # An effect once more has the causes of what brought it.
        derived = {"redelivery", "duplicate"} if kind == "effect-duplicate" else set()
        assert {kind, *derived} & {*CAUSES[cause].of}


@pytest.mark.parametrize("fault", ELSEWHERE)
def test_what_is_proven_elsewhere_is_named_there(fault: str) -> None:
    assert fault in (ROOT / ELSEWHERE[fault].test).read_text("utf-8")


def verdict(violated: int = 0, *, unknown: bool = False, cause: str = "delete-before-effect") -> dict[str, Any]:
    """What is judged of `kill-consumer`, shortened."""
    told = "violated" if violated else "unknown" if unknown else "holds"
    missing = {"claim": "at-least-once-effect", "key": "at-least-once-effect", "verdict": told}
    return {
        "claims": [
            {"claim": "no-loss", "key": "no-loss", "verdict": "holds", "why": [], "anomalies": {}},
            missing | {"why": ["not drained"] if unknown else [], "anomalies": {"effect-missing": violated}},
        ],
        "causes": {"effect-missing": {cause: {"count": violated}}} if violated else {},
    }


@pytest.mark.parametrize(
    ("broken", "told", "surprises"),
    [
        (False, verdict(), []),
        (False, verdict(unknown=True), ["at-least-once-effect is unknown: not drained"]),
        (False, verdict(2), ["at-least-once-effect is violated: {'effect-missing': 2}"]),
        (True, verdict(2), []),
        (
            True,
            verdict(),
            [
                "at-least-once-effect is holds",
                "no effect-missing",
                "of effect-missing the cause delete-before-effect is not named, but none",
            ],
        ),
        (
            True,
            verdict(2, cause="untold"),
            ["of effect-missing the cause delete-before-effect is not named, but untold"],
        ),
    ],
)
def test_what_is_not_as_the_table_says_surprises(broken: bool, told: dict[str, Any], surprises: list[str]) -> None:
    proof = PLAYED["kill-consumer"]
    assert Turn(fault="kill-consumer", proof=proof, broken=broken).surprises(told) == surprises


def test_a_run_without_a_verdict_surprises(tmp_path: Path) -> None:
    (turn, _) = turns(["kill-consumer"], [1])
    done = Task(arguments=[], directory=tmp_path).done(4, "gameday: no target")
    assert judged(turn, done) == ["exit code 4: no target"]


def test_one_that_is_proven_elsewhere_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fis"]) == 0
    assert "tests/run/test_fis_run.py" in capsys.readouterr().out


def test_a_fault_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kill-consumers"])
    assert "no fault is called kill-consumers" in capsys.readouterr().err


@pytest.mark.live
@in_series
@in_soak
@pytest.mark.parametrize("fault", ["full-disk", "throttle-sends"])
def test_it_comes_out_as_the_table_says(fault: str) -> None:
    assert main([fault, "--times", "1"]) == 0
