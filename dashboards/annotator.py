"""`python -m gameday.dashboards.annotator --run RUN --grafana URL`: a run's regions, written to Grafana as it goes on.

A process of its own, which reads the conductor's history as it grows; the token stands in GRAFANA_TOKEN. It promises
that nothing waits for it, that each trouble is told once:

    {"report": "trouble", "why": …, "final": …}      final: it tries no more
    {"report": "recovered"}                          what could not be written is there now

and that no region is written twice: where an answer was lost it looks for the region by its tags first. What cannot be
written now is tried again later. It ends on SIGTERM, SIGINT and at the end of its input, after a last round.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from gameday.dashboards.grafana import TOKEN_VARIABLE, Address, Grafana, GrafanaError, checked_token
from gameday.dashboards.regions import Region, Regions
from gameday.history import manifest as manifests
from gameday.history.errors import GamedayError
from gameday.history.events import Record
from gameday.history.reader import parse
from gameday.history.writer import DIRECTORY
from gameday.processes.control import report, told_to_end

POLL_S = 0.25
RETRY_S = 5.0
_FILE = "conductor.jsonl"


class Follower:
    """The records of one file as it grows, each once, when its line is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = b""

    def records(self) -> list[Record]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return []
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [record for line in lines if not isinstance(record := parse(line), str)]


class Writer:
    """Brings regions to Grafana: those that are new, and the ends of those that had none."""

    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana
        # By key: the id, and what was written last; None is a call whose answer was lost.
        self._written: dict[str, tuple[int, int | None, str] | None] = {}

    def write(self, regions: Regions | list[Region]) -> None:
        """Errors: GrafanaError; what was not written then is written by the next call."""
        for region in regions:
            before = self._written.get(region.key)
            if region.key not in self._written or before is None:
                self._create(region, unsure=region.key in self._written)
            elif before[1:] != (region.end_ms, region.text):
                self._update(before[0], region)

    def _create(self, region: Region, *, unsure: bool) -> None:
        found = self._grafana.annotations(region.tags) if unsure else []
        if found:
            self._update(int(found[0]["id"]), region)
            return
        try:
            id = self._grafana.annotate(
                start_ms=region.start_ms, end_ms=region.end_ms, tags=region.tags, text=region.text
            )
        except GrafanaError as error:
            if error.passing:
                self._written[region.key] = None
            raise
        self._written[region.key] = (id, region.end_ms, region.text)

    def _update(self, id: int, region: Region) -> None:
        self._grafana.update_annotation(
            id,
            start_ms=region.start_ms,
            end_ms=region.start_ms if region.end_ms is None else region.end_ms,
            tags=region.tags,
            text=region.text,
        )
        self._written[region.key] = (id, region.end_ms, region.text)


class Annotator:
    """`turn` reads and writes what is new; it never raises, and tells each trouble once."""

    def __init__(self, run: Path, grafana: Grafana) -> None:
        """Errors: NotARun."""
        manifest = manifests.load(run)
        self._grafana = grafana
        self._follower = Follower(run / DIRECTORY / _FILE)
        self._regions = Regions(manifest.run, manifest.subscriptions)
        self._writer = Writer(grafana)
        self._checked = False
        self._told = self._away = False
        self._next = 0.0
        self.given_up = False

    def turn(self, *, last: bool = False) -> None:
        for record in self._follower.records():
            self._regions.observe(record)
        if last:
            self._regions.finish()
        if self.given_up or (time.monotonic() < self._next and not last):
            return
        try:
            if not self._checked:
                self._grafana.check()
                self._checked = True
            self._writer.write(self._regions)
            if self._away:
                self._away = False
                report("recovered")
        except GrafanaError as error:
            self._away = True
            self._next = time.monotonic() + RETRY_S
            self.given_up = not error.passing
            if self.given_up or not self._told:
                self._told = True
                report("trouble", why=str(error), final=self.given_up)


def annotate(run: Path, grafana: Grafana, over: threading.Event) -> None:
    """Until `over` is set. Errors: NotARun."""
    annotator = Annotator(run, grafana)
    while not over.wait(POLL_S) and not annotator.given_up:
        annotator.turn()
    annotator.turn(last=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gameday.dashboards.annotator", description="Write a run's faults and phases to Grafana."
    )
    parser.add_argument("--run", type=Path, required=True, help="the run directory")
    parser.add_argument("--grafana", required=True, help="where Grafana is")
    arguments = parser.parse_args()
    over = told_to_end()
    try:
        token = checked_token(os.environ.get(TOKEN_VARIABLE, ""), where=TOKEN_VARIABLE)
        annotate(arguments.run, Grafana(Address.parse(arguments.grafana), token), over)
    except GamedayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
