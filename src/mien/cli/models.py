"""`mien models`: which there are, what they say of themselves, whether they are whole; optional and smaller ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import completion
from mien.cli.help import Verb, Verbs

if TYPE_CHECKING:
    from mien.models.metadata import Metadata
    from mien.models.store import Entry
    from mien.training.compression import Compressed, Storage

models = typer.Typer(
    help="List, describe, fetch, check and compress models.",
    no_args_is_help=True,
    cls=Verbs,
    rich_markup_mode=None,
)

Half = Annotated[bool, typer.Option("--half", help="Store weights in 16 bits: half the size, computed as before.")]
Int8 = Annotated[bool, typer.Option("--int8", help="Compute in 8 bits: a quarter of the size, and faster.")]


@models.command("list", cls=Verb)
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list and nothing else.")] = False,
) -> None:
    """List the models that are known by name.

    Where a file is damaged or missing, it is said how to go on.

    Examples:
        mien models list
    """
    import json
    from dataclasses import asdict

    from mien.cli.columns import in_columns
    from mien.errors import ModelError
    from mien.models.store import DamagedModelError, read_model, registry

    sizes: dict[str, int | None] = {}
    states: dict[str, str] = {}
    advice: list[str] = []
    for name, entry in registry().items():
        sizes[name], states[name] = entry.size, _state(entry)
        if not entry.is_there:
            advice.append(f"{name} is optional; to fetch it: mien models pull {name}")
            continue
        try:
            sizes[name] = len(read_model(name).content)
        except ModelError as error:
            sizes[name], states[name] = None, "damaged" if isinstance(error, DamagedModelError) else "missing"
            advice.append(str(error))
    entries = registry().values()
    if as_json:
        told = [{**asdict(entry), "bytes": sizes[entry.name], "state": states[entry.name]} for entry in entries]
        typer.echo(json.dumps(told, indent=1))
        return
    rows = [
        (entry.name, entry.kind, _megabytes(sizes[entry.name]), states[entry.name], entry.purpose)
        for entry in entries
    ]
    typer.echo(in_columns(("name", "kind", "size", "", "what it is for"), rows, right={2}))
    for line in advice:
        typer.echo(f"mien: {line}", err=True)


@models.command(cls=Verb)
def pull(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", autocompletion=completion.pulled, help="A model by name, such as yunet.")
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take this file, fetched by other means, and fetch nothing."),
    ] = None,
) -> None:
    """Fetch a model that does not come with mien, once.

    Its size and sha256 are checked. It is kept in MIEN_CACHE, or the system's folder for caches. With
    MIEN_MIRROR=https://example.org/models the file of the same name is fetched from there; with MIEN_OFFLINE=1
    nothing is fetched, and you are told what to put where.

    Examples:
        mien models pull yunet
        mien models pull yunet --from yunet_n_dynamic.onnx
    """
    from mien.cli.pulling import pulling
    from mien.models.pulling import pull as pull_model
    from mien.models.pulling import pulled_entry

    entry = pulled_entry(name)
    with pulling(entry) as progress:
        path = pull_model(name, source=source, progress=progress)
    typer.echo(f"{name}: whole, {path}")
    typer.echo(f"mien: licence: {entry.licence}", err=True)


@models.command(cls=Verb)
def info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", autocompletion=completion.classifiers, help="A model by name, or an .onnx file."
        ),
    ] = "embedded",
    as_json: Annotated[bool, typer.Option("--json", help="Print all that the file says of itself, as JSON.")] = False,
) -> None:
    """Show what a model says of itself.

    What it answers, what it was trained on and on what terms, and the scores that it claims.

    Examples:
        mien models info
        mien models info mine.onnx --json
    """
    import json
    from dataclasses import asdict

    from mien.cli.columns import in_columns
    from mien.errors import one_line
    from mien.models.metadata import KEY, parse_metadata
    from mien.models.session import Session
    from mien.models.store import read_model, registry

    entry = registry().get(model)
    if entry is not None and not entry.is_there:
        if as_json:
            typer.echo(json.dumps({**asdict(entry), "state": _state(entry)}, indent=1))
        else:
            typer.echo(f"{entry.name}: {entry.purpose}; {entry.licence}\nsha256 {entry.sha256}\n{_fetched(entry)}")
            typer.echo(f"not pulled: mien models pull {entry.name}")
        return
    file = read_model(model)
    session = Session(file.content, name=model)
    if entry is not None and KEY not in session.properties:
        if as_json:
            typer.echo(json.dumps({**asdict(entry), "sha256": file.sha256, "state": _state(entry)}, indent=1))
        else:
            typer.echo(f"{file.identity}: {entry.purpose}; {entry.licence}\nsha256 {file.sha256}")
            if entry.url is not None:
                typer.echo(f"{_fetched(entry)}\npulled: {entry.path}")
        return
    metadata = parse_metadata(session.properties, file=model)
    if as_json:
        typer.echo(
            json.dumps({"sha256": file.sha256, **json.loads(metadata.to_json())}, indent=1, ensure_ascii=False)
        )
        return
    typer.echo(f"{one_line(file.identity)} ({_megabytes(len(file.content))}, sha256 {file.sha256})\n")
    facts = [
        ("" if i else name, one_line(value))
        for name, values in _facts(metadata).items()
        for i, value in enumerate(values)
    ]
    typer.echo(in_columns(None, facts))
    if rows := [[one_line(cell) for cell in _claim(score)] for score in metadata.scores if "accuracy" in score]:
        typer.echo(f"\n{in_columns(_CLAIM, rows, right={4, 5, 6, 7})}")
        typer.echo("\nMeasure them again by mien evaluate.")


@models.command(cls=Verb)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL", autocompletion=completion.models, help="Models by name. Default: all of them."
        ),
    ] = None,
) -> None:
    """Check that the files of the models are whole and can be loaded.

    The exit status is 1 where one is not. A model that was not fetched is an error only where it is named.

    Examples:
        mien models verify
        mien models verify embedded
    """
    from mien.errors import ModelError, UsageError
    from mien.models.session import Session
    from mien.models.store import read_model, registry
    from mien.models.store import verify as verify_file

    chosen = names or list(registry())
    if unknown := [name for name in chosen if name not in registry()]:
        raise UsageError(f"there is no model {unknown[0]!r}; the names are {', '.join(registry())}")
    failed = False
    for name in chosen:
        if not names and not registry()[name].is_there:
            typer.echo(f"{name}: not pulled (mien models pull {name})")
            continue
        problem = verify_file(registry()[name])
        if problem is None:
            try:
                Session(read_model(name).content, name=name)
            except ModelError as error:
                problem = str(error)
        failed |= problem is not None
        typer.echo(problem or f"{name}: whole, {registry()[name].sha256}", err=problem is not None)
    if failed:
        raise typer.Exit(1)


@models.command(cls=Verb)
def card(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", autocompletion=completion.classifiers, help="A model by name, or an .onnx file."
        ),
    ] = "embedded",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it to this file instead of standard output.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Print a model card in Markdown: purpose, data, scores, limits.

    All of it comes from what the model's file says of itself.

    Examples:
        mien models card
        mien models card mine.onnx --out card.md
    """
    from mien.classifier import open_classifier
    from mien.errors import UsageError
    from mien.evaluation.card import model_card
    from mien.whole import Partial, writing

    if out is not None and out.exists() and not overwrite:
        raise UsageError(f"{out}: it exists already; name another file or pass --overwrite")
    classifier = open_classifier(model)
    text = model_card(classifier.metadata, identity=classifier.identity)
    if out is None:
        typer.echo(text, nl=False)
        return
    partial = Partial(out, overwrite=overwrite)
    try:
        with writing(out):
            partial.path.write_text(text, "utf-8")
        partial.promote()
    finally:
        partial.discard()


