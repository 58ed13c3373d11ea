"""Records as Parquet, as a reader of the file meets them."""

import csv
import subprocess
import sys

import pytest

import mien
from mien.emotions import SETS
from mien.errors import MissingExtraError, OutputError
from mien.results import Face, Result, columns
from mien.sinks import Csv, Parquet, Records

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

EMOTIONS = SETS["eight"]
SCORES = {emotion: 0.65 if emotion == "happy" else 0.05 for emotion in EMOTIONS}
FACE = Face((1.0, 2.0, 30.25, 40.0), 0.99, SCORES, track=3, smoothed=SCORES)
FILM = [
    Result("clip.mp4", 0, 0.0, 64, 48, "m", (FACE, Face((0.0, 0.0, 9.0, 9.0), None, SCORES))),
    Result("clip.mp4", 1, 0.04, 64, 48, "m"),
    Result("bad.jpg", 0, None, None, None, "m", error="bad.jpg: not a picture"),
]


def test_the_table_is_that_of_the_csv_with_types(tmp_path):
    table, text = Parquet(tmp_path / "a.parquet", EMOTIONS), Records(tmp_path / "a.csv", Csv(EMOTIONS))
    for result in FILM:
        table.write(result, None)
        text.write(result, None)
    table.close()
    text.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.parquet"]
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.column_names == columns(EMOTIONS)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [{name: "" if value is None else str(value) for name, value in row.items()} for row in read.to_pylist()]
    assert shown == rows
    types = {field.name: str(field.type) for field in read.schema}
    assert (types["source"], types["face"], types["track"]) == ("string", "int32", "int64")
    assert (types["time"], types["score_happy"], types["error"]) == ("double", "double", "string")
    assert read.schema.metadata == {b"mien.schema": b"1", b"mien.version": mien.__version__.encode()}


def test_rows_are_written_as_they_come_and_compressed(tmp_path):
    sink = Parquet(tmp_path / "a.parquet", EMOTIONS)
    for number in range(10_000):
        sink.write(Result("clip.mp4", number, number / 25, 64, 48, "m", (FACE,)), None)
    assert (tmp_path / "a.parquet.partial").stat().st_size > 1000
    sink.close()
    facts = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert (facts.num_rows, facts.num_row_groups) == (10_000, 3)
    assert facts.row_group(0).column(1).compression == "ZSTD"


def test_what_came_before_an_interruption_can_be_read(tmp_path):
    sink = Parquet(tmp_path / "a.parquet", EMOTIONS)
    sink.write(FILM[0], None)
    sink.close(complete=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet.partial"]
    assert pq.read_table(tmp_path / "a.parquet.partial").num_rows == 2
    with pytest.raises(OutputError, match=r"left by an interrupted run"):
        Parquet(tmp_path / "a.parquet", EMOTIONS)
    Parquet(tmp_path / "a.parquet", EMOTIONS, overwrite=True).close(complete=False)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_tell_is_an_empty_table(tmp_path):
    Parquet(tmp_path / "new" / "a.parquet", EMOTIONS).close()
    assert pq.read_table(tmp_path / "new" / "a.parquet").shape == (0, len(columns(EMOTIONS)))


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    sink = Parquet(tmp_path / "a.parquet", EMOTIONS)
    sink.write(Result("na\udcffme.jpg", 0, None, 64, 48, "m"), None)
    sink.close()
    assert pq.read_table(tmp_path / "a.parquet")["source"].to_pylist() == ["na\\udcffme.jpg"]


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"mien\[parquet\]"):
        Parquet(tmp_path / "a.parquet", EMOTIONS)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from mien.emotions import SETS
from mien.errors import OutputError
from mien.results import Result
from mien.sinks import Parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
sink = Parquet(Path(sys.argv[1]), SETS["eight"])
try:
    for number in range(20_000):
        sink.write(Result(f"{number * 7919 % 10007}.jpg", number, None, 1, 1, "m"), None)
    sink.close()
except OutputError as error:
    print(error)
sink.close(complete=False)
"""


@pytest.mark.parametrize("limit", [2, 30_000])
def test_a_full_disk_is_told_and_leaves_nothing_that_cannot_be_read(tmp_path, limit):
    pytest.importorskip("resource", reason="needs a system with limits on the size of files")
    target = tmp_path / "a.parquet"
    command = [sys.executable, "-c", FULL_DISK, str(target), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == f"{target}: cannot be written (File too large)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_sinks_import_neither_pyarrow_nor_av():
    code = "import mien.sinks, sys; print({'pyarrow', 'av'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
