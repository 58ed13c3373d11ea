"""What every answer tells browsers, and which sites' pages may ask."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.guard import path_of, refuse_socket
from mien.serve.problems import Problem

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers hide the origin of forms too
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    # the page's framework needs inline scripts; what matters here is that nothing goes to or comes from elsewhere
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
_SAFE = ("GET", "HEAD", "OPTIONS")


class SecurityHeaders:
    """Adds to every answer what keeps browsers from misusing it."""

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        """Wrap `app`; pages from `origins` may read answers."""
        self._app = app
        self._headers = {**_HEADERS}
        if origins:
            self._headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, secured)


class Heads:
    """Answers HEAD as GET is answered, less the body, which the server below leaves away."""

    def __init__(self, app: ASGIApp, *, paths: tuple[str, ...]) -> None:
        """Wrap `app`; what begins with one of `paths` is answered so."""
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not path_of(scope).startswith(self._paths):
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope["route"] = asked.get("route")  # which the log tells


class SameOrigin:
    """Refuses what another site's page sends in the name of whoever looks at it.

    Browsers let any page send forms to any server, also to one that only the visitor's machine can reach. They say
    from where; other clients do not, and pass.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        """Wrap `app`; pages from `origins` may send too."""
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        reads = scope["type"] == "lifespan" or (scope["type"] == "http" and scope["method"] in _SAFE)
        if reads or is_own(Headers(scope=scope), self._origins):
            await self._app(scope, receive, send)
        else:
            problem = Problem(
                403, "pages of other sites may not send to this server, save those that its --origin names"
            )
            if scope["type"] == "http":
                await problem.response()(scope, receive, send)
            else:
                await refuse_socket(problem, scope, receive, send)


def is_own(headers: Headers, origins: Collection[str]) -> bool:
    """Say whether a request comes from this server's own page, one of `origins`, or something else than a page."""
    origin = headers.get("origin")
    if origin is None or origin.lower() in origins:
        return True
    # the scheme is left aside: where a proxy ends TLS, this server does not know it
    return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
