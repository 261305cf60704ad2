"""Numbers as people read them."""

from __future__ import annotations


def seconds(value: float | None) -> str:
    """A duration with three figures at most, in the unit that suits it."""
    if value is None:
        return "–"
    if value < 0.0995:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"


def moment(value: float) -> str:
    """Seconds from some moment on, with their sign."""
    return f"{value:+.3f} s"


def amount(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def one_in(rate: float) -> str:
    """An upper bound of a rate in words."""
    return f"below 1 in {int(1 / rate):,}" if rate < 1 else "too few to tell"
