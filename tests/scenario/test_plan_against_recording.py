"""`gameday plan` is right about what a run calls, within a tenth, on each pipeline; and so is the run about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario.plan_against_recording import RUNS, WITHIN, record
from tests.series import in_soak

# The others show more of the same.
FEW = ("quick",)


# How full a receive is hangs on when each process gets its turn.
@pytest.mark.alone
@pytest.mark.live
@pytest.mark.parametrize(
    ("arguments", "far_s"),
    [
        pytest.param(run, far_s, marks=[] if run.split()[0] in FEW else [in_soak], id=run.split()[0])
        for run, far_s in RUNS.items()
    ],
)
def test_a_run_calls_what_was_planned(tmp_path: Path, arguments: str, far_s: float) -> None:
    recording = record(arguments, tmp_path, far_s=far_s)
    assert recording.outside() == []
    assert {service: off for service, off in recording.off().items() if abs(off) > WITHIN} == {}
    # Nobody was killed, so the processes of the run know of every call.
    assert recording.told == recording.asked
