"""Carries calls with aiobotocore, one client per service: what the consumers and the DynamoDB store talk through.

An attempt that reached the wire is one call here: botocore's own retries are off. Every error is a CallFailed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientConnectionError, ClientConnectorError
from botocore.exceptions import EndpointConnectionError

from gameday.transports.aws_errors import translate
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers import calls
from gameday.transports.carriers.methods import method_name
from gameday.transports.endpoint import Endpoint, config_arguments


class AioCarrier:
    """Clients are made on first use and closed together by `close`."""

    def __init__(self, endpoint: Endpoint, *, read_timeout_s: float, connections: int) -> None:
        self._endpoint = endpoint
        # The other style puts a bucket into the name of the host, which an emulator on this machine has not.
        style = {"addressing_style": "path" if endpoint.urls else "auto"}
        arguments = config_arguments(
            read_timeout_s=read_timeout_s, connections=connections, prefixes=not endpoint.on_this_machine
        )
        self._config = AioConfig(**arguments, s3=style)
        self._session = get_session()
        self._clients: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self._making = asyncio.Lock()

    async def client(self, service: str) -> Any:
        """Errors: CallFailed where the environment or a profile has no good credentials, or no good region."""
        async with self._making:
            if service not in self._clients:
                arguments = self._endpoint.client_arguments(service)
                try:
                    made = self._session.create_client(service, config=self._config, **arguments)
                    self._clients[service] = await self._stack.enter_async_context(made)
                except Exception as error:
                    raise translate(error) from error
        return self._clients[service]

    async def open(self, service: str) -> None:
        """Get ready to call a service, so that the first call finds everything in place. Errors: CallFailed."""
        await self.client(service)

    async def __call__(self, call: Call) -> Answer:
        """Errors: CallFailed."""
        client = self._clients.get(call.service) or await self.client(call.service)
        began = calls.began()
        try:
            answer: Answer = await getattr(client, method_name(call.operation))(**call.params)
        except Exception as error:
            failed = _failed(error)
            calls.ended(call, began, failed)
            raise failed from error
        calls.ended(call, began, answer=answer)
        return answer

    async def close(self) -> None:
        await self._stack.aclose()
        self._clients.clear()


def _failed(error: Exception) -> CallFailed:
    """aiobotocore says of a connection that broke what botocore says only of one that could not be made."""
    if isinstance(error, EndpointConnectionError):
        why = error.kwargs.get("error")
        if isinstance(why, ClientConnectionError) and not isinstance(why, ClientConnectorError):
            return CallFailed("ConnectionClosedError", str(error), definite=False)
    return translate(error)
