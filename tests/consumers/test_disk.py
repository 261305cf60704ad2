"""A history on a full disk: what does not fit is not there, and what was there before stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.consumers.disk import DiskWriter
from gameday.history import events
from gameday.history.clock import Clock
from gameday.history.errors import HistoryError
from gameday.processes.disturbances import Disturbance, Disturbances
from tests.recorded import recorded


def test_what_does_not_fit_is_not_there_and_the_rest_is(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    disturbances = Disturbances(lambda instance: None)
    writer = DiskWriter(run=tmp_path, name="orders-1.1", clock=Clock.start(), disturbances=disturbances)
    writer.write(events.mark("before"))
    disturbances.arm(Disturbance(kind="full-disk", instance="f"))
    with pytest.raises(
        HistoryError, match=r"cannot write to .*: No space left on device. What was recorded so far can"
    ):
        writer.write(events.mark("lost"), events.mark("lost"))
    assert disturbances.disarm("f") == 1
    writer.write(events.mark("after"))
    writer.close()
    assert [record["name"] for record in recorded(writer.path)] == ["before", "after", "closed"]
