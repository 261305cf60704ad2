"""A verdict for people and for machines: a table in the terminal, JSON, JUnit XML or Markdown for a CI server.

It shows what verdict.json holds and decides nothing. An unknown claim is never green: JUnit gets an error for it. A
list that is cut short says how much was left out.
"""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.manifest import Subscription
from gameday.report import markdown
from gameday.report.console import COLOURS, PLAIN_WIDTH, on_stdout
from gameday.report.markdown import escaped
from gameday.targets.products import cannot_show
from gameday.verify.claims import RULES
from gameday.verify.judge import Verdict
from gameday.verify.registry import CAUSES, CHECKS, PLACES, UNTOLD

# Beside the word, for who looks for a colour; the word says it all.
_SIGNS: Mapping[str, str] = {"holds": "✅", "violated": "❌", "unknown": "❔"}
_EXPLAINED_MOST = 4
_WHY_MOST = 4
_DAMAGES_MOST = 10
# Of what a cause explains, its count is one of these, in words.
_KINDS: Mapping[str, str] = {
    "redelivery": "came again",
    "duplicate": "was there twice",
    "loss": "did not come",
    "overtake": "was out of order",
    "effect-missing": "has no effect",
    "effect-duplicate": "had its effect again",
    "dead-letter": "is a dead letter",
}
_UNTOLD = "The history does not tell: no cause is proven by its records."
_SIDES = {"counted": "this is counted", "other": "held against this"}
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
# Notes of checks that are single words, for the judge to ask about, put into words for people.
_NOTES: Mapping[str, str] = {
    "within": "within the deduplication window",
    "outside": "outside the deduplication window",
    "unknown": "nobody can tell whether within the deduplication window",
    "unread": "unless a message died unread",
}
# What a send came to that was not accepted.
_NOT_ACCEPTED: Mapping[str, str] = {"failed": "given up", "unknown": "of unknown outcome"}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def show(verdict: Verdict, format: str) -> None:
    """Print the verdict on standard output. `format`: text, json or junit."""
    if format == "json":
        sys.stdout.write(orjson.dumps(verdict.document, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif format == "junit":
        sys.stdout.write(junit(verdict.document) + "\n")
    else:
        text(verdict.document, on_stdout())


# For people


def text(document: Mapping[str, Any], console: Console) -> None:
    """The claims with what they rest on, what was found, and the evidence where one is violated or in doubt."""
    console.print(_claims(document))
    _reasons(document, console)
    for note in document["notes"]:
        console.print(Text.assemble((", ".join(note["claims"]) or "note", "bold"), f": {note['text']}"))
    found = {name: entry for name, entry in document["anomalies"].items() if entry["count"]}
    if found:
        console.print(_found(document, found))
    if document["causes"]:
        console.print(_why(document))
    explained = list(worth_showing(document))
    for name in explained[:_EXPLAINED_MOST]:
        _examples(name, found[name], console)
    if left := explained[_EXPLAINED_MOST:]:
        console.print(f"and {len(left):,} more, whose examples are in verdict.json: {', '.join(left)}")
    console.print(amounts(document))
    if document["reached"]:
        console.print(_reached(document), highlight=False)
    for s, latency in document["latency_s"].items():
        console.print(
            f"latency {s}, from due to received: p50 {_seconds(latency['p50'])}, p99 {_seconds(latency['p99'])}, "
            f"max {_seconds(latency['max'])}"
        )
    for where, phase, *waits in tenants(document):
        console.print(
            f"waits of {where} {phase}, {waits[0]} messages: p50 {waits[1]}, p99 {waits[2]}, max {waits[3]}",
            highlight=False,
        )
    for line in workflow(document):
        console.print(line, highlight=False)
    torn = f", {document['torn_lines']} torn" if document["torn_lines"] else ""
    told = [f"{key} {document[key]}" for key in ("scenario", "seed", "target") if document[key] is not None]
    console.print(
        f"{document['events']:,} events of run {document['run']} judged{torn} "
        f"({', '.join(told)}; it lasted {document['duration_s']:.0f} s)"
    )
    for damage in _some([*map(_damage, document["damaged"])], _DAMAGES_MOST):
        console.print(Text(f"damaged: {damage}", style="yellow"))
    console.print(Text.assemble("verdict: ", (document["verdict"], COLOURS[document["verdict"]])))


# What stands above the columns of `tenants`.
TENANTS = ("tenants", "", "messages", "p50", "p99", "max")
_PHASES: Mapping[str, str] = {
    "before": "before the noise",
    "during": "during the noise",
    "after": "after the noise",
    "all": "in all",
}


def tenants(document: Mapping[str, Any]) -> Iterator[list[str]]:
    """How long the tenants of each class waited, a row for each phase: subscription and class, when, how many messages
    were received, and p50, p99 and max from due to received."""
    for s, classes in document.get("tenants_s", {}).items():
        for name, phases in classes.items():
            for phase in (phase for phase in _PHASES if phase in phases):
                waits = phases[phase]
                quantiles = [_seconds(waits[q]) for q in ("p50", "p99", "max")]
                yield [f"{s} {name}", _PHASES[phase], f"{waits['messages']:,}", *quantiles]


# What stands above the columns of `steps`.
STEPS = ("step", "tasks", "asked again", "applied", "skipped by the guard", "failed", "tokens taken", "tokens refused")


def executions(document: Mapping[str, Any]) -> str | None:
    """How many executions there were and how they ended, in a line; None where messages start none."""
    if (flow := document.get("workflow")) is None:
        return None
    ended = ", ".join(f"{count:,} {status}" for status, count in flow["executions"].items())
    redriven = f"; {flow['redrives']:,} redrives" if flow["redrives"] else ""
    nobody = "nobody can ask how they ended" if flow["kind"] == "express" else "none was read"
    return (
        f"executions ({flow['kind']}): {flow['started']:,} messages started, {flow['started_again']:,} of them more "
        f"than once; {ended or nobody}{redriven}"
    )


def execution_times(document: Mapping[str, Any]) -> Iterator[list[str]]:
    """How long starts took and how long executions, each in a row of words and quantiles."""
    told = {"start": "from due to accepted", "duration": "from started to stopped"}
    for what, latency in document.get("workflow", {}).get("latency_s", {}).items():
        yield [f"execution, {told[what]}", *(_seconds(latency[q]) for q in ("p50", "p99", "max"))]


def steps(document: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each step of a workflow: its tasks, how many messages more than tasks asked for them, what handlings
    came to, and what became of tokens that were sent back."""
    for name, step in document.get("workflow", {}).get("steps", {}).items():
        again = max(0, step["messages"] - step["tasks"])
        counts = (step["tasks"], again, step["applied"], step["skipped"], step["failed"])
        yield [name, *(f"{n:,}" for n in (*counts, step["tokens_accepted"], step["tokens_refused"]))]


def workflow(document: Mapping[str, Any]) -> Iterator[str]:
    """The same in lines of text."""
    if (told := executions(document)) is not None:
        yield told
    for what, *(p50, p99, most) in execution_times(document):
        yield f"{what}: p50 {p50}, p99 {p99}, max {most}"
    for name, *counts in steps(document):
        yield f"step {name}: " + ", ".join(f"{count} {what}" for count, what in zip(counts, STEPS[1:], strict=True))


def _claims(document: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("claim", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("checked", justify="right")
    table.add_column("on what evidence")
    for claim in document["claims"]:
        # The reasons stand below the table, all of them; where no anomaly says more, the first one stands here too.
        alone = claim["verdict"] != "holds" and not any(claim["anomalies"].values())
        told = evidence_of(document, claim, _some(claim["why"], 1) if alone else [])
        table.add_row(
            title_of(claim),
            Text(claim["verdict"], style=COLOURS[claim["verdict"]]),
            f"{claim['checked']:,}",
            ", ".join(told),
        )
    return table


def _reasons(document: Mapping[str, Any], console: Console) -> None:
    """What each claim that does not hold says, and what is missing for those that are not settled, each reason once."""
    reasons: dict[str, list[str]] = {}
    for claim in document["claims"]:
        if claim["verdict"] != "holds":
            for why in _some(claim["why"], _WHY_MOST):
                reasons.setdefault(why, []).append(_name(claim))
    for why, claims in reasons.items():
        console.print(Text.assemble((", ".join(dict.fromkeys(claims)), "bold"), f": {why}"))


def _found(document: Mapping[str, Any], found: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("found", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("what it is")
    table.add_column("judged by")
    for name, entry in found.items():
        style = "dim" if CHECKS[name].legal else "bold"
        what = "\n".join([CHECKS[name].summary, *kinds_of(entry)])
        table.add_row(Text(name, style=style), f"{entry['count']:,}", what, judged_by(document, name))
    return table


# What stands above the columns of `causes`.
CAUSE_COLUMNS = ("why", "cause", "count", "what it is", "by faults")


def causes(document: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each cause: what it explains, its name, how often, what it is with by how much at the most, and how
    many of them which faults are proven to have brought about. The most frequent of a kind first."""
    for what, told in document["causes"].items():
        for cause, entry in told.items():
            excess = f" By {_seconds(entry['excess_s_max'])} at the most." if "excess_s_max" in entry else ""
            faults = _some([f"{n:,} {instance}" for instance, n in entry["faults"].items()], _EXPLAINED_MOST)
            yield [_KINDS[what], cause, f"{entry['count']:,}", cause_summary(cause) + excess, ", ".join(faults)]


# What stands above the columns of `places`.
PLACE_COLUMNS = ("dangerous place", "messages", "what befell them", "most of them also")
_ALSO_MOST = 3


def places(document: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each dangerous place that messages came to, the most visited first: its name, how many did, what that
    is, and which other places they came to as well."""
    reached = document["reached"]
    for name in sorted(reached, key=lambda name: (-reached[name]["messages"], name)):
        if messages := reached[name]["messages"]:
            also = sorted(reached[name].get("with", {}).items(), key=lambda item: (-item[1], item[0]))
            told = ", ".join(f"{n:,} {other}" for other, n in also[:_ALSO_MOST])
            yield [name, f"{messages:,}", PLACES[name].summary, told]


def never_reached(document: Mapping[str, Any]) -> list[str]:
    """The dangerous places that a message could have come to, and none did."""
    return [name for name, told in document["reached"].items() if not told["messages"]]


def _reached(document: Mapping[str, Any]) -> str:
    came = [f"{name} {messages}" for name, messages, *_ in places(document)]
    never = never_reached(document)
    told = f"; never: {', '.join(never)}" if came and never else ""
    return f"dangerous places reached, in messages: {', '.join(came) or 'none'}{told}"


def cause_summary(cause: str) -> str:
    """What a cause is, in a sentence."""
    return _UNTOLD if cause == UNTOLD else CAUSES[cause].summary


def _why(document: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in CAUSE_COLUMNS[:2]:
        table.add_column(column, no_wrap=True)
    table.add_column(CAUSE_COLUMNS[2], justify="right")
    for column in CAUSE_COLUMNS[3:]:
        table.add_column(column)
    before = None
    for what, cause, *told in causes(document):
        table.add_row("" if what == before else what, Text(cause, style="bold"), *told)
        before = what
    return table


def cause_of(example: Mapping[str, Any]) -> str:
    """Why it happened to this message, where that is known: the cause, what contributed, and the faults at work."""
    at_work = str(example["cause"])
    if (why := example.get("why")) is None:
        return at_work
    excess = f", by {_seconds(why['excess_s'])}" if "excess_s" in why else ""
    fault = f", by fault {why['fault']}" if "fault" in why else ""
    others = f" Also: {', '.join(why['others'])}." if "others" in why else ""
    return f"{why['cause']}{fault}{excess}. {cause_summary(why['cause'])}{others} At work: {at_work}"


def kinds_of(entry: Mapping[str, Any]) -> Iterator[str]:
    """How many there are of each note. A word for the judge that all of them share says nothing to a person."""
    notes = entry.get("notes", {})
    shared = len(notes) == 1 and sum(notes.values()) == entry["count"]
    if not (shared and notes.keys() <= _NOTES.keys()):
        yield from (f"{count:,}: {_NOTES.get(note, note)}" for note, count in notes.items())


def judged_by(document: Mapping[str, Any], anomaly: str) -> str:
    """The claims of this run that it speaks against; where there are none, those that could have been claimed."""
    if anomaly == "vacuous":
        return "every claim"
    # What is not proven to be lost violates nothing, and leaves unknown whoever asks about losses.
    asked = "lost" if anomaly == "unseen" else anomaly
    judging = [_name(claim) for claim in document["claims"] if asked in claim["anomalies"]]
    if judging:
        return ", ".join(judging)
    promised = [Subscription(**subscription) for subscription in document["subscriptions"].values()]
    rules = {name: rule for name, rule in RULES.items() if rule.of_the_load or any(map(rule.covers, promised))}
    able = [name for name, rule in rules.items() if asked in rule.violated_by]
    able += [f"{name} (strict)" for name, rule in rules.items() if asked in rule.strict_adds]
    return f"not claimed: {', '.join(able)}" if able else "legal" if CHECKS[anomaly].legal else "no claim"


def worth_showing(document: Mapping[str, Any]) -> Iterator[str]:
    """The anomalies whose examples are worth the screen: those of violated claims first, then the losses for which a
    claim is unknown."""
    names: dict[str, None] = {}
    for ruling in ("violated", "unknown"):
        for claim in document["claims"]:
            if claim["verdict"] == ruling:
                # `unseen` violates nothing, but is why a claim that asks about losses is unknown.
                unseen = ["unseen"] if "lost" in claim["anomalies"] else []
                names |= dict.fromkeys([*claim["anomalies"], *unseen])
    yield from (name for name in names if document["anomalies"][name]["count"])


def _examples(name: str, entry: Mapping[str, Any], console: Console) -> None:
    for example in entry["examples"]:
        where = f" on {example['subscription']}" if example.get("subscription") else ""
        kind = example.get("note") if list(kinds_of(entry)) else None
        note = f" ({_NOTES.get(kind, kind)})" if kind else ""
        other = f", and message {example['other']['id']}" if "other" in example else ""
        told = f": message {example['id']}{where}{note}{other}. Cause: {cause_of(example)}"
        console.print(Text.assemble((name, "bold red"), told))
        timeline = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        timeline.add_column(justify="right", no_wrap=True)
        for _ in range(2):
            timeline.add_column(no_wrap=True)
        timeline.add_column()
        start = next((event["at"] for event in example["timeline"] if event["event"] != "fault"), 0)
        for event in example["timeline"]:
            timeline.add_row(f"{(event['at'] - start) / 1e9:+.3f} s", *record_line(event, example.get("subscription")))
        console.print(Padding(timeline, (0, 0, 1, 2)))
    shown = len({(example["id"], example.get("subscription")) for example in entry["examples"]})
    if entry["count"] > shown:
        console.print(f"{shown} shown of {entry['count']:,} {name}\n")


def record_line(event: Mapping[str, Any], subscription: str | None) -> tuple[str, str, str]:
    """What happened, who did it, and what the record says of it but for the `subscription` of the headline."""
    if event["event"] == "fault":
        return f"fault {event['phase']}", ", ".join(event.get("targets", ())), event.get("label") or event["fault"]
    told = {key: event[key] for key in _DETAILS if key in event}
    if told.get("subscription") == subscription:
        told.pop("subscription", None)
    details = " ".join(f"{key}={_shown(value)}" for key, value in told.items())
    # The records of the message that it suffered from stand among its own.
    whose = f"{event['id']}: " if "id" in event else ""
    side = f"  ◂ {_SIDES[event['side']]}" if "side" in event else ""
    return event["event"], event.get("consumer") or event.get("producer") or "", whose + details + side


def _damage(damage: Mapping[str, Any]) -> str:
    where = f"{damage['file']}:{damage['line']}" if damage["line"] else damage["file"]
    return f"{where}: {damage['why']}"


def amounts(document: Mapping[str, Any]) -> str:
    """How many messages there were, which every count above is to be read beside."""
    totals = document["totals"]
    sent = [] if totals["scheduled"] is None else [f"{totals['scheduled']:,} scheduled"]
    sent.append(f"{totals['intended']:,} attempted, {totals['acked']:,} accepted")
    sent += [f"{totals[key]:,} {words}" for key, words in _NOT_ACCEPTED.items() if totals[key]]
    told = [f"messages: {', '.join(sent)}"]
    for name, total in totals["subscriptions"].items():
        dead = f", {total['dead']:,} dead" if total["dead"] else ""
        told.append(f"{name}: {total['received']:,} of {total['expected']:,} received{dead}")
    return "; ".join(told)


# For a CI server


def junit(document: Mapping[str, Any]) -> str:
    """One test case per claim: violated is a failure, unknown is an error.

    Names stay the same from run to run, so that a CI server can follow a claim: the suite and the class are the
    scenario, the case is the claim. All claims are judged by one run, whose length is the suite's; a case takes no time
    of its own.
    """
    claims = document["claims"]
    scenario = f"gameday.{document['scenario'] or document['run']}"
    told = {
        "tests": str(len(claims)),
        "failures": str(sum(c["verdict"] == "violated" for c in claims)),
        "errors": str(sum(c["verdict"] == "unknown" for c in claims)),
        "time": f"{document['duration_s']:.3f}",
    }
    root = xml.Element("testsuites", {"name": "gameday"} | told)
    told |= {"skipped": "0", "timestamp": _timestamp(document)}
    suite = xml.SubElement(root, "testsuite", {"name": scenario} | told)
    properties = xml.SubElement(suite, "properties")
    for key in ("run", "scenario", "seed", "target", "version", "verdict"):
        if document[key] is not None:
            xml.SubElement(properties, "property", name=key, value=str(document[key]))
    for claim in claims:
        name = _name(claim)
        case = xml.SubElement(suite, "testcase", classname=scenario, name=name, time="0.000")
        _outcome(case, document, claim)
    xml.SubElement(suite, "system-out").text = "\n".join([amounts(document), *_notes(document)])
    for element in root.iter():
        element.text = element.text and _NOT_IN_XML.sub("\ufffd", element.text)
        element.attrib |= {key: _NOT_IN_XML.sub("\ufffd", value) for key, value in element.attrib.items()}
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode")


def _outcome(case: xml.Element, document: Mapping[str, Any], claim: Mapping[str, Any]) -> None:
    head = f"{title_of(claim)}: {CLAIM_TEXTS[claim['claim']].summary}"
    told = evidence_of(document, claim, claim["why"])
    notes = _notes(document, claim["key"])
    if claim["verdict"] == "holds":
        text = [head, f"checked {claim['checked']:,}: {', '.join(told)}", *notes]
        xml.SubElement(case, "system-out").text = "\n".join(text)
    else:
        kind = "failure" if claim["verdict"] == "violated" else "error"
        message = f"{title_of(claim)} is {claim['verdict']}: {'; '.join(told)}"
        evidence = _evidence(document, worth_showing({**document, "claims": [claim]}))
        element = xml.SubElement(case, kind, type=claim["verdict"], message=message)
        element.text = "\n".join([head, f"checked {claim['checked']:,}", *told, *notes, "", evidence]).rstrip()


def _timestamp(document: Mapping[str, Any]) -> str:
    """When the run began, in UTC and without a zone, as the schemas of JUnit ask."""
    return datetime.fromtimestamp((document["started"] or 0) // 10**9, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _notes(document: Mapping[str, Any], claim: str | None = None) -> list[str]:
    """The notes beside a claim, or those that stand beside none."""
    return [note["text"] for note in document["notes"] if (claim in note["claims"] if claim else not note["claims"])]


def _evidence(document: Mapping[str, Any], anomalies: Iterable[str]) -> str:
    """The examples of these anomalies as plain text."""
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        for anomaly in anomalies:
            _examples(anomaly, document["anomalies"][anomaly], console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


# For a page of a CI server


def summary(document: Mapping[str, Any]) -> str:
    """Markdown: the verdict first, the claims, how much there was, the worst example, what the target cannot show."""
    told = [f"{key} {document[key]}" for key in ("scenario", "run", "seed", "target") if document[key] is not None]
    lines = [f"## gameday: {_SIGNS[document['verdict']]} {document['verdict']}", ""]
    lines += [escaped(f"{', '.join(told)}; it lasted {document['duration_s']:.0f} s"), ""]
    rows = [
        [
            title_of(claim),
            f"{_SIGNS[claim['verdict']]} {claim['verdict']}",
            f"{claim['checked']:,}",
            _because(document, claim),
        ]
        for claim in document["claims"]
    ]
    lines += [*markdown.table(("claim", "verdict", "checked", "on what evidence"), rows), ""]
    found = {name: entry["count"] for name, entry in document["anomalies"].items() if entry["count"]}
    if found:
        counts = [
            [name, f"{count:,}", CHECKS[name].summary, judged_by(document, name)] for name, count in found.items()
        ]
        lines += [*markdown.table(("found", "count", "what it is", "judged by"), counts), ""]
    if why := list(causes(document)):
        lines += [*markdown.table(CAUSE_COLUMNS, why), ""]
    lines += _worst(document)
    lines += [escaped(amounts(document)), ""]
    if document["reached"]:
        lines += [escaped(_reached(document)), ""]
    rows = [[s, *(_seconds(latency[q]) for q in ("p50", "p99", "max"))] for s, latency in document["latency_s"].items()]
    if rows:
        lines += [*markdown.table(("latency, from due to received", "p50", "p99", "max"), rows), ""]
    if waits := list(tenants(document)):
        lines += [*markdown.table(TENANTS, waits), ""]
    if (started := executions(document)) is not None:
        lines += [escaped(started), "", *markdown.table(STEPS, list(steps(document))), ""]
    if times := list(execution_times(document)):
        lines += [*markdown.table(("how long it took", "p50", "p99", "max"), times), ""]
    remarks = [f"- {escaped(note)}" for note in _notes_of_all(document)]
    remarks += [
        f"- damaged: {escaped(damage)}" for damage in _some([*map(_damage, document["damaged"])], _DAMAGES_MOST)
    ]
    lines += [*remarks, ""] if remarks else []
    lines.append(f"The target cannot show: {escaped('; '.join(cannot_show(document['target'])))}.")
    return "\n".join([*lines, "", ""])


def _because(document: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    return "; ".join(evidence_of(document, claim, _some(claim["why"], _WHY_MOST)))


def _worst(document: Mapping[str, Any]) -> Iterator[str]:
    """The first example of the first anomaly that explains the verdict."""
    for name in worth_showing(document):
        entry = document["anomalies"][name]
        if entry["examples"]:
            example = entry["examples"][0]
            where = f" on {example['subscription']}" if example.get("subscription") else ""
            title = f"{name}: message {example['id']}{where}, one of {entry['count']:,}"
            alone = {"anomalies": {name: {**entry, "count": 1, "examples": [example]}}}
            yield from [*markdown.collapsed(title, _evidence(alone, [name]).rstrip()), ""]
            return


def _notes_of_all(document: Mapping[str, Any]) -> Iterator[str]:
    for note in document["notes"]:
        yield f"{', '.join(note['claims'])}: {note['text']}" if note["claims"] else note["text"]


# For all of them


def evidence_of(document: Mapping[str, Any], claim: Mapping[str, Any], why: Sequence[str]) -> list[str]:
    """What a claim's verdict rests on, in a few words each, with these of its reasons."""
    told = [_bound(claim)] if claim["verdict"] == "holds" else []
    told += why
    told += [_anomaly(document, name, count) for name, count in claim["anomalies"].items() if count]
    redelivered = document["anomalies"]["redelivery"]["count"]
    if claim["claim"] == "exactly-once-delivery" and redelivered:
        told.append(f"{redelivered:,} redeliveries, which at-least-once allows")
    dead = sum(total["dead"] for total in document["totals"]["subscriptions"].values())
    if claim["claim"] == "no-loss" and dead:
        told.append(f"{dead:,} among the dead letters")
    return _left_out(claim, told)


def _left_out(claim: Mapping[str, Any], told: list[str]) -> list[str]:
    """Beside `told`, what the claim did not look at; in front of it where that is more than half of all there was."""
    left_out = [f"{count:,} left out {why}" for why, count in claim.get("left_out", {}).items() if count]
    if left_out and "grace_s" in claim.get("bounds", {}):
        left_out[-1] += f" (grace {claim['bounds']['grace_s']:g} s)"
    covers = claim.get("covers", 0)
    if 2 * claim["checked"] < covers:
        return [
            ": ".join([f"looked at {claim['checked']:,} of {covers:,}", *filter(None, [", ".join(left_out)])]),
            *told,
        ]
    return [*told, *left_out]


def _bound(claim: Mapping[str, Any]) -> str:
    rate = claim["rate_upper_95"]
    # With three cases or fewer the bound says nothing.
    return f"no violation; rate < {rate:.2g} (95 %)" if rate is not None and rate < 1 else "no violation"


def _name(claim: Mapping[str, Any]) -> str:
    """What a claim is known by: `lag` and `lag during faults` are two."""
    return str(claim["key"])


def title_of(claim: Mapping[str, Any]) -> str:
    """Its name with its bounds."""
    bounds = [
        name if value is True else f"{name.removesuffix('_s')} {value:g}{' s' * name.endswith('_s')}"
        for name, value in claim.get("bounds", {}).items()
        if value is not False and name != "during"
    ]
    return f"{_name(claim)} ({', '.join(bounds)})" if bounds else _name(claim)


def _anomaly(document: Mapping[str, Any], name: str, count: int) -> str:
    settle_s = max((s["settle_s"] for s in document["subscriptions"].values()), default=0)
    later = f", or later than {settle_s:g} s" if name == "lost" and settle_s else ""
    return f"{count:,} {name}{later}"


def _some(texts: Sequence[str], most: int) -> list[str]:
    """The first `most` of them, and how many more there are."""
    return [*texts[:most], *([f"and {len(texts) - most:,} more"] if len(texts) > most else [])]


def _shown(value: object) -> object:
    return ",".join(map(str, value)) or "nobody" if isinstance(value, list) else value


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
