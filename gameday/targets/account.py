"""The AWS account that a run would work in, as AWS itself names it: `--target aws`.

It promises that nothing is called here which changes anything: `sts:GetCallerIdentity`, which needs no permission, and
`iam:ListAccountAliases`, which may be denied.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError

from gameday.history.errors import TargetError, UsageError
from gameday.targets.endpoints import go_direct, named_urls
from gameday.targets.products import AWS, is_aws, recognise
from gameday.targets.target import Target
from gameday.transports.aws_errors import EXPIRED, UNREACHABLE, has_expired, is_throttle
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint

# What the SDK would take before a profile that AWS_PROFILE names.
_BEFORE_A_PROFILE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
_TIMEOUT_S = 10.0
# How the SDK says that it found none, and STS and IAM that these never were good
# (docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).
_NONE = ("NoCredentialsError", "PartialCredentialsError", "SSOTokenLoadError", "UnauthorizedSSOTokenError")
_WRONG = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure")


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """`id`: its twelve digits; `caller`: the ARN of who calls; `alias` and `profile` where there is one."""

    id: str
    region: str
    caller: str
    endpoint: Endpoint
    alias: str | None = None
    profile: str | None = None

    @property
    def owner(self) -> str:
        """Who calls, as the last part of the ARN says: a user, or a role with the name of its session."""
        return self.caller.rpartition(":")[2]

    @property
    def described(self) -> str:
        called = f" ({self.alias})" if self.alias else ""
        return f"account {self.id}{called} in {self.region}, as {self.caller}"

    def target(self, services: Sequence[str]) -> Target:
        """An emulator on this machine that plays AWS is asked for everything that AWS is, and is what it is."""
        if not self.endpoint.on_this_machine:
            return Target(kind="aws", what=self.described, endpoint=self.endpoint, product=AWS, services=services)
        url = self.endpoint.url(services[0])
        what = f"{url} (an emulator that plays AWS; {self.described})"
        return Target(kind="localstack", what=what, endpoint=self.endpoint, product=recognise(url), services=services)


def use_profile(profile: str | None, environ: MutableMapping[str, str] = os.environ) -> None:
    """From now on this process and those that it starts take the credentials of that profile."""
    if profile is not None:
        environ["AWS_PROFILE"] = profile
        for key in _BEFORE_A_PROFILE:
            environ.pop(key, None)


def identify(services: Sequence[str], *, region: str | None, environ: Mapping[str, str]) -> Account:
    """Who calls, and where.

    Errors: UsageError without a region, with a profile that is not there, and where some services are elsewhere than
    others; TargetError.
    """
    go_direct()
    try:
        # The SDKs for other languages read AWS_REGION, boto3 does not.
        session = boto3.session.Session(region_name=region or environ.get("AWS_REGION"))
        chosen, profile = session.region_name, session.profile_name
    except BotoCoreError as error:
        raise UsageError(f"{error}. --profile and AWS_PROFILE name a profile of ~/.aws/config.") from error
    if not chosen:
        raise UsageError("no region is named; name it with --region, AWS_REGION or the profile's own")
    asked = ["sts", "iam", *services]
    named = named_urls(environ, asked)
    carry = BotoCarrier(Endpoint(urls=named, region=chosen), read_timeout_s=_TIMEOUT_S)
    endpoint = Endpoint(urls={**named, **_where(carry, asked)}, region=chosen)
    told = _identity(carry, endpoint)
    return Account(
        id=str(told["Account"]),
        region=chosen,
        caller=str(told["Arn"]),
        endpoint=endpoint,
        alias=_alias(carry),
        profile=None if profile == "default" else profile,
    )


def _where(carry: BotoCarrier, services: Sequence[str]) -> dict[str, str]:
    """The URLs that the SDK goes to, by environment and profile; none of AWS's own, which it finds by itself.

    Who says that an account is allowed must be who keeps its queues. Errors: UsageError, TargetError.
    """
    try:
        urls = {service: str(carry.client(service).meta.endpoint_url) for service in services}
    except CallFailed as failed:
        raise TargetError(f"no AWS service can be called: {failed}") from failed
    elsewhere = {service: url for service, url in urls.items() if not is_aws(url)}
    if elsewhere and (len(elsewhere) < len(urls) or not Endpoint(urls=elsewhere).on_this_machine):
        told = ", ".join(f"{service} at {url}" for service, url in urls.items())
        raise UsageError(
            f"the environment or the profile sends some services elsewhere ({told}); with --target aws all of them are "
            "AWS itself, or all an emulator on this machine"
        )
    return elsewhere


def _identity(carry: Callable[[Call], Answer], endpoint: Endpoint) -> Answer:
    """Errors: TargetError that says what to do."""
    try:
        return carry(Call("sts", "GetCallerIdentity", {}))
    except CallFailed as failed:
        raise TargetError(f"nobody knows which account this is: {failed}. {_remedy(failed, endpoint)}") from failed


def _remedy(failed: CallFailed, endpoint: Endpoint) -> str:
    code = failed.code.removesuffix("Exception")
    if code in _NONE:
        return (
            "Log in (`aws sso login`, `aws configure`), name a profile with --profile, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        )
    if has_expired(failed):
        return EXPIRED
    if code in _WRONG:
        return "The credentials are not those of any account there; see which ones are used: `aws configure list`."
    if failed.code in UNREACHABLE:
        return f"Is the network there, and {endpoint.url('sts') or 'sts.' + endpoint.region + '.amazonaws.com'}?"
    if is_throttle(failed.code):
        return "Try again in a moment."
    return "See which credentials are used: `aws configure list`."


def _alias(carry: Callable[[Call], Answer]) -> str | None:
    """The account's name for people; None where it has none, or it may not be asked for."""
    try:
        aliases = carry(Call("iam", "ListAccountAliases", {})).get("AccountAliases") or ()
    except CallFailed:
        return None
    return str(aliases[0]) if aliases else None
