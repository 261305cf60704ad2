"""Signatures for a target that checks them: a consumer signs for the wire's host, and what it signed may change.

Sources: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (what must be signed: the
host and all x-amz- headers) and docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from gameday.transports.endpoint import Endpoint

# What AWS's signatures call a service, where boto3 has another name for it.
_SCOPES = {"stepfunctions": "states", "dynamodbstreams": "dynamodb"}
_OLD = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Date")
_HASH = "X-Amz-Content-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"


class _S3Auth(S3SigV4Auth):  # type: ignore[misc]  # botocore ships no types
    """Takes the word of the header for what the body is, where there is one: a stream cannot be hashed before it is
    sent."""

    def payload(self, request: AWSRequest) -> str:
        given = request.context.get("payload")
        return str(super().payload(request) if given is None else given)


class Signer:
    """Signs with the run's own credentials."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._region = endpoint.region
        self._session = boto3.Session(region_name=endpoint.region)
        self._given = Credentials(endpoint.access_key, endpoint.secret_key) if endpoint.access_key is not None else None

    def sign(
        self,
        service: str,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> bytes | AsyncIterator[bytes] | None:
        """Put a new signature in place of the old one. A body that is a stream is not signed, which S3 alone takes.

        Gives the body to send: each piece of a stream may have had a signature of its own, which goes away with the
        checksum at the stream's end.
        """
        for name in _OLD:
            headers.popall(name, None)
        hashed = headers.popall(_HASH, [""])[0]
        if hashed.startswith("STREAMING-AWS4") and not isinstance(body, bytes | None):
            body = _without_signatures(headers, body)
        signed = {
            name: ",".join(headers.getall(name))
            for name in headers
            if name.lower() in ("host", "content-type", "content-md5") or name.lower().startswith("x-amz-")
        }
        request = AWSRequest(method=method, url=url, headers=signed, data=body if isinstance(body, bytes) else None)
        credentials = self._given or self._session.get_credentials()
        if service == "s3":
            if not isinstance(body, bytes | None):
                # One that is in pieces without signatures stays as it is.
                request.context["payload"] = hashed if hashed.startswith("STREAMING-UNSIGNED") else _UNSIGNED
            auth: SigV4Auth = _S3Auth(credentials, service, self._region)
        else:
            auth = SigV4Auth(credentials, _SCOPES.get(service, service), self._region)
        auth.add_auth(request)
        for name in (*_OLD, _HASH):
            if name in request.headers:
                headers[name] = request.headers[name]
        return body


def _without_signatures(headers: CIMultiDict[str], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    codings = [coding.strip() for coding in headers.pop("Content-Encoding", "").split(",")]
    if left := [coding for coding in codings if coding not in ("", "aws-chunked")]:
        headers["Content-Encoding"] = ",".join(left)
    headers.popall("X-Amz-Trailer", None)
    if (length := headers.pop("X-Amz-Decoded-Content-Length", None)) is not None:
        headers["Content-Length"] = length
    return _joined(pieces)


async def _joined(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What stands in `SIZE;chunk-signature=…` pieces, put together. Errors: ValueError where they are broken."""
    held = bytearray()
    left = 0
    async for part in pieces:
        held += part
        while held:
            if left > 2:
                data = bytes(held[: left - 2])
                del held[: left - 2]
                left -= len(data)
                yield data
            elif left:
                # The line end after a piece.
                if len(held) < left:
                    break
                del held[:left]
                left = 0
            else:
                line, end, _ = bytes(held[:1024]).partition(b"\r\n")
                if not end:
                    if len(held) >= 1024:
                        raise ValueError("no piece of a signed stream")
                    break
                del held[: len(line) + 2]
                size = int(line.partition(b";")[0], 16)
                if not size:
                    # The rest is about the whole: checksums and signatures.
                    async for _ in pieces:
                        pass
                    return
                left = size + 2
    raise ValueError("a signed stream ends in its middle")
