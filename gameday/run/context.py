"""What is asked of a run, and what it tells each of its parts: from scenario, target and addresses to configurations.

Pure: nothing here starts, creates or waits for anything.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.consumers.config import ConsumerConfig, HandlerProgram
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.errors import UsageError
from gameday.history.manifest import Manifest
from gameday.loadgen.config import LoadConfig
from gameday.processes.exposition import LOOPBACK
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.model import HandlerModel, Scenario, promises_of, topology_of
from gameday.scenario.own_handler import NoProgram, program_of
from gameday.targets.target import Kind, Target
from gameday.transports.base import Addresses, Topology, Transport
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS

if TYPE_CHECKING:
    from gameday.run.annotating import Annotating


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What the command line asks for; None leaves it to the scenario or to chance."""

    scenario: Scenario
    target: Kind = "embedded"
    url: str | None = None
    annotating: Annotating | None = None
    seed: int | None = None
    out: Path | None = None
    metrics_port: int | None = None
    metrics_host: str = LOOPBACK
    operator: bool = False


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One run of a scenario. `id` names it and everything that it creates; `directory` is where it is recorded."""

    scenario: Scenario
    id: str
    directory: Path
    seed: int
    metrics_host: str = LOOPBACK
    clock: Clock = field(default_factory=Clock.start)

    @property
    def transport(self) -> Transport:
        return TRANSPORTS[self.scenario.transport]

    @property
    def tags(self) -> dict[str, str]:
        return {"gameday:run": self.id}

    @property
    def store(self) -> dict[str, str] | None:
        """The effect store, which all subscriptions share; None where the handler keeps its effects itself."""
        return self._kept("effects") if self.program is None else None

    @cached_property
    def program(self) -> HandlerProgram | None:
        """The handler, where it is somebody else's. Errors: UsageError where it cannot be started."""
        handler = self.scenario.consumers.handler
        if not isinstance(handler, HandlerModel):
            return None
        hides = CONSUMPTION[self.transport.kind].hides
        try:
            return program_of(
                handler,
                base=Path(self.scenario.source.name).parent,
                visibility_timeout_s=self.scenario.topology.visibility_timeout if hides else None,
            )
        except NoProgram as error:
            # It was there when the scenario was read.
            raise UsageError(f"consumers.handler.{error.key}: {error}") from error

    @property
    def leases(self) -> dict[str, str] | None:
        """Where the leases of shards are, for all subscriptions; None where nothing is leased."""
        return self._kept("leases") if CONSUMPTION[self.transport.kind].leased else None

    def _kept(self, what: str) -> dict[str, str]:
        if self.scenario.consumers.store == "dynamodb":
            return {"kind": "dynamodb", "table": f"gameday-{self.id}-{what}"}
        return {"kind": "sqlite", "path": str(self.directory / f"{what}.sqlite")}

    @property
    def services(self) -> list[str]:
        """The AWS services that the target must have."""
        store = ["dynamodb"] if self.scenario.consumers.store == "dynamodb" else []
        return list(dict.fromkeys([*self.transport.services, *store]))

    def topology(self, target: Target) -> Topology:
        return topology_of(self.scenario, settle_s=target.settle_s)

    def manifest(self, target: Target) -> Manifest:
        promised = promises_of(self.scenario, settle_s=target.settle_s)
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
            handler=spec.handler if isinstance(spec.handler, str) else "",
            processing_time_s=spec.processing_time,
            guard=spec.guard,
            guard_expiry_s=spec.guard_expiry,
            store=self.store or {},
            heartbeat_s=spec.heartbeat,
            drain_timeout_s=spec.drain_timeout,
            on_term=spec.on_term,
            after_failure=self.scenario.after_failure,
            retry_delay_s=int(spec.retry_delay),
            retry_delay_max_s=None if spec.retry_delay_max is None else int(spec.retry_delay_max),
            checkpoint=spec.checkpoint,
            children=spec.children,
            lease_s=spec.lease,
            leases=self.leases or {},
            seed=self.seed,
            program=self.program,
            metrics_host=self.metrics_host,
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
            dedup_reuse=spec.dedup_reuse,
            delay_s=None if spec.delay is None else int(spec.delay),
            aws_trace_header=spec.aws_trace_header,
            metrics_host=self.metrics_host,
        )


def new_id(scenario: str) -> str:
    """A run's name: what, when (UTC), and four digits that tell apart two of one second."""
    return f"{scenario}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def new_seed() -> int:
    return random.SystemRandom().randrange(2**31)
