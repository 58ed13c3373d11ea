"""Smaller weights: what is stored, what is computed, and that a file's claims are measured on that very file."""

import csv
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

from mien.classifier import open_classifier
from mien.datasets.labelled import VOTED, VOTES, read_labelled_faces
from mien.errors import DataError, ModelError
from mien.evaluation.scores import evaluate, largest_difference
from mien.models.metadata import KEY, parse_metadata
from mien.models.session import Session
from mien.training import compression
from mien.training.compression import Storage, compress, compress_file, quantise, store_half

from conftest import COMPLETE

HEADS = {"votes": 8, "fer2013": 7}
NAMES = ["angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]
OUTPUTS = [
    {"name": name, "labels": [n for n in NAMES if n != "contemptuous" or count == 8], "temperature": 1.0}
    for name, count in HEADS.items()
]
_RANDOM = np.random.default_rng(1)
BLOTS = np.stack(
    [
        np.asarray(Image.fromarray(_RANDOM.integers(0, 256, (6, 6), dtype=np.uint8)).resize((48, 48)))
        for _ in range(120)
    ]
)
"""Smooth pictures of nothing, (120, 48, 48)."""


def network(spread: float = 1.0) -> onnx.ModelProto:
    """Return a network of three convolutions and two heads, none of which has a favourite among `BLOTS`.

    `spread` sets the weights of the last convolution's channels apart.
    """
    random = np.random.default_rng(0)
    shapes = {"w1": (8, 1, 3, 3), "w2": (32, 8, 3, 3), "w3": (32, 32, 3, 3), "votes_w": (8, 32), "fer2013_w": (7, 32)}
    weights = {name: random.normal(0, np.prod(shape[1:]) ** -0.5, shape) for name, shape in shapes.items()}
    weights["w3"] *= spread ** random.uniform(-1, 1, (32, 1, 1, 1))
    nodes = []
    for i in (1, 2, 3):
        weights[f"b{i}"] = random.normal(0, 0.1, shapes[f"w{i}"][0])
        into = "faces" if i == 1 else f"r{i - 1}"
        nodes.append(onnx.helper.make_node("Conv", [into, f"w{i}", f"b{i}"], [f"c{i}"], strides=[2, 2]))
        nodes.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
    nodes.append(onnx.helper.make_node("GlobalAveragePool", ["r3"], ["pooled"]))
    nodes.append(onnx.helper.make_node("Flatten", ["pooled"], ["flat"]))
    for name, count in HEADS.items():
        weights[f"{name}_b"] = np.zeros(count)
        nodes.append(onnx.helper.make_node("Gemm", ["flat", f"{name}_w", f"{name}_b"], [name], transB=1, alpha=8.0))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [value("faces", onnx.TensorProto.FLOAT, ["n", 1, 48, 48])],
        [value(name, onnx.TensorProto.FLOAT, ["n", count]) for name, count in HEADS.items()],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    for name, logits in zip(HEADS, answers(model, prepared(BLOTS)), strict=True):
        (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == f"{name}_b")
        bias.CopyFrom(numpy_helper.from_array(-logits.mean(axis=0), bias.name))
    return model


def prepared(pictures) -> np.ndarray:
    return (pictures[:, None].astype(np.float32) - 128) / 64


def answers(model, faces, *, optimised: bool = True) -> list:
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"faces": faces})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return 120 smooth pictures in three splits; two in three are labelled as the network answers, others anyhow."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    votes, labels = (logits.argmax(axis=1) for logits in answers(network(), prepared(BLOTS)))
    votes[::3], labels[::3] = random.integers(0, 8, 40), random.integers(0, 7, 40)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", *VOTES])
        for split in ("train", "public_test", "private_test"):
            (root / split).mkdir()
        for i, blot in enumerate(BLOTS):
            name = f"{('train', 'public_test', 'private_test')[i // 40]}/{i}.png"
            Image.fromarray(blot).save(root / name)
            most = [10 * (emotion == NAMES[votes[i]]) for emotion in VOTED]
            writer.writerow([name, name.partition("/")[0], OUTPUTS[1]["labels"][labels[i]], name, *most, 0, 0])
    (root / "data.txt").write_text("FER2013, a toy: ours\n")
    return root


@pytest.fixture(scope="module")
def faces(data):
    return prepared(read_labelled_faces(data).pictures(48))


@pytest.fixture
def source(data, tmp_path):
    """Return the file of the network, with the scores that it has on the data."""
    path = tmp_path / "small.onnx"
    values = {**COMPLETE, "outputs": OUTPUTS}
    for _ in range(2):
        model = network()
        onnx.helper.set_model_props(model, {KEY: json.dumps(values)})
        onnx.save(model, path)
        labelled = read_labelled_faces(data)
        scores = [
            s
            for split in ("public_test", "private_test")
            for s in evaluate(open_classifier(path), labelled, split=split)
        ]
        values["scores"] = [score.to_claim() for score in scores]
    return path


