"""The REST service: pictures in, records out, and what it says of itself; over real sockets."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import mien
from mien.errors import UsageError
from mien.results import Result
from mien.serve.settings import from_environment
from mien.serve.signin import ApiKey
from mien.serve.throttle import Throttle

from conftest import COMPLETE, EXAMPLES, overlap, write_model
from serving import running

KEY = "a key that nobody guesses"


@pytest.fixture(scope="module")
def server():
    with running() as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def closed():
    """Return the address of a server that asks for a key."""
    with running(api_key=KEY) as address:
        yield address


@pytest.fixture(scope="module")
def content():
    return (EXAMPLES / "astronaut.jpg").read_bytes()


def same(record, result):
    """Say whether a record holds what the library says."""
    faces = Result.from_record(record).faces
    assert len(faces) == len(result.faces)
    for one, other in zip(faces, result.faces, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=0.01)
        assert one.scores.keys() == other.scores.keys()
        np.testing.assert_allclose([*one.scores.values()], [*other.scores.values()], atol=1e-5)
    return True


def problem(answer, status):
    """Return the document of an answer, checked to be one."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document = answer.json()
    assert document["status"] == status
    assert document["detail"]
    assert "Traceback" not in answer.text
    return document


def test_a_form_and_a_bare_body_are_answered_as_the_library_does(server, content, analyzer):
    alone = analyzer.analyze(content)
    form = server.post("/v1/analyze", files={"files": ("a photo.jpg", content)}).json()["results"]
    bare = server.post("/v1/analyze", content=content, headers={"Content-Type": "image/jpeg"}).json()["results"]
    assert [record["source"] for record in (*form, *bare)] == ["a photo.jpg", "picture"]
    for (record,) in (form, bare):
        assert same(record, alone)
        assert {key: record[key] for key in ("schema", "width", "height", "model", "error")} == {
            "schema": 1,
            "width": 512,
            "height": 512,
            "model": analyzer.model,
            "error": None,
        }


def test_many_pictures_come_back_in_their_order_the_broken_ones_too(server, content):
    files = [("files", (f"{i}.jpg", b"rubbish" if i == 1 else content)) for i in range(4)]
    records = server.post("/v1/analyze", files=files).json()["results"]
    assert [record["source"] for record in records] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert [len(record["faces"]) for record in records] == [1, 0, 1, 1]
    assert "1.jpg: neither a picture nor a film" in records[1]["error"]
    assert records[1]["width"] is None


def test_nobody_is_no_error(server):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    (record,) = server.post("/v1/analyze", files={"files": file.getvalue()}).json()["results"]
    assert (record["faces"], record["error"]) == ([], None)


def test_a_set_is_renormalised(server, content, analyzer):
    for name in ("three", "five", "seven", "eight"):
        alone = mien.analyze(content, emotions=name)
        (record,) = server.post(f"/v1/analyze?emotions={name}", files={"files": content}).json()["results"]
        assert same(record, alone)


def test_the_annotated_picture_comes_along(server, content):
    (record,) = server.post("/v1/analyze?annotated=png", files={"files": content}).json()["results"]
    scheme, _, data = record["annotated"].partition(",")
    assert scheme == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawn, Image.open(io.BytesIO(content)) as plain:
        changed = np.abs(np.asarray(drawn).astype(int) - np.asarray(plain.convert("RGB"))).max(axis=2) > 30
    rows, columns = np.nonzero(changed)
    drawn_box = (columns.min(), rows.min(), columns.max(), rows.max())
    assert overlap(drawn_box, tuple(record["faces"][0]["box"])) > 0.3
    assert "annotated" not in server.post("/v1/analyze", files={"files": content}).json()["results"][0]


