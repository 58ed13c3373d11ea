"""The road by which a model is made, on a handful of pictures: data → train → export → analyze."""

import csv
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.classifier import open_classifier
from mien.datasets.labelled import VOTES, read_labelled_faces
from mien.errors import DataError, UsageError

torch = pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")

from mien.training.job import Inputs  # noqa: E402
from mien.training.networks.counting import multiply_adds  # noqa: E402
from mien.training.networks.embedded import EmbeddedNetwork, ResidualNetwork, build_network, even_contrast  # noqa: E402
from mien.training.recipe import parse_recipe, read_recipe  # noqa: E402
from mien.training.targets import (  # noqa: E402
    FER2013_OUTPUT,
    Targets,
    repetitions,
    training_rows,
    vote_distribution,
)

COPIED = "train/001.png"
SMALL = ["stem=8", "widths=[8, 16]", "blocks=[1, 1]", "epochs=2", "batch_size=16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a set of two kinds of pictures: light ones that all call happy, and dark ones, labelled sad,
    that the raters call angry. One test picture is a copy of a training picture."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", *VOTES])
        for split, count in (("train", 64), ("public_test", 24), ("private_test", 24)):
            (root / split).mkdir()
            for i in range(count):
                happy = i % 2 == 0
                name = f"{split}/{i:03d}.png"
                level = random.normal(170 if happy else 90, 20, (48, 48)).clip(0, 255).astype(np.uint8)
                Image.fromarray(level).save(root / name)
                votes = [0] * 10
                votes[1 if happy else 4] = 10
                copied = split == "private_test" and i == 0
                writer.writerow([name, split, "happy" if happy else "sad", COPIED if copied else name, *votes])
    (root / "data.txt").write_text("toy pictures: ours\n")
    return root


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Return the folder of a run of two epochs."""
    from mien.training.run import train

    run = tmp_path_factory.mktemp("runs") / "whole"
    train(read_recipe("embedded", SMALL), name="embedded", inputs=Inputs(data), run=run)
    return run


def weights(run) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def figures(run) -> list[dict[str, str]]:
    """Return the lines of metrics.csv, without what each epoch took."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def test_a_run_leaves_all_that_is_needed_to_repeat_it(finished, data):
    facts = json.loads((finished / "run.json").read_text())
    assert facts["training_rows"] == 63  # without the one that has a copy among the test pictures
    assert facts["data"] == str(data)
    assert {"mien", "torch", "lightning", "python"} <= set(facts["versions"])
    assert parse_recipe((finished / "recipe.toml").read_text()) == read_recipe("embedded", SMALL)
    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(0 <= float(row["fer2013_accuracy"]) <= 1 for row in rows)


def test_a_resumed_run_equals_an_undisturbed_one_and_exports_on_the_way(finished, data, tmp_path):
    from mien.training.export import export_run
    from mien.training.run import train

    class StoppedError(Exception):
        pass

    from mien.training import run as module

    original = module.EpochLog.on_train_epoch_start

    def interrupted(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise StoppedError
        original(self, trainer, pl_module)

    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.EpochLog, "on_train_epoch_start", interrupted)
        with pytest.raises(StoppedError):
            train(read_recipe("embedded", SMALL), name="embedded", inputs=Inputs(data), run=broken)
    assert export_run(broken, tmp_path / "unfinished.onnx").epoch == 0
    with (broken / "metrics.csv").open("a") as file:
        file.write("1,0.5\n2,0.")  # of an epoch whose checkpoint was not written any more, and a torn line
    train(read_recipe("embedded"), name="embedded", inputs=Inputs(data), run=broken, resume=True)
    wanted, got = weights(finished), weights(broken)
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert figures(broken) == figures(finished)


def test_a_checkpoint_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    """And it does not come from another folder, which may be on another disk."""
    from mien.training.checkpoints import WholeCheckpoints

    path = tmp_path / "run" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    moved, replace_file = [], Path.replace

    def replaces(self, target):
        assert torch.load(self, weights_only=True) == {"epoch": 2}
        assert torch.load(target, weights_only=True) == {"epoch": 1}
        moved.append((self.parent, target))
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", replaces)
    WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert moved == [(path.parent, path)]
    assert torch.load(path, weights_only=True) == {"epoch": 2}


