"""Which crashes are tried, in which order, and what is smallest; on consumers that are played."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gameday.chaos.faults.crash_at import POINTS
from gameday.chaos.timeline import plan
from gameday.report.crash_table import Swept
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.search.crashes import Asked, Crash, Schedule, chaos, in_words, next_schedules
from gameday.search.outcomes import REPEATS, Outcome, how_often, smallest

Breaks = Callable[[Schedule], Sequence[str]]
CLAIMS = ("no-loss", "exactly-once-effect")


def played(schedule: Schedule, breaks: Breaks, *, reached: bool = True) -> Outcome[Crash]:
    broken = breaks(schedule)
    left = "holds" if reached else "unknown"
    return Outcome(
        schedule=schedule,
        claims={claim: "violated" if claim in broken else left for claim in CLAIMS},  # type: ignore[misc]
        why=dict.fromkeys(broken, "2 effect-duplicate"),
        directory="001",
    )


def swept(asked: Asked, breaks: Breaks) -> list[Outcome[Crash]]:
    outcomes: list[Outcome[Crash]] = []
    while schedules := next_schedules(asked, outcomes):
        outcomes += [played(schedule, breaks) for schedule in schedules]
        assert len(outcomes) < 500, "it does not end"
    return outcomes


def crash(point: str, nth: int) -> Crash:
    return Crash(point=point, nth=nth)


def test_without_a_crash_first_then_every_point_of_every_kth_message() -> None:
    asked = Asked(points=POINTS, messages=7, every=3, pairs=False)
    outcomes = swept(asked, lambda schedule: [])
    assert outcomes[0].schedule == ()
    singles = [(each.point, each.nth) for outcome in outcomes[1:] for each in outcome.schedule]
    assert singles == [(point, nth) for nth in (1, 4, 7) for point in POINTS]
    assert smallest(outcomes) == {}


def test_what_breaks_a_claim_is_made_smaller_and_tried_again() -> None:
    def breaks(schedule: Schedule) -> list[str]:
        # Nothing is marked before the third message.
        late = [each for each in schedule if each.point == "before-effect" and each.nth >= 3]
        return ["exactly-once-effect"] if late else []

    outcomes = swept(Asked(points=POINTS, messages=12, every=6, pairs=False), breaks)
    found = smallest(outcomes)["exactly-once-effect"]
    assert found.schedule == (crash("before-effect", 3),)
    assert how_often(found.schedule, "exactly-once-effect", outcomes) == (REPEATS + 1, REPEATS + 1)
    assert how_often((crash("after-effect", 1),), "exactly-once-effect", outcomes) == (0, 1)


def test_two_crashes_are_tried_where_one_breaks_nothing() -> None:
    def breaks(schedule: Schedule) -> list[str]:
        return ["no-loss"] if [each.point for each in schedule] == ["after-effect", "before-delete"] else []

    outcomes = swept(Asked(points=POINTS, messages=6, every=6), breaks)
    assert smallest(outcomes)["no-loss"].schedule == (crash("after-effect", 1), crash("before-delete", 1))
    # Single ones come before them.
    sizes = [len(outcome.schedule) for outcome in outcomes]
    assert sizes[: 1 + len(POINTS)] == [0] + [1] * len(POINTS)


def test_no_pairs_where_single_crashes_have_broken_every_claim() -> None:
    outcomes = swept(Asked(points=POINTS, messages=3, every=1), lambda schedule: CLAIMS if schedule else ())
    assert max(len(outcome.schedule) for outcome in outcomes) == 1


@pytest.mark.parametrize("calm", ["broken", "unknown", "failed"])
def test_what_does_not_hold_without_a_crash_is_no_crash_s_fault(calm: str) -> None:
    asked = Asked(points=POINTS, messages=3, every=1)
    outcome = played((), lambda schedule: CLAIMS if calm == "broken" else (), reached=calm != "unknown")
    if calm == "failed":
        outcome = Outcome(schedule=(), claims={}, why={}, directory="001", failed="the target died")
    assert next_schedules(asked, [outcome]) == []


def test_it_goes_on_where_it_was() -> None:
    asked = Asked(points=POINTS, messages=6, every=2)

    def breaks(schedule: Schedule) -> list[str]:
        return ["no-loss"] if schedule and schedule[0] == crash("after-effect", 5) else []

    whole = swept(asked, breaks)
    for cut in range(len(whole)):
        outcomes = [Outcome.from_json(outcome.to_json(), Crash.from_json) for outcome in whole[:cut]]
        while schedules := next_schedules(asked, outcomes):
            outcomes.append(played(schedules[0], breaks))
        assert sorted(in_words(each.schedule) for each in outcomes) == sorted(in_words(each.schedule) for each in whole)


def test_a_schedule_is_a_timeline() -> None:
    schedule = (crash("after-effect", 3), crash("before-delete", 1))
    base = {"name": "s", "transport": "sqs", "load": {"rate": "9/s", "duration": "9s"}, "claims": ["no-loss"]}
    read = scenario.resolve(document.Document(name="s", data={**base, "chaos": chaos(schedule)}, places={}))
    strikes = plan(read.chaos, duration_s=9.0, consumers={"orders": 1}, seed=1)
    told = [(strike.instance, str(strike.trigger), strike.fault.params["point"]) for strike in strikes]
    assert told == [
        ("crash-at-1", "None", "after-effect"),
        ("crash-at-2", "the stop of crash-at-1", "before-delete"),
    ]


def result(outcomes: Sequence[Outcome[Crash]], *, ended: str | None = "all", left: int = 0) -> Swept:
    asked = Asked(points=POINTS, messages=3, every=3)
    return Swept(
        scenario="s",
        target="memory",
        asked=asked,
        outcomes=outcomes,
        ended=ended,  # type: ignore[arg-type]
        replays={"no-loss": "sweep/no-loss.json"},
        left=left,
    )


CALM = played((), lambda schedule: ())
HELD = played((crash("after-effect", 1),), lambda schedule: ())
LOST = played((crash("before-delete", 2),), lambda schedule: ("no-loss",))
NEVER = played((crash("before-delete", 3),), lambda schedule: (), reached=False)


@pytest.mark.parametrize(
    ("came", "code", "told"),
    [
        (result([CALM, HELD]), 0, ["no crash that was tried broke a claim"]),
        (
            result([CALM, HELD, LOST, LOST]),
            1,
            [
                "no-loss is broken by a crash before-delete of message 2, in 2 of 2 runs",
                "  2 effect-duplicate",
                "  recorded in 001",
                "  again: gameday run --replay sweep/no-loss.json",
            ],
        ),
        (
            result([CALM, NEVER]),
            3,
            ["no crash that was tried broke a claim", "1 of 2 runs showed nothing: a crash never came"],
        ),
        (
            result([CALM, HELD], ended="budget", left=7),
            3,
            [
                "no crash that was tried broke a claim",
                "the budget is over: 7 schedules were not tried; with the same --out it goes on there",
            ],
        ),
        (
            result([played((), lambda schedule: ("no-loss",))], ended="calm"),
            1,
            ["without any crash it does not hold already (no-loss: 2 effect-duplicate): 001"],
        ),
    ],
    ids=["holds", "broken", "never came", "budget", "calm"],
)
def test_what_it_came_to(came: Swept, code: int, told: list[str]) -> None:
    assert (came.exit_code, list(came.lines())) == (code, told)


def test_the_table_has_a_row_for_each_point() -> None:
    rows = dict(result([CALM, HELD, LOST, NEVER]).rows())
    assert rows["after-effect"] == ["holds (1)", "holds (1)"]
    assert rows["before-delete"] == ["violated 1 of 1", "holds (1)"]
    assert rows["after-receive"] == ["not tried", "not tried"]
    assert list(rows) == list(POINTS)
