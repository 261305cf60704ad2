"""Large bodies in S3: the calls, as data, that make a bucket, store, fetch, list and remove objects, and remove it all.

Sources: PutObject, GetObject, DeleteObject(s), ListObjectsV2, CreateBucket and PutBucketLifecycleConfiguration in S3's
API reference (docs.aws.amazon.com/AmazonS3/latest/API). Every read and list sees what was answered as written before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameday.transports.base import Answer, Call, CallFailed, Plan

SERVICE = "s3"
DAY_S = 24 * 3600
# How S3 and its emulators say that there is no such object, or no such bucket.
GONE = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchBucket"})


def is_gone(failed: CallFailed) -> bool:
    return failed.definite and failed.code in GONE


def list_all(bucket: str, *, prefix: str = "") -> Plan[list[Answer]]:
    """Every object under a prefix."""
    found: list[Answer] = []
    page: dict[str, Any] = {}
    while True:
        answer = yield Call(SERVICE, "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix, **page})
        found += answer.get("Contents") or ()
        if not answer.get("IsTruncated"):
            return found
        page = {"ContinuationToken": answer["NextContinuationToken"]}


def remove_objects(bucket: str, *, prefix: str = "") -> Plan[None]:
    found = yield from list_all(bucket, prefix=prefix)
    for start in range(0, len(found), 1000):
        keys = [{"Key": each["Key"]} for each in found[start : start + 1000]]
        yield Call(SERVICE, "DeleteObjects", {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}})


def remove_bucket(bucket: str) -> Plan[None]:
    """With all that is in it."""
    yield from remove_objects(bucket)
    yield Call(SERVICE, "DeleteBucket", {"Bucket": bucket})


def make_bucket(bucket: str, *, tags: Mapping[str, str]) -> Plan[None]:
    """Whose objects expire after a day, so that what a killed run leaves there does not stay."""
    which = {"Bucket": bucket}
    yield Call(SERVICE, "CreateBucket", which, undo=lambda made: Call(SERVICE, "DeleteBucket", which))
    yield Call(
        SERVICE,
        "PutBucketTagging",
        {**which, "Tagging": {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}},
    )
    rule = {"ID": "gameday", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    yield Call(SERVICE, "PutBucketLifecycleConfiguration", {**which, "LifecycleConfiguration": {"Rules": [rule]}})


def expiry_days(bucket: str, *, prefix: str) -> Plan[int | None]:
    """After how many days a rule of the bucket removes what stands under a prefix; None where none does."""
    try:
        answer = yield Call(SERVICE, "GetBucketLifecycleConfiguration", {"Bucket": bucket})
    except CallFailed as failed:
        if failed.definite and failed.code == "NoSuchLifecycleConfiguration":
            return None
        raise
    days = [
        int(rule["Expiration"]["Days"])
        for rule in answer.get("Rules") or ()
        if rule.get("Status") == "Enabled"
        and (rule.get("Expiration") or {}).get("Days")
        and set(rule.get("Filter") or {}) <= {"Prefix"}
        and prefix.startswith(str((rule.get("Filter") or {}).get("Prefix") or rule.get("Prefix") or ""))
    ]
    return min(days, default=None)
