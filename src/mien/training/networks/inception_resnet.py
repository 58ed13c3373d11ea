"""Inception-ResNet-V1 as FaceNet, trained on VGGFace2 to tell people apart.

The network is that of Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning" (2017), with 'valid' padding, on faces as in Schroff et al., "FaceNet" (2015). Its layers are called
what those of facenet-pytorch 2.6.0 are, so that the weights published with that package load.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import ModelError, UsageError
from mien.training.networks.backbone import Backbone
from mien.training.networks.download import check_sha256, download

VGGFACE2_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
VGGFACE2_SHA256 = "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b"
"""Of that file, as public repositories that use it have it; it could not be checked against the file itself."""
VGGFACE2_CLASSES = 8631

Layer = tuple[int, int | tuple[int, int], int, int | tuple[int, int]]
"""Outputs, kernel, stride and padding of a convolution."""


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, layer: Layer) -> None:
        super().__init__()
        outputs, kernel, stride, padding = layer
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, h', w')."""
        return functional.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Rows of convolutions side by side, joined along the channels; called branch0, branch1 and so on."""

    def __init__(self, inputs: int, branches: Sequence[Sequence[Layer]]) -> None:
        super().__init__()
        self._names = [f"branch{i}" for i in range(len(branches))]
        self.joined = 0
        for name, layers in zip(self._names, branches, strict=True):
            widths = [inputs, *(layer[0] for layer in layers)]
            row = [Convolution(width, layer) for width, layer in zip(widths, layers, strict=False)]
            self.add_module(name, row[0] if len(row) == 1 else nn.Sequential(*row))
            self.joined += widths[-1]

    def join(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return what the branches make of `x`, and `others` behind it."""
        return torch.cat([*(self.get_submodule(name)(x) for name in self._names), *others], dim=1)


class Residual(Branches):
    """An Inception block beside a shortcut: what it adds is scaled down, which keeps the training steady."""

    def __init__(
        self, channels: int, branches: Sequence[Sequence[Layer]], *, factor: float, rectified: bool = True
    ) -> None:
        super().__init__(channels, branches)
        self.conv2d = nn.Conv2d(self.joined, channels, 1)
        self.factor, self.rectified = factor, rectified

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, h, w), as `x`."""
        x = x + self.factor * self.conv2d(self.join(x))
        return functional.relu(x) if self.rectified else x


class Reduction(Branches):
    """Branches that halve the maps, beside a maximum over the same windows."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, joined + channels of `x`, h', w')."""
        return self.join(x, functional.max_pool2d(x, 3, 2))


def _block35(factor: float) -> Residual:
    branches: list[list[Layer]] = [
        [(32, 1, 1, 0)],
        [(32, 1, 1, 0), (32, 3, 1, 1)],
        [(32, 1, 1, 0), (32, 3, 1, 1), (32, 3, 1, 1)],
    ]
    return Residual(256, branches, factor=factor)


def _block17(factor: float) -> Residual:
    branches: list[list[Layer]] = [
        [(128, 1, 1, 0)],
        [(128, 1, 1, 0), (128, (1, 7), 1, (0, 3)), (128, (7, 1), 1, (3, 0))],
    ]
    return Residual(896, branches, factor=factor)


def _block8(factor: float, *, rectified: bool = True) -> Residual:
    branches: list[list[Layer]] = [
        [(192, 1, 1, 0)],
        [(192, 1, 1, 0), (192, (1, 3), 1, (0, 1)), (192, (3, 1), 1, (1, 0))],
    ]
    return Residual(1792, branches, factor=factor, rectified=rectified)


