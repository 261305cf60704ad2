"""A real Prometheus scrapes a real run: it finds every process, sees it come and go, and takes the exemplars in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from gameday.consumers.meters import Counted
from gameday.loadgen.meters import Meters as LoadMeters
from gameday.transports.carriers.calls import Calls
from gameday.watch.live import Live
from gameday.watch.metrics import collect
from tests.commanded import Gameday, wait_until
from tests.needed import installed
from tests.prometheus import Prometheus, discovery
from tests.watch.story import manifest
from tests.watch.test_metrics import Seen

pytestmark = pytest.mark.live

# Long enough to be stopped when all has been seen.
SCENARIO = """\
name: scraped
transport: sqs
topology: {visibility_timeout: 2s, max_receives: 5}
load: {rate: 60/s, duration: 120s, groups: 8, users: 4, processes: 2}
consumers: {processes: 2, processing_time: 2ms}
claims: [no-loss, {claim: lag, p99: 2s}]
"""
CONSUMERS = {"orders-1.1", "orders-2.1"}
LOADS = {"load-0", "load-1"}


@pytest.fixture
def run(gameday: Callable[..., Gameday], tmp_path: Path) -> Gameday:
    installed("prometheus", package="prometheus")
    path = tmp_path / "scraped.yaml"
    path.write_text(SCENARIO)
    return gameday(str(path), "--target", "memory")


@pytest.fixture
def prometheus(run: Gameday, tmp_path: Path) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path, discovery(run))
    yield prometheus
    prometheus.end()


def test_every_process_is_found_and_those_that_end_are_gone(run: Gameday, prometheus: Prometheus) -> None:
    def up() -> set[str]:
        return {name for name, target in prometheus.targets().items() if target["health"] == "up"}

    wait_until(lambda: up() == {"observer", *CONSUMERS, *LOADS}, "all are up")
    labels = {name: target["labels"] for name, target in prometheus.targets().items()}
    assert {name: (each["role"], each.get("subscription")) for name, each in labels.items()} == {
        "observer": ("observer", None),
        **dict.fromkeys(CONSUMERS, ("consumer", "orders")),
        **dict.fromkeys(LOADS, ("load", None)),
    }
    assert len({each["run"] for each in labels.values()}) == 1

    # Each metric is there, and of its own role alone.
    for metric, role in {
        "gameday_consumer_poll_seconds_count": "consumer",
        "gameday_consumer_processing_seconds_count": "consumer",
        "gameday_consumer_batch_size_count": "consumer",
        'gameday_aws_call_seconds_count{operation="ReceiveMessage"}': "consumer",
        'gameday_aws_call_seconds_count{operation="SendMessageBatch"}': "load",
        'gameday_load_attempts_total{outcome="ok"}': "load",
        "gameday_load_schedule_lag_seconds_count": "load",
        "gameday_run_info": "observer",
        "gameday_messages_received_total": "observer",
    }.items():
        wait_until(lambda m=metric, r=role: set(prometheus.by("role", m)) == {r}, metric)  # type: ignore[misc]

    # One is killed, and another takes its place.
    run.child("gameday.consumers", "orders-1.1").kill()
    wait_until(lambda: up() == {"observer", "orders-1.2", "orders-2.1", *LOADS}, "the next incarnation is up")
    assert "orders-1.1" not in prometheus.targets()
    wait_until(lambda: prometheus.total("gameday_consumer_restarts_total") == 1, "the observer counts it")

    latency = 'gameday_end_to_end_latency_seconds_bucket{subscription="orders"}'
    wait_until(lambda: prometheus.exemplars(latency) != [], "exemplars are stored")
    assert all(set(each["labels"]) == {"message_id", "trace_id"} for each in prometheus.exemplars(latency))
    # Without complaint; once the run is over, its service discovery answers no more.
    log = prometheus.log()
    assert "level=error" not in log
    assert "Error on ingesting" not in log
    run.remember_family()
    run.process.terminate()
    run.end()
    run.assert_nothing_left()


def test_promtool_finds_nothing_to_say_against_names_and_help() -> None:
    installed("prometheus", package="prometheus")
    meters = (Counted(), LoadMeters(), Calls())
    metrics = [*collect(Seen(Live(manifest()))), *(metric for each in meters for metric in each.collect())]
    text = generate_latest(SimpleNamespace(collect=lambda: metrics))  # type: ignore[arg-type]  # all that it uses
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
