"""`python -m gameday.watch.observer --run RUN --port N`: the live view of a run, for Prometheus, terminal and browser.

It follows the history files, serves `/metrics`, `/sd` and the live page on loopback, unless it is told another host,
and reports a snapshot twice a second, and at once what an operator asks for on the page:

    {"report": "ready", "port": …}
    {"report": "snapshot", …, "final": false}     gameday/watch/live.py tells what is in it
    {"report": "order", "do": …}                  gameday/run/operator.py takes it

What it is told of the run besides the history stands in `observer.json` of the run directory, where there is one; an
operator's token in the environment, which no other user can read.

No process waits for it and nothing depends on it: it may die or start again at any time. It ends on SIGTERM, SIGINT and
at the end of its input, with a last snapshot of the whole history (`final` is true), exit code 0.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import Metric

from gameday.history import manifest as manifests
from gameday.history.errors import GamedayError, ProcessError
from gameday.history.events import Record
from gameday.history.writer import DIRECTORY
from gameday.processes import discovery
from gameday.processes.control import report, told_to_end
from gameday.processes.exposition import LOOPBACK, Page, Server
from gameday.watch.live import Live
from gameday.watch.metrics import collect
from gameday.watch.page import HEADERS, HTML, TOKEN, TOLD, Board, Request, Told, orders
from gameday.watch.tail import Tail

POLL_S = 0.1
SNAPSHOT_S = 0.5


class Observer:
    """Reads, counts and tells; reading and telling happen in different threads."""

    def __init__(self, run: Path) -> None:
        """Errors: NotARun."""
        self.live = Live(manifests.load(run))
        self.lock = threading.Lock()
        self.tail = Tail(run / DIRECTORY)
        self.records = 0
        told = run / TOLD
        self.board = Board(
            Told.read(told.read_text(encoding="utf-8") if told.exists() else ""),
            run=self.live.manifest.run,
            target=self.live.manifest.target,
        )

    def read(self) -> None:
        """One round. A file that was left behind is read on in the next one, which should follow at once."""
        found = self.tail.read()
        with self.lock:
            self._take(found)

    def finish(self) -> None:
        """Read what there still is; the counts are then those of the whole history."""
        self.read()
        while self.tail.behind:
            self.read()
        with self.lock:
            self._take(self.tail.rest())

    def report(self, *, final: bool) -> None:
        with self.lock:
            snapshot = self.live.snapshot()
            self.board.sample(snapshot, self.live.faults)
        report("snapshot", final=final, records=self.records, unreadable=self.unreadable, **snapshot)

    def metrics(self) -> Iterator[Metric]:
        with self.lock:
            yield from collect(self)

    def state(self) -> bytes:
        with self.lock:
            return self.board.state(self.live.notes)

    @property
    def unreadable(self) -> int:
        return self.tail.unreadable

    def _take(self, found: list[Record]) -> None:
        self.records += len(found)
        for record in found:
            self.live.observe(record)


def observe(run: Path, host: str, port: int, over: threading.Event, *, every_s: float = SNAPSHOT_S) -> None:
    """Until `over` is set; a snapshot `every_s`. Errors: NotARun; ProcessError when the port is not free."""
    observer = Observer(run)

    def targets(reached_at: str, port: int) -> tuple[str, bytes]:
        ours = discovery.Scraped(process="observer", role="observer", host=host, port=port, labels={})
        listed = [ours, *discovery.found(run)]
        name = observer.live.manifest.run
        return "application/json", orjson.dumps([each.target(name, reached_at) for each in listed])

    token = os.environ.pop(TOKEN, None)

    def take(environ: Mapping[str, Any], body: bytes) -> tuple[str, str]:
        """An operator's order."""
        asked = Request(
            host=environ.get("HTTP_HOST", ""),
            origin=environ.get("HTTP_ORIGIN"),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            content_type=environ.get("CONTENT_TYPE", ""),
            body=body,
        )
        # Who listens everywhere is called by names that nobody can list; there the token alone decides.
        anywhere = host in discovery.WILDCARDS
        hosts = [asked.host] if anywhere else [f"{name}:{server.port}" for name in (host, "localhost")]
        answer = orders(asked, token=token, hosts=hosts)
        if answer.order is not None:
            report("order", **answer.order)
        return answer.status, answer.text

    pages: Mapping[str, Page] = {
        "/": lambda reached_at, port: ("text/html; charset=utf-8", HTML),
        "/state": lambda reached_at, port: ("application/json", observer.state()),
        "/sd": targets,
    }
    try:
        server = Server(
            observer.metrics,
            host=host,
            port=port,
            exemplars=True,
            pages=pages,
            posts={"/orders": take},
            headers=HEADERS,
        )
    except OSError as error:
        raise ProcessError(
            f"cannot serve /metrics on {host}:{port}: {error.strerror}; --port 0 takes any free one"
        ) from error
    try:
        report("ready", port=server.port)
        next_snapshot = time.monotonic()
        while not over.wait(0 if observer.tail.behind else POLL_S):
            observer.read()
            if time.monotonic() >= next_snapshot:
                observer.report(final=False)
                next_snapshot = time.monotonic() + every_s
        observer.finish()
        observer.report(final=True)
    finally:
        server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gameday.watch.observer", description="The live view of a run.")
    parser.add_argument("--run", type=Path, required=True, help="the run directory")
    parser.add_argument("--host", default=LOOPBACK, help="address that /metrics and /sd are served at")
    parser.add_argument("--port", type=int, default=0, help="of /metrics; 0 takes any free one")
    parser.add_argument("--every", type=float, default=SNAPSHOT_S, help="seconds from one snapshot to the next")
    arguments = parser.parse_args()
    over = told_to_end()
    try:
        observe(arguments.run, arguments.host, arguments.port, over, every_s=arguments.every)
    except GamedayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
