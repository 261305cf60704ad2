"""A Python whose CLOCK_MONOTONIC is another machine's: `skewed.py RATE_PPM STEP_NS FILE EXECUTABLE ARGUMENTS…`.

`time.monotonic_ns`, of which every clock of gameday's is made, runs too fast by RATE_PPM, and is STEP_NS ahead once
FILE is there. ARGUMENTS are Python's own (-P, -c or -m); what the program starts in its turn runs by EXECUTABLE, the
script that is written by `python`.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path


def python(place: Path, *, rate_ppm: int, step_ns: int = 0) -> Path:
    """A script to be called in place of Python. Its clock steps once `step(script)` has been called."""
    script = place.with_suffix(".sh")
    own = [sys.executable, "-P", __file__, rate_ppm, step_ns, _file(script), script]
    script.write_text(f'#!/bin/sh\nexec {" ".join(map(str, own))} "$@"\n')
    script.chmod(0o755)
    return script


def step(script: Path) -> None:
    _file(script).touch()


def _file(script: Path) -> Path:
    return script.with_suffix(".stepped")


def main() -> None:
    rate_ppm, step_ns, file, executable, *arguments = sys.argv[1:]
    _skew(int(rate_ppm), int(step_ns), file)
    sys.executable = executable
    while arguments[0] == "-P":
        arguments.pop(0)
    how, what, *rest = arguments
    sys.argv = [how, *rest]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        assert how == "-c"
        exec(what, {"__name__": "__main__"})  # noqa: S102  # as Python does it


def _skew(rate_ppm: int, step_ns: int, file: str) -> None:
    really_ns, exists = time.monotonic_ns, os.path.exists

    def monotonic_ns() -> int:
        now_ns = really_ns()
        return now_ns + now_ns * rate_ppm // 1_000_000 + step_ns * exists(file)

    time.monotonic_ns = monotonic_ns


if __name__ == "__main__":
    main()
