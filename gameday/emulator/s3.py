"""S3's operations as data, as far as large messages need them: buckets, objects, lists of them, and their expiry.

Names, error codes and rules are those of its API reference (docs.aws.amazon.com/AmazonS3/latest/API). Reads and lists
see every write that was answered before ("Amazon S3 data consistency model"). A rule of a lifecycle removes objects
under its prefix so many days after they were written, to the moment, where AWS takes until the next midnight. Versions,
multipart uploads, access control and encryption are not modelled; what asks for them is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_BYTES_MAX = 1024
_LISTED_MAX = 1000
_DAY_NS = 24 * 3600 * NS_PER_S
# What a checksum is made of, by the name that it has in a call. CRC32C and CRC64NVME are kept as they were given.
_CHECKSUMS: Mapping[str, Callable[[bytes], bytes]] = {
    "ChecksumCRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "ChecksumSHA1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "ChecksumSHA256": lambda body: hashlib.sha256(body).digest(),
}


class ObjectConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def stores(self) -> bool:
        """Whether a write that is answered with success is there."""
        return True

    def given(self, body: bytes) -> bytes:
        """What a read gives of an object's bytes."""
        return body

    def lives_ns(self) -> int | None:
        """How long an object stays that nobody removes and no rule lets expire; None: for ever."""
        return None

    def heeds_conditions(self) -> bool:
        """Whether a write whose condition does not hold is refused."""
        return True

    def deletes(self) -> bool:
        """Whether a removal that is answered with success has removed."""
        return True

    def lists_all(self) -> bool:
        """Whether a list names what was written last."""
        return True


@dataclass(slots=True)
class _Object:
    body: bytes
    etag: str
    written_ns: int
    content_type: str
    metadata: Mapping[str, str]


@dataclass(slots=True)
class _Bucket:
    name: str
    made_ns: int
    objects: dict[str, _Object] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    latest: str = ""


