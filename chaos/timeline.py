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
from dataclasses import dataclass
from functools import partial
from itertools import count

from gameday.chaos.base import ConsumerFault, Fault, PlannedStrike, TimelineError
from gameday.chaos.conditions import Instruments, Trigger, in_words
from gameday.chaos.fault_targets import FaultTargets, NotInjected
from gameday.chaos.strike import Place, Strike
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import Value

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
    if entry.when is not None:
        yield 0.0
        return
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

    def __init__(
        self,
        strikes: Sequence[PlannedStrike],
        *,
        targets: FaultTargets,
        instruments: Instruments | None = None,
        each_s: float | None = None,
        steady: bool = True,
        by_hand: bool = False,
    ) -> None:
        """`instruments`: who measures what triggers wait for, where any does; `each_s`: how long a strike may last at
        the most; without `steady` none begins before `may_begin`; `by_hand`: `run` takes strikes by hand, and so goes
        on until `heal_all`."""
        self.strikes = list(strikes)
        self._targets = targets
        self._instruments = instruments
        self._each_s = each_s
        self._by_hand = by_hand
        self._over = asyncio.Event()
        self._why_over = "the load ended"
        self._may_begin = asyncio.Event()
        if steady:
            self._may_begin.set()
        # The starts and stops that triggers may wait for, by instance or by the name of a fault.
        self._phases: dict[tuple[str, events.Phase], asyncio.Event] = {}
        # One for each strike that is not over: set, it heals.
        self._ends: dict[str, asyncio.Event] = {}
        self._begin: Callable[[PlannedStrike], None] | None = None

    @property
    def at_work(self) -> list[str]:
        """The instances that are breaking something now."""
        return list(self._ends)

    @property
    def ended(self) -> bool:
        """Whether nothing strikes any more."""
        return self._over.is_set()

    def may_begin(self) -> None:
        """The steady state has held."""
        self._may_begin.set()

    def heal_all(self, why: str = "the load ended") -> None:
        """Strikes that last end now, those that have not begun never do, which their records tell with `why`. `run`
        then returns."""
        if not self._over.is_set():
            self._why_over = why
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
            params=planned.fault.params | _asked(planned),
            places=planned.places,
            targets=self._targets,
            over=end,
            on_phase=partial(self._heard, planned),
        )
        boxed: asyncio.TimerHandle | None = None
        try:
            await self._its_moment(planned, strike, start_ns)
            self._ends[planned.instance] = end
            if self._each_s is not None:
                boxed = asyncio.get_running_loop().call_later(self._each_s, end.set)
            await planned.fault.inject(strike)
        except NotInjected as error:
            strike.failed(str(error))
        finally:
            self._ends.pop(planned.instance, None)
            if boxed is not None:
                boxed.cancel()
        if not strike.fired and strike.error is None:
            strike.error = "was in place, but never struck"
        results[planned.instance] = StrikeResult(planned=planned, fired=strike.fired, error=strike.error)

    async def _its_moment(self, planned: PlannedStrike, strike: Strike, start_ns: int) -> None:
        """Wait for it, as long as chaos lasts. Errors: NotInjected where it does not come."""
        trigger, until_s = planned.trigger, planned.fault.until
        left_s = None if trigger is None or until_s is None else self._until_s(start_ns, until_s)
        comes = asyncio.ensure_future(self._comes(planned, strike, start_ns))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((comes, over), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                came = f"its moment, {planned.at_s:g} s" if trigger is None else f"{trigger}{self._seen(trigger)}"
                raise NotInjected(f"{self._why_over} before {came}")
            if comes.done():
                comes.result()
            elif trigger is not None:
                raise NotInjected(f"{trigger} had not come by `until`, {until_s:g} s{self._seen(trigger)}")
        finally:
            for each in (comes, over):
                each.cancel()
            await asyncio.gather(comes, over, return_exceptions=True)

    def _until_s(self, start_ns: int, at_s: float) -> float:
        return max(0.0, (start_ns + round(at_s * NS_PER_S) - self._targets.writer.clock.now_ns()) / NS_PER_S)

    async def _comes(self, planned: PlannedStrike, strike: Strike, start_ns: int) -> None:
        """Returns when what it waits for is there, and chaos may begin."""
        trigger = planned.trigger
        if trigger is None:
            await asyncio.sleep(self._until_s(start_ns, planned.at_s))
        await self._may_begin.wait()
        if trigger is None:
            return
        if trigger.condition is not None:
            assert self._instruments is not None, "a condition, and nobody measures"
            await self._instruments.met(trigger.condition)
        elif trigger.fault is not None:
            await self._phase(trigger.fault, trigger.phase).wait()
        elif trigger.call is not None:
            await strike.called(trigger.call, trigger.nth)
        await asyncio.sleep(trigger.after_s)

    def _seen(self, trigger: Trigger) -> str:
        """How near it came."""
        if trigger.condition is None or self._instruments is None:
            return ""
        nearest = self._instruments.extreme(trigger.condition)
        told = in_words(trigger.condition.measure, nearest)
        return f" (the {'highest' if trigger.condition.above else 'lowest'} was {told})"

    def _phase(self, name: str, phase: events.Phase) -> asyncio.Event:
        return self._phases.setdefault((name, phase), asyncio.Event())

    def _heard(self, planned: PlannedStrike, phase: events.Phase) -> None:
        for name in (planned.instance, planned.fault.fault):
            self._phase(name, phase).set()


def _asked(planned: PlannedStrike) -> dict[str, Value]:
    """Who asked for it, and what it waited for, as its records tell."""
    by: dict[str, Value] = {} if planned.by is None else {"by": planned.by}
    return by if planned.trigger is None else {**by, "when": str(planned.trigger)}
