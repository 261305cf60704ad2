"""Run directories in S3: fetched to be judged, and the verdict put beside them.

A run is stored as it stands on disk, `manifest.json` and `history/` under one prefix. Credentials, region and endpoint
are the SDK's own (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_S3, …). It reads what stands under that prefix, and writes
`verdict.json` there and nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gameday.history.errors import HistoryError, NotARun, UsageError
from gameday.history.manifest import FILE as MANIFEST
from gameday.history.writer import DIRECTORY

SCHEME = "s3://"
_AT_ONCE = 8
_FAILURES = (BotoCoreError, ClientError, Boto3Error, OSError)


@contextmanager
def fetched(url: str, progress: Callable[[str], None]) -> Iterator[Path]:
    """A copy of the run at s3://BUCKET/PREFIX in a temporary directory, which goes at the end.

    Errors: UsageError for what is no such address, NotARun where there is no run, HistoryError when S3 refuses.
    """
    bucket, prefix = _parts(url)
    with tempfile.TemporaryDirectory(prefix="gameday-run-") as name:
        directory = Path(name) / PurePosixPath(prefix).name
        (directory / DIRECTORY).mkdir(parents=True)
        try:
            client = _client()
            wanted = {
                key: directory / key.removeprefix(prefix)
                for key in _keys(client, bucket, f"{prefix}{DIRECTORY}/")
                # As on disk: what stands deeper is not read.
                if "/" not in key.removeprefix(f"{prefix}{DIRECTORY}/") and not key.endswith("/")
            }
            if f"{prefix}{MANIFEST}" not in _keys(client, bucket, f"{prefix}{MANIFEST}"):
                raise NotARun(f"{url} is not a run directory: it has no {MANIFEST}")
            if not wanted:
                raise NotARun(f"{url} is not a run directory: it has no {DIRECTORY}/")
            wanted[f"{prefix}{MANIFEST}"] = directory / MANIFEST
            progress(f"fetching {len(wanted)} files from {url}")
            with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
                list(pool.map(lambda each: client.download_file(bucket, each[0], str(each[1])), wanted.items()))
        except _FAILURES as error:
            raise HistoryError(f"cannot fetch {url}: {error}") from error
        yield directory


def store(file: Path, url: str) -> None:
    """Put a file of a run beside it. Errors: HistoryError."""
    bucket, prefix = _parts(url)
    try:
        _client().put_object(Bucket=bucket, Key=f"{prefix}{file.name}", Body=file.read_bytes())
    except _FAILURES as error:
        raise HistoryError(f"cannot write {url.rstrip('/')}/{file.name}: {error}") from error


def _parts(url: str) -> tuple[str, str]:
    """The bucket, and the prefix with a slash at its end."""
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not bucket or not prefix.strip("/"):
        raise UsageError(f"{url} names no run: s3://BUCKET/PREFIX, under which its {MANIFEST} stands")
    return bucket, f"{prefix.strip('/')}/"


def _client() -> Any:
    return boto3.client("s3", config=Config(max_pool_connections=_AT_ONCE, retries={"mode": "standard"}))


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]
