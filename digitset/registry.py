"""Finds tasks, encoders and models by looking into their folders: a part is one file, and its name is the file's."""

import importlib
from pathlib import Path
from typing import TypeVar

from digitset.errors import InputError

FOLDERS = ("tasks", "encoders", "models")
Part = TypeVar("Part")


def names(folder: str) -> tuple[str, ...]:
    """The parts in a folder ("tasks", "encoders" or "models"), in alphabetical order. Imports none of them."""
    files = (Path(__file__).parent / folder).glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


def expect_known(folder: str, name: str) -> None:
    """Raises InputError, which lists the known parts, if the folder has no part of this name."""
    if name not in names(folder):
        raise InputError(f"unknown {folder[:-1]} '{name}': expected one of {', '.join(names(folder))}")


def find(folder: str, name: str, base: type[Part]) -> type[Part]:
    """The class that a part's file defines: a subclass of `base`, named like the file.

    The class has the file's name in CamelCase, e.g. `SetTransformer` in `set_transformer.py`; case is free (`MLP`).
    Raises InputError if there is no such part, TypeError if its file defines no such class.
    """
    expect_known(folder, name)
    module = importlib.import_module(f"digitset.{folder}.{name}")
    wanted = name.replace("_", "").lower()
    for attribute, value in vars(module).items():
        if attribute.lower() == wanted and isinstance(value, type) and issubclass(value, base):
            return value
    raise TypeError(
        f"{module.__file__} must define a subclass of {base.__name__} named like the file: '{wanted}' in any case"
    )
