"""Elements of SVG and HTML as safe strings: whatever text or attribute goes in, it comes out escaped."""

from __future__ import annotations

from markupsafe import Markup, escape


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """`<name …>children</name>`. `class_` is `class`, `stroke_width` is `stroke-width`, None is left out; a child that
    is not Markup is text."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup(told), inside)


def path(points: list[tuple[float, float] | None]) -> str:
    """The `d` of a line through the points; None interrupts it."""
    steps, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        steps.append(f"{pen}{number(point[0])} {number(point[1])}")
        pen = "L"
    return "".join(steps)


def number(value: float) -> str:
    """As short as a picture needs it."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def _number(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