@models.command(cls=Verb)
def compress(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", autocompletion=completion.classifiers, help="A model by name, or an .onnx file."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .onnx file to write.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="The labelled faces that the model claims its scores on.")
    ],
    half: Half = False,
    int8: Int8 = False,
    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="The split to fit the temperatures and to compare on.")
    ] = "public_test",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a model with smaller weights, and print what it lost.

    The temperatures and scores in the new file are its own. What computes in 8 bits runs on every processor, and is
    fastest on those with VNNI.

    Examples:
        mien models compress mine.onnx smaller.onnx --data data/fer --int8
    """
    from importlib.util import find_spec

    from mien.errors import MissingExtraError, UsageError

    if find_spec("onnx") is None:
        raise MissingExtraError("compressing models", "train")
    if (storage := chosen_storage(half=half, int8=int8)) is None:
        raise UsageError("say how: --half or --int8")
    from mien.training.compression import compress_file

    compressed = compress_file(model, out, data=data, storage=storage, validation=split, overwrite=overwrite)
    typer.echo(loss_table(compressed), err=True)


def chosen_storage(*, half: bool, int8: bool) -> Storage | None:
    """Return how `--half` and `--int8` ask for weights to be stored.

    Raises:
        UsageError: both are given.

    """
    from mien.errors import UsageError

    if half and int8:
        raise UsageError("--half and --int8 exclude each other")
    if not half and not int8:
        return None
    from mien.training.compression import Storage

    return Storage.HALF if half else Storage.INT8


def loss_table(compressed: Compressed) -> str:
    """Return in words and columns what a compressed network is, and what it lost."""
    from mien.cli.columns import in_columns
    from mien.emotions import set_name

    before, after = map(_megabytes, compressed.sizes)
    heads = ("labels", "emotions", "split", "answers", "n", "float32 %", "now %", "change")
    rows = [
        (
            one.labels,
            set_name(one.emotions),
            one.split,
            "flip" if one.flip else "one pass",
            str(one.n),
            f"{one.accuracy:.2f}",
            f"{other.accuracy:.2f}",
            f"{other.accuracy - one.accuracy:+.2f}",
        )
        for one, other in compressed.losses
    ]
    return (
        f"{after} instead of {before}; a logit differs by {compressed.difference:.2g} at most\n"
        f"{in_columns(heads, rows, right=range(4, len(heads)))}"
    )


def _state(entry: Entry) -> str:
    """Return how the model's file comes to be there."""
    if entry.url is None:
        return "shipped"
    return "pulled" if entry.is_there else "not pulled"


