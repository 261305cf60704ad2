"""Dead letters: poison that got away, healthy messages that died, and more receives than are allowed.

`orders` is a standard queue with dead letters after two receives; a is healthy and handled, p is poison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import History, check, queue, verdict_of

SUB = queue(dead_letter=True, max_receives=2)


def sent(
    sub: dict[str, Any] | None = None, *, strict: bool = False, others: tuple[str, ...] = (), effects: bool = True
) -> History:
    """a is handled; p is poison and was sent; so were `others`, healthy."""
    h = History({"orders": sub or SUB}, [{"claim": "dead-letter", "strict": strict}, "no-loss"])
    h.send("a", at=1)
    h.send("p", at=1.1, poison=True)
    for n, id in enumerate(others):
        h.send(id, at=1.2 + n / 10)
    if effects:
        h.handle("a", at=2)
    else:
        h.take("a", at=2)
    return h


def fail(h: History, id: str, *, times: int = 2, dead: bool = True) -> None:
    """Received and failed at 3, 9, …; found dead at 50."""
    for n in range(times):
        h.receive(id, at=3 + 6 * n)
        h.effect(id, at=3.1 + 6 * n, outcome="failed")
    if dead:
        h.dead(id, at=50, receives=times)


def test_poison_dies(tmp_path: Path) -> None:
    # Failed twice, received twice of two allowed, dead. checked: one poison on one subscription with dead letters.
    h = sent()
    fail(h, "p")
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("holds", 1), "no-loss": ("holds", 2)}, {"redelivery": 1})


def test_poison_escaped(tmp_path: Path) -> None:
    # Somebody handled and deleted it.
    h = sent()
    h.handle("p", at=3)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("violated", 1), "no-loss": ("holds", 2)}, {"poison-escaped": 1})


def test_poison_escaped_unseen(tmp_path: Path) -> None:
    # Acked, never received and not among the dead letters, which were read to the end.
    h = sent(effects=False)
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated", 1), "no-loss": ("violated", 2)},
        {"poison-escaped": 1, "lost": 1},
    )


def test_poison_and_not_drained(tmp_path: Path) -> None:
    # The dead letters were not read to the end.
    h = sent()
    h.handle("p", at=3)
    h.drained(at=60, empty=False)
    check(verdict_of(h, tmp_path), {"dead-letter": ("unknown", 1), "no-loss": ("unknown", 2)})


def test_poison_sent_back(tmp_path: Path) -> None:
    # Dead, sent back, handled and deleted: at the end it is not dead.
    h = sent()
    fail(h, "p")
    h.redriven("p", at=55)
    h.handle("p", at=57, broker_id="again")
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("violated", 1)}, {"poison-escaped": 1, "redelivery": 1})


def test_poison_sent_back_and_dead_again(tmp_path: Path) -> None:
    h = sent()
    fail(h, "p")
    h.redriven("p", at=55)
    h.dead("p", at=57, receives=2)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("holds", 1)}, {"redelivery": 1})


def test_poison_where_there_are_no_dead_letters(tmp_path: Path) -> None:
    # Nothing to look at: unknown.
    h = sent(queue())
    h.handle("p", at=3)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("unknown", 0), "no-loss": ("holds", 2)})


def test_no_poison_at_all(tmp_path: Path) -> None:
    # Dead letters, and no poison to try them: unknown.
    h = History({"orders": SUB}, ["dead-letter", "no-loss"])
    h.send("a", at=1)
    h.handle("a", at=2)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("unknown", 0), "no-loss": ("holds", 1)})


def test_poison_of_unknown_outcome_that_never_came(tmp_path: Path) -> None:
    # Neither acked nor received: nothing escaped.
    h = sent()
    fail(h, "p")
    h.send("q", at=2, poison=True, outcome="unknown")
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": "holds"}, {"redelivery": 1})


def test_poison_that_strays(tmp_path: Path) -> None:
    # p is for orders alone; audit handles it: misrouted, no escape.
    h = History({"orders": SUB, "audit": SUB}, ["dead-letter"])
    h.send("a", at=1)
    h.send("p", at=1.1, poison=True, expect=["orders"])
    h.send("q", at=1.2, poison=True, expect=["audit"])
    for sub in ("orders", "audit"):
        h.handle("a", at=2, sub=sub)
    h.handle("p", at=3, sub="audit")
    h.dead("p", at=50, sub="orders", receives=2)
    h.dead("q", at=50, sub="audit", receives=2)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": "holds"}, {"misrouted": 1})


# -- too many receives


@pytest.mark.parametrize("times, found", [(2, 0), (3, 1), (4, 2)])
def test_over_received(tmp_path: Path, times: int, found: int) -> None:
    # Two receives are allowed; each beyond counts.
    h = sent()
    fail(h, "p", times=times)
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated" if found else "holds", 1)},
        {"over-received": found, "redelivery": times - 1},
    )


def test_over_received_needs_no_drain(tmp_path: Path) -> None:
    h = sent()
    fail(h, "p", times=3)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated", 1), "no-loss": "unknown"},
        {"over-received": 1, "redelivery": 2},
    )


def test_any_number_of_receives_where_there_are_no_dead_letters(tmp_path: Path) -> None:
    # Four failures and a delete at last. (Its effect is missing: a poison may do without one only where it is dead.)
    h = sent(queue(max_receives=2))
    fail(h, "p", times=4, dead=False)
    h.delete("p", at=22)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 2)}, {"redelivery": 3, "effect-missing": 1})


# -- healthy messages that died


def test_healthy_dead(tmp_path: Path) -> None:
    # b is no poison, its handler failed, and it died. Its effect is missing, too.
    h = sent(others=("b",))
    fail(h, "p")
    fail(h, "b")
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated", 1), "no-loss": ("holds", 3)},
        {"healthy-dead": 1, "redelivery": 2, "effect-missing": 1},
    )


def test_healthy_dead_of_a_handler_whose_effects_nobody_knows(tmp_path: Path) -> None:
    # What failed b and p says so, and leaves out the batch: they may have had their effect, so none is missing, and
    # nobody knows of one that was applied.
    h = sent(others=("b",), effects=False)
    h.manifest["claims"].append({"claim": "at-least-once-effect"})
    for id in "pb":
        for at in (3, 9):
            h.receive(id, at=at)
            h.record("c", at + 0.1, "effect", id=id, subscription="orders", consumer="c", outcome="failed")
        h.dead(id, at=50, receives=2)
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated", 1), "no-loss": ("holds", 3), "at-least-once-effect": ("unknown", 3)},
        {"healthy-dead": 1, "redelivery": 2},
    )


def test_healthy_dead_though_it_failed_once_only(tmp_path: Path) -> None:
    # Failed at 3, in a batch given up at 9: at least once is enough. The effect of the second receive is unknown.
    h = sent(others=("b",))
    fail(h, "p")
    fail(h, "b", times=1, dead=False)
    h.receive("b", at=9)
    h.dead("b", at=50, receives=2)
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("violated", 1)}, {"healthy-dead": 1, "redelivery": 2})


@pytest.mark.parametrize("strict", [False, True])
def test_collateral_dead(tmp_path: Path, strict: bool) -> None:
    # b never failed: it shared its batches with p, which did. Only a strict claim minds.
    h = sent(strict=strict, others=("b",))
    for n in range(2):
        for id in "pb":
            h.receive(id, at=3 + 6 * n, batch=f"both-{n}")
        h.effect("p", at=3.1 + 6 * n, outcome="failed")
    for id in "pb":
        h.dead(id, at=50, receives=2)
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated" if strict else "holds", 1), "no-loss": ("holds", 3)},
        {"collateral-dead": 1, "redelivery": 2},
    )


def test_a_healthy_message_sent_back(tmp_path: Path) -> None:
    # b died, was sent back and handled: not dead at the end.
    h = sent(strict=True, others=("b",))
    fail(h, "p")
    fail(h, "b")
    h.redriven("b", at=55)
    h.handle("b", at=57, broker_id="again")
    h.drained(at=60)
    check(verdict_of(h, tmp_path), {"dead-letter": ("holds", 1), "no-loss": ("holds", 3)}, {"redelivery": 2})


def test_found_dead_twice(tmp_path: Path) -> None:
    # The dead-letter queue was read twice: one (message, subscription).
    h = sent(others=("b",))
    fail(h, "p")
    fail(h, "b")
    h.dead("b", at=51, receives=2)
    h.drained(at=60)
    check(
        verdict_of(h, tmp_path),
        {"dead-letter": ("violated", 1)},
        {"healthy-dead": 1, "redelivery": 2, "effect-missing": 1},
    )


@pytest.mark.parametrize("last", ["dead", "redriven"])
def test_dead_and_sent_back_at_one_moment(tmp_path: Path, last: str) -> None:
    # One file, one time: the lines decide. Found dead, sent back and found dead again it is dead; sent back last, it is
    # not, and gone.
    h = sent()
    h.receive("p", at=3)
    h.effect("p", at=3.1, outcome="failed")
    h.dead("p", at=50, receives=2)
    h.redriven("p", at=50)
    if last == "dead":
        h.dead("p", at=50, receives=2)
    h.drained(at=60)
    expected = {} if last == "dead" else {"poison-escaped": 1, "lost-on-redrive": 1, "effect-missing": 1}
    verdict = "violated" if expected else "holds"
    check(verdict_of(h, tmp_path), {"dead-letter": (verdict, 1), "no-loss": (verdict, 2)}, expected)
