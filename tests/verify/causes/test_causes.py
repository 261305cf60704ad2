"""Each cause is named on a history that proves it, and not on one that lacks the proof; whole or in buckets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gameday.verify.buckets import one_after_another
from gameday.verify.judge import Verdict, judge_all
from gameday.verify.registry import CAUSES, UNTOLD
from tests.verify.causes.cases import BLAMED, CASES, NOT_BLAMED, Case, struck
from tests.verify.jobs import differing


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    directory = tmp_path_factory.mktemp("causes")
    return [case.build().write(directory / case.name) for case in CASES]


@pytest.fixture(scope="module")
def verdicts(runs: Sequence[Path]) -> dict[str, Any]:
    judged = judge_all(runs, with_examples=True)
    return {case.name: verdict for case, verdict in zip(CASES, judged, strict=True)}


def told(document: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {
        what: {cause: entry["count"] for cause, entry in causes.items()} for what, causes in document["causes"].items()
    }


def test_nothing_fails(verdicts: dict[str, Verdict]) -> None:
    assert [note for each in verdicts.values() for note in each.document["notes"] if "looked for" in note["text"]] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_cause(case: Case, verdicts: dict[str, Verdict]) -> None:
    document = verdicts[case.name].document
    assert told(document) == {what: causes for what, causes in case.told.items() if causes}


def test_a_fault_stands_beside_a_cause_that_it_can_bring_about_and_beside_no_other(tmp_path: Path) -> None:
    expected = {**BLAMED, **NOT_BLAMED}
    judged = judge_all([struck(fault).write(tmp_path / fault) for fault in expected], with_examples=True)
    for (fault, cause), verdict in zip(expected.items(), judged, strict=True):
        named = {"fault-1": 1} if fault in BLAMED else {}
        told = verdict.document["causes"]["redelivery"]
        assert {cause: each["faults"] for cause, each in told.items()} == {cause: named}, fault


def test_every_cause_has_a_case_that_has_it() -> None:
    contributes = {"guard-raced"}
    first = {cause for case in CASES for causes in case.told.values() for cause in causes}
    assert first | contributes == {*CAUSES, UNTOLD}


def test_in_buckets_they_are_the_same(runs: Sequence[Path], verdicts: dict[str, Verdict]) -> None:
    assert differing(runs, {"5": one_after_another(5)}, whole=list(verdicts.values())) == []
