"""Digitset: models that read several handwritten digits at once.

    import digitset

    run_folder = digitset.train(digitset.Run(task="sum", steps=200))   # a folder under runs/
    model = digitset.load(run_folder.path)
    test = digitset.load_data().test
    model.predict([test.images[:3], test.images[3:10]])                # two sums

Names are imported when they are first used, so that `import digitset` does not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from digitset.data.mnist import load_data
    from digitset.errors import InputError
    from digitset.evaluation.evaluate import evaluate
    from digitset.inference.predictor import Predictor, load
    from digitset.inference.pretrained import packaged_models
    from digitset.network import Experiment
    from digitset.registry import names
    from digitset.report.explanation_figure import explain
    from digitset.run import Run
    from digitset.run_folder import RunFolder
    from digitset.training.loop import train

    __version__: str

__all__ = [
    "Experiment",
    "InputError",
    "Predictor",
    "Run",
    "RunFolder",
    "evaluate",
    "explain",
    "load",
    "load_data",
    "names",
    "packaged_models",
    "train",
]

_HOMES = {
    "Experiment": "network",
    "InputError": "errors",
    "Predictor": "inference.predictor",
    "Run": "run",
    "RunFolder": "run_folder",
    "evaluate": "evaluation.evaluate",
    "explain": "report.explanation_figure",
    "load": "inference.predictor",
    "load_data": "data.mnist",
    "names": "registry",
    "packaged_models": "inference.pretrained",
    "train": "training.loop",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = importlib.import_module("importlib.metadata").version("digitset")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"digitset.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'digitset' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
