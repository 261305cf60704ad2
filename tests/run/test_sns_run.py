"""Whole runs over SNS on MiniStack: several subscriptions, each with consumers of its own, what was forgotten, and
poison among it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanded import Gameday, poison_and_dead
from tests.series import in_series

pytestmark = pytest.mark.live

FIFO = """\
name: fifo
transport: sns-fifo
topology:
  visibility_timeout: 1s
  max_receives: 2
  subscriptions:
    - {name: all}
    - {name: raw, raw: true, filter: {detail: {currency: [EUR, USD]}}, filter_on: body}
    - {name: unordered, queue: standard}
load: {rate: 40/s, duration: 2s, groups: 20, users: 3, batch: 4, poison: 10%}
# One message at a time: in a batch, poison takes others with it.
consumers: {processes: 1, processing_time: 1ms, batch: 1}
claims: [no-loss, no-phantom, ordered-per-group, exactly-once-effect, ordered-effects,
         fanout-complete, filter-correct, dead-letter]
"""
WRONG = """\
name: wrong
transport: sns
topology:
  visibility_timeout: 1s
  max_receives: 2
  subscriptions:
    - {name: all}
    - {name: forgotten, deployed: {missing: true}}
    - {name: euro, filter: {currency: [EUR]}, deployed: {filter: {currency: [USD]}}}
load: {rate: 30/s, duration: 2s, groups: 8, users: 2, batch: 4, poison: 10%}
consumers: {processes: 1}
claims: [no-phantom, fanout-complete, filter-correct, dead-letter]
"""


def verdict(start: Callable[..., Gameday], tmp_path: Path, scenario: str, code: int, *, said: str = "") -> Any:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario)
    run = start(str(path), "--seed", "7")
    ended, out, err = run.end()
    assert ended == code, (out, err)
    assert said in out
    return json.loads((run.run / "verdict.json").read_bytes())


@in_series
def test_a_fifo_topic_keeps_its_promises_on_every_subscription(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    # What it could not show was said, and did not stop it.
    found = verdict(gameday, tmp_path, FIFO, 0, said="behind a filter a FIFO topic promises raw at most once")
    checked = {claim["claim"]: claim["checked"] for claim in found["claims"]}
    assert checked["filter-correct"] == 80
    # All of them on two subscriptions, and on the filtered one about two thirds.
    assert 2 * 80 < checked["fanout-complete"] < 3 * 80
    assert set(found["latency_s"]) == {"all", "raw", "unordered"}
    # Each of them on two subscriptions at least.
    poison, dead = poison_and_dead(tmp_path / "run0", "all")
    assert len(poison) > 5
    assert dead == poison
    assert found["anomalies"]["redelivery"]["count"] >= checked["dead-letter"] > 2 * len(poison)


@in_series
def test_what_is_deployed_wrong_is_found(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    found = verdict(gameday, tmp_path, WRONG, 1)
    assert {claim["claim"]: claim["verdict"] for claim in found["claims"]} == {
        "no-phantom": "unknown",
        "fanout-complete": "violated",
        "filter-correct": "violated",
        "dead-letter": "violated",
    }
    assert {example["subscription"] for example in found["anomalies"]["misrouted"]["examples"]} == {"euro"}
    # Every one on the forgotten subscription, and what should have come to `euro`; all of them arrived elsewhere.
    expected = {name: found["totals"]["subscriptions"][name]["expected"] for name in ("forgotten", "euro")}
    assert expected["forgotten"] == 60 > expected["euro"] > 5
    assert found["anomalies"]["lost"]["count"] == sum(expected.values())
    assert found["anomalies"]["fanout-missing"]["count"] == found["anomalies"]["lost"]["count"]
    # Where it was forgotten, poison cannot have died; where nothing is wrong, all of it did, and nothing else.
    assert "all" not in {example["subscription"] for example in found["anomalies"]["poison-escaped"]["examples"]}
    poison, dead = poison_and_dead(tmp_path / "run0", "all")
    assert len(poison) > 5
    assert dead == poison
