"""The answers as OpenAPI describes them; what is sent is built elsewhere, from the same names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mien.emotions import Emotion

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
