"""How to repeat a run: its scenario as YAML, and the command, told from its manifest alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gameday.history.errors import GamedayError
from gameday.history.manifest import Manifest
from gameday.scenario import reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """`command`: None where the run was none of ours. `shipped`: the scenario is one that gameday brings, unchanged;
    else `yaml` has to be saved as `file` first."""

    command: str | None
    shipped: bool
    file: str
    yaml: str


def repeat(manifest: Manifest) -> Repeat:
    document = manifest.scenario
    name = str(document.get("name") or "")
    if not document or not name:
        return Repeat(command=None, shipped=False, file="", yaml="")
    shipped = _is_shipped(name, document)
    file = f"{name}.yaml"
    words = ["gameday", "run", name if shipped else f"./{file}", "--seed", str(manifest.seed)]
    if manifest.target:
        words += ["--target", manifest.target]
    return Repeat(command=shlex.join(words), shipped=shipped, file=file, yaml=_yaml(document))


def _is_shipped(name: str, document: Mapping[str, Any]) -> bool:
    if name not in reading.names():
        return False
    try:
        return reading.load(reading.find(name)).document == document
    except GamedayError:
        # The scenarios of this version are another matter than those of the run's.
        return False


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100)
