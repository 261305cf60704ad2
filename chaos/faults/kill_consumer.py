"""Kill a consumer: the crash (KILL) or the deployment (TERM) that every consumer meets one day.

The process is real and so is the signal. It waits, bounded, until the consumer holds a message, for the death of one
that holds nothing shows nothing. It is over when the replacements poll.
"""

from __future__ import annotations

from signal import Signals
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault
from gameday.chaos.fault_targets import Consumer, NotInjected
from gameday.chaos.strike import Strike


class KillConsumer(ConsumerFault):
    """Kill a consumer's process, while it holds messages; its replacement must take over."""

    colour: ClassVar[str] = "#c4162a"
    kills: ClassVar[bool] = True

    fault: Literal["kill-consumer"]
    signal: Literal["KILL", "TERM"] = Field(default="KILL", description="KILL: a crash; TERM: a deployment")
    while_holding: bool = Field(default=True, description="wait, at most some seconds, until it holds a message")

    @property
    def leaves_hidden(self) -> bool:
        # SIGTERM lets it finish, or give back, what it holds.
        return self.signal == "KILL" and self.while_holding

    async def inject(self, strike: Strike) -> None:
        consumers = await strike.consumers()
        killed: list[tuple[Consumer, str]] = []
        holding = 0

        async def kill(consumer: Consumer) -> None:
            nonlocal holding
            held = self.while_holding and await strike.holding(consumer)
            if not consumer.alive or (strike.over and not held):
                return
            names = [consumer.name for consumer in consumers if consumer.alive]
            strike.start(names, label=f"SIG{self.signal} to {', '.join(names)}")
            killed.append((consumer, consumer.name))
            holding += held
            consumer.signal(Signals[f"SIG{self.signal}"])

        await strike.together(kill(consumer) for consumer in consumers)
        if not killed:
            raise NotInjected("no consumer killed: they died before, or the load ended before they held anything")
        # The signal was only a wish; the deaths are counted.
        await strike.until(lambda: len(strike.gone(killed)) == len(killed), strike.targets.recover_s)
        await strike.replaced(killed, fired=len(strike.gone(killed)), held=holding)
