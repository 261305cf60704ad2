"""Where others use a queue: what is absent may be theirs, what was seen whole is judged; from a stream none takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.handmade.builder import History, check, fifo, queue, stream, verdict_of

LATE = {"claim": "lag", "max_s": 2, "during": "all"}


def foreign(h: History, *, at: float = 0.5, count: int = 3, sub: str = "orders") -> None:
    h.mark("foreign", at=at, subscription=sub, count=count)


@pytest.mark.parametrize("shared", [False, True])
def test_what_others_may_have_taken_is_not_lost(tmp_path: Path, shared: bool) -> None:
    h = History({"orders": queue()}, ["no-loss", "fanout-complete", "no-phantom", "all-accepted"])
    h.mark("load-started", at=0)
    h.send("a", at=1)
    h.send("b", at=1.5)
    h.take("b", at=2)
    h.mark("load-stopped", at=3, scheduled=2)
    if shared:
        foreign(h)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    lost = "unknown" if shared else "violated"
    claims = {"no-loss": lost, "fanout-complete": lost, "no-phantom": "holds", "all-accepted": "holds"}
    check(document, claims, {"unseen" if shared else "lost": 1})
    if shared:
        assert "others use it, too (a `foreign` mark)" in str(document["claims"][0]["why"])
        assert document["totals"]["subscriptions"]["orders"]["foreign"] == 3
    else:
        assert "foreign" not in document["totals"]["subscriptions"]["orders"]


def test_a_later_message_of_its_group_proves_no_loss_where_others_may_have_it(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss", "ordered-per-group"])
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=2, broker_seq="2")
    h.take("b", at=3)
    foreign(h, count=0)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": "unknown"}, {"unseen": 1})


@pytest.mark.parametrize(("receives", "verdict"), [((1,), "violated"), ((1, 2), "violated"), ((2,), "unknown")])
def test_a_lag_is_blamed_where_nobody_else_can_have_had_the_message(
    tmp_path: Path, receives: tuple[int, ...], verdict: str
) -> None:
    h = History({"orders": queue()}, [LATE])
    h.send("a", at=1)
    for number, counted in enumerate(receives):
        h.receive("a", at=8 + 6 * number, receives=counted)
    foreign(h)
    document = verdict_of(h, tmp_path)
    check(document, {"lag": verdict})
    if verdict == "unknown":
        assert "and may have had 1 of the messages that were received there" in document["claims"][0]["why"][0]


@pytest.mark.parametrize(("first", "verdict"), [(1, "violated"), (2, "unknown")])
def test_an_order_is_judged_where_both_were_seen_whole(tmp_path: Path, first: int, verdict: str) -> None:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=2, broker_seq="2")
    h.take("b", at=3, receives=1)
    h.take("a", at=4, receives=first)
    foreign(h)
    document = verdict_of(h, tmp_path)
    check(document, {"ordered-per-group": verdict}, {"nonmonotonic-delivery": int(verdict == "violated")})


@pytest.mark.parametrize(("died_after", "doubt"), [(2, False), (3, True)])
def test_a_death_is_seen_whole_or_others_may_have_caused_it(tmp_path: Path, died_after: int, doubt: bool) -> None:
    h = History({"orders": queue(max_receives=2, dead_letter=True)}, ["dead-letter", LATE])
    h.send("a", at=1)
    for number in (1, 2):
        h.receive("a", at=1 + 6 * (number - 1) + 0.1, receives=number, batch=f"A{number}")
        h.record(
            "c1",
            1 + 6 * (number - 1) + 0.2,
            "effect",
            id="a",
            subscription="orders",
            batch=f"A{number}",
            outcome="failed",
        )
    h.record("main", 19, "dead", id="a", subscription="orders", broker_id="b-a", receives=died_after)
    foreign(h)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"dead-letter": "unknown" if doubt else "violated"}, {"healthy-dead": int(not doubt)})


def test_who_only_reads_a_stream_takes_nothing_from_it(tmp_path: Path) -> None:
    h = History({"orders": stream()}, ["no-loss"])
    h.send("a", at=1, broker_seq="1", partition="s0")
    h.send("b", at=2, broker_seq="2", partition="s0")
    h.receive("b", at=3)
    foreign(h)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": "violated"}, {"lost": 1})
    assert document["totals"]["subscriptions"]["orders"]["foreign"] == 3
