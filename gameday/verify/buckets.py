"""Judges a history in buckets, several at once: the verdict is that of judging it whole, to the byte.

What couples messages of several groups is learnt from the whole history first (`_WHOLE` in gameday/verify/load.py):
the facts of a subscription, of a batch, of a producer, of a fault, and the records that are of no told message. Nothing
else couples them: every other question is about one message, or about messages of one group on one subscription. So
the records that are of a message are cut by the hash of its group, or of its id where it has none; each bucket is
judged by the same queries over its records and the facts of the whole, in a process of its own with a database of its
own. What the buckets found is read as one: the rest of the judge cannot tell the difference.

A group is never cut, so one that has most of the messages is what judging takes at the least.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from gameday.history.errors import HistoryError
from gameday.history.schema import EVENTS
from gameday.history.writer import DIRECTORY
from gameday.verify import explaining, reaching
from gameday.verify.checking import ROWS_FOUND, find
from gameday.verify.explaining import explain
from gameday.verify.load import COLUMNS, Loaded, Progress, build, connect, define, in_a_line
from gameday.verify.registry import CHECKS, OF_THE_WHOLE
from gameday.verify.workers import in_processes

# What is made of so many records hardly spills to disk.
RECORDS_A_BUCKET = 4_000_000
_SMALL_RECORDS = 200_000
_LARGE_BYTES = 500_000_000
# On so few cores one process, whose threads are as many, is faster: cutting costs more than a second process gains. But
# what is much larger would spill to disk whole.
_FEW_CORES, _LARGE_ON_FEW_BYTES = 2, 5_000_000_000
# Of so many records the groups of their messages fit into memory. Where they do not, DuckDB writes each record to disk
# once more in order to join them.
RECORDS_CUT_AT_ONCE = 20_000_000
# What a thread holds back of the records that it cuts, for all buckets together. DuckDB's own half a million would be
# more than all the memory there is, and a tenth of it so much that DuckDB puts it away on disk meanwhile.
_ROWS_HELD_BACK = 12_000
# Tables that were made on the way to the facts of the whole.
_OWN = frozenset({"parsed", "nameless", "answered", "identified", "keys", "told", "settles", "rows_found", "grouped"})
# What a record of a message may tell.
_FIELDS = {name for kind in EVENTS.values() if {"id", "ids"} & {*kind.fields} for name in ("event", "at", *kind.fields)}
_COLUMNS = ("line", "file", "run", "listed", *(column for column, field in COLUMNS.items() if field.name in _FIELDS))
_TOLD = ", ".join(f"r.{column}" for column in _COLUMNS)
# What of a record `r` and of its message's group `g` says which bucket it goes into.
_KEPT_TOGETHER = "coalesce(g.grp, r.id)"
# What the whole adds to.
_ADDED_TO = {**explaining.RESULTS, **reaching.RESULTS}
# What a verdict is made from: of each table that buckets make, the columns that anybody asks for afterwards.
_RESULTS: Mapping[str, str] = {
    "messages": "SELECT id, run, status, intended_ns, begun_ns, due_ns FROM messages",
    "pairs": (
        "SELECT id, s, run, intended, expectation_known, expected, status, acked, poison, due_ns, intended_ns, "
        "begun_ns, tenant_class, intended_file, receives, received, had, may_have, in_doubt, dead_in_doubt, dead, "
        "surely_dead, applied, shared_key, unknown_effect, "
        "{'applied': effects.applied, 'failed': effects.failed} AS effects, "
        "cause_untold, dead_letter, at_most_once, seen_from FROM pairs"
    ),
    "contradictions": "SELECT event, line, file, id, early_ns FROM contradictions",
    "preceded": "SELECT asks, s FROM preceded",
    "handlings": "SELECT s, id, done FROM handlings",
    "to_replay": "SELECT s FROM to_replay",
    "claim_checks": "SELECT * FROM claim_checks",
    "conformity": "SELECT * FROM conformity",
    "struck": "SELECT run, fault, instance, touched FROM struck",
    "executions": "SELECT id, arn, run, workflow, last, answered, stopped FROM executions",
    "starts": "SELECT * FROM starts",
    "cut_short": "SELECT run, s, id FROM cut_short",
    "tasks": "SELECT run, s, id, received, unknown, nameless, over_before_redrive FROM tasks",
    "tokens": "SELECT run, s, id, token, accepted, unsure FROM tokens",
    "mapped": "SELECT run, id, arn, items FROM mapped",
    "rows_found": "SELECT * FROM rows_found",
    **_ADDED_TO,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """What judging one bucket takes, as a process of its own is told.

    `records`: its records, Parquet files; `facts`: a directory with a Parquet file for each table of the whole;
    `results`: where its own tables go, each as `TABLE/NUMBER.parquet`.
    """

    number: int
    records: Sequence[str]
    facts: str
    results: str
    scratch: str
    clock_error_ns: int
    broker_tick_ns: int
    small: bool
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What could not be carried out in a bucket, each with the reason: checks (`failed`), and what looks for causes."""

    failed: Mapping[str, str]
    unexplained: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """Who judges buckets. `judge` gives the outcomes in any order; `at_once`: how many it judges at once, and how many
    there are at the least; `records`: about how many records a bucket has at the most, where the groups allow it;
    `cut_at_once`: about how many are cut into buckets at once."""

    judge: Callable[[Sequence[Bucket]], Iterable[Outcome]]
    at_once: int
    records: int = RECORDS_A_BUCKET
    cut_at_once: int = RECORDS_CUT_AT_ONCE


