"""The judge of the product and the slow reference judge agree on random small histories, legal and broken.

The histories come from a simulated broker with kills, pauses, lost replies and planted defects. Where the two differ,
one of them misreads the record format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import NotARun
from gameday.verify.judge import judge
from tests.reference.judge import judge as reference
from tests.reference.simulation import simulate

HISTORIES = 480
# Several tests, so that they spread over the processes of a parallel run.
SHARES = 8


def shown(document: dict[str, Any]) -> dict[str, object]:
    """What both judges must say alike. Of a damaged history nothing is judged, so there only that it is damaged."""
    if document["damaged"]:
        return {"damaged": True, "claims": [claim["verdict"] for claim in document["claims"]]}
    counts = {
        name: entry if isinstance(entry, int) else entry["count"] for name, entry in document["anomalies"].items()
    }
    return {
        "anomalies": counts,
        "claims": [(claim["verdict"], claim["checked"]) for claim in document["claims"]],
        "torn": document["torn_lines"],
    }


def told(run: Path) -> dict[str, object] | None:
    try:
        return shown(judge(run).document)
    except NotARun:
        return None


def expected(run: Path) -> dict[str, object] | None:
    try:
        return shown(reference(run))
    except ValueError:
        return None


@pytest.mark.parametrize("share", range(SHARES))
def test_both_judges_say_the_same(share: int, tmp_path: Path) -> None:
    for seed in range(share, HISTORIES, SHARES):
        run = tmp_path / str(seed)
        simulate(seed, run=run)
        assert told(run) == expected(run), f"seed {seed}: python -m tests.reference.judge {run}"
