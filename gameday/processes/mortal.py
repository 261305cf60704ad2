"""`python mortal.py PARENT PROGRAM ARGUMENT…`: becomes that program, which the kernel kills when its parent dies.

On Linux. For programs that cannot ask for that themselves: functions of somebody else's. It needs nothing but the
standard library, so that it starts quickly, and promises that a parent which died before the kernel was asked leaves
nobody.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def mortal(argv: Sequence[str]) -> list[str]:
    """The command line of a program that is to end with this process. Without what is installed, for it takes a while
    to look for that."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *argv]


def main() -> None:
    parent, *argv = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != int(parent):
        raise SystemExit(1)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
