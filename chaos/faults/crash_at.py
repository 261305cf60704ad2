"""Crash at a named point of a consumer's work: the moments that an idempotency guard must survive.

The consumer ends itself as a power cut would, between two steps that no signal from outside could hit reliably.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from gameday.chaos.base import Arrivals, ConsumerFault, Count, Lasting, Share, StruckAt
from gameday.chaos.fault_targets import Consumer
from gameday.chaos.strike import LOOK_AGAIN_S, Strike

Point = Literal["after-receive", "before-effect", "after-effect", "before-delete", "after-delete"]
POINTS: tuple[Point, ...] = get_args(Point)


class CrashAt(Lasting, ConsumerFault):
    """Let a consumer crash at a point of its work, at the n-th message or at a share of them."""

    colour: ClassVar[str] = "#ff7383"
    needs_work: ClassVar[bool] = True
    kills: ClassVar[bool] = True

    fault: Literal["crash-at"]
    point: Point = Field(description="where in its work it crashes; of a stream, a delete is the checkpoint")
    nth: Count | None = Field(default=None, description="at the n-th message since it struck; or `share`")
    share: Share | None = Field(default=None, description="at this share of the messages; or `nth`")

    @model_validator(mode="after")
    def _one_choice(self) -> CrashAt:
        if (self.nth is None) == (self.share is None):
            raise ValueError("either `nth` (the n-th message) or `share` (of the messages) says when it crashes")
        return self

    @property
    def leaves_hidden(self) -> bool:
        return self.point != "after-delete"

    @property
    def struck_at(self) -> StruckAt | None:
        return "ours" if self.point in ("before-effect", "after-effect") else None

    @property
    def only_in_ours(self) -> str | None:
        if self.point not in ("before-effect", "after-effect"):
            return None
        return (
            "nobody sees from outside when a handler of your own has its effect; crash it after-receive or "
            "before-delete, or use kill-consumer, which waits until it holds a message"
        )

    def harm_s(self, arrivals_per_s: float) -> float:
        longest_s = super().harm_s(arrivals_per_s)
        if self.nth is None:
            return longest_s
        return min(longest_s, self.nth / arrivals_per_s if arrivals_per_s else math.inf)

    def may_strike_nothing(self, strikes: Sequence[Arrivals], *, rarely: float) -> str | None:
        if self.nth is None:
            return super().may_strike_nothing(strikes, rarely=rarely)
        fewest = min(with_each for _, with_each in strikes)
        if fewest >= self.nth:
            return None
        return (
            f"it waits for message {self.nth} of a consumer, and about {fewest:.2g} come to each. "
            "Lower `nth`, or let it strike earlier."
        )

    async def inject(self, strike: Strike) -> None:
        if self.share is not None:
            disturbance = strike.disturbance("crash-at", point=self.point, share=self.share)
            label = f"crash {self.point}, at {self.share * 100:g}% of the messages"
        else:
            disturbance = strike.disturbance("crash-at", point=self.point, nth=self.nth)
            label = f"crash {self.point}, message {self.nth}"
        async with strike.disturbed(lambda _: disturbance, label=label) as struck:
            if self.share is not None:
                await strike.lasts(self.for_)
            elif await strike.unless_over(self._all_crashed(strike, struck), self.for_):
                await strike.until(lambda: len(strike.gone(struck)) == len(struck), strike.targets.answer_s)

    async def _all_crashed(self, strike: Strike, struck: Sequence[tuple[Consumer, str]]) -> bool:
        """Wait until it has struck in each place. A consumer that dies of something else leaves it to its successor."""

        async def crashed(consumer: Consumer) -> None:
            while await consumer.report("fired", timeout_s=1.0, instance=strike.instance) is None:  # noqa: ASYNC110
                # Between two processes of a place there is no event to wait for.
                await asyncio.sleep(LOOK_AGAIN_S)

        await strike.together(crashed(consumer) for consumer, _ in struck)
        return True
