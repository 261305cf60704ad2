"""Makes report.html: one file, no network, the verdict first; then what happened, the evidence, and how to repeat it.

It shows what verdict.json and the history hold and decides nothing. It promises that whatever comes from a history is
escaped, that the page needs no script to be read or printed, and that it is written whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from gameday.chaos.registry import FAULTS
from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.errors import HistoryError
from gameday.report import text
from gameday.report.html import figures, picture
from gameday.report.html.data import FAULTS_MOST, FaultLatency, Latency, Model, read
from gameday.report.html.measured import measured
from gameday.report.html.repeat import repeat
from gameday.report.html.svg import tag
from gameday.report.html.words import amount, moment, one_in, seconds
from gameday.report.used import Told, kept
from gameday.targets.products import cannot_show
from gameday.verify.bounds import Recovery
from gameday.verify.judge import Verdict
from gameday.verify.load import Loaded
from gameday.verify.registry import CHECKS

FILE = "report.html"
_FOREIGN_FAULT = "#808080"
_ICONS: Mapping[str, str] = {"holds": "✓", "violated": "✕", "unknown": "?"}
_LIBRARIES = ("locust", "boto3", "botocore", "duckdb", "ministack")
_PARTS = files("gameday.report.html").joinpath("parts")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    title: str
    verdict: str
    icon: str
    summary: str
    checked: int
    strength: str
    told: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Example:
    title: str
    cause: str
    picture: Markup
    records: Sequence[tuple[str, str, str, str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Anomaly:
    name: str
    count: int
    summary: str
    judged_by: str
    kinds: Sequence[str]
    examples: Sequence[_Example]
    broken: bool
    reasons: Sequence[str]


def save(directory: Path, run: Loaded, verdict: Verdict, out: Path | None = None) -> Path:
    """Make the report of a run that is in its tables, into its directory or `out`. Errors: HistoryError."""
    path = out or directory / FILE
    page = render(read(run), verdict.document, run, kept(directory))
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(page, encoding="utf-8", errors="replace")
        draft.replace(path)
    except OSError as error:
        raise HistoryError(f"cannot write {path}: {error.strerror}") from error
    return path


def render(model: Model, document: Mapping[str, Any], run: Loaded, bill: Told | None = None) -> str:
    """The page as text."""
    kinds = {name: n % figures.HATCHES for n, name in enumerate(dict.fromkeys(fault.fault for fault in model.faults))}
    colours = {name: FAULTS[name].colour if name in FAULTS else _FOREIGN_FAULT for name in kinds}
    script = _part("report.js")
    target = str(document["target"])
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            head=headline(document),
            icons=_ICONS,
            plain=list(plain_words(document)),
            claims=[_claim(document, claim) for claim in document["claims"]],
            run_notes=[note["text"] for note in document["notes"] if not note["claims"]],
            cannot_show=cannot_show(target),
            model=model,
            timeline=figures.timeline(model.timeline, model.faults, colours, kinds),
            hatches=figures.hatches(),
            colours=colours,
            kinds=kinds,
            faults=model.faults[:FAULTS_MOST],
            not_drawn=max(0, len(model.faults) - figures.DRAWN_MOST),
            measured=measured(run, document),
            latencies=_latencies(model),
            recoveries=_recoveries(model),
            orders=[(shown, figures.order(shown)) for shown in model.orders],
            anomalies=list(_anomalies(document, colours, kinds)),
            causes=list(text.causes(document)),
            cause_columns=text.CAUSE_COLUMNS,
            places=list(text.places(document)),
            place_columns=text.PLACE_COLUMNS,
            never_reached=text.never_reached(document),
            shapes=[(tag_of(name), words) for name, words in picture.SHAPES.items()],
            amounts=text.amounts(document),
            tenants=list(text.tenants(document)),
            tenant_columns=text.TENANTS,
            executions=text.executions(document),
            execution_times=list(text.execution_times(document)),
            steps=list(text.steps(document)),
            step_columns=text.STEPS,
            bill=bill,
            repeat=repeat(run.manifest),
            manifest=run.manifest,
            started=_time(document["started"]),
            judged=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
            versions=_versions(document),
            data=Markup(_data(model)),
            style=Markup(_part("report.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def tag_of(name: picture.Shape) -> Markup:
    """A shape of the small pictures, for their legend."""
    return tag(
        "svg", picture.shape(name, 10.0, 10.0), viewBox="0 0 20 20", class_="picture key-shape", aria_hidden="true"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({"report.html.j2": _part("report.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": seconds, "amount": amount}
    return environment


def _part(name: str) -> str:
    return _PARTS.joinpath(name).read_text(encoding="utf-8")


def _data(model: Model) -> str:
    """The numbers behind the lines, for the script; nothing in it can end the element that it stands in."""
    panels = [
        {
            "name": panel.name,
            "title": panel.title,
            "unit": panel.unit,
            "series": [
                {"name": series.name, "values": [None if v is None else float(f"{v:.4g}") for v in series.values]}
                for series in panel.series
            ],
        }
        for panel in model.timeline.panels
        if panel.series
    ]
    told = {"length_s": model.timeline.length_s, "bucket_s": model.timeline.bucket_s, "panels": panels}
    return orjson.dumps(told).decode().replace("<", "\\u003c")


# The verdict


def headline(document: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    claims = document["claims"]
    violated, unknown = (sum(claim["verdict"] == ruling for claim in claims) for ruling in ("violated", "unknown"))
    if violated:
        return f"{violated} of {len(claims)} claims {'was' if violated == 1 else 'were'} broken."
    if unknown:
        return f"Nothing was broken, but {unknown} of {len(claims)} claims could not be settled."
    return f"All {len(claims)} claims held." if len(claims) > 1 else "The claim held."


def plain_words(document: Mapping[str, Any]) -> Iterator[str]:
    """What the verdict says, in whole sentences."""
    claims = document["claims"]
    by_verdict = {v: [c for c in claims if c["verdict"] == v] for v in ("violated", "unknown", "holds")}
    for claim in by_verdict["violated"]:
        told = text.evidence_of(document, claim, claim["why"][:1])
        asked = CLAIM_TEXTS[claim["claim"]].summary
        yield f"Broken: {text.title_of(claim)}. {asked} That was not so: {', '.join(told)}."
    for claim in by_verdict["unknown"]:
        why = claim["why"][0] if claim["why"] else "nothing says more"
        yield f"Not settled: {text.title_of(claim)}. {why}."
    if held := by_verdict["holds"]:
        what = "What was claimed" if len(held) == len(claims) else f"The other {len(held)}"
        yield (
            f"{what} held: nothing in this run broke it. That is no proof for other runs; how often it might still "
            "break is said beside each claim."
        )


def _claim(document: Mapping[str, Any], claim: Mapping[str, Any]) -> _Claim:
    rate = claim["rate_upper_95"]
    told = text.evidence_of(document, claim, claim["why"])
    return _Claim(
        title=text.title_of(claim),
        verdict=claim["verdict"],
        icon=_ICONS[claim["verdict"]],
        summary=CLAIM_TEXTS[claim["claim"]].summary,
        checked=claim["checked"],
        strength="" if rate is None else one_in(rate),
        # The bound has a column of its own.
        told=told[1:] if claim["verdict"] == "holds" and told[:1] and told[0].startswith("no violation") else told,
        notes=[note["text"] for note in document["notes"] if claim["key"] in note["claims"]],
    )


# Faults


def _latencies(model: Model) -> list[tuple[FaultLatency, list[tuple[str, Latency, Markup]]]]:
    all_phases = [phase for each in model.latencies for phase in (each.before, each.during, each.after)]
    least = min((phase.p50_s for phase in all_phases if phase.p50_s), default=0.001)
    most = max((phase.max_s for phase in all_phases if phase.max_s), default=1.0)
    found = []
    for each in model.latencies:
        phases = (("before", each.before), ("during", each.during), ("after", each.after))
        drawn = [(name, phase, figures.latency_range(name, phase, least, most)) for name, phase in phases]
        found.append((each, drawn))
    return found


def _recoveries(model: Model) -> dict[tuple[int, str], Recovery]:
    """By the number of the fault and the subscription."""
    numbers = {fault.name: fault.number for fault in model.faults}
    return {(numbers[each.fault], each.s): each for each in model.recoveries}


# What was found


def _anomalies(document: Mapping[str, Any], colours: Mapping[str, str], kinds: Mapping[str, int]) -> Iterator[_Anomaly]:
    """Those of violated claims first, then the others, the legal ones last."""
    found = {name: entry for name, entry in document["anomalies"].items() if entry["count"]}
    broken = {n for claim in document["claims"] if claim["verdict"] == "violated" for n in claim["anomalies"]}
    first = [name for name in text.worth_showing(document) if name in found]
    rest = sorted((name for name in found if name not in first), key=lambda name: CHECKS[name].legal)
    for name in [*first, *rest]:
        entry = found[name]
        yield _Anomaly(
            name=name,
            count=entry["count"],
            summary=CHECKS[name].summary,
            judged_by=text.judged_by(document, name),
            kinds=list(text.kinds_of(entry)),
            examples=[
                _example(name, example, colours, kinds) for example in entry["examples"] if "timeline" in example
            ],
            broken=name in broken,
            reasons=[str(example["reason"]) for example in entry["examples"] if "reason" in example],
        )


def _example(name: str, example: Mapping[str, Any], colours: Mapping[str, str], kinds: Mapping[str, int]) -> _Example:
    where = f" on {example['subscription']}" if example.get("subscription") else ""
    other = example.get("other", {}).get("id")
    across = f", and message {other}" if other and other != example["id"] else ""
    title = f"message {example['id']}{where}{across}"
    drawn = picture.picture(example)
    records = []
    for event in example["timeline"]:
        what, who, details = text.record_line(event, example.get("subscription"))
        side = {"counted": "1", "other": "2"}.get(event.get("side", ""), "")
        records.append((moment((event["at"] - drawn.zero) / 1e9), what, who, details, side))
    return _Example(
        title=title,
        cause=text.cause_of(example),
        picture=picture.draw(drawn, f"{name}: {title}", colours, kinds),
        records=records,
    )


# The run


def _time(at_ns: int | None) -> str:
    if at_ns is None:
        return "no record"
    return datetime.fromtimestamp(at_ns // 10**9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _versions(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of who judged and drew this; the run itself may have been made elsewhere."""
    told = [("gameday", str(document["version"] or "not installed")), ("Python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            told.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return told
