"""Poison on every pipeline that ends in queues: each such message ends among the dead letters, and no other does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gameday.commanded import Gameday
from transports.registry import TRANSPORTS

pytestmark = pytest.mark.live

POISON = """\
name: poison
transport: {transport}
topology: {{visibility_timeout: 1s, max_receives: 2}}
load: {{rate: 40/s, duration: 3s, groups: 40, users: 2, batch: 4, poison: 10%, payload: 128B}}
consumers: {{processes: 1}}
claims: [no-loss, no-phantom, dead-letter]
"""
PIPELINES = [
    name for name, transport in TRANSPORTS.items() if transport.kind == "queue" and not name.startswith("memory")
]


@pytest.mark.parametrize("transport", PIPELINES)
def test_what_no_handler_can_do_ends_among_the_dead_letters(
    transport: str, gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(POISON.format(transport=transport))
    run = gameday(str(path), "--seed", "7")
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    (dead_letter,) = [claim for claim in verdict["claims"] if claim["claim"] == "dead-letter"]
    assert dead_letter["checked"] > 5
    assert verdict["anomalies"]["redelivery"]["count"] >= dead_letter["checked"]
