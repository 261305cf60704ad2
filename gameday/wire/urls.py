"""Queue URLs on their way through: an SDK sends to the host that stands in one, so that host must be the wire.

It promises that a URL which the service gave comes back to it as it was, whatever its host; and that a URL which is not
the wire's own is left as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

# The members of SQS's requests and answers that hold queue URLs.
_IN_ANSWERS = ("QueueUrl", "QueueUrls", "queueUrls")


class QueueUrls:
    """`known`: the URLs of queues that the run has made."""

    def __init__(self, known: Iterable[str]) -> None:
        self._by_path: dict[str, str] = {}
        for url in known:
            self._by_path.setdefault(urlsplit(url).path, url)

    def outward(self, params: dict[str, Any], *, ports: Collection[int | None]) -> bool:
        """Put the service's own URL in place of the wire's (at one of these ports); whether there was one."""
        url = params.get("QueueUrl")
        if not isinstance(url, str):
            return False
        try:
            parts = urlsplit(url)
            ours = parts.hostname in ("127.0.0.1", "localhost") and parts.port in ports
        except ValueError:
            return False
        if not ours or parts.path not in self._by_path:
            return False
        params["QueueUrl"] = self._by_path[parts.path]
        return True

    def inward(self, answer: Mapping[str, Any], body: bytes, *, origin: str) -> bytes:
        """The answer's body with each queue URL in it at `origin` (the wire's own, http://HOST:PORT). Errors:
        ValueError for one that is no URL."""
        for member in _IN_ANSWERS:
            given = answer.get(member)
            for url in given if isinstance(given, list) else [given]:
                if isinstance(url, str) and url.startswith("http"):
                    body = body.replace(url.encode(), self.at(url, origin).encode())
        return body

    def at(self, url: str, origin: str) -> str:
        self._by_path.setdefault(urlsplit(url).path, url)
        return moved(url, origin)


def name_of(url: str) -> str:
    """The queue's name: a URL's last part, or all of what is none."""
    return url.rstrip("/").rpartition("/")[2]


def moved(url: str, origin: str) -> str:
    """The same path at another origin (http://HOST:PORT)."""
    parts = urlsplit(url)
    return urlunsplit((*urlsplit(origin)[:2], parts.path, parts.query, ""))
