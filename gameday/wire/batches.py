"""Batches of which a fault takes entries out, of messages that are sent or settled: what is left of a request, and what
is put back into the answer.

It promises that the rest is sent as it was; and that the answer is what the service would have said of all of them, in
its own order where that tells which entry an answer is of.

Sources: SendMessageBatch, PublishBatch, PutEvents and PutRecords in docs.aws.amazon.com.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gameday.transports.aws_errors import is_throttle
from gameday.wire.spoken import Params

WORDS = "The entry was refused."


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How an operation has its entries. `asked` and `answered`: the lists in request and answer, where an answer stands
    in the place of its entry; `failures` counts those that failed. Without `answered` an answer names its entry's Id.
    """

    asked: str
    answered: str | None = None
    failures: str = ""

    def entries(self, params: Params) -> list[Params]:
        """Those of a request; none of one that cannot be read, which the service will refuse by itself."""
        entries = params.get(self.asked)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            return []
        return entries

    def without(self, params: Params, refused: Mapping[int, str]) -> Params:
        """The same request without the entries at these places."""
        kept = [entry for place, entry in enumerate(self.entries(params)) if place not in refused]
        return {**params, self.asked: kept}

    def failed(self, params: Params, refused: Mapping[int, str]) -> list[Params]:
        """What an answer by Id says of the refused entries; `refused` has the code of each."""
        entries = self.entries(params)
        return [refused_entry(entries[place].get("Id"), code) for place, code in refused.items()]

    def in_places(self, answer: Params, refused: Mapping[int, str]) -> Params:
        """The answer with an answer for each refused entry in its place."""
        assert self.answered is not None
        outcomes = list(answer.get(self.answered) or ())
        for place in sorted(refused):
            outcomes.insert(place, {"ErrorCode": refused[place], "ErrorMessage": WORDS})
        failures = int(answer.get(self.failures) or 0) + len(refused)
        return {**answer, self.answered: outcomes, self.failures: failures}


SENDS: Mapping[tuple[str, str], Batch] = {
    ("sqs", "SendMessageBatch"): Batch(asked="Entries"),
    ("sns", "PublishBatch"): Batch(asked="PublishBatchRequestEntries"),
    ("events", "PutEvents"): Batch(asked="Entries", answered="Entries", failures="FailedEntryCount"),
    ("kinesis", "PutRecords"): Batch(asked="Records", answered="Records", failures="FailedRecordCount"),
}


def named(params: Params, ids: Collection[str], *, without: bool = False) -> Params:
    """The same request with the entries of these Ids alone, or without them, however strange the others are."""

    def is_named(entry: Any) -> bool:
        name = entry.get("Id") if isinstance(entry, dict) else None
        return isinstance(name, str) and name in ids

    return {**params, "Entries": [entry for entry in params["Entries"] if is_named(entry) != without]}


def refused_entry(entry_id: Any, code: str) -> Params:
    # A throttle is an error of the sender's, of the 4xx kind; all else is the service's own trouble.
    return {"Id": entry_id, "SenderFault": is_throttle(code), "Code": code, "Message": WORDS}
