"""What a shell offers for a value when somebody presses the tab key.

Each function returns every value that there is; typer keeps those that begin as what is typed. They are called at a
key stroke: nothing that takes long to import is imported. Where none fits, the shell offers files.
"""

from __future__ import annotations

from importlib import resources


def models() -> list[tuple[str, str]]:
    """Return the names of all models, with what each is for."""
    from mien.models.store import registry

    return [(entry.name, entry.purpose) for entry in registry().values()]


def classifiers() -> list[tuple[str, str]]:
    """Return the models that name expressions."""
    from mien.models.store import registry

    return [(entry.name, entry.purpose) for entry in registry().values() if entry.kind == "classifier"]


def pulled() -> list[tuple[str, str]]:
    """Return the models that can be fetched."""
    from mien.models.store import registry

    return [(entry.name, entry.purpose) for entry in registry().values() if entry.url is not None]


def raters() -> list[tuple[str, str]]:
    """Return the outputs of the embedded model."""
    return [("votes", "what most people would name"), ("fer2013", "the labels of FER2013")]


def recipes() -> list[str]:
    """Return the recipes that ship."""
    from mien.training.recipe import recipe_names

    return recipe_names()


def queries() -> list[str]:
    """Return the lists of words that ship."""
    shipped = resources.files("mien.collect") / "shipped"
    return sorted(file.name.removesuffix(".toml") for file in shipped.iterdir() if file.name.endswith(".toml"))


def providers() -> list[str]:
    """Return where pictures can be searched for."""
    return ["openverse", "wikimedia", "ddgs", "local"]


def licences() -> list[str]:
    """Return the groups of licences."""
    return ["open", "commercial", "modification"]


def accelerators() -> list[str]:
    """Return what torch can compute on."""
    return ["auto", "cpu", "gpu", "mps"]
