"""Writes from the registries what the documents say of them, so that they cannot tell anything but what the code does.

docs/claims.md, docs/causes.md and docs/faults.md are written whole. In other pages it is what stands between
`<!-- NAME -->` and `<!-- /NAME -->`.

python scripts/generate_docs.py            write it
python scripts/generate_docs.py --check    exit code 1 if it is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from gameday.chaos.base import Entry
from gameday.chaos.base import units as fault_units
from gameday.chaos.registry import FAULTS
from gameday.conformance.base import rule
from gameday.conformance.registry import PROBES
from gameday.consumers import meters as consumer
from gameday.consumers.guards import GUARDS
from gameday.history.claim_texts import CLAIM_TEXTS, ClaimText
from gameday.history.manifest import ALIASES, BOUNDS, Subscription
from gameday.history.schema import EVENTS, MARKS, OUR_MARKS, RecordKind
from gameday.loadgen import meters as load
from gameday.loadgen.shapes import SHAPES, Shape
from gameday.loadgen.shapes import units as shape_units
from gameday.loadgen.templates import PLACEHOLDERS
from gameday.processes.exposition import Family
from gameday.scenario import model, rates
from gameday.scenario import reading as scenario
from gameday.scenario.catalogue import catalogue
from gameday.scenario.claims import short_bound
from gameday.targets.products import LOCALSTACK, MEMORY, MINISTACK, MOTO
from gameday.transports.carriers import calls
from gameday.transports.registry import TRANSPORTS
from gameday.verify.claims import RULES, Rule
from gameday.verify.explaining import KIND_OF
from gameday.verify.registry import CAUSES, CHECKS, KINDS, PLACES
from gameday.watch import metrics as observed

ROOT = Path(__file__).resolve().parent.parent
# By the mark on the page.
_METRICS: Mapping[str, Iterable[Family]] = {
    "observer": [shown.family for shown in observed.METRICS],
    "consumer": consumer.FAMILIES,
    "load": load.FAMILIES,
    "calls": calls.FAMILIES,
}
# What a claim may speak of, each tried on its rule with a subscription that is nothing else.
_COVERED: Mapping[str, Subscription] = {
    "ordered by group": Subscription(ordered_by="group"),
    "ordered by partition": Subscription(ordered_by="partition"),
    "with a filter": Subscription(filtered=True),
    "with a dead-letter queue": Subscription(dead_letter=True),
}
# Where functions are invoked: the first of these that a rule covers, if it covers none of the above.
_COVERED_OF_FUNCTIONS: Mapping[str, Subscription] = {
    "settled by the service": Subscription(settled_by="service"),
    "settled by the service, and ordered": Subscription(settled_by="service", ordered_by="group"),
    "queues that deduplicate, with functions": Subscription(invocations="all", dedup_window_s=300),
    "with a dead-letter queue, and functions": Subscription(invocations="all", dead_letter=True, max_receives=3),
}
# How to read a verdict, for somebody who has not read the record format.
_READING = """\
A row of the verdict names a claim, what became of it, over how many cases, and on what evidence.

- **checked** is how many cases the claim looked at: messages per subscription for most claims, receives for
  `no-phantom`, poison messages for `dead-letter`, faults for `recovery`. A claim that covers more cases than it looked
  at says how many it left out and why; where it looked at less than half, that comes first.
- **no violation; rate < 0.0014 (95 %)**: in 2,210 cases nothing was broken. That does not prove that it never happens.
  If it happened in one case of 700 or more often, a run of this size would have shown it with a probability of 95 %, so
  the true rate is probably below 3/`checked`. A run with more messages gives a smaller number. The cases that one fault
  strikes are not independent of each other, so take it as an order of magnitude.
- **29 redeliveries, which at-least-once allows**: `exactly-once-delivery` *holds with redeliveries*. The same message
  was received again because its visibility timeout ran out. Every queue does that; the consumer has to cope, and
  `exactly-once-effect` says whether it did.
- **27 among the dead letters**, beside `no-loss`: a message that ended in the dead-letter queue is not lost.
  `dead-letter` says whether it should be there.
- **unknown** is neither good nor bad: something was not looked at. The reasons stand below the table. In CI it is an
  error (exit code 3), never green.

The table *why* says why it happened: [causes.md](causes.md).

The table *found* counts everything that was noticed. *judged by* names the claims of this run that it speaks against;
*not claimed* names claims that would, had they been claimed; *legal* is what AWS allows. Some that need a word:

