"""Order on queues: who came before whom, by which number, and what a redelivery hides.

`orders` is ordered by group, messages are of one group and hidden for 5 s. The letters tell the order that a correct
history shows: a before b before c.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, counts, fifo, ns, queue, verdict_of

CLAIM = "ordered-per-group"


def sent(*ids: str, sub: dict[str, Any] | None = None, claims: list[Any] | None = None, **manifest: Any) -> History:
    """Sent one after another, 100 ms apart, and numbered 1, 2, …"""
    h = History({"orders": sub or fifo()}, claims or [CLAIM, "no-loss"], **manifest)
    for n, id in enumerate(ids or ("a", "b")):
        h.send(id, at=1 + n / 10, broker_seq=str(n + 1))
    return h


def ordered(h: History, tmp_path: Path, checked: int, **anomalies: int) -> None:
    """The claim holds, or is violated if one of its own anomalies is among those given."""
    own = {"nonmonotonic_delivery", "group_overtake", "nonmonotonic_send", "stored_out_of_order"}
    verdict = "violated" if own & {name for name, count in anomalies.items() if count} else "holds"
    found = {name.replace("_", "-"): count for name, count in anomalies.items()}
    check(verdict_of(h, tmp_path), {CLAIM: (verdict, checked), "no-loss": "holds"}, found)


# -- first receives


@pytest.mark.parametrize(
    "received, late",
    [
        ("abc", 0),
        ("bac", 1),  # a after b
        ("bca", 1),  # a after b and after c: it came too late once
        ("cab", 2),  # a and b after c
        ("cba", 2),  # a after b and c, b after c
    ],
)
def test_first_receives(tmp_path: Path, received: str, late: int) -> None:
    # b has a before it, c has both: checked 2. Each message that came too late counts once.
    h = sent("a", "b", "c")
    for n, id in enumerate(received):
        h.take(id, at=3 + n)
    h.drained(at=20)
    ordered(h, tmp_path, 2, nonmonotonic_delivery=late)


def test_groups_have_no_order_among_each_other(tmp_path: Path) -> None:
    # a and b of g, x and y of h; between the groups any order will do: b and y have one before them.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    for n, (id, group) in enumerate([("a", "g"), ("x", "h"), ("b", "g"), ("y", "h")]):
        h.send(id, at=1 + n / 10, group=group, broker_seq=str(n + 1))
    for n, id in enumerate("xyab"):
        h.take(id, at=3 + n)
    h.drained(at=20)
    ordered(h, tmp_path, 2)


@pytest.mark.parametrize("b, a, late", [(3, 3, 0), (3, 3 + NS, 1)])
def test_equal_times_in_two_files(tmp_path: Path, b: float, a: float, late: int) -> None:
    # Two consumers record at the same nanosecond: no order.
    h = sent()
    h.take("b", at=b, consumer="c2")
    h.take("a", at=a, consumer="c1")
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=late)


@pytest.mark.parametrize("first, late", [("ab", 0), ("ba", 1)])
def test_equal_times_in_one_file(tmp_path: Path, first: str, late: int) -> None:
    # One consumer, one batch, one time: the lines decide.
    h = sent()
    for id in first:
        h.take(id, at=3, batch="one")
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=late)


@pytest.mark.parametrize(
    "a, verdict",
    [(3.001 + NS, "violated"), (3.001, "unknown"), (3.0, "unknown"), (2.999, "unknown"), (2.999 - NS, "holds")],
)
def test_closer_than_the_clock_error(tmp_path: Path, a: float, verdict: str) -> None:
    # Up to 1 ms apart two writers have no order, and nobody can say that it was kept.
    h = sent(clock_error_s=0.001)
    h.take("b", at=3, consumer="c2")
    h.receive("a", at=a)
    h.delete("a", at=a)
    h.drained(at=20)
    found = {"nonmonotonic-delivery": 1} if verdict == "violated" else {}
    check(verdict_of(h, tmp_path), {"ordered-per-group": (verdict, 1)}, found)


def test_closer_than_the_clock_error_in_one_file(tmp_path: Path) -> None:
    # One writer has one clock.
    h = sent(clock_error_s=0.001)
    h.take("b", at=3)
    h.take("a", at=3.0005)
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=1)


@pytest.mark.parametrize("again, verdict", [(3.4, "violated"), (3.6, "unknown")])
def test_what_came_first_elsewhere_came_again_before_it_in_one_file(tmp_path: Path, again: float, verdict: str) -> None:
    # c2's clock may be a second off; but c1 itself received b before a.
    h = sent(clock_error_s=1)
    h.take("b", at=3, consumer="c2")
    h.take("b", at=again)
    h.take("a", at=3.5)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    assert document["claims"][0]["verdict"] == verdict
    assert document["anomalies"]["nonmonotonic-delivery"]["count"] == int(verdict == "violated")


KINESIS = "4959033827149025660855969253836157109592157598913658889"

NUMBERS = [
    ("9", "10"),  # not as text
    ("9007199254740992", "9007199254740993"),  # not as a double
    ("18446744073709551615", "18446744073709551616"),  # not in 64 bits
    # 56 digits that differ in the last one
    (KINESIS + "8", KINESIS + "9"),
]


@pytest.mark.parametrize("low, high", NUMBERS)
@pytest.mark.parametrize("received, late", [("ab", 0), ("ba", 1)])
def test_numbers_of_any_length(tmp_path: Path, low: str, high: str, received: str, late: int) -> None:
    # Two producers: the broker's numbers alone give the order.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, broker_seq=low)
    h.send("b", at=1, broker_seq=high, producer="p2")
    for n, id in enumerate(received):
        h.take(id, at=3 + n)
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=late)


def test_the_number_under_which_it_was_received_decides(tmp_path: Path) -> None:
    # Two producers. The topic numbered a 10, b 20; the queue numbered a 7, b 6 and delivers b first: right.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, broker_seq="10")
    h.send("b", at=1, broker_seq="20", producer="p2")
    h.take("b", at=3, broker_seq="6")
    h.take("a", at=4, broker_seq="7")
    h.drained(at=20)
    ordered(h, tmp_path, 1)


def test_where_one_receive_has_no_number_the_sends_decide(tmp_path: Path) -> None:
    # The receive of b tells no number, that of a does (100): by the sends a (1) is before b (2). Mixed, b would be.
    h = sent()
    h.take("a", at=3, broker_seq="100")
    h.take("b", at=4, omit=["broker_seq"])
    h.drained(at=20)
    ordered(h, tmp_path, 1)


@pytest.mark.parametrize("without", ["a", "b"])
def test_it_does_not_matter_which_receive_has_no_number(tmp_path: Path, without: str) -> None:
    h = sent()
    for at, id in enumerate("ba", start=3):
        h.take(id, at=at, omit=["broker_seq"] if id == without else [])
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=1)


@pytest.mark.parametrize("received, late", [("ab", 0), ("ba", 1)])
def test_without_numbers_the_order_of_sending(tmp_path: Path, received: str, late: int) -> None:
    # One producer, a's attempt ended before b's began.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    for n, id in enumerate(received):
        h.take(id, at=3 + n)
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=late)


@pytest.mark.parametrize("overlap", ["b began before a ended", "two producers", "a tried again"])
def test_without_numbers_and_without_order_of_sending(tmp_path: Path, overlap: str) -> None:
    # Nothing proves that a is before b: nothing to look at, so unknown.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, ended=1.2 if overlap == "b began before a ended" else 1.01)
    h.send("b", at=1.1, ended=1.3, producer="p2" if overlap == "two producers" else "p1")
    if overlap == "a tried again":
        h.send("a", at=1.4)
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 0), "no-loss": ("holds", 2)})


@pytest.mark.parametrize("received, late", [("ab", 0), ("ba", 1)])
def test_without_numbers_in_one_call(tmp_path: Path, received: str, late: int) -> None:
    # All attempts of both went in one call to a queue: by seq.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, call="one", entry=0)
    h.send("b", at=1, call="one", entry=1)
    for n, id in enumerate(received):
        h.take(id, at=3 + n)
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=late)


def test_without_numbers_in_one_call_and_tried_again(tmp_path: Path) -> None:
    # Not all attempts went in the one call: a's entry failed and went again in a call of its own. No order.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, call="one", entry=0, outcome="failed")
    h.send("b", at=1, call="one", entry=1)
    h.send("a", at=1.1, call="two", entry=0)
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 0), "no-loss": ("holds", 2)})


def test_the_smallest_number_of_a_message_stored_twice(tmp_path: Path) -> None:
    # a was stored as 1 and, after the window, as 9: it is before b (2), which came after the first and before the
    # second copy. By the larger number b would be before a, and first(a) too early.
    h = sent("a", "b")
    h.take("a", at=3, enqueued=1)
    h.take("b", at=4)
    h.take("a", at=400, broker_id="again", broker_seq="9", enqueued=399)
    h.drained(at=500)
    ordered(h, tmp_path, 1, send_duplicate=1)


def test_the_number_after_a_redrive_does_not_count(tmp_path: Path) -> None:
    # a (5) died and came back numbered 1, smaller than b's 4: a still stands after b, and b came first.
    h = History({"orders": fifo(dead_letter=True, max_receives=1)}, [CLAIM, "no-loss"])
    h.send("b", at=1, broker_seq="4")
    h.send("a", at=1.1, broker_seq="5")
    h.take("b", at=3)
    h.receive("a", at=4)
    h.dead("a", at=15, receives=1)
    h.redriven("a", at=16)
    h.take("a", at=17, broker_id="again", broker_seq="1")
    h.drained(at=40)
    ordered(h, tmp_path, 1)


def test_a_queue_without_order_is_not_judged(tmp_path: Path) -> None:
    # Nothing to look at: unknown.
    h = sent(sub=queue())
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 0), "no-loss": ("holds", 2)})


# -- overtaken while still queued


def test_a_redelivery_that_masks_a_reorder(tmp_path: Path) -> None:
    # a is received at 2 by a consumer that dies, its hold ends at 7. b is received at 8, a only at 9: first(a) is
    # before first(b), yet b overtook a, which was still queued.
    h = sent()
    h.receive("a", at=2)
    h.take("b", at=8, consumer="c2")
    h.take("a", at=9, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1, group_overtake=1)


def test_a_redelivery_in_order(tmp_path: Path) -> None:
    h = sent()
    h.receive("a", at=2)
    h.take("a", at=8, consumer="c2")
    h.take("b", at=9, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1)


@pytest.mark.parametrize("batch, overtaken", [("ab", 0), ("ba", 1)])
def test_expired_and_received_with_its_follower(tmp_path: Path, batch: str, overtaken: int) -> None:
    # a's hold ended at 7, then one call has both. With a before b in the batch that is legal; the other way round a,
    # deleted afterwards, was still queued.
    h = sent()
    h.receive("a", at=2)
    for id in batch:
        h.receive(id, at=8, started=7.9, consumer="c2", batch="both")
    for id in "ab":
        h.delete(id, at=8.2)
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1, group_overtake=overtaken)


@pytest.mark.parametrize("deleted, overtaken", [(2.5, 0), (4, 1)])
def test_received_while_the_predecessor_is_held(tmp_path: Path, deleted: float, overtaken: int) -> None:
    # a is held from 2, b is received by another consumer at 3: legal only if a's delete was begun before.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=deleted)
    h.take("b", at=3, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, group_overtake=overtaken)


@pytest.mark.parametrize("outcome", ["ok", "unknown", None])
def test_a_consumer_killed_between_the_delete_and_its_record(tmp_path: Path, outcome: str | None) -> None:
    # The delete was begun at 2.5 and never answered, or not for us: it may have worked, so b at 3 is legal.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=2.5, outcome=outcome)
    h.kill("c1")
    h.take("b", at=3, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1)


def test_a_delete_that_may_have_worked_excuses_even_a_redelivery(tmp_path: Path) -> None:
    # a comes again after b. That its delete of unknown outcome did not work is likely, and not proven at b's receive.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=2.5, outcome="unknown")
    h.take("b", at=3, consumer="c2")
    h.take("a", at=8, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1)


@pytest.mark.parametrize("outcomes", [("failed", None), ("failed", "unknown"), ("unknown", "failed")])
def test_two_deletes_of_which_one_failed(tmp_path: Path, outcomes: tuple[str | None, str | None]) -> None:
    # Two deletes of one receive, before b's: the other one may have worked.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=2.5, outcome=outcomes[0])
    h.delete("a", at=2.7, outcome=outcomes[1])
    h.take("b", at=3, consumer="c2")
    h.take("a", at=8, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1)


def test_a_delete_that_failed_excuses_nothing(tmp_path: Path) -> None:
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=2.5, outcome="failed")
    h.take("b", at=3, consumer="c2")
    h.delete("a", at=4)
    h.drained(at=20)
    ordered(h, tmp_path, 1, group_overtake=1)


@pytest.mark.parametrize("deleted, overtaken", [(3, 0), (3 + NS, 1)])
def test_a_delete_at_the_moment_of_the_receive(tmp_path: Path, deleted: float, overtaken: int) -> None:
    # Two files, equal times: the delete may have been begun before, and it is not proven to come after.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=deleted)
    h.take("b", at=3, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, group_overtake=overtaken)


@pytest.mark.parametrize("deleted, overtaken", [(3, 0), (3 + NS, 1)])
def test_a_delete_at_the_moment_of_the_receive_and_a_redelivery(tmp_path: Path, deleted: float, overtaken: int) -> None:
    # a comes again, so it was still queued, and its delete of unknown outcome may have been begun before b's receive.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=deleted, outcome="unknown")
    h.take("b", at=3, consumer="c2")
    h.take("a", at=8, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1, group_overtake=overtaken)


@pytest.mark.parametrize("deleted, overtaken", [(2.9995, 0), (3.0005, 0), (3.002, 1)])
def test_a_delete_within_the_clock_error_of_the_receive(tmp_path: Path, deleted: float, overtaken: int) -> None:
    h = sent(clock_error_s=0.001)
    h.receive("a", at=2)
    h.delete("a", at=deleted)
    h.take("b", at=3, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, group_overtake=overtaken)


@pytest.mark.parametrize("begun, overtaken", [(2.9, 0), (3.5, 1)])
def test_a_delete_known_by_its_answer_alone(tmp_path: Path, begun: float, overtaken: int) -> None:
    # Without its intent a delete was begun at `started`: 2.9, though answered at 4.
    h = sent()
    h.receive("a", at=2)
    h.delete("a", at=begun, ended=4, announced=False)
    h.take("b", at=3, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, group_overtake=overtaken)


def test_overtaken_by_every_receive(tmp_path: Path) -> None:
    # a is held from 2 to 22 and deleted at 9; b is received at 3 and, its hold over, at 8.5: two overtakes.
    h = sent()
    h.receive("a", at=2, hidden_s=20)
    h.receive("b", at=3, consumer="c2")
    h.take("b", at=8.5, consumer="c2")
    h.delete("a", at=9)
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1, group_overtake=2)


def test_a_paused_consumer_is_no_disorder(tmp_path: Path) -> None:
    # c1 has a in hand from 2 on and is stopped; it records at 10. c2 gets a at 7.5 and b at 8: legal. By the record at
    # 10 b would have overtaken a, and a have come too late.
    h = sent()
    h.receive("a", at=10, started=1.9, receives=1)
    h.take("a", at=7.5, consumer="c2", receives=2)
    h.take("b", at=8, consumer="c2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, redelivery=1)


def test_an_unordered_queue_knows_no_overtaking(tmp_path: Path) -> None:
    h = sent(sub=queue())
    h.receive("a", at=2)
    h.take("b", at=3, consumer="c2")
    h.delete("a", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)})


# -- the numbers of the broker, and of the producer


def numbered(a: str, b: str, *, b_at: float = 1.1, a_ended: float = 1.01, **fields: Any) -> History:
    """One producer sends a (seq 1), then b (seq 2); the answers number them so, and the queue delivers by number."""
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, ended=a_ended, broker_seq=a, **fields)
    h.send("b", at=b_at, ended=max(a_ended, b_at) + 0.1, broker_seq=b, **(fields | {"entry": 1} if fields else {}))
    for n, id in enumerate(("a", "b") if int(a) < int(b) else ("b", "a")):
        h.take(id, at=3 + n)
    h.drained(at=20)
    return h


def test_numbered_in_order(tmp_path: Path) -> None:
    ordered(numbered("10", "20"), tmp_path, 1)


def test_numbered_against_the_order_of_sending(tmp_path: Path) -> None:
    # a's attempt ended before b's began, and yet b has the smaller number: the service's fault. Stored so too. It
    # delivers by its numbers: no disorder there.
    ordered(numbered("20", "10"), tmp_path, 1, nonmonotonic_send=1, stored_out_of_order=1)


def test_sent_at_the_same_time_and_stored_the_other_way_round(tmp_path: Path) -> None:
    # b's attempt began while a's ran: the service may number as it likes, the producer should not have done that.
    ordered(numbered("20", "10", a_ended=1.2), tmp_path, 1, stored_out_of_order=1)


def test_numbered_against_the_order_in_one_call(tmp_path: Path) -> None:
    ordered(numbered("20", "10", b_at=1, call="one"), tmp_path, 1, nonmonotonic_send=1, stored_out_of_order=1)


def test_numbered_in_order_in_one_call(tmp_path: Path) -> None:
    ordered(numbered("10", "20", b_at=1, call="one"), tmp_path, 1)


def test_entries_of_one_call_against_seq(tmp_path: Path) -> None:
    # b stands before a in the call and is numbered before it: the service did what it was told.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, broker_seq="20", call="one", entry=1)
    h.send("b", at=1, broker_seq="10", call="one", entry=0)
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    ordered(h, tmp_path, 1, stored_out_of_order=1)


def test_a_retry_that_lands_after_its_follower(tmp_path: Path) -> None:
    # a's first attempt failed, b was sent, a tried again: its last attempt ended after b's began. The producer's fault.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, outcome="failed")
    h.send("b", at=1.1, broker_seq="10")
    h.send("a", at=1.2, broker_seq="20")
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    ordered(h, tmp_path, 1, stored_out_of_order=1)


def test_an_unknown_send_may_land_at_any_time(tmp_path: Path) -> None:
    # a's send was never answered and landed after b: nobody's fault, and delivered by number.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, outcome="unknown")
    h.send("b", at=1.1, broker_seq="10")
    h.take("b", at=3)
    h.take("a", at=4, broker_seq="20")
    h.drained(at=20)
    ordered(h, tmp_path, 1, recovered=1)


def test_two_producers_may_be_numbered_in_any_order(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, broker_seq="20")
    h.send("b", at=1.1, seq=2, broker_seq="10", producer="p2")
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=20)
    ordered(h, tmp_path, 1)


def test_a_topic_numbers_wrongly_and_its_queue_does_not(tmp_path: Path) -> None:
    # The topic's answers number a 200, b 100; the queue's own numbers are right: not stored out of order.
    h = History({"orders": fifo()}, [CLAIM, "no-loss"])
    h.send("a", at=1, broker_seq="200")
    h.send("b", at=1.1, broker_seq="100")
    h.take("a", at=3, broker_seq="1")
    h.take("b", at=4, broker_seq="2")
    h.drained(at=20)
    ordered(h, tmp_path, 1, nonmonotonic_send=1)


def test_a_wrong_number_counts_once_a_message(tmp_path: Path) -> None:
    # a (30) came too late before b (10) and c (20), and there are two subscriptions: one message was numbered wrongly.
    # Each queue stores a too late: 2. Each has two messages with one before them: checked 4.
    h = History({"orders": fifo(), "audit": fifo()}, [CLAIM, "no-loss"])
    for n, (id, number) in enumerate([("a", "30"), ("b", "10"), ("c", "20")]):
        h.send(id, at=1 + n / 10, broker_seq=number)
    for sub in h.subscriptions:
        for n, id in enumerate("bca"):
            h.take(id, at=3 + n, sub=sub)
    h.drained(at=20)
    ordered(h, tmp_path, 4, nonmonotonic_send=1, stored_out_of_order=2)


# -- dead letters in a group


def died(*, strict: bool, b_at: float, receives: tuple[float, ...] = (2,)) -> History:
    """a is received at `receives`, each time in vain, and dies; b is received at `b_at`."""
    h = sent(
        sub=fifo(dead_letter=True, max_receives=len(receives)),
        claims=[{"claim": CLAIM, "strict": strict}, "no-loss"],
    )
    for at in receives:
        h.receive("a", at=at)
    h.take("b", at=b_at, consumer="c2")
    h.dead("a", at=30, receives=len(receives))
    h.drained(at=40)
    return h


@pytest.mark.parametrize("strict", [False, True])
def test_a_gap_where_a_message_died(tmp_path: Path, strict: bool) -> None:
    # a's hold ended at 7, it died, b followed: legal unless the claim is strict.
    check(
        verdict_of(died(strict=strict, b_at=8), tmp_path),
        {CLAIM: ("violated" if strict else "holds", 1), "no-loss": ("holds", 2)},
        {"dlq-gap": 1, "collateral-dead": 1},
    )


def test_no_gap_where_nobody_died(tmp_path: Path) -> None:
    h = sent(sub=fifo(dead_letter=True, max_receives=1), claims=[{"claim": CLAIM, "strict": True}, "no-loss"])
    h.take("a", at=2)
    h.take("b", at=8)
    h.drained(at=40)
    ordered(h, tmp_path, 1)


def test_no_gap_before_the_last_receive(tmp_path: Path) -> None:
    # b is received at 8 and a, still queued, once more at 9 before it dies: an overtake, and no gap.
    check(
        verdict_of(died(strict=True, b_at=8, receives=(2, 9)), tmp_path),
        {CLAIM: ("violated", 1)},
        {"group-overtake": 1, "redelivery": 1, "collateral-dead": 1},
    )


def test_a_message_sent_back_leaves_no_gap(tmp_path: Path) -> None:
    # a was redriven, so it is not dead at the end; nor is it an overtake that it is deleted after b.
    h = died(strict=True, b_at=8)
    h.redriven("a", at=50)
    h.take("a", at=51, broker_id="again", broker_seq="9")
    h.drained(at=60)
    ordered(h, tmp_path, 1)


@pytest.mark.parametrize("began, late", [(2, 0), (7.5, 0), (7.5 + NS, 1), (8, 1)])
def test_first_received_late_and_dead(tmp_path: Path, began: float, late: int) -> None:
    # One receive allowed. c1's call for a began at 2, stopped before its record; a died at 7, b came at 7.5, c1 records
    # at 9: legal. A call that began at the very moment of b's receive excuses, too; one that began later does not.
    h = sent(sub=fifo(dead_letter=True, max_receives=1))
    h.receive("a", at=9, started=began)
    h.take("b", at=7.5, consumer="c2")
    h.dead("a", at=30, receives=1)
    h.drained(at=40)
    check(
        verdict_of(h, tmp_path),
        {CLAIM: ("violated" if late else "holds", 1), "no-loss": ("holds", 2)},
        {"nonmonotonic-delivery": late, "collateral-dead": 1},
        open="dlq-gap",
    )


def test_the_same_and_not_dead(tmp_path: Path) -> None:
    # Received late by a call that began at 2, but not dead: a's record at 9 is its first receive, and b came at 7.5.
    # (The hold of a correct queue would have let a, not b, be received at 7.5.)
    h = sent()
    h.receive("a", at=9, started=2)
    h.delete("a", at=9.5)
    h.take("b", at=7.5, consumer="c2")
    h.drained(at=40)
    ordered(h, tmp_path, 1, nonmonotonic_delivery=1)


# -- what only an unread dead letter may excuse is not blamed, and is not in order either


@pytest.mark.parametrize("looked", [None, False, True])
@pytest.mark.parametrize("claim", [CLAIM, "ordered-effects"])
def test_disorder_before_unread_dead_letters_does_not_hold(tmp_path: Path, claim: str, looked: bool | None) -> None:
    # One batch brings b before a, and b is applied first. a might have died in between, and nobody read the dead
    # letters: that excuses, but the order was not seen to hold. A look that left messages behind settles it, too.
    h = sent("a", "b", sub=fifo(dead_letter=True), claims=[claim])
    h.receive("b", at=3, batch="both")
    h.receive("a", at=3, batch="both")
    h.effect("b", at=3.2, batch="both")
    h.effect("a", at=3.4, batch="both")
    if looked is not None:
        h.drained(at=20, empty=looked)
    verdict = verdict_of(h, tmp_path)
    late = 0 if looked is None else 1
    found = {"nonmonotonic-delivery": late, "effect-out-of-order": late, "vanished": 2 if looked else 0}
    check(verdict, {claim: "violated" if late else "unknown"}, found)
    assert late or "reading the dead letters" in " ".join(verdict["claims"][0]["why"])


@pytest.mark.parametrize("looked", [False, True])
def test_an_overtake_before_unread_dead_letters_does_not_hold(tmp_path: Path, looked: bool) -> None:
    # b comes while a is held; a is deleted after it.
    h = sent("a", "b", sub=fifo(dead_letter=True), claims=[CLAIM])
    h.receive("a", at=3)
    h.take("b", at=4)
    h.effect("a", at=5)
    h.delete("a", at=5.1)
    if looked:
        h.drained(at=20)
    verdict = verdict_of(h, tmp_path)
    check(verdict, {CLAIM: "violated" if looked else "unknown"}, {"group-overtake": int(looked)})


# -- which answer belongs to which intent


def a_failed_delete(*, clock_read: float) -> History:
    """a is held from 2 on, a delete begun at 3 fails and one at 9 works; b of its group is received at 4, 5, 6."""
    h = sent()
    h.receive("a", at=2, hidden_s=20, batch="A")
    for at, outcome in ((3, "failed"), (9, "ok")):
        intent = {"id": "a", "subscription": "orders", "consumer": "c1", "batch": "A", "action": "delete"}
        h.record("c1", at, "settling", **intent)
        h.record("c1", at + 0.1, "settled", **intent, started=ns(at + clock_read), outcome=outcome)
    for n in range(3):
        h.receive("b", at=4 + n, started=3.9 + n, consumer="c2", hidden_s=0.5)
    h.delete("b", at=6.1)
    h.drained(at=20)
    return h


@pytest.mark.parametrize("clock_read", [0, NS, -NS, -0.5])
def test_a_clock_that_was_read_before_the_intent_was_written(tmp_path: Path, clock_read: float) -> None:
    # The failed delete is proven to have failed, whenever its writer read the clock: a was still queued.
    document = verdict_of(a_failed_delete(clock_read=clock_read), tmp_path)
    assert counts(document) == {"group-overtake": 3, "redelivery": 2}


@pytest.mark.parametrize("clock_read", [NS, -NS])
def test_a_stale_delete_counts_once_whenever_its_clock_was_read(tmp_path: Path, clock_read: float) -> None:
    h = sent("a")
    h.receive("a", at=2, batch="A")
    intent = {"id": "a", "subscription": "orders", "consumer": "c1", "batch": "A", "action": "delete"}
    h.record("c1", 8, "settling", **intent)
    h.record("c1", 8.1, "settled", **intent, started=ns(8 + clock_read), outcome="ok")
    h.drained(at=20)
    assert counts(verdict_of(h, tmp_path)) == {"stale-delete": 1}


def test_entries_of_one_call_that_contradict_seq_blame_nobody(tmp_path: Path) -> None:
    # The producer itself put b before a in the call; the broker keeps what it was given.
    h = History({"orders": fifo(dead_letter=False)}, ["ordered-per-group"])
    for id, entry in (("a", 1), ("b", 0)):
        h.send(id, at=1, group="g", call="call-1", entry=entry)
    h.take("b", at=3, group="g")
    h.take("a", at=4, group="g")
    h.drained(at=9)
    assert counts(verdict_of(h, tmp_path)) == {}
