"""With `signs` the wire signs anew, as botocore would: a target that checks signatures takes what comes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import io
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from multidict import CIMultiDict

from gameday.transports.endpoint import Endpoint
from gameday.wire.signing import Signer
from tests.wire import shapes
from tests.wire.sink import Got, Sink, answer, sink
from tests.wire.wired import Wired, wired

KEY, SECRET = "AKIARUNSOWN", "the-secret-of-the-run"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)"
)


def checked(got: Got) -> str:
    """The service that a request is signed for; AssertionError when AWS would not take its signature."""
    match = _AUTHORIZATION.fullmatch(got.header("Authorization") or "")
    assert match is not None, got.headers
    key, _, region, service, names, signature = match.groups()
    assert (key, region) == (KEY, "us-east-1")
    signed = names.split(";")
    unsigned = [name for name, _ in got.headers if name.lower().startswith("x-amz-") and name.lower() not in signed]
    assert "host" in signed and not unsigned, "AWS refuses these"
    headers = {name: value for name, value in got.headers if name.lower() in signed}
    request = AWSRequest(
        method=got.method, url=f"http://{got.header('Host')}{got.target}", headers=headers, data=got.body
    )
    request.context["timestamp"] = got.header("X-Amz-Date")
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = kind(Credentials(KEY, SECRET), service, region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert hmac.compare_digest(expected, signature)
    hashed = got.header("X-Amz-Content-SHA256")
    if service == "s3" and hashed != "UNSIGNED-PAYLOAD" and not (hashed or "").startswith("STREAMING-UNSIGNED"):
        assert hashed == hashlib.sha256(got.body).hexdigest()
    assert service == "s3" or hashed in (None, hashlib.sha256(got.body).hexdigest())
    return service


@pytest.fixture(scope="module")
def service() -> Iterator[Sink]:
    def says(got: Got) -> bytes:
        try:
            signed_for = checked(got)
        except AssertionError as error:
            return answer(str(error).encode(), status=403)
        return answer({"s3": b"", "sns": b"<PublishResponse><PublishResult/></PublishResponse>"}.get(signed_for, b"{}"))

    with sink(says) as served:
        yield served


@pytest.fixture(scope="module")
def wire(service: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    target = Endpoint(urls={"*": service.url}, access_key=KEY, secret_key=SECRET)
    queue = f"{service.url}/000000000000/orders"
    with wired(target, tmp_path_factory.mktemp("wire"), queue=queue, signs=True) as wire:
        yield wire


def last(service: Sink, wanted: str) -> Got:
    got = service.got[-1]
    assert checked(got) == wanted
    return got


def test_the_check_refuses_what_is_signed_by_another(service: Sink) -> None:
    direct = shapes.session("json").create_client("sqs", region_name="us-east-1", endpoint_url=service.url)
    with pytest.raises(ClientError, match="403"):
        direct.list_queues()


def test_json_and_forms_and_cbor(service: Sink, wire: Wired) -> None:
    wire.sdk("sqs").send_message(QueueUrl=wire.queue, MessageBody="a")
    last(service, "sqs")
    wire.sdk("sqs").receive_message(QueueUrl=wire.queue)
    assert b"All" in last(service, "sqs").body, "the new signature is that of the new body"
    wire.sdk("dynamodb").put_item(TableName="t", Item={"id": {"S": "x"}})
    last(service, "dynamodb")
    wire.sdk("stepfunctions").list_state_machines()
    last(service, "states")
    wire.sdk("sns").publish(TopicArn="arn:aws:sns:us-east-1:000000000000:t", Message="é & more")
    last(service, "sns")


def test_a_service_that_nobody_here_knows(service: Sink, wire: Wired) -> None:
    """Its body is hashed all the same: S3 alone takes one that is not."""
    wire.sdk("lambda").invoke(FunctionName="f/é", Payload=b"\x00" * 100_000)
    assert len(last(service, "lambda").body) == 100_000
    wire.sdk("lambda").get_function(FunctionName="f")
    assert last(service, "lambda").method == "GET"


def test_s3_with_awkward_keys_headers_and_a_streamed_body(service: Sink, wire: Wired) -> None:
    s3 = wire.sdk("s3")
    body = bytes(range(256)) * 400_000
    s3.put_object(
        Bucket="b", Key="a//b/../c +é%2F?&=", Body=io.BytesIO(body), Metadata={"m": "x  y"}, ContentType="a/b; c=d"
    )
    got = last(service, "s3")
    assert got.body == body
    assert got.target.startswith("/b/a//b/../c%20%2B%C3%A9%252F%3F%26%3D")
    s3.delete_object(Bucket="b", Key="k")
    last(service, "s3")
    s3.head_object(Bucket="b", Key="k", PartNumber=3)
    assert "partNumber=3" in last(service, "s3").target


def test_a_stream_whose_pieces_are_signed_goes_on_without(service: Sink, wire: Wired) -> None:
    """As the SDK for Java sends it."""
    pieces = [b"a" * 8192, b"b\r\n" * 1000, b"c"]
    body = b"".join(b"%x;chunk-signature=%064d\r\n%b\r\n" % (len(piece), 0, piece) for piece in pieces)
    body += b"0;chunk-signature=%064d\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:00\r\n\r\n" % 0
    connection = http.client.HTTPConnection("127.0.0.1", wire.client.port, timeout=10)
    plain = b"".join(pieces)
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host,"
        " Signature=0",
        "X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "X-Amz-Decoded-Content-Length": str(len(plain)),
        "Content-Encoding": "aws-chunked,gzip",
        "Content-Length": str(len(body)),
    }
    connection.request("PUT", "/b/k", body=body, headers=headers)
    assert connection.getresponse().status == 200
    got = last(service, "s3")
    assert got.body == plain
    assert got.header("Content-Encoding") == "gzip" and got.header("Content-Length") == str(len(plain))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 5000])
def test_signed_pieces_wherever_they_are_cut(size: int) -> None:
    pieces = [b"x" * 10, b"\r\n5;", b"y" * 4000]
    stream = b"".join(b"%X;chunk-signature=00\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    async def cut(whole: bytes) -> AsyncIterator[bytes]:
        for first in range(0, len(whole), size):
            yield whole[first : first + size]

    def sent(whole: bytes) -> bytes:
        async def joined() -> bytes:
            signer = Signer(Endpoint(access_key=KEY, secret_key=SECRET))
            headers = CIMultiDict({"Host": "h", "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
            body = signer.sign("s3", "PUT", "http://h/b/k", headers, cut(whole))
            assert isinstance(body, AsyncIterator)
            return b"".join([part async for part in body])

        return asyncio.run(joined())

    assert sent(stream + b"0;chunk-signature=00\r\n\r\n") == b"".join(pieces)
    for broken in (stream, stream[:-7], b"x" * 2000, b"zz;\r\n"):
        with pytest.raises(ValueError):
            sent(broken)
