"""Hold callbacks back: a task's token is sent back when the task's time is over (TimeoutSeconds, HeartbeatSeconds).

The service then refuses it, with TaskTimedOut, and has gone on without it: it may have asked for the task again. That
is legal, and the work was done all the same; so it must be known when it is asked for again. A callback that is not yet
late when the fault ends goes out then, and has not been struck.

Source: docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html (TaskTimedOut).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import PositiveSeconds
from gameday.chaos.callback_fault import CallbackFault


class LateCallback(CallbackFault):
    """Hold task tokens that consumers send back until their task's time is over."""

    colour: ClassVar[str] = "#c58be0"

    fault: Literal["late-callback"]
    by: PositiveSeconds = Field(description="how long a callback is held back; longer than its task's time")

    @property
    def does(self) -> str:
        return "come late"

    @property
    def details(self) -> dict[str, Any]:
        return {"seconds": self.by}

    @property
    def outlasts_tasks_s(self) -> float | None:
        return self.by
