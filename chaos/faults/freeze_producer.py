"""Freeze the producer: SIGSTOP to the load's processes, and SIGCONT after a while, as a starved machine does it.

What was sent before and not answered is sent again when they go on: after a deduplication window is over, a FIFO queue
or topic takes it for a new message. What falls due meanwhile is sent late, and that lateness is the load's own. It is
proven by the state of the processes in /proc (Linux), and they are woken on every exit; if the conductor itself is
killed, the kernel wakes the first of them (gameday/processes/control.py), which wakes the others.
"""

from __future__ import annotations

from signal import SIGCONT, SIGSTOP
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault, PositiveSeconds
from gameday.chaos.fault_targets import NotInjected
from gameday.chaos.strike import Strike


class FreezeProducer(Fault):
    """Stop the load's processes, and let them continue as if nothing had happened: what got no answer is sent again."""

    colour: ClassVar[str] = "#00798c"

    fault: Literal["freeze-producer"]
    for_: PositiveSeconds = Field(alias="for", description="how long they are stopped")

    @property
    def length_s(self) -> float:
        return self.for_

    @property
    def stops_sends(self) -> bool:
        return True

    async def inject(self, strike: Strike) -> None:
        producer, answer_s = strike.targets.producer, strike.targets.answer_s
        if producer is None:
            raise NotInjected("the load is on other hosts")
        # One that another strike has stopped would be woken by whichever of the two ends first.
        if not producer.alive or producer.stopped:
            raise NotInjected("the load has ended, or is stopped already")
        strike.start(["load"], label=f"the load stopped for {self.for_:g} s")
        stopped = False
        try:
            producer.signal(SIGSTOP)
            stopped = await strike.until(lambda: producer.frozen, answer_s)
            if not stopped:
                raise NotInjected("the load did not stop")
            await strike.lasts(self.for_)
        finally:
            producer.signal(SIGCONT)
            if await strike.until(lambda: not producer.stopped, answer_s):
                if stopped:
                    strike.stop(fired=1)
            else:
                strike.unhealed(fired=int(stopped), why="the load is not known to go on")
