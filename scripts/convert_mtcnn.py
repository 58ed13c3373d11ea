"""Convert the MTCNN weights of the facenet-pytorch 2.6.0 wheel to the .onnx files that mien ships.

    pip download --no-deps facenet-pytorch==2.6.0
    python scripts/convert_mtcnn.py facenet_pytorch-2.6.0-py3-none-any.whl src/mien/models

The networks are those of Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (2016). Each .onnx takes uint8 RGB pictures (n, height, width, 3) and answers
with probabilities (of a face) and what regresses boxes and landmarks; the scaling of the pixels is in
the file. Each is compared with torch before it is written.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from mien.training.export import strip_traces

NAMES = ("pnet", "rnet", "onet")
INPUT_SIDES = {"pnet": (12, 37, 64, 101), "rnet": (24,), "onet": (48,)}
TOLERANCE = 1e-4


class _Cascade(nn.Module):
    """What the three share: pixels in, a trunk, heads."""

    trunk: nn.Sequential

    def features(self, pixels: Tensor) -> Tensor:
        """Return the trunk's answer to uint8 pixels (n, h, w, 3)."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - 127.5) / 128.0
        features: Tensor = self.trunk(scaled)
        return features


class _Flatten(nn.Module):
    """Flattens (n, c, h, w) with width first, as the Caffe original of the weights did."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]


class PNet(_Cascade):
    """Proposes: (n, h, w, 3) → probability (n, h', w') and box offsets (n, 4, h', w') at stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_conv(3, 10, 3), nn.MaxPool2d(2, 2, ceil_mode=True), *_conv(10, 16, 3), *_conv(16, 32, 3)
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.offsets = nn.Conv2d(32, 4, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (probability, offsets)."""
        x = self.features(pixels)
        return self.face(x).softmax(dim=1)[:, 1], self.offsets(x)


class RNet(_Cascade):
    """Refines: (n, 24, 24, 3) → probability (n,) and box offsets (n, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_conv(3, 28, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(28, 48, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(48, 64, 2),
            _Flatten(),
            nn.Linear(576, 128),
            nn.PReLU(128),
        )
        self.face = nn.Linear(128, 2)
        self.offsets = nn.Linear(128, 4)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (probability, offsets)."""
        x = self.features(pixels)
        return self.face(x).softmax(dim=1)[:, 1], self.offsets(x)


class ONet(_Cascade):
    """Decides: (n, 48, 48, 3) → probability (n,), box offsets (n, 4), landmarks (n, 10): five x, five y."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_conv(3, 32, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(32, 64, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(64, 64, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_conv(64, 128, 2),
            _Flatten(),
            nn.Linear(1152, 256),
            nn.PReLU(256),
        )
        self.face = nn.Linear(256, 2)
        self.offsets = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (probability, offsets, landmarks)."""
        x = self.features(pixels)
        return self.face(x).softmax(dim=1)[:, 1], self.offsets(x), self.landmarks(x)


def read_network(wheel: str | Path, name: str) -> _Cascade:
    """Return the network `name` with the wheel's weights, every one of them used."""
    with zipfile.ZipFile(wheel) as archive:
        stored = torch.load(io.BytesIO(archive.read(f"facenet_pytorch/data/{name}.pt")), weights_only=True)
    network = {"pnet": PNet, "rnet": RNet, "onet": ONet}[name]()
    # Both lists run from the input to the outputs: only the names differ. The heads of the stored
    # networks are called convK_1 or denseK_1 (face), _2 (offsets), _3 (landmarks).
    weights = OrderedDict(zip(network.state_dict(), stored.values(), strict=True))
    network.load_state_dict(weights, strict=True)
    return network.eval()


def convert(wheel: str | Path, name: str, out: Path) -> float:
    """Write `out`/mtcnn_`name`.onnx and return its largest difference from torch.

    Raises:
        ValueError: the difference is over `TOLERANCE`.

    """
    network = read_network(wheel, name)
    side = INPUT_SIDES[name][-1]
    batch, height, width = (torch.export.Dim(axis) for axis in ("batch", "height", "width"))
    axes = {0: batch, 1: height, 2: width} if name == "pnet" else {0: batch}
    outputs = ["probability", "offsets", "landmarks"] if name == "onet" else ["probability", "offsets"]
    program = torch.onnx.export(
        network,
        (torch.zeros(3, side, side + (name == "pnet"), 3, dtype=torch.uint8),),
        input_names=["pixels"],
        output_names=outputs,
        dynamic_shapes=(axes,),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    strip_traces(model)
    model.doc_string = "MTCNN, weights of facenet-pytorch 2.6.0 (MIT, Copyright (c) 2019 Timothy Esler)"
    onnx.checker.check_model(model, full_check=True)
    difference = difference_from_torch(model.SerializeToString(), network, INPUT_SIDES[name])
    if difference > TOLERANCE:
        raise ValueError(f"{name}: differs from torch by {difference:.2g}")
    path = out / f"mtcnn_{name}.onnx"
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(path)
    return difference


def difference_from_torch(model: bytes | str, network: nn.Module, sides: tuple[int, ...]) -> float:
    """Return the largest absolute difference of any output on random pictures of the given sides."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for side in sides:
        pixels = random.integers(0, 256, size=(5, side, side, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels))
        for got, wanted in zip(session.run(None, {"pixels": pixels}), expected, strict=True):
            if got.shape != tuple(wanted.shape):
                raise ValueError(f"shape {got.shape} instead of {tuple(wanted.shape)}")
            worst = max(worst, float(np.abs(got - wanted.numpy()).max()))
    return worst


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for each in NAMES:
        print(f"mtcnn_{each}.onnx: differs from torch by {convert(sys.argv[1], each, Path(sys.argv[2])):.1e}")
