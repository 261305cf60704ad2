"""Where an AWS-compatible endpoint that somebody else runs is, and whether it is there."""

from __future__ import annotations

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
    general = url or environ.get("AWS_ENDPOINT_URL") or DEFAULT_URL
    urls = {"*": _checked(general, "--endpoint-url" if url else "AWS_ENDPOINT_URL")}
    if url is None:
        for service in services:
            if own := environ.get(name := variable(service)):
                urls[service] = _checked(own, name)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION
    return Endpoint.emulated(urls, region=region, environ=environ)


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
