"""`gameday schema`: the JSON Schema of scenarios."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON Schema of scenarios, for editors.

    \b
    Example:
      gameday schema > scenario.schema.json
    """
    from gameday.scenario.schema import schema as of_scenarios

    print(json.dumps(of_scenarios(), indent=2))
