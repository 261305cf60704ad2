"""A small consumer as many are written: boto3, a few threads that poll, and an idea of its own of idempotency.

It knows nothing of gameday: where AWS is, and what to consume, its environment says. An effect is a line in a file that
is named for the message. VARIANT says which mistake is planted:

    correct         the effect is put there whole, by a link that can be made once; what fails comes again
    no-guard        each delivery has its effect
    delete-first    it deletes before it works
    ignores-failed  it remembers what it works on until the batch is deleted, and takes 200 for a batch that is deleted
    gives-up        the first error of a receive is the last of that thread
    redo-on-error   when its delete fails, it begins anew with the message
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

VARIANT = os.environ["VARIANT"]
EFFECTS = Path(os.environ["GAMEDAY_EFFECTS"])
THREADS = int(os.environ.get("THREADS", "3"))
WORK_S = 0.3
ERRORS = (BotoCoreError, ClientError)
# Its errors are its own business: no SDK tries again for it.
CONFIG = Config(retries={"total_max_attempts": 1}, read_timeout=5)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def append(key: str) -> None:
    with (EFFECTS / key).open("ab", buffering=0) as file:
        file.write(b"1\n")


def link(key: str) -> bool:
    """Whether the effect, or the mark, was not there yet."""
    descriptor, path = tempfile.mkstemp(dir=EFFECTS, prefix=".")
    os.write(descriptor, b"1\n")
    os.close(descriptor)
    try:
        os.link(path, EFFECTS / key)
    except FileExistsError:
        return False
    finally:
        Path(path).unlink()
    return True


def work(key: str) -> None:
    time.sleep(WORK_S)
    if VARIANT in ("no-guard", "redo-on-error"):
        append(key)
    elif VARIANT != "ignores-failed":
        link(key)
    elif link(f".mark-{key}"):
        append(key)


def key_of(body: str | bytes) -> str:
    return str(json.loads(body)["detail"]["metadata"]["id"])


def poll(receive: Callable[[], None]) -> None:
    """For ever; or until the first error, where that is the mistake."""
    while True:
        try:
            receive()
        except ERRORS as error:
            say(f"receive: {error}")
            if VARIANT == "gives-up":
                say("gave up")
                return
            time.sleep(0.1)


def queue() -> Callable[[], None]:
    url = os.environ["GAMEDAY_QUEUE_URL"]
    sqs = boto3.client("sqs", config=CONFIG)

    def delete(messages: list[dict[str, Any]]) -> bool:
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        try:
            answer = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        except ERRORS as error:
            say(f"delete: {error}")
            return False
        for entry in answer.get("Failed", ()):
            say(f"delete: {entry}")
        return True

    def receive() -> None:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2, WaitTimeSeconds=1).get("Messages")
        if not messages:
            return
        keys = [key_of(message["Body"]) for message in messages]
        if VARIANT == "delete-first":
            delete(messages)
        for key in keys:
            work(key)
        if VARIANT == "delete-first":
            return
        deleted = delete(messages)
        if VARIANT == "ignores-failed" and deleted:
            for key in keys:
                (EFFECTS / f".mark-{key}").unlink(missing_ok=True)
        if VARIANT == "redo-on-error" and not deleted:
            for key in keys:
                work(key)
            delete(messages)

    return receive


def stream() -> Callable[[], None]:
    """Of one shard, from its beginning, by one thread."""
    name = os.environ["GAMEDAY_STREAM_NAME"]
    kinesis = boto3.client("kinesis", config=CONFIG)
    shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    at: dict[str, str] = {}

    def iterator() -> str:
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        if "last" in at:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": at["last"]}
        return str(kinesis.get_shard_iterator(StreamName=name, ShardId=shard, **start)["ShardIterator"])

    def receive() -> None:
        if "iterator" not in at:
            at["iterator"] = iterator()
        try:
            answer = kinesis.get_records(ShardIterator=at.pop("iterator"), Limit=2)
        except kinesis.exceptions.ExpiredIteratorException:
            if VARIANT == "gives-up":
                raise
            return
        for record in answer["Records"]:
            link(key_of(record["Data"]))
            at["last"] = record["SequenceNumber"]
        at["iterator"] = answer["NextShardIterator"]
        time.sleep(0.1)

    return receive


if __name__ == "__main__":
    receive = stream() if "GAMEDAY_STREAM_NAME" in os.environ else queue()
    say("polling")
    threads = [threading.Thread(target=poll, args=(receive,), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    threading.Event().wait()
