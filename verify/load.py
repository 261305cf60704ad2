"""From a run directory to tables in DuckDB, with everything that was unreadable named by file and line.

Two readers go over the same bytes. Ours (history/reader.py) decides, line by line, what is a record, what is a torn
tail and what is damage; DuckDB's parses the records into columns. They must agree on how many records there are: a
record that one of them saw and the other did not would be a silent hole in a verdict, and counts as damage.

Everything lives in a database file that is deleted afterwards, so that a history larger than memory can be judged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import duckdb

from history import manifest as manifests
from history.clock import TIME_MAX
from history.errors import HistoryError, NotARun
from history.manifest import Manifest
from history.reader import Scan, records
from history.writer import DIRECTORY

Progress = Callable[[str], None]

# Beyond this DuckDB spills to disk; with Python and the parser beside it the process stays well below 1 GiB.
MEMORY_LIMIT = "480MB"
THREADS = 2

# A column of `raw` for each field that a check reads: its name in the record, its name in the tables, its type.
# `at`, `group` and `partition` are words of SQL's own.
FIELDS: tuple[tuple[str, str, str], ...] = (
    ("event", "event", "VARCHAR"),
    ("at", "at_ns", "BIGINT"),
    ("id", "id", "VARCHAR"),
    ("attempt", "attempt", "BIGINT"),
    ("producer", "producer", "VARCHAR"),
    ("group", "grp", "VARCHAR"),
    ("seq", "seq", "BIGINT"),
    ("due", "due_ns", "BIGINT"),
    ("expect", "expect", "VARCHAR[]"),
    ("poison", "poison", "BOOLEAN"),
    ("started", "started_ns", "BIGINT"),
    ("outcome", "outcome", "VARCHAR"),
    ("error", "error", "VARCHAR"),
    ("broker_id", "broker_id", "VARCHAR"),
    ("broker_seq", "broker_seq", "VARCHAR"),
    ("partition", "part", "VARCHAR"),
    ("call", "call", "VARCHAR"),
    ("entry", "entry", "BIGINT"),
    ("subscription", "s", "VARCHAR"),
    ("consumer", "consumer", "VARCHAR"),
    ("batch", "batch", "VARCHAR"),
    ("receives", "receives", "BIGINT"),
    ("enqueued", "enqueued_ns", "BIGINT"),
    ("hidden_s", "hidden_s", "DOUBLE"),
    ("intact", "intact", "BOOLEAN"),
    ("action", "action", "VARCHAR"),
    ("applied", "applied", "BIGINT"),
    ("fault", "fault", "VARCHAR"),
    ("instance", "instance", "VARCHAR"),
    ("phase", "phase", "VARCHAR"),
    ("label", "label", "VARCHAR"),
    ("targets", "targets", "VARCHAR[]"),
    ("params", "params", "JSON"),
    ("name", "name", "VARCHAR"),
    ("empty", "empty", "BOOLEAN"),
    ("scheduled", "scheduled", "BIGINT"),
    ("parents", "parents", "VARCHAR[]"),
    ("replay", "replay", "VARCHAR"),
    ("since", "since_ns", "BIGINT"),
    ("until", "until_ns", "BIGINT"),
)
_MAX_LINE_BYTES = 64 * 2**20
_SMALL_BYTES = 32 * 2**20
_PLACES_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """Where the history is not what a process of ours could have left. `line` counts from 1; 0 is the whole file."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}" if self.line else f"{self.file}: {self.why}"


@dataclass(kw_only=True, slots=True)
class Loaded:
    """The tables of a run, and what reading them met."""

    db: duckdb.DuckDBPyConnection
    manifest: Manifest
    events: int = 0
    torn_lines: int = 0
    damaged: list[Damage] = field(default_factory=list)


