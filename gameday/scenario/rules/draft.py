"""A scenario whose parts are each well formed, and what a rule is: whether the parts go together.

A rule is a function of a draft that gives what is wrong, each with its place. It promises to be told of no draft but a
whole one, and tells of one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gameday.chaos.base import Fault
from gameday.consumers.handlers import HandlerFacts, facts_of
from gameday.history.manifest import Claim, Subscription
from gameday.loadgen.shapes import Shape
from gameday.scenario.consumption import CONSUMPTION, Consumption
from gameday.scenario.document import Route
from gameday.scenario.effects import EffectsEntry
from gameday.scenario.model import Body, promises_of
from gameday.transports.base import Transport
from gameday.transports.registry import TRANSPORTS

Complaint = tuple[Route, str]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """`transport` and what follows from it is there where `has_transport`: see `with_transport`.

    `base`: the directory that files of the scenario's author are named from.
    """

    body: Body
    shape: Shape
    chaos: Sequence[Fault]
    claims: Sequence[Claim]
    # Where the scenario stands, and what it names by a relative path.
    directory: Path
    effects: Sequence[EffectsEntry] = ()

    @property
    def has_transport(self) -> bool:
        return self.body.transport in TRANSPORTS

    @property
    def transport(self) -> Transport:
        return TRANSPORTS[self.body.transport]

    @property
    def consumption(self) -> Consumption:
        return CONSUMPTION[self.transport.kind]

    @property
    def handler(self) -> HandlerFacts | None:
        """None where there is none of that name, or a program of the user's works in its place."""
        consumers = self.body.consumers
        return None if consumers.foreign else facts_of(consumers.handler)

    @property
    def sibling(self) -> str | None:
        """The transport that is the same with an order, where there is one."""
        name = f"{self.body.transport}-fifo"
        return name if name in TRANSPORTS else None

    @cached_property
    def promises(self) -> Mapping[str, Subscription]:
        """What is promised on each subscription; empty where the transport cannot be had as it is asked for."""
        names = [subscription.name for subscription in self.body.topology.subscriptions]
        if not self.has_transport or len(set(names)) < len(names):
            return {}
        try:
            return promises_of(self.body, settle_s=0)
        except ValueError:
            return {}


Rule = Callable[[Draft], Iterator[Complaint]]


def with_transport(rule: Rule) -> Rule:
    """A rule that asks the transport: where there is none of that name, another rule says so."""

    def checked(draft: Draft) -> Iterator[Complaint]:
        if draft.has_transport:
            yield from rule(draft)

    checked.__doc__ = rule.__doc__
    checked.__name__ = rule.__name__
    return checked
