"""Load shapes: how many messages a second are wanted at each moment of a run, and exactly how many are due by then.

A shape is a frozen model and a pure function of time. It promises that its rate is never negative, and that the n-th
message (from 1) is due at the moment when the area under the rate reaches n - 1/2: so `due_by` and `due_at` are exact
inverses and a run schedules its integral, rounded to the nearest message. Rates are in messages per second, times in
seconds since the load began.

A scenario names a shape and its fields: `{shape: ramp, rate: 200/s, duration: 30s, from: 20/s}`. Whoever parses
units asks `units` what a number means.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

UnitKind = Literal["rate", "duration", "count"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number means, as metadata of its type."""

    kind: UnitKind


Rate = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("rate")]
PositiveRate = Annotated[float, Field(gt=0, allow_inf_nan=False), Unit("rate")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("duration")]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False), Unit("duration")]
Count = Annotated[int, Field(ge=1, le=10_000), Unit("count")]


_POINTS_PER_S = 2
_POINTS_MAX = 400


class Shape(BaseModel, ABC):
    """What every shape has. The docstring of each is its description for people."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    rate: PositiveRate = Field(description="messages per second; each shape says when")
    duration: PositiveSeconds = Field(description="how long the load lasts")

    @abstractmethod
    def rate_at(self, t: float) -> float:
        """Messages per second wanted at `t`; 0 before the load and after it."""

    @abstractmethod
    def area(self, t: float) -> float:
        """The integral of the rate from 0 to `t`, in messages."""

    @abstractmethod
    def reached(self, area: float) -> float:
        """The inverse of `area`: the moment at which so many messages' worth of time has passed."""

    @property
    @abstractmethod
    def highest(self) -> float:
        """The highest rate of the whole run."""

    @property
    def total(self) -> int:
        """How many messages the whole run schedules."""
        return self.due_by(self.duration)

    def due_by(self, t: float) -> int:
        """How many messages are due until and at `t`."""
        return math.floor(self.area(t) + 0.5)

    def due_at(self, n: int) -> float:
        """When the n-th message is due; n from 1 to `total`."""
        return self.reached(n - 0.5)

    def dues(self) -> Iterator[float]:
        """When each message is due, from the first to the last: what `due_at` says, for who asks for all."""
        return map(self.due_at, range(1, self.total + 1))

    def outline(self) -> list[tuple[float, float]]:
        """The area as points, (seconds, messages), for whoever draws it: straight lines between them are near enough.

        A point that lies between its neighbours is left out, so that a constant rate has two.
        """
        steps = min(max(math.ceil(self.duration * _POINTS_PER_S), 1), _POINTS_MAX)
        times = [self.duration * n / steps for n in range(steps + 1)]
        points = [(t, self.area(t)) for t in times]
        bends = [
            here
            for before, here, after in zip(points, points[1:], points[2:], strict=False)
            if abs(before[1] + after[1] - 2 * here[1]) > 1e-6
        ]
        return [points[0], *bends, points[-1]]


class _Segment(NamedTuple):
    """The rate goes straight from `first` to `last` between `start` and `end`; `area` is what lies before."""

    start: float
    end: float
    first: float
    last: float
    area: float


class _Straight(Shape):
    """A shape whose rate is made of straight pieces: these have exact areas and exact inverses."""

    @abstractmethod
    def pieces(self) -> list[tuple[float, float, float, float]]:
        """(start, end, first rate, last rate) of each piece, in order, from 0 to `duration` without a gap."""

    @cached_property
    def _segments(self) -> list[_Segment]:
        segments: list[_Segment] = []
        area = 0.0
        for start, end, first, last in self.pieces():
            segments.append(_Segment(start, end, first, last, area))
            area += (end - start) * (first + last) / 2
        return segments

    @property
    def highest(self) -> float:
        return max(max(segment.first, segment.last) for segment in self._segments)

    def rate_at(self, t: float) -> float:
        for start, end, first, last, _ in self._segments:
            if start <= t < end:
                return first + (last - first) * (t - start) / (end - start)
        return 0.0

    def area(self, t: float) -> float:
        total = 0.0
        for start, end, first, last, before in self._segments:
            if t <= start:
                break
            passed = min(t, end) - start
            total = before + passed * (first + (last - first) * passed / (end - start) / 2)
        return total

    def reached(self, area: float) -> float:
        segment = next((s for s in reversed(self._segments) if s.area < area), self._segments[0])
        return self._reached_in(segment, area)

    def dues(self) -> Iterator[float]:
        # A load of a million messages asks a million times: so the pieces are walked along, and not searched.
        area, total = 0.5, self.total
        for segment, following in zip(self._segments, [*self._segments[1:], None], strict=True):
            end = total if following is None else min(following.area, total)
            if segment.first == segment.last > 0:
                start, before, rate, latest = segment.start, segment.area, segment.first, segment.end
                while area <= end:
                    yield min(start + (area - before) / rate, latest)
                    area += 1.0
            while area <= end:
                yield self._reached_in(segment, area)
                area += 1.0

    def _reached_in(self, segment: _Segment, area: float) -> float:
        wanted = max(area - segment.area, 0.0)
        slope = (segment.last - segment.first) / (segment.end - segment.start)
        # The root of first·x + slope·x²/2 = wanted, in the form that loses no digits when the slope is nearly nothing.
        root = math.sqrt(max(segment.first**2 + 2 * slope * wanted, 0.0))
        divisor = segment.first + root
        return min(segment.start + (2 * wanted / divisor if divisor > 0 else 0.0), segment.end)


class Constant(_Straight):
    """The same rate from beginning to end."""

    def pieces(self) -> list[tuple[float, float, float, float]]:
        return [(0.0, self.duration, self.rate, self.rate)]


