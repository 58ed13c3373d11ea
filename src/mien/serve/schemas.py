"""What is asked and answered, as OpenAPI describes it; answers are built elsewhere, from the same names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from mien.emotions import Emotion
from mien.serve.job import State

Emotions = Annotated[
    Literal["three", "five", "seven", "eight"] | None,
    Query(description="Renormalise over a set; those without neutral force a choice. Default: all."),
]
ModelName = Annotated[str | None, Query(description="One of /v1/models. Default: the first.")]

_Score = Annotated[float, Field(ge=0, le=1)]

EXAMPLE = {
    "schema": 1,
    "source": "astronaut.jpg",
    "frame": 0,
    "time": None,
    "width": 512,
    "height": 512,
    "model": "embedded@1f3a9c0b27de",
    "faces": [
        {
            "box": [176.31, 58.72, 266.05, 174.11],
            "detection": 0.9998,
            "track": None,
            "emotion": "happy",
            "confidence": 0.97,
            "scores": {
                "angry": 0.0,
                "contemptuous": 0.0,
                "disgusted": 0.0,
                "fearful": 0.0,
                "happy": 0.97,
                "neutral": 0.02,
                "sad": 0.0,
                "surprised": 0.01,
            },
            "smoothed": None,
        }
    ],
    "error": None,
}


class FaceRecord(BaseModel):
    """A face and the expression that a human rater would most likely name."""

    box: Annotated[
        list[float], Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels of the picture.")
    ]
    detection: Annotated[_Score | None, Field(description="The probability that this is a face.")]
    track: Annotated[int | None, Field(description="The person's number within a film; null in pictures.")]
    emotion: Annotated[Emotion, Field(description="The most probable one.")]
    confidence: Annotated[_Score, Field(description="Its probability.")]
    scores: Annotated[dict[Emotion, _Score], Field(description="Probabilities that sum to 1.")]
    smoothed: Annotated[dict[Emotion, _Score] | None, Field(description="`scores` smoothed over time, in films.")]


class Record(BaseModel):
    """What was found in one picture."""

    schema_: Annotated[int, Field(alias="schema", description="Version of the record; changes are additions only.")]
    source: Annotated[str, Field(description="The file's name, as the client gave it.")]
    frame: int
    time: float | None
    width: Annotated[int | None, Field(description="Pixels; null where the picture could not be read.")]
    height: int | None
    model: Annotated[str, Field(description="Name and the first digits of the file's sha256.")]
    faces: Annotated[list[FaceRecord], Field(description="From left to right; empty where nobody is.")]
    error: Annotated[str | None, Field(description="Why the picture could not be read; null where it was.")]
    annotated: Annotated[
        str | None, Field(description="With `annotated=png`: the picture with its faces marked, as a data: URL.")
    ] = None


class Results(BaseModel):
    """A record for each picture, in the order in which they were sent."""

    results: list[Record]


class Model(BaseModel):
    """A model that this server answers with."""

    name: Annotated[str, Field(description="What `model=` asks for.")]
    identity: Annotated[str, Field(description="As it stands in each record.")]
    emotions: Annotated[list[Emotion], Field(description="All that it knows; the default set.")]
    sets: Annotated[list[str], Field(description="What `emotions=` can ask for.")]
    licence: Annotated[str, Field(description="Of its weights.")]
    data: Annotated[list[str], Field(description="What it was trained on.")]


class Models(BaseModel):
    """The models of this server; the first answers unless another is asked for."""

    models: list[Model]


class Status(BaseModel):
    """What a server says of itself."""

    status: Literal["ok"] = "ok"


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


IDENTITY = "Nf2tHUTFh9n8n1yJ5PoZ2A"
_LINK = f"/v1/videos/{IDENTITY}"
RUNNING: dict[str, Any] = {
    "id": IDENTITY,
    "name": "clip.mp4",
    "state": "running",
    "progress": 0.25,
    "frames": 118,
    "error": None,
    "expires_in": None,
    "links": {"self": _LINK},
}
DONE: dict[str, Any] = RUNNING | {
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
QUEUED: dict[str, Any] = RUNNING | {"state": "queued", "progress": 0.0, "frames": 0}
SUMMARY: dict[str, Any] = {
    "persons": [
        {"track": 1, "first": 0.0, "last": 19.625, "seconds": 19.667, "emotions": {"happy": 11.417, "neutral": 8.25}}
    ]
}
