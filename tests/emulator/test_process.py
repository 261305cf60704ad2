"""The broker as a process: what the SDKs see, long polls, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiobotocore.session
import boto3
import orjson
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gameday.emulator.services import SERVICES

pytestmark = pytest.mark.live

CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}


def start(*arguments: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "gameday.emulator", *arguments]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ready(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    report = orjson.loads(process.stdout.readline())
    assert report["report"] == "ready"
    return str(report["url"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = start()
    try:
        yield ready(process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def sqs(url: str) -> Any:
    return boto3.client(
        "sqs", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}, read_timeout=30), **CREDENTIALS
    )


@pytest.fixture
def queue(sqs: Any, request: pytest.FixtureRequest) -> str:
    return str(sqs.create_queue(QueueName=f"q-{request.node.name[:60]}")["QueueUrl"])


def refusal(call: Callable[..., object], **params: object) -> str:
    with pytest.raises(ClientError) as error:
        call(**params)
    return str(error.value.response["Error"]["Code"])


def test_queues_by_name_tags_and_attributes(sqs: Any) -> None:
    tags = {"run": "r7"}
    made = sqs.create_queue(QueueName="tagged.fifo", Attributes={"FifoQueue": "true", "DelaySeconds": "3"}, tags=tags)
    url = made["QueueUrl"]
    assert sqs.get_queue_url(QueueName="tagged.fifo")["QueueUrl"] == url
    assert url in sqs.list_queues(QueueNamePrefix="tagged")["QueueUrls"]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="no such")
    sqs.tag_queue(QueueUrl=url, Tags={"more": "m"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"run": "r7", "more": "m"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["more"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == tags
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "7"
    assert attributes["DelaySeconds"] == "3"
    assert attributes["FifoQueue"] == "true"
    assert attributes["QueueArn"].endswith(":tagged.fifo")
    assert refusal(
        sqs.create_queue, QueueName="tagged.fifo", Attributes={"FifoQueue": "true", "DelaySeconds": "4"}
    ) == ("QueueAlreadyExists")
    sqs.delete_queue(QueueUrl=url)
    assert refusal(sqs.get_queue_url, QueueName="tagged.fifo") == "AWS.SimpleQueueService.NonExistentQueue"


@pytest.mark.parametrize(
    ("name", "attributes", "code"),
    [
        ("a b", {}, "InvalidParameterValue"),
        ("x.fifo", {}, "InvalidParameterValue"),
        ("x", {"FifoQueue": "true"}, "InvalidParameterValue"),
        ("x", {"Nonsense": "1"}, "InvalidAttributeName"),
        ("x", {"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ("x", {"ContentBasedDeduplication": "true"}, "InvalidAttributeValue"),
        ("x", {"RedrivePolicy": "{}"}, "InvalidParameterValue"),
        ("x", {"RedrivePolicy": '{"deadLetterTargetArn":"arn:none","maxReceiveCount":3}'}, "InvalidParameterValue"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_and_not_made(
    sqs: Any, name: str, attributes: dict[str, str], code: str
) -> None:
    assert refusal(sqs.create_queue, QueueName=name, Attributes=attributes) == code
    assert refusal(sqs.get_queue_url, QueueName=name) == "AWS.SimpleQueueService.NonExistentQueue"


def test_single_messages_with_attributes(sqs: Any, queue: str) -> None:
    attributes = {
        "colour": {"DataType": "String", "StringValue": "red"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    sent = sqs.send_message(QueueUrl=queue, MessageBody="héllo", MessageAttributes=attributes)
    (message,) = sqs.receive_message(
        QueueUrl=queue, MessageAttributeNames=["All"], MessageSystemAttributeNames=["SentTimestamp"]
    )["Messages"]
    assert (message["Body"], message["MessageId"]) == ("héllo", sent["MessageId"])
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["MessageAttributes"] == attributes
    assert list(message["Attributes"]) == ["SentTimestamp"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert "Attributes" not in again
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=again["ReceiptHandle"])
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_content_can_be_the_deduplication_id(sqs: Any) -> None:
    url = sqs.create_queue(
        QueueName="content.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    )["QueueUrl"]
    first = sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="a")
    assert sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="a")["MessageId"] == first["MessageId"]
    assert sqs.send_message(QueueUrl=url, MessageBody="y", MessageGroupId="a")["MessageId"] != first["MessageId"]


def test_wrong_entries_fail_alone_and_a_wrong_batch_fails_whole(sqs: Any) -> None:
    url = sqs.create_queue(QueueName="partial.fifo", Attributes={"FifoQueue": "true", "MaximumMessageSize": "1024"})[
        "QueueUrl"
    ]
    good = {"MessageBody": "x", "MessageGroupId": "a", "MessageDeduplicationId": "1"}
    answer = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "good", **good},
            {"Id": "no-group", "MessageBody": "x", "MessageDeduplicationId": "2"},
            {"Id": "no-id", "MessageBody": "x", "MessageGroupId": "a"},
            {"Id": "long", **good, "MessageBody": "x" * 2000},
            {"Id": "delayed", **good, "DelaySeconds": 3},
        ],
    )
    assert [e["Id"] for e in answer["Successful"]] == ["good"]
    assert {e["Id"]: e["Code"] for e in answer["Failed"]} == {
        "no-group": "MissingParameter",
        "no-id": "InvalidParameterValue",
        "long": "InvalidParameterValue",
        "delayed": "InvalidParameterValue",
    }
    send = sqs.send_message_batch
    prefix = "AWS.SimpleQueueService."
    assert refusal(send, QueueUrl=url, Entries=[]) == f"{prefix}EmptyBatchRequest"
    assert refusal(send, QueueUrl=url, Entries=[{"Id": "1", **good}] * 2) == f"{prefix}BatchEntryIdsNotDistinct"
    many = [{"Id": str(n), **good} for n in range(11)]
    assert refusal(send, QueueUrl=url, Entries=many) == f"{prefix}TooManyEntriesInBatchRequest"
    large = [{"Id": str(n), **good, "MessageBody": "x" * 600_000} for n in range(2)]
    assert refusal(send, QueueUrl=url, Entries=large) == f"{prefix}BatchRequestTooLong"
    assert refusal(sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=11) == "InvalidParameterValue"


def in_background(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread; what is returned waits for its answer."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return answers[0]

    return wait


@pytest.fixture(scope="module")
def impatient(url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
    return boto3.client("sqs", endpoint_url=url, config=config, **CREDENTIALS)


class TestLongPolling:
    """None of these would end before its poll's 20 s if the poll did not wake up: the client gives up after 15."""

    def poll(self, impatient: Any, queue: str) -> Callable[[], Any]:
        return in_background(lambda: impatient.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"])

    def test_a_send_wakes_it(self, sqs: Any, impatient: Any, queue: str) -> None:
        answer = self.poll(impatient, queue)
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        assert [m["Body"] for m in answer()] == ["x"]

    def test_the_end_of_a_visibility_timeout_wakes_it(self, sqs: Any, impatient: Any, queue: str) -> None:
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)
        assert [m["Body"] for m in self.poll(impatient, queue)()] == ["x"]

    def test_the_end_of_a_delay_wakes_it(self, sqs: Any, impatient: Any, queue: str) -> None:
        sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=1)
        assert [m["Body"] for m in self.poll(impatient, queue)()] == ["x"]

    def test_a_delete_that_unlocks_a_group_wakes_it(self, sqs: Any, impatient: Any) -> None:
        url = sqs.create_queue(QueueName="unlock.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for body in "xy":
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="a", MessageDeduplicationId=body)
        (held,) = sqs.receive_message(QueueUrl=url)["Messages"]
        answer = self.poll(impatient, url)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
        assert [m["Body"] for m in answer()] == ["y"]

    def test_a_burial_wakes_it(self, sqs: Any, impatient: Any, queue: str) -> None:
        dead = sqs.create_queue(QueueName="burial-dlq")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = orjson.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}).decode()
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
        answer = self.poll(impatient, dead)
        sqs.receive_message(QueueUrl=queue)
        assert [m["Body"] for m in answer()] == ["x"]

    def test_it_ends_empty_when_its_time_is_over(self, sqs: Any, queue: str) -> None:
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)

    def test_a_client_that_is_gone_takes_no_message(self, sqs: Any, queue: str) -> None:
        started = time.monotonic()
        with socket.create_connection(address(queue)) as raw:
            raw.sendall(request("ReceiveMessage", {"QueueUrl": queue, "WaitTimeSeconds": 20}))
            # The broker reads the connections in the order in which they speak: this answer says that it has the poll.
            sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
        # The client hung up; from some moment on, a message is not given to it any more.
        while True:
            sqs.send_message(QueueUrl=queue, MessageBody="x")
            if "Messages" in sqs.receive_message(QueueUrl=queue):
                break
            assert time.monotonic() - started < 15