def test_none_that_can_be_read_is_a_problem_with_the_records(server):
    one = problem(server.post("/v1/analyze", files={"files": ("my.png", b"rubbish")}), 422)
    assert one["detail"].startswith("my.png: ")
    assert [record["source"] for record in one["results"]] == ["my.png"]
    two = problem(server.post("/v1/analyze", files=[("files", b"rubbish"), ("files", b"more")]), 422)
    assert two["detail"] == "none of the 2 pictures can be read"


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (404, {"params": {"model": "nothing"}, "files": {"files": b"x"}}),
        (422, {"params": {"emotions": "nine"}, "files": {"files": b"x"}}),
        (422, {"params": {"annotated": "gif"}, "files": {"files": b"x"}}),
        (422, {"files": {"pictures": b"x"}}),
        (422, {"data": {"files": "text"}, "files": {"other": b"x"}}),
        (422, {"content": b"", "headers": {"Content-Type": "image/png"}}),
        (415, {"content": b"x"}),
        (415, {"content": b"{}", "headers": {"Content-Type": "application/json"}}),
        (415, {"data": {"url": "http://127.0.0.1/picture.jpg"}}),
        (400, {"content": b"rubbish", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
        (400, {"content": b"rubbish", "headers": {"Content-Type": "multipart/form-data"}}),
        (400, {"content": b"--x\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    ],
)
def test_what_is_asked_wrongly_is_told(server, status, asked):
    problem(server.post("/v1/analyze", **asked), status)


def test_paths_and_methods_that_are_not_there(server):
    problem(server.get("/v1/nothing"), 404)
    answer = server.get("/v1/analyze")
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert server.delete("/healthz").headers["allow"] == "GET, HEAD"
    answer = server.request("INVENTED", "/v1/models")  # which no router knows
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_as_get_is(server):
    for path in ("/healthz", "/readyz", "/v1/models", "/v1/nothing"):
        whole, head = server.get(path), server.head(path)
        assert head.status_code == whole.status_code
        assert head.headers["content-length"] == whole.headers["content-length"]
        assert head.content == b""
    assert 'method="HEAD",route="/v1/models",status="200"' in server.get("/metrics").text


def test_models_tell_what_they_know(server, analyzer):
    (model,) = server.get("/v1/models").json()["models"]
    assert (model["name"], model["identity"]) == ("embedded", analyzer.model)
    assert model["sets"] == ["three", "five", "seven", "eight"]
    assert model["licence"] == "MIT"
    assert any("FER2013" in line for line in model["data"])


def test_several_models_by_name_not_by_path(content, tmp_path):
    file = tmp_path / "mine.onnx"
    write_model(file, {"mien": json.dumps(COMPLETE)})
    with running(models=("embedded", str(file))) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert [model["name"] for model in client.get("/v1/models").json()["models"]] == ["embedded", "mine"]
        assert str(tmp_path) not in client.get("/v1/models").text
        (record,) = client.post("/v1/analyze?model=mine", files={"files": content}).json()["results"]
        assert record["model"].startswith("mine@")
        assert record["faces"][0]["scores"].keys() == {"happy", "sad"}
        problem(client.post("/v1/analyze?model=mine&emotions=seven", files={"files": content}), 422)


def test_eight_at_once_get_what_each_would_get_alone(server, analyzer):
    pictures = [(EXAMPLES / name).read_bytes() for name in ("astronaut.jpg", "three_people.jpg")]
    alone = [analyzer.analyze(picture) for picture in pictures]

    def ask(number):
        with httpx.Client(base_url=server.base_url, timeout=60) as client:
            records = [
                client.post("/v1/analyze", files={"files": pictures[(number + turn) % 2]}).json()["results"][0]
                for turn in range(4)
            ]
        return all(same(record, alone[(number + turn) % 2]) for turn, record in enumerate(records))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_health_and_metrics(server, content):
    server.post("/v1/analyze", files={"files": content})
    assert server.get("/healthz").json() == server.get("/readyz").json() == {"status": "ok"}
    told = server.get("/metrics").text
    figures = dict(re.findall(r"^(mien_\S+) (\S+)$", told, re.MULTILINE))
    assert float(figures['mien_requests_total{method="POST",route="/v1/analyze",status="200"}']) >= 1
    assert float(figures['mien_request_seconds_count{route="/v1/analyze"}']) >= 1
    assert float(figures["mien_faces_total"]) >= float(figures["mien_pictures_total"]) / 2 > 0
    assert figures["mien_queue"] == "0.0"
    server.get("/v1/secret-path")
    assert "secret" not in server.get("/metrics").text  # one series for each path would have no end


def test_openapi_tells_all_that_is_answered(server):
    told = server.get("/openapi.json").json()
    analyze = told["paths"]["/v1/analyze"]["post"]
    assert {"200", "400", "404", "408", "413", "415", "422", "429", "503", "504"} <= analyze["responses"].keys()
    assert analyze["responses"]["200"]["content"]["application/json"]["example"]["results"]
    for status, answer in analyze["responses"].items():
        if status != "200":
            assert [*answer["content"]] == ["application/problem+json"]
    assert server.get("/docs").status_code == server.get("/redoc").status_code == 404


def test_every_answer_is_guarded_against_misuse_in_browsers(server):
    for path in ("/healthz", "/v1/nothing"):
        headers = server.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert "camera=(self)" in headers["permissions-policy"]
        assert "server" not in headers


def test_other_sites_are_kept_out_unless_they_are_named(server, content):
    evil = {"Origin": "https://evil.example"}
    problem(server.post("/v1/analyze", files={"files": content}, headers=evil), 403)
    problem(server.post("/v1/analyze", files={"files": content}, headers={"Origin": "null"}), 403)
    assert "access-control-allow-origin" not in server.get("/v1/models", headers=evil).headers
    own = {"Origin": str(server.base_url).rstrip("/")}
    assert server.post("/v1/analyze", files={"files": content}, headers=own).status_code == 200
    friend = {"Origin": "https://friend.example"}
    with running(origins=("https://friend.example",), api_key=KEY) as address, httpx.Client(base_url=address) as http:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        answer = http.options("/v1/analyze", headers={**friend, **asked})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, friend["Origin"])
        assert "access-control-allow-credentials" not in answer.headers
        answer = http.post("/v1/analyze", files={"files": content}, headers={**friend, "X-API-Key": KEY})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, friend["Origin"])
        assert http.options("/v1/analyze", headers={**evil, **asked}).status_code == 400
        problem(http.post("/v1/analyze", files={"files": content}, headers={**evil, "X-API-Key": KEY}), 403)


def test_without_the_key_nothing_but_health_is_open(closed, content):
    with httpx.Client(base_url=closed, timeout=60) as client:
        for path in ("/v1/models", "/metrics", "/openapi.json", "/", "/v1/nothing"):
            answer = client.get(path)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        for wrong in ({"Authorization": f"Bearer {KEY}x"}, {"X-API-Key": ""}, {"Authorization": f"Basic {KEY}"}):
            problem(client.get("/v1/models", headers=wrong), 401)
        for right in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            assert client.post("/v1/analyze", files={"files": content}, headers=right).status_code == 200


@pytest.mark.slow
def test_who_guesses_keys_has_to_wait(content):
    """Also with the right one, or else a guess would tell; who has signed in goes on, and so do others."""
    with running(api_key=KEY) as address, httpx.Client(base_url=address) as client, httpx.Client() as signed_in:
        assert signed_in.post(address + "/sign-in", data={"key": KEY}).status_code == 303
        for _ in range(30):  # who sends none does not guess
            problem(client.get("/v1/models"), 401)
        for number in range(9):
            problem(client.get("/v1/models", headers={"X-API-Key": f"guess {number}"}), 401)
        assert client.get("/v1/models", headers={"X-API-Key": KEY}).status_code == 200
        assert client.post("/sign-in", data={"key": "guess"}).status_code == 401
        for key in (KEY, "another guess"):
            answer = client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            assert problem(answer, 429)["detail"].startswith("too many wrong keys came from your address")
            assert 50 < int(answer.headers["retry-after"]) <= 60
            form = client.post("/sign-in", data={"key": key})
            assert (form.status_code, "Too many wrong keys" in form.text, "retry-after" in form.headers) == (
                429,
                True,
                True,
            )
        assert signed_in.get(address + "/v1/models").status_code == 200
        elsewhere = {"X-API-Key": KEY, "X-Forwarded-For": "192.0.2.7"}  # as a proxy on this machine says
        assert client.get("/v1/models", headers=elsewhere).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_a_throttle_forgets_and_does_not_grow():
    throttle = Throttle(most=2, seconds=0.3)
    for number in range(5000):
        throttle.wrong(f"10.0.{number // 256}.{number % 256}")
    assert len(throttle._wrongs) <= 4096
    for number in range(2):
        throttle.wrong(f"2001:db8::{number}")  # of one network
    assert throttle.wait("2001:db8::9") == 1 and throttle.wait("2001:db8:0:1::9") == 0
    time.sleep(0.35)
    assert throttle.wait("2001:db8::9") == 0
    throttle.wrong("2001:db8::9")
    assert throttle.wait("2001:db8::9") == 0


def test_other_names_are_not_answered_on_this_machine_alone(server, closed):
    """A page can let its own name point here; then its requests come from the same origin."""
    port = server.base_url.port
    for host in (f"localhost:{port}", "LOCALHOST.", "127.0.0.1", f"[::1]:{port}"):
        assert server.get("/v1/models", headers={"Host": host}).status_code == 200
    for host in (f"rebound.example:{port}", "localhost.rebound.example", "10.0.0.1", "[::2]", ""):
        answer = server.get("/v1/models", headers={"Host": host})
        assert "--allowed-host" in problem(answer, 421)["detail"]
        assert server.get("/readyz", headers={"Host": host}).status_code == 200
    socket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    shake = {**socket, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "rebound.example"}
    problem(server.get("/v1/live", headers=shake), 421)
    # the key keeps them out
    assert httpx.get(closed + "/v1/models", headers={"Host": "a.example", "X-API-Key": KEY}).status_code == 200


def test_names_that_are_allowed(run):
    with (
        running(allowed_hosts=("Faces.example", "::2"), api_key=KEY) as address,
        httpx.Client(base_url=address, headers={"X-API-Key": KEY}) as client,
    ):
        for host in ("faces.example:80", "localhost", "[::2]:8000"):
            assert client.get("/v1/models", headers={"Host": host}).status_code == 200
        problem(client.get("/v1/models", headers={"Host": "www.faces.example"}), 421)
    assert from_environment({"MIEN_ALLOWED_HOSTS": "a.example, b.example"})["allowed_hosts"] == (
        "a.example",
        "b.example",
    )
    done = run("serve", "--allowed-host", "https://a.example/")
    assert (done.status, "a name is as in example.org" in done.err) == (2, True)


def test_people_sign_in_with_a_form(closed, content):
    with httpx.Client(base_url=closed, timeout=60) as client:
        page = client.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, 'action="/sign-in"' in page.text) == (401, True)
        assert not re.search(r"(src|href)=", page.text)  # it loads nothing
        wrong = client.post("/sign-in", data={"key": "guessed it"})
        assert (wrong.status_code, "This is not the key." in wrong.text) == (401, True)
        assert not client.cookies
        problem(client.post("/sign-in", data={"key": KEY}, headers={"Origin": "https://evil.example"}), 403)
        done = client.post("/sign-in", data={"key": KEY})
        assert (done.status_code, done.headers["location"]) == (303, "/")
        cookie = done.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
        assert KEY not in cookie
        assert client.get("/v1/models").status_code == 200
        evil = {"Origin": "https://evil.example"}
        problem(client.post("/v1/analyze", files={"files": content}, headers=evil), 403)
        name, value = next(iter(client.cookies.items()))
    until, _, proof = value.partition(".")
    past = ApiKey(None, key=KEY)._token(int(time.time()) - 1)
    for forged in (past, f"{int(until) + 1}.{proof}", f"{int(until)}.", "", "x", f"{until}.{proof[:-1]}"):
        with httpx.Client(base_url=closed, cookies={name: forged}) as client:
            problem(client.get("/v1/models"), 401)


