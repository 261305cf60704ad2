"""A run's regions in Grafana: the process that writes faults and phases, and the verdict afterwards.

It promises that nothing here can fail or hold up a run: every trouble is one note, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gameday.dashboards.annotator import Writer
from gameday.dashboards.grafana import TOKEN_VARIABLE, Address, Grafana, GrafanaError
from gameday.dashboards.regions import verdict_region
from gameday.history.errors import ProcessError
from gameday.processes.child import Child, Report


@dataclass(kw_only=True)
class Annotating:
    """Where the regions go; `away` is whether they cannot be written now, which a person has been told."""

    address: Address
    token: str = field(repr=False)
    away: bool = False

    async def start(
        self, directory: Path, *, program: Callable[..., Awaitable[Child]], note: Callable[[str], None]
    ) -> None:
        """Nobody waits until it is ready. `directory`: the run's; `program` starts what ends with the run."""
        arguments = ("--run", directory, "--grafana", str(self.address))
        try:
            child = await program(
                "annotations", "-m", "gameday.dashboards.annotator", *arguments, env={TOKEN_VARIABLE: self.token}
            )
        except ProcessError as error:
            self._tell(note, str(error))
            return

        def hear(report: Report) -> None:
            if report.get("report") == "recovered":
                self.away = False
            if report.get("report") == "trouble":
                later = "" if report.get("final") else ", if it cannot be reached later"
                self._tell(note, f"{report.get('why')}. The run goes on without its regions there{later}.")

        child.on_report = hear

    def verdict(self, document: Mapping[str, Any], note: Callable[[str], None]) -> None:
        """Write the verdict, unless there was trouble before: that has been said."""
        if self.away:
            return
        try:
            Writer(Grafana(self.address, self.token)).write([verdict_region(document)])
        except GrafanaError as error:
            self._tell(note, f"{error}. The verdict does not stand there.")

    def _tell(self, note: Callable[[str], None], text: str) -> None:
        self.away = True
        note(text)