def address(url: str) -> tuple[str, int]:
    host, _, port = url.split("/")[2].partition(":")
    return host, int(port)


def request(operation: str, params: dict[str, Any]) -> bytes:
    body = orjson.dumps(params)
    return (
        f"POST / HTTP/1.1\r\nHost: x\r\nx-amz-target: AmazonSQS.{operation}\r\nCONTENT-LENGTH: {len(body)}\r\n\r\n"
    ).encode() + body


def read_answers(raw: socket.socket, count: int) -> list[Any]:
    answers = []
    with raw.makefile("rb") as file:
        for _ in range(count):
            length = 0
            while line := file.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.append(orjson.loads(file.read(length)))
    return answers


def test_requests_may_come_in_pieces_or_several_at_once_and_are_answered_in_order(sqs: Any, queue: str) -> None:
    parts = [
        request("SendMessage", {"QueueUrl": queue, "MessageBody": "x"}),
        request("ReceiveMessage", {"QueueUrl": queue}),
        request("ReceiveMessage", {"QueueUrl": queue, "WaitTimeSeconds": 1}),
        request("ListQueues", {"QueueNamePrefix": "no such"}),
    ]
    with socket.create_connection(address(queue)) as raw:
        raw.settimeout(15)
        data = b"".join(parts)
        raw.sendall(data[:10])
        raw.sendall(data[10:70])
        raw.sendall(data[70:])
        sent, received, nothing, listed = read_answers(raw, 4)
    assert sent["MessageId"] == received["Messages"][0]["MessageId"]
    assert (nothing, listed) == ({}, {})


