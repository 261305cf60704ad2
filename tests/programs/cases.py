"""The programs as consumers under test of `gameday run`: each correct one, and each mistake, with its verdict.

A case is a scenario of `scenarios/` with the program put in by `--set`. It promises that a correct version and its
mistakes meet the same faults in the same scenario, and that every mistake is blamed on the fault that it is known for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.scenario.model import ExpectSpec
from tests.programs.programs import HERE, PROGRAMS, PYTHON, ready

SCENARIOS = HERE / "scenarios"
_CLAIMS = ("all-accepted", "no-loss", "no-phantom", "at-least-once-effect", "exactly-once-effect")
_LOST = ExpectSpec(
    verdict="violated",
    claims={"no-loss": "holds", "at-least-once-effect": "violated"},
    anomalies=["effect-missing"],
)
_DOUBLED = ExpectSpec(
    verdict="violated",
    claims={"no-loss": "holds", "at-least-once-effect": "holds", "exactly-once-effect": "violated"},
    anomalies=["effect-duplicate", "redelivery"],
)
_ESCAPED = ExpectSpec(
    verdict="violated",
    claims={"no-loss": "holds", "dead-letter": "violated"},
    anomalies=["poison-escaped"],
)
# That something came again shows that the faults struck.
_HOLDS = ExpectSpec(verdict="holds", anomalies=["redelivery"])
_HOLDS_UNREPEATED = ExpectSpec(verdict="holds")


@dataclass(frozen=True, kw_only=True)
class Case:
    """`settings`: what is set of the scenario, by key. `blamed`: words of which the cause of something found must have
    one. `needs`: the part of .programs that it runs from.
    """

    scenario: str
    needs: str
    expect: ExpectSpec
    settings: Mapping[str, Any]
    blamed: Sequence[str] = ()

    @property
    def ready(self) -> bool:
        return ready(self.needs)

    @property
    def path(self) -> Path:
        return SCENARIOS / f"{self.scenario}.yaml"

    @property
    def arguments(self) -> list[str]:
        """Of `gameday run`, behind the scenario; JSON is YAML."""
        return [word for key, value in self.settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]

    @property
    def command(self) -> str:
        return shlex.join(["gameday", "run", str(self.path), *self.arguments])

    def unblamed(self, verdict: Mapping[str, Any]) -> list[str]:
        """What a verdict.json finds without a cause that it should have named."""
        if not self.blamed:
            return []
        causes = {
            str(example.get("cause"))
            for name in self.expect.anomalies
            if name != "redelivery"
            for example in verdict["anomalies"][name]["examples"]
        }
        if any(word in cause for cause in causes for word in self.blamed):
            return []
        return [f"none of its causes is {' or '.join(self.blamed)}: {'; '.join(sorted(causes))}"]


# What a program is given for more than the scenario has: Celery answers slower, as it hands each order to a process.
_MORE: Mapping[str, Mapping[str, Any]] = {
    "celery": {
        "load.message": {"python": "celery_messages:make", "interpreter": PYTHON, "cwd": str(HERE / "python")},
        # It is slow to start. What it acknowledged before the work must still be at work when it is killed.
        "load.duration": "30s",
        "load.rate": "4/s",
        "consumers.env.WORK_MS": "400",
        # A throttled poll may end its polling while the process lives on.
        "chaos.6": {"at": "4s", "fault": "throttle", "operation": "delete", "nth": 3},
    },
}
_MISTAKES: Mapping[str, tuple[str, ExpectSpec, Sequence[str]]] = {
    "delete-first": ("standard", _LOST, ["crash after-delete"]),
    "no-guard": ("standard", _DOUBLED, ["crash before-delete", "stopped for", "SIGKILL"]),
    "ignores-failed": ("partial-batch", _DOUBLED, ["are refused"]),
}


def _of(name: str, variant: str) -> dict[str, Any]:
    return {
        "consumers.command": list(PROGRAMS[name].argv),
        **_MORE.get(name, {}),
        "consumers.env.VARIANT": variant,
    }


def _queues() -> Iterator[tuple[str, Case]]:
    for name, program in PROGRAMS.items():
        if program.consumes != "queue":
            continue
        needs, correct = program.needs, _of(name, "correct")
        yield name, Case(scenario="standard", needs=needs, settings=correct, expect=_HOLDS)
        if "ignores-failed" in program.variants:
            fifo = {**correct, "transport": "sqs-fifo", "claims": [*_CLAIMS, "ordered-per-group"]}
            yield f"{name}-fifo", Case(scenario="standard", needs=needs, settings=fifo, expect=_HOLDS)
            # It asks once more and nothing comes again; sqs-consumer does not, and has its guard.
            yield (
                f"{name}-partial-batch",
                Case(scenario="partial-batch", needs=needs, settings=correct, expect=_HOLDS_UNREPEATED),
            )
        for mistake in program.variants[1:]:
            scenario, expect, blamed = _MISTAKES[mistake]
            yield (
                f"broken-{name}-{mistake}",
                Case(scenario=scenario, needs=needs, settings=_of(name, mistake), expect=expect, blamed=blamed),
            )


def _streams() -> Iterator[tuple[str, Case]]:
    mistakes = {"delete-first": (_LOST, ["crash"]), "no-guard": (_DOUBLED, ["crash"])}
    for variant in PROGRAMS["kcl"].variants:
        expect, blamed = mistakes.get(variant, (_HOLDS, []))
        yield (
            "kcl" if variant == "correct" else f"broken-kcl-{variant}",
            Case(scenario="stream", needs="kcl", settings=_of("kcl", variant), expect=expect, blamed=blamed),
        )


def _functions() -> Iterator[tuple[str, Case]]:
    misuses = {
        "no-key": (_DOUBLED, ["deletes never leave"]),
        "expires": (_DOUBLED, ["deletes never leave"]),
        "ignores-failures": (_ESCAPED, ["no fault"]),
    }
    yield "powertools", Case(scenario="powertools", needs="python", settings={}, expect=_HOLDS)
    for misuse, (expect, blamed) in misuses.items():
        settings = {"consumers.handler.env.VARIANT": misuse}
        yield (
            f"broken-powertools-{misuse}",
            Case(scenario="powertools", needs="python", settings=settings, expect=expect, blamed=blamed),
        )


CASES: Mapping[str, Case] = dict((*_queues(), *_streams(), *_functions()))
