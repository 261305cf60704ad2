"""Where AWS is for this run: `embedded` (started and stopped with the run), `localstack` (any endpoint), `aws`.

It promises an endpoint that has answered, or a TargetError that says what to do; that an embedded broker listens on
one loopback port and never outlives the run; and the list of what each target cannot show, because a claim that holds
on an emulator says nothing about what the emulator leaves out.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import shutil
import socket
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gameday import emulator
from gameday.scenario import MEMORY
from history.child import Child, python
from history.errors import TargetError, UsageError
from history.manifest import Subscription
from transports.base import Call, CallFailed, Capability, Product, Transport
from transports.carrier import BotoCarrier
from transports.endpoint import Endpoint
from transports.registry import TRANSPORTS

Kind = Literal["embedded", "localstack", "aws"]
NO_AWS = (
    "the target aws is not there yet: this gameday creates nothing in a real account. "
    "Use --target embedded, or --target localstack with an endpoint of your own."
)
DEFAULT_URL = "http://127.0.0.1:4566"
_REGION = "us-east-1"
_START_S = 60.0
_PORT_TRIES = 3
_LOOPBACK = re.compile(r"127(\.\d+){3}|::1|(.+\.)?localhost(\.localstack\.cloud)?")

_CANNOT_SHOW: Mapping[str, Sequence[str]] = {
    "memory": ("anything about AWS: it is a broker of our own, for tests and for measuring ourselves",),
    "embedded": (
        "quotas and throttling (it has none)",
        "replication: one process holds every message, so none is lost or duplicated inside the service",
        "AWS's latencies and scale",
    ),
    "localstack": (
        "quotas and throttling, unless this emulator has them",
        "replication, and AWS's latencies and scale",
    ),
    "remote": (
        "quotas and throttling, unless this endpoint has them",
        "replication and AWS's latencies, unless this endpoint is AWS",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target that answers. `process` is None when somebody else runs it.

    `product` is who answers. `settle_s` is how long an absence must last before it is loss there; `tick_ns` is how
    exactly its clock tells when a message is visible again.
    """

    kind: Kind
    what: str
    endpoint: Endpoint
    cannot_show: Sequence[str]
    product: Product
    settle_s: float
    tick_ns: int
    process: Child | None = None
    data: Path | None = None

    @property
    def effective_s(self) -> float:
        """How long after the start of a run a filter or a rule may take to apply: what is sent before is not judged."""
        return _AWS_EFFECTIVE_S if pace_of(self.product, self.endpoint) == "aws" else 0.0

    async def died(self) -> str:
        """Returns when the broker is gone, with one sentence; never returns for one that somebody else runs."""
        if self.process is None:
            await asyncio.Event().wait()
            raise AssertionError("unreachable: nobody sets that event")
        code = await self.process.wait()
        return f"{self.what} died ({ending(code)}): {self.process.last_words()}"

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.end(timeout_s=5)
        if self.data is not None:
            shutil.rmtree(self.data, ignore_errors=True)


async def start(
    kind: Kind, *, transport: str, services: Sequence[str], url: str | None, environ: Mapping[str, str], run: Path
) -> Target:
    """Errors: TargetError when there is none to be had, UsageError for a combination that makes no sense."""
    if kind != "localstack" and url is not None:
        raise UsageError(
            f"--endpoint-url names an endpoint that is there already; with it goes --target localstack, not {kind}"
        )
    _go_direct()
    if kind == "embedded":
        return await (_memory(services, run) if transport in MEMORY else _embedded(services, run))
    if transport in MEMORY:
        raise UsageError(
            f"the transport {transport} is a broker of our own and runs on --target embedded only, not {kind}"
        )
    if kind == "aws":
        raise TargetError(NO_AWS)
    return await _localstack(services, url, environ)


async def _embedded(services: Sequence[str], run: Path) -> Target:
    # Outside the run directory, which is evidence: a conductor that is killed removes nothing.
    data = Path(tempfile.mkdtemp(prefix="gameday-emulator-"))
    port = 0
    for _ in range(_PORT_TRIES):
        port = free_port()
        process = await Child.start(
            name="emulator",
            argv=python("-m", "gameday.emulator", os.getpid()),
            run=run,
            env=emulator.environment(port=port, data=str(data)),
        )
        try:
            answered = await _answers(f"http://127.0.0.1:{port}/_ministack/health", process)
        except BaseException:
            # Ctrl-C while it starts: it is nobody's yet but ours.
            await process.end(timeout_s=5)
            shutil.rmtree(data, ignore_errors=True)
            raise
        if answered:
            return Target(
                kind="embedded",
                what="the embedded AWS (MiniStack)",
                endpoint=_emulated(f"http://127.0.0.1:{port}"),
                cannot_show=_CANNOT_SHOW["embedded"],
                product="ministack",
                settle_s=settle_s("ministack", services),
                # It reads the wall clock, which may be slewed by some parts in a thousand.
                tick_ns=10_000_000,
                process=process,
                data=data,
            )
        words = process.last_words()
        await process.end(timeout_s=5)
        if "already in use" not in words:
            break
    shutil.rmtree(data, ignore_errors=True)
    raise TargetError(f"the embedded AWS (MiniStack) did not start on 127.0.0.1:{port}: {words}")


