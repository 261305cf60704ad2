"""Deny calls: AccessDenied, as after a change of a policy.

Somebody has changed a policy or a key has expired: the consumer runs and may do nothing. SDKs do not try again.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class Deny(CallFault):
    """Deny calls: AccessDenied, as after a change of a policy."""

    colour: ClassVar[str] = "#705da0"

    fault: Literal["deny"]

    @property
    def does(self) -> str:
        return "are denied"
