"""Kill a consumer: the crash (KILL) or the deployment (TERM) that every consumer meets one day.

The process is real and so is the signal. It waits, bounded, until the consumer holds a message, for the death of one
that holds nothing shows nothing. It is over when the replacements poll.
"""

from __future__ import annotations

from signal import Signals
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault
from gameday.chaos.scene import Scene
from gameday.chaos.stage import NotInjected, Victim


class KillConsumer(ConsumerFault):
    """Kill a consumer's process, while it holds messages; its replacement must take over."""

    colour: ClassVar[str] = "#c4162a"

    fault: Literal["kill-consumer"]
    signal: Literal["KILL", "TERM"] = Field(default="KILL", description="KILL: a crash; TERM: a deployment")
    while_holding: bool = Field(default=True, description="wait, at most some seconds, until it holds a message")

    async def strike(self, scene: Scene) -> None:
        victims = await scene.victims()
        killed: list[tuple[Victim, str]] = []
        holding = 0

        async def kill(victim: Victim) -> None:
            nonlocal holding
            held = self.while_holding and await scene.holding(victim)
            if not victim.alive or (scene.over and not held):
                return
            names = [victim.name for victim in victims if victim.alive]
            scene.start(names, label=f"SIG{self.signal} to {', '.join(names)}")
            killed.append((victim, victim.name))
            holding += held
            victim.signal(Signals[f"SIG{self.signal}"])

        await scene.together(kill(victim) for victim in victims)
        if not killed:
            raise NotInjected("no consumer killed: they died before, or the load ended before they held anything")
        # The signal was only a wish; the deaths are counted.
        await scene.until(lambda: len(scene.gone(killed)) == len(killed), scene.stage.recover_s)
        await scene.replaced(killed, fired=len(scene.gone(killed)), held=holding)
