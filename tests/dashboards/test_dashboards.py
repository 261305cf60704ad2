"""The dashboards' JSON: current, of Grafana's published schema, readable by everybody; and their queries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from gameday.consumers import meters as consumer
from gameday.dashboards import __main__ as generator
from gameday.dashboards import files
from gameday.dashboards.aws import CLOUDWATCH_UID
from gameday.dashboards.panels import ANNOTATION_TEXTS, PALETTE, PROMETHEUS_UID
from gameday.dashboards.push import DATASOURCE_UID, FOLDER_UID
from gameday.loadgen import meters as load
from gameday.transports.carriers import calls
from gameday.watch.metrics import METRICS
from tests.dashboards.queries import metrics, panels, queries
from tests.needed import installed

DASHBOARDS = {document["title"]: document for document in files.dashboards()}
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
# What the observer and the processes of a run serve.
SERVED = {
    family.full_name
    for family in (*(shown.family for shown in METRICS), *consumer.FAMILIES, *load.FAMILIES, *calls.FAMILIES)
}


@pytest.fixture
def promtool() -> str:
    return installed("promtool", package="prometheus")


def test_what_is_generated_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = generator.written()
    assert {path.name for path in written} == {path.name for path in files.DIRECTORY.glob("*.json")}
    for path, text in written.items():
        assert path.read_text("utf-8") == text, f"{path} is old; run: python -m gameday.dashboards"


def test_what_is_old_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "DIRECTORY", tmp_path)
    monkeypatch.setattr("sys.argv", ["dashboards", "--check"])
    assert generator.main() == 1
    assert "load.json is not current; write it with: python -m gameday.dashboards" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["dashboards"])
    assert generator.main() == 0
    monkeypatch.setattr("sys.argv", ["dashboards", "--check"])
    assert generator.main() == 0


def test_uids_are_what_they_were() -> None:
    """Links and bookmarks hold them."""
    assert {title: document["uid"] for title, document in DASHBOARDS.items()} == {
        "Game day": "gameday-game-day",
        "Consumers": "gameday-consumers",
        "Load": "gameday-load",
        "AWS": "gameday-aws",
    }
    assert PROMETHEUS_UID == DATASOURCE_UID


def _lost(ours: Any, read: Any, where: str = "") -> Iterator[str]:
    """What is in ours, and not so in what was read of it."""
    if isinstance(ours, dict) and isinstance(read, dict):
        for name, value in ours.items():
            yield from _lost(value, read.get(name, "nothing"), f"{where}.{name}".strip("."))
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        for place, (one, other) in enumerate(zip(ours, read, strict=True)):
            yield from _lost(one, other, f"{where}.{place}")
    elif ours != read:
        yield where


@each_dashboard
def test_it_is_of_the_published_schema(dashboard: dict[str, Any]) -> None:
    """Read by the SDK's types, which are generated from Grafana's schema, and written again, nothing is lost."""
    plugins.register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(dashboard)))))
    extras = {
        f"annotations.list.{place}.{name}"
        for place, query in enumerate(dashboard["annotations"]["list"])
        for name in ANNOTATION_TEXTS.get(query["name"], ())
    }
    assert {*_lost(dashboard, read)} == extras
    assert "rows" not in dashboard and dashboard["schemaVersion"] >= 36
    # The only null that means something: where the first threshold begins.
    assert set(re.findall(r'"(\w+)": null', json.dumps(dashboard))) <= {"value"}


@each_dashboard
def test_a_panel_says_what_it_shows_and_what_to_do(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len({*ids})
    assert len({panel["title"] for panel in panels(dashboard)}) >= len(panels(dashboard)) - 1
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline", panel["title"]
        assert panel["datasource"]["uid"] in ("${prometheus}", "${cloudwatch}"), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(taken) == len({*taken})


@each_dashboard
def test_it_is_chosen_by_run_transport_and_subscription(dashboard: dict[str, Any]) -> None:
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names[:4] == ["prometheus", "transport", "run", "subscription"]
    (link,) = dashboard["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["gameday"],
        True,
        True,
    )
    assert dashboard["tags"] == ["gameday"]


@each_dashboard
def test_colours_are_told_apart_by_everybody(dashboard: dict[str, Any]) -> None:
    """Of Okabe and Ito's palette; and lines of one panel that are drawn from known names never share one."""
    used = set(re.findall(r"#[0-9a-fA-F]{6}", json.dumps(dashboard)))
    assert used and used <= {*PALETTE}
    for panel in panels(dashboard):
        colours = [
            each["value"]["fixedColor"]
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "color" and override["matcher"]["id"] == "byFrameRefID"
        ]
        assert len(colours) == len({*colours}), panel["title"]
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["custom"]["lineWidth"] >= 3