def processes(jobs: int) -> Engine:
    """So many processes of this machine."""
    return Engine(judge=lambda buckets: in_processes(judge_bucket, buckets, jobs=jobs), at_once=jobs)


def one_after_another(buckets: int, *, cut_at_once: int = RECORDS_CUT_AT_ONCE) -> Engine:
    """This process, with so many buckets at the least."""
    return Engine(judge=lambda tasks: map(judge_bucket, tasks), at_once=buckets, cut_at_once=cut_at_once)


def find_in_buckets(loaded: Sequence[Loaded], tell: Progress, engine: Engine) -> tuple[dict[str, str], dict[str, str]]:
    """Judge what was learnt as a whole (gameday/verify/load.py) in buckets, and leave the tables that a verdict is made
    from, `rows_found` among them. What could not be carried out, each with the reason: checks, and what looks for
    causes."""
    tables = loaded[0].tables
    db, scratch = tables.db, tables.scratch
    events = sum(run.events for run in loaded)
    buckets = max(engine.at_once, -(-events // engine.records))
    facts, results = scratch / "facts", scratch / "results"
    _write_facts(db, facts)
    tell(f"{events:,} events; cutting them into {buckets} buckets")
    cut = _cut(db, scratch / "buckets", buckets, parts=-(-events // engine.cut_at_once))
    for name in _RESULTS:
        (results / name).mkdir(parents=True)
    tasks = [
        Bucket(
            number=number,
            records=files,
            facts=str(facts),
            results=str(results),
            scratch=str(scratch),
            clock_error_ns=loaded[0].clocks.error_ns,
            broker_tick_ns=loaded[0].manifest.broker_tick_ns,
            small=events < _SMALL_RECORDS * buckets,
        )
        # Where there is nothing, the tables are made all the same.
        for number, files in (cut or {0: []}).items()
    ]
    tasks.sort(key=lambda task: -sum(Path(path).stat().st_size for path in task.records))
    failed: dict[str, str] = {}
    unexplained: dict[str, str] = {}
    for done, outcome in enumerate(engine.judge(tasks), start=1):
        failed |= outcome.failed
        unexplained |= outcome.unexplained
        tell(f"{done} of {len(tasks)} buckets judged")
    _join(db, results, failed)
    tables.failed |= build(db, "last")
    failed |= find(db, {name: check for name, check in CHECKS.items() if name in OF_THE_WHOLE}, tables.failed, tell)
    return failed, unexplained


def _write_facts(db: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Every table of the whole that a bucket may ask."""
    directory.mkdir()
    for (name,) in db.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall():
        if name not in _OWN:
            db.execute(f"COPY {name} TO '{_quoted(directory / name)}.parquet' (FORMAT parquet)")


def _cut(db: duckdb.DuckDBPyConnection, directory: Path, buckets: int, *, parts: int) -> dict[int, list[str]]:
    """Write the records that are of a message as Parquet, by bucket, and give the files of each.

    `parts`: in how many it is done, each with the records of other messages.
    """
    directory.mkdir()
    # The group is the one that 20_messages.sql takes for the message's.
    db.execute(
        "CREATE TABLE grouped AS SELECT id, arg_min(grp, (coalesce(attempt, 0), line)) AS grp FROM raw "
        "WHERE event IN ('intended', 'sent') AND id IS NOT NULL GROUP BY id HAVING grp IS NOT NULL"
    )
    db.execute(f"SET partitioned_write_flush_threshold = {_ROWS_HELD_BACK}")
    for part in range(parts):
        mine = f"hash(id) % {parts} = {part}"
        db.execute(
            f"COPY (SELECT (hash({_KEPT_TOGETHER}) % {buckets})::INTEGER AS bucket, {_TOLD} "
            f"FROM (FROM raw WHERE id IS NOT NULL AND {mine}) r "
            f"LEFT JOIN (FROM grouped WHERE {mine}) g ON g.id = r.id) "
            f"TO '{_quoted(directory)}' (FORMAT parquet, PARTITION_BY (bucket), APPEND)"
        )
    found: dict[int, list[str]] = {}
    for path in sorted(directory.glob("bucket=*/*.parquet")):
        found.setdefault(int(path.parent.name.removeprefix("bucket=")), []).append(str(path))
    return found


def _join(db: duckdb.DuckDBPyConnection, results: Path, failed: Mapping[str, str]) -> None:
    """What the buckets found, as one. A table that some bucket could not make is none."""
    numbers = {path.stem for path in (results / "messages").iterdir()}
    db.execute(ROWS_FOUND)
    for name in _RESULTS:
        files = sorted(results.joinpath(name).iterdir())
        if {path.stem for path in files} != numbers:
            continue
        listed = ", ".join(f"'{_quoted(path)}'" for path in files)
        source = f"read_parquet([{listed}], hive_partitioning = false)"
        if name in _ADDED_TO:
            # What is found in the whole is added.
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM {source}")
            continue
        if name != "rows_found":
            db.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")
            continue
        db.execute(
            f"INSERT INTO rows_found BY NAME SELECT * FROM {source} WHERE NOT list_contains(?::VARCHAR[], anomaly)",
            [list(failed)],
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def judge_bucket(bucket: Bucket) -> Outcome:
    """Judge one bucket: its tables and checks, as of a whole history, and what is asked of them afterwards as Parquet.

    Errors: HistoryError where it cannot be judged at all.
    """
    scratch = Path(bucket.scratch) / f"bucket-{bucket.number}"
    scratch.mkdir()
    for name in _RESULTS:
        Path(bucket.results, name).mkdir(parents=True, exist_ok=True)
    db = connect(scratch, small=bucket.small, threads=bucket.threads)
    try:
        declared = ", ".join(f"{column} {field.sql}" for column, field in COLUMNS.items())
        db.execute(f"CREATE TABLE parsed (line BIGINT, file INTEGER, run INTEGER, {declared}, listed INTEGER)")
        if bucket.records:
            # In the order of the lines, as the history has them.
            db.execute(
                "INSERT INTO parsed BY NAME SELECT * FROM read_parquet(?, hive_partitioning = false) ORDER BY line",
                [list(bucket.records)],
            )
        db.execute("SET preserve_insertion_order = false")
        db.execute("CREATE VIEW raw AS SELECT * FROM parsed")
        for path in sorted(Path(bucket.facts).iterdir()):
            db.execute(f"CREATE TABLE {path.stem} AS SELECT * FROM read_parquet('{_quoted(path)}')")
        define(db, clock_error_ns=bucket.clock_error_ns, broker_tick_ns=bucket.broker_tick_ns)
        missing = build(db, "bucket")
        mine = {name: check for name, check in CHECKS.items() if name not in OF_THE_WHOLE}
        failed = find(db, mine, missing, lambda text: None)
        unexplained = explain(db, lambda text: None)
        unexplained |= reaching.look(db)
        for name, columns in _RESULTS.items():
            try:
                place = _quoted(Path(bucket.results) / name / f"{bucket.number}.parquet")
                db.execute(f"COPY ({columns}) TO '{place}' (FORMAT parquet)")
            except duckdb.CatalogException:
                # A table that could not be made: whoever asks it is told so.
                continue
        return Outcome(failed=failed, unexplained=unexplained)
    except duckdb.Error as error:
        raise HistoryError(f"cannot judge bucket {bucket.number}: {in_a_line(error)}") from error
    finally:
        db.close()


def usual_jobs(run: Path) -> int:
    """How many processes judge a run where nobody says: one for what takes no longer than cutting it, else one for each
    core that this process may use."""
    try:
        size = sum(path.stat().st_size for path in (run / DIRECTORY).iterdir())
    except OSError:
        return 1
    large = _LARGE_BYTES if cores() > _FEW_CORES else _LARGE_ON_FEW_BYTES
    return 1 if size < large else cores()


def cores() -> int:
    """Of this machine, as many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
