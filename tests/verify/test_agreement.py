"""Both judges say the same of random histories: a few here, by the thousand in `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.history.manifest import ALIASES, BOUNDS
from gameday.verify.registry import CHECKS
from tests.reference.anomalies import ANOMALIES
from tests.reference.judge import CLAIMS
from tests.reference.reading import CLAIMS as READ
from tests.verify.agreement import differing

HISTORIES = 160
# Several tests, so that they spread over the processes of a parallel run.
SHARES = 2
# Of these the judges once said different things.
ONCE_DIFFERENT = (200733, 201089, 203112, 203466, 203494, 203634, 204214, 300095, 330144)


def test_the_reference_knows_every_anomaly_and_every_claim() -> None:
    """What it does not know would never be compared."""
    assert ANOMALIES.keys() == CHECKS.keys()
    assert CLAIMS.keys() == BOUNDS.keys() | ALIASES.keys()
    assert {name: set(bounds) for name, bounds in READ.items() if name not in ALIASES} == {
        name: set(bounds) for name, bounds in BOUNDS.items()
    }
    assert READ.keys() == CLAIMS.keys()


@pytest.mark.parametrize("share", range(SHARES))
def test_both_judges_say_the_same(share: int, tmp_path: Path) -> None:
    assert differing(range(share, HISTORIES, SHARES), tmp_path) == [], "for each: python -m tests.verify.agreement SEED"


def test_both_judges_say_the_same_where_they_once_did_not(tmp_path: Path) -> None:
    assert differing(ONCE_DIFFERENT, tmp_path) == []
