"""What the load processes are told: one JSON file in the run directory, written by the conductor, read by Locust.

It promises that what was saved is loaded again unchanged, and that a file which cannot be used is a UsageError that
names the file and what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import os
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import orjson
from pydantic import ValidationError

from gameday.history.clock import NS_PER_S, Clock
from gameday.history.envelope import Form
from gameday.history.errors import UsageError
from gameday.loadgen.lanes import Lane
from gameday.loadgen.messages import OwnMessages, Source
from gameday.loadgen.payloads import ClaimChecks, SchemaVersion
from gameday.loadgen.schedule import Hot, Schedule
from gameday.loadgen.shapes import SHAPES, Shape
from gameday.loadgen.tenants import TenantClass, Tenants
from gameday.transports.base import Addresses, SubscriptionSpec, Topology
from gameday.transports.endpoint import CarrierName, Endpoint
from gameday.transports.registry import TRANSPORTS

RETRIES = ("ordered", "unordered", "none")
# What the hosts of AWS's own queues end with: everywhere, in China, and where a host has both kinds of IP address.
_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadConfig:
    """`clock` is `str(Clock)`; `params` are the shape's own fields, as it names them; sizes and times tell their unit.

    `batch` is the most messages of one call (the transport may allow fewer), `users` how many calls may be on their
    way at once, `processes` how many Locust workers send (1: one process without a master). `retry` is "ordered",
    "unordered" or "none": whether a message that was not accepted holds back what comes after it in its group, or is
    not sent again. `dedup_reuse` is the share of messages that go out under the deduplication id of an earlier one or,
    where the topology deduplicates by content, with its body. `delay_s` is each message's own, in place of the queue's.
    `form`, `schemas`: what an event of ours looks like, and from what its payload is made, if from anything;
    `claim_check`: which bodies go to S3. `own` are messages of the user's, sent in place of ours. `tenants`: whose the
    groups are, and what they send in place of a shape; `tell_tenants`: whether each message brings its tenant as its
    group. `hot`: when most of the load goes to one group.
    `metrics_host` is the address that each process serves metrics of its own at; None: it counts nothing.
    `patience_s` is how long a sending process may be silent before it counts as lost, where they are on other hosts
    (None: all are on this one). What is read there in place of what stands here is told by `Here`.
    """

    run_dir: str
    run: str
    clock: str
    endpoint: Endpoint
    transport: str
    addresses: Addresses
    topology: Topology
    seed: int = 0
    shape: str = "constant"
    rate_per_s: float
    duration_s: float
    params: Mapping[str, Any] = field(default_factory=dict)
    groups: int = 10
    payload_bytes: int = 512
    batch: int = 10
    users: int = 4
    poison_share: float = 0.0
    processes: int = 1
    give_up_s: float = 30.0
    retry: str = "ordered"
    in_call: str = "one"
    dedup_reuse: float = 0.0
    delay_s: int | None = None
    aws_trace_header: bool = False
    form: Form = "ours"
    schemas: Sequence[SchemaVersion] = ()
    claim_check: ClaimChecks | None = None
    own: OwnMessages | None = None
    tenants: Sequence[TenantClass] = ()
    tell_tenants: bool = True
    hot: Hot | None = None
    metrics_host: str | None = None
    patience_s: float | None = None

    @property
    def writers(self) -> list[str]:
        """The names of the history files that the load will write, one for each sending process."""
        return ["load"] if self.processes == 1 else [f"load-{n}" for n in range(self.processes)]

    def curve(self) -> Shape:
        """Errors: UsageError when the shape does not exist or refuses its parameters."""
        if self.tenants:
            return Tenants(classes=self.tenants).shape(self.duration_s)
        model = SHAPES.get(self.shape)
        if model is None:
            raise UsageError(f"no shape is called {self.shape!r}; known are {', '.join(SHAPES)}")
        try:
            return model(**{**self.params, "rate": self.rate_per_s, "duration": self.duration_s})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "parameters"
            raise UsageError(f"shape {self.shape}: {where}: {first['msg']}") from error

    def source(self) -> Source | None:
        """Where the user's own messages are had from. Errors: UsageError."""
        return None if self.own is None else self.own.open(seed=self.seed, run=self.run)

    def schedule(self, source: Source | None = None) -> Schedule:
        """`source`: what names groups and ids, where there is one; without it the times and the numbers alone hold."""
        return Schedule(
            shape=self.curve(),
            seed=self.seed,
            groups=self.groups,
            lanes=self.users,
            poison_share=self.poison_share,
            source=source,
            tenants=Tenants(classes=self.tenants) if self.tenants else None,
            hot=self.hot,
        )

    @property
    def lane_batch(self) -> int:
        """The most messages of one call."""
        return min(self.batch, TRANSPORTS[self.transport].batch_max)

    def lane(self) -> Lane:
        """What one user may send: a group's messages one after another where somebody keeps their order."""
        transport, workflow = TRANSPORTS[self.transport], self.topology.workflow
        return Lane(
            batch=self.lane_batch,
            ordered=transport.ordered and self.retry != "unordered",
            retries=self.retry != "none",
            once=workflow is not None and workflow.starts_once,
            many=self.in_call == "many",
            give_up_ns=round(self.give_up_s * NS_PER_S),
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LoadConfig:
        return cls(
            **{
                **document,
                "endpoint": Endpoint.from_json(document["endpoint"]),
                "addresses": Addresses.from_json(document["addresses"]),
                "topology": Topology.from_json(document["topology"]),
                "own": OwnMessages(**document["own"]) if document.get("own") else None,
                "schemas": tuple(SchemaVersion(**each) for each in document.get("schemas") or ()),
                "claim_check": ClaimChecks(**document["claim_check"]) if document.get("claim_check") else None,
                "tenants": tuple(TenantClass(**each) for each in document.get("tenants") or ()),
                "hot": Hot(**document["hot"]) if document.get("hot") else None,
            }
        )

    @classmethod
    def for_queue(
        cls,
        url: str,
        *,
        rate_per_s: float,
        duration_s: float,
        carrier: CarrierName = "fast",
        environ: Mapping[str, str] = os.environ,
    ) -> LoadConfig:
        """A constant load on a queue that exists, where its URL says; no manifest, so nothing to judge.

        Errors: UsageError for a rate or a duration that is not above 0, and for a URL that names no endpoint or another
        one than the environment.
        """
        run = time.strftime("locust-%Y%m%d-%H%M%S")
        config = cls(
            run_dir=str(Path("runs") / run),
            run=run,
            clock=str(Clock.start()),
            endpoint=dataclasses.replace(_endpoint_of(url, environ), carrier=carrier),
            transport="sqs-fifo" if url.endswith(".fifo") else "sqs",
            addresses=Addresses(send_to=url, queues={"queue": url}),
            topology=Topology(subscriptions=[SubscriptionSpec(name="queue")]),
            seed=time.time_ns(),
            rate_per_s=rate_per_s,
            duration_s=duration_s,
        )
        config.curve()
        return config

    @classmethod
    def load(cls, path: Path) -> LoadConfig:
        """Errors: UsageError."""
        try:
            config = cls.from_json(orjson.loads(path.read_bytes()))
        except OSError as error:
            raise UsageError(f"cannot read the load's configuration {path}: {error.strerror}") from error
        except orjson.JSONDecodeError as error:
            raise UsageError(f"the load's configuration {path} is not JSON: {error}") from error
        except (KeyError, TypeError) as error:
            raise UsageError(f"the load's configuration {path} lacks a field or has one too many: {error}") from error
        if config.transport not in TRANSPORTS:
            raise UsageError(f"{path}: no transport is called {config.transport!r}; known are {', '.join(TRANSPORTS)}")
        for name in ("groups", "users", "batch", "processes"):
            if not isinstance(getattr(config, name), int) or getattr(config, name) < 1:
                raise UsageError(f"{path}: {name} is {getattr(config, name)!r}; at least 1 belongs there")
        if config.retry not in RETRIES:
            raise UsageError(f"{path}: retry is {config.retry!r}; it is one of {', '.join(RETRIES)}")
        if config.users < config.processes:
            raise UsageError(
                f"{path}: {config.processes} processes share {config.users} users; each needs at least one"
            )
        config.curve()
        return config


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """What a sending process on another host is told there, for its configuration comes from the conductor's.

    `writer` names its history file, `clock` is its host's; the other fields are as in LoadConfig.
    """

    writer: str
    run_dir: str
    clock: str
    metrics_host: str | None
    patience_s: float

    def told(self, config: LoadConfig) -> LoadConfig:
        return dataclasses.replace(
            config, run_dir=self.run_dir, clock=self.clock, metrics_host=self.metrics_host, patience_s=self.patience_s
        )

    def save(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Here:
        """Errors: UsageError."""
        try:
            return cls(**orjson.loads(path.read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError) as error:
            raise UsageError(f"{path} does not say what a sending process is on this host: {error}") from error


def _endpoint_of(queue: str, environ: Mapping[str, str]) -> Endpoint:
    """Where a queue's URL says that it is: on AWS, which the SDK finds by itself, or at that scheme and host.

    Errors: UsageError.
    """
    try:
        parts = urllib.parse.urlsplit(queue)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.path.strip("/") else None
    except ValueError:
        # An unclosed bracket.
        host = None
    if not host:
        raise UsageError(f"{queue!r} is no queue URL; one is written like http://127.0.0.1:4566/000000000000/orders")
    region = boto3.session.Session().region_name or Endpoint().region
    if host.endswith(_AWS):
        return Endpoint(region=region)
    url = f"{parts.scheme}://{parts.netloc}"
    for name in ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"):
        if other := environ.get(name):
            # The SDKs, too, look at the general variable only where the service has none of its own.
            if other.rstrip("/") != url:
                raise UsageError(f"the queue is at {url}, but {name} says {other}; unset it, or correct one of the two")
            break
    return Endpoint.emulated({"*": url}, region=region, environ=environ)
