"""From a function as a scenario writes it to consumers of ours that invoke it: what `consumers` says otherwise.

It promises that all the rest of a scenario sees such consumers as what they are, a handler of the user's that is asked
with events of batches, so that no rule and no forecast must know functions besides; and that a key which tells nothing
of a function is an error and not ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from gameday.consumers.config import MappingConfig
from gameday.processes.handler_process import NODE_SHIM
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.functions import DIRECT_RETRIES_MAX, FunctionModel, LambdaModel
from gameday.scenario.model import Body, ConsumersSpec, HandlerModel, Scenario
from gameday.scenario.problems import Problems
from gameday.scenario.units import format_duration
from gameday.transports.registry import TRANSPORTS

# Of an SQS receive; a mapping with a window gathers several.
_RECEIVE_MOST = 10


def with_functions(body: Body, directory: Path, problems: Problems) -> Body:
    """The body with consumers that invoke the function, where there is one. What is wrong with it is noted."""
    spec = body.consumers
    if spec.lambda_ is None:
        return body
    deployed = spec.kind == "deployed"
    for key in sorted(spec.model_fields_set - (spec.OF_KINDS["deployed"] if deployed else spec.OF_FUNCTIONS)):
        if deployed and key in spec.OF_FUNCTIONS:
            problems.add(
                ("consumers", key), "it tells a poller of ours, and with `by: target` there is none; remove it"
            )
        elif not spec.foreign or deployed or key not in spec.OF_KINDS[spec.kind]:
            problems.add(("consumers", key), "with `lambda` a function works, as its own keys say; remove it")
    if spec.foreign and not deployed:
        problems.add(("consumers", "lambda"), "either a function is invoked, or a consumer of yours polls; remove one")
    stream = body.transport in TRANSPORTS and TRANSPORTS[body.transport].kind == "stream"
    model = _completed(spec.lambda_, stream=stream)
    try:
        handler = _handler(model, directory, event="kinesis" if stream else _event(body.transport, model))
    except ValueError as error:
        problems.add(("consumers", "lambda", "function"), str(error))
        return body
    assert model.batch is not None
    consumers = spec.model_copy(
        update={
            "handler": handler,
            "processes": spec.processes if "processes" in spec.model_fields_set else 1,
            "batch": model.batch if stream else min(model.batch, _RECEIVE_MOST),
            "concurrency": model.concurrency,
            # What a rule says of a key of its own is about one that somebody wrote.
            "lambda_": _placed(model, directory),
        }
    )
    consumers.model_fields_set.intersection_update(spec.model_fields_set)
    return body.model_copy(update={"consumers": consumers})


def _completed(model: LambdaModel, *, stream: bool) -> LambdaModel:
    """With the defaults that only what it is invoked from tells."""
    batch = model.batch or (1 if model.direct else CONSUMPTION["stream" if stream else "queue"].batch)
    retries = DIRECT_RETRIES_MAX if model.direct and model.retries is None else model.retries
    return model.model_copy(update={"batch": batch, "retries": retries})


def _event(transport: str, model: LambdaModel) -> Literal["sqs", "sns", "eventbridge"]:
    if not model.direct:
        return "sqs"
    return "eventbridge" if transport == "eventbridge" else "sns"


def _placed(model: LambdaModel, directory: Path) -> LambdaModel:
    """With absolute paths: what is written back holds elsewhere, too."""
    path = str((directory / Path(model.function.path).expanduser()).absolute())
    return model.model_copy(update={"function": model.function.model_copy(update={"path": path})})


def _handler(
    model: LambdaModel, directory: Path, *, event: Literal["sqs", "kinesis", "sns", "eventbridge"]
) -> HandlerModel:
    """Errors: ValueError where its code is not there, or nothing says which function it is."""
    function = model.function
    place, named = function.place(directory)
    file, _, name = named.rpartition(".")
    _check(function, place, file)
    how: dict[str, Any] = (
        {"python": f"{file.replace('/', '.')}:{name}", "interpreter": function.interpreter}
        if function.in_python
        else {"command": [function.interpreter or "node", str(NODE_SHIM), file, name]}
    )
    timeout = format_duration(model.timeout_in_force)
    return HandlerModel(cwd=str(place), env=function.env, event=event, timeout=timeout, **how)  # type: ignore[arg-type]  # a duration is read as it is written


def _check(function: FunctionModel, place: Path, file: str) -> None:
    if not place.is_dir():
        raise ValueError(f"there is no directory {place}; `path` counts from the scenario's own directory")
    kinds: Sequence[str] = (".py",) if function.in_python else (".js", ".mjs", ".cjs")
    found = [place / f"{file}{kind}" for kind in kinds]
    if file.replace(".", "/") != file and function.in_python:
        found.append(place / f"{file.replace('.', '/')}.py")
    if not any(path.is_file() for path in found):
        raise ValueError(f"there is no file {found[0]}")


def mapping_of(scenario: Scenario) -> MappingConfig | None:
    """How the function is invoked; None where none is."""
    model = scenario.consumers.lambda_
    if model is None:
        return None
    return MappingConfig(
        function=_name(model),
        batch=scenario.receive_batch if model.batch is None else model.batch,
        window_s=model.window,
        reserved=model.reserved,
        partial=model.partial,
        timeout_s=model.timeout_in_force,
        filter=model.filter or (),
        retries=model.retries,
        max_age_s=model.max_age,
        bisect=model.bisect,
        parallel=model.parallel,
        on_failure=model.on_failure,
        direct=model.direct,
        retry_wait_s=model.retry_wait,
    )


def _name(model: LambdaModel) -> str:
    path = Path(model.function.path)
    return path.stem if model.function.handler is None else f"{path.stem}.{model.function.handler}"


def written_back(consumers: dict[str, Any], spec: ConsumersSpec) -> dict[str, Any]:
    """What was written of consumers, where they invoke a function; all without it where they do not."""
    if spec.lambda_ is None:
        return {key: value for key, value in consumers.items() if key != "lambda"}
    known = spec.OF_KINDS["deployed"] if spec.kind == "deployed" else spec.OF_FUNCTIONS
    told = {key: value for key, value in consumers.items() if key in known}
    return {**told, "lambda": spec.lambda_.model_dump(mode="json", exclude_none=True)}
