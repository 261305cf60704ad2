"""The files of this directory that are pushed: the dashboards' JSON and the alerting rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).resolve().parent
RULES = DIRECTORY / "prometheus" / "rules.yml"


def dashboards() -> list[dict[str, Any]]:
    """Each a dashboard as Grafana's classic JSON."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(DIRECTORY.glob("*.json"))]


def rules() -> tuple[Mapping[str, str], list[dict[str, Any]]]:
    """Recording rules by name, and the alerting rules, as Prometheus reads them."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    every = [rule for group in groups for rule in group["rules"]]
    records = {rule["record"]: rule["expr"].strip() for rule in every if "record" in rule}
    return records, [rule for rule in every if "alert" in rule]
