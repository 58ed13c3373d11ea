"""Augmentation on tensors, by kornia."""

from __future__ import annotations

from collections.abc import Callable

from kornia.augmentation import (
    AugmentationSequential,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomErasing,
    RandomHorizontalFlip,
)
from torch import Tensor

from mien.training.recipe import Recipe


def augmentation(recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """Return a function from grey pictures float (n, 1, h, w) in 0-1 to augmented ones of the same form."""
    steps = AugmentationSequential(
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
        RandomErasing(p=recipe.erase, scale=(0.02, 0.1), value=0.5),
        data_keys=["input"],
    )

    # a plain function, so that the ranges above do not count as state of the network that is trained
    def augment(pictures: Tensor) -> Tensor:
        augmented: Tensor = steps(pictures)
        return augmented

    return augment
