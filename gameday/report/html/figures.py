"""The charts of the report, as HTML and SVG made from the model: pure functions, no script needed to see them.

Geometry is SVG without a fixed shape (it fills whatever width there is), text is HTML beside it, so that both stay
readable on a phone and in print. The script of the page only moves what carries `data-from`, `data-at` or the class
`zoom`. Nothing is told by colour alone: lines differ in their dashes, faults in their hatching and their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gameday.report.html.data import Fault, Latency, OrderPicture, Panel, Timeline
from gameday.report.html.svg import number, path, tag
from gameday.report.html.words import amount, seconds

WIDTH = 1000.0
HEIGHT = 100.0
HATCHES = 6
DASHES = 6
# More faults than these are told in numbers alone.
DRAWN_MOST = 120
_NUMBERED_MOST = 30
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_DECADES_LEAST = 2.0
_LATENCY_LEAST_S = 1e-4


def nice(value: float) -> float:
    """The next round number at or above: what an axis ends with."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in _ROUND if step * size >= value * 0.999999)


def percent(value: float, whole: float) -> str:
    return f"{100.0 * value / whole:.3f}%"


def timeline(shown: Timeline, faults: Sequence[Fault], colours: Mapping[str, str], kinds: Mapping[str, int]) -> Markup:
    """The faults on top, then a chart for each panel, all on one axis of time."""
    faults = faults[:DRAWN_MOST]
    bands = Markup("").join(_band(fault, shown.length_s, colours, kinds) for fault in faults)
    parts = [_fault_lane(shown, faults, colours, kinds)]
    if shown.found:
        parts.append(_found_lane(shown))
    parts += [_panel(panel, shown, bands) for panel in shown.panels if panel.series]
    return Markup("").join([*parts, _axis(shown.length_s)])


def _position(start_s: float, stop_s: float, length_s: float) -> str:
    left = min(max(0.0, start_s), length_s)
    right = min(max(left, stop_s), length_s)
    return f"left:{percent(left, length_s)};width:{percent(right - left, length_s)}"


def _band(
    fault: Fault, length_s: float, colours: Mapping[str, str], kinds: Mapping[str, int], *children: Markup
) -> Markup:
    stop_s = length_s if fault.stop_s is None else fault.stop_s
    return tag(
        "div",
        *children,
        class_=f"band hatch-{kinds.get(fault.fault, 0)}",
        data_from=f"{fault.start_s:.3f}",
        data_to=f"{stop_s:.3f}",
        style=f"{_position(fault.start_s, stop_s, length_s)};--c:{colours.get(fault.fault, '#808080')}",
    )


def _fault_lane(
    shown: Timeline, faults: Sequence[Fault], colours: Mapping[str, str], kinds: Mapping[str, int]
) -> Markup:
    if not faults:
        return Markup("")
    rows: list[list[Markup]] = []
    free_from: list[float] = []
    for fault in faults:
        label = tag("b", str(fault.number)) if len(faults) <= _NUMBERED_MOST else Markup("")
        band = _band(fault, shown.length_s, colours, kinds, label)
        stop_s = shown.length_s if fault.stop_s is None else fault.stop_s
        # The first row that is free by then, with room for the number.
        n = next((n for n, free in enumerate(free_from) if free <= fault.start_s), len(rows))
        if n == len(rows):
            rows.append([])
            free_from.append(0.0)
        rows[n].append(band)
        free_from[n] = max(stop_s, fault.start_s + shown.length_s / 40)
    lanes = Markup("").join(tag("div", *bands, class_="lane-row") for bands in rows[:8])
    return _row("Faults", Markup(""), tag("div", lanes, class_="plot faults"), "by the numbers in the table below")


def _found_lane(shown: Timeline) -> Markup:
    """A row for each kind, black in each bucket in which one was met."""
    rows = []
    step = shown.bucket_s / shown.length_s * WIDTH
    for name, met in shown.found.items():
        total = sum(count for _, count in met)
        ticks = "".join(
            f"M{number(bucket * step)} 20h{max(step, 2.0):.2f}v{HEIGHT - 40:.0f}h-{max(step, 2.0):.2f}z"
            for bucket, _ in met
        )
        drawn = tag(
            "svg",
            tag("path", d=ticks, class_="met"),
            viewBox=f"0 -2 {WIDTH:.0f} {HEIGHT + 4:.0f}",
            preserveAspectRatio="none",
            class_="zoom",
            aria_hidden="true",
        )
        rows.append(tag("div", drawn, tag("span", f"{total:,} {name}"), class_="lane-row"))
    note = "when anomalies were met; what is legal is left out"
    return _row("Found", Markup(""), tag("div", *rows, class_="plot found"), note)


