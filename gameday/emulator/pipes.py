"""EventBridge Pipes' operations as data, for pipes from one Standard queue to another.

Names and error codes are those of its API reference (docs.aws.amazon.com/eventbridge/latest/pipes-reference). A pipe
that runs takes what its source holds, hands it to its target and deletes it; here all that is visible, each time
something comes and when the pipe is started. Filters, enrichments and other sources and targets are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gameday.emulator.broker import Broker
from gameday.emulator.queues import Message, Queue
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

_NAME = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
_ARN = "arn:aws:pipes:us-east-1:000000000000:pipe/"


class PipeConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def moves(self) -> bool:
        """Whether a pipe that says RUNNING moves anything."""
        return True

    def stops(self) -> bool:
        """Whether a pipe that says STOPPED moves nothing."""
        return True


@dataclass(slots=True)
class _Pipe:
    name: str
    source_arn: str
    target_arn: str
    source: Queue
    target: Queue
    running: bool
    made_ns: int


class Pipes:
    """All pipes of one account."""

    def __init__(self, *, sqs: Broker, conduct: PipeConduct) -> None:
        self._sqs = sqs
        self._conduct = conduct
        self._pipes: dict[str, _Pipe] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreatePipe": self._create,
            "DescribePipe": self._describe,
            "DeletePipe": self._delete,
            "ListPipes": self._list,
            "StartPipe": partial(self._turn, running=True),
            "StopPipe": partial(self._turn, running=False),
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """Errors: Refused."""
        return known(self._operations, operation)(now, params)

    def _create(self, now: int, params: Params) -> Answer:
        name = str(params.get("Name", ""))
        if not _NAME.fullmatch(name) or not params.get("RoleArn"):
            raise Refused("ValidationException", f"No pipe with a role: {name!r}.")
        asked = {key for key in ("Enrichment", "EnrichmentParameters", "TargetParameters") if params.get(key)}
        if asked or (params.get("SourceParameters") or {}).get("FilterCriteria"):
            raise Refused("ValidationException", "Only a pipe without filter, enrichment and parameters is taken here.")
        if name in self._pipes:
            raise Refused("ConflictException", f"Pipe {name} already exists.", status=409)
        source_arn, target_arn = str(params.get("Source", "")), str(params.get("Target", ""))
        source, target = self._sqs.queue_of(source_arn), self._sqs.queue_of(target_arn)
        if source.fifo or target.fifo or source is target:
            raise Refused("ValidationException", "Only a pipe between two Standard queues is taken here.")
        pipe = _Pipe(name, source_arn, target_arn, source, target, params.get("DesiredState") != "STOPPED", now)
        self._pipes[name] = pipe
        source.arrived = partial(self._move, pipe)
        self._move(pipe, now)
        return self._told(pipe)

    def _describe(self, now: int, params: Params) -> Answer:
        pipe = self._named(params)
        return {**self._told(pipe), "Source": pipe.source_arn, "Target": pipe.target_arn}

    def _delete(self, now: int, params: Params) -> Answer:
        pipe = self._named(params)
        pipe.source.arrived = None
        del self._pipes[pipe.name]
        return {**self._told(pipe), "CurrentState": "DELETING"}

    def _list(self, now: int, params: Params) -> Answer:
        prefix = str(params.get("NamePrefix") or "")
        return {"Pipes": [self._told(pipe) for name, pipe in sorted(self._pipes.items()) if name.startswith(prefix)]}

    def _turn(self, now: int, params: Params, *, running: bool) -> Answer:
        pipe = self._named(params)
        pipe.running = running
        self._move(pipe, now)
        return self._told(pipe)

    def _move(self, pipe: _Pipe, now: int) -> None:
        def to(message: Message) -> Queue:
            # A delay of its own is over by now.
            message.draft = message.draft._replace(delay_ns=None)
            return pipe.target

        if self._conduct.moves() and (pipe.running or not self._conduct.stops()):
            pipe.source.move(now, to=to)

    def _named(self, params: Params) -> _Pipe:
        name = str(params.get("Name", ""))
        if name not in self._pipes:
            raise Refused("NotFoundException", f"Pipe {name} does not exist.", status=404)
        return self._pipes[name]

    def _told(self, pipe: _Pipe) -> Answer:
        state = "RUNNING" if pipe.running else "STOPPED"
        made_s = pipe.made_ns // NS_PER_S
        return {
            "Name": pipe.name,
            "Arn": _ARN + pipe.name,
            "DesiredState": state,
            "CurrentState": state,
            "CreationTime": made_s,
            "LastModifiedTime": made_s,
        }
