"""Rules about large bodies and schemas: where there can be some, who looks at them, and what claims about them need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gameday.scenario.model import HandlerModel
from gameday.scenario.payloads import NoSchema, read_version, read_versions
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport

_OF_OBJECTS = ("no-dangling-reference", "no-orphan", "payload-intact")
_OF_SCHEMAS = "schema-conformant"
# Of these alone a bus takes an event apart, and needs it in its own form.
_BUS = "events"


@with_transport
def references_end_in_queues(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.claim_check is not None and draft.transport.kind != "queue":
        yield (
            ("load", "claim_check"),
            f"consumers of {draft.body.transport} fetch no bodies: nobody deletes a record of a stream, so nobody "
            "could tell when its object may go. Use a transport that ends in queues, or remove it",
        )


@with_transport
def a_bus_takes_events_of_its_own_form(draft: Draft) -> Iterator[Complaint]:
    if _BUS not in draft.transport.services:
        return
    load = draft.body.load
    if load.envelope == "cloudevents":
        yield ("load", "envelope"), f"{draft.body.transport} takes events in its own form alone; remove it"
    if load.claim_check is not None and load.claim_check.shape == "extended":
        yield ("load", "claim_check", "shape"), f"{draft.body.transport} takes events, and a pointer is none; remove it"


def messages_of_your_own_are_as_they_are(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.message is None:
        return
    for key, given in (
        ("claim_check", load.claim_check is not None),
        ("schema", load.schema_ is not None),
        ("envelope", load.envelope != "ours"),
    ):
        if given:
            yield ("load", key), "messages of your own are sent as they are; remove it, or load.message"


def whoever_fetches_is_known(draft: Draft) -> Iterator[Complaint]:
    """Programs of the user's fetch for themselves, and record nothing of it."""
    consumers, load = draft.body.consumers, draft.body.load
    handler = consumers.handler
    if load.claim_check is not None and isinstance(handler, HandlerModel) and handler.event is not None:
        yield (
            ("consumers", "handler", "event"),
            "the events of Lambda are made of what was received, and bodies are fetched for plain messages alone; "
            "remove it, or load.claim_check",
        )
    if load.claim_check is not None and consumers.lambda_ is not None:
        yield (
            ("consumers", "lambda"),
            "a function is invoked with what was received, and bodies are fetched for handlers alone; remove it, or "
            "load.claim_check",
        )
    if not consumers.foreign:
        return
    for number, claim in enumerate(draft.claims):
        if claim.claim in ("no-dangling-reference", "payload-intact", _OF_SCHEMAS):
            yield (
                ("claims", number),
                f"{claim.claim} is unknown for consumers of your own: nobody records what they fetch, or think of it; "
                "remove it",
            )


def objects_are_removed_once(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    if consumers.objects is None:
        return
    if draft.body.load.claim_check is None:
        yield ("consumers", "objects"), "there are no objects without load.claim_check; remove it"
    elif consumers.objects != "keep" and len(draft.body.topology.subscriptions) > 1:
        yield (
            ("consumers", "objects"),
            "every subscription gets the same reference, so the first to remove its object takes it from the others; "
            "keep them, and let a rule of the bucket remove them",
        )


def what_is_claimed_of_objects_has_some(draft: Draft) -> Iterator[Complaint]:
    for number, claim in enumerate(draft.claims):
        if claim.claim in _OF_OBJECTS and draft.body.load.claim_check is None:
            yield ("claims", number), f"{claim.claim} can show nothing: no body goes to S3 without load.claim_check"


def schemas_are_there(draft: Draft) -> Iterator[Complaint]:
    body = draft.body
    named = [("load", "schema", body.load.schema_), ("consumers", "schema", body.consumers.schema_)]
    if body.schemas is None:
        for part, key, written in named:
            if written is not None:
                yield (part, key), "nothing says where schemas are; name their directory with `schemas`"
        return
    directory = Path(body.schemas)
    if body.load.schema_ is not None:
        try:
            read_versions(directory, body.load.schema_)
        except NoSchema as error:
            yield ("load", "schema"), str(error)
    if body.consumers.schema_ is not None:
        try:
            read_version(directory, body.consumers.schema_)
        except NoSchema as error:
            yield ("consumers", "schema"), str(error)


def what_is_claimed_of_schemas_has_one(draft: Draft) -> Iterator[Complaint]:
    body = draft.body
    for number, claim in enumerate(draft.claims):
        if claim.claim == _OF_SCHEMAS and body.load.schema_ is None:
            yield ("claims", number), f"{claim.claim} can show nothing: no payload is made from a schema (load.schema)"


RULES: Sequence[Rule] = (
    references_end_in_queues,
    a_bus_takes_events_of_its_own_form,
    messages_of_your_own_are_as_they_are,
    whoever_fetches_is_known,
    objects_are_removed_once,
    what_is_claimed_of_objects_has_some,
    schemas_are_there,
    what_is_claimed_of_schemas_has_one,
)
