"""From run directories to tables in DuckDB, with everything that was unreadable named by file and line.

Two readers go over the same bytes. Ours (gameday/history/reader.py) decides, line by line, what is a record, what is a
torn tail and what is damage; DuckDB's parses the records into columns. They must agree on how many records there are: a
record that one of them saw and the other did not would be a silent hole in a verdict, and counts as damage.

Everything lives in a database file that is deleted afterwards, so that a history larger than memory can be judged.

Tables are made in stages, so that a history can also be judged in buckets (gameday/verify/buckets.py): what concerns
the whole of it, what concerns the messages of a group, and what is asked of all that was found.

Many small histories share their tables, for planning a query takes longer than carrying it out on a few hundred rows.
Every name in them then begins with the tag of its run, which stands in no history, so that nothing of two runs meets.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import duckdb

from gameday.history.clock import TIME_MAX
from gameday.history.errors import HistoryError, NotARun, UsageError
from gameday.history.manifest import FILE as MANIFEST
from gameday.history.manifest import Manifest
from gameday.history.reader import Scan, Unknown, blocks
from gameday.history.schema import FIELDS, Field
from gameday.history.writer import DIRECTORY
from gameday.verify.clocks import Clocks, HostsTold, plain, reckon
from gameday.verify.pairing import Told, pair
from gameday.verify.workers import in_processes

Progress = Callable[[str], None]

# Beyond this DuckDB spills to disk, for each two of its threads; with Python and the parser beside it a process of so
# many stays well below 1 GiB.
MEMORY_MB = 480
THREADS = 2
MEMORY_LIMIT = f"{MEMORY_MB}MB"

# The fields of a record that stand in the tables, each in a column.
COLUMNS: Mapping[str, Field] = {field.column: field for field in FIELDS.values() if field.column is not None}
# Without what the scripts up to here make there is nothing to judge by.
_LAST_THAT_ALL_NEED = "60_pairs.sql"
# What is learnt from a history as a whole; the macros in there are known to every bucket, too. What else there is may
# look at one group of messages alone.
_WHOLE = frozenset(
    {
        "10_subscriptions.sql",
        "15_identified.sql",
        "16_invocations.sql",
        "22_troubled.sql",
        "27_keys.sql",
        "29_workflows.sql",
        "42_unnamed.sql",
        "44_consumers.sql",
        "50_settled_state.sql",
        "52_objects.sql",
        "58_batches.sql",
        "64_replays.sql",
        "84_faults.sql",
        "85_afflicted.sql",
    }
)
# What is made of the records that are there, be they all, those of a bucket, or those that are of no message.
_OF_EVERY_STAGE = frozenset({"28_records.sql", "40_settles.sql"})
# What is asked of all that was found.
_LAST = frozenset({"90_nothing_happened.sql"})
Stage = Literal["all", "whole", "bucket", "last"]
# The settling calls that each stage looks at. Those of no told message, and those of a place in a stream, concern the
# whole.
_SETTLINGS: Mapping[Stage, str] = {
    "all": "true",
    "whole": "id IS NULL OR action IS NOT DISTINCT FROM 'checkpoint'",
    "bucket": "id IS NOT NULL AND action IS DISTINCT FROM 'checkpoint'",
}
_MAX_LINE_BYTES = 64 * 2**20
_SMALL_BYTES = 32 * 2**20
_PLACES_AT_ONCE = 2_000_000
_NAMED_MOST = 100
_PLAIN, _PACKED = ".jsonl", ".jsonl.gz"
_TABLES: Mapping[str, str] = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted(files("gameday.verify").joinpath("tables").iterdir(), key=lambda path: path.name)
    if path.name.endswith(".sql")
}


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


class Tables:
    """What several runs share, and what is asked of it for each of them."""

    def __init__(self, db: duckdb.DuckDBPyConnection, scratch: Path) -> None:
        self.db = db
        # A directory for whatever is written meanwhile; it goes with the tables.
        self.scratch = scratch
        # The scripts that could not be carried out, each with the reason.
        self.failed: dict[str, str] = {}
        self._answers: dict[str, dict[int, list[tuple[Any, ...]]]] = {}

    def rows(self, query: str, run: int) -> list[tuple[Any, ...]]:
        """Those of one run, without their first column, which is its number. It is asked once for all the runs."""
        if query not in self._answers:
            answers: dict[int, list[tuple[Any, ...]]] = {}
            for number, *row in self.db.execute(query).fetchall():
                answers.setdefault(number, []).append(tuple(row))
            self._answers[query] = answers
        return self._answers[query].get(run, [])


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryFile:
    """One file of a history: the number of its run, and its own."""

    run: int
    number: int
    path: Path


@dataclass(kw_only=True, slots=True)
class Loaded:
    """A run in its tables, and what reading it met.

    `tag` stands before every name of the run (of a message, a subscription, a process) where it shares its tables.
    """

    tables: Tables
    number: int
    tag: str
    directory: Path
    manifest: Manifest
    files: Mapping[int, HistoryFile]
    passed_over: Sequence[Path]
    clocks: Clocks = field(default_factory=lambda: Clocks(error_ns=0))
    events: int = 0
    torn_lines: int = 0
    damaged: list[Damage] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)

    @property
    def db(self) -> duckdb.DuckDBPyConnection:
        return self.tables.db

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What `query` gives for this run: see `Tables.rows`."""
        return self.tables.rows(query, self.number)

    def place(self, file: int, line: int) -> str:
        """FILE:LINE of a record, by its number of file and of row."""
        row = self.db.execute(
            "SELECT count(*) FROM raw WHERE file = ? AND line <= ? AND listed = 0", [file, line]
        ).fetchone()
        assert row is not None
        return f"{self.files[file].path.name}:{row[0]}"


