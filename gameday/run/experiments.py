"""Experiments of AWS's own fault injection: whether the endpoint has them, their templates, and what becomes of each.

It promises that a scenario which asks for what is not there is refused before the run begins; that templates which the
run makes carry its tags and are removed at its end; and that an experiment is on record before it may begin, so that
`gameday recover` stops one that a killed conductor has left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gameday.history.errors import TargetError, TargetLacks, UsageError
from gameday.processes.undo import Pending, Undo
from gameday.run.uninterrupted import to_the_end
from gameday.transports import experiments as fis
from gameday.transports.aws_errors import is_throttle
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import run_plan
from gameday.transports.experiments import NO_ALARM, Experiment, State

Carry = Callable[[Call], Answer]
Kinds = Mapping[str, Mapping[str, str]]
_TRIES = 4
# How long FIS may take to end what it is told to stop.
_STOP_S = 180.0
# By what a service says that it is there, and that somebody may not ask it.
_NOT_YOU = ("AccessDenied", "UnrecognizedClient", "ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch")


def look_up(asked: Sequence[Experiment], carry: Carry, *, at: str) -> Kinds:
    """The actions that FIS has there. `at`: the target, in words.

    Errors: TargetLacks where there is no FIS; UsageError for an action or a template that is not there, and for a
    template without an alarm where the scenario does not say that it has none; TargetError.
    """
    try:
        actions = run_plan(fis.list_actions(), carry)
    except CallFailed as failed:
        if failed.code.startswith(_NOT_YOU) or is_throttle(failed.code):
            raise TargetError(f"FIS does not say which actions it has: {failed}") from failed
        raise TargetLacks(
            f"{at} has no FIS, AWS's own fault injection, which the scenario asks for ({failed}). Use --target aws, or "
            "take it out of the scenario."
        ) from failed
    for experiment in asked:
        if why := fis.misfit(experiment, actions):
            raise UsageError(why)
        if experiment.template is not None:
            _check_template(experiment, experiment.template, carry)
    return actions


def _check_template(experiment: Experiment, template: str, carry: Carry) -> None:
    try:
        answer = carry(Call(fis.SERVICE, "GetExperimentTemplate", {"id": template}))
    except CallFailed as failed:
        if failed.code.startswith("ResourceNotFound"):
            raise UsageError(f"FIS has no experiment template {template} here: {failed}") from failed
        raise TargetError(f"FIS does not tell of its template {template}: {failed}") from failed
    if fis.template_unguarded(answer) and experiment.stop_alarm != NO_ALARM:
        raise UsageError(
            f"no alarm stops the experiments of template {template}; give it a stop condition, or write `stop_alarm: "
            "none` to say that it is meant so"
        )


class Experiments:
    """The `ExperimentControl` of a run. `kinds`: by action, the type of resource of each of its targets."""

    def __init__(
        self,
        carry: Carry,
        kinds: Kinds,
        *,
        run: str,
        tags: Mapping[str, str],
        undo: Undo,
        look_every_s: float = 2.0,
        stop_s: float = _STOP_S,
    ) -> None:
        self.look_every_s = look_every_s
        self._carry = carry
        self._kinds = kinds
        self._run = run
        self._tags = tags
        self._undo = undo
        self._stop_s = stop_s
        self._templates: dict[bytes, str] = {}
        self._made: dict[str, Pending] = {}
        # By strike the experiment's id, and by that its record until it is over.
        self._ids: dict[str, str] = {}
        self._going: dict[str, Pending] = {}

    async def prepare(self, asked: Sequence[Experiment]) -> None:
        """Make the templates of those that bring an action. Errors: CallFailed, HistoryError."""
        for experiment in asked:
            if experiment.action is not None and _key(experiment) not in self._templates:
                await to_the_end(self._make(experiment))

    async def remove(self) -> list[str]:
        """The templates that were made; what could not be removed, and why."""
        left = []
        for template, pending in list(self._made.items()):
            try:
                await asyncio.to_thread(self._carry, fis.delete_template(template))
            except CallFailed as failed:
                if not failed.code.startswith("ResourceNotFound"):
                    left.append(f"the experiment template {template}: {failed}")
                    continue
            pending.done()
            del self._made[template]
        return left

    async def start(self, experiment: Experiment, *, instance: str) -> State:
        template = experiment.template or self._templates[_key(experiment)]
        return await to_the_end(self._start(template, instance))

    async def look(self, instance: str) -> State | None:
        try:
            return self._seen(fis.state(await asyncio.to_thread(self._carry, fis.look(self._ids[instance]))))
        except CallFailed:
            return None

    async def stop(self, instance: str) -> State | None:
        return await to_the_end(self._stop(instance)) if instance in self._ids else None

    async def _make(self, experiment: Experiment) -> None:
        assert experiment.action is not None
        kinds = self._kinds[experiment.action]
        token = f"{self._run}-{len(self._made)}"
        # Where the answer is lost, asking again with the same token gives the same template.
        call = fis.create_template(experiment, kinds, run=self._run, tags=self._tags, token=token)
        pending = self._undo.will("call", what=f"an experiment template for {experiment.action}", calls=[])
        try:
            answer = await self._insist(call)
        except CallFailed as failed:
            if failed.definite:
                pending.done()
            raise
        template = answer["experimentTemplate"]["id"]
        self._made[template], self._templates[_key(experiment)] = pending, template
        pending.now(calls=[_noted(fis.delete_template(template))])

    async def _start(self, template: str, instance: str) -> State:
        call = fis.start(template, tags=self._tags, token=f"{self._run}-{instance}")
        pending = self._undo.will("call", what=f"an experiment of {template}", calls=[])
        try:
            state = fis.state(await self._insist(call))
        except CallFailed as failed:
            if failed.definite:
                pending.done()
            raise
        self._ids[instance], self._going[state.id] = state.id, pending
        pending.now(calls=[_noted(fis.stop(state.id))])
        return self._seen(state)

    async def _stop(self, instance: str) -> State:
        deadline = time.monotonic() + self._stop_s
        last = State(id=self._ids[instance], status="unknown")
        while True:
            try:
                last = self._seen(await asyncio.to_thread(run_plan, fis.end(last.id), self._carry))
            except CallFailed:
                last = await self.look(instance) or last
            if last.phase == "over" or time.monotonic() >= deadline:
                return last
            await asyncio.sleep(self.look_every_s)

    async def _insist(self, call: Call) -> Answer:
        """Ask again where nobody knows what became of it, for a token keeps it from being done twice.

        Errors: CallFailed.
        """
        for left in reversed(range(_TRIES)):
            try:
                return await asyncio.to_thread(self._carry, call)
            except CallFailed as failed:
                if not left or (failed.definite and not is_throttle(failed.code)):
                    raise
            await asyncio.sleep(self.look_every_s)
        raise AssertionError("unreachable: the last try answers or fails")

    def _seen(self, state: State) -> State:
        if state.phase == "over" and (pending := self._going.pop(state.id, None)) is not None:
            pending.done()
        return state


def _key(experiment: Experiment) -> bytes:
    return orjson.dumps(experiment, option=orjson.OPT_SORT_KEYS)


def _noted(call: Call) -> dict[str, Any]:
    return {"service": call.service, "operation": call.operation, "params": dict(call.params)}
