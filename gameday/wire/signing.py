"""Signatures for a target that checks them: a consumer signs for the wire's host, and what it signed may change."""

from __future__ import annotations

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from gameday.transports.endpoint import Endpoint

# What AWS's signatures call a service, where boto3 has another name for it.
_SCOPES = {"stepfunctions": "states", "events": "events"}
_SIGNED = ("host", "content-type", "x-amz-target")
_OLD = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Date")


class Signer:
    """Signs with the run's own credentials. Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._region = endpoint.region
        self._session = boto3.Session(region_name=endpoint.region)
        self._given = Credentials(endpoint.access_key, endpoint.secret_key) if endpoint.access_key is not None else None

    def sign(self, service: str, method: str, url: str, headers: CIMultiDict[str], body: bytes | None) -> None:
        """Put a new signature in place of the old one. `body` is None where it is a stream, which is not signed."""
        for name in _OLD:
            headers.popall(name, None)
        unsigned = {
            name: value for name, value in headers.items() if name.lower() in ("host", "content-type", "x-amz-target")
        }
        request = AWSRequest(method=method, url=url, headers=unsigned, data=body)
        if body is None:
            request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        credentials = self._given or self._session.get_credentials()
        SigV4Auth(credentials, _SCOPES.get(service, service), self._region).add_auth(request)
        for name, value in request.headers.items():
            headers[name] = value
