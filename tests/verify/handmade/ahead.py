"""Judges the histories of these tests together before the first of them runs: planning the judge's queries costs more
than they do.

Each test is called once to see what history it builds first, and again when it runs; the verdict is found by what the
run directory holds, to the byte. What a test judges besides is judged when it asks. The first of the processes that the
tests are spread over judges for all of them. A test elsewhere joins in by `usefixtures("judged_ahead")`.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterable
from pathlib import Path

import pytest

from gameday.history.errors import NotARun
from gameday.verify.judge import Verdict, judge_all
from tests.verify.handmade import builder

OWN = {"tmp_path", "tmp_path_factory", "request", "judged_ahead", "all_ahead", "capsys"}


@pytest.fixture(scope="session")
def judged_ahead(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    verdicts = shared / "ahead.pickle"
    with (shared / "ahead.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not verdicts.exists():
            found = _judged(request.session.items, tmp_path_factory.mktemp("ahead"))
            verdicts.write_bytes(pickle.dumps(found))
    builder.AHEAD.update(pickle.loads(verdicts.read_bytes()))


def _judged(items: Iterable[pytest.Item], directory: Path) -> dict[bytes, Verdict]:
    runs = built((item for item in items if "judged_ahead" in getattr(item, "fixturenames", ())), directory)
    verdicts = zip(runs, judge_all(list(runs.values()), with_examples=True), strict=True)
    return {content: verdict for content, verdict in verdicts if not isinstance(verdict, NotARun)}


def built(items: Iterable[pytest.Item], directory: Path) -> dict[bytes, Path]:
    """The first history that each test builds, by what its run directory holds."""
    runs: dict[bytes, Path] = {}
    for number, item in enumerate(items):
        if not isinstance(item, pytest.Function):
            continue
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if set(item.fixturenames) - given.keys() - OWN:
            continue
        place = directory / str(number)
        place.mkdir()
        # What a test prints, it prints after it has judged.
        own: dict[str, object] = {"tmp_path": place, "capsys": None}
        named = {name: value for name, value in own.items() if name in item.fixturenames}
        if run := builder.first_history(lambda item=item, named=given | named: item.obj(**named)):  # type: ignore[misc]
            runs[builder.content(run)] = run
    return runs
