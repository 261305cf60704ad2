"""Where an AWS-compatible endpoint that somebody else runs is, and whether it is there."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping, Sequence

from gameday.history.errors import UsageError
from gameday.transports.endpoint import Endpoint, variable

DEFAULT_URL = "http://127.0.0.1:4566"
REGION = "us-east-1"


def endpoint_of(services: Sequence[str], url: str | None, environ: Mapping[str, str]) -> Endpoint:
    """The SDKs' own order: the flag, the service's own variable, the general one, then the usual port of this machine.

    Errors: UsageError for something that is no URL.
    """
    given = {"*": _checked(url, "--endpoint-url")} if url else named_urls(environ, services)
    urls = {"*": DEFAULT_URL, **given}
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION
    return Endpoint.emulated(urls, region=region, environ=environ)


def named_urls(environ: Mapping[str, str], services: Sequence[str] = ()) -> dict[str, str]:
    """The URLs that the SDKs' own variables name, by service, "*" for all others. Errors: UsageError, as above."""
    return {
        service: _checked(value, name)
        for service in ("*", *services)
        if (value := environ.get(name := variable(service)))
    }


def emulated(url: str) -> Endpoint:
    """One that takes any credentials."""
    return Endpoint(urls={"*": url}, region=REGION, access_key="test", secret_key="test")


def _checked(url: str, source: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # An unclosed bracket, a port that is no number.
        good = False
    if not good:
        raise UsageError(f"{source} is {url!r}; an endpoint is written like {DEFAULT_URL}")
    return url


def go_direct() -> None:
    """A proxy that the environment names has no business between the processes of one machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
