"""From a model's name or path to its bytes, without ever downloading anything by surprise."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from mien.errors import ModelError
from mien.models.cache import cache_folder


@dataclass(frozen=True, slots=True)
class Entry:
    """What the registry says of a model.

    Attributes:
        name: by which it is asked for.
        kind: `classifier` or `detector`.
        purpose: what it is for, in a line.
        licence: of its weights.
        file: its file, in the package or in the cache.
        sha256: of the file's content.
        url: where it is fetched from when somebody asks for it; None for what comes with mien.
        size: of the file in bytes; None for what comes with mien.

    """

    name: str
    kind: str
    purpose: str
    licence: str
    file: str
    sha256: str
    url: str | None = None
    size: int | None = None

    @property
    def path(self) -> Path:
        """Where the file of a model that is fetched is kept; a newer one has another name."""
        return cache_folder() / f"{self.sha256[:16]}-{self.file}"

    @property
    def is_there(self) -> bool:
        """Whether it needs not be fetched any more, or never."""
        return self.url is None or self.path.is_file()


class DamagedModelError(ModelError):
    """The file of a model is there, and is not the one that the registry means."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's content and the name that results carry."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The digest of the content, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def identity(self) -> str:
        """The name, an @ and the first twelve digits of the content's sha256."""
        return f"{self.name}@{self.sha256[:12]}"


@cache
def registry() -> Mapping[str, Entry]:
    """Return the models that mien knows by name."""
    entries = tomllib.loads((resources.files("mien.models") / "registry.toml").read_text("utf-8"))
    return MappingProxyType({name: Entry(name=name, **values) for name, values in entries.items()})


def read_model(model: str | Path) -> ModelFile:
    """Return the file that `model` names: one in the registry, or a path to an .onnx file.

    Raises:
        ModelError: there is no such model, its file cannot be read, or that of a name is not the registry's.

    """
    if (entry := registry().get(str(model))) is not None:
        return _read_pulled(entry) if entry.url is not None else _read_shipped(entry)
    path = Path(model)
    try:
        return ModelFile(name=path.stem, content=path.read_bytes())
    except FileNotFoundError as error:
        names = ", ".join(entry.name for entry in registry().values() if entry.kind == "classifier")
        raise ModelError(
            f"{model}: there is no such model file, and no model of that name; the names are {names}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: the model cannot be read ({error})") from error


def _read_shipped(entry: Entry) -> ModelFile:
    try:
        content = (resources.files("mien.models") / entry.file).read_bytes()
    except OSError as error:
        raise ModelError(f"{entry.name}: its file is missing from the installation; install mien again") from error
    file = ModelFile(name=entry.name, content=content)
    if file.sha256 != entry.sha256:  # most damage would load, and answer wrongly
        raise DamagedModelError(
            f"{entry.name}: its file is damaged: sha256 {file.sha256}, not {entry.sha256}; install mien again"
        )
    return file


def _read_pulled(entry: Entry) -> ModelFile:
    """Return a file from the cache; that it is the one which the registry means is seen each time."""
    pull = f"mien models pull {entry.name}"
    try:
        file = ModelFile(name=entry.name, content=entry.path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{entry.name}: it is not on this machine yet; fetch it once: {pull}") from error
    except OSError as error:
        raise ModelError(f"{entry.path}: it cannot be read ({error.strerror or error})") from error
    if file.sha256 != entry.sha256:
        raise DamagedModelError(
            f"{entry.name}: its file {entry.path} is damaged: sha256 {file.sha256}, not {entry.sha256}; "
            f"fetch it again: {pull}"
        )
    return file


def verify(entry: Entry) -> str | None:
    """Return what is wrong with a model's file, or None where it is the one that the registry means.

    Whether the network also runs is for its users to find out.
    """
    try:
        read_model(entry.name)
    except ModelError as error:
        return str(error)
    return None
