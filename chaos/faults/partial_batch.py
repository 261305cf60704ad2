"""Fail entries of a batch, with a good answer around them: 200, some of it `Failed`.

Whoever looks at the status alone takes the failed entries for done. They never reach the service. `share` and `nth`
count entries: of what settles (DeleteMessageBatch, ChangeMessageVisibilityBatch) and of what is sent (SendMessageBatch,
PublishBatch, PutEvents, PutRecords).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class PartialBatch(CallFault):
    """Fail entries of a batch, with a good answer around them: 200, some of it `Failed`."""

    colour: ClassVar[str] = "#508642"
    counts: ClassVar[str] = "entries"

    fault: Literal["partial-batch"]

    @property
    def does(self) -> str:
        return "are refused"

    @property
    def struck_things(self) -> str:
        return f"the entries of {super().struck_things}"
