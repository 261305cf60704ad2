"""The one boundary where botocore's errors become ours: definite (not stored) or indefinite (may have been stored)."""

from __future__ import annotations

from botocore import exceptions as aws

from transports.base import CallFailed

_UNREACHABLE = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError)
# These never reached the service, or the service never saw a whole request.
_NEVER_SENT = (*_UNREACHABLE, aws.NoCredentialsError, aws.PartialCredentialsError, aws.ParamValidationError)
# The codes that `translate` gives them.
UNREACHABLE = tuple(error.__name__ for error in _UNREACHABLE)
NEVER_SENT = tuple(error.__name__ for error in _NEVER_SENT)


def translate(error: Exception) -> CallFailed:
    """Any error of botocore (or of the HTTP layer below it) as a CallFailed.

    A 4xx answer and a throttle are proof; a 5xx, a timeout and a broken connection prove nothing.
    """
    if isinstance(error, aws.ClientError):
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = answer.get("Error", {}).get("Code", "Unknown")
        message = answer.get("Error", {}).get("Message", str(error))
        return CallFailed(code, message, definite=400 <= status < 500 or "Throttl" in code)
    if isinstance(error, _NEVER_SENT):
        return CallFailed(type(error).__name__, str(error), definite=True)
    return CallFailed(type(error).__name__, str(error), definite=False)
