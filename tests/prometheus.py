"""A real Prometheus, Debian's, that scrapes a run: on loopback, with its data in a temporary directory, never as a
service.

Whoever has none skips such a test; where `CI` is set it fails.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.commanded import Gameday, wait_until
from tests.needed import installed

# Often, so that a short run has many scrapes, and with as much patience as that leaves.
CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: gameday
    honor_labels: true
    http_sd_configs: [{{url: "{discovery}", refresh_interval: 500ms}}]
"""


def discovery(run: Gameday) -> str:
    """The address of a run's service discovery, once it says it."""
    assert run.process.stdout is not None
    while line := run.process.stdout.readline():
        if found := re.search(r"service discovery, at (\S+/sd)", line):
            return found[1]
    raise AssertionError(run.process.communicate())


class Prometheus:
    """Scrapes what service discovery lists. `configuration` may say more."""

    def __init__(self, directory: Path, discovery: str, *, configuration: str = CONFIGURATION) -> None:
        program = installed("prometheus", package="prometheus")
        config = directory / "prometheus.yml"
        config.write_text(configuration.format(discovery=discovery))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = directory / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--enable-feature=exemplar-storage",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._ready, f"Prometheus is ready ({self._log})")

    def targets(self) -> dict[str, dict[str, Any]]:
        """Those that it knows now, by the name of the process."""
        return {target["labels"]["process"]: target for target in self._ask("targets")["activeTargets"]}

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """An instant vector: labels and value of each series."""
        result = self._ask("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def ever(self, expression: str, since: float, until: float) -> list[dict[str, str]]:
        """The labels of every series that there was at some second between two times, in seconds since 1970."""
        result = self._ask("query_range", query=expression, start=str(since), end=str(until), step="1")["result"]
        return [each["metric"] for each in result]

    def by(self, label: str, expression: str) -> dict[str, float]:
        """The series that have something in them, summed by a label."""
        return {
            labels.get(label, ""): value for labels, value in self.query(f"sum by ({label}) ({expression})") if value
        }

    def total(self, expression: str) -> float:
        return sum(value for _, value in self.query(expression))

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        found = self._ask("query_exemplars", query=expression, start="0", end="9999999999")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self._log.read_text()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, what: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            document = json.loads(answer.read())
        assert document["status"] == "success", document
        return document["data"]
