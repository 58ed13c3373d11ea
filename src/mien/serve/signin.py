"""The API key, and the form in which people give it."""

from __future__ import annotations

import hashlib
import hmac
import html
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.serve.guard import path_of, refuse_socket
from mien.serve.problems import Problem, busy
from mien.serve.throttle import Throttle

COOKIE = "mien"
PATH = "/sign-in"
OPEN = ("/healthz", "/readyz")
"""Open to all: what watches over a server has no key."""

_WRONG, _WITHIN = 10, 60.0  # keys that an address may try, and the seconds for which it then has to wait
_SECONDS = 24 * 3600  # for which a browser stays signed in
_FORM = 8192  # bytes of a form


class ApiKey:
    """Lets through who sends the key in a header, or has given it in the form; who guesses has to wait."""

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        """Wrap `app`."""
        self._app, self._key = app, key.encode()
        self._throttle = Throttle(most=_WRONG, seconds=_WITHIN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan" or path_of(scope) in OPEN:
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and path_of(scope) == PATH:
            request = Request(scope, receive)
            response = await self._sign_in(request) if request.method == "POST" else self._form(request, 200)
            await response(scope, receive, send)
        elif (problem := self._refused(HTTPConnection(scope))) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_socket(problem, scope, receive, send)
        else:
            await self._refusal(Request(scope, receive), problem)(scope, receive, send)

    def _refused(self, connection: HTTPConnection) -> Problem | None:
        """Return what is wrong with the key that came, or that none came."""
        if self._is_token(connection.cookies.get(COOKIE, "")):
            return None
        key = _sent(connection.headers)
        return self._judged(connection, key) if key else _unknown()

    def _judged(self, connection: HTTPConnection, key: str) -> Problem | None:
        """Return what is wrong with a key; whoever has tried too many is not told the right one either."""
        address = connection.client.host if connection.client else ""
        if seconds := self._throttle.wait(address):
            return busy("too many wrong keys came from your address; try again in a minute", seconds=seconds)
        if self._is_key(key):
            return None
        self._throttle.wrong(address)
        return _unknown()

    def _is_key(self, text: str) -> bool:
        # headers come as bytes read as Latin-1, forms as text
        return any(
            hmac.compare_digest(sent, self._key) for sent in (text.encode(), text.encode("latin-1", "replace"))
        )

    def _refusal(self, request: Request, problem: Problem) -> Response:
        if problem.status == 401 and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return self._form(request, 401, headers=problem.headers)
        return problem.response()

    async def _sign_in(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _FORM:
                return Problem(413, "this form is too large").response()
        given = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).get("key", [""])[0].strip()
        if (problem := self._judged(request, given)) is not None:
            wrong = problem.status == 401
            said = "This is not the key." if wrong else "Too many wrong keys: try again in a minute."
            return self._form(request, problem.status, said, problem.headers)
        response = RedirectResponse(request.scope.get("root_path", "") + "/", 303)
        response.set_cookie(
            COOKIE,
            self._token(int(time.time()) + _SECONDS),
            max_age=_SECONDS,
            path=request.scope.get("root_path", "") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def _token(self, until: int) -> str:
        """Return what a browser is given instead of the key: it proves the key until a time, and does not tell it."""
        return f"{until}.{hmac.new(self._key, f'mien sign-in {until}'.encode(), hashlib.sha256).hexdigest()}"

    def _is_token(self, token: str) -> bool:
        until = token.partition(".")[0]
        if not (until.isascii() and until.isdigit() and len(until) < 12):
            return False
        return hmac.compare_digest(token.encode(), self._token(int(until)).encode()) and time.time() < int(until)

    def _form(
        self, request: Request, status: int, message: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        action = html.escape(request.scope.get("root_path", "") + PATH, quote=True)
        told = f'<p id="wrong" role="alert">{html.escape(message)}</p>' if message else ""
        described = ' aria-describedby="wrong" aria-invalid="true"' if message else ""
        page = _PAGE.format(action=action, told=told, described=described)
        return HTMLResponse(page, status, headers=headers)


def _sent(headers: Headers) -> str:
    """Return the key that a request sends in its headers."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "")


def _unknown() -> Problem:
    return Problem(
        401,
        "send the server's API key as Authorization: Bearer KEY or as X-API-Key",
        headers={"WWW-Authenticate": "Bearer"},
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in - mien</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.05rem/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: #f6f6f7; color: #18181b; }}
main {{ box-sizing: border-box; width: min(24rem, 100vw - 2rem); padding: 2rem; border-radius: .75rem;
  background: #fff; border: 1px solid #d4d4d8; }}
h1 {{ margin: 0 0 1rem; font-size: 1.4rem; }}
label {{ display: block; margin-bottom: .35rem; }}
input, button {{ box-sizing: border-box; width: 100%; font: inherit; padding: .6rem .8rem; border-radius: .4rem; }}
input {{ border: 1px solid #71717a; background: inherit; color: inherit; }}
button {{ margin-top: 1rem; border: 0; background: #005a9c; color: #fff; cursor: pointer; }}
:focus-visible {{ outline: 3px solid #d55e00; outline-offset: 2px; }}
[role=alert] {{ margin: .5rem 0 0; color: #b00020; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #18181b; color: #fafafa; }}
  main {{ background: #27272a; border-color: #52525b; }}
  button {{ background: #56b4e9; color: #18181b; }}
  [role=alert] {{ color: #ff8fa0; }}
}}
</style>
</head>
<body>
<main>
<h1>mien</h1>
<form method="post" action="{action}">
<input type="text" name="username" value="mien" autocomplete="username" hidden>
<label for="key">The key to this server</label>
<input id="key" name="key" type="password" required autofocus autocomplete="current-password"{described}>
{told}
<button type="submit">Sign in</button>
</form>
</main>
</body>
</html>
"""
