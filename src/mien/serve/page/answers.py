"""What Gradio answers, as the rest of the service would: its errors become problem documents."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.problems import MEDIA_TYPE, Problem

_MOST = 1 << 16  # bytes of an error that are looked at
_KEPT = ("Allow", "Content-Range")  # of its headers


class Answer:
    """Passes one answer of Gradio's on, save for errors, which are held back and told in this service's words.

    Gradio's own rules on which sites may read are left out, and what carries its hash in its name may be kept.

    Attributes:
        begun: whether anything has been sent.

    """

    def __init__(self, send: Send, *, lasting: bool) -> None:
        """Pass on to `send`; `lasting` says that a good answer never changes."""
        self._send, self._lasting = send, lasting
        self.begun = self._ended = self._streams = False
        self._status = 0  # of an error that is held back
        self._told = bytearray()
        self._headers: dict[str, str] = {}

    async def of(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Answer with what `app` answers.

        Raises:
            Problem: it answers with an error, of which nothing has been sent.
            Exception: whatever it raises.

        """
        try:
            await app(scope, receive, self)
        except Exception as error:
            # Gradio says in its stream of events that it does not know the visitor, and then raises that too
            if not (self._streams and isinstance(error.__cause__, HTTPException)):
                raise
            if not self._ended:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if self._status:
            raise Problem(self._status, _detail(self._status, bytes(self._told)), headers=self._headers)

    async def __call__(self, message: Message) -> None:
        """Take a message of Gradio's."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] >= HTTPStatus.BAD_REQUEST and headers.get("content-type") != MEDIA_TYPE:
                self._status = message["status"]
                self._headers = {name: headers[name] for name in _KEPT if name in headers}
                return
            self.begun = True
            self._streams = headers.get("content-type", "").startswith("text/event-stream")
            for name in [name for name in headers.keys() if name.startswith("access-control-")]:  # noqa: SIM118
                del headers[name]
            if self._lasting and message["status"] == HTTPStatus.OK:
                headers["Cache-Control"] = "public, max-age=31536000, immutable"
        elif self._status:
            self._told += message.get("body", b"")[: max(0, _MOST - len(self._told))]
            return
        else:
            self._ended = not message.get("more_body", False)
        await self._send(message)


def _detail(status: int, body: bytes) -> str:
    """Return in one line what Gradio, or the validation of its requests, says is wrong."""
    try:
        told: Any = json.loads(body)["detail"]
        if isinstance(told, list):
            where = ".".join(str(part) for part in told[0]["loc"][1:])
            told = f"{where}: {told[0]['msg']}" if where else told[0]["msg"]
    except (ValueError, TypeError, LookupError):
        told = None
    return told if isinstance(told, str) and "\n" not in told else HTTPStatus(status).phrase
