"""Crops → probabilities, by a model that describes itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.align import Geometry
from mien.errors import ModelError
from mien.models.metadata import Metadata, parse_metadata
from mien.models.session import Session
from mien.models.store import read_model

_BATCH = 64  # crops a run, which bounds memory on a crowd


class Classifier:
    """A loaded model. Safe to call from several threads at once."""

    metadata: Metadata
    identity: str

    def __init__(self, model: str | Path = "embedded", *, threads: int | None = None) -> None:
        """Load a model by its name in the registry or its path.

        Raises:
            ModelError: it is not there, does not run, or does not describe itself completely.

        """
        file = read_model(model)
        self._session = Session(file.content, name=str(model), threads=threads)
        self.metadata = parse_metadata(self._session.properties, file=str(model))
        self.identity = file.identity
        if missing := [out.name for out in self.metadata.outputs if out.name not in self._session.outputs]:
            raise ModelError(f"{model}: its metadata names outputs that the network lacks: {', '.join(missing)}")

    @property
    def geometry(self) -> Geometry:
        """The frame of the crops that the model was trained on."""
        return Geometry(**self.metadata.crop)

    @property
    def grey(self) -> bool:
        """Whether the model takes grey crops."""
        return self.metadata.colour == "grey"

    def __call__(self, crops: NDArray[np.uint8], *, flip: bool = False) -> list[NDArray[np.float32]]:
        """Return the probabilities (n, labels) of each output, each row summing to 1.

        Args:
            crops: uint8, (n, size, size) for grey models, else (n, size, size, 3).
            flip: average with the answer to the mirrored crops.
        """
        parts = []
        for start in range(0, max(1, len(crops)), _BATCH):
            batch = self._prepare(crops[start : start + _BATCH])
            answers = self._probabilities(batch)
            if flip:
                mirrored = self._probabilities(np.ascontiguousarray(batch[..., ::-1]))
                answers = [(one + other) / np.float32(2) for one, other in zip(answers, mirrored, strict=True)]
            parts.append(answers)
        return [np.concatenate(chunks) for chunks in zip(*parts, strict=True)]

    def _prepare(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = (crops.astype(np.float32) - np.float32(self.metadata.mean)) / np.float32(self.metadata.scale)
        return values[:, None] if self.grey else np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def _probabilities(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs = self.metadata.outputs
        if not len(batch):
            return [np.empty((0, len(output.labels)), np.float32) for output in outputs]
        logits = dict(zip(self._session.outputs, self._session(batch), strict=True))
        return [_softmax(logits[output.name], output.temperature) for output in outputs]


def _softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    exponentials = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature))
    shares: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
