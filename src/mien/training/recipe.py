"""Recipes: every number that a training run depends on, read from TOML and checked before anything starts."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from mien.emotions import SETS
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
    "teacher_share": (0, 1),
    "teacher_temperature": (0.01, 100),
    "seed": (0, 2**31),
    "rotation": (0, 180),
    "translation": (0, 1),
    "scale": (0, 0.95),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "blur": (0, 1),
    "half_resolution": (0, 1),
    "jpeg": (0, 1),
    "erase": (0, 1),
    "held_out": (0.01, 0.9),
    "unfreeze": (-1, 1000),
    "crop_scale": (0.1, 10),
    "patience": (0, 10_000),
    "plateau": (0, 10_000),
    "split": (0, 1),
    "enlarged": (32, 1024),
    "frozen": (0, 27),
}
"""Least and most of the numbers, by the name of their key."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all runs have in common; the files in `recipes/` say what each key means."""

    KIND: ClassVar[str] = ""

    size: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    precision: str
    seed: int

    def __post_init__(self) -> None:
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            least, most = _RANGES.get(name, (1, math.inf))
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if isinstance(number, int | float) and not isinstance(number, bool) and not least <= number <= most:
                    allowed = f"is at least {least:g}" if most == math.inf else f"lies between {least:g} and {most:g}"
                    raise UsageError(f"recipe: {name} {allowed}, not {number}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"recipe: precision is one of {', '.join(PRECISIONS)}, not {self.precision}")

    def to_toml(self) -> str:
        """Return the settings as TOML, one line each."""
        lines = (f"{field.name} = {self.value_as_toml(field.name)}\n" for field in fields(self))
        return f'kind = "{self.KIND}"\n' + "".join(lines)

    def epoch_seed(self, epoch: int) -> int:
        """Return the seed of all draws of an epoch, so that a resumed run repeats an undisturbed one."""
        return self.seed * 100_003 + epoch

    def value_as_toml(self, name: str) -> str:
        """Return one setting's value as TOML, which JSON's lists, strings and numbers are too."""
        return json.dumps(getattr(self, name))

    def _check_choice(self, name: str, known: Sequence[str]) -> None:
        if getattr(self, name) not in known:
            raise UsageError(f"recipe: {name} is one of {', '.join(known)}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class EmbeddedRecipe(Recipe):
    """A compact network with two outputs, from nothing or from one that tells faces apart."""

    KIND: ClassVar[str] = "embedded"

    backbone: str
    weights: str
    enlarged: int
    frozen: int
    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dropout: float
    max_not_a_face_votes: int
    min_votes: int
    balance: float
    momentum: float
    warmup_epochs: float
    average_decay: float
    label_smoothing: float
    teacher_share: float
    teacher_temperature: float
    rotation: float
    translation: float
    scale: float
    brightness: float
    contrast: float
    blur: float
    half_resolution: float
    jpeg: float
    erase: float

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if len(self.widths) != len(self.blocks) or not self.widths:
            raise UsageError("recipe: `widths` and `blocks` need one entry for each stage")
        self._check_choice("backbone", ("residual", "mobilenet"))
        if self.backbone == "residual" and (self.weights or self.frozen):
            raise UsageError(
                "recipe: weights and frozen are for the backbone mobilenet; residual begins from nothing"
            )


@dataclass(frozen=True, slots=True)
class AdaptationRecipe(Recipe):
    """A pretrained network becomes one for grey pictures, by matching its own embeddings."""

    KIND: ClassVar[str] = "adaptation"

    backbone: str
    weights: str
    start: str
    compare: bool
    loss: str
    held_out: float

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        self._check_choice("start", ("summed", "random"))
        self._check_choice("loss", ("mse", "cosine"))


@dataclass(frozen=True, slots=True)
class TransferRecipe(Recipe):
    """A pretrained network gets a new head for a set of emotions."""

    KIND: ClassVar[str] = "transfer"

    backbone: str
    weights: str
    sha256: str
    colour: str
    emotions: str
    crop_scale: float
    head: str
    dropout: float
    unfreeze: int
    split: tuple[float, ...]
    balance: float
    optimiser: str
    momentum: float
    schedule: str
    plateau: int
    patience: int
    label_smoothing: float
    average_decay: float
    rotation: float
    translation: float
    scale: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    blur: float
    erase: float

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.split and (len(self.split) not in (2, 3) or abs(sum(self.split) - 1) > 1e-6 or not all(self.split)):
            raise UsageError("recipe: split is [] or two or three shares that sum to 1, such as [0.8, 0.1, 0.1]")
        self._check_choice("colour", ("grey", "rgb"))
        self._check_choice("emotions", tuple(SETS))
        self._check_choice("head", ("linear", "vggface2"))
        self._check_choice("optimiser", ("adamw", "sgd"))
        self._check_choice("schedule", ("plateau", "cosine", "none"))


@dataclass(frozen=True, slots=True)
class ChainRecipe:
    """Recipes that run one after the other, each on what the one before has made.

    Attributes:
        stages: their names. The data of each lie in a folder of the same name below that of the chain.

    """

    KIND: ClassVar[str] = "chain"

    stages: tuple[str, ...]

    def to_toml(self) -> str:
        """Return the settings as TOML, one line each."""
        return f'kind = "{self.KIND}"\nstages = {json.dumps(self.stages)}\n'


AnyRecipe = EmbeddedRecipe | AdaptationRecipe | TransferRecipe | ChainRecipe
_KINDS: dict[str, type[AnyRecipe]] = {
    kind.KIND: kind for kind in (EmbeddedRecipe, AdaptationRecipe, TransferRecipe, ChainRecipe)
}


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with mien."""
    folder = resources.files("mien.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Return the shipped recipe `name`, whose file says what each key means, or the one in a file NAME.toml.

    Raises:
        UsageError: there is no such recipe, or its file cannot be read.

    """
    if name in recipe_names():
        return (resources.files("mien.training") / "recipes" / f"{name}.toml").read_text("utf-8")
    if not name.endswith(".toml"):
        raise UsageError(
            f"there is no recipe {name!r}; there are {', '.join(recipe_names())}, or name a file of your own: "
            "NAME.toml, which may begin as a copy (--show)"
        )
    try:
        return Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{name}: the recipe cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error


def read_recipe(name: str, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Return the shipped recipe `name`, or the one in a file NAME.toml, with `overrides`.

    Args:
        name: of the recipe, or the path of its file.
        overrides: such as `"epochs=2"`; the value is TOML.

    Raises:
        UsageError: there is no such recipe, it is none, or an override has an unknown key or a value of a wrong type.

    """
    try:
        values = tomllib.loads(recipe_text(name))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not TOML ({error})") from error
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UsageError(f"--set {override}: it should read key=value")
        if key.strip() == "kind":
            raise UsageError(f"--set {override}: the kind of a recipe is what it is; choose another recipe")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return _checked(values)


def nearest_shipped(recipe: Recipe) -> tuple[str, AnyRecipe]:
    """Return the shipped recipe of the same kind that differs from `recipe` in the fewest settings, and its name."""
    shipped = [(name, read_recipe(name)) for name in recipe_names()]
    same_kind = [(name, one) for name, one in shipped if type(one) is type(recipe)]
    return min(same_kind, key=lambda entry: len(differences(recipe, entry[1])))


def differences(one: Recipe, other: AnyRecipe) -> list[str]:
    """Return the names of the settings that differ between two recipes of one kind."""
    return [field.name for field in fields(one) if getattr(one, field.name) != getattr(other, field.name)]


def parse_recipe(text: str) -> AnyRecipe:
    """Return the recipe written as TOML in `text`, for one that a run has kept.

    Raises:
        UsageError: it is not a recipe.

    """
    return _checked(tomllib.loads(text))


def _checked(values: Mapping[str, Any]) -> AnyRecipe:
    named = values.get("kind")
    if named not in _KINDS:
        raise UsageError(f"recipe: kind is one of {', '.join(_KINDS)}, not {named!r}")
    kind = _KINDS[named]
    given = {key: value for key, value in values.items() if key != "kind"}
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if unknown := [key for key in given if key not in names]:
        raise UsageError(f"recipe: unknown key {', '.join(unknown)}; the keys are {', '.join(names)}")
    if missing := [name for name in names if name not in given]:
        raise UsageError(f"recipe: the key {', '.join(missing)} is missing")
    return kind(**{name: _typed(name, given[name], types[name]) for name in names})


def _typed(name: str, value: Any, wanted: Any) -> Any:
    """Return `value` as the type `wanted`; TOML's whole numbers also serve where a float is wanted."""
    if get_origin(wanted) is tuple:
        item = get_args(wanted)[0]
        if isinstance(value, list):
            return tuple(_typed(name, entry, item) for entry in value)
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif type(value) is wanted:
        return value
    raise UsageError(f"recipe: {name} should be {_in_words(wanted)}, not {value!r}")


def _in_words(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        return f"a list of {_in_words(get_args(wanted)[0]).removeprefix('a ')}s"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[wanted]
