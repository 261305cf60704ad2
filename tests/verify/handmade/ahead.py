"""Judges the histories of a module together before its tests run: planning the judge's queries costs more than they do.

Each test is called once to see what history it builds first, and again when it runs; the verdict is found by what the
run directory holds, to the byte. What a test judges besides is judged when it asks. A module elsewhere joins in by
importing the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gameday.history.errors import NotARun
from gameday.verify.judge import judge_all
from tests.verify.handmade import builder

OWN = {"tmp_path", "request", "judged_ahead", "capsys"}


@pytest.fixture(autouse=True, scope="module")
def judged_ahead(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    runs = []
    directory = tmp_path_factory.mktemp("ahead")
    for number, item in enumerate(request.session.items):
        if not isinstance(item, pytest.Function) or item.module is not request.module:
            continue
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if set(item.fixturenames) - given.keys() - OWN - {"tmp_path_factory"}:
            continue
        place = directory / str(number)
        place.mkdir()
        # What a test prints, it prints after it has judged.
        own: dict[str, object] = {"tmp_path": place, "capsys": None}
        named = {name: value for name, value in own.items() if name in item.fixturenames}
        if run := builder.first_history(lambda item=item, named=given | named: item.obj(**named)):  # type: ignore[misc]
            runs.append(run)
    verdicts = zip(runs, judge_all(runs, with_examples=True), strict=True)
    builder.AHEAD.update(
        {builder.content(run): verdict for run, verdict in verdicts if not isinstance(verdict, NotARun)}
    )
    yield
    builder.AHEAD.clear()
