"""A conductor that is killed during a fault, each in turn: `recover` leaves nothing, and nobody is blamed for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.chaos.registry import FAULTS
from tests.run.killed_in_faults import CASES, ELSEWHERE, fault_of, play
from tests.series import in_series, soak

# What is stopped, and what stands at a broker that outlives the run.
SOONER = ("freeze-producer", "impair-queue, attached")


def test_every_fault_has_its_case() -> None:
    assert {*map(fault_of, CASES), *ELSEWHERE} == {*FAULTS}


@pytest.mark.live
@in_series
@pytest.mark.parametrize("name", [*SOONER, *soak(*(name for name in CASES if name not in SOONER))])
def test_nothing_is_left_and_nobody_is_blamed(tmp_path: Path, name: str) -> None:
    assert play(name, tmp_path).wrong == []
