"""A recipe: every number that a training run depends on, read from TOML and checked before anything starts."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, get_args, get_origin, get_type_hints

from mien.errors import UsageError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0, 0.95),
    "max_not_a_face_votes": (0, 10),
    "min_votes": (0, 10),
    "balance": (0, 1),
    "learning_rate": (0, 100),
    "momentum": (0, 1),
    "weight_decay": (0, 10),
    "warmup_epochs": (0, 1000),
    "average_decay": (0, 1),
    "label_smoothing": (0, 1),
    "seed": (0, 2**31),
    "rotation": (0, 180),
    "translation": (0, 1),
    "scale": (0, 0.95),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "erase": (0, 1),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a run; `recipes/embedded.toml` says what each one means."""

    size: int
    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dropout: float
    max_not_a_face_votes: int
    min_votes: int
    balance: float
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_epochs: float
    average_decay: float
    label_smoothing: float
    precision: str
    seed: int
    rotation: float
    translation: float
    scale: float
    brightness: float
    contrast: float
    erase: float

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or not self.widths:
            raise UsageError("recipe: `widths` and `blocks` need one entry for each stage")
        if min(self.epochs, self.batch_size, self.size, self.stem, *self.widths, *self.blocks) < 1:
            raise UsageError("recipe: sizes, widths, blocks, epochs and batch_size are at least 1")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"recipe: {name} lies between {least:g} and {most:g}, not {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"recipe: precision is one of {', '.join(PRECISIONS)}, not {self.precision}")

    def to_toml(self) -> str:
        """Return the settings as TOML, one line each."""
        return "".join(f"{field.name} = {self.value_as_toml(field.name)}\n" for field in fields(self))

    def epoch_seed(self, epoch: int) -> int:
        """Return the seed of all draws of an epoch, so that a resumed run repeats an undisturbed one."""
        return self.seed * 100_003 + epoch

    def value_as_toml(self, name: str) -> str:
        """Return one setting's value as TOML, which JSON's lists, strings and numbers are too."""
        return json.dumps(getattr(self, name))


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with mien."""
    folder = resources.files("mien.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def shipped_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the shipped recipe `name` with `overrides` such as `"epochs=2"` (the value is TOML).

    Raises:
        UsageError: there is no such recipe, or an override has an unknown key or a value of a wrong type.

    """
    if name not in recipe_names():
        raise UsageError(f"there is no recipe {name!r}; there are {', '.join(recipe_names())}")
    values = tomllib.loads((resources.files("mien.training") / "recipes" / f"{name}.toml").read_text("utf-8"))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UsageError(f"--set {override}: it should read key=value")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return _checked(values)


def parse_recipe(text: str) -> Recipe:
    """Return the recipe written as TOML in `text`, for one that a run has kept."""
    return _checked(tomllib.loads(text))


def _checked(values: dict[str, Any]) -> Recipe:
    types = get_type_hints(Recipe)
    names = [field.name for field in fields(Recipe)]
    if unknown := [key for key in values if key not in names]:
        raise UsageError(f"recipe: unknown key {', '.join(unknown)}; the keys are {', '.join(names)}")
    if missing := [name for name in names if name not in values]:
        raise UsageError(f"recipe: the key {', '.join(missing)} is missing")
    return Recipe(**{name: _typed(name, values[name], types[name]) for name in names})


def _typed(name: str, value: Any, wanted: Any) -> Any:
    """Return `value` as the type `wanted`; TOML's whole numbers also serve where a float is wanted."""
    if get_origin(wanted) is tuple:
        item = get_args(wanted)[0]
        if isinstance(value, list):
            return tuple(_typed(name, entry, item) for entry in value)
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, wanted) and not isinstance(value, bool):
        return value
    described = "a list of whole numbers" if get_origin(wanted) is tuple else wanted.__name__
    raise UsageError(f"recipe: {name} should be {described}, not {value!r}")
