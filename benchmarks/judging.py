"""Measures `gameday verify` on synthetic histories: events per second and peak memory, beside a bare DuckDB scan.

    python benchmarks/judging.py [EVENTS …] [--jobs N …] [--hot] [--stored]

Each size is judged once for each N by a process of its own, in so many processes. The scan parses the same files into
the same columns with DuckDB alone and counts the events by kind: what any judge on this engine pays at the least.
`peak` is the most that the processes together had in memory, `each` the most that one of them had. `--hot` puts half of
all messages into one group; `--stored` judges what stands in S3 (MiniStack's, on loopback), the fetching included. Run
it on a quiet machine; only the ratio travels.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil  # type: ignore[import-untyped]
from synthetic_history import write

from gameday.history.manifest import FILE as MANIFEST

SIZES = (1_000_000, 3_000_000, 10_000_000)
_MIB = 1024**2
_BUCKET = "gameday-judging"
_ROOT = Path(__file__).resolve().parent.parent
_GAMEDAY = Path(sys.executable).with_name("gameday")


def scan(run: Path) -> None:
    import duckdb

    from gameday.verify.load import COLUMNS, MEMORY_LIMIT, THREADS

    columns = ", ".join(f"'{field.name}': '{field.sql}'" for field in COLUMNS.values())
    db = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    # Counting every column makes the engine parse it; what nobody asks for, it would skip.
    counts = ", ".join(f'count("{field.name}")' for field in COLUMNS.values())
    db.execute(
        f"SELECT event, {counts} FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}}) "
        "GROUP BY event",
        [[str(path) for path in sorted((run / "history").iterdir())]],
    ).fetchall()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Seconds, CPU seconds, and MiB of all processes together and of the largest one."""

    s: float
    cpu_s: float
    peak_mib: float
    each_mib: float


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """A command that must succeed."""
    started, before = time.monotonic(), os.times()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    together, largest = 0, 0
    while process.poll() is None:
        sizes = []
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    sizes.append(each.memory_info().rss)
        together, largest = max(together, sum(sizes)), max([largest, *sizes])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    after = os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(s=time.monotonic() - started, cpu_s=cpu_s, peak_mib=together / _MIB, each_mib=largest / _MIB)


@contextlib.contextmanager
def stored(run: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where the run stands in S3, and the environment in which it is found there."""
    command = [sys.executable, str(_ROOT / "scripts/serve.py"), "ministack", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            environment = {
                **os.environ,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL_S3": url,
            }
            s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test",
                              region_name="us-east-1")  # fmt: skip
            s3.create_bucket(Bucket=_BUCKET)
            for path in (run / MANIFEST, *sorted((run / "history").iterdir())):
                s3.upload_file(str(path), _BUCKET, f"large/{path.relative_to(run)}")
            yield f"s3://{_BUCKET}/large", environment
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="*", type=lambda text: int(float(text)), default=list(SIZES))
    parser.add_argument("--jobs", nargs="+", type=int, default=[1], metavar="N", help="processes; several are compared")
    parser.add_argument("--hot", action="store_true", help="half of all messages in one group")
    parser.add_argument("--stored", action="store_true", help="judge what stands in S3")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan:
        scan(arguments.scan)
        return
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    print(
        f"{'events':>12} {'jobs':>5} {'judge':>9} {'events/s':>10} {'CPU':>9} {'peak':>9} {'each':>9} {'scan':>8} "
        f"{'ratio':>6}"
    )
    for events in arguments.events:
        with tempfile.TemporaryDirectory(prefix="gameday-judging-") as scratch, contextlib.ExitStack() as stack:
            run = Path(scratch) / "run"
            lines = write(run, events=events, hot=arguments.hot)
            # The first reader warms the page cache, so neither pays for the disk alone.
            scanned = measured([sys.executable, __file__, "--scan", str(run)], os.environ)
            place, environment = stack.enter_context(stored(run)) if arguments.stored else (str(run), os.environ)
            for jobs in arguments.jobs:
                judged = measured([str(_GAMEDAY), "verify", place, "--jobs", str(jobs)], environment)
                print(
                    f"{lines:>12,} {jobs:>5} {judged.s:>7.1f} s {lines / judged.s:>10,.0f} {judged.cpu_s:>7.1f} s "
                    f"{judged.peak_mib:>5.0f} MiB {judged.each_mib:>5.0f} MiB {scanned.s:>6.1f} s "
                    f"{judged.s / scanned.s:>6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
