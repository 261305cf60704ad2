"""Whole runs in which consumers are taken away for a while: a stream's shards go over to the others and come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanded import Gameday
from tests.recorded import recorded
from tests.series import in_series

pytestmark = pytest.mark.live

SCALED = """\
name: scaled
transport: kinesis
topology: {shards: 4, subscriptions: [{name: orders}]}
load: {rate: 120/s, duration: 8s, groups: 40, batch: 10}
consumers: {processes: 2, concurrency: 2, processing_time: 10ms, lease: 1s, restart_delay: 200ms, checkpoint: WHEN}
chaos: [{at: 2s, fault: scale, for: 3s}]
claims: [no-loss, ordered-per-partition, exactly-once-effect]
"""


def scaled(start: Callable[..., Gameday], tmp_path: Path, code: int, *, checkpoint: str) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "scaled.yaml"
    path.write_text(SCALED.replace("WHEN", checkpoint))
    run = start(str(path), "--target", "memory", "--seed", "7")
    ended, out, err = run.end()
    assert ended == code, (out, err)
    return run.run, json.loads((run.run / "verdict.json").read_bytes())


@pytest.mark.parametrize(("checkpoint", "code"), [pytest.param("after", 0, marks=in_series), ("before", 1)])
def test_who_ends_in_good_order_is_caught_only_where_it_checkpoints_before_its_work(
    gameday: Callable[..., Gameday], tmp_path: Path, checkpoint: str, code: int
) -> None:
    run, verdict = scaled(gameday, tmp_path, code, checkpoint=checkpoint)
    found = {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}
    assert found["exactly-once-effect"] == ("violated" if code else "holds")
    assert (found["no-loss"], found["ordered-per-partition"]) == ("holds", "holds")
    start, stop = (record for path in run.glob("history/*.jsonl") for record in recorded(path, "fault"))
    assert (len(start["targets"]), stop["params"]["fired"]) == (1, 1)
    # Nobody took its place before the end; then somebody did, and has a share of the stream again.
    slot = start["targets"][0].rpartition(".")[0]
    marks = [record for path in run.glob("history/*.jsonl") for record in recorded(path, "mark")]
    gone = min(mark["at"] for mark in marks if mark["name"] == "consumer-exited" and mark["slot"] == slot)
    back = [mark for mark in marks if mark["name"] == "consumer-started" and mark["consumer"] == f"{slot}.2"]
    assert gone < start["at"] + 3e9 < back[0]["at"] < stop["at"]
    assert recorded(run / "history" / f"{slot}.2.jsonl", "received")
