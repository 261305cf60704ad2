"""What a load is told, from the scenario that asks for it."""

from __future__ import annotations

from gameday.history.clock import Clock
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import OwnMessages
from gameday.loadgen.payloads import ClaimChecks
from gameday.loadgen.shapes import Shape
from gameday.scenario.model import Body, Scenario, topology_of
from gameday.scenario.tenants import classes_of
from gameday.transports.base import Addresses, Topology
from gameday.transports.endpoint import Endpoint

# As long as a run's name is, for what must be known before there is one.
_RUN = "YYYYmmdd-HHMMSS-0123"


def bucket_of(run: str) -> str:
    """The bucket of a run's own; S3 takes small letters."""
    return f"gameday-{run}".lower()


def load_config(
    scenario: Body | Scenario,
    shape: Shape,
    *,
    run: str,
    run_dir: str,
    clock: str,
    endpoint: Endpoint,
    addresses: Addresses,
    topology: Topology,
    seed: int,
    own: OwnMessages | None,
    metrics_host: str | None,
) -> LoadConfig:
    spec = scenario.load
    return LoadConfig(
        run_dir=run_dir,
        run=run,
        clock=clock,
        endpoint=endpoint,
        transport=scenario.transport,
        addresses=addresses,
        topology=topology,
        seed=seed,
        shape=spec.shape,
        rate_per_s=spec.rate,
        duration_s=spec.duration,
        params={} if spec.tenants else shape.model_dump(by_alias=True, exclude_none=True, exclude={"rate", "duration"}),
        groups=spec.groups,
        payload_bytes=spec.payload,
        batch=spec.batch,
        users=spec.users,
        poison_share=spec.poison,
        processes=spec.processes,
        give_up_s=spec.give_up,
        retry=spec.retry,
        in_call=spec.in_call,
        dedup_reuse=spec.dedup_reuse,
        delay_s=None if spec.delay is None else int(spec.delay),
        aws_trace_header=spec.aws_trace_header,
        form=spec.envelope,
        schemas=scenario.versions if isinstance(scenario, Scenario) else (),
        claim_check=None
        if spec.claim_check is None
        else ClaimChecks(
            bucket=spec.claim_check.bucket or bucket_of(run),
            above_bytes=spec.claim_check.above,
            shape=spec.claim_check.shape,
            stores_first=spec.claim_check.put == "first",
        ),
        own=own,
        tenants=classes_of(spec),
        tell_tenants=spec.tell_tenants,
        hot=None if spec.hot is None else spec.hot.hot,
        metrics_host=metrics_host,
    )


def imagined(scenario: Body | Scenario, shape: Shape, *, seed: int = 0, run: str | None = None) -> LoadConfig:
    """The same of a run that nothing is built for yet: what its messages are can be known, and not where they go."""
    return load_config(
        scenario,
        shape,
        run=run or f"{scenario.name}-{_RUN}",
        run_dir="",
        clock=str(Clock.start()),
        endpoint=Endpoint(),
        addresses=Addresses(send_to=""),
        topology=topology_of(scenario, settle_s=0.0),
        seed=seed,
        own=None if scenario.load.message is None else scenario.load.message.own,
        metrics_host=None,
    )
