"""Send callbacks twice: the service is given a task's token a second time, and the consumer is told the second answer.

So it is where an SDK sends a call again because the answer to the first was lost: the token was taken, and the consumer
learns that it is not good any more (TaskTimedOut). Who takes that for a failure does work again that is done.

Source: docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html (TaskTimedOut).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.callback_fault import CallbackFault


class DoubleCallback(CallbackFault):
    """Send task tokens back twice; the consumer is told the answer to the second call alone."""

    colour: ClassVar[str] = "#d6409f"

    fault: Literal["double-callback"]

    @property
    def does(self) -> str:
        return "are sent twice"
