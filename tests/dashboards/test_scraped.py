"""A real Prometheus with our rules scrapes whole scenarios: each panel shows something where it should, and each alert
fires on a scenario that should raise it and on no other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gameday.dashboards import files
from tests.commanded import Gameday
from tests.dashboards.queries import queries
from tests.needed import installed
from tests.prometheus import CONFIGURATION, Prometheus, discovery
from tests.series import in_soak

pytestmark = [pytest.mark.live, pytest.mark.alone]

RULES = Path(files.__file__).parent / "prometheus" / "rules.yml"
LIMIT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What Prometheus has of a run: the alerts that fired, and the queries of panels that never showed anything."""

    alerts: set[str]
    empty: set[str]


class Scraped:
    """A run whose every second is scraped."""

    def __init__(self, run: Gameday, place: Path) -> None:
        self._run = run
        configuration = f"{CONFIGURATION}rule_files: [{RULES}]\n"
        self._began = time.time()
        self.prometheus = Prometheus(place, discovery(run), configuration=configuration)

    def seen(self) -> Seen:
        out, err = self._run.process.communicate(timeout=LIMIT_S)
        assert self._run.process.returncode in (0, 1), (out, err)
        manifest = json.loads((self._run.run / "manifest.json").read_bytes())
        id, subscription = manifest["run"], next(iter(manifest["subscriptions"]))

        def shown(expression: str) -> list[dict[str, str]]:
            return self.prometheus.ever(expression, self._began, time.time())

        return Seen(
            alerts={labels["alertname"] for labels in shown('ALERTS{alertstate="firing"}')},
            empty={query.where for query in queries(run=id, subscription=subscription) if not shown(query.expr)},
        )


@pytest.fixture
def scrape(gameday: Callable[..., Gameday], tmp_path: Path) -> Iterator[Callable[..., Scraped]]:
    """Starts a scenario and a Prometheus for it."""
    installed("prometheus", package="prometheus")
    started: list[Scraped] = []

    def start(scenario: str, *arguments: str) -> Scraped:
        place = tmp_path / f"prometheus{len(started)}"
        place.mkdir()
        started.append(Scraped(gameday(scenario, *arguments), place))
        return started[-1]

    yield start
    for each in started:
        each.prometheus.end()


def changed(*changes: str) -> list[str]:
    return ["--target", "memory", *(word for change in changes for word in ("--set", change))]


# That a fault is at work is what it is there to tell.
AT_WORK = "GamedayFaultActive"
KILLED_FOR_LONG = ("consumers.restart_delay=9s", "chaos=[{at: 9s, fault: kill-consumer, signal: KILL, pick: 1}]")
THROTTLED = ("chaos=[{at: 2s, fault: throttle-sends, share: 100%, for: 7s}]", "load.give_up=20s")
TOO_SLOW = ("load.duration=8s", "consumers.processing_time=200ms", "chaos=[]", "claims=[{claim: lag, p99: 500ms}]")


def test_on_quick_and_on_a_stream_every_panel_shows_something_and_on_quick_no_alert_fires(
    scrape: Callable[..., Scraped],
) -> None:
    on_queue, on_stream = scrape("quick", *changed()), scrape("kinesis-throttled", *changed())
    quick, throttled = on_queue.seen(), on_stream.seen()
    assert quick.alerts == {AT_WORK}
    # Shards are a stream's, what is in a queue a queue's; refused sends are what the other scenario is about. Tenants
    # are of neither.
    assert quick.empty & throttled.empty == {"Consumers / Lag by class of tenant A"}
    assert len(quick.empty) < 8, quick.empty
    assert AT_WORK in throttled.alerts


@pytest.mark.parametrize(
    ("alert", "scenario", "changes"),
    [
        # That these fire, and when, promtool's cases show as well.
        pytest.param("GamedayDuplicateEffect", "broken-short-visibility", (), marks=in_soak),
        pytest.param("GamedayConsumerDown", "quick", KILLED_FOR_LONG, marks=in_soak),
        pytest.param("GamedayDeadLetters", "poison", (), marks=in_soak),
        # For longer than it takes until a loss is suspected.
        pytest.param("GamedayLossSuspected", "broken-filter-too-narrow", ("load.duration=15s",), marks=in_soak),
        pytest.param("GamedayLagOverBound", "quick", TOO_SLOW, marks=in_soak),
        pytest.param("GamedayLoadLate", "kinesis-throttled", THROTTLED, marks=in_soak),
    ],
)
def test_an_alert_fires_on_the_scenario_that_raises_it_and_no_other_does(
    scrape: Callable[..., Scraped], alert: str, scenario: str, changes: tuple[str, ...]
) -> None:
    assert scrape(scenario, *changed(*changes)).seen().alerts - {AT_WORK} == {alert}


@in_soak
def test_a_broker_that_keeps_no_order_is_told(scrape: Callable[..., Scraped]) -> None:
    argv = [sys.executable, "-m", "gameday.emulator", "--port", "0", "--defect", "reorder:9"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as broker:
        assert broker.stdout is not None
        url = json.loads(broker.stdout.readline())["url"]
        busy = ("--set", "load.duration=10s", "--set", "load.groups=4", "--set", "consumers.processing_time=100ms")
        without = ("--set", "chaos=[]", "--set", "claims=[ordered-per-group]")
        scraped = scrape("quick", "--target", "localstack", "--endpoint-url", url, *busy, *without)
        assert "GamedayOrderViolation" in scraped.seen().alerts
        broker.terminate()
