"""Whoever reads what the command prints may go at any time: `gameday run … | head`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.commanded import COMMAND

pytestmark = pytest.mark.live

LIMIT_S = 120.0
RUN = ["run", "quick", "--target", "memory", "--set", "load.duration=1s", "--set", "chaos=[]"]
HOLDS = "claims=[no-loss, ordered-per-group]"
# A single producer and calm consumers: no message can be out of reach of a bound of nothing.
VIOLATED = "claims=[no-loss, {claim: lag, max: 0s}]"


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


def code_of(*arguments: str, gone: tuple[str, ...]) -> tuple[int, bytes]:
    """The exit code with these outputs as pipes that nobody reads, and what was printed on standard error if not."""
    with ExitStack() as pipes:
        outputs = {name: pipes.enter_context(pipe_without_reader()) for name in gone}
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=outputs.get("stdout", subprocess.DEVNULL),
            stderr=outputs.get("stderr", subprocess.PIPE),
            timeout=LIMIT_S,
            check=False,
        )
    return done.returncode, done.stderr or b""


@pytest.fixture(scope="module", params=[(HOLDS, 0), (VIOLATED, 1)], ids=["holds", "violated"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run whose printing nobody read, and the exit code of its verdict."""
    claims, expected = request.param
    run = tmp_path_factory.mktemp("recorded") / "run"
    code, said = code_of(*RUN, "--set", claims, "--out", str(run), gone=("stdout",))
    assert (code, said) == (expected, b"")
    return run, code


def test_a_run_goes_on_to_its_verdict(recorded: tuple[Path, int]) -> None:
    run, code = recorded
    assert json.loads((run / "verdict.json").read_bytes())["verdict"] == ("violated" if code else "holds")


@pytest.mark.parametrize(
    ("format", "gone"), [("json", ("stderr",)), ("text", ("stdout", "stderr")), ("junit", ("stdout", "stderr"))]
)
def test_a_run_goes_on_whatever_is_closed(tmp_path: Path, format: str, gone: tuple[str, ...]) -> None:
    run = tmp_path / "run"
    code, _ = code_of(*RUN, "--set", HOLDS, "--format", format, "--out", str(run), gone=gone)
    assert code == 0
    assert (run / "verdict.json").exists()


def test_a_reader_who_goes_in_the_middle_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen([*COMMAND, *RUN, "--set", HOLDS, "--out", str(run)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=LIMIT_S) == 0
    assert (run / "verdict.json").exists()


def test_outputs_that_were_closed_before_it_began(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    done = subprocess.run([*shell, *COMMAND, *RUN, "--set", HOLDS, "--out", str(run)], timeout=LIMIT_S, check=False)
    assert done.returncode == 0
    assert (run / "verdict.json").exists()


@pytest.mark.parametrize("format", ["text", "json", "junit"])
@pytest.mark.parametrize("gone", [("stdout",), ("stdout", "stderr")])
def test_judging_again_ends_with_the_verdicts_code(
    recorded: tuple[Path, int], format: str, gone: tuple[str, ...]
) -> None:
    run, expected = recorded
    assert code_of("verify", str(run), "--format", format, gone=gone) == (expected, b"")


def test_conformance_ends_with_the_code_of_its_cells() -> None:
    probing = ["conformance", "--services", "dynamodb"]
    read = subprocess.run([*COMMAND, *probing], capture_output=True, timeout=LIMIT_S, check=False)
    assert code_of(*probing, gone=("stdout", "stderr"))[0] == read.returncode


@pytest.mark.parametrize("command", [["list", "faults"], ["list", "scenarios"], ["schema"], ["--help"]])
def test_what_is_only_printed_ends_with_0(command: list[str]) -> None:
    assert code_of(*command, gone=("stdout",)) == (0, b"")
