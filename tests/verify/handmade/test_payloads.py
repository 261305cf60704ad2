"""Large messages and schemas: references whose object is gone, objects without a message, bodies that are not theirs.

`orders` is a queue. The body of `a` stands in the object `o/a`; a consumer receives the reference at 2, fetches at 2.1,
deletes at 3 and removes the object at 3.2.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.handmade.builder import Expected, History, Json, check, fifo, ns, queue, verdict_of

CLAIMS = ["no-dangling-reference", "no-orphan", "payload-intact"]
C = "c1"


def stored(h: History, id: str = "a", *, at: float = 0.9, outcome: str = "ok", producer: str = "p1") -> None:
    h.record(producer, at, "storing", id=id, object=f"o/{id}")
    h.record(producer, at + 0.05, "stored", id=id, object=f"o/{id}", outcome=outcome)


def fetched(
    h: History, id: str = "a", *, at: float = 2.1, outcome: str = "ok", consumer: str = C, **more: object
) -> None:
    told = {"intact": True} if outcome == "ok" else {}
    fields = {"subscription": "orders", "consumer": consumer, "batch": f"b-{at}", "object": f"o/{id}", **told, **more}
    h.record(consumer, at, "fetched", id=id, outcome=outcome, **fields)


def removed(h: History, id: str = "a", *, at: float = 3.2, outcome: str = "ok", consumer: str = C) -> None:
    h.record(consumer, at, "removing", id=id, object=f"o/{id}")
    h.record(consumer, at + 0.01, "removed", id=id, object=f"o/{id}", outcome=outcome)


def listed(h: History, *left: str, at: float = 20, expires_s: float | None = None) -> None:
    for id in left:
        h.record("main", at, "leftover", id=id, object=f"o/{id}")
    h.mark("objects-read", at=at, **({} if expires_s is None else {"expires_s": expires_s}))


def story(*claims: str, subscription: Json | None = None, **fields: object) -> History:
    """Everything but what becomes of the object."""
    h = History({"orders": subscription or queue()}, list(claims) or CLAIMS, **fields)  # type: ignore[arg-type]
    stored(h)
    h.send("a", at=1)
    h.receive("a", at=2, consumer=C)
    h.delete("a", at=3)
    h.drained(at=10)
    return h


def test_a_claim_check_that_is_kept(tmp_path: Path) -> None:
    h = story()
    fetched(h)
    removed(h)
    listed(h)
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, ("holds", 1)))


def test_an_object_that_is_gone_before_its_message_is_deleted(tmp_path: Path) -> None:
    h = story()
    fetched(h, outcome="gone")
    listed(h)
    expected = {**dict.fromkeys(CLAIMS, "holds"), "no-dangling-reference": "violated", "payload-intact": "unknown"}
    check(verdict_of(h, tmp_path), expected, {"dangling-reference": 1})


def test_an_object_that_is_removed_before_its_message_is_deleted(tmp_path: Path) -> None:
    """Nobody came to miss it, and it was the wrong order all the same."""
    h = story("no-dangling-reference")
    fetched(h)
    removed(h, at=2.5)
    check(verdict_of(h, tmp_path), {"no-dangling-reference": "violated"}, {"dangling-reference": 1})


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_a_removal_that_may_not_have_been_is_no_harm(tmp_path: Path, outcome: str) -> None:
    h = story("no-dangling-reference")
    fetched(h)
    removed(h, at=2.5, outcome=outcome)
    check(verdict_of(h, tmp_path), {"no-dangling-reference": ("holds", 1)})


def test_a_reference_that_comes_again_after_its_message_was_done(tmp_path: Path) -> None:
    h = story("no-dangling-reference")
    fetched(h)
    removed(h)
    h.receive("a", at=8, consumer="c2", receives=2)
    fetched(h, at=8.1, outcome="gone", consumer="c2")
    check(verdict_of(h, tmp_path), {"no-dangling-reference": ("holds", 1)})


def test_clocks_that_may_have_been_apart_excuse(tmp_path: Path) -> None:
    """Told by another writer 0.3 s before the delete was begun, and clocks may differ by half a second."""
    h = story("no-dangling-reference", clock_error_s=0.5)
    fetched(h, at=2.9 - 0.2, outcome="gone", consumer="c2")
    check(verdict_of(h, tmp_path), {"no-dangling-reference": ("holds", 1)})


def test_a_reference_that_nobody_fetched_was_not_looked_at(tmp_path: Path) -> None:
    h = story("no-dangling-reference", "payload-intact")
    check(verdict_of(h, tmp_path), dict.fromkeys(["no-dangling-reference", "payload-intact"], "unknown"))


def test_nothing_holds_where_nothing_was_stored(tmp_path: Path) -> None:
    h = History({"orders": queue()}, CLAIMS)
    h.send("a", at=1)
    h.take("a", at=2)
    h.drained(at=10)
    listed(h)
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, "unknown"))


def test_an_object_that_is_left_is_an_orphan_unless_a_rule_bounds_it(tmp_path: Path) -> None:
    h = story("no-orphan")
    listed(h, "a")
    check(verdict_of(h, tmp_path), {"no-orphan": "violated"}, {"orphan": 1})
    h = story("no-orphan")
    listed(h, "a", expires_s=86400)
    check(verdict_of(h, tmp_path), {"no-orphan": ("holds", 1)}, {"orphan-bounded": 1})


def test_the_object_of_a_dead_letter_is_no_orphan(tmp_path: Path) -> None:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["no-orphan"])
    stored(h)
    h.send("a", at=1)
    h.receive("a", at=2, receives=1)
    h.record("main", 9, "dead", id="a", subscription="orders", receives=1)
    h.drained(at=10)
    listed(h, "a")
    check(verdict_of(h, tmp_path), {"no-orphan": ("holds", 1)}, {"collateral-dead": 1})


def test_orphans_are_not_known_before_the_drain_nor_without_a_list(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-orphan"])
    stored(h)
    h.send("a", at=1)
    h.receive("a", at=2, consumer=C)
    h.delete("a", at=3)
    listed(h, "a")
    check(verdict_of(h, tmp_path), {"no-orphan": "unknown"})
    check(verdict_of(story("no-orphan"), tmp_path), {"no-orphan": "unknown"})


def test_a_list_that_was_made_too_soon_is_none(tmp_path: Path) -> None:
    h = story("no-orphan")
    listed(h, "a", at=3.1)
    removed(h, at=3.2)
    check(verdict_of(h, tmp_path), {"no-orphan": "unknown"})


def test_a_body_that_is_not_the_one_that_was_stored(tmp_path: Path) -> None:
    h = story("payload-intact")
    fetched(h, intact=False)
    check(verdict_of(h, tmp_path), {"payload-intact": ("violated", 1)}, {"corrupt-object": 1})


def test_schemas(tmp_path: Path) -> None:
    cases: list[tuple[list[str | None], Expected, int]] = [
        (["ok", "ok"], ("holds", 2), 0),
        (["ok", "bad"], ("violated", 2), 1),
        (["ok", None], ("unknown", 1), 0),
    ]
    for told, verdict, count in cases:
        h = History({"orders": fifo()}, ["schema-conformant"])
        for place, said in enumerate(told):
            id = f"m{place}"
            h.send(id, at=1 + place)
            h.record(
                C, 2.5 + place, "received", id=id, subscription="orders", batch=id, started=ns(2 + place), schema=said
            )
        check(verdict_of(h, tmp_path), {"schema-conformant": verdict}, {"schema-bad": count} if count else {})
