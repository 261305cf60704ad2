"""The vocabulary of chaos: what a fault is, how an entry of the timeline is written, and what is planned of it.

A fault is one pydantic model: its fields are what a scenario writes, its `inject` breaks, waits and heals. It promises
that whatever it broke is healed when `inject` ends, whichever way it ends. What it may touch stands in
chaos/fault_targets.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gameday.chaos.conditions import Trigger
from gameday.chaos.strike import Place, Strike
from gameday.history.errors import UsageError
from gameday.history.events import Value
from gameday.history.manifest import Kind
from gameday.transports.base import Capability
from gameday.transports.experiments import Experiment

UnitKind = Literal["duration", "rate", "share", "count", "count-or-share", "duration-or-multiple", "trigger"]


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

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("duration")]
PositiveSeconds = Annotated[_Positive, Unit("duration")]
Rate = Annotated[_Positive, Unit("rate")]
Share = Annotated[_Part, Unit("share")]
Count = Annotated[_Natural, Unit("count")]
# An integer counts consumers, a float is a share of them: 1 is one consumer and 1.0 is all.
Pick = Annotated[_Natural | _Part, Unit("count-or-share")]
Extent = Annotated[_Positive | TimesVisibilityTimeout, Unit("duration-or-multiple")]
When = Annotated[Trigger, Unit("trigger")]


class Entry(BaseModel):
    """One entry of a scenario's timeline: when it strikes, in seconds since the load began.

    `at` alone strikes once. `every` strikes again and again, the first time at `at` (without one: after `every`),
    each strike up to `jitter` later than its turn; nothing of it happens after `until` (default: the load's end).
    `when` strikes once, at the moment when what it waits for has come.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    at: Seconds | None = Field(
        default=None, description="when it strikes, since the load began; with `every` when it strikes first"
    )
    every: PositiveSeconds | None = Field(
        default=None, description="strike again and again, so far apart; first at `at`, without one after `every`"
    )
    jitter: Seconds | None = Field(
        default=None, description="with `every`: each strike comes up to so much later than its turn (default: none)"
    )
    until: PositiveSeconds | None = Field(
        default=None,
        description="with `every`: every strike is over by then; with `when`: what has not come by then comes no more "
        "(default: the end of the load)",
    )
    when: When | None = Field(
        default=None,
        description="instead of `at`: strike once a number of the run, another fault or a call on the wire says so",
    )

    @property
    def length_s(self) -> float | None:
        """How long one strike lasts: 0 for a blow, None for one that lasts until the load ends."""
        return 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        if self.when is not None:
            for key in ("at", "every", "jitter"):
                if getattr(self, key) is not None:
                    raise ValueError(f"`when` and `{key}`: one of them says when it strikes")
        elif self.every is None:
            if self.at is None:
                raise ValueError("neither `at`, `every` nor `when`: when should it strike?")
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


class Arrivals(NamedTuple):
    """How many messages are expected while a strike lasts: where it strikes, and with each of the consumers there."""

    messages: float
    with_each: float


# Within a consumer of ours, on the wire before consumers, or on the one before the load.
StruckAt = Literal["ours", "wire", "load"]


class Fault(Entry, ABC):
    """What can be broken: a subclass in a file of its own, and a line in chaos/registry.py.

    The docstring, one line, describes it for people. `colour` (#rrggbb) marks it on graphs. `fault` is its name. What
    else there is to know of it before it strikes, its class says: a scenario is checked and forecast by that alone.
    """

    colour: ClassVar[str]
    # What subscriptions of a kind lack, so that it has nothing to strike there.
    missing_on: ClassVar[Mapping[Kind, str]] = {}
    # It strikes the work of a handler, so the handler must do some.
    needs_work: ClassVar[bool] = False
    # It strikes the clock that consumers reckon with, so they must reckon with one.
    needs_clock: ClassVar[bool] = False
    # It strikes a function, or the mapping that invokes it.
    needs_function: ClassVar[bool] = False
    # And it can do so where the target invokes the function.
    on_target: ClassVar[bool] = False
    # Why it makes no sense on a subscription that deduplicates: a FIFO queue gives a message that is hidden to nobody.
    wrong_on_fifo: ClassVar[str | None] = None
    # It strikes only when the hold of a message runs out.
    outlasts_holds: ClassVar[bool] = False
    # The AWS services that it calls, beside those that carry messages.
    services: ClassVar[Sequence[str]] = ()
    # What the target must be able to do, where not every target is.
    needs: ClassVar[Capability | None] = None
    # Where it strikes, if not from outside.
    strikes: ClassVar[StruckAt | None] = None
    # Sends are answered, and the answer never arrives.
    loses_answers: ClassVar[bool] = False
    # What a share of is struck, for people.
    counts: ClassVar[str] = "messages"
    # It strikes tasks of a workflow that wait for an answer, or executions of one that can be asked about.
    strikes_callbacks: ClassVar[bool] = False
    steers_executions: ClassVar[bool] = False
    # Consumers die of it. It is over when their replacements poll.
    kills: ClassVar[bool] = False

    fault: str

    @abstractmethod
    async def inject(self, strike: Strike) -> None:
        """Break, wait, heal: on every exit, cancellation included. Errors: NotInjected when nothing can be broken."""

    @property
    def leaves_hidden(self) -> bool:
        """Whether what its consumers hold when it strikes stays hidden, as nobody gives it back."""
        return False

    @property
    def stops_sends(self) -> bool:
        """Whether no message is accepted while it lasts."""
        return False

    @property
    def needs_key(self) -> bool:
        """Whether it strikes the use of a key of KMS, so that there must be one."""
        return False

    @property
    def outlasts_tasks_s(self) -> float | None:
        """How long it keeps back what a task waits for; shorter than the task's time it would show nothing."""
        return None

    @property
    def only_in_ours(self) -> str | None:
        """Why it cannot strike a handler that is not ours, if it cannot."""
        return None

    def harm_s(self, arrivals_per_s: float) -> float:
        """About how long its harm lasts, without the time that replacements need; infinite: until the load ends.

        `arrivals_per_s`: how many messages come to each consumer that it strikes.
        """
        return math.inf if self.length_s is None else self.length_s

    def may_strike_nothing(self, strikes: Sequence[Arrivals], *, rarely: float) -> str | None:
        """Why one of its strikes may find nothing to strike, if that happens in more than `rarely` of all runs."""
        share: float | None = getattr(self, "share", None)
        if share is None:
            return None
        chance = 1.0 - math.prod(1.0 - (1.0 - share) ** messages for messages, _ in strikes)
        if chance <= rarely:
            return None
        fewest = min(messages for messages, _ in strikes)
        return (
            f"about {share * fewest:.2g} {self.counts} are in its share, and in {chance:.1%} of all runs none. "
            "Raise its `share`, its `for`, or the rate."
        )

    @property
    def struck_at(self) -> StruckAt | None:
        """As `strikes`, where its fields decide."""
        return self.strikes

    @property
    def experiment(self) -> Experiment | None:
        """What it has AWS's own fault injection do, if it does."""
        return None

    @property
    def existing(self) -> Sequence[str]:
        """What it strikes that gameday did not make, beside queues that are there already: names or ARNs."""
        return ()

    def wrong_before(self, services: Sequence[str]) -> str | None:
        """Why it makes no sense where these services carry the messages, the first of them the one that is sent to."""
        return None

    @property
    def wires(self) -> frozenset[StruckAt]:
        """Before whom a wire must stand: where it strikes there, or what it does is seen there alone."""
        return frozenset({self.struck_at} if self.struck_at in ("wire", "load") else ())

    @property
    def watches_calls(self) -> bool:
        """Whether it waits for a call of consumers, which is seen on a wire before them."""
        return self.when is not None and self.when.call is not None

    def reshape(self, shards: int) -> tuple[int, str | None]:
        """How many shards a stream of so many has after it, and why it cannot strike, if it cannot."""
        return shards, None

    @property
    def params(self) -> dict[str, Value]:
        """Its own fields as they go into the history; when it strikes is told by the records themselves."""
        own = self.model_dump(by_alias=True, exclude_none=True, exclude={"fault", *Entry.model_fields})
        return dict(own)


class ConsumerFault(Fault):
    """A fault that strikes consumers, chosen anew for each strike."""

    subscription: str | None = Field(
        default=None, description="whose consumers are picked from (default: those of all subscriptions together)"
    )
    pick: Pick = Field(default=1, description="how many consumers it strikes, or what share of them (default: one)")


class Lasting(BaseModel):
    """A fault that lasts `for` a while; without one until the load ends."""

    for_: PositiveSeconds | None = Field(
        default=None, alias="for", description="how long it lasts (default: until the load ends)"
    )

    @property
    def length_s(self) -> float | None:
        return self.for_


class TimelineError(UsageError):
    """A timeline that cannot be carried out. `entry` is its number from 0, `key` the field that is wrong."""

    def __init__(self, message: str, *, entry: int, key: str) -> None:
        super().__init__(message)
        self.entry = entry
        self.key = key


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStrike:
    """A strike as the timeline plans it.

    `at_s` counts from the start of the load; of one that waits for a trigger it is the earliest moment. `entry` is the
    number of its entry in the scenario. `by`: who asked for it, where that is not the scenario.
    """

    at_s: float
    entry: int
    fault: Fault
    instance: str
    places: tuple[Place, ...] = ()
    by: str | None = None

    @property
    def trigger(self) -> Trigger | None:
        """What it waits for; an operator's waits for nothing."""
        return self.fault.when if self.by is None else None


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
