"""What does not go together in a scenario: a small function for each rule, in the module of the part that it is about.

Where two rules complain about one value, the first in the order below is heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.scenario.rules import (
    chaos,
    claims,
    consumers,
    effects,
    expect,
    functions,
    load,
    messages,
    own_handler,
    payloads,
    tenants,
    topology,
)
from gameday.scenario.rules.draft import Complaint, Draft, Rule

RULES: Sequence[Rule] = (
    *topology.RULES,
    *consumers.RULES,
    *functions.RULES,
    *own_handler.RULES,
    *effects.RULES,
    *load.RULES,
    *tenants.RULES,
    *messages.RULES,
    *payloads.RULES,
    *chaos.RULES,
    *claims.RULES,
    *expect.RULES,
)


def complaints(draft: Draft) -> Iterator[Complaint]:
    for rule in RULES:
        yield from rule(draft)
