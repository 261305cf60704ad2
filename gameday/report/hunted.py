"""What a hunt came to: a line for each run, and at its end the smallest faults that broke each claim, with what was
reached and what never was, for people and as JSON. It shows what the runs came to and decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from rich import box
from rich.table import Table

from gameday.report.console import on_stdout
from gameday.report.searched import broken_by, ended, not_calm, smallest_as_json
from gameday.search.hunt import Entry, in_words, kept
from gameday.search.outcomes import Outcome, places_reached, smallest
from gameday.verify.registry import PLACES


@dataclass(frozen=True, kw_only=True, slots=True)
class Hunted:
    """`faults`: those that were drawn from; `replays`: by claim, the file that repeats what broke it; `broke_off`:
    somebody ended it; `real`: where it was on a clock that jumps, what was found there, tried again on real processes
    (None: all were)."""

    scenario: str
    target: str
    faults: Sequence[str]
    outcomes: Sequence[Outcome[Entry]]
    replays: Mapping[str, str]
    broke_off: bool
    real: Sequence[Outcome[Entry]] | None = None

    @property
    def exit_code(self) -> int:
        """1 a claim was broken; 3 no run with a fault has shown anything, or real processes not what was found; else
        0."""
        if found := smallest(self.outcomes):
            shown = self.real is None or any({*found} & {*outcome.broken} for outcome in self.real)
            return 1 if shown else 3
        return 0 if any(outcome.held for outcome in self.outcomes if outcome.schedule) else 3

    @property
    def places(self) -> Counter[str]:
        """How many messages came to each dangerous place, in all runs; with those that none came to."""
        came = Counter(dict.fromkeys((place for each in self.outcomes for place in each.places), 0))
        for outcome in self.outcomes:
            came.update(outcome.places)
        return came

    def lines(self) -> Iterator[str]:
        """What it came to, in sentences."""
        if not self.outcomes:
            yield "nothing was tried"
            return
        calm = next((outcome for outcome in self.outcomes if not outcome.schedule), None)
        if calm is not None and not calm.held:
            yield not_calm(calm, "fault")
            return
        yield from broken_by(self.outcomes, self.replays, in_words, real=self.real)
        found = smallest(self.outcomes)
        claims = list(dict.fromkeys(claim for outcome in self.outcomes for claim in outcome.claims))
        if held := [claim for claim in claims if claim not in found]:
            yield f"nothing that was tried broke {', '.join(held)}: no proof, but see what was reached"
        unshown = [outcome for outcome in self.outcomes if not outcome.shown]
        told = f"; {len(unshown)} showed nothing, mostly as a fault never struck" if unshown else ""
        yield f"{len(self.outcomes)} runs, {len(kept(self.outcomes))} of which came to something new{told}"
        if never := [place for place, messages in self.places.items() if not messages]:
            yield f"never reached: {', '.join(never)}"
        if self.broke_off:
            yield "the hunt broke off; with the same --out it goes on there"

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "target": self.target,
            "faults": list(self.faults),
            "broke_off": self.broke_off,
            "runs": [outcome.to_json() for outcome in self.outcomes],
            "places": dict(self.places),
            "smallest": smallest_as_json(self.outcomes, self.replays),
            **({} if self.real is None else {"real": [outcome.to_json() for outcome in self.real]}),
        }


def ended_line(outcomes: Sequence[Outcome[Entry]]) -> str:
    """Of the last run."""
    *before, outcome = outcomes
    new = places_reached([outcome]) - places_reached(before)
    return f"run {len(outcomes)}: {in_words(outcome.schedule)}: {ended(outcome)}" + (
        f"; new: {', '.join(sorted(new))}" if new else ""
    )


def tried_line(outcomes: Sequence[Outcome[Entry]], *, new: int, a_minute: float) -> str:
    """Of the last `new` runs, which were tried on a clock that jumps."""
    before, since = outcomes[:-new], outcomes[-new:]
    reached = places_reached(outcomes)
    of = max((len(each.places) for each in outcomes), default=0)
    told = f"{len(outcomes)} runs, {a_minute:.0f} a minute; {len(reached)} of {of} dangerous places reached"
    if failed := [each.failed for each in since if each.failed]:
        told += f"; {len(failed)} of the last {new} gave no verdict: {failed[0]}"
    known = smallest(before)
    found = [claim for claim in smallest(since) if claim not in known]
    return told + "".join(f"; broken: {claim}" for claim in found)


def again_line(outcome: Outcome[Entry]) -> str:
    """Of a run on real processes of what was found on a clock that jumps."""
    return f"on real processes: {in_words(outcome.schedule)}: {ended(outcome)}"


def show(hunted: Hunted, *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(hunted.to_json(), option=orjson.OPT_INDENT_2).decode())
        return
    with on_stdout() as console:
        if reached := [(place, n) for place, n in hunted.places.most_common() if n]:
            table = Table(box=box.SIMPLE_HEAD)
            table.add_column("dangerous place")
            table.add_column("messages", justify="right")
            table.add_column("what befell them")
            for place, messages in reached:
                table.add_row(place, f"{messages:,}", PLACES[place].summary)
            console.print(table)
        for line in hunted.lines():
            console.print(line, soft_wrap=True)
