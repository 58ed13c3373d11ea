"""Model files from the web into the cache: when asked to, checked while they come, whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from mien.errors import ModelError, UsageError, one_line
from mien.models.cache import is_offline
from mien.models.store import Entry, registry, verify

MIRROR = "MIEN_MIRROR"
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""
LIMIT = 600.0
"""Seconds in which a file has to be there."""
_PIECE = 1 << 16
_MODE = 0o644  # what is made as temporary is its owner's alone
_PART = ".part"


def pull(name: str, *, source: Path | None = None, progress: Callable[[int], None] = lambda count: None) -> Path:
    """Fetch a model's file, check it and put it into the cache, where `read_model` finds it.

    A file that is there and whole is left alone. Several processes may do so at once, and be killed while they do:
    under its name there is only ever the whole file.

    Args:
        name: of a model in the registry that does not come with mien.
        source: take this file instead of fetching one.
        progress: told of every piece, in bytes.

    Returns:
        The file in the cache.

    Raises:
        ModelError: it cannot be had, or is not the file that the registry means.
        UsageError: there is nothing to pull under that name, or MIEN_MIRROR is no address of the web.

    """
    entry = pulled_entry(name)
    if source is not None:
        with closing(_read(source)) as pieces:
            _keep(pieces, entry, str(source), progress)
        return entry.path
    if verify(entry) is None:
        return entry.path
    url = address(entry)
    if is_offline():
        raise ModelError(
            f"{name}: MIEN_OFFLINE is set; where there is a network, fetch {url}, and put it at {entry.path}, "
            f"or run mien models pull {name} --from FILE"
        )
    with closing(_fetch(url, entry)) as pieces:
        _keep(pieces, entry, url, progress)
    return entry.path


def pulled_entry(name: str) -> Entry:
    """Return what the registry says of a model that is to be pulled.

    Raises:
        UsageError: there is none of that name, or it comes with mien.

    """
    entry = registry().get(name)
    optional = ", ".join(entry.name for entry in registry().values() if entry.url is not None)
    if entry is None:
        raise UsageError(f"there is no model {name!r} to pull; there is {optional}")
    if entry.url is None:
        raise UsageError(f"{name} comes with mien: there is nothing to pull; what can be pulled is {optional}")
    return entry


def address(entry: Entry) -> str:
    """Return where a model's file is fetched: its own address, or the same name below MIEN_MIRROR.

    Raises:
        UsageError: MIEN_MIRROR is no address of the web.

    """
    assert entry.url is not None
    mirror = os.environ.get(MIRROR, "").strip()
    if not mirror:
        return entry.url
    parts = urlsplit(mirror)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{MIRROR}={one_line(mirror)}: a mirror is an address as in https://example.org/models")
    return f"{mirror.rstrip('/')}/{quote(entry.file)}"


def _keep(pieces: Iterable[bytes], entry: Entry, source: str, progress: Callable[[int], None]) -> None:
    """Put `pieces` into the cache, no more of them than the file is large, if they are the file.

    Raises:
        ModelError: they are not, come too slowly, or cannot be written.

    """
    assert entry.size is not None
    ends = time.monotonic() + LIMIT
    digest, size = hashlib.sha256(), 0
    with _into(entry.path) as out:
        for piece in pieces:
            size += len(piece)
            if size > entry.size:
                raise _other(source, entry, f"it has more than {entry.size} bytes")
            if time.monotonic() > ends:
                raise ModelError(f"{source}: it did not come within {LIMIT:g} seconds; try again, or {_aside(entry)}")
            digest.update(piece)
            out.write(piece)
            progress(len(piece))
        if size < entry.size:
            raise _other(source, entry, f"it has {size} bytes instead of {entry.size}")
        if digest.hexdigest() != entry.sha256:
            raise _other(source, entry, f"its sha256 is {digest.hexdigest()}, not {entry.sha256}")


def _other(source: str, entry: Entry, reason: str) -> ModelError:
    return ModelError(f"{source}: it is not the file of {entry.name}: {reason}; nothing of it was kept")


def _aside(entry: Entry) -> str:
    return f"fetch {entry.file} by other means and run mien models pull {entry.name} --from FILE"


@contextmanager
def _into(final: Path) -> Iterator[IO[bytes]]:
    """Yield a file beside `final` that becomes it when nothing goes wrong, and is gone otherwise."""
    partial = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final)
        handle, partial = tempfile.mkstemp(dir=final.parent, prefix=f"{final.name}.", suffix=_PART)
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.chmod(partial, _MODE)
        os.replace(partial, final)
    except OSError as error:
        raise ModelError(
            f"{final}: it cannot be written ({error.strerror or error}); MIEN_CACHE names another folder"
        ) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                os.unlink(partial)


def _sweep(final: Path) -> None:
    """Remove what killed runs have left; what is younger than a download may last could be that of another run."""
    for left in final.parent.glob(f"{final.name}.*{_PART}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LIMIT:
                left.unlink()


def _read(source: Path) -> Generator[bytes, None, None]:
    try:
        with source.open("rb") as content:
            while piece := content.read(_PIECE):
                yield piece
    except OSError as error:
        raise ModelError(f"{source}: it cannot be read ({error.strerror or error})") from error


def _fetch(url: str, entry: Entry) -> Generator[bytes, None, None]:
    opener = OpenerDirector()  # the usual one would also read files and speak FTP
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler(), _Redirects(url), HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    opener.add_handler(HTTPErrorProcessor())
    request = Request(url, headers={"User-Agent": "mien", "Accept-Encoding": "identity"})  # noqa: S310  # see address
    try:
        answer = opener.open(request, timeout=TIMEOUT)
        assert answer is not None
        with answer:
            while piece := answer.read1(_PIECE):
                yield piece
    except (OSError, HTTPException) as error:  # urllib's errors are OSErrors
        if isinstance(error, HTTPError):
            error.close()
        reason = one_line(" ".join(str(error.reason if isinstance(error, URLError) else error).split()))
        told = f"{error.code} {reason}" if isinstance(error, HTTPError) else reason or type(error).__name__
        raise ModelError(f"{url}: it cannot be fetched ({told}); try again, or {_aside(entry)}") from error


class _Redirects(HTTPRedirectHandler):
    """Follows redirects by https; by http only within the host that was itself named by http."""

    def __init__(self, named: str) -> None:
        parts = urlsplit(named)
        self._plain = parts.netloc if parts.scheme == "http" else None

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        to = urlsplit(newurl)
        if to.scheme != "https" and (to.scheme, to.netloc) != ("http", self._plain):
            fp.close()
            raise URLError(f"it leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
