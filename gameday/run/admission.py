"""Whether a run may begin in a real account: who calls, what `gameday.toml` allows there, and what a person says.

It promises that nothing is created, and no run directory made, before all of it is said; and that the first run in an
account is only planned, until somebody who saw the plan says yes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gameday.history.errors import UsageError
from gameday.run.allowed import Needs, check, check_names, find, permit, read
from gameday.run.context import services_of
from gameday.scenario.estimate import Estimate, estimate
from gameday.scenario.model import Scenario
from gameday.targets.account import Account, identify, use_profile
from gameday.transports.services import SERVICES


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the command line says about the account. `config`: the file with the allow-list; `yes`: somebody has seen
    the plan."""

    region: str | None = None
    profile: str | None = None
    config: Path | None = None
    yes: bool = False


def admit(
    scenario: Scenario,
    asked: Asked,
    *,
    seed: int,
    show: Callable[[Estimate, Account], None],
    agreed: Callable[[], bool],
) -> Account:
    """The account that the run may begin in.

    `show` prints the plan and `agreed` asks a person, both the first time only. Errors: NotAllowed; TargetError where
    nobody knows who calls; UsageError for a file that is wrong, and for a first time to which nobody says yes.
    """
    source, account = _known(asked, services_of(scenario))
    allowance = permit(read(source), account, source=source)
    planned = estimate(scenario, region=account.region, seed=seed)
    check(allowance, account, _needs(planned, scenario), source=source)
    known = _Known()
    if account not in known:
        if not asked.yes:
            show(planned, account)
            if not agreed():
                raise UsageError(
                    f"nothing was created: this would be the first run in {account.described}. Add --yes to begin it"
                )
        known.add(account)
    return account


def admit_sweep(asked: Asked, also: Iterable[str] = ()) -> Account:
    """The account in which what runs have left may be removed. `also`: services that are called there besides.

    Errors: NotAllowed, TargetError, UsageError.
    """
    source, account = _known(asked, [*dict.fromkeys([*SERVICES, *also])])
    check_names(permit(read(source), account, source=source), account, source=source)
    return account


def _needs(planned: Estimate, scenario: Scenario) -> Needs:
    attach = scenario.topology.attach
    return Needs(
        messages=planned.messages,
        rate_per_s=planned.peak_per_s,
        duration_s=planned.load_s,
        cost=planned.cost.high,
        existing=planned.existing,
        breaks=planned.breaks,
        places=[] if attach is None else attach.places,
    )


def _known(asked: Asked, services: list[str]) -> tuple[Path, Account]:
    source = find(asked.config, Path.cwd())
    use_profile(asked.profile)
    return source, identify(services, region=asked.region, environ=os.environ)


class _Known:
    """The accounts and regions in which somebody has said yes before, on this machine."""

    def __init__(self) -> None:
        try:
            base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        except RuntimeError:
            # No home at all: every time is a first time.
            base = Path(os.devnull)
        self._path = base / "gameday" / "accounts"

    def __contains__(self, account: Account) -> bool:
        try:
            return self._line(account) in self._path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return False

    def add(self, account: Account) -> None:
        """Where that cannot be kept, the next time is a first time again."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._line(account) + "\n")
        except OSError:
            return

    @staticmethod
    def _line(account: Account) -> str:
        return f"{account.id} {account.region}"
