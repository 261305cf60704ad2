"""Functions on the target: deployed with their mappings for a run, and what they have recorded of themselves read back.

It promises that what is deployed is the user's code unchanged, behind the shim that records it (consumers/
function_shim.py and .mjs) unless the scenario wants none; that what was recorded stands in the history, a file for each
execution environment, in the order in which it was written there; and that a record which is missing in that order is
an error and not passed over.
"""

from __future__ import annotations

import asyncio
import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gameday.history import events
from gameday.history.errors import RunError, TargetError
from gameday.history.events import Record
from gameday.history.writer import DIRECTORY
from gameday.run.state import Run
from gameday.scenario.functions import LambdaModel
from gameday.transports import functions, words
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import Call, CallFailed
from gameday.transports.carriers.boto import run_all_despite_failures, run_plan
from gameday.transports.functions import Deployed, Function
from gameday.transports.lambda_events import BatchFails, effects_of, failed_of, on_record
from gameday.transports.queue import NS_PER_MS

_CONSUMERS = Path(__file__).resolve().parents[1] / "consumers"
_SHIM = _CONSUMERS / "function_shim.py"
_NODE_SHIM = _CONSUMERS / "function_shim.mjs"
_SHIM_NAME = "gameday_shim"
_SHIM_HANDLER = f"{_SHIM_NAME}.handler"
# What of a program's environment a function is told; Lambda has variables of its own for the rest, and takes none of
# those from anybody.
_TOLD = ("GAMEDAY_", "AWS_ENDPOINT_URL")
# See the shim. More environments than these start as they are needed.
_WARM, _WARM_MOST = b'{"gameday": "warm"}', 10


