"""Rules about tenants: where there can be some, and what there must be for a noise to be heard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gameday.scenario.model import NAME
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.verify.fairness import NOISY


@with_transport
def tenants_share_a_queue(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.tenants is not None and not draft.transport.takes_tenants:
        yield (
            ("load", "tenants"),
            f"nothing shares {draft.body.transport} out among tenants: that takes a Standard queue which producers "
            "send to. Remove it, or use the transport sqs",
        )


def each_class_has_a_name(draft: Draft) -> Iterator[Complaint]:
    for name in draft.body.load.tenants or {}:
        if not re.fullmatch(NAME, name):
            yield ("load", "tenants", name), f"{name!r} is no name of a class: letters, digits and hyphens"


def a_class_begins_before_the_end(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    for name, each in (load.tenants or {}).items():
        if each.from_ >= load.duration:
            yield (
                ("load", "tenants", name, "from"),
                f"it begins after {each.from_:g} s, and the load is over after {load.duration:g} s; lower it, or raise "
                "load.duration",
            )


def a_tenant_is_the_group(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.tenants is not None and load.message is not None and load.message.group is not None:
        yield ("load", "message", "group"), "the group of a message is its tenant; remove it, or load.tenants"


def who_is_told_is_there(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.tenants is None and not load.tell_tenants:
        yield ("load", "tell_tenants"), "there are no tenants of whom a message could tell; remove it"


def fairness_has_a_noise(draft: Draft) -> Iterator[Complaint]:
    """A claim `fair` compares the others before the noise with the same during it."""
    classes = draft.body.load.tenants or {}
    for number, claim in enumerate(draft.claims):
        if claim.claim != "fair":
            continue
        noisy = classes.get(NOISY)
        if noisy is None or len(classes) < 2:
            yield (
                ("claims", number),
                "fair can show nothing: it speaks of tenants beside noisy ones. Write load.tenants like {quiet: "
                "{count: 20, rate: 2/s}, noisy: {count: 1, rate: 200/s, from: 5s}}, or remove the claim",
            )
        elif not noisy.from_:
            yield (
                ("load", "tenants", NOISY),
                "the claim fair compares with the time before the noise, and there is none; say `from` when it begins",
            )


RULES: Sequence[Rule] = (
    tenants_share_a_queue,
    each_class_has_a_name,
    a_class_begins_before_the_end,
    a_tenant_is_the_group,
    who_is_told_is_there,
    fairness_has_a_noise,
)
