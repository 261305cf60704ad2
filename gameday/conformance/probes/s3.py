"""What S3 documents and a claim check stands on: what was written is there, whole, until it is removed.

Source: the user guide of S3 (docs.aws.amazon.com/AmazonS3/latest/userguide), "What is Amazon S3?" (its consistency
model) and "How to prevent object overwrites with conditional writes", and the API reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from gameday.conformance.base import Bench, Probe, Undecided, claim
from gameday.transports import objects
from gameday.transports.base import Call, CallFailed

_OBJECTS = 8
_RACERS = 8
_STAYS_S = 5.0
# A put that loses a race may be told so, too (API_PutObject, "ConditionalRequestConflict").
_LOST_RACE = {"PreconditionFailed", "ConditionalRequestConflict"}


class Bucket:
    """A bucket made for one probe."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = bench.name("bucket")
        bench.call("s3", "CreateBucket", Bucket=self.name)
        bench.afterwards("s3", "DeleteBucket", Bucket=self.name)

    def put(self, key: str, body: bytes) -> None:
        # A call whose answer is lost may have written.
        self.bench.afterwards("s3", "DeleteObject", Bucket=self.name, Key=key)
        self.bench.call("s3", "PutObject", Bucket=self.name, Key=key, Body=body)

    def body(self, key: str) -> bytes | None:
        """None: there is no such object. Errors: CallFailed."""
        try:
            answer = self.bench.call("s3", "GetObject", Bucket=self.name, Key=key)
        except CallFailed as failed:
            if objects.is_gone(failed):
                return None
            raise
        body: bytes = answer["Body"].read()
        return body

    def keys(self) -> set[str]:
        answer = self.bench.call("s3", "ListObjectsV2", Bucket=self.name)
        return {each["Key"] for each in answer.get("Contents") or ()}


def read_after_write(bench: Bench) -> None:
    """An object that was answered as written is read, with its bytes (guide, "What is Amazon S3?")."""
    bucket = Bucket(bench)
    for n in range(_OBJECTS):
        body = f"{n}: ".encode() + bytes(range(256)) * 1024
        bucket.put(f"o{n}", body)
        read = bucket.body(f"o{n}")
        claim(read is not None, f"object {n} of {_OBJECTS} is not there after its write was answered")
        claim(read == body, f"object {n} of {_OBJECTS} was read with other bytes than were written")


def stays(bench: Bench) -> None:
    """An object stays until it is removed or a rule of its bucket removes it (guide, "What is Amazon S3?")."""
    bucket = Bucket(bench)
    bucket.put("o", b"stays")
    if bucket.body("o") is None:
        raise Undecided("the object was not there to begin with")
    bench.wait(_STAYS_S)
    claim(bucket.body("o") is not None, f"an object was gone {_STAYS_S:g} s after it was read, and nobody removed it")


def delete_is_final(bench: Bench) -> None:
    """An object that was removed is read no more (guide, "What is Amazon S3?")."""
    bucket = Bucket(bench)
    bucket.put("o", b"removed")
    if bucket.body("o") is None:
        raise Undecided("the object was not there to begin with")
    bench.call("s3", "DeleteObject", Bucket=bucket.name, Key="o")
    claim(bucket.body("o") is None, "an object was read after its removal had been answered")


def list_after_write(bench: Bench) -> None:
    """A list names every object whose write was answered before (guide, "What is Amazon S3?")."""
    bucket = Bucket(bench)
    written: set[str] = set()
    for n in range(_OBJECTS):
        bucket.put(f"o{n}", b"listed")
        written.add(f"o{n}")
        absent = written - bucket.keys()
        claim(not absent, f"a list leaves out {', '.join(sorted(absent))}")


def conditional_put(bench: Bench) -> None:
    """Of writes that race under `If-None-Match: *` one succeeds (guide, "How to prevent object overwrites")."""
    bucket = Bucket(bench)
    bench.afterwards("s3", "DeleteObject", Bucket=bucket.name, Key="o")
    racers = [f"racer{n}" for n in range(_RACERS)]
    asked = [{"Bucket": bucket.name, "Key": "o", "Body": racer.encode(), "IfNoneMatch": "*"} for racer in racers]
    outcomes = bench.together([Call("s3", "PutObject", params) for params in asked])
    won = [racer for racer, outcome in zip(racers, outcomes, strict=True) if not isinstance(outcome, CallFailed)]
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, CallFailed)} - _LOST_RACE
    claim(len(won) <= 1, f"{', '.join(won)} all wrote an object that was to be written once")
    if codes:
        raise Undecided(f"writes failed with {', '.join(sorted(codes))}")
    claim(len(won) == 1, f"none of {_RACERS} writes of an absent object succeeded")
    stored = bucket.body("o")
    claim(stored == won[0].encode(), f"{won[0]} won the race, and the object is {stored!r}")


PROBES: Mapping[str, Probe] = {
    "read-after-write": read_after_write,
    "stays": stays,
    "delete-is-final": delete_is_final,
    "list-after-write": list_after_write,
    "conditional-put": conditional_put,
}
