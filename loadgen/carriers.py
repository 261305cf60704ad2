"""Who carries the load's calls: anything that makes a `Call` an `Answer` or raises CallFailed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from loadgen.config import LoadConfig
from transports.base import Answer, Call
from transports.carrier import BotoCarrier
from transports.registry import TRANSPORTS

# Long enough for a broker in trouble, short enough that a lost answer is retried within the deduplication window.
READ_TIMEOUT_S = 10.0


class Carrier(Protocol):
    def for_one_user(self) -> Callable[[Call], Answer]:
        """What one user makes its calls with, one at a time; warm: the first call finds everything in place."""
        ...


class SharedBoto:
    """boto3's clients, shared by all users of the process."""

    def __init__(self, config: LoadConfig) -> None:
        self._boto = BotoCarrier(config.endpoint, read_timeout_s=READ_TIMEOUT_S, connections=max(config.users, 10))
        for service in TRANSPORTS[config.transport].services:
            self._boto.client(service)

    def for_one_user(self) -> Callable[[Call], Answer]:
        return self._boto


def carrier_for(config: LoadConfig) -> Carrier:
    return SharedBoto(config)
