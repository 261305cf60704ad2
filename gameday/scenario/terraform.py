"""What Terraform has made, put where a scenario attaches to it: `topology.attach` from `tofu output -json`.

An output that can be attached to is an object as `topology.attach` is one, `{queue: URL, dead_letter_queue: URL}` and
the like: the output `attach` of the modules in terraform/. It promises that exactly one output is taken, that what a
scenario names itself is never replaced, and that a complaint about what was taken names file and output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gameday.history.errors import UsageError
from gameday.scenario.document import Document
from gameday.scenario.model import ATTACHED_KINDS, SubscriptionModel, TopologySpec
from gameday.transports.attached import FIFO, name_of
from gameday.transports.base import Transport
from gameday.transports.registry import TRANSPORTS

OPTION = "--terraform-outputs"
# What of `topology.attach` says where, and not how.
_PLACES = (*ATTACHED_KINDS, "dead_letter_queue", "subscriptions")
# By their names these are FIFO or not (SNS and SQS, CreateTopic and CreateQueue).
_NAMED_FIFO = ("queue", "topic")


def attach(document: Document, given: str) -> Document:
    """`given`: the file, or FILE#OUTPUT where several outputs fit. A transport that nobody knows is passed over.

    Errors: UsageError.
    """
    transport = TRANSPORTS.get(str(document.data.get("transport")))
    topology = document.data.get("topology") or {}
    if transport is None or not isinstance(topology, dict):
        return document
    said = topology.get("attach") or {}
    if isinstance(said, dict) and (named := [key for key in _PLACES if key in said]):
        where = document.where(("topology", "attach", named[0]))
        raise UsageError(
            f"{where}: topology.attach.{named[0]}: {OPTION} says what is there; remove it, or leave {OPTION} out"
        )
    file, name = _split(given)
    outputs = _read(file)
    chosen = _only(file, outputs, transport) if name is None else _named(file, outputs, name, transport)
    place = f"{file}: output {chosen}"
    value = {key: each for key, each in outputs[chosen].items() if each is not None}
    if isinstance(value.get("subscriptions"), dict):
        value["subscriptions"] = _subscriptions(value["subscriptions"], topology, place)
    data = {**document.data, "topology": {**topology, "attach": {**said, **value}}}
    return Document(name=document.name, data=data, places={**document.places, ("topology", "attach"): place})


def _split(given: str) -> tuple[Path, str | None]:
    path, sign, name = given.rpartition("#")
    return (Path(path), name) if sign and not Path(given).exists() else (Path(given), None)


def _read(file: Path) -> dict[str, Any]:
    """The outputs' values by name. Errors: UsageError."""
    how = f"write it with: tofu output -json > {file}"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{OPTION} {file}: cannot read it: {error.strerror}; {how}") from error
    except ValueError as error:
        raise UsageError(f"{OPTION} {file}: this is no JSON ({error}); {how}") from error
    if not isinstance(document, dict) or not all(
        isinstance(each, dict) and "value" in each for each in document.values()
    ):
        raise UsageError(
            f"{OPTION} {file}: these are no outputs, of which each is an object with a `value`; {how} (without a name)"
        )
    if not document:
        raise UsageError(f"{OPTION} {file}: it has no outputs; declare some in the root module, apply it, and {how}")
    return {name: each["value"] for name, each in document.items()}


def _named(file: Path, outputs: Mapping[str, Any], name: str, transport: Transport) -> str:
    if name not in outputs:
        raise UsageError(f"{OPTION} {file}: it has no output {name!r}; it has {_told(outputs)}")
    if not _is_one(outputs[name], transport.attaches_to):
        raise UsageError(
            f"{OPTION} {file}: output {name} says no {transport.attaches_to}, which {transport.name} sends to; "
            f"it has {_told(outputs)}"
        )
    return name


def _only(file: Path, outputs: Mapping[str, Any], transport: Transport) -> str:
    """The one output that fits."""
    kind = transport.attaches_to
    there = [name for name, value in outputs.items() if _is_one(value, kind)]
    fit = [name for name in there if kind not in _NAMED_FIFO or _is_fifo(outputs[name][kind]) == transport.ordered]
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise UsageError(
            f"{OPTION} {file}: {' and '.join(sorted(fit))} fit; name the one that is meant: {OPTION} {file}#{fit[0]}"
        )
    if there:
        wanted, found = ("a FIFO", "no") if transport.ordered else ("no FIFO", "a")
        raise UsageError(
            f"{OPTION} {file}: {transport.name} sends to {wanted} {kind}, and what {' and '.join(sorted(there))} says "
            f"is {found} FIFO {kind}"
        )
    raise UsageError(
        f"{OPTION} {file}: {transport.name} sends to a {kind}, and no output says one; it has {_told(outputs)}. One "
        f"that does is the `attach` of terraform/modules/{kind}, or an object like it: {{{kind}: …}}"
    )


def _is_one(value: object, kind: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(kind), str)


def _is_fifo(place: str) -> bool:
    return name_of(place).endswith(FIFO)


def _told(outputs: Mapping[str, Any]) -> str:
    """Each output, and what it says that could be attached to."""
    told = []
    for name, value in outputs.items():
        kinds = [kind for kind in ATTACHED_KINDS if _is_one(value, kind)]
        told.append(f"{name} ({', a '.join(['a ' + kinds[0], *kinds[1:]])})" if kinds else name)
    return ", ".join(told)


def _subscriptions(there: Mapping[str, Any], topology: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Those that the scenario names: the others get their messages, and the run does not look. Errors: UsageError."""
    default: list[SubscriptionModel] = TopologySpec().subscriptions
    wanted = topology.get("subscriptions") or [{"name": each.name} for each in default]
    names = [str(each.get("name")) for each in wanted if isinstance(each, dict)] if isinstance(wanted, list) else []
    if absent := [name for name in names if name not in there]:
        raise UsageError(
            f"{place}: the scenario's subscription {' and '.join(absent)} is not among its subscriptions "
            f"({', '.join(there) or 'there are none'})"
        )
    return {
        name: {key: each for key, each in there[name].items() if each is not None}
        if isinstance(there[name], dict)
        else there[name]
        for name in names
    }
