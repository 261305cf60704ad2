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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from gameday.history.clock import NS_PER_S, Clock
from gameday.history.events import SendResult
from gameday.history.writer import Writer
from gameday.processes.disturbances import Disturbance
from gameday.transports.registry import TRANSPORTS
from gameday.wire import queue, stream
from gameday.wire.batches import SENDS, named, refused_entry
from gameday.wire.client import Client
from gameday.wire.config import WireConfig
from gameday.wire.faults import Broken, Faults, Late
from gameday.wire.queue import QueueTraffic, Settle
from gameday.wire.signing import Signer
from gameday.wire.spoken import FORM, Asked, Dialect, Params, Unreadable, asked
from gameday.wire.stream import StreamTraffic
from gameday.wire.taken import Receive
from gameday.wire.urls import QueueUrls

T = TypeVar("T")
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
# A late delete comes so long after its message's hold is over: time enough to receive it again.
_OVERDUE_S = 1.0
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
    # Set when the consumer waits no more.
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """What a fault rolls its dice on."""
        return f"{self.client.name}:{self.number}"

    def struck(self, kind: str, key: str | None = None) -> Disturbance | None:
        """`key`: of a part of it."""
        return self.client.disturbances.struck(kind, key or self.key, operation=self.asked.operation or "")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the target has answered, kept whole."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class Proxy:
    """Serves the consumers of one subscription, each at a port of its own on 127.0.0.1; or the load at one.

    Whoever calls `start` calls `close`.
    """

    def __init__(self, *, config: WireConfig, writer: Writer | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._queue: QueueTraffic | None = None
        self._queue_path = ""
        self.stream: StreamTraffic | None = None
        if config.subscription is not None:
            self._watch_traffic(config, config.subscription, (lambda *_: None) if writer is None else writer.write)
        addresses = config.addresses
        self._urls = QueueUrls([*addresses.queues.values(), *addresses.dead_letter_queues.values()])
        self._faults = Faults()
        self._signer = Signer(config.endpoint) if config.signs else None
        self._clients: dict[int, Client] = {}
        self._sites: dict[int, web.TCPSite] = {}
        self._connections: dict[int, WeakSet[asyncio.Transport]] = {}
        self._working: set[asyncio.Task[Any]] = set()
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def _watch_traffic(self, config: WireConfig, subscription: str, write: Callable[..., object]) -> None:
        source = TRANSPORTS[config.transport].subscription(config.addresses, subscription, config.identification)
        if source.kind == "queue":
            self._queue = QueueTraffic(
                subscription=subscription,
                source=source,
                hidden_s=config.visibility_timeout_s,
                identification=config.identification,
                write=write,
                now=self._clock.now_ns,
            )
            self._queue_path = urlsplit(config.addresses.queues[subscription]).path
        else:
            self.stream = StreamTraffic(
                subscription=subscription,
                stream=config.addresses.send_to,
                source=source,
                identification=config.identification,
                write=write,
                now=self._clock.now_ns,
            )

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
        port = listener.getsockname()[1]
        client = Client(name=name, port=port, now=self._clock.now_ns, buckets=self._faults.buckets)
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

    def disarm(self, name: str, instance: str) -> int:
        """Nothing waits for that fault any more; how often it struck this consumer, 0 of one that is forgotten."""
        self._faults.end(instance)
        client = self.client(name)
        return 0 if client is None else client.disturbances.disarm(instance)

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
        work = self._begin(self._carry(exchange))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            exchange.gone.set()
            # The consumer is gone. What was sent on is followed to its answer; only a receive is taken back.
            if exchange.asked.operation in (queue.RECEIVE, stream.READ, None):
                work.cancel()
            raise

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

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
            if outward:
                self._rewrite(exchange, dialect)
            if broken is None and (exchange.asked.service or "", operation) in SENDS:
                return await self._send(exchange, dialect)
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
        copy = None
        if broken is None:
            copy = self._faults.copies.offer(client, self._clients.values(), dialect=dialect, now=started)
        if copy is None:
            answered, real, hidden_s = await self._ask(exchange), None, traffic.hidden_s(params)
        else:
            real = copy.taken.real_receipt
            answered = Answered(200, copy.headers, copy.answer(self._faults.copies.receipt(copy)))
            hidden_s = (copy.until - started) / NS_PER_S
        receive, answer = Receive(None), answered
        until = self._clock.now_ns() + round(hidden_s * NS_PER_S)
        if answered.status == 200:
            with suppress(Unreadable):
                read = dialect.read_answer(answered.body)
                receive = traffic.received(client, read, started=started, hidden_s=hidden_s, real=real)
                if receive.batch is not None:
                    traffic.leave_out(read, wanted)
                    answer = Answered(200, answered.headers, dialect.write_answer(read, answered.body))
        if broken is not None or _is_gone(exchange.request):
            error = "the consumer was gone" if broken is None else broken.why
            traffic.delivered(client, receive, until=until, outcome="failed", error=error)
            return _break_off(exchange.request)
        try:
            response = await self._pass_on(exchange, answer)
        except BaseException as error:
            traffic.delivered(client, receive, until=until, outcome="unknown", error=type(error).__name__)
            raise
        traffic.delivered(client, receive, until=until, outcome="ok")
        self._faults.copies.keep(
            client, receive, dialect=dialect, headers=answered.headers, body=answered.body, until=until
        )
        if any(self._crashes(client, each.key, "after-receive") for each in receive.taken):
            client.kill()
        return response

    async def _settle(
        self, exchange: Exchange, traffic: QueueTraffic, dialect: Dialect, broken: Broken | None, *, rewrite: bool
    ) -> web.StreamResponse:
        client, params, operation = exchange.client, exchange.params, exchange.asked.operation or ""
        assert params is not None
        settles = traffic.settles(client, operation, params)
        rewrite |= traffic.with_real_receipts(operation, params)
        began = self._clock.now_ns()
        deletes = operation in queue.DELETES
        lost: list[Settle] = []
        late: list[Late] = []
        if deletes and any(self._crashes(client, settle.key, "before-delete") for settle in settles):
            client.kill()
            traffic.settling(settles)
            traffic.unsent(client, settles, "the consumer crashed", began=began)
            return _break_off(exchange.request)
        if broken is not None and not broken.forwards:
            traffic.settling(settles)
            traffic.unsent(client, settles, broken.why, began=began)
            return await self._faults.answer(exchange, broken)
        if deletes and broken is None and (lost := self._faults.lost(client, operation, settles)):
            traffic.settling(lost)
            traffic.unsent(client, lost, "lose-delete", began=began)
            if len(lost) == len(settles):
                return _break_off(exchange.request)
            exchange.params = named(params, [str(each.entry) for each in lost], without=True)
            settles = [settle for settle in settles if settle not in lost]
            rewrite = True
        if deletes and broken is None and (late := self._faults.late(client, settles)):
            self._begin(self._delete_late(self._later(exchange, dialect, late), traffic, dialect, late))
            if len(late) == len(settles) and settles[0].entry is None:
                told = dialect.nothing(operation)
                return web.Response(status=told.status, body=told.body, headers=told.headers)
        rest = [settle for settle in settles if settle not in [each.settle for each in late]]
        answered, done = await self._settle_now(exchange, traffic, dialect, rest, late, rewrite=rewrite)
        if deletes and any(self._crashes(client, settle.key, "after-delete") for settle in done):
            client.kill()
            return _break_off(exchange.request)
        if broken is not None or lost:
            return _break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    async def _settle_now(
        self,
        exchange: Exchange,
        traffic: QueueTraffic,
        dialect: Dialect,
        settles: list[Settle],
        late: list[Late],
        *,
        rewrite: bool,
    ) -> tuple[Answered, list[Settle]]:
        """Pass a call on without those of its entries that are late or refused. Gives the answer, which tells of these
        too, and what was settled."""
        client, params, operation = exchange.client, exchange.params, exchange.asked.operation or ""
        assert params is not None
        began = self._clock.now_ns()
        traffic.settling(settles)
        refused = self._faults.refused(exchange, {s.entry: s.key for s in settles if s.entry is not None})
        sent = [settle for settle in settles if settle.entry not in refused]
        traffic.unsent(client, [each for each in settles if each.entry in refused], "partial-batch", began=began)
        told_done = [{"Id": each.settle.entry} for each in late]
        told_failed = [refused_entry(entry, code) for entry, code in refused.items()]
        left_out = {entry["Id"] for entry in (*told_done, *told_failed)}
        if left_out:
            params = exchange.params = named(params, left_out, without=True)
        if left_out or rewrite:
            self._rewrite(exchange, dialect)
        try:
            asks = not left_out or params["Entries"]
            answered = await self._ask(exchange) if asks else _nothing(dialect, operation)
        except BaseException as error:
            traffic.settled(client, sent, [("unknown", type(error).__name__)] * len(sent), began=began)
            raise
        outcomes = _outcomes(sent, answered, dialect)
        traffic.settled(client, sent, outcomes, began=began)
        if left_out and answered.status == 200:
            with suppress(Unreadable):
                body = dialect.with_entries(answered.body, operation, done=told_done, failed=told_failed)
                answered = Answered(answered.status, answered.headers, body)
        return answered, [settle for settle, (outcome, _) in zip(sent, outcomes, strict=True) if outcome == "ok"]

    def _later(self, exchange: Exchange, dialect: Dialect, late: list[Late]) -> Exchange:
        """The call that deletes these."""
        assert exchange.params is not None
        entries = {each.settle.entry for each in late if each.settle.entry is not None}
        later = replace(exchange, params=named(exchange.params, entries) if entries else exchange.params)
        self._rewrite(later, dialect)
        return later

    async def _delete_late(self, later: Exchange, traffic: QueueTraffic, dialect: Dialect, late: list[Late]) -> None:
        """Delete, when their holds are over, what the consumer was told to be deleted."""
        client = later.client
        for each in late:
            client.gave_back(each.settle.receipt)
        until = max(each.until for each in late)
        await self._faults.lasts(late[0].disturbance, (until - self._clock.now_ns()) / NS_PER_S + _OVERDUE_S)
        for each in late:
            # One whose fault was over before has come in time.
            if self._clock.now_ns() > each.until:
                client.disturbances.count(each.disturbance)
        settles = [each.settle for each in late]
        traffic.settling(settles)
        began = self._clock.now_ns()
        try:
            outcomes = _outcomes(settles, await self._ask(later), dialect)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcomes = [("unknown", type(error).__name__)] * len(settles)
        traffic.settled(client, settles, outcomes, began=began)

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
        if broken is not None:
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
        if broken is not None or _is_gone(exchange.request):
            error = "the consumer was gone" if broken is None else broken.why
            traffic.delivered(client, read, outcome="failed", error=error)
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

    @staticmethod
    def _crashes(client: Client, key: str, point: str) -> bool:
        return client.disturbances.struck("crash-at", key, point=point) is not None

    async def _send(self, exchange: Exchange, dialect: Dialect) -> web.StreamResponse:
        """A batch that is sent, of which entries may be refused."""
        assert exchange.params is not None
        operation = exchange.asked.operation or ""
        batch, params = SENDS[exchange.asked.service or "", operation], exchange.params
        places = range(len(batch.entries(params)))
        refused = self._faults.refused(exchange, {place: f"{exchange.key}:{place}" for place in places})
        if not refused:
            return await self._finish(exchange, None, dialect)
        exchange.params = batch.without(params, refused)
        self._rewrite(exchange, dialect)
        answered = await self._ask(exchange) if len(refused) < len(places) else _nothing(dialect, operation)
        if answered.status == 200:
            with suppress(Unreadable):
                if batch.answered is None:
                    body = dialect.with_entries(answered.body, operation, failed=batch.failed(params, refused))
                else:
                    whole = batch.in_places(dialect.read_answer(answered.body), refused)
                    body = dialect.write_answer(whole, answered.body)
                answered = Answered(200, answered.headers, body)
        return await self._pass_on(exchange, answered)

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
        if broken is not None:
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
        slow = exchange.struck("slow-body") if body else None
        if slow is not None:
            await self._faults.drip(response, body, slow)
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


def _nothing(dialect: Dialect, operation: str) -> Answered:
    """The answer to a batch of which nothing was sent on."""
    told = dialect.nothing(operation)
    return Answered(told.status, CIMultiDict(told.headers), told.body)


def _outcomes(settles: Sequence[Settle], answered: Answered, dialect: Dialect) -> list[tuple[SendResult, str | None]]:
    code = "" if answered.status < 300 else dialect.code_of(answered.body, answered.headers)
    read: Params = {}
    if answered.body:
        with suppress(Unreadable):
            read = dialect.read_answer(answered.body)
    return queue.outcomes(settles, answered.status, read, code)


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
