"""`mien models pull`: the file that the registry means, whole, or nothing; against a real server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.detectors import open_detector
from mien.errors import ModelError
from mien.models import pulling, store
from mien.models.store import registry, verify

from webserver import Answer, Web, running_web

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = "net.onnx"


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_web() as web:
        yield web


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """Let the registry know one small file to pull, and nothing be in the cache."""
    entry = replace(
        registry()["yunet"],
        file=FILE,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        url="https://127.0.0.1:9/net.onnx",
    )
    entries = {**registry(), "yunet": entry}
    for module in (store, pulling):
        monkeypatch.setattr(module, "registry", lambda: entries)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for name in ("MIEN_OFFLINE", "MIEN_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(web, cache, monkeypatch) -> Web:
    """Return a mirror that has nothing yet."""
    monkeypatch.setenv("MIEN_MIRROR", f"{web.address}/models/")
    return web


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_is_pulled_is_whole_and_fetched_once(mirror, cache, run):
    mirror.serve(f"/models/{FILE}", CONTENT)
    done = run("models", "pull", "yunet")
    assert done.status == 0
    (name,) = files(cache)
    assert name.endswith(FILE) and (cache / name).read_bytes() == CONTENT
    assert (cache / name).stat().st_mode & 0o444 == 0o444  # a cache may be shared
    assert "licence: Apache-2.0" in done.err
    assert run("models", "pull", "yunet").status == 0
    assert mirror.asked[f"/models/{FILE}"] == 1


def test_a_damaged_file_in_the_cache_is_not_used_and_is_fetched_again(mirror, cache):
    mirror.serve(f"/models/{FILE}", CONTENT)
    path = pulling.pull("yunet")
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelError, match=r"is damaged: .*mien models pull yunet$"):
        store.read_model("yunet")
    assert pulling.pull("yunet").read_bytes() == CONTENT


def dripping() -> Iterator[bytes]:
    for i in range(0, len(CONTENT), 1000):
        time.sleep(0.05)
        yield CONTENT[i : i + 1000]


def endless() -> Iterator[bytes]:
    while True:
        yield CONTENT


BAD = {
    "another file": (Answer(CONTENT[::-1]), "its sha256 is"),
    "too long": (Answer(CONTENT + b"?"), "more than 300000 bytes"),
    "endless": (Answer(endless), "more than 300000 bytes"),
    "too short": (Answer(CONTENT[:-1]), "299999 bytes instead of 300000"),
    "cut off": (Answer(CONTENT[:1000], headers={"Content-Length": "300000"}), "1000 bytes instead|IncompleteRead"),
    "dripping": (Answer(dripping), "did not come within 0.5 seconds"),
    "silent": (Answer(CONTENT, wait=2.0), "timed out"),
    "not there": (Answer(status=404), "404 Not Found"),
    "broken": (Answer(status=500), "500 Internal Server Error"),
    "to a file": (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "file:///etc/passwd"),
    "to http elsewhere": (Answer(status=302, headers={"Location": "http://example.org/net.onnx"}), "is not https"),
    "round": (Answer(status=302, headers={"Location": f"/models/{FILE}"}), "cannot be fetched"),
}


@pytest.mark.parametrize(("answer", "reason"), BAD.values(), ids=BAD)
def test_what_is_not_the_whole_file_leaves_nothing(mirror, cache, run, monkeypatch, answer, reason):
    monkeypatch.setattr(pulling, "TIMEOUT", 1.0)
    monkeypatch.setattr(pulling, "LIMIT", 0.5)
    mirror.serve(f"/models/{FILE}", answer)
    done = run("models", "pull", "yunet")
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert re.search(reason, done.err), done.err
    assert files(cache) == []


def test_a_server_that_is_gone(cache, run):
    done = run("models", "pull", "yunet")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "https://127.0.0.1:9/net.onnx: it cannot be fetched" in done.err
    assert "--from FILE" in done.err
    assert files(cache) == []


def test_a_redirect_within_the_mirror_is_followed(mirror, cache):
    mirror.serve(f"/models/{FILE}", Answer(status=302, headers={"Location": "/blobs/1"}))
    mirror.serve("/blobs/1", CONTENT)
    assert pulling.pull("yunet").read_bytes() == CONTENT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """Return a certificate of 127.0.0.1 with its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_https_is_not_led_down_to_http_even_on_this_machine(cache, web, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    web.serve("/net.onnx", CONTENT)
    with running_web(context=context) as secure:
        monkeypatch.setenv("MIEN_MIRROR", secure.address)
        secure.serve(f"/{FILE}", Answer(status=302, headers={"Location": f"{web.address}/net.onnx"}))
        with pytest.raises(ModelError, match="which is not https"):
            pulling.pull("yunet")
        assert web.fetched == 0
        secure.serve(f"/{FILE}", CONTENT)
        assert pulling.pull("yunet").read_bytes() == CONTENT
        monkeypatch.delenv("SSL_CERT_FILE")
        pulling.pull("yunet").unlink()
        with pytest.raises(ModelError, match="CERTIFICATE_VERIFY_FAILED"):
            pulling.pull("yunet")


@pytest.mark.parametrize("mirror", ["ftp://example.org", "file:///tmp", "example.org", "https://", "https://a/?b"])
def test_a_mirror_is_an_address_of_the_web(cache, run, monkeypatch, mirror):
    monkeypatch.setenv("MIEN_MIRROR", mirror)
    done = run("models", "pull", "yunet")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert f"MIEN_MIRROR={mirror}" in done.err


def test_offline_nothing_is_fetched_and_it_is_said_what_to_put_where(mirror, cache, run, monkeypatch, tmp_path):
    mirror.serve(f"/models/{FILE}", CONTENT)
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    done = run("models", "pull", "yunet")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    path = registry_path()
    assert f"fetch {mirror.address}/models/{FILE}, and put it at {path}" in done.err
    assert mirror.fetched == 0
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert run("models", "pull", "yunet").status == 0
    assert store.read_model("yunet").content == CONTENT


def registry_path() -> Path:
    return store.registry()["yunet"].path


def test_a_file_fetched_by_other_means(mirror, cache, run, monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    own = tmp_path / "own.onnx"
    assert f"{own}: it cannot be read" in run("models", "pull", "yunet", "--from", own).err
    own.write_bytes(CONTENT[:-1])
    assert "299999 bytes instead of 300000" in run("models", "pull", "yunet", "--from", own).err
    assert files(cache) == []
    own.write_bytes(CONTENT)
    assert run("models", "pull", "yunet", "--from", own).status == 0
    assert registry_path().read_bytes() == CONTENT
    assert own.exists()
    assert mirror.fetched == 0


def test_only_optional_models_are_pulled(run):
    for name in ("embedded", "nothing"):
        done = run("models", "pull", name)
        assert (done.status, len(done.err.splitlines())) == (2, 1)
        assert done.err.rstrip().endswith("yunet")


def test_a_cache_that_cannot_be_written(mirror, cache, run):
    cache.write_text("")
    mirror.serve(f"/models/{FILE}", CONTENT)
    done = run("models", "pull", "yunet")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "MIEN_CACHE names another folder" in done.err


PULL = """
import sys, json
from dataclasses import replace
from mien.models import pulling, store
entry = replace(store.registry()["yunet"], **json.loads(sys.argv[1]))
entries = {**store.registry(), "yunet": entry}
store.registry = pulling.registry = lambda: entries
print(pulling.pull("yunet"))
"""


def start() -> subprocess.Popen[bytes]:
    entry = store.registry()["yunet"]
    told = json.dumps({"file": entry.file, "sha256": entry.sha256, "size": entry.size})
    return subprocess.Popen([sys.executable, "-c", PULL, told], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_killed_midway_nothing_half_has_the_name_and_the_rest_is_swept(mirror, cache):
    mirror.serve(f"/models/{FILE}", [Answer(dripping), Answer(CONTENT)])
    process = start()
    while not any(path.stat().st_size for path in cache.glob("*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = files(cache)
    assert left.endswith(".part")
    os.utime(cache / left, (1e9, 1e9))
    assert pulling.pull("yunet").read_bytes() == CONTENT
    assert files(cache) == [registry_path().name]


def test_several_at_once(mirror, cache):
    mirror.serve(f"/models/{FILE}", Answer(CONTENT, wait=0.2))
    processes = [start() for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    assert files(cache) == [registry_path().name]
    assert verify(store.registry()["yunet"]) is None


def test_without_the_file_it_is_said_what_to_do_and_nothing_is_fetched(mirror, cache, run, astronaut):
    mirror.serve(f"/models/{FILE}", CONTENT)
    done = run("analyze", astronaut, "--detector", "yunet")
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.rstrip().endswith("mien models pull yunet")
    with pytest.raises(ModelError, match=r"mien models pull yunet$"):
        open_detector("yunet")
    assert mirror.fetched == 0


def test_what_is_pulled_is_told_by_every_verb(mirror, cache, run):
    def told(*arguments: str) -> str:
        return run(*arguments).out

    listed = {entry["name"]: entry for entry in json.loads(told("models", "list", "--json"))}
    assert (listed["yunet"]["state"], listed["embedded"]["state"]) == ("not pulled", "shipped")
    assert listed["yunet"]["bytes"] == len(CONTENT)
    assert "mien models pull yunet" in run("models", "list").err
    assert "not pulled: mien models pull yunet" in told("models", "info", "yunet")
    done = run("models", "verify")
    assert done.status == 0 and "yunet: not pulled (mien models pull yunet)" in done.out
    done = run("models", "verify", "yunet")
    assert (done.status, done.err) == (
        1,
        "yunet: it is not on this machine yet; fetch it once: mien models pull yunet\n",
    )
    assert json.loads(told("doctor", "--json"))["models"]["yunet"] is None
    assert "mien models pull yunet" in told("doctor")

    mirror.serve(f"/models/{FILE}", CONTENT)
    run("models", "pull", "yunet")
    listed = {entry["name"]: entry for entry in json.loads(told("models", "list", "--json"))}
    assert listed["yunet"]["state"] == "pulled"
    registry_path().write_bytes(b"rotten")
    done = run("models", "verify")
    assert done.status == 1 and "yunet: its file" in done.err and "mien models pull yunet" in done.err
