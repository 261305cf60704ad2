"""Workflows as a scenario writes them: the machine that messages start, and which of its tasks consumers work on.

`topology.workflow` names a machine in Amazon States Language, a file of the user's or one of ours. It promises that
what is read is whole: the machine stands in the scenario from then on, and its steps are the subscriptions where nobody
names any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gameday.scenario.document import Document
from gameday.scenario.problems import Problems
from gameday.transports.base import Workflow
from gameday.transports.machines import plain, steps_of

TRANSPORT = "stepfunctions"
ORDER = "order"
_MACHINES = Path(__file__).resolve().parent.parent / "scenarios" / "machines"
_ROUTE = ("topology", "workflow", "machine")


class WorkflowModel(BaseModel):
    """The state machine that messages start."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["standard", "express", "express-sync"] = Field(
        default="standard",
        description="a Standard workflow; an Express one that is started and not waited for; or, with `express-sync`, "
        "one whose start waits until it is over",
    )
    machine: dict[str, Any] | str = Field(
        default=ORDER,
        description="a file with the machine in Amazon States Language, where ${queue:NAME} stands for the queue of a "
        "step; the machine itself; or `order`, ours",
    )
    named: bool = Field(
        default=True,
        description="whether each start names its execution after its message; without it a start that is repeated "
        "begins a second execution",
    )
    start_again: bool = Field(
        default=False,
        description="of an `express-sync` one: whether a start whose answer was lost is sent again; it may begin a "
        "second execution, and is a mistake",
    )

    redrive: bool = Field(
        default=False,
        description="of a `standard` one: redrive the executions that failed, once the load is done and all are over",
    )

    @property
    def workflow(self) -> Workflow:
        assert isinstance(self.machine, dict), "what is read has the machine in it"
        return Workflow(machine=self.machine, type=self.type, named=self.named, start_again=self.start_again)


def completed(data: Any, document: Document, problems: Problems) -> Any:
    """The document with the machine in it, and its steps for subscriptions; as it is, where it has no workflow."""
    if not isinstance(data, dict) or data.get("transport") != TRANSPORT:
        return data
    topology = data.get("topology") or {}
    if not isinstance(topology, dict) or not isinstance(topology.get("workflow") or {}, dict):
        return data
    workflow = topology.get("workflow") or {}
    machine = workflow.get("machine", ORDER)
    named = topology.get("subscriptions")
    if not topology.get("workflow") and isinstance(named, list) and all(isinstance(each, dict) for each in named):
        # Who names steps and no machine has one that asks for all of them at once.
        machine = plain([str(each.get("name")) for each in named])
    try:
        if isinstance(machine, str):
            machine = _read(machine, document)
        steps = list(steps_of(machine))
    except (ValueError, AttributeError, OSError) as error:
        problems.add(_ROUTE, f"no machine can be made of it: {error}")
        return {**data, "topology": {**topology, "workflow": None}}
    named = named or [{"name": step} for step in steps]
    return {**data, "topology": {**topology, "workflow": {**workflow, "machine": machine}, "subscriptions": named}}


def _read(name: str, document: Document) -> dict[str, Any]:
    """Errors: ValueError, OSError."""
    if name == ORDER:
        content = (_MACHINES / f"{ORDER}.json").read_bytes()
    else:
        content = (document.directory / Path(name).expanduser()).read_bytes()
    machine = orjson.loads(content)
    if not isinstance(machine, dict):
        raise ValueError("it is no JSON object")
    return machine