def test_export_describes_itself_and_is_used_like_the_shipped_one(run, finished, data, tmp_path, astronaut):
    import mien
    from mien.classifier import open_classifier

    file = tmp_path / "mine.onnx"
    done = run("export", finished, file, "--licence", "CC0-1.0")
    assert done.status == 0
    assert "differs from torch by" in done.err
    metadata = open_classifier(file).metadata
    assert metadata.extra["run"]["training_rows"] == 63
    own = [s for s in metadata.scores if s["emotions"] in ("seven", "eight")]
    own = [s for s in own if s["labels"] == "fer2013" or s["emotions"] == "eight"]
    assert len({(s["labels"], s["split"], s["subset"], s["flip"]) for s in own}) == 24
    rows = {"all": 24, "deduplicated": 23}
    assert all(s["n"] == rows[s["subset"]] for s in own if s["split"] == "private_test")
    assert all(output.temperature != 1.0 for output in metadata.outputs)  # both were fitted
    assert str(data) not in metadata.to_json()  # paths of this machine are nobody's business
    command = shlex.split(metadata.reproduce)
    settings = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
    assert read_recipe("embedded", settings) == read_recipe("embedded", SMALL)
    assert metadata.data == ("toy pictures: ours",)
    assert metadata.licence == "CC0-1.0"
    (face,) = mien.analyze(astronaut, model=file).faces
    assert sum(face.scores.values()) == pytest.approx(1)

    assert run("export", finished, file).status == 2
    assert run("export", finished, file, "--overwrite").status == 0


def test_export_scores_what_the_network_says(finished, data, tmp_path):
    """The score in the file is that of the averaged weights in torch, counted independently."""
    from mien.training.export import export_run
    from mien.training.targets import normalise

    report = export_run(finished, tmp_path / "m.onnx")
    recipe = parse_recipe((finished / "recipe.toml").read_text())
    network = build_network(recipe).eval()
    best = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    network.load_state_dict({k.removeprefix("network."): v for k, v in best.items() if k.startswith("network.")})
    faces = read_labelled_faces(data).split("private_test")
    with torch.inference_mode():
        answers = network(normalise(torch.from_numpy(faces.pictures(48)[:, None])))[1].argmax(dim=1)
    names = [FER2013_OUTPUT[i].value for i in answers.tolist()]
    accuracy = 100 * np.mean([a == b for a, b in zip(names, faces.labels.tolist(), strict=True)])
    (stated,) = (s.accuracy for s in report.scores if s.labels == "fer2013")
    assert stated == pytest.approx(accuracy, abs=0.01)


def test_an_export_that_differs_from_torch_is_refused(run, finished, tmp_path, monkeypatch):
    from mien.training import export

    original = export._to_onnx
    other = EmbeddedNetwork(ResidualNetwork(stem=8, widths=[8, 16], blocks=[1, 1]), features=16).eval()
    monkeypatch.setattr(export, "_to_onnx", lambda subject: original(replace(subject, network=other)))
    done = run("export", finished, tmp_path / "m.onnx")
    assert done.status != 0
    assert "differs from torch" in done.err
    assert list(tmp_path.iterdir()) == []


def test_other_data_than_the_runs_own_is_refused(run, finished, data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    assert run("export", finished, tmp_path / "m.onnx", "--data", other).status == 0  # moved, but the same
    with (other / "metadata.csv").open("a") as file:
        file.write("train/000.png,train,sad,train/000.png,0,0,0,10,0,0,0,0,0,0\n")
    assert run("export", finished, tmp_path / "n.onnx", "--data", other).status == 1
    done = run("train", "embedded", "--data", other, "--run", finished, "--resume")
    assert done.status == 1
    assert "not the data" in done.err


def test_a_start_that_failed_does_not_block_the_next(data, tmp_path):
    from mien.training.run import train

    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / "recipe.toml").write_text("")
    (dead / "seen.png.partial").write_bytes(b"cut")
    train(read_recipe("embedded", [*SMALL, "epochs=1"]), name="embedded", inputs=Inputs(data), run=dead)
    assert (dead / "checkpoints" / "last.ckpt").is_file()
    assert not list(dead.rglob("*.partial"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a run"):
        train(read_recipe("embedded", SMALL), name="embedded", inputs=Inputs(data), run=tmp_path / "mine")


def test_export_of_what_is_no_run(run, tmp_path):
    done = run("export", tmp_path, tmp_path / "m.onnx")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
    assert not (tmp_path / "m.onnx").exists()


def test_existing_runs_are_kept(run, finished, data):
    done = run("train", "embedded", "--data", data, "--run", finished)
    assert done.status == 2
    assert "--resume" in done.err
    done = run("train", "embedded", "--data", data, "--run", finished, "--resume", "--set", "epochs=3")
    assert done.status == 2


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("epoch=3", "unknown key epoch"),
        ("epochs=many", "epochs should be a whole number"),
        ("epochs=0", "at least 1"),
        ("momentum=-1", "momentum lies between 0 and 1"),
        ("learning_rate=nan", "learning_rate lies between"),
        ("precision=exact", "precision is one of 32-true"),
        ("widths=[8]", "one entry for each stage"),
        ("weights=faces.pt", "for the backbone mobilenet"),
        ("backbone=transformer", "backbone is one of residual, mobilenet"),
        ("widths=8", "a list of whole numbers"),
        ("epochs", "key=value"),
    ],
)
def test_settings_are_checked_before_anything_starts(setting, reason):
    with pytest.raises(UsageError, match=reason):
        read_recipe("embedded", [setting])


