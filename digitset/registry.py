"""Finds tasks, encoders and models by looking into their folders: a part is one file, and its name is the file's."""

import importlib
import os
import typing
from pathlib import Path
from typing import TypeVar

from digitset.errors import InputError

HERE = Path(__file__).parent
FOLDERS = ("tasks", "encoders", "models")
Part = TypeVar("Part")


def names(folder: str) -> tuple[str, ...]:
    """The parts in a folder ("tasks", "encoders" or "models"), in alphabetical order. Imports none of them."""
    with os.scandir(HERE / folder) as entries:  # many times faster than Path.glob: every Run comes here
        files = [entry.name for entry in entries]
    return tuple(sorted(name.removesuffix(".py") for name in files if name.endswith(".py") and name[0] != "_"))


def expect_known(folder: str, name: str) -> None:
    """Raises InputError, which lists the known parts, if the folder has no part of this name."""
    if name not in names(folder):
        raise InputError(f"unknown {folder[:-1]} '{name}': expected one of {', '.join(names(folder))}")


def find(folder: str, name: str, base: type[Part]) -> type[Part]:
    """The class that a part's file defines: a subclass of `base`, named like the file.

    The class has the file's name in CamelCase, e.g. `SetTransformer` in `set_transformer.py`; case is free (`MLP`).
    Raises InputError if there is no such part, or its file defines no such class or not a whole one.
    """
    expect_known(folder, name)
    module = importlib.import_module(f"digitset.{folder}.{name}")
    wanted = name.replace("_", "").lower()
    for attribute, value in vars(module).items():
        if attribute.lower() == wanted and isinstance(value, type) and issubclass(value, base):
            _expect_complete(value, base, str(module.__file__))
            return value
    raise InputError(
        f"{module.__file__}: expected a subclass of {base.__name__} named like the file, in upper or lower case: "
        f"'{wanted}'; found none"
    )


def _expect_complete(part: type, base: type, file: str) -> None:
    """Raises InputError if a part lacks what its contract declares, or has a value that is none of those allowed."""
    declared = {name: typing.get_args(hint) for name, hint in vars(base).get("__annotations__", {}).items()}
    missing = [name for name in declared if not hasattr(part, name)]
    missing += sorted(getattr(part, "__abstractmethods__", ()))
    if missing:
        raise InputError(
            f"{file}: {part.__name__} is not a whole {base.__name__}: expected {', '.join(missing)}, found none"
        )
    for name, (hint, *_) in ((name, hints) for name, hints in declared.items() if hints):
        allowed = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if allowed and getattr(part, name) not in allowed:
            options = ", ".join(map(repr, allowed))
            raise InputError(f"{file}: {name}: expected one of {options}, got {getattr(part, name)!r}")
