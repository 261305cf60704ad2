"""What the consumer process does around its worker: drain in bounded time, obey, refuse to start without its files."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.__main__ import _own_handler, main
from gameday.consumers.config import ConsumerConfig, HandlerProgram
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.serving import carry_out, run_until_drained
from gameday.history.errors import UsageError
from gameday.processes import control
from gameday.processes.child import python
from gameday.processes.disturbances import Disturbance
from tests.consumers.scripted import Bench, message

Make = Callable[..., Bench]


def test_a_drain_that_takes_too_long_leaves_what_is_in_hand_to_expire(
    bench: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(work: Any) -> None:
        made.worker.stop()
        await asyncio.Event().wait()

    made = bench([message("a")], handler=handler)
    assert asyncio.run(run_until_drained(made.worker, 0.05)) is False
    assert made.brief() == ["received a"]
    assert "left to expire" in capsys.readouterr().err


def test_a_drain_waits_for_what_is_in_hand(bench: Make) -> None:
    async def handler(work: Any) -> None:
        made.worker.stop()
        await asyncio.sleep(0.05)

    made = bench([message("a")], handler=handler)
    assert asyncio.run(run_until_drained(made.worker, 30)) is True
    assert made.brief()[-1] == "settled a delete ok"


def test_commands(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append((kind, fields)))
    made = bench([message("a")])
    armed = Disturbance(kind="stretch-processing", instance="i").to_json()
    carry_out({"do": "arm", "disturbance": armed}, made.worker)
    carry_out({"do": "tell-when-holding"}, made.worker)
    asyncio.run(made.work())
    carry_out({"do": "disarm", "instance": "i"}, made.worker)
    assert told == [
        ("armed", {"instance": "i"}),
        ("holding", {"messages": 1}),
        ("fired", {"instance": "i"}),
        ("disarmed", {"instance": "i", "fired": 1}),
    ]
    with pytest.raises(ValueError, match="lunch"):
        carry_out({"do": "lunch"}, made.worker)


def test_configuration_survives_the_file(config: ConsumerConfig) -> None:
    path = config.run_dir / "c.json"
    config.save(path)
    assert ConsumerConfig.load(path) == config


def test_a_handler_of_somebody_else_s_survives_the_file(config: ConsumerConfig) -> None:
    program = HandlerProgram(argv=["sh", "{run}"], cwd=config.run_dir, env={"A": "b"}, event="sqs", timeout_s=5)
    path = config.run_dir / "c.json"
    own = replace(config, program=program)
    own.save(path)
    assert ConsumerConfig.load(path) == own


def handler_of(config: ConsumerConfig, argv: list[str], env: dict[str, str] | None = None) -> OwnHandler:
    program = HandlerProgram(argv=argv, cwd=config.run_dir, env=env or {}, timeout_s=5)
    return _own_handler(config, "orders-1.1", program)


def test_a_handler_is_told_of_the_run(config: ConsumerConfig) -> None:
    """By the words of its command line, and by its environment; its own variables go before ours."""
    script = """echo '{"ready": true}'; read -r line; printf '{"request": 1, "outcome": "ok", "result": "%s"}\\n' """
    script += '"$1 $GAMEDAY_CONSUMER $OWN $AWS_REGION $GAMEDAY_EFFECTS"'
    env = {"OWN": "{queue_name}", "AWS_REGION": "eu-west-1"}
    config = replace(config, concurrency=1)

    async def scene() -> object:
        own = handler_of(config, ["/bin/sh", "-c", script, "sh", "{consumer}"], env)
        try:
            await own.pool.open()
            return await own.pool.ask({"message": {}}, timeout_s=30)
        finally:
            await own.pool.close()

    effects = config.run_dir / "effects"
    assert asyncio.run(scene()) == f"orders-1.1 orders-1.1 q eu-west-1 {effects}"
    assert effects.is_dir()


def test_a_word_that_stands_for_nothing_is_an_error(config: ConsumerConfig) -> None:
    with pytest.raises(UsageError, match=r"consumers\.handler: \{topic_arn\} stands for nothing here"):
        handler_of(config, ["sh", "{topic_arn}"])


def test_a_handler_that_does_not_start_ends_its_consumer(config: ConsumerConfig, tmp_path: Path) -> None:
    program = HandlerProgram(argv=["/bin/sh", "-c", "echo no database >&2; exit 3"], cwd=tmp_path, timeout_s=5)
    replace(config, program=program).save(tmp_path / "c.json")
    command = python("-m", "gameday.consumers", "--config", tmp_path / "c.json", "--name", "orders-1.1")
    ended = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 4
    assert "no database" in ended.stderr
    assert "consumer orders-1.1: the handler /bin/sh -c" in ended.stderr
    assert "did not become ready: it ended (exit code 3)" in ended.stderr


@pytest.mark.parametrize(
    ("delay_s", "most_s", "hidden_s"),
    [(0, None, [0, 0, 0, 0]), (3, None, [3, 3, 3, 3]), (3, 10, [3, 6, 10, 10]), (1, 43200, [1, 2, 4, 43200])],
)
def test_a_retry_delay_doubles_with_each_receive_up_to_its_most(
    delay_s: int, most_s: int | None, hidden_s: list[int], config: ConsumerConfig
) -> None:
    delayed = replace(config, retry_delay_s=delay_s, retry_delay_max_s=most_s)
    assert [delayed.retry_after_s(receives) for receives in (1, 2, 3, 1000)] == hidden_s


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"run_dir": "/", "clock": "later"}'])
def test_a_bad_configuration_is_one_clear_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    assert main(["--config", str(path), "--name", "orders-1.1"]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_run_directory_that_is_gone_is_one_clear_line(
    config: ConsumerConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.save(tmp_path / "c.json")
    (tmp_path / "history").rmdir()
    assert main(["--config", str(tmp_path / "c.json"), "--name", "orders-1.1"]) == 4
    assert "cannot open the history file" in capsys.readouterr().err
