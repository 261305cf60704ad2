"""An experiment of AWS's Fault Injection Service: the service itself is made to fail, as FIS's action says.

FIS starts it, watches its alarm and ends it; this starts and stops FIS. What an action makes a service say to its
callers is counted on the wires, and where none was refused the experiment has struck nothing of this run. Of an action
that nobody sees there (a delay in a Lambda, a network that is cut) only FIS's own word is left: that it ran.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from gameday.chaos.base import Fault, Lasting, StruckAt
from gameday.chaos.fault_targets import ExperimentControl, NotInjected
from gameday.chaos.strike import Refusals, Strike
from gameday.history.events import Value
from gameday.transports.base import CallFailed
from gameday.transports.experiments import LEAST_S, Experiment, State

# What a service says to whom an action strikes, by a part of the action's name (Kinesis and EC2 have these).
_SAYS: Mapping[str, Sequence[str]] = {
    "provisioned-throughput-exception": ("ProvisionedThroughputExceededException",),
    "expired-iterator-exception": ("ExpiredIteratorException",),
    "inject-api-throttle-error": ("ThrottlingException", "Throttling"),
    "inject-api-internal-error": ("InternalFailure", "InternalError"),
    "inject-api-unavailable-error": ("ServiceUnavailable", "Unavailable"),
}
Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+")]


class Fis(Lasting, Fault):
    """Run an experiment of AWS's Fault Injection Service (FIS), from a template or of one action."""

    colour: ClassVar[str] = "#e24d42"
    services: ClassVar[Sequence[str]] = ("fis",)

    fault: Literal["fis"]
    template: Annotated[str, StringConstraints(pattern=r"^EXT[A-Za-z0-9]+$")] | None = Field(
        default=None, description="the id of an experiment template that is there (EXT…); or `action`"
    )
    action: str | None = Field(
        default=None, description="an action as FIS calls it (`aws:kinesis:stream-provisioned-throughput-exception`)"
    )
    parameters: dict[str, str] = Field(
        default={}, description="of `action`: its parameters, but for `duration`, which is `for`"
    )
    targets: dict[str, list[Arn]] = Field(
        default={}, description="of `action`: ARNs by FIS's name of the target (default: what carries the run's tag)"
    )
    role: Arn | None = Field(default=None, description="of `action`: the role that FIS takes on")
    stop_alarm: Arn | Literal["none"] | None = Field(
        default=None, description="the ARN of the CloudWatch alarm that stops it; `none` says that nothing does"
    )
    seen_as: list[str] | None = Field(
        default=None,
        description="the error codes by which calls are seen to be struck (default: by the action, else none: then "
        "that it ran is the proof)",
    )

    @model_validator(mode="after")
    def _whole(self) -> Fis:
        if (self.template is None) == (self.action is None):
            raise ValueError("either `template` (one that is there) or `action` says what is run")
        if self.template is not None:
            of_action = [key for key in ("parameters", "targets", "role") if key in self.model_fields_set]
            if of_action:
                raise ValueError(f"`{of_action[0]}` belongs to `action`; a template has its own")
            return self
        if self.role is None:
            raise ValueError("`action` without `role`: FIS needs a role to take on")
        if self.stop_alarm is None:
            raise ValueError("`action` without `stop_alarm`: name the alarm that stops it, or write `none`")
        if "duration" in self.parameters:
            raise ValueError("`duration` is said by `for`")
        if self.for_ is None or self.for_ < LEAST_S or self.for_ != int(self.for_):
            raise ValueError(f"`action` needs a `for` of whole seconds, {LEAST_S:g} at least: FIS takes no less")
        return self

    @property
    def experiment(self) -> Experiment | None:
        lasts = {} if self.for_ is None or self.action is None else {"duration": f"PT{int(self.for_)}S"}
        return Experiment(
            template=self.template,
            action=self.action,
            parameters={**self.parameters, **lasts},
            targets=self.targets,
            role=self.role,
            stop_alarm=self.stop_alarm,
        )

    @property
    def existing(self) -> Sequence[str]:
        named = [self.template] if self.template else []
        return [*named, *(arn for arns in self.targets.values() for arn in arns)]

    @property
    def codes(self) -> Sequence[str]:
        """By which calls are seen to be struck."""
        if self.seen_as is not None:
            return self.seen_as
        return next((codes for part, codes in _SAYS.items() if self.action and part in self.action), ())

    @property
    def wires(self) -> frozenset[StruckAt]:
        return frozenset({"wire", "load"} if self.codes else ())

    async def inject(self, strike: Strike) -> None:
        experiments, experiment = strike.targets.experiments, self.experiment
        if experiments is None or experiment is None:
            raise NotInjected("there is no FIS here")
        of = list(strike.targets.fleets) if self.codes else ()
        strike.start(strike.everybody(of=of, at_load=bool(self.codes)), label=f"FIS {experiment.named}")
        refused, last, failed = Refusals(), None, None
        watching = strike.refusals_counted(refused, codes=self.codes, operations=(), of=of, at_load=True)
        try:
            async with watching if self.codes else nullcontext():
                try:
                    began = await experiments.start(experiment, instance=strike.instance)
                    await self._run(strike, experiments, began)
                finally:
                    last = await experiments.stop(strike.instance)
        except (CallFailed, NotInjected) as error:
            failed = error
        finally:
            self._tell(strike, last, refused.count, failed)

    async def _run(self, strike: Strike, experiments: ExperimentControl, state: State) -> None:
        """Until it is over by itself, its time is up, or the run heals all."""
        loop, until = asyncio.get_running_loop(), math.inf
        while state.phase != "over" and not strike.over and loop.time() < until:
            # FIS ends an action by itself; of a template `for` says when we do.
            if state.phase == "running" and until == math.inf and self.template and self.for_:
                until = loop.time() + self.for_
            # What is on its way is at work any moment.
            pause_s = experiments.look_every_s / (4 if state.phase == "coming" else 1)
            await strike.lasts(max(min(pause_s, until - loop.time()), 0.0))
            state = await experiments.look(strike.instance) or state

    def _tell(self, strike: Strike, last: State | None, refused: int, failed: CallFailed | NotInjected | None) -> None:
        if last is None:
            if isinstance(failed, CallFailed) and not failed.definite:
                strike.unhealed(fired=0, why=f"nobody knows whether FIS started the experiment: {failed}")
            elif failed is not None:
                strike.failed(f"the experiment did not start: {failed}")
            else:
                strike.stop(fired=0)
            return
        told: dict[str, Value] = {"experiment": last.id, "state": last.status}
        if last.reason:
            told["reason"] = last.reason
        fired = refused if self.codes else int(last.ran)
        if last.phase != "over":
            strike.unhealed(fired=fired, why=f"the experiment {last.id} may go on: FIS says {last.status}")
        elif last.in_vain:
            strike.failed(f"the experiment {last.id} came to nothing: {last.status} {last.reason}".strip(), **told)
        else:
            strike.stop(fired=fired, **told)
