"""The objects of a run whose large bodies go to S3: the bucket before anything is sent, and what is left at the end.

It promises that a bucket of the run's own is removed with all that is in it, unless its target ends with the run; that
of somebody else's bucket no more is touched than what the run has put there; and that the list of what is left is
written after everything that is done with objects.
"""

from __future__ import annotations

import asyncio

from gameday.history import events
from gameday.history.errors import TargetError
from gameday.run.state import Run
from gameday.transports import objects
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import run_all_despite_failures, run_plan


async def provide_bucket(run: Run) -> None:
    """Errors: TargetError."""
    spec = run.scenario.load.claim_check
    if spec is None:
        return
    bucket, prefix = run.context.bucket, f"{run.context.id}/"

    async def remove() -> None:
        if run.target.ends_with_the_run:
            return
        plan = objects.remove_bucket(bucket) if spec.bucket is None else objects.remove_objects(bucket, prefix=prefix)
        try:
            await asyncio.to_thread(run_all_despite_failures, plan, run.carrier)
        except CallFailed as error:
            run.removed = False
            run.view.note(f"could not remove all objects of the run from {bucket}: {error}")

    run.stack.push_async_callback(remove)
    run.view.phase("creating the bucket" if spec.bucket is None else "looking for the bucket")
    try:
        if spec.bucket is None:
            await asyncio.to_thread(run_plan, objects.make_bucket(bucket, tags=run.context.tags), run.carrier)
        else:
            await asyncio.to_thread(run.carrier, Call(objects.SERVICE, "HeadBucket", {"Bucket": bucket}))
    except CallFailed as error:
        raise TargetError(f"the bucket {bucket} cannot be used: {with_advice(error)}") from error


async def read_objects(run: Run) -> None:
    """Errors: HistoryError."""
    spec = run.scenario.load.claim_check
    if spec is None:
        return
    run.view.phase("listing the objects that are left")
    bucket, prefix = run.context.bucket, f"{run.context.id}/"
    try:
        found = await asyncio.to_thread(run_plan, objects.list_all(bucket, prefix=prefix), run.carrier)
        days = await asyncio.to_thread(run_plan, objects.expiry_days(bucket, prefix=prefix), run.carrier)
    except CallFailed as error:
        run.note(f"the objects that are left could not be listed, so a claim about them is unknown: {error}")
        return
    expires_s = spec.expires if days is None else days * objects.DAY_S
    _record(run, found, expires_s)


def _record(run: Run, found: list[Answer], expires_s: float | None) -> None:
    told = [events.leftover(id=str(each["Key"]).partition("/")[2], object=str(each["Key"])) for each in found]
    run.writer.write_many(told)
    run.writer.write(events.mark("objects-read", expires_s=expires_s))
