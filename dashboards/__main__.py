"""`python -m gameday.dashboards`: write the dashboards' JSON beside their Python; with --check only say what is old.

It needs the SDK that the development environment has; what pushes or provisions the JSON does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from gameday.dashboards import aws, consumers, game_day, load
from gameday.dashboards.files import DIRECTORY
from gameday.dashboards.panels import ANNOTATION_TEXTS


def written() -> dict[Path, str]:
    """What each file should hold."""
    return {
        DIRECTORY / f"{name}.json": _json(module.dashboard().build())
        for name, module in (("game-day", game_day), ("consumers", consumers), ("load", load), ("aws", aws))
    }


# What the SDK writes of every variable and time picker, and Grafana's schema of today has no more.
_GONE = {"variable": ("auto", "auto_count", "auto_min", "id"), "timepicker": ("collapse", "enable", "time_options")}


def _json(dashboard: object) -> str:
    """As Grafana exports it: panels numbered, and what the SDK's type of an annotation query has no field for."""
    document = json.loads(JSONEncoder().encode(dashboard))
    for name in _GONE["timepicker"]:
        del document["timepicker"][name]
    for variable in document["templating"]["list"]:
        for name in _GONE["variable"]:
            del variable[name]
    for number, panel in enumerate(document["panels"], 1):
        panel["id"] = number
    for query in document["annotations"]["list"]:
        query.update(ANNOTATION_TEXTS.get(query["name"], {}))
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gameday.dashboards", description="Write the dashboards' JSON.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is not current")
    check = parser.parse_args().check
    old = {path: text for path, text in written().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in old.items():
        if check:
            print(f"{path.name} is not current; write it with: python -m gameday.dashboards", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
            print(path)
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
