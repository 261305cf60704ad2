"""What faults on the wire share: they strike calls to AWS, whatever program and language makes them.

One counts the calls that it struck, or the entries of a batch; one that never met a call has struck nothing, and then
the run proves nothing.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from gameday.chaos.base import Arrivals, ConsumerFault, Count, Fault, Lasting, Pick, Share, StruckAt
from gameday.chaos.strike import Strike

# The calls that receive, settle and send; AWS's own word for any other one.
GROUPS = {
    "receive": ("ReceiveMessage", "GetRecords"),
    "delete": ("DeleteMessage", "DeleteMessageBatch"),
    "hide": ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
    "send": (
        *("SendMessage", "SendMessageBatch", "Publish", "PublishBatch", "PutEvents", "PutRecord", "PutRecords"),
        *("StartExecution", "StartSyncExecution"),
    ),
}


def _spelt(operation: str) -> str:
    if operation not in GROUPS and not re.fullmatch(r"[A-Z][A-Za-z0-9]+", operation):
        raise ValueError(
            f"{operation!r} is no operation: write it as AWS does (ReceiveMessage), or {', '.join(GROUPS)}"
        )
    return operation


Operation = Annotated[str, AfterValidator(_spelt)]


class WireFault(Lasting, ConsumerFault):
    """Strikes what the picked consumers ask of AWS: a share of it, or the n-th."""

    strikes: ClassVar[StruckAt | None] = "wire"

    share: Share = Field(default=1.0, description="the share that is struck of what it can strike (default: all)")
    nth: Count | None = Field(default=None, description="the n-th alone, of each consumer; or `share`")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    @model_validator(mode="after")
    def _one_choice(self) -> WireFault:
        if self.nth is not None and "share" in self.model_fields_set:
            raise ValueError("either `nth` (the n-th) or `share` says which are struck")
        return self

    @property
    @abstractmethod
    def does(self) -> str:
        """What becomes of what is struck, for people: "are refused"."""

    @property
    def operations(self) -> list[str]:
        """The calls that it can strike; none named: all."""
        return []

    @property
    def struck_things(self) -> str:
        """What it can strike, for people."""
        return " and ".join(self.operations) or "all calls"

    @property
    def details(self) -> dict[str, Any]:
        """What its disturbance has besides."""
        return {}

    @property
    def which(self) -> str:
        """Which of them are struck, for people."""
        if self.nth is None:
            return f"{self.share * 100:g}% of {self.struck_things}"
        return f"number {self.nth} of {self.struck_things}"

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance(
            self.fault, on_wire=True, operations=self.operations, share=self.share, nth=self.nth, **self.details
        )
        async with strike.disturbed(lambda _: disturbance, label=f"{self.which} {self.does}"):
            await strike.lasts(self.for_)


class SendFault(Lasting, Fault):
    """Strikes what the load asks of AWS, on a wire of the load's own."""

    strikes: ClassVar[StruckAt | None] = "load"
    # What its disturbance is called on the wire.
    arms: ClassVar[str]

    share: Share

    @property
    @abstractmethod
    def label(self) -> str:
        """What it does, for people."""

    @property
    def stops_sends(self) -> bool:
        return self.share == 1.0

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance(self.arms, on_wire=True, operations=GROUPS["send"], share=self.share)
        async with strike.load_disturbed(disturbance, label=self.label):
            await strike.lasts(self.for_)


class CallFault(WireFault):
    """Strikes calls by their operation."""

    counts: ClassVar[str] = "calls"

    operation: Operation | list[Operation] | None = Field(
        default=None,
        examples=["receive", "delete", "hide"],
        description="which calls it strikes, as AWS spells them (ReceiveMessage), or `receive`, `delete`, `hide`, "
        "`send` (default: all)",
    )

    @property
    def operations(self) -> list[str]:
        named = [self.operation] if isinstance(self.operation, str) else self.operation or []
        return [operation for name in named for operation in GROUPS.get(name, (name,))]

    def may_strike_nothing(self, strikes: Sequence[Arrivals], *, rarely: float) -> str | None:
        """How many calls a program makes nobody knows, but that there is about one for ten messages at least."""
        if self.nth is not None or self.counts != "calls":
            return super().may_strike_nothing(strikes, rarely=rarely)
        calls = [Arrivals(math.ceil(messages / 10), with_each / 10) for messages, with_each in strikes]
        return super().may_strike_nothing(calls, rarely=rarely)
