"""What a run tells each of its parts: from the scenario, the target and the addresses to everybody's configuration.

Pure: nothing here starts, creates or waits for anything.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaos.base import Fault
from consumers.config import ConsumerConfig
from gameday.scenario import Scenario, topology_of
from gameday.target import Target
from history import envelope
from history.clock import NS_PER_S, Clock
from history.manifest import Manifest
from loadgen.config import LoadConfig
from transports.base import Addresses, Capability, Topology, Transport
from transports.endpoint import Endpoint
from transports.registry import TRANSPORTS

_SAMPLE = 300
# A run in a thousand that proves nothing is nobody's trouble.
_DOUBTFUL = 0.001


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One run of a scenario. `id` names it and everything that it creates; `directory` is where it is recorded."""

    scenario: Scenario
    id: str
    directory: Path
    seed: int
    clock: Clock = field(default_factory=Clock.start)

    @property
    def transport(self) -> Transport:
        return TRANSPORTS[self.scenario.transport]

    @property
    def tags(self) -> dict[str, str]:
        return {"gameday:run": self.id}

    @property
    def store(self) -> dict[str, str]:
        """The effect store, which all subscriptions share."""
        return self._kept("effects")

    @property
    def leases(self) -> dict[str, str] | None:
        """Where the leases of a stream's shards are, for all subscriptions; None where there are queues."""
        return self._kept("leases") if self.transport.kind == "stream" else None

    def _kept(self, what: str) -> dict[str, str]:
        if self.scenario.consumers.store == "dynamodb":
            return {"kind": "dynamodb", "table": f"gameday-{self.id}-{what}"}
        return {"kind": "sqlite", "path": str(self.directory / f"{what}.sqlite")}

    @property
    def services(self) -> list[str]:
        """The AWS services that the target must have."""
        store = ["dynamodb"] if self.scenario.consumers.store == "dynamodb" else []
        return list(dict.fromkeys([*self.transport.services, *store]))

    @property
    def needs(self) -> list[Capability]:
        """What the target must be able to do beyond sending and receiving."""
        topology = self.scenario.topology
        asked: dict[Capability, bool] = {
            "replay": topology.replay,
            "redrive": topology.redrive,
            "reshard": any(fault.fault == "reshard" for fault in self.scenario.chaos),
        }
        return [need for need, wanted in asked.items() if wanted]

    def topology(self, target: Target) -> Topology:
        return topology_of(self.scenario.topology, settle_s=target.settle_s)

    def unmeant(self, topology: Topology) -> list[str]:
        """The subscriptions for which no order is meant, as far as a few hundred of this seed tell: perhaps a filter
        asks for a field that an order does not have."""
        unmeant = set(topology.names)
        for n in range(_SAMPLE):
            if not unmeant:
                break
            body = envelope.pack(
                id=f"sample-{n}", run=self.id, group="g", timestamp_ns=0, payload_bytes=0, seed=self.seed
            )
            unmeant.difference_update(self.transport.expect(topology, body.decode()))
        return [name for name in topology.names if name in unmeant]

    def doubtful(self) -> list[tuple[Fault, float, float]]:
        """The faults that may well strike nothing: each with how many messages it strikes on average, and the chance
        of none. Both are as if every message of its time came to it, so a fault of few consumers is more doubtful."""
        load = self.scenario.load
        found = []
        for fault in self.scenario.chaos:
            share, length_s = getattr(fault, "share", None), fault.length_s
            if share is None:
                continue
            if length_s is None:
                assert fault.at is not None, "only a single strike lasts until the load ends"
                length_s = load.duration - fault.at
            messages = load.rate * length_s * len(self.scenario.subscriptions)
            if (none := (1.0 - share) ** messages) > _DOUBTFUL:
                found.append((fault, share * messages, none))
        return found

    def manifest(self, target: Target) -> Manifest:
        promised = self.transport.promises(self.topology(target))
        if target.effective_s:
            effective_from = self.clock.now_ns() + round(target.effective_s * NS_PER_S)
            promised |= {
                name: replace(promise, effective_from=effective_from)
                for name, promise in promised.items()
                if promise.filtered
            }
        return Manifest(
            run=self.id,
            seed=self.seed,
            target=target.kind,
            broker_tick_ns=target.tick_ns,
            clock=self.clock,
            subscriptions=promised,
            claims=self.scenario.claims,
            scenario=self.scenario.document,
        )

    def consumers(self, subscription: str, *, endpoint: Endpoint, addresses: Addresses) -> ConsumerConfig:
        spec = self.scenario.consumers
        return ConsumerConfig(
            run_dir=self.directory,
            run=self.id,
            clock=self.clock,
            endpoint=endpoint,
            transport=self.scenario.transport,
            addresses=addresses,
            subscription=subscription,
            visibility_timeout_s=self.scenario.topology.visibility_timeout,
            concurrency=spec.concurrency,
            pollers=spec.pollers,
            batch=self.scenario.receive_batch,
            wait_s=int(spec.wait),
            handler=spec.handler,
            processing_time_s=spec.processing_time,
            guard=spec.guard,
            store=self.store,
            heartbeat_s=spec.heartbeat,
            drain_timeout_s=spec.drain_timeout,
            checkpoint=spec.checkpoint,
            children=spec.children,
            lease_s=spec.lease,
            leases=self.leases or {},
            seed=self.seed,
        )

    def load(self, *, endpoint: Endpoint, addresses: Addresses, topology: Topology) -> LoadConfig:
        spec = self.scenario.load
        return LoadConfig(
            run_dir=str(self.directory),
            run=self.id,
            clock=str(self.clock),
            endpoint=endpoint,
            transport=self.scenario.transport,
            addresses=addresses,
            topology=topology,
            seed=self.seed,
            shape=spec.shape,
            rate_per_s=spec.rate,
            duration_s=spec.duration,
            params=self.scenario.shape.model_dump(by_alias=True, exclude_none=True, exclude={"rate", "duration"}),
            groups=spec.groups,
            payload_bytes=spec.payload,
            batch=spec.batch,
            users=spec.users,
            poison_share=spec.poison,
            processes=spec.processes,
            give_up_s=spec.give_up,
            retry=spec.retry,
        )


def new_id(scenario: str) -> str:
    """A run's name: what, when (UTC), and four digits that tell apart two of one second."""
    return f"{scenario}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def new_seed() -> int:
    return random.SystemRandom().randrange(2**31)
