"""`gameday list`: what can stand in a scenario."""

from __future__ import annotations

import shutil
import sys
import textwrap
from enum import StrEnum
from typing import Annotated

import typer


class What(StrEnum):
    transports = "transports"
    faults = "faults"
    claims = "claims"
    checks = "checks"
    handlers = "handlers"
    guards = "guards"
    effects = "effects"
    shapes = "shapes"
    scenarios = "scenarios"


def list_(what: Annotated[What, typer.Argument(help="What to list.")]) -> None:
    """List what can stand in a scenario.

    \b
    Examples:
      gameday list faults
      gameday list scenarios
    """
    from gameday.scenario.catalogue import catalogue

    listed = dict(catalogue(what.value))
    indent = max(map(len, listed)) + 2
    # Lines are folded for people; a file or a pipe gets one line for each entry.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for name, described in listed.items():
        print(textwrap.fill(f"{name:{indent}}{described}", width, subsequent_indent=" " * indent))
