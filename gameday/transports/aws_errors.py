"""The one place that says what AWS's errors prove: whether anything was stored, and whether asking again can help.

It promises that botocore's errors become ours here: definite (not stored) or indefinite (may have been stored), and
that an error is permanent only where the service finds fault with the message itself. Sent again it is the same
message, so it is refused again.
"""

from __future__ import annotations

from botocore import exceptions as aws

from gameday.transports.base import CallFailed

_UNREACHABLE = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError)
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.MetadataRetrievalError,
    aws.TokenRetrievalError,
    aws.SSOError,
)
# These never reached the service, or the service never saw a whole request.
_NEVER_SENT = (*_UNREACHABLE, *_NO_CREDENTIALS, aws.ParamValidationError)
# The codes that `translate` gives them.
UNREACHABLE = tuple(error.__name__ for error in _UNREACHABLE)
NEVER_SENT = tuple(error.__name__ for error in _NEVER_SENT)
# From the errors of SendMessageBatch, PublishBatch, PutEvents and PutRecords, their entries' included, and AWS's common
# ones. Not among them is what somebody may mend while a run goes on: a denial, a missing queue, a key that is disabled.
_PERMANENT = frozenset(
    {
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        # A start that was accepted before: nothing more comes of another one.
        "ExecutionAlreadyExists",
        "InvalidArgument",
        "InvalidAttributeName",
        "InvalidAttributeValue",
        "InvalidBatchEntryId",
        "InvalidExecutionInput",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "MalformedDetail",
        "MessageTooLong",
        "MissingParameter",
        "ParamValidationError",
        "ParameterValueInvalid",
        "RequestEntityTooLarge",
        "Serialization",
        "TooManyEntriesInBatchRequest",
        "UnsupportedOperation",
        "Validation",
        "ValidationError",
    }
)
# Parts of the codes by which AWS's services say that they are asked too often (docs.aws.amazon.com/general/latest/gr/
# api-retries.html, and the common errors of every API reference). Nothing was done then.
THROTTLES = ("Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "SlowDown")
# What tells that an endpoint does not have an operation at all.
_LACKING_CODES = (
    "UnknownOperation",
    "UnknownAction",
    "InvalidAction",
    "NotImplemented",
    "UnsupportedOperation",
    "404",
    "501",
)
_LACKING_WORDS = (
    *("not implemented", "not yet implemented", "not been implemented", "not yet been emulated"),
    *("not supported", "not enabled"),
)
# How services, STS and IAM say that credentials were good and are no more
# (docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).
_EXPIRED = ("ExpiredToken", "RequestExpired")
# Parts of the codes by which AWS's services say that there is no such thing.
_GONE = ("NotFound", "NonExistent", "DoesNotExist")
# SQS puts this before some codes, and some services end theirs with Exception.
_PREFIX = "AWS.SimpleQueueService."
EXPIRED = "The credentials have expired; get new ones (`aws sso login` where the profile uses SSO)."


def is_permanent(code: str) -> bool:
    """Whether the code of a refused call, or of a refused entry, says that the message can never pass."""
    return code.removeprefix(_PREFIX).removesuffix("Exception") in _PERMANENT


def is_throttle(code: str) -> bool:
    """Whether the code of a refused call, or of a refused entry, says that the service was asked too often."""
    return any(part in code for part in THROTTLES)


def is_definite(status: int, code: str) -> bool:
    """Whether an answer with this HTTP status and code proves that nothing was stored: a 4xx, or a throttle."""
    return 400 <= status < 500 or is_throttle(code)


def has_expired(failed: CallFailed) -> bool:
    """Whether a failure says that the credentials are no longer good."""
    code = failed.code.removesuffix("Exception")
    return code in _EXPIRED or (failed.definite and "token" in str(failed).lower() and "expired" in str(failed).lower())


def with_advice(failed: CallFailed) -> str:
    """What was said, and what to do where that is known."""
    return f"{failed}. {EXPIRED}" if has_expired(failed) else str(failed)


def is_gone(failed: CallFailed) -> bool:
    """Whether a failure says that what was asked about is not there (any more)."""
    return failed.definite and any(part in failed.code for part in _GONE)


def lacks(failed: CallFailed) -> bool:
    """Whether a failure says that the endpoint does not have the operation at all."""
    text = str(failed).lower()
    return failed.code.startswith(_LACKING_CODES) or any(words in text for words in _LACKING_WORDS)


def translate(error: Exception) -> CallFailed:
    """Any error of botocore (or of the HTTP layer below it) as a CallFailed.

    A 4xx answer and a throttle are proof; a 5xx, a timeout and a broken connection prove nothing.
    """
    if isinstance(error, aws.ClientError):
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = answer.get("Error", {}).get("Code", "Unknown")
        message = answer.get("Error", {}).get("Message", str(error))
        return CallFailed(code, message, definite=is_definite(status, code))
    if isinstance(error, _NEVER_SENT):
        return CallFailed(type(error).__name__, str(error), definite=True)
    return CallFailed(type(error).__name__, str(error), definite=False)
