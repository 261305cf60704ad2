"""`gameday hunt` on whole runs: it finds bugs that need two conditions at once, and none where there is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.search.commands import commanded, searched
from tests.series import in_series, in_soak

BUG = Path(__file__).parent / "bugs" / "bug.yaml"
# Handlers of tests/search/bugs/bugs.py, whose docstrings say what it takes. The hunt is told nothing of that.
BUGS = {
    "third_time": {},
    "two_restarts": {},
    "trimmed": {},
    "reconnected": {},
    "trusted": {"event": "sqs"},
}


def hunted(*words: str, cwd: Path, scenario: Path = BUG) -> tuple[int, dict[str, Any], str]:
    return searched("hunt", str(scenario), "hunt", *words, cwd=cwd)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--target", "aws"], "does not run on --target aws"),
        (["--budget", "10"], "--budget '10' has no unit"),
        (["--fault", "kill-consummer"], "kill-consumer"),
        (["--fault", "reshard"], "none of the faults reshard can strike this scenario"),
        (["--set", "claims=[]"], "nothing is claimed"),
        (["--virtual"], "bug.yaml: consumers: code of yours cannot be simulated"),
    ],
)
def test_what_cannot_be_hunted_is_refused_before_anything_runs(tmp_path: Path, words: Sequence[str], says: str) -> None:
    ran = commanded("hunt", str(BUG), "--out", "hunt", *words, cwd=tmp_path)
    assert ran.returncode == 2 and says in ran.stderr, ran.stderr
    assert not (tmp_path / "hunt").exists()


HOLE = """\
name: hole
transport: sqs
topology: {visibility_timeout: 1s, max_receives: 8}
load: {rate: 10/s, duration: 9s}
consumers: {processes: 1, processing_time: 1ms, restart_delay: 200ms, guard: none}
claims: [exactly-once-effect, {claim: recovery, within: 9s}]
chaos: [{at: 2s, fault: lose-delete, for: 1s}]
"""


@in_series
@pytest.mark.live
def test_a_hole_is_found_made_small_kept_and_repeated(tmp_path: Path) -> None:
    scenario = tmp_path / "hole.yaml"
    scenario.write_text(HOLE)
    words = ("--messages", "20", "--budget", "90s", "--jobs", "1")
    code, came, told = hunted(*words, cwd=tmp_path, scenario=scenario)
    # Only its own fault is drawn, and claims about faults are left out.
    assert (code, came["faults"], [*came["smallest"]]) == (1, ["lose-delete"], ["exactly-once-effect"]), told
    found = came["smallest"]["exactly-once-effect"]
    assert {entry["fault"] for entry in found["schedule"]} == {"lose-delete"}
    assert "effect-duplicate; cause: delete-lost" in found["why"]["exactly-once-effect"]
    assert came["runs"][0]["schedule"] == [] and came["places"]["came-back-after-lost-delete"]
    again = commanded("run", "--replay", found["replay"], cwd=tmp_path)
    assert "replay of exactly-once-effect (lose-delete at" in again.stdout, again.stdout + again.stderr
    # Where its time is over it goes on with what was found, and runs nothing more.
    code, once_more, _ = hunted(*words[:2], "--budget", "1ms", cwd=tmp_path, scenario=scenario)
    assert (code, once_more["runs"]) == (1, came["runs"])
    other = commanded("hunt", str(scenario), "--out", "hunt", "--seed", "9", cwd=tmp_path)
    assert other.returncode == 2 and "is of another search" in other.stderr


@in_series
@pytest.mark.live
def test_a_hole_is_found_on_a_clock_that_jumps_and_shown_on_real_processes(tmp_path: Path) -> None:
    scenario = tmp_path / "hole.yaml"
    scenario.write_text(HOLE)
    words = ("--virtual", "--messages", "20", "--jobs", "1")
    code, came, told = hunted(*words, cwd=tmp_path, scenario=scenario)
    assert (code, came["faults"], [*came["smallest"]]) == (1, ["lose-delete"], ["exactly-once-effect"]), told
    found = came["smallest"]["exactly-once-effect"]
    assert (found["broke"], found["of"]) == (3, 3) and len(found["schedule"]) == 1
    assert "effect-duplicate; cause: delete-lost" in found["why"]["exactly-once-effect"]
    # Of the runs on the simulated clock nothing is left but what they came to; the real ones are there.
    assert not any(run["directory"] for run in came["runs"])
    assert [run["schedule"] for run in came["real"]] == [found["schedule"]] * 2
    assert all(Path(run["directory"], "verdict.json").exists() for run in came["real"])
    assert "violated" in {run["claims"]["exactly-once-effect"] for run in came["real"]}
    assert "a minute" in told and "on real processes: lose-delete at" in told
    again = commanded("run", "--replay", found["replay"], cwd=tmp_path)
    assert "replay of exactly-once-effect (lose-delete at" in again.stdout, again.stdout + again.stderr
    # A hunt on real processes is another one.
    other = commanded("hunt", str(scenario), "--out", "hunt", cwd=tmp_path)
    assert other.returncode == 2 and "is of another search" in other.stderr


def handled_by(name: str, **more: str) -> str:
    return f"consumers.handler={json.dumps({'python': f'bugs:{name}', **more})}"


@in_series
@in_soak
@pytest.mark.live
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_that_needs_two_conditions_at_once_is_found(tmp_path: Path, bug: str) -> None:
    # Of one claim, for a hunt that has broken them all ends.
    words = ("--set", handled_by(bug, **BUGS[bug]), "--set", "claims=[exactly-once-effect]")
    code, came, told = hunted(*words, cwd=tmp_path)
    assert code == 1 and "exactly-once-effect" in came["smallest"], told


@in_series
@in_soak
@pytest.mark.live
def test_who_does_right_is_not_blamed(tmp_path: Path) -> None:
    code, came, told = hunted("--budget", "4min", cwd=tmp_path)
    assert (code, came["smallest"]) == (0, {}), told
    assert len([place for place, messages in came["places"].items() if messages]) > 4
