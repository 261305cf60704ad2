"""Every effect store by the name that a scenario calls it. Adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gameday.consumers.dynamodb import DynamoDBStore
from gameday.consumers.effects import EffectStore
from gameday.consumers.sqlite import SqliteStore
from gameday.transports.endpoint import Endpoint

STORES: Mapping[str, Callable[[Mapping[str, Any], Endpoint], EffectStore]] = {
    "sqlite": lambda settings, endpoint: SqliteStore(Path(settings["path"])),
    "dynamodb": lambda settings, endpoint: DynamoDBStore(settings["table"], endpoint),
}


def make_store(settings: Mapping[str, Any], endpoint: Endpoint) -> EffectStore:
    """The store that {"kind": …, …} describes: neither created nor open yet."""
    return STORES[settings["kind"]](settings, endpoint)
