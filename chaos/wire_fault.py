"""What faults on the wire share: they strike calls to AWS, whatever program and language makes them.

One counts the calls that it struck, or the entries of a batch; one that never met a call has struck nothing, and then
the run proves nothing.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gameday.chaos.base import Arrivals, ConsumerFault, Count, Lasting, Pick, Share
from gameday.chaos.strike import Strike

# The calls that receive and settle; AWS's own word for any other one.
GROUPS = {
    "receive": ("ReceiveMessage", "GetRecords"),
    "delete": ("DeleteMessage", "DeleteMessageBatch"),
    "hide": ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
}
Operation = str


class WireFault(Lasting, ConsumerFault):
    """Strikes calls of the picked consumers, by operation: a share of them, or the n-th."""

    strikes: ClassVar[Literal["ours", "wire"] | None] = "wire"

    operation: Operation | list[Operation] | None = Field(
        default=None,
        description="which calls it strikes, as AWS spells them (ReceiveMessage), or `receive`, `delete`, `hide` "
        "(default: all)",
    )
    share: Share = Field(default=1.0, description="the share of those calls that is struck (default: all)")
    nth: Count | None = Field(default=None, description="the n-th of those calls alone, of each consumer; or `share`")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    @model_validator(mode="after")
    def _one_choice(self) -> WireFault:
        if self.nth is not None and "share" in self.model_fields_set:
            raise ValueError("either `nth` (the n-th call) or `share` (of the calls) says which are struck")
        return self

    @property
    def operations(self) -> list[str]:
        named = [self.operation] if isinstance(self.operation, str) else self.operation or []
        return [operation for name in named for operation in GROUPS.get(name, (name,))]

    @property
    @abstractmethod
    def does(self) -> str:
        """What becomes of a call that is struck, for people: "are refused"."""

    @property
    def details(self) -> dict[str, Any]:
        """What its disturbance has besides."""
        return {}

    def may_strike_nothing(self, strikes: Sequence[Arrivals], *, rarely: float) -> str | None:
        """How many calls a program makes nobody knows, but that there is about one for ten messages at least."""
        if self.nth is not None:
            return None
        calls = [Arrivals(math.ceil(messages / 10), with_each / 10) for messages, with_each in strikes]
        return super().may_strike_nothing(calls, rarely=rarely)

    async def inject(self, strike: Strike) -> None:
        called = " and ".join(self.operations) or "all calls"
        which = f"{self.share * 100:g}% of {called}" if self.nth is None else f"call {self.nth} of {called}"
        disturbance = strike.disturbance(
            self.fault, on_wire=True, operations=self.operations, share=self.share, nth=self.nth, **self.details
        )
        async with strike.disturbed(lambda _: disturbance, label=f"{which} {self.does}"):
            await strike.lasts(self.for_)
