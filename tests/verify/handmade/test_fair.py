"""Fairness: quiet tenants' waits during the noise, against a bound and against their own baseline before it.

`orders` is a standard queue. Quiet messages are due one every 100 ms, a hundred from 1 on and a hundred from 11 on; the
noise is a hundred messages of a noisy tenant from 11 on. Each waits as long as its history says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, Json, check, ns, queue, verdict_of

FAIR: Json = {"claim": "fair", "quiet_p99_s": 1}
RELATIVE: Json = {"claim": "fair", "times_baseline": 5}


def noisy(
    *claims: Json,
    before: Sequence[float] = (0.05,) * 100,
    during: Sequence[float] = (0.5,) * 100,
    noise: Sequence[float] = (9.0,) * 100,
    scheduled: int | None = None,
    since: float = 1.0,
    name: str = "quiet",
    subscription: Json | None = None,
    consumer: str = "c1",
    **fields: Any,
) -> History:
    """Those waits, with the claims; as many were scheduled as `scheduled` tells, else no more than were sent."""
    h = History({"orders": subscription or queue()}, list(claims), **fields)
    for kind, start, waits in ((name, since, before), (name, 11.0, during), ("noisy", 11.0, noise)):
        for n, wait in enumerate(waits):
            id, due = f"{kind}-{start:g}-{n}", start + n / 10
            h.send(id, at=due, ended=due + 0.001, group=f"{kind}-{n % 4}", tenant_class=kind)
            h.take(id, at=due + wait, consumer=consumer)
    h.mark("load-stopped", at=200, scheduled=len(before) + len(during) + len(noise) if scheduled is None else scheduled)
    h.drained(at=200)
    return h


def judged(h: History, tmp_path: Path, name: str) -> Json:
    """One of several histories of a test."""
    directory = tmp_path / name
    directory.mkdir()
    return verdict_of(h, directory)


def slow(count: int, *, of: int = 100, wait: float = 3.0) -> list[float]:
    return [0.5] * (of - count) + [wait] * count


# -- the bound, and the baseline


@pytest.mark.parametrize(("late", "verdict"), [(0, "holds"), (1, "holds"), (2, "violated")])
def test_p99_during_the_noise(tmp_path: Path, late: int, verdict: str) -> None:
    check(verdict_of(noisy(FAIR, during=slow(late)), tmp_path), {"fair": (verdict, 100)})


@pytest.mark.parametrize(("wait", "verdict"), [(1, "holds"), (1 + NS, "violated")])
def test_exactly_the_bound(tmp_path: Path, wait: float, verdict: str) -> None:
    check(verdict_of(noisy(FAIR, during=[wait] * 100), tmp_path), {"fair": (verdict, 100)})


@pytest.mark.parametrize(
    ("baseline", "wait", "verdict"),
    [
        (0.4, 2, "holds"),
        (0.4, 2.1, "violated"),
        # Less than 0.1 s counts as that.
        (0.01, 0.5, "holds"),
        (0.01, 0.51, "violated"),
        (0.1, 0.5, "holds"),
        (0.11, 0.55, "holds"),
    ],
)
def test_times_the_baseline(tmp_path: Path, baseline: float, wait: float, verdict: str) -> None:
    h = noisy(RELATIVE, before=[baseline] * 100, during=[wait] * 100)
    check(verdict_of(h, tmp_path), {"fair": (verdict, 100)})


def test_what_the_baseline_is_told_by(tmp_path: Path) -> None:
    # Its p99: one slow message of a hundred does not count, of two the smaller does.
    h = noisy(RELATIVE, before=[4.0] + [0.05] * 99, during=[0.6] * 100)
    check(verdict_of(h, tmp_path), {"fair": "violated"})
    h = noisy(RELATIVE, before=[0.15, 4.0] + [0.05] * 98, during=[0.6] * 100)
    check(judged(h, tmp_path, "two"), {"fair": "holds"})


def test_both_bounds_must_hold(tmp_path: Path) -> None:
    both = {**FAIR, **RELATIVE}
    check(judged(noisy(both, during=[0.5] * 100), tmp_path, "kept"), {"fair": "holds"})
    check(judged(noisy(both, during=[0.6] * 100), tmp_path, "one"), {"fair": "violated"})
    check(judged(noisy(both, before=[0.3] * 100, during=[1.1] * 100), tmp_path, "other"), {"fair": "violated"})


def test_each_class_is_judged_by_itself(tmp_path: Path) -> None:
    # A hundred of gold that wait long are one third of all quiet ones, and would be seen; so would be one in fifty.
    h = noisy(FAIR, during=[0.2] * 300)
    for start, wait in ((1.0, 0.05), (11.0, 2.0)):
        for n in range(100):
            id, due = f"gold-{start:g}-{n}", start + n / 10
            h.send(id, at=due, group="gold-0", tenant_class="gold")
            h.take(id, at=due + wait)
    document = verdict_of(h, tmp_path)
    check(document, {"fair": ("violated", 200)})
    (why,) = document["claims"][0]["why"]
    assert why.startswith("orders: gold: during the noise the p99 of their wait is 2.000 s, more than 1.000 s (1 s)")


def test_what_is_due_when_the_noise_is_over_is_not_judged(tmp_path: Path) -> None:
    # It ends with the noisy message that is due at 20.9.
    h = noisy(FAIR, during=[0.2] * 100 + [30.0] * 50)
    check(verdict_of(h, tmp_path), {"fair": ("holds", 100)})


# -- the noise must have been felt


@pytest.mark.parametrize(
    ("noise", "verdict"), [([1.0] * 100, "unknown"), ([0.1] * 98 + [1 + NS] * 2, "holds"), ([0.1] * 100, "unknown")]
)
def test_without_a_shortage_nothing_is_shown(tmp_path: Path, noise: Sequence[float], verdict: str) -> None:
    document = verdict_of(noisy(FAIR, noise=noise), tmp_path)
    check(document, {"fair": (verdict, 100)})
    if verdict == "unknown":
        (why,) = document["claims"][0]["why"]
        assert "the noise was not felt" in why


def test_a_noise_that_was_not_felt_excuses_nobody(tmp_path: Path) -> None:
    check(verdict_of(noisy(FAIR, during=[3.0] * 100, noise=[0.1] * 100), tmp_path), {"fair": "violated"})


def test_each_bound_asks_for_its_own_noise(tmp_path: Path) -> None:
    # 0.8 s is more than five times the baseline, and less than the other bound.
    h = noisy({**FAIR, **RELATIVE}, during=[0.2] * 100, noise=[0.8] * 100)
    check(verdict_of(h, tmp_path), {"fair": "unknown"})
    check(judged(noisy(RELATIVE, during=[0.2] * 100, noise=[0.8] * 100), tmp_path, "one"), {"fair": "holds"})


def test_noisy_messages_that_nobody_received_were_not_felt(tmp_path: Path) -> None:
    h = noisy(FAIR, noise=[0.1] * 100)
    for n in range(50):
        h.send(f"lost-{n}", at=12 + n / 10, group="noisy-0", tenant_class="noisy")
    check(verdict_of(h, tmp_path), {"fair": "unknown"}, {"lost": 50})


# -- too few, or none


@pytest.mark.parametrize("part", ["before", "during", "noise"])
@pytest.mark.parametrize("wait", [0.2, 9.0])
def test_ninety_nine_are_too_few(tmp_path: Path, part: str, wait: float) -> None:
    h = noisy({**FAIR, **RELATIVE}, **{part: [wait] * 99})
    # With the noise, what is due during it ends earlier.
    checked = 100 if part == "before" else 99
    check(verdict_of(h, tmp_path), {"fair": ("unknown", checked)})


def test_without_tenants_there_is_nothing_to_check(tmp_path: Path) -> None:
    h = History({"orders": queue()}, [FAIR])
    h.send("m", at=1)
    h.take("m", at=2)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"fair": ("unknown", 0)})


@pytest.mark.parametrize("name", ["noisy", "quiet"])
def test_a_noise_alone_or_none_shows_nothing(tmp_path: Path, name: str) -> None:
    h = noisy(FAIR, name=name, noise=[] if name == "quiet" else [9.0] * 100)
    check(verdict_of(h, tmp_path), {"fair": ("unknown", 0)})


def test_without_a_bound_nothing_is_claimed(tmp_path: Path) -> None:
    check(verdict_of(noisy({"claim": "fair"}), tmp_path), {"fair": "unknown"})


# -- what nobody can be blamed for


def late_sends(h: History, since: float, by: float) -> History:
    """Whatever was due from then on was sent so much later."""
    for record in h.files["p1"]:
        if record["event"] == "intended" and record["due"] >= ns(since) and record["tenant_class"] != "noisy":
            record["due"] -= round(by * 1e9)
    return h


def test_a_late_load_is_not_blamed_on_the_queue(tmp_path: Path) -> None:
    # Sends that began 2 s late: from when they were due it was too long, from when they began it was not.
    h = late_sends(noisy(FAIR, during=[0.5] * 100), since=13, by=2)
    check(verdict_of(h, tmp_path), {"fair": ("unknown", 100)})


def test_a_late_load_makes_no_slow_baseline(tmp_path: Path) -> None:
    # With a baseline of 3 s it would hold; of the 3 s the queue had 50 ms.
    h = noisy(RELATIVE, before=[0.05] * 120, during=[2.0] * 100)
    for record in h.files["p1"]:
        if record["event"] == "intended" and record["due"] < ns(11):
            record["due"] -= round(2 * 1e9)
    check(verdict_of(h, tmp_path), {"fair": "unknown"})


def test_what_still_waited_when_the_noise_began_makes_no_slow_baseline(tmp_path: Path) -> None:
    # The last five before the noise waited 4 s, most of it during the noise.
    h = noisy(RELATIVE, before=[0.05] * 95 + [4.0] * 5, during=[3.0] * 100)
    check(verdict_of(h, tmp_path), {"fair": "unknown"})


def test_never_received_waited_until_the_end(tmp_path: Path) -> None:
    h = noisy(FAIR, during=[0.5] * 100, scheduled=302)
    for n in range(2):
        h.send(f"never-{n}", at=12 + n, group="quiet-0", tenant_class="quiet")
    check(verdict_of(h, tmp_path), {"fair": ("violated", 102)}, {"lost": 2})


def test_what_an_at_most_once_subscription_drops_violates_nothing(tmp_path: Path) -> None:
    h = noisy(FAIR, during=[0.5] * 100, scheduled=302, subscription=queue(promises="at-most-once"))
    for n in range(2):
        h.send(f"never-{n}", at=12 + n, group="quiet-0", tenant_class="quiet")
    check(verdict_of(h, tmp_path), {"fair": ("unknown", 102)}, {"lost": 2})


@pytest.mark.parametrize("wait", [0.5, 3.0])
def test_with_a_fault_nobody_can_tell(tmp_path: Path, wait: float) -> None:
    h = noisy(FAIR, during=[wait] * 100)
    h.fault(12, 13)
    document = verdict_of(h, tmp_path)
    check(document, {"fair": ("unknown", 100)})
    assert "there was a fault" in " ".join(document["claims"][0]["why"])


def test_dead_messages_are_left_out(tmp_path: Path) -> None:
    h = noisy(FAIR, during=[*slow(2), 0.5], noise=[9.0] * 101, subscription=queue(max_receives=1, dead_letter=True))
    h.dead("quiet-11-98", at=150, receives=1)
    check(verdict_of(h, tmp_path), {"fair": ("holds", 100)}, {"collateral-dead": 1})


@pytest.mark.parametrize(("unsent", "verdict"), [(1, "holds"), (2, "unknown")])
def test_what_was_never_sent_says_nothing(tmp_path: Path, unsent: int, verdict: str) -> None:
    check(verdict_of(noisy(FAIR, scheduled=300 + unsent), tmp_path), {"fair": verdict})


@pytest.mark.parametrize(
    ("name", "given_up", "verdict"), [("quiet", 1, "holds"), ("quiet", 2, "unknown"), ("noisy", 9, "holds")]
)
def test_what_was_given_up(tmp_path: Path, name: str, given_up: int, verdict: str) -> None:
    h = noisy(FAIR, scheduled=300 + given_up)
    for n in range(given_up):
        h.send(f"refused-{n}", at=12 + n, group=f"{name}-0", tenant_class=name, outcome="failed")
    check(verdict_of(h, tmp_path), {"fair": verdict}, {"given-up": given_up})


def test_a_load_without_an_end_leaves_it_unknown(tmp_path: Path) -> None:
    h = noisy(FAIR)
    h.mark("load-started", at=0.5)
    h.mark("load-started", at=0.6)
    check(verdict_of(h, tmp_path), {"fair": "unknown"})


# -- clocks


@pytest.mark.parametrize(
    ("wait", "verdict"), [(0.9, "holds"), (0.9 + NS, "unknown"), (1.1, "unknown"), (1.1 + NS, "violated")]
)
def test_clocks_that_may_differ(tmp_path: Path, wait: float, verdict: str) -> None:
    h = noisy(FAIR, since=0.8, before=[0.5] * 102, during=[wait] * 105, noise=[9.0] * 110, clock_error_s=0.1)
    check(verdict_of(h, tmp_path), {"fair": verdict})


def test_one_file_has_one_clock(tmp_path: Path) -> None:
    h = noisy(
        FAIR, since=0.8, before=[0.5] * 102, during=[1.0] * 105, noise=[9.0] * 110, clock_error_s=0.1, consumer="p1"
    )
    check(verdict_of(h, tmp_path), {"fair": "holds"})


def test_the_noise_may_have_begun_a_little_later(tmp_path: Path) -> None:
    # A hundred before and a hundred during, by clocks that are right; if they are not, one fewer.
    h = noisy(FAIR, clock_error_s=0.2)
    check(verdict_of(h, tmp_path), {"fair": "unknown"})


# -- who saw it


def batches(h: History, outcome: str, *, since: float) -> History:
    """Each receive since then was passed on by a proxy, or not, 2 s later."""
    for record in [record for record in h.files["c1"] if record["event"] == "received" and record["at"] >= ns(since)]:
        h.record(
            "c1",
            (record["at"] - ns(0)) / 1e9 + 2,
            "delivered",
            subscription="orders",
            batch=record["batch"],
            outcome=outcome,
        )
    return h


def test_nobody_saw_it(tmp_path: Path) -> None:
    h = noisy(FAIR, during=[3.0] * 100, subscription=queue(seen_from="nobody"))
    check(verdict_of(h, tmp_path), {"fair": "unknown"})


@pytest.mark.parametrize(("outcome", "verdict"), [("ok", "violated"), ("unknown", "unknown")])
def test_it_counts_when_it_was_delivered(tmp_path: Path, outcome: str, verdict: str) -> None:
    h = batches(noisy(FAIR, during=[0.5] * 100, subscription=queue(seen_from="wire")), outcome, since=0)
    check(verdict_of(h, tmp_path), {"fair": verdict})


def test_what_may_have_come_without_being_told(tmp_path: Path) -> None:
    h = noisy(FAIR, during=[3.0] * 100, scheduled=301)
    h.send("dark", at=15, group="quiet-0", tenant_class="quiet", outcome=None)
    h.receive("dark", at=16, broker_id="b-dark", omit=["id"])
    check(verdict_of(h, tmp_path), {"fair": "unknown"}, {"unidentified": 1})


# -- what is told of it


def test_the_waits_in_the_document(tmp_path: Path) -> None:
    document = verdict_of(noisy(FAIR, during=[0.5] * 100), tmp_path)
    quiet = document["tenants_s"]["orders"]["quiet"]
    assert quiet["before"] == pytest.approx({"messages": 100, "p50": 0.05, "p99": 0.05, "max": 0.05})
    assert quiet["during"] == pytest.approx({"messages": 100, "p50": 0.5, "p99": 0.5, "max": 0.5})
    assert document["tenants_s"]["orders"]["noisy"]["during"]["p50"] == pytest.approx(9)


def test_there_are_none_without_tenants(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("m", at=1)
    h.take("m", at=2)
    h.drained(at=10)
    assert "tenants_s" not in verdict_of(h, tmp_path)
