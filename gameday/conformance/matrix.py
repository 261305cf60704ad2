"""The matrix for people and for programs: a table on a terminal, JSON, Markdown for the documentation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gameday.conformance.base import Cell, Result
from gameday.conformance.run import Matrix

_STYLES: Mapping[Result, str] = {
    "holds": "green",
    "violated": "bold red",
    "not-implemented": "yellow",
    "unknown": "magenta",
}
_COUNTED: Mapping[Result, str] = {
    "holds": "hold",
    "violated": "violated",
    "unknown": "unknown",
    "not-implemented": "not implemented",
}
_SHORT: Mapping[Result, str] = {"not-implemented": "not impl."}
_NOT_ASKED = ""
_WIDTH = 120


def show(matrix: Matrix, form: Literal["text", "json", "markdown"]) -> None:
    """Print it on standard output."""
    if form == "json":
        print(to_json(matrix))
    elif form == "markdown":
        print(to_markdown(matrix), end="")
    else:
        console = Console(highlight=False)
        # A table that goes into a file is not cut to a terminal's width.
        _print(matrix, console if console.is_terminal else Console(highlight=False, width=_WIDTH))


def _print(matrix: Matrix, console: Console) -> None:
    """Service by probe, then what is to be said of every cell that does not hold, then the counts."""
    services, rows = _grid(matrix.cells)
    console.print(f"conformance of {matrix.what}", soft_wrap=True, markup=False)
    table = Table("probe", *services)
    for probe, cells in rows:
        table.add_row(probe, *(_shown(cell) for cell in cells))
    console.print(table)
    for cell in _worth_a_word(matrix.cells):
        line = Text.assemble(
            (cell.result, _STYLES[cell.result]), f"  {cell.service} {cell.probe}: ", _one_line(cell.detail)
        )
        console.print(line, soft_wrap=True)
    console.print(counted(matrix.cells), soft_wrap=True)


def to_json(matrix: Matrix) -> str:
    document = {"target": matrix.target, "what": matrix.what, "cells": [cell.to_json() for cell in matrix.cells]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def to_markdown(matrix: Matrix) -> str:
    """The grid, and a list of the cells that do not hold."""
    services, rows = _grid(matrix.cells)
    lines = [_row(["probe", *(f"`{service}`" for service in services)]), "|" + "---|" * (len(services) + 1)]
    lines += [_row([f"`{probe}`", *(_marked(cell) for cell in cells)]) for probe, cells in rows]
    lines += ["", f"{counted(matrix.cells)}.", ""]
    lines += [
        f"- **{cell.result}** `{cell.service}` `{cell.probe}`: {_one_line(cell.detail)}"
        for cell in _worth_a_word(matrix.cells)
    ]
    return "\n".join(lines).rstrip() + "\n"


def counted(cells: Sequence[Cell]) -> str:
    """How many of each result: `23 hold, 1 violated`."""
    counts = Counter(cell.result for cell in cells)
    return ", ".join(f"{counts[result]} {words}" for result, words in _COUNTED.items() if counts[result])


def _grid(cells: Sequence[Cell]) -> tuple[list[str], list[tuple[str, list[Cell | None]]]]:
    """The services, and for each probe its cell under each of them; None where that service has no such probe."""
    services = list(dict.fromkeys(cell.service for cell in cells))
    by_place = {(cell.service, cell.probe): cell for cell in cells}
    probes = dict.fromkeys(cell.probe for cell in cells)
    return services, [(probe, [by_place.get((service, probe)) for service in services]) for probe in probes]


def _worth_a_word(cells: Sequence[Cell]) -> Iterator[Cell]:
    """The worst first."""
    for result in ("violated", "unknown", "not-implemented"):
        yield from (cell for cell in cells if cell.result == result)


def _shown(cell: Cell | None) -> Text:
    if cell is None:
        return Text(_NOT_ASKED)
    return Text(_SHORT.get(cell.result, cell.result), style=_STYLES[cell.result])


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return _NOT_ASKED
    return cell.result if cell.result == "holds" else f"**{cell.result}**"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split())
