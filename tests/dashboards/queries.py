"""Every query of the dashboards and of the rules, as Prometheus would be asked it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gameday.dashboards import files


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A panel's query, with its variables filled in. `where`: dashboard, panel and query."""

    where: str
    expr: str


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that show something: without rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(*, run: str, subscription: str = ".+", rate_interval: str = "5s") -> Iterator[Query]:
    """Of Prometheus' panels. `run` and `subscription` are what a person chose above them."""
    values = {"run": run, "subscription": subscription, "__rate_interval": rate_interval}
    for dashboard in files.dashboards():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                if target.get("expr"):
                    expr = re.sub(r"\$(\w+)", lambda found: values[found[1]], target["expr"])
                    where = f"{dashboard['title']} / {panel['title']} {target['refId']}"
                    yield Query(where=where, expr=expr)


def metrics(expr: str) -> set[str]:
    """Names of ours in an expression, as they are served: without what a histogram adds."""
    found = set(re.findall(r"(?<![\w:])gameday_\w+", expr))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
