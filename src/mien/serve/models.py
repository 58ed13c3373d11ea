"""GET /v1/models: what this server answers with."""

from __future__ import annotations

from fastapi import APIRouter

from mien.emotions import SETS
from mien.models.metadata import parse_metadata
from mien.models.session import Session
from mien.models.store import read_model
from mien.serve.engine import Engine
from mien.serve.schemas import Model, Models
from mien.serve.settings import Settings


def routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["pictures"])
    answer = Models(
        models=[_described(name, file, engine) for name, file in zip(engine.analyzers, settings.models, strict=True)]
    )

    @router.get("/models", summary="The models of this server")
    async def models() -> Models:
        """Tell what each knows, the sets that it can answer in, and the terms on which it may be used."""
        return answer

    return router


def _described(name: str, file: str, engine: Engine) -> Model:
    metadata = parse_metadata(Session(read_model(file).content, name=name).properties, file=name)
    analyzer = engine.analyzers[name]
    known = set(analyzer.emotions)
    return Model(
        name=name,
        identity=analyzer.model,
        emotions=list(analyzer.emotions),
        sets=[one for one, members in SETS.items() if known.issuperset(members)],
        licence=metadata.licence,
        data=list(metadata.data),
    )
