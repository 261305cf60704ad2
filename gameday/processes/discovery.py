"""Where the processes of a run serve their metrics, and which of them still live.

Each says so in a file of its own in the run directory, on which it holds a lock for as long as it lives: whichever way
a process ends, the kernel lets go of the lock, so nobody is taken for alive by a number that another process has now.
It promises that `found` gives the whole list each time, as Prometheus asks of service discovery
(prometheus.io/docs/prometheus/latest/http_sd/).
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import Metric

from gameday.processes.exposition import Server

DIRECTORY = "metrics"
WILDCARDS = ("", "0.0.0.0", "::")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scraped:
    """A process with metrics. `host` is what it is bound to; `labels` besides its role, its name and the run."""

    process: str
    role: str
    host: str
    port: int
    labels: Mapping[str, str]

    def target(self, run: str, reached_at: str) -> dict[str, Any]:
        """As service discovery writes it. Who listens everywhere is found where the asker has found us."""
        host = reached_at if self.host in WILDCARDS else f"[{self.host}]" if ":" in self.host else self.host
        labels = {"run": run, "role": self.role, "process": self.process, **self.labels}
        return {"targets": [f"{host}:{self.port}"], "labels": labels}


class Announcement:
    """Says where this process serves its metrics, until it ends or `withdraw`s it. Errors: OSError."""

    def __init__(self, run: Path, scraped: Scraped) -> None:
        directory = run / DIRECTORY
        directory.mkdir(exist_ok=True)
        self._path = directory / f"{scraped.process}.json"
        new = self._path.with_suffix(".new")
        self._file = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        told = {"role": scraped.role, "host": scraped.host, "port": scraped.port, "labels": dict(scraped.labels)}
        os.write(self._file, orjson.dumps(told))
        # Only whole and locked does it get the name that is looked for.
        new.rename(self._path)

    def withdraw(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        os.close(self._file)


def found(run: Path) -> list[Scraped]:
    """Every process that has announced itself and lives, by name."""
    return [scraped for path in sorted((run / DIRECTORY).glob("*.json")) if (scraped := _read(path)) is not None]


def _read(path: Path) -> Scraped | None:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                told = orjson.loads(file.read())
                return Scraped(process=path.stem, **told)
    except OSError:
        # It has just withdrawn.
        return None
    # Nobody holds it: whoever wrote it is dead.
    return None


class Exposed:
    """Metrics of this process, announced until `withdraw` and served until its end. A process that cannot serve them
    says so on standard error and does its work: nothing but a dashboard depends on them.
    """

    def __init__(
        self,
        run: Path,
        collect: Callable[[], Iterable[Metric]],
        *,
        process: str,
        role: str,
        host: str,
        labels: Mapping[str, str],
    ) -> None:
        self._announcement: Announcement | None = None
        try:
            port = Server(collect, host=host).port
            scraped = Scraped(process=process, role=role, host=host, port=port, labels=labels)
            self._announcement = Announcement(run, scraped)
        except OSError as error:
            print(f"no metrics of {process}: cannot serve them at {host}: {error}", file=sys.stderr, flush=True)

    def withdraw(self) -> None:
        if self._announcement is not None:
            self._announcement.withdraw()
