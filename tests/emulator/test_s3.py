"""S3 of the in-memory broker: its rules as functions, held to botocore's models, and what boto3 sees over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gameday.emulator.s3_wire import asked
from tests.emulator.inside import Inside
from tests.transports.asked import code_of, served

DAY_S = 24 * 3600
EXPIRES = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}]}


def bucket() -> Inside:
    inside = Inside()
    inside.s3("CreateBucket", Bucket="bkt")
    return inside


def test_what_is_not_there_is_said_to_be() -> None:
    inside = bucket()
    assert inside.s3.refusal("GetObject", Bucket="bkt", Key="k") == "NoSuchKey"
    assert inside.s3.refusal("HeadBucket", Bucket="other") == "NoSuchBucket"
    assert inside.s3.refusal("GetBucketLifecycleConfiguration", Bucket="bkt") == "NoSuchLifecycleConfiguration"
    assert inside.s3.refusal("CreateBucket", Bucket="bkt") == "BucketAlreadyOwnedByYou"
    assert inside.s3.refusal("CreateBucket", Bucket="Not_a_name") == "InvalidBucketName"
    assert inside.s3.refusal("UploadPart", Bucket="bkt", Key="k") == "NotImplemented"


def test_a_bucket_is_removed_empty() -> None:
    inside = bucket()
    inside.s3("PutObject", Bucket="bkt", Key="k", Body=b"")
    assert inside.s3.refusal("DeleteBucket", Bucket="bkt") == "BucketNotEmpty"
    inside.s3("DeleteObjects", Bucket="bkt", Delete={"Objects": [{"Key": "k"}, {"Key": "never there"}]})
    inside.s3("DeleteBucket", Bucket="bkt")
    assert inside.s3("ListBuckets")["Buckets"] == []


def test_a_write_may_be_bound_to_what_is_there() -> None:
    inside = bucket()
    etag = inside.s3("PutObject", Bucket="bkt", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert inside.s3.refusal("PutObject", Bucket="bkt", Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    inside.s3("PutObject", Bucket="bkt", Key="k", Body=b"2", IfMatch=etag)
    assert inside.s3.refusal("PutObject", Bucket="bkt", Key="k", Body=b"3", IfMatch=etag) == "PreconditionFailed"
    assert inside.s3("GetObject", Bucket="bkt", Key="k")["Body"] == b"2"


def test_bytes_that_do_not_fit_their_checksum_are_refused() -> None:
    put = {"Bucket": "bkt", "Key": "k", "Body": b"right"}
    assert bucket().s3.refusal("PutObject", **put, ChecksumCRC32="AAAAAA==") == "BadDigest"
    assert bucket().s3.refusal("PutObject", **put, ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == "BadDigest"


def test_a_rule_removes_what_is_under_its_prefix_when_it_is_old_enough() -> None:
    inside = bucket()
    inside.s3("PutBucketLifecycleConfiguration", Bucket="bkt", LifecycleConfiguration=EXPIRES)
    for key in ("old/1", "kept", "old/2"):
        inside.s3("PutObject", Bucket="bkt", Key=key, Body=b"")
        inside.later(DAY_S / 2)
    keys = [each["Key"] for each in inside.s3("ListObjectsV2", Bucket="bkt")["Contents"]]
    assert keys == ["kept", "old/2"]
    inside.s3("DeleteBucketLifecycle", Bucket="bkt")
    inside.later(30 * DAY_S)
    assert inside.s3("HeadObject", Bucket="bkt", Key="old/2")["ContentLength"] == 0


def test_other_rules_are_refused() -> None:
    rule = {"Rules": [{"ID": "r", "Status": "Enabled", "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}]}
    refused = bucket().s3.refusal("PutBucketLifecycleConfiguration", Bucket="bkt", LifecycleConfiguration=rule)
    assert refused == "MalformedXML"


def test_a_list_comes_in_pages() -> None:
    inside = bucket()
    keys = [f"p/{n}" for n in range(5)]
    for key in [*keys, "q/1"]:
        inside.s3("PutObject", Bucket="bkt", Key=key, Body=b"")
    found, page = list[str](), dict[str, Any]()
    while True:
        answer = inside.s3("ListObjectsV2", Bucket="bkt", Prefix="p/", MaxKeys=2, **page)
        found += [each["Key"] for each in answer["Contents"]]
        if not answer["IsTruncated"]:
            break
        page = {"ContinuationToken": answer["NextContinuationToken"]}
    assert found == keys


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with served() as url:
        yield boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )


NAME = "a/b c+é&<.txt"


@pytest.mark.live
def test_boto3_speaks_with_it(s3: Any) -> None:
    s3.create_bucket(Bucket="first")
    s3.put_bucket_tagging(Bucket="first", Tagging={"TagSet": [{"Key": "a", "Value": "<b>"}]})
    assert s3.get_bucket_tagging(Bucket="first")["TagSet"] == [{"Key": "a", "Value": "<b>"}]
    s3.put_object(Bucket="first", Key=NAME, Body=b"x" * 300_000, Metadata={"k": "v"})
    # A file is sent once the broker said that it may go on.
    s3.put_object(Bucket="first", Key="file", Body=io.BytesIO(b"0123456789"))
    read = s3.get_object(Bucket="first", Key=NAME)
    assert (read["Body"].read(), read["Metadata"]) == (b"x" * 300_000, {"k": "v"})
    assert s3.head_object(Bucket="first", Key=NAME)["ContentLength"] == 300_000
    assert s3.get_object(Bucket="first", Key="file", Range="bytes=-3")["Body"].read() == b"789"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="first", PaginationConfig={"PageSize": 1})
    assert [each["Key"] for page in pages for each in page["Contents"]] == [NAME, "file"]
    s3.put_bucket_lifecycle_configuration(Bucket="first", LifecycleConfiguration=EXPIRES)
    assert s3.get_bucket_lifecycle_configuration(Bucket="first")["Rules"][0]["Expiration"] == {"Days": 1}
    removed = s3.delete_objects(Bucket="first", Delete={"Objects": [{"Key": NAME}, {"Key": "file"}]})["Deleted"]
    assert [each["Key"] for each in removed] == [NAME, "file"]
    s3.delete_bucket(Bucket="first")


@pytest.mark.live
def test_boto3_is_refused_as_by_s3(s3: Any) -> None:
    s3.create_bucket(Bucket="second")
    s3.put_object(Bucket="second", Key="k", Body=b"")
    assert code_of(s3.get_object, Bucket="second", Key="none") == "NoSuchKey"
    # A refused HEAD has no body that could say more.
    assert code_of(s3.head_object, Bucket="second", Key="none") == "404"
    assert code_of(s3.put_object, Bucket="second", Key="k", Body=b"", IfNoneMatch="*") == "PreconditionFailed"
    assert code_of(s3.get_object, Bucket="second", Key="k", Range="bytes=5-") == "InvalidRange"
    assert code_of(s3.list_objects_v2, Bucket="none") == "NoSuchBucket"
    assert code_of(s3.upload_part, Bucket="second", Key="k", UploadId="1", PartNumber=1) == "NotImplemented"


def test_chunks_of_other_sdks_are_put_together() -> None:
    body = b"5;chunk-signature=0\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "11"}
    assert asked("PUT", "/bkt/k?x-id=PutObject", headers, body)[1]["Body"] == b"hello world"
