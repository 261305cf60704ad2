"""The programs under `gameday run`, unchanged: one run of each, on an AWS that nobody here wrote, has its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.needed import lacking
from tests.programs.cases import CASES
from tests.programs.programs import PROGRAMS
from tests.programs.rehearsal import Turn, run, table
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

# Short ones, and the broker in memory speaks to these as well.
IN_MEMORY = ("boto3-partial-batch", "broken-boto3-ignores-failed")
# Two languages' worth of them CI runs; each program by itself it runs anyway (test_programs.py).
SHOWN = ("broken-go-no-guard",)


def judged(name: str, directory: Path, target: str) -> None:
    case = CASES[name]
    if not case.ready:
        lacking(f"{case.needs} of tests/programs is not installed; get it with: make programs")
    assert run(case, directory / "run", target) == [], case.command


@in_series
@pytest.mark.parametrize("name", SHOWN)
def test_its_verdict(name: str, tmp_path: Path) -> None:
    judged(name, tmp_path, "embedded")


@in_series
@in_soak
@pytest.mark.parametrize("name", [name for name in CASES if name not in (*IN_MEMORY, *SHOWN)])
def test_its_verdict_too(name: str, tmp_path: Path) -> None:
    judged(name, tmp_path, "embedded")


@in_series
@pytest.mark.parametrize("name", IN_MEMORY)
@in_soak
def test_its_verdict_in_memory(name: str, tmp_path: Path) -> None:
    judged(name, tmp_path, "memory")


def test_every_variant_is_a_case() -> None:
    for name, program in PROGRAMS.items():
        correct, *mistakes = program.variants
        assert correct == "correct" and name in CASES
        assert {f"broken-{name}-{mistake}" for mistake in mistakes} <= CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_violated_and_blamed_and_a_correct_program_holds(name: str) -> None:
    case = CASES[name]
    assert case.expect.verdict == ("violated" if name.startswith("broken-") else "holds")
    assert case.path.is_file()


def test_what_is_blamed_is_held_to_the_case() -> None:
    case = CASES["broken-boto3-delete-first"]

    def verdict(cause: str | None) -> dict[str, Any]:
        return {"anomalies": {"effect-missing": {"examples": [{"cause": cause}]}}}

    assert case.unblamed(verdict("crash after-delete, message 1; SIGKILL to orders-1.2")) == []
    assert case.unblamed(verdict("SIGKILL to orders-1.2")) == [
        "none of its causes is crash after-delete: SIGKILL to orders-1.2"
    ]
    assert case.unblamed(verdict(None))
    assert CASES["boto3"].unblamed(verdict(None)) == [], "what holds blames nobody"


def test_the_table_counts_what_came_out_as_expected() -> None:
    turns = [
        Turn(name="boto3", surprises=[], took_s=10.0),
        Turn(name="broken-boto3-no-guard", surprises=["the verdict is holds, not violated"], took_s=12.0),
        Turn(name="boto3", surprises=[], took_s=20.0),
        Turn(name="powertools", surprises=None, took_s=1.0),
    ]
    assert table(turns).splitlines()[2:] == [
        "| boto3 | holds | 2/2 | 15 |",
        "| broken-boto3-no-guard | violated exactly-once-effect | 0/1 | 12 |",
        "| powertools | holds | refused |  |",
    ]
