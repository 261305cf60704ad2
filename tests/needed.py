"""What is only there with a server or a program: its tests are skipped on a laptop that lacks it, and fail in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def lacking(missing: str) -> NoReturn:
    """`missing`: what is not there, and how it is had."""
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def installed(program: str, *, package: str) -> str:
    """The path of a program of Debian's."""
    path = shutil.which(program)
    if path is None:
        lacking(f"{program} is not installed; Debian and Ubuntu have it: apt-get install {package}")
    return path
