"""What a person sees while the probes work: a bar on a terminal, elsewhere one plain line for each answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gameday.conformance.base import Cell


class Watch(Protocol):
    """Hears of what is going on; called from one thread at a time."""

    def started(self, count: int) -> None: ...
    def done(self, cell: Cell) -> None: ...


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def started(self, count: int) -> None:
        self._progress.update(self._task, description="probing", total=count)

    def done(self, cell: Cell) -> None:
        if cell.result == "violated":
            self._progress.console.print(f"violated: {cell.service} {cell.probe}", markup=False)
        self._progress.advance(self._task)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = self._done = 0

    def started(self, count: int) -> None:
        self._count = count
        self._console.print(f"{count} probes")

    def done(self, cell: Cell) -> None:
        self._done += 1
        line = f"{self._done}/{self._count} {cell.service} {cell.probe}: {cell.result}"
        self._console.print(line, soft_wrap=True, markup=False)


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Progress on this console, which is standard error: the matrix alone goes to standard output."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)
