"""Which rate to try next: growth until a step does not hold, then bisection. Pure: it sees the steps and nothing else.

It promises to end: after `runs_max` steps, or where the next one would not end in time, if not before. A step that did
not hold, and might by bad luck, is tried once more, and the second time counts: noise breaks a claim now and then, and
mends none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gameday.verify.bounds import Ruling

GROWTH = 2.0
_DIGITS = 4
Why = Literal["found", "from fails", "to holds", "runs", "time"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Rates in messages a second. `within`: a share; how near the two ends must come to each other."""

    from_per_s: float
    to_per_s: float
    within: float
    runs_max: int
    time_max_s: float


class Step(Protocol):
    """One that was tried. `clear`: what broke, if anything did, is no matter of luck. `took_s`: run and verdict."""

    @property
    def rate_per_s(self) -> float: ...
    @property
    def verdict(self) -> Ruling: ...
    @property
    def clear(self) -> bool: ...
    @property
    def took_s(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """`again`: the same rate, once more."""

    rate_per_s: float
    again: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """`holds_per_s`: the highest rate tried at which every claim held; `fails_per_s`: the lowest at which one did not.

    `why`: `found` where they are near enough, `from fails` and `to holds` where the rates asked for do not bracket it,
    `runs` and `time` where it was stopped before.
    """

    why: Why
    holds_per_s: float | None
    fails_per_s: float | None


def next_step(asked: Asked, tried: Sequence[Step]) -> Try | Ended:
    """What comes after these steps."""
    counted = {step.rate_per_s: step for step in tried}
    held = [rate for rate, step in counted.items() if step.verdict == "holds"]
    failed = [rate for rate, step in counted.items() if step.verdict != "holds"]
    holds, fails = max(held, default=None), min(failed, default=None)
    following = _following(asked, tried, holds, fails)
    if isinstance(following, Try):
        if len(tried) >= asked.runs_max:
            return Ended(why="runs", holds_per_s=holds, fails_per_s=fails)
        longest_s = max((step.took_s for step in tried), default=0.0)
        if tried and sum(step.took_s for step in tried) + longest_s > asked.time_max_s:
            return Ended(why="time", holds_per_s=holds, fails_per_s=fails)
        return following
    return Ended(why=following, holds_per_s=holds, fails_per_s=fails)


def _following(asked: Asked, tried: Sequence[Step], holds: float | None, fails: float | None) -> Try | Why:
    if not tried:
        return Try(rate_per_s=asked.from_per_s)
    last = tried[-1]
    first_time = sum(step.rate_per_s == last.rate_per_s for step in tried) == 1
    if last.verdict != "holds" and not last.clear and first_time:
        return Try(rate_per_s=last.rate_per_s, again=True)
    if holds is None:
        return "from fails"
    if fails is None:
        if holds >= asked.to_per_s:
            return "to holds"
        return Try(rate_per_s=min(_rounded(holds * GROWTH), asked.to_per_s))
    middle = _rounded(math.sqrt(holds * fails))
    if fails <= holds * (1 + asked.within) or not holds < middle < fails:
        return "found"
    return Try(rate_per_s=middle)


def _rounded(rate_per_s: float) -> float:
    """So that it can be read and typed."""
    return float(f"{rate_per_s:.{_DIGITS}g}")
