"""Why it happened: each redelivery, duplicate, loss, overtake, missing or doubled effect and dead letter has one cause.

What is to be explained (`subjects`) is made from what the checks found; each cause (gameday/verify/causes/*.sql) gives
the subjects of which the records prove it. Of several the one with the lowest number is the cause, and the others
contribute.

An effect that was applied twice has the causes of the receive that brought the second one, a dead letter the most
frequent cause of its redeliveries, and an effect that is missing because its message is, those of the loss.

What no cause is proven of is `untold`. Nothing here changes a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb

from gameday.verify.load import Loaded, Progress, in_a_line
from gameday.verify.registry import CAUSES, CAUSES_OF_THE_WHOLE, SUBJECTS, Cause

NS_PER_S = 1_000_000_000
_EXPLAINED = files("gameday.verify").joinpath("explained.sql").read_text(encoding="utf-8")
# What the anomalies are, of which subjects are made.
KIND_OF: Mapping[str, str] = {
    **dict.fromkeys(("redelivery", "early-redelivery", "batch-rerun"), "redelivery"),
    "send-duplicate": "duplicate",
    **dict.fromkeys(("lost", "unseen", "vanished", "lost-on-redrive", "fanout-missing", "replay-missing"), "loss"),
    **dict.fromkeys(
        (
            "group-overtake",
            "nonmonotonic-delivery",
            "stored-out-of-order",
            "nonmonotonic-send",
            "effect-out-of-order",
            "child-before-parent",
            "concurrent-invocation",
        ),
        "overtake",
    ),
    **dict.fromkeys(("effect-missing", "effect-lost"), "effect-missing"),
    "effect-duplicate": "effect-duplicate",
    **dict.fromkeys(("healthy-dead", "collateral-dead", "premature-death"), "dead-letter"),
}
# The same for the queries.
_KIND_OF = "CREATE TABLE kind_of AS SELECT * FROM (VALUES {}) k(anomaly, what)".format(
    ", ".join(f"('{anomaly}', '{what}')" for anomaly, what in KIND_OF.items())
)
# The tables that explaining leaves, for who judges in buckets.
RESULTS: Mapping[str, str] = {"subjects": "SELECT * FROM subjects", "rows_explained": "SELECT * FROM rows_explained"}
_SUBJECTS = (
    "CREATE TABLE IF NOT EXISTS subjects (what VARCHAR, s VARCHAR, id VARCHAR, line BIGINT, n BIGINT, "
    "other_line BIGINT, note VARCHAR)"
)
_ROWS_EXPLAINED = (
    "CREATE TABLE IF NOT EXISTS rows_explained (cause VARCHAR, number INTEGER, what VARCHAR, s VARCHAR, id VARCHAR, "
    "line BIGINT, instance VARCHAR, excess_ns BIGINT)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One subject. `line` is the number of its row in the tables; `n`, for how many it stands; `others`: the causes
    that contribute, by their precedence; `instance`: the fault that the records prove to have brought it about;
    `excess_s`: by how much, where that means anything."""

    what: str
    subscription: str | None
    id: str
    line: int | None
    n: int
    cause: str
    others: Sequence[str]
    instance: str | None
    excess_s: float | None


def explain(db: duckdb.DuckDBPyConnection, tell: Progress) -> dict[str, str]:
    """Make `subjects` and `rows_explained` from the tables and what the checks found there.

    What could not be carried out, by its name, each with the reason.
    """
    failed: dict[str, str] = {}
    there: set[str] = set()
    db.execute(_KIND_OF)
    for name, script in SUBJECTS.items():
        try:
            db.execute(script)
        except duckdb.Error as error:
            failed[name] = in_a_line(error)
            break
        there = there or kinds_there(db)
        if not there:
            break
    db.execute(_SUBJECTS)
    db.execute(_ROWS_EXPLAINED)
    if there:
        tell("looking for causes")
    return failed | _look(db, (cause for cause in CAUSES.values() if cause.name not in CAUSES_OF_THE_WHOLE), there)


