"""What a classifier's .onnx file says of itself, kept as JSON under one key of its metadata.

Nothing about a model is guessed from its name: a file that leaves anything out is refused, with a list
of what is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mien.emotions import Emotion
from mien.errors import ModelError

KEY = "mien"
COLOURS = ("grey", "rgb")


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the network: logits over `labels`, to be divided by `temperature` before a softmax."""

    name: str
    labels: tuple[Emotion, ...]
    temperature: float


@dataclass(frozen=True, slots=True)
class Metadata:
    """All that is needed to run a classifier, and to trust it.

    Attributes:
        name: of the model.
        outputs: the first is the default.
        size: side of the square input, in pixels.
        colour: `grey` (one channel) or `rgb`.
        mean, scale: the network takes (value - mean) / scale of values 0-255.
        crop: the geometry of the crops that it was trained on: the fields of `align.Geometry`.
        data: what it was trained on, with licences.
        licence: of the weights.
        scores: what it reached, one entry a figure.
        reproduce: the command that makes it again.
        mien: the version that wrote the file.

    """

    name: str
    outputs: tuple[Output, ...]
    size: int
    colour: str
    mean: float
    scale: float
    crop: Mapping[str, float]
    data: tuple[str, ...]
    licence: str
    scores: tuple[Mapping[str, Any], ...]
    reproduce: str
    mien: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON that `parse_metadata` reads."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    def output(self, name: str | None) -> int:
        """Return the index of the output called `name`, or of the default.

        Raises:
            ModelError: there is no such output.

        """
        names = [output.name for output in self.outputs]
        if name is None:
            return 0
        if name not in names:
            raise ModelError(f"the model {self.name} has no output {name!r}; it has {', '.join(names)}")
        return names.index(name)


_REQUIRED = (
    "name", "outputs", "size", "colour", "mean", "scale", "crop", "data", "licence", "scores", "reproduce", "mien",
)  # fmt: skip
_CROP = ("scale", "across", "down")
_OUTPUT = ("name", "labels", "temperature")


def parse_metadata(properties: Mapping[str, str], *, file: str) -> Metadata:
    """Return what the metadata `properties` of the model `file` say.

    Raises:
        ModelError: there is nothing of mien's in them, or something is missing or makes no sense.

    """
    if KEY not in properties:
        raise ModelError(
            f"{file}: it does not describe itself; its metadata lacks the key {KEY!r} with "
            f"{', '.join(_REQUIRED)}. A model trained by mien gets it from `mien export`"
        )
    try:
        values = json.loads(properties[KEY])
    except (ValueError, RecursionError) as error:  # the latter of what is nested too deep
        raise ModelError(f"{file}: its metadata is not JSON ({error})") from error
    if missing := _missing(values):
        raise ModelError(f"{file}: its metadata lacks {', '.join(missing)}")
    try:
        metadata = Metadata(
            name=str(values["name"]),
            outputs=tuple(
                Output(
                    str(entry["name"]),
                    tuple(Emotion(label) for label in entry["labels"]),
                    float(entry["temperature"]),
                )
                for entry in values["outputs"]
            ),
            size=_whole(values["size"]),
            colour=str(values["colour"]),
            mean=float(values["mean"]),
            scale=float(values["scale"]),
            crop={key: float(values["crop"][key]) for key in _CROP},
            data=_lines(values["data"]),
            licence=str(values["licence"]),
            scores=tuple(map(_object, values["scores"])),
            reproduce=str(values["reproduce"]),
            mien=str(values["mien"]),
            extra=_object(values.get("extra", {})),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{file}: its metadata makes no sense ({error})") from error
    if nonsense := _nonsense(metadata):
        raise ModelError(f"{file}: its metadata makes no sense ({nonsense})")
    return metadata


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return value


def _lines(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list of lines")
    return tuple(map(str, value))


def _missing(values: Any) -> list[str]:
    if not isinstance(values, dict):
        return list(_REQUIRED)
    empty: tuple[Any, ...] = (None, "", [], {})
    missing = [key for key in _REQUIRED if values.get(key) in empty]
    if "crop" not in missing:
        crop = values["crop"] if isinstance(values["crop"], dict) else {}
        missing += [f"crop.{key}" for key in _CROP if key not in crop]
    if "outputs" not in missing:
        outputs = values["outputs"] if isinstance(values["outputs"], list) else [None]
        for i, entry in enumerate(outputs):
            given = entry if isinstance(entry, dict) else {}
            missing += [f"outputs[{i}].{key}" for key in _OUTPUT if given.get(key) in empty]
    return missing


def _nonsense(metadata: Metadata) -> str | None:
    """Return what is wrong with values of the right types, if anything."""
    numbers = [metadata.mean, metadata.scale, *metadata.crop.values()]
    numbers += [output.temperature for output in metadata.outputs]
    if not all(math.isfinite(number) for number in numbers):
        return "a number is not finite"
    if metadata.size < 1 or metadata.scale <= 0 or metadata.crop["scale"] <= 0:
        return "a size or scale is not positive"
    if metadata.colour not in COLOURS:
        return f"the colour is {metadata.colour!r}, not {' or '.join(COLOURS)}"
    if len({output.name for output in metadata.outputs}) < len(metadata.outputs):
        return "two outputs have the same name"
    for output in metadata.outputs:
        if output.temperature <= 0:
            return f"the temperature of {output.name} is not positive"
        if len(output.labels) < 2 or len(set(output.labels)) < len(output.labels):
            return f"the labels of {output.name} are fewer than two or repeat"
    return None
