"""Starts `gameday run` and sees to it that nothing of it outlives the test; judges histories ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from tests.commanded import COMMAND, Gameday
from tests.series import part_of
from tests.verify.handmade.ahead import judged_ahead as judged_ahead

# How long an example takes is the machine's business.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice", metavar="N/M", help="only the N-th of M parts of the tests, the same whoever asks")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if asked := config.getoption("--slice"):
        part, parts = (int(number) for number in asked.split("/"))
        if not 1 <= part <= parts:
            raise pytest.UsageError(f"--slice {asked}: N is 1 to M")
        config.hook.pytest_deselected(items=[item for item in items if part_of(item.nodeid, parts) != part])
        items[:] = [item for item in items if part_of(item.nodeid, parts) == part]


@pytest.fixture
def gameday(tmp_path: Path) -> Iterator[Callable[..., Gameday]]:
    started: list[Gameday] = []

    def start(
        *arguments: str,
        env: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> Gameday:
        run = tmp_path / f"run{len(started)}"
        arguments = ("run", *arguments, "--out", str(run))
        started.append(Gameday(*arguments, run=run, env=env or {}, preexec=preexec, command=command))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()
