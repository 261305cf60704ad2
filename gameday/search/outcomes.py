"""What came of the schedules that a search has tried, and the smallest of those that broke a claim. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from gameday.verify.bounds import Ruling

# How often a schedule that broke a claim is tried once more, to tell how surely it does.
REPEATS = 2


class Step(Protocol):
    """One part of a schedule; as text it is in words."""

    def to_json(self) -> Any: ...

    @property
    def size(self) -> float:
        """Of two schedules with as many steps the one with the smaller sum is the smaller one."""
        ...


S = TypeVar("S", bound=Step)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[S]):
    """Of one run: each claim's verdict by its key, what broke those that are violated, in words, and where it is kept
    ("": nowhere).

    `places`: how many messages came to each dangerous place; `reached`: what it came to, of these places, alone and two
    at once, of causes and of anomalies. `failed`: why there is no verdict, where there is none.
    """

    schedule: tuple[S, ...]
    claims: Mapping[str, Ruling]
    why: Mapping[str, str]
    directory: str
    places: Mapping[str, int] = field(default_factory=dict)
    reached: frozenset[str] = field(default_factory=frozenset)
    failed: str | None = None

    @property
    def broken(self) -> list[str]:
        return [claim for claim, verdict in self.claims.items() if verdict == "violated"]

    @property
    def shown(self) -> bool:
        """Whether anything was: a fault that never struck leaves every claim unknown that is not violated."""
        return self.failed is None and any(verdict != "unknown" for verdict in self.claims.values())

    @property
    def held(self) -> bool:
        """Whether something was shown, and nothing broken."""
        return self.shown and not self.broken

    def to_json(self) -> dict[str, Any]:
        return {
            "schedule": [step.to_json() for step in self.schedule],
            "claims": dict(self.claims),
            "why": dict(self.why),
            "directory": self.directory,
            "places": dict(self.places),
            "reached": sorted(self.reached),
            **({"failed": self.failed} if self.failed else {}),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any], step: Callable[[Any], S]) -> Outcome[S]:
        return cls(
            schedule=tuple(step(each) for each in given["schedule"]),
            claims=given["claims"],
            why=given["why"],
            directory=given["directory"],
            places=given["places"],
            reached=frozenset(given["reached"]),
            failed=given.get("failed"),
        )


def size(schedule: tuple[S, ...]) -> tuple[int, float]:
    return len(schedule), sum(step.size for step in schedule)


def smallest(outcomes: Sequence[Outcome[S]]) -> dict[str, Outcome[S]]:
    """Of each claim that was broken, the first outcome with the smallest schedule."""
    found: dict[str, Outcome[S]] = {}
    for outcome in outcomes:
        for claim in outcome.broken:
            if claim not in found or size(outcome.schedule) < size(found[claim].schedule):
                found[claim] = outcome
    return found


def places_reached(outcomes: Sequence[Outcome[S]]) -> set[str]:
    """The dangerous places that any message came to."""
    return {place for outcome in outcomes for place, n in outcome.places.items() if n}


def how_often(schedule: tuple[S, ...], claim: str, outcomes: Sequence[Outcome[S]]) -> tuple[int, int]:
    """In how many of its runs a schedule broke a claim, and how many there were that showed anything."""
    runs = [outcome for outcome in outcomes if outcome.schedule == schedule and outcome.shown]
    return sum(claim in outcome.broken for outcome in runs), len(runs)
