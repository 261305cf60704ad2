"""Templates: the same seed is the same body, and no placeholder disturbs another."""

from __future__ import annotations

import re
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.loadgen.templates import PLACEHOLDERS, Context, Most, Template

# 2026-07-05T10:00:00.250Z.
DUE = 1_783_245_600_250_000_000
CONTEXT = Context(n=7, group="g3", seq=2, due=DUE)


def made(template: Any, context: Context = CONTEXT, *, seed: int = 1, run: str = "r") -> Any:
    return orjson.loads(Template(template, seed=seed, run=run).body(context))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{n}", 7),
        ("{n:4}", "0007"),
        ("o-{n}", "o-7"),
        ("{seq}", 2),
        ("{seq:1}", "2"),
        ("{group}", "g3"),
        ("{run}/{n}", "r/7"),
        ("{counter:1000}", 1006),
        ("{counter:10:-5}", -20),
        ("{int:5:5}", 5),
        ("{decimal:2:2:1}", 2.0),
        ("{time}", "2026-07-05T10:00:00.250Z"),
        ("{time:s}", DUE // 10**9),
        ("{time:ms}", DUE // 10**6),
        ("{time:ns}", DUE),
        ("{filler:3}", "xxx"),
        ("plain {{n}} }}", "plain {n} }"),
        ("", ""),
    ],
)
def test_what_a_placeholder_stands_for(text: str, value: object) -> None:
    assert made({"a": text}) == {"a": value}


def test_what_is_no_text_stays_as_it_is() -> None:
    template = {"{n}": [1, 2.5, True, None, {"x": "{n}"}]}
    assert made(template) == {"{n}": [1, 2.5, True, None, {"x": 7}]}


def test_a_template_that_is_text_makes_text() -> None:
    template = Template("ORDER;{n:3};{choice:A|B};{{}}", seed=1, run="r")
    assert re.fullmatch(r"ORDER;007;[AB];\{\}", template.body(CONTEXT))
    assert Template("{n}", seed=1, run="r").body(CONTEXT) == "7"
    with pytest.raises(ValueError, match="is text"):
        template.at("/id")


def test_chance_is_spread_over_what_it_may_be() -> None:
    template = {"a": "{int:1:6}", "b": "{choice:x|y|z:1}", "c": "{decimal:0:1:2}", "d": "{uuid}"}
    bodies = [made(template, CONTEXT._replace(n=n)) for n in range(500)]
    assert {body["a"] for body in bodies} == set(range(1, 7))
    assert {body["b"] for body in bodies} == {"x", "y", "z:1"}
    assert len({body["c"] for body in bodies}) > 80
    assert all(0 <= body["c"] <= 1 for body in bodies)
    assert len({uuid.UUID(body["d"]) for body in bodies}) == 500
    assert {uuid.UUID(body["d"]).version for body in bodies} == {4}
    # Two of one kind are drawn apart.
    pairs = {tuple(made(["{int:1:6}"] * 2, CONTEXT._replace(n=n))) for n in range(500)}
    assert len(pairs) == 36


TEXTS = st.lists(
    st.sampled_from(
        [
            "{n}",
            "{n:3}",
            "{seq}",
            "{group}",
            "{run}",
            "{counter:9:7}",
            "{int:-5:1000}",
            "{decimal:-3:12:3}",
            "{uuid}",
            "{choice:a|bcd|é}",
            "{time}",
            "{time:ms}",
            "{filler:5}",
            "x",
            "é",
            "{{",
            '"',
        ]
    ),
    max_size=4,
).map("".join)
TEMPLATES = st.recursive(
    TEXTS | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
GROUPS = st.sampled_from(["g0", "g17", "é"])


@given(TEMPLATES, st.integers(0, 2**31), st.integers(1, 5000), GROUPS, st.integers(0, 10**9))
def test_a_body_is_repeatable_never_longer_than_the_longest_and_each_part_is_the_whole_ones(
    template: Any, seed: int, n: int, group: str, later: int
) -> None:
    context = Context(n=n, group=group, seq=1 + n // 3, due=DUE + later)
    first = Template(template, seed=seed, run="r-1")
    body = first.body(context)
    assert body == Template(template, seed=seed, run="r-1").body(context)
    assert len(body.encode()) <= len(first.longest(Most(5000, group)).encode())
    if isinstance(template, dict):
        for key, value in orjson.loads(body).items():
            assert first.at(f"/{key}").value(context) == value


def test_another_seed_is_another_body() -> None:
    template = {"a": "{uuid}", "b": "{int:1:1000000}"}
    one, other = made(template, seed=1), made(template, seed=2)
    assert one["a"] != other["a"] and one["b"] != other["b"]


def test_what_a_part_is_made_of_can_be_asked() -> None:
    template = Template({"a": ["{n}-{choice:a|b}", {"b": "{group}"}], "c": "{seq}"}, seed=1, run="r")
    assert template.at("/a").uses == {"n", "choice", "group"}
    assert template.at("/a/1/b").uses == {"group"}
    with pytest.raises(ValueError, match="nothing at /a/2"):
        template.at("/a/2")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{nn}", "no placeholder is called {nn}; known are n, seq"),
        ("{}", "no placeholder is called {}"),
        ("{n", "not closed"),
        ("n}", "not closed"),
        ("{n:x}", "'x' is no whole number"),
        ("{n:0}", "0 is no width"),
        ("{n:1:2}", "it takes 1"),
        ("{int:1}", "it takes 2"),
        ("{int:5:1}", "1 is below 5"),
        ("{choice:a}", "nothing to choose from"),
        ("{choice}", "nothing to choose from"),
        ("{counter}", "write it like"),
        ("{counter:1:2:3}", "write it like"),
        ("{decimal:1:2:10}", "up to 9 digits"),
        ("{time:m}", "no unit"),
        ("{uuid:4}", "it takes 0"),
        ("{filler:99999999}", "no number of characters"),
    ],
)
def test_what_is_no_placeholder_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as error:
        Template({"a": [1, {"b": text}]}, seed=1, run="r")
    assert "at /a/1/b" in str(error.value)


def test_every_placeholder_is_written_as_its_page_says() -> None:
    for name, known in PLACEHOLDERS.items():
        for written in known.written.split(", "):
            assert Template({"a": written}, seed=1, run="r").at("/a").uses == {name}
