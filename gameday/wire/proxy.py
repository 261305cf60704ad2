"""The reverse proxy: HTTP from each consumer's port to the target and back, with a record of what matters.

It promises that what it does not know passes through untouched, streams and compressed bodies included; that it never
answers for the service unless a fault tells it to (where the target gives no answer, the consumer's connection breaks
as the target's did; what it says by itself is a 4xx about HTTP); that it sends a call on once at most, but for a fault
that doubles it, and to its one target alone, whatever a request names; and that a call which was sent on is followed to
its answer even when the consumer is gone, but for a receive, which is then taken back.

Sources: RFC 9110, 7.6 (what a proxy may not hand on); RFC 9112, 3.2 and 6 (hosts, and where a body ends).
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from gameday.history.clock import NS_PER_S, Clock
from gameday.history.errors import HistoryError
from gameday.history.events import SendResult
from gameday.history.writer import Writer
from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Call
from gameday.transports.carriers.calls import Calls
from gameday.transports.registry import TRANSPORTS
from gameday.wire import queue, stream
from gameday.wire.batches import SENDS, named, refused_entry
from gameday.wire.client import Client
from gameday.wire.config import WireConfig
from gameday.wire.exchange import Answered, Exchange
from gameday.wire.faults import REFUSE_ENTRIES, REFUSED_THERE, Broken, Faults, Late
from gameday.wire.http import (
    READ_MAX_BYTES,
    Server,
    body_of,
    break_off,
    end_to_end,
    host_for,
    inflated,
    insist_on_an_answer,
    is_gone,
    one_case,
    quiet_logger,
    refusal_of,
    refuse,
    say,
    stream_of,
    with_first,
)
from gameday.wire.queue import DeadLetters, QueueTraffic, Settle
from gameday.wire.signing import Signer
from gameday.wire.spoken import FORM, Asked, Dialect, Params, Unreadable, asked
from gameday.wire.stream import StreamTraffic
from gameday.wire.taken import Receive
from gameday.wire.urls import QueueUrls, name_of

T = TypeVar("T")
# The services whose calls say something to anybody here; of all others the operation is known, for the faults.
_UNDERSTOOD = frozenset({"sqs", "kinesis"})
# What sets a checkpoint in a lease table.
_SETS_LEASES = ("UpdateItem", "PutItem")
# An answer without end.
_ENDLESS = "SubscribeToShard"
# How long a consumer may take to send a body that is kept whole.
_BODY_S = 60.0
_CONNECT_S = 5.0
# A late delete comes so long after its message's hold is over: time enough to receive it again.
_OVERDUE_S = 1.0
# Shorter than any target's own, so that no call goes into a connection which the target is about to close.
_KEEPALIVE_S = 2.0
_HEAD_MAX_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
# Bodies that are no less readable for it: the older SDKs for Java say the first of plain JSON.
_PLAIN = ("", "identity", "amz-1.0")


class Proxy:
    """Serves the consumers of one subscription, each at a port of its own on 127.0.0.1; or the load at one.

    Whoever calls `start` calls `close`.
    """

    def __init__(self, *, config: WireConfig, writer: Writer | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        write = (lambda *_: None) if writer is None else writer.write
        # By their names: those of the run's other subscriptions too, for a program may consume several.
        self._queues: dict[str, QueueTraffic] = {}
        self._dead_letters: dict[str, DeadLetters] = {}
        self.stream: StreamTraffic | None = None
        self.failure: HistoryError | None = None
        # What the target was asked by whoever is behind this wire.
        self.calls = Calls()
        self._failed = asyncio.Event()
        if config.subscription is not None:
            self._watch_traffic(config, config.subscription, write)
        addresses = config.addresses
        self._urls = QueueUrls([*addresses.queues.values(), *addresses.dead_letter_queues.values()])
        self._faults = Faults()
        self._signer = Signer(config.endpoint) if config.signs else None
        self._clients: dict[int, Client] = {}
        self._sites: dict[int, web.TCPSite] = {}
        self._working: set[asyncio.Task[Any]] = set()
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def _watch_traffic(self, config: WireConfig, subscription: str, write: Callable[..., object]) -> None:
        addresses = config.addresses
        source = TRANSPORTS[config.transport].subscription(addresses, subscription, config.identification)
        if source.kind == "stream":
            self.stream = StreamTraffic(
                subscription=subscription,
                stream=addresses.send_to,
                source=source,
                identification=config.identification,
                write=write,
                now=self._clock.now_ns,
            )
            return
        for name, url in addresses.queues.items():
            source = TRANSPORTS[config.transport].subscription(addresses, name, config.identification)
            assert source.kind == "queue"
            self._queues[name_of(url)] = QueueTraffic(
                subscription=name,
                source=source,
                hidden_s=config.visibility_timeout_s,
                identification=config.identification,
                write=write,
                now=self._clock.now_ns,
            )
            if source.dead_letters is not None:
                self._dead_letters[name_of(addresses.dead_letter_queues[name])] = DeadLetters(
                    subscription=name,
                    source=source.dead_letters,
                    write=write,
                    leaves_foreign=config.identification.run is not None,
                )

    async def failed(self) -> None:
        """Until nothing can be recorded any more: see `failure`."""
        await self._failed.wait()

    async def start(self) -> None:
        self._server = Server(
            self._serve,
            # So that a receive whose consumer dies is taken back.
            handler_cancellation=True,
            access_log=None,
            logger=quiet_logger(),
            auto_decompress=False,
            max_line_size=_HEAD_MAX_BYTES,
            max_field_size=_HEAD_MAX_BYTES,
        )
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # A long poll takes 20 s, and how long a call may take is the consumer's business.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            max_line_size=_HEAD_MAX_BYTES,
            max_field_size=_HEAD_MAX_BYTES,
        )
        # A call that was lost with its connection is the consumer's to repeat. aiohttp tells of this switch nowhere.
        self._session._retry_connection = False

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
        assert self._server is not None
        for connection in self._server.connections:
            transport = connection.transport
            if isinstance(transport, asyncio.Transport) and transport.get_extra_info("sockname")[1] == port:
                transport.abort()

    def client(self, name: str) -> Client | None:
        return next((client for client in self._clients.values() if client.name == name), None)

    def disarm(self, name: str, instance: str) -> int:
        """Nothing waits for that fault any more; how often it struck this consumer, 0 of one that is forgotten."""
        self._faults.end(instance)
        client = self.client(name)
        return 0 if client is None else client.disturbances.disarm(instance)

    def kill_clients(self) -> None:
        """Those that are the run's own; the others go on."""
        for client in self._clients.values():
            if client.lasts:
                client.wake()
            else:
                client.kill()

    @property
    def working(self) -> int:
        """How many calls are on their way."""
        return len(self._working)

    # A request

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return break_off(request)
        client = self._clients.get(transport.get_extra_info("sockname")[1])
        if client is None:
            return break_off(request)
        if (why := refusal_of(request)) is not None:
            return refuse(*why)
        if request.headers.get("Expect", "").lower() == "100-continue":
            # The consumer waits for it before it sends the body, whatever the target will say to it.
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.calls += 1
        try:
            exchange = await self._read(client, request, client.calls)
        except TimeoutError:
            return refuse(408, "The rest of the body did not come.")
        except (web.RequestPayloadError, HttpProcessingError) as error:
            return refuse(400, f"The body is broken: {error}")
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            return _broken(client, request)
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
        """As much of the request as it takes to know what it asks. Errors: TimeoutError of one that never comes;
        RequestPayloadError or HttpProcessingError of one that breaks HTTP's rules."""
        headers = request.headers
        told = asked(request.path_qs, headers)
        is_form = told.dialect is None and headers.get("Content-Type", "").lower().startswith(FORM)
        readable = (is_form or told.dialect is not None) and headers.get("Content-Encoding", "").lower() in _PLAIN
        # S3 alone takes a body that is not signed.
        signed = self._signer is not None and told.service not in ("s3", None)
        length = request.content_length or 0
        unread = Exchange(
            client, request, Asked(told.service, None, None), number, stream_of(request), request.raw_path
        )
        if request.method == "GET":
            return _of_a_form_in_the_path(unread)
        if not (readable or signed) or (length > READ_MAX_BYTES and not signed):
            return unread
        async with asyncio.timeout(_BODY_S):
            body, over = await body_of(request)
        if over:
            if signed:
                raise web.HTTPRequestEntityTooLarge(max_size=READ_MAX_BYTES, actual_size=len(body))
            unread.body = with_first(body, request.content)
            return unread
        unread.body = body or None
        if not readable:
            return unread
        if is_form:
            told = asked(request.path_qs, headers, body)
        exchange = Exchange(client, request, told, number, unread.body, request.raw_path)
        leases = self.stream is not None and told.service == "dynamodb" and told.operation in _SETS_LEASES
        if told.dialect is not None and (leases or _is_understood(told, client)):
            with suppress(Unreadable):
                exchange.params = told.dialect.read(body)
        return exchange

    async def _carry(self, exchange: Exchange) -> web.StreamResponse:
        try:
            broken = await self._faults.before(exchange)
            if exchange.params is None or exchange.asked.dialect is None:
                return await self._finish(exchange, broken)
            outward = self._urls.outward(exchange.params, ports=self._clients.keys())
            dialect, operation = exchange.asked.dialect, exchange.asked.operation or ""
            if exchange.asked.service == "sqs":
                name = _queue_of(exchange)
                if (traffic := self._queues.get(name)) is not None:
                    if operation == queue.RECEIVE:
                        return await self._receive(exchange, traffic, dialect, broken)
                    if operation in queue.SETTLES:
                        return await self._settle(exchange, traffic, dialect, broken, rewrite=outward)
                if operation == queue.RECEIVE and (dead := self._dead_letters.get(name)) is not None:
                    return await self._receive_dead(exchange, dead, dialect, broken)
            if self.stream is not None and exchange.asked.service == "kinesis":
                return await self._of_stream(exchange, self.stream, dialect, broken)
            if self.stream is not None and exchange.asked.service == "dynamodb":
                checkpoint = self.stream.checkpoint(operation, exchange.params)
                if checkpoint is not None:
                    return await self._checkpoint(exchange, self.stream, dialect, broken, checkpoint)
            if outward:
                self._rewrite(exchange, dialect)
            if broken is None and (exchange.asked.service or "", operation) in SENDS:
                return await self._send(exchange, dialect)
            return await self._finish(exchange, broken)
        except (aiohttp.ClientError, web.RequestPayloadError, TimeoutError, OSError):
            # As the target did, or the consumer: no answer, and nobody can know what became of the call.
            return break_off(exchange.request)
        except HistoryError as error:
            # What passes from now on would stand nowhere, and the verdict would blame somebody for it.
            self.failure = error
            self._failed.set()
            return break_off(exchange.request)
        except Exception:
            return _broken(exchange.client, exchange.request)

    def _rewrite(self, exchange: Exchange, dialect: Dialect) -> None:
        assert exchange.params is not None
        if isinstance(exchange.body, bytes):
            exchange.body = dialect.write(exchange.params, exchange.body)
        else:
            path, _, form = exchange.path.partition("?")
            exchange.path = f"{path}?{dialect.write(exchange.params, form.encode()).decode()}"

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
            answered = Answered(200, None, copy.headers, copy.answer(self._faults.copies.receipt(copy)))
            hidden_s = (copy.until - started) / NS_PER_S
        receive, answer = Receive(None), answered
        until = self._clock.now_ns() + round(hidden_s * NS_PER_S)
        if answered.status == 200:
            with suppress(Unreadable):
                read = dialect.read_answer(answered.body)
                receive = traffic.received(client, read, started=started, hidden_s=hidden_s, real=real)
                if receive.batch is not None and traffic.leave_out(read, wanted):
                    answer = answered.again(dialect.write_answer(read, answered.body))
        broken = broken or self._faults.cut(exchange)
        if broken is not None or is_gone(exchange.request):
            error = "the consumer was gone" if broken is None else broken.why
            traffic.delivered(client, receive, until=until, outcome="failed", error=error)
            return await self._keep_back(exchange, broken)
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

    async def _receive_dead(
        self, exchange: Exchange, dead: DeadLetters, dialect: Dialect, broken: Broken | None
    ) -> web.StreamResponse:
        """A program that works off its own dead letters: what it is given there has died."""
        if broken is not None:
            return await self._finish(exchange, broken)
        answered = await self._ask(exchange)
        if answered.status == 200:
            with suppress(Unreadable):
                dead.received(dialect.read_answer(answered.body))
        return await self._pass_on(exchange, answered)

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
            traffic.settling(settles)
            traffic.unsent(client, settles, "the consumer crashed", began=began)
            client.kill()
            return break_off(exchange.request)
        if broken is not None and not broken.forwards:
            traffic.settling(settles)
            traffic.unsent(client, settles, broken.why, began=began)
            return await self._faults.answer(exchange, broken)
        if deletes and broken is None and (lost := self._faults.lost(client, operation, settles)):
            traffic.settling(lost)
            traffic.unsent(client, lost, "lose-delete", began=began)
            if len(lost) == len(settles):
                return break_off(exchange.request)
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
            return break_off(exchange.request)
        if broken is not None or lost:
            return break_off(exchange.request)
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
                answered = answered.again(body)
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
            return await self._finish(exchange, broken)
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
            return break_off(exchange.request)
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
        try:
            read = traffic.received(client, iterator, dialect.read_answer(answered.body), started=started)
        except (Unreadable, LookupError, TypeError, ValueError, AttributeError):
            # Not what Kinesis gives; the consumer will see that, too.
            return await self._pass_on(exchange, answered)
        broken = broken or self._faults.cut(exchange)
        if broken is not None or is_gone(exchange.request):
            error = "the consumer was gone" if broken is None else broken.why
            traffic.delivered(client, read, outcome="failed", error=error)
            return await self._keep_back(exchange, broken)
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
            traffic.settled(intent, began=began, outcome="failed", error="the consumer crashed: it never left")
            client.kill()
            return break_off(exchange.request)
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
            return break_off(exchange.request)
        if broken is not None:
            return break_off(exchange.request)
        return await self._pass_on(exchange, answered)

    @staticmethod
    def _crashes(client: Client, key: str, point: str) -> bool:
        """Whether it is to crash there; who cannot be killed is not struck."""
        return client.killable and client.disturbances.struck("crash-at", key, point=point) is not None

    async def _send(self, exchange: Exchange, dialect: Dialect) -> web.StreamResponse:
        """A batch that is sent, of which entries may be refused."""
        assert exchange.params is not None
        operation = exchange.asked.operation or ""
        batch, params = SENDS[exchange.asked.service or "", operation], exchange.params
        places = range(len(batch.entries(params)))
        refused = self._faults.refused(exchange, {place: f"{exchange.key}:{place}" for place in places})
        if not refused:
            return await self._finish(exchange, None)
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
                answered = answered.again(body)
        return await self._pass_on(exchange, answered)

    async def _finish(self, exchange: Exchange, broken: Broken | None) -> web.StreamResponse:
        """Of a call that nothing is recorded of."""
        if broken is not None:
            if not broken.forwards:
                return await self._faults.answer(exchange, broken)
            async with self._open(exchange) as response:
                insist_on_an_answer(response)
                async for _ in response.content.iter_any():
                    pass
            return break_off(exchange.request)
        if isinstance(exchange.body, bytes) and exchange.struck("double-callback") is not None:
            async with self._open(exchange) as first:
                await first.read()
        if not exchange.is_read:
            return await self._stream(exchange)
        if exchange.asked.operation == queue.RECEIVE:
            exchange.client.polls()
        answered = await self._ask(exchange)
        dialect = exchange.asked.dialect
        if dialect is not None and exchange.asked.service == "sqs" and answered.status == 200 and answered.body:
            # An answer that is none, or a URL that is none, is left as it is.
            with suppress(Unreadable, ValueError):
                body = self._urls.inward(
                    dialect.read_answer(answered.body), answered.body, origin=exchange.client.origin
                )
                answered = answered if body == answered.body else answered.again(body)
        return await self._pass_on(exchange, answered)

    # To the target and back

    async def _ask(self, exchange: Exchange) -> Answered:
        """Errors: those of aiohttp, when there is no whole answer, or a larger one than any that could be read."""
        async with self._open(exchange) as response:
            insist_on_an_answer(response)
            read = bytearray()
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) > READ_MAX_BYTES:
                    raise aiohttp.ClientPayloadError("nobody's answer to such a call is that long")
            body, headers = bytes(read), end_to_end(response.headers)
        if (plain := inflated(body, headers.get("Content-Encoding", ""))) is not None:
            # It was asked not to; what could not be read could not be recorded either.
            headers.popall("Content-Encoding")
            body = plain
        answered = Answered(response.status, response.reason, headers, body)
        if answered.status >= 400:
            self._look_at_refusal(exchange, answered)
        return answered

    def _look_at_refusal(self, exchange: Exchange, answered: Answered) -> None:
        """For the faults that strike the service itself."""
        dialect = exchange.asked.dialect
        if dialect is not None and exchange.client.disturbances.stands(REFUSED_THERE):
            code = dialect.code_of(answered.body, answered.headers)
            self._faults.saw_refusal(exchange, code, _queue_of(exchange) if exchange.asked.service == "sqs" else None)

    async def _stream(self, exchange: Exchange) -> web.StreamResponse:
        """Pass both bodies on as they come; a small one goes with its head."""
        request = exchange.request
        slow = exchange.struck("slow-body")
        async with self._open(exchange) as response:
            insist_on_an_answer(response)
            if (cut := self._faults.cut(exchange)) is not None:
                return await self._faults.answer(exchange, cut)
            length = response.content_length
            if slow is None and length and length <= _CHUNK_BYTES and request.method != "HEAD":
                body = await response.read()
                return await say(
                    request, Answered(response.status, response.reason, end_to_end(response.headers), body)
                )
            answer = web.StreamResponse(
                status=response.status, reason=response.reason, headers=end_to_end(response.headers)
            )
            await answer.prepare(request)
            if slow is not None:
                await self._faults.drip(answer, response, slow)
            else:
                async for chunk in response.content.iter_any():
                    await answer.write(chunk)
            await answer.write_eof()
            return answer

    def _open(self, exchange: Exchange) -> aiohttp.client._RequestContextManager:
        request, service, body = exchange.request, exchange.asked.service, exchange.body
        assert self._session is not None
        target = self._config.endpoint.url(service or "*") or _aws(service, self._config.endpoint.region)
        url = URL(target.rstrip("/") + exchange.path, encoded=True)
        headers = one_case(end_to_end(request.headers))
        headers["Host"] = host_for(request.host, url)
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        if exchange.is_read:
            # What is read here should not come compressed.
            headers["Accept-Encoding"] = "identity"
        if self._signer is not None and service is not None:
            body = self._signer.sign(service, request.method, str(url), headers, body)
        self.calls.passed_on(Call(service or "", exchange.asked.operation or "", exchange.params or {}))
        return self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)

    async def _keep_back(self, exchange: Exchange, broken: Broken | None) -> web.StreamResponse:
        """The answer, for that reason; or because the consumer is gone."""
        return break_off(exchange.request) if broken is None else await self._faults.answer(exchange, broken)

    async def _pass_on(self, exchange: Exchange, answered: Answered) -> web.StreamResponse:
        if (cut := self._faults.cut(exchange)) is not None:
            return await self._faults.answer(exchange, cut)
        slow = exchange.struck("slow-body") if answered.body else None
        if slow is None:
            return await say(exchange.request, answered)
        response = web.StreamResponse(status=answered.status, reason=answered.reason, headers=answered.headers)
        response.content_length = len(answered.body)
        await response.prepare(exchange.request)
        await self._faults.drip(response, answered.body, slow)
        await response.write_eof()
        return response