async def _memory(services: Sequence[str], run: Path) -> Target:
    process = await Child.start(name="broker", argv=python("-m", "transports.memory", "--port", 0), run=run)
    try:
        ready = await process.report("ready", timeout_s=_START_S)
    except BaseException:
        await process.end(timeout_s=5)
        raise
    if ready is None:
        words = process.last_words()
        await process.end(timeout_s=5)
        raise TargetError(f"the memory broker did not start: {words}")
    return Target(
        kind="embedded",
        what="the memory broker",
        endpoint=_emulated(ready["url"]),
        cannot_show=_CANNOT_SHOW["memory"],
        product="memory",
        settle_s=settle_s("memory", services),
        tick_ns=1_000_000,
        process=process,
    )


async def _localstack(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Target:
    target = given(services, url, environ)
    # LocalStack loads a service when it is first asked for; where nobody listens, the answer is there at once.
    carrier = BotoCarrier(target.endpoint, read_timeout_s=30)
    for service in services:
        where = target.endpoint.url(service)
        try:
            await asyncio.to_thread(carrier, LOOKS[service])
        except CallFailed as error:
            raise TargetError(
                f"no answer from {service} at {where}: {error}. Start the endpoint (for example "
                f"`docker run -p 4566:4566 localstack/localstack:4.14.0`, or the MiniStack that is installed anyway: "
                f"`GATEWAY_PORT=4566 BIND_HOST=127.0.0.1 ministack`), name another with --endpoint-url, or use "
                f"--target embedded, which needs none."
            ) from error
    product = await asyncio.to_thread(product_of, target.endpoint.url(services[0]))
    return replace(target, product=product, settle_s=settle_s(pace_of(product, target.endpoint), services))


def given(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Target:
    """An endpoint that somebody else runs, not asked yet whether it is there. Errors: UsageError, as `endpoint_of`."""
    _go_direct()
    endpoint = endpoint_of(services, url, environ)
    return Target(
        kind="localstack",
        what=f"the endpoint {endpoint.url(services[0])}",
        endpoint=endpoint,
        cannot_show=_CANNOT_SHOW["localstack" if on_this_machine(endpoint) else "remote"],
        product="unknown",
        settle_s=settle_s(pace_of("unknown", endpoint), services),
        # An endpoint of somebody else's, whose clock nobody has looked at.
        tick_ns=1_000_000_000,
    )


# A call that changes nothing, to see whether a service is there.
LOOKS: Mapping[str, Call] = {
    "sqs": Call("sqs", "ListQueues", {}),
    "sns": Call("sns", "ListTopics", {}),
    "events": Call("events", "ListEventBuses", {}),
    "kinesis": Call("kinesis", "ListStreams", {}),
    "dynamodb": Call("dynamodb", "ListTables", {}),
}

# Where a product says who it is, in this order: MiniStack answers where LocalStack does, too.
_SIGNS: Sequence[tuple[str, Product]] = (
    ("/_gameday/health", "memory"),
    ("/_ministack/health", "ministack"),
    ("/_localstack/health", "localstack"),
    ("/moto-api/", "moto"),
)
_AWS = re.compile(r".+\.(amazonaws\.com(\.cn)?|api\.aws)")
# AWS's own counts of a queue settle about a minute after the last send, and what goes through SNS or EventBridge is on
# its way for longer; an archive may lag ten minutes (userguide/eb-archive.html). MiniStack delivers within the call.
# LocalStack hands on from threads of its own: on a busy machine a bus up to 2.4 s later, a FIFO topic up to 15 s; who
# says nothing of himself may be as slow.
_SETTLE_S: Mapping[tuple[Product, str], float] = {
    ("aws", "sqs"): 60.0,
    ("aws", "sns"): 600.0,
    ("aws", "events"): 600.0,
    ("localstack", "sns"): 15.0,
    ("localstack", "events"): 5.0,
    ("unknown", "sns"): 15.0,
    ("unknown", "events"): 5.0,
}
# "Additions or changes to a subscription filter policy require up to 15 minutes to fully take effect"
# (docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html), and what has the filter is made first.
_AWS_EFFECTIVE_S = 16 * 60.0


def pace_of(product: Product, endpoint: Endpoint) -> Product:
    """Whose pace to reckon with: who says nothing of himself, and is elsewhere, may be AWS by another name."""
    return "aws" if product == "unknown" and not on_this_machine(endpoint) else product


def settle_s(product: Product, services: Sequence[str]) -> float:
    """How long an absence must last on that product before it is loss: as the slowest of the services asks."""
    return max((_SETTLE_S.get((product, service), 0.0) for service in services), default=0.0)


def product_of(url: str | None) -> Product:
    """Who answers at a URL, by the host or by what only one product has. None is where the SDKs go by themselves."""
    if url is None or _AWS.fullmatch(urllib.parse.urlsplit(url).hostname or ""):
        return "aws"
    return next((product for path, product in _SIGNS if _is_there(url.rstrip("/") + path)), "unknown")


CANNOT = "cannot do what the scenario asks for"


def refuse_gaps(target: Target, transport: Transport, needs: Collection[Capability]) -> None:
    """Errors: TargetError when the scenario needs what the target does not do, with the reason."""
    gaps = transport.gaps(target.product)
    if missing := [f"{need}: {gaps[need]}" for need in needs if need in gaps]:
        raise TargetError(
            f"{target.what} {CANNOT} ({'; '.join(missing)}). Use another target{_or_memory(transport)}, or take it out "
            "of the scenario."
        )


def refuse_promises(target: Target, promised: Mapping[str, Subscription]) -> None:
    """Errors: UsageError when AWS itself would be held to more than it promises; an emulator may be."""
    held = [name for name, promise in promised.items() if promise.promised_by == "user"]
    if held and "aws" in (target.kind, target.product):
        raise UsageError(
            f"`promises` of {', '.join(held)} holds {target.what} to more than AWS promises, and what AWS never "
            "promised is no fault of AWS's; take it out of the scenario"
        )


def _or_memory(transport: Transport) -> str:
    """The broker in memory does whatever a scenario may ask for."""
    for name in MEMORY:
        if type(other := TRANSPORTS[name]) is type(transport) and other.ordered == transport.ordered:
            return f", the broker in memory (--set transport={name})"
    return ""


# The SDKs name a service's variable by its id, which is not always what boto3 calls it.
_VARIABLES: Mapping[str, str] = {"events": "eventbridge"}


def endpoint_of(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Endpoint:
    """The SDKs' own order: the flag, the service's own variable, the general one, then the usual port of this machine.

    Errors: UsageError for something that is no URL.
    """
    general = url or environ.get("AWS_ENDPOINT_URL") or DEFAULT_URL
    urls = {"*": _checked(general, "--endpoint-url" if url else "AWS_ENDPOINT_URL")}
    if url is None:
        for service in services:
            name = f"AWS_ENDPOINT_URL_{_VARIABLES.get(service, service).upper()}"
            if own := environ.get(name):
                urls[service] = _checked(own, name)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _REGION
    return Endpoint.emulated(urls, region=region, environ=environ)


def on_this_machine(endpoint: Endpoint) -> bool:
    """Whether all of it is on loopback, by address or by a name that always stands for it: then it is no AWS."""
    hosts = [urllib.parse.urlsplit(url).hostname or "" for url in endpoint.urls.values()]
    return all(_LOOPBACK.fullmatch(host) for host in hosts)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _emulated(url: str) -> Endpoint:
    return Endpoint(urls={"*": url}, region=_REGION, access_key="test", secret_key="test")


def _checked(url: str, source: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # An unclosed bracket, a port that is no number.
        good = False
    if not good:
        raise UsageError(f"{source} is {url!r}; an endpoint is written like {DEFAULT_URL}")
    return url


async def _answers(url: str, process: Child) -> bool:
    """Whether the URL answers before the process ends or time runs out."""

    try:
        async with asyncio.timeout(_START_S):
            while process.alive:
                if await asyncio.to_thread(_is_there, url):
                    return process.alive
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    return False


def _is_there(url: str) -> bool:
    """Whether something answers a GET there, and not with an error."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (http.client.HTTPException, OSError):
        return False


def _go_direct() -> None:
    """A proxy that the environment names has no business between the processes of one machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))


def ending(code: int | None) -> str:
    """A process's end in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