class Ramp(_Straight):
    """Goes evenly from `from` to `rate`; up or down."""

    from_: Rate = Field(0.0, alias="from", description="the rate at the beginning")

    def pieces(self) -> list[tuple[float, float, float, float]]:
        return [(0.0, self.duration, self.from_, self.rate)]


class Step(_Straight):
    """A staircase of equally long and equally high steps, the last of which is `rate`."""

    from_: Rate | None = Field(None, alias="from", description="the rate of the first step (default: `rate` / `steps`)")
    steps: Count = Field(4, description="how many steps")

    def pieces(self) -> list[tuple[float, float, float, float]]:
        first = self.rate / self.steps if self.from_ is None else self.from_
        pieces = []
        for n in range(self.steps):
            last = n == self.steps - 1
            height = self.rate if last else first + (self.rate - first) * n / (self.steps - 1)
            # The last ends with the load: a rounding error must not leave a step beyond it.
            end = self.duration if last else self.duration * (n + 1) / self.steps
            pieces.append((self.duration * n / self.steps, end, height, height))
        return pieces


class Spike(_Straight):
    """`rate` all the time but for one burst of `peak`."""

    peak: PositiveRate | None = Field(None, description="the rate of the burst (default: 5 times `rate`)")
    at: Seconds | None = Field(None, description="when the burst begins (default: after 40 % of the time)")
    lasting: PositiveSeconds | None = Field(None, description="how long the burst lasts (default: 20 % of the time)")

    @property
    def burst(self) -> tuple[float, float, float]:
        """When it begins, when it ends, its rate."""
        begin = 0.4 * self.duration if self.at is None else self.at
        lasting = 0.2 * self.duration if self.lasting is None else self.lasting
        return begin, begin + lasting, 5 * self.rate if self.peak is None else self.peak

    @model_validator(mode="after")
    def _inside(self) -> Self:
        begin, end, _ = self.burst
        # The sum of two given times may miss the end by a rounding error.
        if end > self.duration * (1 + 1e-9):
            raise ValueError(
                f"the burst lasts from {begin:g}s to {end:g}s, but the load only {self.duration:g}s; "
                "lower `at` or `lasting`, or raise `duration`"
            )
        return self

    def pieces(self) -> list[tuple[float, float, float, float]]:
        begin, end, peak = self.burst
        edges = [(0.0, begin, self.rate), (begin, min(end, self.duration), peak), (end, self.duration, self.rate)]
        return [(start, stop, height, height) for start, stop, height in edges if stop > start]


class Levels(_Straight):
    """One constant rate after another: what several tenants send together. No scenario names it."""

    levels: tuple[tuple[Seconds, Rate], ...] = Field(description="since when, and which rate from then on")

    def pieces(self) -> list[tuple[float, float, float, float]]:
        ends = [*(start for start, _ in self.levels[1:]), self.duration]
        return [(start, end, rate, rate) for (start, rate), end in zip(self.levels, ends, strict=True)]


class Sine(Shape):
    """A wave around `rate`, beginning at its middle and rising."""

    amplitude: Rate | None = Field(
        None, description="how far the wave goes up and down, at most `rate` (default: half of `rate`)"
    )
    period: PositiveSeconds | None = Field(None, description="how long one wave lasts (default: a third of the time)")

    @model_validator(mode="after")
    def _never_negative(self) -> Self:
        if self.amplitude is not None and self.amplitude > self.rate:
            raise ValueError(
                f"`amplitude` {self.amplitude:g}/s is above `rate` {self.rate:g}/s, so that the rate would go below 0"
            )
        return self

    @cached_property
    def _wave(self) -> tuple[float, float]:
        """The amplitude, and 2π/period."""
        amplitude = self.rate / 2 if self.amplitude is None else self.amplitude
        return amplitude, 2 * math.pi / (self.duration / 3 if self.period is None else self.period)

    @property
    def highest(self) -> float:
        """What it would reach in a whole wave."""
        return self.rate + self._wave[0]

    def rate_at(self, t: float) -> float:
        amplitude, omega = self._wave
        return max(self.rate + amplitude * math.sin(omega * t), 0.0) if 0 <= t < self.duration else 0.0

    def area(self, t: float) -> float:
        amplitude, omega = self._wave
        t = min(max(t, 0.0), self.duration)
        # 1 - cos x as 2 sin²(x/2), which keeps its digits near 0.
        return self.rate * t + 2 * amplitude / omega * math.sin(omega * t / 2) ** 2

    def reached(self, area: float) -> float:
        """Newton's steps from a bracket that the wave never leaves, halved where a step would leave it."""
        amplitude, omega = self._wave
        low = max((area - 2 * amplitude / omega) / self.rate, 0.0)
        high = min(area / self.rate, self.duration)
        t = (low + high) / 2
        for _ in range(100):
            over = self.area(t) - area
            low, high = (low, t) if over > 0 else (t, high)
            rate = self.rate_at(t)
            following = t - over / rate if rate > 0 else low
            if not low <= following <= high:
                following = (low + high) / 2
            if abs(following - t) <= 1e-12 * self.duration:
                return following
            t = following
        return t


SHAPES: Mapping[str, type[Shape]] = {
    "constant": Constant,
    "ramp": Ramp,
    "step": Step,
    "spike": Spike,
    "sine": Sine,
}


def units(shape: type[Shape]) -> dict[str, UnitKind]:
    """What the number of each field means, by the name that a scenario writes."""
    found: dict[str, UnitKind] = {}
    for name, field in shape.model_fields.items():
        # The metadata of `X | None` stands at X and not at the field.
        inner = [m for member in get_args(field.annotation) for m in getattr(member, "__metadata__", ())]
        found[field.alias or name] = next(m.kind for m in (*field.metadata, *inner) if isinstance(m, Unit))
    return found
