"""Which message a body is: as the scenario says, and never more than the message tells."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.history import envelope
from gameday.history.identity import (
    ATTRIBUTE,
    RUN_ATTRIBUTE,
    Identification,
    Identity,
    check_pointer,
    text_at,
    value_at,
)

ORDER = orjson.dumps({"order": {"id": "o-7", "lines": [{"sku": "x"}, {"sku": "y"}]}, "shop": 12}).decode()


def test_an_order_of_ours_tells_all_of_itself() -> None:
    body = envelope.pack(id="m", run="r", group="g", timestamp_ns=1, payload_bytes=0, poison=True).decode()
    told = Identification().identify(body, {})
    assert told == Identity(id="m", group="g", intact=True, poison=True, ours=True)
    changed = Identification().identify(body.replace('"domain":"orders"', '"domain":"others"'), {})
    assert (changed.id, changed.intact) == ("m", False)
    assert Identification().identify("hello", {}) == Identity(None, None, False, False, ours=False)


@pytest.mark.parametrize(
    ("identification", "attributes", "id", "group", "ours"),
    [
        (Identification(by="pointer", id="/order/id"), {}, "o-7", None, True),
        (Identification(by="pointer", id="/shop", group="/order/lines/1/sku"), {}, "12", "y", True),
        (Identification(by="pointer", id="/order/no"), {}, None, None, False),
        (Identification(by="attribute", group="/shop"), {ATTRIBUTE: "m3"}, "m3", "12", True),
        (Identification(by="attribute"), {"other": "m3"}, None, None, False),
        (Identification(by="broker"), {ATTRIBUTE: "m3"}, None, None, True),
        (Identification(by="broker", group="/shop"), {}, None, "12", True),
    ],
)
def test_a_message_of_the_users_own_tells_what_is_asked_of_it(
    identification: Identification, attributes: dict[str, str], id: str | None, group: str | None, ours: bool
) -> None:
    told = identification.identify(ORDER, attributes)
    assert told == Identity(id=id, group=group, intact=None, poison=False, ours=ours)
    assert identification.attributes == ([ATTRIBUTE] if identification.by == "attribute" else [])


def test_where_others_may_send_only_the_runs_own_mark_tells() -> None:
    body = envelope.pack(id="m", run="r", group=None, timestamp_ns=1, payload_bytes=0).decode()
    assert Identification(run="r").identify(body, {}).ours
    # Of another run of this scenario, which has the same ids.
    assert Identification(run="r2").identify(body, {}) == Identity(None, None, False, False, ours=False)
    marked = Identification(by="attribute", run="r")
    assert marked.attributes == [ATTRIBUTE, RUN_ATTRIBUTE]
    told = {ATTRIBUTE: "m3", RUN_ATTRIBUTE: "r"}
    assert (marked.identify(ORDER, told).id, marked.identify(ORDER, told).ours) == ("m3", True)
    for others in ({ATTRIBUTE: "m3"}, {ATTRIBUTE: "m3", RUN_ATTRIBUTE: "r2"}):
        assert (marked.identify(ORDER, others).id, marked.identify(ORDER, others).ours) == (None, False)


@pytest.mark.parametrize("body", ["", "hello", "[1, 2]", "null", '"text"', "\x00"])
def test_a_body_of_any_kind_is_read_without_an_error(body: str) -> None:
    for by in ("envelope", "pointer", "attribute", "broker"):
        told = Identification(by=by, id="/order/id", group="/shop").identify(body, {})
        assert (told.id, told.group) == (None, None)


KEYS = st.text(max_size=4)


@given(
    st.recursive(
        st.integers() | st.text(min_size=1), lambda inner: st.dictionaries(KEYS, inner, min_size=1), max_leaves=8
    )
)
def test_a_pointer_leads_to_what_it_was_made_for(document: Any) -> None:
    def leaves(value: Any, path: str) -> list[tuple[str, Any]]:
        if not isinstance(value, dict):
            return [(path, value)]
        return [
            leaf
            for key, inner in value.items()
            for leaf in leaves(inner, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
        ]

    for path, value in leaves(document, ""):
        if path:
            check_pointer(path)
            assert value_at(document, path) == value
            assert text_at(document, path) == str(value)


@pytest.mark.parametrize("pointer", ["order/id", "", "/a~2", "/a~", "$.a"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(ValueError, match="no JSON Pointer"):
        check_pointer(pointer)


@pytest.mark.parametrize(
    ("pointer", "why"),
    [
        ("/order/no", "nothing at /order/no"),
        ("/order/lines/2/sku", "nothing at"),
        ("/order/lines/-", "nothing at"),
        ("/shop/x", "nothing at"),
        ("/order", "a text or a number belongs there"),
        ("/order/lines", "a text or a number belongs there"),
        ("/empty", "an empty text"),
        ("/yes", "true"),
        ("/null", "null"),
    ],
)
def test_what_a_pointer_does_not_find_is_said(pointer: str, why: str) -> None:
    document = {**orjson.loads(ORDER), "empty": "", "yes": True, "null": None}
    with pytest.raises(ValueError, match=why):
        text_at(document, pointer)
