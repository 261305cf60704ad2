"""Poison on every pipeline that ends in queues: each such message ends among the dead letters, and no other does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.transports.registry import TRANSPORTS
from tests.commanded import Gameday
from tests.series import in_series, soak

pytestmark = pytest.mark.live

POISON = """\
name: poison
transport: {transport}
topology: {{visibility_timeout: 1s, max_receives: 2, redrive: {redrive}}}
load: {{rate: 80/s, duration: 1500ms, groups: 40, users: 2, batch: 4, poison: {poison}, payload: 128B}}
consumers: {{processes: 1}}
claims: [no-loss, no-phantom, dead-letter]
"""
# They have poison in the runs of tests/run/test_sns_run.py: one run more of each would show nothing more. What an
# order of a workflow comes to is its machine's to say.
ELSEWHERE = ["sns", "sns-fifo", "stepfunctions"]
PIPELINES = [name for name, transport in TRANSPORTS.items() if transport.kind == "queue" and name not in ELSEWHERE]


Start = Callable[..., Gameday]


def start(
    gameday: Start, tmp_path: Path, *arguments: str, transport: str, redrive: bool = False, poison: str = "10%"
) -> Gameday:
    path = tmp_path / "scenario.yaml"
    path.write_text(POISON.format(transport=transport, redrive=str(redrive).lower(), poison=poison))
    batch = min(4, TRANSPORTS[transport].batch_max)
    return gameday(str(path), "--seed", "7", "--set", f"load.batch={batch}", *arguments)


def judged(run: Gameday) -> Any:
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    return json.loads((run.run / "verdict.json").read_bytes())


@in_series
@pytest.mark.parametrize("transport", [PIPELINES[0], *soak(*PIPELINES[1:])])
def test_what_no_handler_can_do_ends_among_the_dead_letters(transport: str, gameday: Start, tmp_path: Path) -> None:
    verdict = judged(start(gameday, tmp_path, transport=transport))
    (dead_letter,) = [claim for claim in verdict["claims"] if claim["claim"] == "dead-letter"]
    assert dead_letter["checked"] > 5
    assert verdict["anomalies"]["redelivery"]["count"] >= dead_letter["checked"]


@in_series
def test_dead_letters_that_are_moved_back_are_tried_again(gameday: Start, tmp_path: Path) -> None:
    run = start(gameday, tmp_path, "--target", "memory", transport="sqs", redrive=True)
    assert judged(run)["anomalies"]["lost-on-redrive"]["count"] == 0
    records = [json.loads(line) for line in (run.run / "history" / "conductor.jsonl").read_bytes().splitlines()]
    redriven = [record["id"] for record in records if record["event"] == "redriven"]
    assert len(redriven) > 5
    # Each was found dead before and, since nothing was mended, after.
    assert sorted(record["id"] for record in records if record["event"] == "dead") == sorted(redriven * 2)


@in_series
def test_a_redrive_of_nothing_shows_nothing(gameday: Start, tmp_path: Path) -> None:
    ended, _, err = start(gameday, tmp_path, "--target", "memory", transport="sqs", redrive=True, poison="0%").end()
    assert ended == 4
    assert "there is no dead letter to move back" in err
