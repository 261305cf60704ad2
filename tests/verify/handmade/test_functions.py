"""Functions that a service invokes: what it may do of itself, and what is its fault or its configuration's.

`orders` is a FIFO queue with a mapping unless a case says otherwise; its messages stay hidden for 5 s. Messages are of
one group; a is before b. Functions record themselves unless `invocations` is `all`. Each case that breaks something has
a twin beside it that does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.verify.judge import judge
from tests.verify.handmade.builder import BASE, SECOND, History, check, fifo, mapped, queue, stream, verdict_of

ALL = {"invocations": "all"}
ON_QUEUES = ["no-loss", "batch-isolation", "esm-ordered", "no-premature-death", "discard-accounted"]


def sent(*ids: str, sub: dict[str, Any] | None = None, claims: list[str] | None = None, **fields: Any) -> History:
    """The messages are sent at 1 s and later, 10 ms apart."""
    h = History({"orders": sub or mapped()}, claims or ON_QUEUES)
    for n, id in enumerate(ids):
        h.send(id, at=1 + n / 100, broker_seq=str(n + 1), **fields)
    return h


# -- what is legal


def test_a_mapping_that_works(tmp_path: Path) -> None:
    # Nobody records a delete. a is done, b fails once and is done then.
    h = sent("a", "b")
    h.work("a", "b", at=2, failed=["b"])
    h.work("b", at=7.1)
    h.drained(at=20)
    holds = dict.fromkeys(ON_QUEUES, "holds")
    check(verdict_of(h, tmp_path), holds | {"esm-ordered": ("holds", 1), "batch-isolation": ("holds", 2)})


@pytest.mark.parametrize("told", ["", "a", "b", "ab"])
def test_invoked_counts_as_received_and_the_receives_of_that_batch_stand_for_it(tmp_path: Path, told: str) -> None:
    # Where a function tells of some only, nobody knows how they and the others stood.
    h = sent("a", "b", claims=["no-phantom", "no-loss", "esm-ordered", "lag"])
    h.manifest["claims"][3] = {"claim": "lag", "max_s": 3}
    batch = h.invoke("a", "b", at=2)
    for id in told:
        h.receive(id, at=2, batch=batch, consumer="f1", omit=("started",))
    h.respond(batch, at=2.1)
    h.drained(at=20)
    asked = {"no-phantom": ("holds", 2), "no-loss": ("holds", 2), "lag": ("holds", 2), "esm-ordered": ("holds", 1)}
    check(verdict_of(h, tmp_path), asked)


def test_a_copy_without_an_id_is_told_by_its_receive(tmp_path: Path) -> None:
    # The function does not know ids; the broker's names tell what it was invoked with, and what died.
    h = sent("a", "b", sub=mapped(**ALL))
    for n, id in enumerate("ab"):
        batch = h.invoke(at=2 + n)
        h.receive(id, at=2 + n, batch=batch, consumer="f1", omit=("started", "id"))
        h.respond(batch, at=2.5 + n)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2), "esm-ordered": ("holds", 1), "batch-isolation": "holds"})


@pytest.mark.parametrize("invocations", [{}, ALL])
def test_a_message_that_no_function_wrote_of(tmp_path: Path, invocations: dict[str, str]) -> None:
    # It was accepted, the queue is empty, it is not dead: whoever dies before it writes has not succeeded.
    h = sent("a", "b", sub=mapped(**invocations))
    h.work("b", at=2)
    h.drained(at=20)
    violated = {"no-loss": "violated", "discard-accounted": "violated", "esm-ordered": "holds"}
    check(verdict_of(h, tmp_path), violated, {"lost": 1, "discarded": 1})


@pytest.mark.parametrize("outcome, gone", [(None, 0), ("unknown", 0), ("ok", 0), ("failed", 1)])
def test_a_delete_may_have_begun_unless_the_invocation_failed(tmp_path: Path, outcome: str | None, gone: int) -> None:
    h = sent("a")
    batch = h.invoke("a", at=2)
    if outcome:
        h.respond(batch, at=2.1, outcome=outcome)
    h.drained(at=20)
    asked = {
        "no-loss": "violated" if gone else "holds",
        "discard-accounted": "violated" if gone else "holds" if outcome == "ok" else "unknown",
    }
    check(verdict_of(h, tmp_path), asked, {"vanished": gone, "discarded": gone})


def test_two_who_tell_of_an_answer_do_not_agree(tmp_path: Path) -> None:
    # The function says that it is done, who waited for it gave up before: a zombie. Nothing is proven by either.
    h = sent("a")
    batch = h.invoke("a", at=2)
    h.respond(batch, at=4, outcome="failed", consumer="poller")
    h.respond(batch, at=5)
    h.work("a", at=4.5, seen=True, consumer="f2", receives=2)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": "holds", "batch-isolation": "holds", "discard-accounted": "holds"})


# -- what comes again


@pytest.mark.parametrize("again, early", [(4, 1), (5.999, 1), (6.0, 0), (9, 0)])
@pytest.mark.parametrize("invocations", [{}, ALL])
def test_what_was_reported_done_comes_again(
    tmp_path: Path, again: float, early: int, invocations: dict[str, str]
) -> None:
    # It was intended at 1 s and is hidden for 5 s: received when, nobody knows, so it is hidden until 6 s. A function
    # that recorded its answer may die before the mapping has it, which may then give the message back.
    h = sent("a", sub=mapped(**invocations), claims=["batch-isolation", "exactly-once-delivery"])
    h.work("a", at=2, seen=True)
    h.work("a", at=again, seen=True)
    h.drained(at=20)
    asked = ("violated" if invocations else "unknown") if early else "holds"
    document = verdict_of(h, tmp_path)
    blamed = early if invocations else 0
    check(document, {"batch-isolation": (asked, 1), "exactly-once-delivery": asked}, {"early-redelivery": blamed})
    assert document["anomalies"]["batch-rerun"]["count"] == 1
    assert document["anomalies"]["redelivery"]["count"] == 1 - blamed


@pytest.mark.parametrize("outcome, failed", [("failed", []), ("ok", ["a"]), ("unknown", []), (None, [])])
def test_what_was_not_reported_done_may_come_again_at_any_time(
    tmp_path: Path, outcome: str | None, failed: list[str]
) -> None:
    # The mapping may have given it back.
    h = sent("a", "b", claims=["exactly-once-delivery", "batch-isolation"])
    batch = h.invoke("a", "b", at=2, seen=True)
    if outcome:
        h.respond(batch, at=2.1, outcome=outcome, failed=failed)
    h.work("a", at=3, seen=True)
    h.work("b", at=8, seen=True)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"exactly-once-delivery": "holds", "batch-isolation": "holds"})


@pytest.mark.parametrize("named, verdict", [("b", "violated"), ("stranger", "holds")])
def test_an_answer_that_names_a_stranger_reports_nothing_done(tmp_path: Path, named: str, verdict: str) -> None:
    # AWS does not say whether an identifier that is not of the batch fails all of it.
    h = sent("a", "b", sub=mapped(**ALL), claims=["batch-isolation"])
    h.respond(h.invoke("a", "b", at=2, seen=True), at=3, failed=[named])
    h.work("a", "b", at=3.5, seen=True)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"batch-isolation": verdict}, {"early-redelivery": int(verdict == "violated")})


def test_one_receive_is_invoked_twice(tmp_path: Path) -> None:
    # The mapping had no answer and asked again, within one hold; then the first one answered, too. Both say the same of
    # `receives`.
    h = sent("a", claims=["no-loss", "dead-letter", "batch-isolation"], poison=True)
    first = h.invoke("a", at=2, seen=True)
    second = h.invoke("a", at=2.5, seen=True, consumer="f2", receives=1)
    h.respond(second, at=2.6, consumer="f2")
    h.respond(first, at=2.7)
    h.drained(at=20)
    h.dead("a", at=19, receives=3)
    check(verdict_of(h, tmp_path), {"no-loss": "holds", "dead-letter": "holds", "batch-isolation": "holds"})


def test_of_a_rerun_that_names_no_copy_nobody_can_tell(tmp_path: Path) -> None:
    h = sent("a", claims=["batch-isolation"])
    h.work("a", at=2)
    h.work("a", at=3)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"batch-isolation": ("unknown", 1)})


def test_a_mapping_gathers_one_batch_from_several_receives(tmp_path: Path) -> None:
    # Hidden for less than the batching window, a copy is in it twice.
    h = sent("a", claims=["exactly-once-delivery"])
    batch = h.invoke("a", at=9)
    h.receive("a", at=9, batch=batch, consumer="f1", omit=("started",))
    h.receive("a", at=9, batch=batch, consumer="f1", omit=("started",))
    h.respond(batch, at=9.1)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"exactly-once-delivery": "holds"})


def test_what_a_function_was_invoked_with_may_come_from_a_replay(tmp_path: Path) -> None:
    # Of a, all that is known is that it was invoked; b was received, and not from the replay.
    h = sent("a", "b", sub=queue(settled_by="service"), claims=["replay-complete"])
    h.mark("replay-started", at=5, replay="again", since=BASE, until=BASE + 3 * SECOND)
    h.mark("replay-ended", at=6, replay="again", outcome="ok")
    h.work("a", at=2)
    h.work("a", at=7)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path), {"replay-complete": ("violated", 2)}, {"replay-missing": 1, "lost": 1, "discarded": 1}
    )


# -- order


def test_what_failed_comes_before_what_stands_behind_it(tmp_path: Path) -> None:
    # a fails and is invoked again before b; with b, too, as long as it stands before it.
    h = sent("a", "b", "c")
    h.respond(h.invoke("a", at=2, seen=True), at=2.1, outcome="failed")
    h.work("a", "b", at=7, seen=True, failed=["b"])
    h.work("b", "c", at=12, seen=True)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": ("holds", 2), "no-loss": "holds"})


@pytest.mark.parametrize("answer, overtaken", [("failed", 1), ("ok", 0), (None, 0)])
def test_b_is_invoked_while_a_waits_to_be_tried_again(tmp_path: Path, answer: str | None, overtaken: int) -> None:
    h = sent("a", "b")
    batch = h.invoke("a", at=2, seen=True)
    if answer:
        h.respond(batch, at=2.1, outcome=answer)
    h.work("b", at=3, seen=True)
    h.work("a", at=7, seen=True)
    h.drained(at=20)
    asked = {"esm-ordered": "violated" if overtaken else "holds"}
    check(verdict_of(h, tmp_path), asked, {"group-overtake": overtaken})


def test_a_zombie_of_a_dead_one_starts_late(tmp_path: Path) -> None:
    # The request of an invocation was on its way for so long that a was dead, and b done, when it began.
    h = sent("a", "b", sub=mapped())
    h.subscriptions["orders"]["max_receives"] = 1
    h.respond(h.invoke("a", at=2, seen=True), at=2.1, outcome="failed")
    h.work("b", at=8, seen=True)
    h.invoke("a", at=9, seen=True, receives=1)
    h.dead("a", at=19, receives=1)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": "holds"}, {"collateral-dead": 0, "healthy-dead": 1})


@pytest.mark.parametrize("first, second", [("b", "a")])
def test_invoked_in_the_wrong_order(tmp_path: Path, first: str, second: str) -> None:
    h = sent("a", "b")
    h.work(first, at=2)
    h.work(second, at=3)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": ("violated", 1)}, {"nonmonotonic-delivery": 1})


@pytest.mark.parametrize(
    "answered, second, concurrent",
    [
        # At work until 4 s, and hidden until 6 s at the least.
        (4, 3, 1),
        (3, 3, 0),
        (2.9, 3, 0),
        # Its hold may have ended at 6 s, whatever comes of it then.
        (9, 6, 0),
        (9, 5.9, 1),
    ],
)
def test_another_invocation_of_the_group_is_at_work(
    tmp_path: Path, answered: float, second: float, concurrent: int
) -> None:
    h = sent("a", "b")
    batch = h.invoke("a", at=2)
    h.work("b", at=second, took=0.05, consumer="f2")
    h.respond(batch, at=answered)
    h.drained(at=20)
    asked = {"esm-ordered": "violated" if concurrent else "holds"}
    check(verdict_of(h, tmp_path), asked, {"concurrent-invocation": concurrent})


def test_the_dead_letters_were_not_read_since(tmp_path: Path) -> None:
    h = sent("a", "b")
    batch = h.invoke("a", at=2)
    h.work("b", at=3, took=0.05, consumer="f2")
    h.respond(batch, at=4)
    check(verdict_of(h, tmp_path), {"esm-ordered": "unknown"})


def test_groups_are_invoked_at_once(tmp_path: Path) -> None:
    h = sent("a")
    h.send("x", at=1, producer="p2", group="h", broker_seq="9")
    h.send("y", at=1.1, producer="p2", group="h", broker_seq="10")
    batch = h.invoke("a", at=2)
    h.work("x", at=3, consumer="f2")
    h.work("y", at=3.5, consumer="f2")
    h.respond(batch, at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": ("holds", 1)})


@pytest.mark.parametrize("rerun", ["a", "b"])
def test_a_zombie_beside_what_was_invoked_again(tmp_path: Path, rerun: str) -> None:
    # The function works for longer than its messages are hidden, or its answer is lost: what is invoked beside it was
    # invoked before, or it is not the only one that holds its message.
    h = sent("a", "b")
    if rerun == "a":
        zombie = h.invoke("a", at=2)
        h.work("a", at=3, consumer="f2")
        h.work("b", at=4, consumer="f2")
        h.respond(zombie, at=5)
    else:
        h.work("a", at=2)
        zombie = h.invoke("b", at=2.5)
        h.work("a", at=3, consumer="f2")
        h.respond(zombie, at=5)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": ("holds", 1)})


def test_a_fleet_of_functions_on_clocks_that_differ(tmp_path: Path) -> None:
    # By their own clocks b began while a was at work; they may be wrong by 2 s.
    h = History({"orders": mapped()}, ["esm-ordered"], clock_error_s=2)
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    batch = h.invoke("a", at=2)
    h.work("b", at=3.5, took=0.05, consumer="f2")
    h.respond(batch, at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"esm-ordered": "unknown"})


# -- deaths


@pytest.mark.parametrize(
    "invocations, times, verdict", [(ALL, 2, "violated"), (ALL, 3, "holds"), ({}, 2, "unknown"), ({}, 3, "holds")]
)
def test_dead_before_all_its_invocations(tmp_path: Path, invocations: dict[str, str], times: int, verdict: str) -> None:
    # Throttled invocations used up receives in vain.
    h = sent("a", "b", sub=mapped(**invocations), claims=["no-premature-death", "no-loss"])
    for n in range(times):
        h.respond(h.invoke("a", at=2 + 6 * n), at=2.1 + 6 * n, outcome="failed")
    h.work("b", at=30)
    h.dead("a", at=39, receives=3)
    h.drained(at=40)
    early = int(verdict == "violated")
    asked = {"no-premature-death": (verdict, 2), "no-loss": "holds"}
    check(verdict_of(h, tmp_path), asked, {"premature-death": early, "healthy-dead": 1}, open="dlq-gap")


def test_one_batch_brought_what_two_receives_brought(tmp_path: Path) -> None:
    h = sent("a", sub=mapped(**ALL) | {"max_receives": 2}, claims=["no-premature-death"])
    batch = h.invoke("a", "a", at=9)
    for receives in (1, 2):
        h.receive("a", at=9, batch=batch, consumer="f1", receives=receives, omit=("started",))
    h.respond(batch, at=9.1, outcome="failed", consumer="f1")
    h.dead("a", at=39, receives=2)
    h.drained(at=40)
    check(verdict_of(h, tmp_path), {"no-premature-death": "holds"}, {"healthy-dead": 1}, open="early-redelivery")


def test_received_but_never_invoked_is_no_invocation(tmp_path: Path) -> None:
    # A poller that behaves as a mapping records its receives, and that it was throttled.
    poller = fifo(dead_letter=True, max_receives=3, **ALL)
    h = sent("a", "b", sub=poller, claims=["no-premature-death", "no-loss"])
    for n in range(3):
        h.receive("a", at=2 + 6 * n)
    batch = h.invoke("b", at=30)
    h.receive("b", at=30, batch=batch)
    h.respond(batch, at=30.1)
    h.delete("b", at=30.2)
    h.dead("a", at=39, receives=3)
    h.drained(at=40)
    asked = {"no-premature-death": ("violated", 2), "no-loss": "holds"}
    check(verdict_of(h, tmp_path), asked, {"premature-death": 1, "collateral-dead": 1}, open="dlq-gap")


@pytest.mark.parametrize(
    "others, outcome, failed, verdict, anomalies",
    [
        # Its own failure.
        ([], "failed", [], "violated", {"healthy-dead": 1}),
        (["p"], "ok", ["b"], "violated", {"healthy-dead": 1}),
        # A poison one stood before it, and it was given back unhandled; or the whole batch failed: by whom?
        (["p"], "ok", ["p", "b"], "unknown", {}),
        (["p"], "failed", [], "unknown", {}),
        # Nobody tells of a failure: its visibility ran out.
        ([], None, [], "holds", {"collateral-dead": 1}),
    ],
)
def test_who_failed_it(
    tmp_path: Path,
    others: list[str],
    outcome: str | None,
    failed: list[str],
    verdict: str,
    anomalies: dict[str, int],
) -> None:
    h = History({"orders": mapped()}, ["dead-letter"])
    h.send("p", at=1, poison=True, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    for n in range(3):
        batch = h.invoke(*others, "b", at=2 + 6 * n, seen=True)
        if outcome:
            h.respond(batch, at=2.1 + 6 * n, outcome=outcome, failed=failed)
    h.dead("p", at=39)
    h.dead("b", at=39)
    h.drained(at=40)
    check(verdict_of(h, tmp_path), {"dead-letter": (verdict, 1)}, anomalies, open="dlq-gap")


def test_on_a_standard_queue_each_that_is_named_was_failed(tmp_path: Path) -> None:
    standard = queue(settled_by="service", dead_letter=True, max_receives=1)
    h = sent("p", "b", sub=standard, claims=["dead-letter"])
    h.work("p", "b", at=2, failed=["p", "b"], seen=True)
    h.dead("p", at=39)
    h.dead("b", at=39)
    h.drained(at=40)
    check(verdict_of(h, tmp_path), {"dead-letter": "violated"}, {"healthy-dead": 2})


# -- what is given up


def asynchronous(**fields: Any) -> dict[str, Any]:
    """SNS or EventBridge invokes the function: two retries, and nothing is hidden."""
    return {"kind": "queue", "settled_by": "service", "max_receives": 3, **fields}


@pytest.mark.parametrize("last, discarded", [("failed", 1), ("ok", 0)])
def test_an_asynchronous_invocation_is_given_up(tmp_path: Path, last: str, discarded: int) -> None:
    h = sent("a", "b", sub=asynchronous(), claims=["no-loss", "discard-accounted"])
    h.work("b", at=2)
    for n, outcome in enumerate(("failed", "failed", last)):
        h.respond(h.invoke("a", at=2 + 60 * n), at=3 + 60 * n, outcome=outcome)
    h.drained(at=200)
    asked = {"no-loss": "holds", "discard-accounted": ("violated" if discarded else "holds", 2)}
    check(verdict_of(h, tmp_path), asked, {"discarded": discarded})


def test_the_on_failure_destination_accounts_for_it(tmp_path: Path) -> None:
    destination = asynchronous(dead_letter=True)
    h = sent("a", sub=destination, claims=["discard-accounted", "no-premature-death", "dead-letter"], poison=True)
    for n in range(3):
        h.respond(h.invoke("a", at=2 + 60 * n), at=3 + 60 * n, outcome="failed")
    h.dead("a", at=199)
    h.drained(at=200)
    asked = {"discard-accounted": "holds", "no-premature-death": "holds", "dead-letter": ("holds", 1)}
    check(verdict_of(h, tmp_path), asked)


@pytest.mark.parametrize("invocations, lost", [({}, 0), (ALL, 1)])
def test_given_up_without_a_record(tmp_path: Path, invocations: dict[str, str], lost: int) -> None:
    # Its function died thrice before it wrote; or, where each invocation is recorded, nobody ever invoked it.
    h = sent("a", "b", sub=asynchronous(**invocations), claims=["no-loss", "discard-accounted"])
    h.work("b", at=2)
    h.drained(at=200)
    asked = {"no-loss": "violated" if lost else "unknown", "discard-accounted": "violated"}
    check(verdict_of(h, tmp_path), asked, {"lost": lost, "unseen": 1 - lost, "discarded": 1})


# -- streams

RECORDS = {"a": "1", "b": "2", "c": "3"}


def shard(claims: list[str], **fields: Any) -> History:
    h = History({"orders": stream(settled_by="service", **fields)}, claims)
    for id, number in RECORDS.items():
        h.send(id, at=1, producer=f"p-{id}", partition="s1", broker_seq=number)
    return h


def test_a_stream_begins_again_at_the_lowest_that_failed(tmp_path: Path) -> None:
    # c was not among the failed and comes again all the same; nobody says that it was done before.
    h = shard(["esm-ordered", "no-loss", "discard-accounted", "ordered-per-partition"])
    h.work("a", "b", "c", at=2, failed=["b"])
    h.work("b", "c", at=3)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    asked = {"esm-ordered": ("holds", 2), "ordered-per-partition": ("holds", 2)}
    check(document, asked | {"no-loss": "holds", "discard-accounted": ("holds", 3)})
    assert document["anomalies"]["batch-rerun"]["count"] == 0


def test_a_stream_is_read_again_after_success(tmp_path: Path) -> None:
    # Its checkpoint was lost: legal, and counted.
    h = shard(["esm-ordered", "no-loss"])
    h.work("a", "b", at=2)
    h.work("a", "b", "c", at=3)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"esm-ordered": "holds", "no-loss": "holds"})
    assert document["anomalies"]["batch-rerun"]["count"] == 2


@pytest.mark.parametrize("record, discarded", [(True, 0), (False, 1)])
def test_a_stream_gives_up_a_record(tmp_path: Path, record: bool, discarded: int) -> None:
    # Bisected until b alone fails; its on-failure record names its place alone.
    h = shard(["esm-ordered", "no-loss", "discard-accounted"])
    h.respond(h.invoke("a", "b", "c", at=2), at=2.1, outcome="failed")
    h.work("a", at=3)
    h.respond(h.invoke("b", at=4), at=4.1, outcome="failed")
    h.work("c", at=5)
    if record:
        h.record("main", 19, "dead", subscription="orders", partition="s1", broker_seq="2")
    h.drained(at=20)
    asked = {"esm-ordered": "holds", "no-loss": "holds"}
    asked["discard-accounted"] = "violated" if discarded else "holds"
    check(verdict_of(h, tmp_path), asked, {"discarded": discarded, "healthy-dead": 1 - discarded}, open="dlq-gap")


@pytest.mark.parametrize("expected, discarded", [(False, 0), (True, 1)])
def test_a_filter_of_a_stream_passes_a_record_over(tmp_path: Path, expected: bool, discarded: int) -> None:
    # No function sees b, and the checkpoint stands behind it: rightly, unless the filter should have let it through.
    h = History({"orders": stream(settled_by="service", filtered=True, **ALL)}, ["no-loss", "discard-accounted"])
    for id, number in RECORDS.items():
        asked = ["orders"] if id != "b" or expected else []
        h.send(id, at=1, producer=f"p-{id}", partition="s1", broker_seq=number, expect=asked)
    h.work("a", "c", at=2)
    h.drained(at=20)
    verdict = "violated" if discarded else "holds"
    check(
        verdict_of(h, tmp_path),
        {"no-loss": verdict, "discard-accounted": verdict},
        {"discarded": discarded, "lost": discarded},
    )


@pytest.mark.parametrize("other, concurrent", [("k", 0), ("g", 1)])
def test_a_shard_has_several_lanes(tmp_path: Path, other: str, concurrent: int) -> None:
    # a takes long; b and c are of another key, and pass it by. Of the same key that would be a fault.
    claims = ["esm-ordered", "no-loss", "ordered-per-partition"]
    h = History({"orders": stream(settled_by="service", **ALL)}, claims)
    for id, number in RECORDS.items():
        group = "g" if id == "a" else other
        h.send(id, at=1, producer=f"p-{id}", group=group, partition="s1", broker_seq=number)
    batch = h.invoke("a", at=2)
    h.work("b", at=3, took=0.05, consumer="f2")
    h.respond(batch, at=4)
    h.work("c", at=5)
    h.drained(at=20)
    asked = {**dict.fromkeys(claims, "holds"), "esm-ordered": "violated" if concurrent else "holds"}
    check(verdict_of(h, tmp_path), asked, {"concurrent-invocation": concurrent})


@pytest.mark.parametrize("invocations, concurrent", [(ALL, 1), ({}, 0)])
def test_a_key_is_in_two_invocations_at_once(tmp_path: Path, invocations: dict[str, str], concurrent: int) -> None:
    # Where functions record themselves the service may have given up the first one, which is a zombie then.
    h = shard(["esm-ordered"], **invocations)
    batch = h.invoke("a", at=2)
    h.work("b", at=3, took=0.05, consumer="f2")
    h.respond(batch, at=4)
    h.work("c", at=5)
    h.drained(at=20)
    asked = {"esm-ordered": ("violated" if concurrent else "holds", 2)}
    check(verdict_of(h, tmp_path), asked, {"concurrent-invocation": concurrent})


# -- what a verdict shows


def test_the_timeline_tells_what_the_function_answered(tmp_path: Path) -> None:
    h = sent("a", sub=asynchronous(), claims=["discard-accounted"])
    h.respond(h.invoke("a", at=2), at=3, outcome="failed")
    h.drained(at=20)
    (example,) = verdict_of(h, tmp_path)["anomalies"]["discarded"]["examples"]
    told = [(event["event"], event.get("outcome")) for event in example["timeline"]]
    assert told == [("intended", None), ("sent", "ok"), ("received", None), ("responded", "failed")]


def test_nobody_records_the_function(tmp_path: Path) -> None:
    h = sent("a", sub=mapped(seen_from="nobody"))
    h.drained(at=20)
    check(verdict_of(h, tmp_path), dict.fromkeys(ON_QUEUES, "unknown"))


def test_a_history_without_invocations_is_covered_by_no_claim_of_functions(tmp_path: Path) -> None:
    h = sent("a", sub=fifo(dead_letter=True, max_receives=3))
    h.take("a", at=2)
    h.drained(at=20)
    asked = dict.fromkeys(ON_QUEUES, "unknown") | {"no-loss": "holds"}
    check(verdict_of(h, tmp_path), asked)


def test_what_came_again_by_no_copy_s_name_is_judged_all_the_same(tmp_path: Path) -> None:
    """An example of it has no cause, for no receive tells which copy it was."""
    h = History({"q": queue(settled_by="service", invocations="all")}, ["no-loss"])
    h.send("a", at=1)
    h.work("a", at=2)
    h.work("a", at=8)
    h.drained(at=60)
    document = judge(h.write(tmp_path / "run")).document
    assert document["verdict"] == "holds"
    assert document["anomalies"]["batch-rerun"]["count"] == 1
    assert "why" not in document["anomalies"]["batch-rerun"]["examples"][0]
