"""The soak's client: mixed requests to a server, at a steady rate whether it keeps up or not.

    python scripts/soak_load.py http://127.0.0.1:8000 --rate 5 --film-rate 0.1 --cameras 2 --log load.jsonl

It goes on until SIGTERM, and writes a line for every answer: when, to what, its status, how many seconds after the
request was due, and what is wrong with it if anything is. Clients that vanish wait for no answer. In the last seconds
of every minute nobody comes, so that it can be seen what the server holds when it has nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import soak_material as material
from soak_material import Sent

BUSY = frozenset({429, 503})
"""Answers that ask the client to come again."""

SHARES = {
    "picture": 50,
    "several": 6,
    "annotated": 10,
    "photo": 2,
    "bad picture": 10,
    "vanishing": 7,
    "page": 5,
    "reading": 10,
}
"""Of a hundred requests; films and cameras come beside them."""

MINUTE, REST = 60.0, 12.0
"""So many seconds, of the system's clock for intervals, end with so many in which nobody comes."""

_FETCHED = ("results", "results.csv", "annotated", "timeline.png", "summary")
_READ = ("/v1/models", "/healthz", "/readyz", "/metrics", "/", "/config", "/openapi.json")
_PATIENCE, _FILM_PATIENCE = 120.0, 900.0  # seconds


def resting(moment: float) -> float:
    """Return into which second of the minute's rest a moment falls; at most 0 where nobody rests."""
    return moment % MINUTE - (MINUTE - REST)


