"""Where runs may work in real accounts, and how far they may go: `gameday.toml`.

It promises that nothing is allowed which the file does not spell out: an account by its twelve digits, a region by its
name, limits by their numbers, and by its name whatever looks like production, or was not made by gameday and would be
broken. What is denied stays denied, whatever is allowed beside it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gameday.history.errors import TargetError, UsageError
from gameday.scenario.units import PositiveDuration, Rate
from gameday.targets.account import Account
from gameday.transports.attached import whose

FILE = "gameday.toml"
# The words of a name: of `orders-prod2` and `OrdersProd` one is `prod`, of `products` and `delivery` none is.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PRODUCTION = {"prod", "production", "prd", "live", "preprod"}
_AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
_Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")]


class NotAllowed(TargetError):
    """The account or the region is not on the list, or the scenario asks for more than is allowed there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Allowance(_Strict):
    """One `[[allow]]`: what may be done in an account's regions. `max_cost` is in US dollars, for one run.

    `production`: names that look like production and are meant all the same. `chaos_on`: what gameday did not make, and
    may break.
    """

    account: _AccountId
    regions: Annotated[list[_Region], Field(min_length=1)]
    max_messages: Annotated[int, Field(ge=1)]
    max_rate: Annotated[Rate, Field(allow_inf_nan=False)]
    max_duration: Annotated[PositiveDuration, Field(allow_inf_nan=False)]
    max_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    production: list[str] = []
    chaos_on: list[str] = []


class Denial(_Strict):
    """One `[[deny]]`: without regions, all of them."""

    account: _AccountId
    regions: Annotated[list[_Region], Field(min_length=1)] | None = None


class AllowList(_Strict):
    allow: list[Allowance] = []
    deny: list[Denial] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a run would take: so many messages at such a peak for so long, for at most so many US dollars.

    `existing`: what is there already and is used, by name; `breaks`: those of them that it breaks. `places`: what it
    attaches to, as it names that: by URL, ARN or name.
    """

    messages: int
    rate_per_s: float
    duration_s: float
    cost: float
    existing: Sequence[str] = ()
    breaks: Sequence[str] = ()
    places: Sequence[str] = ()


def find(given: Path | None, start: Path) -> Path:
    """The file that was named, else the nearest one upwards from `start`. Errors: NotAllowed where there is none."""
    if given is not None:
        return given
    for directory in (start, *start.parents):
        if (path := directory / FILE).is_file():
            return path
    raise NotAllowed(
        f"no {FILE} stands in {start} or above it, so no account is allowed; write one (docs/staging.md), or name it "
        "with --config"
    )


def read(path: Path) -> AllowList:
    """Errors: UsageError that names the place."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    try:
        return AllowList.model_validate(written)
    except ValidationError as error:
        told = [f"  {_place(each['loc'])}: {_said(each['type'], each['msg'])}" for each in error.errors()]
        raise UsageError("\n".join([f"{path} is not as it should be:", *told])) from None


def permit(allowed: AllowList, account: Account, *, source: Path) -> Allowance:
    """The entry for this account and region. Errors: NotAllowed; deny beats allow."""
    here = f"account {account.id} in {account.region}"
    if any(_covers(denial, account) for denial in allowed.deny):
        raise NotAllowed(f"{here} is denied by {source}, whatever else stands there")
    entries = [entry for entry in allowed.allow if entry.account == account.id]
    if not entries:
        raise NotAllowed(f"account {account.id} (who calls is {account.caller}) is not on the allow-list of {source}")
    for entry in entries:
        if account.region in entry.regions:
            return entry
    regions = sorted({region for entry in entries for region in entry.regions})
    raise NotAllowed(
        f"{here} is not on the allow-list of {source}: of that account {', '.join(regions)} are; name another region "
        "with --region, or add this one"
    )


def check(allowance: Allowance, account: Account, needs: Needs, *, source: Path) -> None:
    """Errors: NotAllowed that names every limit which the scenario would break."""
    limits: Sequence[tuple[str, float, float, str]] = (
        ("max_messages", needs.messages, allowance.max_messages, "messages"),
        ("max_rate", needs.rate_per_s, allowance.max_rate, "messages per second at its peak"),
        ("max_duration", needs.duration_s, allowance.max_duration, "seconds of load"),
        ("max_cost", needs.cost, allowance.max_cost, "US dollars, if it comes to the most"),
    )
    over = [
        f"it asks for {asked:,.10g} {what}, and {key} is {most:,.10g}"
        for key, asked, most, what in limits
        if asked > most
    ]
    over += _not_spelled_out(allowance, [account.alias, account.profile, *needs.existing])
    over += _elsewhere(account, needs.places)
    over += [
        f"the chaos of the scenario would strike {name}, which gameday did not make, and it is not named in `chaos_on`"
        for name in needs.breaks
        if name not in allowance.chaos_on
    ]
    if over:
        raise NotAllowed("\n  ".join([f"{source} does not allow this run in {account.described}:", *over]))


def check_names(allowance: Allowance, account: Account, *, source: Path) -> None:
    """Errors: NotAllowed where the account looks like production and the entry does not say that it is meant."""
    if told := _not_spelled_out(allowance, [account.alias, account.profile]):
        raise NotAllowed("\n  ".join([f"{source} does not allow {account.described}:", *told]))


def _elsewhere(account: Account, places: Iterable[str]) -> Iterator[str]:
    """In another account, or in another region, where the same name may be something else."""
    for place in places:
        region, owner = whose(place)
        if (region or account.region, owner or account.id) != (account.region, account.id):
            yield (
                f"topology.attach names {place}, which is not in account {account.id} in {account.region}; name what "
                "is there, or another region (--region) or profile (--profile)"
            )


def _not_spelled_out(allowance: Allowance, names: Iterable[str | None]) -> list[str]:
    return [
        f"{name} looks like production, and is not spelled out in `production`"
        for name in production_looking(names)
        if name not in allowance.production
    ]


def production_looking(names: Iterable[str | None]) -> list[str]:
    looking = (name for name in names if name and _PRODUCTION & {word.lower() for word in _WORDS.findall(name)})
    return list(dict.fromkeys(looking))


def _covers(denial: Denial, account: Account) -> bool:
    return denial.account == account.id and (denial.regions is None or account.region in denial.regions)


def _place(location: tuple[int | str, ...]) -> str:
    """`allow.0.account`, as a person counts: the first [[allow]]."""
    kind, *rest = location
    if rest and isinstance(rest[0], int):
        return f"[[{kind}]] number {rest[0] + 1}{''.join(f', {part}' for part in rest[1:])}"
    return str(kind)


def _said(kind: str, message: str) -> str:
    return {
        "extra_forbidden": "there is no such key",
        "missing": "it has to be said",
        "string_pattern_mismatch": "an account is written with its twelve digits, a region like eu-west-1; there are "
        "no wildcards",
    }.get(kind, message.removeprefix("Value error, "))
