"""What is shown while a run goes on: lines that say what changed, and nothing that could fail a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gameday.history.manifest import Manifest, Subscription
from gameday.report.live import watching
from gameday.scenario import reading as scenario
from gameday.watch.live import Live


def snapshot(**changed: Any) -> dict[str, Any]:
    """A report as the observer makes it."""
    manifest = Manifest(run="r", subscriptions={"orders": Subscription()}, claims=[])
    return {"report": "snapshot", **Live(manifest).snapshot(), **changed}


def shown(*, terminal: bool, term: str = "xterm") -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, height=40, highlight=False, _environ={"TERM": term})
    with watching(console, scenario.load(scenario.find("quick"))) as view:
        view.note("metrics at somewhere")
        view.note("note: --set claims=[no-loss]: claims.0")
        view.phase("draining: 5 left")
        view.phase("draining: 4 left")
        view.snapshot({"report": "ready"})
        view.started(0)
        view._said = float("-inf")
        view.snapshot(
            snapshot(
                acked=17,
                acked_per_s=19.0,
                scheduled=40,
                scheduled_per_s=41.0,
                faults={"kill-consumer": 1},
                errors={"send: Timeout": 2},
            )
        )
    return out.getvalue()


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_plain_lines_where_nothing_can_be_redrawn(terminal: bool, term: str) -> None:
    lines = shown(terminal=terminal, term=term).splitlines()
    assert lines[:2] == ["metrics at somewhere", "note: --set claims=[no-loss]: claims.0"]
    assert lines[2:4] == ["draining: 5 left", "load and chaos"]
    (figures,) = lines[4:]
    assert "load: 19/s of 41/s, 17 sent of 40 due, 2210 in all" in figures
    assert "faults: kill-consumer" in figures
    assert "errors: 2, most often send: Timeout (2)" in figures


def test_a_live_table_on_a_terminal() -> None:
    text = shown(terminal=True)
    assert "metrics at somewhere" in text
    assert "17 sent of 40 due, 2210 in all" in text


def test_where_nobody_told_the_schedule_none_is_made_up() -> None:
    out = io.StringIO()
    with watching(Console(file=out, width=200, highlight=False), scenario.load(scenario.find("quick"))) as view:
        view.started(0)
        view._said = float("-inf")
        view.snapshot(snapshot(acked=17, acked_per_s=19.0, scheduled=None, scheduled_per_s=None))
    assert "load: 19/s, 17 sent, 2210 in all" in out.getvalue()