def kinds_there(db: duckdb.DuckDBPyConnection) -> set[str]:
    """Of what kinds there are subjects."""
    return {what for (what,) in db.execute("SELECT DISTINCT what FROM subjects").fetchall()}


def conclude(db: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Look for what may be of the whole history, and make `explained` from it and what `explain` has left: for each
    subject its cause. What could not be carried out, by its name, each with the reason."""
    db.execute(_SUBJECTS)
    db.execute(_ROWS_EXPLAINED)
    there = kinds_there(db)
    failed = _look(db, (CAUSES[name] for name in sorted(CAUSES_OF_THE_WHOLE)), there)
    if there:
        try:
            db.execute(_EXPLAINED)
        except duckdb.Error as error:
            failed["the first of several causes"] = in_a_line(error)
    return failed


def _look(db: duckdb.DuckDBPyConnection, causes: Iterable[Cause], there: set[str]) -> dict[str, str]:
    failed = {}
    for cause in causes:
        if there.isdisjoint(cause.of):
            continue
        try:
            db.execute(
                f"INSERT INTO rows_explained BY NAME SELECT '{cause.name}' AS cause, {cause.number} AS number, * "
                f"FROM ({cause.sql}\n)"
            )
        except duckdb.Error as error:
            failed[cause.name] = in_a_line(error)
    return failed


def explained(run: Loaded) -> list[Explained]:
    """Every subject of the run with its cause, in the order of the messages' names."""
    return [
        Explained(
            what=what,
            subscription=s,
            id=id,
            line=line,
            n=n,
            cause=cause,
            others=tuple(others or ()),
            instance=instance,
            excess_s=None if excess_ns is None else excess_ns / NS_PER_S,
        )
        for what, s, id, line, n, cause, others, instance, excess_ns in _rows(run, _OF_EACH)
    ]


_OF_EACH = (
    "SELECT run, what, s, id, line, n, cause, others, instance, excess_ns FROM explained ORDER BY what, id, s, line"
)
_COUNTED = "SELECT run, what, cause, count, excess_ns, ids FROM explained_counts ORDER BY run, what, count DESC, cause"
_FAULTS = "SELECT run, what, cause, instance, count FROM explained_faults ORDER BY run, what, cause, instance"


def _rows(run: Loaded, query: str) -> list[tuple[Any, ...]]:
    try:
        return run.rows(query)
    except duckdb.CatalogException:
        # There is nothing to explain in any of the runs that share the tables.
        return []


def causes(run: Loaded) -> dict[str, dict[str, Any]]:
    """The `causes` of verdict.json: of each kind of subject each cause, the most frequent first."""
    faults: dict[tuple[str, str], dict[str, int]] = {}
    for what, cause, instance, count in _rows(run, _FAULTS):
        faults.setdefault((what, cause), {})[instance] = count
    told: dict[str, dict[str, Any]] = {}
    for what, cause, count, excess_ns, ids in _rows(run, _COUNTED):
        told.setdefault(what, {})[cause] = {
            "count": count,
            **({} if excess_ns is None else {"excess_s_max": excess_ns / NS_PER_S}),
            "faults": faults.get((what, cause), {}),
            "examples": ids,
        }
    return told


def cause_of(run: Loaded, what: str, s: str | None, id: str, line: int | None) -> dict[str, Any] | None:
    """The `why` of an example: the cause of that subject, or of the first of its message where it is of no record."""
    try:
        row = run.db.execute(
            "SELECT cause, others, instance, excess_ns FROM explained "
            "WHERE run = ? AND what = ? AND s IS NOT DISTINCT FROM ? AND id = ? "
            "ORDER BY line IS NOT DISTINCT FROM ? DESC, line LIMIT 1",
            [run.number, what, s, id, line],
        ).fetchone()
    except duckdb.CatalogException:
        return None
    if row is None:
        return None
    cause, others, instance, excess_ns = row
    return {
        "cause": cause,
        **({"others": others} if others else {}),
        **({"fault": instance} if instance else {}),
        **({} if excess_ns is None else {"excess_s": excess_ns / NS_PER_S}),
    }
