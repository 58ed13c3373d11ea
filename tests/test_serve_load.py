"""Many clients at once for a while: no error, no growth, and little more work than the library's own."""

import asyncio
import io
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc"),
]

CLIENTS = 64
WARM, SECONDS = 15.0, 60.0

LIBRARY = """
import resource, sys
from pathlib import Path
import mien
analyzer, content = mien.Analyzer(), Path(sys.argv[1]).read_bytes()
for _ in range(20):
    analyzer.analyze(content)
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(200):
    (face,) = analyzer.analyze(content).faces
after = resource.getrusage(resource.RUSAGE_SELF)
print((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 200)
"""


@pytest.fixture
def one_face(astronaut, tmp_path) -> Path:
    with Image.open(astronaut) as image:
        page = Image.new("RGB", (640, 480), (128, 128, 128))
        page.paste(image.resize((480, 480)), (80, 0))
    path = tmp_path / "face.jpg"
    page.save(path, quality=90)
    return path


def used(pid: int) -> tuple[float, float]:
    """Return the CPU seconds and the resident MiB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / 100
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return seconds, pages * resource.getpagesize() / 2**20


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Run the service in a process of its own, and yield that and the address."""
    log = tmp_path / "log"
    with log.open("w") as err:
        command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--no-page"]
        server = subprocess.Popen(command, stderr=err)
    try:
        while not (said := re.search(r"http://[\w.:]+", log.read_text())):
            assert server.poll() is None
            time.sleep(0.1)
        yield server.pid, said.group()
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_sixty_four_clients_for_a_minute(one_face, tmp_path):
    alone = float(subprocess.check_output([sys.executable, "-c", LIBRARY, str(one_face)]))
    with serving(tmp_path) as (pid, address):
        asyncio.run(attend(pid, address, one_face.read_bytes(), alone))


def test_large_pictures_do_not_fill_the_memory(tmp_path):
    """Forty of 49 million pixels, sent at once in forty kilobytes each, would take six gigabytes."""
    file = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(file, "PNG")

    def ask(address: str) -> int:
        return httpx.post(address + "/v1/analyze", files={"files": file.getvalue()}, timeout=120).status_code

    with serving(tmp_path) as (pid, address):
        with ThreadPoolExecutor(40) as pool:
            assert set(pool.map(ask, [address] * 40)) <= {200, 429, 504}
        most = int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 2**10
    print(f"\n{most:.0f} MiB at most")
    assert most < 2000


def test_pictures_of_many_forms_leave_no_memory_behind(tmp_path):
    """Each takes blocks of other sizes than the last, which the C library would keep."""
    bits, cmyk, deep, long = (io.BytesIO() for _ in range(4))
    Image.new("1", (7000, 7000)).save(bits, "PNG")
    Image.new("CMYK", (7000, 7000)).save(cmyk, "JPEG")
    Image.new("I;16", (7000, 7000)).save(deep, "PNG", compress_level=1)
    Image.new("RGB", (2, 25_000_000)).save(long, "PNG", compress_level=1)
    with serving(tmp_path) as (pid, address):
        for file in 2 * [long, deep, bits, cmyk]:
            kind = {"Content-Type": "application/octet-stream"}
            answer = httpx.post(address + "/v1/analyze", content=file.getvalue(), headers=kind, timeout=120)
            assert answer.status_code == 200
        _, memory = used(pid)
    print(f"\n{memory:.0f} MiB left")
    assert memory < 1100


async def attend(pid: int, address: str, picture: bytes, alone: float) -> None:
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def client() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:
            while not over.is_set():
                answer = await http.post("/v1/analyze", files={"files": ("face.jpg", io.BytesIO(picture))})
                statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    assert len(answer.json()["results"][0]["faces"]) == 1
                elif answer.status_code == 429:
                    await asyncio.sleep(float(answer.headers["retry-after"]))

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    await asyncio.sleep(WARM)
    (work, memory), count = used(pid), statuses[200]
    began = time.monotonic()
    await asyncio.sleep(SECONDS)
    (work_after, memory_after), count_after = used(pid), statuses[200]
    rate = (count_after - count) / (time.monotonic() - began)
    over.set()
    await asyncio.gather(*clients)
    each = (work_after - work) / (count_after - count)
    print(  # the figures that the card tells
        f"\n{rate:.1f} pictures a second; {each * 1000:.1f} ms of work each, the library's {alone * 1000:.1f}: "
        f"{each / alone:.2f}; memory {memory:.0f} to {memory_after:.0f} MiB; answers {dict(statuses)}"
    )
    assert set(statuses) <= {200, 429}
    assert abs(memory_after / memory - 1) <= 0.05
    assert each / alone <= 1.25
