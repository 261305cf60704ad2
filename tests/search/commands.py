"""Commands of gameday as a person would give them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gameday.processes.child import python


def commanded(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = python("-c", "from gameday.cli import main; main()", *words)
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
