"""The notebook runs from its first cell to its last, on pictures made here and a small network.

The labels are arbitrary: the same four faces, under other light, lie in all three folders. What is tested is the
road, and no figure.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import mien

from conftest import EXAMPLES, ROOT

torch = pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")
transformers = pytest.importorskip("transformers", reason="training is an extra: pip install 'mien[train]'")
nbformat = pytest.importorskip("nbformat", reason="notebooks are run by nbclient: pip install 'mien[dev]'")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run by nbclient: pip install 'mien[dev]'")
pytest.importorskip("ipykernel", reason="notebooks are run by nbclient: pip install 'mien[dev]'")

NOTEBOOK = ROOT / "notebooks" / "three_emotions.ipynb"
EMOTIONS = ("angry", "happy", "sad")
EACH = 12


def make_pictures(folder: Path, analyzer: mien.Analyzer) -> None:
    """Write pictures of four people into a folder for each emotion, each under a light of its own."""
    random = np.random.default_rng(0)
    people = []
    for name in ("astronaut.jpg", "three_people.jpg"):
        with Image.open(EXAMPLES / name) as image:
            picture = image.convert("RGB")
        for face in analyzer.analyze(EXAMPLES / name).faces:
            x1, y1, x2, y2 = face.box
            x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, 1.1 * max(x2 - x1, y2 - y1)
            people.append(picture.crop((int(x - half), int(y - half), int(x + half), int(y + half))))
    assert len(people) == 4
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True)
        for i in range(EACH):
            person = people[i % len(people)].resize((200, 200), Image.Resampling.BICUBIC)
            if random.random() < 0.5:
                person = ImageOps.mirror(person)
            light = Image.fromarray(random.uniform(0.5, 1.4, (3, 3)).astype(np.float32))
            field = np.asarray(light.resize((200, 200), Image.Resampling.BICUBIC))[:, :, None]
            pixels = (np.asarray(person) * field * random.uniform(0.8, 1.2, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / emotion / f"{i:02d}.jpg", quality=95)
    Image.new("RGB", (120, 90), "teal").save(folder / "happy" / "nobody.png")
    (folder / "sad" / "three.jpg").write_bytes((EXAMPLES / "three_people.jpg").read_bytes())
    (folder / "angry" / "broken.png").write_bytes(b"no picture")


def make_film(file: Path) -> None:
    """Write a second of somebody who drifts across the picture."""
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        steps = [image.convert("RGB").crop((4 * i, 0, 4 * i + 360, 360)).resize((240, 240)) for i in range(10)]
    steps[0].save(file, save_all=True, append_images=steps[1:], duration=100, loop=0)


def stored_notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def text_of(notebook) -> str:
    """Return all that the cells have printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_no_output_and_nobodys_picture_is_stored():
    for cell in stored_notebook().cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
        assert not cell.get("attachments")
    assert NOTEBOOK.stat().st_size < 100_000


def test_the_notebook_trains_a_model_of_three_emotions(tmp_path, analyzer, astronaut, monkeypatch):
    make_pictures(tmp_path / "pictures", analyzer)
    make_film(tmp_path / "film.gif")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(tmp_path / "resnet")
    settings = {
        "PICTURES": tmp_path / "pictures",
        "WORK": tmp_path / "work",
        "BACKBONE": "resnet",
        "WEIGHTS": tmp_path / "resnet",
        "EPOCHS": 2,
        "BATCH": 8,
        "PRECISION": "32-true",
        "PHOTO": EXAMPLES / "three_people.jpg",
        "FILM": tmp_path / "film.gif",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"THREE_{name}", str(value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads only get in each other's way on a network as small
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = stored_notebook()
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=dict(os.environ))

    said = text_of(notebook)
    for reason in ("nobody.png: no face found", "three.jpg: several faces", "broken.png: cannot be read"):
        assert reason in said
    assert "test pictures" in said
    assert all("image/png" in cell.outputs[-1].data for cell in notebook.cells if "plt.show()" in cell.source[-12:])
    for made in ("run/report.md", "run-thawed/report.md", "film.png"):
        assert (tmp_path / "work" / made).is_file()
    (face,) = mien.analyze(astronaut, model=tmp_path / "work" / "three.onnx").faces
    assert [str(emotion) for emotion in face.scores] == list(EMOTIONS)
    assert sum(face.scores.values()) == pytest.approx(1)
