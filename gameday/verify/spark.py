"""Judges the buckets of a history on Apache Spark: the same function over the same records as in a process of our own.

`applyInArrow` gives each bucket to `judge_bucket` (gameday/verify/buckets.py), which asks DuckDB; no query is told
twice. What is learnt from the whole history is learnt where the command runs, and sent to the executors, which need
gameday and its dependencies installed. They read the buckets from the temporary directory of the command: on a cluster
TMPDIR has to be one that all its machines see. Promises the verdict that judging without Spark gives, to the byte.

Needs the extra `gameday[spark]`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gameday.history.errors import HistoryError, UsageError
from gameday.verify.buckets import Bucket, Engine, Outcome, judge_bucket

if TYPE_CHECKING:
    import pyarrow

# An executor holds a bucket in memory as Arrow before DuckDB reads it.
_RECORDS_A_BUCKET = 1_000_000
# What a bucket gives: Parquet files by the table that they are of, and one row that says what failed.
_ROWS = "bucket int, name string, content binary"
_FAILED = "failed"


@contextmanager
def in_spark() -> Iterator[Engine]:
    """Buckets are judged by the Spark that its own configuration names, else by one on all cores of this machine.

    Errors: UsageError without pyspark; HistoryError for what Spark could not do.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(f"--engine spark needs pyspark (pip install 'gameday[spark]'): {error}") from None
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        session = (
            SparkSession.builder.appName("gameday verify")
            .config("spark.ui.showConsoleProgress", "false")
            # A bucket is a task: small ones are not put together.
            .config("spark.sql.adaptive.coalescePartitions.enabled", "false")
            .getOrCreate()
        )
    except Exception as error:
        raise HistoryError(f"Spark could not be started: {_first_line(error)}") from error
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield Engine(
            judge=lambda buckets: _judge(session, buckets),
            at_once=session.sparkContext.defaultParallelism,
            records=_RECORDS_A_BUCKET,
        )
    finally:
        session.stop()


def _judge(session: Any, buckets: Sequence[Bucket]) -> Iterator[Outcome]:
    by_number = {bucket.number: bucket for bucket in buckets}
    if not any(bucket.records for bucket in buckets):
        yield from map(judge_bucket, buckets)
        return
    facts = {path.name: path.read_bytes() for path in Path(buckets[0].facts).iterdir()}
    session.conf.set("spark.sql.shuffle.partitions", str(2 * len(buckets)))
    # The name of its directory tells the bucket of a file.
    directory = Path(buckets[0].records[0]).parent.parent
    try:
        records = session.read.parquet(directory.as_uri())
        judged = records.groupBy("bucket").applyInArrow(
            _function(by_number, session.sparkContext.broadcast(facts)), _ROWS
        )
        for number, name, content in judged.toLocalIterator():
            if name == _FAILED:
                yield Outcome(**json.loads(bytes(content)))
            else:
                Path(buckets[0].results, name, f"{number}.parquet").write_bytes(content)
    except Exception as error:
        raise HistoryError(f"Spark could not judge: {_first_line(error)}") from error


def _function(buckets: Mapping[int, Bucket], facts: Any) -> Callable[[tuple[Any, ...], pyarrow.Table], pyarrow.Table]:
    """What an executor does with a bucket; `facts` is a broadcast variable."""

    def judge(key: tuple[Any, ...], records: pyarrow.Table) -> pyarrow.Table:
        import pyarrow
        import pyarrow.parquet

        number = int(key[0].as_py())
        with tempfile.TemporaryDirectory(prefix="gameday-verify-") as name:
            scratch = Path(name)
            kept, results = scratch / "facts", scratch / "results"
            kept.mkdir()
            for file, content in facts.value.items():
                (kept / file).write_bytes(content)
            file = scratch / "records.parquet"
            pyarrow.parquet.write_table(records.drop_columns(["bucket"]), file)
            outcome = judge_bucket(
                replace(
                    buckets[number],
                    records=[str(file)],
                    facts=str(kept),
                    results=str(results),
                    scratch=name,
                )
            )
            rows = [(path.parent.name, path.read_bytes()) for path in sorted(results.glob("*/*.parquet"))]
        rows.append((_FAILED, json.dumps(asdict(outcome)).encode()))
        return pyarrow.table(
            {
                "bucket": pyarrow.array([number] * len(rows), pyarrow.int32()),
                "name": [name for name, _ in rows],
                "content": pyarrow.array([content for _, content in rows], pyarrow.binary()),
            }
        )

    return judge


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
