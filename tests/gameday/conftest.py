"""Starts `gameday run` and sees to it that nothing of it outlives the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gameday.commanded import Gameday


@pytest.fixture
def gameday(tmp_path: Path) -> Iterator[Callable[..., Gameday]]:
    started: list[Gameday] = []

    def start(*arguments: str, env: dict[str, str] | None = None, preexec: Callable[[], None] | None = None) -> Gameday:
        run = tmp_path / f"run{len(started)}"
        started.append(Gameday("run", *arguments, "--out", str(run), run=run, env=env or {}, preexec=preexec))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()
