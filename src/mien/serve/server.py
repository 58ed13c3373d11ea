"""The app in uvicorn, with a stop that finishes what has begun."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serve.problems import Problem
from mien.serve.settings import MEGABYTE, Settings

_HEAD = 10.0  # seconds for the head of a request
_READS = 30.0  # seconds in which a client has to read something of an answer that waits for it
_READS_AT_END = 5.0  # the same, once the server stops
_CONNECTIONS = 400  # each has a file handle, and one more as it uploads; 1024 is what processes are commonly allowed
_GRACE = 5  # seconds that answers have on top of the time for their work when the server stops


class _Protocol(H11Protocol):
    """Closes connections on which a request's head comes too slowly, or whose client does not read its answer.

    Of too many, it closes the one that has been idle for longest.
    """

    _since = 0.0  # when something came last
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # tells of anything that the client has not taken yet
        self._since = self.loop.time()
        self._watch()
        if len(self.connections) > _CONNECTIONS:
            self._make_room()

    def _make_room(self) -> None:
        closing = [one for one in self.connections if one.transport.is_closing()]
        if len(self.connections) - len(closing) <= _CONNECTIONS:
            return
        others = [one for one in self.connections.difference({self}, closing) if isinstance(one, _Protocol)]
        idle = [one for one in others if one.cycle is None or one.cycle.response_complete]
        if idle:
            min(idle, key=lambda one: one._since).transport.close()
        else:
            self._answer(Problem(503, "the server has too many connections; try again in a moment"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader(self._unread())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._rest_reader()

    def shutdown(self) -> None:
        self._stopping = True
        super().shutdown()
        if self._stalled is not None:
            self._await_reader(self._unread())

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form in which everything else is answered."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        self._answer(Problem(400, "this is no HTTP request that can be read"))

    def _answer(self, problem: Problem) -> None:
        """Answer what is no request, or none yet, and close the connection."""
        response, status = problem.response(), HTTPStatus(problem.status)
        headers = [*response.raw_headers, (b"connection", b"close")]
        start = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (start, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._since = self.loop.time()
        super().data_received(data)
        if self.transport.get_protocol() is self:  # a WebSocket has another by now
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._rest_reader()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._rest()
        self._rest_reader()
        self.transport.set_write_buffer_limits()
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

    def _unread(self) -> int:
        """Return how many bytes the client has not taken yet, those in the system's hands among them."""
        waiting = self.transport.get_write_buffer_size()
        if sys.platform == "linux":
            import fcntl
            import termios

            with suppress(OSError):
                found = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
                waiting += int.from_bytes(found, sys.byteorder)
        return waiting

    def _await_reader(self, unread: int) -> None:
        """Close the connection after a while, unless less is left of `unread` by then."""
        self._rest_reader()
        seconds = _READS_AT_END if self._stopping else _READS
        self._stalled = self.loop.call_later(seconds, self._close_on_idler, unread)

    def _close_on_idler(self, unread: int) -> None:
        now = self._unread()
        if now < unread:
            self._await_reader(now)
        else:
            self.transport.abort()

    def _rest_reader(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


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
            ws_max_queue=1,  # each may be as large as that
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.max_seconds + _GRACE,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what is new, finish what is there."""
        self._app.state.stop.begin()
        await super().shutdown(sockets)
