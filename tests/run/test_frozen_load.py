"""A load that is stopped for longer than a FIFO queue remembers what it sent: on the broker in memory, whose memory is
made short."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.processes import proc
from tests.commanded import Gameday, verify, wait_until
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

# Of what is sent while replies are lost nobody knows, when the load is stopped, that it was stored.
FROZEN = """\
name: frozen
transport: sqs-fifo
topology: {visibility_timeout: 5s, dedup_window: 1s}
load: {rate: 60/s, duration: 6s, give_up: 20s, groups: 20, users: 4, processes: 2}
consumers: {processes: 1, guard: GUARD}
chaos:
  - {at: 1s, for: 1s, fault: lose-send-reply, share: 100%}
  - {at: 1500ms, for: FOR, fault: freeze-producer}
claims: [no-loss, exactly-once-delivery, exactly-once-effect, {claim: lag, p99: 500ms, during: faults}]
"""


def started(gameday: Callable[..., Gameday], tmp_path: Path, *, guard: str, lasts: str) -> Gameday:
    path = tmp_path / "frozen.yaml"
    path.write_text(FROZEN.replace("GUARD", guard).replace("FOR", lasts))
    return gameday(str(path), "--target", "memory", "--seed", "7")


def judged(run: Gameday, code: int) -> tuple[dict[str, Any], dict[str, str]]:
    ended, out, err = run.end()
    assert ended == code, (out, err)
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    return verdict, {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}


@in_soak
@in_series
def test_what_is_sent_again_after_the_window_has_its_effect_once_behind_a_guard(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    """And the lateness is the load's own: nobody is blamed for the lag."""
    run = started(gameday, tmp_path, guard="transaction", lasts="2500ms")
    verdict, claims = judged(run, 3)
    assert verdict["anomalies"]["send-duplicate"]["count"] > 0, "the window was over"
    assert verdict["totals"]["late"] > 0 and verdict["totals"]["latest_s"] > 2.0
    assert claims == {
        "no-loss": "holds",
        "exactly-once-delivery": "holds",
        "exactly-once-effect": "holds",
        "lag": "unknown",
    }
    (lag,) = [claim for claim in verdict["claims"] if claim["claim"] == "lag"]
    assert "late" in " ".join(lag["why"]), lag


@in_series
def test_whoever_relies_on_the_window_is_caught(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    run = started(gameday, tmp_path, guard="none", lasts="2500ms")
    verdict, claims = judged(run, 1)
    assert (claims["exactly-once-effect"], claims["exactly-once-delivery"]) == ("violated", "holds")
    assert verdict["anomalies"]["send-duplicate"]["count"] > 0


@in_soak
@in_series
def test_a_load_whose_conductor_is_killed_while_it_is_stopped_ends(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    run = started(gameday, tmp_path, guard="transaction", lasts="4s")
    run.wait_for_mark("load-started")
    run.remember_family()
    load = [pid for pid, child in run.family.items() if "locust" in " ".join(child.cmdline())]
    assert len(load) == 3, "Locust and two that send"
    wait_until(lambda: all(proc.state(pid) == "T" for pid in load), "all of them are stopped")
    run.send(signal.SIGKILL)
    assert run.end()[0] == -signal.SIGKILL
    run.assert_nothing_left()
    assert verify(run.run)[0] == 3
