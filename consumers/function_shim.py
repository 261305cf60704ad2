"""The shim that is deployed with a user's function: it records each invocation where that outlives the function.

It is the handler that the service knows, and calls the user's (`GAMEDAY_HANDLER`) with what it was given. It needs
nothing but Python and its standard library, and imports nothing of ours; it goes to the emulator that runs it, whose
DynamoDB asks for no signatures (`AWS_ENDPOINT_URL`).

It promises that what it was invoked with is in the run's table (`GAMEDAY_TABLE`) before the user's handler sees it, and
what that answered before the answer is given; that an invocation fails of which either cannot be written; and that
times are of the run's clock. What an answer means is told by who reads it: gameday/run/functions.py.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import time
import urllib.parse
import uuid
from typing import Any

_TIMEOUT_S = 5.0
# What an environment is made with before there is anything to do, as with provisioned concurrency.
WARM = {"gameday": "warm"}
# What of an answer anybody reads; the rest may be large.
_READ = ("batchItemFailures", "gameday")
_LONG = 1000


class _Table:
    """The run's table, over one connection."""

    def __init__(self) -> None:
        url = os.environ["AWS_ENDPOINT_URL"]
        region = os.environ.get("AWS_REGION", "us-east-1")
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=_TIMEOUT_S)
        scope = f"test/20260101/{region}/dynamodb/aws4_request"
        self._headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.PutItem",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }

    def put(self, name: str, told: dict[str, Any]) -> None:
        item = {"record": {"S": name}, "told": {"S": json.dumps(told)}}
        body = json.dumps({"TableName": os.environ["GAMEDAY_TABLE"], "Item": item})
        try:
            self._connection.request("POST", "/", body, self._headers)
            response = self._connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status != 200:
            raise RuntimeError(f"this invocation cannot be recorded: {said[:200]!r}")


class _Environment:
    """One execution environment: a history of its own, whose entries are numbered."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex[:12]
        self._entries = self._invocations = 0
        self._table = _Table()
        epoch, _, monotonic = os.environ["GAMEDAY_CLOCK"].partition(":")
        self._ahead_ns = int(epoch) - int(monotonic)

    def begin(self) -> str:
        self._invocations += 1
        return f"{self._name}-{self._invocations}"

    def write(self, **told: Any) -> int:
        """When that was, by the run's clock."""
        self._entries += 1
        now = time.monotonic_ns() + self._ahead_ns
        self._table.put(f"{self._name}:{self._entries:08d}", {"at": now, **told})
        return now


def _loaded() -> Any:
    module, _, name = os.environ["GAMEDAY_HANDLER"].rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


# Once in each environment, before its first invocation. A function that cannot be loaded fails as it would without us.
_ENVIRONMENT = _Environment()
_HANDLER = _loaded()


def handler(event: dict[str, Any], context: Any) -> Any:
    if event == WARM:
        return None
    batch = _ENVIRONMENT.begin()
    about = {
        "subscription": os.environ["GAMEDAY_SUBSCRIPTION"],
        "batch": batch,
        "request": getattr(context, "aws_request_id", None),
        "records": [_told(record) for record in event["Records"]],
    }
    began = _ENVIRONMENT.write(answered=False, **about)
    try:
        answer = _HANDLER(event, context)
    except BaseException as error:
        _ENVIRONMENT.write(answered=True, began=began, error=f"{type(error).__name__}: {error}"[:_LONG], **about)
        raise
    _ENVIRONMENT.write(answered=True, began=began, answer=_short(answer), **about)
    return answer


def _told(record: dict[str, Any]) -> dict[str, Any]:
    attributes = record.get("attributes") or {}
    return {
        "identifier": record.get("messageId"),
        "id": _id(record.get("body")),
        "receives": attributes.get("ApproximateReceiveCount"),
        "sent_ms": attributes.get("SentTimestamp"),
        "group": attributes.get("MessageGroupId"),
        "sequence": attributes.get("SequenceNumber"),
    }


def _id(body: object) -> str | None:
    """Of an order of gameday's own; what a topic put around it is taken off."""
    try:
        told = json.loads(body)  # type: ignore[arg-type]  # what is no text is no JSON either
        if "Message" in told and "detail" not in told:
            told = json.loads(told["Message"])
        return str(told["detail"]["metadata"]["id"])
    except (ValueError, TypeError, KeyError):
        return None


def _short(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: answer[key] for key in _READ if key in answer}
    text = json.dumps(answer)
    return answer if len(text) <= _LONG else text[:_LONG]