- **redelivery**: the message was received again, after its visibility timeout. Legal. Many of them mean that consumers
  die, or that the work takes longer than the visibility timeout.
- **unrecorded-receive**: the service counts a receive that no consumer wrote down: the answer was lost on its way, or
  the consumer died before it could write. Legal.
- **stale-delete**: a consumer deleted a message so late that its visibility timeout had run out before. By then another
  consumer may have had the message, so the work may have been done twice. It violates no claim by itself; if an effect
  was applied twice, `exactly-once-effect` says so. It is a sign that the work takes too long: choose a longer
  visibility timeout, or let the consumer extend it while it works (`consumers.heartbeat`).
- **stale-checkpoint**: the same on a stream: a consumer that had lost its shard wrote a checkpoint behind that of its
  successor. Records between the two are read again after the next restart.
- **recovered**: no attempt to send the message is known to have worked, and yet it was received: the answer was lost,
  not the message. Legal.
- **collateral-dead**: a healthy message died although no handler ever failed it: its visibility timeout ran out too
  often, or it was released together with a message that failed.
- **dlq-gap**: messages of a group went on after one of them had died. That is what a dead-letter queue on a FIFO queue
  does; whoever needs every message of a group in order claims `{claim: ordered-per-group, strict: true}`.
- **unidentified**: what was received does not say which message it is, and no answer to a send names it: the send was
  perhaps never answered. It may be anybody's, so no claim about that subscription holds, and nobody is blamed for what
  it could excuse.
