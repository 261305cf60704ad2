"""`gameday sweep-crashes` on whole runs: it finds the holes of guards and of programs, and none where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.needed import lacking
from tests.programs.cases import CASES
from tests.search.commands import commanded, searched
from tests.series import in_series, in_soak

SCENARIO = """\
name: swept
transport: sqs
topology: {visibility_timeout: 1s, max_receives: 8}
load: {shape: ramp, from: 10/s, rate: 60/s, duration: 9s, users: 2}
consumers: {processes: 3, processing_time: 1ms, restart_delay: 200ms}
chaos: [{at: 2s, fault: kill-consumer}]
claims: [no-loss, exactly-once-effect, {claim: recovery, within: 9s}]
"""
FEW = ("--messages", "6", "--every", "6", "--no-pairs")


def swept(*words: str, cwd: Path, scenario: str = SCENARIO) -> tuple[int, dict[str, Any], str]:
    (cwd / "swept.yaml").write_text(scenario)
    return searched("sweep-crashes", "swept.yaml", "sweep", *words, cwd=cwd)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--target", "aws"], "does not run on --target aws"),
        (["--budget", "10"], "--budget '10' has no unit"),
        (["--set", "claims=[]"], "nothing is claimed"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(tmp_path: Path, words: Sequence[str], says: str) -> None:
    (tmp_path / "swept.yaml").write_text(SCENARIO)
    ran = commanded("sweep-crashes", "swept.yaml", "--out", "sweep", *words, cwd=tmp_path)
    assert ran.returncode == 2 and says in ran.stderr, ran.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_replay_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    for words, says in (
        (["--replay", "no.json"], "it is no replay of this gameday"),
        (["--replay", "absent.json"], "No such file"),
        (["--replay", "no.json", "--target", "memory"], "says which scenario it is, and on which target"),
    ):
        ran = commanded("run", *words, cwd=tmp_path)
        assert ran.returncode == 2 and says in ran.stderr, ran.stderr


@in_series
@in_soak
@pytest.mark.live
def test_the_hole_of_a_guard_is_found_kept_and_repeated(tmp_path: Path) -> None:
    code, came, told = swept(*FEW, "--set", "consumers.guard=claim-first", cwd=tmp_path)
    assert (code, came["ended"]) == (1, "all"), told
    assert came["smallest"].keys() == {"exactly-once-effect"}
    found = came["smallest"]["exactly-once-effect"]
    assert found["schedule"] == [{"point": "before-effect", "nth": 1}]
    assert found["broke"] == found["of"] == 3
    assert "effect-missing" in found["why"]["exactly-once-effect"]
    points = {run["schedule"][0]["point"] for run in came["runs"] if run["schedule"]}
    assert points == set(came["points"]) and len(points) == 5
    again = commanded("run", "--replay", found["replay"], cwd=tmp_path)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "replay of exactly-once-effect (before-effect of message 1): violated" in again.stdout
    # It is whole, so going on with it runs nothing more.
    code, once_more, _ = swept(*FEW, "--set", "consumers.guard=claim-first", cwd=tmp_path)
    assert (code, once_more["runs"]) == (1, came["runs"])
    other = commanded("sweep-crashes", "swept.yaml", "--out", "sweep", "--seed", "9", *FEW, cwd=tmp_path)
    assert other.returncode == 2 and "is of another search" in other.stderr


@in_series
@in_soak
@pytest.mark.live
def test_a_budget_that_is_over_is_told_and_gone_on_with(tmp_path: Path) -> None:
    code, came, _ = swept(*FEW, "--budget", "1ms", cwd=tmp_path)
    assert (code, came["ended"], came["runs"], came["left"]) == (3, "budget", [], 1)
    code, came, told = swept(*FEW, cwd=tmp_path)
    assert (code, came["ended"], came["smallest"]) == (0, "all", {}), told


@in_series
@in_soak
@pytest.mark.live
@pytest.mark.parametrize(
    ("change", "claim", "points"),
    [
        ("consumers.guard=check-then-act", "exactly-once-effect", {"after-effect"}),
        ("consumers.guard=claim-first", "exactly-once-effect", {"before-effect"}),
        # Its mark runs out before the message comes again, or is still there when that has come too often.
        ("consumers.guard=in-progress consumers.guard_expiry=300ms", "exactly-once-effect", {"after-effect"}),
        ("consumers.guard=in-progress consumers.guard_expiry=3s", "exactly-once-effect", {"before-effect"}),
        ("consumers.handler=delete-first", "exactly-once-effect", {"before-effect", "after-delete"}),
        ("consumers.guard=transaction", None, set()),
    ],
)
def test_each_hole_is_found_and_where_there_is_none_nothing_is(
    tmp_path: Path, change: str, claim: str | None, points: set[str]
) -> None:
    sets = [word for each in change.split() for word in ("--set", each)]
    code, came, told = swept("--messages", "6", "--every", "6", *sets, cwd=tmp_path)
    assert (code, came["ended"]) == (0 if claim is None else 1, "all"), told
    assert set(came["smallest"]) == ({claim} if claim else set())
    if claim is not None:
        schedule = came["smallest"][claim]["schedule"]
        assert len(schedule) <= 2 and {crash["point"] for crash in schedule} & points


@in_series
@in_soak
@pytest.mark.live
@pytest.mark.parametrize(
    ("case", "claims", "point"),
    [
        ("broken-boto3-no-guard", {"exactly-once-effect"}, "before-delete"),
        ("broken-go-delete-first", {"at-least-once-effect", "exactly-once-effect"}, "after-delete"),
        ("boto3", set(), None),
        ("powertools", set(), None),
    ],
)
def test_the_hole_of_a_program_is_found_by_what_is_seen_on_the_wire(
    tmp_path: Path, case: str, claims: set[str], point: str | None
) -> None:
    if not CASES[case].ready:
        lacking("the programs of tests/programs are not installed; get them with: make programs")
    # One message at a time: Powertools does not promise anything of a program that dies while it is at another's work.
    alone = ("--set", "consumers.concurrency=1", "--set", "consumers.batch=1") if case == "powertools" else ()
    words = ("--messages", "12", *CASES[case].arguments, *alone)
    code, came, told = searched("sweep-crashes", str(CASES[case].path), "sweep", *words, cwd=tmp_path)
    assert (code, came["ended"]) == (1 if claims else 0, "all"), told
    assert set(came["smallest"]) == claims
    for found in came["smallest"].values():
        schedule = found["schedule"]
        assert len(schedule) <= 2 and point in {crash["point"] for crash in schedule}
        again = commanded("run", "--replay", found["replay"], cwd=tmp_path)
        assert again.returncode == 1, again.stdout + again.stderr
