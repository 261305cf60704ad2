"""Whole runs in which consumers are taken away for a while: a stream's shards go over to the others and come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanded import Gameday
from tests.recorded import recorded
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

SCALED = """\
name: scaled
transport: kinesis
topology: {shards: 4, subscriptions: [{name: orders}]}
load: {rate: 120/s, duration: 8s, groups: 40, batch: 10}
consumers: {processes: 2, concurrency: 2, processing_time: 10ms, lease: 1s, restart_delay: 200ms}
chaos: [{at: 2s, fault: scale, for: 3s}]
claims: [no-loss, ordered-per-partition, exactly-once-effect]
"""
# Whoever goes away gives back what it has not begun, and that has used up its only receive.
RECEIVED_ONCE = """\
name: scaled
transport: sqs
topology: {visibility_timeout: 10s, max_receives: 1}
load: {rate: 40/s, duration: 5s, batch: 10}
consumers: {processes: 2, concurrency: 1, processing_time: 40ms, restart_delay: 200ms, on_term: WHAT}
chaos: [{at: 2s, fault: scale, for: 1s}]
claims: [no-loss, at-least-once-effect]
"""


def scaled(start: Callable[..., Gameday], tmp_path: Path, code: int, scenario: str) -> tuple[Path, dict[str, str]]:
    path = tmp_path / "scaled.yaml"
    path.write_text(scenario)
    run = start(str(path), "--target", "memory", "--seed", "7")
    ended, out, err = run.end()
    assert ended == code, (out, err)
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    return run.run, {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}


def records(run: Path, event: str) -> list[dict[str, Any]]:
    return [record for path in run.glob("history/*.jsonl") for record in recorded(path, event)]


@in_series
def test_the_shards_of_whoever_goes_away_go_over_to_the_others_and_come_back(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    run, found = scaled(gameday, tmp_path, 0, SCALED)
    assert set(found.values()) == {"holds"}
    start, stop = records(run, "fault")
    assert (len(start["targets"]), stop["params"]["fired"]) == (1, 1)
    # Nobody took its place before the end; then somebody did, and has a share of the stream again.
    slot = start["targets"][0].rpartition(".")[0]
    marks = records(run, "mark")
    gone = min(mark["at"] for mark in marks if mark["name"] == "consumer-exited" and mark["slot"] == slot)
    (back,) = [mark for mark in marks if mark["name"] == "consumer-started" and mark["consumer"] == f"{slot}.2"]
    assert gone < start["at"] + 3e9 < back["at"] < stop["at"]
    assert recorded(run / "history" / f"{slot}.2.jsonl", "received")


@pytest.mark.parametrize(("on_term", "code"), [("release", 1), pytest.param("finish", 0, marks=(in_series, in_soak))])
def test_who_gives_back_what_may_be_received_once_is_caught(
    gameday: Callable[..., Gameday], tmp_path: Path, on_term: str, code: int
) -> None:
    _, found = scaled(gameday, tmp_path, code, RECEIVED_ONCE.replace("WHAT", on_term))
    assert found == {"no-loss": "holds", "at-least-once-effect": "violated" if code else "holds"}
