"""Start the processes of the run: the observer, the consumers and the load, which then stand by; and who tells Grafana,
if anybody."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import replace
from functools import partial

from gameday.consumers.attached import Attached, by_compose_service, by_pid_file
from gameday.consumers.fleet import Fleet
from gameday.consumers.readiness import Ready
from gameday.consumers.starters import OnHosts, Ours, Port, Programs, Starter, WiredOurs
from gameday.history.errors import ProcessError
from gameday.loadgen.config import LoadConfig
from gameday.processes.child import Child, Report, ending
from gameday.processes.exposition import url
from gameday.run import locust
from gameday.run.functions import Functions
from gameday.run.hosts import JoinedHosts
from gameday.run.instruments import MEASURED_EVERY_S
from gameday.run.state import HASTE_S, START_S, Run
from gameday.scenario.hosts import Hosts
from gameday.scenario.model import AttachSpec
from gameday.transports.endpoint import Endpoint
from gameday.transports.words import environment as environment_of
from gameday.transports.words import replace as replaced
from gameday.verify.claims import anomalies_against
from gameday.watch.page import TOKEN, TOLD, Told
from gameday.wire.urls import moved

# An SDK insists on some.
_MADE_UP = "test"


async def start(run: Run) -> None:
    """Errors: ProcessError."""
    run.view.phase("starting consumers and load")
    run.hosts = None if run.request.hosts is None else await _join_hosts(run, run.request.hosts)
    # Beside each other: most of their time goes into imports. If one fails, the others are ended and waited for.
    async with asyncio.TaskGroup() as starting:
        starting.create_task(_start_observer(run))
        starting.create_task(_start_fleets(run))
        starting.create_task(_start_load(run))
        if run.request.annotating is not None:
            starting.create_task(
                run.request.annotating.start(run.context.directory, program=run.start, note=run.view.note)
            )


async def _join_hosts(run: Run, asked: Hosts) -> JoinedHosts:
    """With Locust's master, which they join. Errors: ProcessError, RunError."""
    senders = asked.senders(run.scenario.load.processes)
    config = run.context.load(endpoint=run.target.endpoint, addresses=run.addresses, topology=run.topology)
    bind = ("--master-bind-host", asked.address, "--master-bind-port", asked.port)
    await _start_locust(
        run,
        replace(config, patience_s=asked.patience_s),
        *("--master", *bind, "--expect-workers", len(senders)),
    )
    hosts = JoinedHosts(asked, run, run.load)

    def hear(report: Report) -> None:
        _hear_load(run, report)
        hosts.hear(report)

    run.load.on_report = hear
    run.stack.push_async_callback(hosts.leave)
    hosts.open(run.writer)
    await hosts.all_joined()
    return hosts


async def _start_observer(run: Run) -> None:
    """Nothing depends on it: an observer that does not start or dies is a note and changes no verdict."""
    (run.context.directory / TOLD).write_text(str(_told(run)), encoding="utf-8")
    token = secrets.token_urlsafe() if run.request.operator else None
    observer = await run.start(
        "observer",
        *("-m", "gameday.watch.observer", "--run", run.context.directory),
        *("--host", run.context.metrics_host, "--port", run.metrics_port),
        # Who waits for a number wants it soon.
        *(("--every", MEASURED_EVERY_S) if run.scenario.measured else ()),
        env=None if token is None else {TOKEN: token},
    )

    def hear(report: Report) -> None:
        if report.get("report") == "snapshot":
            run.instruments.observe(report)
            run.view.snapshot(report)
        elif report.get("report") == "order":
            if run.operator is None:
                run.note("operator: faults begin and end only while the load runs, and with --operator")
            else:
                run.operator.take(report)

    observer.on_report = hear
    ready = await observer.report("ready", timeout_s=START_S)
    if ready is None:
        run.note(f"the observer did not start, so there is nothing to watch: {observer.last_words()}")
        return
    at = url(run.context.metrics_host, ready["port"])
    run.note(f"live page at {at}/; metrics at {at}/metrics; of each process, by service discovery, at {at}/sd")
    if token is not None:
        # For the operator's eyes alone: it stands in no file.
        run.view.note(f"operator: buttons at {at}/#token={token}")

    async def watch() -> None:
        code = await observer.wait()
        run.note(
            f"the observer ended ({ending(code)}), so there is nothing to watch any more; the run and its "
            f"verdict do not need it. Its last words: {observer.last_words()}"
        )

    run.watch_over(watch(), "the watch over the observer")


def _told(run: Run) -> Told:
    """What the live page shows besides the history."""
    claims = run.scenario.claims
    return Told(
        against={claim.key: anomalies_against(claim) for claim in claims},
        bounds={
            claim.key: {name: value for name, value in claim.bounds.items() if isinstance(value, float)}
            for claim in claims
        },
        faults=[
            {
                "fault": str(entry["fault"]),
                "told": ", ".join(f"{key} {value}" for key, value in entry.items() if key != "fault"),
            }
            for entry in run.scenario.document.get("chaos", [])
        ],
        operator=run.request.operator,
    )


async def _start_fleets(run: Run) -> None:
    spec = run.scenario.consumers
    if spec.kind == "deployed":
        assert spec.lambda_ is not None
        run.functions = functions = Functions(run, spec.lambda_)
        run.stack.push_async_callback(functions.remove)
        await functions.deploy()
    if spec.kind in ("unseen", "deployed"):
        return
    starters = [await _starter(run, name) for name in run.scenario.subscriptions]
    run.fleets = [
        Fleet(
            starter=starter,
            size=spec.count,
            writer=run.writer,
            restart_delay_s=spec.restart_delay,
            foreign_most=run.foreign_most,
        )
        for starter in starters
    ]
    run.stack.push_async_callback(run.stop_fleets, HASTE_S)
    await asyncio.gather(*(fleet.start(START_S) for fleet in run.fleets))
    for fleet in run.fleets:
        run.watch_over(fleet.watch(), f"the watch over {fleet.subscription}'s consumers")


