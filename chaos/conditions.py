"""What a fault may wait for instead of a moment, and what ends chaos: numbers of a run as it goes on, other faults.

A `Trigger` is what an entry of the timeline has under `when`. A `Condition` asks for one number; who measures it is the
roof's business, which gives an `Instruments`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Measure = Literal["backlog", "oldest", "lag", "rate", "dead_letters", "iterator_age", "errors", "point"]
# Where in the work of consumers a message may be, as the history tells of it.
Point = Literal["after-receive", "after-effect", "after-delete"]
POINTS: tuple[Point, ...] = get_args(Point)
_Natural = Annotated[int, Field(ge=1)]


class Condition(BaseModel):
    """One number, above or below a bound; durations in seconds, `errors` a share.

    `subscription`: of which; without one all of them together, or the worst of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    measure: Measure
    above: bool = True
    bound: float
    point: Point | None = None
    subscription: str | None = None

    def met(self, value: float | None) -> bool:
        """Not where nobody knows the number."""
        return value is not None and (value > self.bound if self.above else value < self.bound)

    def __str__(self) -> str:
        of = f" of {self.subscription}" if self.subscription else ""
        if self.point is not None:
            return f"{self.bound + 1:g} messages {self.point}{of}"
        return f"{self.measure}{of} {'>' if self.above else '<'} {in_words(self.measure, self.bound)}"


def in_words(measure: Measure, value: float | None) -> str:
    """With its unit."""
    if value is None:
        return "unknown"
    if measure == "errors":
        return f"{value * 100:.3g}%"
    unit = {"oldest": "s", "lag": "s", "iterator_age": "s", "rate": "/s"}.get(measure, "")
    return f"{value:.4g}{unit}"


class Trigger(BaseModel):
    """Exactly one of: a condition, the start or stop of another fault, the n-th call of an operation on the wire.

    `fault`: an instance (`kill-consumer-1`), or the name of a fault, of which the first one counts. `after_s`: how much
    later than that it strikes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    condition: Condition | None = None
    fault: str | None = None
    phase: Literal["start", "stop"] = "start"
    call: str | None = None
    nth: _Natural = 1
    after_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _one(self) -> Trigger:
        if sum(given is not None for given in (self.condition, self.fault, self.call)) != 1:
            raise ValueError("a trigger is one number, one fault or one call")
        return self

    def __str__(self) -> str:
        if self.fault is not None:
            what = f"the {self.phase} of {self.fault}"
        elif self.call is not None:
            what = f"call {self.nth} of {self.call}"
        else:
            what = str(self.condition)
        return f"{self.after_s:g} s after {what}" if self.after_s else what


class Instruments(Protocol):
    """Who measures the run while it goes on."""

    async def met(self, condition: Condition) -> float:
        """Wait until it is; gives the number that was measured then."""
        ...

    def extreme(self, condition: Condition) -> float | None:
        """What came nearest to it so far: the highest that was measured, or the lowest; None where nothing was."""
        ...
