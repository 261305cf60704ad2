"""A carrier for sending fast: AWS's JSON protocol over one kept-alive connection a user, without botocore's layers.

It promises what boto3 with its retries off promises: one call is one request on the wire at most; the same answers
(the parsed JSON document) and the same errors. Definite: it could not connect, the service refused (4xx, a throttle).
Indefinite: anything after the request may have left: a timeout, a broken connection, a 5xx, an answer nobody can read.
gameday/transports/carriers/fast_aio.py is the same for asyncio.

Sockets are the standard library's: under Locust they are gevent's, in a test they are plain.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable, Collection
from typing import Any

import boto3
from botocore.credentials import Credentials
from urllib3.util.wait import wait_for_read

from gameday.transports.aws_errors import translate
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers import calls
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.carriers.json_protocol import (
    CONNECT_TIMEOUT_S,
    FrozenCredentials,
    Place,
    Response,
    broken_off,
    no_credentials,
    not_answered,
    tls_context,
)
from gameday.transports.endpoint import Endpoint

_RECEIVE_BYTES = 65536
# Linux: `tcpi_state` is the first byte of the answer (include/uapi/linux/tcp.h, include/net/tcp_states.h).
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ESTABLISHED = 1


class Connection:
    """One user's connection to one service: one call at a time. Errors of a call: CallFailed. `tls`: None without."""

    def __init__(
        self,
        place: Place,
        *,
        tls: ssl.SSLContext | None,
        credentials: Callable[[], FrozenCredentials],
        read_timeout_s: float,
    ) -> None:
        self._place = place
        self._tls = tls
        self._credentials = credentials
        self._read_timeout_s = read_timeout_s
        self._socket: socket.socket | None = None

    def __call__(self, call: Call) -> Answer:
        request = self._place.request(call, self._credentials())
        return self._place.answer(call, self._exchange(self.connect(), request))

    def connect(self) -> socket.socket:
        """The kept connection, or a new one where the service has closed it. Errors: CallFailed, definite."""
        if self._socket is not None:
            if not _is_closed(self._socket):
                return self._socket
            self.close()
        connection: socket.socket | None = None
        try:
            connection = socket.create_connection((self._place.host, self._place.port), timeout=CONNECT_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._place.host)
            connection.settimeout(self._read_timeout_s)
        except OSError as error:
            if connection is not None:
                connection.close()
            raise self._place.unreachable(error) from error
        self._socket = connection
        return connection

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, connection: socket.socket, request: bytes) -> Response:
        response = Response()
        try:
            connection.sendall(request)
            while not response.whole:
                data = connection.recv(_RECEIVE_BYTES)
                if data:
                    response.feed(data)
                else:
                    response.ended()
        except TimeoutError as error:
            raise not_answered(self._read_timeout_s) from error
        except OSError as error:
            raise broken_off(error) from error
        finally:
            if not response.keep:
                self.close()
        return response


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed an idle connection."""
    if _TCP_INFO is None:
        # It then has something to read.
        return bool(wait_for_read(connection, timeout=0.0))
    # Asked of the kernel, whatever kind of socket it is: a poll costs as much as half a call under gevent.
    return connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED


class FastCarrier:
    """One connection for each user and service. `services` must all be among those of the JSON protocol here."""

    def __init__(self, endpoint: Endpoint, *, services: tuple[str, ...], read_timeout_s: float) -> None:
        boto = BotoCarrier(endpoint)
        # boto3 knows where AWS is, and which environment variables and profiles say otherwise.
        self._urls = {service: str(boto.client(service).meta.endpoint_url) for service in services}
        self._region = endpoint.region
        self._read_timeout_s = read_timeout_s
        session = boto3.session.Session()
        secure = any(url.startswith("https:") for url in self._urls.values())
        self._tls = tls_context(session._session) if secure else None
        if endpoint.access_key is not None:
            self._source: Any = Credentials(endpoint.access_key, endpoint.secret_key)
        else:
            self._source = session.get_credentials()

    @property
    def urls(self) -> Collection[str]:
        """Where the services are."""
        return self._urls.values()

    def for_one_user(self) -> Callable[[Call], Answer]:
        connections = {}
        for service, url in self._urls.items():
            place = Place(service=service, url=url, region=self._region)
            connections[service] = Connection(
                place,
                tls=self._tls if place.secure else None,
                credentials=self._credentials,
                read_timeout_s=self._read_timeout_s,
            )
        for connection in connections.values():
            try:
                connection.connect()
            except CallFailed:
                # Warming up is a courtesy: the first call meets the same failure and records it.
                continue

        def carry(call: Call) -> Answer:
            began = calls.began()
            try:
                answer = connections[call.service](call)
            except CallFailed as failed:
                calls.ended(call, began, failed)
                raise
            calls.ended(call, began, answer=answer)
            return answer

        return carry

    def _credentials(self) -> FrozenCredentials:
        if self._source is None:
            raise no_credentials()
        try:
            frozen: FrozenCredentials = self._source.get_frozen_credentials()
        except Exception as error:
            raise translate(error) from error
        return frozen
