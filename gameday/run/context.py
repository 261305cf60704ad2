"""What is asked of a run, and what it tells each of its parts: from scenario, target and addresses to configurations.

Pure: nothing here starts, creates or waits for anything.
"""

from __future__ import annotations

import math
import random
import re
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.consumers.config import ConsumerConfig, HandlerProgram
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.errors import UsageError
from gameday.history.identity import Identification
from gameday.history.manifest import Manifest
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import OwnMessages
from gameday.processes.exposition import LOOPBACK
from gameday.run.directory import MADE
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.hosts import Hosts
from gameday.scenario.invoking import mapping_of
from gameday.scenario.model import HandlerModel, Scenario, promises_of, topology_of
from gameday.scenario.own_handler import NoProgram, program_of
from gameday.scenario.sending import bucket_of, load_config
from gameday.targets.account import Account
from gameday.targets.target import Kind, Target
from gameday.transports import words
from gameday.transports.base import Addresses, Topology, Transport
from gameday.transports.endpoint import Endpoint
from gameday.transports.functions import SERVICE as FUNCTIONS
from gameday.transports.objects import SERVICE as OBJECTS
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import RUN_TAG
from gameday.wire.config import WireConfig

if TYPE_CHECKING:
    from gameday.run.annotating import Annotating

# How long after its load a run is over for sure.
_KEPT_S = 24 * 3600.0
_FOREIGN_SPARE_S = 120.0
# From its receive on no message is hidden longer (APIReference/API_ChangeMessageVisibility); less a little.
_HIDDEN_MOST_S = 12 * 3600 - 600
# What a tag's value may not have in it, on the service that takes least
# (docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html has the rules that all share).
_NO_TAG = re.compile(r"[^A-Za-z0-9 +=._:/@-]")


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
    account: Account | None = None
    hosts: Hosts | None = None


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One run of a scenario. `id` names it and everything that it creates; `directory` is where it is recorded; `owner`
    is who runs it."""

    scenario: Scenario
    id: str
    directory: Path
    seed: int
    metrics_host: str = LOOPBACK
    owner: str = ""
    clock: Clock = field(default_factory=Clock.start)

    @property
    def transport(self) -> Transport:
        return TRANSPORTS[self.scenario.transport]

    @property
    def tags(self) -> dict[str, str]:
        """Of everything that the run creates: whose it is, and from when on nobody needs it any more."""
        expires_s = self.clock.now_ns() / NS_PER_S + self.scenario.load.duration + _KEPT_S
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_s))
        owner = {"gameday:owner": _NO_TAG.sub("_", self.owner)[:256]} if self.owner else {}
        return {RUN_TAG: self.id, **owner, "gameday:expires": expires}

    @property
    def store(self) -> dict[str, str] | None:
        """The effect store, which all subscriptions share; None where somebody else keeps the effects."""
        elsewhere = self.scenario.consumers.foreign or self.program is not None
        return None if elsewhere else self._kept("effects")

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
                base=self.scenario.source.directory,
                visibility_timeout_s=self.scenario.topology.visibility_timeout if hides else None,
            )
        except NoProgram as error:
            # It was there when the scenario was read.
            raise UsageError(f"consumers.handler.{error.key}: {error}") from error

    def hidden_s(self, subscription: str) -> float:
        """The visibility timeout in force there; of a stream it means nothing."""
        there = self.scenario.standing.get(subscription)
        told = None if there is None else there.visibility_timeout_s
        return self.scenario.topology.visibility_timeout if told is None else told

    @property
    def _foreign_hold_s(self) -> int | None:
        """How long a message of others stays out of sight that one of our consumers was given: until the run is over
        for sure. It is given back before, when the run ends; only a conductor that is killed cannot."""
        if self.scenario.topology.attach is None:
            return None
        lasts_s = self.scenario.load.duration + self.scenario.drain_timeout_s + _FOREIGN_SPARE_S
        return min(math.ceil(lasts_s), _HIDDEN_MOST_S)

    @property
    def effects(self) -> Path:
        """A directory for the own use of programs that others wrote."""
        return self.directory / "effects"

    @property
    def bucket(self) -> str:
        """Where large bodies go."""
        spec = self.scenario.load.claim_check
        return bucket_of(self.id) if spec is None or spec.bucket is None else spec.bucket

    @property
    def leases(self) -> dict[str, str] | None:
        """Where the leases of shards are, for all subscriptions; None where nothing is leased, or not by us."""
        leased = CONSUMPTION[self.transport.kind].leased and not self.scenario.consumers.foreign
        return self._kept("leases") if leased else None

    def _kept(self, what: str) -> dict[str, str]:
        if self.scenario.consumers.store == "dynamodb":
            return {"kind": "dynamodb", "table": f"gameday-{self.id}-{what}"}
        return {"kind": "sqlite", "path": str(self.directory / f"{what}.sqlite")}

    @property
    def services(self) -> list[str]:
        """The AWS services that the target must have."""
        return services_of(self.scenario)

    def topology(self, target: Target) -> Topology:
        return topology_of(self.scenario, settle_s=target.settle_s)

    def manifest(self, target: Target) -> Manifest:
        promised = promises_of(self.scenario, settle_s=target.settle_s)
        for entry in self.scenario.effects:
            promised[entry.subscription] = replace(promised[entry.subscription], effects_from="read-back")
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
            workflow=None if (spec := self.scenario.topology.workflow) is None else spec.type,
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
            visibility_timeout_s=self.hidden_s(subscription),
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
            callback=spec.callback,
            checkpoint=spec.checkpoint,
            children=spec.children,
            lease_s=spec.lease,
            leases=self.leases or {},
            identification=self.identification,
            foreign_hold_s=self._foreign_hold_s,
            removal=None if spec.foreign or self.scenario.load.claim_check is None else spec.objects or "keep",
            objects_expire_s=None if self.scenario.load.claim_check is None else self.scenario.load.claim_check.expires,
            schema=None if spec.foreign else self.scenario.asked_schema,
            seed=self.seed,
            program=self.program,
            mapping=mapping_of(self.scenario),
            metrics_host=self.metrics_host,
        )

    def wire(self, subscription: str | None, *, target: Target, addresses: Addresses) -> WireConfig:
        return WireConfig(
            clock=self.clock,
            endpoint=target.endpoint,
            transport=self.scenario.transport,
            addresses=addresses,
            subscription=subscription,
            visibility_timeout_s=math.ceil(
                self.scenario.topology.visibility_timeout if subscription is None else self.hidden_s(subscription)
            ),
            signs=target.checks_signatures,
            identification=self.identification,
            # Consumers of ours and the load record by themselves, and more than can be seen from outside.
            records_in=self.directory if subscription is not None and self.scenario.consumers.foreign else None,
        )

    def words(self, subscription: str, *, consumer: str, endpoint: Endpoint, addresses: Addresses) -> dict[str, str]:
        """What a consumer that is a program of the user's is told."""
        return words.words(
            run=self.id,
            effects=self.effects,
            transport=self.transport,
            addresses=addresses,
            endpoint=endpoint,
            subscription=subscription,
            consumer=consumer,
        )

    def load(self, *, endpoint: Endpoint, addresses: Addresses, topology: Topology) -> LoadConfig:
        return load_config(
            self.scenario,
            self.scenario.shape,
            run=self.id,
            run_dir=str(self.directory),
            clock=str(self.clock),
            endpoint=endpoint,
            addresses=addresses,
            topology=topology,
            seed=self.seed,
            own=self.own_messages,
            metrics_host=self.metrics_host,
        )

    @property
    def own_messages(self) -> OwnMessages | None:
        """The user's own, those that a function makes from where they are written before the run."""
        message = self.scenario.load.message
        if message is None:
            return None
        own = replace(message.own, run=self._mark)
        return own if message.python is None else replace(own, path=str(self.directory / MADE))

    @property
    def identification(self) -> Identification:
        """How whoever receives a message knows which one it is, and whether it is the run's."""
        return replace(self.scenario.identification, run=self._mark)

    @property
    def _mark(self) -> str | None:
        """Where others may send, too, what tells that a message is the run's."""
        return None if self.scenario.topology.attach is None else self.id


def services_of(scenario: Scenario) -> list[str]:
    """The AWS services that a run of the scenario calls."""
    store = ["dynamodb"] if scenario.consumers.store == "dynamodb" else []
    read = [service for entry in scenario.effects for service in entry.settings.services]
    struck = [service for fault in scenario.chaos for service in fault.services]
    # Where nobody says so it is read on AWS alone, which the SDK finds by itself.
    measured = ["cloudwatch"] if scenario.cloudwatch else []
    objects = [] if scenario.load.claim_check is None else [OBJECTS]
    deployed = [FUNCTIONS, "dynamodb"] if scenario.consumers.kind == "deployed" else []
    used = [*TRANSPORTS[scenario.transport].services, *store, *read, *objects, *struck, *measured, *deployed]
    return list(dict.fromkeys(used))


def new_id(scenario: str) -> str:
    """A run's name: what, when (UTC), and four digits that tell apart two of one second."""
    return f"{scenario}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def new_seed() -> int:
    return random.SystemRandom().randrange(2**31)
