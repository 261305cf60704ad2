"""Both judges say the same of random histories: a few here, by the thousand in `make series`."""

from __future__ import annotations

from pathlib import Path

from tests.verify.agreement import differing

HISTORIES = range(60)
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


def test_both_judges_say_the_same(tmp_path: Path) -> None:
    """All at once: most of the time goes into planning the queries, once for all histories with the same clocks."""
    assert differing([*HISTORIES, *ONCE_DIFFERENT], tmp_path) == [], "for each: python -m tests.verify.agreement SEED"
