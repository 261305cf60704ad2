"""The examples of docs/handlers.md, each in its language, over the line protocol."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.history import envelope
from gameday.processes.handler_process import EffectUnknown, HandlerPool
from gameday.scenario.model import HandlerModel
from gameday.scenario.own_handler import program_of
from tests.consumers.scripted import body
from tests.needed import installed

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "handlers"
DEADLINE_S = 60.0


def python(tmp_path: Path, function: str) -> HandlerModel:
    return HandlerModel(python=f"orders:{function}")


def node(tmp_path: Path, function: str) -> HandlerModel:
    return HandlerModel(command=[installed("node", package="nodejs"), "orders.js"])


def go(tmp_path: Path, function: str) -> HandlerModel:
    program = tmp_path / "orders"
    build = [installed("go", package="golang-go"), "build", "-o", str(program), "orders.go"]
    subprocess.run(
        build, cwd=EXAMPLES, env={**os.environ, "GOFLAGS": "", "GO111MODULE": "auto"}, check=True, timeout=300
    )
    return HandlerModel(command=[str(program)])


Language = Callable[[Path, str], HandlerModel]


@pytest.mark.parametrize("language", [python, node, go], ids=["python", "node", "go"])
def test_an_example_keeps_the_protocol(language: Language, tmp_path: Path) -> None:
    for function in ("handle", "handle_batch"):
        asyncio.run(_asked(language(tmp_path, function), function, tmp_path))
    assert (tmp_path / "orders.txt").read_text().split() == ["order-a", "order-long", "order-b", "order-c"]


async def _asked(handler: HandlerModel, function: str, effects: Path) -> None:
    program = program_of(handler, base=EXAMPLES, visibility_timeout_s=DEADLINE_S)
    pool = HandlerPool(
        program.argv,
        name="h",
        cwd=program.cwd,
        env={**os.environ, "GAMEDAY_EFFECTS": str(effects)},
        size=1,
        say=lambda text: pytest.fail(f"it printed what is no answer: {text}"),
    )

    async def ask(document: dict[str, Any]) -> object:
        return await pool.ask(document, timeout_s=DEADLINE_S)

    try:
        await pool.open()
        if function == "handle":
            await ask({"message": {"body": body("a")}})
            # As long as a queue takes.
            long = envelope.pack(id="long", run="r", group=None, timestamp_ns=0, payload_bytes=1_000_000)
            await ask({"message": {"body": long.decode()}})
            with pytest.raises(EffectUnknown, match="nobody can do this order"):
                await ask({"message": {"body": body("p", poison=True)}})
        else:
            records = [{"messageId": f"m-{id}", "body": body(id, poison=id == "p")} for id in ("b", "p", "c")]
            assert await ask({"event": {"Records": records}}) == {"batchItemFailures": [{"itemIdentifier": "m-p"}]}
            assert await ask({"event": {"Records": []}}) == {"batchItemFailures": []}
    finally:
        await pool.close()