def _tag(number: int) -> str:
    """Of Unicode's characters for private use: no name of a history has them."""
    return f"\ue000{number}\ue001"


@contextmanager
def load(
    runs: Sequence[tuple[Path, Manifest]],
    progress: Progress,
    *,
    strict: bool = False,
    stage: Stage = "all",
    jobs: int = 1,
) -> Iterator[Sequence[Loaded]]:
    """Read runs into tables that they share; all have one clock error and one tick.

    `strict` refuses events and fields that the format does not know; `stage`: which tables are made; `jobs`: how many
    processes read. Errors: HistoryError when a file cannot be read, NotARun for a directory without a history,
    UsageError for what `strict` refuses.
    """
    with tempfile.TemporaryDirectory(prefix="gameday-verify-") as name:
        scratch = Path(name)
        files, damaged, passed_over = _found([directory for directory, _ in runs], scratch)
        size = sum(file.path.stat().st_size for file in files)
        db = connect(scratch, small=size < _SMALL_BYTES, threads=max(THREADS, jobs))
        try:
            tables = Tables(db, scratch)
            loaded = [
                Loaded(
                    tables=tables,
                    number=number,
                    tag=_tag(number) if len(runs) > 1 else "",
                    directory=directory,
                    manifest=manifest,
                    files={file.number: file for file in files if file.run == number},
                    passed_over=passed_over[number],
                    damaged=damaged[number],
                )
                for number, (directory, manifest) in enumerate(runs)
            ]
            progress(f"reading {len(files)} history files, {size / 1e6:.1f} MB")
            with ThreadPoolExecutor(max_workers=1) as pool:
                scanning = pool.submit(_scan, files) if jobs == 1 else pool.submit(_scan_in_processes, files, jobs)
                try:
                    _parse(db, files, loaded, scratch)
                except duckdb.Error as error:
                    where = ", ".join(str(directory / DIRECTORY) for directory, _ in runs)
                    raise HistoryError(f"cannot read the history in {where}: {error}") from error
                scans = scanning.result()
            _account(loaded, scans)
            if strict and (ignored := [str(ignored) for each in loaded for ignored in each.ignored]):
                raise UsageError("\n".join(ignored))
            progress(f"{sum(each.events for each in loaded):,} events; building tables")
            _declare(db, loaded)
            tables.failed = build(db, stage)
            yield loaded
        finally:
            db.close()