@contextmanager
def load(run: Path, progress: Progress) -> Iterator[Loaded]:
    """Read a run. Errors: NotARun without a manifest that can be judged, HistoryError when a file cannot be read."""
    manifest = manifests.load(run)
    with tempfile.TemporaryDirectory(prefix="gameday-verify-") as scratch:
        paths = _history_files(run)
        size = sum(path.stat().st_size for path in paths)
        # A small history is judged in memory, which saves a database file's overhead; a large one would not fit.
        db = duckdb.connect(
            ":memory:" if size < _SMALL_BYTES else str(Path(scratch) / "history.duckdb"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": 1 if size < _SMALL_BYTES else THREADS,
                "temp_directory": scratch,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        try:
            loaded = Loaded(db=db, manifest=manifest)
            progress(f"reading {len(paths)} history files, {size / 1e6:.1f} MB")
            with ThreadPoolExecutor(max_workers=1) as pool:
                scanning = pool.submit(_scan, paths)
                try:
                    _parse(db, paths, Path(scratch))
                except duckdb.Error as error:
                    raise HistoryError(f"cannot read the history in {run / DIRECTORY}: {error}") from error
                records_per_file = scanning.result()
            _account(loaded, run, paths, records_per_file)
            progress(f"{loaded.events:,} events; building tables")
            _build(loaded)
            yield loaded
        finally:
            db.close()


def _history_files(run: Path) -> list[Path]:
    directory = run / DIRECTORY
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".jsonl" and path.is_file())
    except FileNotFoundError:
        raise NotARun(f"{run} is not a run directory: it has no {DIRECTORY}/") from None
    except OSError as error:
        raise HistoryError(f"cannot read {directory}: {error.strerror}") from error


def _scan(paths: list[Path]) -> dict[str, tuple[int, Scan, set[str]]]:
    """Per file: how many records it holds, what is wrong with it, and the files that its `writer` marks list."""
    seen = {}
    for path in paths:
        scan, listed, count = Scan(), set(), 0
        for _, record in records(path, scan):
            count += 1
            if record["event"] == "mark" and record.get("name") == "writer" and record.get("file"):
                listed.add(str(record["file"]))
        seen[path.name] = (count, scan, listed)
    return seen


def _parse(db: duckdb.DuckDBPyConnection, paths: list[Path], scratch: Path) -> None:
    """Fill `raw`, whose `line` grows within each file as the file's lines do."""
    columns = ", ".join(f"'{field}': '{type}'" for field, _, type in FIELDS)
    # What is beyond any time is damage, which the other reader names; here it must not overflow a sum.
    within = f"BETWEEN -{TIME_MAX} AND {TIME_MAX}"
    names = ", ".join(
        f'CASE WHEN "{field}" {within} THEN "{field}" END AS {column}' if type == "BIGINT" else f'"{field}" AS {column}'
        for field, column, type in FIELDS
    )
    declared = ", ".join(f"{column} {type}" for _, column, type in FIELDS)
    db.execute("SET preserve_insertion_order = true")
    db.execute(f"CREATE TABLE parsed (file SMALLINT, {declared})")
    for number, path in enumerate(paths):
        # By a name of ours: DuckDB reads a pattern into a name with brackets, and columns into one like "key=value".
        link = scratch / f"{number}.jsonl"
        link.symlink_to(path.resolve())
        db.execute(
            f"INSERT INTO parsed SELECT {number}, {names} FROM read_json(?, format = 'newline_delimited', "
            f"columns = {{{columns}}}, ignore_errors = true, maximum_object_size = {_MAX_LINE_BYTES}, "
            "hive_partitioning = false) WHERE event IS NOT NULL AND at_ns IS NOT NULL",
            [str(link)],
        )
    # Only now do intermediate results no longer need the order of the lines: `line` keeps it.
    db.execute("SET preserve_insertion_order = false")
    db.execute("CREATE VIEW raw AS SELECT rowid AS line, * FROM parsed")


def _account(loaded: Loaded, run: Path, paths: list[Path], seen: Mapping[str, tuple[int, Scan, set[str]]]) -> None:
    per_file = loaded.db.execute("SELECT file, count(*) FROM raw GROUP BY file").fetchall()
    parsed = {paths[number].name: count for number, count in per_file}
    present = {path.name for path in paths}
    for name, (count, scan, listed) in seen.items():
        loaded.events += count
        loaded.torn_lines += scan.torn
        loaded.damaged += [Damage(file=name, line=line, why=why) for line, why in scan.damaged]
        loaded.damaged += [
            Damage(file=missing, line=0, why=f"listed by {name}, but absent from {run / DIRECTORY}")
            for missing in sorted(listed - present)
        ]
        if not scan.damaged and parsed.get(name, 0) != count:
            loaded.damaged.append(
                Damage(file=name, line=0, why=f"{count} records, but {parsed.get(name, 0)} could be parsed")
            )


def _build(loaded: Loaded) -> None:
    """The derived tables that checks read (verify/tables/*.sql, in the order of their names)."""
    db, manifest = loaded.db, loaded.manifest
    db.execute(f"CREATE MACRO clock_error() AS {manifest.clock_error_ns}::BIGINT")
    db.execute(f"CREATE MACRO broker_tick() AS {manifest.broker_tick_ns}::BIGINT")
    db.execute(
        "CREATE TABLE declared (s VARCHAR, kind VARCHAR, ordered_by VARCHAR, visibility_s DOUBLE, max_receives BIGINT, "
        "dead_letter BOOLEAN, dedup_window_s DOUBLE, filtered BOOLEAN, settle_s DOUBLE, effective_from_ns BIGINT, "
        "at_most_once BOOLEAN)"
    )
    rows = [
        (
            name,
            s.kind,
            s.ordered_by,
            s.visibility_timeout_s,
            s.max_receives,
            s.dead_letter,
            s.dedup_window_s,
            s.filtered,
            s.settle_s,
            s.effective_from,
            s.promises == "at-most-once",
        )
        for name, s in manifest.subscriptions.items()
    ]
    if rows:
        db.executemany(f"INSERT INTO declared VALUES ({', '.join('?' * 11)})", rows)
    for script in sorted(files("verify").joinpath("tables").iterdir(), key=lambda path: path.name):
        if script.name.endswith(".sql"):
            db.execute(script.read_text(encoding="utf-8"))
    _find_overtakes(db)


def _find_overtakes(db: duckdb.DuckDBPyConnection) -> None:
    """Fill `overtakes` piece by piece: a broker that ignores its locks makes more pairs than fit into memory."""
    row = db.execute("SELECT coalesce(max(covered), 0)::BIGINT FROM spans").fetchone()
    assert row is not None
    for above in range(0, row[0], _PLACES_AT_ONCE):
        db.execute(
            f"INSERT INTO overtakes SELECT * FROM overtakes_between({above}, {above + _PLACES_AT_ONCE}) "
            "WHERE (line, unread) NOT IN (SELECT (line, unread) FROM overtakes)"
        )
