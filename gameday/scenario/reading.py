"""A scenario read strictly from YAML.

It promises that nothing is silently ignored or guessed: an unknown key, a missing unit, a claim that the transport
never promises or a fault that can strike nothing is a UsageError that names file and line, the key, and what to do
about it. As much as can be told at once is. What comes out is complete: every default stands in it, and written back
(`resolved`) it is a scenario again.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gameday.chaos.base import Fault
from gameday.chaos.base import units as fault_units
from gameday.chaos.registry import FAULTS
from gameday.history.errors import NotARun, UsageError
from gameday.history.manifest import ALIASES, BOUNDS, Claim, parse_claim
from gameday.loadgen.shapes import SHAPES, Shape
from gameday.loadgen.shapes import units as shape_units
from gameday.scenario import document as documents
from gameday.scenario import tenants, terraform, units, workflows
from gameday.scenario.brakes import BrakesModel
from gameday.scenario.claims import BOUND_KEYS, CLAIMS, is_measured, needs_bound, short_bound
from gameday.scenario.conditions import read_trigger
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.document import Document, Route
from gameday.scenario.effects import EffectsEntry
from gameday.scenario.effects import read as read_effects
from gameday.scenario.effects import written_back as effects_written_back
from gameday.scenario.invoking import with_functions
from gameday.scenario.invoking import written_back as functions_written_back
from gameday.scenario.model import Body, ConsumersSpec, HandlerModel, LoadSpec, Scenario, TopologySpec
from gameday.scenario.own_handler import no_meaning
from gameday.scenario.problems import Problems, keys, no_such, unknown_key
from gameday.scenario.rules import complaints
from gameday.scenario.rules.draft import Draft
from gameday.scenario.rules.messages import refused_beside
from gameday.transports.registry import TRANSPORTS

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
_RECEIVES_GUESS = 5
_DRAIN_SPARE_S = 30.0


def find(name: str) -> Path:
    """A scenario's file: a path, or the name of one in scenarios/. Errors: UsageError that names those there are."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise UsageError(f"there is no scenario file {path}")
        return path
    shipped = SCENARIOS / f"{name}.yaml"
    if not shipped.is_file():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"no scenario is called {name!r}{hint or '.'} There are {', '.join(names()) or 'none'} in {SCENARIOS}; "
            f"a file of your own is named by its path (./{name}.yaml)."
        )
    return shipped


def names() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def load(path: Path, overrides: Sequence[str] = (), *, outputs: str | None = None) -> Scenario:
    """`outputs`: Terraform's, a file or FILE#OUTPUT, which say what it attaches to.

    Errors: UsageError, one line for each thing that is wrong.
    """
    document = documents.override(documents.read(path), overrides)
    return resolve(document if outputs is None else terraform.attach(document, outputs))


def at_constant_rate(scenario: Scenario, rate_per_s: float, *, told_by: str) -> Scenario:
    """The same scenario with a constant rate in place of its load's shape; all else stays, its duration too.

    `told_by`: who wants that rate, for whoever is told that it is wrong. Errors: UsageError.
    """
    written = scenario.source
    load = {key: value for key, value in written.data["load"].items() if key in keys(LoadSpec)}
    load |= {"shape": "constant", "rate": f"{rate_per_s:.12g}/s"}
    places = {path: place for path, place in written.places.items() if path[:2] != ("load", "shape")}
    return resolve(
        Document(
            name=written.name,
            data={**written.data, "load": load},
            places={**places, ("load", "rate"): told_by, ("load", "shape"): told_by},
        )
    )


def resolve(document: Document) -> Scenario:
    """Errors: UsageError, one line for each thing that is wrong."""
    problems = Problems(document)
    data = dict(workflows.completed(document.data, document, problems))
    chaos_data, claims_data = data.pop("chaos", None) or [], data.pop("claims", None)
    effects_data = data.pop("effects", None)
    load_data = tenants.completed(data.get("load"), problems)
    own: dict[str, Any] = {}
    if isinstance(load_data, dict):
        of_load = keys(LoadSpec)
        own = {key: value for key, value in load_data.items() if key not in of_load}
        data["load"] = {key: value for key, value in load_data.items() if key in of_load}
    body = problems.validated(Body, data, (), known=[*keys(Body), "effects", "chaos", "claims"])
    shape = _shape(load_data, own, problems) if isinstance(load_data, dict) else None
    if body is not None and body.load.tenants is not None:
        shape = tenants.shape_of(body.load, problems)
    # Where nobody knows them, because the body is wrong, that is what is told.
    named = ["unknown"] if body is None else [subscription.name for subscription in body.topology.subscriptions]
    effects = read_effects(effects_data, named[0] if len(named) == 1 else None, problems)
    chaos = _faults(chaos_data, problems)
    claims = _claims(claims_data, problems)
    problems.raise_if_any()
    assert body is not None and shape is not None
    body = with_functions(_placed(body, document), document.directory, problems)
    problems.raise_if_any()
    draft = Draft(body=body, shape=shape, effects=effects, chaos=chaos, claims=claims, directory=document.directory)
    for path, message in complaints(draft):
        problems.add(path, message)
    problems.raise_if_any()
    drains_s = body.drain_timeout or drain_timeout_s(body.topology, body.load, body.consumers)
    transport = TRANSPORTS[body.transport]
    receive_batch = body.consumers.batch or CONSUMPTION[transport.kind].batch
    after_failure = body.consumers.after_failure or ("stop" if transport.ordered else "continue")
    written = {"batch": receive_batch, "after_failure": after_failure}
    return Scenario(
        name=body.name,
        transport=body.transport,
        topology=body.topology,
        load=body.load,
        shape=shape,
        consumers=body.consumers,
        receive_batch=receive_batch,
        after_failure=after_failure,
        effects=effects,
        chaos=chaos,
        claims=claims,
        drain_timeout_s=drains_s,
        seed=body.seed,
        metrics_port=body.metrics_port,
        carrier=body.carrier,
        expect=body.expect,
        cloudwatch=body.cloudwatch,
        steady=body.steady,
        brakes=body.brakes or BrakesModel(),
        schemas=body.schemas,
        document=_written_back(body, own, effects, chaos_data, claims_data, written, drains_s),
        source=document,
    )