@each_dashboard
def test_faults_phases_and_the_verdict_are_regions(dashboard: dict[str, Any]) -> None:
    told = {query["name"]: query for query in dashboard["annotations"]["list"]}
    assert "gameday_fault_active" in told["Faults at work"]["expr"]
    tags = [query["target"]["tags"] for query in told.values() if "target" in query]
    assert tags == [["gameday", kind, "$run"] for kind in ("fault", "phase", "verdict")]


def test_every_metric_that_is_asked_for_is_served() -> None:
    asked = {name: query.where for query in queries(run="r") for name in metrics(query.expr)}
    rules = {name for rule in _rules() for name in metrics(rule["expr"])}
    assert asked.keys() - SERVED == set() and rules - SERVED == set()
    assert len(asked) > 30


def test_every_query_can_be_read(promtool: str, tmp_path: Path) -> None:
    every = list(queries(run="r1", subscription="orders|billing"))
    assert len(every) > 60 and not [query for query in every if "$" in query.expr]
    rules = [{"record": f"panel:{n}", "expr": query.expr} for n, query in enumerate(every)]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# The rules.

PROMETHEUS = files.DIRECTORY / "prometheus"


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(files.RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(promtool: str, command: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_played_firing_and_silent() -> None:
    played = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in played for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in _rules() if "alert" in rule}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts
    # And of the runs of a case in which it fires, one is as near as can be and stays silent.
    for test in played:
        runs = {run for series in test["input_series"] for run in re.findall(r'run="(\w+)"', series["series"])}
        fired = {alert["exp_labels"]["run"] for case in test["alert_rule_test"] for alert in case["exp_alerts"]}
        assert fired and runs > fired, test["name"]


def test_an_alert_that_means_another_thing_fails_its_test(promtool: str, tmp_path: Path) -> None:
    """Each condition is held by a case: without it a silent run would fire, or a firing one be silent."""
    text = files.RULES.read_text("utf-8")
    shutil.copy(PROMETHEUS / "rules_test.yml", tmp_path)
    changes = [
        ('kind="effect-duplicate"', 'kind="send-duplicate"'),
        ("(gameday_order_violations_total) > 0", "(gameday_order_violations_total) > 2"),
        ("(run_subscription:gameday_queue_messages:sum == 0)", "(run_subscription:gameday_queue_messages:sum >= 0)"),
        ("gameday_oldest_message_age_seconds > 5", "gameday_oldest_message_age_seconds > 0"),
        ("unless on (run) (max_over_time", "unless on (subscription) (max_over_time"),
        ('claim="lag during all"', 'claim="lag during none"'),
        ("(gameday_dead_letters_total) > 0", "(gameday_dead_letters_total) >= 0"),
        ('phase=~"load|draining"', 'phase=~"load|drain.*"'),
        ("(gameday_consumers_running) > 0", "(gameday_consumers_running) > 1"),
        ("for: 5s", "for: 0s"),
        ("(gameday_fault_active) > 0", "(gameday_fault_active) >= 0"),
        ("run:gameday_send_lag_seconds:p99 > 1", "run:gameday_send_lag_seconds:p99 > 0.1"),
    ]
    passed = []
    for old, new in changes:
        assert text.count(old) == 1, old
        (tmp_path / "rules.yml").write_text(text.replace(old, new))
        command = [promtool, "test", "rules", "rules_test.yml"]
        if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0:
            passed.append(old)
    assert passed == []


# What Grafana is set up from, without a push.


def test_provisioning_names_what_the_dashboards_name() -> None:
    provisioning = files.DIRECTORY / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "gameday.yml").read_text("utf-8"))["datasources"]
    assert {source["uid"] for source in sources} == {PROMETHEUS_UID, CLOUDWATCH_UID}
    chosen = {
        variable["current"]["value"]
        for document in DASHBOARDS.values()
        for variable in document["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert chosen == {source["uid"] for source in sources}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "gameday.yml").read_text("utf-8"))["providers"]
    assert provider["folderUid"] == FOLDER_UID


def test_what_the_compose_file_mounts_is_there() -> None:
    compose = yaml.safe_load((files.DIRECTORY / "compose.yaml").read_text("utf-8"))
    mounted = [volume.split(":")[0] for each in compose["services"].values() for volume in each["volumes"]]
    for path in [*mounted, *compose["include"]]:
        assert (files.DIRECTORY.resolve() / path).exists(), path
