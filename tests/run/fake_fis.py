"""A Fault Injection Service that injects nothing: it holds each request to botocore's model of FIS, and plays the
states of an experiment (pending, initiating, running, completed; stopping, stopped; failed).

An experiment goes one state further with each look at it, so nothing here takes time; `holds` keeps one that runs from
ending by itself. What the model does not have is answered as FIS answers it, and stands in `wrong`. It knows no more of
the real service than that.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session
from botocore.validate import ParamValidator

Body = dict[str, Any]
THROTTLE = "aws:kinesis:stream-provisioned-throughput-exception"
# As ListActions tells them: two of the real ones, and one that strikes nothing.
ACTIONS: Body = {
    THROTTLE: {"KinesisStreams": {"resourceType": "aws:kinesis:stream"}},
    "aws:fis:inject-api-throttle-error": {"Roles": {"resourceType": "aws:iam:role"}},
    "aws:fis:wait": {},
}
_MODEL = botocore.session.get_session().get_service_model("fis")
_OPERATIONS = [_MODEL.operation_model(name) for name in _MODEL.operation_names]
_NEXT = {"pending": "initiating", "initiating": "running", "running": "completed", "stopping": "stopped"}


@dataclass
class Played:
    """One experiment. `became`: every state that it had."""

    id: str
    template: str
    status: str = "pending"
    reason: str = ""
    actions: Body = field(default_factory=dict)
    tags: Body = field(default_factory=dict)
    began: float | None = None
    became: list[str] = field(default_factory=lambda: ["pending"])


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class FakeFis:
    """`fails`: why an experiment fails instead of running; `stalls`: it never gets so far; `turns`: called with each
    new state of one."""

    def __init__(self) -> None:
        self.reset()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """As new, at the same address."""
        self.templates: dict[str, Body] = {}
        self.experiments: dict[str, Played] = {}
        self.asked: list[tuple[str, Body]] = []
        self.wrong: list[str] = []
        self.fails: str | None = None
        self.holds = True
        self.stalls = False
        # What a start waits for before it is answered.
        self.slowly: threading.Event | None = None
        # Operations of which the answer is lost so often, once they are done.
        self.loses: dict[str, int] = {}
        self.refuses: dict[str, tuple[int, str]] = {}
        self.turns: Callable[[str], None] = lambda status: None
        self._tokens: dict[str, str] = {}

    def operations(self) -> list[str]:
        return [name for name, _ in self.asked]

    def there_is(self, template: str, **more: object) -> None:
        """One that somebody else has made."""
        self.templates[template] = {"id": template, "actions": {"a": {"actionId": THROTTLE}}, **more}

    def answer(self, method: str, url: str, body: bytes) -> Body:
        """Errors: Refusal."""
        parts = urlsplit(url)
        for operation in _OPERATIONS:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
            found = re.fullmatch(pattern, parts.path)
            if found and operation.http["method"] == method:
                break
        else:
            self.wrong.append(f"{method} {url}")
            raise Refusal(404, "UnknownOperationException", f"{method} {url}")
        params = {**{name: unquote(value) for name, value in found.groupdict().items()}, **json.loads(body or b"{}")}
        for name, values in parse_qs(parts.query).items():
            kind = operation.input_shape.members[name].type_name
            params[name] = int(values[0]) if kind == "integer" else values[0]
        report = ParamValidator().validate(params, operation.input_shape)
        if report.has_errors():
            self.wrong.append(f"{operation.name}: {report.generate_report()}")
            raise Refusal(400, "ValidationException", report.generate_report())
        with self._lock:
            self.asked.append((operation.name, params))
            if operation.name in self.refuses:
                status, code = self.refuses[operation.name]
                raise Refusal(status, code, "planted")
            answer: Body = getattr(self, "_" + operation.name)(params)
            if operation.name == "StartExperiment" and self.slowly is not None:
                self.slowly.wait(10)
            if self.loses.get(operation.name):
                self.loses[operation.name] -= 1
                raise ConnectionError("planted")
            return answer

    def _ListActions(self, params: Body) -> Body:
        return _page(
            "actions", [{"id": each, "description": each, "targets": ACTIONS[each]} for each in ACTIONS], params
        )

    def _ListExperiments(self, params: Body) -> Body:
        told = [self._told(played)["experiment"] | {"tags": played.tags} for played in self.experiments.values()]
        return _page("experiments", told, params)

    def _ListExperimentTemplates(self, params: Body) -> Body:
        return _page("experimentTemplates", list(self.templates.values()), params)

    def _CreateExperimentTemplate(self, params: Body) -> Body:
        return {"experimentTemplate": self.templates[self._once(params, lambda: self._create(params))]}

    def _create(self, params: Body) -> str:
        for action in params["actions"].values():
            if action["actionId"] not in ACTIONS:
                raise Refusal(400, "ValidationException", f"no action {action['actionId']}")
            if {*action.get("targets", {})} != {*ACTIONS[action["actionId"]]}:
                raise Refusal(400, "ValidationException", "an action needs its targets")
            if not re.fullmatch(r"PT(\d+[HMS])+", action.get("parameters", {}).get("duration", "")):
                raise Refusal(400, "ValidationException", "an action needs a duration in ISO 8601")
            if not {*action.get("targets", {}).values()} <= {*params.get("targets", {})}:
                raise Refusal(400, "ValidationException", "a target is not defined")
        for name, target in params.get("targets", {}).items():
            if ("resourceArns" in target) == ("resourceTags" in target):
                raise Refusal(400, "ValidationException", f"{name}: either ARNs or tags")
        for condition in params["stopConditions"]:
            if (condition["source"] == "none") == ("value" in condition):
                raise Refusal(400, "ValidationException", "an alarm has a value, and none has none")
        template = f"EXT{len(self.templates) + 1}made"
        self.templates[template] = {"id": template, **params}
        return template

    def _GetExperimentTemplate(self, params: Body) -> Body:
        return {"experimentTemplate": self._template(params["id"])}

    def _DeleteExperimentTemplate(self, params: Body) -> Body:
        return {"experimentTemplate": self.templates.pop(self._template(params["id"])["id"])}

    def _StartExperiment(self, params: Body) -> Body:
        template = self._template(params["experimentTemplateId"])

        def start() -> str:
            played = Played(id=f"EXP{len(self.experiments) + 1}", template=template["id"], tags=params.get("tags", {}))
            self.experiments[played.id] = played
            return played.id

        return self._told(self.experiments[self._once(params, start)])

    def _GetExperiment(self, params: Body) -> Body:
        played = self._experiment(params["id"])
        if played.status == "initiating" and self.fails is not None:
            self._turn(played, "failed", self.fails)
        elif played.status in _NEXT and not self._stays(played.status):
            self._turn(played, _NEXT[played.status])
        return self._told(played)

    def _StopExperiment(self, params: Body) -> Body:
        played = self._experiment(params["id"])
        if played.status not in ("pending", "initiating", "running"):
            raise Refusal(400, "ValidationException", f"{played.id} is {played.status}")
        self._turn(played, "stopping")
        return self._told(played)

    def _stays(self, status: str) -> bool:
        return (status == "running" and self.holds) or (status == "pending" and self.stalls)

    def trip(self, reason: str) -> None:
        """The stop alarm goes off."""
        with self._lock:
            for played in self.experiments.values():
                if played.status == "running":
                    self._turn(played, "stopping", reason)

    def _turn(self, played: Played, status: str, reason: str = "") -> None:
        played.status, played.reason = status, reason or played.reason
        played.became.append(status)
        if status == "running":
            played.began = time.time()
        self.turns(status)

    def _told(self, played: Played) -> Body:
        action = {"actionId": "a", "state": {"status": played.status if played.began else "pending"}}
        told: Body = {
            "id": played.id,
            "experimentTemplateId": played.template,
            "state": {"status": played.status, "reason": played.reason},
            "actions": {"fault": action},
        }
        return {"experiment": told | ({"startTime": played.began} if played.began else {})}

    def _once(self, params: Body, make: Callable[[], str]) -> str:
        """A token that came before gives what it gave."""
        token = params["clientToken"]
        if token not in self._tokens:
            self._tokens[token] = make()
        return self._tokens[token]

    def _template(self, name: str) -> Body:
        if name not in self.templates:
            raise Refusal(404, "ResourceNotFoundException", f"no experiment template {name}")
        return self.templates[name]

    def _experiment(self, name: str) -> Played:
        if name not in self.experiments:
            raise Refusal(404, "ResourceNotFoundException", f"no experiment {name}")
        return self.experiments[name]


def _page(items: str, every: list[Body], params: Body) -> Body:
    """Of two, so that who reads one alone is caught."""
    first = int(params.get("nextToken", 0))
    more = {"nextToken": str(first + 2)} if first + 2 < len(every) else {}
    return {items: every[first : first + 2], **more}


def _handler(fis: FakeFis) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One packet for each answer.
        wbufsize = -1

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                self._say(200, fis.answer(self.command, self.path, body))
            except Refusal as refusal:
                self._say(refusal.status, {"message": str(refusal)}, {"x-amzn-ErrorType": refusal.code})
            except ConnectionError:
                self.close_connection = True
                self.connection.close()

        do_GET = do_POST = do_DELETE = do_PATCH = _serve

        def _say(self, status: int, told: Body, headers: Body | None = None) -> None:
            text = json.dumps(told, default=str).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler
