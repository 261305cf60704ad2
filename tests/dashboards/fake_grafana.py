"""A Grafana that is none: it holds each call to Grafana's published HTTP API reference, and keeps what it was given.

Written from the reference's pages (grafana.com/docs/grafana/latest/developers/http_api: annotations, folder,
data_source, dashboard, alerting_provisioning, other), each path with its method, the fields that it requires, the
action that a token must be allowed, and its answers. What the reference does not have is answered 404 and stands in
`wrong`, as does a body that lacks what is required. It knows no more of a real server than that.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Body = dict[str, Any]
TOKEN = "glsa_this-is-no-real-token_0123abcd"
# Required of a ProvisionedAlertRule, by the table of its properties.
RULE_FIELDS = {
    "condition",
    "data",
    "execErrState",
    "folderUID",
    "for",
    "noDataState",
    "orgID",
    "ruleGroup",
    "title",
}


class Refusal(Exception):
    def __init__(self, code: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"message": message, **more}


class FakeGrafana:
    """`denied`: actions that the token lacks. `before`: called with each request's method and path, before it is
    carried out; `after` the same, when it was and is not answered yet: what either raises is a broken connection."""

    def __init__(self, *, version: str = "12.4.1", path: str = "") -> None:
        self.version = version
        self.denied: set[str] = set()
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.calls: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.folders: dict[str, Body] = {}
        self.datasources: dict[str, Body] = {}
        self.dashboards: dict[str, Body] = {}
        self.folder_of: dict[str, str] = {}
        self.rules: dict[str, Body] = {}
        self.intervals: dict[tuple[str, str], int] = {}
        self.annotations: dict[int, Body] = {}
        # Sent with every answer.
        self.headers: dict[str, str] = {}
        self._prefix = f"/{path}" if path else ""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}{self._prefix}"

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] != "GET"]

    def with_tags(self, *tags: str) -> list[Body]:
        return [each for each in self.annotations.values() if {*tags} <= {*each["tags"]}]

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(self._prefix)
        with self._lock:
            self.calls.append((method, path))
            try:
                if path == "/api/health" and method == "GET":
                    # Needs no authentication; its fields by the page "Other HTTP API".
                    return 200, {"commit": "087143285", "database": "ok", "version": self.version}
                if headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise Refusal(401, "Invalid API key")
                body: Body = {}
                if method in ("POST", "PUT", "PATCH"):
                    if not headers.get("Content-Type", "").startswith("application/json"):
                        raise self._wrong(400, f"{method} {path}: the body is not called JSON")
                    body = json.loads(raw)
                for route, pattern, action, carry_out in _ROUTES:
                    if route == method and (found := re.fullmatch(pattern, path)):
                        if action in self.denied:
                            raise Refusal(403, f"You'll need additional permissions: {action}", accessErrorId="ACE1")
                        names = [unquote(group) for group in found.groups()]
                        status, answer = carry_out(self, body, parse_qs(parts.query), *names)
                        return status, answer
                raise self._wrong(404, f"{method} {path} is not in the reference")
            except Refusal as refusal:
                return refusal.code, refusal.body

    def _wrong(self, status: int, message: str) -> Refusal:
        self.wrong.append(message)
        return Refusal(status, message)

    def _require(self, body: Body, *names: str) -> None:
        if missing := [name for name in names if body.get(name) in (None, "")]:
            raise self._wrong(400, f"bad request data: {', '.join(missing)} missing in {sorted(body)}")

    def _uid(self, uid: str) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid):
            raise self._wrong(400, f"the uid {uid!r} is longer than 40, or holds what a uid must not")

    # Folders.

    def get_folder(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        if uid not in self.folders:
            raise Refusal(404, "folder not found", status="not-found")
        return 200, self.folders[uid]

    def create_folder(self, body: Body, query: object) -> tuple[int, Any]:
        self._require(body, "title")
        uid = body.get("uid") or f"folder{len(self.folders)}"
        self._uid(uid)
        if uid in self.folders:
            raise Refusal(409, "a folder with the same uid already exists")
        self.folders[uid] = {"id": len(self.folders) + 1, "uid": uid, "title": body["title"], "version": 1}
        return 200, self.folders[uid]

    # Data sources.

    def get_datasource(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        if uid not in self.datasources:
            raise Refusal(404, "Data source not found")
        return 200, self.datasources[uid]

    def create_datasource(self, body: Body, query: object) -> tuple[int, Any]:
        self._require(body, "name", "type", "access")
        if body["name"] in [each["name"] for each in self.datasources.values()]:
            raise Refusal(409, "data source with the same name already exists")
        uid = body.get("uid") or f"source{len(self.datasources)}"
        self._uid(uid)
        number = len(self.datasources) + 1
        made = {"id": number, "orgId": 1, "isDefault": False, "readOnly": False, "version": 1, **body, "uid": uid}
        self.datasources[uid] = made
        return 200, {"datasource": made, "id": number, "message": "Datasource added", "name": made["name"]}

    def update_datasource(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        self._require(body, "name", "type", "access")
        if uid not in self.datasources:
            raise Refusal(404, "Data source not found")
        if self.datasources[uid]["readOnly"]:
            raise Refusal(403, "Cannot update read-only data source")
        self.datasources[uid] = {**body, "version": self.datasources[uid]["version"] + 1}
        return 200, {"datasource": self.datasources[uid], "message": "Datasource updated"}

    # Dashboards.

    def get_dashboard(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        if uid not in self.dashboards:
            raise Refusal(404, "Dashboard not found")
        return 200, {"dashboard": self.dashboards[uid], "meta": {"folderUid": self.folder_of[uid]}}

    def save_dashboard(self, body: Body, query: object) -> tuple[int, Any]:
        self._require(body, "dashboard")
        dashboard = body["dashboard"]
        self._require(dashboard, "title")
        uid = dashboard.get("uid") or f"dashboard{len(self.dashboards)}"
        self._uid(uid)
        if "folderUid" not in body or body["folderUid"] not in self.folders:
            raise self._wrong(400, "folder not found")
        there = self.dashboards.get(uid)
        if there is not None and not body.get("overwrite") and dashboard.get("version") != there["version"]:
            raise Refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
        version = 1 if there is None else there["version"] + 1
        number = len(self.dashboards) + 1 if there is None else there["id"]
        self.dashboards[uid] = {**dashboard, "uid": uid, "id": number, "version": version}
        self.folder_of[uid] = body["folderUid"]
        return 200, {"id": number, "uid": uid, "url": f"/d/{uid}/x", "status": "success", "version": version}

    # Alert rules.

    def get_rule(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        if uid not in self.rules:
            raise Refusal(404, "alert rule not found")
        return 200, self.rules[uid]

    def create_rule(self, body: Body, query: object) -> tuple[int, Any]:
        uid = body.get("uid") or f"rule{len(self.rules)}"
        self._checked_rule(body, uid)
        if uid in self.rules:
            raise Refusal(409, "a conflicting alert rule is found")
        self.rules[uid] = {"id": len(self.rules) + 1, "updated": "2026-01-01T00:00:00Z", **body, "uid": uid}
        self.intervals.setdefault((body["folderUID"], body["ruleGroup"]), 60)
        return 201, self.rules[uid]

    def update_rule(self, body: Body, query: object, uid: str) -> tuple[int, Any]:
        self._checked_rule(body, uid)
        if uid not in self.rules:
            raise Refusal(404, "alert rule not found")
        self.rules[uid] = {**self.rules[uid], **body}
        return 200, self.rules[uid]

    def _checked_rule(self, body: Body, uid: str) -> None:
        self._require(body, *RULE_FIELDS)
        self._uid(uid)
        if body["folderUID"] not in self.folders:
            raise self._wrong(400, "invalid alert rule: the folder does not exist")
        if body["condition"] not in [query["refId"] for query in body["data"]]:
            raise self._wrong(400, "invalid alert rule: the condition names no query")
        for query in body["data"]:
            self._require(query, "refId", "datasourceUid", "model", "relativeTimeRange")
            if query["datasourceUid"] != "__expr__" and query["datasourceUid"] not in self.datasources:
                raise self._wrong(400, f"invalid alert rule: no data source {query['datasourceUid']}")
        if body["noDataState"] not in ("Alerting", "NoData", "OK", "KeepLast"):
            raise self._wrong(400, f"invalid alert rule: noDataState {body['noDataState']}")
        if body["execErrState"] not in ("OK", "Alerting", "Error", "KeepLast"):
            raise self._wrong(400, f"invalid alert rule: execErrState {body['execErrState']}")

    def get_group(self, body: Body, query: object, folder: str, group: str) -> tuple[int, Any]:
        if (folder, group) not in self.intervals:
            raise Refusal(404, "rule group not found")
        rules = [r for r in self.rules.values() if (r["folderUID"], r["ruleGroup"]) == (folder, group)]
        interval = self.intervals[folder, group]
        return 200, {"title": group, "folderUid": folder, "interval": interval, "rules": rules}

    def put_group(self, body: Body, query: object, folder: str, group: str) -> tuple[int, Any]:
        self._require(body, "interval", "rules")
        if body["interval"] % 10:
            raise self._wrong(400, "interval is not divisible by the base interval of 10 s")
        # What is not in the group any more is deleted from it.
        kept = {rule["uid"] for rule in body["rules"]}
        for uid in [u for u, r in self.rules.items() if (r["folderUID"], r["ruleGroup"]) == (folder, group)]:
            if uid not in kept:
                del self.rules[uid]
        self.intervals[folder, group] = body["interval"]
        return 200, {**body, "title": group}

    # Annotations.

    def find_annotations(self, body: Body, query: Mapping[str, list[str]], *names: str) -> tuple[int, Any]:
        tags, limit = query.get("tags", []), int(query.get("limit", ["100"])[0])
        found = [{"id": id, **each} for id, each in self.annotations.items() if {*tags} <= {*each["tags"]}]
        return 200, found[:limit]

    def create_annotation(self, body: Body, query: object) -> tuple[int, Any]:
        self._require(body, "text")
        self._checked_times(body)
        id = len(self.annotations) + 1
        self.annotations[id] = {name: body.get(name) for name in ("time", "timeEnd", "text", "tags")}
        return 200, {"message": "Annotation added", "id": id}

    def patch_annotation(self, body: Body, query: object, id: str) -> tuple[int, Any]:
        if int(id) not in self.annotations:
            raise Refusal(404, "Annotation not found")
        self._checked_times(body)
        there = self.annotations[int(id)]
        # A field that is sent is set; null is none. An empty list takes the tags away.
        there.update({name: body[name] for name in there if body.get(name) is not None})
        return 200, {"message": "Annotation patched"}

    def _checked_times(self, body: Body) -> None:
        for name in ("time", "timeEnd"):
            value = body.get(name)
            # Epoch numbers in milliseconds: of this century, and no nanoseconds.
            if value is not None and not (isinstance(value, int) and 10**12 <= value < 10**13):
                raise self._wrong(400, f"{name} is no epoch in milliseconds: {value!r}")


Carry = Callable[..., tuple[int, Any]]
_NAME = "([^/]+)"
_ROUTES: list[tuple[str, str, str, Carry]] = [
    ("GET", f"/api/folders/{_NAME}", "folders:read", FakeGrafana.get_folder),
    ("POST", "/api/folders", "folders:create", FakeGrafana.create_folder),
    ("GET", f"/api/datasources/uid/{_NAME}", "datasources:read", FakeGrafana.get_datasource),
    ("POST", "/api/datasources", "datasources:create", FakeGrafana.create_datasource),
    ("PUT", f"/api/datasources/uid/{_NAME}", "datasources:write", FakeGrafana.update_datasource),
    ("GET", f"/api/dashboards/uid/{_NAME}", "dashboards:read", FakeGrafana.get_dashboard),
    ("POST", "/api/dashboards/db", "dashboards:write", FakeGrafana.save_dashboard),
    ("GET", f"/api/v1/provisioning/alert-rules/{_NAME}", "alert.provisioning:read", FakeGrafana.get_rule),
    ("POST", "/api/v1/provisioning/alert-rules", "alert.provisioning:write", FakeGrafana.create_rule),
    ("PUT", f"/api/v1/provisioning/alert-rules/{_NAME}", "alert.provisioning:write", FakeGrafana.update_rule),
    (
        "GET",
        f"/api/v1/provisioning/folder/{_NAME}/rule-groups/{_NAME}",
        "alert.provisioning:read",
        FakeGrafana.get_group,
    ),
    (
        "PUT",
        f"/api/v1/provisioning/folder/{_NAME}/rule-groups/{_NAME}",
        "alert.provisioning:write",
        FakeGrafana.put_group,
    ),
    ("GET", "/api/annotations", "annotations:read", FakeGrafana.find_annotations),
    ("POST", "/api/annotations", "annotations:create", FakeGrafana.create_annotation),
    ("PATCH", "/api/annotations/([0-9]+)", "annotations:write", FakeGrafana.patch_annotation),
]


def _handler(grafana: FakeGrafana) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                grafana.before(self.command, self.path)
                status, answer = grafana.answer(self.command, self.path, dict(self.headers), raw)
                grafana.after(self.command, self.path)
            except ConnectionError:
                self.close_connection = True
                return
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in grafana.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked waits no longer
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # names of the library's

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
