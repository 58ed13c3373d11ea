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

Augmentation = Callable[[Tensor], Tensor]
"""Pictures float (n, 1 or 3, h, w) in 0-1 → changed ones of the same form.

Plain functions, so that the ranges below do not count as state of the network that is trained.
"""


def augmentation(recipe: EmbeddedRecipe | TransferRecipe) -> Augmentation:
    """Return all that is done to pictures in training: movement, then degradation."""
    move, degrade = movement(recipe), degradation(recipe)
    return lambda pictures: degrade(move(pictures))


def movement(recipe: EmbeddedRecipe | TransferRecipe) -> Augmentation:
    """Return the changes after which a picture shows as much as before: of place, light and colour."""
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
    return _function(*steps)


def degradation(recipe: EmbeddedRecipe | TransferRecipe) -> Augmentation:
    """Return the changes that take something from some of the pictures: detail, or a part."""
    blur = _function(RandomGaussianBlur((3, 3), (0.3, 1.2), p=recipe.blur)) if recipe.blur else None
    store: Augmentation | None = None
    coarse = 0.0
    if isinstance(recipe, EmbeddedRecipe):
        coarse = recipe.half_resolution
        if recipe.jpeg:
            store = _function(RandomJPEG(jpeg_quality=(20.0, 80.0), p=recipe.jpeg))
    hide = _function(RandomErasing(p=recipe.erase, scale=(0.02, 0.1), value=0.5))

    def degrade(pictures: Tensor) -> Tensor:
        degraded = _at_half_resolution(pictures if blur is None else blur(pictures), coarse)
        if store is not None:  # it takes colours
            degraded = store(degraded.clamp(0.0, 1.0).expand(-1, 3, -1, -1)).mean(dim=1, keepdim=True)
        return hide(degraded)

    return degrade


def _function(*steps: Any) -> Augmentation:
    sequence = AugmentationSequential(*steps, data_keys=["input"])

    def change(pictures: Tensor) -> Tensor:
        changed: Tensor = sequence(pictures)
        return changed

    return change


def _at_half_resolution(pictures: Tensor, share: float) -> Tensor:
    """Shrink a share of the pictures to half their size and enlarge them again: so small faces come to be."""
    if not share:
        return pictures
    small = functional.interpolate(pictures, scale_factor=0.5, mode="area")
    coarse = functional.interpolate(small, size=pictures.shape[2:], mode="bilinear", align_corners=False)
    return coarse.where(rand(len(pictures), 1, 1, 1, device=pictures.device) < share, pictures)
