"""`mien serve`: the page and the REST service."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli import completion, options
from mien.cli.messages import say
from mien.errors import MissingExtraError, SourceError, UsageError
from mien.serve.settings import PREFIX, Settings, from_environment

_LIMITS = "Limits"
_DEFAULTS = {field.name: field.default for field in fields(Settings)}
_PACKAGES = ("fastapi", "prometheus_client", "python_multipart", "uvicorn", "websockets")
_KEY_FILE = PREFIX + "API_KEY_FILE"


def _limit(name: str, text: str) -> Any:
    return typer.Option(rich_help_panel=_LIMITS, help=f"{text} Default: {_DEFAULTS[name]}.")


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help=f"Where to listen; 0.0.0.0 is everywhere. Default: {_DEFAULTS['host']}."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help=f"The port; 0 takes a free one. Default: {_DEFAULTS['port']}.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.classifiers,
            help="A model by name, or an .onnx file; may be given several times. The first answers unless a request "
            "names another. Default: embedded.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Let in only who has the key in this file. MIEN_API_KEY sets the key itself: a command line could "
            "be read by others on the machine.",
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Let pages from there call this server, as in https://example.org; may be given several times.",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Answer to this name, as in example.org, and otherwise to this machine's own alone; may be given "
            "several times. Default: to any name, but on this machine without a key to its own names alone.",
        ),
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Only the REST service, without the page.")] = False,
    detector: Annotated[
        options.DetectorName | None, typer.Option(help=f"{options.DETECTOR} Default: {_DEFAULTS['detector']}.")
    ] = None,
    device: Annotated[
        options.DeviceName | None, typer.Option(help=f"{options.DEVICE} Default: {_DEFAULTS['device']}.")
    ] = None,
    max_body: Annotated[int | None, _limit("max_body", "Megabytes of a request with pictures.")] = None,
    max_film: Annotated[int | None, _limit("max_film", "Megabytes of a film.")] = None,
    max_pixels: Annotated[int | None, _limit("max_pixels", "Million pixels of a picture.")] = None,
    max_film_pixels: Annotated[
        int | None, _limit("max_film_pixels", "Million pixels of a film's frame; a dozen are in memory at once.")
    ] = None,
    max_pictures: Annotated[int | None, _limit("max_pictures", "Pictures in one request.")] = None,
    max_frames: Annotated[int | None, _limit("max_frames", "Frames of one film that are analysed.")] = None,
    max_duration: Annotated[int | None, _limit("max_duration", "Seconds that a film may last.")] = None,
    max_seconds: Annotated[int | None, _limit("max_seconds", "Seconds for one request with pictures.")] = None,
    max_film_seconds: Annotated[int | None, _limit("max_film_seconds", "Seconds of work on one film.")] = None,
    queue: Annotated[int | None, _limit("queue", "Pictures that may wait; more are told to come again.")] = None,
    jobs: Annotated[int | None, _limit("jobs", "Films that are worked on or kept.")] = None,
    keep: Annotated[int | None, _limit("keep", "Seconds for which a film's results are kept.")] = None,
    max_disk: Annotated[
        int | None, _limit("max_disk", "Megabytes on disk: uploads on their way, films, and results that are kept.")
    ] = None,
) -> None:
    """Start the web page and the REST service on this machine.

    Open the address that it says in a browser, or send it pictures. Pictures, films and what came of them are
    deleted, at the latest, `--keep` seconds after they came or were done.

    Every option can be set by an environment variable too, as in MIEN_PORT=9000, MIEN_MODELS=embedded,mine.onnx,
    MIEN_ORIGINS, MIEN_ALLOWED_HOSTS, MIEN_PAGE=0, MIEN_DETECTOR, MIEN_DEVICE, MIEN_API_KEY_FILE; an option has
    precedence.

    Ctrl-C or SIGTERM ends it: requests in flight are finished, new ones refused. The exit status is 2 when it could
    not start.

    Examples:
        mien serve
        curl --form files=@photo.jpg http://127.0.0.1:8000/v1/analyze
        mien serve --host 0.0.0.0 --api-key-file key.txt
    """
    given = {
        "host": host,
        "port": port,
        "models": tuple(model) if model else None,
        "origins": tuple(origin) if origin else None,
        "allowed_hosts": tuple(allowed_host) if allowed_host else None,
        "page": False if no_page else None,
        "detector": detector,
        "device": device,
        "max_body": max_body,
        "max_film": max_film,
        "max_pixels": max_pixels,
        "max_film_pixels": max_film_pixels,
        "max_pictures": max_pictures,
        "max_frames": max_frames,
        "max_duration": max_duration,
        "max_seconds": max_seconds,
        "max_film_seconds": max_film_seconds,
        "queue": queue,
        "jobs": jobs,
        "keep": keep,
        "max_disk": max_disk,
    }
    settings = _settings(given, api_key_file, os.environ)
    _run(settings)


def _settings(given: Mapping[str, object], key_file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Return flags over environment over defaults."""
    found = from_environment(environment)
    if key_file is None and environment.get(_KEY_FILE) and "api_key" not in found:
        key_file = Path(environment[_KEY_FILE])
    if key_file is not None:
        found["api_key"] = _key(key_file)
    values: dict[str, Any] = found | {name: value for name, value in given.items() if value is not None}
    return Settings(**values)


def _key(file: Path) -> str:
    try:
        key = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--api-key-file {file}: cannot be read ({reason})") from error
    if not key:
        raise UsageError(f"--api-key-file {file}: the file is empty; write the key into it")
    return key


def _run(settings: Settings) -> None:
    needed = [*_PACKAGES, *(["gradio"] if settings.page else [])]
    if any(find_spec(package) is None for package in needed):
        raise MissingExtraError("the service", "serve")
    with _listen(settings) as listener:
        # what a container host sends; also while models are loaded
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        try:
            _serve(settings, listener)
        except KeyboardInterrupt:
            say("stopped")


def _serve(settings: Settings, listener: socket.socket) -> None:
    from mien.serve.app import create_app
    from mien.serve.logs import configure
    from mien.serve.memory import give_back_what_is_freed
    from mien.serve.server import Server
    from mien.sources.container import check_av

    try:
        check_av("films cannot be taken")
    except SourceError as error:
        raise UsageError(str(error)) from error
    give_back_what_is_freed()
    server = Server(create_app(settings), settings)
    configure()
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    say(f"listening on http://{shown}:{port}" + (", a page for browsers too" if settings.page else ""))
    if not settings.api_key and not ip_address(address.partition("%")[0]).is_loopback:
        say("others can reach it and no key is asked for: set MIEN_API_KEY or --api-key-file")
    server.run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where `settings` say.

    Raises:
        UsageError: it cannot listen there; the message says why.

    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "something listens there already; choose another --port"
        else:
            reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on {where}: {reason}") from error
