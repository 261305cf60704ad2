"""A target: where AWS is for this run, once it has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gameday.history.errors import TargetLacks, UsageError
from gameday.history.manifest import Subscription
from gameday.processes.child import Child, ending
from gameday.targets.products import AWS, Product, reckoned_with, refuse_gaps
from gameday.transports.base import Capability, Transport
from gameday.transports.endpoint import Endpoint

Kind = Literal["embedded", "memory", "localstack", "aws"]
_ELSEWHERE_TICK_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Target:
    """`services`: what the run uses of it. `process`: None when somebody else runs it; else it ends with the run, and
    `forget_data` removes what it has kept."""

    kind: Kind
    what: str
    endpoint: Endpoint
    product: Product
    services: Sequence[str]
    process: Child | None = None
    forget_data: Callable[[], None] | None = None

    @property
    def settle_s(self) -> float:
        """How long an absence must last before it is loss there."""
        return self._pace.settles_after_s(self.services)

    @property
    def effective_s(self) -> float:
        """How long after the start of a run a filter or a rule may take to apply: what is sent before is not judged."""
        return self._pace.effective_s

    @property
    def policy_s(self) -> float:
        """How long the change of a queue's policy may take to be everywhere."""
        return self._pace.policy_s

    @property
    def counts_settle_s(self) -> float:
        """How long its queues must be told to be empty before they are."""
        return self._pace.counts_settle_s

    @property
    def tick_ns(self) -> int:
        """How exactly its clock tells when a message is visible again; nobody has looked at a clock elsewhere."""
        return self.product.tick_ns if self.endpoint.on_this_machine else _ELSEWHERE_TICK_NS

    @property
    def checks_signatures(self) -> bool:
        return self.product is AWS

    @property
    def cannot_show(self) -> Sequence[str]:
        """What no run on it says anything about."""
        return self._pace.cannot_show

    @property
    def _pace(self) -> Product:
        return reckoned_with(self.product, self.endpoint)

    @property
    def ends_with_the_run(self) -> bool:
        """Then nothing that was created there has to be removed."""
        return self.process is not None

    def refuse_gaps(self, transport: Transport, needs: Collection[Capability]) -> None:
        """Errors: TargetLacks when the scenario needs what the target does not do, with the reason."""
        refuse_gaps(self.product, transport, needs, what=self.what)
        if "dedup-window" in needs and not self.ends_with_the_run:
            raise TargetLacks(
                f"{self.what} runs already, with a deduplication window of its own; take topology.dedup_window out "
                "of the scenario, or let the run start the broker with --target memory"
            )

    def refuse_promises(self, promised: Mapping[str, Subscription]) -> None:
        """Errors: UsageError when AWS itself would be held to more than it promises; an emulator may be."""
        held = [name for name, promise in promised.items() if promise.promised_by == "user"]
        if held and (self.kind == "aws" or self.product is AWS):
            raise UsageError(
                f"`promises` of {', '.join(held)} holds {self.what} to more than AWS promises, and what AWS never "
                "promised is no fault of AWS's; take it out of the scenario"
            )

    def refuse_haste(self, settle_s: float) -> None:
        """Errors: UsageError when an absence would count as loss sooner than AWS itself needs to deliver."""
        if self.product is AWS and settle_s < self.settle_s:
            raise UsageError(
                f"`topology.settle` is {settle_s:g} s, and {self.what} may need {self.settle_s:g} s until what it took "
                "is there; leave it out"
            )

    async def died(self) -> str:
        """Returns when the broker is gone, with one sentence; never returns for one that somebody else runs."""
        if self.process is None:
            await asyncio.Event().wait()
            raise AssertionError("unreachable: nobody sets that event")
        code = await self.process.wait()
        return f"{self.what} died ({ending(code)}): {self.process.last_words()}"

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.end(timeout_s=5)
        if self.forget_data is not None:
            self.forget_data()
