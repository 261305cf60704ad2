"""What `gameday dashboards push` makes of a Grafana: a folder, a data source, the dashboards and the alert rules.

It promises that everything has a uid of its own, so that pushing again changes what is old, and nothing else: what is
there as it should be is not even written. Alert rules are made from the Prometheus rules beside this file, so that both
say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gameday.dashboards import files
from gameday.dashboards.grafana import Grafana, GrafanaError

FOLDER_UID = "gameday"
FOLDER = "gameday"
DATASOURCE_UID = "gameday-prometheus"
DATASOURCE = "gameday Prometheus"
PROMETHEUS = "http://127.0.0.1:9090"
RULE_GROUP = "gameday"
# Grafana evaluates no rule more often, unless it is told so.
RULE_INTERVAL_S = 10
_LOOK_BACK_S = 600

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """One thing and what was done to it: created, updated, unchanged, left alone."""

    what: str
    done: str

    def __str__(self) -> str:
        return f"{self.what}: {self.done}"


def push(grafana: Grafana, *, prometheus: str = PROMETHEUS, datasource: str | None = None) -> Iterator[Pushed]:
    """Each as it is done. `datasource`: the uid of one that is there; else one of our own reads `prometheus`.

    Errors: GrafanaError; what was done before it stays, and pushing again does the rest.
    """
    grafana.check()
    yield _folder(grafana)
    uid = datasource or DATASOURCE_UID
    if datasource is None:
        yield _datasource(grafana, prometheus)
    source = grafana.datasource(uid)
    if source is None:
        raise GrafanaError(f"Grafana at {grafana.address} has no data source {uid!r}; its uid stands in its address")
    for dashboard in files.dashboards():
        yield _dashboard(grafana, _reading(dashboard, uid))
    org = int(source.get("orgId") or 1)
    for rule in alert_rules(datasource=uid, org=org):
        yield _rule(grafana, rule)
    yield from _interval(grafana)


def alert_rules(*, datasource: str, org: int) -> list[Document]:
    """The alerting rules of the YAML file as Grafana's own; the recording rules that they name are put in place."""
    records, alerts = files.rules()
    return [_alert_rule(alert, _inlined(alert["expr"], records), datasource=datasource, org=org) for alert in alerts]


def _alert_rule(alert: Mapping[str, Any], expr: str, *, datasource: str, org: int) -> Document:
    query = {"refId": "A", "expr": expr, "instant": True, "range": False}
    # Every rule of ours gives a value above zero for each series that it fires for.
    threshold = {
        "refId": "B",
        "type": "threshold",
        "expression": "A",
        "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
    }
    return {
        "uid": _uid(alert["alert"]),
        "title": alert["alert"],
        "orgID": org,
        "folderUID": FOLDER_UID,
        "ruleGroup": RULE_GROUP,
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "queryType": "",
                "relativeTimeRange": {"from": _LOOK_BACK_S, "to": 0},
                "datasourceUid": datasource,
                "model": query,
            },
            {
                "refId": "B",
                "queryType": "",
                "relativeTimeRange": {"from": 0, "to": 0},
                "datasourceUid": "__expr__",
                "model": threshold,
            },
        ],
        # No series is what a run without that trouble has, and no run at all.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.get("for", "0s"),
        "labels": dict(alert.get("labels", {})),
        "annotations": dict(alert.get("annotations", {})),
    }


def _uid(alert: str) -> str:
    """GamedayLoadLate: gameday-load-late."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert).lower()


def _inlined(expr: str, records: Mapping[str, str]) -> str:
    for name, meaning in records.items():
        expr = re.sub(rf"(?<![\w:]){re.escape(name)}(?![\w:])", f"({_inlined(meaning, {})})", expr)
    return " ".join(expr.split())


def _folder(grafana: Grafana) -> Pushed:
    if grafana.folder(FOLDER_UID) is not None:
        return Pushed(what=f"folder {FOLDER}", done="unchanged")
    grafana.create_folder(FOLDER_UID, FOLDER)
    return Pushed(what=f"folder {FOLDER}", done="created")


def _datasource(grafana: Grafana, prometheus: str) -> Pushed:
    what = f"data source {DATASOURCE}"
    wanted: Document = {
        "uid": DATASOURCE_UID,
        "name": DATASOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "jsonData": {"httpMethod": "POST", "timeInterval": "1s"},
    }
    there = grafana.datasource(DATASOURCE_UID)
    if there is None:
        grafana.create_datasource(wanted)
        return Pushed(what=what, done="created")
    # What people added (a password, a certificate) stays.
    merged = {**there, **wanted, "jsonData": {**(there.get("jsonData") or {}), **wanted["jsonData"]}}
    if merged == there:
        return Pushed(what=what, done="unchanged")
    if there.get("readOnly"):
        return Pushed(what=what, done="left alone: it is provisioned from a file")
    grafana.update_datasource(DATASOURCE_UID, merged)
    return Pushed(what=what, done="updated")


def _reading(dashboard: Document, datasource: str) -> Document:
    """The dashboard whose data source is that one, unless people choose another."""
    text = json.dumps(dashboard).replace(json.dumps(DATASOURCE_UID), json.dumps(datasource))
    read: Document = json.loads(text)
    return read


def _dashboard(grafana: Grafana, dashboard: Document) -> Pushed:
    what = f"dashboard {dashboard['title']}"
    there = grafana.dashboard(dashboard["uid"])
    if there is not None:
        saved = {name: value for name, value in there["dashboard"].items() if name not in ("id", "version")}
        if saved == dashboard and there["meta"].get("folderUid") == FOLDER_UID:
            return Pushed(what=what, done="unchanged")
    grafana.save_dashboard(dashboard, folder=FOLDER_UID, message="gameday dashboards push")
    return Pushed(what=what, done="created" if there is None else "updated")


def _rule(grafana: Grafana, rule: Document) -> Pushed:
    what = f"alert rule {rule['title']}"
    there = grafana.rule(rule["uid"])
    if there is None:
        grafana.create_rule(rule)
        return Pushed(what=what, done="created")
    if {name: there.get(name) for name in rule} == rule:
        return Pushed(what=what, done="unchanged")
    grafana.update_rule(rule)
    return Pushed(what=what, done="updated")


def _interval(grafana: Grafana) -> Iterator[Pushed]:
    """A group is made with its first rule, with an interval of Grafana's."""
    group = grafana.rule_group(FOLDER_UID, RULE_GROUP)
    if group is not None and group.get("interval") != RULE_INTERVAL_S:
        grafana.update_rule_group(FOLDER_UID, {**group, "interval": RULE_INTERVAL_S})
        yield Pushed(what="alert rules", done=f"evaluated every {RULE_INTERVAL_S} s")
