"""One line of JSON a request: no picture, no name of a file, no address, no key."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.metrics import Metrics
from mien.serve.problems import Problem

GONE = 499
"""What stands as the status of a request whose client went away."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_requests = logging.getLogger("mien.serve.requests")
_errors = logging.getLogger("mien.serve.errors")


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, with the members that it was given as `extra={"members": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower()}
        members = getattr(record, "members", None)
        line |= members if members is not None else {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(stream: TextIO | None = None) -> None:
    """Let the service, and what it runs in, write to `stream`; None is standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("mien.serve", logging.INFO), ("uvicorn", logging.WARNING), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what clients send wrongly, they are told


class RequestLog:
    """Logs and counts every request, and turns an error that nobody expected into a document without details."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, route: Callable[[Scope], str]) -> None:
        """Wrap `app`; `route` names the route that a scope has been led to."""
        self._app, self._metrics, self._route = app, metrics, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, taken = time.perf_counter(), 0, 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        state = scope.setdefault("state", {})
        try:
            await self._app(scope, counted, noted)
        except ClientDisconnect:
            state["status"] = GONE
        except Exception:
            method = scope["method"]
            _errors.exception("error", extra={"members": {"method": method, "route": self._route(scope)}})
            if status:
                raise  # too late to say so; the connection is cut
            problem = Problem(500, "something went wrong in the server; whoever runs it finds it in the log")
            await problem.response()(scope, counted, noted)
        finally:
            seconds = time.perf_counter() - began
            method, route = _method(scope), self._route(scope)
            status = state.get("status", status) or GONE
            self._metrics.count(method=method, route=route, status=status, seconds=seconds)
            members = {
                "method": method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                "bytes": taken,
            }
            if "faces" in state:
                members["faces"] = state["faces"]
            _requests.info("request", extra={"members": members})


def _method(scope: Scope) -> str:
    """Return the method, if it is one of the known: a client could invent a metric a request."""
    return str(scope["method"]) if scope["method"] in _METHODS else "other"
