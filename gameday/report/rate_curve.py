"""What a search for the highest rate came to: a line for each step while it runs, and at its end the curve and what
gave way, for people and as JSON. It shows what the steps measured and decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from rich import box
from rich.table import Table
from rich.text import Text

from gameday.find_rate.measure import Measured
from gameday.find_rate.search import Asked, Ended
from gameday.report.console import COLOURS, on_stdout


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """`ended` is None where the search broke off, by an error or by Ctrl-C."""

    scenario: str
    target: str
    asked: Asked
    steps: Sequence[Measured]
    ended: Ended | None

    @property
    def exit_code(self) -> int:
        """As of every command that judges: 0 a rate was found, 1 and 3 there is none that was asked for, at which every
        claim holds (violated, unknown), or it was stopped before the two ends were near enough (3)."""
        assert self.ended is not None
        if self.ended.why in ("found", "to holds"):
            return 0
        first = self._gave_way
        return 1 if self.ended.why == "from fails" and first is not None and first.verdict == "violated" else 3

    @property
    def _gave_way(self) -> Measured | None:
        """The step at the lowest rate that did not hold, as it counts."""
        failed = [step for step in self._counted if step.verdict != "holds"]
        return min(failed, key=lambda step: step.rate_per_s, default=None)

    @property
    def _counted(self) -> list[Measured]:
        """Of each rate the last step, by rate."""
        return sorted({step.rate_per_s: step for step in self.steps}.values(), key=lambda step: step.rate_per_s)

    def lines(self) -> Iterator[str]:
        """What it came to, in sentences."""
        ended = self.ended
        if ended is None:
            yield "the search broke off; what stands above was measured"
            return
        holds, fails = _rate(ended.holds_per_s), _rate(ended.fails_per_s)
        match ended.why:
            case "found":
                yield f"the highest rate at which every claim holds: {holds} (not at {fails})"
            case "to holds":
                yield f"every claim holds at {holds}, the highest rate asked for; raise --to to find what gives way"
            case "from fails":
                yield f"not even at {fails}, the lowest rate asked for, does every claim hold; lower --from"
            case "runs" | "time":
                limit = "--runs-max" if ended.why == "runs" else "--time-max"
                if ended.holds_per_s is None:
                    yield f"stopped by {limit} before a rate was found at which every claim holds"
                else:
                    above = f"not at {fails}" if ended.fails_per_s is not None else "nothing higher was tried"
                    yield f"stopped by {limit}: every claim holds at {holds}, and {above}"
        if (step := self._gave_way) is not None:
            yield from _gave_way(step)
        if again := sum(step.again for step in self.steps):
            yield f"steps tried once more because noise may have decided them: {again}; the second time counts"


def _gave_way(step: Measured) -> Iterator[str]:
    rate, told = _rate(step.rate_per_s), "; ".join(f"{each.claim} ({each.why})" for each in step.gave_way)
    if step.verdict == "violated":
        yield f"at {rate} gave way: {told}"
    else:
        yield f"at {rate} no claim was broken, and not every one could be told: {told}"
        if step.load_was_late:
            yield "that is the limit of what was sent, not proven of the broker or of the consumers: the load was late"
    if not step.bottleneck:
        yield "the bottleneck is not to be seen in what was measured: the load was in time, and no backlog grew"
    for each in step.bottleneck:
        yield f"bottleneck: {each}"


def show(curve: Curve, *, as_json: bool) -> None:
    """Print it on standard output."""
    if as_json:
        sys.stdout.write(orjson.dumps(document(curve), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("lag p99", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("gave way")
    table.add_column("run", overflow="fold")
    for step in sorted(curve.steps, key=lambda step: step.rate_per_s):
        broken = ", ".join(each.claim for each in step.gave_way)
        table.add_row(
            _rate(step.rate_per_s),
            _seconds(step.p99_s),
            Text(step.verdict, style=COLOURS[step.verdict]),
            broken + (" (once more)" if step.again else ""),
            step.directory,
        )
    console = on_stdout()
    console.print(table)
    for line in curve.lines():
        console.print(line, soft_wrap=True)


def document(curve: Curve) -> dict[str, Any]:
    """The object that `--json` prints."""
    return {
        "schema": 1,
        "scenario": curve.scenario,
        "target": curve.target,
        "asked": asdict(curve.asked),
        "ended": None if curve.ended is None else asdict(curve.ended),
        "steps": [
            {**asdict(step), "load_was_late": step.load_was_late, "bottleneck": step.bottleneck} for step in curve.steps
        ],
        "told": list(curve.lines()),
    }


def step_line(number: int, step: Measured) -> str:
    """One step, once it is judged."""
    broken = ", ".join(each.claim for each in step.gave_way)
    told = f"step {number}: {_rate(step.rate_per_s)}: {step.verdict}" + (f" ({broken})" if broken else "")
    late = ", the load was late" if step.load_was_late else ""
    return f"{told}, lag p99 {_seconds(step.p99_s)}{late} ({step.took_s:.0f} s; {step.directory})"


def begun_line(number: int, rate_per_s: float, *, again: bool) -> str:
    """One step, before it runs."""
    return f"step {number}: {_rate(rate_per_s)}{', once more, for noise may have decided it' if again else ''} …"


def _rate(rate_per_s: float | None) -> str:
    return "-" if rate_per_s is None else f"{rate_per_s:.12g}/s"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3g} s"
