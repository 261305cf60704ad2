"""A Grafana server by its HTTP API: the one file that knows grafana-api, which is archived, and what that lacks.

It promises that every call ends in time (`TIMEOUT_S`); that each failure is a GrafanaError with what was wrong, where,
and what to do; that the token stands in no message and no `repr`; and that nothing is sent to another host than the one
that was named: a redirection is refused. What Grafana does comes from its HTTP API reference
(grafana.com/docs/grafana/latest/developers/http_api): folders, data sources, dashboards, annotations, alerting
provisioning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from grafana_api import grafana_api
from grafana_api.grafana_face import GrafanaFace
from requests import exceptions

from gameday.history.errors import GamedayError, UsageError

TIMEOUT_S = 3.0
# Whose schema the dashboards are written in: see pyproject.toml.
OLDEST = (10, 1)
TOKEN_VARIABLE = "GRAFANA_TOKEN"

Answer = TypeVar("Answer")
Document = dict[str, Any]


class GrafanaError(GamedayError):
    """`passing`: the same call may succeed later."""

    passing = False


class GrafanaUnreachable(GrafanaError):
    """No answer, or one that says that the server cannot answer now."""

    passing = True


class GrafanaRefuses(GrafanaError):
    """The server's no to this call: the token may not, or what is there already is in the way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a Grafana is, as a person wrote it: http or https, a host, perhaps a port and a path."""

    protocol: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Errors: UsageError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{_shown(url)} is no address of a Grafana: {error}") from None
        if "@" in url:
            raise UsageError(
                f"an address of a Grafana holds no user and password; a token stands in {TOKEN_VARIABLE} or in a file "
                "(--token-file)"
            )
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise UsageError(f"{_shown(url)} is no address of a Grafana; one is http://127.0.0.1:3000")
        # An IPv6 address keeps its brackets.
        return cls(
            protocol=parts.scheme, host=f"[{host}]" if ":" in host else host, port=port, path=parts.path.strip("/")
        )

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}://{self.host}{port}" + (f"/{self.path}" if self.path else "")


def checked_token(text: str, *, where: str) -> str:
    """A token as it can stand in a header. Errors: UsageError, which does not show it."""
    token = text.strip()
    if not token:
        raise UsageError(f"{where} holds no token")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError(f"{where} holds something else than a token: blanks, line ends or letters that are not ASCII")
    return token


