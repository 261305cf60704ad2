"""Rules about where effects are read back."""

from __future__ import annotations

from collections.abc import Iterator

from gameday.scenario.problems import no_such
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports.words import UnknownWord, check, names


def each_subscription_has_one_place(draft: Draft) -> Iterator[Complaint]:
    known = [subscription.name for subscription in draft.body.topology.subscriptions]
    read: set[str] = set()
    for entry in draft.effects:
        if entry.subscription not in known:
            yield (*entry.place, "subscription"), no_such("subscription", entry.subscription, known)
        elif entry.subscription in read:
            yield (
                entry.place,
                f"the effects of {entry.subscription} are read in two places, and nobody could tell which is right; "
                "keep one, or count both in one program (`command`)",
            )
        read.add(entry.subscription)


@with_transport
def its_words_stand_for_something(draft: Draft) -> Iterator[Complaint]:
    dead_letters = draft.consumption.has_dead_letters and draft.body.topology.max_receives is not None
    known = names(draft.transport, dead_letters=dead_letters, consumer=False)
    for entry in draft.effects:
        for place, text in entry.settings.texts():
            try:
                check(text, known)
            except UnknownWord as error:
                yield (*entry.place, entry.kind, *place), str(error)


def somebody_has_effects(draft: Draft) -> Iterator[Complaint]:
    if draft.effects and draft.handler is not None and not draft.handler.has_effects:
        yield (
            draft.effects[0].place,
            f"the handler {draft.body.consumers.handler} has no effects, so none stand anywhere; remove `effects`, or "
            "use another handler",
        )


RULES: tuple[Rule, ...] = (each_subscription_has_one_place, its_words_stand_for_something, somebody_has_effects)
