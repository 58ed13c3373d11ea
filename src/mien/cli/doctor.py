"""`mien doctor`: what is installed here, what is missing, and how to get it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

_NEEDED = {
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "onnxruntime": "onnxruntime",
    "av": "av",
    "typer": "typer",
    "rich": "rich",
}
"""The module of each package that `mien analyze` needs."""
_EXTRAS = {
    "parquet": ("records as Parquet", ("pyarrow",)),
    "plot": ("charts of results and in reports", ("matplotlib",)),
    "heic": ("HEIC pictures", ("pillow_heif",)),
    "train": (
        "training and exporting models",
        ("torch", "lightning", "torchmetrics", "kornia", "onnx", "onnxscript"),
    ),
    "collect": ("collecting faces from the web", ("httpx", "ddgs")),
    "serve": (
        "the web page and the REST service",
        ("fastapi", "uvicorn", "gradio", "python_multipart", "prometheus_client", "websockets"),
    ),
    "ray": ("more than one machine", ("ray",)),
}
"""What each optional part of mien is for, and the modules that it brings."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON and nothing else.")] = False,
) -> None:
    """Say what is installed here, what is missing, and how to get it.

    It looks at versions, processors, model files and optional parts. The exit status is 1 where something that `mien
    analyze` needs is broken.

    Examples:
        mien doctor
        mien doctor --json
    """
    import json

    from mien.errors import one_line

    findings = _examine()
    if as_json:
        typer.echo(json.dumps(findings, indent=1))
    else:
        _tell(findings)
        for problem in findings["problems"]:
            typer.echo(f"mien: {one_line(problem)}", err=True)
    if findings["problems"]:
        raise typer.Exit(1)


def _examine() -> dict[str, Any]:
    """Return the findings; what cannot even be imported is one of them."""
    import platform
    from importlib.util import find_spec

    import mien

    versions, problems = {}, []
    for package, module in _NEEDED.items():
        versions[package], problem = _load(package, module)
        problems += [problem] if problem else []
    offered: list[str] = []
    devices: list[str] = []
    auto: str | None = None
    files: dict[str, bool | None] = {}
    if not problems:
        from mien.models.providers import there
        from mien.models.session import chosen_device, runtime
        from mien.models.store import registry, verify

        offered = runtime()[1]
        devices, auto = [device.name for device in there(offered)], chosen_device("auto").name
        damages = {entry.name: verify(entry) for entry in registry().values() if entry.is_there}
        problems += [damage for damage in damages.values() if damage is not None]
        files = {name: damages[name] is None if name in damages else None for name in registry()}
    if not problems:
        try:
            mien.Analyzer()
        except mien.MienError as error:
            problems.append(str(error))
    return {
        "mien": mien.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
        "providers": offered,
        "devices": devices,
        "auto": auto,
        "models": files,
        "extras": {
            extra: all(find_spec(module) is not None for module in modules) for extra, (_, modules) in _EXTRAS.items()
        },
        "problems": problems,
    }


def _load(package: str, module: str) -> tuple[str | None, str | None]:
    """Return the version of a package and what is wrong with it, None where there is none or nothing."""
    from contextlib import redirect_stderr
    from importlib import import_module
    from io import StringIO

    advice = f"pip install --force-reinstall {package}"
    try:
        with redirect_stderr(StringIO()):  # some print what is wrong with a package that they need
            import_module(module)
        return str(getattr(import_module(module.partition(".")[0]), "__version__", "there")), None
    except ModuleNotFoundError:
        return None, f"{package} is not installed: {advice}"
    except Exception as error:  # a broken binary package fails in ways of its own
        return None, f"{package} cannot be loaded ({error}): {advice}"


def _file(name: str, whole: bool | None) -> str:
    if whole is None:
        return f"not pulled (optional): mien models pull {name}"
    return "whole" if whole else "damaged"


def _tell(findings: dict[str, Any]) -> None:
    from mien.cli.columns import in_columns

    rows = [(name, findings[name]) for name in ("mien", "python", "system")]
    rows += [(name, version or "missing or broken") for name, version in findings["versions"].items()]
    if findings["providers"]:
        devices = ", ".join(findings["devices"])
        rows.append(("computes on", f"cpu, unless --device says otherwise; there is {devices}"))
        rows.append(("--device auto", f"would take {findings['auto']}"))
        rows.append(("providers", f"onnxruntime offers {', '.join(findings['providers'])}"))
    rows += [(f"model {name}", _file(name, whole)) for name, whole in findings["models"].items()]
    extras = [
        (extra, _EXTRAS[extra][0], "installed" if there else f"missing: pip install 'mien[{extra}]'")
        for extra, there in findings["extras"].items()
    ]
    typer.echo(f"{in_columns(None, rows)}\n\nOptional parts\n{in_columns(None, extras)}\n")
    if not findings["problems"]:
        typer.echo("All that `mien analyze` needs is there.")
