"""A queue that refuses for a while, in whole runs: nobody is blamed who does right, and who does not is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.processes.undo import Undo
from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

SHORT = [
    *("--target", "memory", "--seed", "7", "--set", "load.duration=4s", "--set", "consumers.processes=1"),
    *("--set", "chaos=[{at: 1s, fault: impair-queue, for: 1500ms}]", "--set", "topology.visibility_timeout=1s"),
]


def violated(gameday: Callable[..., Gameday], *changes: str) -> tuple[Path, set[str]]:
    run = gameday("impaired-queue", *SHORT, *(word for change in changes for word in ("--set", change)))
    ended, out, err = run.end()
    assert ended in (0, 1), (out, err)
    claims = json.loads((run.run / "verdict.json").read_bytes())["claims"]
    assert {claim["verdict"] for claim in claims} <= {"holds", "violated"}
    return run.run, {claim["claim"] for claim in claims if claim["verdict"] == "violated"}


@in_series
def test_producers_and_consumers_that_do_right_are_not_blamed(gameday: Callable[..., Gameday]) -> None:
    run, found = violated(gameday)
    assert found == set()
    records = [json.loads(line) for line in (run / "history" / "conductor.jsonl").read_bytes().splitlines()]
    start, stop = [record for record in records if record["event"] == "fault"]
    assert {"load", "orders-1.1"} <= {*start["targets"]} and stop["params"]["fired"] > 5
    # The writers' own records tell how often they were refused, and when: never outside of the strike.
    told = [json.loads(line) for path in run.glob("history/*.jsonl") for line in path.read_bytes().splitlines()]
    refused = [record for record in told if str(record.get("error")).startswith("AccessDenied")]
    assert {record["event"] for record in refused} >= {"sent", "settled"}
    assert all(start["at"] <= record["at"] <= stop["at"] + 1e8 for record in refused)
    assert not [record for record in Undo(run).open() if record.kind == "policy"]


@in_series
@pytest.mark.parametrize(
    ("change", "caught"),
    [
        ("load.retry=unordered", {"ordered-per-group"}),
        pytest.param("consumers.guard=none", {"exactly-once-effect"}, marks=in_soak),
    ],
)
def test_who_does_wrong_is_caught(gameday: Callable[..., Gameday], change: str, caught: set[str]) -> None:
    _, found = violated(gameday, change)
    assert caught <= found


@in_series
def test_a_target_that_does_what_is_denied_is_refused(gameday: Callable[..., Gameday]) -> None:
    ended, _, err = gameday("impaired-queue", "--target", "embedded").end()
    assert ended == 5
    assert "policy-deny: MiniStack does what a queue's policy denies" in err