def test_a_websocket_needs_the_key_too(closed):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    url = closed.replace("http", "ws") + "/v1/live"
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers={"X-API-Key": KEY}, origin="https://evil.example")
    assert refused.value.response.status_code == 403


def start(*flags, page=False, **environment):
    """Return a server of its own process, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", "--port", "0", *flags, *([] if page else ["--no-page"])],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    return process, re.search(r"http://[\w.:]+", process.stderr.readline()).group()


def test_a_stop_finishes_what_has_begun_and_the_log_tells_of_it(content):
    """One request has half of its body there when the server is told to stop."""
    process, address = start()
    host, port = address.removeprefix("http://").split(":")
    try:
        with socket.create_connection((host, int(port))) as slow, httpx.Client(base_url=address) as kept:
            kept.post("/v1/analyze", files={"files": ("a secret name.jpg", content)})
            head = (
                "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: image/jpeg\r\nContent-Length: {len(content)}"
            )
            slow.sendall(head.encode() + b"\r\n\r\n" + content[:1000])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(httpx.TransportError):
                httpx.get(address + "/healthz")
            slow.sendall(content[1000:])
            answer = b"".join(iter(lambda: slow.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"faces":[{' in answer
        assert process.wait(20) == 0
        text = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["status"] for line in lines] == [200, 200]
    assert lines[0].keys() == {"time", "level", "method", "route", "status", "milliseconds", "bytes", "faces"}
    assert (lines[0]["route"], lines[0]["faces"], lines[0]["bytes"] > len(content)) == ("/v1/analyze", 1, True)
    assert "secret" not in text


@pytest.mark.slow
def test_a_page_that_is_open_does_not_hold_up_a_stop():
    """It keeps a stream open, which has no end of its own."""
    process, address = start(page=True)
    try:
        with httpx.stream("GET", f"{address}/gradio_api/heartbeat/a1b2c3d4", timeout=30) as stream:
            parts = stream.iter_bytes()
            next(parts)
            process.send_signal(signal.SIGINT)
            assert list(parts) is not None
        assert process.wait(30) == 0  # and not only when the time of a request is over
        said = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert "Traceback" not in said
    assert said.endswith("mien: stopped\n")


@pytest.mark.slow
def test_a_stop_lets_the_page_finish_its_prediction_and_its_disk_has_a_limit(content, tmp_path):
    picture = io.BytesIO()
    with Image.open(EXAMPLES / "three_people.jpg") as image:
        image.resize((6000, 4000)).save(picture, "JPEG", quality=95)
    process, address = start("--max-disk", "64", "--max-film", "64", page=True, TMPDIR=str(tmp_path))
    try:
        with httpx.Client(base_url=address, timeout=120) as client:
            assert client.get("/?ref=https://elsewhere.example/page").status_code == 200  # links may carry addresses
            (own,) = client.post("/gradio_api/upload", files={"files": ("a.jpg", picture.getvalue())}).json()
            full = client.post("/gradio_api/upload", files={"files": ("b.jpg", bytes(63 << 20))})
            assert "--max-disk" in problem(full, 507)["detail"]
            events = [event for event in client.get("/config").json()["dependencies"] if event["backend_fn"]]
            (event,) = [one for one in events if len(one["inputs"]) == 3 and len(one["outputs"]) < 9]
            body = {
                "data": [{"path": own, "meta": {"_type": "gradio.FileData"}}, "all", None],
                "session_hash": "mine",
            }
            client.post("/gradio_api/queue/join", json={**body, "fn_index": event["id"]}).raise_for_status()
            with client.stream("GET", "/gradio_api/queue/data?session_hash=mine") as stream:
                told = ""
                for line in stream.iter_lines():
                    told += line
                    if "process_starts" in line:
                        process.send_signal(signal.SIGTERM)
        assert "process_completed" in told and "faces found: " in told
        assert process.wait(30) == 0
        said = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert "Traceback" not in said
    assert list(tmp_path.glob("mien-serve-*")) == []


@pytest.mark.slow
def test_who_waits_for_a_film_is_told_that_it_is_lost_with_the_server(tmp_path, shared):
    film = (shared / "media" / "one_face_20s.mp4").read_bytes()
    process, address = start(page=True, TMPDIR=str(tmp_path))
    try:
        with httpx.Client(base_url=address, timeout=120) as client:
            (own,) = client.post("/gradio_api/upload", files={"files": ("a.mp4", film)}).json()
            events = [event for event in client.get("/config").json()["dependencies"] if event["backend_fn"]]
            (event,) = [one for one in events if len(one["inputs"]) == 4]
            data = [{"path": own, "meta": {"_type": "gradio.FileData"}}, "all", None, "a token"]
            body = {"data": data, "session_hash": "mine", "fn_index": event["id"]}
            client.post("/gradio_api/queue/join", json=body).raise_for_status()
            told = ""
            with client.stream("GET", "/gradio_api/queue/data?session_hash=mine") as stream:
                for line in stream.iter_lines():
                    told += line
                    if "frames analysed" in line and "process_generating" in line:
                        process.send_signal(signal.SIGTERM)
        assert "films are lost with it" in told
        assert process.wait(30) == 0
        said = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert "Traceback" not in said
    assert list(tmp_path.glob("mien-serve-*")) == []


def test_an_unexpected_error_is_logged_and_not_shown(caplog):
    from mien.serve.app import create_app
    from mien.serve.server import Server
    from mien.serve.settings import Settings

    settings = Settings(page=False)
    app = create_app(settings)

    @app.get("/broken")
    def broken():
        raise RuntimeError("a secret of the server")

    server = Server(app, settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        answer = httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}/broken")
        server.should_exit = True
        thread.join()
    assert "secret" not in json.dumps(problem(answer, 500))
    assert "a secret of the server" in caplog.text


def test_flags_have_precedence_over_the_environment(tmp_path):
    from mien.cli.serve import _settings

    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    environment = {"MIEN_PORT": "9000", "MIEN_QUEUE": "5", "MIEN_ORIGINS": "https://a.example, https://b.example"}
    found = _settings({"port": 9001, "queue": None}, None, {**environment, "MIEN_API_KEY_FILE": str(file)})
    assert (found.port, found.queue, found.api_key) == (9001, 5, KEY)
    assert found.origins == ("https://a.example", "https://b.example")
    with pytest.raises(mien.MienError, match="nowhere: cannot be read"):
        _settings({}, Path("nowhere"), {})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "70000"), "--port lies between 0 and 65535, not 70000"),
        (
            ("--origin", "https://Example.org/"),
            "--origin https://Example.org/: an origin is as in https://example.org",
        ),
        (("--queue", "0"), "--queue is at least 1, not 0"),
        (("--max-disk", "100"), "--max-disk 100 is less than one upload may have, 512 MB (--max-film)"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:8000"),
        (("--api-key-file", "/nowhere/key"), "--api-key-file /nowhere/key: cannot be read"),
        (("--model", "nothing.onnx", "--port", "0", "--no-page"), "nothing.onnx: there is no such model file"),
    ],
)
def test_what_cannot_start_is_told_in_a_line(run, flags, said):
    done = run("serve", *flags)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert said in done.err


def test_a_port_in_use_is_told_in_a_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", port)
    assert done.status == 2
    assert done.err == (
        f"mien: cannot listen on 127.0.0.1:{port}: something listens there already; choose another --port\n"
    )


def test_it_says_when_others_can_come_in_without_a_key():
    process, _ = start("--host", "0.0.0.0")
    try:
        assert "others can reach it and no key is asked for" in process.stderr.readline()
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def test_without_the_extra_it_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("serve")
    assert (done.status, done.err) == (
        1,
        "mien: the service needs an optional part: pip install 'mien[serve]'\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", KEY])
def test_schemathesis_finds_nothing(key, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.serve.signin._WRONG", 10**9)  # it guesses keys
    with running(api_key=key, jobs=3, max_seconds=10) as address:
        sent = (f"X-API-Key: {key}", f"Authorization: Bearer {key}") if key else ()
        headers = [part for header in sent for part in ("--header", header)]
        config = ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
        tool = [sys.executable, "-m", "schemathesis.cli", *config]
        command = [*tool, "run", f"{address}/openapi.json", *headers, "--seed", "1"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:]


def test_invented_methods_are_one_metric():
    with running() as server, httpx.Client(base_url=server) as client:
        for number in range(5):
            assert client.request(f"INVENTED{number}", "/").status_code in (404, 405)
        told = client.get("/metrics").text
    assert "INVENTED" not in told
    assert 'method="other"' in told


def test_what_an_orchestrator_sets_is_no_port_and_an_empty_key_is_refused():
    assert from_environment({"MIEN_PORT": "tcp://10.0.0.1:8000"}) == {}
    with pytest.raises(UsageError, match="MIEN_API_KEY is empty"):
        from_environment({"MIEN_API_KEY": " "})


def test_a_key_may_have_any_letters():
    key = "schlüssel für alle"
    with running(api_key=key) as server:
        for sent in (key.encode(), key.encode("latin-1")):
            answer = httpx.get(f"{server}/v1/models", headers={"X-API-Key": sent})
            assert answer.status_code == 200
        assert httpx.get(f"{server}/v1/models", headers={"X-API-Key": "schlussel"}).status_code == 401
