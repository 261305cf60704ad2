"""A comparison of runs for people and machines: a table in the terminal, Markdown for a pull request, or JSON.

It shows what a `Comparison` holds and decides nothing. A change is never shown without its bounds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gameday.compare.compare import Comparison, Row
from gameday.report.console import on_stdout
from gameday.report.markdown import escaped, table

_COLOURS = {"worse": "bold red", "better": "green", "unknown": "yellow", "same": ""}
_VERDICTS = {"regressed": "bold red", "unknown": "yellow", "no regression": "green"}
_COLUMNS = ("what", "baseline", "run", "change", "bounds", "called")


def show(comparison: Comparison, format: str) -> None:
    """Print it on standard output. `format`: text, json or markdown."""
    if format == "json":
        sys.stdout.write(orjson.dumps(document(comparison), option=orjson.OPT_INDENT_2).decode() + "\n")
    elif format == "markdown":
        sys.stdout.write(markdown(comparison))
    else:
        text(comparison, on_stdout())


def document(comparison: Comparison) -> dict[str, Any]:
    return {"schema": 1, "verdict": comparison.verdict, **asdict(comparison)}


def text(comparison: Comparison, console: Console) -> None:
    for number, run in enumerate(comparison.runs):
        console.print(f"{_role(number)}: {run['directory']} ({_told(run)})")
    for difference in comparison.differences:
        console.print(Text(f"not the same thing: {difference}", style="yellow"))
    for number, run in enumerate(comparison.runs[1:], start=1):
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in _COLUMNS:
            shown.add_column(
                column, justify="left" if column in ("what", "called") else "right", no_wrap=column != "called"
            )
        for cells, call in _rows(comparison, number):
            shown.add_row(*cells[:-1], Text(cells[-1], style=_COLOURS[call]))
        if len(comparison.runs) > 2:
            console.print(f"{_role(number)}, {run['run']}:")
        console.print(shown)
    for line in _footnotes(comparison):
        console.print(line)
    console.print(Text.assemble("verdict: ", (comparison.verdict, _VERDICTS[comparison.verdict])))


def markdown(comparison: Comparison) -> str:
    lines = [f"### gameday compare: {comparison.verdict}", ""]
    lines += [
        f"- {_role(number)}: {escaped(run['directory'])} ({escaped(_told(run))})"
        for number, run in enumerate(comparison.runs)
    ]
    lines += [f"- not the same thing: {escaped(difference)}" for difference in comparison.differences]
    for number, run in enumerate(comparison.runs[1:], start=1):
        rows = [cells for cells, _ in _rows(comparison, number)]
        lines += [
            "",
            *([f"#### {_role(number)}, {escaped(run['run'])}", ""] if len(comparison.runs) > 2 else []),
            *table(_COLUMNS, rows),
        ]
    return "\n".join([*lines, "", *_footnotes(comparison)]) + "\n"


def _role(number: int) -> str:
    return f"run {number}" if number else "baseline"


def _told(run: Any) -> str:
    told = [f"{key} {run[key]}" for key in ("scenario", "seed", "target") if run[key] is not None]
    return ", ".join([*told, str(run["verdict"])])


def _rows(comparison: Comparison, run: int) -> Iterator[tuple[list[str], str]]:
    """The cells of a run's numbers and claims, and how each row is called."""
    for row in comparison.rows:
        if row.run == run:
            what = f"{row.metric} {row.subscription}" if row.subscription else row.metric
            called = f"unknown: {row.why}" if row.why else row.call
            yield [what, _number(row, row.baseline), _number(row, row.value), *_change(row), called], row.call
    for claim in comparison.claims:
        if claim.run == run:
            yield [f"claim {claim.claim}", claim.baseline, claim.value, "", "", claim.call], claim.call


def _number(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    if row.unit == "s":
        return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:,.1f}{row.unit}" if row.unit == "/s" else f"{value:,.2f} {row.unit}"


def _change(row: Row) -> tuple[str, str]:
    """How much, and from where to where."""
    if row.change is None or row.low is None or row.high is None:
        return "", ""
    if row.unit == "per 1,000":
        return f"{row.change:+.2f}", f"{row.low:+.2f} … {row.high:+.2f}"
    one, low, high = (f"{(ratio - 1) * 100:+.1f} %" for ratio in (row.change, row.low, row.high))
    return one, f"{low} … {high}"


def _footnotes(comparison: Comparison) -> Iterator[str]:
    yield (
        f"{comparison.compared_s:.1f} s compared in blocks of {comparison.block_s:.2f} s, after a warm-up of "
        f"{comparison.warm_up_s:.1f} s; called different: beyond {comparison.tolerance * 100:g} % with a confidence of "
        f"{comparison.confidence * 100:g} % for everything here together"
    )
