"""What the wire records of a queue, and what a consumer sees through it: on the broker in memory, with boto3."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from gameday.history import envelope
from gameday.history.identity import Identification
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from tests.transports.asked import served
from tests.wire.wired import Wired, sdk, until, wired


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture
def wire(memory: Endpoint, tmp_path: Path) -> Iterator[Wired]:
    direct = sdk("sqs", memory.urls["*"])
    queue = direct.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    with wired(memory, tmp_path, addresses=Addresses(send_to=queue, queues={"orders": queue})) as wire:
        yield wire


def send(wire: Wired, *bodies: str) -> list[str]:
    """Past the wire; gives the ids that SQS gave them."""
    direct = sdk("sqs", wire.target)
    return [direct.send_message(QueueUrl=wire.queue, MessageBody=body)["MessageId"] for body in bodies]


def receive(wire: Wired, **more: Any) -> list[dict[str, Any]]:
    answer = wire.sdk().receive_message(QueueUrl=wire.queue, MaxNumberOfMessages=10, **more)
    return list(answer.get("Messages") or ())


def test_a_message_is_recorded_on_its_way_and_back(wire: Wired) -> None:
    (id,) = send(wire, "hello")
    (message,) = receive(wire, VisibilityTimeout=7)
    assert message["Body"] == "hello" and "Attributes" not in message, "nobody asked for attributes"
    wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
    received, delivered, settling, settled = wire.records
    assert received["event"] == "received" and received["broker_id"] == id and "id" not in received
    assert received["consumer"] == "orders-1.1" and received["subscription"] == "orders"
    assert received["receives"] == 1 and received["hidden_s"] == 7 and received["enqueued"] > 0
    assert received["started"] <= received["at"]
    assert (delivered["event"], delivered["batch"], delivered["outcome"]) == ("delivered", received["batch"], "ok")
    assert settling["event"] == "settling" and settling["action"] == "delete"
    assert (settling["batch"], settling["broker_id"]) == (received["batch"], id)
    assert settled["event"] == "settled" and settled["outcome"] == "ok" and settled["call"] == settling["call"]


def test_messages_of_others_are_passed_on_and_counted_and_no_more(memory: Endpoint, tmp_path: Path) -> None:
    direct = sdk("sqs", memory.urls["*"])
    queue = direct.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    addresses = Addresses(send_to=queue, queues={"orders": queue}, attached=True)
    with wired(memory, tmp_path, addresses=addresses, identification=Identification(run="r")) as wire:
        ours = envelope.pack(id="m", run="r", group=None, timestamp_ns=1, payload_bytes=0).decode()
        send(wire, "theirs", ours)
        messages = receive(wire)
        entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
        assert {each["Body"] for each in messages} == {"theirs", ours}
        assert len(wire.sdk().delete_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 2
        records = wire.records
    assert [record["count"] for record in records if record.get("name") == "foreign"] == [1]
    about = [(record["event"], record.get("id")) for record in records if record["event"] not in ("mark", "delivered")]
    assert about == [("received", "m"), ("settling", "m"), ("settled", "m")]


def test_what_a_consumer_asks_for_is_what_it_gets(wire: Wired) -> None:
    send(wire, "hello")
    (message,) = receive(wire, AttributeNames=["SentTimestamp"], VisibilityTimeout=0)
    assert set(message["Attributes"]) == {"SentTimestamp"}
    (message,) = receive(wire, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)
    direct = sdk("sqs", wire.target)
    answer = direct.receive_message(QueueUrl=wire.queue, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)
    assert set(message["Attributes"]) == set(answer["Messages"][0]["Attributes"])


def test_a_batch_is_settled_entry_by_entry(wire: Wired) -> None:
    send(wire, "a", "b")
    first, second = receive(wire)
    entries = [
        {"Id": "x", "ReceiptHandle": first["ReceiptHandle"]},
        {"Id": "y", "ReceiptHandle": "nonsense"},
        {"Id": "z", "ReceiptHandle": second["ReceiptHandle"]},
    ]
    answer = wire.sdk().delete_message_batch(QueueUrl=wire.queue, Entries=entries)
    outcomes = {record.get("broker_id"): record["outcome"] for record in wire.recorded("settled")}
    assert {entry["Id"] for entry in answer["Successful"]} == {"x", "z"}
    assert outcomes == {first["MessageId"]: "ok", second["MessageId"]: "ok", None: "failed"}


def test_release_and_extension(wire: Wired) -> None:
    send(wire, "a")
    (message,) = receive(wire)
    handle = message["ReceiptHandle"]
    wire.sdk().change_message_visibility(QueueUrl=wire.queue, ReceiptHandle=handle, VisibilityTimeout=60)
    assert wire.client.holding == 1
    wire.sdk().change_message_visibility_batch(
        QueueUrl=wire.queue, Entries=[{"Id": "1", "ReceiptHandle": handle, "VisibilityTimeout": 0}]
    )
    settled = wire.recorded("settled")
    assert [(record["action"], record.get("hidden_s"), record["outcome"]) for record in settled] == [
        ("extend", 60, "ok"),
        ("release", None, "ok"),
    ]
    assert wire.client.holding == 0


def test_a_queue_url_leads_to_the_wire_and_back(wire: Wired) -> None:
    name = wire.queue.rpartition("/")[2]
    url = wire.sdk().get_queue_url(QueueName=name)["QueueUrl"]
    assert url.startswith(wire.client.origin) and url.endswith(name)
    send(wire, "a")
    assert wire.sdk().receive_message(QueueUrl=url)["Messages"]
    assert len(wire.recorded("received")) == 1, "it is the same queue by either name"
    other = wire.sdk().create_queue(QueueName=f"{name}-other")["QueueUrl"]
    assert other.startswith(wire.client.origin)
    wire.sdk().send_message(QueueUrl=other, MessageBody="to another queue")
    assert wire.sdk().receive_message(QueueUrl=other)["Messages"][0]["Body"] == "to another queue"
    assert len(wire.recorded("received")) == 1, "another queue is nobody's business here"


def test_an_answer_that_a_dead_consumer_waited_for_is_taken_back(wire: Wired) -> None:
    """It polls and dies; what is sent then goes to somebody else."""
    with socket.create_connection(("127.0.0.1", wire.client.port)) as dying:
        body = b'{"QueueUrl":"%b","WaitTimeSeconds":20}' % wire.queue.encode()
        dying.sendall(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
            b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        until(lambda: wire.client.calls, "it polls")
    until(lambda: not wire.proxy.working, "the receive is taken back")
    send(wire, "a")
    assert [message["Body"] for message in receive(wire, WaitTimeSeconds=5)] == ["a"]
    assert wire.recorded("received")[0]["receives"] == 1


class TestFaults:
    def test_a_throttle_is_the_services_own_word(self, wire: Wired) -> None:
        send(wire, "a")
        wire.arm("throttle", operations=["ReceiveMessage"])
        with pytest.raises(ClientError) as refused:
            receive(wire)
        assert refused.value.response["Error"]["Code"] == "RequestThrottled"
        assert wire.client.disturbances.fired == {"throttle-1": 1}
        assert wire.sdk().get_queue_attributes(QueueUrl=wire.queue, AttributeNames=["All"]), "no other call is struck"
        assert wire.records == []

    def test_a_lost_answer_was_received_and_never_delivered(self, wire: Wired) -> None:
        send(wire, "a")
        wire.arm("lose-answer", operations=["ReceiveMessage"])
        with pytest.raises(ConnectionClosedError):
            receive(wire)
        received, delivered = wire.records
        assert received["event"] == "received"
        assert (delivered["outcome"], delivered["error"]) == ("failed", "lose-answer")

    def test_a_lost_request_never_left(self, wire: Wired) -> None:
        send(wire, "a")
        (message,) = receive(wire, VisibilityTimeout=0)
        wire.arm("lose-request", operations=["DeleteMessage"])
        with pytest.raises(ConnectionClosedError):
            wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
        (settled,) = wire.recorded("settled")
        assert settled["outcome"] == "failed"
        assert receive(wire), "it was not deleted"

    def test_a_lost_answer_to_a_delete_was_deleted(self, wire: Wired) -> None:
        send(wire, "a")
        (message,) = receive(wire, VisibilityTimeout=0)
        wire.arm("lose-answer", operations=["DeleteMessage"])
        with pytest.raises(ConnectionClosedError):
            wire.sdk().delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
        assert wire.recorded("settled")[0]["outcome"] == "ok"
        assert not receive(wire)

    def test_a_partial_batch_leaves_entries_behind(self, wire: Wired) -> None:
        send(wire, *"abcdef")
        messages = receive(wire, VisibilityTimeout=0)
        wire.arm("partial-batch", nth=4, operations=["DeleteMessageBatch"])
        entries = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
        answer = wire.sdk().delete_message_batch(QueueUrl=wire.queue, Entries=entries)
        failed = {entry["Id"] for entry in answer["Failed"]}
        assert len(failed) == 1 and {entry["Id"] for entry in answer["Successful"]} == set("abcdef") - failed
        assert {m["Body"] for m in receive(wire)} == failed
        assert [record["outcome"] for record in wire.recorded("settled")].count("failed") == len(failed)

    def test_a_partial_batch_of_everything_sends_nothing(self, wire: Wired) -> None:
        send(wire, "a")
        (message,) = receive(wire, VisibilityTimeout=0)
        wire.arm("partial-batch")
        entries = [{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}]
        answer = wire.sdk().delete_message_batch(QueueUrl=wire.queue, Entries=entries)
        assert [entry["Id"] for entry in answer["Failed"]] == ["a"] and not answer.get("Successful")
        assert receive(wire)

    @pytest.mark.parametrize(
        ("kind", "code", "status"), [("api-error", "InternalFailure", 500), ("deny", "AccessDenied", 403)]
    )
    def test_errors_are_told_as_the_service_would(self, wire: Wired, kind: str, code: str, status: int) -> None:
        wire.arm(kind)
        with pytest.raises(ClientError) as refused:
            receive(wire)
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status

    def test_a_black_hole_gives_no_answer_until_it_is_over(self, wire: Wired) -> None:
        wire.arm("blackhole")
        with pytest.raises(ReadTimeoutError):
            wire.sdk(read_timeout_s=0.3).get_queue_attributes(QueueUrl=wire.queue)
        wire.disarm("blackhole")
        assert wire.sdk().get_queue_attributes(QueueUrl=wire.queue)

    def test_nth_strikes_once(self, wire: Wired) -> None:
        wire.arm("reset", nth=2)
        wire.sdk().get_queue_attributes(QueueUrl=wire.queue)
        with pytest.raises(ConnectionClosedError):
            wire.sdk().get_queue_attributes(QueueUrl=wire.queue)
        wire.sdk().get_queue_attributes(QueueUrl=wire.queue)


def test_many_at_once(wire: Wired) -> None:
    """Each message is given to one of many consumers that poll and delete at the same time."""
    sent = send(wire, *(str(n) for n in range(60)))
    client, got, lock = wire.sdk(), [], threading.Lock()

    def work() -> None:
        while messages := client.receive_message(QueueUrl=wire.queue, MaxNumberOfMessages=3).get("Messages"):
            for message in messages:
                client.delete_message(QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"])
                with lock:
                    got.append(message["MessageId"])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(got) == sorted(sent)
    assert sorted(record["broker_id"] for record in wire.recorded("settled")) == sorted(sent)
    batches = {record["batch"] for record in wire.recorded("received")}
    assert {record["batch"] for record in wire.recorded("delivered") if record["outcome"] == "ok"} == batches


def test_it_is_no_open_proxy(wire: Wired) -> None:
    def ask(head: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", wire.client.port)) as connection:
            connection.sendall(head)
            connection.settimeout(5)
            return connection.recv(100)

    assert b" 400 " in ask(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
    assert b" 421 " in ask(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
    assert b" 40" in ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")


class TestIdentity:
    """Which message it is, told by an attribute that the consumer did not ask for."""

    @pytest.fixture
    def wire(self, memory: Endpoint, tmp_path: Path) -> Iterator[Wired]:
        queue = sdk("sqs", memory.urls["*"]).create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
        addresses, by = Addresses(send_to=queue, queues={"orders": queue}), Identification(by="attribute")
        with wired(memory, tmp_path, addresses=addresses, identification=by) as wire:
            texts = {"gameday-id": "m1", "tenant": "blue"}
            attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
            sdk("sqs", wire.target).send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=attributes)
            yield wire

    @pytest.mark.parametrize(
        ("asked", "gets"), [([], set()), (["tenant"], {"tenant"}), (["All"], {"tenant", "gameday-id"})]
    )
    def test_it_is_known_and_the_consumer_sees_what_it_asked_for(
        self, wire: Wired, asked: list[str], gets: set[str]
    ) -> None:
        """boto3 checks the digest of the attributes against those that it gets."""
        (message,) = receive(wire, MessageAttributeNames=asked)
        assert set(message.get("MessageAttributes") or ()) == gets
        assert ("MD5OfMessageAttributes" in message) == bool(gets)
        if gets:
            direct = sdk("sqs", wire.target)
            direct.change_message_visibility(
                QueueUrl=wire.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
            (plain,) = direct.receive_message(QueueUrl=wire.queue, MessageAttributeNames=asked)["Messages"]
            assert plain["MD5OfMessageAttributes"] == message["MD5OfMessageAttributes"]
        assert wire.recorded("received")[0]["id"] == "m1"


class TestWhatElseIsSeen:
    """A program may name its queue in another way, and consume more than one."""

    @pytest.fixture
    def wire(self, memory: Endpoint, tmp_path: Path) -> Iterator[Wired]:
        direct, tag = sdk("sqs", memory.urls["*"]), uuid.uuid4().hex[:8]
        dead = direct.create_queue(QueueName=f"dead-{tag}")["QueueUrl"]
        arn = direct.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = {"RedrivePolicy": f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'}
        queue = direct.create_queue(QueueName=f"q-{tag}", Attributes=redrive)["QueueUrl"]
        audit = direct.create_queue(QueueName=f"audit-{tag}")["QueueUrl"]
        addresses = Addresses(
            send_to=queue, queues={"orders": queue, "audit": audit}, dead_letter_queues={"orders": dead}
        )
        with wired(memory, tmp_path, addresses=addresses) as wire:
            yield wire

    def test_its_queue_by_its_name_alone(self, wire: Wired) -> None:
        (id,) = send(wire, "a")
        assert wire.sdk().receive_message(QueueUrl=wire.queue.rpartition("/")[2])["Messages"]
        assert [record["broker_id"] for record in wire.recorded("received")] == [id]

    def test_another_queue_of_the_run(self, wire: Wired) -> None:
        audit = wire.addresses.queues["audit"]
        sdk("sqs", wire.target).send_message(QueueUrl=audit, MessageBody="a")
        (message,) = wire.sdk().receive_message(QueueUrl=audit)["Messages"]
        wire.sdk().delete_message(QueueUrl=audit, ReceiptHandle=message["ReceiptHandle"])
        assert {record["subscription"] for record in wire.records} == {"audit"}
        assert [record["outcome"] for record in wire.recorded("settled")] == ["ok"]

    def test_dead_letters_that_it_works_off(self, wire: Wired) -> None:
        (id,) = send(wire, "a")
        receive(wire, VisibilityTimeout=0)
        assert not receive(wire), "it has died"
        dead = wire.addresses.dead_letter_queues["orders"]
        assert wire.sdk().receive_message(QueueUrl=dead, VisibilityTimeout=0)["Messages"]
        assert wire.sdk().receive_message(QueueUrl=dead)["Messages"]
        (record,) = wire.recorded("dead")
        assert (record["subscription"], record["broker_id"]) == ("orders", id)


def test_a_receive_that_is_made_again_is_one_receive(memory: Endpoint, tmp_path: Path) -> None:
    """With the id of its first attempt it gives the same messages, hidden anew."""
    name = f"q-{uuid.uuid4().hex[:8]}.fifo"
    direct = sdk("sqs", memory.urls["*"])
    queue = direct.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    addresses = Addresses(send_to=queue, queues={"orders": queue})
    with wired(memory, tmp_path, addresses=addresses, transport="sqs-fifo") as wire:
        direct.send_message(QueueUrl=queue, MessageBody="a", MessageGroupId="g", MessageDeduplicationId="1")
        asked = {"QueueUrl": queue, "ReceiveRequestAttemptId": "first"}
        (message,) = wire.sdk().receive_message(**asked)["Messages"]
        (again,) = wire.sdk().receive_message(**asked)["Messages"]
        assert again["ReceiptHandle"] == message["ReceiptHandle"]
        assert len(wire.recorded("received")) == 1
        assert [(record["action"], record["outcome"]) for record in wire.recorded("settled")] == [("extend", "ok")]
        assert len(wire.recorded("delivered")) == 2


def test_what_cannot_be_recorded_ends_the_wire(wire: Wired) -> None:
    send(wire, "a")
    wire.writer.close()
    with pytest.raises(ConnectionClosedError):
        receive(wire)
    wire.do(asyncio.wait_for(wire.proxy.failed(), 10))
    assert "is closed already" in str(wire.proxy.failure)
