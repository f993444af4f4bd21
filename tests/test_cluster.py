"""The same grid on a Ray cluster of two nodes, one of which is killed on the way, gives what this machine gives."""

import csv
import os
from pathlib import Path

import pytest

from digitset.bench.executors import nodes, processes
from digitset.bench.grid import Grid
from digitset.bench.runner import Progress, bench

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # Ray reads it when it is imported; `nodes` sets it before
ray = pytest.importorskip("ray")
GRID = Grid(("sum",), ("constant", "exact"), ("lenet",), seeds=2, learning_rates=(4e-3,), settings={"steps": 12})
TIMING = {"train_seconds", "images_per_second", "threads"}


def scores(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMING} for row in csv.DictReader(file)]


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
        with nodes(str(cluster.address), cpus=1, gpus=0.0) as workers:
            bench([GRID], tmp_path / "cluster", workers, watch, longest=5)
    finally:
        cluster.shutdown()
    assert killed[0] < 4  # in the middle
    with processes(jobs=2) as workers:
        bench([GRID], tmp_path / "here", workers, lambda progress: None, longest=5)
    assert scores(tmp_path / "cluster") == scores(tmp_path / "here")
    assert len(list(tmp_path.glob("cluster/runs/**/model.safetensors"))) == 4
