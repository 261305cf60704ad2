"""Histories of other hosts, brought together by hand and through S3."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import orjson
import pytest

from gameday.history.clock import Clock
from gameday.history.errors import RunError, UsageError
from gameday.history.manifest import Claim, Manifest, Subscription
from gameday.history.writer import Writer
from gameday.processes.child import python
from gameday.run.gathering import RUN_FILE, Shelf, absent, take
from gameday.targets.endpoints import emulated
from gameday.targets.ministack import environment
from gameday.targets.start import free_port
from gameday.transports.endpoint import Endpoint
from tests.commanded import wait_until
from tests.series import in_series

LISTED = {"host-b.jsonl": "b", "orders-1.1.jsonl": "b", "load-c-1.jsonl": "c"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose hosts b and c have files."""
    run = tmp_path / "run"
    (run / "history").mkdir(parents=True)
    claims = [Claim(claim="no-loss")]
    Manifest(run="r-1", subscriptions={"orders": Subscription()}, claims=claims).save(run)
    writer = Writer(run=run, name="conductor", clock=Clock.start())
    writer.announce("here")
    for file, host in LISTED.items():
        writer.announce_on(host, file.removesuffix(".jsonl"))
    writer.close()
    return run


def on_host(place: Path, run: str, *files: str) -> Path:
    """A host's --run-dir, with a run in it."""
    directory = place / run
    (directory / "history").mkdir(parents=True)
    (directory / RUN_FILE).write_text(run)
    for file in files:
        (directory / "history" / file).write_text(f"{run} {file}\n")
    return place


def test_what_is_absent_is_known_with_its_host(run: Path) -> None:
    assert absent(run) == LISTED
    (run / "history/host-b.jsonl.gz").write_bytes(b"")
    assert list(absent(run)) == ["orders-1.1.jsonl", "load-c-1.jsonl"]


def test_by_hand_only_what_is_listed_of_this_run_is_taken(run: Path, tmp_path: Path) -> None:
    b = on_host(tmp_path / "b", "r-1", "host-b.jsonl", "orders-1.1.jsonl", "other.jsonl")
    on_host(b, "r-0", "host-b.jsonl", "load-c-1.jsonl")
    assert take(run, b) == {"host-b.jsonl": "b", "orders-1.1.jsonl": "b"}
    assert (run / "history/host-b.jsonl").read_text() == "r-1 host-b.jsonl\n"
    assert absent(run) == {"load-c-1.jsonl": "c"}
    assert sorted(path.name for path in (run / "history").iterdir()) == [
        "conductor.jsonl",
        "here.jsonl",
        "host-b.jsonl",
        "orders-1.1.jsonl",
    ]


@pytest.mark.parametrize("inner", ["", "r-1", "r-1/history"])
def test_any_part_of_a_hosts_directory_will_do(run: Path, tmp_path: Path, inner: str) -> None:
    assert take(run, on_host(tmp_path / "c", "r-1", "load-c-1.jsonl") / inner) == {"load-c-1.jsonl": "c"}


def test_a_place_that_has_nothing_of_it_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds none of the 3 files that .* lacks, such as host-b\.jsonl"):
        take(run, on_host(tmp_path / "b", "r-0", "host-b.jsonl"))


def test_a_file_that_is_named_out_of_the_history_stays_in_it(run: Path, tmp_path: Path) -> None:
    with (run / "history/conductor.jsonl").open("ab") as file:
        at = Clock.start().now_ns()
        mark = {"event": "mark", "at": at, "by": "x", "name": "writer", "file": "../../evil.jsonl", "host": "b"}
        file.write(orjson.dumps(mark) + b"\n")
    assert "evil.jsonl" in absent(run)
    on_host(tmp_path / "b", "r-1", "evil.jsonl")
    take(run, tmp_path / "b")
    assert (run / "history/evil.jsonl").exists() and not (tmp_path / "evil.jsonl").exists()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """MiniStack plays S3."""
    data, port = tmp_path_factory.mktemp("s3"), free_port()
    env = {**os.environ, **environment(port=port, data=str(data))}
    command = python("-m", "gameday.targets.ministack", os.getpid())
    with (data / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        endpoint = emulated(f"http://127.0.0.1:{port}")
        client = boto3.client("s3", **endpoint.client_arguments("s3"))

        def there() -> bool:
            try:
                client.create_bucket(Bucket="histories")
            except Exception:
                return False
            return True

        try:
            wait_until(there, "S3")
            yield endpoint
        finally:
            server.send_signal(signal.SIGKILL)


@in_series
@pytest.mark.live
def test_through_s3_what_was_shipped_comes_here_and_the_rest_is_named(s3: Endpoint, run: Path, tmp_path: Path) -> None:
    there = on_host(tmp_path / "b", "r-1", "host-b.jsonl", "orders-1.1.jsonl") / "r-1/history"
    shelf = Shelf("s3://histories/some/where/", run="r-1", endpoint=s3)
    for file in there.iterdir():
        shelf.put("b", file)
    # Another run's, which has a file of that name.
    Shelf("s3://histories/some/where/", run="r-0", endpoint=s3).put("c", there / "host-b.jsonl")
    assert shelf.take(run) == {"load-c-1.jsonl": "c"}
    assert (run / "history/orders-1.1.jsonl").read_text() == "r-1 orders-1.1.jsonl\n"
    listed = boto3.client("s3", **s3.client_arguments("s3")).list_objects_v2(Bucket="histories")["Contents"]
    assert {entry["Key"] for entry in listed} == {
        "some/where/r-1/b/host-b.jsonl.gz",
        "some/where/r-1/b/orders-1.1.jsonl.gz",
        "some/where/r-0/c/host-b.jsonl.gz",
    }


@in_series
@pytest.mark.live
def test_what_was_shipped_broken_is_not_taken_for_whole(s3: Endpoint, run: Path) -> None:
    client = boto3.client("s3", **s3.client_arguments("s3"))
    whole = gzip.compress(os.urandom(5000))
    client.put_object(Bucket="histories", Key="r-1/b/host-b.jsonl.gz", Body=whole[:-2000])
    with pytest.raises(RunError, match=r"cannot fetch host-b\.jsonl of host b"):
        Shelf("s3://histories", run="r-1", endpoint=s3).take(run)
    assert absent(run) == LISTED
    with pytest.raises(RunError, match=r"cannot ship .* to s3://nowhere/r-1/b/"):
        Shelf("s3://nowhere", run="r-1", endpoint=s3).put("b", run / "manifest.json")
