"""Tasks, encoders and models are found by looking into their folders: one file is one part, its name is the file's."""

import importlib
from pathlib import Path
from typing import Any

from digitset.errors import InputError

FOLDERS = ("tasks", "encoders", "models")


def names(folder: str) -> tuple[str, ...]:
    """The parts of a folder ("tasks", "encoders" or "models"), in alphabetical order. Imports none of them."""
    files = (Path(__file__).parent / folder).glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


def check(folder: str, name: str) -> None:
    """Raises InputError, naming the known parts, if there is no such part."""
    if name not in names(folder):
        raise InputError(f"unknown {folder[:-1]} '{name}': expected one of {', '.join(names(folder))}")


def load(folder: str, name: str) -> Any:
    """The part: for a task its module; for an encoder or a model the class that its file defines.

    The class bears the file's name in CamelCase, e.g. `SetTransformer` in `set_transformer.py`; case is free (`MLP`).
    """
    check(folder, name)
    module = importlib.import_module(f"digitset.{folder}.{name}")
    if folder == "tasks":
        return module
    wanted = name.replace("_", "").lower()
    for attribute, value in vars(module).items():
        if attribute.lower() == wanted and isinstance(value, type):
            return value
    raise TypeError(f"{module.__file__} must define a class named like the file: expected '{wanted}' in any case")
