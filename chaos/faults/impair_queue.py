"""Impair a queue: the service itself refuses what is asked of it, by a Deny in the queue's policy for a while.

AWS's own fault injection has none for SQS. What is denied is refused to everybody, whatever he may do otherwise: as
after a change of the policy that went wrong. It strikes the service and nobody in particular, so the calls that are
refused are counted where they pass, on the wires: where none was, it has struck nothing. A change of a policy may take
a minute to be everywhere on AWS; the harm counts as over only then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault, Lasting, StruckAt
from gameday.chaos.fault_targets import NotInjected
from gameday.chaos.strike import Refusals, Strike
from gameday.chaos.wire_fault import GROUPS
from gameday.history.manifest import Kind
from gameday.transports.base import CallFailed, Capability
from gameday.transports.queue_policy import ACTIONS, Action

# SQS says it in its own words to some SDKs, and in AWS's to others.
_DENIALS = ("AccessDenied", "AccessDeniedException")
_CALLS: Mapping[Action, Sequence[str]] = {
    "SendMessage": ("SendMessage", "SendMessageBatch"),
    "ReceiveMessage": GROUPS["receive"],
    "DeleteMessage": GROUPS["delete"],
}


class ImpairQueue(Lasting, Fault):
    """Have the queue itself refuse calls: a Deny in its policy, which is taken out again."""

    colour: ClassVar[str] = "#c15c17"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "queue"}
    needs: ClassVar[Capability | None] = "policy-deny"

    fault: Literal["impair-queue"]
    subscription: str | None = Field(default=None, description="whose queue it strikes (default: every one)")
    actions: Annotated[list[Action], Field(min_length=1)] = Field(
        default=list(ACTIONS),
        description="what is denied, as AWS calls it: `SendMessage`, `ReceiveMessage`, `DeleteMessage` (default: all)",
    )

    @property
    def stops_sends(self) -> bool:
        return "SendMessage" in self.actions

    @property
    def wires(self) -> frozenset[StruckAt]:
        seen_at: Mapping[Action, StruckAt] = {"SendMessage": "load", "ReceiveMessage": "wire", "DeleteMessage": "wire"}
        return frozenset(seen_at[action] for action in self.actions)

    def wrong_before(self, services: Sequence[str]) -> str | None:
        if self.stops_sends and services[0] != "sqs":
            return (
                "what a topic or a bus sends to a queue that refuses it is not sent again, but lost; write "
                "`actions: [ReceiveMessage, DeleteMessage]`"
            )
        return None

    async def inject(self, strike: Strike) -> None:
        queues = strike.targets.queues
        if queues is None:
            raise NotInjected("there is no queue to impair")
        struck = [self.subscription] if self.subscription else list(queues.subscriptions)
        of = struck if "wire" in self.wires else ()
        hit = strike.everybody(of=of, at_load=self.stops_sends)
        strike.start(hit, label=f"{' and '.join(self.actions)} denied")
        refused, why, left = Refusals(), None, list[str]()
        try:
            async with strike.refusals_counted(
                refused,
                codes=_DENIALS,
                operations=[call for action in self.actions for call in _CALLS[action]],
                point=queues.name(self.subscription) if self.subscription else None,
                of=of,
                at_load=self.stops_sends,
            ):
                try:
                    for subscription in struck:
                        await queues.deny(subscription, instance=strike.instance, actions=self.actions)
                    await strike.lasts(self.for_)
                except CallFailed as error:
                    why = f"the queue's policy cannot be changed: {error}"
                finally:
                    left = [told for each in struck if (told := await queues.allow(each, instance=strike.instance))]
                if not left and why is None:
                    await queues.settle()
        except NotInjected as error:
            why = str(error)
        finally:
            if left:
                strike.unhealed(fired=refused.count, why="; ".join(left))
            elif why is not None:
                strike.failed(why)
            else:
                strike.stop(fired=refused.count)
