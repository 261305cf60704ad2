"""Effects that are read back under a key of the message, and not under its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.handmade.builder import History, check, ns, queue, verdict_of

CLAIMS = ["at-least-once-effect", "exactly-once-effect"]


def ran(keys: dict[str, str | None], stored: dict[str, int], *, by: str = "key") -> History:
    """Each message with its key; what the store has under which key."""
    h = History({"orders": queue()}, CLAIMS)
    for id, key in keys.items():
        h.send(id, at=1)
        if key is not None:
            next(one for one in h.files["p1"] if one["event"] == "intended" and one["id"] == id)["key"] = key
        h.take(id, at=3)
    for key, applied in stored.items():
        h.record("main", 15, "effects", subscription="orders", applied=applied, **{by: key})
    h.effects_read(at=16)
    h.drained(at=20)
    return h


def test_a_key_tells_whose_effect_it_is(tmp_path: Path) -> None:
    h = ran({"a": "A", "b": "B", "c": None}, {"A": 1, "B": 1, "c": 1})
    check(verdict_of(h, tmp_path), {"at-least-once-effect": ("holds", 3), "exactly-once-effect": ("holds", 3)})


def test_what_the_store_lacks_or_has_twice(tmp_path: Path) -> None:
    h = ran({"a": "A", "b": "B"}, {"A": 3})
    found = {"effect-duplicate": 2, "effect-missing": 1}
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, "violated"), found)


def test_an_id_decides_before_a_key(tmp_path: Path) -> None:
    h = ran({"a": "A", "b": "B"}, {"B": 1})
    h.record("main", 15.5, "effects", subscription="orders", applied=1, id="a", key="B")
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, "holds"))


@pytest.mark.parametrize("keys", [{"a": "A", "b": "A", "c": "C"}, {"a": "b", "b": None, "c": "C"}])
def test_a_key_of_two_messages_tells_nothing_of_either(tmp_path: Path, keys: dict[str, str | None]) -> None:
    h = ran(keys, {"A": 2, "b": 2, "C": 1})
    document = verdict_of(h, tmp_path)
    check(document, dict.fromkeys(CLAIMS, "unknown"))
    assert document["claims"][0]["why"] == [
        "orders: 2 messages share the `key` of their effects with another one, so nobody knows whose were read back; a "
        "key of their own would settle it"
    ]


def test_by_id_a_shared_key_does_no_harm(tmp_path: Path) -> None:
    h = ran({"a": "A", "b": "A"}, {"a": 1, "b": 1}, by="id")
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, "holds"))


def test_what_a_consumer_applied_is_not_lost_under_a_shared_key(tmp_path: Path) -> None:
    h = ran({"a": "A", "b": "A"}, {"A": 1})
    for id in "ab":
        h.effect(id, at=3.05)
    check(verdict_of(h, tmp_path), dict.fromkeys(CLAIMS, "unknown"))


def test_keys_of_nobody_are_counted_in_a_note(tmp_path: Path) -> None:
    document = verdict_of(ran({"a": "A"}, {"A": 1, "X": 1, "Y": 2}), tmp_path)
    check(document, dict.fromkeys(CLAIMS, "holds"))
    (note,) = document["notes"]
    assert note["claims"] == CLAIMS
    assert note["text"].startswith(
        "the effect store of orders has 2 keys that no message of this run was intended with"
    )


def test_effects_without_id_and_key_are_damage(tmp_path: Path) -> None:
    h = ran({"a": "A"}, {"A": 1})
    h.record("main", 15, "effects", subscription="orders", applied=1)
    (damage,) = verdict_of(h, tmp_path)["damaged"]
    assert damage["why"] == "effects without `id`, or `key`"


def test_one_id_with_two_keys_is_two_messages(tmp_path: Path) -> None:
    h = ran({"a": "A"}, {"A": 1})
    h.record("p1", 1.5, "intended", id="a", attempt=2, producer="p1", key="B")
    (damage,) = verdict_of(h, tmp_path)["damaged"]
    assert "expect or key: one id stands for two messages" in damage["why"]
    assert ns(1.5) == h.files["p1"][-1]["at"]
