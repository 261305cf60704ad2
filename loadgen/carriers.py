"""Who carries the load's calls: the fast carrier where it knows the service's protocol and nobody asks for boto3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gameday.history.clock import Clock
from gameday.history.writer import Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.payloads import Store
from gameday.transports.base import Answer, Call
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.carriers.fast import FastCarrier
from gameday.transports.carriers.json_protocol import SERVICES, goes_through_proxy
from gameday.transports.objects import SERVICE
from gameday.transports.registry import TRANSPORTS

# Long enough for a broker in trouble, short enough that a lost answer is retried within the deduplication window.
READ_TIMEOUT_S = 10.0


class Carrier(Protocol):
    def for_one_user(self) -> Callable[[Call], Answer]:
        """What one user makes its calls with, one at a time; warm: the first call finds everything in place.

        Errors of a call: CallFailed.
        """
        ...


class SharedBoto:
    """boto3's clients, shared by all users of the process."""

    def __init__(self, config: LoadConfig) -> None:
        self._boto = BotoCarrier(config.endpoint, read_timeout_s=READ_TIMEOUT_S, connections=max(config.users, 10))
        for service in TRANSPORTS[config.transport].services:
            self._boto.client(service)

    def for_one_user(self) -> Callable[[Call], Answer]:
        return self._boto


def store_for(config: LoadConfig, writer: Writer, clock: Clock) -> Store | None:
    """Where large bodies go, if they go anywhere."""
    if config.claim_check is None:
        return None
    carry = BotoCarrier(config.endpoint, read_timeout_s=READ_TIMEOUT_S, connections=max(config.users, 10))
    carry.client(SERVICE)
    return Store(carry=carry, writer=writer, clock=clock)


def carrier_for(config: LoadConfig) -> Carrier:
    services = tuple(TRANSPORTS[config.transport].services)
    if config.endpoint.carrier == "sdk" or any(service not in SERVICES for service in services):
        return SharedBoto(config)
    fast = FastCarrier(config.endpoint, services=services, read_timeout_s=READ_TIMEOUT_S)
    # boto3 goes through a proxy where the environment names one; the fast carrier does not know how.
    return SharedBoto(config) if any(map(goes_through_proxy, fast.urls)) else fast