def _row(title: str, legend: Markup, plot: Markup, note: str, scale: Markup | None = None) -> Markup:
    caption = tag("figcaption", tag("strong", title), legend, tag("small", note))
    return tag("figure", caption, scale or tag("div", class_="scale"), plot, class_="panel")


def _panel(panel: Panel, shown: Timeline, bands: Markup) -> Markup:
    # With some air above, so that no line hides in the edge.
    most = nice(1.05 * max((v for series in panel.series for v in series.values if v is not None), default=0.0))
    legend, drawn, told = [], [], []
    for n, series in enumerate(panel.series):
        # One line alone is a plain one.
        style = f"s{n % DASHES}" if len(panel.series) > 1 else "s1"
        known = [v for v in series.values if v is not None]
        told.append(f"{series.name} up to {_value(max(known, default=0.0), panel)}")
        swatch = tag(
            "svg",
            tag("path", d="M0 6H26", class_=f"line {style}") if not panel.bars else _swatch_bar(style),
            viewBox="0 0 26 12",
            aria_hidden="true",
        )
        legend.append(tag("span", swatch, series.name, class_="key"))
        drawn.append(
            _bars(series.values, n, len(panel.series), most, shown, style)
            if panel.bars
            else tag("path", d=_line(series.values, most, shown), class_=f"line {style}")
        )
    plot = tag(
        "svg",
        *[tag("path", d=f"M0 {HEIGHT * k / 2}H{WIDTH}", class_="grid") for k in range(3)],
        *drawn,
        viewBox=f"0 -2 {WIDTH:.0f} {HEIGHT + 4:.0f}",
        preserveAspectRatio="none",
        class_="zoom",
        role="img",
        aria_label=f"{panel.title} over {shown.length_s:.0f} s: {'; '.join(told)}",
    )
    scale = tag(
        "div", *[tag("span", _value(most * k / 2, panel)) for k in (2, 1, 0)], class_="scale", aria_hidden="true"
    )
    return _row(
        panel.title,
        tag("span", *legend, class_="legend"),
        tag("div", bands, plot, class_="plot", data_panel=panel.name),
        panel.note,
        scale,
    )


def _swatch_bar(style: str) -> Markup:
    return tag("rect", x=6, y=0, width=14, height=12, class_=f"bar {style}")


def _value(value: float, panel: Panel) -> str:
    if panel.unit == "s":
        return seconds(value) if value else "0 s"
    return f"{amount(value)}{panel.unit}"


def _line(values: Sequence[float | None], most: float, shown: Timeline) -> str:
    step = shown.bucket_s / shown.length_s * WIDTH
    points = [
        None if value is None else (min(WIDTH, (n + 0.5) * step), HEIGHT * (1.0 - value / most))
        for n, value in enumerate(values)
    ]
    return path(points)


def _bars(values: Sequence[float | None], nth: int, of: int, most: float, shown: Timeline, style: str) -> Markup:
    """Beside each other where there are several."""
    step = shown.bucket_s / shown.length_s * WIDTH
    width = step * 0.8 / of
    steps = [
        f"M{number(n * step + step * 0.1 + nth * width)} {number(HEIGHT)}V{number(HEIGHT * (1.0 - value / most))}"
        f"h{width:.2f}V{number(HEIGHT)}z"
        for n, value in enumerate(values)
        if value
    ]
    return tag("path", d="".join(steps), class_=f"bar {style}")


def _axis(length_s: float) -> Markup:
    step = nice(length_s / 8)
    ticks = []
    at = 0.0
    while at <= length_s + 1e-9:
        style = f"left:{percent(at, length_s)}"
        ticks.append(tag("span", f"{at:g} s", data_at=f"{at:g}", style=style))
        at += step
    return tag("div", tag("div", *ticks, class_="ticks"), class_="axis", aria_hidden="true")


# Latency around a fault


