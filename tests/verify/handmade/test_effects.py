"""Effects: done once, more than once, never, nobody knows, and in which order; from records and from the store.

`orders` is a standard queue with messages a and b unless a case says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, fifo, queue, stream, verdict_of

LEAST = "at-least-once-effect"
ONCE = "exactly-once-effect"


def with_a_handled(sub: dict[str, Any] | None = None) -> History:
    """a and b are sent, a is received, applied and deleted; b is the case."""
    h = History({"orders": sub or queue()}, [LEAST, ONCE, "no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.handle("a", at=2)
    return h


def effective(h: History, tmp_path: Path, least: str, once: str, **anomalies: int) -> None:
    """The two claims, each over a and b."""
    found = {name.replace("_", "-"): count for name, count in anomalies.items()}
    check(verdict_of(h, tmp_path), {LEAST: (least, 2), ONCE: (once, 2)}, found)


# -- from the records


def test_applied_once(tmp_path: Path) -> None:
    h = with_a_handled()
    h.handle("b", at=3)
    h.drained(at=20)
    effective(h, tmp_path, "holds", "holds")


@pytest.mark.parametrize("times", [2, 3])
def test_applied_again(tmp_path: Path, times: int) -> None:
    # Each time beyond the first is one too many; at-least-once does not mind.
    h = with_a_handled()
    for n in range(times):
        h.handle("b", at=3 + 6 * n)
    h.drained(at=30)
    effective(h, tmp_path, "holds", "violated", effect_duplicate=times - 1, redelivery=times - 1)


def test_applied_and_then_skipped(tmp_path: Path) -> None:
    # A guard found it done.
    h = with_a_handled()
    h.handle("b", at=3)
    h.handle("b", at=9, effect="skipped")
    h.drained(at=30)
    effective(h, tmp_path, "holds", "holds", redelivery=1)


def test_failed_and_then_applied(tmp_path: Path) -> None:
    h = with_a_handled()
    h.receive("b", at=3)
    h.effect("b", at=3.1, outcome="failed")
    h.handle("b", at=9)
    h.drained(at=30)
    effective(h, tmp_path, "holds", "holds", redelivery=1)


def test_deleted_without_an_effect(tmp_path: Path) -> None:
    # The handler failed, the consumer deleted all the same.
    h = with_a_handled()
    h.handle("b", at=3, effect="failed")
    h.drained(at=20)
    effective(h, tmp_path, "violated", "violated", effect_missing=1)


def test_never_received_never_applied(tmp_path: Path) -> None:
    # b is acked and expected: lost, and its effect is missing.
    h = with_a_handled()
    h.drained(at=20)
    effective(h, tmp_path, "violated", "violated", effect_missing=1, lost=1)


def test_missing_and_not_drained(tmp_path: Path) -> None:
    h = with_a_handled()
    h.handle("b", at=3, effect="failed")
    effective(h, tmp_path, "unknown", "unknown")


def test_applied_once_and_not_drained(tmp_path: Path) -> None:
    h = with_a_handled()
    h.handle("b", at=3)
    effective(h, tmp_path, "unknown", "unknown")


def test_applied_again_and_not_drained(tmp_path: Path) -> None:
    # Twice is twice, drained or not.
    h = with_a_handled()
    h.handle("b", at=3)
    h.handle("b", at=9)
    effective(h, tmp_path, "unknown", "violated", effect_duplicate=1, redelivery=1)


def test_an_unknown_effect(tmp_path: Path) -> None:
    # Received and deleted, and no word of the effect: it may have been applied.
    h = with_a_handled()
    h.take("b", at=3)
    h.drained(at=20)
    effective(h, tmp_path, "unknown", "unknown")


def test_an_unknown_effect_beside_an_applied_one(tmp_path: Path) -> None:
    # The first consumer died, perhaps after applying; the second applied. At least once it is; once nobody knows.
    h = with_a_handled()
    h.receive("b", at=3)
    h.handle("b", at=9)
    h.drained(at=20)
    effective(h, tmp_path, "holds", "unknown", redelivery=1)


def test_an_unknown_effect_beside_a_failed_one(tmp_path: Path) -> None:
    h = with_a_handled()
    h.receive("b", at=3)
    h.handle("b", at=9, effect="failed")
    h.drained(at=20)
    effective(h, tmp_path, "unknown", "unknown", redelivery=1)


def test_an_effect_is_known_by_its_batch(tmp_path: Path) -> None:
    # The effect of the second batch says nothing of the first, though both receives are of one consumer.
    h = with_a_handled()
    h.receive("b", at=3, batch="one")
    h.receive("b", at=9, batch="two")
    h.effect("b", at=9.1, batch="one")
    h.effect("b", at=9.2, batch="two", outcome="skipped")
    h.delete("b", at=9.3)
    h.drained(at=20)
    effective(h, tmp_path, "holds", "holds", redelivery=1)


@pytest.mark.parametrize("poison, missing", [(True, 0), (False, 1)])
def test_a_dead_message_has_no_effect(tmp_path: Path, poison: bool, missing: int) -> None:
    # That of a poison is not missed, that of a healthy one is.
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, [LEAST, ONCE])
    h.send("a", at=1)
    h.send("b", at=1.1, poison=poison)
    h.handle("a", at=2)
    h.receive("b", at=3)
    h.effect("b", at=3.1, outcome="failed")
    h.dead("b", at=15, receives=1)
    h.drained(at=20)
    verdict = "violated" if missing else "holds"
    effective(h, tmp_path, verdict, verdict, effect_missing=missing, healthy_dead=missing)


@pytest.mark.parametrize("received", [True, False])
def test_an_unknown_send_without_an_effect(tmp_path: Path, received: bool) -> None:
    # Received, its effect is asked for; not received, it is not looked at: checked 2 or 1.
    h = History({"orders": queue()}, [LEAST])
    h.send("a", at=1)
    h.send("b", at=1.1, outcome="unknown")
    h.handle("a", at=2)
    if received:
        h.handle("b", at=3, effect="failed")
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {LEAST: ("violated", 2) if received else ("holds", 1)},
        {"effect-missing": int(received), "recovered": int(received)},
    )


def test_no_effect_is_asked_for_where_nothing_is_expected(tmp_path: Path) -> None:
    # b strays to audit, where its handler fails: misrouted, and nothing is missing.
    h = History({"orders": queue(), "audit": queue()}, [LEAST])
    h.send("a", at=1)
    h.send("b", at=1.1, expect=["orders"])
    for id in "ab":
        h.handle(id, at=2, sub="orders")
    h.handle("a", at=2, sub="audit")
    h.handle("b", at=3, sub="audit", effect="failed")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {LEAST: ("holds", 3)}, {"misrouted": 1})


def test_effects_of_two_subscriptions(tmp_path: Path) -> None:
    # Applied once on each: that is not twice.
    h = History({"orders": queue(), "audit": queue()}, [LEAST, ONCE])
    h.send("a", at=1)
    h.handle("a", at=2, sub="orders")
    h.handle("a", at=2, sub="audit")
    h.drained(at=20)
    effective(h, tmp_path, "holds", "holds")


def test_no_effects_recorded(tmp_path: Path) -> None:
    # A run without any effect: nothing is counted, not even for b, which is lost.
    h = History({"orders": queue()}, [LEAST, ONCE, "no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {LEAST: "unknown", ONCE: "unknown", "no-loss": ("violated", 2)}, {"lost": 1})


# -- from the store


def read_back(h: History, at: float, **applied: int) -> None:
    h.drained(at=at)
    for id, count in applied.items():
        h.effects(id, at=at, applied=count)
    h.effects_read(at=at + 0.1)


def test_read_back_once(tmp_path: Path) -> None:
    h = with_a_handled()
    h.handle("b", at=3)
    read_back(h, 20, a=1, b=1)
    effective(h, tmp_path, "holds", "holds")


def test_read_back_twice(tmp_path: Path) -> None:
    # One record says applied, the store has it twice: the store is the truth.
    h = with_a_handled()
    h.handle("b", at=3)
    read_back(h, 20, a=1, b=2)
    effective(h, tmp_path, "holds", "violated", effect_duplicate=1)


def test_an_upsert_applied_twice(tmp_path: Path) -> None:
    # Two records say applied, the store has it once: fine.
    h = with_a_handled()
    h.handle("b", at=3)
    h.handle("b", at=9)
    read_back(h, 20, a=1, b=1)
    effective(h, tmp_path, "holds", "holds", redelivery=1)


@pytest.mark.parametrize("applied", [{"a": 1}, {"a": 1, "b": 0}])
def test_an_effect_lost(tmp_path: Path, applied: dict[str, int]) -> None:
    # A record says applied and the store has none of it (no record means zero): lost, and so missing.
    h = with_a_handled()
    h.handle("b", at=3)
    read_back(h, 20, **applied)
    effective(h, tmp_path, "violated", "violated", effect_lost=1, effect_missing=1)


def test_an_effect_missing_in_the_store(tmp_path: Path) -> None:
    # Nobody said applied: missing, not lost.
    h = with_a_handled()
    h.take("b", at=3)
    read_back(h, 20, a=1)
    effective(h, tmp_path, "violated", "violated", effect_missing=1)


def test_the_store_knows_what_the_dead_consumer_did(tmp_path: Path) -> None:
    # b's consumer died before writing its effect. Read back, it is there once: nothing is unknown.
    h = with_a_handled()
    h.take("b", at=3)
    read_back(h, 20, a=1, b=1)
    effective(h, tmp_path, "holds", "holds")


def test_read_back_too_early(tmp_path: Path) -> None:
    # The store was read at 5, b was handled at 8: the records of effects count, and nothing is lost.
    h = with_a_handled()
    h.effects("a", at=5, applied=1)
    h.effects_read(at=5.1)
    h.handle("b", at=8)
    h.drained(at=20)
    effective(h, tmp_path, "holds", "holds")


def test_read_back_too_early_and_again(tmp_path: Path) -> None:
    # The second reading is the truth: it knows what the consumer of b did not record.
    h = with_a_handled()
    h.effects_read(at=5.1)
    h.take("b", at=8)
    read_back(h, 20, a=1, b=1)
    effective(h, tmp_path, "holds", "holds")


def test_a_store_read_back_with_nothing_in_it(tmp_path: Path) -> None:
    # No handler wrote effects, the store was read and is empty: both are missing.
    h = History({"orders": queue()}, [LEAST, ONCE])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.take("b", at=3)
    read_back(h, 20)
    effective(h, tmp_path, "violated", "violated", effect_missing=2)


def test_one_store_read_back_and_one_not(tmp_path: Path) -> None:
    # orders' store was read: b is there. audit's was not: b's effect there is unknown.
    h = History({"orders": queue(), "audit": queue()}, [LEAST, ONCE])
    h.send("b", at=1)
    h.take("b", at=2, sub="orders")
    h.take("b", at=2, sub="audit")
    h.drained(at=20)
    h.effects("b", at=21, applied=1, sub="orders")
    h.effects_read(at=22, sub="orders")
    effective(h, tmp_path, "unknown", "unknown")


# -- from elsewhere: what is read back alone tells


def elsewhere() -> History:
    return with_a_handled(queue(effects_from="read-back"))


def test_effects_that_stand_elsewhere_and_were_read(tmp_path: Path) -> None:
    # A handler that worked twice says applied twice; what it writes is there once.
    h = elsewhere()
    h.handle("b", at=3)
    h.handle("b", at=9)
    read_back(h, 20, a=1, b=1)
    effective(h, tmp_path, "holds", "holds", redelivery=1)


@pytest.mark.parametrize("b", [{}, {"b": 2}])
def test_effects_that_stand_elsewhere_may_be_missing_or_too_many(tmp_path: Path, b: dict[str, int]) -> None:
    h = elsewhere()
    h.take("b", at=3)
    read_back(h, 20, a=1, **b)
    found = {"effect_duplicate": 1} if b else {"effect_missing": 1}
    effective(h, tmp_path, "holds" if b else "violated", "violated", **found)


@pytest.mark.parametrize("how", ["not at all", "in vain", "too early"])
def test_effects_that_stand_elsewhere_and_were_not_read(tmp_path: Path, how: str) -> None:
    # What the records say is nobody's effect: neither the two of b, nor that c has none.
    h = elsewhere()
    if how == "too early":
        for id in "ab":
            h.effects(id, at=2.5, applied=1)
        h.effects_read(at=2.5)
    h.handle("b", at=3)
    h.handle("b", at=9)
    h.send("c", at=1.2)
    h.handle("c", at=4, effect="failed")
    h.drained(at=20)
    if how == "in vain":
        h.mark("effects-unread", at=21, subscription="orders", reason="there is no table ledger")
    verdict = verdict_of(h, tmp_path)
    check(verdict, {LEAST: ("unknown", 3), ONCE: ("unknown", 3), "no-loss": ("holds", 3)}, {"redelivery": 1})
    why = "there is no table ledger" if how == "in vain" else "nothing says that they were, after all that was received"
    for claim in verdict["claims"][:2]:
        assert claim["why"] == [f"orders: its effects were not read back: {why}"]


def test_the_order_of_effects_that_stand_elsewhere_is_unknown_while_nobody_has_read_them(tmp_path: Path) -> None:
    h = ordered(fifo(effects_from="read-back"))
    h.effect("b", at=4, started=3.5)
    h.effect("a", at=5, started=4.5)
    settle(h)
    check(verdict_of(h, tmp_path), {"ordered-effects": "unknown", ONCE: "unknown"})


# -- in which order


def ordered(sub: dict[str, Any] | None = None) -> History:
    """a and b, numbered 1 and 2, are received in one batch at 3."""
    h = History({"orders": sub or fifo()}, ["ordered-effects", ONCE])
    partition = "s1" if sub and sub["kind"] == "stream" else None
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, broker_seq=str(n + 1), partition=partition)
    for id in "ab":
        h.receive(id, at=3, batch="one")
    return h


def settle(h: History) -> None:
    if h.subscriptions["orders"]["kind"] == "queue":
        for id in "ab":
            h.delete(id, at=7)
    h.drained(at=30)


@pytest.mark.parametrize("sub", [fifo(), stream()], ids=["queue", "stream"])
@pytest.mark.parametrize("started, late", [(3.9, 0), (4, 0), (4 + NS, 1)])
def test_effects_out_of_order(tmp_path: Path, sub: dict[str, Any], started: float, late: int) -> None:
    # b's applied is recorded at 4: a's effect, begun before or at that moment, may have come first.
    h = ordered(sub)
    h.effect("b", at=4, started=3.5)
    h.effect("a", at=5, started=started)
    settle(h)
    check(
        verdict_of(h, tmp_path),
        {"ordered-effects": ("violated" if late else "holds", 1), ONCE: ("holds", 2)},
        {"effect-out-of-order": late},
    )


def test_effects_of_an_unordered_queue(tmp_path: Path) -> None:
    h = ordered(queue())
    h.effect("b", at=4)
    h.effect("a", at=5)
    settle(h)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("unknown", 0), ONCE: ("holds", 2)})


def test_an_earlier_effect_of_the_same_message(tmp_path: Path) -> None:
    # a was applied before b, and once more after it: not out of order, but twice.
    h = ordered()
    h.effect("a", at=3.5)
    h.effect("b", at=4)
    h.effect("a", at=5)
    settle(h)
    check(
        verdict_of(h, tmp_path),
        {"ordered-effects": ("holds", 1), ONCE: ("violated", 2)},
        {"effect-duplicate": 1},
    )


def test_an_earlier_effect_that_failed_is_none(tmp_path: Path) -> None:
    h = ordered()
    h.effect("a", at=3.5, outcome="failed")
    h.effect("b", at=4)
    h.effect("a", at=5)
    settle(h)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("violated", 1)}, {"effect-out-of-order": 1})


def test_an_earlier_receive_that_may_have_applied_it(tmp_path: Path) -> None:
    # A consumer got a at 2 and died: it may have applied it. Then a and b came again, and b was applied first.
    h = History({"orders": fifo()}, ["ordered-effects"])
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    h.receive("a", at=2)
    for id in "ab":
        h.receive(id, at=8, consumer="c2", batch="one")
    h.effect("b", at=9)
    h.effect("a", at=10)
    for id in "ab":
        h.delete(id, at=11)
    h.drained(at=30)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("unknown", 1)}, {"redelivery": 1})


def test_a_later_receive_that_may_have_applied_it(tmp_path: Path) -> None:
    # b was applied at 4; whatever a's second consumer did, its call began after. Violated beats unknown.
    h = ordered()
    h.effect("b", at=4)
    h.delete("b", at=4.5)
    h.effect("a", at=5)
    h.receive("a", at=12, consumer="c2")
    h.delete("a", at=13)
    h.drained(at=30)
    check(
        verdict_of(h, tmp_path),
        {"ordered-effects": ("violated", 1), ONCE: "unknown"},
        {"effect-out-of-order": 1, "redelivery": 1},
    )


@pytest.mark.parametrize("late", [True, False])
def test_only_the_store_knows_that_it_was_applied(tmp_path: Path, late: bool) -> None:
    """The consumer of a was killed after the write: it cannot have begun before a was received."""
    h = History({"orders": fifo(dead_letter=False)}, ["ordered-effects"])
    h.send("a", at=1, group="g", seq=1, broker_seq="1")
    h.send("b", at=1.1, group="g", seq=2, broker_seq="2")
    h.receive("b", at=2, consumer="c2", receives=1)
    h.effect("b", at=2.5)
    h.delete("b", at=2.6)
    h.receive("a", at=3 if late else 2.2, receives=1, batch="killed")
    h.receive("a", at=9, receives=2)
    h.effect("a", at=9.1, outcome="skipped")
    h.delete("a", at=9.2)
    h.drained(at=19)
    for id in "ab":
        h.effects(id, at=20, applied=1)
    h.effects_read(at=21)
    verdict = "violated" if late else "holds"
    found = {"effect-out-of-order": int(late), "nonmonotonic-delivery": 1, "redelivery": 1}
    check(verdict_of(h, tmp_path), {"ordered-effects": (verdict, 1)}, found)


def test_a_dead_message_may_be_applied_late(tmp_path: Path) -> None:
    # a died, was sent back and applied: it is not asked to come before b.
    h = History({"orders": fifo(dead_letter=True, max_receives=1)}, ["ordered-effects"])
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    h.receive("a", at=2)
    h.effect("a", at=2.1, outcome="failed")
    h.handle("b", at=8)
    h.dead("a", at=15, receives=1)
    h.redriven("a", at=16)
    h.handle("a", at=17, broker_id="again", broker_seq="9")
    h.drained(at=30)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("holds", 1)})


def test_the_order_of_effects_needs_no_drain(tmp_path: Path) -> None:
    # Not drained: exactly-once is unknown, the order that was seen holds.
    h = ordered()
    h.effect("a", at=4)
    h.effect("b", at=5)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("holds", 1), ONCE: "unknown"})


def test_no_effects_no_order_of_effects(tmp_path: Path) -> None:
    h = ordered()
    settle(h)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("unknown", 0)})


def test_effects_in_the_order_of_a_wrong_store(tmp_path: Path) -> None:
    # Sent a, b, overlapping, stored b, a, applied b, a: the effects follow the store, the store the producer's mistake.
    h = History({"orders": fifo()}, ["ordered-effects"])
    h.send("a", at=1, ended=1.5, broker_seq="2")
    h.send("b", at=1.1, ended=1.4, broker_seq="1")
    h.handle("b", at=3)
    h.handle("a", at=4)
    h.drained(at=30)
    check(verdict_of(h, tmp_path), {"ordered-effects": ("violated", 1)}, {"stored-out-of-order": 1})
