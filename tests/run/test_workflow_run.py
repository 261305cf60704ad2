"""Whole runs of workflows on the broker in memory: what the load starts, consumers work on and the end reads back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.scenario.reading import SCENARIOS
from tests.commanded import Gameday
from tests.series import in_series

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
def test_one_that_gives_up_is_caught(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    scenario = PAY.replace("give_up: 8s, RETRY", "retry: none")
    found = verdict(gameday, tmp_path, scenario, 1)
    verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
    assert (verdicts["all-accepted"], verdicts["exactly-once-execution"]) == ("violated", "holds")
