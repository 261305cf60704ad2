"""Brakes: a steady state before the first fault, and what ends chaos before its end.

They promise to be on the safe side: where nobody measures any more, chaos that has something to stop it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gameday.chaos.conditions import in_words
from gameday.chaos.timeline import Runner
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import TargetError
from gameday.run.instruments import Snapshot, against, measured
from gameday.run.state import Run
from gameday.scenario.brakes import ALARMS_EVERY_S, Stop
from gameday.transports.base import Call, CallFailed

_SILENT_S = 10.0


class Brakes:
    """Watches a run's chaos while the load goes on."""

    def __init__(self, run: Run, chaos: Runner) -> None:
        self._run = run
        self._chaos = chaos
        self._claims = {claim.key: claim for claim in run.scenario.claims}

    async def watch(self) -> None:
        """Until it is cancelled."""
        brakes = self._run.scenario.brakes
        async with asyncio.TaskGroup() as watching:
            if self._run.scenario.steady is not None:
                watching.create_task(self._steady())
            if brakes.within is not None:
                watching.create_task(self._within(brakes.within))
            if brakes.stop_when:
                watching.create_task(self._stop_when())
            if names := list(brakes.alarms):
                watching.create_task(self._alarms(names))

    def end(self, why: str) -> None:
        """Chaos ends: everything is healed, nothing more strikes, and the history says why."""
        if not self._chaos.ended:
            self._run.writer.write(events.mark("chaos-ended", reason=why))
            self._run.note(f"chaos ends before its end: {why}")
            self._chaos.heal_all(f"chaos was ended ({why})")

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - (self._run.context.clock.now_ns() - self._run.start_ns) / NS_PER_S))

    async def _steady(self) -> None:
        steady = self._run.scenario.steady
        assert steady is not None
        await self._until(steady.for_)
        why = "; ".join(self._unsteady(steady.claims))
        self._run.writer.write(events.mark("steady", outcome="failed" if why else "ok", reason=why or None))
        if why:
            self.end(f"the steady state did not hold: {why}")
        else:
            self._run.note(f"steady after {steady.for_:g} s: chaos may begin")
            self._chaos.may_begin()

    def _unsteady(self, named: list[str] | None) -> Iterator[str]:
        snapshot = self._run.instruments.snapshot
        if snapshot is None:
            yield "nobody has measured anything"
            return
        for name, sub in snapshot["subscriptions"].items():
            if not sub["received"]:
                yield f"nothing was received on {name}"
        for key in self._claims if named is None else named:
            if why := against(self._claims[key], snapshot):
                yield f"{key}: {why}"

    async def _within(self, within_s: float) -> None:
        await self._until(within_s)
        self.end(f"its time, {within_s:g} s, is over")

    async def _stop_when(self) -> None:
        while True:
            snapshot = await self._run.instruments.next(_SILENT_S)
            if snapshot is None:
                self.end(f"nobody has measured the run for {_SILENT_S:g} s, so nobody would see when to stop")
                return
            for stop in self._run.scenario.brakes.stop_when:
                if why := self._met(stop, snapshot):
                    self.end(why)
                    return

    def _met(self, stop: Stop, snapshot: Snapshot) -> str | None:
        if stop.condition is not None:
            value = measured(stop.condition, snapshot)
            met = stop.condition.met(value)
            return f"{stop}: it is {in_words(stop.condition.measure, value)}" if met else None
        if stop.anomaly is not None:
            times = snapshot["counts"].get(stop.anomaly, 0)
            return f"{times:,} {stop.anomaly}" if times else None
        if stop.claim is not None:
            why = against(self._claims[stop.claim], snapshot)
            return f"{stop.claim}: {why}" if why else None
        return None

    async def _alarms(self, names: list[str]) -> None:
        while True:
            await asyncio.sleep(ALARMS_EVERY_S)
            try:
                alarmed = [name for name, state in (await alarms(self._run, names)).items() if state == "ALARM"]
            except (CallFailed, TargetError) as error:
                self.end(f"nobody tells of the alarms any more: {error}")
                return
            if alarmed:
                self.end(f"CloudWatch is in ALARM: {', '.join(alarmed)}")
                return


async def alarms(run: Run, names: list[str]) -> dict[str, str]:
    """The state of each alarm. Errors: CallFailed; TargetError where there is none of that name.

    docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    call = Call("cloudwatch", "DescribeAlarms", {"AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]})
    answer = await asyncio.to_thread(run.carrier, call)
    found = {
        alarm["AlarmName"]: alarm["StateValue"]
        for kind in ("MetricAlarms", "CompositeAlarms")
        for alarm in answer.get(kind, ())
    }
    if missing := [name for name in names if name not in found]:
        raise TargetError(f"brakes.stop_when: CloudWatch has no alarm {', '.join(missing)} here")
    return found
