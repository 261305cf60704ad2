"""What leaves a claim unknown and can be reckoned from the scenario alone, claim by claim.

Each gives a text for everything that stands in the way: what, why, and what to do about it. Which claim has which notes
stands in gameday/scenario/claims.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from gameday.history.manifest import Claim
from gameday.scenario.outlook import RARELY, Outlook, Window, about
from gameday.verify.bounds import DEFAULT_GRACE_S, FEW, QUANTILES, QUIET_FLOOR_S
from gameday.verify.claims import RULES
from gameday.verify.fairness import NOISY


def order(outlook: Outlook, claim: Claim) -> Iterator[str]:
    groups = outlook.scenario.load.groups
    few = {}
    for name, promise in outlook.promises.items():
        messages = outlook.scenario.shape.total * min(outlook.meant[name], outlook.gets[name])
        # As with birthdays: the chance that no two fall into the same group.
        none = math.exp(-messages * max(messages - 1.0, 0.0) / (2 * groups))
        if messages and RULES[claim.claim].covers(promise) and none > RARELY:
            few[name] = messages
    if few:
        yield (
            f"{about(few)} in {groups} groups: it may be that none has another before it in its group, and then "
            "there is no order to check. Lower load.groups, or raise load.rate or load.duration"
        )


def dead_letter(outlook: Outlook, claim: Claim) -> Iterator[str]:
    for name, promise in outlook.promises.items():
        if promise.dead_letter and (share := outlook.meant[name]) and (none := outlook.no_poison(share)) > RARELY:
            yield f"{outlook.poison_in_words(share, none)}: there is nothing to check on {name}. Raise load.poison"
            if not outlook.scenario.load.poison:
                return


def lag(outlook: Outlook, claim: Claim) -> Iterator[str]:
    needed = FEW if any(QUANTILES[name] < 100 for name in claim.bounds if name in QUANTILES) else 1
    asked = " and ".join(name.removesuffix("_s") for name in claim.bounds if name in QUANTILES)
    during = claim.bounds.get("during", "calm")
    due, grace_s, whose = _due_for(outlook, during, claim)
    few = outlook.fewer(needed, due)
    if few:
        where = {"calm": "outside fault windows", "faults": "within fault windows"}.get(str(during), "in all")
        windows = f" (which count for {grace_s:g} s more: {whose})" if outlook.windows and during != "all" else ""
        remedies = {
            "calm": ["Lower `grace`", "leave more time without faults", "judge every message (`during: all`)"],
            "faults": ["Add faults, or let them last longer"],
        }.get(str(during), [])
        if during == "calm" and not outlook.windows:
            remedies = []
        remedies = [*remedies, "raise load.rate or load.duration"]
        remedy = ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))
        yield f"{about(few)} will be due {where}{windows}; {asked} needs {needed}. {remedy[0].upper()}{remedy[1:]}"
    give_up_s = outlook.scenario.load.give_up
    for window in outlook.windows:
        if not window.strike.fault.stops_sends:
            continue
        lasts_s = min(window.stop_s, outlook.scenario.load.duration) - window.start_s
        if lasts_s >= give_up_s:
            yield (
                f"no send succeeds for {lasts_s:g} s, during {window.called}, and a message is given up after "
                f"{give_up_s:g} s: lag says nothing of what is never sent. Raise load.give_up, or let it strike less"
            )
            return


def _due_for(outlook: Outlook, during: object, claim: Claim) -> tuple[float, float, str]:
    """How many messages lag looks at, over all subscriptions alike; the grace, and who says it."""
    within = next((c.bounds.get("within_s") for c in outlook.claims("recovery")), None)
    if (given := claim.bounds.get("grace_s")) is not None:
        grace_s, whose = float(given), "`grace`"
    elif within is not None:
        grace_s, whose = float(within), "`grace` is recovery's `within` unless given"
    else:
        grace_s, whose = DEFAULT_GRACE_S, "`grace` unless given"
    inside, end_s = 0.0, 0.0
    for window in outlook.windows:
        stop_s = window.stop_s + grace_s
        inside += outlook.due(max(window.start_s, end_s), max(stop_s, end_s))
        end_s = max(stop_s, end_s)
    total = float(outlook.scenario.shape.total)
    return {"calm": max(total - inside, 0.0), "faults": inside}.get(str(during), total), grace_s, whose


def recovery(outlook: Outlook, recovery: Claim) -> Iterator[str]:
    calm = [c for c in outlook.claims("lag") if c.bounds.get("during", "calm") == "calm"]
    bounds_s = [float(bound) for claim in calm for name, bound in claim.bounds.items() if name in QUANTILES]
    few = {} if bounds_s else outlook.fewer(FEW, outlook.due(0.0, outlook.windows[0].start_s))
    if few:
        yield (
            f"what counts as late is told by lag before the first fault, which needs {FEW} messages; {about(few)} "
            "will be due by then. Claim lag with a bound, {claim: lag, p99: 3s}, or let the faults begin later"
        )
    told: dict[int, list[str]] = {}
    for window in outlook.windows:
        if why := _never_quiet(outlook, window, float(recovery.bounds["within_s"]), late_s=max(bounds_s, default=0.0)):
            told.setdefault(window.strike.entry, []).append(why)
    for texts in told.values():
        yield texts[0] + (f" The same is true of {len(texts) - 1} more of its strikes." if len(texts) > 1 else "")


def _hidden_until_s(outlook: Outlook, window: Window) -> float:
    """Until when what a dead consumer held stays hidden, and what comes after it in its groups waits."""
    ordered = any(outlook.promises[name].ordered_by == "group" for name, _ in window.strike.places)
    if not window.strike.fault.leaves_hidden or not ordered:
        return window.start_s
    died_s = window.stop_s - outlook.replacement_s
    return died_s + outlook.scenario.topology.visibility_timeout


def _never_quiet(outlook: Outlook, window: Window, within_s: float, *, late_s: float) -> str | None:
    """What stands in the way of seeing a recovery, if anything surely does: see docs/history.md, recovery.

    `late_s`: what is later than that counts as late.
    """
    untold = f"so recovery from {window.called} cannot be told."
    if math.isinf(window.stop_s):
        return f"{window.called} lasts until the load ends, {untold} Give it a `for`."
    begun = bisect_right(outlook.windows, window.stop_s, key=lambda other: other.start_s)
    if (other := outlook.longest[begun - 1]).stop_s > window.stop_s:
        until = "until the load ends" if math.isinf(other.stop_s) else f"to {other.stop_s:.3g} s"
        return f"{other.called} is open from {other.start_s:.3g} s {until}, {untold} Let one end before the other."
    quiet_s = max(QUIET_FLOOR_S, *((p.visibility_timeout_s or 0.0) + 1.0 for p in outlook.promises.values()))
    end_s = outlook.scenario.load.duration
    horizon_s, what = end_s, f"the load ends at {end_s:g} s"
    remedy = "Raise load.duration, or let it strike earlier."
    if begun < len(outlook.windows) and (following := outlook.windows[begun]).start_s < end_s:
        horizon_s, what = following.start_s, f"{following.called} begins at {following.start_s:.3g} s"
        remedy = "Leave more time between the two."
    hidden_s = _hidden_until_s(outlook, window)
    if window.stop_s + quiet_s <= horizon_s:
        told = hidden_s + quiet_s <= horizon_s or window.stop_s + within_s < min(hidden_s, horizon_s)
        if told or late_s >= outlook.scenario.topology.visibility_timeout:
            return None
        return (
            f"{window.called} leaves messages hidden until about {hidden_s:.3g} s, and their groups wait; then no "
            f"message may be late for {quiet_s:g} s, and {what}, {untold} {remedy}"
        )
    return (
        f"after {window.called} is over, at about {window.stop_s:.3g} s, no message may be late for {quiet_s:g} s, "
        f"and {what}, {untold} {remedy}"
    )


def fair(outlook: Outlook, claim: Claim) -> Iterator[str]:
    load = outlook.scenario.load
    classes = load.tenants or {}
    noisy = classes[NOISY]
    if outlook.windows:
        yield (
            f"{outlook.windows[0].called} strikes, and nobody can tell what a fault did from what the noise did, so "
            "fair stays unknown. Let the faults have a scenario of their own"
        )
    for name, each in classes.items():
        since = max(each.from_, noisy.from_)
        phases = {"during the noise": load.duration - since}
        if name != NOISY:
            phases["before the noise"] = noisy.from_ - each.from_
        for when, lasts_s in phases.items():
            due = max(lasts_s, 0.0) * each.count * each.rate
            remedy = "let the noise begin later" if when == "before the noise" else "raise load.duration"
            if due < FEW:
                yield (
                    f"about {math.floor(due)} messages of the class {name} will be due {when}, and fair needs {FEW}. "
                    f"Raise its rate or its count, or {remedy}"
                )
