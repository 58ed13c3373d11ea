"""`mien analyze --engine ray`, less Ray: what is to be done, what is done, and rows as those of the local engine."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import mien
from mien.bulk.task import Settings
from mien.cluster import find_sources
from mien.cluster.finishing import finish
from mien.cluster.ledger import Ledger
from mien.cluster.parts import part_from_text, part_to_text, results_from_text, results_to_text
from mien.cluster.settings import described
from mien.cluster.tasks import Task, plan
from mien.cluster.worker import Worker
from mien.errors import SourceError, UsageError
from mien.segments import join
from mien.sources import Selection, find_segments
from test_films import encode
from test_segments import long_film

SETTINGS = Settings(smooth=0.4, detect_every=0.4)


def begun(out, analyzer, settings=SETTINGS, **how):
    ledger = Ledger(str(out))
    ledger.begin(described(settings, analyzer), overwrite=how.get("overwrite", False))
    return ledger


def work(ledger, analyzer, settings=SETTINGS, tasks=None):
    """Do what Ray would have done; `tasks` bounds how many."""
    worker, errors = Worker(ledger, settings, None), []
    for partition in ledger.missing():
        for task in plan(ledger, partition, settings):
            if task.key in ledger.done(partition):
                continue
            if tasks is not None and (tasks := tasks - 1) < 0:
                return errors
            worker({"task": [task.to_json()], "partition": [partition], "of": [1]})
        if (found := finish(ledger, partition, settings, analyzer.emotions)) is None:
            return work(ledger, analyzer, settings, tasks)
        errors += found
    ledger.end()
    return errors


def rows_of(out):
    return pyarrow.parquet.read_table(str(out)).to_pylist()


def local_rows(analyzer, names, settings=SETTINGS):
    stream = analyzer.stream_media(
        ((name, Path(name)) for name in names),
        selection=settings.selection,
        smooth=settings.smooth,
        detect_every=settings.detect_every,
    )
    return [row for _, result in stream for row in result.to_rows()]


def assert_same_rows(rows, others):
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        for name, value in row.items():
            wanted = other.get(name)
            tolerance = 0.01 if name in ("x1", "y1", "x2", "y2") else 1e-5
            assert value == (pytest.approx(wanted, abs=tolerance) if isinstance(wanted, float) else wanted), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory, astronaut):
    """Return a folder of a picture, one that is damaged, an animation, a film of three segments, one cut short."""
    path = tmp_path_factory.mktemp("in")
    shutil.copy(astronaut, path / "a.jpg")
    (path / "b.jpg").write_bytes(astronaut.read_bytes()[:3000])
    still = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    still.save(path / "c.gif", save_all=True, append_images=[Image.new("RGB", (60, 40), "white")])
    with Image.open(astronaut) as image:
        face = np.asarray(image.convert("RGB").resize((128, 128)))
    encode(
        "matroska",
        frames=36,
        times=[2000 * i for i in range(36)],
        size=(128, 128),
        gop=5,
        path=path / "d.mkv",
        pictures=lambda i: np.roll(face, i % 7, axis=1),
    )
    (path / "e.mkv").write_bytes((path / "d.mkv").read_bytes()[:-9000])
    (path / "f.mp4").write_bytes(encode(frames=6))
    shutil.copy(astronaut, path / "g.jpg")
    return path


def test_rows_are_those_of_the_local_engine(folder, analyzer, tmp_path):
    ledger = begun(tmp_path / "out.parquet", analyzer)
    names = list(find_sources([str(folder), "/nowhere/h.jpg"], recursive=False, failed=pytest.fail))
    ledger.add(names)
    errors = work(ledger, analyzer)
    rows = local_rows(analyzer, names)
    assert_same_rows(rows_of(tmp_path / "out.parquet"), rows)
    assert errors == [row["error"] for row in rows if row["error"] is not None]
    assert [error.split(":")[0][-5:] for error in errors] == ["b.jpg", "e.mkv", "h.jpg"]
    assert sorted(os.listdir(tmp_path / "out.parquet")) == ["_ledger", "part-00000000.parquet"]
    frames = {(row["source"], row["frame"]) for row in rows if row["error"] is None}
    assert ledger.counts(0) == {"frames": len(frames), "faces": sum("face" in row for row in rows), "errors": 3}
    table = pyarrow.parquet.read_table(str(tmp_path / "out.parquet"))
    assert table.schema.metadata[b"mien.schema"] == b"1"
    again = [row for result in mien.read_results(tmp_path / "out.parquet") for row in result.to_rows()]
    assert [(row["source"], row["frame"]) for row in again] == [(row["source"], row["frame"]) for row in rows]


def test_a_run_that_was_ended_goes_on(folder, analyzer, tmp_path, monkeypatch):
    names = list(find_sources([str(folder)], recursive=False, failed=pytest.fail))
    ledger = begun(tmp_path / "out.parquet", analyzer)
    ledger.add(names[:-1])
    work(ledger, analyzer, tasks=4)
    assert ledger.missing() == [0]
    assert not list((tmp_path / "out.parquet").glob("*.parquet"))
    before = ledger.done(0)
    again = begun(tmp_path / "out.parquet", analyzer)
    again.add(names)  # one more than before
    assert again.partitions() == [0, 1]
    assert again.names(1) == names[-1:]
    done = []
    monkeypatch.setattr(Worker, "_do", lambda self, task, do=Worker._do: done.append(task.key) or do(self, task))
    work(again, analyzer)
    assert before.isdisjoint(done[:-1])
    assert_same_rows(rows_of(tmp_path / "out.parquet"), local_rows(analyzer, names))
    last = begun(tmp_path / "out.parquet", analyzer)
    last.add(names)
    assert last.missing() == []


@pytest.mark.slow
def test_a_film_whose_segments_are_not_what_they_are_in_the_whole_is_analysed_as_a_whole(
    folder, analyzer, tmp_path, monkeypatch
):
    names = [str(folder / "d.mkv")]
    ledger = begun(tmp_path / "out.parquet", analyzer)
    ledger.add(names)
    real = mien.Analyzer.analyze_segment

    def inexact(self, *arguments, **options):
        part = real(self, *arguments, **options)
        return part if part.whole else replace(part, exact=False)

    monkeypatch.setattr(mien.Analyzer, "analyze_segment", inexact)
    work(ledger, analyzer)
    assert_same_rows(rows_of(tmp_path / "out.parquet"), local_rows(analyzer, names))


def test_a_run_that_was_killed_at_its_beginning_goes_on(folder, analyzer, tmp_path):
    """As it was writing the first file of the folder; what it had begun to write goes in the end."""
    ledger = tmp_path / "out.parquet" / "_ledger"
    ledger.mkdir(parents=True)
    (ledger / "settings.json.0123456789ab.partial").write_text('{"mod')
    again = begun(tmp_path / "out.parquet", analyzer)
    (ledger / "00000000.json.0123456789ab.partial").write_text("[")
    again.add([str(folder / "a.jpg")])
    work(again, analyzer)
    assert sorted(path.name for path in ledger.iterdir()) == ["00000000.done.json", "00000000.json", "settings.json"]
    (tmp_path / "mine" / "_ledger").mkdir(parents=True)
    (tmp_path / "mine" / "_ledger" / "accounts.txt").write_text("of a life")
    with pytest.raises(UsageError, match="not of such a run"):
        begun(tmp_path / "mine", analyzer)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Settings(smooth=0.5, detect_every=0.4), "smooth 0.4"),
        (Settings(smooth=0.4, detect_every=0.4, selection=Selection(every=2)), "every 1"),
        (Settings(smooth=0.4, detect_every=0.4, emotions="three"), "emotions angry contemptuous"),
    ],
)
def test_a_folder_of_other_settings_is_refused(other, named, analyzer, tmp_path):
    begun(tmp_path / "out.parquet", analyzer).add(["a.jpg"])
    changed = analyzer if other.emotions is None else analyzer.restricted(other.emotions)
    with pytest.raises(UsageError, match=named):
        begun(tmp_path / "out.parquet", changed, other)
    assert begun(tmp_path / "out.parquet", changed, other, overwrite=True).partitions() == []


def test_what_somebody_else_has_in_the_folder_stays(analyzer, tmp_path):
    out = tmp_path / "out.parquet"
    out.mkdir()
    (out / "thesis.doc").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="not of such a run"):
            begun(out, analyzer, overwrite=overwrite)
    assert (out / "thesis.doc").read_text() == "all of it"
    (tmp_path / "file.parquet").write_text("of the local engine")
    with pytest.raises(UsageError, match="exists already"):
        begun(tmp_path / "file.parquet", analyzer)


def test_many_names_are_shared_out_as_they_come(analyzer, tmp_path):
    ledger = begun(tmp_path / "out.parquet", analyzer)
    taken = 0

    def names():
        nonlocal taken
        for taken in range(10_000):
            assert len(list((tmp_path / "out.parquet" / "_ledger").glob("0*.json"))) == taken // 4096
            yield f"{taken:07}.jpg"

    ledger.add(names())
    assert [len(ledger.names(partition)) for partition in ledger.partitions()] == [4096, 4096, 1808]
    tasks = plan(ledger, 1, SETTINGS)
    assert {len(task.names) for task in tasks} == {64}
    assert [name for task in tasks for name in task.names] == ledger.names(1)
    assert plan(ledger, 1, SETTINGS) == tasks
    assert [Task.from_json(task.to_json()) for task in tasks] == tasks
    films = begun(tmp_path / "films.parquet", analyzer)
    films.add(f"{number}.mp4" for number in range(20))
    assert [len(films.names(partition)) for partition in films.partitions()] == [8, 8, 4]


def test_folders_in_an_object_store_are_gone_through_as_those_on_a_disk(astronaut, analyzer, tmp_path):
    for name in ("b.jpg", "a.png", "sub/c.JPG", "sub/.hidden.jpg", ".away/d.jpg", "e.txt", "aa/f.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(astronaut, tmp_path / "in" / name)
    (tmp_path / "in" / "aa" / "f.mp4").write_bytes(long_film(seconds=70))
    uri = f"file://{tmp_path}/in"
    for recursive in (False, True):
        local = find_sources([str(tmp_path / "in")], recursive=recursive, failed=pytest.fail)
        stored = find_sources([uri], recursive=recursive, failed=pytest.fail)
        assert [f"file://{name}" for name in local] == list(stored)
    ledger = begun(f"file://{tmp_path}/out.parquet", analyzer)
    ledger.add([*find_sources([uri], recursive=True, failed=pytest.fail), f"{uri}/none.jpg"])
    assert len(plan(ledger, 0, SETTINGS)) == 5  # two batches of pictures, and between them three segments
    errors = work(ledger, analyzer)
    assert errors == [f"{uri}/none.jpg: there is no such file or folder"]
    names = [str(path) for path in find_sources([str(tmp_path / "in")], recursive=True, failed=pytest.fail)]
    rows = [{**row, "source": row["source"].removeprefix("file://")} for row in rows_of(tmp_path / "out.parquet")]
    assert_same_rows(rows[:-1], local_rows(analyzer, names))
    failures: list[SourceError] = []
    assert list(find_sources([f"file://{tmp_path}/in/sub/.x"], recursive=False, failed=failures.append)) != []
    (tmp_path / "empty").mkdir()
    assert list(find_sources([f"file://{tmp_path}/empty"], recursive=False, failed=failures.append)) == []
    assert "no picture or film" in str(failures[0])


def test_what_workers_hand_on_is_not_rounded(analyzer, folder):
    results = list(analyzer.stream(folder / "a.jpg"))
    assert results_to_text(results_from_text(results_to_text(results))) == results_to_text(results)
    (again,) = results_from_text(results_to_text(results))
    assert again.faces[0].scores == results[0].faces[0].scores
    assert again.faces[0].box == results[0].faces[0].box
    film = folder / "d.mkv"
    parts = [analyzer.analyze_segment(film, segment, name="film") for segment in find_segments(film)]
    texts = [part_to_text(part) for part in parts]
    assert [part_to_text(part_from_text(text)) for text in texts] == texts
    kept = list(join(map(part_from_text, texts), smooth=0.4))
    assert [one.to_record() for one in kept] == [one.to_record() for one in join(parts, smooth=0.4)]
    json.loads(texts[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["a.jpg"], "--out NAME.parquet"),
        (["a.jpg", "--out", "o.csv"], "--out NAME.parquet"),
        (["a.jpg", "--out", "o.parquet", "--out", "annotated/"], "--out NAME.parquet"),
        (["a.jpg", "--out", "o.parquet", "--crops", "faces"], "--crops is not for --engine ray"),
        (["a.jpg", "--out", "o.parquet", "--summary"], "--summary is not for --engine ray"),
        (["camera:0", "--out", "o.parquet"], "camera:0: --engine ray takes files and folders"),
        (["-", "--out", "o.parquet"], "standard input: --engine ray takes files and folders"),
        (["a.jpg", "--out", "o.parquet", "--smooth", "0"], "--smooth"),
        (["--out", "o.parquet"], "name pictures, films or folders"),
    ],
)
def test_what_makes_no_sense_on_a_cluster(arguments, named, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mien.cluster.engine.load", lambda address: None)
    finished = run("analyze", *arguments, "--engine", "ray")
    assert (finished.status, finished.out) == (2, "")
    assert named in finished.err
    assert len(finished.err.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_an_address_is_for_ray(run, astronaut):
    finished = run("analyze", astronaut, "--address", "auto")
    assert (finished.status, len(finished.err.splitlines())) == (2, 1)


def test_without_ray_the_extra_is_named(run, astronaut, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    finished = run("analyze", astronaut, "--engine", "ray", "--out", tmp_path / "o.parquet")
    assert finished.status != 0
    assert finished.err == "mien: --engine ray needs an optional part: pip install 'mien[ray]'\n"
    assert not (tmp_path / "o.parquet").exists()
