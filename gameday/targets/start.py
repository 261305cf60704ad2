"""Starts or finds a target by its name: `embedded` and `memory` live with the run, `localstack` is any endpoint.

It promises an endpoint that has answered, or a TargetError that says what to do; and that a broker which it starts
listens on one loopback port and never outlives the run.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gameday.history.errors import TargetError, UsageError
from gameday.processes.child import Child, python
from gameday.processes.undo import Undo
from gameday.targets import ministack
from gameday.targets.account import Account
from gameday.targets.endpoints import emulated, endpoint_of, go_direct
from gameday.targets.products import MEMORY, MINISTACK, UNKNOWN, answers, is_aws, recognise
from gameday.targets.target import Kind, Target
from gameday.transports.base import CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from gameday.transports.functions import SERVICE as FUNCTIONS
from gameday.transports.services import SERVICES

_START_S = 60.0
_PORT_TRIES = 3


async def start(
    kind: Kind,
    *,
    services: Sequence[str],
    url: str | None,
    environ: Mapping[str, str],
    run: Path,
    account: Account | None = None,
    dedup_window_s: float | None = None,
) -> Target:
    """`account`: of `aws`, the one that was found to be allowed. `dedup_window_s`: of `memory`, if not as AWS has it.

    Errors: TargetError when there is none to be had, UsageError for a combination that makes no sense.
    """
    if kind != "localstack" and url is not None:
        raise UsageError(
            f"--endpoint-url names an endpoint that is there already; with it goes --target localstack, not {kind}"
        )
    go_direct()
    if kind == "aws":
        assert account is not None, "nobody asked whether the account is allowed"
        return account.target(services)
    if kind == "localstack":
        return await _localstack(services, url, environ)
    return await (_memory(services, run, dedup_window_s) if kind == "memory" else _embedded(services, run))


def _data(run: Path) -> tuple[Path, Callable[[], None]]:
    """A directory for what a broker keeps, and what removes it: outside the run directory, which is evidence. A
    conductor that is killed removes nothing."""
    data = Path(tempfile.gettempdir()) / f"gameday-emulator-{secrets.token_hex(8)}"
    pending = Undo(run).will("directory", path=str(data))
    data.mkdir(mode=0o700)

    def forget_data() -> None:
        shutil.rmtree(data, ignore_errors=True)
        pending.done()

    return data, forget_data


def _nothing() -> None:
    pass


async def _embedded(services: Sequence[str], run: Path) -> Target:
    data, forget_data = _data(run)
    port = 0
    for _ in range(_PORT_TRIES):
        port = free_port()
        process = await Child.start(
            name="emulator",
            argv=python("-m", "gameday.targets.ministack", os.getpid()),
            run=run,
            env=ministack.environment(port=port, data=str(data)),
        )
        try:
            answered = await _answers(f"http://127.0.0.1:{port}{MINISTACK.sign}", process)
        except BaseException:
            # Ctrl-C while it starts: it is nobody's yet but ours.
            await process.end(timeout_s=5)
            forget_data()
            raise
        if answered:
            return Target(
                kind="embedded",
                what="the embedded AWS (MiniStack)",
                endpoint=emulated(f"http://127.0.0.1:{port}"),
                product=MINISTACK,
                services=services,
                process=process,
                forget_data=forget_data,
            )
        words = process.last_words()
        await process.end(timeout_s=5)
        if "already in use" not in words:
            break
    forget_data()
    raise TargetError(f"the embedded AWS (MiniStack) did not start on 127.0.0.1:{port}: {words}")


async def _memory(services: Sequence[str], run: Path, dedup_window_s: float | None) -> Target:
    argv = python("-m", "gameday.emulator", "--port", 0)
    forget_data = _nothing
    if FUNCTIONS in services:
        # Their code.
        data, forget_data = _data(run)
        argv += ["--functions", str(data)]
    if dedup_window_s is not None:
        argv += ["--dedup-window-s", str(dedup_window_s)]
    process = await Child.start(name="broker", argv=argv, run=run)
    try:
        ready = await process.report("ready", timeout_s=_START_S)
    except BaseException:
        await process.end(timeout_s=5)
        forget_data()
        raise
    if ready is None:
        words = process.last_words()
        await process.end(timeout_s=5)
        forget_data()
        raise TargetError(f"the broker in memory did not start: {words}")
    return Target(
        kind="memory",
        what="the broker in memory",
        endpoint=emulated(ready["url"]),
        product=MEMORY,
        services=services,
        process=process,
        forget_data=forget_data,
    )


async def _localstack(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Target:
    target = given(services, url, environ)
    # LocalStack loads a service when it is first asked for; where nobody listens, the answer is there at once.
    carrier = BotoCarrier(target.endpoint, read_timeout_s=30)
    # Where others keep their effects is read before the load, whichever service that is in.
    for service in [service for service in services if service in SERVICES]:
        where = target.endpoint.url(service)
        try:
            await asyncio.to_thread(carrier, SERVICES[service].look)
        except CallFailed as error:
            raise TargetError(
                f"no answer from {service} at {where}: {error}. Start the endpoint (for example "
                f"`docker run -p 4566:4566 localstack/localstack:4.14.0`, or the MiniStack that is installed anyway: "
                f"`GATEWAY_PORT=4566 BIND_HOST=127.0.0.1 ministack`), name another with --endpoint-url, or use "
                f"--target embedded, which needs none."
            ) from error
    return replace(target, product=await asyncio.to_thread(recognise, target.endpoint.url(services[0])))


def given(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Target:
    """An endpoint that somebody else runs, not asked yet whether it is there.

    Errors: UsageError as `endpoint_of`, and for AWS itself, which the allow-list guards.
    """
    go_direct()
    return somebody_elses(endpoint_of(services, url, environ), services)


def somebody_elses(endpoint: Endpoint, services: Sequence[str]) -> Target:
    """Errors: UsageError for AWS itself, which the allow-list guards."""
    if named := next((each for each in endpoint.urls.values() if is_aws(each)), None):
        raise UsageError(
            f"{named} is AWS itself, where nothing is done that gameday.toml does not allow; use --target aws "
            "(docs/staging.md)"
        )
    return Target(
        kind="localstack",
        what=f"the endpoint {endpoint.url(services[0])}",
        endpoint=endpoint,
        product=UNKNOWN,
        services=services,
    )


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _answers(url: str, process: Child) -> bool:
    """Whether the URL answers before the process ends or time runs out."""
    try:
        async with asyncio.timeout(_START_S):
            while process.alive:
                if await asyncio.to_thread(answers, url):
                    return process.alive
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    return False
