"""Where AWS is for this run, and how a client for it is configured: shared by every carrier.

botocore's own retries are off: an attempt that reached the wire must be a recorded attempt.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CarrierName = Literal["fast", "sdk"]
_LOOPBACK = re.compile(r"127(\.\d+){3}|::1|(.+\.)?localhost(\.localstack\.cloud)?")
# The SDKs name a service's variable by its id, which is not always what boto3 calls it.
_IDS: Mapping[str, str] = {"events": "eventbridge"}


def variable(service: str) -> str:
    """The variable by which the SDKs are told where a service is; "*" is all that have none of their own."""
    return "AWS_ENDPOINT_URL" if service == "*" else f"AWS_ENDPOINT_URL_{_IDS.get(service, service).upper()}"


def on_loopback(host: str) -> bool:
    """Whether it is this machine, by its address or by a name that always stands for it."""
    return _LOOPBACK.fullmatch(host) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """`urls` maps a service name, or "*" for all others, to its URL; empty means AWS itself.

    The credentials are given for emulators only (None: the SDK's own chain). `carrier` says who carries the calls of
    hot paths: gameday's own carrier where it speaks the service's protocol, or boto3 and aiobotocore everywhere.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    carrier: CarrierName = "fast"

    def url(self, service: str) -> str | None:
        return self.urls.get(service, self.urls.get("*"))

    @property
    def on_this_machine(self) -> bool:
        """Whether all of it is on loopback, by address or by a name that always stands for it: then it is no AWS."""
        hosts = [urllib.parse.urlsplit(url).hostname or "" for url in self.urls.values()]
        return bool(hosts) and all(map(on_loopback, hosts))

    def client_arguments(self, service: str) -> dict[str, Any]:
        """Keyword arguments for boto3's or aiobotocore's `client`, but for `service_name` and `config`."""
        arguments: dict[str, Any] = {"region_name": self.region}
        if (url := self.url(service)) is not None:
            arguments["endpoint_url"] = url
        if self.access_key is not None:
            arguments |= {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        return arguments

    @classmethod
    def emulated(cls, urls: Mapping[str, str], *, region: str, environ: Mapping[str, str]) -> Endpoint:
        """An endpoint that is not AWS: it takes any credentials, but the SDK insists on some."""
        given = bool(environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_PROFILE"))
        made_up = None if given else "test"
        return cls(urls=urls, region=region, access_key=made_up, secret_key=made_up)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Endpoint:
        return cls(**document)


def config_arguments(
    *, connect_timeout_s: float = 5, read_timeout_s: float = 30, connections: int = 32, prefixes: bool = True
) -> dict[str, Any]:
    """Keyword arguments for a botocore (or aiobotocore) Config. `prefixes`: whether the host has names with a prefix
    for operations that want one, as AWS's have (`sync-` of StartSyncExecution)."""
    return {
        "inject_host_prefix": prefixes,
        "connect_timeout": connect_timeout_s,
        "read_timeout": read_timeout_s,
        "max_pool_connections": connections,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "tcp_keepalive": True,
        # Checking each call's parameters against the model costs a third of the CPU of a send; ours are tested.
        "parameter_validation": False,
    }
