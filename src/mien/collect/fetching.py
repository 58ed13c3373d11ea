"""Bytes from the web: polite to hosts, patient with their troubles, and bounded in all that they may send."""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpcore
import httpx

from mien.collect.addresses import check_url
from mien.collect.failures import FetchError
from mien.collect.limits import Limits
from mien.collect.places import Places
from mien.collect.transport import open_client

TRIES = 3
REDIRECTS = 5
HOST_FAILURES = 5
"""Fetches in a row that fail for the host's sake, after which it is left alone."""
PATIENCE = 60.0
"""Seconds; a host that asks to wait longer, in all since it last answered, is left alone until the next run."""
SEARCH = 300.0
"""The same for searches, without which nothing goes on."""

_BACK_OFF = 2.0  # seconds at most before the second try, doubled for each further one
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_PIECE = 1 << 16

_TROUBLE = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,
    ValueError,  # what a server sends may be broken in ways that the libraries do not expect
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a URL is asked for, as in `Fetcher.get`."""

    headers: Mapping[str, str]
    pause: float
    max_bytes: int
    busy: Callable[[bytes], bool] | None
    patience: float


class _Again(Exception):  # noqa: N818  # not an error yet
    """A try that failed for a reason that may pass."""

    def __init__(self, failure: FetchError, host: _Host, wait: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure, self.host, self.wait = failure, host, wait


@dataclass(slots=True)
class _Host:
    name: str
    places: asyncio.Semaphore
    free: float = 0.0  # when the next request may start
    waited: float = 0.0  # seconds that it has asked for since it last answered
    failures: int = 0  # in a row
    told: str = ""  # why it is left alone

    def answered(self) -> None:
        """Forget its troubles."""
        self.failures, self.waited = 0, 0.0

    def blame(self, failure: FetchError) -> FetchError:
        """Count a fetch that failed for this host's sake."""
        self.failures += 1
        if self.failures >= HOST_FAILURES and not self.told:
            self.told = f"{HOST_FAILURES} fetches in a row failed, the last one: {failure}"
        return failure


@dataclass(slots=True)
class _Hosts:
    per_host: int
    known: dict[str, _Host] = field(default_factory=dict)

    def __getitem__(self, name: str) -> _Host:
        if name not in self.known:
            self.known[name] = _Host(name, asyncio.Semaphore(self.per_host))
        return self.known[name]


