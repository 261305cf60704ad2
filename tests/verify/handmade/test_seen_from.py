"""Who records receives may not be the consumer: a proxy sees no handler and passes on later, or nobody saw anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import NotARun
from tests.verify.handmade.builder import Expected, History, check, counts, fifo, queue, verdict_of


def delivered(h: History, batch: str, *, at: float, outcome: str = "ok", consumer: str = "c1") -> None:
    h.record(consumer, at, "delivered", subscription="orders", consumer=consumer, batch=batch, outcome=outcome)


def lagging(*, max_s: float) -> History:
    """a is received at 2, again at 8."""
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": max_s, "during": "all"}, "no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2, batch="A")
    h.take("a", at=8, batch="B")
    h.drained(at=20)
    return h


@pytest.mark.parametrize(
    ("first", "max_s", "verdict"),
    [
        (None, 1, "holds"),
        ("ok", 4, "holds"),
        ("ok", 3, "violated"),
        ("failed", 8, "holds"),
        ("failed", 7, "violated"),
        # It may have been delivered at 2, and was at 8.
        ("unknown", 8, "holds"),
        ("unknown", 7, "unknown"),
        ("unknown", 0.5, "violated"),
        # The proxy died before it could say.
        ("silent", 8, "holds"),
        ("silent", 7, "unknown"),
    ],
)
def test_lag_counts_from_what_was_delivered(tmp_path: Path, first: str | None, max_s: float, verdict: str) -> None:
    h = lagging(max_s=max_s)
    if first in ("ok", "failed", "unknown"):
        delivered(h, "A", at=4.5, outcome=first)
    if first is not None:
        delivered(h, "B", at=8.5)
    document = verdict_of(h, tmp_path)
    check(document, {"lag": (verdict, 1), "no-loss": "holds"})
    assert counts(document) == {"redelivery": 1}
    if verdict == "unknown":
        assert "nobody knows whether 1 messages reached their consumer" in document["claims"][0]["why"][0]


def test_a_message_that_was_never_delivered_counts_as_never_received(tmp_path: Path) -> None:
    h = lagging(max_s=18)
    delivered(h, "A", at=4, outcome="failed")
    delivered(h, "B", at=9, outcome="failed")
    document = verdict_of(h, tmp_path)
    # 19 s until the history ends; for all else it was received.
    check(document, {"lag": ("violated", 1), "no-loss": ("holds", 1)})
    assert document["latency_s"] == {}


@pytest.mark.parametrize(("outcome", "verdict"), [("ok", "holds"), ("failed", "violated"), ("unknown", "unknown")])
def test_recovery_counts_from_it_too(tmp_path: Path, outcome: str, verdict: str) -> None:
    claims: list[str | dict[str, Any]] = [{"claim": "recovery", "within_s": 1}, {"claim": "lag", "max_s": 2}]
    h = History({"orders": queue(visibility_timeout_s=1)}, claims)
    h.send("a", at=6)
    h.fault(8, 9)
    h.receive("a", at=8.5, batch="A")
    delivered(h, "A", at=8.6, outcome=outcome)
    h.take("a", at=20, batch="B")
    delivered(h, "B", at=20.5)
    h.mark("load-stopped", at=30, scheduled=1)
    h.drained(at=31)
    document = verdict_of(h, tmp_path)
    told = {claim["claim"]: claim["verdict"] for claim in document["claims"]}
    # Late from 8 until 20.5, unless the first receive was delivered; the quiet time has to begin until 10.
    assert told["recovery"] == verdict


def died(seen_from: str) -> History:
    h = History(
        {"orders": queue(dead_letter=True, max_receives=1, seen_from=seen_from)},
        ["dead-letter", {"claim": "no-loss"}],
    )
    h.send("poison", at=1, poison=True)
    h.send("healthy", at=1)
    for id in ("poison", "healthy"):
        h.receive(id, at=2)
        h.dead(id, at=15)
    h.drained(at=20)
    return h


@pytest.mark.parametrize(
    ("seen_from", "effect", "verdict", "found"),
    [
        ("consumer", None, "holds", {"collateral-dead": 1}),
        # Who records effects has none of it, too.
        ("consumer", "failed", "violated", {"healthy-dead": 1, "effect-missing": 1}),
        ("wire", None, "unknown", {}),
        ("wire", "failed", "violated", {"healthy-dead": 1, "effect-missing": 1}),
        ("wire", "applied", "holds", {"collateral-dead": 1}),
        ("nobody", "failed", "violated", {"healthy-dead": 1}),
    ],
)
def test_who_sees_no_handler_does_not_know_who_failed(
    tmp_path: Path, seen_from: str, effect: str | None, verdict: str, found: dict[str, int]
) -> None:
    h = died(seen_from)
    if effect is not None:
        h.effect("healthy", at=3, outcome=effect)
    document = verdict_of(h, tmp_path)
    check(document, {"dead-letter": (verdict, 1)}, found)
    if verdict == "unknown":
        assert document["claims"][0]["why"] == [
            "orders: 1 messages died that are not poison, and nobody tells whether a handler failed them (seen_from: "
            "wire); an `effect` record of each handling would"
        ]


@pytest.mark.parametrize(("seen_from", "verdict"), [("consumer", "holds"), ("wire", "unknown")])
def test_the_order_of_effects_that_the_store_alone_tells(tmp_path: Path, seen_from: str, verdict: str) -> None:
    h = History({"orders": fifo(seen_from=seen_from)}, ["ordered-effects", "exactly-once-effect"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n, broker_seq=str(n + 1))
        h.take(id, at=3 + n)
        h.effects(id, at=15, applied=1)
    h.effects_read(at=16)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"ordered-effects": (verdict, 1), "exactly-once-effect": ("holds", 2)})


RESTING_ON_RECEIVES = [
    "no-loss", "no-phantom", "exactly-once-delivery", "ordered-per-group", "ordered-effects", "fanout-complete",
    "filter-correct", "replay-complete", "dead-letter",
]  # fmt: skip


def unheard(*, read_back: bool = True, missing: bool = False) -> History:
    promised = fifo(seen_from="nobody", filtered=True, dead_letter=True, max_receives=3)
    timed = [{"claim": "lag", "max_s": 1, "during": "all"}, {"claim": "recovery", "within_s": 5}]
    claims = [*RESTING_ON_RECEIVES, *timed, "all-accepted", "at-least-once-effect", "exactly-once-effect"]
    h = History({"orders": promised}, claims)
    h.mark("load-started", at=0.5)
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n)
        if read_back and not (missing and id == "a"):
            h.effects(id, at=15, applied=1)
    h.fault(1, 2)
    h.mark("load-stopped", at=4, scheduled=2)
    if read_back:
        h.effects_read(at=16)
    h.drained(at=20)
    return h


def test_where_nobody_saw_receives_the_rest_is_judged(tmp_path: Path) -> None:
    document = verdict_of(unheard(), tmp_path)
    unknown: dict[str, Expected] = dict.fromkeys([*RESTING_ON_RECEIVES, "lag", "recovery"], "unknown")
    judged: dict[str, Expected] = {
        "all-accepted": ("holds", 2), "at-least-once-effect": ("holds", 2), "exactly-once-effect": ("holds", 2)
    }  # fmt: skip
    check(document, unknown | judged, {})
    for claim in document["claims"]:
        told = [
            why for why in claim["why"] if why == "orders: nobody recorded what was received there (seen_from: nobody)"
        ]
        assert len(told) == (claim["claim"] in unknown), claim


def test_an_effect_that_is_missing_there_is_blamed(tmp_path: Path) -> None:
    document = verdict_of(unheard(missing=True), tmp_path)
    check(document, {"at-least-once-effect": ("violated", 2), "no-loss": "unknown"}, {"effect-missing": 1})


def test_without_the_store_nothing_is_known_of_effects_there(tmp_path: Path) -> None:
    document = verdict_of(unheard(read_back=False), tmp_path)
    check(document, {"at-least-once-effect": "unknown", "exactly-once-effect": "unknown"}, {})


def test_a_subscription_that_somebody_watches_must_receive_something(tmp_path: Path) -> None:
    h = History({"orders": queue(seen_from="nobody"), "audit": queue()}, ["all-accepted"])
    h.send("a", at=1)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"all-accepted": "unknown"}, {"vacuous": 1, "lost": 1})


def test_poison_that_did_not_die_needs_no_receive(tmp_path: Path) -> None:
    h = History({"orders": queue(seen_from="nobody", dead_letter=True)}, ["dead-letter"])
    h.send("a", at=1, poison=True)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"dead-letter": ("violated", 1)}, {"poison-escaped": 1})


def test_a_word_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="seen_from is 'afar'; it must be one of consumer, wire, nobody"):
        verdict_of(History({"orders": queue(seen_from="afar")}, ["no-loss"]), tmp_path)


@pytest.mark.parametrize(
    ("applied", "another", "seen_from", "verdict"),
    [
        # It had its effect, so somebody received it, past the proxy.
        (1, True, "wire", "unknown"),
        # Nothing at all came by the proxy: it was not asked.
        (0, False, "wire", "unknown"),
        (0, True, "wire", "violated"),
        (1, True, "consumer", "violated"),
        (0, False, "consumer", "violated"),
    ],
)
def test_who_goes_past_the_proxy_loses_nothing_by_it(
    tmp_path: Path, applied: int, another: bool, seen_from: str, verdict: str
) -> None:
    h = History({"orders": queue(seen_from=seen_from)}, ["no-loss"])
    h.send("a", at=1)
    if another:
        h.send("b", at=1)
        h.take("b", at=2)
    h.drained(at=20)
    h.record("conductor", 21, "effects", subscription="orders", id="a", applied=applied)
    h.record("conductor", 22, "mark", name="effects-read", subscription="orders")
    document = verdict_of(h, tmp_path)
    assert document["claims"][0]["verdict"] == verdict
    assert counts(document).get("unseen" if verdict == "unknown" else "lost") == 1
