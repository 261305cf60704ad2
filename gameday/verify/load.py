"""From a run directory to tables in DuckDB, with everything that was unreadable named by file and line.

Two readers go over the same bytes. Ours (gameday/history/reader.py) decides, line by line, what is a record, what is a
torn tail and what is damage; DuckDB's parses the records into columns. They must agree on how many records there are: a
record that one of them saw and the other did not would be a silent hole in a verdict, and counts as damage.

Everything lives in a database file that is deleted afterwards, so that a history larger than memory can be judged.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import duckdb

from gameday.history import manifest as manifests
from gameday.history.clock import TIME_MAX
from gameday.history.errors import HistoryError, NotARun, UsageError
from gameday.history.manifest import FILE as MANIFEST
from gameday.history.manifest import Manifest
from gameday.history.reader import Scan, Unknown, records
from gameday.history.writer import DIRECTORY
from gameday.verify.pairing import Told, pair

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
    ("reason", "reason", "VARCHAR"),
    ("replay", "replay", "VARCHAR"),
    ("since", "since_ns", "BIGINT"),
    ("until", "until_ns", "BIGINT"),
)
_MAX_LINE_BYTES = 64 * 2**20
_SMALL_BYTES = 32 * 2**20
_PLACES_AT_ONCE = 2_000_000
_NAMED_MOST = 100
_PLAIN, _PACKED = ".jsonl", ".jsonl.gz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """Where the history is not what a process of ours could have left. `line` counts from 1; 0 is the whole file."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}" if self.line else f"{self.file}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """What no check reads, because the format does not know its name. `first`: FILE:LINE where it was met first."""

    kind: str
    name: str
    of: str | None
    count: int
    near: str | None
    first: str

    def __str__(self) -> str:
        where = f" of {self.of}" if self.of else ""
        hint = f"; did you mean `{self.near}`?" if self.near else ""
        return f"{self.first}: unknown {self.kind} `{self.name}`{where}{hint}"


@dataclass(kw_only=True, slots=True)
class Loaded:
    """The tables of a run, and what reading them met. `files`: the names of the history files by their number."""

    db: duckdb.DuckDBPyConnection
    manifest: Manifest
    files: Sequence[str]
    events: int = 0
    torn_lines: int = 0
    damaged: list[Damage] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)

    def place(self, file: int, line: int) -> str:
        """FILE:LINE of a record, by its number of file and of row."""
        row = self.db.execute("SELECT min(line) FROM raw WHERE file = ?", [file]).fetchone()
        assert row is not None
        return f"{self.files[file]}:{line - row[0] + 1}"


@contextmanager
def load(run: Path, progress: Progress, *, strict: bool = False) -> Iterator[Loaded]:
    """Read a run. `strict` refuses events and fields that the format does not know.

    Errors: NotARun without a manifest that can be judged, HistoryError when a file cannot be read, UsageError for what
    `strict` refuses.
    """
    manifest = manifests.load(run)
    with tempfile.TemporaryDirectory(prefix="gameday-verify-") as scratch:
        paths, passed_over = _history_files(run)
        paths, broken = _unpacked(paths, Path(scratch))
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
            loaded = Loaded(db=db, manifest=manifest, files=[path.name for path in paths], damaged=broken)
            progress(f"reading {len(paths)} history files, {size / 1e6:.1f} MB")
            with ThreadPoolExecutor(max_workers=1) as pool:
                scanning = pool.submit(_scan, paths)
                try:
                    _parse(db, paths, Path(scratch))
                except duckdb.Error as error:
                    raise HistoryError(f"cannot read the history in {run / DIRECTORY}: {error}") from error
                records_per_file = scanning.result()
            _account(loaded, run, paths, records_per_file)
            _name_the_ignored(loaded, records_per_file, passed_over)
            if strict and loaded.ignored:
                raise UsageError("\n".join(map(str, loaded.ignored)))
            progress(f"{loaded.events:,} events; building tables")
            _build(loaded)
            yield loaded
        finally:
            db.close()


def _history_files(run: Path) -> tuple[list[Path], list[Path]]:
    """The history files, and what else stands beside them."""
    directory = run / DIRECTORY
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file())
        read = [path for path in files if path.name.endswith((_PLAIN, _PACKED))]
        return read, [path for path in files if path not in read]
    except FileNotFoundError:
        raise NotARun(f"{run} is not a run directory: it has no {DIRECTORY}/") from None
    except OSError as error:
        raise HistoryError(f"cannot read {directory}: {error.strerror}") from error


def _unpacked(paths: Sequence[Path], scratch: Path) -> tuple[list[Path], list[Damage]]:
    """The files with the packed ones unpacked, as far as they can be; what cannot be is damage."""
    plain = [path for path in paths if path.name.endswith(_PLAIN)]
    damaged: list[Damage] = []
    for path in paths:
        if not path.name.endswith(_PACKED):
            continue
        name = path.name.removesuffix(".gz")
        if any(other.name == name for other in plain):
            damaged.append(Damage(file=path.name, line=0, why=f"{name} is there as well; one of the two must go"))
            continue
        unpacked = scratch / "unpacked" / name
        unpacked.parent.mkdir(exist_ok=True)
        with unpacked.open("wb") as target:
            try:
                with gzip.open(path, "rb") as source:
                    shutil.copyfileobj(source, target)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                damaged.append(Damage(file=path.name, line=0, why=f"cannot be unpacked to its end: {error}"))
            except OSError as error:
                raise HistoryError(f"cannot read {path}: {error.strerror}") from error
        plain.append(unpacked)
    return sorted(plain, key=lambda path: path.name), damaged


def _scan(paths: list[Path]) -> dict[str, tuple[int, Scan, set[str]]]:
    """Per file: how many records it holds, what is wrong with it, and the files that its `writer` marks list."""
    seen = {}
    for path in paths:
        scan, listed, count = Scan(), set(), 0
        for _, record in records(path, scan):
            count += 1
            if record["event"] == "mark" and record.get("name") == "writer" and record.get("file"):
                listed.add(str(record["file"]).removesuffix(".gz"))
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
        if scan.damaged_more:
            loaded.damaged.append(Damage(file=name, line=0, why=f"and {scan.damaged_more} more lines are damaged"))
        loaded.damaged += [
            Damage(file=missing, line=0, why=f"listed by {name}, but absent from {run / DIRECTORY}")
            for missing in sorted(listed - present)
        ]
        if not scan.damaged and parsed.get(name, 0) != count:
            loaded.damaged.append(
                Damage(file=name, line=0, why=f"{count} records, but {parsed.get(name, 0)} could be parsed")
            )

    loaded.damaged += _one_id_for_two(loaded)


def _name_the_ignored(
    loaded: Loaded, seen: Mapping[str, tuple[int, Scan, set[str]]], passed_over: Sequence[Path]
) -> None:
    met: Counter[Unknown] = Counter()
    first: dict[Unknown, str] = {}
    for name, (_, scan, _) in seen.items():
        met.update(scan.unknown)
        for unknown, line in scan.first_met.items():
            first.setdefault(unknown, f"{name}:{line}")
    loaded.ignored += [
        Ignored(
            kind=unknown.kind,
            name=unknown.name,
            of=unknown.of or None,
            count=count,
            near=unknown.near,
            first=first[unknown],
        )
        for unknown, count in met.most_common(_NAMED_MOST)
    ]
    loaded.ignored += [
        Ignored(kind="field", name=name, of=of, count=1, near=near, first=MANIFEST)
        for name, of, near in loaded.manifest.unknown
    ]
    loaded.ignored += [
        Ignored(kind="file", name=path.name, of=None, count=1, near=None, first=DIRECTORY) for path in passed_over
    ]


def _one_id_for_two(loaded: Loaded) -> list[Damage]:
    """Where an `intended` says of an id what its first one does not: two messages would be judged as one."""
    rows = loaded.db.execute(
        "WITH told AS ("
        " SELECT id, file, line, attempt, grp, seq, due_ns, list_sort(expect) AS expect FROM raw "
        " WHERE event = 'intended' AND id IS NOT NULL QUALIFY count(*) OVER (PARTITION BY id) > 1"
        "), firsts AS ("
        # The first attempt says what the message is; where its record is missing, the earliest one that says it.
        " SELECT id, arg_min({'grp': grp, 'seq': seq, 'due_ns': due_ns, 'expect': expect}, (attempt, line)) AS first,"
        " arg_min(line, (attempt, line)) AS line FROM told WHERE attempt = 1 OR expect IS NOT NULL GROUP BY id"
        ") SELECT t.file, t.line, t.id, t.attempt FROM told t JOIN firsts f ON f.id = t.id AND f.line <> t.line "
        "WHERE (t.attempt = 1 OR t.grp IS NOT NULL) AND t.grp IS DISTINCT FROM f.first.grp"
        " OR (t.attempt = 1 OR t.seq IS NOT NULL) AND t.seq IS DISTINCT FROM f.first.seq"
        " OR (t.attempt = 1 OR t.due_ns IS NOT NULL) AND t.due_ns IS DISTINCT FROM f.first.due_ns"
        " OR (t.attempt = 1 OR t.expect IS NOT NULL) AND t.expect IS DISTINCT FROM f.first.expect "
        f"ORDER BY t.line LIMIT {_NAMED_MOST}"
    ).fetchall()
    damaged = []
    for file, line, id, attempt in rows:
        name, _, number = loaded.place(file, line).rpartition(":")
        damaged.append(
            Damage(
                file=name,
                line=int(number),
                why=f"{id} was intended{' twice' if attempt == 1 else ''} as attempt {attempt} "
                "with another group, seq, due or expect: one id stands for two messages",
            )
        )
    return damaged


def _build(loaded: Loaded) -> None:
    """The derived tables that checks read (gameday/verify/tables/*.sql, in the order of their names)."""
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
    for script in sorted(files("gameday.verify").joinpath("tables").iterdir(), key=lambda path: path.name):
        if script.name.endswith(".sql"):
            db.execute(script.read_text(encoding="utf-8"))
            if script.name in _AFTER:
                _AFTER[script.name](db)


def _pair_tangled(db: duckdb.DuckDBPyConnection) -> None:
    """Add to `settles` the calls of which several were open at once."""
    rows = db.execute(
        "SELECT file, batch, id, action, s, part, broker_id, position, "
        "line, event = 'settling', at_ns, started_ns, outcome, call, consumer, hidden_s "
        "FROM told WHERE tangled ORDER BY ALL"
    ).fetchall()
    settles = []
    for (file, batch, id, action, s, part, broker_id, position), told in groupby(rows, key=lambda row: row[:8]):
        by_line = {row[8]: row for row in sorted(told, key=lambda row: row[8])}
        calls = pair(
            Told(line=line, intent=row[9], at=row[10], began=row[11], outcome=row[12], call=row[13])
            for line, row in by_line.items()
        )
        for call in calls:
            consumer, hidden_s = by_line[call.line][14:]
            settles.append(
                (id, s, consumer, batch, action, part, file, call.line, call.began, call.answered,
                 call.answered_line, call.ok,
                 call.may_work, hidden_s, broker_id, position)
            )  # fmt: skip
    if settles:
        db.executemany(
            "INSERT INTO settles SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ns(?::DOUBLE), ?, sequence_key(?)",
            settles,
        )


def _find_overtakes(db: duckdb.DuckDBPyConnection) -> None:
    """Fill `overtakes` piece by piece: a broker that ignores its locks makes more pairs than fit into memory."""
    row = db.execute("SELECT coalesce(max(covered), 0)::BIGINT FROM spans").fetchone()
    assert row is not None
    for above in range(0, row[0], _PLACES_AT_ONCE):
        db.execute(
            f"INSERT INTO overtakes SELECT * FROM overtakes_between({above}, {above + _PLACES_AT_ONCE}) "
            "WHERE (line, unread) NOT IN (SELECT (line, unread) FROM overtakes)"
        )


# What is easier to say in Python, each after the script that makes what it reads.
_AFTER: Mapping[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    "40_settles.sql": _pair_tangled,
    "82_overtakes.sql": _find_overtakes,
}
