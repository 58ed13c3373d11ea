"""From a model's name or path to its bytes, without ever downloading anything by surprise."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from mien.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's content and the name that results carry."""

    name: str
    content: bytes

    @property
    def identity(self) -> str:
        """The name, an @ and the first twelve digits of the content's sha256."""
        return f"{self.name}@{hashlib.sha256(self.content).hexdigest()[:12]}"


def read_model(model: str | Path) -> ModelFile:
    """Return the file that `model` names: one in the registry, or a path to an .onnx file.

    Raises:
        ModelError: there is no such model, or its file cannot be read.

    """
    entries = _registry()
    if str(model) in entries:
        content = (resources.files("mien.models") / entries[str(model)]["file"]).read_bytes()
        return ModelFile(name=str(model), content=content)
    path = Path(model)
    try:
        return ModelFile(name=path.stem, content=path.read_bytes())
    except FileNotFoundError as error:
        names = ", ".join(name for name, entry in entries.items() if entry["kind"] == "classifier")
        raise ModelError(
            f"{model}: there is no such model file, and no model of that name; the names are {names}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: the model cannot be read ({error})") from error


@cache
def _registry() -> dict[str, dict[str, str]]:
    """Return the entries of registry.toml by model name."""
    text = (resources.files("mien.models") / "registry.toml").read_text("utf-8")
    entries: dict[str, dict[str, str]] = tomllib.loads(text)
    return entries
