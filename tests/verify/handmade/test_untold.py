"""Records that do not tell their message: by the answer to its send, or unidentified, and then nobody is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.handmade.builder import Expected, History, check, counts, fifo, ns, queue, stream, verdict_of

ABOUT_A_COPY = ("received", "settling", "settled", "dead", "redriven")


def forget(h: History, *ids: str, events: tuple[str, ...] = ABOUT_A_COPY) -> None:
    """Records about these messages no longer say so."""
    for records in h.files.values():
        for record in records:
            if record["event"] in events and record.get("id") in ids:
                del record["id"]


@pytest.mark.parametrize("told", [True, False])
def test_the_answer_to_a_send_tells_what_was_received(tmp_path: Path, told: bool) -> None:
    h = History({"orders": fifo()}, ["no-loss", "no-phantom", "exactly-once-delivery", "ordered-per-group"])
    for n, id in enumerate("abc"):
        h.send(id, at=1 + n, broker_seq=str(n + 1))
    h.take("b", at=5)
    h.take("a", at=6)
    h.drained(at=20)
    if not told:
        forget(h, "a", "b")
    claims: dict[str, Expected] = {
        "no-loss": ("violated", 3), "no-phantom": ("holds", 2), "exactly-once-delivery": ("violated", 2),
        "ordered-per-group": ("violated", 1),
    }  # fmt: skip
    check(verdict_of(h, tmp_path), claims, {"lost": 1, "nonmonotonic-delivery": 1})


@pytest.mark.parametrize("told", [True, False])
def test_the_place_in_a_partition_tells_it_on_a_stream(tmp_path: Path, told: bool) -> None:
    h = History({"orders": stream()}, ["no-loss", "ordered-per-partition"])
    for n, id in enumerate("abc"):
        # The digits may be written with zeros before them: they are a number.
        h.send(id, at=1 + n, broker_seq=f"0{n + 1}", partition="p1")
    h.send("other", at=4, broker_seq="1", partition="p2", group="h")
    for n, id in enumerate("abc"):
        h.take(id, at=5 + n, broker_seq=str(n + 1))
    h.take("other", at=9)
    h.drained(at=20)
    if not told:
        forget(h, "a", "b", "c", "other")
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 4), "ordered-per-partition": ("holds", 2)})


def test_nothing_without_an_id_in_a_run_of_nothing(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"vacuous": 2})


def unanswered(claims: list[str], **promised: object) -> History:
    """The answer to a's first send never came; what it stored was received all the same, and nothing says as what."""
    h = History({"orders": fifo(**promised)}, claims)
    h.send("a", at=1, outcome="unknown")
    h.send("a", at=2, broker_id="b-a-again", broker_seq="5")
    h.send("b", at=3, broker_seq="6")
    h.receive("a", at=5, broker_id="stored", broker_seq="4")
    h.delete("a", at=5.1)
    forget(h, "a")
    h.take("b", at=6)
    return h


def test_what_cannot_be_told_is_no_phantom_and_excuses_its_message(tmp_path: Path) -> None:
    h = unanswered(["no-loss", "no-phantom", "exactly-once-delivery", "fanout-complete", "all-accepted"])
    h.mark("load-started", at=0.5)
    h.mark("load-stopped", at=4, scheduled=2)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    # a itself was never seen to arrive, and it may be the one.
    check(
        document,
        {
            "no-loss": "unknown", "no-phantom": ("unknown", 1), "exactly-once-delivery": "unknown",
            "fanout-complete": "unknown", "all-accepted": "holds",
        },
        {"unidentified": 1, "unseen": 1},
    )  # fmt: skip
    why = document["claims"][1]["why"]
    assert why == [
        "orders: 1 receives cannot be told: they have no `id`, and no answer to a send names what they are of, so "
        "their sends may be those that were never answered; an id in the body or in an attribute would settle it"
    ]
    (example,) = document["anomalies"]["unidentified"]["examples"]
    assert (example["id"], example["subscription"]) == ("stored", "orders")
    assert [event["event"] for event in example["timeline"]] == ["received", "settling", "settled"]


def test_a_message_all_of_whose_copies_are_known_is_still_blamed(tmp_path: Path) -> None:
    h = unanswered(["no-loss"])
    h.send("lost", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"unidentified": 1, "unseen": 1, "lost": 1})


def test_it_is_not_the_other_side_of_a_blame_either(tmp_path: Path) -> None:
    # b before x, and x was received first; but b may have been received before, untold.
    def ran(b_answered: bool) -> History:
        h = unanswered(["ordered-per-group"])
        h.send("c", at=7, broker_seq="9", outcome="ok" if b_answered else "unknown")
        if not b_answered:
            h.send("c", at=7.5, broker_seq="9")
        h.send("d", at=8, broker_seq="10")
        h.take("d", at=10)
        h.take("c", at=11)
        h.drained(at=20)
        return h

    check(
        verdict_of(ran(True), tmp_path),
        {"ordered-per-group": "violated"},
        {"unidentified": 1, "unseen": 1, "nonmonotonic-delivery": 1},
    )
    check(verdict_of(ran(False), tmp_path), {"ordered-per-group": "unknown"}, {"unidentified": 1, "unseen": 1})


def test_nobody_is_lost_behind_one_that_may_stand_elsewhere(tmp_path: Path) -> None:
    # Not drained: a is lost only if one after it was received. d's receive proves it, unless d was stored before, too.
    def ran(answered: bool) -> History:
        h = unanswered(["no-loss"], dead_letter=False)
        h.send("lost", at=4, broker_seq="7")
        if not answered:
            h.send("d", at=4.5, outcome="unknown")
        h.send("d", at=8, broker_seq="10")
        h.take("d", at=10)
        return h

    assert counts(verdict_of(ran(True), tmp_path)).get("lost") == 1
    assert "lost" not in counts(verdict_of(ran(False), tmp_path))


