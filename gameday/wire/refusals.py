"""What a service says when it refuses a call: its own code, status and words, so that each SDK takes it for what it is.

Sources: the errors of each operation in docs.aws.amazon.com (as botocore's service models have them), and "Common
errors" of each API reference. SQS calls a throttle RequestThrottled and answers 403; in its JSON protocol a header says
beside what the older protocol calls an error. SNS says Throttling, the older common code: its modelled Throttled is of
operations for SMS alone. Kinesis and DynamoDB have two codes, one for what reads and writes data, one for what manages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_THROUGHPUT = "ProvisionedThroughputExceededException"
# Operations whose limit is the throughput of a shard or a table.
_OF_DATA: Mapping[str, frozenset[str]] = {
    "kinesis": frozenset({"GetRecords", "GetShardIterator", "PutRecord", "PutRecords"}),
    "dynamodb": frozenset(
        {
            "BatchGetItem",
            "BatchWriteItem",
            "DeleteItem",
            "ExecuteStatement",
            "ExecuteTransaction",
            "GetItem",
            "PutItem",
            "Query",
            "Scan",
            "TransactGetItems",
            "TransactWriteItems",
            "UpdateItem",
        }
    ),
    "sqs": frozenset(
        {
            "ChangeMessageVisibility",
            "ChangeMessageVisibilityBatch",
            "DeleteMessage",
            "DeleteMessageBatch",
            "ReceiveMessage",
            "SendMessage",
            "SendMessageBatch",
        }
    ),
}
_THROTTLES_DATA = {"kinesis": _THROUGHPUT, "dynamodb": _THROUGHPUT, "sqs": "RequestThrottled"}
_THROTTLES = {
    "kinesis": "LimitExceededException",
    "dynamodbstreams": "LimitExceededException",
    "sns": "Throttling",
    "s3": "SlowDown",
}
_DENIALS = {"sns": "AuthorizationError", "s3": "AccessDenied"}
# Of a call that may be made, and not use the key: each has a word of its own, and answers 400. SQS's older protocol
# hands on what KMS itself says.
KMS = "kms"
_KEY_DENIALS = {"sqs": "KmsAccessDenied", "sns": "KMSAccessDenied", "kinesis": "KMSAccessDeniedException"}
_KEY_DENIED = "User is not authorized to use the key of KMS (kms:Decrypt, kms:GenerateDataKey)"
_WORDS = {
    _THROUGHPUT: "Rate exceeded for the shard, table or index; slow down.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "InternalFailure": "The request processing has failed because of an unknown error.",
    "ExpiredIteratorException": "Iterator expired. It was created longer ago than the tolerated delay of 300000 "
    "milliseconds.",
}
# What an entry of a batch is refused with: the service's own trouble, which another try may well not meet.
_ENTRIES = {"events": "ThrottlingException", "kinesis": _THROUGHPUT}


@dataclass(frozen=True, slots=True)
class Refusal:
    """`old_code`: what the older protocol of the service calls the same, where that is another name."""

    code: str
    status: int
    message: str
    old_code: str | None = None


def refusal(kind: str, *, service: str | None, operation: str | None, code: str | None = None) -> Refusal:
    """What a disturbance of this kind has the service say. `code`: the one that a scenario asks for instead, or KMS of
    a denial of the key."""
    if kind == "throttle":
        own = _throttle(service or "", operation or "")
        status = {"RequestThrottled": 403, "SlowDown": 503}.get(code or own, 400)
        return Refusal(code or own, status, _WORDS.get(code or own, "Rate exceeded"))
    if kind == "deny" and code == KMS:
        old = "KMS.AccessDeniedException" if service == "sqs" else None
        return Refusal(_KEY_DENIALS.get(service or "", "AccessDeniedException"), 400, _KEY_DENIED, old)
    if kind == "deny":
        denial = _DENIALS.get(service or "", "AccessDeniedException")
        status = 403 if service in ("sns", "sqs", "s3") else 400
        old = "AccessDenied" if service == "sqs" else None
        return Refusal(denial, status, "User is not authorized to perform this action", old)
    if kind == "expire-iterator":
        return Refusal("ExpiredIteratorException", 400, _WORDS["ExpiredIteratorException"])
    code = code or "InternalFailure"
    return Refusal(code, 503 if code == "ServiceUnavailable" else 500, _WORDS.get(code, "The request has failed."))


def entry_code(kind: str, *, service: str | None, operation: str | None) -> str:
    """The code of an entry that is refused alone, by a disturbance of this kind."""
    if kind == "throttle-entries":
        return _throttle(service or "", operation or "")
    return _ENTRIES.get(service or "", "InternalError")


def _throttle(service: str, operation: str) -> str:
    if operation in _OF_DATA.get(service, ()):
        return _THROTTLES_DATA[service]
    return _THROTTLES.get(service, "ThrottlingException")
