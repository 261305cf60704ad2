"""Shapes: what is due, and when, must be exact, or a run would send another number of messages than it says."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from gameday.loadgen.shapes import SHAPES, Shape, units

TICK_S = 1e-8

rates = st.floats(0.1, 500)
durations = st.floats(0.5, 40)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    name = draw(st.sampled_from(sorted(SHAPES)))
    rate, duration = draw(rates), draw(durations)
    given: dict[str, Any] = {}
    if name in ("ramp", "step") and draw(st.booleans()):
        given["from"] = draw(st.floats(0, 500))
    if name == "step":
        given["steps"] = draw(st.integers(1, 12))
    if name == "spike" and draw(st.booleans()):
        begin = draw(st.floats(0, 0.8))
        given |= {"at": begin * duration, "lasting": draw(st.floats(0.01, 1 - begin)) * duration, "peak": draw(rates)}
    if name == "sine" and draw(st.booleans()):
        given |= {"amplitude": draw(st.floats(0, 1)) * rate, "period": draw(st.floats(0.05, 60))}
    return SHAPES[name](rate=rate, duration=duration, **given)


@given(shapes())
def test_due_times_are_the_inverse_of_what_is_due(shape: Shape) -> None:
    previous = 0.0
    for n in range(1, shape.total + 1, max(shape.total // 200, 1)):
        due = shape.due_at(n)
        assert previous <= due <= shape.duration
        # A wave may touch 0 and stay near it, where many moments share one count: exact is the count, not the moment.
        assert shape.area(due) == pytest.approx(n - 0.5, abs=1e-6)
        assert shape.due_by(due + TICK_S) >= n or shape.rate_at(due) < 1
        previous = due


@given(shapes(), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_rate_is_never_negative_and_its_integral_is_the_area(shape: Shape, shares: list[float]) -> None:
    moments = sorted(share * shape.duration for share in shares)
    assert all(shape.rate_at(t) >= 0 for t in moments)
    assert all(shape.area(a) <= shape.area(b) + 1e-9 for a, b in itertools.pairwise(moments))
    width = shape.duration / 20_000
    integral = sum(shape.rate_at((n + 0.5) * width) for n in range(20_000)) * width
    assert shape.area(shape.duration) == pytest.approx(integral, rel=2e-3, abs=0.2)


@given(shapes())
@example(SHAPES["step"](rate=1.0, duration=6.600106449139453, steps=11))
def test_nothing_happens_before_and_after(shape: Shape) -> None:
    assert shape.due_by(0.0) == 0 or shape.total == 0
    assert shape.rate_at(-1.0) == shape.rate_at(shape.duration) == 0.0
    assert shape.due_by(shape.duration * 2) == shape.total


def test_totals() -> None:
    assert SHAPES["constant"](rate=150, duration=30).total == 4500
    assert SHAPES["ramp"](rate=200, duration=30, **{"from": 20}).total == 3300
    assert SHAPES["step"](rate=100, duration=8).total == 2 * (25 + 50 + 75 + 100)
    assert SHAPES["spike"](rate=10, duration=10).total == 10 * 8 + 50 * 2
    assert SHAPES["sine"](rate=50, duration=12).total == 600
    assert SHAPES["constant"](rate=0.01, duration=1).total == 0


def test_a_million_messages_of_a_constant_rate_are_due_where_they_belong() -> None:
    shape = SHAPES["constant"](rate=1000, duration=1000)
    assert shape.total == 1_000_000
    assert shape.due_at(999_999) == pytest.approx(999.9985, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("constant", {"from": 1.0}, "Extra inputs"),
        ("constant", {"rate": 0.0}, "greater than 0"),
        ("ramp", {"from": -1.0}, "greater than or equal to 0"),
        ("step", {"steps": 0}, "greater than or equal to 1"),
        ("step", {"steps": "3"}, "valid integer"),
        ("spike", {"at": 9.0, "lasting": 2.0}, "lower `at` or `lasting`"),
        ("sine", {"amplitude": 11.0}, "below 0"),
    ],
)
def test_wrong_parameters_are_refused(name: str, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SHAPES[name](**{"rate": 10.0, "duration": 10.0, **given})


def test_every_field_tells_its_unit_and_its_meaning() -> None:
    for shape in SHAPES.values():
        assert shape.__doc__
        assert all(field.description for field in shape.model_fields.values())
    assert units(SHAPES["ramp"]) == {"rate": "rate", "duration": "duration", "from": "rate"}
    assert units(SHAPES["step"])["steps"] == "count"
    assert units(SHAPES["spike"]) == {
        "rate": "rate",
        "duration": "duration",
        "peak": "rate",
        "at": "duration",
        "lasting": "duration",
    }


@pytest.mark.parametrize("name", SHAPES)
def test_an_outline_is_near_the_area_everywhere(name: str) -> None:
    shape = SHAPES[name](rate=80, duration=30)
    points = shape.outline()
    assert points[0] == (0.0, 0.0) and points[-1] == (30.0, shape.area(30))
    assert len(points) <= 61 and (name != "constant" or len(points) == 2)
    for n in range(301):
        t = n / 10
        (before, since), (after, until) = next(
            (here, there) for here, there in itertools.pairwise(points) if here[0] <= t <= there[0]
        )
        drawn = since + (until - since) * (t - before) / (after - before)
        assert abs(drawn - shape.area(t)) < 20, (name, t)
