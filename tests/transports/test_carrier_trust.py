"""Whom the carriers trust and who they say they are: TLS with a CA of somebody's own, proxies on the way, and session
tokens that expire. The SDKs beside ours, each time."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from dateutil.tz import tzutc

from gameday.transports.base import Call, CallFailed
from gameday.transports.carriers.fast import FastCarrier
from gameday.transports.carriers.fast_aio import FastAioCarrier
from gameday.transports.endpoint import Endpoint
from tests.contract.carriers import Failed, Told, Which, asking
from tests.needed import installed
from tests.transports.test_fast_aio_carrier import with_carrier
from tests.transports.test_fast_carrier import OK, http, serving

SEND = Call("sqs", "SendMessageBatch", {"QueueUrl": "http://q", "Entries": [{"Id": "0", "MessageBody": "x"}]})
ALL: list[Which] = ["boto3", "fast", "aiobotocore", "fast for asyncio"]
every_carrier = pytest.mark.parametrize("which", ALL)


@pytest.fixture(autouse=True)
def nobody_is_told_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


class Certificates(NamedTuple):
    """Files: the CA's certificate, and key and certificate of a server that is called localhost."""

    ca: Path
    key: Path
    server: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA made here; as many do, it says nothing of which key it has."""
    openssl, place = installed("openssl", package="openssl"), tmp_path_factory.mktemp("ca")
    made = Certificates(place / "ca.pem", place / "key.pem", place / "server.pem")
    # None of the machine's own settings, which would add what many a CA does not have.
    (place / "settings").write_text("[req]\ndistinguished_name = name\n[name]\n")
    new = [openssl, "req", "-config", place / "settings", "-x509", "-nodes", "-days", "2"]
    new += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    ca = ["-keyout", place / "ca.key", "-out", made.ca, "-subj", "/CN=a CA of a test"]
    server = ["-keyout", made.key, "-out", made.server, "-subj", "/CN=localhost"]
    signed = ["-CA", made.ca, "-CAkey", place / "ca.key", "-addext", "subjectAltName=DNS:localhost"]
    for words in ([*new, *ca, "-addext", "basicConstraints=critical,CA:TRUE"], [*new, *server, *signed]):
        subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)
    return made


class Listening:
    """A port of loopback, and a thread for each connection to it."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        # Clients of boto3's keep theirs.
        for open in (self._socket, *self._open):
            with suppress(OSError):
                open.shutdown(socket.SHUT_RDWR)
            open.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.serve(connection)


class Secure(Listening):
    """Speaks TLS, and answers each request with the next of `says`, then with OK; None breaks the connection."""

    def __init__(self, certificates: Certificates, says: list[bytes | None]) -> None:
        self.requests = 0
        self._says = says
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.server, certificates.key)
        super().__init__()

    def endpoint(self, host: str = "localhost") -> Endpoint:
        return Endpoint(urls={"*": f"https://{host}:{self.port}"}, access_key="AK", secret_key="SK")

    def serve(self, connection: socket.socket) -> None:
        secure = self._context.wrap_socket(connection, server_side=True)
        self._open.append(secure)
        while self._read(secure):
            self.requests += 1
            said = self._says.pop(0) if self._says else http("200 OK", OK)
            if said is None:
                # Half an answer, and no farewell of TLS's.
                secure.send(http("200 OK", OK)[:-20])
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                secure.close()
                return
            secure.sendall(said)

    def _read(self, secure: ssl.SSLSocket) -> bytes:
        """A request; a client may write its head and its body apart."""
        data = b""
        while not data.endswith(b"}"):
            if not (more := secure.recv(65536)):
                return b""
            data += more
        return data


@pytest.fixture
def secure(certificates: Certificates) -> Iterator[Callable[..., Secure]]:
    made: list[Secure] = []

    def make(*says: bytes | None) -> Secure:
        made.append(Secure(certificates, list(says)))
        return made[-1]

    yield make
    for server in made:
        server.close()


@every_carrier
@pytest.mark.parametrize("told", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "profile"])
def test_a_ca_of_somebodys_own_is_trusted_where_they_say_so(
    which: Which,
    told: str,
    secure: Callable[..., Secure],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if told == "profile":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificates.ca}\n")
    else:
        monkeypatch.setenv(told, str(certificates.ca))
    server = secure()
    with asking(which, server.endpoint(), services=["sqs"]) as ask:
        assert ask(SEND) == ask(SEND) == orjson.loads(OK)
    assert (server.requests, server.connections) == (2, 1)


