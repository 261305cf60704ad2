"""Hosts and their clocks: how far the times of two hosts may be apart is what their `clock` marks say, at its worst and
for every pair; of a host whose clock nobody knows no time is compared with another file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, SECOND, History, Json, check, queue, stream, verdict_of

ORDERED = "ordered-per-partition"
LAG: dict[str, Any] = {"claim": "lag", "max_s": 1, "grace_s": 0, "during": "all"}


def two(gap: float, *, claims: list[Any] | None = None, error: float = 0) -> History:
    """a, sent before b, is received at 10 by c1, on h1, and b at 10 + `gap` by c2, on h2."""
    h = History({"orders": stream()}, claims or [ORDERED], clock_error_s=error)
    h.send("a", at=1, partition="s", broker_seq="1")
    h.send("b", at=1.1, partition="s", broker_seq="2")
    h.take("a", at=10)
    h.take("b", at=10 + gap, consumer="c2")
    h.on("h1", "c1")
    h.on("h2", "c2")
    h.drained(at=50)
    return h


def measured(h: History, **errors: float) -> History:
    """Each host's clock is measured at the beginning and at the end, with the same result."""
    for host, error_s in errors.items():
        for at in (0.5, 30):
            h.clock(host, at=at, error_s=error_s)
    return h


def order(document: Json) -> str:
    """The verdict on the order."""
    return str(next(claim["verdict"] for claim in document["claims"] if claim["claim"] == ORDERED))


def whys(document: Json) -> str:
    return " ".join(why for claim in document["claims"] for why in claim["why"])


# -- a pair


# Within half a second nobody can tell which came first.
APART = [(0.5, "unknown"), (0.5 + NS, "holds"), (-0.5, "unknown"), (-0.5 - NS, "violated"), (0.0, "unknown")]


@pytest.mark.parametrize("gap, verdict", APART)
def test_two_hosts_are_apart_by_the_sum_of_their_errors(tmp_path: Path, gap: float, verdict: str) -> None:
    document = verdict_of(measured(two(gap), h1=0.2, h2=0.3), tmp_path)
    assert (order(document), document["clock_error_ns"]) == (verdict, SECOND // 2)


@pytest.mark.parametrize("gap, verdict", APART)
def test_the_conductors_own_host_has_no_error(tmp_path: Path, gap: float, verdict: str) -> None:
    h = measured(two(gap), h1=0.5)
    h.hosts.pop("c2")
    assert order(verdict_of(h, tmp_path)) == verdict


@pytest.mark.parametrize("gap, verdict", [(-0.5, "violated"), (-0.5 - NS, "violated"), (0.5, "holds")])
def test_of_clocks_that_are_known_better_more_is_told(tmp_path: Path, gap: float, verdict: str) -> None:
    assert order(verdict_of(measured(two(gap), h1=0.1, h2=0.1), tmp_path)) == verdict


def test_the_two_worst_of_three_stand_for_every_pair(tmp_path: Path) -> None:
    # h3 has nothing to do with a and b.
    h = measured(two(-0.5), h1=0.2, h2=0.1, h3=0.3)
    h.mark("note", at=25, by="c3")
    h.on("h3", "c3")
    document = verdict_of(h, tmp_path)
    assert (order(document), document["clock_error_ns"]) == ("unknown", SECOND // 2)


@pytest.mark.parametrize(
    "lag, verdict", [(0.5, "holds"), (0.5 + NS, "unknown"), (1.5, "unknown"), (1.5 + NS, "violated")]
)
def test_lag_to_another_host(tmp_path: Path, lag: float, verdict: str) -> None:
    h = measured(History({"orders": queue()}, [LAG]), h1=0.5)
    h.send("a", at=5)
    h.take("a", at=5 + lag)
    h.on("h1", "c1")
    h.mark("load-stopped", at=45, scheduled=1)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 1)})


# -- over the run


@pytest.mark.parametrize("at", [5, 15, 25])
def test_the_worst_of_all_marks_counts_whenever_it_was(tmp_path: Path, at: float) -> None:
    h = measured(two(-0.5), h1=0.1, h2=0.1)
    h.clock("h1", at=at, error_s=0.4, by="c1")
    assert order(verdict_of(h, tmp_path)) == "unknown"


@pytest.mark.parametrize("last, verdict", [(30, "violated"), (130, "violated"), (130 + NS, "unknown")])
def test_after_the_last_mark_a_clock_drifts_by_a_thousandth(tmp_path: Path, last: float, verdict: str) -> None:
    # 0.2 s and 100 s later 0.3 s, where a and b are 0.3 s and a nanosecond apart.
    h = measured(two(-0.3 - NS), h1=0.2, h2=0)
    h.mark("note", at=last, by="c1")
    assert order(verdict_of(h, tmp_path)) == verdict


def test_what_others_write_later_is_no_drift(tmp_path: Path) -> None:
    h = measured(two(-0.3 - NS), h1=0.2, h2=0)
    h.mark("note", at=5000, by="main")
    assert order(verdict_of(h, tmp_path)) == "violated"


def test_a_part_of_a_nanosecond_is_one(tmp_path: Path) -> None:
    h = two(-1)
    for host, error in (("h1", 10.25), ("h2", 0)):
        h.mark("clock", at=30, host=host, error_ns=error)
    assert verdict_of(h, tmp_path)["clock_error_ns"] == 11


# -- nobody knows


def test_a_step_that_a_later_mark_tells(tmp_path: Path) -> None:
    h = measured(two(-5), h1=0.1, h2=0.1)
    h.clock("h2", at=40, error_s=None)
    document = verdict_of(h, tmp_path)
    assert (order(document), document["clock_error_ns"]) == ("unknown", None)
    assert "the clock of host h2 is not known: a `clock` mark says that it was not known" in whys(document)
    assert "host h1" not in whys(document)


@pytest.mark.parametrize("gap", [-5, 5])
def test_without_a_mark_nothing_of_two_files_has_an_order(tmp_path: Path, gap: float) -> None:
    document = verdict_of(measured(two(gap), h1=0.1), tmp_path)
    assert (order(document), document["clock_error_ns"]) == ("unknown", None)
    assert "the clock of host h2 is not known: no `clock` mark tells how far it may be off" in whys(document)


def test_nor_of_two_files_of_one_host(tmp_path: Path) -> None:
    h = two(-5)
    h.on("h1", "c1", "c2")
    assert order(verdict_of(h, tmp_path)) == "unknown"


def one_file(gap: float) -> History:
    """The same, both received by c1, and nobody knows the clock of its host."""
    h = History({"orders": stream()}, [ORDERED])
    h.send("a", at=1, partition="s", broker_seq="1")
    h.send("b", at=1.1, partition="s", broker_seq="2")
    h.take("a", at=10)
    h.take("b", at=10 + gap)
    h.on("h1", "c1")
    h.drained(at=50)
    return h


@pytest.mark.parametrize("gap, verdict", [(-5, "violated"), (5, "unknown")])
def test_what_one_file_tells_is_blamed_but_never_holds(tmp_path: Path, gap: float, verdict: str) -> None:
    h = one_file(gap)
    # Nobody need know when the queue was empty: both were received.
    document = verdict_of(h, tmp_path)
    assert order(document) == verdict
    assert document["clock_error_ns"] is None


@pytest.mark.parametrize("known", [True, False])
def test_what_needs_no_clock(tmp_path: Path, known: bool) -> None:
    claims = [ORDERED, "no-loss", "no-phantom", "all-accepted", {**LAG, "max_s": 20}]
    h = two(1, claims=claims)
    h.mark("load-stopped", at=5, scheduled=2)
    if known:
        measured(h, h1=0.1, h2=0.1)
    told = {claim["claim"]: claim["verdict"] for claim in verdict_of(h, tmp_path)["claims"]}
    assert {name for name, verdict in told.items() if verdict == "holds"} == (
        {*told} if known else {"no-phantom", "all-accepted"}
    )
    assert "violated" not in told.values()


def test_a_phantom_is_one_whatever_the_clocks(tmp_path: Path) -> None:
    h = two(1, claims=["no-phantom"])
    h.take("nobody", at=12)
    check(verdict_of(h, tmp_path), {"no-phantom": "violated"}, {"phantom": 1})


# -- no hosts, or one


@pytest.mark.parametrize("gap, verdict", APART)
def test_a_manifest_with_one_number_means_what_it_did(tmp_path: Path, gap: float, verdict: str) -> None:
    h = two(gap, error=0.5)
    h.hosts.clear()
    document = verdict_of(h, tmp_path)
    assert (order(document), document["clock_error_ns"]) == (verdict, SECOND // 2)


@pytest.mark.parametrize("gap, verdict", APART)
def test_beside_hosts_it_is_added(tmp_path: Path, gap: float, verdict: str) -> None:
    assert order(verdict_of(measured(two(gap, error=0.2), h1=0.1, h2=0.2), tmp_path)) == verdict


@pytest.mark.parametrize("gap, verdict", [(-NS, "violated"), (NS, "holds")])
def test_all_on_one_host_needs_no_mark(tmp_path: Path, gap: float, verdict: str) -> None:
    h = two(gap)
    h.on("h1", "p1", "c2")
    h.mark("writer", at=0, file="main.jsonl", host="h1")
    document = verdict_of(h, tmp_path)
    assert (order(document), document["clock_error_ns"]) == (verdict, 0)


def test_an_empty_name_is_the_conductors_own_host(tmp_path: Path) -> None:
    h = two(-NS)
    h.on("", "c1", "c2")
    assert order(verdict_of(h, tmp_path)) == "violated"


def test_a_host_whose_files_are_empty_has_no_clock_that_matters(tmp_path: Path) -> None:
    h = measured(two(-0.5), h1=0.1, h2=0.1)
    h.kill("c3")
    h.on("h3", "c3")
    assert order(verdict_of(h, tmp_path)) == "violated"


def test_a_file_on_two_hosts_is_damage(tmp_path: Path) -> None:
    h = measured(two(5), h1=0.1, h2=0.1)
    h.mark("writer", at=2, file="c1.jsonl", host="h2")
    document = verdict_of(h, tmp_path)
    assert order(document) == "unknown"
    assert [damage["file"] for damage in document["damaged"]] == ["c1.jsonl"]
