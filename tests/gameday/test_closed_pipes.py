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
from tests.series import in_series, in_soak, series

pytestmark = pytest.mark.live

LIMIT_S = 120.0
RUN = ["run", "quick", "--target", "memory", "--set", "load.duration=1s", "--set", "chaos=[]"]
RUN += ["--set", "consumers.processes=1"]
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


OUT, ERR = "stdout", "stderr"


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose progress nobody read."""
    run = tmp_path_factory.mktemp("holding") / "run"
    code, _ = code_of(*RUN, "--set", HOLDS, "--format", "json", "--out", str(run), gone=(ERR,))
    assert code == 0
    return run


@pytest.fixture(scope="module")
def violated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose printing nobody read."""
    run = tmp_path_factory.mktemp("violated") / "run"
    assert code_of(*RUN, "--set", VIOLATED, "--out", str(run), gone=(OUT,)) == (1, b"")
    return run


@pytest.mark.parametrize(
    ("recorded", "verdict"),
    [*series(("violated", "violated")), pytest.param("holding", "holds", marks=(in_series, in_soak))],
)
def test_a_run_goes_on_to_its_verdict(request: pytest.FixtureRequest, recorded: str, verdict: str) -> None:
    run: Path = request.getfixturevalue(recorded)
    assert json.loads((run / "verdict.json").read_bytes())["verdict"] == verdict


@in_series
@in_soak
@pytest.mark.parametrize("format", ["text", "junit"])
def test_a_run_goes_on_whatever_is_closed(tmp_path: Path, format: str) -> None:
    run = tmp_path / "run"
    code, _ = code_of(*RUN, "--set", HOLDS, "--format", format, "--out", str(run), gone=(OUT, ERR))
    assert code == 0
    assert (run / "verdict.json").exists()


@in_series
@in_soak
def test_a_reader_who_goes_in_the_middle_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen([*COMMAND, *RUN, "--set", HOLDS, "--out", str(run)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=LIMIT_S) == 0
    assert (run / "verdict.json").exists()


@in_series
@in_soak
def test_outputs_that_were_closed_before_it_began(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    done = subprocess.run([*shell, *COMMAND, *RUN, "--set", HOLDS, "--out", str(run)], timeout=LIMIT_S, check=False)
    assert done.returncode == 0
    assert (run / "verdict.json").exists()


@pytest.mark.parametrize(
    ("format", "gone", "recorded", "expected"),
    [
        ("text", (OUT,), "violated", 1),
        ("json", (OUT, ERR), "violated", 1),
        *series(("json", (OUT,), "holding", 0), ("junit", (OUT,), "violated", 1)),
        pytest.param("text", (OUT, ERR), "holding", 0, marks=(in_series, in_soak)),
        pytest.param("junit", (OUT, ERR), "holding", 0, marks=(in_series, in_soak)),
    ],
)
def test_judging_again_ends_with_the_verdicts_code(
    request: pytest.FixtureRequest, format: str, gone: tuple[str, ...], recorded: str, expected: int
) -> None:
    run: Path = request.getfixturevalue(recorded)
    assert code_of("verify", str(run), "--format", format, gone=gone) == (expected, b"")


@in_series
def test_conformance_ends_with_the_code_of_its_cells() -> None:
    probing = ["conformance", "--services", "dynamodb"]
    read = subprocess.run([*COMMAND, *probing], capture_output=True, timeout=LIMIT_S, check=False)
    assert code_of(*probing, gone=(OUT, ERR))[0] == read.returncode


@pytest.mark.parametrize("command", [["list", "faults"], *series(["list", "scenarios"], ["schema"], ["--help"])])
def test_what_is_only_printed_ends_with_0(command: list[str]) -> None:
    assert code_of(*command, gone=(OUT,)) == (0, b"")
