"""Weights from the web into the cache: https only, checked against their sha256, whole or not there at all."""

from __future__ import annotations

import hashlib
import re
import tempfile
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mien.errors import ModelError, UsageError
from mien.models.cache import cache_folder, is_offline

SCHEMES = ("https",)
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""
_PIECE = 1 << 20


def download(url: str, *, sha256: str) -> Path:
    """Return the file of `url` in the cache, fetched if it is not there yet.

    Raises:
        ModelError: the file cannot be had, is not the one meant, or MIEN_OFFLINE is set and it is not in the cache.
        UsageError: `url` is not an https address, or `sha256` not 64 hexadecimal digits.

    """
    sha256 = sha256.lower()
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(f"{url}: a sha256 has 64 hexadecimal digits, not {sha256!r}")
    if urlsplit(url).scheme not in SCHEMES:
        raise UsageError(f"{url}: weights are fetched by {' or '.join(SCHEMES)} only")
    name = re.sub(r"[^\w.-]", "_", unquote(urlsplit(url).path).rpartition("/")[2])
    file = cache_folder() / f"{sha256[:16]}-{name}"
    if file.is_file() and _digest(file) == sha256:
        return file
    if is_offline():
        raise ModelError(
            f"{url}: MIEN_OFFLINE is set and the file is not in the cache; "
            f"fetch it where there is a network, and give its path or put it at {file}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix="download-") as folder:
            partial = Path(folder) / file.name
            _fetch(url, partial)
            check_sha256(partial, sha256, name=url)
            partial.replace(file)
    except (OSError, HTTPException) as error:  # urllib's errors are OSErrors
        if isinstance(error, HTTPError):
            error.close()
        reason = " ".join(str(error.reason if isinstance(error, URLError) else error).split())
        raise ModelError(f"{url}: it cannot be fetched ({reason}); give the path of a copy instead") from error
    return file


def check_sha256(path: Path, sha256: str, *, name: str | None = None) -> None:
    """Check that a file is the one meant.

    Raises:
        ModelError: it is another one, or cannot be read; it is called `name` in the message.

    """
    try:
        found = _digest(path)
    except OSError as error:
        raise ModelError(f"{name or path}: it cannot be read ({error.strerror or error})") from error
    if found != sha256.lower():
        raise ModelError(f"{name or path}: it is not the file that was meant: its sha256 is {found}, not {sha256}")


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to the same schemes alone."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in SCHEMES:
            fp.close()
            raise URLError(f"it leads to {newurl}, which is not {' or '.join(SCHEMES)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, file: Path) -> None:
    with build_opener(_Redirects).open(url, timeout=TIMEOUT) as answer, file.open("wb") as out:
        while piece := answer.read(_PIECE):
            out.write(piece)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
