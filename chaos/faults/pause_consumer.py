"""Pause a consumer: SIGSTOP, and SIGCONT after a while, as a long collection or a starved machine does it.

Once awake, it settles messages that may long be somebody else's. It is proven by the process's state in /proc (Linux),
and the process is woken on every exit; if the conductor itself is killed, the kernel wakes it
(gameday/processes/control.py).
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Seconds
from gameday.chaos.scene import Scene
from gameday.chaos.stage import NotInjected, Victim


class PauseConsumer(ConsumerFault):
    """Stop a consumer's process, while it holds messages, and let it continue as if nothing had happened."""

    colour: ClassVar[str] = "#8f3bb8"

    fault: Literal["pause-consumer"]
    for_: Seconds = Field(alias="for", description="how long it is stopped")
    while_holding: bool = Field(default=True, description="wait, at most some seconds, until it holds a message")

    @property
    def length_s(self) -> float:
        return self.for_

    async def strike(self, scene: Scene) -> None:
        victims = await scene.victims()
        paused: list[tuple[Victim, str]] = []
        proven = holding = 0

        async def pause(victim: Victim) -> None:
            nonlocal proven, holding
            held = self.while_holding and await scene.holding(victim)
            # One that another strike has stopped would be woken by whichever of the two ends first.
            pid = victim.pid
            if pid is None or is_stopped(pid) or (scene.over and not held):
                return
            names = [victim.name for victim in victims if victim.alive]
            scene.start(names, label=f"{', '.join(names)} stopped for {self.for_:g} s")
            paused.append((victim, victim.name))
            holding += held
            victim.signal(SIGSTOP)
            if await scene.until(lambda: is_stopped(pid), scene.stage.answer_s):
                proven += 1

        try:
            await scene.together(pause(victim) for victim in victims)
            if not proven:
                raise NotInjected("no consumer stopped: they died, were stopped already, or the load ended before")
            await scene.lasts(self.for_)
        finally:
            for victim, _ in paused:
                victim.signal(SIGCONT)
            gone = scene.gone(paused)
            if paused and not gone:
                scene.stop(fired=proven, held=holding)
        await scene.replaced(gone, fired=proven, held=holding)


def is_stopped(pid: int) -> bool:
    """Whether the kernel says so; the state follows the name, which stands in parentheses and may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
