"""Runs the probes of the catalogue against an endpoint, most at once, and makes each outcome a cell of the matrix.

It promises a cell for every probe that was asked for, whatever happens in it; that a service which the endpoint does
not have is `not-implemented` and costs one call; and that nothing made by a probe is left behind, after Ctrl-C too.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Protocol

from gameday.conformance.base import (
    Bench,
    Cell,
    Conditions,
    NotImplementedHere,
    Probe,
    Result,
    Undecided,
    Violated,
    rule,
)
from gameday.conformance.registry import HEAVY, NEEDS, PROBES
from gameday.history.errors import Interrupted, TargetError, UsageError
from gameday.transports.aws_errors import UNREACHABLE, lacks
from gameday.transports.base import Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from gameday.transports.services import SERVICES

# Probes mostly wait; more at once would only queue up inside an emulator.
_AT_ONCE = 16
_HEAVY_AT_ONCE = 3
_READ_TIMEOUT_S = 30.0
# Somebody else's endpoint may be AWS, or as slow.
_REMOTE_PATIENCE_S = 90.0
_EXIT: Mapping[Result, int] = {"violated": 1, "unknown": 3, "not-implemented": 3, "holds": 0}


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What became of every probe that was asked for, in the catalogue's request."""

    target: str
    what: str
    cells: Sequence[Cell]

    @property
    def exit_code(self) -> int:
        """1 when a cell is violated; else 3 when one is unknown or not implemented; else 0."""
        codes = {_EXIT[cell.result] for cell in self.cells}
        return 1 if 1 in codes else max(codes, default=3)


