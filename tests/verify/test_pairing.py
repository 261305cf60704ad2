"""Which answer belongs to which call, where several were open at once: what decides, and what nobody can tell."""

from __future__ import annotations

import pytest

from gameday.verify.pairing import Told, pair


def tell(*lines: tuple[object, ...]) -> list[tuple[int, str | None]]:
    """Each line an intent ("i", at, call) or an answer ("a", at, started, outcome, call). Gives each call's begin and
    outcome; an answer that belongs to no intent begins at its `started`."""
    told = []
    for line, (kind, at, *rest) in enumerate(lines):
        values = [*rest, None, None, None]
        told.append(
            Told(
                line=line,
                intent=kind == "i",
                at=at,  # type: ignore[arg-type]
                began=None if kind == "i" else values[0],  # type: ignore[arg-type]
                outcome=None if kind == "i" else str(values[1]),
                call=values[0] if kind == "i" else values[2],  # type: ignore[arg-type]
            )
        )
    return [(call.began, call.outcome) for call in pair(told)]


@pytest.mark.parametrize("started", [1, 2, 3, 99, None])
def test_the_only_open_one_whatever_the_times_say(started: int | None) -> None:
    assert tell(("i", 2), ("a", 5, started, "ok")) == [(2, "ok")]


def test_no_intent_was_recorded() -> None:
    assert tell(("a", 5, 3, "ok"), ("i", 6), ("a", 7, 6, "failed")) == [(3, "ok"), (6, "failed")]


def test_a_retry_after_an_answer_that_never_came() -> None:
    assert tell(("i", 1), ("i", 3), ("a", 5, 3, "ok")) == [(1, None), (3, "ok")]


@pytest.mark.parametrize("first, second", [(1, 3), (0, 3)])
def test_told_by_the_times(first: int, second: int) -> None:
    # At an intent's own time, or before all of them where the clock is read before the intent is written.
    lines = (("i", 1), ("i", 3), ("a", 5, first, "failed"), ("a", 6, second, "ok"))
    assert tell(*lines) == [(1, "failed"), (3, "ok")]


@pytest.mark.parametrize("started", [2, None])
def test_not_told_by_the_times(started: int | None) -> None:
    # Between the two: the first's, if its writer reads the clock after the intent; the second's, if before. Neither is
    # proven to have worked or failed, also not by the answer that is still owed.
    lines = (("i", 1), ("i", 3), ("a", 5, started, "failed"), ("a", 6, 1, "failed"))
    assert tell(*lines) == [(1, None), (3, None)]


def test_told_by_the_call() -> None:
    lines = (("i", 1, "x"), ("i", 1, "y"), ("a", 5, 1, "failed", "y"), ("a", 6, 1, "ok", "x"))
    assert tell(*lines) == [(1, "ok"), (1, "failed")]


def test_what_is_still_owed_clouds_what_comes_after() -> None:
    # The third answer may be that of the third call, or the late one of the first two.
    lines = (("i", 1), ("i", 3), ("a", 5, None, "ok"), ("i", 6), ("a", 7, 6, "failed"), ("a", 8, 6, "ok"))
    assert tell(*lines) == [(1, None), (3, None), (6, None)]


def test_all_is_paid_back() -> None:
    lines = (("i", 1), ("i", 3), ("a", 5, None, "ok"), ("a", 6, None, "ok"), ("i", 8), ("a", 9, 1, "failed"))
    assert tell(*lines) == [(1, None), (3, None), (8, "failed")]
