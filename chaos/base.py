"""The vocabulary of chaos: what a fault is, how an entry of the timeline is written, and everything that it may touch.

A fault is one pydantic model: its fields are what a scenario writes, its `strike` breaks, waits and heals. It promises
that whatever it broke is healed when `strike` ends, whichever way it ends. The protocols tell what a fault needs of
the consumers and the load; who they really are is the roof's business.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from history.control import Disturbance
from history.errors import RunError, UsageError
from history.events import Value
from history.writer import Writer
from transports.base import ReshardAction, Resharding

if TYPE_CHECKING:
    from chaos.scene import Scene

Report = dict[str, Any]
UnitKind = Literal["duration", "share", "count", "count-or-share", "duration-or-multiple"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number means, as metadata of its type: `units` finds it for whoever parses `5s` and `10%`."""

    kind: UnitKind


class TimesVisibilityTimeout(BaseModel):
    """A multiple of the subscription's visibility timeout: `{"times_visibility_timeout": 1.5}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    times_visibility_timeout: float = Field(gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        return f"{self.times_visibility_timeout:g}x visibility_timeout"


_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Part = Annotated[float, Field(gt=0, le=1)]
_Natural = Annotated[int, Field(ge=1)]

Moment = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("duration")]
Seconds = Annotated[_Positive, Unit("duration")]
Share = Annotated[_Part, Unit("share")]
Count = Annotated[_Natural, Unit("count")]
# An integer counts consumers, a float is a share of them: 1 is one consumer and 1.0 is all.
Pick = Annotated[_Natural | _Part, Unit("count-or-share")]
Extent = Annotated[_Positive | TimesVisibilityTimeout, Unit("duration-or-multiple")]


class Entry(BaseModel):
    """One entry of a scenario's timeline: when it strikes. Moments are seconds since the load began.

    `at` alone strikes once. `every` strikes again and again, the first time at `at` (without one: after `every`),
    each strike up to `jitter` later than its turn; nothing of it happens after `until` (default: the load's end).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    at: Moment | None = None
    every: Seconds | None = None
    jitter: Moment | None = None
    until: Seconds | None = None

    @property
    def length_s(self) -> float | None:
        """How long one strike lasts: 0 for a blow, None for one that lasts until the load ends."""
        return 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        if self.every is None:
            if self.at is None:
                raise ValueError("neither `at` nor `every`: when should it strike?")
            for key in ("jitter", "until"):
                if getattr(self, key) is not None:
                    raise ValueError(f"`{key}` belongs to `every`; a single `at` has none")
        elif self.length_s is None:
            raise ValueError("`every` without `for`: the first strike would last until the load ends")
        elif self.length_s + (self.jitter or 0) >= self.every:
            raise ValueError(
                "`for` and `jitter` together must be shorter than `every`: strikes may not run into each other"
            )
        return self


class Fault(Entry, ABC):
    """What can be broken: a subclass in a file of its own, and a line in chaos/registry.py.

    The docstring, one line, describes it for people. `colour` (#rrggbb) marks it on graphs. `fault` is its name.
    """

    colour: ClassVar[str]

    fault: str

    @abstractmethod
    async def strike(self, scene: Scene) -> None:
        """Break, wait, heal: on every exit, cancellation included. Errors: NotInjected when nothing can be broken."""

    @property
    def params(self) -> dict[str, Value]:
        """Its own fields as they go into the history; when it strikes is told by the records themselves."""
        own = self.model_dump(by_alias=True, exclude_none=True, exclude={"fault", *Entry.model_fields})
        return dict(own)


class ConsumerFault(Fault):
    """A fault that strikes consumers. `subscription`: whose (default: anybody's); `pick`: how many, or what share."""

    subscription: str | None = None
    pick: Pick = 1


class Lasting(BaseModel):
    """A fault that lasts `for` a while; without one until the load ends."""

    for_: Seconds | None = Field(default=None, alias="for")

    @property
    def length_s(self) -> float | None:
        return self.for_


class NotInjected(RunError):
    """A fault could not be put in place: nobody there to break, or no answer. The message says which and why."""


class TimelineError(UsageError):
    """A timeline that cannot be carried out. `entry` is its number from 0, `key` the field that is wrong."""

    def __init__(self, message: str, *, entry: int, key: str) -> None:
        super().__init__(message)
        self.entry = entry
        self.key = key


class Victim(Protocol):
    """One place in a crew, and the process that stands there now: its replacement has the next `name` and `pid`."""

    @property
    def slot(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def alive(self) -> bool: ...

    def signal(self, number: signal.Signals) -> None: ...
    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...
    async def ready_after(self, name: str, timeout_s: float) -> bool:
        """Wait until a later incarnation than `name` polls; False when time runs out."""
        ...


class Crew(Protocol):
    """The consumers of one subscription; `members` always names the same places in the same order."""

    @property
    def members(self) -> Sequence[Victim]: ...

    async def arm(self, disturbance: Disturbance, slots: Sequence[str]) -> None:
        """A standing order to these places: a replacement that starts there while it stands has it too."""
        ...

    async def disarm(self, instance: str) -> int:
        """Take the order back; how often it fired, in all incarnations."""
        ...


class Line(Protocol):
    """The line to the load."""

    async def command(self, do: str, **fields: object) -> None: ...
    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None: ...


class StreamControl(Protocol):
    """Who may reshape the run's stream, one change at a time."""

    async def reshard(self, action: ReshardAction) -> Resharding:
        """Split a shard or merge two, and wait until the stream takes records again. Errors: CallFailed."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Everything that a fault may touch. `crews` and `visibility_timeout_s` go by subscription; durations in seconds.

    `stream` is None where the subscriptions are queues. `find_s`: how long a strike waits for its consumers to be
    there; `hold_s`: for one of them to hold a message; `answer_s`: for an answer on a line; `recover_s`: for a
    replacement to poll.
    """

    crews: Mapping[str, Crew]
    visibility_timeout_s: Mapping[str, float]
    line: Line
    writer: Writer
    seed: int
    stream: StreamControl | None = None
    find_s: float = 10.0
    hold_s: float = 5.0
    answer_s: float = 5.0
    recover_s: float = 30.0


def units(model: type[BaseModel]) -> dict[str, UnitKind]:
    """The unit of each field that has one, by the key that a scenario writes (`for`, not `for_`)."""
    found = {}
    for name, field in model.model_fields.items():
        for unit in _units_in(field.metadata, field.annotation):
            found[field.alias or name] = unit.kind
    return found


def _units_in(metadata: Sequence[object], annotation: object) -> Iterator[Unit]:
    """Pydantic lifts the metadata of a plain annotated field; inside `… | None` it stays with the type."""
    yield from (item for item in metadata if isinstance(item, Unit))
    for inner in get_args(annotation):
        yield from _units_in(getattr(inner, "__metadata__", ()), inner)
