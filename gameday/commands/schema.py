"""`gameday schema`: the JSON Schema of scenarios, or the events of one as AsyncAPI."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Of(StrEnum):
    scenario = "scenario"
    events = "events"


class EventsFormat(StrEnum):
    asyncapi = "asyncapi"


def schema(
    of: Annotated[Of, typer.Argument(help="What is described: scenarios, or the events of one.")] = Of.scenario,
    scenario: Annotated[str, typer.Argument(help="Of `events`: a scenario, by its name or its file.")] = "",
    format: Annotated[
        EventsFormat, typer.Option(help="Of `events`: AsyncAPI 3.0, channels with their bindings.")
    ] = EventsFormat.asyncapi,
) -> None:
    """Print the JSON Schema of scenarios, for editors; or what a scenario sends and to whom, as AsyncAPI 3.0.

    Exit codes: 0, or 2 where the scenario is wrong.

    \b
    Examples:
      gameday schema > scenario.schema.json
      gameday schema events --format asyncapi schema-change > asyncapi.json
    """
    from gameday.history.errors import UsageError

    if of is Of.scenario:
        from gameday.scenario.schema import schema as of_scenarios

        if scenario:
            raise UsageError(f"the schema of scenarios is that of all of them; {scenario!r} belongs behind `events`")
        print(json.dumps(of_scenarios(), indent=2))
        return
    from gameday.scenario import reading
    from gameday.scenario.asyncapi import asyncapi

    if not scenario:
        raise UsageError("the events of which scenario? Write it like: gameday schema events quick")
    print(json.dumps(asyncapi(reading.load(reading.find(scenario))), indent=2))
