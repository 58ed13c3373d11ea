"""Films over HTTP: sent once, worked on in the background, fetched when they are done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, JSONResponse, Response

from mien.serve.engine import Engine
from mien.serve.jobs import FilmJobs, State
from mien.serve.problems import Problem, documented
from mien.serve.settings import Settings
from mien.serve.uploads import receive

_IDENTITY = "Nf2tHUTFh9n8n1yJ5PoZ2A"
_LINK = f"/v1/videos/{_IDENTITY}"

_PATIENCE = 10.0  # seconds to wait for a cancelled film's files to go


class FilmJob(BaseModel):
    """A film on its way, or what came of it."""

    id: Annotated[str, Field(description="Nobody can guess it; who knows it may see and delete the film.")]
    name: Annotated[str, Field(description="The film's name, as it was sent.")]
    state: Annotated[
        State,
        Field(
            description="A film that breaks off, or goes over a limit midway, has failed; what was found up to there "
            "is linked all the same."
        ),
    ]
    progress: Annotated[
        float | None, Field(description="0 to 1; null where the film does not state its length.", ge=0, le=1)
    ]
    frames: Annotated[int, Field(description="How many are analysed.", ge=0)]
    error: Annotated[str | None, Field(description="Why it has failed, in one line.")]
    expires_in: Annotated[int | None, Field(description="Seconds until it is deleted; null until it has ended.")]
    links: Annotated[
        dict[str, str],
        Field(
            description="Itself, and what there is to fetch: results, results.csv, annotated, timeline.png, summary."
        ),
    ]


class Person(BaseModel):
    """Somebody in a film."""

    track: Annotated[int | None, Field(description="Their number in the film, as in the records.")]
    first: Annotated[float, Field(description="Seconds: when they are first seen.")]
    last: Annotated[float, Field(description="Seconds: when they are last seen.")]
    seconds: Annotated[float, Field(description="How long they are seen.")]
    emotions: Annotated[
        dict[str, float],
        Field(description="For how many seconds a human rater would most likely name each, the longest first."),
    ]


class FilmSummary(BaseModel):
    """Who is in a film."""

    persons: list[Person]


_RUNNING = {
    "id": _IDENTITY,
    "name": "clip.mp4",
    "state": "running",
    "progress": 0.25,
    "frames": 118,
    "error": None,
    "expires_in": None,
    "links": {"self": _LINK},
}
_DONE = _RUNNING | {
    "state": "done",
    "progress": 1.0,
    "frames": 472,
    "expires_in": 600,
    "links": {
        "self": _LINK,
        "results": f"{_LINK}/results",
        "results.csv": f"{_LINK}/results.csv",
        "annotated": f"{_LINK}/annotated",
        "timeline.png": f"{_LINK}/timeline.png",
        "summary": f"{_LINK}/summary",
    },
}
_QUEUED = _RUNNING | {"state": "queued", "progress": 0.0, "frames": 0}
_SUMMARY = {
    "persons": [
        {"track": 1, "first": 0.0, "last": 19.625, "seconds": 19.667, "emotions": {"happy": 11.417, "neutral": 8.25}}
    ]
}
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
Identity = Annotated[str, InPath(alias="id", description="The film's `id`.", examples=[_IDENTITY])]
Emotions = Annotated[
    Literal["three", "five", "seven", "eight"] | None,
    Query(description="Renormalise over a set; those without neutral force a choice. Default: all."),
]
Model = Annotated[str | None, Query(description="One of /v1/models. Default: the first.")]


def routes(jobs: FilmJobs, engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes under /v1/videos."""
    router = APIRouter(prefix="/v1/videos", tags=["films"])

    @router.post(
        "",
        status_code=202,
        response_model=FilmJob,
        responses={202: _example(_QUEUED), **documented(400, 404, 408, 413, 422, 429, 503)},
        openapi_extra={"requestBody": _BODY},
        summary="Send a film",
    )
    async def send(
        request: Request,
        emotions: Emotions = None,
        model: Model = None,
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
                called = await receive(request, film, name=name, patience=settings.max_seconds)
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
        responses={200: _example(_DONE), **documented(404, 422)},
        summary="How far a film is",
    )
    async def get(identity: Identity) -> Response:
        """Tell how far a film is, and what there is to fetch."""
        return JSONResponse(jobs.get(identity).document(), headers={"Cache-Control": "no-store"})

    @router.delete("/{id}", status_code=204, responses=documented(404, 422), summary="Cancel or delete a film")
    async def delete(identity: Identity) -> Response:
        """Leave off if it is not done, and delete all that there is of it."""
        job = jobs.cancel(identity)
        await asyncio.to_thread(job.wait, _PATIENCE)
        return Response(status_code=204)

    @router.get(
        "/{id}/results",
        response_class=Response,
        responses=_file("application/x-ndjson", "One record a line, as `mien analyze` writes them."),
        summary="A film's records",
    )
    async def results(identity: Identity) -> Response:
        """Fetch a record for each frame, one a line."""
        return _fetched(jobs, identity, "results", "application/x-ndjson", ".jsonl")

    @router.get(
        "/{id}/results.csv",
        response_class=Response,
        responses=_file("text/csv", "One row a face, and one for each frame in which nobody is."),
        summary="A film's records as a table",
    )
    async def results_csv(identity: Identity) -> Response:
        """Fetch a row for each face."""
        return _fetched(jobs, identity, "csv", "text/csv; charset=utf-8", ".csv")

    @router.get(
        "/{id}/annotated",
        response_class=Response,
        responses=_file(
            "video/mp4", "The film with the faces drawn in, with its sound. Range requests are answered."
        ),
        summary="The annotated film",
    )
    async def annotated_film(identity: Identity) -> Response:
        """Fetch the film with the faces drawn in."""
        return _fetched(jobs, identity, "annotated", "video/mp4", ".mp4")

    @router.get(
        "/{id}/timeline.png",
        response_class=Response,
        responses=_file("image/png", "Who shows which expression when."),
        summary="A film's chart",
    )
    async def timeline(identity: Identity) -> Response:
        """Fetch the chart of each person's expressions over time."""
        return _fetched(jobs, identity, "timeline", "image/png", ".png")

    @router.get(
        "/{id}/summary",
        response_model=FilmSummary,
        responses={200: _example(_SUMMARY), **documented(404, 409, 422)},
        summary="Who is in a film",
    )
    async def summary(identity: Identity) -> Response:
        """Tell for each person when they are seen, and for how long with which expression."""
        return JSONResponse({"persons": _there(jobs, identity, "summary")})

    return router


def _there(jobs: FilmJobs, identity: str, what: Literal["results", "csv", "annotated", "timeline", "summary"]) -> Any:
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


def _fetched(
    jobs: FilmJobs,
    identity: str,
    what: Literal["results", "csv", "annotated", "timeline"],
    media_type: str,
    suffix: str,
) -> Response:
    path: Path = _there(jobs, identity, what)
    name = jobs.get(identity).name.rpartition(".")[0] or "film"
    return FileResponse(
        path,
        media_type=media_type,
        filename=name + suffix,
        content_disposition_type="inline",
        headers={"Cache-Control": "private, no-store"},
    )


def _example(example: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example}}}


def _file(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string"} if media_type in ("application/x-ndjson", "text/csv") else _BINARY
    return {
        200: {"description": description, "content": {media_type: {"schema": schema}}},
        **documented(404, 409, 422),
    }
