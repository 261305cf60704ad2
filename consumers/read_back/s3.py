"""Effects that are objects in an S3 bucket: each object is one, known by its name or by what stands in it.

An object that is written twice under one name is one object, so such an effect is idempotent; who wants to see it
applied twice gives each attempt a name of its own, under one that tells the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from gameday.consumers.read_back.base import (
    Counts,
    EffectReader,
    NotThere,
    Place,
    ReadFailed,
    Settings,
    add,
    at,
    check_pointer,
)
from gameday.transports.base import Answer, Call, CallFailed

SERVICE = "s3"
_AT_ONCE = 16


class S3Objects(Settings):
    """Objects of an S3 bucket."""

    services: ClassVar = (SERVICE,)
    needs: ClassVar = "s3"

    bucket: str = Field(description="the bucket's name")
    prefix: str = Field(default="", description="how the names of those that count begin, like orders/")
    suffix: str = Field(default="", description="how they end, like .json; others under the prefix are passed over")
    key: str = Field(
        description="what tells which message it is: `name`, the name between prefix and suffix, up to the first `/` "
        "in it; or a JSON pointer into the object, like /orderId"
    )

    @field_validator("key")
    @classmethod
    def _name_or_pointer(cls, value: str) -> str:
        if value != "name":
            try:
                check_pointer(value)
            except ValueError as error:
                raise ValueError(f"{error}; or `name`, if the object's name tells it") from None
        return value

    def reader(self, place: Place) -> EffectReader:
        return _Reader(self, place)


class _Reader(EffectReader):
    def __init__(self, settings: S3Objects, place: Place) -> None:
        # Here and not above: it takes longer to import than all else that most runs need.
        from gameday.transports.carriers.aio import AioCarrier

        self._settings = settings
        self._carry = AioCarrier(place.endpoint, read_timeout_s=30.0, connections=_AT_ONCE)
        self._reading = asyncio.Semaphore(_AT_ONCE)
        # What stands in an object, by its name and version: it is not read again while that is the same.
        self._keys: dict[tuple[str, str], str] = {}

    async def read(self) -> Counts:
        prefix, suffix = self._settings.prefix, self._settings.suffix
        objects = await self._list()
        found = [each for each in objects if each["Key"].endswith(suffix) and len(each["Key"]) > len(prefix + suffix)]
        if self._settings.key == "name":
            keys: Sequence[str] = [
                each["Key"][len(prefix) : len(each["Key"]) - len(suffix)].partition("/")[0] for each in found
            ]
        else:
            keys = await asyncio.gather(*(self._key(each) for each in found))
        applied: dict[str, int] = {}
        for key in keys:
            add(applied, key, 1)
        return Counts(applied=applied, passed_over=len(objects) - len(found))

    async def close(self) -> None:
        await self._carry.close()

    async def _list(self) -> list[dict[str, Any]]:
        """Every object under the prefix; consistent with every write that was answered before."""
        found: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = await self._ask("ListObjectsV2", Prefix=self._settings.prefix, **page)
            found += answer.get("Contents") or ()
            if not answer.get("IsTruncated"):
                return found
            page = {"ContinuationToken": answer["NextContinuationToken"]}

    async def _key(self, found: dict[str, Any]) -> str:
        name = found["Key"]
        version = (name, found["ETag"])
        if version not in self._keys:
            async with self._reading:
                body = (await self._ask("GetObject", Key=name))["Body"]
                try:
                    async with body:
                        content = await body.read()
                except Exception as error:
                    raise ReadFailed(f"{self._settings.bucket}/{name} broke off while it was read: {error}") from error
            self._keys[version] = at(self._settings.key, content, f"the object {self._settings.bucket}/{name}")
        return self._keys[version]

    async def _ask(self, operation: str, **params: str) -> Answer:
        bucket = self._settings.bucket
        try:
            return await self._carry(Call(SERVICE, operation, {"Bucket": bucket, **params}))
        except CallFailed as error:
            if error.code == "NoSuchBucket":
                raise NotThere(f"there is no bucket {bucket}") from error
            raise ReadFailed(f"the bucket {bucket} cannot be read: {error}") from error
