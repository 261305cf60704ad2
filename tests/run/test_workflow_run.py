"""Whole runs of workflows on the broker in memory: what the load starts, consumers work on and the end reads back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.scenario.reading import SCENARIOS
from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

PAY = f"""\
name: pay
transport: stepfunctions
topology: {{visibility_timeout: 2s, workflow: {{machine: {SCENARIOS / "machines" / "pay.json"}}}}}
load: {{rate: 15/s, duration: 2s, groups: 4, users: 2, give_up: 8s, RETRY}}
consumers: {{processes: 1}}
chaos: [{{at: 0.2s, for: 1.6s, fault: throttle-starts, share: 60%}}]
claims: [all-accepted, exactly-once-execution, exactly-once-step-effect, callback-once,
         {{claim: no-hung-execution, within: 60s}}]
"""


def verdict(start: Callable[..., Gameday], tmp_path: Path, scenario: str, code: int, *options: str) -> Any:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario)
    run = start(str(path), "--target", "memory", "--seed", "7", *options)
    ended, out, err = run.end()
    assert ended == code, (out, err)
    return json.loads((run.run / "verdict.json").read_bytes())


@in_series
def test_a_producer_that_tries_again_starts_each_execution_once(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    found = verdict(gameday, tmp_path, PAY.replace("RETRY", "retry: ordered"), 0)
    told = found["workflow"]
    assert (told["started"], told["executions"]) == (30, {"succeeded": 30})
    # It was refused now and then.
    assert told["started_again"] > 0
    assert told["steps"]["pay"]["tasks"] == told["steps"]["pay"]["applied"] == 30


@in_series
@in_soak
def test_one_that_gives_up_is_caught(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    scenario = PAY.replace("give_up: 8s, RETRY", "retry: none")
    found = verdict(gameday, tmp_path, scenario, 1)
    verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
    assert (verdicts["all-accepted"], verdicts["exactly-once-execution"]) == ("violated", "holds")


MACHINES = SCENARIOS / "machines"
CALLBACKS = f"""\
name: callbacks
transport: stepfunctions
topology: {{visibility_timeout: 4s, workflow: {{machine: {MACHINES}/MACHINE.json}}}}
load: {{rate: 10/s, duration: 6s, groups: 4, users: 2}}
consumers: {{processes: 1, concurrency: 40, guard: GUARD, callback: CALLBACK, processing_time: WORK}}
chaos: [FAULT]
claims: [exactly-once-execution, exactly-once-step-effect, callback-once, {{claim: no-hung-execution, within: 60s}}]
drain_timeout: 6s
"""
LATE = "{at: 500ms, fault: late-callback, by: 2s, share: 40%}"
TWICE = "{at: 500ms, for: 4s, fault: double-callback, share: 50%}"
STOP = "{at: 2s, fault: stop-execution, pick: 3}"


def callbacks(fault: str, *, machine: str, guard: str, callback: str = "once", work: str = "0s") -> str:
    written = CALLBACKS.replace("MACHINE", machine).replace("GUARD", guard).replace("CALLBACK", callback)
    return written.replace("WORK", work).replace("FAULT", fault)


def verdicts(found: Any) -> dict[str, str]:
    return {claim["claim"]: claim["verdict"] for claim in found["claims"]}


# The worker's mistake that each fault of callbacks must show, beside the worker that it must not.
MISTAKES = {
    "late": (LATE, {"machine": "impatient", "guard": "transaction"}, {"machine": "impatient", "guard": "none"}),
    "twice": (TWICE, {"machine": "pay", "guard": "none"}, {"machine": "pay", "guard": "none", "callback": "insist"}),
    "stopped": (
        STOP,
        {"machine": "pay", "guard": "none", "work": "500ms"},
        {"machine": "pay", "guard": "none", "work": "500ms", "callback": "insist"},
    ),
}


@in_series
@pytest.mark.parametrize("case", MISTAKES)
@in_soak
def test_a_worker_that_knows_what_a_refusal_means_is_blamed_for_nothing(
    gameday: Callable[..., Gameday], tmp_path: Path, case: str
) -> None:
    fault, correct, _ = MISTAKES[case]
    found = verdict(gameday, tmp_path, callbacks(fault, **correct), 0)
    assert set(verdicts(found).values()) == {"holds"}
    step = found["workflow"]["steps"]["pay"]
    # It struck: tokens were refused, and nobody's effect stands twice.
    assert step["tokens_refused"] > 0
    stopped = found["workflow"]["executions"].get("aborted", 0)
    assert stopped == (3 if case == "stopped" else 0)


@in_series
@pytest.mark.parametrize("case", MISTAKES)
@in_soak
def test_a_worker_that_does_not_is_caught(gameday: Callable[..., Gameday], tmp_path: Path, case: str) -> None:
    fault, _, broken = MISTAKES[case]
    found = verdict(gameday, tmp_path, callbacks(fault, **broken), 1)
    told = verdicts(found)
    assert told["exactly-once-step-effect"] == "violated"
    assert (told["exactly-once-execution"], told["callback-once"]) == ("holds", "holds")
    assert found["anomalies"]["step-effect-duplicate"]["count"] > 0


CUT = f"""\
name: cut
transport: stepfunctions
topology: {{visibility_timeout: 4s, workflow: {{machine: {MACHINES}/fulfil.json}}}}
load: {{rate: 10/s, duration: 5s, groups: 4, users: 2}}
consumers: {{processes: 1, concurrency: 40, processing_time: 500ms}}
chaos: [{{at: 2s, fault: stop-execution, pick: 50%}}]
claims: [no-loss, exactly-once-execution, exactly-once-step-effect, {{claim: no-hung-execution, within: 60s}}]
drain_timeout: 20s
"""


@in_soak
@in_series
def test_what_does_not_come_of_a_stopped_execution_is_nobody_s_loss(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    found = verdict(gameday, tmp_path, CUT, 0)
    aborted = found["workflow"]["executions"]["aborted"]
    assert aborted > 0 and 0 < found["anomalies"]["cut-short"]["count"] <= aborted
    assert (found["anomalies"]["lost"]["count"], found["anomalies"]["unseen"]["count"]) == (0, 0)
    (hung,) = (claim for claim in found["claims"] if claim["claim"] == "no-hung-execution")
    assert hung["checked"] == 50 - aborted


def broker(defect: str) -> Iterator[str]:
    """The URL of a broker with that defect."""
    argv = [sys.executable, "-m", "gameday.emulator", "--port", "0", "--defect", defect]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.fixture
def rerunning() -> Iterator[str]:
    yield from broker("redrive-reruns")


@pytest.fixture
def doubling() -> Iterator[str]:
    yield from broker("sync-twice:5")


def at(url: str) -> tuple[str, ...]:
    return "--target", "localstack", "--endpoint-url", url


@in_soak
@in_series
def test_a_redrive_that_begins_at_the_beginning_is_caught(
    gameday: Callable[..., Gameday], tmp_path: Path, rerunning: str
) -> None:
    scenario = (SCENARIOS / "workflow-redrive.yaml").read_text().replace("machines/", f"{MACHINES}/")
    found = verdict(gameday, tmp_path, scenario, 1, *at(rerunning))
    assert verdicts(found) == {
        "exactly-once-execution": "holds",
        "redrive-no-rerun": "violated",
        # The guard knows what it did.
        "exactly-once-step-effect": "holds",
        "callback-once": "holds",
    }
    assert found["anomalies"]["redrive-rerun"]["count"] == found["workflow"]["redrives"] > 0


@in_series
def test_a_start_that_is_carried_out_twice_is_the_service_s_fault(
    gameday: Callable[..., Gameday], tmp_path: Path, doubling: str
) -> None:
    scenario = (SCENARIOS / "workflow-express-sync.yaml").read_text().replace("machines/", f"{MACHINES}/")
    found = verdict(gameday, tmp_path, scenario, 1, *at(doubling))
    assert verdicts(found)["at-most-once-execution"] == "violated"
    counts = {name: found["anomalies"][name]["count"] for name in ("task-repeated", "start-repeated")}
    # Each of two steps was asked for twice.
    assert counts["task-repeated"] >= 2 * 80 // 5 - 2 and counts["start-repeated"] == 0
