"""Fields that may be left out: what they would have told is not made up, and nobody is blamed for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.history.errors import NotARun
from tests.verify.handmade.builder import History, check, counts, fifo, queue, verdict_of


def overlapping(h: History) -> None:
    """b's attempt begins before a's is answered, and nothing says when its call began."""
    for id, intended, ended in (("a", 1.0, 1.1), ("b", 1.05, 1.3)):
        h.send(id, at=intended, ended=ended, group="g", broker_seq=None)
    for record in h.files["p1"]:
        record.pop("started", None)


def test_a_call_that_does_not_say_when_it_began_may_have_begun_with_its_intent(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss", "ordered-per-group"])
    overlapping(h)
    h.take("b", at=3, group="g", omit=["broker_seq"])
    # Not drained: a is lost only if b, which was received, stands after it.
    document = verdict_of(h, tmp_path)
    assert counts(document) == {"unseen": 1}


def test_no_order_is_made_up_for_calls_that_may_have_overlapped(tmp_path: Path) -> None:
    h = History({"orders": fifo(dead_letter=False)}, ["ordered-per-group"])
    overlapping(h)
    h.take("b", at=3, group="g", omit=["broker_seq"])
    h.take("a", at=4, group="g", omit=["broker_seq"])
    h.drained(at=9)
    assert counts(verdict_of(h, tmp_path)) == {}


def test_what_was_given_up_counts_without_a_due(tmp_path: Path) -> None:
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2, "during": "all"}])
    h.send("a", at=1, due=1)
    h.send("b", at=1, outcome="failed")
    for record in h.files["p1"]:
        if record.get("id") == "b":
            record.pop("due", None)
    h.take("a", at=2)
    h.drained(at=9)
    check(verdict_of(h, tmp_path), {"lag": "unknown"}, {"given-up": 1})


@pytest.mark.parametrize("received_first", [True, False])
def test_the_lines_of_a_file_contradict_its_times(tmp_path: Path, received_first: bool) -> None:
    # One file, one time: only its lines say what came first.
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1, ended=1, producer="p1")
    h.take("a", at=1, consumer="p1", started=1)
    h.drained(at=9)
    records = h.files["p1"]
    received = next(record for record in records if record["event"] == "received")
    if received_first:
        records.remove(received)
        records.insert(0, received)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown" if received_first else "holds"})


def test_a_claim_is_made_once(tmp_path: Path) -> None:
    twice = [{"claim": "lag", "max_s": 1}, {"claim": "lag", "p99_s": 1, "during": "calm"}]
    with pytest.raises(NotARun, match=r"claims\[1\]: lag is claimed twice"):
        verdict_of(History({"orders": queue()}, twice), tmp_path)


@pytest.mark.parametrize("said", [True, False])
def test_a_message_is_known_though_nothing_says_which_attempt_a_record_is_of(tmp_path: Path, said: bool) -> None:
    """Its group, place, time and audience stand in the first `intended` all the same."""
    claims = ["no-loss", "ordered-per-group", {"claim": "lag", "max_s": 2, "during": "all"}]
    h = History({"orders": fifo()}, claims)
    for number, id in enumerate(("a", "b", "lost")):
        h.send(id, at=1 + number, due=1 + number, broker_seq=None, outcome="failed")
        h.send(id, at=1.5 + number, broker_seq=None)
    h.take("b", at=4, omit=["broker_seq"])
    h.take("a", at=5, omit=["broker_seq"])
    h.drained(at=40)
    if not said:
        for record in h.files["p1"]:
            record.pop("attempt", None)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": "violated", "ordered-per-group": "violated", "lag": "violated"},
        {"lost": 1, "nonmonotonic-delivery": 1},
    )
