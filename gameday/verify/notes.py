"""What a reader of a verdict must not overlook: remarks beside claims, made from the verdict's own numbers.

A note changes no verdict. It says what a claim that holds does not speak of (messages that died, messages that never
got in), names the claim that does, and says whose promise a promise is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gameday.verify.claims import Judgement

Note = tuple[Sequence[str], str]
# A load of which more than this share began late was late: `lag` forgives as much at p99.
LATE_SHARE = 0.01


def notes(
    document: Mapping[str, Any],
    judgements: Sequence[Judgement] = (),
    effects_of_nobody: Mapping[str, int] | None = None,
    unexplained: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """From the object of verdict.json, what the judge noted of single claims, how many keys of no message each effect
    store had, and which causes and places could not be looked for: each note with the claims of this run that it stands
    beside, by what they are known by."""
    claimed = {claim["claim"]: claim for claim in document["claims"]}
    counts = {name: entry["count"] for name, entry in document["anomalies"].items()}
    told: list[Note] = [
        *([([], f"the run was ended before it was done: {aborted}")] if (aborted := document["aborted"]) else []),
        *([([], f"chaos was ended before its end: {ended}")] if (ended := document["chaos_ended"]) else []),
        *_failed_checks(document),
        *(
            ([], f"{name} could not be looked for, so neither causes nor places are told: {why}")
            for name, why in (unexplained or {}).items()
        ),
        *_late(document),
        *_given_up(document, claimed, counts.get("given-up", 0)),
        *_dead_letters(document, claimed, counts.get("collateral-dead", 0)),
        *_promised_by_the_user(document),
        *_effects_of_nobody(effects_of_nobody or {}),
    ]
    return [
        *({"claims": [name for name in beside if name in claimed], "text": text} for beside, text in told),
        *({"claims": [each.claim.key], "text": text} for each in judgements for text in each.notes),
        *_ignored(document),
    ]


def _ignored(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for each in document["ignored"]:
        if each["kind"] == "file":
            text = f"{each['first']}/{each['name']} was not read: a history file is called NAME.jsonl or NAME.jsonl.gz"
        else:
            of = f" of {each['of']}" if each["of"] else ""
            hint = f"; did you mean `{each['near']}`?" if each["near"] else ""
            text = (
                f"the {each['kind']} `{each['name']}`{of} was ignored, which the record format does not know "
                f"({each['count']:,} times, first in {each['first']}){hint}"
            )
        yield {"claims": [], "text": text}


def _failed_checks(document: Mapping[str, Any]) -> Iterator[Note]:
    for name, entry in document["anomalies"].items():
        if "failed" in entry:
            yield [], f"the check {name} could not be carried out, so its count is none: {entry['failed']}"


def _late(document: Mapping[str, Any]) -> Iterator[Note]:
    """What the load itself owes: it began sends late, or did not get to them at all."""
    totals = document["totals"]
    scheduled, intended, late = totals["scheduled"], totals["intended"], totals["late"]
    # A load that was ended early owes nothing.
    missed = 0 if scheduled is None or document["aborted"] else max(0, scheduled - intended)
    parts = []
    if late > LATE_SHARE * intended:
        parts.append(
            f"{late:,} of {intended:,} sends began more than 0.1 s after they were due, the latest "
            f"{totals['latest_s']:.3g} s after"
        )
    if missed:
        parts.append(f"{missed:,} of {scheduled:,} messages were never sent")
    if parts:
        yield (
            ("lag", "recovery", "fair"),
            f"the load was late: {', and '.join(parts)}. Either load.users or load.processes are too few, or this "
            "machine is too small for load.rate, or calls were refused or answered slowly, or a fault stopped the load",
        )


def _given_up(document: Mapping[str, Any], claimed: Mapping[str, Any], given_up: int) -> Iterator[Note]:
    if not given_up:
        return
    text = f"{given_up:,} of {document['totals']['intended']:,} messages were never accepted (given-up): "
    if "all-accepted" in claimed:
        yield ["all-accepted"], text + "`all-accepted` judges that; the other claims speak of accepted messages"
    else:
        yield ["no-loss"], text + "no claim of this run asks about them; claim `all-accepted` to have it judged"


def _dead_letters(document: Mapping[str, Any], claimed: Mapping[str, Any], collateral: int) -> Iterator[Note]:
    """Poison belongs there, so it gets a note only where nobody asks about it."""
    asked = "dead-letter" in claimed
    strict = asked and claimed["dead-letter"].get("bounds", {}).get("strict")
    if not asked:
        told = "claim `dead-letter` to have it judged"
        told += ", with `strict: true` for those that no handler ever failed (collateral-dead)" if collateral else ""
    elif collateral and not strict:
        told = "`dead-letter` judges that, with `strict: true` those that no handler ever failed (collateral-dead) too"
    else:
        told = "`dead-letter` judges that" + (", strictly" if strict else "")
    for name, total in document["totals"]["subscriptions"].items():
        dead, poison = total["dead"], total["dead_poison"]
        if dead > poison or (dead and not asked):
            who = "all of them" if poison == dead else f"{poison:,} of them" if poison else "none of them"
            yield (
                ["no-loss"],
                f"{dead:,} of {total['expected']:,} messages ended among the dead letters of {name}, {who} poison. "
                f"A dead letter is not lost: {told}",
            )


def _promised_by_the_user(document: Mapping[str, Any]) -> Iterator[Note]:
    absences = {"lost", "effect-missing", "replay-missing"}
    resting = [claim["claim"] for claim in document["claims"] if claim["anomalies"].keys() & absences]
    for name, subscription in document["subscriptions"].items():
        if subscription.get("promised_by") == "user":
            yield (
                resting,
                f"{subscription['promises']} on {name} is the user's promise (`promises` in the scenario), not AWS's: "
                "AWS may drop messages there",
            )


def _effects_of_nobody(keys: Mapping[str, int]) -> Iterator[Note]:
    for name, count in keys.items():
        yield (
            ["at-least-once-effect", "exactly-once-effect", "ordered-effects"],
            f"the effect store of {name} has {count:,} keys that no message of this run was intended with: their "
            "effects count for nobody",
        )
