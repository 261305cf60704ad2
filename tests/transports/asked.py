"""Asks a service of the in-memory broker as data, holding question and answer to botocore's model of the operation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from gameday.emulator.services import Service
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S
from gameday.transports.base import Call
from tests.contract.aws_answers import complaints, model_of

START = 1_700_000_000 * NS_PER_S


class Asked:
    """`now` is the time of the calls, in ns; a test moves it."""

    def __init__(self, name: str, service: Service) -> None:
        self.name = name
        self.service = service
        self.now = START

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        """Errors: Refused."""
        wrong = complaints(Call(self.name, operation, params))
        assert not wrong, wrong
        answer = self.service.call(self.now, operation, params)
        assert isinstance(answer, dict)
        shape = model_of(self.name, operation).output_shape
        if shape is None:
            assert not answer, answer
        else:
            # A null is what botocore leaves out; and the model wants a failure to count, where AWS answers 0, and
            # failed entries to list, where SQS leaves them out.
            told = {name: value for name, value in answer.items() if value is not None}
            if told.get("FailedRecordCount") == 0:
                del told["FailedRecordCount"]
            if "Failed" in shape.members:
                told.setdefault("Failed", [])
            wrong = ParamValidator().validate(told, shape).generate_report()
            assert not wrong, wrong
        return answer

    def refusal(self, operation: str, **params: Any) -> str:
        """The code of the error; a question that botocore's model would not let through may be asked too."""
        with pytest.raises(Refused) as error:
            self.service.call(self.now, operation, params)
        return error.value.code


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The broker as a process; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gameday.emulator", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield str(orjson.loads(process.stdout.readline())["url"])
    finally:
        process.kill()
        process.communicate()


def code_of(call: Callable[..., object], **params: object) -> str:
    """The code of the error that an SDK's client raises."""
    with pytest.raises(ClientError) as error:
        call(**params)
    return str(error.value.response["Error"]["Code"])
