"""Where the command looks for modules: only where Python and its packages are installed.

It promises that nothing in the current directory and nothing on PYTHONPATH is taken for a module of ours, of a library
or of Python, from the moment on when `isolate` is called: before it only `os` and `sys` may be imported.
"""

from __future__ import annotations

import os
import sys


def isolate() -> None:
    """Become the same command in an interpreter that looks nowhere else; returns if this one is such already."""
    if sys.flags.safe_path and "PYTHONPATH" not in os.environ:
        return
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    os.execve(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]], environ)
