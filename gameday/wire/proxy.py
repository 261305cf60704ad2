"""The reverse proxy: HTTP from each consumer's port to the target and back, with a record of what matters.

It promises that what it does not know passes through untouched, streams and compressed bodies included; that it never
answers for the service unless a fault tells it to (where the target gives no answer, the consumer's connection breaks
as the target's did); that it forwards to its one target alone, whatever a request names; and that a call which was sent
on is followed to its answer even when the consumer is gone, but for a receive, which is then taken back.

Sources: RFC 9110, 7.6 (what a proxy may not hand on).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from gameday.history.clock import Clock
from gameday.history.events import SendResult
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbance
from gameday.transports.aws_errors import is_definite
from gameday.transports.registry import TRANSPORTS
from gameday.wire import queue, stream
from gameday.wire.client import Client
from gameday.wire.config import WireConfig
from gameday.wire.faults import Broken, Faults
from gameday.wire.queue import QueueTraffic
from gameday.wire.signing import Signer
from gameday.wire.spoken import FORM, Asked, Dialect, Params, Unreadable, asked
from gameday.wire.stream import StreamTraffic
from gameday.wire.taken import Receive
from gameday.wire.urls import QueueUrls

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
# What is read and understood is kept whole in memory, a larger body is passed on as it comes. AWS's largest is that of
# PutRecords (10 MiB), whose records are longer in base64.
_READ_MAX_BYTES = 16 * 2**20
# How long a consumer may take to send a body that is kept whole.
_BODY_S = 60.0
_CONNECT_S = 5.0
# Shorter than any target's own, so that no call goes into a connection which the target is about to close.
_KEEPALIVE_S = 2.0
_HEAD_MAX_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Exchange:
    """One request on its way, as far as anybody here understands it. `body` is what goes to the target."""

    client: Client
    request: web.BaseRequest
    asked: Asked
    number: int
    body: bytes | None
    params: Params | None = None

    @property
    def key(self) -> str:
        """What a fault rolls its dice on."""
        return f"{self.client.name}:{self.number}"

    def struck(self, kind: str) -> Disturbance | None:
        return self.client.disturbances.struck(kind, self.key, operation=self.asked.operation or "")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the target has answered, kept whole."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class Proxy:
    """Serves the consumers of one subscription, each at a port of its own on 127.0.0.1.

    Whoever calls `start` calls `close`.
    """

    def __init__(self, *, config: WireConfig, writer: Writer | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        source = TRANSPORTS[config.transport].subscription(config.addresses, config.subscription, config.identification)
        write = (lambda *_: None) if writer is None else writer.write
        self._queue: QueueTraffic | None = None
        self._queue_path = ""
        self.stream: StreamTraffic | None = None
        if source.kind == "queue":
            self._queue = QueueTraffic(
                subscription=config.subscription,
                source=source,
                hidden_s=config.visibility_timeout_s,
                identification=config.identification,
                write=write,
                now=clock.now_ns,
            )
            self._queue_path = urlsplit(config.addresses.queues[config.subscription]).path
        else:
            self.stream = StreamTraffic(
                subscription=config.subscription,
                stream=config.addresses.send_to,
                source=source,
                identification=config.identification,
                write=write,
                now=clock.now_ns,
            )
        addresses = config.addresses
        self._urls = QueueUrls([*addresses.queues.values(), *addresses.dead_letter_queues.values()])
        self._faults = Faults()
        self._signer = Signer(config.endpoint) if config.signs else None
        self._clients: dict[int, Client] = {}
        self._sites: dict[int, web.TCPSite] = {}
        self._connections: dict[int, WeakSet[asyncio.Transport]] = {}
        self._working: set[asyncio.Task[web.StreamResponse]] = set()
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        server = web.Server(
            self._serve,
            # So that a receive whose consumer dies is taken back.
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=_HEAD_MAX_BYTES,
            max_field_size=_HEAD_MAX_BYTES,
        )
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # A long poll takes 20 s, and how long a call may take is the consumer's business.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        )

    async def close(self) -> None:
        for port in list(self._clients):
            await self.forget(port)
        for task in list(self._working):
            task.cancel()
        if self._working:
            await asyncio.wait(self._working)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def listen(self, name: str, *, port: int = 0) -> Client:
        """A port for this consumer. Errors: OSError for one that is taken."""
        assert self._runner is not None
        # The port is known once the site listens; no request can come before this coroutine goes on.
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        (listener,) = site._server.sockets  # type: ignore[union-attr]  # aiohttp tells the port nowhere else
        client = Client(name=name, port=listener.getsockname()[1], now=self._clock.now_ns)
        self._clients[client.port] = client
        self._sites[client.port] = site
        return client

    async def forget(self, port: int) -> None:
        """Its port is closed, and what it had open breaks off."""
        client = self._clients.pop(port, None)
        if client is None:
            return
        await self._sites.pop(port).stop()
        for transport in list(self._connections.pop(port, ())):
            transport.abort()

    def client(self, name: str) -> Client | None:
        return next((client for client in self._clients.values() if client.name == name), None)

    def kill_clients(self) -> None:
        """Those that are the run's own."""
        for client in self._clients.values():
            if not client.lasts:
                client.kill()

    @property
    def working(self) -> int:
        """How many calls are on their way."""
        return len(self._working)

    # A request

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        port = transport.get_extra_info("sockname")[1]
        client = self._clients.get(port)
        if client is None:
            return _break_off(request)
        self._connections.setdefault(port, WeakSet()).add(transport)
        if (refusal := _refusal(request)) is not None:
            return refusal
        if request.headers.get("Expect", "").lower() == "100-continue":
            # The consumer waits for it before it sends the body, whatever the target will say to it.
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.calls += 1
        exchange = await self._read(client, request, client.calls)
        work = asyncio.create_task(self._carry(exchange))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # The consumer is gone. What was sent on is followed to its answer; only a receive is taken back.
            if exchange.asked.operation in (queue.RECEIVE, stream.READ, None):
                work.cancel()
            raise

    async def _read(self, client: Client, request: web.BaseRequest, number: int) -> Exchange:
        """As much of the request as it takes to know what it asks. Errors: TimeoutError of one that never comes."""
        headers = request.headers
        is_form = headers.get("Content-Type", "").lower().startswith(FORM)
        told = asked(request.path_qs, headers)
        length = request.content_length
        if not (is_form or told.dialect) or (length or 0) > _READ_MAX_BYTES or "Content-Encoding" in headers:
            return Exchange(client, request, Asked(told.service, None, None), number, None)
        async with asyncio.timeout(_BODY_S):
            body = await _body(request)
        if is_form and told.dialect is None:
            told = asked(request.path_qs, headers, body)
        exchange = Exchange(client, request, told, number, body)
        if told.dialect is not None:
            with suppress(Unreadable):
                exchange.params = told.dialect.read(body)
        return exchange

    async def _carry(self, exchange: Exchange) -> web.StreamResponse:
        try:
            broken = await self._faults.before(exchange)
            if exchange.params is None or exchange.asked.dialect is None:
                return await self._finish(exchange, broken, None)
            outward = self._urls.outward(exchange.params, ports=self._clients.keys())
            dialect, operation = exchange.asked.dialect, exchange.asked.operation or ""
            if self._queue is not None and exchange.asked.service == "sqs" and self._is_ours(exchange):
                if operation == queue.RECEIVE:
                    return await self._receive(exchange, self._queue, dialect, broken)
                if operation in queue.SETTLES:
                    return await self._settle(exchange, self._queue, dialect, broken, rewrite=outward)
            if self.stream is not None and exchange.asked.service == "kinesis":
                return await self._of_stream(exchange, self.stream, dialect, broken)
            if self.stream is not None and exchange.asked.service == "dynamodb":
                checkpoint = self.stream.checkpoint(operation, exchange.params)
                if checkpoint is not None:
                    return await self._checkpoint(exchange, self.stream, dialect, broken, checkpoint)
            if outward:
                self._rewrite(exchange, dialect)
            return await self._finish(exchange, broken, dialect)
        except (aiohttp.ClientError, TimeoutError, OSError):
            # As the target did: no answer, and nobody can know what became of the call.
            return _break_off(exchange.request)

    def _is_ours(self, exchange: Exchange) -> bool:
        """Whether it is about the subscription's own queue, which SQS's older protocol may name in the path alone."""
        assert exchange.params is not None
        url = exchange.params.get("QueueUrl")
        path = urlsplit(url).path if isinstance(url, str) else exchange.request.path
        return path == self._queue_path

    def _rewrite(self, exchange: Exchange, dialect: Dialect) -> None:
        assert exchange.params is not None and exchange.body is not None
        exchange.body = dialect.write(exchange.params, exchange.body)

    # What is understood

    async def _receive(
        self, exchange: Exchange, traffic: QueueTraffic, dialect: Dialect, broken: Broken | None
    ) -> web.StreamResponse:
        client, params = exchange.client, exchange.params
        assert params is not None
        client.polls()
        wanted = traffic.ask_for_more(params)
        self._rewrite(exchange, dialect)
        if broken is not None and not broken.forwards:
            return await self._faults.answer(exchange, broken)
        started = self._clock.now_ns()
        answered = await self._ask(exchange)
        receive, answer = Receive(None), answered
        if answered.status == 200:
            with suppress(Unreadable):
                read = dialect.read_answer(answered.body)
                receive = traffic.received(client, params, read, started=started)
                if receive.batch is not None:
                    traffic.leave_out(read, wanted)
                    answer = Answered(200, answered.headers, dialect.write_answer(read, answered.body))
        outcome = None if broken is None else await self._faults.after(exchange, broken)
        if outcome is not None or _is_gone(exchange.request):
            error = "the consumer was gone" if outcome is None else outcome
            traffic.delivered(client, receive, params, outcome="failed", error=error)
            return _break_off(exchange.request)
        try:
            response = await self._pass_on(exchange, answer)
        except BaseException as error:
            traffic.delivered(client, receive, params, outcome="unknown", error=type(error).__name__)
            raise
        traffic.delivered(client, receive, params, outcome="ok")
        if any(self._crashes(client, each.key, "after-receive") for each in receive.taken):
            client.kill()
        return response

    async def _settle(
        self, exchange: Exchange, traffic: QueueTraffic, dialect: Dialect, broken: Broken | None, *, rewrite: bool
    ) -> web.StreamResponse:
        client, params, operation = exchange.client, exchange.params, exchange.asked.operation or ""
        assert params is not None
        settles = traffic.settling(client, operation, params)
        began = self._clock.now_ns()
        deletes = operation in queue.DELETES
        if deletes and any(self._crashes(client, settle.key, "before-delete") for settle in settles):
            client.kill()
            traffic.unsent(client, settles, "the consumer crashed", began=began)
            return _break_off(exchange.request)
        if broken is not None and not broken.forwards:
            traffic.unsent(client, settles, broken.why, began=began)
            return await self._faults.answer(exchange, broken)
        refused = self._faults.refused(exchange, settles)
        if refused or rewrite:
            if refused:
                params["Entries"] = [each for each in params["Entries"] if each.get("Id") not in refused]
            self._rewrite(exchange, dialect)
        sent = [settle for settle in settles if settle.entry not in refused] if refused else settles
        try:
            answered = await self._ask(exchange) if sent or not refused else _nothing_done(dialect)
        except BaseException as error:
            traffic.settled(client, sent, [("unknown", type(error).__name__)] * len(sent), began=began)
            raise
        code = "" if answered.status < 300 else dialect.code_of(answered.body, answered.headers)
        read: Params = {}
        if answered.body:
            with suppress(Unreadable):
                read = dialect.read_answer(answered.body)
        traffic.settled(client, sent, queue.outcomes(sent, answered.status, read, code), began=began)
        if refused:
            lost = [settle for settle in settles if settle.entry in refused]
            traffic.unsent(client, lost, "partial-batch", began=began)
            read.setdefault("Failed", []).extend(refused.values())
            answered = Answered(answered.status, answered.headers, dialect.write_answer(read, answered.body))
        if deletes and any(self._crashes(client, settle.key, "after-delete") for settle in sent):
            client.kill()
            return _break_off(exchange.request)
        if broken is not None and await self._faults.after(exchange, broken) is not None:
            return _break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    async def _of_stream(
        self, exchange: Exchange, traffic: StreamTraffic, dialect: Dialect, broken: Broken | None
    ) -> web.StreamResponse:
        params, operation = exchange.params, exchange.asked.operation
        assert params is not None
        if operation == stream.READ and (iterator := traffic.iterator(params)) is not None:
            return await self._read_stream(exchange, traffic, dialect, broken, iterator)
        if operation not in (stream.OPEN, *stream.LISTS) or not traffic.is_ours(params):
            return await self._finish(exchange, broken, dialect)
        if broken is not None and not broken.forwards:
            return await self._faults.answer(exchange, broken)
        answered = await self._ask(exchange)
        if answered.status == 200:
            with suppress(Unreadable):
                answer = dialect.read_answer(answered.body)
                if operation == stream.OPEN:
                    traffic.opened(params, answer)
                else:
                    traffic.listed(answer)
        if broken is not None and await self._faults.after(exchange, broken) is not None:
            return _break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    async def _read_stream(
        self,
        exchange: Exchange,
        traffic: StreamTraffic,
        dialect: Dialect,
        broken: Broken | None,
        iterator: stream.Iterator,
    ) -> web.StreamResponse:
        client = exchange.client
        client.polls()
        traffic.asked(client, iterator)
        if broken is not None and not broken.forwards:
            return await self._faults.answer(exchange, broken)
        started = self._clock.now_ns()
        answered = await self._ask(exchange)
        if answered.status != 200:
            return await self._pass_on(exchange, answered)
        read = traffic.received(client, iterator, dialect.read_answer(answered.body), started=started)
        lost = None if broken is None else await self._faults.after(exchange, broken)
        if lost is not None or _is_gone(exchange.request):
            traffic.delivered(client, read, outcome="failed", error=lost or "the consumer was gone")
            return _break_off(exchange.request)
        try:
            response = await self._pass_on(exchange, answered)
        except BaseException as error:
            traffic.delivered(client, read, outcome="unknown", error=type(error).__name__)
            raise
        traffic.delivered(client, read, outcome="ok")
        if any(self._crashes(client, each.key, "after-receive") for each in read.receive.taken):
            client.kill()
        return response

    async def _checkpoint(
        self,
        exchange: Exchange,
        traffic: StreamTraffic,
        dialect: Dialect,
        broken: Broken | None,
        checkpoint: stream.Checkpoint,
    ) -> web.StreamResponse:
        """Of a stream a checkpoint is what a delete is of a queue, where it takes the shard forward."""
        client, goes_on = exchange.client, traffic.goes_on(checkpoint)
        intent, began = traffic.settling(client, checkpoint), self._clock.now_ns()
        if goes_on and self._crashes(client, checkpoint.key, "before-delete"):
            client.kill()
            traffic.settled(intent, began=began, outcome="failed", error="the consumer crashed: it never left")
            return _break_off(exchange.request)
        if broken is not None and not broken.forwards:
            traffic.settled(intent, began=began, outcome="failed", error=f"{broken.why}: it never left")
            return await self._faults.answer(exchange, broken)
        try:
            answered = await self._ask(exchange)
        except BaseException as error:
            traffic.settled(intent, began=began, outcome="unknown", error=type(error).__name__)
            raise
        if answered.status == 200:
            traffic.checkpointed(client, checkpoint)
            traffic.settled(intent, began=began, outcome="ok")
        else:
            code = dialect.code_of(answered.body, answered.headers)
            outcome: SendResult = "failed" if is_definite(answered.status, code) else "unknown"
            traffic.settled(intent, began=began, outcome=outcome, error=code or f"status {answered.status}")
        if answered.status == 200 and goes_on and self._crashes(client, checkpoint.key, "after-delete"):
            client.kill()
            return _break_off(exchange.request)
        if broken is not None and await self._faults.after(exchange, broken) is not None:
            return _break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    @staticmethod
    def _crashes(client: Client, key: str, point: str) -> bool:
        return client.disturbances.struck("crash-at", key, point=point) is not None

    async def _finish(self, exchange: Exchange, broken: Broken | None, dialect: Dialect | None) -> web.StreamResponse:
        """Of a call that nothing is recorded of."""
        if broken is not None and not broken.forwards:
            return await self._faults.answer(exchange, broken)
        if exchange.body is None and broken is None:
            return await self._stream(exchange)
        if exchange.asked.operation == queue.RECEIVE:
            exchange.client.polls()
        answered = await self._ask(exchange)
        if dialect is not None and exchange.asked.service == "sqs" and answered.status == 200 and answered.body:
            with suppress(Unreadable):
                body = self._urls.inward(
                    dialect.read_answer(answered.body), answered.body, origin=exchange.client.origin
                )
                answered = Answered(200, answered.headers, body)
        if broken is not None and await self._faults.after(exchange, broken) is not None:
            return _break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    # To the target and back

    async def _ask(self, exchange: Exchange) -> Answered:
        """Errors: those of aiohttp, when there is no whole answer."""
        body = exchange.body if exchange.body is not None else await _body(exchange.request)
        async with self._open(exchange, body) as response:
            return Answered(response.status, CIMultiDict(response.headers), await response.read())

    async def _stream(self, exchange: Exchange) -> web.StreamResponse:
        """Pass both bodies on as they come."""
        request = exchange.request
        async with self._open(exchange, request.content if request.can_read_body else None) as response:
            answer = web.StreamResponse(status=response.status, reason=response.reason)
            _copy(response.headers, answer)
            await answer.prepare(request)
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    def _open(
        self, exchange: Exchange, body: bytes | aiohttp.StreamReader | None
    ) -> aiohttp.client._RequestContextManager:
        request, service = exchange.request, exchange.asked.service
        assert self._session is not None
        target = self._config.endpoint.url(service or "*") or _aws(service, self._config.endpoint.region)
        url = URL(target.rstrip("/") + request.raw_path, encoded=True)
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _HOP | {"host"}
        )
        headers["Host"] = _host(request.host, url)
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
            if exchange.asked.dialect is not None:
                # What is read here must not come compressed.
                headers["Accept-Encoding"] = "identity"
        if self._signer is not None and service is not None:
            self._signer.sign(service, request.method, str(url), headers, body if isinstance(body, bytes) else None)
        return self._session.request(
            request.method,
            url,
            headers=headers,
            data=_chunks(body) if isinstance(body, aiohttp.StreamReader) else body,
            allow_redirects=False,
        )

    async def _pass_on(self, exchange: Exchange, answered: Answered) -> web.StreamResponse:
        response = web.StreamResponse(status=answered.status)
        _copy(answered.headers, response)
        if exchange.request.method != "HEAD":
            response.content_length = len(answered.body)
        await response.prepare(exchange.request)
        body = answered.body
        slow = exchange.struck("slow-body")
        if slow is not None and body:
            await self._faults.drip(response, body, slow.seconds)
        else:
            await response.write(body)
        await response.write_eof()
        return response


