"""A carrier for consuming fast: the asyncio sister of gameday/transports/carriers/fast.py.

It promises what that one does, for as many calls at once as it is asked for; each has a connection of its own while it
lasts, which is then kept for the next. What it does not speak, and all calls where a proxy lies on the way, it hands to
aiobotocore, so that whoever carries with it need not know which is which.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from botocore.credentials import Credentials
from botocore.session import Session

from gameday.transports.aws_errors import translate
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers import calls
from gameday.transports.carriers.json_protocol import (
    CONNECT_TIMEOUT_S,
    SERVICES,
    FrozenCredentials,
    Place,
    Response,
    broken_off,
    goes_through_proxy,
    no_credentials,
    not_answered,
    speaks,
    tls_context,
)
from gameday.transports.endpoint import Endpoint

if TYPE_CHECKING:
    from gameday.transports.carriers.aio import AioCarrier


class _Connection(asyncio.Protocol):
    """One connection to one service: one call at a time."""

    def __init__(self, read_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_timeout_s = read_timeout_s
        self._response = Response()
        self._answered: asyncio.Future[Response] | None = None
        self._late: asyncio.TimerHandle | None = None
        self.closed = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answered is None:
            # Nobody has asked; it must not be taken for the answer to what comes next.
            self.close()
            return
        try:
            self._response.feed(data)
        except CallFailed as error:
            self._fail(error)
            return
        if self._response.whole:
            self._done()
        else:
            self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._fail(broken_off(error))
            return
        try:
            self._response.ended()
        except CallFailed as failed:
            self._fail(failed)
        else:
            self._done()

    # What a call does.

    async def exchange(self, request: bytes) -> Response:
        """Errors: CallFailed."""
        self._response = Response()
        self._answered = self._loop.create_future()
        self._wait()
        try:
            self._transport.write(request)
            return await self._answered
        except asyncio.CancelledError:
            # Its answer would be taken for that of the next call.
            self.close()
            raise
        finally:
            if self._late is not None:
                self._late.cancel()
            self._answered = None

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def _wait(self) -> None:
        """For the next piece of an answer: as botocore's, the time-out is that of each."""
        if self._late is not None:
            self._late.cancel()
        self._late = self._loop.call_later(self._read_timeout_s, self._fail, not_answered(self._read_timeout_s))

    def _done(self) -> None:
        if not self._response.keep:
            self.close()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._response)

    def _fail(self, error: CallFailed) -> None:
        self.close()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


class _Service:
    """The connections to one service. `most`: how many calls are made at once, the others wait."""

    def __init__(self, place: Place, *, read_timeout_s: float, most: int) -> None:
        self._place = place
        self._tls = tls_context(Session()) if place.secure else None
        self._read_timeout_s = read_timeout_s
        self._free = asyncio.Semaphore(most)
        self._kept: list[_Connection] = []

    async def call(self, call: Call, credentials: FrozenCredentials) -> Answer:
        """Errors: CallFailed."""
        async with self._free:
            request = self._place.request(call, credentials)
            connection = await self._connection()
            response = await connection.exchange(request)
            if not connection.closed:
                self._kept.append(connection)
        return self._place.answer(call, response)

    async def _connection(self) -> _Connection:
        # The loop has told those that the other side has closed.
        while self._kept:
            connection = self._kept.pop()
            if not connection.closed:
                return connection
        place = self._place
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, made = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._read_timeout_s), place.host, place.port, ssl=self._tls
                )
        except OSError as error:
            raise place.unreachable(error) from error
        return made

    def close(self) -> None:
        while self._kept:
            self._kept.pop().close()


def aio_carrier(endpoint: Endpoint, *, read_timeout_s: float, connections: int) -> FastAioCarrier | AioCarrier:
    """The carrier that an endpoint asks for."""
    if endpoint.carrier == "fast":
        return FastAioCarrier(endpoint, read_timeout_s=read_timeout_s, connections=connections)
    return _sdk_carrier(endpoint, read_timeout_s=read_timeout_s, connections=connections)


def _sdk_carrier(endpoint: Endpoint, *, read_timeout_s: float, connections: int) -> AioCarrier:
    # Here and not above: it takes longer to import than everything else of a consumer.
    from gameday.transports.carriers.aio import AioCarrier

    return AioCarrier(endpoint, read_timeout_s=read_timeout_s, connections=connections)


class FastAioCarrier:
    """`connections`: how many calls of a service are on their way at once."""

    def __init__(self, endpoint: Endpoint, *, read_timeout_s: float, connections: int) -> None:
        self._endpoint = endpoint
        self._read_timeout_s = read_timeout_s
        self._most = connections
        self._services: dict[str, _Service | None] = {}
        self._given = None if endpoint.access_key is None else Credentials(endpoint.access_key, endpoint.secret_key)
        # Those of the SDK's own chain, which renews them: asked for once there is a call.
        self._source: Any = None
        self._sdk: AioCarrier | None = None

    async def __call__(self, call: Call) -> Answer:
        """Errors: CallFailed."""
        service = self._services[call.service] if call.service in self._services else await self._service(call.service)
        if service is None or not speaks(call):
            return await self._by_sdk()(call)
        began = calls.began()
        try:
            answer = await service.call(call, self._given or await self._frozen())
        except CallFailed as failed:
            calls.ended(call, began, failed)
            raise
        calls.ended(call, began, answer=answer)
        return answer

    async def open(self, service: str) -> None:
        """Get ready to call a service, so that the first call finds everything in place. Errors: CallFailed."""
        if await self._service(service) is None:
            await self._by_sdk().open(service)

    async def close(self) -> None:
        for service in self._services.values():
            if service is not None:
                service.close()
        if self._sdk is not None:
            await self._sdk.close()

    async def _service(self, name: str) -> _Service | None:
        """None: the SDK carries its calls."""
        url = self._endpoint.url(name)
        made = None
        if name in SERVICES:
            if url is None:
                # The SDK knows where AWS is, and which environment variables and profiles say otherwise.
                url = str((await self._by_sdk().client(name)).meta.endpoint_url)
            if not goes_through_proxy(url):
                place = Place(service=name, url=url, region=self._endpoint.region)
                made = _Service(place, read_timeout_s=self._read_timeout_s, most=self._most)
        return self._services.setdefault(name, made)

    async def _frozen(self) -> FrozenCredentials:
        from aiobotocore.session import get_session

        try:
            if self._source is None:
                self._source = await get_session().get_credentials()
            if self._source is None:
                raise no_credentials()
            frozen: FrozenCredentials = await self._source.get_frozen_credentials()
        except CallFailed:
            raise
        except Exception as error:
            raise translate(error) from error
        return frozen

    def _by_sdk(self) -> AioCarrier:
        if self._sdk is None:
            self._sdk = _sdk_carrier(self._endpoint, read_timeout_s=self._read_timeout_s, connections=self._most)
        return self._sdk
