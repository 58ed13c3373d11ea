"""A network → a smaller one: weights stored in 16 bits, or computed with in 8; and what that costs in accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.errors import DataError, ModelError, UsageError
from mien.evaluation.scores import Score, evaluate, largest_difference
from mien.models.metadata import Metadata, parse_metadata
from mien.models.session import Session, runtime
from mien.models.store import read_model
from mien.training.description import calibrated, save

WEIGHTS = "weights"
"""The key in `Metadata.extra` under which a compressed file says how its weights are stored."""

_SMALL = 4096  # bytes of a tensor that is not worth a node
_SOME = 256  # pictures to calibrate on, and to compare logits on
_BATCH = 32  # pictures a run
_SAME = 0.5  # points of accuracy by which another machine may differ
_WHOLE_NUMBERS = (
    "Conv", "Gemm", "MatMul", "Add", "Relu", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool",
)  # fmt: skip


class Storage(StrEnum):
    """How the weights of a compressed network are stored."""

    HALF = "half"
    INT8 = "int8"


_STORED = {
    Storage.HALF: "float16, computed with in float32",
    Storage.INT8: "int8 with a scale for each channel, computed with in 8 bits; the first convolution and the heads "
    "in float32",
}


@dataclass(frozen=True, slots=True)
class Compressed:
    """A compressed network, and what it lost.

    Attributes:
        model: without metadata.
        metadata: with its own temperatures and scores.
        sizes: of the network before and after, in bytes.
        difference: the largest of a logit, on some faces of the validation split.
        losses: the score before and after of each output's own labels, in one pass and with flip averaging.

    """

    model: onnx.ModelProto
    metadata: Metadata
    sizes: tuple[int, int]
    difference: float
    losses: tuple[tuple[Score, Score], ...]


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its weights in float16, each cast to float32 where it is used.

    The arithmetic stays float32: onnxruntime casts once, when it loads the file. Small tensors stay as they are.

    Raises:
        ModelError: a weight is beyond float16.

    """
    half = _copy(model)
    casts = []
    for tensor in half.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.nbytes < _SMALL:
            continue
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ModelError(f"the weights {tensor.name} are beyond float16 (at most 65504)")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return what `store_half` made with its weights in float32 again, without casts; another network unchanged."""
    wide = _copy(model)
    stored = {tensor.name: tensor for tensor in wide.graph.initializer}
    nodes = []
    for node in wide.graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), node.output[0]))
        else:
            nodes.append(node)
    del wide.graph.node[:]
    wide.graph.node.extend(nodes)
    return wide


def quantise(model: onnx.ModelProto, faces: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the network with weights and activations in 8 bits, but for its first convolution and its heads.

    Weights take seven of their bits: two products of an activation and a weight then fit into the 16 bits that
    processors without VNNI add them up in; with eight, such processors would cut them off and answer otherwise.

    Args:
        model: of named or unnamed nodes.
        faces: (n, channels, size, size) as the network takes them; activations beyond their range are clipped.

    """
    runtime()  # loads it without its telemetry
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    named = _copy(model)
    for i, node in enumerate(named.graph.node):
        node.name = node.name or f"node_{i}"
    # tells quantize_static that batch norms are folded already, of which it warns otherwise
    onnx.helper.set_model_props(named, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        file = Path(folder) / "int8.onnx"
        quantize_static(
            named,
            file,
            _reader(named.graph.input[0].name, faces),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_WHOLE_NUMBERS],
            nodes_to_exclude=_delicate(named.graph),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        small = onnx.load(file)
    del small.metadata_props[:]
    return small


def largest_logit_difference(one: Session, other: Session, faces: NDArray[np.float32]) -> float:
    """Return the largest difference of a logit of two networks on `faces`, as the networks take them."""
    return max(
        float(np.abs(a - b).max()) for batch in _batches(faces) for a, b in zip(one(batch), other(batch), strict=True)
    )


def compress(
    model: onnx.ModelProto, metadata: Metadata, faces: LabelledFaces, storage: Storage, *, validation: str
) -> Compressed:
    """Return the network stored in another way, with its own temperatures and scores, and what it lost.

    It is measured on the splits that `metadata` claims scores on, as far as `faces` have them.

    Args:
        model: the network in float32; for int8 its weights may be stored in float16.
        metadata: its description, with its scores.
        faces: int8 takes the range of activations from some of their split `train`, or else of `validation`.
        storage: of the weights.
        validation: the split to fit the temperatures and to compare on.

    Raises:
        DataError: there is no such split.
        ModelError: a weight does not fit, or the network is compressed already.
        SourceError: a picture cannot be read.

    """
    stored = metadata.extra.get(WEIGHTS)
    if stored is not None and not (storage is Storage.INT8 and stored == _STORED[Storage.HALF]):
        raise ModelError(f"the weights of {metadata.name} are compressed already: {stored}")
    whole = Session(model.SerializeToString(), name=metadata.name)
    before = Classifier(whole, metadata, identity=metadata.name)
    if storage is Storage.HALF:
        small = store_half(model)
    else:
        seen = faces.split("train" if "train" in faces.splits else validation)
        small = quantise(widen(model), _inputs(before, _some(seen)))
    name = f"{metadata.name} ({storage})"
    session = Session(small.SerializeToString(), name=name)
    checked = faces.split(validation)
    difference = largest_logit_difference(whole, session, _inputs(before, _some(checked)))
    metadata = replace(
        calibrated(session, metadata, checked, name=name),
        reproduce=f"{metadata.reproduce} && mien models compress {metadata.name}.onnx OUT --{storage} --data DATA",
        extra={**metadata.extra, WEIGHTS: _STORED[storage]},
    )
    after = Classifier(session, metadata, identity=name)
    claimed = dict.fromkeys([validation, *(str(claim.get("split")) for claim in metadata.scores)])
    known = set(faces.splits.tolist())
    scores = {split: evaluate(after, faces, split=split) for split in claimed if split in known}
    return Compressed(
        model=small,
        metadata=replace(metadata, scores=tuple(score.to_claim() for split in scores.values() for score in split)),
        sizes=(model.ByteSize(), small.ByteSize()),
        difference=difference,
        losses=tuple(_losses(evaluate(before, faces, split=validation), scores[validation])),
    )


def compress_file(
    source: str | Path,
    out: str | Path,
    *,
    data: str | Path,
    storage: Storage,
    validation: str,
    overwrite: bool = False,
) -> Compressed:
    """Write the model `source`, a name or a path, with its weights stored in another way, as `out`.

    Raises:
        DataError: the data cannot be read, lack the split, or are not those that the file claims scores on.
        ModelError: the model cannot be used, or is compressed already.
        OutputError: `out` cannot be written.
        UsageError: `out` exists.

    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: it exists already; name another file or pass --overwrite")
    content = read_model(source).content
    metadata = parse_metadata(Session(content, name=str(source)).properties, file=str(source))
    faces = read_labelled_faces(data)
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    compressed = compress(model, metadata, faces, storage, validation=validation)
    _, difference = largest_difference(metadata.scores, [before for before, _ in compressed.losses])
    if difference > _SAME:
        raise DataError(
            f"{data}: the scores that {source} claims on {validation} differ by {difference:.2f} points from those "
            "measured; name the data that it claims them on"
        )
    save(compressed.model, compressed.metadata, out)
    return compressed


def _losses(before: list[Score], after: list[Score]) -> Iterator[tuple[Score, Score]]:
    """Yield the scores of each labelling's first set, which is the output's own labels, on all faces."""
    first: dict[str, Any] = {}
    for one, other in zip(before, after, strict=True):
        if first.setdefault(one.labels, one.emotions) == one.emotions and one.subset == "all":
            yield one, other


def _some(faces: LabelledFaces) -> LabelledFaces:
    """Return some of the faces, the same at each call."""
    return faces.select(np.sort(np.random.default_rng(0).permutation(len(faces))[:_SOME]))


def _inputs(classifier: Classifier, faces: LabelledFaces) -> NDArray[np.float32]:
    return classifier.prepare(faces.pictures(classifier.metadata.size, grey=classifier.grey))


def _delicate(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the nodes up to the first convolution, which come first, and of those that answer."""
    first = next((i for i, node in enumerate(graph.node) if node.op_type == "Conv"), -1)
    answers = {output.name for output in graph.output}
    heads = [node.name for node in graph.node if answers & set(node.output)]
    return [*(node.name for node in graph.node[: first + 1]), *heads]


def _reader(name: str, faces: NDArray[np.float32]) -> Any:
    """Return what quantize_static reads the input `name` from."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def __init__(self) -> None:
            self._batches = _batches(faces)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def _batches(faces: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(faces), _BATCH):
        yield faces[start : start + _BATCH]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
