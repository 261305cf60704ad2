"""Crash at a named point of a consumer's work: the moments that an idempotency guard must survive.

The consumer ends itself as a power cut would, between two steps that no signal from outside could hit reliably.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gameday.chaos.base import ConsumerFault, Count, Lasting, Share
from gameday.chaos.scene import LOOK_AGAIN_S, Scene
from gameday.chaos.stage import Victim


class CrashAt(Lasting, ConsumerFault):
    """Let a consumer crash at a point of its work, at the n-th message or at a share of them."""

    colour: ClassVar[str] = "#ff7383"

    fault: Literal["crash-at"]
    point: Literal["after-receive", "before-effect", "after-effect", "before-delete", "after-delete"] = Field(
        description="where in its work it crashes; of a stream, a delete is the checkpoint"
    )
    nth: Count | None = Field(default=None, description="at the n-th message since it struck; or `share`")
    share: Share | None = Field(default=None, description="at this share of the messages; or `nth`")

    @model_validator(mode="after")
    def _one_choice(self) -> CrashAt:
        if (self.nth is None) == (self.share is None):
            raise ValueError("either `nth` (the n-th message) or `share` (of the messages) says when it crashes")
        return self

    async def strike(self, scene: Scene) -> None:
        if self.share is not None:
            disturbance = scene.disturbance("crash-at", point=self.point, share=self.share)
            label = f"crash {self.point}, at {self.share * 100:g}% of the messages"
        else:
            disturbance = scene.disturbance("crash-at", point=self.point, nth=self.nth)
            label = f"crash {self.point}, message {self.nth}"
        async with scene.disturbed(lambda _: disturbance, label=label) as struck:
            if self.share is not None:
                await scene.lasts(self.for_)
            elif await scene.unless_over(self._all_crashed(scene, struck), self.for_):
                await scene.until(lambda: len(scene.gone(struck)) == len(struck), scene.stage.answer_s)

    async def _all_crashed(self, scene: Scene, struck: Sequence[tuple[Victim, str]]) -> bool:
        """Wait until it has struck in each place. A consumer that dies of something else leaves it to its successor."""

        async def crashed(victim: Victim) -> None:
            while await victim.report("fired", timeout_s=1.0, instance=scene.instance) is None:  # noqa: ASYNC110
                # Between two processes of a place there is no event to wait for.
                await asyncio.sleep(LOOK_AGAIN_S)

        await scene.together(crashed(victim) for victim, _ in struck)
        return True
