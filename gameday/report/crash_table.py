"""What a crash sweep came to: a line for each run, and at its end a table of points and claims, with the smallest
schedule that broke each, for people and as JSON. It shows what the runs came to and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from rich import box
from rich.table import Table
from rich.text import Text

from gameday.report.console import COLOURS, on_stdout
from gameday.report.searched import broken_by, ended, not_calm, smallest_as_json
from gameday.search.crashes import Asked, Crash, in_words
from gameday.search.outcomes import Outcome, smallest

Ended = Literal["all", "budget", "calm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """`ended`: `all` was tried; the `budget` was over before; or the `calm` run, without any crash, did not hold; None:
    it broke off. `replays`: by claim, the file that repeats what broke it."""

    scenario: str
    target: str
    asked: Asked
    outcomes: Sequence[Outcome[Crash]]
    ended: Ended | None
    replays: Mapping[str, str]
    left: int

    @property
    def exit_code(self) -> int:
        """1 a claim was broken; 3 not all was tried, or something showed nothing; else 0."""
        if smallest(self.outcomes):
            return 1
        return 0 if self.ended == "all" and not self._unshown else 3

    @property
    def _unshown(self) -> list[Outcome[Crash]]:
        return [outcome for outcome in self.outcomes if not outcome.shown]

    @property
    def claims(self) -> list[str]:
        return list(dict.fromkeys(claim for outcome in self.outcomes for claim in outcome.claims))

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Each point, and the pairs, with what its runs came to for each claim."""
        for point in self.asked.points:
            yield point, self._cells([each for each in self.outcomes if [c.point for c in each.schedule] == [point]])
        if pairs := [each for each in self.outcomes if len(each.schedule) == 2]:
            yield "two crashes", self._cells(pairs)

    def _cells(self, runs: Sequence[Outcome[Crash]]) -> list[str]:
        return [_cell([each.claims[claim] for each in runs if claim in each.claims]) for claim in self.claims]

    def lines(self) -> Iterator[str]:
        """What it came to, in sentences."""
        if self.ended == "calm":
            yield not_calm(self.outcomes[0], "crash")
            return
        yield from broken_by(self.outcomes, self.replays, lambda schedule: f"a crash {in_words(schedule)}")
        if not smallest(self.outcomes):
            yield "no crash that was tried broke a claim"
        if unshown := self._unshown:
            some = "; ".join(dict.fromkeys(each.failed or "a crash never came" for each in unshown))
            yield f"{len(unshown)} of {len(self.outcomes)} runs showed nothing: {some}"
        if self.ended == "budget":
            yield f"the budget is over: {self.left} schedules were not tried; with the same --out it goes on there"
        elif self.ended is None:
            yield "the sweep broke off; with the same --out it goes on there"

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "target": self.target,
            "points": list(self.asked.points),
            "messages": self.asked.messages,
            "every": self.asked.every,
            "ended": self.ended,
            "left": self.left,
            "runs": [outcome.to_json() for outcome in self.outcomes],
            "smallest": smallest_as_json(self.outcomes, self.replays),
        }


def _cell(verdicts: Sequence[str]) -> str:
    shown = [verdict for verdict in verdicts if verdict != "unknown"]
    if not shown:
        return "nothing shown" if verdicts else "not tried"
    violated = shown.count("violated")
    return f"violated {violated} of {len(shown)}" if violated else f"holds ({len(shown)})"


def ended_line(number: int, outcome: Outcome[Crash]) -> str:
    never = not outcome.failed and not outcome.shown and outcome.schedule
    why = ": the crash never came" if never else ""
    return f"run {number}: {in_words(outcome.schedule)}: {ended(outcome)}{why}"


def show(swept: Swept, *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(swept.to_json(), option=orjson.OPT_INDENT_2).decode())
        return
    with on_stdout() as console:
        if swept.ended != "calm" and len(swept.outcomes) > 1:
            table = Table(box=box.SIMPLE_HEAD)
            table.add_column("crashed")
            for claim in swept.claims:
                table.add_column(claim)
            for name, cells in swept.rows():
                coloured = [Text(cell, style=COLOURS["violated"] if "violated" in cell else "") for cell in cells]
                table.add_row(name, *coloured)
            console.print(table)
        for line in swept.lines():
            console.print(line, soft_wrap=True)
