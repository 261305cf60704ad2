"""An operator's orders on a game day: a fault of the scenario now, or the end of one that is at work.

It promises that what an operator does stands in the history like any other fault, and that an order which cannot be
carried out is a note and changes nothing.
"""

from __future__ import annotations

from collections import Counter

from gameday.chaos.base import TimelineError
from gameday.chaos.fault_targets import NotInjected
from gameday.chaos.timeline import Runner, by_hand
from gameday.history.clock import NS_PER_S
from gameday.processes.child import Report
from gameday.run.state import Run


class Operator:
    """Takes orders as long as load and chaos run.

    An order is {"do": "begin", "entry": the number of an entry of `chaos`, from 0}, {"do": "end", "instance": …}, or
    {"do": "switch", "entry": …}: end what an operator began of that entry, or begin it where nothing of it is at work.
    """

    def __init__(self, run: Run, chaos: Runner) -> None:
        self._run = run
        self._chaos = chaos
        self._begun: Counter[int] = Counter()

    def take(self, order: Report) -> None:
        try:
            self._take(order)
        except (NotInjected, TimelineError) as error:
            self._run.note(f"operator: {error}")

    def _take(self, order: Report) -> None:
        match order:
            case {"do": "begin", "entry": int(entry)}:
                self._start(entry)
            case {"do": "end", "instance": str(instance)}:
                self._stop(instance)
            case {"do": "switch", "entry": int(entry)}:
                of_entry = [planned.instance for planned in self._chaos.strikes if planned.entry == entry]
                at_work = [instance for instance in of_entry if instance in self._chaos.at_work]
                for instance in at_work:
                    self._stop(instance)
                if not at_work:
                    self._start(entry)
            case _:
                self._run.note(f"operator: nobody knows what to do about {dict(order)}")

    def _start(self, entry: int) -> None:
        scenario = self._run.scenario
        if not 0 <= entry < len(scenario.chaos):
            self._run.note(f"operator: the scenario has no fault number {entry + 1}")
            return
        self._begun[entry] += 1
        planned = by_hand(
            scenario.chaos,
            entry,
            nth=self._begun[entry],
            at_s=max(0.0, (self._run.context.clock.now_ns() - self._run.start_ns) / NS_PER_S),
            consumers=dict.fromkeys(scenario.subscriptions, scenario.consumers.processes),
            seed=self._run.context.seed,
        )
        self._chaos.begin(planned)
        self._run.note(f"operator: {planned.instance} begins")

    def _stop(self, instance: str) -> None:
        self._chaos.heal(instance)
        self._run.note(f"operator: {instance} is ended")
