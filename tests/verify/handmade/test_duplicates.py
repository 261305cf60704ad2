"""Duplicates and holds: second copies, second deliveries, and when a message that is held may be seen again.

`orders` deduplicates for 300 s and hides a message for 5 s unless a case says otherwise. A message is sent at 1 and
received by a call begun at 2: its hold then ends at 7 at the earliest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, fifo, queue, stream, verdict_of

CLAIMS = ["no-loss", "exactly-once-delivery"]


# -- more than one copy


def copies(dedup_window_s: float | None, *enqueued: float | None) -> History:
    """a is acked at the second attempt and received as so many copies, one for each time of `enqueued`."""
    h = History({"orders": queue(dedup_window_s=dedup_window_s)}, CLAIMS)
    h.send("a", at=1, outcome="unknown")
    h.send("a", at=2)
    for n, moment in enumerate(enqueued):
        omit = ["enqueued"] if moment is None else []
        h.take("a", at=1000 + n, broker_id=f"copy-{n}", enqueued=moment, omit=omit)
    h.drained(at=2000)
    return h


def test_one_copy(tmp_path: Path) -> None:
    check(verdict_of(copies(None, 1), tmp_path), {"no-loss": ("holds", 1), "exactly-once-delivery": ("holds", 1)})


def test_two_copies(tmp_path: Path) -> None:
    # A queue without deduplication: any second copy violates exactly-once; checked counts messages, not copies.
    check(
        verdict_of(copies(None, 1, 2), tmp_path),
        {"no-loss": ("holds", 1), "exactly-once-delivery": ("violated", 1)},
        {"send-duplicate": 1},
    )


def test_three_copies_are_two_too_many(tmp_path: Path) -> None:
    check(
        verdict_of(copies(None, 1, 2, 3), tmp_path),
        {"exactly-once-delivery": ("violated", 1)},
        {"send-duplicate": 2},
    )


@pytest.mark.parametrize("gap, verdict", [(299, "violated"), (301, "holds")])
def test_the_deduplication_window(tmp_path: Path, gap: float, verdict: str) -> None:
    # A copy enqueued 301 s after the one before it is outside of what 300 s of deduplication promise.
    check(
        verdict_of(copies(300, 1, 1 + gap), tmp_path),
        {"exactly-once-delivery": (verdict, 1)},
        {"send-duplicate": 1},
    )


def test_the_window_reaches_from_copy_to_copy(tmp_path: Path) -> None:
    # Each copy is 200 s after the one before it, though the last is 400 s after the first.
    check(
        verdict_of(copies(300, 1, 201, 401), tmp_path),
        {"exactly-once-delivery": ("violated", 1)},
        {"send-duplicate": 2},
    )


def test_every_copy_outside_of_the_window(tmp_path: Path) -> None:
    check(
        verdict_of(copies(300, 1, 302, 603), tmp_path),
        {"exactly-once-delivery": ("holds", 1)},
        {"send-duplicate": 2},
    )


def test_a_copy_of_unknown_age(tmp_path: Path) -> None:
    # Nobody knows whether the second copy came within the window.
    check(
        verdict_of(copies(300, 1, None), tmp_path),
        {"exactly-once-delivery": ("unknown", 1), "no-loss": ("holds", 1)},
        {"send-duplicate": 1},
    )


def test_without_a_window_the_age_does_not_matter(tmp_path: Path) -> None:
    check(
        verdict_of(copies(None, 1, None), tmp_path),
        {"exactly-once-delivery": ("violated", 1)},
        {"send-duplicate": 1},
    )


@pytest.mark.parametrize(
    "partition, number, found",
    [("s1", "10", "redelivery"), ("s1", "11", "send-duplicate"), ("s2", "10", "send-duplicate")],
)
def test_copies_in_a_stream(tmp_path: Path, partition: str, number: str, found: str) -> None:
    # On a stream the copy is (partition, number): the same record read twice is a redelivery.
    h = History({"orders": stream()}, CLAIMS)
    h.send("a", at=1, outcome="unknown")
    h.send("a", at=2, partition="s1", broker_seq="10")
    h.receive("a", at=3)
    h.receive("a", at=4, partition=partition, broker_seq=number)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("holds" if found == "redelivery" else "violated", 1)},
        {found: 1},
    )


@pytest.mark.parametrize("back", [True, False])
def test_a_copy_after_a_redrive(tmp_path: Path, back: bool) -> None:
    # Sent back from the dead letters, the message comes under a new id: no duplicate. Without the redrive it is one.
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2)
    if back:
        h.dead("a", at=10, receives=1)
        h.redriven("a", at=11)
    h.take("a", at=12, broker_id="again")
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("holds" if back else "violated", 1)},
        {"send-duplicate": 0 if back else 1},
    )


# -- received again: legal, or too early


def again(
    at: float,
    *,
    subscription: dict[str, Any] | None = None,
    sent: float = 1,
    started: float = 2,
    first: float = 2.1,
    second: dict[str, Any] | None = None,
    **manifest: Any,
) -> History:
    """a is received by c1 (recorded at `first`, batch "held") and by c2 at `at`, who deletes it; drained at 100."""
    h = History({"orders": subscription or fifo()}, CLAIMS, **manifest)
    h.send("a", at=sent)
    h.receive("a", at=first, started=started, batch="held")
    h.take("a", at=at, **({"consumer": "c2"} | (second or {})))
    h.drained(at=100)
    return h


def redelivered(h: History, tmp_path: Path, *, early: bool, **others: int) -> None:
    """The second receive is legal or early, and `exactly-once-delivery` accordingly."""
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("violated" if early else "holds", 1), "no-loss": ("holds", 1)},
        {
            "early-redelivery" if early else "redelivery": 1,
            **{name.replace("_", "-"): count for name, count in others.items()},
        },
    )


@pytest.mark.parametrize("at, early", [(7 - NS, True), (7, False), (7 + NS, False)])
def test_the_end_of_a_hold(tmp_path: Path, at: float, early: bool) -> None:
    # The call began at 2, 5 s hidden: the earliest end is 7, and at 7 is not before 7.
    redelivered(again(at), tmp_path, early=early)


@pytest.mark.parametrize("at, early", [(6.999 - NS, True), (6.999, False)])
def test_the_tick_of_the_broker(tmp_path: Path, at: float, early: bool) -> None:
    # The broker counts in milliseconds: the earliest end is 6.999.
    redelivered(again(at, broker_tick_s=0.001), tmp_path, early=early)


@pytest.mark.parametrize(
    "at, verdict",
    [(6.99 - NS, "violated"), (6.99, "unknown"), (6.995, "unknown"), (7.01 - NS, "unknown"), (7.01, "holds")],
)
def test_the_clock_error_at_the_end_of_a_hold(tmp_path: Path, at: float, verdict: str) -> None:
    # Before is by more than 10 ms: 6.99 is no more than 10 ms before 7. Up to 10 ms after 7 nobody can tell.
    check(
        verdict_of(again(at, clock_error_s=0.01), tmp_path),
        {"exactly-once-delivery": (verdict, 1), "no-loss": ("holds", 1)},
        {"early-redelivery" if verdict == "violated" else "redelivery": 1},
    )


def test_the_clock_error_where_one_writer_saw_both(tmp_path: Path) -> None:
    # One clock has no error: 7.005 is after 7.
    h = again(7.005, clock_error_s=0.01, second={"consumer": "c1"})
    redelivered(h, tmp_path, early=False)


def test_early_where_nothing_is_deduplicated(tmp_path: Path) -> None:
    # A standard queue may deliver again at any time.
    redelivered(again(3, subscription=queue()), tmp_path, early=False)


@pytest.mark.parametrize("at, early", [(7.9, True), (8, False)])
def test_a_call_that_waited_for_the_message(tmp_path: Path, at: float, early: bool) -> None:
    # The call began at 0.5, a was intended at 3: its hold cannot have begun before 3, nor ended before 8.
    redelivered(again(at, sent=3, started=0.5, first=3.1), tmp_path, early=early)


def test_a_paused_consumer_writes_late(tmp_path: Path) -> None:
    # c1's call began at 2; stopped with a in hand, it records at 10. Meanwhile the hold ended at 7 and c2 got a at 7.5.
    # From the record at 10 one would wrongly reckon a hold until 15. The receive with k - 1 is recorded, if later.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=10, started=2, receives=1, batch="held")
    h.take("a", at=7.5, consumer="c2", receives=2)
    h.drained(at=100)
    redelivered(h, tmp_path, early=False)


SAME_BATCH: dict[str, Any] = {"consumer": "c1", "batch": "held", "started": 2, "receives": 1}


def test_twice_in_one_batch(tmp_path: Path) -> None:
    redelivered(again(2.1, second=SAME_BATCH), tmp_path, early=True)


def test_twice_in_one_batch_without_deduplication(tmp_path: Path) -> None:
    redelivered(again(2.1, subscription=queue(), second=SAME_BATCH), tmp_path, early=False)


def test_a_receive_in_between_that_nobody_recorded(tmp_path: Path) -> None:
    # receives goes from 1 to 3: the hold of the second receive is unknown (it may have been released).
    redelivered(again(3, second={"receives": 3}), tmp_path, early=False, unrecorded_receive=1)


@pytest.mark.parametrize(
    "outcome, began, early",
    [("ok", 3, False), ("unknown", 3, False), (None, 3, False), ("failed", 3, True), ("ok", 3.6, True)],
)
def test_released(tmp_path: Path, outcome: str | None, began: float, early: bool) -> None:
    # Received again at 3.5, within the hold: only a release begun before and not known to have failed explains it.
    h = again(3.5)
    h.release("a", at=began, batch="held", consumer="c1", outcome=outcome)
    redelivered(h, tmp_path, early=early)


def test_released_at_the_same_moment(tmp_path: Path) -> None:
    # Two files, equal times: the release may have come first, and that excuses.
    h = again(3.5)
    h.release("a", at=3.5, batch="held", consumer="c1")
    redelivered(h, tmp_path, early=False)


def test_the_release_of_another_hold(tmp_path: Path) -> None:
    # c1 held from 2 and, after the hold ended at 7, from 8 to 13. A release of the first hold (void by then) at 9 does
    # not end the second: 9.5 is early.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2, batch="first")
    h.receive("a", at=8, batch="second")
    h.release("a", at=9, batch="first")
    h.take("a", at=9.5, consumer="c2")
    h.drained(at=100)
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("violated", 1)},
        {"redelivery": 1, "early-redelivery": 1},
    )


# -- extended holds


def extended(at: float, *extends: tuple[float, float, float, str | None], **fields: Any) -> History:
    """`again`, with extensions of the first hold: (begun, answered, hidden_s, outcome)."""
    h = again(at, **fields)
    for begun, answered, hidden_s, outcome in extends:
        h.extend("a", at=begun, ended=answered, hidden_s=hidden_s, outcome=outcome, batch="held", consumer="c1")
    return h


@pytest.mark.parametrize("at, early", [(8, True), (14 - NS, True), (14, False)])
def test_extended_in_time(tmp_path: Path, at: float, early: bool) -> None:
    # Begun at 4, answered ok at 4.1, before 7: the hold ends at 4 + 10 = 14 at the earliest.
    redelivered(extended(at, (4, 4.1, 10, "ok")), tmp_path, early=early)


def test_the_tick_shortens_an_extension_too(tmp_path: Path) -> None:
    # 14 less 1 ms.
    redelivered(extended(13.999, (4, 4.1, 10, "ok"), broker_tick_s=0.001), tmp_path, early=False)


@pytest.mark.parametrize("at, early", [(4.9, True), (5.5, False)])
def test_shortened_in_time(tmp_path: Path, at: float, early: bool) -> None:
    # An extension by 1 s, begun at 4, replaces the end at 7 by 5.
    redelivered(extended(at, (4, 4.1, 1, "ok")), tmp_path, early=early)


@pytest.mark.parametrize("answered, early", [(7 - NS, True), (7, False), (7.2, False)])
def test_extended_late(tmp_path: Path, answered: float, early: bool) -> None:
    # Begun at 6.5. Answered before 7, the earliest end is 16.5 and 8 is early. Answered at 7 or after, the hold may
    # have been over already: the earliest end stays min(7, 16.5) = 7.
    redelivered(extended(8, (6.5, answered, 10, "ok")), tmp_path, early=early)


@pytest.mark.parametrize("outcome", ["unknown", None])
@pytest.mark.parametrize("hidden_s, at, early", [(10, 8, False), (10, 6.9, True), (1, 5.5, False), (1, 4.9, True)])
def test_an_extension_that_may_have_worked(
    tmp_path: Path, outcome: str | None, hidden_s: float, at: float, early: bool
) -> None:
    # The earliest end is the earlier of 7 and 4 + hidden_s: 7 with 10 s, 5 with 1 s.
    redelivered(extended(at, (4, 4.1, hidden_s, outcome)), tmp_path, early=early)


@pytest.mark.parametrize("hidden_s, at, early", [(10, 8, False), (1, 5.5, True)])
def test_an_extension_that_failed(tmp_path: Path, hidden_s: float, at: float, early: bool) -> None:
    # It changed nothing: the end is 7.
    redelivered(extended(at, (4, 4.1, hidden_s, "failed")), tmp_path, early=early)


@pytest.mark.parametrize("begun, early", [(5, False), (6.5, True)])
def test_an_extension_begun_after_the_receive_in_question(tmp_path: Path, begun: float, early: bool) -> None:
    # Received again at 6. An extension by 0.5 s begun at 5 ends the hold at 5.5; begun at 6.5 it has no say.
    redelivered(extended(6, (begun, begun + 0.1, 0.5, "ok")), tmp_path, early=early)


@pytest.mark.parametrize("at, early", [(20, True), (23, False)])
def test_extended_twice(tmp_path: Path, at: float, early: bool) -> None:
    # 7, then 4 + 10 = 14, then, answered before 14, 13 + 10 = 23.
    redelivered(extended(at, (4, 4.1, 10, "ok"), (13, 13.1, 10, "ok")), tmp_path, early=early)


def test_an_extension_of_another_batch(tmp_path: Path) -> None:
    # The extension names another receive call: the hold in question ended at 7.
    h = again(8)
    h.extend("a", at=4, hidden_s=10, batch="another", consumer="c1")
    redelivered(h, tmp_path, early=False)


@pytest.mark.parametrize("at, early", [(6.9, True), (7, False)])
def test_the_visibility_timeout_stands_in(tmp_path: Path, at: float, early: bool) -> None:
    # The first receive does not tell its hidden_s: 5 s of the subscription.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2, omit=["hidden_s"])
    h.take("a", at=at, consumer="c2")
    h.drained(at=100)
    redelivered(h, tmp_path, early=early)


@pytest.mark.parametrize("at, early", [(11.9, True), (12, False)])
def test_the_timeout_in_force_and_not_the_usual_one(tmp_path: Path, at: float, early: bool) -> None:
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2, hidden_s=10)
    h.take("a", at=at, consumer="c2")
    h.drained(at=100)
    redelivered(h, tmp_path, early=early)


@pytest.mark.parametrize("at, early", [(4.01 - NS, True), (4.01, False)])
def test_a_fraction_of_a_second(tmp_path: Path, at: float, early: bool) -> None:
    # 2.01 s are 2,010,000,000 ns, and not one less, as 2.01 * 1e9 cut off is.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2, hidden_s=2.01)
    h.take("a", at=at, started=2.2, consumer="c2")
    h.drained(at=100)
    redelivered(h, tmp_path, early=early)


# -- received after its delete


def after_delete(
    *,
    answered: float = 3.1,
    outcome: str | None = "ok",
    called: float = 3.5,
    at: float = 3.6,
    dedup_window_s: float | None = 300,
) -> History:
    """a, held from 2 to 7, is deleted, and a receive follows whose count tells nothing of that hold."""
    h = History({"orders": queue(dedup_window_s=dedup_window_s)}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2)
    h.delete("a", at=3, ended=answered, outcome=outcome)
    h.receive("a", at=at, started=called, consumer="c2", receives=5)
    h.drained(at=100)
    return h


def test_received_after_its_delete(tmp_path: Path) -> None:
    # Deleted at 3.1, within the hold; a call begun at 3.5 has it again.
    redelivered(after_delete(), tmp_path, early=True, unrecorded_receive=1)


@pytest.mark.parametrize("outcome", ["unknown", None])
def test_received_after_a_delete_of_unknown_outcome(tmp_path: Path, outcome: str | None) -> None:
    redelivered(after_delete(outcome=outcome), tmp_path, early=False, unrecorded_receive=1)


def test_received_by_a_call_begun_before_the_answer(tmp_path: Path) -> None:
    # The call began at 3.05, the delete was answered at 3.1.
    redelivered(after_delete(called=3.05), tmp_path, early=False, unrecorded_receive=1)


@pytest.mark.parametrize("answered", [7, 7.5])
def test_received_after_a_delete_that_came_too_late(tmp_path: Path, answered: float) -> None:
    # The hold may have ended at 7: a delete answered then or later may have been void.
    redelivered(after_delete(answered=answered, called=8, at=8.1), tmp_path, early=False, unrecorded_receive=1)


def test_received_after_its_delete_without_deduplication(tmp_path: Path) -> None:
    redelivered(after_delete(dedup_window_s=None), tmp_path, early=False, unrecorded_receive=1)


# -- receives that nobody recorded


@pytest.mark.parametrize(
    "receives, found",
    [
        ([1, 2, 3], {"redelivery": 2}),
        ([2], {"unrecorded-receive": 1}),
        ([2, 3], {"unrecorded-receive": 1, "redelivery": 1}),
        ([1, 3], {"unrecorded-receive": 1, "redelivery": 1}),
        ([2, 4], {"unrecorded-receive": 2, "redelivery": 1}),
    ],
)
def test_unrecorded_receives(tmp_path: Path, receives: list[int], found: dict[str, int]) -> None:
    # Each count k > 1 without a recorded k - 1 tells of a receive that nobody recorded: legal.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    for n, k in enumerate(receives):
        h.receive("a", at=2 + 6 * n, receives=k)
    h.delete("a", at=2.1 + 6 * (len(receives) - 1))
    h.drained(at=100)
    check(verdict_of(h, tmp_path), {"exactly-once-delivery": ("holds", 1), "no-loss": ("holds", 1)}, found)


def test_unrecorded_receives_are_told_by_copy(tmp_path: Path) -> None:
    # The first receive of another copy is no first receive of this one.
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1, outcome="unknown")
    h.send("a", at=1.5)
    h.take("a", at=2, broker_id="one", receives=1)
    h.take("a", at=3, broker_id="two", receives=2)
    h.drained(at=100)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)}, {"unrecorded-receive": 1, "send-duplicate": 1})


# -- deletes after the hold


def deleted(at: float, **fields: Any) -> History:
    """a is received by a call begun at 2 and recorded at 2.1, and its delete begins at `at`."""
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2)
    h.delete("a", at=at, **fields)
    h.drained(at=100)
    return h


def stale(h: History, tmp_path: Path, found: int) -> None:
    """A stale delete violates nothing."""
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("holds", 1), "exactly-once-delivery": ("holds", 1)},
        {"stale-delete": found},
    )


@pytest.mark.parametrize("at, found", [(7.05, 0), (7.1, 0), (7.1 + NS, 1)])
def test_a_stale_delete(tmp_path: Path, at: float, found: int) -> None:
    # The latest end is 5 s after the record at 2.1.
    stale(deleted(at), tmp_path, found)


@pytest.mark.parametrize("begun, found", [(7.05, 0), (7.2, 1)])
def test_a_stale_delete_known_by_its_answer_alone(tmp_path: Path, begun: float, found: int) -> None:
    # Without its intent a delete was begun at `started`, not at the answer.
    stale(deleted(begun, ended=7.5, announced=False), tmp_path, found)


@pytest.mark.parametrize("outcome", ["unknown", None])
def test_a_stale_delete_of_unknown_outcome(tmp_path: Path, outcome: str | None) -> None:
    stale(deleted(7.2, outcome=outcome), tmp_path, 1)


@pytest.mark.parametrize(
    "extend, at, found",
    [
        ((4, 4.1, 10, "ok"), 14.1, 0),  # 4.1 + 10
        ((4, 4.1, 10, "ok"), 14.1 + NS, 1),
        ((4, 4.1, 1, "ok"), 5.05, 0),  # 4.1 + 1 replaces 7.1
        ((4, 4.1, 1, "ok"), 5.2, 1),
        ((6.5, 7.2, 10, "ok"), 17.2, 0),  # late: the later of 7.1 and 7.2 + 10
        ((6.5, 7.2, 10, "ok"), 17.3, 1),
        ((4, 4.1, 10, "unknown"), 14.1, 0),
        ((4, 4.1, 10, "unknown"), 14.2, 1),
        ((4, 4.1, 1, "unknown"), 7.1, 0),  # the later of 7.1 and 5.1
        ((4, 4.1, 1, "unknown"), 7.2, 1),
        ((4, 4.1, 10, None), 13.9, 0),  # it may have worked, whenever that was
        ((4, 4.1, 10, "failed"), 7.1, 0),
        ((4, 4.1, 10, "failed"), 7.2, 1),
        ((7.5, 7.6, 10, "ok"), 7.4, 1),  # begun after the delete: no say
    ],
)
def test_stale_deletes_and_extensions(
    tmp_path: Path, extend: tuple[float, float, float, str | None], at: float, found: int
) -> None:
    begun, answered, hidden_s, outcome = extend
    h = deleted(at)
    h.extend("a", at=begun, ended=answered, hidden_s=hidden_s, outcome=outcome)
    stale(h, tmp_path, found)


def test_every_stale_delete_counts(tmp_path: Path) -> None:
    h = deleted(7.2)
    h.delete("a", at=7.4)
    stale(h, tmp_path, 2)


@pytest.mark.parametrize("second, answered, early", [(4.2, 4.4, False), (4.5, 4.6, True)])
def test_extends_that_were_open_at_once(tmp_path: Path, second: float, answered: float, early: bool) -> None:
    # Both work, one to 1 s, one to 10 s. Where they were open at once nobody knows which the broker took last, and the
    # hold may have ended at 5.1; one after the other, the second counts.
    h = History({"orders": fifo()}, CLAIMS)
    h.send("a", at=1)
    h.receive("a", at=2.1, started=2, batch="held")
    h.extend("a", at=4.1, ended=4.4, hidden_s=1)
    h.extend("a", at=second, ended=answered, hidden_s=10)
    h.take("a", at=6, consumer="c2")
    h.drained(at=100)
    redelivered(h, tmp_path, early=early)