class Probed(Protocol):
    """The target that is probed: see gameday/targets/target.py."""

    @property
    def kind(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def endpoint(self) -> Endpoint: ...
    async def died(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What a person asked for. `dedup_window_s`: the endpoint's, where it was shortened."""

    services: Sequence[str]
    slow: bool
    dedup_window_s: float

    @property
    def needed(self) -> list[str]:
        """The AWS services that the probes call."""
        return list(dict.fromkeys(need for service in self.services for need in NEEDS[service]))


def chosen(text: str | None) -> Sequence[str]:
    """Services of the catalogue, from a list with commas; all of them without. Errors: UsageError."""
    if text is None:
        return list(PROBES)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PROBES]
    if unknown or not names:
        raise UsageError(f"--services {text!r}: {', '.join(unknown) or 'nothing'} is none of {', '.join(PROBES)}")
    return [name for name in PROBES if name in names]


def ask(service: str, name: str, probe: Probe, conditions: Conditions) -> Cell:
    """Run one probe on a bench of its own; its cell, whatever happened."""

    def cell(result: Result, detail: str) -> Cell:
        return Cell(service=service, probe=name, result=result, detail=detail)

    bench = Bench(conditions)
    try:
        probe(bench)
    except Violated as violated:
        return cell("violated", str(violated))
    except Undecided as undecided:
        return cell("unknown", str(undecided))
    except NotImplementedHere as absent:
        return cell("not-implemented", str(absent))
    except CallFailed as failed:
        return cell("not-implemented" if lacks(failed) else "unknown", _plain(str(failed)))
    except Exception as error:
        # A malformed answer is the endpoint's, a mistake is ours; neither says anything about the rule.
        return cell("unknown", f"{type(error).__name__}: {error}")
    finally:
        bench.clear()
    return cell("holds", rule(probe))


def _plain(text: str) -> str:
    """A server that crashed answers with a page of HTML; its words are enough."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def ask_all(
    services: Iterable[str], conditions: Conditions, *, absent: Mapping[str, str], done: Callable[[Cell], None]
) -> list[Cell]:
    """Run all probes of these services at once, a few at a time where they are `HEAVY`.

    `absent`: AWS services that the endpoint lacks, with the reason. `done` hears of each cell as it comes, in this
    thread.
    """
    asked = [(service, name) for service in services for name in PROBES[service]]
    cells: dict[tuple[str, str], Cell] = {}
    with (
        ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe") as threads,
        ThreadPoolExecutor(_HEAVY_AT_ONCE, thread_name_prefix="heavy probe") as few,
    ):
        futures = []
        for service, name in asked:
            lacking = [absent[need] for need in NEEDS[service] if need in absent]
            if lacking:
                cells[service, name] = Cell(
                    service=service, probe=name, result="not-implemented", detail="; ".join(lacking)
                )
                done(cells[service, name])
            else:
                beside = few if service in HEAVY else threads
                futures.append(beside.submit(ask, service, name, PROBES[service][name], conditions))
        try:
            for future in as_completed(futures):
                cell = future.result()
                cells[cell.service, cell.probe] = cell
                done(cell)
        finally:
            for each in (threads, few):
                each.shutdown(wait=True, cancel_futures=True)
    return [cells[key] for key in asked]


def look(services: Iterable[str], carry: Callable[[Call], object], endpoint: Endpoint) -> Mapping[str, str]:
    """The AWS services that the endpoint lacks, with the reason. Errors: TargetError when it answers none of them.

    One that fails in another way is left to its probes, which say so.
    """
    failures: dict[str, CallFailed] = {}
    services = list(services)
    for service in services:
        try:
            carry(SERVICES[service].look)
        except CallFailed as failed:
            failures[service] = failed
    told = {service: f"at {endpoint.url(service)}: {failure}" for service, failure in failures.items()}
    if len(failures) == len(services) and all(failure.code in UNREACHABLE for failure in failures.values()):
        # Most of the time they all are at one URL, and fail alike.
        alike: dict[str, list[str]] = {}
        for service, how in told.items():
            alike.setdefault(how, []).append(service)
        silent = "; ".join(f"{', '.join(names)} {how}" for how, names in alike.items())
        raise TargetError(
            f"no answer from {silent}. Start the endpoint, name another with --endpoint-url, or "
            "use --target embedded, which needs none."
        )
    return {service: _plain(f"{service} {told[service]}") for service, failure in failures.items() if lacks(failure)}


async def conformance(
    request: ProbeRequest, at: Probed, *, started: Callable[[int], None], done: Callable[[Cell], None]
) -> Matrix:
    """Run what was asked for. `started` hears how many cells there will be, `done` of each.

    The probes work in threads, until they are done or the target is not there any more. Errors: TargetError.
    """
    over = threading.Event()
    work = asyncio.create_task(asyncio.to_thread(_run, request, at, over, started, done))
    death = asyncio.create_task(at.died())
    try:
        await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise TargetError(death.result())
        return work.result()
    finally:
        # The probes hear it at their next wait, and tidy up behind them.
        over.set()
        await asyncio.gather(work, return_exceptions=True)
        death.cancel()


def _run(
    request: ProbeRequest,
    at: Probed,
    over: threading.Event,
    started: Callable[[int], None],
    done: Callable[[Cell], None],
) -> Matrix:
    carry = BotoCarrier(at.endpoint, read_timeout_s=_READ_TIMEOUT_S, connections=2 * _AT_ONCE)

    def wait(seconds: float) -> None:
        if over.wait(seconds):
            raise Undecided("interrupted")

    conditions = Conditions(
        carry=carry, wait=wait, now=time.monotonic, slow=request.slow, dedup_window_s=request.dedup_window_s
    )
    if not at.endpoint.on_this_machine:
        conditions = replace(conditions, patience_s=_REMOTE_PATIENCE_S, limit_s=4 * _REMOTE_PATIENCE_S, at_once=False)
    # Made here, one after the other: making a client is not safe between threads.
    absent = look(request.needed, carry, at.endpoint)
    started(sum(len(PROBES[service]) for service in request.services))

    def heard(cell: Cell) -> None:
        # Raised here, it keeps the probes that have not begun from beginning.
        if over.is_set():
            raise Interrupted("interrupted")
        done(cell)

    cells = ask_all(request.services, conditions, absent=absent, done=heard)
    return Matrix(target=at.kind, what=at.what, cells=cells)
