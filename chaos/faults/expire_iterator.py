"""Let shard iterators expire: GetRecords is answered with ExpiredIteratorException.

An iterator is good for five minutes. Whoever does not ask for a new one, from where it stood, reads no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gameday.chaos.wire_fault import WireFault
from gameday.history.manifest import Kind


class ExpireIterator(WireFault):
    """Let shard iterators expire: whoever reads with one must ask for a new one."""

    colour: ClassVar[str] = "#7eb26d"
    missing_on: ClassVar[Mapping[Kind, str]] = {"queue": "shard iterators"}

    fault: Literal["expire-iterator"]

    @property
    def operations(self) -> list[str]:
        return ["GetRecords"]

    @property
    def does(self) -> str:
        return "find their iterator expired"