class Grafana:
    """One server with one token. Every method raises GrafanaError; `what` in messages is what was being done."""

    def __init__(self, address: Address, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._token = token
        self._timeout_s = timeout_s
        self._face = GrafanaFace(
            token,
            host=address.host,
            port=address.port,
            url_path_prefix=f"{address.path}/" if address.path else "",
            protocol=address.protocol,
            timeout=timeout_s,
        )
        self._api = self._face.api
        self._api.s.max_redirects = 0

    def __repr__(self) -> str:
        return f"Grafana({self.address})"

    def check(self) -> str:
        """The server's version; it may hide it, which is '' and no error. Errors: GrafanaError when it is too old."""
        health = self._call("ask for its version", lambda: self._api.GET("/health"))
        version = str(health.get("version") or "") if isinstance(health, dict) else None
        if version is None or "database" not in health:
            raise GrafanaError(f"what answers at {self.address} is not Grafana: its /api/health says something else")
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise GrafanaError(
                f"Grafana at {self.address} is version {version}, which is too old: "
                f"{'.'.join(map(str, OLDEST))} or newer is needed"
            )
        return version

    # Folders, data sources, dashboards.

    def folder(self, uid: str) -> Document | None:
        return self._found("read the folder", lambda: self._face.folder.get_folder(uid))

    def create_folder(self, uid: str, title: str) -> None:
        self._call("create a folder", lambda: self._face.folder.create_folder(title, uid))

    def datasource(self, uid: str) -> Document | None:
        return self._found("read the data source", lambda: self._api.GET(f"/datasources/uid/{quote(uid, safe='')}"))

    def create_datasource(self, document: Document) -> Document:
        made = self._call("create a data source", lambda: self._face.datasource.create_datasource(document))
        return dict(made["datasource"])

    def update_datasource(self, uid: str, document: Document) -> None:
        path = f"/datasources/uid/{quote(uid, safe='')}"
        self._call("update the data source", lambda: self._api.PUT(path, json=document))

    def dashboard(self, uid: str) -> Document | None:
        """`dashboard` and `meta`."""
        return self._found("read a dashboard", lambda: self._face.dashboard.get_dashboard(uid))

    def save_dashboard(self, dashboard: Document, *, folder: str, message: str) -> None:
        document = {"dashboard": dashboard, "folderUid": folder, "message": message, "overwrite": True}
        self._call("save a dashboard", lambda: self._face.dashboard.update_dashboard(document))

    # Alert rules, which grafana-api does not know.

    def rule(self, uid: str) -> Document | None:
        return self._found("read an alert rule", lambda: self._api.GET(f"/v1/provisioning/alert-rules/{uid}"))

    def create_rule(self, rule: Document) -> None:
        self._call("create an alert rule", lambda: self._api.POST("/v1/provisioning/alert-rules", rule, _EDITABLE))

    def update_rule(self, rule: Document) -> None:
        path = f"/v1/provisioning/alert-rules/{rule['uid']}"
        self._call("update an alert rule", lambda: self._api.PUT(path, rule, _EDITABLE))

    def rule_group(self, folder: str, group: str) -> Document | None:
        return self._found("read the group of alert rules", lambda: self._api.GET(_group(folder, group)))

    def update_rule_group(self, folder: str, group: Document) -> None:
        path = _group(folder, group["title"])
        self._call("set how often alert rules are evaluated", lambda: self._api.PUT(path, group, _EDITABLE))

    # Annotations.

    def annotate(self, *, start_ms: int, end_ms: int | None, tags: Sequence[str], text: str) -> int:
        """Its id. Without an end it is a point, until it is given one."""
        what = lambda: self._face.annotations.add_annotation(  # noqa: E731  # what is called, not called here
            time_from=start_ms, time_to=end_ms or start_ms, tags=list(tags), text=text
        )
        return int(self._call("write an annotation", what)["id"])

    def update_annotation(self, id: int, *, start_ms: int, end_ms: int, tags: Sequence[str], text: str) -> None:
        """All of it: grafana-api sends what is left out as empty, and an empty list of tags takes the tags away."""
        what = lambda: self._face.annotations.partial_update_annotation(  # noqa: E731
            id, time_from=start_ms, time_to=end_ms, tags=list(tags), text=text
        )
        self._call("write the end of an annotation", what)

    def annotations(self, tags: Sequence[str]) -> list[Document]:
        """Those that have all these tags."""
        query = urlencode([("type", "annotation"), ("limit", "100"), *(("tags", tag) for tag in tags)])
        return list(self._call("read annotations", lambda: self._api.GET(f"/annotations?{query}")))

    # How a call ends.

    def _found(self, what: str, call: Callable[[], Document]) -> Document | None:
        """None where there is none."""
        try:
            return self._call(what, call)
        except GrafanaRefuses as error:
            if isinstance(error.__cause__, grafana_api.GrafanaClientError) and error.__cause__.status_code == 404:
                return None
            raise

    def _call(self, what: str, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except grafana_api.GrafanaUnauthorizedError as error:
            raise GrafanaRefuses(
                f"Grafana at {self.address} does not accept the token (401): it is wrong, expired or revoked. Make one "
                f"under Administration, Service accounts, and give it in {TOKEN_VARIABLE} or with --token-file"
            ) from error
        except grafana_api.GrafanaClientError as error:
            if error.status_code == 403:
                raise GrafanaRefuses(
                    f"Grafana at {self.address}: the token may not {what} (403). Annotations and dashboards need the "
                    "role Editor, a data source the role Admin"
                ) from error
            raise GrafanaRefuses(
                f"Grafana at {self.address} refused to {what} ({error.status_code}): {self._said(error)}"
            ) from error
        except grafana_api.GrafanaServerError as error:
            raise GrafanaUnreachable(
                f"Grafana at {self.address} could not {what} ({error.status_code}): {self._said(error)}"
            ) from error
        except exceptions.TooManyRedirects as error:
            raise GrafanaError(
                f"{self.address} answers with another address instead of Grafana's; give the one it leads to"
            ) from error
        except exceptions.Timeout as error:
            raise GrafanaUnreachable(f"Grafana at {self.address} did not answer in {self._timeout_s:g} s") from error
        except exceptions.SSLError as error:
            raise GrafanaError(f"no secure connection to {self.address}: {self._reason(error)}") from error
        except exceptions.ConnectionError as error:
            raise GrafanaUnreachable(
                f"cannot reach Grafana at {self.address}: {self._reason(error)}; is it running there?"
            ) from error
        except (exceptions.RequestException, ValueError, KeyError, TypeError) as error:
            # A page instead of JSON, or JSON of another kind.
            raise GrafanaError(f"what answers at {self.address} is not Grafana's API") from error

    def _said(self, error: grafana_api.GrafanaException) -> str:
        """The server's own words, in a line; whatever it repeats, the token is not shown."""
        answer = error.response
        said = answer.get("message") or answer.get("msg") or answer if isinstance(answer, Mapping) else answer
        return " ".join(str(said).split())[:300].replace(self._token, "…")

    def _reason(self, error: Exception) -> str:
        """The innermost reason, which has no URL in it."""
        reason: BaseException = error
        while (inner := reason.__cause__ or reason.__context__) is not None:
            reason = inner
        strerror = getattr(reason, "strerror", None)
        return str(strerror or reason).replace(self._token, "…")


# So that people may change in Grafana what was pushed; the next push takes it back.
_EDITABLE = {"X-Disable-Provenance": "true"}


def _group(folder: str, group: str) -> str:
    return f"/v1/provisioning/folder/{quote(folder, safe='')}/rule-groups/{quote(group, safe='')}"


def _shown(url: str) -> str:
    """Whatever a person typed, without what may be a password."""
    return re.sub(r"//[^/]*@", "//…@", url)
