"""A camera's frames over a WebSocket: each is answered with its record, at once, and no frame waits.

Which pages may connect, and that the key is there, is seen to before a socket comes here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from mien.errors import SourceError
from mien.results import Frame, Result
from mien.serve.admission import Admission
from mien.serve.engine import Engine
from mien.serve.metrics import Metrics
from mien.serve.problems import Problem, reason
from mien.serve.settings import MEGABYTE, Settings

NAME = "live"
"""What the records call the source."""

IDLE = 30.0
"""Seconds without a frame after which a socket is closed."""

# close codes of RFC 6455 and its registry
_NORMAL, _REFUSED, _TOO_LARGE, _FAILED, _BUSY = 1000, 1008, 1009, 1011, 1013
_log = logging.getLogger(__name__)

_REASON = 123  # bytes that a reason for closing may have


def routes(engine: Engine, settings: Settings, admission: Admission, metrics: Metrics) -> APIRouter:
    """Return the route /v1/live."""
    router = APIRouter()

    @router.websocket("/v1/live")
    async def live(socket: WebSocket, emotions: str | None = None, model: str | None = None) -> None:
        """Take the bytes of one picture a message, and answer each with its record."""
        await socket.accept()
        if metrics.cameras >= settings.jobs:
            await _close(socket, _BUSY, "too many cameras are connected; try again later")
            return
        metrics.cameras += 1
        try:
            engine.labels(model, emotions)
            read = engine.analyzer(model).restricted(emotions).reader()
            await _Camera(socket, read, settings, admission, metrics).run()
        except Problem as problem:
            await _close(socket, _REFUSED, problem.detail)
        finally:
            metrics.cameras -= 1

    return router


class _Camera:
    """One socket: frames are received all the time, and only the newest is analysed."""

    def __init__(
        self,
        socket: WebSocket,
        read: Callable[[Frame], Result],
        settings: Settings,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._socket, self._read, self._settings = socket, read, settings
        self._admission, self._metrics = admission, metrics
        self._newest: tuple[int, float, bytes | str] | None = None
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Answer frames until the client has gone, or sends none any more."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._answer())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Exception:
            _log.exception("a live socket failed")
            await _close(self._socket, _FAILED, "something went wrong in the server; its log tells what")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _receive(self) -> None:
        began = time.monotonic()
        number = 0
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    message = await self._socket.receive()
            except TimeoutError:
                await _close(self._socket, _NORMAL, f"no frame came for {IDLE:g} seconds")
                return
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            if data is not None and len(data) > self._settings.max_body * MEGABYTE:
                await _close(self._socket, _TOO_LARGE, f"a frame has {self._settings.max_body} MB at most")
                return
            if self._newest is not None:
                self._metrics.count_skipped()
            self._newest = (number, time.monotonic() - began, message.get("text", "") if data is None else data)
            self._came.set()
            number += 1

    async def _answer(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            newest, self._newest = self._newest, None
            if newest is not None:
                began = time.monotonic()
                answer = await self._record(*newest)
                faces = len(answer["faces"]) if "faces" in answer else None
                self._metrics.count_frame(faces=faces, seconds=time.monotonic() - began)
                try:
                    await self._socket.send_text(json.dumps(answer, allow_nan=False))
                except (WebSocketDisconnect, RuntimeError):
                    return

    async def _record(self, number: int, seconds: float, data: bytes | str) -> dict[str, Any]:
        if isinstance(data, str):
            return {"frame": number, "error": "a frame is sent as the bytes of a JPEG, PNG or WebP picture"}
        try:
            async with self._admission.decoded(lambda: data, name=NAME) as picture:
                frame = Frame(picture.pixels, NAME, number, round(seconds, 6))
                return (await asyncio.to_thread(self._read, frame)).to_record()
        except SourceError as error:
            return {"frame": number, "error": reason(error, "--max-pixels")}


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is WebSocketState.CONNECTED:
        await socket.close(code, reason.encode()[:_REASON].decode(errors="ignore"))
