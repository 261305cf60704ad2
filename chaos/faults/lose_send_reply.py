"""Lose the reply to a send: the broker has stored the messages, the producer sees a timeout and must send again.

Without a deduplication window this makes duplicates, with one it must not; either way nothing may be lost.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.base import Fault, Lasting, NotInjected, Share
from chaos.scene import Scene


class LoseSendReply(Lasting, Fault):
    """Lose the broker's reply to a share of the send calls: the producer cannot know what was stored."""

    colour: ClassVar[str] = "#ff9830"

    fault: Literal["lose-send-reply"]
    share: Share = 1.0

    async def strike(self, scene: Scene) -> None:
        line, answer_s = scene.stage.line, scene.stage.answer_s
        instance = scene.strike.instance
        scene.start(["load"], label=f"the replies to {self.share * 100:g}% of the send calls are lost")
        try:
            await line.command("arm", disturbance=scene.disturbance("lose-send-reply", share=self.share).to_json())
            if await line.report("armed", timeout_s=answer_s, instance=instance) is None:
                raise NotInjected("the load did not confirm the order")
            await scene.lasts(self.for_)
        finally:
            await line.command("disarm", instance=instance)
            answer = await line.report("disarmed", timeout_s=answer_s, instance=instance)
            if answer is not None:
                scene.stop(fired=int(answer["fired"]))
        if answer is None:
            scene.unhealed(fired=0, why="the load did not say how often it struck")
