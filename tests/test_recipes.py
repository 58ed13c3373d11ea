"""The recipes of the founding projects, whole, on a handful of pictures and small networks of the same classes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.datasets.labelled import read_labelled_faces
from mien.errors import DataError, UsageError

torch = pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")
transformers = pytest.importorskip("transformers", reason="training is an extra: pip install 'mien[train]'")

from mien.training.folder import RunFolder  # noqa: E402
from mien.training.networks.inception_resnet import InceptionResnetV1  # noqa: E402
from mien.training.recipe import TransferRecipe, nearest_shipped, parse_recipe, read_recipe, recipe_names  # noqa: E402
from mien.training.transfer import parted  # noqa: E402

FIVE = ["angry", "disgusted", "happy", "sad", "surprised"]
MIEN = Path(sys.executable).with_name("mien")
SMALL = ["--set", "size=32", "--set", "batch_size=16", "--set", "precision=32-true"]


def labelled(root: Path, counts: dict[str, int], emotions=FIVE, *, copies: bool = False) -> Path:
    """Write a set whose emotions are levels of grey, so that anything can learn them."""
    random = np.random.default_rng(0)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group"])
        for split, count in counts.items():
            (root / split).mkdir()
            for i in range(count):
                which = i % len(emotions)
                name = f"{split}/{i:03d}.png"
                level = random.normal(40 + 170 * which / len(emotions), 6, (32, 32, 3)).clip(0, 255)
                Image.fromarray(level.astype(np.uint8)).save(root / name)
                origin = f"{split}/{i - i % (2 * len(emotions)) + which:03d}.png" if copies else name
                writer.writerow([name, split, emotions[which], origin])
    return root


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """Return a ResNet of the real class and a hundredth of the size, saved as the hub's are."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic"
    )
    folder = tmp_path_factory.mktemp("resnet")
    transformers.ResNetModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("five"), {"train": 60, "public_test": 20, "private_test": 20})


