"""Each dangerous place is seen on a history that comes to it, and only there; whole and in buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gameday.verify.buckets import one_after_another
from gameday.verify.judge import Verdict, judge_all
from gameday.verify.registry import PLACES
from tests.verify.causes.cases import alive, copies, died, exited, held, read_twice, two_readers_at_once
from tests.verify.handmade.builder import History, fifo, queue
from tests.verify.jobs import differing

# What holds of each message that was received by c1 and came again to c2, who did it.
ANOTHER = {"came-back-to-another"}
DIED, LIVING = {"died-while-holding"}, {"came-back-to-the-living"}


@dataclass(frozen=True, slots=True)
class Case:
    build: Callable[[], History]
    places: set[str]


CASES: list[Case] = []


def reaches(*places: str | set[str]) -> Callable[[Callable[[], History]], Callable[[], History]]:
    def add(build: Callable[[], History]) -> Callable[[], History]:
        named = {name for each in places for name in ({each} if isinstance(each, str) else each)}
        CASES.append(Case(build, named))
        return build

    return add


@reaches()
def nothing_happened() -> History:
    h = History({"orders": fifo()}, ["exactly-once-effect"])
    h.send("a", at=1, broker_seq="1")
    h.handle("a", at=2)
    h.drained(at=60)
    return h


@reaches(ANOTHER, DIED, "died-before-effect")
def killed_before_its_effect() -> History:
    return held(then=lambda h: exited(h, 3, -9))


@reaches(ANOTHER, DIED, "died-after-effect")
def killed_after_its_effect() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        exited(h, 3, -9)

    return held(then=go)


@reaches(ANOTHER, LIVING, "came-back-before-effect")
def nothing_was_done_with_it() -> History:
    return held(then=alive)


@reaches(ANOTHER, LIVING, "came-back-after-effect", "repetition-recognised")
def done_and_not_deleted() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        alive(h)

    h = held(then=go, effect=None)
    h.effect("a", at=8.05, consumer="c2", outcome="skipped")
    return h


@reaches(ANOTHER, LIVING, "came-back-before-effect", "worked-on-after-return", "deleted-after-return")
def two_at_work() -> History:
    def go(h: History) -> None:
        h.effect("a", at=9)
        h.delete("a", at=9.1)

    return held(then=go)


@reaches(ANOTHER, LIVING, "came-back-before-effect", "worked-on-after-return", "effects-at-once")
def both_wrote_at_once() -> History:
    return held(then=lambda h: h.effect("a", at=8.3, started=8.01), effect=8.2)


@reaches(ANOTHER, DIED, "died-while-deleting", "came-back-after-lost-delete")
def killed_before_the_answer() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        h.delete("a", at=3, outcome=None)
        exited(h, 3.1, -9)

    return held(then=go)


@reaches(ANOTHER, LIVING, "came-back-after-effect", "came-back-after-lost-delete")
def a_delete_was_lost() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        h.delete("a", at=3, outcome="unknown")

    return held(then=go)


@reaches(ANOTHER, LIVING, "came-back-after-effect", "came-back-after-refused-delete")
def a_delete_was_refused() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        h.delete("a", at=3, outcome="failed")

    return held(then=go)


@reaches("came-back-to-the-same", LIVING, "came-back-before-effect", "came-back-after-failure")
def it_failed_and_came_back() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4, outcome="failed")
        h.release("a", at=2.5)

    return held(then=go, again=3, effect=3.05, second={"consumer": "c1"})


@reaches(ANOTHER, LIVING, "came-back-before-effect", "came-back-after-failure", "came-back-twice", "dead-before-effect")
def it_failed_to_death() -> History:
    return died("failed", "failed", "failed")


@reaches(ANOTHER, LIVING, "came-back-after-effect", "dead-after-effect")
def it_died_after_its_effect() -> History:
    h = History({"orders": queue(dead_letter=True, max_receives=2)}, ["dead-letter"])
    h.send("a", at=1)
    h.receive("a", at=2)
    h.effect("a", at=2.4)
    h.receive("a", at=8, consumer="c2")
    h.dead("a", at=40, receives=2)
    h.drained(at=60)
    return h


@reaches("came-in-two-copies", "sent-again-after-doubt")
def sent_again_after_doubt() -> History:
    return copies(queue(), ["unknown", "ok"])


@reaches("sent-again-after-refusal")
def sent_again_after_a_refusal() -> History:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1, outcome="failed")
    h.send("a", at=2)
    h.take("a", at=5)
    h.drained(at=60)
    return h


BY_TWO = {"came-back-to-the-living", "came-back-before-effect", "came-back-after-effect", "read-by-two"}
CASES.append(Case(two_readers_at_once, ANOTHER | BY_TWO))


@reaches(ANOTHER, LIVING, "came-back-after-effect", "read-behind-checkpoint")
def read_again_behind_its_checkpoint() -> History:
    def go(h: History) -> None:
        h.effect("a", at=3)
        h.checkpoint("a", at=4, partition="0", broker_seq="1")

    return read_twice(go)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    directory = tmp_path_factory.mktemp("reached")
    return [case.build().write(directory / case.build.__name__) for case in CASES]


@pytest.fixture(scope="module")
def verdicts(runs: Sequence[Path]) -> Sequence[Any]:
    return judge_all(runs, with_examples=True)


def test_the_places(runs: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    came = {
        run.name: {name for name, told in verdict.document["reached"].items() if told["messages"]}
        for run, verdict in zip(runs, verdicts, strict=True)
    }
    assert came == {case.build.__name__: case.places for case in CASES}


def test_every_place_has_a_case_that_comes_to_it_and_one_that_could_and_does_not(verdicts: Sequence[Verdict]) -> None:
    assert {place for case in CASES for place in case.places} == {*PLACES}
    never = {name for verdict in verdicts for name, told in verdict.document["reached"].items() if not told["messages"]}
    assert never == {*PLACES}


def test_a_message_tells_which_places_it_came_to(runs: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    (reached,) = [
        verdict.document["reached"]
        for run, verdict in zip(runs, verdicts, strict=True)
        if run.name == "sent_again_after_doubt"
    ]
    assert reached["came-in-two-copies"] == {"messages": 1, "with": {"sent-again-after-doubt": 1}}
    assert reached["sent-again-after-doubt"] == {"messages": 1}


def test_what_cannot_be_there_or_told_is_left_out(runs: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    told = {run.name: {*verdict.document["reached"]} for run, verdict in zip(runs, verdicts, strict=True)}
    # No record tells an effect there, so nobody knows what came before one.
    assert told["sent_again_after_doubt"] == {
        name for name, place in PLACES.items() if "queue" in place.on and not place.needs_effects
    }
    assert told["read_again_behind_its_checkpoint"] == {name for name, place in PLACES.items() if "stream" in place.on}


def test_in_buckets_they_are_the_same(runs: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    assert differing(runs, {"5": one_after_another(5)}, whole=list(verdicts)) == []