def connect(scratch: Path, *, small: bool, threads: int = THREADS) -> duckdb.DuckDBPyConnection:
    """A small history is judged in memory, which saves a database file's overhead; a large one would not fit."""
    db = duckdb.connect(
        ":memory:" if small else str(scratch / "history.duckdb"),
        config={
            "memory_limit": f"{max(THREADS, threads) // THREADS * MEMORY_MB}MB",
            "threads": 1 if small else threads,
            "temp_directory": str(scratch),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    # What takes longer than two seconds would show on standard output, among what is printed there.
    db.execute("SET enable_progress_bar = false")
    # A table that is not there must not be looked for among the variables of who asks.
    db.execute("SET python_enable_replacements = false")
    return db


def _found(
    directories: Sequence[Path], scratch: Path
) -> tuple[list[HistoryFile], list[list[Damage]], list[Sequence[Path]]]:
    """Every history file; and by run, what could not be unpacked and what is no history file."""
    files: list[HistoryFile] = []
    damaged: list[list[Damage]] = []
    passed_over: list[Sequence[Path]] = []
    for run, directory in enumerate(directories):
        paths, others = _history_files(directory)
        paths, broken = _unpacked(paths, scratch / f"unpacked-{run}")
        files += [HistoryFile(run=run, number=len(files) + n, path=path) for n, path in enumerate(paths)]
        damaged.append(broken)
        passed_over.append(others)
    return files, damaged, passed_over


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
        scratch.mkdir(exist_ok=True)
        unpacked = scratch / name
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _FileScan:
    """`count`: how many records the file holds; `listed`: the files that its `writer` marks name; `hosts`: on which
    hosts these are, and how well clocks are known."""

    scan: Scan
    count: int
    listed: set[str]
    hosts: HostsTold


def _scan(files: Sequence[HistoryFile]) -> Mapping[int, _FileScan]:
    """What our own reader finds in each file, by its number."""
    scans = {}
    for file in files:
        scan, listed, hosts, count = Scan(), set(), HostsTold(), 0
        for block in blocks(file.path, scan):
            count += block.count
            if block.last_ns is not None:
                hosts.last_ns = block.last_ns if hosts.last_ns is None else max(hosts.last_ns, block.last_ns)
            for mark in block.marks:
                hosts.hear(mark)
                if mark.get("name") == "writer" and mark.get("file"):
                    listed.add(plain(mark["file"]))
        scans[file.number] = _FileScan(scan=scan, count=count, listed=listed, hosts=hosts)
    return scans


def clock_error_ns(run: Path, manifest: Manifest) -> int:
    """How far the clocks of the writers of a small run may differ: what `load` will find, without its tables.

    Errors: HistoryError when a file cannot be read, NotARun for a directory without a history.
    """
    with tempfile.TemporaryDirectory(prefix="gameday-verify-") as name:
        found, _, _ = _found([run], Path(name))
        if not any(_may_name_hosts(file.path.read_bytes()) for file in found):
            return manifest.clock_error_ns
        return _clocks(found, _scan(found), manifest).error_ns


def _may_name_hosts(history: bytes) -> bool:
    """Whether any record may have a field `host`, whose name may be written with escapes."""
    return b'"host"' in history or b"\\u" in history


def _clocks(found: Sequence[HistoryFile], scans: Mapping[int, _FileScan], manifest: Manifest) -> Clocks:
    told = {plain(file.path.name): scans[file.number].hosts for file in found}
    return reckon(told, declared_ns=manifest.clock_error_ns)


def _scan_in_processes(files: Sequence[HistoryFile], jobs: int) -> Mapping[int, _FileScan]:
    """The same by several processes, each with about as many bytes."""
    shares: list[list[HistoryFile]] = [[] for _ in range(min(jobs, len(files)))]
    sizes = [0] * len(shares)
    for size, file in sorted(((file.path.stat().st_size, file) for file in files), key=lambda each: -each[0]):
        least = sizes.index(min(sizes))
        shares[least].append(file)
        sizes[least] += size
    return {number: scan for share in in_processes(_scan, shares, jobs=jobs) for number, scan in share.items()}


def _parse(
    db: duckdb.DuckDBPyConnection, files: Sequence[HistoryFile], loaded: Sequence[Loaded], scratch: Path
) -> None:
    """Fill `raw`, whose `line` grows within each file as the file's lines do.

    An `invoked` stands there once as it was written (`listed` 0) and then once for each of its `ids` (1, 2, …), as a
    record of that message.
    """
    shared = len(loaded) > 1
    columns = ", ".join(f"'{field.name}': '{field.sql}'" for field in COLUMNS.values())
    selected = ", ".join(f"{_value(field, tagged=shared)} AS {column}" for column, field in COLUMNS.items())
    declared = ", ".join(f"{column} {field.sql}" for column, field in COLUMNS.items())
    db.execute("SET preserve_insertion_order = true")
    db.execute(f"CREATE TABLE parsed (file INTEGER, run INTEGER, {declared}, listed INTEGER)")
    links = []
    for file in files:
        # By a name of ours: DuckDB reads a pattern into a name with brackets, and columns into one like "key=value".
        link = scratch / f"{file.number}.jsonl"
        link.symlink_to(file.path.resolve())
        links.append(str(link))
    if links:
        run, tag = "0", ""
        if shared:
            # A list by the file's number and no join, which would not keep the order of the lines.
            run = f"([{', '.join(str(file.run) for file in files)}])[file + 1]"
            tag = f", ([{', '.join(_quoted(loaded[file.run].tag) for file in files)}])[file + 1] AS tag"
        source = (
            f"SELECT regexp_extract(filename, '([0-9]+)[.]jsonl$', 1)::INTEGER AS file, * EXCLUDE (filename) "
            f"FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true, "
            f"filename = true, maximum_object_size = {_MAX_LINE_BYTES}, hive_partitioning = false)"
        )
        db.execute(
            "INSERT INTO parsed "
            f"SELECT * REPLACE ({_OF_EACH_INVOKED}) "
            f"FROM (SELECT file, {run} AS run, {selected}, unnest({_ONCE_EACH}) AS listed "
            f"FROM (SELECT *{tag} FROM ({source}))) "
            "WHERE event IS NOT NULL AND at_ns IS NOT NULL",
            [links],
        )
    # Only now do intermediate results no longer need the order of the lines: `line` keeps it.
    db.execute("SET preserve_insertion_order = false")
    db.execute("CREATE VIEW raw AS SELECT rowid AS line, * FROM parsed")


# The messages that an `invoked` names; how often a record stands in the tables; and what of it where it stands for one
# of them.
_IDS = "list_filter(\"ids\", lambda each: each <> '')"
_ONCE_EACH = f'CASE WHEN "event" = \'invoked\' AND len("ids") > 0 THEN range(0, len({_IDS}) + 1) ELSE [0] END'
_OF_EACH_INVOKED = "CASE WHEN listed > 0 THEN ids[listed] ELSE id END AS id, CASE WHEN listed = 0 THEN ids END AS ids"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _value(field: Field, *, tagged: bool) -> str:
    """What of a record goes into the column of a field."""
    name = f'"{field.name}"'
    if field.name in ("id", "broker_id"):
        # An empty one tells nothing.
        name = f"nullif({name}, '')"
    elif field.name == "ids":
        name = _IDS
    if field.sql == "BIGINT":
        # What is beyond any time is damage, which the other reader names; here it must not overflow a sum.
        return f"CASE WHEN {name} BETWEEN -{TIME_MAX} AND {TIME_MAX} THEN {name} END"
    if tagged and field.names:
        return f"list_transform({name}, lambda each: tag || each)" if field.kind == "texts" else f"tag || {name}"
    return name


def _account(loaded: Sequence[Loaded], scans: Mapping[int, _FileScan]) -> None:
    """What each run's files hold, and where the two readers do not agree on it."""
    db = loaded[0].db
    parsed = dict(db.execute("SELECT file, count(*) FROM raw WHERE listed = 0 GROUP BY file").fetchall())
    for run in loaded:
        present = {file.path.name for file in run.files.values()}
        for number, file in run.files.items():
            seen, name = scans[number], file.path.name
            run.events += seen.count
            run.torn_lines += seen.scan.torn
            run.damaged += [Damage(file=name, line=line, why=why) for line, why in seen.scan.damaged]
            if seen.scan.damaged_more:
                why = f"and {seen.scan.damaged_more} more lines are damaged"
                run.damaged.append(Damage(file=name, line=0, why=why))
            hosts = dict(seen.hosts.writers)
            for missing in sorted(seen.listed - present):
                of = f" for host {hosts[missing]}" if missing in hosts else ""
                why = f"listed by {name}{of}, but absent from {run.directory / DIRECTORY}"
                run.damaged.append(Damage(file=missing, line=0, why=why))
            if not seen.scan.damaged and parsed.get(number, 0) != seen.count:
                why = f"{seen.count} records, but {parsed.get(number, 0)} could be parsed"
                run.damaged.append(Damage(file=name, line=0, why=why))
        run.clocks = _clocks(list(run.files.values()), scans, run.manifest)
        run.damaged += [
            Damage(file=name, line=0, why=f"`writer` marks give it to different hosts: {', '.join(hosts)}")
            for name, hosts in sorted(run.clocks.contradictory.items())
        ]
        run.damaged += _one_id_for_two(run)
        run.ignored += _ignored(run, {file.path.name: scans[number].scan for number, file in run.files.items()})


def _ignored(run: Loaded, scans: Mapping[str, Scan]) -> Iterator[Ignored]:
    met: Counter[Unknown] = Counter()
    first: dict[Unknown, str] = {}
    for name, scan in scans.items():
        met.update(scan.unknown)
        for unknown, line in scan.first_met.items():
            first.setdefault(unknown, f"{name}:{line}")
    for unknown, count in met.most_common(_NAMED_MOST):
        of, near = unknown.of or None, unknown.near
        yield Ignored(kind=unknown.kind, name=unknown.name, of=of, count=count, near=near, first=first[unknown])
    for name, of, near in run.manifest.unknown:
        yield Ignored(kind="field", name=name, of=of, count=1, near=near, first=MANIFEST)
    for path in run.passed_over:
        yield Ignored(kind="file", name=path.name, of=None, count=1, near=None, first=DIRECTORY)


# Where an `intended` says of an id what its first one does not: two messages would be judged as one. The first attempt
# says what the message is; where its record is missing, the earliest one that says it.
_TWO_FOR_ONE = f"""
WITH told AS (
    SELECT run, id, file, line, attempt, grp, seq, due_ns, list_sort(expect) AS expect, effects_key FROM raw
    WHERE event = 'intended' AND id IS NOT NULL QUALIFY count(*) OVER (PARTITION BY id) > 1
), firsts AS (
    SELECT id, arg_min({{'grp': grp, 'seq': seq, 'due_ns': due_ns, 'expect': expect, 'effects_key': effects_key}},
                       (attempt, line)) AS first,
           arg_min(line, (attempt, line)) AS line
    FROM told WHERE attempt = 1 OR expect IS NOT NULL GROUP BY id
)
SELECT t.run, t.file, t.line, t.id, t.attempt FROM told t JOIN firsts f ON f.id = t.id AND f.line <> t.line
WHERE (t.attempt = 1 OR t.grp IS NOT NULL) AND t.grp IS DISTINCT FROM f.first.grp
   OR (t.attempt = 1 OR t.seq IS NOT NULL) AND t.seq IS DISTINCT FROM f.first.seq
   OR (t.attempt = 1 OR t.due_ns IS NOT NULL) AND t.due_ns IS DISTINCT FROM f.first.due_ns
   OR (t.attempt = 1 OR t.expect IS NOT NULL) AND t.expect IS DISTINCT FROM f.first.expect
   OR (t.attempt = 1 OR t.effects_key IS NOT NULL) AND t.effects_key IS DISTINCT FROM f.first.effects_key
QUALIFY row_number() OVER (PARTITION BY t.run ORDER BY t.line) <= {_NAMED_MOST}
ORDER BY t.line
"""


def _one_id_for_two(run: Loaded) -> Iterator[Damage]:
    for file, line, id, attempt in run.rows(_TWO_FOR_ONE):
        name, _, number = run.place(file, line).rpartition(":")
        yield Damage(
            file=name,
            line=int(number),
            why=f"{id} was intended{' twice' if attempt == 1 else ''} as attempt {attempt} "
            "with another group, seq, due, expect or key: one id stands for two messages",
        )


def define(db: duckdb.DuckDBPyConnection, *, clock_error_ns: int, broker_tick_ns: int) -> None:
    """What the manifest says of time, as macros."""
    db.execute(f"CREATE MACRO clock_error() AS {clock_error_ns}::BIGINT")
    db.execute(f"CREATE MACRO broker_tick() AS {broker_tick_ns}::BIGINT")


def _declare(db: duckdb.DuckDBPyConnection, loaded: Sequence[Loaded]) -> None:
    """What the runs say of time and of their subscriptions, as macros and tables."""
    (error_ns,) = {run.clocks.error_ns for run in loaded}
    define(db, clock_error_ns=error_ns, broker_tick_ns=loaded[0].manifest.broker_tick_ns)
    db.execute("CREATE TABLE runs (run INTEGER, tag VARCHAR, workflow VARCHAR)")
    db.executemany(
        "INSERT INTO runs VALUES (?, ?, ?)", [[run.number, run.tag, run.manifest.workflow] for run in loaded]
    )
    db.execute(
        "CREATE TABLE declared (run INTEGER, s VARCHAR, kind VARCHAR, ordered_by VARCHAR, visibility_s DOUBLE, "
        "max_receives BIGINT, dead_letter BOOLEAN, dedup_window_s DOUBLE, filtered BOOLEAN, settle_s DOUBLE, "
        "effective_from_ns BIGINT, at_most_once BOOLEAN, effects_elsewhere BOOLEAN, seen_from VARCHAR, "
        "by_service BOOLEAN, all_invoked BOOLEAN, step VARCHAR, per_item BOOLEAN, "
        "retried BOOLEAN, followed_by VARCHAR[], deployed_otherwise BOOLEAN)"
    )
    rows = [
        (
            run.number,
            run.tag + name,
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
            s.effects_from == "read-back",
            s.seen_from,
            s.settled_by == "service",
            s.invocations == "all",
            s.step,
            s.per_item,
            s.retried,
            [run.tag + other for other in s.followed_by],
            name in run.manifest.deployed_otherwise,
        )
        for run in loaded
        for name, s in run.manifest.subscriptions.items()
    ]
    if rows:
        db.executemany(f"INSERT INTO declared VALUES ({', '.join('?' * len(rows[0]))})", rows)


def build(db: duckdb.DuckDBPyConnection, stage: Stage) -> dict[str, str]:
    """The derived tables that checks read (gameday/verify/tables/*.sql, in the order of their names).

    Those of them that failed, each with the reason.
    """
    if stage in _SETTLINGS:
        db.execute(
            "CREATE VIEW settlings AS SELECT * FROM raw "
            f"WHERE event IN ('settling', 'settled') AND s IS NOT NULL AND ({_SETTLINGS[stage]})"
        )
    failed: dict[str, str] = {}
    for name, script in _TABLES.items():
        try:
            if stage == "bucket" and name in _WHOLE:
                _define_macros(db, script)
            elif stage == "all" or name in _scripts(stage):
                db.execute(script)
                if name in _AFTER:
                    _AFTER[name](db)
        except duckdb.Error as error:
            if name <= _LAST_THAT_ALL_NEED:
                raise HistoryError(f"cannot judge: {name} failed: {in_a_line(error)}") from error
            # The checks that read what is missing now fail, too, and leave their claims unknown.
            failed[name] = in_a_line(error)
    return failed


def _scripts(stage: Stage) -> Set[str]:
    if stage == "last":
        return _LAST
    return _OF_EVERY_STAGE | (_WHOLE if stage == "whole" else _TABLES.keys() - _WHOLE - _LAST)


def _define_macros(db: duckdb.DuckDBPyConnection, script: str) -> None:
    for statement in duckdb.extract_statements(script):
        said = [line for line in statement.query.splitlines() if line and not line.startswith("--")]
        if said and said[0].startswith("CREATE MACRO"):
            db.execute(statement)


def in_a_line(error: duckdb.Error) -> str:
    """What DuckDB said, without its hints and the query."""
    return str(error).splitlines()[0]


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