def test_train_from_the_command_line_says_what_is_wrong(run, tmp_path):
    assert run("train", "nothing", "--data", tmp_path).status == 2
    assert run("train", "embedded").status == 2
    done = run("train", "embedded", "--data", tmp_path, "--run", tmp_path / "run")
    assert done.status == 1
    assert "metadata.csv" in done.err
    assert not (tmp_path / "run").exists()
    shown = run("train", "embedded", "--show", "--set", "epochs=7").out
    assert parse_recipe(shown).epochs == 7


def test_copies_of_test_pictures_and_non_faces_are_not_trained_on(tmp_path):
    rows = [
        ("train/0.png", "train", "train/0.png", 0),
        ("train/1.png", "train", "train/1.png", 0),  # has a copy in private_test
        ("train/2.png", "train", "train/0.png", 0),  # a further copy within train
        ("train/3.png", "train", "train/3.png", 5),  # half of the raters saw no face
        ("private_test/4.png", "private_test", "train/1.png", 0),
        ("train/5.png", "train", "train/5.png", 0),  # looks like a picture in private_test, and is no copy
        ("private_test/6.png", "private_test", "private_test/6.png", 0),
    ]
    alike = {"private_test/6.png": "train/5.png"}
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", "similar", *VOTES])
        for name, split, group, not_a_face in rows:
            votes = [0, 10 - not_a_face, *[0] * 7, not_a_face]
            writer.writerow([name, split, "happy", group, alike.get(name, group), *votes])
    chosen = training_rows(read_labelled_faces(tmp_path), max_not_a_face_votes=4)
    assert chosen.tolist() == [True, False, False, False, False, False, False]


def test_vote_distribution_leaves_out_single_raters_and_unknown():
    # neutral happiness surprise sadness anger disgust fear contempt unknown NF
    votes = np.array([[6, 3, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 9, 1], [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]])
    shares = vote_distribution(votes, min_votes=2)
    # angry contemptuous disgusted fearful happy neutral sad surprised
    assert shares[0] == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3, 0, 0])
    assert not shares[1:].any()


def test_rare_emotions_are_repeated_by_label_and_by_majority():
    votes = torch.eye(8)[torch.tensor([0] * 40 + [1] * 20 + [2] * 9 + [3])]  # counts 40, 20, 9, 1: median 14.5
    labels = torch.tensor([0] * 35 + [1] * 35)
    rows = Targets(torch.zeros(70, 1, 1, 1), votes, labels)
    times = repetitions(rows, balance=0.5)
    assert times.tolist() == [1] * 69 + [4]  # the root of 14.5 / 1, and of 14.5 / 9, rounded
    assert repetitions(rows, balance=1.0).tolist() == [1] * 60 + [2] * 9 + [14]
    assert repetitions(rows, balance=0.0).tolist() == [1] * 70


def test_light_and_contrast_do_not_reach_the_network():
    faces = torch.rand(2, 1, 48, 48) * 2 - 1
    evened = even_contrast(faces)
    assert float(evened.mean()) == pytest.approx(0, abs=1e-5)
    assert float(evened.std()) == pytest.approx(1, abs=0.05)
    assert torch.allclose(evened, even_contrast(faces * 0.6 + 0.3), atol=0.1)
    assert torch.equal(even_contrast(torch.full((1, 1, 48, 48), 0.5)), torch.zeros(1, 1, 48, 48))


