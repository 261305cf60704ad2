"""Experiments of AWS's Fault Injection Service (FIS), as data: what is asked for, the calls, and what they answer.

Names of actions are FIS's own and change with it, so nothing here knows them: an endpoint lists those that it has. An
action strikes what the scenario names, or what carries the run's tag.

Source: docs.aws.amazon.com/fis/latest/userguide (fis-actions-reference, experiment-templates, stop-conditions), and
botocore's model of the service for operations, shapes and states.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gameday.transports.base import Answer, Call, CallFailed, Plan
from gameday.transports.services import RUN_TAG

SERVICE = "fis"
NO_ALARM = "none"
# FIS runs no action for less than a minute.
LEAST_S = 60.0
_ALARM = "aws:cloudwatch:alarm"
# "The number of characters is 1 to 64" (clientToken).
_TOKEN_MAX = 64
Phase = Literal["coming", "running", "ending", "over"]
_PHASES: Mapping[str, Phase] = {
    "pending": "coming",
    "initiating": "coming",
    "running": "running",
    "stopping": "ending",
    "completed": "over",
    "stopped": "over",
    "failed": "over",
    "cancelled": "over",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """What a fault asks for: a `template` that is there, by its id, or one `action`, for which a template is made.

    `targets`: by the action's own name of them the ARNs that it strikes; what is not named is what carries the run's
    tag. `stop_alarm`: the ARN of the alarm that stops it, or "none", which says that nothing does; None: not said.
    """

    template: str | None = None
    action: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    role: str | None = None
    stop_alarm: str | None = None

    @property
    def named(self) -> str:
        return self.template or str(self.action)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where an experiment is: `status` and `reason` in FIS's words. `ran`: it was at work, or is."""

    id: str
    status: str
    reason: str = ""
    ran: bool = False

    @property
    def phase(self) -> Phase:
        """Of a status that is new here nobody knows that it is over."""
        return _PHASES.get(self.status, "running")

    @property
    def in_vain(self) -> bool:
        """Whether it is over, and FIS itself says that it was none."""
        return self.status in ("failed", "cancelled") or (self.phase == "over" and not self.ran)


def list_actions() -> Plan[dict[str, Mapping[str, str]]]:
    """Every action that the endpoint has, with the type of resource of each of its targets."""
    found: dict[str, Mapping[str, str]] = {}
    for action in (yield from _listed("ListActions", "actions")):
        targets = action.get("targets") or {}
        found[action["id"]] = {name: target.get("resourceType", "") for name, target in targets.items()}
    return found


def of_run(run: str) -> Plan[tuple[list[str], list[str]]]:
    """The ids of the experiments that carry the run's tag and are not over, and of its templates."""
    experiments = yield from _listed("ListExperiments", "experiments")
    templates = yield from _listed("ListExperimentTemplates", "experimentTemplates")
    going = [each for each in experiments if _PHASES.get(each["state"]["status"]) != "over"]
    return _tagged(going, run), _tagged(templates, run)


def _tagged(found: Sequence[Answer], run: str) -> list[str]:
    return [each["id"] for each in found if (each.get("tags") or {}).get(RUN_TAG) == run]


def _listed(operation: str, items: str) -> Plan[list[Answer]]:
    """All pages."""
    found: list[Answer] = []
    token: Mapping[str, str] = {}
    while True:
        answer = yield Call(SERVICE, operation, {"maxResults": 100, **token})
        found += answer.get(items) or ()
        if not answer.get("nextToken"):
            return found
        token = {"nextToken": answer["nextToken"]}


def misfit(experiment: Experiment, actions: Mapping[str, Mapping[str, str]]) -> str | None:
    """Why an experiment of an action cannot be made here, if it cannot."""
    if experiment.action is None:
        return None
    if experiment.action not in actions:
        near = difflib.get_close_matches(experiment.action, actions, n=3, cutoff=0.5)
        told = f"nearest: {', '.join(near)}" if near else f"it has {len(actions)} others, none like it"
        return f"FIS knows no action {experiment.action!r} here; {told}"
    has = actions[experiment.action]
    if unknown := sorted(experiment.targets.keys() - has.keys()):
        known = ", ".join(has) or "none"
        return f"{experiment.action} has no target {', '.join(unknown)}; it has {known}"
    return None


def template_unguarded(answer: Answer) -> bool:
    """Whether no alarm stops the experiments of a template that is there."""
    conditions = answer["experimentTemplate"].get("stopConditions") or ()
    return all(condition.get("source") == NO_ALARM for condition in conditions)


def create_template(
    experiment: Experiment, kinds: Mapping[str, str], *, run: str, tags: Mapping[str, str], token: str
) -> Call:
    """`kinds`: the type of resource of each target of the action; `token`: repeated, it makes nothing twice."""
    named = experiment.targets
    struck = {
        name: {"resourceArns": list(named[name])} if name in named else {"resourceTags": {RUN_TAG: run}}
        for name in kinds
    }
    targets = {name: {"resourceType": kind, "selectionMode": "ALL", **struck[name]} for name, kind in kinds.items()}
    alarm = experiment.stop_alarm or NO_ALARM
    action = {
        "actionId": experiment.action,
        "parameters": dict(experiment.parameters),
        "targets": {name: name for name in targets},
    }
    return Call(
        SERVICE,
        "CreateExperimentTemplate",
        {
            "clientToken": token[-_TOKEN_MAX:],
            "description": f"gameday run {run}",
            "stopConditions": [{"source": NO_ALARM} if alarm == NO_ALARM else {"source": _ALARM, "value": alarm}],
            "targets": targets,
            "actions": {"fault": action},
            "roleArn": experiment.role,
            "tags": {**tags, "Name": f"gameday-{run}"},
        },
    )


def delete_template(template: str) -> Call:
    return Call(SERVICE, "DeleteExperimentTemplate", {"id": template})


def start(template: str, *, tags: Mapping[str, str], token: str) -> Call:
    given = {"clientToken": token[-_TOKEN_MAX:], "experimentTemplateId": template, "tags": dict(tags)}
    return Call(SERVICE, "StartExperiment", given)


def look(experiment: str) -> Call:
    return Call(SERVICE, "GetExperiment", {"id": experiment})


def stop(experiment: str) -> Call:
    return Call(SERVICE, "StopExperiment", {"id": experiment})


def end(experiment: str) -> Plan[State]:
    """Stop it where it is not over, and is not being stopped; what is known of it then. Errors: CallFailed."""
    seen = state((yield look(experiment)))
    if seen.phase in ("coming", "running"):
        try:
            seen = state((yield stop(experiment)))
        except CallFailed:
            # It may have ended meanwhile.
            seen = state((yield look(experiment)))
            if seen.phase != "over":
                raise
    return seen


def state(answer: Answer) -> State:
    """What StartExperiment, GetExperiment and StopExperiment answer."""
    told = answer["experiment"]
    return State(
        id=told["id"],
        status=told["state"]["status"],
        reason=told["state"].get("reason") or "",
        ran=told.get("startTime") is not None and _ran(told),
    )


def _ran(told: Answer) -> bool:
    """Whether an action was at work: one that is skipped or fails at once has no end that it reached."""
    statuses = {(action.get("state") or {}).get("status") for action in (told.get("actions") or {}).values()}
    return bool(statuses & {"running", "completed", "stopping", "stopped"})
