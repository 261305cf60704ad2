"""The small picture of one message that broke a claim, and of the message that it suffered from.

Who held it when, how long it was hidden, what hit it. It is made from an example of verdict.json alone: a lane for the
producer and for each consumer, by message; the faults above. Time is stretched where much happens, so that what is a
millisecond apart can be told from what is the same; the moments are written.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from markupsafe import Markup

from gameday.report.html.svg import tag
from gameday.report.html.words import moment, seconds

NS_PER_S = 1_000_000_000
# What somebody reads at the end of the run, long after the message's life.
_READ_BACK = ("effects",)
_LABEL_LEAST = 62.0
_LANE = 30.0
_LEFT = 132.0

Shape = Literal["meant", "sent", "failed", "unknown", "applied", "skipped", "deleted", "other-settle", "dead"]
# What each shape says, for the legend.
SHAPES: Mapping[Shape, str] = {
    "meant": "about to be sent",
    "sent": "accepted by the service",
    "applied": "effect applied",
    "skipped": "effect skipped",
    "deleted": "deleted",
    "other-settle": "released, extended or checkpointed",
    "failed": "failed",
    "unknown": "outcome unknown",
    "dead": "dead letter, or sent back from there",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something at one moment. `flag`: what the judge says of it: `counted`, or `other` for what it is held against."""

    at: int
    shape: Shape
    title: str
    flag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A consumer has the message in hand from `at` to `until`; it is hidden from the others until `hidden_until` (None
    on a stream, which hides nothing)."""

    at: int
    until: int
    hidden_until: int | None
    title: str
    flag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    name: str
    marks: Sequence[Mark]
    holds: Sequence[Hold]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A fault at work during the message's life; the ends are None where they lie outside of what is known."""

    fault: str
    label: str
    targets: Sequence[str]
    start: int | None
    stop: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One message: its name and its lanes."""

    id: str
    role: str
    lanes: Sequence[Lane]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """`zero`: the moment from which the others are counted."""

    zero: int
    stories: Sequence[Story]
    hits: Sequence[Hit]

    @property
    def moments(self) -> list[int]:
        """All that is drawn, in the order of time."""
        found: set[int] = set()
        for story in self.stories:
            for lane in story.lanes:
                found.update(mark.at for mark in lane.marks)
                for hold in lane.holds:
                    found.update((hold.at, hold.until))
                    if hold.hidden_until is not None:
                        found.add(hold.hidden_until)
        if not found:
            return []
        life = (min(found), max(found))
        for hit in self.hits:
            if hit.start is not None:
                found.add(hit.start)
            if hit.stop is not None:
                # What went on long after the message's life is not worth the space.
                found.add(min(hit.stop, life[1] + NS_PER_S))
        return sorted(found)


def picture(example: Mapping[str, Any]) -> Picture:
    """From an example of verdict.json."""
    events = [event for event in example.get("timeline", ()) if not str(event["event"]).startswith("…")]
    zero = next((event["at"] for event in events if event["event"] != "fault"), 0)
    other = example.get("other", {}).get("id")
    own = [event for event in events if event["event"] != "fault" and event.get("id") is None]
    across = [event for event in events if event["event"] != "fault" and event.get("id") is not None]
    stories = [Story(id=str(example.get("id", "")), role="this message", lanes=_lanes(own))]
    if across or (other and other != example.get("id")):
        stories.append(Story(id=str(other), role="the other message", lanes=_lanes(across)))
    return Picture(zero=zero, stories=stories, hits=_hits(events))


def _lanes(events: Sequence[Mapping[str, Any]]) -> list[Lane]:
    lanes: dict[str, tuple[list[Mark], list[Hold]]] = {}
    producer = next((str(event["producer"]) for event in events if event.get("producer")), "producer")
    for event in events:
        name = str(event.get("consumer") or "")
        if event["event"] in ("intended", "sent"):
            lanes.setdefault(producer, ([], []))[0].append(_sent(event))
        elif event["event"] == "received":
            lanes.setdefault(name or "receiver", ([], []))[1].append(_hold(event, events))
        elif event["event"] in ("effect", "settled"):
            lanes.setdefault(name or "receiver", ([], []))[0].append(_handled(event))
        elif event["event"] in ("dead", "redriven"):
            mark = Mark(at=event["at"], shape="dead", title=_told(event), flag=event.get("side", ""))
            lanes.setdefault("dead-letter queue", ([], []))[0].append(mark)
    return [Lane(name=name, marks=marks, holds=holds) for name, (marks, holds) in lanes.items()]


def _sent(event: Mapping[str, Any]) -> Mark:
    flag = event.get("side", "")
    if event["event"] == "intended":
        return Mark(at=event["at"], shape="meant", title=_told(event), flag=flag)
    shape: Shape = {"ok": "sent", "failed": "failed"}.get(str(event.get("outcome")), "unknown")  # type: ignore[assignment]
    return Mark(at=event["at"], shape=shape, title=_told(event), flag=flag)


def _handled(event: Mapping[str, Any]) -> Mark:
    outcome = str(event.get("outcome"))
    shape: Shape
    if event["event"] == "effect":
        shape = {"applied": "applied", "skipped": "skipped"}.get(outcome, "failed")  # type: ignore[assignment]
    elif outcome != "ok":
        shape = "failed" if outcome == "failed" else "unknown"
    else:
        shape = "deleted" if event.get("action") == "delete" else "other-settle"
    return Mark(at=event["at"], shape=shape, title=_told(event), flag=event.get("side", ""))


def _hold(event: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Hold:
    """In hand to the last record of its batch; hidden as long as the last extension says, or until it was settled."""
    batch = [
        each
        for each in events
        if each["event"] in ("effect", "settling", "settled")
        and each.get("consumer") == event.get("consumer")
        and each.get("batch") == event.get("batch")
    ]
    until = max([event["at"], *(each["at"] for each in batch)])
    hidden = event.get("hidden_s")
    hidden_until = None if hidden is None else event["at"] + round(hidden * NS_PER_S)
    for each in batch:
        if each["event"] == "settled" and each.get("outcome") == "ok":
            if each.get("action") == "extend" and each.get("hidden_s") is not None:
                hidden_until = each["at"] + round(each["hidden_s"] * NS_PER_S)
            elif each.get("action") in ("delete", "release") and hidden_until is not None:
                hidden_until = min(hidden_until, max(each["at"], event["at"]))
    title = _told(event) + ("" if hidden is None else f", hidden for {seconds(hidden)}")
    return Hold(at=event["at"], until=until, hidden_until=hidden_until, title=title, flag=event.get("side", ""))


def _told(event: Mapping[str, Any]) -> str:
    words = [str(event["event"])]
    words += [f"{key} {event[key]}" for key in ("action", "outcome", "error", "attempt", "receives") if event.get(key)]
    return ", ".join(words)


def _hits(events: Sequence[Mapping[str, Any]]) -> list[Hit]:
    hits: list[Hit] = []
    waiting: dict[tuple[str, str], list[int]] = {}
    for event in events:
        if event["event"] != "fault":
            continue
        key = (str(event["fault"]), str(event.get("label")))
        if event["phase"] == "start":
            waiting.setdefault(key, []).append(len(hits))
            targets = tuple(map(str, event.get("targets", ())))
            hits.append(
                Hit(
                    fault=key[0], label=str(event.get("label") or key[0]), targets=targets, start=event["at"], stop=None
                )
            )
        elif waiting.get(key):
            n = waiting[key].pop(0)
            # At the end it names, too, who came into the place of one and was struck as well.
            targets = tuple(dict.fromkeys([*hits[n].targets, *map(str, event.get("targets", ()))]))
            hits[n] = replace(hits[n], targets=targets, stop=event["at"])
    return hits


# Drawing


class Scale:
    """From moments to places: order is always seen, and longer is wider, but not by as much."""

    def __init__(self, moments: Sequence[int]) -> None:
        self.moments = list(moments)
        self.places = [0.0]
        for before, after in zip(self.moments, self.moments[1:], strict=False):
            self.places.append(self.places[-1] + 16.0 + 22.0 * math.log10(1.0 + (after - before) / 1e6))
        stretch = max(1.0, 540.0 / self.places[-1]) if self.places[-1] else 1.0
        self.places = [place * stretch for place in self.places]

    @property
    def width(self) -> float:
        return self.places[-1]

    def x(self, at: int) -> float:
        n = min(bisect_left(self.moments, at), len(self.moments) - 1)
        return self.places[n]


def draw(shown: Picture, title: str, colours: Mapping[str, str], kinds: Mapping[str, int]) -> Markup:
    """`colours`, `kinds`: of each fault its colour and the number of its pattern."""
    moments = shown.moments
    if not moments:
        return Markup("")
    scale = Scale(moments)
    width = _LEFT + scale.width + 60.0
    parts: list[Markup] = []
    y = 22.0
    for hit in shown.hits:
        parts.append(_hit(hit, y, scale, colours, kinds))
        y += 24.0
    for story in shown.stories:
        parts.append(tag("text", f"{story.role}: {story.id}", class_="story", x=4, y=y + 15.0))
        y += 22.0
        for lane in story.lanes:
            struck = [hit for hit in shown.hits if lane.name in hit.targets]
            parts.append(_lane(lane, y, scale, struck, width, colours, kinds))
            y += _LANE
        if not story.lanes:
            parts.append(tag("text", "no record of it", class_="lane", x=12, y=y + 14.0))
            y += _LANE
        y += 6.0
    return tag(
        "svg",
        _ticks(scale, shown.zero, y),
        *parts,
        viewBox=f"0 0 {width:.0f} {y + 8:.0f}",
        class_="picture",
        role="img",
        aria_label=title,
        style=f"min-width:{min(width, 560):.0f}px;max-width:{width:.0f}px",
    )


def _ticks(scale: Scale, zero: int, bottom: float) -> Markup:
    parts, last = [], -_LABEL_LEAST
    for at, place in zip(scale.moments, scale.places, strict=True):
        if place - last < _LABEL_LEAST:
            continue
        last = place
        x = _LEFT + place
        parts.append(tag("line", x1=x, x2=x, y1=16.0, y2=bottom, class_="grid"))
        parts.append(tag("text", moment((at - zero) / NS_PER_S), x=x, y=11.0, class_="tick"))
    return Markup("").join(parts)


def _hit(hit: Hit, y: float, scale: Scale, colours: Mapping[str, str], kinds: Mapping[str, int]) -> Markup:
    left = _LEFT + (0.0 if hit.start is None else scale.x(hit.start))
    right = _LEFT + (scale.width if hit.stop is None else scale.x(hit.stop))
    fill = f"url(#hatch-{kinds.get(hit.fault, 0)})"
    box = {"x": left, "y": y + 2.0, "width": max(4.0, right - left), "height": 16.0}
    # A label that does not fit to the right of where the fault began starts at the left edge.
    at = min(left + 4.0, _LEFT + max(0.0, scale.width - 6.5 * len(hit.label)))
    return tag(
        "g",
        tag("title", hit.label),
        tag("rect", class_="hit", fill=colours.get(hit.fault, "#888"), **box),
        tag("rect", class_="hit-hatch", fill=fill, **box),
        tag("text", "fault", x=12, y=y + 14.0, class_="lane"),
        tag("text", hit.label, x=at, y=y + 14.0, class_="hit-label"),
    )


def _lane(
    lane: Lane,
    y: float,
    scale: Scale,
    struck: Sequence[Hit],
    width: float,
    colours: Mapping[str, str],
    kinds: Mapping[str, int],
) -> Markup:
    middle = y + _LANE / 2
    parts = [
        tag("text", _short(lane.name), tag("title", lane.name), x=12, y=middle + 4.0, class_="lane"),
        tag("line", x1=_LEFT, x2=width - 8.0, y1=middle, y2=middle, class_="rail"),
    ]
    for hit in struck:
        left = _LEFT + (0.0 if hit.start is None else scale.x(hit.start))
        right = _LEFT + (scale.width if hit.stop is None else scale.x(hit.stop))
        box = {"x": left, "y": y + 1.0, "width": max(4.0, right - left), "height": _LANE - 2.0}
        parts += [
            tag("rect", class_="struck", fill=colours.get(hit.fault, "#888"), **box),
            tag("rect", class_="struck-hatch", fill=f"url(#hatch-{kinds.get(hit.fault, 0)})", **box),
        ]
    for hold in lane.holds:
        parts.append(_drawn_hold(hold, y, scale))
    for mark in lane.marks:
        parts.append(_mark(mark, _LEFT + scale.x(mark.at), middle))
    return tag("g", *parts)


def _drawn_hold(hold: Hold, y: float, scale: Scale) -> Markup:
    left, until = _LEFT + scale.x(hold.at), _LEFT + scale.x(hold.until)
    parts = [tag("title", hold.title)]
    if hold.hidden_until is not None:
        right = _LEFT + scale.x(hold.hidden_until)
        parts.append(tag("rect", class_="hidden", x=left, y=y + 6.0, width=max(3.0, right - left), height=_LANE - 12.0))
        length = f"hidden {seconds((hold.hidden_until - hold.at) / NS_PER_S)}"
        if right - max(left, until) > 7.0 * len(length):
            parts.append(tag("text", length, x=right - 5.0, y=y + _LANE / 2 + 4.0, class_="length"))
    parts.append(tag("rect", class_="hand", x=left, y=y + 10.0, width=max(3.0, until - left), height=_LANE - 20.0))
    # The moment of the receive itself.
    parts.append(tag("path", class_="receive", d=f"M{left - 5} {y + 8} l9 {_LANE / 2 - 8} l-9 {_LANE / 2 - 8} z"))
    if hold.flag:
        parts.append(_flag(hold.flag, left, y + _LANE / 2))
    return tag("g", *parts)


_PATHS: Mapping[Shape, str] = {
    "meant": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "sent": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    "failed": "M-5 -5L5 5M-5 5L5 -5",
    "unknown": "M-3 -3a3.2 3.2 0 1 1 3 4v2M0 5v1.5",
    "applied": "M0 -7L7 0L0 7L-7 0z",
    "skipped": "M0 -6L6 0L0 6L-6 0z",
    "deleted": "M-5 -5h10v10h-10z",
    "other-settle": "M-5 -4h10L0 6z",
    "dead": "M0 -7V7M-5 -3H5",
}


def _mark(mark: Mark, x: float, y: float) -> Markup:
    parts = [tag("title", mark.title), shape(mark.shape, x, y)]
    if mark.flag:
        parts.append(_flag(mark.flag, x, y))
    return tag("g", *parts)


def shape(name: Shape, x: float, y: float) -> Markup:
    return tag("path", class_=f"mark {name}", d=_PATHS[name], transform=f"translate({x:.1f} {y:.1f})")


def _flag(flag: str, x: float, y: float) -> Markup:
    """A ring, and 1 or 2 above it: the same numbers stand in the table of records."""
    return tag(
        "g",
        tag("circle", cx=x, cy=y, r=11, class_=f"flag {flag}"),
        tag("text", "1" if flag == "counted" else "2", x=x + 13.0, y=y - 6.0, class_=f"flag-text {flag}"),
    )


def _short(name: str) -> str:
    return name if len(name) <= 17 else f"{name[:8]}…{name[-8:]}"
