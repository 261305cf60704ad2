"""Judges a run directory from its history alone: every anomaly counted, every claim ruled on, with evidence.

Imports history and nothing else of ours, no AWS code at all: a run can be copied to another machine, years later, and
judged again with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from gameday.history.errors import HistoryError
from gameday.verify import bounds, claims
from gameday.verify.bounds import Facts, Ruling
from gameday.verify.claims import Evidence, Finding, Judgement, State
from gameday.verify.examples import examples, noted
from gameday.verify.load import Loaded, Progress, load
from gameday.verify.notes import notes
from gameday.verify.registry import CHECKS
from gameday.verify.totals import lasted, totals

FILE = "verdict.json"
EXIT_CODES: Mapping[Ruling, int] = {"holds": 0, "violated": 1, "unknown": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a run came to. `document` is the object of verdict.json."""

    verdict: Ruling
    judgements: Sequence[Judgement]
    document: dict[str, Any]

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


def judge(run: Path, *, progress: Progress | None = None, strict: bool = False) -> Verdict:
    """Judge the run in this directory.

    `progress` hears, in a few words, what is being done; `strict` refuses events and fields that the record format does
    not know. Errors: NotARun when there is no manifest that can be judged, HistoryError when a file cannot be read,
    UsageError for what `strict` refuses.
    """
    tell = progress or (lambda text: None)
    with load(run, tell, strict=strict) as loaded:
        counts = _count(loaded, tell)
        evidence = _evidence(loaded)
        judgements = [claims.judge(claim, evidence) for claim in loaded.manifest.claims]
        verdict = _worst([judgement.verdict for judgement in judgements])
        name = loaded.manifest.scenario.get("name")
        started_ns, duration_s = lasted(loaded.db)
        told = noted(loaded)
        document: dict[str, Any] = {
            "schema": 1,
            "run": loaded.manifest.run,
            "scenario": name if isinstance(name, str) else None,
            "seed": loaded.manifest.seed,
            "target": loaded.manifest.target,
            "version": _version(),
            "started": started_ns,
            "duration_s": duration_s,
            "verdict": verdict,
            "claims": [judgement.to_json() for judgement in judgements],
            "anomalies": {
                name: {"count": count, **told.get(name, {}), "examples": examples(loaded, name) if count else []}
                for name, count in counts.items()
            },
            "totals": totals(loaded.db),
            "subscriptions": {name: asdict(s) for name, s in loaded.manifest.subscriptions.items()},
            "latency_s": bounds.latencies(loaded.db),
            "events": loaded.events,
            "aborted": _aborted(loaded),
            "torn_lines": loaded.torn_lines,
            "ignored": [asdict(ignored) for ignored in loaded.ignored],
            "damaged": [{"file": d.file, "line": d.line, "why": d.why} for d in loaded.damaged],
        }
        document["notes"] = notes(document, judgements)
    return Verdict(verdict=verdict, judgements=judgements, document=document)


def _version() -> str | None:
    """Of the gameday that judges; None where it runs without being installed."""
    try:
        return metadata.version("gameday")
    except metadata.PackageNotFoundError:
        return None


def _worst(rulings: Sequence[Ruling]) -> Ruling:
    return "violated" if "violated" in rulings else "unknown" if "unknown" in rulings else "holds"


def _count(loaded: Loaded, tell: Progress) -> dict[str, int]:
    """Run every check into the table `found`; how often each anomaly was found."""
    db = loaded.db
    db.execute("CREATE TABLE found (anomaly VARCHAR, s VARCHAR, id VARCHAR, n BIGINT, note VARCHAR)")
    for name, check in CHECKS.items():
        tell(f"checking {name}")
        db.execute(f"INSERT INTO found SELECT '{name}', s, id, n, note FROM ({check.sql}\n)")
    counted = dict(db.execute("SELECT anomaly, sum(n)::BIGINT FROM found GROUP BY anomaly").fetchall())
    return {name: counted.get(name, 0) for name in CHECKS}


def _evidence(loaded: Loaded) -> Evidence:
    db = loaded.db
    rows = db.execute(
        "SELECT f.anomaly, f.s, f.note, coalesce(m.intended_ns <= u.effective_from_ns + clock_error(), false), "
        "NOT coalesce(p.received, true), sum(f.n)::BIGINT "
        "FROM found f LEFT JOIN subs u ON u.s = f.s LEFT JOIN messages m ON m.id = f.id "
        "LEFT JOIN pairs p ON p.s = f.s AND p.id = f.id GROUP BY ALL"
    ).fetchall()
    findings = [
        Finding(
            anomaly=anomaly,
            subscription=s,
            note=note,
            premature=premature,
            never_received=never_received,
            count=count,
        )
        for anomaly, s, note, premature, never_received, count in rows
    ]
    return Evidence(
        db=db,
        findings=findings,
        states=_states(loaded),
        facts=Facts.read(db),
        undeclared=[
            s
            for (s,) in db.execute(
                "SELECT s FROM subs WHERE NOT declared AND s IN (SELECT s FROM expected) ORDER BY s"
            ).fetchall()
        ],
        vacuous=[reason for (reason,) in db.execute("SELECT reason FROM nothing_happened ORDER BY 1").fetchall()],
        damaged=[str(damage) for damage in loaded.damaged],
        contradictions=_contradictions(loaded),
        claims=loaded.manifest.claims,
    )


def _aborted(loaded: Loaded) -> str | None:
    """Why the run ended before it was done; None where nothing says so."""
    row = loaded.db.execute(
        "SELECT reason FROM raw WHERE event = 'mark' AND name = 'aborted' ORDER BY at_ns LIMIT 1"
    ).fetchone()
    return None if row is None else str(row[0] or "nothing says why")


def _contradictions(loaded: Loaded) -> list[str]:
    rows = loaded.db.execute(
        "SELECT event, file, line, id, early_ns, count(*) OVER () FROM contradictions "
        "ORDER BY early_ns DESC, line LIMIT 3"
    ).fetchall()
    error_s = loaded.manifest.clock_error_ns / 1e9
    told = [
        f"the clocks contradict: {event} of {id} ({loaded.place(file, line)}) is {early_ns / 1e9:.3f} s earlier than "
        f"its first `intended`, and the manifest says that clocks differ by at most {error_s:g} s"
        for event, file, line, id, early_ns, _ in rows
    ]
    if rows and (more := rows[0][-1] - len(rows)):
        told.append(f"and {more} more records that the clocks contradict")
    return told


def _states(loaded: Loaded) -> dict[str, State]:
    rows = loaded.db.execute(
        "SELECT d.s, d.looked, d.was_empty, d.sends_late, d.others_late, d.drained, "
        " (SELECT count(*) > 0 FROM read_back b WHERE b.s = d.s), "
        " (SELECT count(*) > 0 FROM effect_records e WHERE e.s = d.s), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.unknown_effect), "
        " (SELECT count(*) FROM pairs p WHERE p.s = d.s AND p.unknown_effect AND p.applied = 0) "
        "FROM drains d"
    ).fetchall()
    known = {row[0]: row[1:] for row in rows}
    states = {}
    for name, promised in loaded.manifest.subscriptions.items():
        looked, was_empty, sends_late, others_late, drained, read_back, effects, unknown, unapplied = known[name]
        if not looked:
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
            effects=read_back or effects,
            unknown_effects=unknown,
            unknown_effects_unapplied=unapplied,
        )
    return states
