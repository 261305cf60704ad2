"""The judge of the product and the slow reference judge agree on random small histories, legal and broken.

The histories come from a simulated broker with kills, pauses, lost replies and planted defects. Where the two differ,
one of them misreads the record format.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import NotARun
from gameday.verify.judge import Verdict, judge_all
from tests.reference.judge import judge as reference
from tests.reference.simulation import simulate

HISTORIES = 480
# Several tests, so that they spread over the processes of a parallel run.
SHARES = 4
# Of these the judges once said different things.
ONCE_DIFFERENT = (200733, 201089, 203112, 203466, 203494, 203634, 204214)


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


def told(verdict: Verdict | NotARun) -> dict[str, object] | None:
    return None if isinstance(verdict, NotARun) else shown(verdict.document)


def expected(run: Path) -> dict[str, object] | None:
    try:
        return shown(reference(run))
    except ValueError:
        return None


def differing(seeds: Iterable[int], directory: Path) -> list[int]:
    """The seeds of those histories of which the two judges do not say the same."""
    runs = {seed: directory / str(seed) for seed in seeds}
    for seed, run in runs.items():
        simulate(seed, run=run)
    verdicts = judge_all(list(runs.values()))
    return [seed for (seed, run), verdict in zip(runs.items(), verdicts, strict=True) if told(verdict) != expected(run)]


@pytest.mark.parametrize("share", range(SHARES))
def test_both_judges_say_the_same(share: int, tmp_path: Path) -> None:
    seeds = range(share, HISTORIES, SHARES)
    assert differing(seeds, tmp_path) == [], f"for each: python -m tests.reference.judge {tmp_path}/SEED"


def test_both_judges_say_the_same_where_they_once_did_not(tmp_path: Path) -> None:
    assert differing(ONCE_DIFFERENT, tmp_path) == []
