"""What faults of callbacks share: on the wire before consumers they strike the calls that send a task's token back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from gameday.chaos.wire_fault import WireFault
from gameday.history.manifest import Kind

OPERATIONS = ("SendTaskSuccess", "SendTaskFailure")


class CallbackFault(WireFault):
    """Strikes what consumers answer to tasks of a workflow that wait for them."""

    counts: ClassVar[str] = "callbacks"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "task tokens"}
    strikes_callbacks: ClassVar[bool] = True

    @property
    def operations(self) -> list[str]:
        return list(OPERATIONS)

    @property
    def struck_things(self) -> str:
        return "the callbacks"

    def wrong_before(self, services: Sequence[str]) -> str | None:
        if services[0] == "stepfunctions":
            return super().wrong_before(services)
        return "no task of a workflow waits for an answer there"