@pytest.mark.parametrize("read_back", [True, False])
def test_effects_are_judged_by_the_store_and_else_unknown(tmp_path: Path, read_back: bool) -> None:
    h = unanswered(["at-least-once-effect"])
    h.effect("b", at=6.05)
    if read_back:
        h.effects("b", at=15, applied=1)
        h.effects_read(at=16)
    h.drained(at=20)
    found = {"unidentified": 1, "unseen": 1} | ({"effect-missing": 1} if read_back else {})
    check(verdict_of(h, tmp_path), {"at-least-once-effect": "violated" if read_back else "unknown"}, found)


@pytest.mark.parametrize("in_time", [True, False])
def test_lag_is_not_broken_by_who_may_have_been_received(tmp_path: Path, in_time: bool) -> None:
    h = unanswered([])
    h.manifest["claims"] = [{"claim": "lag", "max_s": 8, "during": "all"}]
    h.send("late", at=7)
    h.take("late", at=10 if in_time else 18)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"lag": "unknown" if in_time else "violated"}, {"unidentified": 1, "unseen": 1})


def test_a_topics_answers_tell_nothing_of_its_queues(tmp_path: Path) -> None:
    # What SNS answers is not what SQS says: any message may be behind the receives.
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1, broker_id="topic-1")
    h.send("b", at=2, broker_id="topic-2")
    h.take("a", at=5, broker_id="queue-1")
    h.drained(at=20)
    forget(h, "a")
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unidentified": 1, "unseen": 2})


@pytest.mark.parametrize("proven", [True, False])
def test_two_sends_with_one_answer(tmp_path: Path, proven: bool) -> None:
    # A deduplicated send is answered as the first was. The copy is the first one's, if it is proven which that was.
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1, ended=1.1, broker_id="same", producer="p1")
    h.send("b", at=2 if proven else 1.05, ended=2.1, broker_id="same", producer="p2")
    h.send("c", at=3)
    h.take("a", at=5)
    h.take("c", at=6)
    h.drained(at=20)
    forget(h, "a")
    if proven:
        check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"lost": 1})
    else:
        check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unidentified": 1, "unseen": 2})


def test_clocks_that_may_differ_prove_no_first(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss"], clock_error_s=1)
    h.send("a", at=1, ended=1.1, broker_id="same", producer="p1")
    h.send("b", at=2, ended=2.1, broker_id="same", producer="p2")
    h.take("a", at=5)
    h.drained(at=20)
    forget(h, "a")
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unidentified": 1, "unseen": 2})


def test_a_receive_with_an_id_tells_what_else_is_of_its_copy(tmp_path: Path) -> None:
    # No answer names the copy. The body of one receive did, so its delete and its dead letter are known.
    h = History({"orders": queue(dead_letter=True, max_receives=3)}, ["no-loss"])
    h.send("a", at=1, outcome="unknown")
    h.receive("a", at=5, broker_id="stored")
    h.delete("a", at=5.1)
    h.send("b", at=1)
    h.receive("b", at=6, broker_id="b-b")
    h.dead("b", at=15)
    h.drained(at=20)
    forget(h, "a", events=("settling", "settled"))
    for record in h.files["main"]:
        if record["event"] == "dead":
            del record["id"]
            record["broker_id"] = "b-b"
    assert counts(verdict_of(h, tmp_path)) == {"recovered": 1, "collateral-dead": 1}


def test_a_dead_letter_that_cannot_be_told_may_be_anybody_s(tmp_path: Path) -> None:
    # The service gave it a new id: that nobody died is not proven of anyone.
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["no-loss", "dead-letter"])
    for id in "ab":
        h.send(id, at=1, poison=id == "a")
        h.receive(id, at=5)
    h.delete("b", at=6)
    h.dead("a", at=15)
    h.drained(at=20)
    assert counts(verdict_of(h, tmp_path)) == {}
    forget(h, "a", events=("dead",))
    next(record for record in h.files["main"] if record["event"] == "dead")["broker_id"] = "new"
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": "unknown", "dead-letter": "unknown"}, {})
    assert "orders: 1 records of dead letters cannot be told" in document["claims"][0]["why"][0]


def test_what_was_sent_back_is_received_under_another_name(tmp_path: Path) -> None:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=5)
    h.dead("a", at=10)
    h.redriven("a", at=11)
    h.receive("a", at=12, broker_id="anew", batch="again")
    h.delete("a", at=12.1)
    h.drained(at=20)
    forget(h, "a", events=("received", "settling", "settled"))
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unidentified": 1})


def test_a_phantom_is_told_by_its_answer_too(tmp_path: Path) -> None:
    # Sent by somebody who never said what it was meant to be.
    h = History({"orders": queue()}, ["no-phantom"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.record("p9", 1, "sent", id="ghost", attempt=1, outcome="ok", broker_id="g1", started=ns(1))
    h.take("ghost", at=5, broker_id="g1")
    h.drained(at=20)
    forget(h, "ghost")
    check(verdict_of(h, tmp_path), {"no-phantom": "violated"}, {"phantom": 1})


@pytest.mark.parametrize("event", ["received", "dead", "redriven"])
def test_a_record_that_names_nothing_at_all_is_damage(tmp_path: Path, event: str) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.drained(at=20)
    h.record("c9", 5, event, subscription="orders", partition="p1")
    (damage,) = verdict_of(h, tmp_path)["damaged"]
    assert damage["why"] == f"{event} without `id`, or `broker_id`, or `partition` with `broker_seq`"
