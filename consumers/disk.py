"""The history of a consumer, as it is written while its disk may be full (the fault `full-disk`).

It promises that nothing of what does not fit stands there.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbances


class DiskWriter(Writer):
    def __init__(self, *, run: Path, name: str, clock: Clock, disturbances: Disturbances) -> None:
        super().__init__(run=run, name=name, clock=clock)
        self._disturbances = disturbances

    def _put(self, data: memoryview) -> int:
        if self._disturbances.struck("full-disk", self.name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super()._put(data)
