"""`mien analyze --engine ray` on clusters of one machine: nodes of one core each."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from mien.cluster import find_sources, run
from mien.cluster.starting import load, started
from mien.errors import MissingExtraError, OutputError
from test_cluster import SETTINGS, assert_same_rows, begun, folder, local_rows, rows_of

pytestmark = pytest.mark.slow
__all__ = ["folder"]


@pytest.fixture(scope="module")
def ray():
    try:
        return load()
    except MissingExtraError:
        pytest.skip("needs Ray: pip install 'mien[ray]'")


@pytest.fixture(scope="module")
def nodes(ray):
    """Return a cluster of two nodes of one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    with started(cluster.address):
        yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def names(folder, tmp_path_factory):
    """Return pictures and films for a dozen tasks."""
    path = tmp_path_factory.mktemp("more")
    for number in range(200):
        os.link(folder / "a.jpg", path / f"{number:03}.jpg")
    return list(find_sources([str(folder), str(path)], recursive=False, failed=pytest.fail))


@pytest.fixture(scope="module")
def rows(analyzer, names):
    return local_rows(analyzer, names)


def actors():
    """Return the processes of the pool."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "MapWorker" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_two_nodes_give_the_rows_of_one_process(nodes, names, rows, tmp_path):
    errors, steps = [], []
    outcome = run(
        iter(names),
        out=str(tmp_path / "out.parquet"),
        settings=SETTINGS,
        failed=errors.append,
        progress=lambda *step: steps.append(step),
    )
    assert_same_rows(rows_of(tmp_path / "out.parquet"), rows)
    assert errors == [row["error"] for row in rows if row["error"] is not None]
    assert (outcome.sources, outcome.errors, outcome.earlier) == (len(names), len(errors), 0)
    assert steps[-1][0] == pytest.approx(len(names))
    again = run(iter(names), out=str(tmp_path / "out.parquet"), settings=SETTINGS)
    assert (again.sources, again.errors, again.earlier) == (0, len(errors), len(errors))


def test_a_worker_that_is_killed_changes_nothing(nodes, names, rows, tmp_path):
    killed = []

    def kill():
        while not killed:
            time.sleep(0.1)
            for process in actors()[:1]:
                if list((tmp_path / "out.parquet" / "_work").glob("*/*.zst")):
                    process.send_signal(signal.SIGKILL)
                    killed.append(process.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    run(iter(names), out=str(tmp_path / "out.parquet"), settings=SETTINGS)
    assert killed
    thread.join()
    assert_same_rows(rows_of(tmp_path / "out.parquet"), rows)


def test_what_a_worker_cannot_write_is_told_on_one_line(nodes, names, analyzer, tmp_path):
    begun(tmp_path / "out.parquet", analyzer)
    (tmp_path / "out.parquet" / "_work").write_text("in the way")
    with pytest.raises(OutputError, match=r"out.parquet: cannot be (read|written)") as caught:
        run(iter(names), out=str(tmp_path / "out.parquet"), settings=SETTINGS)
    assert len(str(caught.value).splitlines()) == 1


def command(names, out, *options):
    listed = out.with_suffix(".txt")
    listed.write_text("\n".join(names) + "\n")
    arguments = ["analyze", "--list", listed, "--engine", "ray", "--out", out, *options]
    return [sys.executable, "-m", "mien", *map(str, arguments)]


def test_ended_by_ctrl_c_it_goes_on(ray, names, rows, tmp_path):
    out = tmp_path / "out.parquet"
    process = subprocess.Popen(command(names, out), stderr=subprocess.PIPE, text=True)
    while not list((out / "_work").glob("*/0*.zst")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert told == f"mien: interrupted; what is done so far is in {out}, and the same command goes on\n"
    before = {path: path.stat().st_mtime_ns for path in (out / "_work").glob("*/0*.zst")}
    assert before
    finished = subprocess.run(command(names, out), stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [f"mien: {row['error']}" for row in rows if row["error"] is not None]
    assert_same_rows(rows_of(out), rows)


def test_where_no_cluster_is(names, tmp_path):
    finished = subprocess.run(
        command(names[:1], tmp_path / "out.parquet", "--address", "127.0.0.1:1"), stderr=subprocess.PIPE, text=True
    )
    assert (finished.returncode, len(finished.stderr.splitlines())) == (2, 1)
    assert "--address 127.0.0.1:1" in finished.stderr


def test_it_listens_on_loopback_only_and_tells_nobody(ray, folder, tmp_path):
    process = subprocess.Popen(command([str(folder)], tmp_path / "out.parquet"), stderr=subprocess.DEVNULL)
    heard = set()
    while process.poll() is None:
        for one in psutil.Process(process.pid).children(recursive=True):
            try:
                heard |= {link.laddr.ip for link in one.net_connections() if link.status == psutil.CONN_LISTEN}
                heard |= {link.raddr.ip for link in one.net_connections() if link.raddr and link.status != "LISTEN"}
            except psutil.Error:
                continue
        time.sleep(1.0)
    assert heard
    assert {address.removeprefix("::ffff:") for address in heard} <= {"127.0.0.1", "::1"}
