"""Pause a consumer: SIGSTOP, and SIGCONT after a while, as a long collection or a starved machine does it.

Once awake, it settles messages that may long be somebody else's. It is proven by the process's state in /proc (Linux),
and the process is woken on every exit; if the conductor itself is killed, the kernel wakes it
(gameday/processes/control.py), and the wire does so with one that was there before the run; where neither could,
`gameday recover` does.
"""

from __future__ import annotations

from signal import SIGCONT, SIGSTOP
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, PositiveSeconds
from gameday.chaos.fault_targets import Consumer, NotInjected
from gameday.chaos.strike import Strike


class PauseConsumer(ConsumerFault):
    """Stop a consumer's process, while it holds messages, and let it continue as if nothing had happened."""

    colour: ClassVar[str] = "#8f3bb8"

    fault: Literal["pause-consumer"]
    for_: PositiveSeconds = Field(alias="for", description="how long it is stopped")
    while_holding: bool = Field(default=True, description="wait, at most some seconds, until it holds a message")

    @property
    def length_s(self) -> float:
        return self.for_

    async def inject(self, strike: Strike) -> None:
        consumers = await strike.consumers()
        paused: list[tuple[Consumer, str]] = []
        proven = holding = 0

        async def pause(consumer: Consumer) -> None:
            nonlocal proven, holding
            held = self.while_holding and await strike.holding(consumer)
            # One that another strike has stopped would be woken by whichever of the two ends first.
            if not consumer.alive or consumer.stopped or (strike.over and not held):
                return
            names = [consumer.name for consumer in consumers if consumer.alive]
            strike.start(names, label=f"{', '.join(names)} stopped for {self.for_:g} s")
            strike.also_struck([consumer.name])
            struck = (consumer, consumer.name)
            paused.append(struck)
            consumer.signal(SIGSTOP)
            stopped = await strike.until(
                lambda: consumer.stopped or bool(strike.gone([struck])), strike.targets.answer_s
            )
            if strike.gone([struck]):
                # Another fault killed it in that very moment, and leaves it to its successor.
                paused.remove(struck)
                await pause(consumer)
            elif stopped:
                proven += 1
                holding += held

        try:
            await strike.together(pause(consumer) for consumer in consumers)
            if not proven:
                raise NotInjected("no consumer stopped: they died, were stopped already, or the load ended before")
            await strike.lasts(self.for_)
        finally:
            for consumer, _ in paused:
                consumer.signal(SIGCONT)
            # One on another host is awake when the word has come there.
            woken = await strike.until(lambda: not any(each.stopped for each, _ in paused), strike.targets.answer_s)
            gone = strike.gone(paused)
            if paused and not woken:
                strike.unhealed(fired=proven, why="not all that were stopped are known to be awake again")
            elif paused and not gone:
                strike.stop(fired=proven, held=holding)
        if woken:
            await strike.replaced(gone, fired=proven, held=holding)
