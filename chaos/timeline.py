"""The timeline: from the entries of a scenario to the strikes that will happen, and the runner that carries them out.

`plan` is pure: the same entries, load, consumers and seed give the same strikes at the same moments on the same
consumers, and what cannot be carried out is an error before anything has started. `Runner` promises that every strike
ends healed, on whichever way the run ends, and that each is accounted for: struck, or why not. Besides those
planned, an operator may begin strikes by hand and end those that are at work.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from gameday.chaos.base import ConsumerFault, Fault, PlannedStrike, TimelineError
from gameday.chaos.fault_targets import FaultTargets, NotInjected
from gameday.chaos.strike import Place, Strike
from gameday.history.clock import NS_PER_S

_STRIKES_MAX = 10_000


def plan(
    entries: Sequence[Fault], *, duration_s: float, consumers: Mapping[str, int], seed: int
) -> list[PlannedStrike]:
    """The strikes in the order of their moments. `consumers`: how many each subscription has.

    Errors: TimelineError.
    """
    dated: list[tuple[float, int, tuple[Place, ...]]] = []
    for number, entry in enumerate(entries):
        # A dice of its own for each entry: adding one to a scenario moves no strike of the others.
        dice = random.Random(f"{seed}:{number}:{entry.fault}")
        places = _places(entry, number, consumers)
        wanted = _wanted(entry, number, len(places))
        dated += [
            (at_s, number, tuple(sorted(dice.sample(places, wanted))))
            for at_s in _moments(entry, number, duration_s, dice)
        ]
    numbers = {entry.fault: count(1) for entry in entries}
    return [
        PlannedStrike(
            at_s=at_s,
            entry=number,
            fault=entries[number],
            instance=f"{entries[number].fault}-{next(numbers[entries[number].fault])}",
            places=places,
        )
        for at_s, number, places in sorted(dated)
    ]


def by_hand(
    entries: Sequence[Fault], number: int, *, nth: int, at_s: float, consumers: Mapping[str, int], seed: int
) -> PlannedStrike:
    """A strike of entry `number`, not at its own moment but now, at `at_s`; the operator's `nth` of it, from 1.

    Errors: TimelineError.
    """
    entry = entries[number]
    places = _places(entry, number, consumers)
    dice = random.Random(f"{seed}:{number}:{entry.fault}:by hand:{nth}")
    return PlannedStrike(
        at_s=at_s,
        entry=number,
        fault=entry,
        instance=f"{entry.fault}-by-hand-{number + 1}.{nth}",
        places=tuple(sorted(dice.sample(places, _wanted(entry, number, len(places))))),
        by="operator",
    )


def _moments(entry: Fault, number: int, duration_s: float, dice: random.Random) -> Iterator[float]:
    """When it strikes: every strike is over by the end, whatever the dice say."""
    end_s, end = duration_s, f"the load ends at {duration_s:g} s"
    if entry.until is not None:
        if entry.until > duration_s:
            raise _wrong(entry, number, "until", f"goes on until {entry.until:g} s, but {end}")
        end_s, end = entry.until, f"`until` is {entry.until:g} s"
    key, first_s = ("at", entry.at) if entry.at is not None else ("every", entry.every)
    assert first_s is not None
    lasts_s = (entry.jitter or 0.0) + (entry.length_s or 0.0)
    if first_s >= end_s:
        raise _wrong(entry, number, key, f"strikes at {first_s:g} s, but {end}")
    if first_s + lasts_s > end_s:
        last_s = first_s + lasts_s
        raise _wrong(entry, number, key, f"strikes at {first_s:g} s and may last until {last_s:g} s, but {end}")
    if entry.every is None:
        yield first_s
        return
    for turn in range(_STRIKES_MAX):
        # Multiplied, not summed: no rounding error grows along the timeline.
        turn_s = first_s + turn * entry.every
        if turn_s >= end_s or turn_s + lasts_s > end_s:
            return
        yield turn_s + dice.uniform(0, entry.jitter or 0.0)
    raise _wrong(entry, number, "every", f"strikes every {entry.every:g} s: that is more than {_STRIKES_MAX} times")


def _places(entry: Fault, number: int, consumers: Mapping[str, int]) -> list[Place]:
    """The places that it may strike."""
    if not isinstance(entry, ConsumerFault):
        return []
    chosen = dict(consumers)
    if entry.subscription is not None:
        if entry.subscription not in consumers:
            known = ", ".join(consumers) or "no subscription has any"
            what = f"strikes consumers of {entry.subscription!r}, which has none; consumers: {known}"
            raise _wrong(entry, number, "subscription", what)
        chosen = {entry.subscription: consumers[entry.subscription]}
    return [(subscription, index) for subscription, size in sorted(chosen.items()) for index in range(size)]


def _wanted(entry: Fault, number: int, there: int) -> int:
    """How many of the places it strikes: of a share at least one."""
    if not isinstance(entry, ConsumerFault):
        return 0
    if there == 0:
        raise _wrong(entry, number, "fault", "strikes consumers, and there are none")
    if isinstance(entry.pick, float):
        return max(1, round(entry.pick * there))
    if entry.pick > there:
        raise _wrong(entry, number, "pick", f"picks {entry.pick} consumers, but there are {there}")
    return entry.pick


def _wrong(entry: Fault, number: int, key: str, what: str) -> TimelineError:
    return TimelineError(f"{entry.fault} {what}", entry=number, key=key)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@dataclass(frozen=True, kw_only=True, slots=True)
class StrikeResult:
    """What became of a strike. `fired`: how often it struck; `error`: why it never did, or what did not heal."""

    planned: PlannedStrike
    fired: int
    error: str | None = None


class Runner:
    """Carries the strikes out; strikes whose times overlap happen together.

    A strike that could not be injected does not end the run: the others go on, its record says that it never fired
    (so that the run cannot come out as holding) and its result says why.
    """

    def __init__(self, strikes: Sequence[PlannedStrike], *, targets: FaultTargets, by_hand: bool = False) -> None:
        """`by_hand`: `run` takes strikes by hand, and so goes on until `heal_all`."""
        self.strikes = list(strikes)
        self._targets = targets
        self._by_hand = by_hand
        self._over = asyncio.Event()
        # One for each strike that is not over: set, it heals.
        self._ends: dict[str, asyncio.Event] = {}
        self._begin: Callable[[PlannedStrike], None] | None = None

    @property
    def at_work(self) -> list[str]:
        """The instances that are breaking something now."""
        return list(self._ends)

    def heal_all(self) -> None:
        """The load has stopped: strikes that last end now, those that have not begun never do. `run` then returns."""
        self._over.set()
        for end in self._ends.values():
            end.set()

    def begin(self, planned: PlannedStrike) -> None:
        """Carry this one out, too, now. Errors: NotInjected when nothing more is broken."""
        if self._begin is None or self._over.is_set():
            raise NotInjected("the load does not run, so nothing is broken")
        self.strikes.append(planned)
        self._ends[planned.instance] = asyncio.Event()
        self._begin(planned)

    def heal(self, instance: str) -> None:
        """End a strike that is at work; one that works until it has healed by itself goes on. Errors: NotInjected."""
        if instance not in self._ends:
            raise NotInjected(f"{instance} is not at work")
        self._ends[instance].set()

    async def run(self, *, start_ns: int) -> list[StrikeResult]:
        """Give each strike's result when all have healed. `start_ns`: when the load began, on the run's clock.

        Cancelling it heals what is broken before the cancellation goes on. Errors: HistoryError, ProcessError.
        """
        results: dict[str, StrikeResult] = {}
        try:
            async with asyncio.TaskGroup() as group:

                def begin(planned: PlannedStrike) -> None:
                    group.create_task(self._carry_out(planned, start_ns, results), name=planned.instance)

                for planned in self.strikes:
                    begin(planned)
                if self._by_hand:
                    self._begin = begin
                    await self._over.wait()
        except BaseExceptionGroup as errors:
            # Whoever reads the message can act on one error at a time; the first is what ended the others.
            raise _first(errors) from None
        finally:
            self._begin = None
        return [results[planned.instance] for planned in self.strikes]

    async def _carry_out(self, planned: PlannedStrike, start_ns: int, results: dict[str, StrikeResult]) -> None:
        end = self._ends.get(planned.instance, asyncio.Event())
        strike = Strike(
            fault=planned.fault.fault,
            instance=planned.instance,
            params=planned.fault.params | ({} if planned.by is None else {"by": planned.by}),
            places=planned.places,
            targets=self._targets,
            over=end,
        )
        due_ns = start_ns + round(planned.at_s * NS_PER_S)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout((due_ns - self._targets.writer.clock.now_ns()) / NS_PER_S):
                    await self._over.wait()
            if self._over.is_set():
                raise NotInjected(f"the load ended before its moment, {planned.at_s:g} s")
            self._ends[planned.instance] = end
            await planned.fault.inject(strike)
        except NotInjected as error:
            strike.failed(str(error))
        finally:
            self._ends.pop(planned.instance, None)
        if not strike.fired and strike.error is None:
            strike.error = "was in place, but never struck"
        results[planned.instance] = StrikeResult(planned=planned, fired=strike.fired, error=strike.error)
