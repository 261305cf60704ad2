"""A verdict for people and for machines: a table in the terminal, JSON, or JUnit XML for a CI server.

It shows what verdict.json holds and decides nothing. An unknown claim is never green: JUnit gets an error for it.
"""

from __future__ import annotations

import io
import sys
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from verify.judge import Verdict
from verify.registry import CHECKS

COLOURS: Mapping[str, str] = {"holds": "green", "violated": "bold red", "unknown": "yellow"}
_EXPLAINED_MOST = 4
_PLAIN_WIDTH = 132
_WHY_MOST = 4
# What a line of a timeline shows of a record, besides its event, time and writer.
_DETAILS = (
    "subscription",
    "attempt",
    "seq",
    "expect",
    "outcome",
    "error",
    "action",
    "batch",
    "receives",
    "hidden_s",
    "broker_seq",
    "partition",
    "applied",
)


def show(verdict: Verdict, format: str) -> None:
    """Print the verdict on standard output. `format`: text, json or junit."""
    if format == "json":
        sys.stdout.write(orjson.dumps(verdict.document, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif format == "junit":
        sys.stdout.write(junit(verdict.document) + "\n")
    else:
        # A pipe or a CI log has no width of its own; eighty columns would break every row.
        text(verdict.document, Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH))


def text(document: Mapping[str, Any], console: Console) -> None:
    """The claims with what they rest on, what was found, and for each violated claim the evidence."""
    console.print(_claims(document))
    _reasons(document, console)
    found = {name: entry for name, entry in document["anomalies"].items() if entry["count"]}
    if found:
        console.print(_found(document, found))
    for name in _explained(document, found):
        _examples(name, _of(document, name), console)
    for s, latency in document["latency_s"].items():
        console.print(
            f"latency {s}, from due to received: p50 {_seconds(latency['p50'])}, p99 {_seconds(latency['p99'])}, "
            f"max {_seconds(latency['max'])}"
        )
    torn = f", {document['torn_lines']} torn" if document["torn_lines"] else ""
    console.print(f"{document['events']:,} events of run {document['run']} judged{torn}")
    for damage in document["damaged"]:
        where = f"{damage['file']}:{damage['line']}" if damage["line"] else damage["file"]
        console.print(Text(f"damaged: {where}: {damage['why']}", style="yellow"))
    console.print(Text.assemble("verdict: ", (document["verdict"], COLOURS[document["verdict"]])))


def junit(document: Mapping[str, Any]) -> str:
    """One test case per claim: violated is a failure, unknown is an error."""
    claims = document["claims"]
    suite = xml.Element(
        "testsuite",
        name=f"gameday {document['run']}",
        tests=str(len(claims)),
        failures=str(sum(c["verdict"] == "violated" for c in claims)),
        errors=str(sum(c["verdict"] == "unknown" for c in claims)),
    )
    for claim in claims:
        case = xml.SubElement(suite, "testcase", classname="gameday.claims", name=_title(claim))
        if claim["verdict"] != "holds":
            found = {name: count for name, count in claim["anomalies"].items() if count}
            told = [f"{name}: {count}" for name, count in found.items()] + claim["why"]
            kind = "failure" if claim["verdict"] == "violated" else "error"
            message = f"{claim['claim']} is {claim['verdict']}: {'; '.join(told)}"
            evidence = _evidence(document, found)
            xml.SubElement(case, kind, message=message).text = "\n".join([*told, "", evidence])
        else:
            xml.SubElement(case, "system-out").text = f"checked {claim['checked']}: {_bound(claim)}"
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(suite, encoding="unicode")


def _of(document: Mapping[str, Any], anomaly: str) -> Sequence[Mapping[str, Any]]:
    examples: Sequence[Mapping[str, Any]] = document["anomalies"][anomaly]["examples"]
    return examples


def _evidence(document: Mapping[str, Any], anomalies: Iterable[str]) -> str:
    """The examples of these anomalies as plain text."""
    console = Console(file=io.StringIO(), width=_PLAIN_WIDTH, highlight=False)
    with console.capture() as capture:
        for anomaly in anomalies:
            _examples(anomaly, _of(document, anomaly), console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _claims(document: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("claim", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("checked", justify="right")
    table.add_column("on what evidence")
    redelivered = document["anomalies"]["redelivery"]["count"]
    for claim in document["claims"]:
        told = [_anomaly(document, name, count) for name, count in claim["anomalies"].items() if count]
        if claim["claim"] == "exactly-once-delivery" and redelivered:
            told.append(f"{redelivered} redeliveries, which at-least-once allows")
        if claim["verdict"] == "holds":
            told.insert(0, _bound(claim))
        elif not told and claim["why"]:
            told = claim["why"][:1]
        table.add_row(
            _title(claim),
            Text(claim["verdict"], style=COLOURS[claim["verdict"]]),
            f"{claim['checked']:,}",
            ", ".join(told),
        )
    return table


def _bound(claim: Mapping[str, Any]) -> str:
    rate = claim["rate_upper_95"]
    # With three cases or fewer the bound says nothing.
    return f"no violation; rate < {rate:.2g} (95 %)" if rate is not None and rate < 1 else "no violation"


def _title(claim: Mapping[str, Any]) -> str:
    bounds = [
        name if value is True else f"{name.removesuffix('_s')} {value:g} s"
        for name, value in claim.get("bounds", {}).items()
        if value is not False
    ]
    return f"{claim['claim']} ({', '.join(bounds)})" if bounds else str(claim["claim"])


def _anomaly(document: Mapping[str, Any], name: str, count: int) -> str:
    settle_s = max((s["settle_s"] for s in document["subscriptions"].values()), default=0)
    later = f", or later than {settle_s:g} s" if name == "lost" and settle_s else ""
    return f"{count} {name}{later}"


def _reasons(document: Mapping[str, Any], console: Console) -> None:
    """What is missing for the claims that are not settled, each reason once."""
    reasons: dict[str, list[str]] = {}
    for claim in document["claims"]:
        if claim["verdict"] != "holds":
            for why in claim["why"][:_WHY_MOST]:
                reasons.setdefault(why, []).append(claim["claim"])
    for why, claims in reasons.items():
        console.print(Text.assemble((", ".join(dict.fromkeys(claims)), "bold"), f": {why}"))


def _found(document: Mapping[str, Any], found: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("found", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("what it is")
    for name, entry in found.items():
        legal = CHECKS[name].legal
        table.add_row(Text(name, style="dim" if legal else "bold"), f"{entry['count']:,}", CHECKS[name].summary)
    return table


def _explained(document: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """The anomalies whose examples are worth the screen: those of violated claims."""
    names = [
        name
        for claim in document["claims"]
        if claim["verdict"] == "violated"
        for name, count in claim["anomalies"].items()
        if count and name in found
    ]
    yield from list(dict.fromkeys(names))[:_EXPLAINED_MOST]


def _examples(name: str, examples: Sequence[Mapping[str, Any]], console: Console) -> None:
    for example in examples:
        where = f" on {example['subscription']}" if example.get("subscription") else ""
        console.print(Text.assemble((name, "bold red"), f": message {example['id']}{where}. Cause: {example['cause']}"))
        timeline = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        timeline.add_column(justify="right", no_wrap=True)
        for _ in range(2):
            timeline.add_column(no_wrap=True)
        timeline.add_column()
        start = example["timeline"][0]["at"] if example["timeline"] else 0
        for event in example["timeline"]:
            by = event.get("consumer") or event.get("producer") or ""
            details = " ".join(f"{key}={_shown(event[key])}" for key in _DETAILS if key in event)
            timeline.add_row(f"{(event['at'] - start) / 1e9:+.3f} s", event["event"], by, details)
        console.print(Padding(timeline, (0, 0, 1, 2)))


def _shown(value: object) -> object:
    return ",".join(map(str, value)) or "nobody" if isinstance(value, list) else value


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