def tensors(model) -> dict:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_halves_are_what_is_stored_and_float32_is_what_is_computed(faces):
    model = network()
    bytes_before = model.SerializeToString()
    half = store_half(model)
    assert model.SerializeToString() == bytes_before  # what was given is as it was
    stored = tensors(half)
    assert {name for name, array in stored.items() if array.dtype == np.float16} == {"w2_half", "w3_half"}
    assert stored["b3"].dtype == stored["w1"].dtype == np.float32
    assert half.ByteSize() < 0.6 * model.ByteSize()
    rounded = network()
    for tensor in rounded.graph.initializer:
        if tensor.name in ("w2", "w3"):
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for got, same, before in zip(answers(half, faces), answers(rounded, faces), answers(model, faces), strict=True):
        assert np.array_equal(got, same)
        assert 0 < np.abs(got - before).max() < 0.01


def test_a_weight_beyond_float16_is_refused():
    with pytest.raises(ModelError, match="w3 are beyond float16"):
        store_half(network(spread=1e7))


def test_8_bits_give_the_same_on_every_processor(faces):
    """Seven bits of weight cannot overflow where pairs of products are added up in 16 bits."""
    small = quantise(network(spread=30.0), faces[:40])
    stored = tensors(small)
    whole = {name: array for name, array in stored.items() if array.dtype == np.int8 and array.ndim == 4}
    assert {name.partition("_")[0] for name in whole} == {"w2", "w3"}
    for array in whole.values():
        assert 2 * 255 * np.abs(array.astype(int)).max() < 2**15
        assert (np.abs(array.astype(int)).max(axis=(1, 2, 3)) >= 60).all()  # each channel has a scale of its own
    for name in ("w1", "votes_w", "fer2013_w"):
        assert stored[name].dtype == np.float32
    # onnxruntime's kernels of whole numbers against the same graph in plain floats
    for fast, plain in zip(answers(small, faces), answers(small, faces, optimised=False), strict=True):
        assert np.abs(fast - plain).max() < 0.05 * plain.std()


def test_8_bits_are_near_float32_on_pictures_not_calibrated_on(faces):
    model = network(spread=30.0)
    small = quantise(model, faces[:40])
    for got, wanted in zip(answers(small, faces[40:]), answers(model, faces[40:]), strict=True):
        assert 0 < np.sqrt(np.mean((got - wanted) ** 2)) < 0.1 * wanted.std()


@pytest.mark.parametrize("storage", Storage)
def test_a_compressed_file_claims_what_it_reaches_itself(storage, source, data, tmp_path):
    out = tmp_path / "out.onnx"
    compressed = compress_file(source, out, data=data, storage=storage, validation="public_test")
    classifier = open_classifier(out)
    metadata = classifier.metadata
    assert metadata.scores == compressed.metadata.scores
    labelled = read_labelled_faces(data)
    scores = [s for split in ("public_test", "private_test") for s in evaluate(classifier, labelled, split=split)]
    count, difference = largest_difference(metadata.scores, scores)
    assert (count, difference) == (len(scores), pytest.approx(0, abs=0.01))
    assert len(scores) == len(metadata.scores)
    assert metadata.extra["weights"].startswith({"half": "float16", "int8": "int8"}[storage])
    assert metadata.reproduce.endswith(f"--{storage} --data DATA")
    assert [(a.key, a.n) for a, _ in compressed.losses] == [(b.key, b.n) for _, b in compressed.losses]
    keys = [(before.labels, before.flip) for before, _ in compressed.losses]
    assert keys == [(labels, flip) for labels in ("fer2013", "ferplus", "ferplus-majority") for flip in (False, True)]
    assert 0 < compressed.difference < 2
    with pytest.raises(ModelError, match="compressed already"):
        compress_file(out, tmp_path / "twice.onnx", data=data, storage=storage, validation="public_test")


def test_int8_comes_from_weights_stored_in_16_bits_too(source, data, tmp_path):
    """As the shipped model has them: what it is made from is rounded, and the rest the same."""
    half, direct, twice = (tmp_path / f"{name}.onnx" for name in ("half", "direct", "twice"))
    options = {"data": data, "validation": "public_test"}
    compress_file(source, half, storage=Storage.HALF, **options)
    compress_file(source, direct, storage=Storage.INT8, **options)
    compress_file(half, twice, storage=Storage.INT8, **options)
    one, other = (onnx.load(path).graph.node for path in (direct, twice))
    assert [node.op_type for node in one] == [node.op_type for node in other]
    assert open_classifier(twice).metadata.extra["weights"].startswith("int8")
    with pytest.raises(ModelError, match="compressed already"):
        compress_file(half, tmp_path / "again.onnx", storage=Storage.HALF, **options)


def test_claims_and_temperatures_of_float32_are_not_handed_on(data):
    """What the file said before is neither kept nor built on: a temperature is fitted from 1."""
    labelled = read_labelled_faces(data)
    results = []
    for temperature in (1.0, 2.5):
        outputs = [{**output, "temperature": temperature} for output in OUTPUTS]
        said = [{"split": "private_test", "accuracy": 99.9}, {"split": "gone", "accuracy": 99.9}]
        metadata = parse_metadata(
            {KEY: json.dumps({**COMPLETE, "outputs": outputs, "scores": said})}, file="small.onnx"
        )
        results.append(compress(network(), metadata, labelled, Storage.HALF, validation="public_test").metadata)
    assert results[0].outputs == results[1].outputs
    assert all(claim["accuracy"] != 99.9 for claim in results[0].scores)
    assert {claim["split"] for claim in results[0].scores} == {"public_test", "private_test"}


