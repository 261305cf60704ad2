"""What the reports of a crash sweep and of a hunt share: how a run ended, and the smallest that broke each claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gameday.search.outcomes import Outcome, S, how_often, smallest


def ended(outcome: Outcome[S]) -> str:
    """What a run came to."""
    if outcome.failed:
        return f"no verdict: {outcome.failed}"
    if outcome.broken:
        return f"violated ({', '.join(outcome.broken)})"
    return "every claim held" if outcome.held else "nothing shown"


def not_calm(calm: Outcome[S], without: str) -> str:
    """That the run without what a search tries did not hold, and why."""
    why = calm.failed or "; ".join(f"{claim}: {calm.why.get(claim, 'violated')}" for claim in calm.broken)
    where = f": {calm.directory}" if calm.directory else ""
    return f"without any {without} it does not hold already ({why or 'every claim is unknown'}){where}"


def broken_by(
    outcomes: Sequence[Outcome[S]],
    replays: Mapping[str, str],
    in_words: Callable[[tuple[S, ...]], str],
    *,
    real: Sequence[Outcome[S]] | None = None,
) -> Iterator[str]:
    """Of each claim that was broken by what, how often, why, and how to see it again. `real`: what was tried
    again on real processes, where those of `outcomes` were not."""
    where = "" if real is None else " on a clock that jumps"
    for claim, found in smallest(outcomes).items():
        broke, runs = how_often(found.schedule, claim, outcomes)
        yield f"{claim} is broken{where} by {in_words(found.schedule)}, in {broke} of {runs} runs"
        if claim in found.why:
            yield f"  {found.why[claim]}"
        for outcome in [found] if real is None else [each for each in real if each.schedule == found.schedule]:
            told = "" if outcome is found else f"on real processes: {ended(outcome)}; "
            yield f"  {told}recorded in {outcome.directory}"
        if claim in replays:
            yield f"  again: gameday run --replay {replays[claim]}"


def smallest_as_json(outcomes: Sequence[Outcome[S]], replays: Mapping[str, str]) -> dict[str, Any]:
    """The same, by claim."""
    told = {}
    for claim, found in smallest(outcomes).items():
        broke, runs = how_often(found.schedule, claim, outcomes)
        told[claim] = {**found.to_json(), "broke": broke, "of": runs, "replay": replays.get(claim)}
    return told
