"""What the hunt tries next, on systems that are played: it finds what needs two faults at once, and makes it small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gameday.chaos.registry import FAULTS
from gameday.commands.searching import Small
from gameday.history.errors import UsageError
from gameday.report.hunted import Hunted, ended_line, tried_line
from gameday.scenario import reading
from gameday.scenario.drawing import Drawer, needed
from gameday.search.hunt import MOST_FAULTS, Asked, Entry, Schedule, in_words, kept, next_schedule, next_schedules
from gameday.search.outcomes import REPEATS, Outcome, how_often, size, smallest

CLAIMS = ("no-loss", "exactly-once-effect")
NAMES = [f"fault-{letter}" for letter in "abcdefgh"]
Breaks = Callable[[Schedule], Sequence[str]]


def draw(rng: Random, beside: Sequence[str]) -> Mapping[str, Any]:
    entry = {"fault": rng.choice(NAMES), "at": f"{rng.randrange(8)}s", "for": "1s"}
    return entry | ({"share": rng.choice(["5%", "50%"])} if rng.random() < 0.5 else {})


ASKED = Asked(draw=draw, fits=lambda schedule: True, needed={name: frozenset({"for"}) for name in NAMES}, seed=1)


def names(schedule: Schedule) -> set[str]:
    return {entry.to_json()["fault"] for entry in schedule}


def played(schedule: Schedule, breaks: Breaks) -> Outcome[Entry]:
    broken = breaks(schedule)
    places = {f"place-{name[-1]}": int(name in names(schedule)) for name in NAMES}
    return Outcome(
        schedule=schedule,
        claims={claim: "violated" if claim in broken else "holds" for claim in CLAIMS},
        why=dict.fromkeys(broken, "2 effect-duplicate"),
        directory="001",
        places=places,
        reached=frozenset(place for place, n in places.items() if n),
    )


def hunted(breaks: Breaks, runs: int, *, asked: Asked = ASKED) -> list[Outcome[Entry]]:
    outcomes: list[Outcome[Entry]] = []
    while len(outcomes) < runs and (schedule := next_schedule(asked, outcomes, [])) is not None:
        outcomes.append(played(schedule, breaks))
    return outcomes


def needs(*wanted: str) -> Breaks:
    return lambda schedule: ["exactly-once-effect"] if names(schedule) >= {*wanted} else []


def test_without_a_fault_first_and_nothing_beside_it() -> None:
    assert next_schedule(ASKED, [], []) == ()
    assert next_schedule(ASKED, [], [()]) is None


def test_many_at_once_are_those_that_one_after_another_gives() -> None:
    outcomes = hunted(needs("fault-b"), 30)
    at_once = [*islice(next_schedules(ASKED, outcomes), 20)]
    one_by_one: list[Schedule] = []
    while len(one_by_one) < 20 and (schedule := next_schedule(ASKED, outcomes, one_by_one)) is not None:
        one_by_one.append(schedule)
    assert at_once == one_by_one != []


@pytest.mark.parametrize("breaks", [lambda schedule: CLAIMS, lambda schedule: CLAIMS[:1]])
def test_what_does_not_hold_without_a_fault_is_not_hunted(breaks: Breaks) -> None:
    outcomes = hunted(breaks, 10)
    assert [outcome.schedule for outcome in outcomes] == [()] and next_schedule(ASKED, outcomes, []) is None


def test_what_needs_two_faults_is_found_and_made_as_small_as_it_can_be() -> None:
    outcomes = hunted(needs("fault-b", "fault-f"), 150)
    found = smallest(outcomes)["exactly-once-effect"]
    assert names(found.schedule) == {"fault-b", "fault-f"}
    # Nothing stands in it that need not.
    assert [{*entry.to_json()} for entry in found.schedule] == [{"fault", "at", "for"}] * 2
    assert how_often(found.schedule, "exactly-once-effect", outcomes) == (REPEATS + 1, REPEATS + 1)


def test_it_ends_when_every_claim_is_broken_by_the_smallest() -> None:
    outcomes = hunted(lambda schedule: CLAIMS if schedule else (), 500)
    assert len(outcomes) < 30 and next_schedule(ASKED, outcomes, []) is None
    assert {size(outcome.schedule) for outcome in smallest(outcomes).values()} == {(1, 3.0)}


def test_what_breaks_now_and_then_is_made_small_all_the_same() -> None:
    rng = Random(4)

    def breaks(schedule: Schedule) -> list[str]:
        return ["no-loss"] if "fault-c" in names(schedule) and rng.random() < 0.7 else []

    found = smallest(hunted(breaks, 120))["no-loss"]
    assert names(found.schedule) == {"fault-c"}


def test_what_came_to_something_new_is_varied() -> None:
    outcomes = hunted(needs("none"), 60)
    corpus = kept(outcomes)
    assert corpus and all(outcome.schedule for outcome in corpus)
    # Every place was reached, and no schedule was tried twice.
    assert {place for outcome in outcomes for place in outcome.reached} == {f"place-{name[-1]}" for name in NAMES}
    assert len({outcome.schedule for outcome in outcomes}) == len(outcomes)
    assert max(len(outcome.schedule) for outcome in outcomes) <= MOST_FAULTS


def test_it_goes_on_as_it_would_have() -> None:
    whole = hunted(needs("fault-b", "fault-f"), 60)
    for cut in (1, 7, 30):
        outcomes = [Outcome.from_json(each.to_json(), Entry.from_json) for each in whole[:cut]]
        assert outcomes == whole[:cut]
        assert next_schedule(ASKED, outcomes, []) == whole[cut].schedule


def test_nothing_is_tried_again_while_it_is_under_way() -> None:
    outcomes = hunted(needs("none"), 3)
    first = next_schedule(ASKED, outcomes, [])
    assert first is not None
    second = next_schedule(ASKED, outcomes, [first])
    assert second is not None and second != first


def result(outcomes: Sequence[Outcome[Entry]], *, broke_off: bool = False) -> Hunted:
    return Hunted(
        scenario="s",
        target="memory",
        faults=NAMES,
        outcomes=outcomes,
        replays={"exactly-once-effect": "hunt/exactly-once-effect.json"},
        broke_off=broke_off,
    )


def entry(name: str, **more: Any) -> Entry:
    return Entry.of({"fault": name, "at": "1s", **more})


def test_what_it_says() -> None:
    calm, held = played((), needs("none")), played((entry("fault-a"),), needs("none"))
    broken = played((entry("fault-b", share="5%"),), needs("fault-b"))
    assert result([calm, held]).exit_code == 0
    assert result([calm]).exit_code == 3
    came = result([calm, held, broken, broken])
    assert came.exit_code == 1
    assert list(came.lines()) == [
        "exactly-once-effect is broken by fault-b at 1s (share 5%), in 2 of 2 runs",
        "  2 effect-duplicate",
        "  recorded in 001",
        "  again: gameday run --replay hunt/exactly-once-effect.json",
        "nothing that was tried broke no-loss: no proof, but see what was reached",
        "4 runs, 2 of which came to something new",
        f"never reached: {', '.join(f'place-{letter}' for letter in 'cdefgh')}",
    ]
    assert came.to_json()["places"] == {f"place-{name[-1]}": {"a": 1, "b": 2}.get(name[-1], 0) for name in NAMES}
    calm_broken = result([played((), lambda schedule: ["no-loss"])])
    assert [*calm_broken.lines()] == ["without any fault it does not hold already (no-loss: 2 effect-duplicate): 001"]
    assert [*result([]).lines()] == ["nothing was tried"]
    assert [*result([calm, held], broke_off=True).lines()][-1].startswith("the hunt broke off")


def test_what_was_found_on_a_clock_that_jumps_is_told_with_what_real_processes_did() -> None:
    calm = replace(played((), needs("none")), directory="")
    broken = replace(played((entry("fault-b"),), needs("fault-b")), directory="")
    real = [replace(broken, directory="001"), replace(broken, directory="002", claims=calm.claims)]
    came = replace(result([calm, broken]), real=real)
    assert [*came.lines()][:5] == [
        "exactly-once-effect is broken on a clock that jumps by fault-b at 1s, in 1 of 1 runs",
        "  2 effect-duplicate",
        "  on real processes: violated (exactly-once-effect); recorded in 001",
        "  on real processes: every claim held; recorded in 002",
        "  again: gameday run --replay hunt/exactly-once-effect.json",
    ]
    assert came.exit_code == 1
    # What real processes never showed may be a mistake of the simulation's.
    assert replace(came, real=real[1:]).exit_code == replace(came, real=[]).exit_code == 3
    assert replace(result([calm, replace(broken, claims=calm.claims)]), real=[]).exit_code == 0
    assert tried_line([calm, broken], new=1, a_minute=812.4) == (
        "2 runs, 812 a minute; 1 of 8 dangerous places reached; broken: exactly-once-effect"
    )
    assert tried_line([calm, broken, broken], new=1, a_minute=1.0).endswith("places reached")
    failed = replace(calm, claims={}, failed="a bug of ours")
    assert tried_line([calm, failed], new=1, a_minute=1.0).endswith("; 1 of the last 1 gave no verdict: a bug of ours")
    not_calm = result([replace(calm, claims=dict.fromkeys(CLAIMS, "violated"))])
    assert [*not_calm.lines()] == [
        "without any fault it does not hold already (no-loss: violated; exactly-once-effect: violated)"
    ]


def test_the_line_of_a_run_says_what_is_new() -> None:
    first = played((entry("fault-a"),), needs("fault-a"))
    assert ended_line([first]) == "run 1: fault-a at 1s: violated (exactly-once-effect); new: place-a"
    assert ended_line([first, first]).endswith("violated (exactly-once-effect)")
    failed: Outcome[Entry] = Outcome(schedule=(), claims={}, why={}, directory="002", failed="the target died")
    assert ended_line([failed]) == "run 1: no fault: no verdict: the target died"


def test_faults_in_words() -> None:
    waiting = Entry.of({"fault": "fault-b", "when": {"fault": "fault-a", "phase": "stop"}, "for": "1s"})
    assert in_words((entry("fault-a"), waiting)) == "fault-a at 1s; fault-b when fault fault-a phase stop (for 1s)"


def drawer(scenario: str, *overrides: str, **more: Any) -> Drawer:
    small = ['load={"rate": "12/s", "duration": "5s"}', 'claims=["no-loss"]', "chaos=[]", "steady=null", "brakes=null"]
    return Drawer(reading.find(scenario), [*small, *overrides], seed=1, **more)


@pytest.mark.parametrize("scenario", ["quick", "standard-at-least-once", "kinesis", "sns-fanout"])
def test_what_is_drawn_is_what_the_scenario_may_have(scenario: str) -> None:
    drawn = drawer(scenario)
    assert {"kill-consumer", "pause-consumer", "crash-at", "latency"} <= {*drawn.names}
    assert ("lose-delete" in drawn.names) == (scenario != "kinesis")
    rng = Random(2)
    entries = [drawn.draw(rng, ["kill-consumer"]) for _ in range(100)]
    fit = [entry for entry in entries if drawn.fits([{"fault": "kill-consumer", "at": "1s"}, entry])]
    assert len(fit) > 50
    # At every kind of moment, and never without what it needs.
    assert {key for entry in fit for key in ("at", "every", "when") if key in entry} == {"at", "every", "when"}
    assert all(needed(entry["fault"]) <= {*entry} for entry in fit)
    assert entries == [drawn.draw(again, ["kill-consumer"]) for again in [Random(2)] for _ in range(100)]


def test_every_fault_is_drawn_somewhere_or_needs_what_nobody_can_draw() -> None:
    named = {name for scenario in ("quick", "standard-at-least-once", "kinesis") for name in drawer(scenario).names}
    named |= {*drawer("lambda-sqs").names, *drawer("workflow-callbacks").names}
    # The last two are of a function on the target, and of the Express starts.
    assert {*FAULTS} - named <= {"fis", "clock-step", "deploy", "throttle-function", "disable-mapping"}


def test_only_what_is_asked_for() -> None:
    assert drawer("quick", names=["kill-consumer", "reshard"]).names == ["kill-consumer"]
    with pytest.raises(UsageError, match="none of the faults reshard can strike this scenario"):
        drawer("quick", names=["reshard"])


def test_a_scenario_that_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such-claim"):
        drawer("quick", 'claims=["no-such-claim"]')


def test_claims_about_faults_are_left_out_and_others_go_by_any_name(tmp_path: Path) -> None:
    path = tmp_path / "named.yaml"
    path.write_text(
        "name: named\ntransport: sqs\nload: {rate: 9/s, duration: 9s}\nchaos: [{at: 2s, fault: kill-consumer}]\n"
        "claims: [at-least-once, {claim: recovery, within: 9s}, {claim: lag, p99: 3s}]\n"
    )
    small = Small(path=path, read=reading.load(path), given=[], messages=5)
    told = reading.load(path, small.overrides([], lasts_s=5))
    assert [claim.claim for claim in told.claims] == ["no-loss", "lag"]
