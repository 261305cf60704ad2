"""Lose answers: the service has done what it was asked for, and nobody learns of it.

Of a receive the messages are hidden from all, with nobody who works on them; a delete has deleted.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class LoseAnswer(CallFault):
    """Lose answers: the service has done what it was asked for, and nobody learns of it."""

    colour: ClassVar[str] = "#0a50a1"

    fault: Literal["lose-answer"]

    @property
    def does(self) -> str:
        return "are done, their answers lost"
