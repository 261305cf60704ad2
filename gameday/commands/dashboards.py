"""`gameday dashboards push`: dashboards and alert rules into a Grafana."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gameday.history.errors import UsageError

if TYPE_CHECKING:
    from gameday.dashboards.grafana import Address

dashboards = typer.Typer(
    help="Grafana dashboards and alert rules.\n\nExample: gameday dashboards push --grafana http://127.0.0.1:3000",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        help="A file that holds the token of Grafana, and nothing else. [default: the environment's GRAFANA_TOKEN]"
    ),
]


@dashboards.callback()
def options() -> None:
    """Grafana dashboards and alert rules."""


@dashboards.command()
def push(
    grafana: Annotated[str, typer.Option(metavar="URL", help="Where Grafana is: http://127.0.0.1:3000")],
    token_file: TokenFileOption = None,
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="Where the Prometheus is that scrapes the runs, as Grafana sees it.")
    ] = "http://127.0.0.1:9090",
    datasource: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Use this Prometheus data source, which is there, instead of making one."),
    ] = None,
) -> None:
    """Bring folder, data source, dashboards and alert rules to a Grafana (10.1 or newer).

    Again and again as you like: what is there is brought up to date, what is not ours is not touched. The token is a
    service account's; making the data source needs the role Admin, the rest Editor.

    Exit codes: 0 done, 2 bad usage, 4 Grafana refused or cannot be reached.

    \b
    Examples:
      GRAFANA_TOKEN=$(cat token) gameday dashboards push --grafana http://127.0.0.1:3000
      gameday dashboards push --grafana https://grafana.example/ops --token-file token --datasource PBFA97CFB590B2093
    """
    from gameday.dashboards import push as pushing
    from gameday.dashboards.grafana import Grafana

    address, token = grafana_of(grafana, token_file)
    for pushed in pushing.push(Grafana(address, token), prometheus=prometheus, datasource=datasource):
        print(pushed)
    print(f"look at {address}/d/gameday-game-day")


def grafana_of(url: str, token_file: Path | None) -> tuple[Address, str]:
    """The address and the token. Errors: UsageError, which does not show the token."""
    from gameday.dashboards.grafana import TOKEN_VARIABLE, Address, checked_token

    address = Address.parse(url)
    if token_file is None:
        if TOKEN_VARIABLE not in os.environ:
            raise UsageError(f"no token for Grafana: set {TOKEN_VARIABLE}, or name a file with --token-file")
        return address, checked_token(os.environ[TOKEN_VARIABLE], where=TOKEN_VARIABLE)
    try:
        return address, checked_token(token_file.read_text("utf-8"), where=str(token_file))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"cannot read the token from {token_file}: {why}") from None
