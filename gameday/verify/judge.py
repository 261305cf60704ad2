"""Judges a run directory from its history alone: every anomaly counted, every claim ruled on, with evidence.

Imports history and nothing else of ours, no AWS code at all: a run can be copied to another machine, years later, and
judged again with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from gameday.history import manifest as manifests
from gameday.history.errors import HistoryError, NotARun
from gameday.history.manifest import Manifest
from gameday.history.writer import DIRECTORY
from gameday.verify import bounds, claims, fairness, reaching
from gameday.verify.bounds import Facts, Ruling
from gameday.verify.buckets import Engine, find_in_buckets, processes
from gameday.verify.checking import find
from gameday.verify.claims import Evidence, Finding, State
from gameday.verify.clocks import reasons
from gameday.verify.examples import examples, noted
from gameday.verify.explaining import causes, conclude, explain
from gameday.verify.flows import workflow_of
from gameday.verify.load import Loaded, Progress, Stage, clock_error_ns, load
from gameday.verify.notes import notes
from gameday.verify.registry import CHECKS
from gameday.verify.totals import lasted, totals

FILE = "verdict.json"
# Runs that share tables: more would save nothing and need more memory.
_AT_ONCE = 200
_CONTRADICTIONS_MOST = 3
EXIT_CODES: Mapping[Ruling, int] = {"holds": 0, "violated": 1, "unknown": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a run came to. `document` is the object of verdict.json.

    `broken_by`: of each violated claim that anomalies violate, by its key, those which do.
    """

    verdict: Ruling
    document: dict[str, Any]
    broken_by: Mapping[str, Sequence[Finding]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def save(self, run: Path) -> Path:
        """Write verdict.json into the run directory, whole or not at all. Errors: HistoryError."""
        path = run / FILE
        draft = path.with_suffix(".json.new")
        try:
            draft.write_bytes(orjson.dumps(self.document, option=orjson.OPT_INDENT_2) + b"\n")
            draft.replace(path)
        except OSError as error:
            raise HistoryError(f"cannot write {path}: {error.strerror}") from error
        return path


def judge(run: Path, *, progress: Progress | None = None, strict: bool = False, jobs: int = 1) -> Verdict:
    """Judge the run in this directory.

    `progress` hears, in a few words, what is being done; `strict` refuses events and fields that the record format does
    not know; `jobs`: how many processes share the work, which changes nothing in the verdict. Errors: NotARun when
    there is no manifest that can be judged, HistoryError when a file cannot be read, UsageError for what `strict`
    refuses.
    """
    with judging(run, progress=progress, strict=strict, jobs=jobs) as (_, verdict):
        return verdict


@contextmanager
def judging(
    run: Path,
    *,
    progress: Progress | None = None,
    strict: bool = False,
    with_examples: bool = True,
    jobs: int = 1,
    engine: Engine | None = None,
) -> Iterator[tuple[Loaded, Verdict]]:
    """The run in its tables, with all that was found, and its verdict: for who asks more of it than `judge` tells.

    With more than one of `jobs`, or with an `engine`, there are only the tables that a verdict is made from.
    Errors: those of `judge`.
    """
    tell = progress or (lambda text: None)
    if engine is None and jobs > 1:
        engine = processes(jobs)
    stage: Stage = "all" if engine is None else "whole"
    with load([(run, manifests.load(run))], tell, strict=strict, stage=stage, jobs=jobs) as loaded:
        found = _find(loaded, tell, engine)
        yield loaded[0], _verdict(loaded[0], found, with_examples=with_examples)


def judge_all(
    runs: Sequence[Path],
    *,
    with_examples: bool = False,
    engine: Engine | None = None,
    look: Callable[[Loaded], object] | None = None,
) -> list[Verdict | NotARun]:
    """Judge many small runs at once, which takes a sixth of the time that judging each alone does, or less.

    The verdicts are the same, in the order of `runs`, without examples unless they are asked for; NotARun stands for a
    directory that cannot be judged. With an `engine` they are judged in buckets. `look` is given each run in its tables
    once it is judged.
    Errors: HistoryError when a file cannot be read.
    """
    verdicts: dict[Path, Verdict | NotARun] = {}
    alike: dict[tuple[int, int], list[tuple[Path, Manifest]]] = {}
    for run in runs:
        try:
            manifest = manifests.load(run)
            if not (run / DIRECTORY).is_dir():
                raise NotARun(f"{run} is not a run directory: it has no {DIRECTORY}/")
        except NotARun as error:
            verdicts[run] = error
        else:
            alike.setdefault((clock_error_ns(run, manifest), manifest.broker_tick_ns), []).append((run, manifest))
    for group in alike.values():
        for first in range(0, len(group), _AT_ONCE):
            some = group[first : first + _AT_ONCE]
            with load(some, lambda text: None, stage="all" if engine is None else "whole") as loaded:
                found = _find(loaded, lambda text: None, engine)
                for each in loaded:
                    verdicts[each.directory] = _verdict(each, found, with_examples=with_examples)
                    if look is not None:
                        look(each)
    return [verdicts[run] for run in runs]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What could not be carried out, each with the reason: checks, and what looks for causes."""

    failed: Mapping[str, str]
    unexplained: Mapping[str, str]


def _verdict(run: Loaded, found: _Found, *, with_examples: bool) -> Verdict:
    """Rule on the claims of a run whose anomalies are found."""
    failed = found.failed
    counts = dict.fromkeys(CHECKS, 0) | dict(run.rows(_COUNTS))
    evidence = _evidence(run, failed)
    judgements = [claims.judge(claim, evidence) for claim in run.manifest.claims]
    verdict = _worst([judgement.verdict for judgement in judgements])
    name = run.manifest.scenario.get("name")
    started_ns, duration_s = lasted(run)
    told = noted(run)
    document: dict[str, Any] = {
        "schema": 1,
        "run": run.manifest.run,
        "scenario": name if isinstance(name, str) else None,
        "seed": run.manifest.seed,
        "target": run.manifest.target,
        "version": _version(),
        "started": started_ns,
        "duration_s": duration_s,
        "verdict": verdict,
        "claims": [judgement.to_json() for judgement in judgements],
        "anomalies": {
            name: {
                "count": count,
                **({"failed": failed[name]} if name in failed else {}),
                **told.get(name, {}),
                "examples": examples(run, name, explained=not found.unexplained) if count and with_examples else [],
            }
            for name, count in counts.items()
        },
        # Of a cause that could not be looked for nobody knows that it was not the first.
        "causes": {} if found.unexplained else causes(run),
        "reached": {} if found.unexplained else reaching.reached(run),
        "totals": totals(run),
        "subscriptions": {name: asdict(s) for name, s in run.manifest.subscriptions.items()},
        "latency_s": bounds.latencies(run),
        **({"tenants_s": waits} if (waits := fairness.waits_of_tenants(run)) else {}),
        **({"workflow": flow} if (flow := workflow_of(run)) else {}),
        "events": run.events,
        "clock_error_ns": None if run.clocks.unknown else run.clocks.error_ns,
        "aborted": _told(run, "aborted"),
        "chaos_ended": _told(run, "chaos-ended"),
        "torn_lines": run.torn_lines,
        "ignored": [asdict(ignored) for ignored in run.ignored],
        "damaged": [{"file": d.file, "line": d.line, "why": d.why} for d in run.damaged],
    }
    document["notes"] = notes(document, judgements, dict(run.rows(_EFFECTS_OF_NOBODY)), found.unexplained)
    if run.tag:
        document = orjson.loads(orjson.dumps(document).replace(run.tag.encode(), b""))
    broken_by = {each.claim.key: each.broken_by for each in judgements if each.verdict == "violated"}
    return Verdict(verdict=verdict, document=document, broken_by=broken_by)


@cache
def _version() -> str | None:
    """Of the gameday that judges; None where it runs without being installed."""
    try:
        return metadata.version("gameday")
    except metadata.PackageNotFoundError:
        return None


def _worst(rulings: Sequence[Ruling]) -> Ruling:
    return "violated" if "violated" in rulings else "unknown" if "unknown" in rulings else "holds"


# Of each subscription, how many keys were read back that no message has.
_EFFECTS_OF_NOBODY = "SELECT run, s, n FROM effects_of_nobody ORDER BY s"
_COUNTS = "SELECT run, anomaly, sum(n)::BIGINT FROM found GROUP BY run, anomaly"


def _find(loaded: Sequence[Loaded], tell: Progress, engine: Engine | None) -> _Found:
    """Run every check into the table `found`, and look for the cause of what was found into `explained`; with an engine
    in buckets."""
    tables = loaded[0].tables
    if engine:
        failed, unexplained = find_in_buckets(loaded, tell, engine)
    else:
        failed = find(tables.db, CHECKS, tables.failed, tell)
        unexplained = explain(tables.db, tell)
        unexplained |= reaching.look(tables.db)
    unexplained = {**unexplained, **conclude(tables.db)}
    # A row belongs to the run of its subscription or its message, and where it has neither, to the one that its tag is.
    tables.db.execute(
        "CREATE TABLE found AS SELECT coalesce(u.run, m.run, r.run, 0) AS run, f.anomaly, f.s, f.id, f.n, f.note, "
        "f.other, coalesce(f.other_s, f.s) AS other_s, f.line, f.other_line "
        "FROM rows_found f LEFT JOIN subs u ON u.s = f.s LEFT JOIN messages m ON f.s IS NULL AND m.id = f.id "
        "LEFT JOIN runs r ON f.s IS NULL AND r.tag = f.id"
    )
    return _Found(failed=failed, unexplained=unexplained)


# Each row that was found, with what tells whether it violates a claim.
_FOUND = (
    "SELECT f.run, f.anomaly, f.s, f.note, "
    "coalesce(m.intended_ns <= u.effective_from_ns + clock_error(), false) AS premature, "
    "NOT coalesce(p.received, true) AS never_received, f.n, f.id, f.other, m.intended_ns "
    "FROM found f LEFT JOIN subs u ON u.s = f.s LEFT JOIN messages m ON m.id = f.id "
    "LEFT JOIN pairs p ON p.s = f.s AND p.id = f.id"
)
_FINDINGS = (
    f"SELECT run, anomaly, s, note, premature, never_received, sum(n)::BIGINT FROM ({_FOUND}) GROUP BY ALL ORDER BY ALL"
)


def broken_by_message(run: Loaded, finding: Finding) -> list[tuple[str, str | None]]:
    """The messages that a finding is about, each with the other one that it suffered from; in the order of sending."""
    rows = run.db.execute(
        f"SELECT DISTINCT id, other, intended_ns FROM ({_FOUND}) WHERE run = ? AND anomaly = ? AND n > 0 "
        "AND id IS NOT NULL AND s IS NOT DISTINCT FROM ? AND note IS NOT DISTINCT FROM ? AND premature = ? "
        "AND never_received = ? ORDER BY intended_ns NULLS LAST, id, other",
        [run.number, finding.anomaly, finding.subscription, finding.note, finding.premature, finding.never_received],
    ).fetchall()
    return [(id, other) for id, other, _ in rows]


def _evidence(run: Loaded, failed: Mapping[str, str]) -> Evidence:
    findings = [
        Finding(
            anomaly=anomaly,
            subscription=s,
            note=note,
            premature=premature,
            never_received=never_received,
            count=count,
        )
        for anomaly, s, note, premature, never_received, count in run.rows(_FINDINGS)
    ]
    undeclared = run.rows(
        "SELECT run, s FROM subs WHERE NOT declared AND s IN (SELECT s FROM pairs WHERE expected) ORDER BY s"
    )
    vacuous = [] if "vacuous" in failed else run.rows("SELECT run, reason FROM nothing_happened ORDER BY reason")
    return Evidence(
        db=run.db,
        rows=run.rows,
        findings=findings,
        states=_states(run),
        facts=Facts.read(run),
        undeclared=[s for (s,) in undeclared],
        vacuous=[reason for (reason,) in vacuous],
        damaged=[str(damage) for damage in run.damaged],
        contradictions=_contradictions(run),
        unsynchronised=list(reasons(run.clocks)),
        claims=run.manifest.claims,
        failed=failed,
    )


def _told(run: Loaded, mark: str) -> str | None:
    """The reason that the first mark of this name gives; None where there is none."""
    reasons = run.rows(f"SELECT run, reason FROM raw WHERE event = 'mark' AND name = '{mark}' ORDER BY at_ns, line")
    return str(reasons[0][0] or "nothing says why") if reasons else None


def _contradictions(run: Loaded) -> list[str]:
    rows = run.rows(
        "SELECT f.run, c.event, c.file, c.line, c.id, c.early_ns, count(*) OVER (PARTITION BY f.run) "
        "FROM contradictions c JOIN (SELECT DISTINCT file, run FROM raw) f ON f.file = c.file "
        "ORDER BY c.early_ns DESC, c.line"
    )[:_CONTRADICTIONS_MOST]
    error_s = run.clocks.error_ns / 1e9
    told = [
        f"the clocks contradict: {event} of {id} ({run.place(file, line)}) is {early_ns / 1e9:.3f} s earlier than "
        f"its first `intended`, and clocks are said to differ by at most {error_s:g} s"
        for event, file, line, id, early_ns, _ in rows
    ]
    if rows and (more := rows[0][-1] - len(rows)):
        told.append(f"and {more} more records that the clocks contradict")
    return told


_NOT_READ = "nothing says that they were, after all that was received"


def _untold(receives: int, dead: int, settles: int, unnamed: int) -> dict[str, int]:
    """What is unidentified, in the words of people. Who cannot tell a receive cannot tell what settles it either."""
    told = {"receives": receives, "records of dead letters": dead}
    if not receives:
        told["records of deletes, releases or extensions"] = settles
    return told | {"deletes, releases or extensions that name no message": unnamed}


def _states(run: Loaded) -> dict[str, State]:
    rows = run.rows(
        "SELECT d.run, d.s, d.looked, d.was_empty, d.sends_late, d.others_late, d.drained, "
        " (SELECT count(*) > 0 FROM read_back b WHERE b.s = d.s), "
        " (SELECT count(*) > 0 FROM effect_records e WHERE e.s = d.s), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.unknown_effect AND NOT p.shared_key), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.unknown_effect AND NOT p.shared_key AND p.applied = 0), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.shared_key), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.surely_dead AND p.intended AND NOT p.poison"
        "      AND p.effects.failed = 0 AND p.cause_untold AND NOT p.dead_in_doubt), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.seen_from <> 'consumer' AND p.applied > 0"
        "      AND p.effects.applied = 0), "
        " (SELECT count(*) FROM unidentified x WHERE x.s = d.s AND x.event = 'received'), "
        " (SELECT count(*) FROM unidentified x WHERE x.s = d.s AND x.event IN ('dead', 'redriven')), "
        " (SELECT count(*) FROM unidentified x WHERE x.s = d.s AND x.event IN ('settling', 'settled')), "
        " (SELECT count(*) FROM of_any x WHERE x.s = d.s AND x.unnamed), "
        " d.shared, "
        " (SELECT count(*) FROM pairs p JOIN shared h ON h.s = p.s"
        "      WHERE p.s = d.s AND p.received AND p.dead_in_doubt), "
        " (SELECT arg_max(r.reason, r.at_ns) FROM raw r WHERE r.name = 'effects-unread' AND r.s = d.s) "
        "FROM drains d"
    )
    known = {row[0]: row[1:] for row in rows}
    states = {}
    for plain, promised in run.manifest.subscriptions.items():
        name = run.tag + plain
        looked, was_empty, sends_late, others_late, drained, read_back, effects, unknown, unapplied, *more = known[name]
        same_key, untold, untimed, receives, dead, settles, unnamed, shared, half_seen, unread = more
        elsewhere = promised.effects_from == "read-back"
        if shared:
            why = "others use it, too (a `foreign` mark), so what is not in it any more may have been theirs to take"
        elif not looked:
            why = "nothing says that it was looked at after the load (no `drained` mark)"
        elif not was_empty:
            why = "the last look found messages still there; a longer drain would settle it"
        elif sends_late:
            why = f"{sends_late} sends or replays were not {promised.settle_s:g} s over at the last look"
        else:
            why = f"{others_late} receives or redrives came after the last look"
        states[name] = State(
            promised=promised,
            drained=drained,
            undrained_why=why,
            read_back=read_back,
            effects=read_back or (effects and not elsewhere),
            unread_why=(unread or _NOT_READ) if elsewhere and not read_back else None,
            unknown_effects=unknown,
            unknown_effects_unapplied=unapplied,
            shared_keys=same_key,
            half_seen=half_seen,
            effects_untimed=untimed,
            deaths_untold=untold,
            unidentified=_untold(receives, dead, settles, unnamed),
        )
    return states
