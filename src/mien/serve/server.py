"""The app in uvicorn, with a stop that finishes what has begun."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serve.settings import MEGABYTE, Settings

_HEAD = 10.0  # seconds for the head of a request


class _Protocol(H11Protocol):
    """Closes connections on which a request's head, or what nobody reads any more, comes too slowly."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._rest()
        super().handle_websocket_upgrade(event)
        self.connection_lost = lambda exc: None  # type: ignore[method-assign]

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._timer is None:
            self._timer = self.loop.call_later(_HEAD, self.transport.close)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Serves an app until it is told to stop; requests in flight are finished, new ones refused."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        """Prepare to serve `app`."""
        self._app = app
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_Protocol,
            ws_max_size=settings.max_body * MEGABYTE,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.max_seconds,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what is new, finish what is there."""
        self._app.state.stop.set()
        await super().shutdown(sockets)
