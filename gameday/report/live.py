"""What a person sees while a run goes on: a live table on a terminal, a plain line every few seconds elsewhere.

It only shows what the observer reports and what the conductor says; it promises that nothing here can fail a run, and
that what was noted stays on the screen when the live part is gone.
"""

from __future__ import annotations

import asyncio
import os
import termios
import time
import tty
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gameday.scenario.model import Scenario

_INPUT = 0
_LINE_EVERY_S = 5.0
_REFRESH_PER_S = 4
_DUPLICATES = {"send-duplicate": "sent twice", "effect-duplicate": "effect twice"}


class _View:
    """Both views: what is known so far. `Live` or plain lines is the only difference."""

    def __init__(self, console: Console, scenario: Scenario) -> None:
        self._console = console
        self._scenario = scenario
        self._phase = ""
        self._seen: Mapping[str, Any] = {}
        self._began: float | None = None
        self._said: float = 0.0
        self._restore: Callable[[], None] | None = None
        self.live: Live | None = None

    def note(self, text: str) -> None:
        """A line that stays, as it is written: what looks like Rich's markup is YAML."""
        self._console.print(text, soft_wrap=True, markup=False)

    def phase(self, text: str) -> None:
        """What the run is doing now."""
        same = text.partition(":")[0] == self._phase.partition(":")[0]
        self._phase = text
        if self.live is not None:
            self.live.update(self._table())
        elif self._due() or not same:
            self._said = time.monotonic()
            self._console.print(text, soft_wrap=True)

    def started(self, start_ns: int) -> None:
        """The load begins in a moment."""
        self._began = time.monotonic()
        self.phase("load and chaos")

    @contextmanager
    def keys(self, pressed: Callable[[str], None]) -> Iterator[bool]:
        """While this lasts, `pressed` hears every key, on the running event loop. False where nobody sits at a terminal
        that is ours to read from; then it hears none."""
        if not self._console.is_terminal or not _is_ours(_INPUT):
            yield False
            return
        loop, terminal = asyncio.get_running_loop(), _INPUT
        before = termios.tcgetattr(terminal)

        def read() -> None:
            for key in os.read(terminal, 64).decode(errors="ignore"):
                pressed(key)

        # Keys come one by one and are not shown; Ctrl-C still is a signal.
        tty.setcbreak(terminal)
        self._restore = lambda: termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        loop.add_reader(terminal, read)
        try:
            yield True
        finally:
            loop.remove_reader(terminal)
            self._restore()
            self._restore = None

    def end(self) -> None:
        """Give the terminal back; for who ends without unwinding."""
        if self._restore is not None:
            self._restore()
        if self.live is not None:
            self.live.stop()

    def snapshot(self, report: Mapping[str, Any]) -> None:
        """What the observer reports."""
        if report.get("report") != "snapshot":
            return
        self._seen = report
        if self.live is not None:
            self.live.update(self._table())
        elif self._began is not None and self._due():
            self._console.print("; ".join(f"{name}: {value}" for name, value in self._figures()), soft_wrap=True)

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._said < _LINE_EVERY_S:
            return False
        self._said = now
        return True

    def _figures(self) -> list[tuple[str, str]]:
        """What is worth watching, by name; of two views of a number the one that a person acts on comes first."""
        seen = self._seen
        if not seen:
            return []
        counts, effects, consumers = seen["counts"], seen["effects"], seen["consumers"]
        figures = [
            (
                "load",
                f"{seen['acked_per_s']:.0f}/s{_of(seen['scheduled_per_s'])}, "
                f"{seen['acked']} sent{_due(seen['scheduled'])}, {self._scenario.shape.total} in all",
            )
        ]
        for name, sub in seen["subscriptions"].items():
            figures.append((name, f"{sub['received_per_s']:.0f}/s, backlog {sub['backlog']}{_lag(sub['latency_s'])}"))
        figures += [
            ("redeliveries", str(counts["redelivery"])),
            ("duplicates", _counts(counts, _DUPLICATES)),
            ("out of order", str(counts["nonmonotonic-delivery"])),
            ("effects", _counts(effects, effects)),
            ("consumers", f"{consumers['running']} running, {consumers['restarts']} restarted"),
            ("faults", ", ".join(seen["faults"]) or "none"),
        ]
        if seen["errors"]:
            what, count = next(iter(seen["errors"].items()))
            figures.append(("errors", f"{sum(seen['errors'].values())}, most often {what} ({count})"))
        return figures

    def _table(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for name, value in self._figures():
            table.add_row(Text(name, style="dim"), value)
        return Group(Text(self._phase, style="bold"), table)


@contextmanager
def watching(console: Console, scenario: Scenario) -> Iterator[_View]:
    view = _View(console, scenario)
    # A dumb terminal cannot redraw a table.
    if not console.is_terminal or console.is_dumb_terminal:
        yield view
        return
    with Live(console=console, refresh_per_second=_REFRESH_PER_S, transient=True) as live:
        view.live = live
        yield view


def _is_ours(terminal: int) -> bool:
    """Whether it is a terminal, and we are not in its background, where reading would stop us."""
    return os.isatty(terminal) and os.tcgetpgrp(terminal) == os.getpgrp()


def _counts(counts: Mapping[str, int], kinds: Iterable[str]) -> str:
    """Each kind that occurred, or none."""
    return ", ".join(f"{counts[kind]} {_DUPLICATES.get(kind, kind)}" for kind in kinds if counts[kind]) or "none"


def _of(scheduled_per_s: float | None) -> str:
    """What the schedule wants at the moment, whether the load keeps up or not."""
    return "" if scheduled_per_s is None else f" of {scheduled_per_s:.0f}/s"


def _due(scheduled: int | None) -> str:
    return "" if scheduled is None else f" of {scheduled} due"


def _lag(latency_s: Mapping[str, float] | None) -> str:
    if latency_s is None:
        return ""
    return ", lag " + " ".join(f"{name} {seconds:.2g} s" for name, seconds in latency_s.items())
