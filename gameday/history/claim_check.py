"""A claim check: the body of a message stands in an object, and what is sent in its place is a reference to it.

Two forms of reference are known. `plain` is an event of ours that names bucket, object and checksum; `extended` is what
the Amazon SQS extended client libraries write, a pointer that names bucket and object alone
(github.com/awslabs/amazon-sqs-java-extended-client-lib). An object of ours is called RUN/ID, so that a pointer, too,
tells which message it is.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Shape = Literal["plain", "extended"]
# What the extended client libraries call a pointer, and the message attribute that tells how large the body is.
POINTER = "software.amazon.payloadoffloading.PayloadS3Pointer"
SIZE_ATTRIBUTE = "ExtendedPayloadSize"
# Of an object: when it was written, by the clock of the run.
STORED_NS = "gameday-stored-ns"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Where a body stands. `checksum` is its CRC-32, None where the reference does not tell it."""

    bucket: str
    object: str
    checksum: str | None = None

    @property
    def id(self) -> str:
        """Of the message, by the name of its object."""
        return self.object.partition("/")[2]

    @property
    def run(self) -> str:
        return self.object.partition("/")[0]

    def to_json(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "object": self.object, "checksum": self.checksum}

    @classmethod
    def of(cls, told: Any) -> Reference | None:
        """What an event of ours says of it; None where that is no reference."""
        if not isinstance(told, dict) or not isinstance(told.get("bucket"), str):
            return None
        if not isinstance(told.get("object"), str):
            return None
        return cls(bucket=told["bucket"], object=told["object"], checksum=told.get("checksum"))

    def fits(self, body: bytes) -> bool:
        """Whether that is the body, as far as the reference tells."""
        return self.checksum is None or self.checksum == checksum(body)


def name(run: str, id: str) -> str:
    return f"{run}/{id}"


def checksum(body: bytes) -> str:
    return f"{zlib.crc32(body):08x}"


def pointer(reference: Reference) -> str:
    """As the extended client libraries write it."""
    return orjson.dumps([POINTER, {"s3BucketName": reference.bucket, "s3Key": reference.object}]).decode()


def read_pointer(body: str) -> Reference | None:
    if not body.startswith(f'["{POINTER}"'):
        return None
    try:
        _, told = orjson.loads(body)
        return Reference(bucket=str(told["s3BucketName"]), object=str(told["s3Key"]))
    except (orjson.JSONDecodeError, ValueError, KeyError, TypeError):
        return None
