"""The face network that the embedded recipe may begin from: converted, taken up, trained, exported."""

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")

from torch.nn import functional  # noqa: E402

from mien.errors import ModelError  # noqa: E402
from mien.training.networks.mobilenet import (  # noqa: E402
    BLOCKS,
    LEVELS,
    MobileNet,
    calibrate,
    load_mobilenet,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))


@pytest.fixture(scope="module")
def published():
    """Weights by the package's names, as TensorFlow lays them out: (height, width, inputs, outputs)."""
    random = np.random.default_rng(0)

    def drawn(*shape, fan=1):
        return (random.normal(0, 1, shape) / np.sqrt(fan)).astype(np.float16).astype(np.float32)

    weights = {
        "conv1/convolution/merged_input": drawn(3, 3, 3, 32, fan=2000),
        "conv1_bn/batchnorm_1/sub": drawn(32) * 0.1 + 1,
    }
    channels = 32
    for number, (width, _) in enumerate(BLOCKS, 1):
        weights[f"conv_dw_{number}/depthwise_kernel"] = drawn(3, 3, channels, 1, fan=6)
        weights[f"conv_dw_{number}_bn/batchnorm_1/mul"] = drawn(channels) * 0.2 + 1
        weights[f"conv_dw_{number}_bn/batchnorm_1/sub"] = drawn(channels) * 0.1 + 0.5
        weights[f"conv_pw_{number}/convolution/merged_input"] = drawn(1, 1, channels, width, fan=channels)
        weights[f"conv_pw_{number}_bn/batchnorm_1/sub"] = drawn(width) * 0.1 + 0.5
        channels = width
    return {name: value.astype(np.float16) for name, value in weights.items()}


@pytest.fixture(scope="module")
def converted(published, tmp_path_factory):
    import convert_mobilenet

    folder = tmp_path_factory.mktemp("faces")
    listed = [
        {"name": name, "shape": value.shape, "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, value in published.items()
    ]
    manifest = {"weightsManifest": [{"paths": ["faceres.bin"], "weights": listed}]}
    content = b"".join(value.tobytes() for value in published.values())
    with tarfile.open(folder / "human.tgz", "w:gz") as archive:
        for name, data in (("faceres.json", json.dumps(manifest).encode()), ("faceres.bin", content)):
            entry = tarfile.TarInfo(f"package/models/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    convert_mobilenet.main([str(folder / "human.tgz"), str(folder / "faces.pt")])
    return folder / "faces.pt"


def tensorflow(weights, pictures):
    """Return what the published network makes of grey levels (n, 1, h, w), in plain operations.

    TensorFlow's "same" pads a side of even length on the right alone where it strides by two.
    """

    def same(x, kernel, stride, groups=1):
        x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)) if kernel.shape[-1] == 3 else x
        return functional.conv2d(x, kernel, stride=stride, groups=groups)

    def channels(name):
        return torch.from_numpy(weights[name].astype(np.float32))[:, None, None]

    def kernel(name, order):
        return torch.from_numpy(weights[name].astype(np.float32).transpose(order).copy())

    x = same(pictures.expand(-1, 3, -1, -1), kernel("conv1/convolution/merged_input", (3, 2, 0, 1)), 2)
    x = (x + channels("conv1_bn/batchnorm_1/sub")).clamp(0, 6)
    for number, (_, stride) in enumerate(BLOCKS, 1):
        x = same(x, kernel(f"conv_dw_{number}/depthwise_kernel", (2, 3, 0, 1)), stride, x.shape[1])
        norm = f"conv_dw_{number}_bn/batchnorm_1"
        x = (x * channels(f"{norm}/mul") + channels(f"{norm}/sub")).clamp(0, 6)
        x = same(x, kernel(f"conv_pw_{number}/convolution/merged_input", (3, 2, 0, 1)), 1)
        x = (x + channels(f"conv_pw_{number}_bn/batchnorm_1/sub")).clamp(0, 6)
    return x


def test_the_converted_network_is_the_published_one(converted, published):
    network = MobileNet(side=64).eval()
    load_mobilenet(network, converted)
    x = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps, wanted = network(x), tensorflow(published, x * LEVELS)
    assert maps.shape == (3, 1024, 2, 2)
    assert wanted.std() > 0.1
    assert torch.allclose(maps, wanted, atol=1e-3)


def test_calibrating_changes_the_norms_and_no_answer(converted):
    network = MobileNet(side=64).eval()
    load_mobilenet(network, converted)
    x = torch.randn(32, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = network(x)
    calibrate(network, x)
    with torch.no_grad():
        assert torch.allclose(network(x), before, atol=1e-3)
        network.train()
        # with the statistics of the batch itself, the answer is the same again: training begins where it was
        assert torch.allclose(network(x), before, atol=0.05)


def test_frozen_layers_stay_as_they_are():
    network = MobileNet(side=32, frozen=5).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(4, 1, 48, 48)).mean().backward()
    optimiser.step()
    changed = {
        int(name.split(".")[1]) for name, value in network.state_dict().items() if (value != before[name]).any()
    }
    assert min(changed) == 5
    assert max(changed) == 26


def test_other_files_of_weights_are_refused(tmp_path):
    network = MobileNet(side=64)
    with pytest.raises(ModelError, match="no such file"):
        load_mobilenet(network, tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(ModelError, match="not the weights of the MobileNet for faces"):
        load_mobilenet(network, tmp_path / "text.pt")
    torch.save({"layers.0.1.weight": torch.zeros(32, 1, 3, 3)}, tmp_path / "part.pt")
    with pytest.raises(ModelError, match="not the weights of the MobileNet for faces"):
        load_mobilenet(network, tmp_path / "part.pt")
