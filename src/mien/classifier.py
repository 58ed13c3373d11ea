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

    def __init__(self, session: Session, metadata: Metadata, *, identity: str) -> None:
        """Put a network and its description together; `open_classifier` does so from a file.

        Raises:
            ModelError: the network is not as the metadata describe it.
        """
        self._session = session
        self.metadata = metadata
        self.identity = identity
        self._check()

    def _check(self) -> None:
        """Run the network once and compare what comes out with what the metadata promise."""
        names = [output.name for output in self.metadata.outputs]
        if missing := [name for name in names if name not in self._session.outputs]:
            raise ModelError(f"{self.identity}: its network lacks the outputs {', '.join(missing)}")
        size = self.metadata.size
        shape = (2, size, size) if self.grey else (2, size, size, 3)
        try:
            answers = self._session(self.prepare(np.zeros(shape, np.uint8)))
        except Exception as error:  # onnxruntime has a dozen unrelated exception types for this
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{self.identity}: its network does not take {size}x{size} {self.metadata.colour} faces ({first})"
            ) from error
        shapes = {name: answer.shape for name, answer in zip(self._session.outputs, answers, strict=True)}
        for output in self.metadata.outputs:
            if shapes[output.name] != (2, len(output.labels)):
                raise ModelError(
                    f"{self.identity}: its output {output.name} has the shape {shapes[output.name]} for two faces "
                    f"and {len(output.labels)} labels"
                )

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

        Raises:
            ModelError: it answers with infinity, or with what is no number.
        """
        parts = []
        for start in range(0, max(1, len(crops)), _BATCH):
            batch = self.prepare(crops[start : start + _BATCH])
            answers = self._probabilities(batch)
            if flip:
                mirrored = self._probabilities(np.ascontiguousarray(batch[..., ::-1]))
                answers = [(one + other) / np.float32(2) for one, other in zip(answers, mirrored, strict=True)]
            parts.append(answers)
        return [np.concatenate(chunks) for chunks in zip(*parts, strict=True)]

    def prepare(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the network takes of `crops`, float32 (n, 1 or 3, size, size)."""
        values = (crops.astype(np.float32) - np.float32(self.metadata.mean)) / np.float32(self.metadata.scale)
        return values[:, None] if self.grey else np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def _probabilities(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs = self.metadata.outputs
        if not len(batch):
            return [np.empty((0, len(output.labels)), np.float32) for output in outputs]
        logits = dict(zip(self._session.outputs, self._session(batch), strict=True))
        if not all(np.isfinite(logits[output.name]).all() for output in outputs):
            raise ModelError(
                f"{self.identity}: its network answers with no numbers; the file is damaged or badly made"
            )
        return [_softmax(logits[output.name], output.temperature) for output in outputs]


def _softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    exponentials = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature))
    shares: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def open_classifier(model: str | Path = "embedded", *, threads: int | None = None, device: str = "cpu") -> Classifier:
    """Load a model by its name in the registry or its path.

    Raises:
        ModelError: it is not there, does not run, or does not describe itself completely and rightly.
        UsageError: the device is not there.
    """
    file = read_model(model)
    session = Session(file.content, name=str(model), threads=threads, device=device)
    return Classifier(session, parse_metadata(session.properties, file=str(model)), identity=file.identity)