@pytest.mark.parametrize(
    ("raw_request", "told"),
    [
        (request("Nonsense", {}), "UnknownOperationException"),
        (b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.ListQueues\r\ncontent-length: 1\r\n\r\n{", "Serialization"),
        (b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", "UnknownOperationException"),
        (b"POST / HTTP/1.1\r\n\r\n", "Content-Length"),
    ],
)
def test_what_is_no_request_gets_an_error(url: str, raw_request: bytes, told: str) -> None:
    with socket.create_connection(address(url)) as raw:
        raw.settimeout(15)
        raw.sendall(raw_request)
        assert told in str(read_answers(raw, 1)[0])


def test_it_says_who_it_is_and_what_it_speaks(url: str) -> None:
    with socket.create_connection(address(url)) as raw:
        raw.settimeout(15)
        raw.sendall(b"GET /_gameday/health HTTP/1.1\r\n\r\n")
        (told,) = read_answers(raw, 1)
    assert told == {"product": "gameday-memory", "services": list(SERVICES)}


def test_aiobotocore_speaks_to_it(url: str) -> None:
    async def exchange() -> list[str]:
        async with AsyncExitStack() as stack:
            session = aiobotocore.session.get_session()
            client = await stack.enter_async_context(session.create_client("sqs", endpoint_url=url, **CREDENTIALS))
            queue = (await client.create_queue(QueueName="asynchronous"))["QueueUrl"]
            poll = asyncio.create_task(client.receive_message(QueueUrl=queue, WaitTimeSeconds=10))
            await client.send_message(QueueUrl=queue, MessageBody="x")
            return [m["Body"] for m in (await poll)["Messages"]]

    assert asyncio.run(exchange()) == ["x"]


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
def test_it_ends_in_good_order_when_told(how: str) -> None:
    process = start()
    try:
        ready(process)
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            assert process.stdin is not None
            process.stdin.close()
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def test_a_busy_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, errors = (process := start("--port", str(port))).communicate(timeout=15)
    assert process.returncode == 4
    assert errors.decode().strip() == f"cannot serve on 127.0.0.1:{port}: Address already in use"


def test_a_wrong_defect_is_bad_usage() -> None:
    _, errors = (process := start("--defect", "nope")).communicate(timeout=15)
    assert process.returncode == 2
    assert "no defect is called 'nope'" in errors.decode()