# Parts whose form something else tells


def _shape(data: Mapping[str, Any], own: Mapping[str, Any], problems: Problems) -> Shape | None:
    """The load's shape, from the keys that all loads have and those of its own."""
    name = data.get("shape", LoadSpec.model_fields["shape"].default)
    model = SHAPES.get(name) if isinstance(name, str) else None
    if model is None:
        problems.add(("load", "shape"), no_such("shape", name, SHAPES))
        return None
    written = {key: data[key] for key in ("rate", "duration") if key in data} | dict(own)
    read = _with_units(written, shape_units(model), ("load",), problems)
    return problems.validated(model, read, ("load",), known=dict.fromkeys([*keys(LoadSpec), *keys(model)]))


def _faults(data: object, problems: Problems) -> list[Fault]:
    if not isinstance(data, list):
        problems.add(("chaos",), "a list of faults belongs here, each like {at: 6s, fault: kill-consumer}")
        return []
    faults = []
    for number, entry in enumerate(data):
        path: Route = ("chaos", number)
        if not isinstance(entry, dict) or "fault" not in entry:
            problems.add(path, f"{entry!r} is no fault; write it like {{at: 6s, fault: kill-consumer}}")
            continue
        model = FAULTS.get(entry["fault"]) if isinstance(entry["fault"], str) else None
        if model is None:
            problems.add((*path, "fault"), no_such("fault", entry["fault"], FAULTS))
            continue
        read = _with_units(entry, fault_units(model), path, problems)
        if isinstance(read.get("when"), dict) and problems.told_of((*path, "when")):
            continue
        fault = problems.validated(model, read, path)
        if fault is not None:
            faults.append(fault)
    return faults


def _with_units(entry: Mapping[str, Any], kinds: Mapping[str, str], path: Route, problems: Problems) -> dict[str, Any]:
    """The entry with its durations, rates, shares and multiples as numbers; a value without its unit is noted."""
    read = dict(entry)
    for key, kind in kinds.items():
        if read.get(key) is None:
            continue
        try:
            read[key] = _number(read[key], kind)
        except ValueError as error:
            problems.add((*path, key), str(error))
    return read


def _number(value: object, kind: str) -> object:
    if kind == "rate":
        return units.rate_per_s(value)
    if kind == "duration":
        return units.duration_s(value)
    if kind == "share":
        return units.share(value)
    if kind == "trigger":
        return read_trigger(value)
    if kind == "count-or-share":
        return value if isinstance(value, int) else units.share(value)
    if kind == "duration-or-multiple":
        multiple = units.multiple(value, ("visibility_timeout",))
        if multiple is not None:
            return {"times_visibility_timeout": multiple}
        try:
            return units.duration_s(value)
        except ValueError as error:
            like = value if isinstance(value, int | float) and not isinstance(value, bool) else 1.5
            raise ValueError(f"{error}, or as a multiple like {like}x visibility_timeout") from None
    return value


