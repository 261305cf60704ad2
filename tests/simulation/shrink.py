"""Makes a failing plan as small as it gets: whatever can go without the complaint going is left out.

Greedy, and simple for it: of all the ways to make the plan one step smaller the first that still brings the same
complaint is taken, until none does. Faults go first, then messages, then everything else that the complaint can do
without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gameday.history.errors import UsageError
from gameday.scenario.document import Document
from gameday.scenario.reading import resolve
from tests.simulation.check import Result, check
from tests.simulation.plan import Plan

# Keys that may go, by the part of the scenario.
_OPTIONAL = {
    "topology": ("delay", "redrive", "replay"),
    "load": ("poison", "processes", "dedup"),
    "consumers": ("heartbeat", "retry_delay_max", "retry_delay", "after_failure", "on_term", "restart_delay"),
}
_SIMPLEST: Mapping[str, Mapping[str, Any]] = {
    "load": {"users": 1, "batch": 1, "groups": 1},
    "consumers": {"processes": 1, "concurrency": 1, "pollers": 1, "batch": 1, "processing_time": "0ms", "wait": "1s"},
    "topology": {"shards": 1},
}


def shrink(result: Result, *, tell: Callable[[str], object] = lambda text: None) -> Result:
    """The smallest run found that complains as this one does."""
    tried = {result.plan.to_json()}
    while (smaller := next(_complaining(result, tried), None)) is not None:
        result = smaller
        tell(f"{size(result.plan)}: {result.complaints[0][:120]}")
    return result


def size(plan: Plan) -> str:
    load = plan.scenario["load"]
    messages = float(load["rate"].removesuffix("/s")) * float(load["duration"].removesuffix("s"))
    return f"{len(plan.faults)} faults, {messages:.0f} messages, {plan.scenario['consumers']['processes']} consumers"


def _complaining(result: Result, tried: set[str]) -> Iterator[Result]:
    for plan in _smaller(result.plan):
        written = plan.to_json()
        if written in tried or not _is_a_scenario(plan):
            continue
        tried.add(written)
        kind = str(result.kind)
        # What the parts do wrong shows without a verdict.
        judging = not kind.startswith(("parts", "failure"))
        (again,) = check([plan], judging=judging, reference=kind.startswith("judges"))
        if again.kind == result.kind:
            yield again


def _is_a_scenario(plan: Plan) -> bool:
    try:
        resolve(Document(name="smaller", data=dict(plan.scenario), places={}))
    except UsageError:
        return False
    return True


def _smaller(plan: Plan) -> Iterator[Plan]:
    for n in range(len(plan.faults)):
        yield replace(plan, faults=(*plan.faults[:n], *plan.faults[n + 1 :]))
    load = plan.scenario["load"]
    rate, duration_s = float(load["rate"].removesuffix("/s")), float(load["duration"].removesuffix("s"))
    messages = round(rate * duration_s)
    for fewer in dict.fromkeys((1, 2, messages // 4, messages // 2, messages - 1)):
        if 0 < fewer < messages:
            yield _changed(plan, "load", {"rate": f"{fewer / duration_s:g}/s"})
    if duration_s > 1:
        yield _changed(plan, "load", {"duration": f"{duration_s / 2:g}s", "rate": f"{rate * 2:g}/s"})
    for n, subscription in enumerate(plan.scenario["topology"]["subscriptions"]):
        if len(plan.scenario["topology"]["subscriptions"]) > 1:
            left = [each for each in plan.scenario["topology"]["subscriptions"] if each is not subscription]
            yield _changed(plan, "topology", {"subscriptions": left})
        if len(subscription) > 1:
            plain = [*plan.scenario["topology"]["subscriptions"]]
            plain[n] = {"name": subscription["name"]}
            yield _changed(plan, "topology", {"subscriptions": plain})
    for part, simplest in _SIMPLEST.items():
        for key, value in simplest.items():
            if plan.scenario[part].get(key, value) != value:
                yield _changed(plan, part, {key: value})
    for part, keys in _OPTIONAL.items():
        for key in keys:
            if key in plan.scenario[part]:
                yield _changed(plan, part, {}, without=key)
    yield replace(plan, clock_error_ns=0)
    yield replace(plan, step_ns=1_000)
    yield replace(plan, latency_s=(0.001, 0.001))
    yield replace(plan, timeout_s=1.0)
    for n, fault in enumerate(plan.faults):
        for simpler in (
            replace(fault, told=True),
            replace(fault, share=1.0),
            replace(fault, slow=False),
            replace(fault, noticed=True),
            replace(fault, holding=False),
            replace(fault, for_s=min(fault.for_s, 1.0)),
            replace(fault, at_s=round(fault.at_s, 1)),
        ):
            if simpler != fault:
                yield replace(plan, faults=(*plan.faults[:n], simpler, *plan.faults[n + 1 :]))


def _changed(plan: Plan, part: str, change: Mapping[str, Any], *, without: str | None = None) -> Plan:
    scenario = copy.deepcopy(dict(plan.scenario))
    scenario[part] = {key: value for key, value in {**scenario[part], **change}.items() if key != without}
    return replace(plan, scenario=scenario)
