"""`mien doctor`: what is installed here, what is missing, and how to get it."""

from __future__ import annotations

from typing import Annotated

import typer

_EXTRAS = {
    "parquet": ("pyarrow",),
    "plot": ("matplotlib",),
    "heic": ("pillow_heif",),
    "train": ("torch", "lightning", "torchmetrics", "kornia", "onnx", "onnxscript"),
    "collect": ("httpx", "ddgs"),
    "serve": ("fastapi", "uvicorn", "gradio", "python_multipart"),
    "ray": ("ray",),
}
"""The modules that each optional part of mien brings."""
_PURPOSES = {
    "parquet": "records as Parquet",
    "plot": "charts: evaluation reports, timelines",
    "heic": "HEIC pictures",
    "train": "training and exporting models",
    "collect": "collecting faces from the web",
    "serve": "the web page and the REST service",
    "ray": "more than one machine",
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON and nothing else.")] = False,
) -> None:
    """Check the installation: versions, processors, model files, optional parts.

    The exit status is 1 where something that `mien analyze` needs is broken.
    """
    import json
    import platform

    import mien
    from mien.cli.table import plain_table
    from mien.errors import ModelError
    from mien.models.session import execution_providers
    from mien.models.store import registry, verify

    problems: list[str] = []
    try:
        providers = execution_providers()
    except ModelError as error:
        providers = []
        problems.append(str(error))
    files = {entry.name: verify(entry) for entry in registry().values()}
    problems += [problem for problem in files.values() if problem is not None]
    if not problems:
        try:
            mien.Analyzer()
        except mien.MienError as error:
            problems.append(str(error))
    versions = {name: _version(name) for name in ("numpy", "onnxruntime", "pillow", "typer", "rich")}
    problems += [f"{name} is not installed: pip install {name}" for name, found in versions.items() if found is None]
    missing = {extra: _missing(modules) for extra, modules in _EXTRAS.items()}
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    if as_json:
        findings = {
            "mien": mien.__version__,
            "python": platform.python_version(),
            "system": system,
            "versions": versions,
            "providers": providers,
            "models": {name: problem is None for name, problem in files.items()},
            "extras": {extra: not lacking for extra, lacking in missing.items()},
            "problems": problems,
        }
        typer.echo(json.dumps(findings, indent=1))
    else:
        rows = [("mien", mien.__version__), ("python", platform.python_version()), ("system", system)]
        rows += [(name, found or "missing") for name, found in versions.items()]
        rows += [("computes with", ", ".join(providers) or "nothing")]
        rows += [(f"model {name}", "damaged or missing" if problem else "whole") for name, problem in files.items()]
        typer.echo(plain_table(None, rows))
        typer.echo("\nOptional parts")
        extras = [
            (extra, _PURPOSES[extra], f"missing: pip install 'mien[{extra}]'" if lacking else "installed")
            for extra, lacking in missing.items()
        ]
        typer.echo(plain_table(None, extras))
        typer.echo("")
        for problem in problems:
            typer.echo(f"mien: {problem}", err=True)
        if not problems:
            typer.echo("All that `mien analyze` needs is there.")
    if problems:
        raise typer.Exit(1)


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _missing(modules: tuple[str, ...]) -> list[str]:
    from importlib.util import find_spec

    return [module for module in modules if find_spec(module) is None]