async def _body(request: web.BaseRequest) -> bytes:
    """Errors: aiohttp's PayloadError for one that breaks off."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _READ_MAX_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=_READ_MAX_BYTES, actual_size=len(body))
    return bytes(body)


async def _chunks(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        yield chunk


def _copy(headers: Mapping[str, str], response: web.StreamResponse) -> None:
    for name, value in CIMultiDict(headers).items():
        if name.lower() not in _HOP:
            response.headers.add(name, value)


def _nothing_done(dialect: Dialect) -> Answered:
    """The answer to a batch of which nothing was sent on."""
    empty = dialect.write_answer({}, b"")
    return Answered(200, CIMultiDict({"Content-Type": getattr(dialect, "content_type", "text/xml")}), empty)


def _host(host: str, url: URL) -> str:
    """The Host header for the target: its own, behind the labels that a bucket's name puts before a local one."""
    labels = host.rpartition(":")[0] or host
    target = url.host or ""
    if labels.endswith(".localhost"):
        target = f"{labels.removesuffix('.localhost')}.localhost"
    return target if url.is_default_port() else f"{target}:{url.port}"


def _aws(service: str | None, region: str) -> str:
    if service is None:
        raise aiohttp.ClientError("nobody knows which service of AWS it is for")
    return f"https://{service}.{region}.amazonaws.com"


def _refusal(request: web.BaseRequest) -> web.Response | None:
    """This is no open proxy: it takes no request for anybody else, by whatever name a page in a browser calls it."""
    if not request.raw_path.startswith("/"):
        return web.Response(status=400, text="This is a reverse proxy; it forwards to its own target alone.\n")
    host = request.host.rpartition(":")[0] or request.host
    if host not in ("127.0.0.1", "localhost", "[::1]") and not host.endswith(".localhost"):
        return web.Response(status=421, text=f"Nobody called {host!r} is here.\n")
    return None


def _is_gone(request: web.BaseRequest) -> bool:
    """Whether the consumer has closed its connection, or died."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def _break_off(request: web.BaseRequest) -> web.StreamResponse:
    """No answer: the connection breaks."""
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response()
