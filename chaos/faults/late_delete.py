"""Delete late: the consumer is told that its message is deleted, and the queue hides it no more before it is.

At-least-once allows it, on Standard queues: a server that was not there when a message was deleted gives it again. It
comes when its visibility timeout is over, and the delete right after that. A delete whose hold is not yet over when the
fault ends is carried out then, and has not been struck.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gameday.chaos.wire_fault import WireFault
from gameday.history.manifest import Kind


class LateDelete(WireFault):
    """Let deletes take effect only after the visibility timeout, though the consumer was told that they had."""

    colour: ClassVar[str] = "#58140c"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "deletes"}
    wrong_on_fifo: ClassVar[str | None] = "a FIFO queue gives a message that was deleted to nobody"
    outlasts_holds: ClassVar[bool] = True

    fault: Literal["late-delete"]

    @property
    def does(self) -> str:
        return "are done late"

    @property
    def struck_things(self) -> str:
        return "the deletes"