def latency_range(name: str, latency: Latency, least_s: float, most_s: float) -> Markup:
    """From p50 to max on an axis of powers of ten, which begins at or below `least_s` and ends at `most_s`."""
    if latency.p50_s is None or latency.p99_s is None or latency.max_s is None:
        return Markup("")
    width, height = 240.0, 20.0
    low = math.log10(max(least_s, _LATENCY_LEAST_S))
    decades = max(_DECADES_LEAST, math.log10(max(most_s, _LATENCY_LEAST_S)) - low)

    def x(value: float) -> float:
        return 8.0 + (width - 16.0) * min(1.0, max(0.0, (math.log10(max(value, _LATENCY_LEAST_S)) - low) / decades))

    p50, p99, most = x(latency.p50_s), x(latency.p99_s), x(latency.max_s)
    powers = [x(10.0**power) for power in range(math.ceil(low), math.floor(low + decades) + 1)]
    told = f"{name}: p50 {seconds(latency.p50_s)}, p99 {seconds(latency.p99_s)}, max {seconds(latency.max_s)}"
    return tag(
        "svg",
        *[tag("line", x1=place, x2=place, y1=0, y2=height, class_="grid") for place in powers],
        tag("line", x1=p50, x2=most, y1=height / 2, y2=height / 2, class_="span"),
        tag("circle", cx=p50, cy=height / 2, r=4, class_="p50"),
        tag("path", d=f"M{number(p99)} {number(height / 2 - 6)}v12", class_="p99"),
        tag("path", d=f"M{number(most - 4)} {number(height / 2 - 5)}l8 5l-8 5z", class_="max"),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        class_=f"range {name}",
        role="img",
        aria_label=told,
    )


# Order


def order(shown: OrderPicture) -> Markup:
    """Position sent against position received: what is in order climbs from left to right."""
    if not shown.points:
        return Markup("")
    left, top, size_x, size_y = 46.0, 12.0, 470.0, 300.0
    sent = [point.sent for point in shown.points]
    received = [point.received for point in shown.points]
    low_x, low_y = min(sent), min(received)
    span_x, span_y = max(1, max(sent) - low_x), max(1, max(received) - low_y)

    def place(point_sent: int, point_received: int) -> tuple[float, float]:
        return (
            left + (point_sent - low_x) / span_x * size_x,
            top + size_y - (point_received - low_y) / span_y * size_y,
        )

    places = [place(point.sent, point.received) for point in shown.points]
    parts = [
        tag("rect", x=left, y=top, width=size_x, height=size_y, class_="frame"),
        tag("path", d=path(list(places)), class_="trail"),
    ]
    # What is broken lies on top.
    ranked = sorted(
        zip(shown.points, places, strict=True), key=lambda each: ("", "other", "broken").index(each[0].mark)
    )
    for point, (x, y) in ranked:
        title = tag("title", f"{point.id}: sent as {point.sent}., {shown.what} as {point.received}.")
        parts.append(tag("g", title, _order_point(point.mark, point.again, x, y)))
    for value, x in ((low_x, left), (low_x + span_x, left + size_x)):
        parts.append(tag("text", f"{value:,}", x=x, y=top + size_y + 16.0, class_="tick"))
    for value, y in ((low_y, top + size_y), (low_y + span_y, top + 8.0)):
        parts.append(tag("text", f"{value:,}", x=left - 6.0, y=y, class_="tick end"))
    parts.append(tag("text", "position sent →", x=left + size_x / 2, y=top + size_y + 16.0, class_="tick"))
    turned = f"translate(14 {top + size_y / 2:.0f}) rotate(-90)"
    parts.append(tag("text", f"position {shown.what} →", transform=turned, class_="tick"))
    broken = sum(point.mark == "broken" for point in shown.points)
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {left + size_x + 24:.0f} {top + size_y + 26:.0f}",
        class_="order",
        role="img",
        aria_label=f"Group {shown.group} on {shown.s}: {len(shown.points)} messages, {broken} of them out of order",
    )


def _order_point(mark: str, again: bool, x: float, y: float) -> Markup:
    if mark == "broken":
        return tag("path", d="M-6 -6L6 6M-6 6L6 -6", transform=f"translate({x:.1f} {y:.1f})", class_="point broken")
    if mark == "other":
        return tag("path", d="M0 -6L6 5H-6z", transform=f"translate({x:.1f} {y:.1f})", class_="point other")
    return tag("circle", cx=x, cy=y, r=2.6, class_="point again" if again else "point")


def hatches() -> Markup:
    """The patterns of faults in the small pictures; those of the timeline are the style sheet's."""
    lines = (
        "M0 8L8 0M-2 2L2 -2M6 10L10 6",
        "M0 0L8 8M-2 6L2 10M6 -2L10 2",
        "M0 4H8",
        "M4 0V8",
        "M0 4H8M4 0V8",
        "M4 4h.1",
    )
    patterns = [
        tag(
            "pattern",
            tag("path", d=d, class_="hatch-line"),
            id=f"hatch-{n}",
            width=8,
            height=8,
            patternUnits="userSpaceOnUse",
        )
        for n, d in enumerate(lines)
    ]
    return tag("svg", tag("defs", *patterns), class_="defs", aria_hidden="true", width=0, height=0)
