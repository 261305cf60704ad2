"""Which shipped scenarios AWS itself is asked for: of the others no plan and no policy is printed, and none is run."""

from __future__ import annotations

from gameday.scenario import reading
from gameday.scenario.model import needs_of
from gameday.targets.products import AWS
from gameday.transports.registry import TRANSPORTS


def _is_refused(name: str) -> bool:
    scenario = reading.load(reading.find(name), ())
    return bool(AWS.gaps_of(TRANSPORTS[scenario.transport]).keys() & set(needs_of(scenario)))


ON_AWS = [name for name in reading.names() if not _is_refused(name)]