class Fetcher:
    """Fetches with a few requests at a time to each host, each tried up to three times."""

    def __init__(self, *, user_agent: str, limits: Limits, places: Places | None = None) -> None:
        self._limits, self._places = limits, places or Places(limits.concurrency)
        self._hosts = _Hosts(limits.per_host)
        self._client = open_client(user_agent=user_agent, allow_private=limits.allow_private)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        pause: float = 0.2,
        max_bytes: int | None = None,
        busy: Callable[[bytes], bool] | None = None,
        patience: float = PATIENCE,
    ) -> bytes:
        """Return the body of `url`.

        Args:
            url: http or https.
            headers: sent to its host, and not to where it may redirect to.
            pause: seconds between requests to the host, where the limits do not say.
            max_bytes: of the body; None: what the limits say of pictures.
            busy: says of a body whether it is the host's word to come again later.
            patience: seconds that the host may ask to wait.

        Raises:
            FetchError: it cannot be had.

        """
        asked = _Asked(dict(headers or {}), pause, max_bytes or self._limits.max_bytes, busy, patience)
        failure: _Again | None = None
        for number in range(TRIES):
            if failure is not None:
                wait = random.uniform(0, _BACK_OFF * 2 ** (number - 1))  # noqa: S311  # full jitter
                await asyncio.sleep(wait if failure.wait is None else 0)  # what a host asks for holds for all of it
            try:
                return await self._follow(url, asked)
            except _Again as again:
                failure = again
        assert failure is not None
        raise failure.host.blame(failure.failure)

    async def _follow(self, url: str, asked: _Asked) -> bytes:
        there = check_url(url)
        for _ in range(REDIRECTS + 1):
            host = self._hosts[there.host]
            async with self._turn(host, asked.pause):
                answer = await self._once(there, host, asked)
            if isinstance(answer, bytes):
                return answer
            there, asked = check_url(str(answer)), replace(asked, headers={})
        raise FetchError("too many redirects")

    @asynccontextmanager
    async def _turn(self, host: _Host, pause: float) -> AsyncIterator[None]:
        if host.places.locked():
            async with self._places.aside():
                await host.places.acquire()
        else:
            await host.places.acquire()
        try:
            while True:
                if host.told:
                    raise FetchError("host left alone", host.told, lasting=False)
                now = time.monotonic()
                if host.free <= now:
                    break
                async with self._places.aside():
                    await asyncio.sleep(host.free - now)
            delay = pause if self._limits.delay is None else self._limits.delay
            host.free = now + delay
            yield
        finally:
            host.places.release()

    async def _once(self, url: httpx.URL, host: _Host, asked: _Asked) -> bytes | httpx.URL:
        try:
            async with asyncio.timeout(self._limits.timeout):
                request = self._client.build_request(
                    "GET", url, headers={"Accept": "*/*", "Accept-Encoding": "gzip", **asked.headers}
                )
                answer = await self._client.send(request, stream=True)
                try:
                    return await self._read(url, answer, host, asked)
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            raise host.blame(FetchError("too slow", f"not whole after {self._limits.timeout:g} s")) from error
        except httpcore.ConnectTimeout as error:
            raise _Again(FetchError("no connection", "not taken in time"), host) from error
        except httpcore.ConnectError as error:
            raise _Again(FetchError("no connection", _said(error)), host) from error
        except _TROUBLE as error:
            raise _Again(FetchError("broken off", _said(error)), host) from error

    async def _read(self, url: httpx.URL, answer: httpx.Response, host: _Host, asked: _Asked) -> bytes | httpx.URL:
        """Return the body of an answer, or where it redirects to."""
        status = answer.status_code
        wait = _retry_after(answer.headers.get("Retry-After"))
        if status in _RETRY:
            reason = "too many requests" if status == 429 else "server error"
            raise self._later(
                host, FetchError(reason, f"status {status}", lasting=wait is None), wait, asked.patience
            )
        if status in _MOVED and "Location" in answer.headers:
            try:
                return url.join(answer.headers["Location"])
            except (httpx.InvalidURL, ValueError) as error:
                raise FetchError("bad address", "it redirects to what is no URL") from error
        if status != 200:
            host.answered()
            raise FetchError("not found" if status in _GONE else "refused", f"status {status}")
        body = await self._body(answer, host, asked.max_bytes)
        if asked.busy is not None and asked.busy(body):
            raise self._later(host, FetchError("too many requests", "it is busy"), wait, asked.patience)
        host.answered()
        return body

    def _later(self, host: _Host, failure: FetchError, wait: float | None, patience: float) -> _Again | FetchError:
        if wait is None:
            return _Again(failure, host)
        until = time.monotonic() + wait
        # several requests that were on their way together are told the same
        waited = host.waited + max(0.0, until - max(host.free, time.monotonic()))
        if waited > patience:
            host.told = f"it asks to wait {_duration(waited)}"
            return FetchError("host left alone", host.told, lasting=False)
        host.waited, host.free = waited, max(host.free, until)
        self._places.ask_to_wait(host.name, host.free)
        return _Again(failure, host, wait)

    async def _body(self, answer: httpx.Response, host: _Host, limit: int) -> bytes:
        too_large = FetchError("too large", f"more than {limit / 1e6:g} million bytes")
        stated = answer.headers.get("Content-Length", "")
        if stated.isdecimal() and (len(stated) > 15 or int(stated) > limit):
            raise too_large
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "", "gzip", "x-gzip"):
            raise FetchError("not a picture", f"it is packed as {coding[:20]}, which was not asked for")
        unpacker = zlib.decompressobj(wbits=31) if "gzip" in coding else None
        body, came = bytearray(), 0
        async for piece in answer.aiter_raw(_PIECE):
            # what is packed may unpack to a thousand times as much: never more at once than is still allowed
            body += piece if unpacker is None else _unpack(unpacker, piece, limit + 1 - len(body))
            came += len(piece)
            if max(came, len(body)) > limit:  # what is packed may also unpack to nothing, for ever
                raise too_large
            if unpacker is not None and unpacker.eof:  # what follows would only be kept
                break
        if unpacker is not None and not unpacker.eof:
            raise _Again(FetchError("broken off", "what is packed has no end"), host)
        return bytes(body)


def _unpack(unpacker: zlib._Decompress, piece: bytes, room: int) -> bytes:
    try:
        return unpacker.decompress(piece, max(1, room))
    except zlib.error as error:
        raise FetchError("not a picture", "it cannot be unpacked") from error


def _retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which are a number or a date; None where it says neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _duration(seconds: float) -> str:
    if seconds >= 10 * 86400:
        return "more than ten days"
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