class InceptionResnetV1(nn.Module):
    """Faces (n, 3, 160, 160), normalised → the embedding (n, 512) of who it is, of length 1."""

    def __init__(self, classes: int = VGGFACE2_CLASSES) -> None:
        super().__init__()
        self.conv2d_1a = Convolution(3, (32, 3, 2, 0))
        self.conv2d_2a = Convolution(32, (32, 3, 1, 0))
        self.conv2d_2b = Convolution(32, (64, 3, 1, 1))
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = Convolution(64, (80, 1, 1, 0))
        self.conv2d_4a = Convolution(80, (192, 3, 1, 0))
        self.conv2d_4b = Convolution(192, (256, 3, 2, 0))
        self.repeat_1 = nn.Sequential(*(_block35(0.17) for _ in range(5)))
        self.mixed_6a = Reduction(256, [[(384, 3, 2, 0)], [(192, 1, 1, 0), (192, 3, 1, 1), (256, 3, 2, 0)]])
        self.repeat_2 = nn.Sequential(*(_block17(0.10) for _ in range(10)))
        self.mixed_7a = Reduction(
            896,
            [
                [(256, 1, 1, 0), (384, 3, 2, 0)],
                [(256, 1, 1, 0), (256, 3, 2, 0)],
                [(256, 1, 1, 0), (256, 3, 1, 1), (256, 3, 2, 0)],
            ],
        )
        self.repeat_3 = nn.Sequential(*(_block8(0.20) for _ in range(5)))
        self.block8 = _block8(1.0, rectified=False)
        self.dropout = nn.Dropout(0.6)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=0.001)
        self.logits = nn.Linear(512, classes)

    @property
    def stem(self) -> list[nn.Module]:
        """The plain convolutions next to the picture."""
        before = [self.conv2d_1a, self.conv2d_2a, self.conv2d_2b]
        return [*before, self.maxpool_3a, self.conv2d_3b, self.conv2d_4a, self.conv2d_4b]

    @property
    def blocks(self) -> list[nn.Module]:
        """The Inception blocks between stem and maps."""
        return [self.repeat_1, self.mixed_6a, self.repeat_2, self.mixed_7a, self.repeat_3, self.block8]

    def maps(self, x: Tensor) -> Tensor:
        """Return the feature maps (n, 1792, 3, 3)."""
        for part in (*self.stem, *self.blocks):
            x = part(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding."""
        pooled = self.dropout(self.maps(x).mean(dim=(2, 3)))
        return functional.normalize(self.last_bn(self.last_linear(pooled)), dim=1)


class FaceBackbone(Backbone):
    """Inception-ResNet-V1 up to its maps (n, 1792, 3, 3); its embedding is their mean.

    The layers behind, which name people, stay with it as they are: they are neither used nor trained.
    """

    def __init__(self, network: InceptionResnetV1) -> None:
        super().__init__(features=1792, size=160, mean=[127.5] * 3, scale=[128.0] * 3)
        self.network = network
        for layer in (network.last_linear, network.last_bn, network.logits):
            layer.requires_grad_(False)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """Stem, five blocks at 17x17, reduction, ten at 8x8, reduction, five at 3x3, the last one."""
        return [nn.ModuleList(self.network.stem), *self.network.blocks]

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The stem's first."""
        return self.network.conv2d_1a.conv

    def replace_first_convolution(self, convolution: nn.Conv2d) -> None:
        """Put `convolution` first in the stem."""
        self.network.conv2d_1a.conv = convolution

    def normalised_maps(self, x: Tensor) -> Tensor:
        """Return (n, 1792, h', w')."""
        return self.network.maps(x)


def open_inception_resnet(source: str | Path, *, sha256: str | None = None) -> FaceBackbone:
    """Return the backbone with published weights, every one of them used.

    Args:
        source: a file as facenet-pytorch publishes them, or an https:// URL of one, such as `VGGFACE2_URL`.
        sha256: of the file; a URL is not opened without it.

    Raises:
        ModelError: the file cannot be had, is not the one meant, or holds other weights.
        UsageError: a URL without sha256, or of another kind than https.

    """
    if "://" in str(source):
        if sha256 is None:
            raise UsageError(f"{source}: the file's sha256 is needed too, to know that what comes is what was meant")
        path = download(str(source), sha256=sha256)
    else:
        path = Path(source)
        if sha256 is not None:
            check_sha256(path, sha256)
    weights = _read_tensors(path)
    rows = weights.get("logits.weight")
    network = InceptionResnetV1(VGGFACE2_CLASSES if rows is None else len(rows))
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ModelError(f"{path}: not the weights of an Inception-ResNet-V1 ({_start(error)})") from error
    return FaceBackbone(network.eval())


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such file of weights") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path}: the weights cannot be read ({_start(error)})") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelError(f"{path}: it holds something else than named weights")
    return weights


def _start(error: Exception) -> str:
    """Return the start of torch's messages, which run over many lines."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "…"
