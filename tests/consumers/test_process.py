"""What the consumer process does around its worker: drain in bounded time, obey, refuse to start without its files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.__main__ import _carry_out, _run_until_drained, main
from gameday.consumers.config import ConsumerConfig
from gameday.processes import control
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
    assert asyncio.run(_run_until_drained(made.worker, 0.05)) is False
    assert made.brief() == ["received a"]
    assert "left to expire" in capsys.readouterr().err


def test_a_drain_waits_for_what_is_in_hand(bench: Make) -> None:
    async def handler(work: Any) -> None:
        made.worker.stop()
        await asyncio.sleep(0.05)

    made = bench([message("a")], handler=handler)
    assert asyncio.run(_run_until_drained(made.worker, 30)) is True
    assert made.brief()[-1] == "settled a delete ok"


def test_commands(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append((kind, fields)))
    made = bench([message("a")])
    armed = Disturbance(kind="lose-delete", instance="i").to_json()
    _carry_out({"do": "arm", "disturbance": armed}, made.worker)
    _carry_out({"do": "tell-when-holding"}, made.worker)
    asyncio.run(made.work())
    _carry_out({"do": "disarm", "instance": "i"}, made.worker)
    assert told == [
        ("armed", {"instance": "i"}),
        ("holding", {"messages": 1}),
        ("fired", {"instance": "i"}),
        ("disarmed", {"instance": "i", "fired": 1}),
    ]
    with pytest.raises(ValueError, match="lunch"):
        _carry_out({"do": "lunch"}, made.worker)


def test_configuration_survives_the_file(config: ConsumerConfig) -> None:
    path = config.run_dir / "c.json"
    config.save(path)
    assert ConsumerConfig.load(path) == config


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
