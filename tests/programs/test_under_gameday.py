"""The programs under `gameday run`, unchanged: one run of each, on an AWS that nobody here wrote, has its verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.needed import lacking
from tests.programs.cases import CASES
from tests.programs.programs import PROGRAMS
from tests.programs.rehearsal import run
from tests.series import in_series

pytestmark = pytest.mark.live

# Short ones, and the broker in memory speaks to these as well.
IN_MEMORY = ("boto3-partial-batch", "broken-boto3-ignores-failed")
# What another program shows, too: `python -m tests.programs.rehearsal` runs them all.
SHOWN = ("sqs-consumer-fifo", "go-fifo", "go-partial-batch")


def judged(name: str, directory: Path, target: str) -> None:
    case = CASES[name]
    if not case.ready:
        lacking(f"{case.needs} of tests/programs is not installed; get it with: make programs")
    assert run(case, directory / "run", target) == [], case.command


@in_series
@pytest.mark.parametrize("name", [name for name in CASES if name not in (*IN_MEMORY, *SHOWN)])
def test_its_verdict(name: str, tmp_path: Path) -> None:
    judged(name, tmp_path, "embedded")


@in_series
@pytest.mark.parametrize("name", IN_MEMORY)
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