def test_multiply_adds_by_hand():
    network = EmbeddedNetwork(ResidualNetwork(stem=2, widths=[4], blocks=[1]), features=4)
    stem = 48 * 48 * 9 * 1 * 2
    block = 24 * 24 * (9 * 2 * 4 + 9 * 4 * 4 + 2 * 4)
    assert multiply_adds(network, 48) == stem + block + 4 * 15


def test_a_student_imitates_its_teachers(run, finished, exported, data, tmp_path):
    """With the teachers' share at 1 the labels do not matter: the student says what the teacher says."""
    from mien.training.embedded import EmbeddedModule
    from mien.training.folder import RunFolder
    from mien.training.teachers import open_teacher

    recipe = read_recipe("embedded", [*SMALL, "teacher_share=1.0"])
    module = EmbeddedModule(recipe, steps_per_epoch=1, teachers=[open_teacher(finished, recipe)], plain=True)
    module.network.load_state_dict(RunFolder(finished).network_weights())
    module.eval()
    module.log = lambda *args, **options: None
    pictures = torch.randint(0, 256, (8, 1, 48, 48), dtype=torch.uint8)
    votes, labels = torch.eye(8), torch.arange(8) % 7
    loss = module.training_step((pictures, votes, labels), 0)
    other = module.training_step((pictures, votes.flip(0), labels.flip(0)), 0)
    assert loss == other
    gradient = torch.autograd.grad(loss, module.network.votes.weight)[0]
    assert gradient.abs().max() < 1e-4  # it is as near as it can be
    assert not any(name.startswith("teacher") for name in module.state_dict())
    teachers = ["--teacher", finished, "--teacher", exported]
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "s", *teachers, *_sets(SMALL))
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "s" / "run.json").read_text())["teachers"] == ["whole", "whole.onnx"]


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """Return the model of the run."""
    from mien.training.export import export_run

    file = tmp_path_factory.mktemp("models") / "whole.onnx"
    export_run(finished, file)
    return file


def test_a_model_teaches_what_it_says_itself(finished, exported, data, tmp_path):
    from mien.training.teachers import open_teacher

    recipe = read_recipe("embedded", SMALL)
    pictures = read_labelled_faces(data).split("public_test").pictures(48)
    said = open_teacher(exported, recipe)(torch.from_numpy(pictures)[:, None].float())
    for own, wanted in zip(said, open_classifier(exported)(pictures), strict=True):
        assert np.allclose(own.softmax(dim=1).numpy(), wanted, atol=1e-6)
    with pytest.raises(DataError, match="takes grey faces of 40 pixels"):
        open_teacher(exported, read_recipe("embedded", [*SMALL, "size=40"]))
    with pytest.raises(DataError, match="not a run"):
        open_teacher(tmp_path, recipe)


def test_teachers_see_pictures_whole(data):
    """The network sees what is covered and blurred, its teachers what it was before that, moved alike."""
    from mien.training.embedded import EmbeddedModule

    shown = []

    def teacher(faces):
        shown.append(faces)
        return torch.zeros(len(faces), 8), torch.zeros(len(faces), 7)

    ruined = ["blur=1.0", "half_resolution=1.0", "jpeg=1.0", "erase=1.0"]
    recipe = read_recipe("embedded", [*SMALL, *ruined, "brightness=0.0", "contrast=0.0", "scale=0.0"])
    module = EmbeddedModule(recipe, steps_per_epoch=1, teachers=[teacher])
    module.log = lambda *args, **options: None
    module.network.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0] * 64 + 128))
    ramp = torch.arange(48.0).repeat(48, 1) * 2 + torch.randint(0, 100, (48, 48)) + 20
    pictures = ramp.repeat(32, 1, 1, 1).byte()
    module.training_step((pictures, torch.eye(8).repeat(4, 1), torch.zeros(32, dtype=torch.int64)), 0)
    seen, clear = shown
    rough = [float((faces[..., 1:] - faces[..., :-1]).abs().mean()) for faces in (pictures.float(), clear, seen)]
    assert rough[1] > 0.5 * rough[0] > 2 * rough[2]  # turning smooths a little
    coarse = [torch.nn.functional.avg_pool2d(faces, 8).flatten(1) for faces in (seen, clear)]
    assert torch.nn.functional.cosine_similarity(*coarse).min() > 0.95


