"""The streams in which visitors are told of their events, each of which ends in step with its browser.

Gradio ends a visitor's stream, by a last message, once it has told of all events. A browser that learns that a new
event was taken before it has read that message believes the stream to be open, and asks for no other: it would never
be told of that event. So while a stream ends, the answer to a new event waits until the browser has left the stream,
as it does on reading the message.

And a browser that learns so only after all has been told already, since the answer took longer on its way, asks for
another stream. Gradio refuses that, which leaves the browser believing it to be open; here it ends like the others.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.page.sessions import Sessions

_LAST = b'data: {"msg":"close_stream"'
_END = b'data: {"msg":"close_stream","event_id":null}\n\n'
_LEAVES = 5.0  # seconds for a browser to leave; one behind a proxy that does not pass that on goes without


class Streams:
    """Keeps events and streams of a visitor in step. It is used on the event loop's thread only."""

    def __init__(self, sessions: Sessions) -> None:
        """Tell `sessions` who asks and who listens."""
        self._sessions = sessions
        self._ending: dict[str, asyncio.Event] = {}

    async def join(self, app: ASGIApp, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` take an event, and answer that it has when no stream of its visitor is about to end.

        Raises:
            Problem: the visitor, or the page, has too many (429).

        """

        async def in_step(message: Message) -> None:
            while message["type"] == "http.response.start" and (ended := self._ending.get(session)) is not None:
                await ended.wait()
            await send(message)

        with self._sessions.asking(session):
            await app(scope, receive, in_step)

    async def tell(self, app: ASGIApp, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` tell a visitor of events; after its last message, the answer ends when the browser has left."""
        ended: asyncio.Event | None = None

        async def in_step(message: Message) -> None:
            nonlocal ended
            if ended is not None:
                return
            if message.get("body", b"").startswith(_LAST):
                ended = self._ending[session] = asyncio.Event()
            await send(message)

        if not self._sessions.knows(session):
            app = _nothing_more
        with self._sessions.listening(session):
            try:
                await app(scope, receive, in_step)
                if ended is not None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(_left(receive), _LEAVES)
            finally:
                if ended is not None:
                    if self._ending.get(session) is ended:
                        del self._ending[session]
                    ended.set()
        if ended is not None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _nothing_more(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _END, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
