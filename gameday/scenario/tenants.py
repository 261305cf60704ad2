"""Tenants as a scenario writes them: what they say of the load, and what does not go together with them.

`load.tenants` says how fast the load is and which groups it has, in place of `rate`, `shape` and `groups`. It promises
that one who writes both is told so, and that from here on the rate and the groups of the load are those of its tenants.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from gameday.loadgen.shapes import Shape
from gameday.loadgen.tenants import TenantClass, Tenants
from gameday.scenario.model import LoadSpec, TenantSpec
from gameday.scenario.problems import Problems

# What tenants say in place of these.
SAID_BY_TENANTS = ("rate", "groups")


def completed(load: object, problems: Problems) -> object:
    """The load with the rate and the groups that its tenants make; as it is, where it has none that can be read."""
    if not isinstance(load, dict) or load.get("tenants") is None:
        return load
    for key in (*SAID_BY_TENANTS, *(["shape"] if load.get("shape", "constant") != "constant" else [])):
        if key in load:
            problems.add(("load", key), "the tenants say how much is sent, when and by whom; remove it")
    written = load["tenants"]
    if not isinstance(written, dict) or not written:
        problems.add(
            ("load", "tenants"),
            "classes of tenants belong here, like {quiet: {count: 20, rate: 2/s}, "
            "noisy: {count: 1, rate: 200/s, from: 5s}}",
        )
        return {**load, "tenants": None, "rate": "1/s"}
    try:
        classes = [TenantSpec.model_validate(each) for each in written.values()]
    except ValidationError:
        # Each of them is told of where the load is read.
        return {**load, "rate": "1/s"}
    total_per_s = sum(each.count * each.rate for each in classes)
    return {**load, "rate": f"{total_per_s:.9f}/s", "groups": sum(each.count for each in classes)}


def classes_of(load: LoadSpec) -> list[TenantClass]:
    return [
        TenantClass(name=name, count=each.count, rate_per_s=each.rate, from_s=each.from_)
        for name, each in (load.tenants or {}).items()
    ]


def shape_of(load: LoadSpec, problems: Problems) -> Shape | None:
    """What the tenants send together."""
    try:
        return Tenants(classes=classes_of(load)).shape(load.duration)
    except ValueError as error:
        problems.add(("load", "tenants"), str(error))
        return None


def written_back(load: dict[str, Any]) -> dict[str, Any]:
    """Without what its tenants say."""
    return {key: value for key, value in load.items() if load["tenants"] is None or key not in SAID_BY_TENANTS}
