"""What every request passes first: is the server stopping, is the body too large or too slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.problems import Problem, stopping
from mien.serve.settings import MEGABYTE, Settings

FILMS = "/v1/videos"
PAGE = "/gradio_api/"
UPLOAD = PAGE + "upload"

_SMALL = 1 << 20  # what is left of a body so small is read and thrown away
_LINGER = 2.0  # seconds for which a client that is still sending may go on, to come to read why nobody listens
_LAST_WORDS = 2.0  # seconds that the page's streams have to end by themselves when the server stops


def path_of(scope: Scope) -> str:
    """Return the path within the app."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def seconds_left(scope: Scope) -> float:
    """Return how long a request may still take."""
    return max(0.0, float(scope["state"]["deadline"]) - asyncio.get_running_loop().time())


@dataclass(frozen=True, slots=True)
class _Allowed:
    what: str
    flag: str
    megabytes: int
    seconds: int


class Guard:
    """Refuses requests while the server stops, and cuts bodies that are too large or too slow.

    What a handler answers to a body that was cut is replaced by the reason.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, stop: asyncio.Event) -> None:
        """Wrap `app`; `stop` is set when the server stops."""
        self._app, self._stop = app, stop
        self._pictures = _Allowed("this request", "--max-body", settings.max_body, settings.max_seconds)
        self._films = _Allowed("a film", "--max-film", settings.max_film, settings.max_film_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            await _Request(scope, receive, send, self._allowed(scope)).run(self._app, self._stop)
        elif scope["type"] != "websocket" or not self._stop.is_set():
            await self._app(scope, receive, send)
        else:
            await refuse_socket(stopping(), scope, receive, send)

    def _allowed(self, scope: Scope) -> _Allowed:
        film = scope["method"] == "POST" and path_of(scope) in (FILMS, UPLOAD)
        return self._films if film else self._pictures


class _Request:
    """One request under its limits."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, allowed: _Allowed) -> None:
        self._scope, self._receive, self._send, self._allowed = scope, receive, send, allowed
        self._deadline = asyncio.get_running_loop().time() + allowed.seconds
        scope.setdefault("state", {})["deadline"] = self._deadline
        headers = dict(scope["headers"])
        self._length = int(headers.get(b"content-length", b"0"))
        self._small = b"transfer-encoding" not in headers and self._length <= _SMALL
        self._whole = self._length == 0 and b"transfer-encoding" not in headers
        self._taken = 0
        self._problem: Problem | None = None
        self._started = self._streams = self._late = self._linger = self._cut = self._ended = False

    async def run(self, app: ASGIApp, stop: asyncio.Event) -> None:
        if stop.is_set():
            self._problem = stopping()
        elif self._length > self._allowed.megabytes * MEGABYTE:
            self._problem = self._too_large()
        else:
            try:
                if self._scope["method"] == "GET" and path_of(self._scope).startswith(PAGE):
                    await self._until(stop, app)
                else:
                    await app(self._scope, self.receive, self.send)
            except Exception:
                if self._problem is None or self._started:
                    raise
        if self._problem is not None and not self._started:
            problem, self._problem = self._problem, None
            await problem.response()(self._scope, self.receive, self.send)

    async def _until(self, stop: asyncio.Event, app: ASGIApp) -> None:
        """Run `app`; a stream of events, which never ends by itself, ends when the server stops."""
        answering = asyncio.ensure_future(app(self._scope, self.receive, self.send))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({answering, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                await asyncio.wait({answering}, timeout=_LAST_WORDS if self._streams else None)
            if answering.done():
                await answering
                return
        finally:
            self._cut = not answering.done()
            stopped.cancel()
            answering.cancel()
            await asyncio.wait({answering, stopped})
        if not answering.cancelled():
            answering.exception()  # of what was cut off, nobody wants to know
        if not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        if self._problem is not None:
            return {"type": "http.disconnect"}
        if self._whole or self._started:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._problem = Problem(408, f"the body did not come within {self._allowed.seconds} seconds")
            self._late = True
            raise self._problem from None
        self._whole = not message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self._taken > self._allowed.megabytes * MEGABYTE:
            self._problem = self._too_large()
            raise self._problem
        return message

    async def send(self, message: Message) -> None:
        if self._cut or (self._problem is not None and not self._started):
            return
        if message["type"] == "http.response.start":
            self._started = True
            headers = MutableHeaders(scope=message)
            self._streams = headers.get("content-type", "").startswith("text/event-stream")
            self._linger = not self._whole and not self._small and not self._late
            if self._linger or self._late:
                headers["Connection"] = "close"
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._ended = True
            if self._linger:
                await self._send({**message, "more_body": True})
                await self._drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _drain(self) -> None:
        """Read on for a while: a connection that is closed in a client's face takes the answer with it."""
        try:
            async with asyncio.timeout(_LINGER):
                while (await self._receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass

    def _too_large(self) -> Problem:
        allowed = self._allowed
        return Problem(413, f"{allowed.what} is over the limit of {allowed.megabytes} MB ({allowed.flag})")


async def refuse_socket(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's handshake with a problem."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await problem.response()(scope, receive, send)
    else:
        closing: dict[str, Any] = {"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]}
        await send(closing)
