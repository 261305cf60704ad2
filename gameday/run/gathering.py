"""The histories of other hosts, brought together before a run is judged: through S3, or by hand.

Each host ships what its processes have written once they have ended, compressed, to s3://BUCKET/PREFIX/RUN/HOST/. It
promises that only files which the conductor has listed for a host are taken, that none replaces another, and that what
is absent is named with its host: a history that lacks a file is damaged.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gameday.history import manifest
from gameday.history.errors import NotARun, RunError, UsageError
from gameday.history.reader import parse
from gameday.history.writer import DIRECTORY
from gameday.transports.endpoint import Endpoint

# In a host's directory of a run: the run's id.
RUN_FILE = "run"
_GZ = ".gz"


def absent(run: Path) -> dict[str, str]:
    """The files that the conductor has listed for other hosts and that are not here, each with its host.

    Errors: NotARun.
    """
    path = run / DIRECTORY / "conductor.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise NotARun(f"{run} holds no run of gameday's: cannot read {path}: {error.strerror}") from error
    return {
        file: host
        for file, host in _listed(lines)
        if not any((path.parent / name).exists() for name in (file, file + _GZ))
    }


def _listed(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if b'"writer"' not in line:
            continue
        record = parse(line)
        if not isinstance(record, str) and record.get("name") == "writer" and (host := record.get("host")):
            # What stands in a history is nobody's way out of its directory.
            yield Path(str(record["file"])).name, str(host)


def take(run: Path, place: Path) -> dict[str, str]:
    """Copy what is absent and stands in `place`: a host's --run-dir, its directory of this run, or the history in it.

    Gives the files with their hosts. Errors: NotARun; UsageError for a place that has none of them, RunError.
    """
    wanted = absent(run)
    places = [place, place / DIRECTORY, *(inner / DIRECTORY for inner in sorted(place.glob("*")))]
    taken = {}
    for file, host in wanted.items():
        # A file belongs to one run: of several runs in one place, only the one with this run's id has it.
        for found in (here / file for here in places if _is_of(here, run)):
            if found.is_file():
                try:
                    _into(run, file, found.open("rb"))
                except OSError as error:
                    raise RunError(f"cannot copy {found}: {error.strerror}") from error
                taken[file] = host
                break
    if wanted and not taken:
        raise UsageError(
            f"{place} holds none of the {len(wanted)} files that {run} lacks, such as {next(iter(wanted))}"
        )
    return taken


def _is_of(place: Path, run: Path) -> bool:
    """Whether what stands there may be of this run: a host writes the run's id beside it."""
    told = place.parent / RUN_FILE
    try:
        return told.read_text() == run_id(run)
    except OSError:
        return False


def run_id(run: Path) -> str:
    """Errors: NotARun."""
    return manifest.load(run).run


def _into(run: Path, file: str, content: IO[bytes]) -> None:
    """Under its name only when it is whole."""
    target = run / DIRECTORY / file
    with content, NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as new:
        try:
            shutil.copyfileobj(content, new)
        except BaseException:
            Path(new.name).unlink()
            raise
    Path(new.name).rename(target)


class Shelf:
    """Where histories are shipped: `place` is s3://BUCKET/PREFIX, as hosts.yaml says it."""

    def __init__(self, place: str, *, run: str, endpoint: Endpoint) -> None:
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        self._bucket = bucket
        self._prefix = "/".join(filter(None, [*prefix.split("/"), run]))
        # Which way a bucket is named matters to AWS alone, that has none of its own in the path.
        style = {"addressing_style": "path"} if endpoint.url("s3") else {}
        self._s3: Any = boto3.client("s3", config=Config(s3=style), **endpoint.client_arguments("s3"))

    def put(self, host: str, file: Path) -> None:
        """Errors: RunError."""
        try:
            with NamedTemporaryFile(prefix="gameday-", suffix=_GZ) as packed:
                with file.open("rb") as content, gzip.open(packed, "wb") as writing:
                    shutil.copyfileobj(content, writing)
                packed.flush()
                self._s3.upload_file(packed.name, self._bucket, self._key(host, file.name))
        except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
            raise RunError(f"cannot ship {file} to s3://{self._bucket}/{self._prefix}/{host}/: {error}") from error

    def take(self, run: Path) -> Mapping[str, str]:
        """Copy what is absent and was shipped; gives what is still absent then, with its host. Errors: RunError."""
        for file, host in absent(run).items():
            with NamedTemporaryFile(prefix="gameday-", suffix=_GZ) as packed:
                try:
                    self._s3.download_file(self._bucket, self._key(host, file), packed.name)
                    with gzip.open(packed.name) as content:
                        _into(run, file, content)  # type: ignore[arg-type]  # reads bytes as a file does
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") not in ("404", "NoSuchKey"):
                        raise RunError(f"cannot fetch {file} of host {host}: {error}") from error
                except (BotoCoreError, Boto3Error, OSError, EOFError) as error:
                    raise RunError(f"cannot fetch {file} of host {host}: {error}") from error
        return absent(run)

    def _key(self, host: str, file: str) -> str:
        return f"{self._prefix}/{host}/{file}{_GZ}"
