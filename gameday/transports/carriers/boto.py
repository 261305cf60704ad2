"""The control plane's carrier: boto3 makes the call. Also runs a plan over any carrier.

It promises that a plan which fails half-way leaves behind nothing that its calls made, or an error that names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from gameday.transports.aws_errors import translate
from gameday.transports.base import Answer, Call, CallFailed, Plan
from gameday.transports.carriers import calls
from gameday.transports.carriers.methods import method_name
from gameday.transports.endpoint import Endpoint, config_arguments

T = TypeVar("T")


class BotoCarrier:
    """Carries calls with boto3, one client per service. Safe to share between threads once made."""

    def __init__(self, endpoint: Endpoint, *, read_timeout_s: float = 30, connections: int = 32) -> None:
        self._endpoint = endpoint
        arguments = config_arguments(
            read_timeout_s=read_timeout_s, connections=connections, prefixes=not endpoint.on_this_machine
        )
        self._config = Config(**arguments)
        self._session = boto3.session.Session()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Errors: CallFailed where the environment or a profile has no good credentials, or no good region."""
        if service not in self._clients:
            arguments = self._endpoint.client_arguments(service)
            try:
                self._clients[service] = self._session.client(service, config=self._config, **arguments)
            except Exception as error:
                raise translate(error) from error
        return self._clients[service]

    def __call__(self, call: Call) -> Answer:
        """Errors: CallFailed."""
        client = self.client(call.service)
        began = calls.began()
        try:
            answer: Answer = getattr(client, method_name(call.operation))(**call.params)
        except Exception as error:
            failed = translate(error)
            calls.ended(call, began, failed)
            raise failed from error
        calls.ended(call, began, answer=answer)
        return answer


def run_plan(plan: Plan[T], carry: Callable[[Call], Answer], *, pause: Callable[[float], object] = time.sleep) -> T:
    """Carry out a plan call by call; `pause` waits before a call that wants it.

    A call's failure is thrown into the plan, which may still put something in order. When the plan fails, what its
    calls made is removed, the latest first. Errors: CallFailed.
    """
    undo: list[Call] = []
    try:
        call = next(plan)
        while True:
            if call.after_s:
                pause(call.after_s)
            try:
                answer = carry(call)
            except CallFailed as error:
                call = plan.throw(error)
            else:
                if call.undo is not None:
                    undo.append(call.undo(answer))
                call = plan.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except CallFailed as error:
        left: list[str] = []
        remove = _forgiving(carry, left)
        for call in reversed(undo):
            remove(call)
        if left:
            why = str(error).removeprefix(f"{error.code}: ")
            told = f"{why}; what had been made is still there: {'; '.join(left)}"
            # Whatever the service refused last: something was made.
            raise CallFailed(error.code, told, definite=False) from error
        raise


def run_all_despite_failures(plan: Plan[None], carry: Callable[[Call], Answer]) -> None:
    """Carry out a plan that removes things: a call that fails keeps none of the others from being made.

    To the plan it was answered with nothing. Errors: CallFailed at the end, which names each call that failed.
    """
    failed: list[str] = []
    run_plan(plan, _forgiving(carry, failed))
    if failed:
        raise CallFailed("NotRemoved", "; ".join(failed), definite=False)


def _forgiving(carry: Callable[[Call], Answer], failed: list[str]) -> Callable[[Call], Answer]:
    """`carry`, but a call that fails is told to `failed` and answered with nothing."""

    def carry_on(call: Call) -> Answer:
        try:
            return carry(call)
        except CallFailed as error:
            failed.append(f"{call.operation} {', '.join(map(str, call.params.values()))}: {error}")
            return {}

    return carry_on
