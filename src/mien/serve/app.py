"""The app: the REST service, and the page beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Scope

import mien
from mien.serve import films, health, live, models, pictures
from mien.serve.engine import Engine
from mien.serve.guard import PAGE, Guard, path_of
from mien.serve.headers import SameOrigin, SecurityHeaders
from mien.serve.jobs import FilmJobs
from mien.serve.logs import RequestLog
from mien.serve.metrics import Metrics
from mien.serve.openapi import describe
from mien.serve.problems import Problem
from mien.serve.settings import Settings
from mien.serve.signin import ApiKey
from mien.serve.storage import Storage

_OWN = ("/v1/{rest:path}", "/healthz", "/readyz", "/metrics", "/openapi.json")
_KNOWN = ("/v1/", "/healthz", "/readyz", "/metrics")
_NOTHING = "there is nothing at this path; /openapi.json says what there is"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]


def create_app(settings: Settings) -> FastAPI:
    """Return the app, with its models loaded; it gives up what it holds when its lifespan ends.

    `app.state` has the `engine`, the `jobs`, and `stop`, an event that is to be set when the server begins to stop:
    new requests are refused from then on.

    Raises:
        ModelError: a model cannot be used.
        UsageError: two models have the same name.

    """
    engine = Engine(settings)
    storage = Storage()
    jobs = FilmJobs(engine, settings, storage)
    work = pictures.Pictures(engine, settings)
    stop = asyncio.Event()
    metrics = Metrics(engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            stop.set()
            for end in (jobs.close, engine.stop, work.close, storage.close):
                await asyncio.to_thread(end)

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        lifespan=lifespan,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    app.state.engine, app.state.jobs, app.state.stop = engine, jobs, stop
    for router in (
        pictures.routes(work),
        films.routes(jobs, engine, settings),
        live.routes(engine, settings),
        models.routes(engine, settings),
        health.routes(engine, stop),
        metrics.routes(),
    ):
        app.include_router(router)
    describe(app, settings)
    _add_errors(app)
    _add_middleware(app, settings, stop, metrics)
    if settings.page:
        from mien.serve.page import mount

        mount(app, engine=engine, jobs=jobs, settings=settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings, stop: asyncio.Event, metrics: Metrics) -> None:
    """Wrap `app`, from the inside out."""
    if settings.api_key:
        app.add_middleware(ApiKey, key=settings.api_key)
    app.add_middleware(SameOrigin, origins=settings.origins)
    app.add_middleware(Guard, settings=settings, stop=stop)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
            expose_headers=["Retry-After", "Location"],
        )
    app.add_middleware(RequestLog, metrics=metrics, route=_route)
    app.add_middleware(SecurityHeaders, origins=settings.origins)


def _add_errors(app: FastAPI) -> None:
    """Make every error a problem document."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = _NOTHING if error.status_code == 404 else str(error.detail)
        return Problem(error.status_code, detail, headers=error.headers).response()

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return Problem(422, f"{where}: {first['msg']}").response()

    @cache
    def known() -> list[tuple[re.Pattern[str], list[str]]]:
        paths = app.openapi()["paths"].items()
        return [(compile_path(path)[0], [method.upper() for method in operations]) for path, operations in paths]

    async def missing(request: Request) -> Response:
        """Answer for what is no route: the page, which comes last, would take it for its own."""
        allowed = [
            method for pattern, methods in known() if pattern.match(path_of(request.scope)) for method in methods
        ]
        if allowed:
            headers = {"Allow": ", ".join(sorted(allowed))}
            return Problem(405, f"{request.method} is not for this path", headers=headers).response()
        return Problem(404, _NOTHING).response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for path in _OWN:
        app.add_route(path, missing, methods=_METHODS, include_in_schema=False)


def _route(scope: Scope) -> str:
    """Return the pattern of a request's path, of which there are few, for logs and metrics."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str) and path not in _OWN[:1] and path.startswith(_KNOWN):
        return path
    own = path_of(scope)
    return "page" if own == "/" or own.startswith((PAGE, "/assets", "/static")) else "other"
