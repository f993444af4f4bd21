"""A server of the demo, with small untrained networks of every task: `python tests/demo_server.py PORT`."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

MODELS = (
    *("sum/exact", "sum/transformer", "sum/mlp", "contains/transformer", "contains/exact", "classify/mlp"),
    *("sum/transformer-vit", "contains/transformer-vit", "classify/mlp-vit"),
    *(
        "bags/attention_pool",
        "bags/exact",
        "distinct/exact",
        "distinct/deepsets",
        "maximum/exact",
        "maximum/transformer",
    ),
)


ALWAYS = {"contains/transformer": -10.0, "contains/transformer-vit": 10.0}  # the logit of yes: one says no, one yes


@contextlib.contextmanager
def running(*command: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a server that was started for this, and its process."""
    process = subprocess.Popen(
        command or [sys.executable, __file__, "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("http://"), line + process.communicate()[1]
        yield line.split()[0], process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def predictors() -> dict:
    """Untrained networks, ready to answer."""
    import torch

    from digitset.inference.predictor import Predictor
    from digitset.network import Experiment
    from digitset.run import Run

    predictors = {}
    for name in MODELS:
        task, _, parts = name.partition("/")
        model, _, encoder = parts.partition("-")
        run = Run(task=task, model=model, encoder=encoder or "lenet")
        network = Experiment.of(run).build()
        if name in ALWAYS:
            last = [part for part in network.model.modules() if isinstance(part, torch.nn.Linear)][-1]
            torch.nn.init.constant_(last.bias, ALWAYS[name])
        predictors[name] = Predictor(run, network, torch.device("cpu"))
    return predictors


if __name__ == "__main__":
    from digitset.demo import serve

    serve(predictors(), port=int(sys.argv[1]), open_browser=False)
