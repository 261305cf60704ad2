"""What a program of the user's is told of the run: words like {queue_url} in its command line, and its environment.

One table for every such program, whatever it does: consumers, handlers, who makes messages, who reads effects back. It
promises that a word which stands for nothing is an error that names those which do, and that the SDK of any language
finds the run's AWS by the environment alone, whatever the user's own environment says of another one.

A word is a name in braces, of small letters and `_`. Other braces (`{print $1}`, `{}`, `${HOME}`) are left as they are,
and `{{name}}` is `{name}` for a program that wants it so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from gameday.transports.base import Addresses, Transport
from gameday.transports.endpoint import Endpoint, variable

_WORD = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
# Of what producers send to, by the service that it is in; a queue has words of its own.
_SENT_TO = {"sns": "topic_arn", "kinesis": "stream_name"}
# The SDKs have variables of their own for these.
_OF_THE_SDK = ("region", "endpoint_url")
# What would lead a program to another AWS than the run's, and what is nobody's business.
_NOT_HANDED_ON = ("AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "GRAFANA_TOKEN")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class UnknownWord(ValueError):
    """A word that stands for nothing; the message names those that stand for something."""


def names(transport: Transport, *, dead_letters: bool, consumer: bool) -> tuple[str, ...]:
    """The words that a run with this transport has. `consumer`: for a program that is one of several consumers.

    `endpoint_url` is missing on AWS itself, where each service has its own.
    """
    found = ["run", "subscription", "transport", "effects", "region", "endpoint_url"]
    if transport.kind == "queue":
        found += ["queue_url", "queue_name", *(["dead_letter_queue_url"] if dead_letters else [])]
    if sent_to := _SENT_TO.get(transport.services[0]):
        found.append(sent_to)
    return (*found, *(["consumer"] if consumer else []))


def words(
    *,
    run: str,
    effects: Path,
    transport: Transport,
    addresses: Addresses,
    endpoint: Endpoint,
    subscription: str,
    consumer: str | None = None,
) -> dict[str, str]:
    """What each word stands for. `effects`: a directory for the programs' own use; `endpoint`: where this program
    finds AWS, which may be a proxy of ours."""
    told = {
        "run": run,
        "subscription": subscription,
        "transport": transport.name,
        "effects": str(effects),
        "region": endpoint.region,
        "endpoint_url": endpoint.url(transport.services[-1]),
        "queue_url": addresses.queues.get(subscription),
        "queue_name": addresses.queues.get(subscription, "").rpartition("/")[2] or None,
        "dead_letter_queue_url": addresses.dead_letter_queues.get(subscription),
        _SENT_TO.get(transport.services[0], ""): addresses.send_to,
        "consumer": consumer,
    }
    known = names(transport, dead_letters=True, consumer=True)
    return {name: value for name in known if (value := told[name]) is not None}


def replace(text: str, words: Mapping[str, str]) -> str:
    """The text with each word replaced by what it stands for. Errors: UnknownWord."""

    def found(match: re.Match[str]) -> str:
        kept, name = match.groups()
        if kept is not None:
            return f"{{{kept}}}"
        if name not in words:
            raise UnknownWord(
                f"{{{name}}} stands for nothing here; there are {', '.join(f'{{{word}}}' for word in words)}. Write "
                f"{{{{{name}}}}} if the program itself is to see {{{name}}}"
            )
        return words[name]

    return _WORD.sub(found, text)


def check(text: str, names: Collection[str]) -> None:
    """Whether all words of a text will stand for something. Errors: UnknownWord."""
    replace(text, dict.fromkeys(names, ""))


def environment(words: Mapping[str, str], endpoint: Endpoint, *, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a program of the user's: what it inherits, where the run's AWS is, and each word."""
    env = {name: value for name, value in inherited.items() if not name.startswith(_NOT_HANDED_ON)}
    for service, url in endpoint.urls.items():
        env[variable(service)] = url
    env |= {"AWS_REGION": endpoint.region, "AWS_DEFAULT_REGION": endpoint.region}
    if endpoint.access_key is not None and endpoint.secret_key is not None:
        # A session token (which SDKs read by its older name, too), its end or a profile belongs to other credentials.
        for name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE"):
            env.pop(name, None)
        env |= {"AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key}
    if endpoint.on_this_machine:
        # Where there are none the SDKs would look for credentials in the network of a machine at AWS.
        env["AWS_EC2_METADATA_DISABLED"] = "true"
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(dict.fromkeys([*filter(None, env.get(name, "").split(",")), *_LOOPBACK]))
    return env | {f"GAMEDAY_{name.upper()}": value for name, value in words.items() if name not in _OF_THE_SDK}
