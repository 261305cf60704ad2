"""Lose deletes: the work is done and its delete never leaves, so the broker must hand the message out again.

Each message counts, in a batch as by itself. What else stands in the batch is deleted; but then the connection breaks,
so the consumer knows nothing of any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gameday.chaos.wire_fault import WireFault
from gameday.history.manifest import Kind


class LoseDelete(WireFault):
    """Lose a share of the deletes on their way to the broker: every such message comes again."""

    colour: ClassVar[str] = "#3274d9"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "deletes"}

    fault: Literal["lose-delete"]

    @property
    def does(self) -> str:
        return "never leave"

    @property
    def struck_things(self) -> str:
        return "the deletes"
