"""What Gradio remembers of visitors, which here ends with their events.

Gradio keeps the last value of everything that it has shown to a visitor, faces among it, until ten thousand others
have come, and what it has told a visitor who did not stay to hear it. The page needs nothing of that from one event
to the next.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from mien.serve.problems import busy

_MOST = 256  # visitors whose events are worked on, or wait to be told
_EVENTS = 16  # of one visitor
PATIENCE = 30.0  # seconds for which an event's outcome waits to be fetched


class Sessions:
    """Counts visitors, and lets Gradio forget them. It is used on the event loop's thread only."""

    def __init__(self, page: gr.Blocks) -> None:
        """Watch over those of `page`."""
        self._page = page
        self._since: dict[str, float] = {}  # since when nobody listens, or somebody does
        self._asking: Counter[str] = Counter()  # events that Gradio may not know yet
        self._listeners: Counter[str] = Counter()

    @contextmanager
    def asking(self, session: str) -> Iterator[None]:
        """Know that Gradio is being asked for an event.

        Raises:
            Problem: there are too many visitors, or this one has too many events (429).

        """
        if len(self._pending(session)) + self._asking[session] >= _EVENTS:
            raise busy("you have asked for too much at once; try again in a moment")
        if session not in self._since and len(self._since) >= _MOST:
            raise busy("the page has too many visitors; try again in a moment", seconds=10)
        self._since[session] = time.monotonic()
        self._asking[session] += 1
        try:
            yield
        finally:
            self._asking[session] -= 1
            if not self._asking[session]:
                del self._asking[session]

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Know that the outcomes of a visitor's events are being fetched."""
        self._listeners[session] += 1
        try:
            yield
        finally:
            self._listeners[session] -= 1
            if not self._listeners[session]:
                del self._listeners[session]
                if self._pending(session) or session in self._asking:
                    self._since[session] = time.monotonic()  # the next may be about to be fetched
                else:
                    self._forget(session)

    def knows(self, session: str) -> bool:
        """Return whether Gradio has, or may have, anything to tell a visitor."""
        return session in self._page._queue.pending_messages_per_session

    async def sweep(self) -> None:
        """Forget visitors who do not fetch what they have asked for."""
        oldest = time.monotonic() - PATIENCE
        left = {session for session, since in self._since.items() if since <= oldest} - self._listeners.keys()
        for session in left:
            await self._page._queue.clean_events(session_hash=session)
            self._forget(session)
        for session in self._page.state_holder.session_data.keys() - self._since.keys():
            self._forget(session)  # one whose event ended only after its visitor

    def _pending(self, session: str) -> set[str]:
        return self._page._queue.pending_event_ids_session.get(session, set())

    def _forget(self, session: str) -> None:
        queue, states = self._page._queue, self._page.state_holder
        for kept in (
            self._since,
            queue.pending_messages_per_session,
            queue.pending_event_ids_session,
            states.session_data,
            states.time_last_used,
        ):
            kept.pop(session, None)
