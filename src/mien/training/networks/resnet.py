"""ResNets pretrained on ImageNet (He et al., 2016), through transformers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import huggingface_hub
import safetensors
from huggingface_hub.errors import EntryNotFoundError, StrictDataclassError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from mien.errors import ModelError, OutputError
from mien.models.cache import is_offline
from mien.training.networks.backbone import Backbone
from mien.training.networks.grey import GreyConvolution

DEFAULT = "microsoft/resnet-50"
"""There are also -18, -26, -34, -101 and -152."""
CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in 0-1, over the training pictures of ImageNet."""
SIZE = 224


class ResNet(Backbone):
    """A ResNet of any size, up to its last maps."""

    def __init__(self, network: ResNetModel, *, size: int, mean: Sequence[float], scale: Sequence[float]) -> None:
        widths = cast("list[int]", network.config.hidden_sizes)
        super().__init__(features=widths[-1], size=size, mean=mean, scale=scale)
        self.network = network

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The stem, and the groups of blocks between which the maps are halved."""
        return [self.network.embedder, *self.network.encoder.stages]

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The stem's 7x7."""
        convolution: nn.Conv2d = self.network.embedder.embedder.convolution
        return convolution

    def replace_first_convolution(self, convolution: nn.Conv2d) -> None:
        """Put `convolution` first in the stem."""
        self.network.embedder.embedder.convolution = convolution
        self.network.embedder.num_channels = self.network.config.num_channels = convolution.in_channels

    def normalised_maps(self, x: Tensor) -> Tensor:
        """Return (n, features, h / 32, w / 32)."""
        maps: Tensor = self.network(x).last_hidden_state
        return maps

    def save(self, folder: str | Path) -> None:
        """Write what `open_resnet` reads, and transformers too where it takes RGB.

        Raises:
            OutputError: the folder cannot be written.

        """
        folder = Path(folder)
        preprocessor = {
            "do_normalize": True,
            "image_mean": [value / 255 for value in self.mean.flatten().tolist()],
            "image_std": [value / 255 for value in self.scale.flatten().tolist()],
            "size": {"shortest_edge": self.size},
        }
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / CONFIG).write_text(self.network.config.to_json_string(), "utf-8")
            (folder / PREPROCESSOR).write_text(json.dumps(preprocessor, indent=2), "utf-8")
            save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        except (OSError, safetensors.SafetensorError) as error:
            raise OutputError(f"{folder}: the network cannot be written ({error})") from error


def open_resnet(source: str | Path = DEFAULT) -> ResNet:
    """Return a pretrained ResNet, every one of its weights from the file.

    Args:
        source: a folder written by `ResNet.save` or by transformers' `save_pretrained`, the `model.safetensors`
            in one, or a name on the Hugging Face hub, which is fetched into its cache unless HF_HUB_OFFLINE or
            MIEN_OFFLINE is set; NAME@REVISION is always the same network, NAME alone the latest there.

    Raises:
        ModelError: there is no such network, it cannot be had here, or it is no ResNet. Weights are read from
            safetensors only: a pickle could run code.

    """
    try:
        settings = json.loads(_find(source, CONFIG).read_text("utf-8"))
        if settings.get("model_type") != "resnet":
            raise ModelError(f"{source}: it is a network of type {settings.get('model_type')}, and not a resnet")
        network = ResNetModel(ResNetConfig.from_dict(settings))
        weights = load_file(_find(source, WEIGHTS))
        mean, scale, size = _preprocessing(source, network.config.num_channels)
        backbone = ResNet(network, size=size, mean=mean, scale=scale)
        _load(backbone, weights)
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError, StrictDataclassError) as error:
        raise ModelError(f"{source}: the network cannot be read ({' '.join(str(error).split())[:200]})") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{source}: {WEIGHTS} is damaged ({error})") from error
    backbone.eval()
    return backbone


def _load(backbone: ResNet, weights: dict[str, Tensor]) -> None:
    """Load weights of the network alone, or of one with transformers' classifier on it, which is left out."""
    weights = {
        name.removeprefix("resnet."): value for name, value in weights.items() if not name.startswith("classifier.")
    }
    first = backbone.first_convolution
    if (offset := weights.get("embedder.embedder.convolution.offset")) is not None:
        backbone.replace_first_convolution(GreyConvolution(first, offset))
    backbone.network.load_state_dict(weights, strict=True)


def _preprocessing(source: str | Path, channels: int) -> tuple[list[float], list[float], int]:
    """Return mean and scale of each channel, in levels 0-255, and the size of pictures; ImageNet's by default."""
    settings: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        settings = json.loads(_find(source, PREPROCESSOR).read_text("utf-8"))
    mean, std = settings.get("image_mean", IMAGENET_MEAN), settings.get("image_std", IMAGENET_STD)
    if len(mean) != channels:
        mean, std = ([sum(values) / len(values)] * channels for values in (mean, std))
    size = settings.get("size", SIZE)
    if isinstance(size, dict):
        size = next(iter(size.values()))
    return [255 * value for value in mean], [255 * value for value in std], int(size)


def _find(source: str | Path, name: str) -> Path:
    """Return the file `name` of a network.

    Raises:
        FileNotFoundError: the network has none.
        ModelError: there is no such network, or it cannot be had here.

    """
    local = Path(source)
    if local.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise ModelError(f"{source}: pickles are not opened; save the network as safetensors, by save_pretrained")
    if local.suffix == ".safetensors":
        local, name = local.parent, local.name if name == WEIGHTS else name
    elif not (local.is_dir() or isinstance(source, Path) or local.is_absolute() or source.startswith(".")):
        return _find_on_hub(source, name)
    if not (local / name).is_file():
        raise FileNotFoundError(f"there is no {name} in {local}, which save_pretrained writes")
    return local / name


def _find_on_hub(source: str, name: str) -> Path:
    repository, _, revision = source.partition("@")
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                repository, name, revision=revision or None, local_files_only=is_offline()
            )
        )
    except Exception as error:  # the hub's client has a dozen of its own, and those of the client below it
        if name == PREPROCESSOR and isinstance(error, EntryNotFoundError):
            raise FileNotFoundError(name) from error
        raise ModelError(
            f"{source}: neither a folder nor a network that the Hugging Face hub gives us here "
            f"({' '.join(str(error).split())[:200]}). Where there is a network, run `hf download {repository} "
            f"{CONFIG} {PREPROCESSOR} {WEIGHTS} --local-dir resnet`, and name that folder"
        ) from error
