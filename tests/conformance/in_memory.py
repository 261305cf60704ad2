"""The in-memory broker's services called as functions, on a clock that moves only when somebody waits."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import orjson

from gameday.conformance.base import Conditions
from gameday.emulator.broker import LongPoll
from gameday.emulator.defects import defect
from gameday.emulator.held import Held
from gameday.emulator.services import SERVICES, World
from gameday.emulator.wire import Refused
from gameday.transports.base import Answer, Call, CallFailed
from tests.emulator.in_process import Played, pass_time

_START_NS = 1_700_000_000_000_000_000
_STEP_NS = 50_000_000
_CALL_NS = 1_000_000


def conditions(planted: str | None = None) -> Conditions:
    """A broker of its own, with that defect; slow probes cost nothing here."""
    now_ns = _START_NS

    def journal(told: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        body = orjson.dumps(told).decode()
        world.sqs.call(functions.now, "SendMessage", {"QueueUrl": variables["JOURNAL"], "MessageBody": body})

    functions = Played(send=journal)
    world = World(defect=defect(planted) if planted else None, deploy=functions.deploy)
    services = {name: world.service(name) for name in SERVICES}
    one_at_a_time = threading.Lock()

    def carry(call: Call) -> Answer:
        # Probes that race call from several threads; the broker has one.
        with one_at_a_time:
            return carried(call)

    def carried(call: Call) -> Answer:
        # A call takes its time, as on a network: what is stamped by the clock is stamped in the order of the calls.
        move(now_ns + _CALL_NS)
        try:
            params = call.params if call.service in ("s3", "lambda") else _as_json(call.params)
            outcome = services[call.service].call(now_ns, call.operation, params)
            if isinstance(outcome, LongPoll):
                return answered(outcome)
            if isinstance(outcome, Held):
                return held(outcome)
        except Refused as refused:
            raise CallFailed(refused.code, refused.message, definite=refused.status < 500) from refused
        assert isinstance(outcome, dict)
        return {**outcome, "Body": BytesIO(outcome["Body"])} if "Body" in outcome else _from_json(outcome)

    def answered(poll: LongPoll) -> Answer:
        while now_ns < poll.until:
            move(now_ns + _STEP_NS)
            if (answer := poll.ask(now_ns)) is not None:
                return answer
        return {}

    def held(outcome: Held) -> Answer:
        while outcome.answer is None:
            move(now_ns + _STEP_NS)
        return outcome.answer

    def move(to_ns: int) -> None:
        nonlocal now_ns
        pass_time(world, functions, now_ns, to_ns)
        now_ns = to_ns

    def wait(seconds: float) -> None:
        move(now_ns + int(seconds * 1e9))

    return Conditions(carry=carry, wait=wait, now=lambda: (now_ns - _START_NS) / 1e9, slow=True)


def _as_json(value: Any) -> Any:
    """Parameters as the wire brings them: bytes in Base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list) else value


def _from_json(answer: Answer) -> Answer:
    """The data of Kinesis's records as bytes, as boto3 gives them."""
    if "Records" not in answer:
        return answer
    records = [
        {**record, "Data": base64.b64decode(record["Data"])} if "Data" in record else record
        for record in answer["Records"]
    ]
    return {**answer, "Records": records}
