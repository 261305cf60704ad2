"""Every reader of effects by the name that a scenario calls it. Adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.consumers.read_back.base import Settings
from gameday.consumers.read_back.command import CommandLines
from gameday.consumers.read_back.dynamodb import DynamoDBItems
from gameday.consumers.read_back.queue import QueueMessages
from gameday.consumers.read_back.s3 import S3Objects
from gameday.consumers.read_back.sql import SqlRows

READERS: Mapping[str, type[Settings]] = {
    "dynamodb": DynamoDBItems,
    "sql": SqlRows,
    "queue": QueueMessages,
    "s3": S3Objects,
    "command": CommandLines,
}
