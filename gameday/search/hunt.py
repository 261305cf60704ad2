"""The hunt: random schedules of faults, guided by what they reach. Which to try, in which order. Pure.

A schedule that came to a place, a cause or an anomaly that none before it had come to is kept and varied. What broke a
claim is made smaller until nothing can be left out of it. Runs of one schedule differ, so what did not break a claim
once is tried once more before it counts as smaller than what does.

It promises the same schedules for the same outcomes in the same order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from gameday.search.outcomes import REPEATS, Outcome, smallest

# How many faults a schedule may have.
MOST_FAULTS = 5
# How often a schedule is drawn before it is given up that one fits which was not tried.
_DRAWS = 200
# How often what is smaller than a schedule that broke a claim is tried before it counts as harmless.
_SMALLER_TRIES = 2
# What says when a fault strikes; one of these each entry has.
_MOMENTS = ("at", "every", "when")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a scenario's `chaos` list, as JSON with its keys in order."""

    text: str

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Entry:
        return cls(json.dumps(dict(given), sort_keys=True))

    from_json = of

    def to_json(self) -> dict[str, Any]:
        given = json.loads(self.text)
        assert isinstance(given, dict)
        return given

    @property
    def size(self) -> float:
        return len(self.to_json())

    def __str__(self) -> str:
        given = self.to_json()
        moment = [f"{key} {_in_words(given.pop(key))}" for key in _MOMENTS if key in given]
        name = given.pop("fault")
        told = ", ".join(f"{key} {_in_words(value)}" for key, value in given.items())
        return f"{name} {' '.join(moment)}" + (f" ({told})" if told else "")


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_in_words(each)}" for key, each in value.items())
    return str(value)


Schedule = tuple[Entry, ...]


def in_words(schedule: Schedule) -> str:
    return "; ".join(map(str, schedule)) or "no fault"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """`draw`: any fault that the scenario may have, beside others of these names; `fits`: whether it may have them all;
    `needed`: by fault, the keys that an entry of it must have."""

    draw: Callable[[Random, Sequence[str]], Mapping[str, Any]]
    fits: Callable[[Schedule], bool]
    needed: Mapping[str, frozenset[str]]
    seed: int


def next_schedule(asked: Asked, outcomes: Sequence[Outcome[Entry]], under_way: Sequence[Schedule]) -> Schedule | None:
    """What is to be tried next, beside what is under way; None where nothing is to be tried before that has ended, or
    at all."""
    return next(next_schedules(asked, outcomes, under_way), None)


def next_schedules(
    asked: Asked, outcomes: Sequence[Outcome[Entry]], under_way: Sequence[Schedule] = ()
) -> Iterator[Schedule]:
    """The same again and again, each with those before it under way."""
    tried = Counter([*(outcome.schedule for outcome in outcomes), *under_way])
    known = _Known.of(outcomes)
    going = list(under_way)
    while (schedule := _next(asked, known, tried, going)) is not None:
        yield schedule
        tried[schedule] += 1
        going.append(schedule)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the outcomes so far tell. `corpus`: those that came to something new, with how much each is varied."""

    calm: Outcome[Entry] | None
    found: Mapping[str, Outcome[Entry]]
    corpus: Sequence[Outcome[Entry]]
    weights: Sequence[float]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome[Entry]]) -> _Known:
        often = Counter(place for outcome in outcomes for place in outcome.reached)
        corpus = kept(outcomes)
        return cls(
            calm=next((outcome for outcome in outcomes if not outcome.schedule), None),
            found=smallest(outcomes),
            corpus=corpus,
            # What has come to rare places is varied most.
            weights=[sum(1 / often[place] for place in outcome.reached) for outcome in corpus],
        )


def _next(asked: Asked, known: _Known, tried: Counter[Schedule], under_way: Sequence[Schedule]) -> Schedule | None:
    calm, found = known.calm, known.found
    if calm is None:
        return None if () in tried else ()
    if not calm.held:
        # What breaks without any fault, no fault explains.
        return None
    for outcome in found.values():
        for schedule in _smaller(asked, outcome.schedule):
            if tried[schedule] < _SMALLER_TRIES and asked.fits(schedule):
                return schedule
        # What is smallest, it turns out when all that is smaller has ended.
        if tried[outcome.schedule] <= REPEATS and not any(
            schedule in under_way for schedule in _smaller(asked, outcome.schedule)
        ):
            return outcome.schedule
    if not calm.claims.keys() - found.keys():
        return None
    rng = Random(f"{asked.seed} {tried.total()}")
    for _ in range(_DRAWS):
        schedule = _new(asked, known, rng)
        if not tried[schedule] and asked.fits(schedule):
            return schedule
    return None


def _smaller(asked: Asked, schedule: Schedule) -> Iterator[Schedule]:
    """Each of its faults left out, then each key that a fault need not have."""
    if len(schedule) > 1:
        for place in range(len(schedule)):
            yield schedule[:place] + schedule[place + 1 :]
    for place, entry in enumerate(schedule):
        given = entry.to_json()
        for key in sorted(given.keys() - {"fault", *_MOMENTS} - asked.needed.get(given["fault"], frozenset())):
            less = Entry.of({name: value for name, value in given.items() if name != key})
            yield (*schedule[:place], less, *schedule[place + 1 :])


def kept(outcomes: Sequence[Outcome[Entry]]) -> list[Outcome[Entry]]:
    """Those that came to something which none before them had come to."""
    found, reached = [], set[str]()
    for outcome in outcomes:
        if outcome.schedule and outcome.reached - reached:
            found.append(outcome)
        reached |= outcome.reached
    return found


def _new(asked: Asked, known: _Known, rng: Random) -> Schedule:
    """A variation of one that was kept, or a fresh one."""
    if not known.corpus or rng.random() < 0.4:
        return _fresh(asked, rng, rng.choice((1, 2, 2, 3, 3)))
    parent, other = rng.choices(known.corpus, known.weights, k=2)
    varied = list(parent.schedule)
    change = rng.choice(("add", "join", "replace", "replace", "drop"))
    if change == "drop" and len(varied) > 1:
        varied.pop(rng.randrange(len(varied)))
    elif change == "join":
        varied += other.schedule
    elif change == "replace":
        varied.pop(rng.randrange(len(varied)))
        varied.append(_drawn(asked, rng, varied))
    else:
        varied.append(_drawn(asked, rng, varied))
    return tuple(dict.fromkeys(varied))[:MOST_FAULTS]


def _fresh(asked: Asked, rng: Random, faults: int) -> Schedule:
    drawn: list[Entry] = []
    for _ in range(faults):
        drawn.append(_drawn(asked, rng, drawn))
    return tuple(dict.fromkeys(drawn))


def _drawn(asked: Asked, rng: Random, beside: Sequence[Entry]) -> Entry:
    return Entry.of(asked.draw(rng, [entry.to_json()["fault"] for entry in beside]))