def _claims(data: object, problems: Problems) -> list[Claim]:
    if not isinstance(data, list) or not data:
        problems.add(("claims",), "nothing is claimed, so there is nothing to judge; write it like claims: [no-loss]")
        return []
    claims: list[Claim] = []
    for number, entry in enumerate(data):
        path: Route = ("claims", number)
        written = {"claim": entry} if isinstance(entry, str) else entry
        given = written.get("claim") if isinstance(written, dict) else None
        if not isinstance(given, str):
            problems.add(path, f"{entry!r} is no claim; write it like no-loss, or {{claim: lag, p99: 3s}}")
            continue
        name: str = ALIASES.get(given, given)
        if name not in BOUNDS:
            problems.add(path, no_such("claim", given, sorted([*BOUNDS, *ALIASES])))
            continue
        bounds = [short_bound(bound) for bound in BOUNDS[name]]
        document: dict[str, Any] = {"claim": name}
        for key, value in written.items():
            if key == "claim":
                continue
            if key not in bounds:
                problems.add((*path, str(key)), unknown_key(str(key), ["claim", *bounds]))
                continue
            try:
                document[BOUND_KEYS.get(key, key)] = units.duration_s(value) if key in BOUND_KEYS else value
            except ValueError as error:
                problems.add((*path, key), str(error))
        if needs_bound(name) and not is_measured(written):
            problems.add(
                path, f"{name} claims nothing without a bound; write it like {{claim: {name}, {CLAIMS[name].example}}}"
            )
            continue
        try:
            claim = parse_claim(document, where=name)
        except NotARun as error:
            problems.add(path, str(error))
            continue
        if any(claim.key == other.key for other in claims):
            problems.add(path, f"{claim.key} is claimed twice; keep one, with all its bounds")
        claims.append(claim)
    return claims


def _placed(body: Body, document: Document) -> Body:
    """With the user's files as absolute paths: they are relative to the scenario, and one of the command line to where
    that is given. So what is written back holds elsewhere, too."""
    if body.schemas is not None:
        base = Path.cwd() if document.where(("schemas",)).startswith("--set") else document.directory
        body = body.model_copy(update={"schemas": str(base / Path(body.schemas).expanduser())})
    message = body.load.message
    if message is None:
        return body

    def place(key: str, given: str) -> str:
        own = document.where(("load", "message", key)).startswith("--set")
        base = Path.cwd() if own else document.directory
        return str(base / Path(given).expanduser())

    placed: dict[str, str] = {}
    if message.file is not None:
        placed["file"] = place("file", message.file)
    if message.python is not None:
        placed["cwd"] = place("cwd", message.cwd or ".")
        # A bare name is looked for on PATH.
        if message.interpreter is not None and "/" in message.interpreter:
            placed["interpreter"] = place("interpreter", message.interpreter)
    load = body.load.model_copy(update={"message": message.model_copy(update=placed)})
    return body.model_copy(update={"load": load})


# Defaults that other parts tell


def drain_timeout_s(topology: TopologySpec, load: LoadSpec, consumers: ConsumersSpec) -> float:
    """Long enough for a message that fails each time to reach the dead-letter queue, after the delay of the last, and
    for a mapping to gather the last batch."""
    receives = (topology.max_receives or _RECEIVES_GUESS) + 1
    delay_s = topology.delay if load.delay is None else load.delay
    hidden_s = max(topology.visibility_timeout, consumers.retry_delay_max or consumers.retry_delay)
    window_s = 0.0 if consumers.lambda_ is None else consumers.lambda_.window
    return math.ceil(receives * hidden_s + delay_s + window_s + (consumers.guard_expiry or 0)) + _DRAIN_SPARE_S


def _written_back(
    body: Body,
    shape: Mapping[str, Any],
    effects: list[EffectsEntry],
    chaos: object,
    claims: object,
    consumers: Mapping[str, Any],
    drain_timeout_s: float,
) -> dict[str, Any]:
    """`consumers`: their defaults that only the transport tells."""
    written = body.model_dump(mode="json", by_alias=True)
    for part, unused in CONSUMPTION[TRANSPORTS[body.transport].kind].no_meaning.items():
        written[part] = {key: value for key, value in written[part].items() if key not in unused}
    if body.consumers.foreign and body.consumers.lambda_ is None:
        written["consumers"] = {
            key: value
            for key, value in written["consumers"].items()
            if key in body.consumers.OF_KINDS[body.consumers.kind]
        }
        consumers = {}
    else:
        for key in ("command", "env", "cwd", "ready", "attach"):
            del written["consumers"][key]
    written["load"] = {**tenants.written_back(written["load"]), **({} if body.load.tenants else shape)}
    written["load"]["batch"] = min(body.load.batch, TRANSPORTS[body.transport].batch_max)
    if body.load.retry == "none":
        del written["load"]["give_up"]
    for key in () if body.load.message is None else refused_beside(body.load.message):
        del written["load"][key]
    written["consumers"] |= consumers
    handler = body.consumers.handler
    if isinstance(handler, HandlerModel):
        unused = no_meaning(handler, TRANSPORTS[body.transport].kind)
        told = handler.model_dump(mode="json", exclude_none=True)
        written["consumers"] = {key: value for key, value in written["consumers"].items() if key not in unused}
        written["consumers"]["handler"] = told
    written["consumers"] = functions_written_back(written["consumers"], body.consumers)
    written["drain_timeout"] = units.format_duration(drain_timeout_s)
    if effects:
        written["effects"] = effects_written_back(effects)
    return {**written, "chaos": chaos, "claims": claims}
