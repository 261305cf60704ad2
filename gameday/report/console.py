"""Where what people read is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console

# Of a verdict.
COLOURS: Mapping[str, str] = {"holds": "green", "violated": "bold red", "unknown": "yellow"}
# A pipe or a CI log has no width of its own; eighty columns would break every row.
PLAIN_WIDTH = 132


def on_stdout() -> Console:
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)
