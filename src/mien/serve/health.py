"""What watches over a server asks: is it alive, and does it take requests."""

from __future__ import annotations

from fastapi import APIRouter

from mien.serve.engine import Engine
from mien.serve.problems import documented, stopping
from mien.serve.schemas import Status
from mien.serve.stop import Stop


def routes(engine: Engine, stop: Stop) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz", summary="Is the server alive")
    async def healthz() -> Status:
        return Status()

    @router.get("/readyz", summary="Does it take requests", responses=documented(503))
    async def readyz() -> Status:
        if stop.begun.is_set() or not engine.ready:
            raise stopping()
        return Status()

    return router
