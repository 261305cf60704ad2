"""What can stand in a scenario, each with one line for people: `gameday list`, made from the registries."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from contextlib import suppress

from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.manifest import ALIASES, Subscription
from gameday.scenario import reading as scenario
from gameday.scenario.claims import short_bound
from gameday.transports.base import SubscriptionSpec, Topology, Transport


def catalogue(what: str) -> Iterator[tuple[str, str]]:
    """Name and description of each entry of a registry; what is not needed for the answer is not imported."""
    if what == "transports":
        from gameday.transports.registry import TRANSPORTS

        for name, transport in TRANSPORTS.items():
            plain = _promise(transport, SubscriptionSpec(name="x"))
            told = _promised(plain)
            with suppress(ValueError):
                # Which most transports know nothing of.
                filtered = _promise(transport, SubscriptionSpec(name="x", filter={"currency": ["EUR"]}))
                if filtered.promises != plain.promises:
                    told += f"; behind a filter {filtered.promises}, so that a loss there can never be shown"
            yield name, told
    elif what == "faults":
        from gameday.chaos.registry import FAULTS

        for name, fault in FAULTS.items():
            yield name, _first_line(fault)
    elif what == "claims":
        for name, claim in CLAIM_TEXTS.items():
            yield name, _claimed(name, claim.summary, claim.bounds)
    elif what == "checks":
        from gameday.verify.registry import CHECKS

        for name, check in CHECKS.items():
            yield name, check.summary
    elif what == "handlers":
        from gameday.consumers.handlers import HANDLERS

        for name, handler in HANDLERS.items():
            yield name, _first_line(handler.handle)
    elif what == "guards":
        from gameday.consumers.guards import GUARDS

        for name, guard in GUARDS.items():
            yield name, _first_line(guard.stand_around)
    elif what == "effects":
        from gameday.consumers.read_back.registry import READERS

        for name, reader in READERS.items():
            yield name, _first_line(reader)
    elif what == "shapes":
        from gameday.loadgen.shapes import SHAPES

        for name, shape in SHAPES.items():
            yield name, _first_line(shape)
    else:
        for name in scenario.names():
            yield name, _first_comment(name)


def _promise(transport: Transport, spec: SubscriptionSpec) -> Subscription:
    return transport.promises(Topology(subscriptions=[spec]))[spec.name]


def _promised(promise: Subscription) -> str:
    """What a subscription of a transport promises."""
    order = f"ordered by {promise.ordered_by}" if promise.ordered_by else "in any order"
    once = f", a repeated send dropped for {promise.dedup_window_s:g} s" if promise.dedup_window_s else ""
    return f"a {promise.kind}: {promise.promises}, {order}{once}"


def _claimed(name: str, summary: str, bounds: Collection[str]) -> str:
    """What a claim says, what else it is called, and the bounds that a scenario may give it."""
    also = [f"Also called {alias}." for alias, real in ALIASES.items() if real == name]
    bounded = [f"Bounds: {', '.join(map(short_bound, bounds))}."] if bounds else []
    return " ".join([summary, *also, *bounded])


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _first_comment(name: str) -> str:
    """The first sentence of the comment that a scenario opens with."""
    words: list[str] = []
    for line in scenario.find(name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line == "#":
            break
        words.append(line.removeprefix("#").strip())
    sentence, stop, _ = " ".join(words).partition(". ")
    return sentence + stop.rstrip()
