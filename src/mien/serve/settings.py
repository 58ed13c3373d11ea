"""What a server may be told: by flags, or by environment variables of the same names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import get_args, get_origin, get_type_hints

from mien.errors import UsageError, one_line
from mien.limits import MAX_PIXELS

PREFIX = "MIEN_"
MEGABYTE = 1 << 20

_HOST = re.compile(r"[a-z0-9._\-]+|\[?[0-9a-f:.]+\]?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")  # as browsers send it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a server depends on; page and REST obey the same limits.

    Attributes:
        host, port: where it listens.
        models: names or files; the first is the one that answers unless a request names another.
        api_key: what clients must send; empty lets everyone in.
        origins: from which other sites' pages may call; none by default.
        allowed_hosts: names under which clients may ask for the server, besides this machine's own; none by default,
            and then any name does, unless it listens on this machine alone and without a key.
        page: show the page at `/`.
        detector: how faces are found.
        device: what networks are computed on.
        max_body: megabytes of a request with pictures.
        max_film: megabytes of a request with a film.
        max_pixels: of one picture, in millions.
        max_film_pixels: of one frame of a film, in millions; a dozen of them are in memory at once.
        max_pictures: in one request.
        max_frames: of one film that are analysed.
        max_duration: seconds of one film.
        max_seconds: of one request with pictures, from its first byte to the answer; a body that has not come by
            then is cut off.
        max_film_seconds: of work on one film.
        queue: pictures that wait at most; with more, the answer is 429 at once.
        jobs: films that are worked on or kept at most.
        keep: seconds for which a film's results are kept.
        max_disk: megabytes of all that lies on disk: uploads on their way, films that wait, results that are kept.

    """

    host: str = "127.0.0.1"
    port: int = 8000
    models: tuple[str, ...] = ("embedded",)
    api_key: str = ""
    origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    page: bool = True
    detector: str = "mtcnn"
    device: str = "cpu"
    max_body: int = 32
    max_film: int = 512
    max_pixels: int = MAX_PIXELS // 1_000_000
    max_film_pixels: int = 9
    max_pictures: int = 32
    max_frames: int = 30_000
    max_duration: int = 1200
    max_seconds: int = 60
    max_film_seconds: int = 1800
    queue: int = 64
    jobs: int = 8
    keep: int = 600
    max_disk: int = 4096

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and field.name != "port" and value < 1:
                raise UsageError(f"{flag(field.name)} is at least 1, not {value}")
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"--port lies between 0 and 65535, not {self.port}")
        if not self.models:
            raise UsageError("--model: a server needs at least one model")
        for origin in self.origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise UsageError(
                    f"--origin {one_line(origin)}: an origin is as in https://example.org, without a path"
                )
        for name in self.allowed_hosts:
            if _HOST.fullmatch(name) is None:
                raise UsageError(f"--allowed-host {one_line(name)}: a name is as in example.org, without a port")
        largest = "max_film" if self.max_film >= self.max_body else "max_body"
        if self.max_disk < getattr(self, largest):
            raise UsageError(
                f"--max-disk {self.max_disk} is less than one upload may have, {getattr(self, largest)} MB "
                f"({flag(largest)}); raise it, or lower that"
            )
        if self.api_key and len(self.api_key) < 8:
            raise UsageError("the API key has fewer than 8 characters: it could be guessed; choose a longer one")


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.rstrip("s" if name in ("models", "origins", "allowed_hosts") else "").replace("_", "-")


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Return the settings that MIEN_PORT and its like set, lists separated by commas.

    Raises:
        UsageError: a value is not of the setting's type.

    """
    found: dict[str, object] = {}
    types = get_type_hints(Settings)
    for field in fields(Settings):
        name = PREFIX + field.name.upper()
        if name not in environment:
            continue
        text, wanted = environment[name].strip(), types[field.name]
        if field.name == "port" and text.startswith("tcp://"):
            continue  # Kubernetes says so where a service named mien listens, which is no setting
        if field.name == "api_key" and not text:
            raise UsageError(f"{name} is empty, so that anybody could come in; give it a key, or unset it")
        try:
            if get_origin(wanted) is tuple:
                assert get_args(wanted)[0] is str
                found[field.name] = tuple(part.strip() for part in text.split(",") if part.strip())
            elif wanted is bool:
                found[field.name] = {"1": True, "true": True, "0": False, "false": False}[text.lower()]
            else:
                found[field.name] = wanted(text)
        except (ValueError, KeyError) as error:
            kind = "1 or 0" if wanted is bool else "a whole number"
            raise UsageError(f"{name}={text}: it should be {kind}") from error
    return found