class Functions:
    """Those of one run, by subscription."""

    def __init__(self, run: Run, model: LambdaModel) -> None:
        self._run = run
        self._model = model
        self._deployed: dict[str, Deployed] = {}
        self._table = f"gameday-{run.context.id}-invocations" if model.shim else None

    async def deploy(self) -> None:
        """Errors: TargetError."""
        run = self._run
        run.view.phase("deploying the function")
        try:
            if self._table is not None:
                await self._carry(_table_made(self._table, run.context.tags))
            for name in run.scenario.subscriptions:
                plan = functions.deploy(await self._function(name), tags=run.context.tags)
                self._deployed[name] = await asyncio.to_thread(run_plan, plan, run.carrier)
            if self._table is not None:
                await self._warm()
        except CallFailed as error:
            run.removed = run.removed and error.definite
            raise TargetError(f"cannot deploy the function: {with_advice(error)}") from error

    async def _warm(self) -> None:
        """Start the function's environments; what fails of it may be cold later, and nothing else comes of it."""
        model = self._model
        at_once = min(model.concurrency, model.reserved or model.concurrency, _WARM_MOST)
        self._run.view.phase("starting the function's environments")
        # Beside each other, so that each is another environment.
        calls = [functions.invoked(name, _WARM) for name in self.names for _ in range(at_once)]
        for failed in await asyncio.gather(*map(self._carry, calls), return_exceptions=True):
            if isinstance(failed, CallFailed):
                self._run.note(f"the function's environments may be cold when the load begins: {failed}")
                return
            if isinstance(failed, BaseException):
                raise failed

    async def remove(self) -> None:
        """The mappings first, so that nothing is invoked any more; what was recorded has been read by then."""
        if self._run.target.ends_with_the_run:
            return
        for deployed in self._deployed.values():
            try:
                await asyncio.to_thread(run_all_despite_failures, functions.removed(deployed), self._run.carrier)
            except CallFailed as error:
                self._run.removed = False
                self._run.view.note(f"could not remove the function {deployed.name}: {error}")
        if self._table is not None:
            try:
                await self._carry(Call("dynamodb", "DeleteTable", {"TableName": self._table}))
            except CallFailed as error:
                self._run.removed = False
                self._run.view.note(f"could not remove the table {self._table}: {error}")

    async def stop(self) -> None:
        """Invoke no more, and wait until what is at work has ended or been given up. Errors: TargetError."""
        try:
            await self.enable(False)
        except CallFailed as error:
            raise TargetError(f"the mapping cannot be disabled: {error}") from error
        if self._model.timeout_in_force > self._run.scenario.topology.visibility_timeout:
            # What nobody waits for any more may still be at work.
            await asyncio.sleep(self._model.timeout_in_force)

    # What faults do

    @property
    def names(self) -> list[str]:
        return [deployed.name for deployed in self._deployed.values()]

    async def throttle(self) -> None:
        """Errors: CallFailed."""
        for deployed in self._deployed.values():
            await self._carry(functions.throttled(deployed.name, 0))

    async def unthrottle(self) -> None:
        """Errors: CallFailed."""
        reserved = self._model.reserved
        for deployed in self._deployed.values():
            name = deployed.name
            await self._carry(functions.unthrottled(name) if reserved is None else functions.throttled(name, reserved))

    async def enable(self, on: bool) -> None:
        """Errors: CallFailed."""
        for deployed in self._deployed.values():
            await asyncio.to_thread(run_plan, functions.enabled(deployed.mapping, on), self._run.carrier)

    # What they have recorded

    async def read_back(self) -> None:
        """Errors: TargetError where it cannot be read, RunError where some of it is missing."""
        if self._table is None:
            return
        self._run.view.phase("reading back what the functions have recorded")
        try:
            told = await asyncio.to_thread(self._told, self._table)
        except CallFailed as error:
            raise TargetError(f"what the functions have recorded cannot be read back: {error}") from error
        for environment, entries in sorted(environments(told).items()):
            # The same table for all: whose it is says its first entry.
            name = f"function-{environment}"
            self._run.writer.announce(name)
            lines = [
                orjson.dumps({"at": entry["at"], "by": name, **record}, option=orjson.OPT_APPEND_NEWLINE)
                for entry in entries
                for record in records_of(entry, self._model, consumer=name)
            ]
            (self._run.context.directory / DIRECTORY / f"{name}.jsonl").write_bytes(b"".join(lines))

    def _told(self, table: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        page: dict[str, Any] = {}
        while True:
            answer = self._run.carrier(Call("dynamodb", "Scan", {"TableName": table, "ConsistentRead": True, **page}))
            for item in answer.get("Items") or ():
                found[item["record"]["S"]] = orjson.loads(item["told"]["S"])
            if not (last := answer.get("LastEvaluatedKey")):
                return found
            page = {"ExclusiveStartKey": last}

    async def _function(self, subscription: str) -> Function:
        run, model = self._run, self._model
        _, named = model.function.place(run.scenario.source.directory)
        answer = await self._carry(
            Call(
                "sqs",
                "GetQueueAttributes",
                {"QueueUrl": run.addresses.queues[subscription], "AttributeNames": ["QueueArn"]},
            )
        )
        later = model.timeout_in_force
        return Function(
            name=functions.name_of(run.context.id, subscription),
            code=packed(run.scenario.source.directory / model.function.path, shim=_shim_of(model)),
            handler=_SHIM_HANDLER if model.shim else named,
            runtime=model.function.runtime,
            timeout_s=math.ceil(model.timeout),
            environment=self._environment(subscription, named),
            source_arn=str(answer["Attributes"]["QueueArn"]),
            batch=run.scenario.receive_batch if model.batch is None else model.batch,
            window_s=int(model.window),
            concurrency=model.concurrency,
            reserved=model.reserved,
            partial=model.partial,
            filter=model.filter or (),
            later_timeout_s=None if later == model.timeout else math.ceil(later),
        )

    def _environment(self, subscription: str, named: str) -> dict[str, str]:
        run, context = self._run, self._run.context
        endpoint = run.target.endpoint
        told = context.words(subscription, consumer="function", endpoint=endpoint, addresses=run.addresses)
        env = {
            name: value
            for name, value in words.environment(told, endpoint, inherited={}).items()
            if name.startswith(_TOLD)
        }
        env |= {name: words.replace(value, told) for name, value in self._model.function.env.items()}
        if self._table is not None:
            env |= {
                "GAMEDAY_TABLE": self._table,
                "GAMEDAY_HANDLER": named,
                "GAMEDAY_CLOCK": str(context.clock),
            }
        return env

    async def _carry(self, call: Call) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._run.carrier, call)