@pytest.fixture(scope="module")
def colourful(tmp_path_factory):
    """Return a folder of pictures in colour, without labels."""
    folder, random = tmp_path_factory.mktemp("colourful"), np.random.default_rng(1)
    for i in range(40):
        rough = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8))
        rough.resize((70, 60), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def epochs(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def weights(run: Path) -> dict:
    return RunFolder(run).network_weights()


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_say_what_they_are_and_are_kept_whole(run, name):
    shown = run("train", name, "--show").out
    assert shown.startswith("#")
    assert parse_recipe(shown) == read_recipe(name) == parse_recipe(read_recipe(name).to_toml())


def test_settings_of_recipes_are_checked(run, five):
    for setting, reason in (
        ("hue=2", "hue lies between 0 and 0.5"),
        ("split=[0.5, 0.4]", "shares that sum to 1"),
        ("optimiser=magic", "optimiser is one of adamw, sgd"),
        ("emotions=two", "emotions is one of"),
        ("kind=chain", "the kind of a recipe is what it is"),
        ("learning_speed=1", "unknown key learning_speed"),
    ):
        done = run("train", "fer-five", "--data", five, "--set", setting)
        assert (done.status, reason in done.err) == (2, True), (setting, done.err)
    assert run("train", "chain-five", "--data", five, "--set", "epochs=2").status == 2


def test_a_recipe_of_ones_own(run, five, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(run("train", "web-five", "--show").out.replace('emotions = "five"', 'emotions = "three"'))
    assert read_recipe(str(mine)) == read_recipe("web-five", ["emotions=three"])
    shown = run("train", mine, "--show", "--set", "epochs=2").out
    assert parse_recipe(shown) == read_recipe("web-five", ["emotions=three", "epochs=2"])
    # what it is made from need not be said: a model tells how it differs from what everybody has
    assert nearest_shipped(read_recipe(str(mine), ["epochs=2"]))[0] == "web-five"
    for text, reason in (
        (None, "the recipe cannot be read (No such file or directory)"),
        ("kind = ", "not TOML"),
        ('kind = "transfer"', "the key"),
        ('kind = "soup"', "kind is one of"),
    ):
        mine.unlink(missing_ok=True)
        if text is not None:
            mine.write_text(text)
        done = run("train", mine, "--data", five)
        assert (done.status, reason in done.err, done.err.count("\n")) == (2, True, 1), done.err
    assert "name a file of your own" in run("train", "mine", "--data", five).err


@pytest.fixture(scope="module")
def chain(resnet, five, colourful, tmp_path_factory):
    """Return the folder of a chain that has run, and the command for it."""
    root = tmp_path_factory.mktemp("chain")
    (root / "data").mkdir()
    (root / "data" / "gray-imagenet").symlink_to(colourful)
    (root / "data" / "fer-five").symlink_to(five)
    (root / "data" / "web-five").mkdir()
    labelled(root / "data" / "web-five", {"train": 60}, copies=True)
    command = ["train", "chain-five", "--data", root / "data"]
    for stage in ("gray-imagenet", "fer-five", "web-five"):
        for change in ("size=32", "epochs=2", "batch_size=16", "precision=32-true"):
            command += ["--set", f"{stage}.{change}"]
    command += ["--set", f"gray-imagenet.weights={resnet}", "--set", "gray-imagenet.learning_rate=0.003"]
    done = subprocess.run([MIEN, *map(str, command), "--run", root / "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / "run", command


def test_the_grey_network_sees_more_of_what_the_original_sees(chain):
    folder, _ = chain
    facts = json.loads((folder / "gray-imagenet" / "run.json").read_text())
    before, after = facts["mean_cosine_before"], epochs(folder / "gray-imagenet")[-1]
    assert set(before) == {"summed", "random"}
    assert after["mean_cosine"] > before["summed"]
    assert after["mean_cosine_of_other_start"] > before["random"]


def test_each_stage_begins_with_what_the_one_before_has_made(chain):
    folder, _ = chain
    grey, fer, web = (weights(folder / stage) for stage in ("gray-imagenet", "fer-five", "web-five"))
    assert any(name.startswith("network.embedder") for name in grey)
    assert json.loads((folder / "fer-five" / "run.json").read_text())["init"] == "gray-imagenet"
    # the third stage trains only the last stage and the head: the rest is the second's, statistics too
    frozen = [name for name in fer if "embedder" in name or any(f"stages.{i}." in name for i in (0, 1, 2))]
    assert len(frozen) > 20
    assert all(torch.equal(fer[name], web[name]) for name in frozen)
    assert not torch.equal(fer["head.3.weight"], web["head.3.weight"])
    assert any(not torch.equal(fer[name], web[name]) for name in fer if "stages.3." in name)
    assert not torch.equal(
        grey["network.embedder.embedder.convolution.weight"],
        fer["backbone.network.embedder.embedder.convolution.weight"],
    )


@pytest.mark.parametrize("stage", ["gray-imagenet", "fer-five", "web-five"])
def test_a_run_leaves_what_a_person_looks_at(chain, stage):
    folder = chain[0] / stage
    for name in ("seen.png", "curves.png", "predictions.png"):
        with Image.open(folder / name) as image:
            assert min(image.size) > 50
    text = (folder / "report.md").read_text()
    assert f"# Run of {stage}" in text
    assert list((folder / "logs").iterdir())  # for TensorBoard
    assert not list(folder.rglob("*.partial"))


def test_a_chain_goes_on_where_it_was_stopped(run, chain, tmp_path):
    import shutil

    folder, command = chain
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    (again / "web-five" / "report.md").unlink()  # as if it had been killed in its last stage, after an epoch
    before = weights(again / "web-five")
    sets = [part for part in command if part not in ("--set",) and "=" not in str(part)]
    done = run(*sets, "--run", again, "--resume")
    assert done.status == 0, done.err
    assert (again / "web-five" / "report.md").is_file()
    after = weights(again / "web-five")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run(*sets, "--run", again).status == 2  # not without --resume


def test_a_model_of_a_chain_is_used_like_the_shipped_one(run, chain, tmp_path, astronaut):
    import mien

    file = tmp_path / "five.onnx"
    done = run("export", chain[0] / "web-five", file)
    assert done.status == 0, done.err
    (face,) = mien.analyze(astronaut, model=file).faces
    assert [str(emotion) for emotion in face.scores] == FIVE
    assert run("export", chain[0] / "gray-imagenet", tmp_path / "grey.onnx").status == 2
    fer = tmp_path / "fer.onnx"
    assert run("export", chain[0] / "fer-five", fer).status == 0
    data = json.loads((chain[0] / "fer-five" / "run.json").read_text())["data"]
    told = run("evaluate", fer, "--data", data).out
    assert "differ by 0.00 points at most" in told


def test_pictures_of_one_origin_fall_on_one_side(tmp_path):
    faces = read_labelled_faces(labelled(tmp_path, {"train": 200}, copies=True))
    recipe = read_recipe("web-five")
    assert isinstance(recipe, TransferRecipe)
    train, validation, test = parted(faces, recipe)
    assert len(test) == 0
    assert not set(faces.groups[train]) & set(faces.groups[validation])
    assert len(train) + len(validation) == 200
    assert 0.6 < len(train) / 200 < 0.8


def test_an_emotion_without_pictures_is_told(tmp_path):
    faces = read_labelled_faces(labelled(tmp_path, {"train": 40, "public_test": 8}, FIVE[:4]))
    with pytest.raises(DataError, match="of surprised there is no picture to train on"):
        parted(faces, read_recipe("fer-five"))


def test_overfitting_a_few_pictures_shows_that_the_network_can_learn(run, resnet, five, tmp_path):
    more = ["--set", f"weights={resnet}", "--set", "epochs=40", "--set", "schedule=none", "--set", "dropout=0.0"]
    more += ["--set", "label_smoothing=0.0", "--set", "average_decay=0.0"]
    done = run("train", "fer-five", "--data", five, "--run", tmp_path / "run", "--overfit", "10", *SMALL, *more)
    assert done.status == 0, done.err
    assert epochs(tmp_path / "run")[-1]["accuracy"] >= 0.9


@pytest.mark.slow
def test_the_published_face_network_with_its_own_head(run, tmp_path):
    """With weights of nobody: the published ones cannot be had everywhere; the names and shapes are theirs."""
    torch.manual_seed(0)
    torch.save(InceptionResnetV1(10).state_dict(), tmp_path / "faces.pt")
    data = tmp_path / "data"
    data.mkdir()
    labelled(data, {"train": 60}, ["angry", "happy", "sad"])
    command = ["train", "vggface2-three", "--data", data, "--run", tmp_path / "run", "--set", "epochs=1"]
    command += ["--set", "size=96", "--set", "batch_size=16", "--set", "precision=32-true"]
    done = run(*command, "--set", f"weights={tmp_path / 'faces.pt'}")
    assert done.status == 0, done.err
    published, trained = torch.load(tmp_path / "faces.pt", weights_only=True), weights(tmp_path / "run")
    assert all(torch.equal(value, trained[f"backbone.network.{name}"]) for name, value in published.items())
    assert trained["head.0.weight"].shape == (300, 1792, 1, 1)
    assert [trained[f"head.{i}.weight"].shape for i in (5, 7, 9)] == [(150, 300), (30, 150), (3, 30)]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [facts[f"{part}_rows"] for part in ("training", "validation", "test")] == [48, 6, 6]
    done = run(*command[:3], data, "--run", tmp_path / "none")
    assert (done.status, "weights is empty" in done.err) == (2, True)


def test_networks_that_do_not_fit_are_told(run, chain, five, tmp_path):
    folder, _ = chain
    done = run("train", "fer-five", "--data", five, "--run", tmp_path / "a", "--init", tmp_path / "nowhere")
    assert (done.status, "not a run" in done.err) == (1, True)
    done = run(
        "train", "vggface2-three", "--data", five, "--run", tmp_path / "b", "--init", folder / "fer-five", *SMALL
    )
    assert (done.status, "colour is rgb" in done.err) == (2, True)
    done = run("train", "fer-five", "--data", five, "--run", tmp_path / "c", "--teacher", folder / "fer-five", *SMALL)
    assert (done.status, "--teacher is for the recipe embedded" in done.err) == (2, True)
    with pytest.raises(UsageError, match="kind is one of"):
        parse_recipe('kind = "something"')


@pytest.mark.slow
def test_two_processes_learn_as_one_does(five, tmp_path):
    """On a network without batch norm, whose batches are the same however they are shared out."""
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    network = transformers.ResNetModel(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as good as none: it never moves, and is frozen below
            module.running_var.fill_(1.0)
    network.save_pretrained(tmp_path / "resnet")
    still = ["rotation=0", "translation=0", "scale=0", "brightness=0", "contrast=0", "erase=0"]
    command = ["train", "fer-five", "--data", five, "--accelerator", "cpu", *SMALL]
    command += ["--set", f"weights={tmp_path / 'resnet'}", "--set", "unfreeze=0", "--set", "epochs=3"]
    command += ["--set", "dropout=0", "--set", "balance=0", *(part for key in still for part in ("--set", key))]
    curves = []
    for devices in (1, 2):
        folder = tmp_path / f"run{devices}"
        done = subprocess.run(
            [MIEN, *map(str, command), "--devices", str(devices), "--run", folder],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        curves.append([(epoch["train_loss"], epoch["validation_loss"]) for epoch in epochs(folder)])
    assert np.allclose(curves[0], curves[1], atol=0.01)


def test_every_fault_that_faces_are_shown_with_leaves_them_faces(shared):
    """Augmented pictures keep their range, their light and most of what is in them."""
    from mien.training.augmentation import augmentation

    from conftest import real_faces

    faces = torch.from_numpy(real_faces(shared, "public_test")[:64])[:, None].float() / 255
    for changes in ([], ["blur=1.0"], ["half_resolution=1.0"], ["jpeg=1.0"]):
        recipe = read_recipe("embedded", [*changes, "rotation=0", "translation=0", "scale=0", "erase=0"])
        torch.manual_seed(0)
        seen = augmentation(recipe)(faces.clone())
        assert seen.shape == faces.shape
        mirrored = torch.stack([faces, faces.flip(3)])
        likeness = torch.nn.functional.cosine_similarity(
            (mirrored - mirrored.mean(dim=(3, 4), keepdim=True)).flatten(2),
            (seen - seen.mean(dim=(2, 3), keepdim=True)).flatten(1)[None],
            dim=2,
        )
        assert likeness.amax(dim=0).median() > 0.9, changes
