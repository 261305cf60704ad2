"""Delivery: what was accepted and never arrived, what arrived and was never sent, what arrived in the wrong place.

Unless a case says otherwise messages go to a standard queue, hidden for 5 s, and `orders` is its only subscription.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, fifo, queue, stream, verdict_of

ONE = {"orders": queue()}
TWO = {"orders": queue(), "audit": queue()}


def two_sent(subscriptions: dict[str, Any] = ONE, *claims: str, **manifest: Any) -> History:
    """a is sent and taken, b is sent: what becomes of b is the case."""
    h = History(subscriptions, claims or ("no-loss", "exactly-once-delivery"), **manifest)
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    h.take("a", at=2)
    return h


# -- lost and unseen


def test_all_delivered(tmp_path: Path) -> None:
    h = two_sent()
    h.take("b", at=2.5)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2), "exactly-once-delivery": ("holds", 2)})


def test_lost(tmp_path: Path) -> None:
    # b acked, drained after its sent, no receive follows: lost. checked: 2 acked; 1 received.
    h = two_sent()
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("violated", 2), "exactly-once-delivery": ("violated", 1)},
        {"lost": 1},
    )


def test_unseen_without_a_drain(tmp_path: Path) -> None:
    # The same, and nobody looked whether the queue was empty.
    h = two_sent()
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 2), "exactly-once-delivery": "unknown"}, {"unseen": 1})


def test_all_delivered_but_not_drained(tmp_path: Path) -> None:
    # Nothing is missing, but a message could still come twice: not drained is unknown.
    h = two_sent()
    h.take("b", at=2.5)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 2), "exactly-once-delivery": ("unknown", 2)})


def test_not_empty_is_not_drained(tmp_path: Path) -> None:
    h = two_sent()
    h.drained(at=10, empty=False)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unseen": 1})


def test_the_last_drained_mark_counts_not_empty(tmp_path: Path) -> None:
    # Empty at 10, no longer at 12: the last mark decides.
    h = two_sent()
    h.drained(at=10)
    h.drained(at=12, empty=False)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unseen": 1})


def test_the_last_drained_mark_counts_empty(tmp_path: Path) -> None:
    h = two_sent()
    h.drained(at=10, empty=False)
    h.drained(at=12)
    h.drained(at=12)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"lost": 1})


def test_a_receive_after_the_drained_mark(tmp_path: Path) -> None:
    # a comes again after the mark: the queue was not empty, so b may come too.
    h = two_sent()
    h.drained(at=10)
    h.take("a", at=11)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unseen": 1, "redelivery": 1})


def test_a_receive_after_the_drained_mark_and_another_mark(tmp_path: Path) -> None:
    h = two_sent()
    h.drained(at=10)
    h.take("a", at=11)
    h.drained(at=12)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"lost": 1, "redelivery": 1})


def test_a_send_after_the_drained_mark(tmp_path: Path) -> None:
    # c was sent after the mark, so the mark proves nothing about anybody.
    h = two_sent()
    h.drained(at=10)
    h.send("c", at=11)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 3)}, {"unseen": 2})


def test_a_send_to_another_subscription_after_the_drained_mark(tmp_path: Path) -> None:
    # orders was drained at 10; c, sent at 11, expects audit alone, drained at 15.
    h = History(TWO, ["no-loss"])
    h.send("a", at=1, expect=["orders"])
    h.drained(at=10, subs=["orders"])
    h.send("c", at=11, expect=["audit"])
    h.take("c", at=12, sub="audit")
    h.drained(at=15, subs=["audit"])
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 2)}, {"lost": 1})


@pytest.mark.parametrize("drained, found", [(61, "lost"), (61 - NS, "unseen")])
def test_settle(tmp_path: Path, drained: float, found: str) -> None:
    # The last sent is at 1, settle_s 60: a mark at 61 follows by at least 60 s, one nanosecond earlier does not.
    h = History({"orders": queue(settle_s=60)}, ["no-loss"])
    h.send("a", at=0.5, ended=0.6)
    h.send("b", at=0.9, ended=1)
    h.take("a", at=2)
    h.drained(at=drained)
    check(verdict_of(h, tmp_path), {"no-loss": "violated" if found == "lost" else "unknown"}, {found: 1})


@pytest.mark.parametrize("drained, found", [(4.0, "unseen"), (4 + NS, "lost")])
def test_drained_at_the_moment_of_a_sent(tmp_path: Path, drained: float, found: str) -> None:
    # Two files, the same time: no order, so the mark is not proven to follow the sent.
    h = History(ONE, ["no-loss"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.send("b", at=3, ended=4)
    h.drained(at=drained)
    check(verdict_of(h, tmp_path), {"no-loss": "violated" if found == "lost" else "unknown"}, {found: 1})


@pytest.mark.parametrize("drained, found", [(4.001, "unseen"), (4.001 + NS, "lost")])
def test_drained_within_the_clock_error_of_a_sent(tmp_path: Path, drained: float, found: str) -> None:
    # Clocks differ by up to 1 ms: 1 ms later is not proven to be later, 1 ms and 1 ns is.
    h = History(ONE, ["no-loss"], clock_error_s=0.001)
    h.send("a", at=1)
    h.take("a", at=2)
    h.send("b", at=3, ended=4)
    h.drained(at=drained)
    check(verdict_of(h, tmp_path), {"no-loss": "violated" if found == "lost" else "unknown"}, {found: 1})


def test_a_receive_at_the_moment_of_the_drained_mark(tmp_path: Path) -> None:
    # a's second receive may have followed the mark: that excuses, so b is not proven lost.
    h = two_sent()
    h.drained(at=10)
    h.take("a", at=10)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"unseen": 1, "redelivery": 1})


# -- a loss proven by the follower in the group


def group_of_three(sub: dict[str, Any], *, follower_group: str = "g", seqs: str = "123") -> History:
    """a is taken, b never comes, c, sent after b, is taken."""
    h = History({"orders": sub}, ["no-loss", "ordered-per-group"])
    h.send("a", at=1, broker_seq=seqs[0])
    h.send("b", at=1.1, broker_seq=seqs[1])
    h.send("c", at=1.2, broker_seq=seqs[2], group=follower_group)
    h.take("a", at=2)
    h.take("c", at=3)
    return h


def test_a_loss_that_is_not_disorder(tmp_path: Path) -> None:
    # c (3) was received, b (2) never: lost without any drain, and no order is broken: c has a before it.
    h = group_of_three(fifo())
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 3), "ordered-per-group": ("holds", 1)}, {"lost": 1})


def test_a_follower_of_another_group_proves_nothing(tmp_path: Path) -> None:
    h = group_of_three(fifo(), follower_group="h")
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 3)}, {"unseen": 1})


def test_a_predecessor_proves_nothing(tmp_path: Path) -> None:
    # b is numbered last and may still come. (Sent one after another but numbered 1, 3, 2: b was numbered after c.)
    h = group_of_three(fifo(), seqs="132")
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("unknown", 3), "ordered-per-group": ("violated", 1)},
        {"unseen": 1, "nonmonotonic-send": 1},
    )


def test_an_unordered_queue_has_no_followers(tmp_path: Path) -> None:
    h = group_of_three(queue())
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 3)}, {"unseen": 1})


def test_with_dead_letters_the_follower_needs_a_drained_mark(tmp_path: Path) -> None:
    # b may lie in the dead-letter queue, which nobody has read.
    h = group_of_three(fifo(dead_letter=True, max_receives=3))
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 3)}, {"unseen": 1})


def test_with_dead_letters_any_drained_mark_will_do(tmp_path: Path) -> None:
    h = group_of_three(fifo(dead_letter=True, max_receives=3))
    h.drained(at=10, empty=False)
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 3)}, {"lost": 1})


@pytest.mark.parametrize("ended, found", [(1.19, "lost"), (1.3, "unseen")])
def test_a_follower_by_the_order_of_sending(tmp_path: Path, ended: float, found: str) -> None:
    # No broker numbers. c's attempt begins at 1.2: if b's ended before, b is before c; else the two have no order.
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1, ended=ended)
    h.send("c", at=1.2, ended=1.4)
    h.take("a", at=2)
    h.take("c", at=3)
    check(verdict_of(h, tmp_path), {"no-loss": "violated" if found == "lost" else "unknown"}, {found: 1})


def test_a_follower_of_another_producer_without_numbers(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("b", at=1)
    h.send("c", at=1.5, producer="p2")
    h.take("c", at=3)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 2)}, {"unseen": 1})


def test_the_topic_and_the_queue_number_apart(tmp_path: Path) -> None:
    # The topic numbered a 100 and b 101; the queue numbered b 5. a was never received, so both stand by the topic's
    # numbers: a before b, and b was received: lost. Mixing (100 against 5) would put b first.
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1, broker_seq="100")
    h.send("b", at=1.1, broker_seq="101")
    h.take("b", at=2, broker_seq="5")
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 2)}, {"lost": 1})


def test_a_follower_in_a_stream(tmp_path: Path) -> None:
    # Same partition: b (20) cannot come once c (30) was read.
    h = History({"orders": stream()}, ["no-loss"])
    h.send("b", at=1, partition="s1", broker_seq="20")
    h.send("c", at=1.1, partition="s1", broker_seq="30")
    h.take("c", at=2)
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 2)}, {"lost": 1})


def test_a_follower_in_another_partition(tmp_path: Path) -> None:
    h = History({"orders": stream()}, ["no-loss"])
    h.send("b", at=1, partition="s1", broker_seq="20")
    h.send("c", at=1.1, partition="s2", broker_seq="30")
    h.take("c", at=2)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 2)}, {"unseen": 1})


def test_dead_is_not_lost(tmp_path: Path) -> None:
    # b was never seen by a consumer of ours that lived to tell, but it lies in the dead-letter queue.
    h = two_sent({"orders": queue(dead_letter=True, max_receives=3)}, "no-loss")
    h.dead("b", at=9, receives=3)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)}, {"collateral-dead": 1})


# -- at most once


@pytest.mark.parametrize("promises, verdict", [("at-most-once", "unknown"), ("at-least-once", "violated")])
def test_a_message_never_received_at_most_once(tmp_path: Path, promises: str, verdict: str) -> None:
    # b never came and audit says that this may be: counted as everywhere, blamed nowhere, yet nothing holds.
    h = History(
        {"orders": queue(), "audit": queue(promises=promises)},
        ["no-loss", "exactly-once-delivery", "fanout-complete", "at-least-once-effect", "exactly-once-effect"],
    )
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n)
        h.handle(id, at=3 + n, sub="orders")
    h.handle("a", at=3, sub="audit")
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {
            "no-loss": (verdict, 4),
            "exactly-once-delivery": (verdict, 3),
            "fanout-complete": (verdict, 4),
            "at-least-once-effect": (verdict, 4),
            "exactly-once-effect": (verdict, 4),
        },
        {"lost": 1, "fanout-missing": 1, "effect-missing": 1},
    )


def test_at_most_once_with_everything_there(tmp_path: Path) -> None:
    h = two_sent({"orders": queue(promises="at-most-once")})
    h.take("b", at=3)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2), "exactly-once-delivery": ("holds", 2)})


def test_at_most_once_excuses_no_vanishing(tmp_path: Path) -> None:
    # b was received and disappeared without a delete: at-most-once speaks of a message never received.
    h = two_sent({"orders": queue(promises="at-most-once")})
    h.receive("b", at=3)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"vanished": 1})


# -- vanished


def held(subscription: dict[str, Any] | None = None) -> History:
    """a is taken; b is received at 3, held until 8; drained at 20."""
    h = two_sent({"orders": subscription or queue()})
    h.receive("b", at=3)
    h.drained(at=20)
    return h


def test_delivered_once_and_forgotten(tmp_path: Path) -> None:
    # No delete of b, not dead, and yet the queue is empty: it vanished.
    check(
        verdict_of(held(), tmp_path),
        {"no-loss": ("violated", 2), "exactly-once-delivery": ("violated", 2)},
        {"vanished": 1},
    )


@pytest.mark.parametrize("outcome", ["ok", "unknown", None])
def test_a_delete_that_may_have_worked(tmp_path: Path, outcome: str | None) -> None:
    # Answered, lost, or killed between the delete and its record: each explains that b is gone.
    h = held()
    h.delete("b", at=3.2, outcome=outcome)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2), "exactly-once-delivery": ("holds", 2)})


def test_a_delete_known_by_its_answer_alone(tmp_path: Path) -> None:
    h = held()
    h.delete("b", at=3.2, announced=False)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)})


@pytest.mark.parametrize(
    "outcomes, found",
    [(("failed", None), 0), (("failed", "ok"), 0), (("unknown", "failed"), 0), (("failed", "failed"), 1)],
)
def test_two_deletes(tmp_path: Path, outcomes: tuple[str | None, str | None], found: int) -> None:
    # One that may have worked is enough, whatever became of the other.
    h = held()
    h.delete("b", at=3.2, outcome=outcomes[0])
    h.delete("b", at=3.4, outcome=outcomes[1])
    check(verdict_of(h, tmp_path), {"no-loss": "violated" if found else "holds"}, {"vanished": found})


def test_a_delete_that_failed(tmp_path: Path) -> None:
    h = held()
    h.delete("b", at=3.2, outcome="failed")
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"vanished": 1})


def test_a_release_is_no_delete(tmp_path: Path) -> None:
    h = held()
    h.release("b", at=3.2)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"vanished": 1})


def test_an_extension_is_no_delete(tmp_path: Path) -> None:
    h = held()
    h.extend("b", at=3.2, hidden_s=5)
    check(verdict_of(h, tmp_path), {"no-loss": "violated"}, {"vanished": 1})


def test_held_and_not_drained(tmp_path: Path) -> None:
    h = two_sent()
    h.receive("b", at=3)
    h.drained(at=20, empty=False)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown", 2)})


def test_dead_is_not_vanished(tmp_path: Path) -> None:
    h = held(queue(dead_letter=True, max_receives=1))
    h.dead("b", at=15, receives=1)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)}, {"collateral-dead": 1})


def test_nothing_vanishes_from_a_stream(tmp_path: Path) -> None:
    # A stream keeps its records: nobody deletes.
    h = History({"orders": stream()}, ["no-loss"])
    h.send("a", at=1, partition="s1", broker_seq="1")
    h.receive("a", at=2)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})


def test_an_unknown_send_that_landed_can_vanish(tmp_path: Path) -> None:
    # b was received: whether its send was answered does not matter.
    h = History(ONE, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1, outcome="unknown")
    h.take("a", at=2)
    h.receive("b", at=3)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 1)}, {"vanished": 1, "recovered": 1})


# -- unknown, failed and phantom


def landed(*attempts: str | None, received: bool = True) -> History:
    """a is sent and taken; b has these attempts and is received."""
    h = History(ONE, ["no-loss", "no-phantom", "exactly-once-delivery"])
    h.send("a", at=1)
    h.take("a", at=2)
    for n, outcome in enumerate(attempts):
        h.send("b", at=1.1 + n / 10, outcome=outcome)
    if received:
        h.take("b", at=3)
    h.drained(at=10)
    return h


@pytest.mark.parametrize(
    "attempts",
    [("unknown",), (None,), ("failed", "unknown"), ("unknown", "failed"), ("failed", None)],
    ids=lambda attempts: "-".join(str(outcome) for outcome in attempts),
)
def test_an_unknown_send_that_landed(tmp_path: Path, attempts: tuple[str | None, ...]) -> None:
    # Neither acked (checked 1: a) nor proven failed: legal, and it counts as received.
    check(
        verdict_of(landed(*attempts), tmp_path),
        {"no-loss": ("holds", 1), "no-phantom": ("holds", 2), "exactly-once-delivery": ("holds", 2)},
        {"recovered": 1},
    )


@pytest.mark.parametrize("attempts", [("unknown",), (None,), ("failed",), ("failed", "unknown")])
def test_a_send_not_acked_that_never_landed(tmp_path: Path, attempts: tuple[str | None, ...]) -> None:
    check(
        verdict_of(landed(*attempts, received=False), tmp_path),
        {"no-loss": ("holds", 1), "no-phantom": ("holds", 1), "exactly-once-delivery": ("holds", 1)},
        {"given-up": int(attempts == ("failed",))},
    )


@pytest.mark.parametrize("attempts", [("unknown", "ok"), ("failed", "ok"), ("ok", "failed"), ("ok", "unknown")])
def test_acked_by_one_attempt(tmp_path: Path, attempts: tuple[str | None, ...]) -> None:
    check(verdict_of(landed(*attempts), tmp_path), {"no-loss": ("holds", 2), "no-phantom": ("holds", 2)})


def test_a_failed_send_that_was_received(tmp_path: Path) -> None:
    # Every attempt was proven not to be stored, and here it is.
    check(
        verdict_of(landed("failed", "failed"), tmp_path),
        {"no-loss": ("holds", 1), "no-phantom": ("violated", 2)},
        {"phantom": 1, "given-up": 1},
    )


def test_a_message_that_nobody_sent(tmp_path: Path) -> None:
    # Counted per message: received three times, on two subscriptions, it is one phantom. Whether something without
    # an `expect` is misrouted as well is left open.
    h = History(TWO, ["no-phantom"])
    h.send("a", at=1)
    h.take("a", at=2, sub="orders")
    h.take("a", at=2, sub="audit")
    h.take("ghost", at=3, sub="orders")
    h.take("ghost", at=9, sub="orders")
    h.take("ghost", at=3, sub="audit")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-phantom": ("violated", 5)}, {"phantom": 1, "redelivery": 1}, open="misrouted")


# -- corrupt


def test_corrupt_per_receive(tmp_path: Path) -> None:
    h = two_sent(ONE, "no-phantom", "no-loss")
    h.receive("b", at=3, intact=False)
    h.take("b", at=9, intact=False)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"no-phantom": ("violated", 3), "no-loss": ("holds", 2)},
        {"corrupt": 2, "redelivery": 1},
    )


@pytest.mark.parametrize("group, found", [("g", 0), ("h", 1)])
def test_corrupt_group(tmp_path: Path, group: str, found: int) -> None:
    h = two_sent(ONE, "no-phantom")
    h.take("b", at=3, group=group)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-phantom": ("violated" if found else "holds", 2)}, {"corrupt": found})


def test_no_checksum_and_no_group_is_not_corrupt(tmp_path: Path) -> None:
    h = two_sent(ONE, "no-phantom")
    h.take("b", at=3, intact=None)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-phantom": ("holds", 2)})


# -- several subscriptions: fan-out and filters


def fanned(subscriptions: dict[str, Any], *missing: tuple[str, str]) -> History:
    """a and b expect every subscription and are taken there, apart from `missing`."""
    h = History(subscriptions, ["no-loss", "fanout-complete", "filter-correct"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n)
        for sub in subscriptions:
            if (id, sub) not in missing:
                h.take(id, at=3 + n, sub=sub)
    return h


FILTERED = {"orders": queue(), "audit": queue(filtered=True)}


def test_fanned_out(tmp_path: Path) -> None:
    h = fanned(FILTERED)
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("holds", 4), "fanout-complete": ("holds", 4), "filter-correct": ("holds", 2)},
    )


def test_fanout_missing(tmp_path: Path) -> None:
    # b reached orders and not audit, which is filtered: the filter dropped what it should have passed.
    h = fanned(FILTERED, ("b", "audit"))
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("violated", 4), "fanout-complete": ("violated", 4), "filter-correct": ("violated", 2)},
        {"lost": 1, "fanout-missing": 1},
    )


def test_a_loss_where_nothing_is_filtered(tmp_path: Path) -> None:
    h = fanned(FILTERED, ("b", "orders"))
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"fanout-complete": ("violated", 4), "filter-correct": ("holds", 2)},
        {"lost": 1, "fanout-missing": 1},
    )


def test_lost_everywhere_is_not_missing_in_the_fanout(tmp_path: Path) -> None:
    h = fanned(FILTERED, ("b", "orders"), ("b", "audit"))
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"fanout-complete": ("violated", 4)}, {"lost": 2})


def test_unseen_on_one_subscription(tmp_path: Path) -> None:
    # orders was drained, audit was not.
    h = fanned(FILTERED, ("b", "audit"))
    h.drained(at=10, subs=["orders"])
    check(
        verdict_of(h, tmp_path),
        {"no-loss": "unknown", "fanout-complete": ("unknown", 4), "filter-correct": ("unknown", 2)},
        {"unseen": 1},
    )


@pytest.mark.parametrize("strays", [False, True])
def test_misrouted(tmp_path: Path, strays: bool) -> None:
    # c is for orders alone. filter-correct looks at every acked message on audit, expected there or not: 3.
    h = fanned(FILTERED)
    h.send("c", at=3, expect=["orders"])
    h.take("c", at=6, sub="orders")
    if strays:
        h.take("c", at=6, sub="audit")
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("holds", 5), "filter-correct": ("violated" if strays else "holds", 3)},
        {"misrouted": int(strays)},
    )


def test_before_the_filter_was_in_force(tmp_path: Path) -> None:
    # audit is in force from 10 on. a (sent at 1) is lost there, x (at 2) strays there: counted, but no-loss alone
    # judges it. After 10, c arrives everywhere. fanout-complete: a, x, c on orders, c on audit = 4; no-loss: a on both,
    # x on orders, c on both = 5; filter-correct: c = 1.
    h = History(
        {"orders": queue(), "audit": queue(filtered=True, effective_from=10)},
        ["no-loss", "fanout-complete", "filter-correct"],
    )
    h.send("a", at=1)
    h.send("x", at=2, expect=["orders"])
    h.send("c", at=12)
    for n, id in enumerate("axc"):
        h.take(id, at=13 + n, sub="orders")
    h.take("x", at=14, sub="audit")
    h.take("c", at=15, sub="audit")
    h.drained(at=30)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("violated", 5), "fanout-complete": ("holds", 4), "filter-correct": ("holds", 1)},
        {"lost": 1, "fanout-missing": 1, "misrouted": 1},
    )


def test_after_the_filter_was_in_force(tmp_path: Path) -> None:
    # The same, in force from 0.5 on.
    h = History(
        {"orders": queue(), "audit": queue(filtered=True, effective_from=0.5)},
        ["fanout-complete", "filter-correct"],
    )
    h.send("a", at=1)
    h.send("x", at=2, expect=["orders"])
    h.send("c", at=12)
    for n, id in enumerate("axc"):
        h.take(id, at=13 + n, sub="orders")
    h.take("x", at=14, sub="audit")
    h.take("c", at=15, sub="audit")
    h.drained(at=30)
    check(
        verdict_of(h, tmp_path),
        {"fanout-complete": ("violated", 5), "filter-correct": ("violated", 3)},
        {"lost": 1, "fanout-missing": 1, "misrouted": 1},
    )


# -- lost on redrive


def redriven() -> History:
    """a is taken; b is received, lies dead at 10 and is sent back at 20."""
    h = two_sent({"orders": queue(dead_letter=True, max_receives=1)})
    h.receive("b", at=3)
    h.dead("b", at=10, receives=1)
    h.redriven("b", at=20)
    return h


def test_lost_on_redrive(tmp_path: Path) -> None:
    # Neither received nor dead after 20, drained at 40. It was received before (not lost) and redriven (not vanished),
    # and exactly-once-delivery does not speak of redrives.
    h = redriven()
    h.drained(at=40)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("violated", 2), "exactly-once-delivery": ("holds", 2)},
        {"lost-on-redrive": 1},
    )


def test_received_after_a_redrive(tmp_path: Path) -> None:
    # The copy that comes back has another id: no duplicate. Not even a delete is asked for: it was redriven.
    h = redriven()
    h.receive("b", at=22, broker_id="b-b-again")
    h.drained(at=40)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2), "exactly-once-delivery": ("holds", 2)})


def test_dead_again_after_a_redrive(tmp_path: Path) -> None:
    h = redriven()
    h.dead("b", at=30, receives=1)
    h.drained(at=40)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)}, {"collateral-dead": 1})


def test_redriven_and_not_drained(tmp_path: Path) -> None:
    # The last drained mark stands before the redrive.
    h = redriven()
    h.drained(at=15)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"})