@every_carrier
@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
def test_whom_nobody_trusts_is_told_nothing(
    which: Which,
    host: str,
    trusted: bool,
    secure: Callable[..., Secure],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CA that nobody has named, and a certificate of another name."""
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.ca))
    server = secure()
    with asking(which, server.endpoint(host)) as ask:
        assert ask(SEND) == Failed("failed", "SSLError")
    assert server.requests == 0


@every_carrier
def test_a_secure_connection_that_breaks_in_the_middle_proves_nothing(
    which: Which, secure: Callable[..., Secure], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.ca))
    server = secure(http("200 OK", OK), None)
    with asking(which, server.endpoint()) as ask:
        assert ask(SEND) == orjson.loads(OK)
        assert ask(SEND) == Failed("unknown", "ConnectionClosedError")
        assert ask(SEND) == orjson.loads(OK)
    assert server.requests == 3


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
@every_carrier
def test_a_file_of_certificates_that_is_not_there(
    which: Which, variable: str, secure: Callable[..., Secure], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    server = secure()
    told = once(which, server.endpoint())
    assert isinstance(told, Failed) and server.requests == 0
    if which == "aiobotocore":
        # It wants the file where nobody needs it, too.
        return
    with serving(http("200 OK", OK)) as plain:
        assert once(which, plain.endpoint) == orjson.loads(OK)


def once(which: Which, endpoint: Endpoint) -> Told:
    try:
        with asking(which, endpoint, services=["sqs"]) as ask:
            return ask(SEND)
    except CallFailed as failed:
        # Some look for what they need before there is any call.
        return Failed(failed.outcome, failed.code)


# Proxies.


class Proxy(Listening):
    """Tunnels to wherever it is asked for (CONNECT); `asked` has where."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(65536)):
                return
            head += data
        method, where = head.split(b" ", 2)[:2]
        assert method == b"CONNECT"
        self.asked.append(where.decode())
        host, _, port = where.decode().partition(":")
        server = socket.create_connection((host, int(port)))
        self._open.append(server)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        self._start(_pass_on, server, connection)
        _pass_on(connection, server)


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while data := here.recv(65536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)


@contextmanager
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("which", ["boto3", "aiobotocore", "fast for asyncio"])
def test_a_proxy_on_the_way_is_gone_through_with_the_ca_of_somebodys_own(
    which: Which, secure: Callable[..., Secure], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours hands it to the SDK, which knows how; for boto3's see loadgen's `carrier_for`."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.ca))
    server = secure()
    with proxy() as through:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{through.port}")
        with asking(which, server.endpoint()) as ask:
            assert ask(SEND) == orjson.loads(OK)
        assert through.asked == [f"localhost:{server.port}"]
        monkeypatch.setenv("NO_PROXY", "localhost")
        with asking(which, server.endpoint()) as ask:
            assert ask(SEND) == orjson.loads(OK)
        assert len(through.asked) == 1
    assert server.requests == 2


# Credentials that expire.

# Stands for an instance role, SSO or an assumed role: other keys each time, the n-th good for n days.
_GIVES_KEYS = """
import json, pathlib, sys
from datetime import datetime, timedelta, timezone
asked = pathlib.Path(sys.argv[1])
times = int(asked.read_text()) + 1 if asked.exists() else 1
asked.write_text(str(times))
if pathlib.Path(sys.argv[1] + ".broken").exists():
    sys.exit("no more keys")
until = (datetime.now(timezone.utc) + timedelta(days=times)).isoformat()
print(json.dumps({"Version": 1, "AccessKeyId": f"AKIA{times}", "SecretAccessKey": "secret",
                  "SessionToken": f"token-{times}", "Expiration": until}))
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The file that says how often keys were asked for; with `.broken` beside it there are no more."""
    script, asked = tmp_path / "keys.py", tmp_path / "asked"
    script.write_text(_GIVES_KEYS)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script} {asked}\n")
    return asked


def after(asked: Path) -> Callable[[], datetime]:
    """A clock on which the latest keys are no longer good, and the next ones are."""
    days = int(asked.read_text())
    return lambda: datetime.now(tzutc()) + timedelta(days=days, hours=1)


def signed_by(request: bytes) -> tuple[bytes, bytes]:
    """The access key and the session token of a request."""
    lines = dict(line.split(b": ", 1) for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    head = {name.lower(): value for name, value in lines.items()}
    return head[b"authorization"].partition(b"Credential=")[2].partition(b"/")[0], head[b"x-amz-security-token"]


def renewed(requests: list[bytes], asked: Path) -> bool:
    """Whether the third of three was signed with the keys that were given last, the others with those before."""
    times = int(asked.read_text())
    before, last = ((f"AKIA{n}".encode(), f"token-{n}".encode()) for n in (times - 1, times))
    return [signed_by(request) for request in requests] == [before, before, last]


def test_keys_that_expired_are_renewed_before_the_next_request(keys: Path) -> None:
    with serving(*[http("200 OK", OK)] * 3) as server:
        carrier = FastCarrier(Endpoint(urls=server.endpoint.urls), services=("sqs",), read_timeout_s=5)
        carry = carrier.for_one_user()
        carry(SEND)
        carry(SEND)
        carrier._source._time_fetcher = after(keys)
        carry(SEND)
        assert renewed(server.requests, keys)

    async def scene(carrier: FastAioCarrier) -> None:
        await carrier(SEND)
        await carrier(SEND)
        carrier._source._time_fetcher = after(keys)
        await carrier(SEND)

    with serving(*[http("200 OK", OK)] * 3) as server:
        with_carrier(Endpoint(urls=server.endpoint.urls), scene)
        assert renewed(server.requests, keys)


@every_carrier
def test_where_there_are_no_keys_to_be_had_nothing_was_sent(keys: Path, which: Which) -> None:
    keys.with_suffix(".broken").touch()
    with serving(http("200 OK", OK)) as server:
        assert once(which, Endpoint(urls=server.endpoint.urls)) == Failed("failed", "CredentialRetrievalError")
        assert server.requests == []
