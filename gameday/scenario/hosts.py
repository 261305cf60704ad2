"""`hosts.yaml`: on which hosts a run has its load and its consumers, and what does not go together with that.

It promises that whatever is wrong with it is told with file and line before anything is built, and that a consumer's
slot is on the same host for the whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gameday.history.errors import UsageError
from gameday.scenario import document as documents
from gameday.scenario.model import Scenario
from gameday.scenario.problems import Problems
from gameday.scenario.units import Duration, PositiveDuration
from gameday.transports.endpoint import Endpoint, on_loopback

# Locust's own.
PORT = 5557
_LISTEN = re.compile(r"(?P<address>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:(?P<port>\d{1,5}))?")
# A bucket, and what its objects begin with.
_HISTORY = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*/?")
Part = Literal["load", "consumers"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class HostModel(_Strict):
    """One host."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32, description="lower case, digits, hyphens")
    does: list[Part] = Field(min_length=1, description="load, consumers or both")
    consumers: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="how many of each subscription's (default: what is left, spread evenly)"
    )


class _Document(_Strict):
    listen: str = Field(description="the address of the conductor that the hosts reach, with a port or without")
    history: str | None = Field(default=None, description="where hosts ship what they recorded: s3://BUCKET/PREFIX")
    patience: Annotated[Duration, Field(ge=3)] = Field(
        default=60.0, description="how long nothing may be heard of a host"
    )
    join: PositiveDuration = Field(default=600.0, description="how long the run waits for its hosts")
    hosts: list[HostModel] = Field(min_length=1, description="by name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosts:
    """`address` and `port` are the conductor's; `patience_s` is how long nothing may be heard of a host, `join_s` how
    long the run waits for all of them. `history` is where they ship theirs; None: nowhere."""

    address: str
    port: int
    history: str | None
    patience_s: float
    join_s: float
    hosts: Sequence[HostModel]

    def that_do(self, part: Part) -> list[HostModel]:
        return [host for host in self.hosts if part in host.does]

    def slots(self, consumers: int) -> list[str]:
        """Of each subscription's consumers, one after another, the host that it is on. Errors: ValueError."""
        doing = self.that_do("consumers")
        left = consumers - sum(host.consumers or 0 for host in doing)
        free = [host for host in doing if host.consumers is None]
        if left < len(free) or (left and not free):
            asked = ", ".join(f"{host.name} {'some' if host.consumers is None else host.consumers}" for host in doing)
            raise ValueError(f"each subscription has {consumers} consumers, which cannot be dealt out as: {asked}")
        counts = {host.name: host.consumers or 0 for host in doing}
        for number in range(left):
            counts[free[number % len(free)].name] += 1
        return [name for name, count in counts.items() for _ in range(count)]

    def senders(self, processes: int) -> dict[str, str]:
        """The host of each sending process, by the name of its history file: one on each host, or more."""
        doing = [host.name for host in self.that_do("load")]
        total = max(processes, len(doing))
        return {f"load-{doing[n % len(doing)]}-{n // len(doing) + 1}": doing[n % len(doing)] for n in range(total)}


def read(path: Path, scenario: Scenario) -> Hosts:
    """Errors: UsageError, one line for each thing that is wrong with it, or with the scenario on several hosts."""
    document = documents.read(path, begins="listen")
    problems = Problems(document)
    model = problems.validated(_Document, document.data, ())
    problems.raise_if_any()
    assert model is not None
    listen = _LISTEN.fullmatch(model.listen)
    port = int((listen and listen["port"]) or PORT)
    if listen is None or not 0 < port < 65536:
        problems.add(("listen",), f"{model.listen!r}; write it like 10.0.0.5:{PORT}")
    if model.history is not None and not _HISTORY.fullmatch(model.history):
        problems.add(("history",), f"{model.history!r}; write it like s3://my-bucket/gameday")
    hosts = Hosts(
        address=listen["address"] if listen else "",
        port=port,
        history=model.history,
        patience_s=model.patience,
        join_s=model.join,
        hosts=model.hosts,
    )
    for place, message in _wrong(hosts, scenario):
        problems.add(place, message)
    problems.raise_if_any()
    if refused := list(_refused(hosts, scenario)):
        raise UsageError("\n".join(f"--hosts {path}: {why}" for why in refused))
    return hosts


def refuse_unreachable(hosts: Hosts, endpoint: Endpoint, what: str) -> None:
    """Errors: UsageError for a target that only this machine reaches, where others are to use it."""
    if endpoint.on_this_machine and not on_loopback(hosts.address.strip("[]")):
        raise UsageError(
            f"--hosts: {what} is on loopback, where only this machine reaches it; use --target aws, or an "
            "--endpoint-url that the hosts reach"
        )


def _wrong(hosts: Hosts, scenario: Scenario) -> Iterator[tuple[documents.Route, str]]:
    names = [host.name for host in hosts.hosts]
    for number, host in enumerate(hosts.hosts):
        if host.name in names[:number]:
            yield ("hosts", number, "name"), f"{host.name!r} is there twice; each host has a name of its own"
        if host.consumers is not None and "consumers" not in host.does:
            yield ("hosts", number, "consumers"), "its `does` has no consumers"
    if not hosts.that_do("load"):
        yield ("hosts",), "none of them does load"
    elif len(hosts.senders(scenario.load.processes)) > scenario.load.users:
        sending, users = len(hosts.senders(scenario.load.processes)), scenario.load.users
        yield ("hosts",), f"{sending} sending processes for {users} users: some would be empty; raise load.users"
    if not hosts.that_do("consumers"):
        yield ("hosts",), "none of them does consumers"
    else:
        try:
            hosts.slots(scenario.consumers.count)
        except ValueError as error:
            yield ("hosts",), str(error)


def _refused(hosts: Hosts, scenario: Scenario) -> Iterator[str]:
    """What a scenario may not ask for on several hosts."""
    consumers, message = scenario.consumers, scenario.load.message
    if consumers.kind != "ours":
        yield "consumers of your own, or ones that are there already, are on the conductor's machine alone"
    elif scenario.behind_wire:
        yield "faults that strike consumers' calls need a wire before them, which is on the conductor's machine alone"
    if scenario.load_behind_wire:
        yield "faults that strike what is sent need a wire before the load, which is on the conductor's machine alone"
    if any(fault.fault == "freeze-producer" for fault in scenario.chaos):
        yield "freeze-producer stops the load's processes, and those on other hosts are not in its reach"
    if not isinstance(consumers.handler, str):
        yield "a handler of your own is on the conductor's machine alone"
    if message is not None and message.own.kind != "template":
        yield "load.message: its file is on the conductor's machine alone; a template is everywhere"
    if consumers.kind == "ours" and consumers.store != "dynamodb":
        yield "effects in SQLite are on one machine; set consumers.store to dynamodb, which all hosts reach"
    if scenario.effects and hosts.history is None:
        yield "effects that are read back belong to messages that the load has recorded: say where with `history:`"
