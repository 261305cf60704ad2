"""Crash at a named point of a consumer's work: the moments that an idempotency guard must survive.

The consumer ends itself as a power cut would, between two steps that no signal from outside could hit reliably.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import model_validator

from chaos.base import ConsumerFault, Count, Lasting, Share
from chaos.scene import Scene


class CrashAt(Lasting, ConsumerFault):
    """Let a consumer crash at a point of its work, at the n-th message or at a share of them."""

    colour: ClassVar[str] = "#ff7383"

    fault: Literal["crash-at"]
    point: Literal["after-receive", "before-effect", "after-effect", "before-delete", "after-delete"]
    nth: Count | None = None
    share: Share | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> CrashAt:
        if (self.nth is None) == (self.share is None):
            raise ValueError("either `nth` (the n-th message) or `share` (of the messages) says when it crashes")
        return self

    async def strike(self, scene: Scene) -> None:
        if self.nth is None:
            disturbance = scene.disturbance("crash-at", point=self.point, share=self.share)
            label = f"crashes {self.point}, at {self.share:.3g} of the messages"
        else:
            disturbance = scene.disturbance("crash-at", point=self.point, nth=self.nth)
            label = f"crash {self.point}, message {self.nth}"
        async with scene.disturbed(lambda _: disturbance, label=label) as struck:
            if self.nth is None:
                await scene.lasts(self.for_)
            else:
                # It strikes once: when each has crashed, nothing is left to wait for.
                await scene.until(lambda: scene.over or len(scene.gone(struck)) == len(struck), self.for_ or math.inf)
