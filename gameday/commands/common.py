"""What several commands share: their options, and how a verdict ends one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gameday.history.errors import UsageError

if TYPE_CHECKING:
    from gameday.targets.target import Kind
    from gameday.verify.judge import Verdict


class TargetName(StrEnum):
    embedded = "embedded"
    memory = "memory"
    localstack = "localstack"
    aws = "aws"


class Carrier(StrEnum):
    fast = "fast"
    sdk = "sdk"


class Format(StrEnum):
    text = "text"
    json = "json"
    junit = "junit"


TargetOption = Annotated[
    TargetName | None,
    typer.Option(
        help="Where AWS is. `memory` is a fast broker of our own; `localstack` any AWS-compatible endpoint; `aws` a "
        "real account that gameday.toml allows. [default: embedded]"
    ),
]
ScenarioArgument = Annotated[
    str, typer.Argument(help="A YAML file, or the name of one in scenarios/ (`gameday list scenarios`).")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any key of the scenario; may be repeated."),
]

TerraformOption = Annotated[
    str | None,
    typer.Option(
        "--terraform-outputs",
        metavar="FILE",
        help="What `tofu output -json` or `terraform output -json` printed: the scenario attaches to what was made. "
        "FILE#OUTPUT where several outputs fit.",
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(help="Of `--target aws`: the region. [default: AWS_REGION, else the profile's]"),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="Of `--target aws`: the profile of ~/.aws/config. [default: as the AWS CLI finds credentials]"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Of `--target aws`: the allow-list of accounts. [default: the nearest gameday.toml, here or above]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; progress goes to standard error.")]
SummaryOption = Annotated[
    Path | None,
    typer.Option(
        "--summary",
        metavar="FILE",
        help="Append the verdict to this file as Markdown, as a CI job summary wants it ($GITHUB_STEP_SUMMARY).",
    ),
]


def value_of(option: str, text: str, unit: str) -> float:
    """What stands behind an option, by a reader of gameday/scenario/units.py. Errors: UsageError."""
    from gameday.scenario import units

    read: Callable[[object], float] = getattr(units, unit)
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def can_be_appended_to(summary: Path | None) -> None:
    """Better before a run than after it. Errors: UsageError."""
    if summary is not None:
        try:
            summary.open("ab").close()
        except OSError as error:
            raise UsageError(f"--summary {summary}: it cannot be written to: {error.strerror}") from error


def only_for_aws(target: TargetName | None, **given: object) -> None:
    """Errors: UsageError for options of `--target aws` that are given with another."""
    named = [f"--{name}" for name, value in given.items() if value]
    if target is not TargetName.aws and named:
        raise UsageError(f"{' and '.join(named)}: of --target aws, which is not asked for")


def chosen_target(target: TargetName | None, endpoint_url: str | None) -> Kind:
    """An endpoint goes with `localstack`; without one, the embedded target is the default."""
    return (target or (TargetName.localstack if endpoint_url else TargetName.embedded)).value


def interrupt_on_signals() -> None:
    """Outside a run, which handles them itself, SIGTERM is an interruption like Ctrl-C, in background jobs too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def show_verdict(verdict: Verdict, format: Format, last_line: str = "", summary: Path | None = None) -> None:
    """Print the verdict, a last line for people where there is one, and end with the verdict's exit code."""
    from gameday.report import text

    if summary is not None:
        try:
            with summary.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text.summary(verdict.document))
        except OSError as error:
            # The verdict stands; a file that is full takes nothing from it.
            print(f"gameday: cannot write {summary}: {error.strerror}", file=sys.stderr)
    text.show(verdict, format.value)
    if last_line:
        print(last_line, file=sys.stdout if format is Format.text else sys.stderr)
    raise typer.Exit(verdict.exit_code)
