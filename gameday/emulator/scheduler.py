"""EventBridge Scheduler's operations as data, for one-time schedules that send to a queue.

Names, limits and error codes are those of its API reference (docs.aws.amazon.com/scheduler/latest/APIReference). A
schedule sends its input at its time: AWS within the minute after it ("Schedule types": a precision of 60 seconds), this
one at once. Schedules that come again, groups of schedules and time zones are refused: nothing here asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gameday.emulator.broker import Broker
from gameday.emulator.queues import Arrival, Draft
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")
_ARN = "arn:aws:scheduler:us-east-1:000000000000:schedule/default/"


class SchedulerConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def sends_at(self, now: int, at: int) -> int | None:
        """When a schedule sends that was made `now` for a moment; None: never."""
        return at

    def cancels(self) -> bool:
        """Whether a schedule that is deleted before its time sends nothing."""
        return True


@dataclass(slots=True)
class _Schedule:
    params: dict[str, Any]
    arrival: Arrival | None
    made_ns: int


class Scheduler:
    """All schedules of one account, in the group `default`."""

    def __init__(self, *, sqs: Broker, conduct: SchedulerConduct) -> None:
        self._sqs = sqs
        self._conduct = conduct
        self._schedules: dict[str, _Schedule] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateSchedule": self._create,
            "GetSchedule": self._get,
            "DeleteSchedule": self._delete,
            "ListSchedules": self._list,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """Errors: Refused."""
        return known(self._operations, operation)(now, params)

    def _create(self, now: int, params: Params) -> Answer:
        name, expression = str(params.get("Name", "")), str(params.get("ScheduleExpression", ""))
        target = params.get("Target") or {}
        matched = _AT.fullmatch(expression)
        if not _NAME.fullmatch(name) or matched is None or not target.get("RoleArn"):
            raise Refused("ValidationException", f"No one-time schedule with a role: {name!r}, {expression!r}.")
        if (params.get("FlexibleTimeWindow") or {}).get("Mode") != "OFF":
            raise Refused("ValidationException", "Only a FlexibleTimeWindow of OFF is taken here.")
        if params.get("ScheduleExpressionTimezone", "UTC") != "UTC":
            raise Refused("ValidationException", "Only the time zone UTC is taken here.")
        if name in self._schedules:
            raise Refused("ConflictException", f"Schedule {name} already exists.", status=409)
        queue = self._sqs.queue_of(str(target.get("Arn", "")))
        at = round(datetime.fromisoformat(matched[1]).replace(tzinfo=UTC).timestamp()) * NS_PER_S
        if (sends_at := self._conduct.sends_at(now, at)) is None:
            arrival = None
        else:
            arrival = queue.expect(Arrival(at=sends_at, draft=Draft(body=str(target.get("Input") or "{}"))))
        self._schedules[name] = _Schedule(params=dict(params), arrival=arrival, made_ns=now)
        return {"ScheduleArn": _ARN + name}

    def _get(self, now: int, params: Params) -> Answer:
        schedule = self._named(params)
        return {**schedule.params, "Arn": _ARN + schedule.params["Name"], "State": "ENABLED", "GroupName": "default"}

    def _delete(self, now: int, params: Params) -> Answer:
        schedule = self._named(params)
        if schedule.arrival is not None and self._conduct.cancels():
            schedule.arrival.cancelled = True
        del self._schedules[schedule.params["Name"]]
        return {}

    def _list(self, now: int, params: Params) -> Answer:
        prefix = str(params.get("NamePrefix") or "")
        return {
            "Schedules": [
                {"Name": name, "Arn": _ARN + name, "GroupName": "default", "CreationDate": each.made_ns // NS_PER_S}
                for name, each in sorted(self._schedules.items())
                if name.startswith(prefix)
            ]
        }

    def _named(self, params: Params) -> _Schedule:
        name = str(params.get("Name", ""))
        if name not in self._schedules:
            raise Refused("ResourceNotFoundException", f"Schedule {name} does not exist.", status=404)
        return self._schedules[name]
