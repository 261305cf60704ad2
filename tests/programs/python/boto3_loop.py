"""The loop that stands in every boto3 tutorial: receive, work, delete the batch.

VARIANT: correct; delete-first (before the work); no-guard (the effect is done again each time that an order comes);
ignores-failed (as no-guard, and takes for gone what it asked to delete: the entries in `Failed` are not looked at).
"""

import logging
import os
import signal
from typing import Any

import boto3
from effects import key_of, variant, work

VARIANT = variant("correct", "delete-first", "no-guard", "ignores-failed")
QUEUE_URL = os.environ["QUEUE_URL"]
BATCH = int(os.environ.get("BATCH", "10"))
WAIT_S = int(os.environ.get("WAIT_S", "5"))
DELETE_TRIES = 3
log = logging.getLogger("worker")


def delete(sqs: Any, messages: list[dict[str, str]]) -> None:
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
    ]
    for _ in range(DELETE_TRIES):
        answer = sqs.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
        if VARIANT == "ignores-failed":
            return
        failed = {entry["Id"] for entry in answer.get("Failed", ())}
        entries = [entry for entry in entries if entry["Id"] in failed]
        if not entries:
            return
    log.warning("%d messages could not be deleted and will come again", len(entries))


def handle(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those that were done."""
    done = []
    for message in messages:
        try:
            work(key_of(message["Body"]), guarded=VARIANT in ("correct", "delete-first"))
        except Exception:
            log.exception("%s failed", message["MessageId"])
            if QUEUE_URL.endswith(".fifo"):
                break  # the rest of its group must not overtake it
        else:
            done.append(message)
    return done


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    sqs = boto3.client("sqs")
    log.info("polling")
    while not stopping:
        answer = sqs.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S)
        messages = answer.get("Messages", [])
        if not messages:
            continue
        if VARIANT == "delete-first":
            delete(sqs, messages)
            handle(messages)
        elif done := handle(messages):
            delete(sqs, done)


main()