def _fetched(entry: Entry) -> str:
    return f"from {entry.url} ({_megabytes(entry.size)})"


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.2f} MB"


_CLAIM = ("labels", "emotions", "split", "faces", "n", "accuracy %", "macro-F1 %", "calib. error")


def _claim(score: Any) -> list[str]:
    flip = ", with flip" if score.get("flip") else ""
    given = {**score, "subset": f"{score.get('subset', '')}{flip}"}
    names = ("labels", "emotions", "split", "subset", "n", "accuracy", "macro_f1", "ece")
    return [str(given.get(name, "")) for name in names]


def _facts(metadata: Metadata) -> dict[str, list[str]]:
    crop = ", ".join(f"{name} {value:g}" for name, value in metadata.crop.items())
    return {
        "outputs": [
            f"{output.name}: {', '.join(output.labels)} (temperature {output.temperature:g})"
            for output in metadata.outputs
        ],
        "input": [
            f"{metadata.size}x{metadata.size} {metadata.colour}, less {metadata.mean:g}, by {metadata.scale:g}"
        ],
        "crop": [f"{crop} (of the root of the box's area)"],
        "trained on": list(metadata.data),
        "licence": [metadata.licence],
        "weights": [str(metadata.extra["weights"])] if "weights" in metadata.extra else [],
        "made by": [f"mien {metadata.mien}: {metadata.reproduce}"],
    }