def _queue_of(exchange: Exchange) -> str:
    """The name of the queue that a call is about, which SQS's older protocol may tell in the path alone; some services
    take the name for the URL."""
    assert exchange.params is not None
    url = exchange.params.get("QueueUrl")
    return name_of(url if isinstance(url, str) else exchange.request.path)


def _is_understood(told: Asked, client: Client) -> bool:
    if told.service in _UNDERSTOOD:
        return told.operation != _ENDLESS
    strikes = any(client.disturbances.stands(kind) for kind in REFUSE_ENTRIES)
    return strikes and (told.service or "", told.operation or "") in SENDS


def _of_a_form_in_the_path(exchange: Exchange) -> Exchange:
    """SQS's older protocol has its form there in a GET."""
    form = exchange.path.partition("?")[2].encode()
    told = asked(exchange.path, exchange.request.headers, form)
    if told.dialect is not None and told.service in _UNDERSTOOD and exchange.body is None:
        with suppress(Unreadable):
            exchange.params = told.dialect.read(form)
            exchange.asked = told
    return exchange


def _nothing(dialect: Dialect, operation: str) -> Answered:
    """The answer to a batch of which nothing was sent on."""
    told = dialect.nothing(operation)
    return Answered(told.status, None, CIMultiDict(told.headers), told.body)


def _outcomes(settles: Sequence[Settle], answered: Answered, dialect: Dialect) -> list[tuple[SendResult, str | None]]:
    code = "" if answered.status < 300 else dialect.code_of(answered.body, answered.headers)
    read: Params = {}
    if answered.body:
        with suppress(Unreadable):
            read = dialect.read_answer(answered.body)
    return queue.outcomes(settles, answered.status, read, code)


def _aws(service: str | None, region: str) -> str:
    if service is None:
        raise aiohttp.ClientError("nobody knows which service of AWS it is for")
    return f"https://{service}.{region}.amazonaws.com"


def _broken(client: Client, request: web.BaseRequest) -> web.StreamResponse:
    """Of a mistake of this proxy's own. What it would say of it a consumer would take for the service's word."""
    print(f"a call of {client.name} broke the wire:", file=sys.stderr)
    traceback.print_exc()
    return break_off(request)
