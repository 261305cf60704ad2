"""Large bodies as a scenario writes them, and what of schemas it names: `load.claim_check`, `schemas`, `load.schema`.

A version of a schema is a file, NAME@VERSION.json, in the directory that `schemas` names. It promises that what a load
makes from a version fits that version, or that the scenario is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gameday.consumers.schemas import compiled
from gameday.loadgen.payloads import SchemaVersion, payload_of
from gameday.scenario.units import PositiveDuration, Size, duration_s

DEFAULT_ABOVE = 200 * 1024
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*")
# So many payloads are looked at before a run.
_TRIED = 32


class ClaimCheckSpec(BaseModel):
    """Bodies that go to S3, in place of which a reference is sent: docs/payloads.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    bucket: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="a bucket that is there already (default: one of the run's own, whose objects expire after a day)",
    )
    above: Size = Field(default=DEFAULT_ABOVE, ge=0, description="bodies that are larger go to S3 (default: 200KiB)")
    shape: Literal["plain", "extended"] = Field(
        default="plain",
        description="what a reference looks like: `plain`, an event with bucket, object and checksum; `extended`, the "
        "pointer of the Amazon SQS extended client libraries",
    )
    put: Literal["first", "last"] = Field(
        default="first", description="the body is stored before its reference is sent or, wrongly, after it"
    )
    expires: PositiveDuration | None = Field(
        default=None,
        description="how long an object lives; the run plays this rule itself, for a bucket's own count in days "
        "(default: as long as its bucket lets it)",
    )


class NoSchema(ValueError):
    """What is wrong with a version of a schema, or with the times of several."""


def read_version(directory: Path, name: str) -> dict[str, Any]:
    """Errors: NoSchema."""
    if not _VERSION.fullmatch(name):
        raise NoSchema(f"{name!r} names no version of a schema; write it like order@1")
    path = directory / f"{name}.json"
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        there = sorted(each.stem for each in directory.glob("*@*.json"))
        raise NoSchema(f"there is no {path}; in that directory are {', '.join(there) or 'no versions'}") from None
    except OSError as error:
        raise NoSchema(f"cannot read {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise NoSchema(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NoSchema(f"{path} is no JSON object, and so no schema of an event's payload")
    try:
        compiled(document)
    except ValueError as error:
        raise NoSchema(f"{path} is no JSON Schema: {error}") from error
    return document


def read_versions(directory: Path, written: str | Mapping[str, str]) -> list[SchemaVersion]:
    """What a load makes its payloads from, in the order of time. Errors: NoSchema."""
    by_time: list[tuple[float, str]] = []
    for at, name in ({"0s": written} if isinstance(written, str) else written).items():
        try:
            by_time.append((duration_s(at), name))
        except ValueError as error:
            raise NoSchema(f"{at!r}: {error}") from None
    if not by_time or by_time[0][0] != 0 or [at for at, _ in by_time] != sorted({at for at, _ in by_time}):
        raise NoSchema("the first version is from 0s on, and each other one from a later time")
    versions = [SchemaVersion(name=name, from_s=at, document=read_version(directory, name)) for at, name in by_time]
    for version in versions:
        fits = compiled(version.document)
        try:
            for n in range(_TRIED):
                fits(payload_of(version, seed=0, id=str(n)))
        except ValueError as error:
            raise NoSchema(f"no payload can be made from {version.name}: {error}") from error
    return versions
