"""One boto3 carrier for each endpoint that outlives a test: making its clients costs more than most of the tests do."""

from __future__ import annotations

from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint

_MADE: dict[str, BotoCarrier] = {}


def carrier(endpoint: Endpoint) -> BotoCarrier:
    if (key := repr(endpoint)) not in _MADE:
        _MADE[key] = BotoCarrier(endpoint)
    return _MADE[key]
