"""What SECURITY.md promises of the code itself: no pickles, https and hashes, a workflow with least rights."""

import ast
import re

import pytest
import yaml

from mien.models.store import registry

from conftest import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Return all calls under what is called, as it is written."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nothing_is_unpickled():
    faults = []
    for path in SOURCES:
        for name, call in calls(ast.parse(path.read_text("utf-8"))):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            module, _, method = name.rpartition(".")
            if module in PICKLES and method != "dumps":
                faults.append(f"{path.name}: {name}")
            if name == "torch.load" and keywords.get("weights_only") != "True":
                faults.append(f"{path.name}: {name} without weights_only")
            if name.endswith("load_from_checkpoint") and keywords.get("weights_only") != "True":
                faults.append(f"{path.name}: {name} without weights_only")
            if "ckpt_path" in keywords and keywords.get("weights_only") != "True":
                faults.append(f"{path.name}: {name} takes a checkpoint without weights_only")
            if keywords.get("allow_pickle", "False") != "False":
                faults.append(f"{path.name}: {name} with pickles")
    assert not faults


def test_the_linters_refuse_pickles():
    """ruff's S301 looks at calls, and bandit at torch.load; nobody switches them off for the package."""
    settings = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^select = \[.*"S"', settings, re.MULTILINE)
    ignored = re.search(r"^ignore = \[(.*)\]", settings, re.MULTILINE)
    assert ignored is not None and not {"S301", "S3", "S614"} & set(re.findall(r"[A-Z]+[0-9]+", ignored[1]))
    assert not [path for path in SOURCES if re.search(r"noqa:[^#]*\bS30[0-9]|nosec", path.read_text("utf-8"))]
    assert re.search(r"bandit .*--severity-level medium src", (ROOT / "Makefile").read_text())


def test_models_are_fetched_by_https_and_known_by_their_hash():
    for entry in registry().values():
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.url is None or (entry.url.startswith("https://") and entry.size)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_nothing_else(path):
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text and "secrets." not in text
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "github.event" not in step.get("run", "")  # somebody else's words in a shell


def test_there_is_a_workflow():
    assert WORKFLOWS
