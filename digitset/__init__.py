"""Digitset: models that read several handwritten digits at once.

    import digitset

    record = digitset.train(digitset.Run(task="sum", steps=200))   # a folder under runs/
    model = digitset.load(record.folder)
    test = digitset.load_data().test
    model.predict([test.images[:3], test.images[3:10]])            # two sums

Names are imported when they are first used, so that `import digitset` does not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitset.data import load as load_data
    from digitset.errors import InputError
    from digitset.evaluation import evaluate
    from digitset.parts import names
    from digitset.predict import Predictor, load
    from digitset.record import Record
    from digitset.run import Run
    from digitset.training import train

__all__ = ["InputError", "Predictor", "Record", "Run", "evaluate", "load", "load_data", "names", "train"]

_HOMES = {
    "InputError": ("errors", "InputError"),
    "Predictor": ("predict", "Predictor"),
    "Record": ("record", "Record"),
    "Run": ("run", "Run"),
    "evaluate": ("evaluation", "evaluate"),
    "load": ("predict", "load"),
    "load_data": ("data", "load"),
    "names": ("parts", "names"),
    "train": ("training", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'digitset' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(f"digitset.{module}"), attribute)
    globals()[name] = value
    return value
