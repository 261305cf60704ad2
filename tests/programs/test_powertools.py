"""The Powertools function without gameday: what comes again has its effect once, and each misuse does its harm."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.needed import lacking
from tests.programs.programs import HERE, PYTHON, environment, ready
from tests.programs.servers import memory, ministack
from tests.series import in_series

pytestmark = [in_series, pytest.mark.live]

DEADLINE_S = 60.0
# An event a line in, an answer a line out: what Lambda's runtime does.
RUNTIME = """
import json, sys
from powertools_handler import handle

class Context:
    def get_remaining_time_in_millis(self):
        return 30_000

for line in sys.stdin:
    print(json.dumps(handle(json.loads(line), Context())), flush=True)
"""


@pytest.fixture(scope="module", params=[memory, ministack])
def tables(request: pytest.FixtureRequest) -> Iterator[str]:
    if not ready("python"):
        lacking("the Python programs of tests/programs are not installed; get them with: make programs")
    served: Callable[[], AbstractContextManager[str]] = request.param
    with served() as url:
        yield url


class Function:
    def __init__(self, endpoint: str, directory: Path, variant: str) -> None:
        self.effects = directory
        table = {"VARIANT": variant, "IDEMPOTENCY_TABLE": f"records-of-{directory.name}"}
        self.process = subprocess.Popen(
            [PYTHON, "-c", RUNTIME],
            cwd=HERE / "python",
            env={**environment(endpoint=endpoint, effects=directory), **table},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def deliver(self, bodies: Sequence[str], receives: int) -> Sequence[str]:
        """The message ids that it reports as failed."""
        event = {
            "Records": [
                {
                    "messageId": f"message-{number}",
                    "receiptHandle": f"receipt-{number}-{receives}",
                    "body": body,
                    "attributes": {"ApproximateReceiveCount": str(receives)},
                    "messageAttributes": {},
                    "eventSource": "aws:sqs",
                    "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders",
                    "awsRegion": "us-east-1",
                }
                for number, body in enumerate(bodies)
            ]
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(event), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def applied(self) -> Mapping[str, int]:
        return {path.name: len(path.read_text().splitlines()) for path in self.effects.iterdir()}


@pytest.fixture
def function(tables: str, tmp_path: Path) -> Iterator[Callable[[str], Function]]:
    started: list[Function] = []

    def start(variant: str) -> Function:
        started.append(Function(tables, tmp_path, variant))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


ORDERS = ['{"orderId": "a"}', '{"orderId": "b"}', '{"detail": {"metadata": {"id": "c"}}}']


@pytest.mark.parametrize(("variant", "applied"), [("correct", 1), ("no-key", 2)])
def test_what_comes_again(function: Callable[[str], Function], variant: str, applied: int) -> None:
    ours = function(variant)
    assert ours.deliver(ORDERS, receives=1) == []
    assert ours.deliver(ORDERS, receives=2) == []
    assert ours.applied() == {"a": applied, "b": applied, "c": applied}


def test_what_comes_again_after_its_record_expired(function: Callable[[str], Function]) -> None:
    ours = function("expires")
    deadline, receives = time.monotonic() + DEADLINE_S, 0
    while ours.applied() != {"a": 2}:
        assert time.monotonic() < deadline, ours.applied()
        receives += 1
        ours.deliver(ORDERS[:1], receives)


@pytest.mark.parametrize(("variant", "failed"), [("correct", ["message-1"]), ("ignores-failures", [])])
def test_what_fails_is_reported(function: Callable[[str], Function], variant: str, failed: Sequence[str]) -> None:
    ours = function(variant)
    assert ours.deliver([ORDERS[0], '{"orderId": null}', ORDERS[1]], receives=1) == failed
    assert ours.applied() == {"a": 1, "b": 1}