- **unseen**: like `lost`, but not proven: nobody saw the queue empty, so the message may still be there.
- **vacuous**: why the run proves nothing, such as a fault that never struck. Every claim is then unknown.
"""
_TOO_CLOSE = "messages of a group recorded by different writers closer together than their clocks may differ"
_LEFT_OPEN = {
    "early-redelivery": "a redelivery whose receives nothing counts, or too close to the end of its visibility timeout "
    "for the clocks",
    "nonmonotonic-delivery": _TOO_CLOSE,
    "effect-out-of-order": _TOO_CLOSE,
    "over-received": "a receive without a count",
    "premature-death": "a death with too few invocations on record, where functions record themselves",
    "discarded": "a message is gone that no invocation is known to have done, and one gave no answer",
    "replay-missing": "a function may have had a message from the replay, and did not record where it came from",
}


def page() -> str:
    return "\n".join(
        [
            "# Catalogue: claims, anomalies, and what can stand in a scenario",
            "",
            "<!-- Generated from the registries by scripts/generate_docs.py; change the registries, not this page. -->",
            "",
            "Definitions to the letter are in [history.md](history.md). This page lists what is registered, and says "
            "in plain words what the [claims](#claims) mean and how to [read a verdict](#reading-a-verdict).",
            "",
            *_claims(),
            *_anomalies(),
            *_causes(),
            *_places(),
            *_faults(),
            *_shapes(),
            *_listed("Transports", "transports", "promises", "`gameday/transports/registry.py`"),
            *_listed("Handlers", "handlers", "what it does", "`consumers/handlers.py`"),
            *_guards(),
        ]
    )


# What each kind of subject is, for somebody who has not read the record format; {} are the anomalies that are of it.
_KINDS: Mapping[str, str] = {
    "redelivery": "Each receive of a copy that had been received before. It followed a *hold*, the receive before it: "
    "by the broker's count of receives where that tells, else by time. The cause is why that hold ended without a "
    "delete.",
    "duplicate": "Each copy of a message beyond the first: {}.",
    "loss": "Each message that did not come, or is nowhere: {}.",
    "overtake": "Each message that came, or had its effect, out of its order: {}.",
    "effect-missing": "Each message whose effect is missing: {}. One that did not come has the causes of its loss.",
    "effect-duplicate": "Each time that an effect was applied once more. It has the causes of the receive that "
    "brought it.",
    "dead-letter": "Each dead letter, a poison message's too. Of the causes that brought it back again and again, and "
    "of the last hold's, it has the most frequent.",
}
_CAUSES = """\
A verdict says of each redelivery, duplicate, loss, overtake, missing or doubled effect and dead letter why it happened:
the table *why*, `causes` in [verdict.json](history.md#verdictjson), and the first words of each example's cause. Every
cause is told from the records of the run alone. One is named only where records prove it; where they do not, it is
`untold`. Where several are proven, the first in the order below is the cause, and the others contribute. A fault is
counted beside a cause only where the records prove that it struck just that: it names the consumer, and was at work at
that moment. No verdict rests on a cause.

A *hold* is one receive on a queue: the message is hidden until its visibility timeout ends. Its ends are those of
[history.md](history.md#words). *After* means by more than clocks may differ. A cause of a stream's redelivery asks the
same of what its reader did.
"""


def causes_page() -> str:
    lines = [
        "# Causes: why it happened, what proves it, what to do",
        "",
        "<!-- Generated from gameday/verify/causes/ by scripts/generate_docs.py; change those files, not this page. "
        "-->",
        "",
        _CAUSES,
    ]
    for kind in KINDS:
        anomalies = ", ".join(f"`{anomaly}`" for anomaly, of in KIND_OF.items() if of == kind)
        lines += [f"## {kind}", "", _KINDS[kind].format(anomalies), ""]
        lines += [
            f"{n}. [`{c.name}`](#{c.name})" for n, c in enumerate((c for c in CAUSES.values() if kind in c.of), 1)
        ]
        lines.append("")
    lines += ["## The causes", ""]
    for cause in CAUSES.values():
        of = ", ".join(cause.of)
        path = f"../gameday/verify/causes/{cause.number:02}_{cause.name.replace('-', '_')}.sql"
        lines += [f"### {cause.name}", "", f"{cause.summary} ([query]({path}))", ""]
        lines += [f"- **Of:** {of}", f"- **Proof:** {cause.proof}", f"- **What to do:** {cause.action}", ""]
    lines += [
        "### untold",
        "",
        "The history does not tell: no cause is proven by its records.",
        "",
        "- **What to do:** record more of what consumers do: `effect`, both records of each settling call, and "
        "`consumer-exited` marks ([history.md](history.md#events)). A process that was killed and of which nothing "
        "says "
        "so looks like one that never finished.",
    ]
    return "\n".join([*lines, ""])


_FAULTS = """\
What each fault is for: somebody whom it must catch. Each row stands for whole runs in which the fault strikes: with who
is correct every claim holds; with who is broken the claim in the row is violated, and the verdict names the cause in
the row. The two differ by nothing but the settings that are shown, as `--set` of `gameday run` takes them.

`python -m tests.chaos.proven NAME` repeats a row on the broker in memory, with `--times 10` ten times, each with a seed
of its own; without a name it repeats all. It prints a line for each run, keeps the directory of each that came out
otherwise, and ends with 1 if one did. The scenarios stand in [tests/chaos/proofs.py](../tests/chaos/proofs.py). What
proves a cause, and what to do about it: [causes.md](causes.md). Where none is named, what was found is of no kind that
has causes: it says by itself what went wrong. What the entry of a fault may say: [claims.md](claims.md#faults).
"""


def faults_page() -> str:
    # The table stands with the tests, which are not installed: a script finds them nowhere by itself.
    sys.path.append(str(ROOT))
    from tests.chaos.proofs import PROOFS, Elsewhere

    rows = []
    for name, fault in FAULTS.items():
        does, proof = (fault.__doc__ or "").strip(), PROOFS[name]
        if isinstance(proof, Elsewhere):
            rows.append((f"`{name}`", does, f"{proof.why}: [{Path(proof.test).name}](../{proof.test})", "", ""))
            continue
        settings = ", ".join(f"`{each}`" for each in proof.broken)
        found = f" (`{proof.anomaly}`)" if proof.anomaly else ""
        causes = ", ".join(f"[`{cause}`](causes.md#{cause})" for cause in proof.causes.values())
        rows.append((f"`{name}`", does, f"{proof.who}: {settings}", f"`{proof.violates}`{found}", causes))
    head = ("fault", "what it does", "who is caught", "claim that is violated", "cause that is named")
    return "\n".join(
        [
            "# Faults: whom each catches",
            "",
            "<!-- Generated from tests/chaos/proofs.py by scripts/generate_docs.py; change that file, not this page. "
            "-->",
            "",
            _FAULTS,
            *_table(head, rows),
        ]
    )


def _claims() -> Iterator[str]:
    timeless = [f"`{name}`" for name in BOUNDS if name in RULES and RULES[name].timeless]
    unheard = [f"`{name}`" for name in BOUNDS if name in RULES and not RULES[name].rests_on_receives]
    yield "## Claims"
    yield ""
    yield (
        "A claim ends `holds`, `violated` or `unknown`. The table says when each is unknown. Besides, a claim that is "
        "not violated is unknown when the run is `vacuous`, when there was nothing to check on a subscription that it "
        "covers, and when a record there cannot be told its message (`unidentified`). Where nobody records receives "
        f"(`seen_from: nobody`), only {', '.join(unheard[:-1])} and {unheard[-1]} can be judged. When the history is "
        "damaged, every claim is unknown; when its records contradict the clock error "
        f"that the manifest declares, every claim but {' and '.join(timeless)}. Registered in "
        "`gameday/verify/claims.py`."
    )
    yield ""
    aliases = {name: alias for alias, name in ALIASES.items()}
    rows = []
    for name, bounds in BOUNDS.items():
        title = f"`{name}`" + (f" (alias `{aliases[name]}`)" if name in aliases else "")
        given = ", ".join(f"`{short_bound(bound)}`" for bound in bounds)
        rule = RULES.get(name)
        rows.append((title, given, *(_ruled(rule) if rule else _timed(name))))
    yield from _table(("claim", "bounds", "covers", "violated by", "unknown when"), rows)
    yield "### Reading a verdict"
    yield ""
    yield _READING
    for name in BOUNDS:
        yield from _in_words(name, CLAIM_TEXTS[name])


def _in_words(name: str, text: ClaimText) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield text.summary
    yield ""
    for head, told in (("Means", text.means), ("Unknown when", text.unknown), ("What to do", text.action)):
        yield f"- **{head}:** {told}"
    yield ""


def _ruled(rule: Rule) -> tuple[str, str, str]:
    covers = [words for words, subscription in _COVERED.items() if rule.covers(subscription)]
    covers = covers or [words for words, promise in _COVERED_OF_FUNCTIONS.items() if rule.covers(promise)][:1]
    everything = rule.covers(Subscription())
    if rule.of_the_load:
        covers = ["the load"]
    violated = ", ".join(f"`{anomaly}`" for anomaly in rule.violated_by)
    if rule.strict_adds:
        violated += "; `strict: true` adds " + ", ".join(f"`{anomaly}`" for anomaly in rule.strict_adds)
    unknown = [requirement.unknown_when for requirement in rule.requires]
    unknown += [why for anomaly, why in _LEFT_OPEN.items() if anomaly in rule.violated_by]
    return "every subscription" if everything else ", ".join(covers), violated, "; ".join(unknown)


def _timed(name: str) -> tuple[str, str, str]:
    where = f"[below](#{name})"
    return "every subscription", f"its bounds: {where}", f"too little to tell: {where}"


def _anomalies() -> Iterator[str]:
    yield "## Anomalies"
    yield ""
    yield (
        "Each is one query, `gameday/verify/checks/NAME.sql`, registered in `gameday/verify/registry.py`. A "
        "*legal* one is something that AWS allows: it is counted and explained, and violates nothing."
    )
    yield ""
    rows = []
    for name, check in CHECKS.items():
        breaks = [claim for claim, rule in RULES.items() if name in rule.violated_by]
        strict = [claim for claim, rule in RULES.items() if name in rule.strict_adds]
        violates = [*(f"`{claim}`" for claim in breaks), *(f"`{claim}` if strict" for claim in strict)]
        path = f"../gameday/verify/checks/{name.replace('-', '_')}.sql"
        nothing = "legal" if check.legal else "no claim of its own"
        rows.append((f"[`{name}`]({path})", check.summary, ", ".join(violates) or nothing))
    yield from _table(("anomaly", "found when", "violates"), rows)


def _causes() -> Iterator[str]:
    yield "## Causes"
    yield ""
    yield (
        "Why what was found happened, as far as the records prove it; what proves each, and what to do: "
        "[causes.md](causes.md). Each is one query, `gameday/verify/causes/NN_NAME.sql`; of several that are proven "
        "the one "
        "with the lowest number is the cause."
    )
    yield ""
    rows = [
        (f"[`{cause.name}`](causes.md#{cause.name})", cause.summary, ", ".join(cause.of)) for cause in CAUSES.values()
    ]
    yield from _table(("cause", "what it is", "of"), rows)


def _places() -> Iterator[str]:
    yield "## Dangerous places"
    yield ""
    yield (
        "What befell messages, and may break a consumer that is not ready for it: `reached` in "
        "[verdict.json](history.md#verdictjson) says how many came to each. A claim that held where nothing was ever "
        "in danger says little. Each is one query, `gameday/verify/places/NAME.sql`."
    )
    yield ""
    rows = [
        (
            f"[`{place.name}`](../gameday/verify/places/{place.name.replace('-', '_')}.sql)",
            place.summary,
            ", ".join(place.on) + (", where effects are told" if place.needs_effects else ""),
        )
        for place in PLACES.values()
    ]
    yield from _table(("place", "what befell the message", "on"), rows)


def _faults() -> Iterator[str]:
    yield "## Faults"
    yield ""
    yield (
        "An entry of a scenario's `chaos` list, registered in `chaos/registry.py`. All take `at` (strike once, so long "
        "after the load began), or `every` with `jitter` and `until` (again and again; first at `at`, or after one "
        "`every`). What these and the common keys mean: [scenario.md](scenario.md#faults)."
    )
    yield ""
    rows = [
        (f"`{name}`", (fault.__doc__ or "").strip(), _keys(fault, fault_units(fault), {"fault", *Entry.model_fields}))
        for name, fault in FAULTS.items()
    ]
    yield from _table(("fault", "what it does", "keys of its own"), rows)


def _shapes() -> Iterator[str]:
    yield "## Load shapes"
    yield ""
    yield "The value of `load.shape`, registered in `loadgen/shapes.py`. All take `rate` and `duration`."
    yield ""
    rows = [
        (f"`{name}`", (shape.__doc__ or "").strip(), _keys(shape, shape_units(shape), set(Shape.model_fields)))
        for name, shape in SHAPES.items()
    ]
    yield from _table(("shape", "what it does", "keys of its own"), rows)


def _guards() -> Iterator[str]:
    """Where each guard breaks is what they are there to show."""
    yield "## Guards"
    yield ""
    yield "The value of `consumers.guard`: what stands around an effect. Registered in `consumers/guards.py`."
    yield ""
    yield from _table(("guard", "breaks"), [(name, guard.breaks) for name, guard in GUARDS.items()])


def _listed(title: str, what: str, column: str, where: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"Registered in {where}."
    yield ""
    yield from _table((what.removesuffix("s"), column), [(f"`{name}`", told) for name, told in catalogue(what)])


def _keys(model: type[BaseModel], units: Mapping[str, str], without: set[str]) -> str:
    """The keys that a scenario writes, each with what kind of number it is, and its default or `required`."""
    told = []
    for name, field in model.model_fields.items():
        if name in without:
            continue
        key = field.alias or name
        kind = units.get(key, "").replace("-", " ")
        choices = " | ".join(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ""
        needed = "required" if field.is_required() else _default(field.default, kind)
        inside = ", ".join(filter(None, [kind, choices, needed]))
        told.append(f"`{key}`" + (f" ({inside})" if inside else ""))
    return ", ".join(told)


def _default(value: object, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"default {str(value).lower()}"
    # An integer counts, and a float is a share.
    share = "share" in kind and isinstance(value, float)
    return f"default {value:.0%}" if share else f"default {value:g}" if isinstance(value, float) else f"default {value}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _refusals() -> str:
    """Which scenario which target refuses, and why."""
    rows = []
    for name in scenario.names():
        read = scenario.load(scenario.find(name))
        whys = []
        for product in (MINISTACK, LOCALSTACK, MOTO, MEMORY):
            gaps = product.gaps_of(TRANSPORTS[read.transport])
            whys.append("; ".join(gaps[need] for need in model.needs_of(read) if need in gaps))
        if any(whys):
            rows.append((f"`{name}`", *(f"refused: {why}" if why else "runs" for why in whys)))
    head = ("refused scenario", "`embedded` (MiniStack)", "LocalStack 4.14", "moto", "`memory`")
    return "\n" + "\n".join(_table(head, rows))


def _rates() -> str:
    """What targets, and our own processes, have been seen to do."""
    rows = [
        (f"{product}: {service}", _per_s(seen), seen.how, seen.source)
        for (product, service), seen in rates.SEEN.items()
    ]
    for who, ours in (("one process of load", rates.PRODUCER), ("one consumer of ours", rates.CONSUMER)):
        rows += [
            (f"{who}, {'ordered' if ordered else 'unordered'}", _per_s(each), each.how, each.source)
            for ordered, each in ours.items()
        ]
    return "\n".join(_table(("who", "messages a second", "seen", "source"), rows)).rstrip("\n") + "\n"


def _per_s(seen: rates.Seen) -> str:
    calls = "" if seen.calls_per_s is None else f", and {seen.calls_per_s:g} calls"
    return f"{seen.per_s:,.0f}{calls}"


def _scenarios() -> str:
    """What each scenario must come to: those that hold first, and pipeline by pipeline."""
    read = [scenario.load(scenario.find(name)) for name in scenario.names()]
    if missing := [each.name for each in read if each.expect is None]:
        raise SystemExit(f"{', '.join(missing)} does not say what verdict it expects; add `expect`")
    pipelines = list(TRANSPORTS)
    rows = [
        (
            f"[`{each.name}`](scenarios/{each.name}.yaml)",
            expect.verdict,
            ", ".join(claim for claim, ruling in expect.claims.items() if ruling == "violated"),
            ", ".join(expect.anomalies),
        )
        for each in sorted(read, key=lambda each: (pipelines.index(each.transport), each.name))
        if (expect := each.expect) is not None
    ]
    rows.sort(key=lambda row: row[1] != "holds")
    return "\n" + "\n".join(_table(("scenario", "verdict", "claims violated", "must be found"), rows))


def _rules() -> str:
    rows = [
        (f"`{service}`", f"`{name}`", rule(probe))
        for service, probes in PROBES.items()
        for name, probe in probes.items()
    ]
    return "\n".join(_table(("service", "probe", "rule"), rows)).rstrip("\n") + "\n"


def _between(text: str, name: str, content: str) -> str:
    """Errors: ValueError when the page has no such marks."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, content_and_after = text.split(begin)
    _, after = content_and_after.split(end)
    return before + begin + content + end + after


def _records(head: Sequence[str], kinds: Mapping[str, RecordKind]) -> str:
    """The events or marks of the record format, each with its fields and what it says."""
    rows = [(f"`{name}`", ", ".join(_fields(kind)), kind.told) for name, kind in kinds.items()]
    return "\n".join(_table(head, rows)).rstrip("\n") + "\n"


def _families(families: Iterable[Family]) -> str:
    rows = [(f"`{each.full_name}`", each.kind, ", ".join(each.labels), each.help) for each in families]
    return "\n".join(_table(("metric", "type", "labels", "what it says, and what to do"), rows)).rstrip("\n") + "\n"


def _placeholders() -> str:
    rows = [
        (", ".join(f"`{each}`" for each in known.written.split(", ")), known.told) for known in PLACEHOLDERS.values()
    ]
    return "\n".join(_table(("placeholder", "what stands there"), rows)).rstrip("\n") + "\n"


def _fields(kind: RecordKind) -> Iterator[str]:
    for name in kind.fields:
        shape = "/".join(kind.words.get(name, ())) or kind.shapes.get(name, "")
        yield f"`{name}`{'' if shape.startswith(':') or not shape else ' '}{shape}"


def written(root: Path) -> dict[Path, str]:
    """Every page with what is generated in it, as it should be."""
    readme, history = root / "README.md", root / "docs" / "history.md"
    metrics = root / "docs" / "metrics.md"
    shown = metrics.read_text(encoding="utf-8")
    for name, families in _METRICS.items():
        shown = _between(shown, name, _families(families))
    text = history.read_text(encoding="utf-8")
    text = _between(text, "events", _records(("event", "fields besides `event`, `at`, `by`", "written"), EVENTS))
    text = _between(text, "marks", _records(("mark", "fields besides `name`", "says"), MARKS))
    text = _between(text, "our-marks", _records(("mark", "fields", "says"), OUR_MARKS))
    conformance = root / "docs" / "conformance.md"
    messages = root / "docs" / "messages.md"
    find_rate = root / "docs" / "find-rate.md"
    return {
        root / "docs" / "claims.md": page(),
        root / "docs" / "causes.md": causes_page(),
        root / "docs" / "faults.md": faults_page(),
        readme: _between(
            _between(readme.read_text(encoding="utf-8"), "refused", _refusals()), "scenarios", _scenarios()
        ),
        find_rate: _between(find_rate.read_text(encoding="utf-8"), "rates", _rates()),
        history: text,
        metrics: shown,
        messages: _between(messages.read_text(encoding="utf-8"), "placeholders", _placeholders()),
        conformance: _between(conformance.read_text(encoding="utf-8"), "rules", _rules()),
    }


def main() -> int:
    wanted = written(ROOT)
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not current; write it with: python scripts/generate_docs.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