class S3:
    """All buckets of one account."""

    def __init__(self, *, conduct: ObjectConduct) -> None:
        self._conduct = conduct
        self._buckets: dict[str, _Bucket] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateBucket": self._create_bucket,
            "HeadBucket": self._head_bucket,
            "DeleteBucket": self._delete_bucket,
            "ListBuckets": self._list_buckets,
            "PutObject": self._put,
            "GetObject": self._get,
            "HeadObject": lambda now, params: self._told(self._object(now, params)),
            "DeleteObject": self._delete,
            "DeleteObjects": self._delete_several,
            "ListObjectsV2": self._list,
            "PutBucketLifecycleConfiguration": self._put_lifecycle,
            "GetBucketLifecycleConfiguration": self._get_lifecycle,
            "DeleteBucketLifecycle": self._delete_lifecycle,
            "PutBucketTagging": self._put_tags,
            "GetBucketTagging": self._get_tags,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """Errors: Refused."""
        return known(self._operations, operation, refusal="NotImplemented")(now, params)

    def _create_bucket(self, now: int, params: Params) -> Answer:
        name = str(params["Bucket"])
        if not _BUCKET.fullmatch(name):
            raise Refused("InvalidBucketName", f"The specified bucket is not valid: {name!r}")
        if name in self._buckets:
            raise Refused("BucketAlreadyOwnedByYou", f"You have the bucket {name} already.", status=409)
        self._buckets[name] = _Bucket(name=name, made_ns=now)
        return {"Location": f"/{name}"}

    def _head_bucket(self, now: int, params: Params) -> Answer:
        self._bucket(now, params)
        return {"BucketRegion": "us-east-1"}

    def _delete_bucket(self, now: int, params: Params) -> Answer:
        bucket = self._bucket(now, params)
        if bucket.objects:
            raise Refused("BucketNotEmpty", "The bucket you tried to delete is not empty", status=409)
        del self._buckets[bucket.name]
        return {}

    def _list_buckets(self, now: int, params: Params) -> Answer:
        prefix = str(params.get("Prefix") or "")
        named = [each for name, each in sorted(self._buckets.items()) if name.startswith(prefix)]
        return {"Buckets": [{"Name": each.name, "CreationDate": _time(each.made_ns)} for each in named]}

    def _put(self, now: int, params: Params) -> Answer:
        bucket, key, body = self._bucket(now, params), str(params["Key"]), params.get("Body") or b""
        if len(key.encode()) > _KEY_BYTES_MAX:
            raise Refused("KeyTooLongError", "Your key is too long")
        there = bucket.objects.get(key)
        if self._conduct.heeds_conditions():
            unlike = params.get("IfMatch") is not None and (there is None or there.etag != params["IfMatch"])
            if unlike or (params.get("IfNoneMatch") == "*" and there is not None):
                raise Refused("PreconditionFailed", "At least one of the pre-conditions did not hold", status=412)
        _check(body, params)
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if self._conduct.stores():
            content_type = str(params.get("ContentType") or "binary/octet-stream")
            # The oldest stands first: so what expires is found without looking at the rest.
            bucket.objects.pop(key, None)
            bucket.objects[key] = _Object(body, etag, now, content_type, params.get("Metadata") or {})
            bucket.latest = key
        return {"ETag": etag, **{name: params[name] for name in _CHECKSUMS if params.get(name)}}

    def _get(self, now: int, params: Params) -> Answer:
        found = self._object(now, params)
        body = self._conduct.given(found.body)
        told = self._told(found)
        if params.get("Range"):
            body, told["ContentRange"] = _part(body, str(params["Range"]))
        elif params.get("ChecksumMode") == "ENABLED":
            told["ChecksumCRC32"] = base64.b64encode(_CHECKSUMS["ChecksumCRC32"](body)).decode()
        return {**told, "ContentLength": len(body), "Body": body}

    def _told(self, found: _Object) -> Answer:
        return {
            "ContentLength": len(found.body),
            "ETag": found.etag,
            "LastModified": _time(found.written_ns),
            "ContentType": found.content_type,
            "Metadata": dict(found.metadata),
        }

    def _delete(self, now: int, params: Params) -> Answer:
        bucket = self._bucket(now, params)
        if self._conduct.deletes():
            bucket.objects.pop(str(params["Key"]), None)
        return {}

    def _delete_several(self, now: int, params: Params) -> Answer:
        asked = (params.get("Delete") or {}).get("Objects") or []
        if not 1 <= len(asked) <= _LISTED_MAX:
            raise Refused("MalformedXML", f"A list of 1 to {_LISTED_MAX} objects is asked for.")
        for each in asked:
            self._delete(now, {"Bucket": params["Bucket"], "Key": each["Key"]})
        quiet = (params.get("Delete") or {}).get("Quiet") in (True, "true")
        return {} if quiet else {"Deleted": [{"Key": each["Key"]} for each in asked]}

    def _list(self, now: int, params: Params) -> Answer:
        bucket, prefix = self._bucket(now, params), str(params.get("Prefix") or "")
        if params.get("Delimiter"):
            raise Refused("NotImplemented", "A list with a delimiter is not known here.", status=501)
        most = min(int(params.get("MaxKeys") or _LISTED_MAX), _LISTED_MAX)
        keys = sorted(key for key in bucket.objects if key.startswith(prefix))
        if not self._conduct.lists_all():
            keys = [key for key in keys if key != bucket.latest]
        after = str(params.get("ContinuationToken") or params.get("StartAfter") or "")
        begin = bisect_right(keys, after)
        page = keys[begin : begin + most]
        answer: Answer = {
            "Name": bucket.name,
            "Prefix": prefix,
            "KeyCount": len(page),
            "MaxKeys": most,
            "IsTruncated": begin + most < len(keys),
            "Contents": [
                {"Key": key, "Size": len(each.body), "ETag": each.etag, "LastModified": _time(each.written_ns)}
                for key, each in ((key, bucket.objects[key]) for key in page)
            ],
        }
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = page[-1]
        return answer

    def _put_lifecycle(self, now: int, params: Params) -> Answer:
        bucket = self._bucket(now, params)
        rules = (params.get("LifecycleConfiguration") or {}).get("Rules") or []
        for rule in rules:
            days = (rule.get("Expiration") or {}).get("Days")
            if rule.get("Status") not in ("Enabled", "Disabled") or days is None or int(days) < 1:
                raise Refused("MalformedXML", "Only rules that let objects expire after some days are known here.")
        bucket.rules = [dict(rule) for rule in rules]
        return {}

    def _get_lifecycle(self, now: int, params: Params) -> Answer:
        bucket = self._bucket(now, params)
        if not bucket.rules:
            told = "The lifecycle configuration does not exist"
            raise Refused("NoSuchLifecycleConfiguration", told, status=404)
        return {"Rules": bucket.rules}

    def _delete_lifecycle(self, now: int, params: Params) -> Answer:
        self._bucket(now, params).rules = []
        return {}

    def _put_tags(self, now: int, params: Params) -> Answer:
        self._bucket(now, params).tags = list((params.get("Tagging") or {}).get("TagSet") or [])
        return {}

    def _get_tags(self, now: int, params: Params) -> Answer:
        bucket = self._bucket(now, params)
        if not bucket.tags:
            raise Refused("NoSuchTagSet", "The TagSet does not exist", status=404)
        return {"TagSet": bucket.tags}

    def _bucket(self, now: int, params: Params) -> _Bucket:
        bucket = self._buckets.get(str(params["Bucket"]))
        if bucket is None:
            raise Refused("NoSuchBucket", "The specified bucket does not exist", status=404)
        self._let_expire(now, bucket)
        return bucket

    def _let_expire(self, now: int, bucket: _Bucket) -> None:
        lives = self._conduct.lives_ns()
        ends = [("", lives)] if lives is not None else []
        for rule in bucket.rules:
            if rule["Status"] == "Enabled":
                prefix = str((rule.get("Filter") or {}).get("Prefix") or rule.get("Prefix") or "")
                ends.append((prefix, int(rule["Expiration"]["Days"]) * _DAY_NS))
        for prefix, after in ends:
            for key in [key for key in self._older(bucket, now - after) if key.startswith(prefix)]:
                del bucket.objects[key]

    def _older(self, bucket: _Bucket, than_ns: int) -> Iterator[str]:
        return (key for key, _ in takewhile(lambda item: item[1].written_ns <= than_ns, bucket.objects.items()))

    def _object(self, now: int, params: Params) -> _Object:
        found = self._bucket(now, params).objects.get(str(params["Key"]))
        if found is None:
            raise Refused("NoSuchKey", "The specified key does not exist.", status=404)
        return found


def _check(body: bytes, params: Params) -> None:
    """Errors: Refused, where the bytes that came are not those that were meant."""
    given = {name: (params.get(name), make(body)) for name, make in _CHECKSUMS.items()}
    given["ContentMD5"] = params.get("ContentMD5"), hashlib.md5(body, usedforsecurity=False).digest()
    for name, (claimed, made) in given.items():
        if claimed and claimed != base64.b64encode(made).decode():
            raise Refused("BadDigest", f"The {name} you specified did not match what we received.")


def _part(body: bytes, asked: str) -> tuple[bytes, str]:
    matched = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if matched is None or not (matched[1] or matched[2]):
        raise Refused("InvalidRange", "The requested range cannot be satisfied.", status=416)
    first = int(matched[1]) if matched[1] else max(len(body) - int(matched[2]), 0)
    last = min(int(matched[2]), len(body) - 1) if matched[1] and matched[2] else len(body) - 1
    if first > last:
        raise Refused("InvalidRange", "The requested range cannot be satisfied.", status=416)
    return body[first : last + 1], f"bytes {first}-{last}/{len(body)}"


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // NS_PER_S, tz=UTC)
