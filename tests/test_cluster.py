"""The same grid on a Ray cluster of two nodes, one of which is killed on the way, gives what this machine gives."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from digitset.bench.executors import Progress, nodes, processes
from digitset.bench.grid import Grid
from digitset.bench.runner import bench
from digitset.bench.tables import ResultRow, read_csv

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # Ray reads it when it is imported; `nodes` sets it before
ray = pytest.importorskip("ray")
GRID = Grid(("sum",), ("constant", "exact"), ("lenet",), seeds=2, learning_rates=(4e-3,), settings={"steps": 12})
CIRCUMSTANCES = {"train_seconds": 0.0, "images_per_second": 0.0, "threads": 1, "commit": ""}


def scores(out: Path) -> list[ResultRow]:
    """The rows of the table, without what may differ from one machine to the next."""
    return [replace(row, **CIRCUMSTANCES) for row in read_csv(out / "results.csv", ResultRow)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's own
@pytest.mark.timeout(280)
def test_a_lost_node_changes_no_score(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
    other = cluster.add_node(num_cpus=1, object_store_memory=10**8)
    killed = []

    def watch(progress: Progress) -> None:
        if progress.done and not killed:
            cluster.remove_node(other, allow_graceful=False)
            killed.append(len(progress.done))

    try:
        with nodes(str(cluster.address), cpus=1, gpus=0.0) as executor:
            bench([GRID], tmp_path / "cluster", executor, watch, longest=5)
    finally:
        cluster.shutdown()
    assert killed[0] < 4  # in the middle
    with processes(jobs=2) as executor:
        bench([GRID], tmp_path / "here", executor, lambda progress: None, longest=5)
    assert scores(tmp_path / "cluster") == scores(tmp_path / "here")
    assert len(list(tmp_path.glob("cluster/runs/**/model.safetensors"))) == 4