class Load:
    """All clients."""

    def __init__(self, address: str, log: TextIO, *, seed: int) -> None:
        """Make what is sent."""
        self._address, self._log, self._random = address, log, random.Random(seed)
        # a connection that the server is about to close for its idleness is not used again
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0)
        self._http = httpx.AsyncClient(base_url=address, timeout=_PATIENCE, limits=limits)
        self._pictures, self._photos, self._bad = material.pictures(), material.photos(), material.bad_pictures()
        self._films, self._bad_films, self._frames = material.films(), material.bad_films(), material.frames()
        self._known: dict[str, list[Any]] = {}
        self._events: dict[int, int] = {}
        self._visitor = 0

    async def run(self, *, rate: float, film_rate: float, cameras: int) -> None:
        """Send until this is cancelled."""
        async with self._http, asyncio.TaskGroup() as group:
            page = (await self._http.get("/config")).json()
            self._events = {len(one["inputs"]): one["id"] for one in page["dependencies"] if one["backend_fn"]}
            kinds, shares = list(SHARES), list(SHARES.values())
            group.create_task(self._arrive(group, rate, lambda: self._random.choices(kinds, shares)[0]))
            group.create_task(self._arrive(group, film_rate, lambda: "film"))
            for _ in range(cameras):
                group.create_task(self._camera())

    async def _arrive(self, group: asyncio.TaskGroup, rate: float, kind: Callable[[], str]) -> None:
        clients: dict[str, Callable[[], Awaitable[tuple[int, str]]]] = {
            "picture": lambda: self._pictures_of([self._random.choice(self._pictures)]),
            "several": lambda: self._pictures_of(self._random.choices(self._pictures, k=4)),
            "annotated": lambda: self._pictures_of([self._random.choice(self._pictures)], annotated=True),
            "photo": lambda: self._pictures_of(self._photos),
            "bad picture": self._bad_picture,
            "vanishing": self._vanishing,
            "page": self._page,
            "reading": self._reading,
            "film": self._film,
        }
        due = time.monotonic()
        while rate > 0:
            due += self._random.expovariate(rate)
            if (rests := resting(due)) > 0:
                due += REST - rests
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            chosen = kind()
            group.create_task(self._told(chosen, due, clients[chosen]))

    async def _told(self, kind: str, due: float, client: Callable[[], Awaitable[tuple[int, str]]]) -> None:
        try:
            async with asyncio.timeout(_FILM_PATIENCE if kind in ("film", "page") else _PATIENCE):
                status, wrong = await client()
        except (httpx.HTTPError, OSError, TimeoutError, ConnectionClosed) as error:
            status, wrong = 0, f"no answer ({error!r})"
        self._tell(kind, due, status, wrong)

    def _tell(self, kind: str, due: float, status: int, wrong: str = "") -> None:
        line: dict[str, Any] = {"at": round(due, 3), "kind": kind, "status": status}
        line["seconds"] = round(time.monotonic() - due, 4)
        print(json.dumps(line | ({"wrong": wrong} if wrong else {})), file=self._log)

    async def _pictures_of(self, sent: list[Sent], *, annotated: bool = False) -> tuple[int, str]:
        query = {"annotated": "png"} if annotated else {}
        if len(sent) == 1 and self._random.random() < 0.3:
            kind = {"Content-Type": "application/octet-stream"}
            answer = await self._http.post("/v1/analyze", content=sent[0].content, headers=kind, params=query)
        else:
            files = [("files", (one.name, one.content)) for one in sent]
            answer = await self._http.post("/v1/analyze", files=files, params=query)
        if answer.status_code in BUSY:
            return answer.status_code, ""
        if answer.status_code != 200:
            return answer.status_code, answer.text[:200]
        records = answer.json()["results"]
        if len(records) != len(sent):
            return 200, f"{len(records)} records of {len(sent)} pictures"
        for one, record in zip(sent, records, strict=True):
            faces = [[face["box"], list(face["scores"].values())] for face in record["faces"]]
            if not _alike(faces, self._known.setdefault(one.name + str(len(one.content)), faces)):
                return 200, f"{one.name}: other faces than at first"
            if annotated and not record["annotated"].startswith("data:image/png"):
                return 200, f"{one.name}: it is not drawn"
        return 200, ""

    async def _bad_picture(self) -> tuple[int, str]:
        way = self._random.randrange(5)
        if way == 0:
            answer = await self._http.post("/v1/analyze", files={"nothing": ("a.jpg", b"a")})
            wanted = {400, 422}
        elif way == 1:
            answer = await self._http.post("/v1/analyze?emotions=ninety", content=self._pictures[0].content)
            wanted = {415, 422}
        elif way == 2:
            answer = await self._http.get("/v1/videos/" + "x" * self._random.randrange(1, 99))
            wanted = {404, 422}
        else:
            bad = self._random.choice(self._bad)
            answer = await self._http.post("/v1/analyze", files={"files": (bad.name, bad.content)})
            wanted = set(bad.statuses)
        told = answer.status_code in wanted | BUSY
        return answer.status_code, "" if told else answer.text[:200]

    async def _vanishing(self) -> tuple[int, str]:
        """Leave in the middle of a request, before its answer, or in the middle of that; or never fetch one."""
        way = self._random.randrange(4)
        if way == 3:
            await self._ask_page(3, self._random.choice(self._pictures), wait=False)
            return 0, ""
        host, port = urlsplit(self._address).hostname, urlsplit(self._address).port
        content = self._random.choice(self._pictures).content
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST /v1/analyze?annotated=png HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + (content[: len(content) // 2] if way == 0 else content))
        await writer.drain()
        if way == 2:
            await reader.read(1000)
        if self._random.random() < 0.5:  # torn off, not closed
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return 0, ""

    async def _reading(self) -> tuple[int, str]:
        answer = await self._http.get(self._random.choice(_READ))
        return answer.status_code, "" if answer.status_code == 200 else answer.text[:200]

    async def _page(self) -> tuple[int, str]:
        """Do what a browser does for a prediction, mostly of a picture, sometimes of a film."""
        inputs = 4 if self._random.random() < 0.15 else 3
        sent = self._random.choice(self._films if inputs == 4 else self._pictures)
        return await self._ask_page(inputs, sent, wait=True)

    async def _ask_page(self, inputs: int, sent: Sent, *, wait: bool) -> tuple[int, str]:
        upload = await self._http.post("/gradio_api/upload", files={"files": (sent.name, sent.content)})
        if upload.status_code != 200:
            return upload.status_code, "" if upload.status_code in BUSY else upload.text[:200]
        self._visitor += 1
        visitor = f"soak{self._visitor}"
        file = {"path": upload.json()[0], "orig_name": sent.name, "meta": {"_type": "gradio.FileData"}}
        data = [file, "all", None, *(["a token"] if inputs == 4 else [])]
        body = {"data": data, "fn_index": self._events[inputs], "session_hash": visitor}
        joined = await self._http.post("/gradio_api/queue/join", json=body)
        if joined.status_code != 200 or not wait:
            return joined.status_code, "" if joined.status_code in {200, *BUSY} else joined.text[:200]
        events = await self._http.get("/gradio_api/queue/data", params={"session_hash": visitor})
        told = events.text
        if "films are worked on or kept already" in told or "queue is full" in told:
            return 429, ""
        if '"success":true' not in told or 'role=\\"alert' in told:
            return events.status_code, f"{sent.name}: {told[-300:]}"
        for path in set(re.findall(r'"path":"([^"]+-annotated\.png)"', told)):
            answer = await self._http.get(f"/gradio_api/file={path}")
            if answer.status_code != 200:
                return answer.status_code, f"{path} cannot be fetched"
        return 200, ""

    async def _film(self) -> tuple[int, str]:
        """Send a film, and cancel it midway, or fetch all that is made of it and delete that, or leave it there."""
        sent = self._random.choice(self._bad_films if self._random.random() < 0.15 else self._films)
        answer = await self._http.post("/v1/videos", files={"file": (sent.name, sent.content)})
        if answer.status_code != 202:
            return answer.status_code, "" if answer.status_code in sent.statuses | BUSY else answer.text[:200]
        address = answer.headers["location"]
        leaves_off = self._random.uniform(0.0, 3.0) if self._random.random() < 0.25 else None
        state = "queued"
        while leaves_off is None and state in ("queued", "running"):
            await asyncio.sleep(0.5)
            answer = await self._http.get(address)
            state = answer.json()["state"] if answer.status_code == 200 else "gone"
        if leaves_off is not None:
            await asyncio.sleep(leaves_off)
        elif state == "done":
            for what in _FETCHED:
                answer = await self._http.get(f"{address}/{what}")
                if answer.status_code != 200:
                    return answer.status_code, f"{sent.name}: no {what}: {answer.text[:200]}"
        elif sent in self._films:
            return answer.status_code, f"{sent.name}: {state}: {answer.text[:200]}"
        if leaves_off is not None or self._random.random() < 0.7:
            answer = await self._http.delete(address)
            return answer.status_code, "" if answer.status_code == 204 else answer.text[:200]
        return 200, ""

    async def _camera(self) -> None:
        """Be a camera that comes, shows a face for a while, and goes."""
        while True:
            due = time.monotonic()
            if (rests := resting(due)) > 0:
                await asyncio.sleep(REST - rests)
                continue
            try:
                async with connect(self._address.replace("http", "ws") + "/v1/live") as camera:
                    for number in range(self._random.randrange(20, 160)):
                        due = time.monotonic()
                        await camera.send(self._frames[number % len(self._frames)])
                        record = json.loads(await asyncio.wait_for(camera.recv(), _PATIENCE))
                        wrong = "" if record.get("faces") else str(record)[:200]
                        self._tell("camera", due, 200, wrong)
                        await asyncio.sleep(max(0.0, due + 0.25 - time.monotonic()))
                        if resting(time.monotonic()) > 0:
                            break
                    if self._random.random() < 0.3:
                        camera.transport.abort()
            except (OSError, TimeoutError, ConnectionClosed) as error:
                self._tell("camera", due, 0, f"it was cut off ({error!r})")
                await asyncio.sleep(1.0)


def _alike(faces: list[Any], others: list[Any]) -> bool:
    """Whether boxes are the same to 0.01 pixels and scores to 1e-5, as they are whatever else is in the batch."""

    def near(values: list[float], same: list[float], most: float) -> bool:
        return all(abs(one - other) <= most for one, other in zip(values, same, strict=True))

    return len(faces) == len(others) and all(
        near(box, same, 0.01) and near(scores, those, 1e-5)
        for (box, scores), (same, those) in zip(faces, others, strict=True)
    )


async def _until_told(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--film-rate", type=float, required=True, help="films a second")
    parser.add_argument("--cameras", type=int, required=True, help="of four frames a second")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with chosen.log.open("w", buffering=1) as log:
        load = Load(chosen.address, log, seed=chosen.seed)
        asyncio.run(_until_told(load.run(rate=chosen.rate, film_rate=chosen.film_rate, cameras=chosen.cameras)))


if __name__ == "__main__":
    main()
