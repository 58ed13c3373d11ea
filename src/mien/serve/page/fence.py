"""What of Gradio can be reached: the page's own needs, and no file or address that is not this server's.

Gradio reads the files and fetches the addresses that a client names in an event. Here, a request that names any
other than an upload of this server, or an event that there is not, ends before Gradio sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.guard import PAGE, UPLOAD, path_of
from mien.serve.page.answers import Answer
from mien.serve.page.sessions import Sessions
from mien.serve.page.streams import Streams
from mien.serve.page.transfers import Transfers
from mien.serve.page.uploads import Uploads
from mien.serve.problems import NOTHING, Problem

_FILE = f"{PAGE}file="
_EVENT = f"{PAGE}queue/join"
_STREAM = f"{PAGE}queue/data"
_PROGRESS = f"{PAGE}upload_progress"
_READABLE = re.compile(
    r"/(config|theme\.css|robots\.txt|favicon\.ico|manifest\.json|(static|assets|svelte)/.*)?"
    r"|/gradio_api/(startup-events|app_id|theme\.css|heartbeat/[\w-]+|queue/(data|status))"
)
_WRITABLE = (_EVENT, f"{PAGE}cancel", f"{PAGE}reset")
_LASTING = "/assets/"
_MAX_EVENT = 1 << 16  # bytes; Gradio keeps events in memory until their answers are fetched
_SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)  # Gradio remembers the names of thousands of them
_SCHEME = re.compile(r"\s*(//|[a-z][a-z0-9+.-]*://|data:|file:)", re.IGNORECASE)


class Fence:
    """ASGI middleware before Gradio's app."""

    def __init__(self, app: ASGIApp, *, uploads: Uploads, events: Mapping[int, int], sessions: Sessions) -> None:
        """Guard Gradio's `app`.

        Args:
            app: Gradio's.
            uploads: the only files that there are.
            events: how many values each event takes that the page can send.
            sessions: those who send some.

        """
        self._app = app
        self._uploads, self._transfers = uploads, Transfers(uploads)
        self._events, self._streams = events, Streams(sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem document."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # Gradio has no sockets that the page needs
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = Answer(send, lasting=path_of(scope).startswith(_LASTING))
        try:
            own = await self._transferred(scope, receive)
            if own is not None:
                await answer.of(own, scope, receive)
                return
            checked, app = await self._checked(scope, receive)
            await answer.of(app, scope, checked)
        except Problem as error:
            if answer.begun:
                raise
            await error.response()(scope, receive, send)

    async def _transferred(self, scope: Scope, receive: Receive) -> ASGIApp | None:
        """Return the answer to a request that is about files alone; Gradio has no part in these.

        Raises:
            Problem: there is no such file, or what comes is none.

        """
        path, reads = path_of(scope).rstrip("/"), scope["method"] in ("GET", "HEAD")
        if path == UPLOAD and scope["method"] == "POST":
            return await self._transfers.up(Request(scope, receive))
        if path == _PROGRESS and scope["method"] == "GET":
            return await self._transfers.how_far(Request(scope, receive))
        if path.startswith(_FILE) and reads:
            return self._transfers.down(path.removeprefix(_FILE))
        return None

    async def _checked(self, scope: Scope, receive: Receive) -> tuple[Receive, ASGIApp]:
        """Return how the body is to be read, and what answers.

        Raises:
            Problem: the request is none of the page's, or names what is not here.

        """
        path = path_of(scope)
        query = unquote(scope.get("query_string", b"").decode("latin-1"))
        if scope["method"] in ("GET", "HEAD"):
            if not _READABLE.fullmatch(path):
                raise Problem(403, "the page does not offer this") if path.startswith(PAGE) else Problem(404, NOTHING)
            # of what is shown at other paths, Gradio reads nothing that could be an address: links may carry any
            if path.startswith(PAGE) and any(_SCHEME.match(part.partition("=")[2]) for part in query.split("&")):
                raise Problem(403, "nothing is fetched from other addresses")
            listener = _listener(scope) if path == _STREAM else None
            return receive, partial(self._streams.tell, self._app, listener) if listener else self._app
        if scope["method"] != "POST" or path.rstrip("/") not in _WRITABLE:
            raise Problem(403, "the page does not offer this; programs use /v1")
        body = await _read(receive)
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "the body is not JSON") from error
        self._check_files(event)
        app = self._app
        if path.rstrip("/") == _EVENT:
            app = partial(self._streams.join, app, self._visitor(event))
        return _replay(json.dumps(event).encode(), receive), app

    def _visitor(self, event: object) -> str:
        """Return whose event it is; refuse what Gradio would break on."""
        number = event.get("fn_index") if isinstance(event, dict) else None
        takes = self._events.get(number) if type(number) is int else None
        if takes is None:
            raise Problem(422, "fn_index: the page has no such event; programs use /v1")
        data = event.get("data") if isinstance(event, dict) else None
        if not isinstance(data, list) or len(data) != takes:
            raise Problem(422, f"data: this event takes a list of {takes}")
        session = event.get("session_hash") if isinstance(event, dict) else None
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise Problem(422, "session_hash: it has letters, digits and dashes, 64 at most")
        return session

    def _check_files(self, event: object) -> None:
        """Refuse files and addresses that are not this server's; the rest of the addresses Gradio makes itself."""
        for holder, key, value in _strings(event):
            if key == "path" and not self._uploads.holds(value):
                raise Problem(403, "only files uploaded here are read")
            own = key == "url" and self._own_address(value)
            if own:
                holder["url"] = None
            elif key == "url" or (key != "path" and _SCHEME.match(value)):
                raise Problem(403, "nothing is fetched from other addresses")

    def _own_address(self, url: str) -> bool:
        """Whether an address is that of a file here; its host, which proxies change, does not matter."""
        _, marker, path = unquote(urlsplit(url).path).partition(_FILE)
        return bool(marker) and self._uploads.holds(path)


def _listener(scope: Scope) -> str | None:
    """Return who wants to be told of events."""
    named = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [""])[0]
    return named if _SESSION.fullmatch(named) else None


def _strings(value: object) -> Iterator[tuple[Any, str, str]]:
    """Yield every string in a document, with what holds it and its key, and the keys as well."""
    left: list[tuple[Any, str, object]] = [(None, "", value)]
    while left:
        holder, key, value = left.pop()
        if isinstance(value, dict):
            left += [(value, str(name), inner) for name, inner in value.items()]
            left += [(value, "", str(name)) for name in value]
        elif isinstance(value, list):
            left += [(None, key if key == "path" else "", inner) for inner in value]
        elif isinstance(value, str):
            yield holder, key, value


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(HTTPStatus.BAD_REQUEST, "the request broke off")
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > _MAX_EVENT:
            raise Problem(413, "the event is larger than the page ever sends")
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
