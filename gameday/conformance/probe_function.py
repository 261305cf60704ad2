"""The function that probes of event source mappings deploy: it tells what it is invoked with, and does as it is told.

It is deployed as it stands, so it needs nothing but Python and its standard library, and imports nothing of ours. Each
invocation sends two messages to the probe's journal (`JOURNAL`, a queue's URL): when it began, with its records, and
when it ended, by its clock. It goes to the emulator whose queue that is, which looks at no signatures.

`ANSWER` is what it does: `all` is done; `nothing` is an answer that is null; `some` reports what begins with `bad`;
`unknown` reports an identifier that is not in the batch; `raises` fails. `TAKES_S` is how long it takes.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.parse
import uuid
from typing import Any

_TIMEOUT_S = 5.0
# What an environment is started with.
WARM = {"gameday": "warm"}


def handler(event: dict[str, Any], context: object) -> object:
    if event == WARM:
        return None
    name = uuid.uuid4().hex
    records, began = event["Records"], _now()
    _send({"invocation": name, "records": [_told(record, began) for record in records], "began": began})
    _sleep(float(os.environ["TAKES_S"]))
    _send({"invocation": name, "ended": _now()})
    answer = os.environ["ANSWER"]
    if answer == "raises":
        raise ValueError("as it was told to")
    failed = []
    if answer == "some":
        failed = [record["messageId"] for record in records if record["body"].startswith("bad")]
    elif answer == "unknown":
        failed = ["nobody"]
    return None if answer == "nothing" else {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _told(record: dict[str, Any], began: float) -> dict[str, Any]:
    """`received`: when it was received first, in seconds; as far as is known, where it is not told."""
    received = (record.get("attributes") or {}).get("ApproximateFirstReceiveTimestamp")
    return {"body": record["body"], "received": began if received is None else int(received) / 1000}


def _now() -> float:
    return time.time()


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _send(told: dict[str, Any]) -> None:
    journal = os.environ["JOURNAL"]
    scope = f"test/20260101/{os.environ.get('AWS_REGION', 'us-east-1')}/sqs/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "AmazonSQS.SendMessage",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(journal).netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", "/", json.dumps({"QueueUrl": journal, "MessageBody": json.dumps(told)}), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"the journal takes nothing: {response.read()[:200]!r}")
    finally:
        connection.close()
