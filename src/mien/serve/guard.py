"""What every request passes first: is the server stopping, is the body too large or too slow, is there room."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.disk import Disk
from mien.serve.problems import Problem, stopping
from mien.serve.settings import MEGABYTE, Settings
from mien.serve.stop import Stop

FILMS = "/v1/videos"
PAGE = "/gradio_api/"
UPLOAD = PAGE + "upload"

_SMALL = 1 << 20  # what is left of a body so small is read and thrown away
_LINGER = 2.0  # seconds for which a client that is still sending may go on, to come to read why nobody listens
_LAST_WORDS = 2.0  # seconds that the page's streams have to end by themselves once its work is finished
_WINDOW, _LEAST = 30.0, 64 << 10  # seconds of waiting for a body, and the bytes that have to come in them


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
    lies_open: bool  # it is written into one of the server's folders, where it can be measured


class Guard:
    """Refuses requests while the server stops, and cuts bodies that are too large, too slow, or have no room.

    What a handler answers to a body that was cut is replaced by the reason.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, stop: Stop, disk: Disk) -> None:
        """Wrap `app`."""
        self._app, self._stop, self._disk = app, stop, disk
        self._pictures = _Allowed("this request", "--max-body", settings.max_body, settings.max_seconds, False)
        self._films = _Allowed("a film", "--max-film", settings.max_film, settings.max_film_seconds, True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            await _Request(scope, receive, send, self._allowed(scope), self._disk).run(self._app, self._stop)
        elif scope["type"] != "websocket" or not self._stop.begun.is_set():
            await self._app(scope, receive, send)
        else:
            await refuse_socket(stopping(), scope, receive, send)

    def _allowed(self, scope: Scope) -> _Allowed:
        film = scope["method"] == "POST" and path_of(scope) in (FILMS, UPLOAD)
        return self._films if film else self._pictures


class _Request:
    """One request under its limits."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, allowed: _Allowed, disk: Disk) -> None:
        self._scope, self._receive, self._send, self._allowed = scope, receive, send, allowed
        self._disk, self._held = disk, 0
        self._deadline = asyncio.get_running_loop().time() + allowed.seconds
        scope.setdefault("state", {})["deadline"] = self._deadline
        headers = dict(scope["headers"])
        self._length = int(headers.get(b"content-length", b"0"))
        self._small = b"transfer-encoding" not in headers and self._length <= _SMALL
        self._whole = self._length == 0 and b"transfer-encoding" not in headers
        self._taken = 0
        self._waited, self._came = 0.0, 0  # in this window
        self._problem: Problem | None = None
        self._started = self._streams = self._late = self._linger = self._cut = self._ended = False

    async def run(self, app: ASGIApp, stop: Stop) -> None:
        refusal = self._refusal(stop)
        if refusal is None:
            try:
                if self._scope["method"] == "GET" and path_of(self._scope).startswith(PAGE):
                    await self._until(stop, app)
                else:
                    await app(self._scope, self.receive, self.send)
            except Exception:
                if self._problem is None or self._started:
                    raise
            finally:
                self._disk.release(self._held)
        problem, self._problem = refusal or self._problem, None
        if problem is not None and not self._started:
            await problem.response()(self._scope, self.receive, self.send)

    def _refusal(self, stop: Stop) -> Problem | None:
        """Return what is wrong with a request by its head."""
        if stop.begun.is_set():
            return stopping(films=path_of(self._scope).startswith(FILMS))
        if self._length > self._allowed.megabytes * MEGABYTE:
            return self._too_large()
        try:
            if not self._small:
                self._disk.check(self._length)
        except Problem as problem:
            return problem
        return None

    async def _until(self, stop: Stop, app: ASGIApp) -> None:
        """Run `app`; a stream of events, which never ends by itself, ends with what the page has begun."""
        answering = asyncio.ensure_future(app(self._scope, self.receive, self.send))
        stopped = asyncio.ensure_future(_ended(stop))
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
        message = await self._next()
        self._whole = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._taken += size
        if self._taken > self._allowed.megabytes * MEGABYTE:
            self._problem = self._too_large()
            raise self._problem
        try:
            self._count(size)
        except Problem as problem:
            self._problem = problem
            raise
        return message

    async def _next(self) -> Message:
        """Return what comes next of the body.

        Raises:
            Problem: it comes too slowly (408).

        """
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            window = began + max(0.0, _WINDOW - self._waited)
            message: Message | None = None
            try:
                async with asyncio.timeout_at(min(window, self._deadline)):
                    message = await self._receive()
            except TimeoutError:
                if loop.time() >= self._deadline:
                    raise self._too_late(f"the body did not come within {self._allowed.seconds} seconds") from None
            self._waited += loop.time() - began
            self._came += len(message.get("body", b"")) if message else 0
            if self._waited >= _WINDOW:
                if self._came < _LEAST:
                    raise self._too_late(f"of the body less than {_LEAST >> 10} KB came in {_WINDOW:g} seconds")
                self._waited, self._came = 0.0, 0
            if message is not None:
                return message

    def _count(self, size: int) -> None:
        """Count what goes to the disk.

        Raises:
            Problem: there is no room for it.

        """
        if self._allowed.lies_open:
            self._disk.add(size)
        elif self._taken > _SMALL:
            more = self._taken - self._held
            self._disk.hold(more)
            self._held += more

    def _too_late(self, text: str) -> Problem:
        self._problem, self._late = Problem(408, f"{text}; send it again"), True
        return self._problem

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
        return Problem(
            413, f"{allowed.what} is over the limit of {allowed.megabytes} MB (the server's {allowed.flag})"
        )


async def _ended(stop: Stop) -> None:
    """Return when the server stops and what was begun is finished."""
    await stop.begun.wait()
    await stop.finished()


async def refuse_socket(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's handshake with a problem."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await problem.response()(scope, receive, send)
    else:
        closing: dict[str, Any] = {"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]}
        await send(closing)