async def _starter(run: Run, subscription: str) -> Starter:
    """What starts the consumers of a subscription. Errors: ProcessError."""
    directory = run.context.directory
    wire = await _start_wire(run, subscription) if run.scenario.behind_wire else None
    if wire is not None and run.scenario.consumers.kind == "program":
        return _programs(run, subscription, wire)
    if wire is not None and isinstance(attach := run.scenario.consumers.attach, AttachSpec):
        return _attached(run, subscription, wire, attach)
    config = run.context.consumers(subscription, endpoint=run.target.endpoint, addresses=run.addresses)
    if run.hosts is not None:
        return OnHosts(config, hosts=run.hosts.slots(subscription))
    ours = Ours(config, run=directory)
    return ours if wire is None else WiredOurs(ours, run=directory, wire=wire)


async def _start_wire(run: Run, subscription: str | None) -> Child:
    """That of a subscription, or (None) of the load. Errors: ProcessError."""
    whose = subscription or "the load"
    config = run.context.wire(subscription, target=run.target, addresses=run.addresses)
    path = run.context.directory / f"{config.name}.json"
    config.save(path)
    if config.records_in == run.context.directory:
        run.writer.announce(config.name)
    wire = await run.start(config.name, "-m", "gameday.wire", "--config", path)
    if await wire.report("ready", timeout_s=START_S) is None:
        raise ProcessError(f"the wire of {whose} did not start: {wire.last_words()}")
    if subscription is not None:
        run.wires.children[subscription] = wire

    async def watch() -> None:
        code = await wire.wait()
        raise ProcessError(f"the wire of {whose} died ({ending(code)}): {wire.last_words()}")

    run.watch_over(watch(), f"the watch over the wire of {whose}")
    return wire


def _programs(run: Run, subscription: str, wire: Child) -> Programs:
    spec, context = run.scenario.consumers, run.context
    context.effects.mkdir(exist_ok=True)

    def told(consumer: str, url: str) -> tuple[Endpoint, dict[str, str]]:
        """Each sees AWS at its own port of the wire, its queue too."""
        # The wire signs anew where the target looks at signatures, so a program needs no credentials of anybody's.
        endpoint = replace(run.target.endpoint, urls={"*": url}, access_key=_MADE_UP, secret_key=_MADE_UP)
        addresses = replace(
            run.addresses,
            queues={name: moved(queue, url) for name, queue in run.addresses.queues.items()},
            dead_letter_queues={name: moved(queue, url) for name, queue in run.addresses.dead_letter_queues.items()},
        )
        return endpoint, context.words(subscription, consumer=consumer, endpoint=endpoint, addresses=addresses)

    def command(consumer: str, url: str) -> list[str]:
        _, words = told(consumer, url)
        return [replaced(word, words) for word in spec.command or ()]

    def environment(consumer: str, url: str) -> dict[str, str]:
        endpoint, words = told(consumer, url)
        own = {name: replaced(value, words) for name, value in spec.env.items()}
        return environment_of(words, endpoint, inherited=os.environ) | own

    return Programs(
        subscription=subscription,
        run=context.directory,
        wire=wire,
        command=command,
        environment=environment,
        cwd=run.scenario.source.directory / (spec.cwd or ""),
        ready=Ready(log=spec.ready.log, http=spec.ready.http) if spec.ready else Ready(),
    )


def _attached(run: Run, subscription: str, wire: Child, spec: AttachSpec) -> Attached:
    here = run.scenario.source.directory
    if spec.pid_file is not None:
        find, what = by_pid_file(here / spec.pid_file), f"the pid file {here / spec.pid_file}"
    else:
        assert spec.compose_service is not None
        find, what = by_compose_service(spec.compose_service, cwd=here), f"the service {spec.compose_service}"
    return Attached(
        subscription=subscription, run=run.context.directory, wire=wire, find=find, what=what, port=spec.port
    )


async def _start_load(run: Run) -> None:
    """Errors: ProcessError."""
    if run.hosts is not None:
        await run.hosts.start_senders()
    else:
        endpoint = run.target.endpoint
        if run.scenario.load_behind_wire:
            run.load_port = await Port.open(await _start_wire(run, None), "load", [])
            endpoint = replace(endpoint, urls={"*": run.load_port.url})
        config = run.context.load(endpoint=endpoint, addresses=run.addresses, topology=run.topology)
        for name in config.writers:
            run.writer.announce(name)
        await _start_locust(run, config, *(("--processes", config.processes) if config.processes > 1 else ()))
        run.load.on_report = partial(_hear_load, run)
    if await run.load.report("ready", timeout_s=START_S) is None:
        raise ProcessError(f"the load (Locust) did not start: {run.load_failure or run.load.last_words()}")


async def _start_locust(run: Run, config: LoadConfig, *arguments: object) -> None:
    path = run.context.directory / "load.json"
    config.save(path)
    env = {**locust.aws_files(os.environ), "GAMEDAY_LOAD": str(path)}
    where = locust.place(run.context.directory)
    run.load = await run.start("load", *locust.ARGUMENTS, "--headless", *arguments, env=env, cwd=where)


def _hear_load(run: Run, report: Report) -> None:
    if report.get("report") == "failed":
        run.load_failure = str(report.get("why"))