def test_what_is_lost_is_measured(data, monkeypatch):
    """A stand-in for a loss that nobody could miss: heads that answer the opposite."""

    def spoilt(model):
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(model)
        for tensor in spoilt.graph.initializer:
            if tensor.name.startswith(("votes_", "fer2013_")):
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return spoilt

    metadata = parse_metadata({KEY: json.dumps({**COMPLETE, "outputs": OUTPUTS})}, file="small.onnx")
    labelled = read_labelled_faces(data)
    monkeypatch.setattr(compression, "store_half", lambda model: model)
    kept = compress(network(), metadata, labelled, Storage.HALF, validation="public_test")
    monkeypatch.setattr(compression, "store_half", spoilt)
    lost = compress(network(), metadata, labelled, Storage.HALF, validation="public_test")
    assert kept.difference == 0
    assert all(before.accuracy == after.accuracy for before, after in kept.losses)
    assert lost.difference > 1
    assert all(before.accuracy > 55 and after.accuracy < 20 for before, after in lost.losses if not before.flip)
    claims = [
        claim for claim in lost.metadata.scores if claim["emotions"] in ("seven", "eight") and not claim["flip"]
    ]
    assert claims and all(claim["accuracy"] < 25 for claim in claims)
    for right, wrong in zip(kept.metadata.outputs, lost.metadata.outputs, strict=True):
        assert right.temperature < 5 < wrong.temperature  # it may not be sure of anything


def test_other_data_than_the_file_claims_its_scores_on_is_refused(source, data, tmp_path):
    model = onnx.load(source)
    values = json.loads(model.metadata_props[0].value)
    values["scores"] = [{**score, "accuracy": score["accuracy"] + 5} for score in values["scores"]]
    onnx.helper.set_model_props(model, {KEY: json.dumps(values)})
    onnx.save(model, source)
    with pytest.raises(DataError, match=r"differ by 5\.00 points"):
        compress_file(source, tmp_path / "out.onnx", data=data, storage=Storage.HALF, validation="public_test")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_compress_from_the_command_line(run, source, data, tmp_path):
    out = tmp_path / "out.onnx"
    done = run("models", "compress", source, out, "--int8", "--data", data)
    assert (done.status, done.out) == (0, "")
    assert "a logit differs by" in done.err.splitlines()[0]
    rows = [line.replace("one pass", "one_pass").split() for line in done.err.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        [labels, emotions, "public_test", answer]
        for labels, emotions in (("fer2013", "seven"), ("ferplus", "eight"), ("ferplus-majority", "eight"))
        for answer in ("one_pass", "flip")
    ]
    assert all(
        float(now) - float(before) == pytest.approx(float(change), abs=0.011) for *_, before, now, change in rows
    )
    assert "weights" in run("models", "info", out).out
    assert out.stat().st_size < source.stat().st_size
    assert run("models", "compress", source, out, "--half", "--data", data).status == 2  # it exists
    assert run("models", "compress", source, out, "--half", "--data", data, "--overwrite").status == 0
    new = tmp_path / "new.onnx"
    assert run("models", "compress", source, new, "--data", data).status == 2
    assert run("models", "compress", source, new, "--half", "--int8", "--data", data).status == 2
    assert run("models", "compress", source, new, "--half", "--data", data, "--split", "no").status == 1
    assert not new.exists()


def test_calibration_shows_nothing_and_leaves_no_metadata(faces, capfd, caplog):
    small = quantise(network(), faces[:40])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not small.metadata_props
    Session(small.SerializeToString(), name="small")


@pytest.mark.slow
def test_export_compresses_what_it_has_compared_with_torch(run, data, tmp_path):
    pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
    pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")
    small = ["stem=8", "widths=[16, 32]", "blocks=[1, 1]", "epochs=1", "batch_size=16"]
    settings = [word for setting in small for word in ("--set", setting)]
    assert run("train", "embedded", "--data", data, "--run", tmp_path / "run", *settings).status == 0
    file = tmp_path / "half.onnx"
    done = run("export", tmp_path / "run", file, "--half")
    assert done.status == 0
    assert "differs from torch by" in done.err
    assert "a logit differs by" in done.err
    pools = [node for node in onnx.load(file).graph.node if node.op_type == "AveragePool"]
    assert pools  # none rounds up where its windows fit: it would fall out of the convolutions' layout
    assert not any(one.i for node in pools for one in node.attribute if one.name == "ceil_mode")
    classifier = open_classifier(file)
    assert classifier.metadata.extra["weights"].startswith("float16")
    assert " && mien models compress embedded.onnx OUT --half " in classifier.metadata.reproduce
    scores = evaluate(classifier, read_labelled_faces(data), split="private_test")
    count, difference = largest_difference(classifier.metadata.scores, scores)
    assert count == len(scores) and difference < 0.01
