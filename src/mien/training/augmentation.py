"""Augmentation on tensors, by kornia."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kornia.augmentation import (
    AugmentationSequential,
    ColorJitter,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomErasing,
    RandomGaussianBlur,
    RandomHorizontalFlip,
    RandomJPEG,
)
from torch import Tensor, rand
from torch.nn import functional

from mien.training.recipe import EmbeddedRecipe, TransferRecipe


def augmentation(recipe: EmbeddedRecipe | TransferRecipe) -> Callable[[Tensor], Tensor]:
    """Return a function from pictures float (n, 1 or 3, h, w) in 0-1 to augmented ones of the same form."""
    steps: list[Any] = [
        RandomHorizontalFlip(p=0.5),
        RandomAffine(
            degrees=recipe.rotation,
            translate=(recipe.translation, recipe.translation),
            scale=(1.0 - recipe.scale, 1.0 + recipe.scale),
            padding_mode="reflection",
            p=1.0,
        ),
        RandomBrightness(brightness=(1.0 - recipe.brightness, 1.0 + recipe.brightness), p=1.0),
        RandomContrast(contrast=(1.0 - recipe.contrast, 1.0 + recipe.contrast), p=1.0),
    ]
    if isinstance(recipe, TransferRecipe) and recipe.colour == "rgb" and (recipe.saturation or recipe.hue):
        steps.append(ColorJitter(saturation=recipe.saturation, hue=recipe.hue, p=1.0))
    if recipe.blur:
        steps.append(RandomGaussianBlur((3, 3), (0.3, 1.2), p=recipe.blur))
    seen = AugmentationSequential(*steps, data_keys=["input"])
    hidden = AugmentationSequential(RandomErasing(p=recipe.erase, scale=(0.02, 0.1), value=0.5), data_keys=["input"])
    coarse, stored = 0.0, None
    if isinstance(recipe, EmbeddedRecipe):
        coarse = recipe.half_resolution
        if recipe.jpeg:
            stored = AugmentationSequential(RandomJPEG(jpeg_quality=(20.0, 80.0), p=recipe.jpeg), data_keys=["input"])

    # a plain function, so that the ranges above do not count as state of the network that is trained
    def augment(pictures: Tensor) -> Tensor:
        augmented = _at_half_resolution(seen(pictures), coarse)
        if stored is not None:  # it takes colours
            augmented = stored(augmented.clamp(0.0, 1.0).expand(-1, 3, -1, -1)).mean(dim=1, keepdim=True)
        covered: Tensor = hidden(augmented)
        return covered

    return augment


def _at_half_resolution(pictures: Tensor, share: float) -> Tensor:
    """Shrink a share of the pictures to half their size and enlarge them again: so small faces come to be."""
    if not share:
        return pictures
    small = functional.interpolate(pictures, scale_factor=0.5, mode="area")
    coarse = functional.interpolate(small, size=pictures.shape[2:], mode="bilinear", align_corners=False)
    return coarse.where(rand(len(pictures), 1, 1, 1, device=pictures.device) < share, pictures)
