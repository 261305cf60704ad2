"""What Terraform has made is what a scenario attaches to, or an error says why not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import UsageError
from gameday.scenario import reading
from gameday.scenario.model import Scenario
from tests.commanded import COMMAND

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ARN = "arn:aws:sqs:eu-west-1:123456789012"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
OUTPUTS: dict[str, Any] = {
    "queue": {"queue": QUEUE, "dead_letter_queue": f"{QUEUE}-dlq"},
    "ledger": {"queue": f"{QUEUE}.fifo", "dead_letter_queue": None},
    "topic": {
        "topic": TOPIC,
        "subscriptions": {
            "orders": {"queue": f"{ARN}:billing", "dead_letter_queue": None},
            "audit": {"queue": f"{ARN}:audit", "dead_letter_queue": f"{ARN}:audit-dlq"},
        },
    },
    "bus": {"bus": "staging", "subscriptions": {"orders": {"rule": "to-orders", "queue": f"{ARN}:orders"}}},
    "stream": {"stream": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"},
    "role_arns": {"load": "arn:aws:iam::123456789012:role/load"},
    "name": "staging",
}
SCENARIO = """
name: made
transport: {transport}
{topology}
load: {{rate: 30/s, duration: 2s}}
claims: [no-loss]
"""


def written(tmp_path: Path, outputs: dict[str, Any]) -> Path:
    """As `tofu output -json` prints them."""
    path = tmp_path / "outputs.json"
    path.write_text(
        json.dumps({name: {"sensitive": False, "type": "dynamic", "value": value} for name, value in outputs.items()})
    )
    return path


def loaded(
    tmp_path: Path, transport: str, *, topology: str = "", outputs: str | None = None, overrides: tuple[str, ...] = ()
) -> Scenario:
    path = tmp_path / "made.yaml"
    path.write_text(SCENARIO.format(transport=transport, topology=topology and f"topology: {topology}"))
    return reading.load(path, overrides, outputs=outputs or str(written(tmp_path, OUTPUTS)))


@pytest.mark.parametrize(
    ("transport", "attach"),
    [
        ("sqs", {"queue": QUEUE, "dead_letter_queue": f"{QUEUE}-dlq"}),
        ("sqs-fifo", {"queue": f"{QUEUE}.fifo"}),
        ("sns", {"topic": TOPIC, "subscriptions": {"orders": {"queue": f"{ARN}:billing"}}}),
        ("eventbridge", OUTPUTS["bus"]),
        ("kinesis", OUTPUTS["stream"]),
    ],
)
def test_the_output_that_fits_is_attached_to(tmp_path: Path, transport: str, attach: dict[str, Any]) -> None:
    found = loaded(tmp_path, transport).topology.attach
    assert found is not None
    assert found.model_dump(exclude_unset=True) == attach


def test_what_the_scenario_says_of_how_is_kept(tmp_path: Path) -> None:
    found = loaded(tmp_path, "sqs", overrides=("topology.attach.shared=true",)).topology.attach
    assert found is not None and found.shared and found.queue == QUEUE
    given = {"subscriptions": "[{name: audit}, {name: orders}]"}
    found = loaded(tmp_path, "sns", topology=f"{{subscriptions: {given['subscriptions']}}}").topology.attach
    assert found is not None and list(found.subscriptions) == ["audit", "orders"]


def test_it_is_written_back_with_what_was_attached_to(tmp_path: Path) -> None:
    assert loaded(tmp_path, "kinesis").document["topology"]["attach"]["stream"] == OUTPUTS["stream"]["stream"]


def test_one_of_several_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, {**OUTPUTS, "others": {"queue": f"{QUEUE}-2"}})
    with pytest.raises(
        UsageError,
        match=re.escape(f"others and queue fit; name the one that is meant: --terraform-outputs {file}#queue"),
    ):
        loaded(tmp_path, "sqs", outputs=str(file))
    found = loaded(tmp_path, "sqs", outputs=f"{file}#others").topology.attach
    assert found is not None and found.queue == f"{QUEUE}-2"


def test_a_file_whose_name_has_the_sign_is_a_file(tmp_path: Path) -> None:
    file = written(tmp_path, OUTPUTS).rename(tmp_path / "a#b")
    assert loaded(tmp_path, "sqs", outputs=str(file)).topology.attach is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"outputs.json: cannot read it: No such file or directory; write it with: tofu output -json > "),
        (b"", "this is no JSON"),
        (b"queue = {\n", "this is no JSON"),
        (b"\xff", "this is no JSON"),
        (b'["queue"]', "these are no outputs, of which each is an object with a `value`"),
        # As `tofu output -json queue` prints it.
        (b'{"queue": "https://sqs"}', "these are no outputs"),
        (b"{}", "it has no outputs; declare some in the root module"),
    ],
)
def test_a_file_that_has_no_outputs_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "outputs.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        loaded(tmp_path, "sqs", outputs=str(file))


@pytest.mark.parametrize(
    ("transport", "named", "message"),
    [
        ("sns-fifo", "", "sns-fifo sends to a FIFO topic, and what topic says is no FIFO topic"),
        (
            "sqs",
            "#none",
            "it has no output 'none'; it has queue (a queue), ledger (a queue), topic (a topic), bus (a bus)",
        ),
        ("sqs", "#stream", "output stream says no queue, which sqs sends to"),
        ("sqs", "#name", "output name says no queue, which sqs sends to"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(tmp_path: Path, transport: str, named: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        loaded(tmp_path, transport, outputs=f"{written(tmp_path, OUTPUTS)}{named}")


def test_outputs_without_what_it_needs_say_what_there_is(tmp_path: Path) -> None:
    file = written(tmp_path, {name: OUTPUTS[name] for name in ("queue", "name")})
    with pytest.raises(
        UsageError,
        match=re.escape(
            "kinesis sends to a stream, and no output says one; it has queue (a queue), name. "
            "One that does is the `attach` of terraform/modules/stream"
        ),
    ):
        loaded(tmp_path, "kinesis", outputs=str(file))


def test_a_subscription_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"output topic: the scenario's subscription stock is not among its "
        r"subscriptions \(orders, audit\)",
    ):
        loaded(tmp_path, "sns", topology="{subscriptions: [{name: stock}]}")


def test_what_an_output_says_wrongly_is_told_with_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, {"queue": {"queue": "orders"}})
    with pytest.raises(UsageError, match=r"outputs.json: output queue: .*neither the URL nor the ARN of a queue"):
        loaded(tmp_path, "sqs", outputs=str(file))


def test_a_place_that_the_scenario_names_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"made.yaml:4: topology.attach.queue: --terraform-outputs says what is there"):
        loaded(tmp_path, "sqs", topology=f'{{attach: {{queue: "{QUEUE}-mine"}}}}')


def test_a_transport_that_nobody_knows_is_still_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"made.yaml:3: transport"):
        loaded(tmp_path, "sqss")


@pytest.mark.parametrize("target", ["embedded", "memory"])
def test_a_target_that_the_run_starts_has_nothing_of_it(tmp_path: Path, target: str) -> None:
    done = subprocess.run(
        [*COMMAND, "run", "quick", "--target", target, "--terraform-outputs", str(written(tmp_path, OUTPUTS))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not on a target that the run itself starts" in done.stderr


def test_plan_and_policy_are_of_what_is_there(tmp_path: Path) -> None:
    outputs = str(written(tmp_path, OUTPUTS))
    where = ["--account", "123456789012", "--region", "eu-west-1", "--terraform-outputs", outputs]
    told = [
        subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=True).stdout
        for words in (
            ["plan", "standard-at-least-once", "--terraform-outputs", outputs],
            ["policy", "standard-at-least-once", *where, "--role", "load"],
        )
    ]
    assert "uses what is there already: orders, orders-dlq" in told[0]
    (statement,) = json.loads(told[1])["Statement"]
    assert statement == {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": [f"{ARN}:orders"]}
