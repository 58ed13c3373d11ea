"""The app: the REST service, and the page beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import cached_property

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope, Send

import mien
from mien.errors import one_line
from mien.serve import films, health, live, models, pictures
from mien.serve.admission import Admission
from mien.serve.disk import Disk
from mien.serve.engine import Engine
from mien.serve.guard import PAGE, Guard, path_of
from mien.serve.headers import Heads, SameOrigin, SecurityHeaders
from mien.serve.hosts import AllowedHosts, checked
from mien.serve.jobs import FilmJobs
from mien.serve.logs import RequestLog
from mien.serve.metrics import Metrics
from mien.serve.openapi import describe
from mien.serve.picture_work import PictureWork
from mien.serve.problems import NOTHING, Problem
from mien.serve.settings import Settings
from mien.serve.signin import ApiKey
from mien.serve.stop import Stop
from mien.serve.storage import Storage

_OWN = ("/v1/{rest:path}", "/healthz", "/readyz", "/metrics", "/openapi.json")
_KNOWN = ("/v1/", "/healthz", "/readyz", "/metrics")


def create_app(settings: Settings) -> FastAPI:
    """Return the app, with its models loaded; it gives up what it holds when its lifespan ends.

    `app.state` has the `engine`, the `jobs`, the `pictures`, and `stop`, whose `begin` is to be called when the
    server begins to stop: new requests are refused from then on.

    Raises:
        ModelError: a model cannot be used.
        UsageError: two models have the same name.

    """
    ending = ExitStack()
    with ExitStack() as held:  # until all is there
        engine = Engine(settings)
        held.callback(engine.stop)
        storage = held.enter_context(Storage())
        disk = Disk(settings.max_disk)
        disk.watch(storage.path)
        admission = Admission(engine, settings)
        held.callback(admission.close)
        jobs = FilmJobs(engine, settings, storage, disk)
        held.callback(jobs.close)
        stop = Stop(seconds=settings.max_seconds)
        work = PictureWork(engine, settings, admission, disk, stop)
        metrics = Metrics(engine, admission, disk)
        app = FastAPI(
            title="mien",
            version=mien.__version__,
            lifespan=_lifespan(stop, ending),
            docs_url=None,  # both load scripts from elsewhere
            redoc_url=None,
        )
        app.state.engine, app.state.jobs, app.state.pictures, app.state.stop = engine, jobs, work, stop
        for router in (
            pictures.routes(work, engine, settings),
            films.routes(jobs, engine),
            live.routes(engine, settings, admission, metrics),
            models.routes(engine, settings),
            health.routes(engine, stop),
            metrics.routes(),
        ):
            app.include_router(router)
        describe(app, settings)
        _add_errors(app)
        _add_middleware(app, settings, stop, disk, metrics)
        if settings.page:
            from mien.serve.page import mount

            mount(app, engine=engine, jobs=jobs, settings=settings, pictures=work, stop=stop)
        ending.push(held.pop_all())
    return app


def _lifespan(stop: Stop, ending: ExitStack) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan at whose end the page's work is finished, and what the app holds is given up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            stop.begin()
            await stop.finished()
            await asyncio.to_thread(ending.close)

    return lifespan


def _add_middleware(app: FastAPI, settings: Settings, stop: Stop, disk: Disk, metrics: Metrics) -> None:
    """Wrap `app`, from the inside out."""
    if settings.api_key:
        app.add_middleware(ApiKey, key=settings.api_key)
    app.add_middleware(SameOrigin, origins=settings.origins)
    app.add_middleware(Guard, settings=settings, stop=stop, disk=disk)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
            expose_headers=["Retry-After", "Location"],
        )
    if checked(settings):
        app.add_middleware(AllowedHosts, names=settings.allowed_hosts)
    app.add_middleware(Heads, paths=_KNOWN)
    app.add_middleware(RequestLog, metrics=metrics, route=_route)
    app.add_middleware(SecurityHeaders, origins=settings.origins)


def _add_errors(app: FastAPI) -> None:
    """Make every error a problem document."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = NOTHING if error.status_code == 404 else str(error.detail)
        return Problem(error.status_code, detail, headers=error.headers).response()

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return Problem(422, f"{where}: {first['msg']}").response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.router.routes += [Route(path, _Missing(app), include_in_schema=False) for path in _OWN]


class _Missing:
    """Answers for what is no route: the page, which comes last, would take it for its own."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = {method for pattern, methods in self._known if pattern.match(path_of(scope)) for method in methods}
        problem = Problem(404, NOTHING)
        if allowed:
            allowed |= {"HEAD"} if "GET" in allowed else set()
            told = f"{one_line(scope['method'][:80])} is not for this path"
            problem = Problem(405, told, headers={"Allow": ", ".join(sorted(allowed))})
        await problem.response()(scope, receive, send)

    @cached_property
    def _known(self) -> list[tuple[re.Pattern[str], list[str]]]:
        paths = self._app.openapi()["paths"].items()
        return [(compile_path(path)[0], [method.upper() for method in operations]) for path, operations in paths]


def _route(scope: Scope) -> str:
    """Return the pattern of a request's path, of which there are few, for logs and metrics."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str) and path not in _OWN[:1] and path.startswith(_KNOWN):
        return path
    own = path_of(scope)
    return "page" if own == "/" or own.startswith((PAGE, "/assets", "/static")) else "other"
