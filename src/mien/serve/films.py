"""Films over HTTP: sent once, worked on in the background, fetched when they are done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from starlette.responses import FileResponse, JSONResponse, Response

from mien.serve.engine import Engine
from mien.serve.film_body import receive
from mien.serve.jobs import FilmJobs
from mien.serve.problems import Problem, documented
from mien.serve.schemas import (
    DONE,
    IDENTITY,
    QUEUED,
    SUMMARY,
    Emotions,
    FilmJob,
    FilmSummary,
    ModelName,
)

_PATIENCE = 10.0  # seconds to wait for a cancelled film's files to go

_BINARY = {"type": "string", "format": "binary"}
_FILM = {**_BINARY, "minLength": 1}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": _FILM},
                "additionalProperties": False,
            }
        },
        "application/octet-stream": {"schema": _FILM},
        "video/*": {"schema": _FILM},
    },
}
_Identity = Annotated[str, InPath(alias="id", description="The film's `id`.", examples=[IDENTITY])]


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that is made of a film: where it is asked for, and which attribute of the job it is."""

    path: str
    attribute: str
    media_type: str
    suffix: str
    summary: str
    description: str
    told: str

    def documented(self) -> dict[int | str, dict[str, Any]]:
        schema = {"type": "string"} if self.suffix in (".jsonl", ".csv") else _BINARY
        media_type = self.media_type.partition(";")[0]
        return {
            200: {"description": self.told, "content": {media_type: {"schema": schema}}},
            **documented(404, 409, 422),
        }


_ALL_MADE = (
    _Made(
        "results",
        "results",
        "application/x-ndjson",
        ".jsonl",
        summary="A film's records",
        description="Fetch a record for each frame, one a line.",
        told="One record a line, as `mien analyze` writes them.",
    ),
    _Made(
        "results.csv",
        "csv",
        "text/csv; charset=utf-8",
        ".csv",
        summary="A film's records as a table",
        description="Fetch a row for each face.",
        told="One row a face, and one for each frame in which nobody is.",
    ),
    _Made(
        "annotated",
        "annotated",
        "video/mp4",
        ".mp4",
        summary="The annotated film",
        description="Fetch the film with the faces drawn in.",
        told="The film with the faces drawn in, with its sound. Range requests are answered.",
    ),
    _Made(
        "timeline.png",
        "timeline",
        "image/png",
        ".png",
        summary="A film's chart",
        description="Fetch the chart of each person's expressions over time.",
        told="Who shows which expression when.",
    ),
)


def routes(jobs: FilmJobs, engine: Engine) -> APIRouter:
    """Return the routes under /v1/videos."""
    router = APIRouter(prefix="/v1/videos", tags=["films"])
    _add_job(router, jobs, engine)
    for made in _ALL_MADE:
        _add_made(router, jobs, made)

    @router.get(
        "/{id}/summary",
        response_model=FilmSummary,
        responses={200: _example(SUMMARY), **documented(404, 409, 422)},
        summary="Who is in a film",
    )
    async def summary(identity: _Identity) -> Response:
        """Tell for each person when they are seen, and for how long with which expression."""
        return JSONResponse({"persons": _there(jobs, identity, "summary")})

    return router


def _add_job(router: APIRouter, jobs: FilmJobs, engine: Engine) -> None:
    """Add what sends a film, watches it and deletes it."""

    @router.post(
        "",
        status_code=202,
        response_model=FilmJob,
        responses={202: _example(QUEUED), **documented(400, 404, 408, 413, 422, 429, 503, 507)},
        openapi_extra={"requestBody": _BODY},
        summary="Send a film",
    )
    async def send(
        request: Request,
        emotions: Emotions = None,
        model: ModelName = None,
        annotated: Annotated[bool, Query(description="Whether to make the annotated film.")] = True,
        name: Annotated[
            str, Query(description="What to call a film that is sent as the body itself.", examples=["clip.mp4"])
        ] = "",
    ) -> Response:
        """Send a film as the body, or as the field `file` of a form. It is worked on in the background."""
        engine.labels(model, emotions)
        place = jobs.reserve()
        try:
            film = jobs.storage.file()
            try:
                called = await receive(request, film, name=name)
            except BaseException:
                film.unlink(missing_ok=True)
                raise
            job = await asyncio.to_thread(
                jobs.start, film, name=called, model=model, emotions=emotions, annotated=annotated, place=place
            )
        finally:
            jobs.release(place)
        document = job.document()
        return JSONResponse(document, 202, headers={"Location": document["links"]["self"]})

    @router.get(
        "/{id}",
        response_model=FilmJob,
        responses={200: _example(DONE), **documented(404, 422)},
        summary="How far a film is",
    )
    async def get(identity: _Identity) -> Response:
        """Tell how far a film is, and what there is to fetch."""
        return JSONResponse(jobs.get(identity).document(), headers={"Cache-Control": "no-store"})

    @router.delete("/{id}", status_code=204, responses=documented(404, 422), summary="Cancel or delete a film")
    async def delete(identity: _Identity) -> Response:
        """Leave off if it is not done, and delete all that there is of it."""
        job = jobs.cancel(identity)
        await asyncio.to_thread(job.wait, _PATIENCE)
        return Response(status_code=204)


def _add_made(router: APIRouter, jobs: FilmJobs, made: _Made) -> None:
    """Add what fetches a file that is made of a film."""

    @router.get(
        f"/{{id}}/{made.path}",
        response_class=Response,
        responses=made.documented(),
        summary=made.summary,
        description=made.description,
        name=made.attribute,
    )
    async def fetch(identity: _Identity) -> Response:
        path: Path = _there(jobs, identity, made.attribute)
        name = jobs.get(identity).name.rpartition(".")[0] or "film"
        return FileResponse(
            path,
            media_type=made.media_type,
            filename=name + made.suffix,
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-store"},
        )


def _there(jobs: FilmJobs, identity: str, what: str) -> Any:
    """Return an attribute of a job that has ended.

    Raises:
        Problem: there is no such job (404), it has not ended (409), or it has nothing of the kind (404).

    """
    job = jobs.get(identity)
    found = getattr(job, what)
    if found is not None:
        return found
    if job.state in ("queued", "running"):
        raise Problem(409, f"the film is not done yet ({job.state}); ask again later", headers={"Retry-After": "2"})
    if job.results is None:
        raise Problem(409, job.error or "the film has no results")
    raise Problem(404, "there is none of this film: it was not asked for, or this server cannot make it")


def _example(example: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example}}}
