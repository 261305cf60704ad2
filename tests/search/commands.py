"""Commands of gameday as a person would give them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from gameday.processes.child import python


def commanded(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = python("-c", "from gameday.cli import main; main()", *words)
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


def searched(command: str, scenario: str, out: str, *words: str, cwd: Path) -> tuple[int, dict[str, Any], str]:
    """The exit code of a search, what it came to, and what it said meanwhile."""
    ran = commanded(command, scenario, "--out", out, "--json", *words, cwd=cwd)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout), ran.stderr