@pytest.mark.parametrize("half", [False, True])
def test_a_run_begins_from_a_model(run, finished, data, tmp_path, half):
    """The network that is to be trained says what the model says, batch norms and all."""
    from mien.training.beginning import begin
    from mien.training.export import Storage, export_run
    from mien.training.targets import normalise

    model = tmp_path / "model.onnx"
    export_run(finished, model, storage=Storage.HALF if half else None)
    recipe = read_recipe("embedded", SMALL)
    network = build_network(recipe)
    pictures = read_labelled_faces(data).split("private_test").pictures(48)
    faces = normalise(torch.from_numpy(pictures)[:, None])
    begin(network, recipe, init=model, pictures=faces)
    classifier = open_classifier(model)
    for training in (False, True):  # batch statistics are those of the pictures
        network.train(training).dropout.eval()
        with torch.no_grad():
            logits = network(faces)
        for own, output, wanted in zip(logits, classifier.metadata.outputs, classifier(pictures), strict=True):
            assert np.allclose((own / output.temperature).softmax(dim=1).numpy(), wanted, atol=1e-3)


@pytest.mark.slow
def test_the_last_epoch_is_exported_where_asked_for(run, finished, tmp_path):
    from mien.training.folder import RunFolder

    apart = tmp_path / "run"
    shutil.copytree(finished, apart)
    checkpoint = torch.load(apart / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["state_dict"]["network.votes.bias"][3] += 100.0  # what only the last epoch says
    torch.save(checkpoint, apart / "checkpoints" / "last.ckpt")
    assert RunFolder(apart).network_weights(last=True)["votes.bias"][3] > 50
    for options, sure in (((), False), (("--last",), True)):
        file = tmp_path / f"{len(options)}.onnx"
        done = run("export", apart, file, *options)
        assert done.status == 0, done.err
        classifier = open_classifier(file)
        said = classifier(np.full((1, 48, 48), 128, np.uint8))[0][0]
        assert (said.argmax() == 3 and said[3] > 0.99) == sure
        assert classifier.metadata.reproduce.endswith(" --last") == sure


def test_a_model_of_other_layers_is_no_beginning(run, exported, data, tmp_path):
    other = _sets([*SMALL, "widths=[8, 32]"])
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "o", "--init", exported, *other)
    assert (done.status, "has other layers than this recipe's" in done.err) == (2, True)
    same = _sets([*SMALL, "epochs=1"])
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "s", "--init", exported, *same)
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "s" / "run.json").read_text())["init"] == "whole.onnx"


def test_a_run_begins_from_another(run, finished, data, tmp_path):
    """After no step to speak of, the network is still the one that it began from."""
    from mien.training.folder import RunFolder

    still = [*SMALL, "epochs=1", "learning_rate=1e-9", "average_decay=0.0"]
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "s", "--init", finished, *_sets(still))
    assert done.status == 0, done.err
    before, after = (RunFolder(path).network_weights() for path in (finished, tmp_path / "s"))
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(after[name], before[name], atol=1e-5) for name in learned)
    other = [*SMALL, "widths=[8, 32]"]
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "o", "--init", finished, *_sets(other))
    assert done.status == 1
    assert "has other layers than this recipe's" in done.err
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_face_network_is_trained_and_exported(run, data, tmp_path):
    """From a file of its weights to a model that answers as torch does (the export compares them)."""
    from mien.training.networks.mobilenet import MobileNet

    torch.save(MobileNet(side=32).state_dict(), tmp_path / "faces.pt")
    settings = ["backbone=mobilenet", f"weights={tmp_path / 'faces.pt'}", "enlarged=32", "frozen=3", "epochs=1"]
    done = run("train", "embedded", "--data", data, "--run", tmp_path / "f", *_sets([*settings, "batch_size=16"]))
    assert done.status == 0, done.err
    done = run("export", tmp_path / "f", tmp_path / "f.onnx")
    assert done.status == 0, done.err
    missing = run(
        "train", "embedded", "--data", data, "--run", tmp_path / "m", *_sets([*settings, "weights=none.pt"])
    )
    assert (missing.status, "no such file of weights" in missing.err) == (2, True)


def _sets(settings):
    return [part for setting in settings for part in ("--set", setting)]