def _shim_of(model: LambdaModel) -> Path | None:
    if not model.shim:
        return None
    return _SHIM if model.function.in_python else _NODE_SHIM


def packed(place: Path, *, shim: Path | None) -> bytes:
    """The zip file of a function: its file, or what stands in the directory of its code, and the shim."""
    code = io.BytesIO()
    there = sorted(place.rglob("*")) if place.is_dir() else [place]
    with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in there:
            inside = path.relative_to(place if place.is_dir() else place.parent)
            if path.is_file() and "__pycache__" not in inside.parts:
                archive.write(path, str(inside))
        if shim is not None:
            archive.write(shim, f"{_SHIM_NAME}{shim.suffix}")
    return code.getvalue()


def _table_made(table: str, tags: Mapping[str, str]) -> Call:
    return Call(
        "dynamodb",
        "CreateTable",
        {
            "TableName": table,
            "KeySchema": [{"AttributeName": "record", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "record", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
        },
    )


def environments(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """What each environment has written, in its order. Errors: RunError where an entry is missing between others."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name in sorted(told):
        environment, _, number = name.partition(":")
        entries = found.setdefault(environment, [])
        entries.append(told[name])
        if int(number) != len(entries):
            raise RunError(f"entry {len(entries)} of the function's environment {environment} was not found again")
    return dict(found)


def records_of(entry: Mapping[str, Any], model: LambdaModel, *, consumer: str) -> Iterator[Record]:
    """What an entry of the shim tells. An invocation and its answer are read as AWS reads them."""
    about: dict[str, Any] = {"subscription": entry["subscription"], "batch": entry["batch"], "consumer": consumer}
    shown: dict[str, Any] = {"function": Path(model.function.path).stem, "request": entry.get("request")}
    records: Sequence[Mapping[str, Any]] = entry["records"]
    if not entry["answered"]:
        yield events.invoked(**about, **shown, ids=[each["id"] for each in records if each["id"] is not None])
        for each in records:
            yield _received(each, about)
        return
    ids = [each["id"] for each in records]
    identifiers = [str(each["identifier"]) for each in records]
    error, failed = entry.get("error"), None
    if error is None:
        for place, outcome in effects_of(entry.get("answer"), identifiers).items():
            if ids[place] is not None:
                yield events.effect(id=ids[place], started=entry["began"], outcome=outcome, **about)
        try:
            failed = failed_of(entry.get("answer"), identifiers) if model.partial else []
        except BatchFails as wrong:
            error = str(wrong)
    if failed is None:
        yield events.responded(**about, **shown, outcome="failed", error=error)
        return
    said, named = on_record([ids[place] for place in failed])
    yield events.responded(**about, **shown, outcome=said, failed=named)


def _received(each: Mapping[str, Any], about: Mapping[str, Any]) -> Record:
    told: Record = {"event": "received", **about}
    sent_ms = each.get("sent_ms")
    fields = {
        "id": each.get("id"),
        "broker_id": each.get("identifier"),
        "broker_seq": each.get("sequence"),
        "group": each.get("group"),
        "receives": None if each.get("receives") is None else int(each["receives"]),
        "enqueued": None if sent_ms is None else int(sent_ms) * NS_PER_MS,
    }
    return told | {name: value for name, value in fields.items() if value is not None}
