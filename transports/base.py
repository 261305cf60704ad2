"""The vocabulary of transports: calls and answers as data, what a message is on its way out and on its way in.

`Transport` is the protocol that an entry of `TRANSPORTS` fulfils. Whatever takes several calls (provisioning,
tear-down) is a `Plan`: a generator that yields calls and is sent their answers, so that it runs over any carrier and
is tested with none.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from history.events import SendResult
from history.manifest import Subscription

T = TypeVar("T")

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS API call: a boto3 service name, an operation as AWS spells it (SendMessageBatch), its parameters."""

    service: str
    operation: str
    params: Mapping[str, Any]


Plan = Generator[Call, Answer, T]


class CallFailed(Exception):
    """A call that got no good answer, in our own words.

    `definite`: the answer proves that nothing was stored or changed. `code`: AWS's error code or the kind of failure.
    """

    def __init__(self, code: str, message: str, *, definite: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.definite = definite

    @property
    def outcome(self) -> SendResult:
        return "failed" if self.definite else "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """What the scenario asks a transport to build. Durations in seconds; `subscriptions` are names."""

    subscriptions: Sequence[str]
    visibility_timeout_s: float = 5.0
    max_receives: int | None = 5
    dedup_window_s: float | None = None
    settle_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where the built things are: what producers send to, and each subscription's queue and dead-letter queue."""

    send_to: str
    queues: Mapping[str, str]
    dead_letter_queues: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Addresses:
        return cls(**document)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message to send: `body` is the envelope, `dedup_id` carries the run's id and is the same in every attempt."""

    id: str
    body: str
    group: str | None
    dedup_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOutcome:
    """What became of one entry of a send call. `entry`: its place in the batch, from 0."""

    id: str
    entry: int
    outcome: SendResult
    error: str | None = None
    broker_id: str | None = None
    broker_seq: str | None = None
    partition: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One received message. `receipt` settles it; `enqueued` is the broker's own time in ns.

    `id` is None for a body that is not ours.
    """

    id: str | None
    receipt: str
    broker_id: str
    broker_seq: str | None
    upstream_id: str | None
    group: str | None
    receives: int | None
    enqueued: int | None
    intact: bool
    poison: bool
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """How many messages a queue holds: visible, hidden (received, not settled) and delayed. Approximate on AWS."""

    visible: int
    hidden: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.hidden + self.delayed


class QueueSource(Protocol):
    """How to consume one queue: every method is a call as data or reads an answer."""

    @property
    def batch_max(self) -> int: ...

    def receive(self, *, most: int, wait_s: int) -> Call: ...
    def received(self, answer: Answer) -> list[Delivery]: ...
    def delete(self, deliveries: Sequence[Delivery]) -> Call: ...
    def hide(self, deliveries: Sequence[Delivery], *, hidden_s: int) -> Call:
        """ChangeMessageVisibility for each: 0 releases, more extends from now."""
        ...

    def settled(self, answer: Answer, deliveries: Sequence[Delivery]) -> list[tuple[SendResult, str | None]]:
        """Outcome and error of each delivery, in order, of a delete or hide call that was answered."""
        ...

    def depth(self) -> Call: ...
    def depth_of(self, answer: Answer) -> Depth: ...


class Transport(Protocol):
    """One pipeline. `batch_max`: entries in one send call; `services`: the boto3 services it needs."""

    @property
    def name(self) -> str: ...
    @property
    def ordered(self) -> bool: ...
    @property
    def batch_max(self) -> int: ...
    @property
    def services(self) -> Sequence[str]: ...

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """What AWS documents for each subscription of this pipeline."""
        ...

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]: ...

    def tear_down(self, addresses: Addresses) -> Plan[None]: ...

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call: ...

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        """The outcome of each entry, in the order of `messages`."""
        ...

    def expect(self, topology: Topology, body: str) -> list[str]:
        """The subscriptions that must get this message."""
        ...

    def source(self, addresses: Addresses, subscription: str) -> QueueSource: ...

    def dead_letters(self, addresses: Addresses, subscription: str) -> QueueSource | None: ...
