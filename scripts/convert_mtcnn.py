"""Convert the MTCNN weights of the facenet-pytorch 2.6.0 wheel to the .onnx files that mien ships.

    pip download --no-deps facenet-pytorch==2.6.0
    python scripts/convert_mtcnn.py facenet_pytorch-2.6.0-py3-none-any.whl src/mien/models

The networks are those of Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (2016). Each .onnx takes uint8 RGB pictures (n, height, width, 3) and answers
with probabilities (of a face) and what regresses boxes and landmarks; the scaling of the pixels is in
the file. What is written is the network rearranged so that onnxruntime runs it in half the time; its
answers are compared with those of the network as it was trained before it is written.
"""

from __future__ import annotations

import copy
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
from torch.nn.functional import pad

from mien.training.export import strip_traces

NAMES = ("pnet", "rnet", "onet")
INPUT_SIDES = {"pnet": (12, 37, 64, 101), "rnet": (24,), "onet": (48,)}
TOLERANCE = 1e-4
SHIFT, SCALE = 127.5, 128.0  # what the networks take of a pixel: (pixel - SHIFT) / SCALE
SIDE = 3  # of what R-Net and O-Net flatten, in pixels
STEEPEST = 0.95  # slope of a PReLU that is divided by 1 less it
BLOCK = 16  # channels that onnxruntime computes together in a convolution, on processors with AVX-512


class _Cascade(nn.Module):
    """What the three share: pixels in, a trunk, heads."""

    trunk: nn.Sequential
    face: nn.Conv2d | nn.Linear
    offsets: nn.Conv2d | nn.Linear

    def features(self, pixels: Tensor) -> Tensor:
        """Return the trunk's answer to uint8 pixels (n, h, w, 3)."""
        features: Tensor = self.trunk(pixels.permute(0, 3, 1, 2).float())
        return features

    def others(self) -> list[nn.Conv2d | nn.Linear]:
        """Return the heads but that of the probability."""
        return [self.offsets]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the probability of a face, and what each of the others says."""
        x = self.features(pixels)
        return self.face(x).softmax(dim=1)[:, 1], *(head(x) for head in self.others())


class _Scale(nn.Module):
    """Takes pixels to about -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - SHIFT) / SCALE


class _Flatten(nn.Module):
    """Flattens (n, c, h, w) with width first, as the Caffe original of the weights did."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


class _Prelu(nn.Module):
    """PReLU as a x + (1 - a) relu(x), with the slope a of each channel.

    onnxruntime keeps pictures in blocks of channels from one convolution to the next as long as it knows each
    operator between them in that layout. It knows these, but not PReLU: for that it turns the whole picture
    around twice, and takes longer over it than over the convolutions.
    """

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        # the operator it has for a factor by channel, with nothing else to do
        self.all, self.positive = _factors(slopes), _factors(1 - slopes)

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.all(x) + self.positive(x.relu())
        return scaled


class _ScaledPrelu(nn.Module):
    """PReLU divided by 1 - a, for slopes a < 1: one pass less over the picture. What follows multiplies by 1 - a."""

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.all = _factors(slopes / (1 - slopes))

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.all(x) + x.relu()
        return scaled


def _factors(values: Tensor) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(values), eps=0.0)
    layer.weight.data = values
    return layer


class _PooledPrelu(nn.Module):
    """PReLU and the max pooling after it, with the pooling first: there is a quarter as much to compute then.

    With a slope a >= 0 the two may change places. With a < 0, PReLU(x) = max(x, a x): the pooling gets a x as
    a channel of its own, and of the two maxima p and q the larger one is p + relu(q - p).
    """

    def __init__(self, slopes: Tensor, partners: dict[int, int]) -> None:
        """Take the slopes by channel, and for each channel with a negative one that which holds a x."""
        super().__init__()
        rectified, kept = torch.eye(len(slopes)), torch.diag(slopes)
        for channel, partner in partners.items():
            rectified[channel, channel], rectified[channel, partner] = -1.0, 1.0
            kept[channel, channel] = 1.0
        weights = torch.where(slopes < 0, 1.0, 1 - slopes)
        # As weights above 0 they may come before the relu. With a > 1, a x + (1 - a) relu(x) is
        # -(-x + (a - 1) relu(-x)), of which this gives what is in brackets.
        steep = slopes > 1
        kept[steep] = -torch.eye(len(slopes))[steep]
        self.rectified, self.kept = (_pointwise(matrix) for matrix in (weights[:, None] * rectified, kept))
        self.signs = torch.where(steep, -1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.kept(x) + self.rectified(x).relu()
        return answer


def _pointwise(matrix: Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
    layer.weight.data = matrix[:, :, None, None]
    return layer


def _heads(network: _Cascade) -> nn.Module:
    """Return all heads as one layer: how much surer it is of a face than of none, then what the others say."""
    layer = copy.deepcopy(network.offsets)
    for name, values in layer.named_parameters():
        face = network.face.get_parameter(name).data
        others = [head.get_parameter(name).data for head in network.others()]
        values.data = torch.cat([face[1:] - face[:1], *others])
    return layer


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]


class PNet(_Cascade):
    """Proposes: (n, h, w, 3) → probability (n, h', w') and box offsets (n, 4, h', w') at stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _Scale(), *_conv(3, 10, 3), nn.MaxPool2d(2, 2, ceil_mode=True), *_conv(10, 16, 3), *_conv(16, 32, 3)
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.offsets = nn.Conv2d(32, 4, 1)


