"""The crash sweep: a consumer is crashed at every point of its work in turn. Which to try, and in which order. Pure.

It promises the same schedules for the same outcomes, so that a sweep that was broken off goes on where it was; and to
tell a schedule whose crashes never came from one that every claim survived.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from gameday.search.outcomes import REPEATS, Outcome, smallest


@dataclass(frozen=True, kw_only=True, slots=True)
class Crash:
    """At the `nth` message that comes to this point of a consumer's work, counted from when the crash before it is
    over, or from the start of the load. `point`: as `crash-at` has it."""

    point: str
    nth: int

    def __str__(self) -> str:
        return f"{self.point} of message {self.nth}"

    @property
    def size(self) -> float:
        return self.nth

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Any) -> Crash:
        return cls(**given)


Schedule = tuple[Crash, ...]


def in_words(schedule: Schedule) -> str:
    return "; then ".join(map(str, schedule)) or "no crash"


def chaos(schedule: Schedule) -> list[dict[str, Any]]:
    """The faults of a schedule, as a scenario writes them."""
    moments: Iterator[dict[str, Any]] = iter(
        [{"at": "0s"}, *({"when": {"fault": f"crash-at-{n}", "phase": "stop"}} for n in range(1, len(schedule)))]
    )
    return [
        {**moment, "fault": "crash-at", "point": crash.point, "nth": crash.nth, "pick": 1}
        for crash, moment in zip(schedule, moments, strict=False)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """`points`: at which; `messages`: how many come to the consumer; `every`: at every how many-th of them."""

    points: Sequence[str]
    messages: int
    every: int
    pairs: bool = True

    @property
    def singles(self) -> list[Schedule]:
        """Small numbers first: what breaks at the first message is found first."""
        numbers = range(1, self.messages + 1, self.every)
        return [(Crash(point=point, nth=nth),) for nth in numbers for point in self.points]


def next_schedules(asked: Asked, outcomes: Sequence[Outcome[Crash]]) -> list[Schedule]:
    """What is to be tried next, any number of it side by side; nothing where all was.

    First no crash at all, then every single one, then what is smaller than what broke a claim, then what is smallest
    once more; and where a claim has withstood all that, pairs of points, with what follows from them.
    """
    tried = [outcome.schedule for outcome in outcomes]
    calm = next((outcome for outcome in outcomes if not outcome.schedule), None)
    if calm is None:
        return [()]
    if not calm.held:
        # What breaks without any crash, no crash explains.
        return []
    for stage in (asked.singles, _smaller(outcomes)):
        if untried := [schedule for schedule in dict.fromkeys(stage) if schedule not in tried]:
            return untried
    found = dict.fromkeys(found.schedule for found in smallest(outcomes).values())
    if unsure := [schedule for schedule in found if tried.count(schedule) <= REPEATS]:
        return unsure
    return [schedule for schedule in _pairs(asked, outcomes) if schedule not in tried] if asked.pairs else []


def _pairs(asked: Asked, outcomes: Sequence[Outcome[Crash]]) -> Iterator[Schedule]:
    """For claims that no single crash has broken."""
    claims = {claim for outcome in outcomes for claim in outcome.claims}
    if claims - {claim for outcome in outcomes if len(outcome.schedule) == 1 for claim in outcome.broken}:
        for first, second in product(asked.points, repeat=2):
            yield (Crash(point=first, nth=1), Crash(point=second, nth=1))


def _smaller(outcomes: Sequence[Outcome[Crash]]) -> Iterator[Schedule]:
    """Down from what is smallest: each of its crashes at an earlier message."""
    for found in smallest(outcomes).values():
        for place, crash in enumerate(found.schedule):
            for nth in range(crash.nth - 1, 0, -1):
                yield (*found.schedule[:place], Crash(point=crash.point, nth=nth), *found.schedule[place + 1 :])
