"""Whole runs in which most of the load goes to one group for a while: then one receive brings several of that group,
and a consumer shows whether it keeps their order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanded import Gameday
from tests.recorded import recorded
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

HOT = """\
name: hot
transport: sqs-fifo
topology: {visibility_timeout: 5s, max_receives: null}
load: {rate: 60/s, duration: 6s, groups: 20, users: 4, hot: {at: 1s, for: 4s, share: 60%}}
consumers: {processes: 2, processing_time: 40ms, after_failure: AFTER}
chaos: [{at: 1s, for: 4s, fault: fail-handler, share: 10%}]
claims: [no-loss, exactly-once-effect, ordered-per-group, ordered-effects]
"""


def verdicts(start: Callable[..., Gameday], tmp_path: Path, code: int, *, after: str) -> dict[str, Any]:
    path = tmp_path / "hot.yaml"
    path.write_text(HOT.replace("AFTER", after))
    run = start(str(path), "--target", "memory", "--seed", "7")
    ended, out, err = run.end()
    assert ended == code, (out, err)
    sent = Counter(
        record["group"] for record in recorded(run.run / "history/load.jsonl", "intended") if "due" in record
    )
    (most, often), *_ = sent.most_common(1)
    assert most == "g00" and often > 100, sent
    found = json.loads((run.run / "verdict.json").read_bytes())["claims"]
    return {claim["claim"]: claim["verdict"] for claim in found}


@in_soak
@in_series
def test_who_keeps_the_order_of_a_hot_group_is_blamed_for_nothing(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    assert set(verdicts(gameday, tmp_path, 0, after="stop").values()) == {"holds"}


@in_series
def test_who_goes_on_after_a_failure_in_its_group_is_caught(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    found = verdicts(gameday, tmp_path, 1, after="continue")
    assert (found["ordered-effects"], found["exactly-once-effect"]) == ("violated", "holds")