class RNet(_Cascade):
    """Refines: (n, 24, 24, 3) → probability (n,) and box offsets (n, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _Scale(),
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


class ONet(_Cascade):
    """Decides: (n, 48, 48, 3) → probability (n,), box offsets (n, 4), landmarks (n, 10): five x, five y."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _Scale(),
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

    def others(self) -> list[nn.Conv2d | nn.Linear]:
        """Return the heads but that of the probability."""
        return [self.offsets, self.landmarks]


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


class _Rearranged(nn.Module):
    """A network with the same answers, of fewer and larger steps.

    Its convolutions compute full blocks of channels, and no PReLU stands between them; it takes pixels as they are,
    since the scaling is in its first weights; the heads are one layer, and the softmax of two is a sigmoid.
    """

    def __init__(self, network: _Cascade) -> None:
        super().__init__()
        original = copy.deepcopy(network)
        self.layers = nn.Sequential(*_rearrange([*original.trunk, _heads(original)]))
        self.sizes = [1, *(len(head.weight) for head in original.others())]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        face, *others = self.layers(pixels.permute(0, 3, 1, 2).float()).split(self.sizes, dim=1)
        return face[:, 0].sigmoid(), *others


def _rearrange(layers: list[nn.Module]) -> list[nn.Module]:
    assert isinstance(layers.pop(0), _Scale)
    added = 0  # channels of nothing but zeros, which fill up the last block
    factors: Tensor | None = None  # by which the channels that come in are too small
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            if i == 0:
                layer.weight.data /= SCALE
                layer.bias.data -= SHIFT * layer.weight.data.sum(dim=(1, 2, 3))
            before, added = added, -layer.out_channels % BLOCK if i + 1 < len(layers) else 0
            layer.weight.data = pad(layer.weight.data, (0, 0, 0, 0, 0, before, 0, added))
            layer.bias.data = pad(layer.bias.data, (0, added))
            if factors is not None:
                layer.weight.data *= factors[:, None, None]
                factors = None
        elif isinstance(layer, nn.PReLU) and isinstance(convolution := layers[i - 1], nn.Conv2d):
            assert convolution.bias is not None
            slopes = pad(layer.weight.data, (0, added))
            negative = torch.nonzero(slopes < 0).flatten()
            pooling = layers[i + 1]
            if isinstance(pooling, nn.MaxPool2d) and len(negative) <= added:
                partners = torch.arange(len(negative)) + layer.num_parameters
                for values in (convolution.weight.data, convolution.bias.data):
                    values[partners] = values[negative] * slopes[negative].view(-1, *[1] * (values.dim() - 1))
                after = _PooledPrelu(slopes, dict(zip(negative.tolist(), partners.tolist(), strict=True)))
                layers[i : i + 2] = [pooling, after]
                factors = after.signs
            elif slopes.max() < STEEPEST:
                layers[i], factors = _ScaledPrelu(slopes), 1 - slopes
            else:
                layers[i] = _Prelu(slopes)
        elif isinstance(layer, _Flatten):  # its order goes into the weights of what follows
            linear, side = layers[i + 1], SIDE
            assert isinstance(linear, nn.Linear)
            weights = linear.weight.data.view(linear.out_features, side, side, -1).permute(0, 3, 2, 1)
            if factors is not None:
                weights = weights * factors[:, None, None]
                factors = None
            layers[i], linear.weight.data = nn.Flatten(), weights.flatten(1)
    return layers


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
        _Rearranged(network).eval(),
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
