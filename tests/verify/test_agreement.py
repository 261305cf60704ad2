"""Both judges say the same of random histories: a few here, more of them in `make series`, as a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gameday.history.manifest import ALIASES, BOUNDS
from gameday.verify.registry import CHECKS
from tests.reference.anomalies import ANOMALIES
from tests.reference.judge import CLAIMS
from tests.reference.reading import CLAIMS as READ
from tests.series import in_series, in_soak, soak
from tests.verify.agreement import differing, differing_without

HISTORIES = range(3)
MORE = range(3, 30)
# Of these the judges once said different things.
ONCE_DIFFERENT = (
    200733,
    201089,
    203112,
    203466,
    203494,
    203634,
    204214,
    300095,
    330144,
    330573,
    360084,
    404845,
    410887,
    423747,
)


def test_the_reference_knows_every_anomaly_and_every_claim() -> None:
    """What it does not know would never be compared."""
    assert ANOMALIES.keys() == CHECKS.keys()
    assert CLAIMS.keys() == BOUNDS.keys() | ALIASES.keys()
    assert {name: set(bounds) for name, bounds in READ.items() if name not in ALIASES} == {
        name: set(bounds) for name, bounds in BOUNDS.items()
    }
    assert READ.keys() == CLAIMS.keys()


@pytest.mark.parametrize("seeds", [[*HISTORIES, *ONCE_DIFFERENT], *soak([*MORE])], ids=["known", "more"])
def test_both_judges_say_the_same(seeds: Sequence[int], tmp_path: Path) -> None:
    assert differing(seeds, tmp_path) == [], "for each: python -m tests.verify.agreement SEED"


@pytest.mark.parametrize("seeds", [[*range(40)], *soak([*range(40, 400)])], ids=["known", "more"])
def test_they_say_the_same_of_workflows(seeds: Sequence[int], tmp_path: Path) -> None:
    """Of records that are drawn: tests/reference/flows.py."""
    assert differing(seeds, tmp_path, workflows=True) == [], (
        "for each: python -m tests.verify.agreement SEED --workflows"
    )


@pytest.mark.parametrize("seeds", [[*HISTORIES, 20311, 20735], *soak([*MORE])], ids=["known", "more"])
def test_they_say_the_same_of_what_is_retold(seeds: Sequence[int], tmp_path: Path) -> None:
    """By somebody who saw less than the consumers did: tests/reference/retelling.py."""
    assert differing(seeds, tmp_path, retold=True) == [], "for each: python -m tests.verify.agreement SEED"


@pytest.mark.parametrize("retold", [False, True], ids=["told", "retold"])
@pytest.mark.parametrize("seeds", [[*HISTORIES, 34, 140, 20895], *soak([*MORE])], ids=["known", "more"])
def test_they_say_the_same_of_functions(seeds: Sequence[int], retold: bool, tmp_path: Path) -> None:
    """A service invokes functions in place of consumers: tests/reference/mapping.py."""
    assert differing(seeds, tmp_path, functions=True, retold=retold) == [], "python -m tests.verify.agreement SEED"


FIELDS = (
    *("attempt", "broker_seq", "started", "due", "group", "seq", "producer", "consumer"),
    *("broker_id", "call", "enqueued", "receives", "hidden_s"),
)
# Without `broker_seq` the judges once said different things of these.
WITHOUT_NUMBER = (500004, 500076, 500080, 500148)


@in_series
@in_soak
@pytest.mark.parametrize("seeds", [range(500000, 500030)])
def test_they_say_the_same_where_a_field_is_left_out(seeds: Sequence[int], tmp_path: Path) -> None:
    cases = [(field, seed) for field in FIELDS for seed in seeds]
    assert differing_without([*cases, *(("broker_seq", seed) for seed in WITHOUT_NUMBER)], tmp_path) == []
