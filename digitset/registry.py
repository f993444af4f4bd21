"""Finds tasks, encoders and models: a part is one file, in its folder of the package, of another package, or your own.

A part is known by a name. That of the package's own is the name of its file, such as "mlp". Another installed package
offers a part as an entry point of the group `digitset.tasks`, `digitset.encoders` or `digitset.models`, named like the
file. A file of your own is given by its path, which ends in ".py"; its name is then "my_model@1a2b3c4d", with the first
digits of its SHA-256, so that another version of the file is another part. Its code is executed when the part is used.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import os
import re
import sys
import traceback
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from digitset.errors import InputError, unknown
from digitset.files import read_whole

HERE = Path(__file__).parent
FOLDERS = ("tasks", "encoders", "models")
SUFFIX = ".py"
MOST_CODE = 1 << 20  # bytes of a file that defines a part
OWN_FILE = re.compile(r"([A-Za-z_]\w*)@([0-9a-f]{8})")
Part = TypeVar("Part")


@dataclass(frozen=True)
class OwnFile:
    """A file of the user's own that defines a part: where it was read, and what was in it then."""

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, 64 hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


OwnFiles = dict[tuple[str, str], OwnFile]  # by folder and name
_own_files: OwnFiles = {}  # that this process was given


def names(folder: str) -> tuple[str, ...]:
    """The parts of the package and of others that are installed, in alphabetical order. Imports none of them.

    `folder` is "tasks", "encoders" or "models"; InputError for another. Files of your own are not among them.
    """
    if folder not in FOLDERS:
        raise InputError(unknown("folder", folder, FOLDERS))
    return tuple(sorted({*_in_package(folder), *_installed(folder)}))


def known(folder: str) -> tuple[str, ...]:
    """The parts that this process can use: `names`, then the files of the user's own that it was given."""
    return (*names(folder), *(name for where, name in _own_files if where == folder))


def expect_known(folder: str, name: str) -> None:
    """Raises InputError, which lists the known parts, if there is none of this name.

    The name of a file of somebody's own is taken as it is: whether this process has the file is for `find` to say.
    """
    if name not in names(folder) and not is_own_file(name):
        raise InputError(f"{unknown(folder[:-1], name, names(folder))}, or the path of a file NAME.py")


def resolve(folder: str, name: str) -> str:
    """The name of a part: `name` itself or, if it is the path of a file, the name of what is in it now.

    The file is read, and from then on known to this process; it is not executed. Raises InputError if there is no such
    part or no such file, or the file has a name that does not fit.
    """
    if not name.endswith(SUFFIX):
        expect_known(folder, name)
        return name
    path, listed = Path(name), ", ".join(names(folder))
    if not path.is_file():
        raise InputError(f"there is no file {path}, which was named as one of the {folder}; known names: {listed}")
    if not re.fullmatch(r"[A-Za-z_]\w*", path.stem, re.ASCII):
        raise InputError(f"{path}: expected a name of letters, digits and _, since a class is named like the file")
    if path.stem in names(folder):
        raise InputError(f"{path}: there is a {folder[:-1]} '{path.stem}' already; give the file another name")
    return give(folder, OwnFile(path, read_whole(path, MOST_CODE, "Python code")))


def give(folder: str, file: OwnFile) -> str:
    """Makes a file known to this process, which may execute it from then on; the name of its part."""
    name = f"{file.path.stem}@{file.sha256[:8]}"
    _own_files[folder, name] = file
    return name


def own_files() -> OwnFiles:
    """All files that this process was given, to give them to another one."""
    return dict(_own_files)


def own_file(folder: str, name: str) -> OwnFile | None:
    """The file behind a name, if this process was given it."""
    return _own_files.get((folder, name))


def is_own_file(name: str) -> bool:
    """Whether a name is that of a file of somebody's own."""
    return OWN_FILE.fullmatch(name) is not None


def file_name(name: str) -> str:
    """What to type for a part in the folder of its file: "my_model.py" for "my_model@1a2b3c4d", else the name."""
    return f"{name.partition('@')[0]}{SUFFIX}" if is_own_file(name) else name


def origin(folder: str, name: str) -> dict[str, str] | None:
    """Where a part comes from, in plain JSON values: a file with its SHA-256, or a package with its version.

    None for a part of this package. Raises InputError for a file that this process was not given.
    """
    if is_own_file(name):
        return {"file": file_name(name), "sha256": _expect_given(folder, name).sha256}
    if name in _in_package(folder):
        return None
    distribution = _installed(folder)[name].dist
    assert distribution is not None
    return {"package": distribution.name, "version": distribution.version}


def find(folder: str, name: str, base: type[Part]) -> type[Part]:
    """The class that a part's file defines: a subclass of `base`, named like the file.

    The class has the file's name in CamelCase, e.g. `SetTransformer` in `set_transformer.py`; case is free (`MLP`).
    Raises InputError if there is no such part, or its file defines no such class or not a whole one; also if a file of
    the user's own cannot be executed, or is not known to this process.
    """
    expect_known(folder, name)
    if is_own_file(name):
        module = _executed(folder, name)
    elif name in _in_package(folder):
        module = importlib.import_module(f"digitset.{folder}.{name}")
    else:
        module = _imported(folder, name)
    wanted = name.partition("@")[0].replace("_", "").lower()
    for attribute, value in vars(module).items():
        if attribute.lower() == wanted and isinstance(value, type) and issubclass(value, base):
            _expect_complete(value, base, str(module.__file__))
            return value
    raise InputError(
        f"{module.__file__}: expected a subclass of {base.__name__} named like the file, in upper or lower case: "
        f"'{wanted}'; found none"
    )


def _in_package(folder: str) -> set[str]:
    with os.scandir(HERE / folder) as entries:  # many times faster than Path.glob: every Run comes here
        files = [entry.name for entry in entries]
    return {name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX) and name[0] != "_"}


@functools.cache
def _installed(folder: str) -> dict[str, importlib.metadata.EntryPoint]:
    """The parts that other installed packages offer. Raises InputError if one has the name of another part."""
    points: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=f"digitset.{folder}"):
        if point.name in points or point.name in _in_package(folder):
            of = "an installed package" if point.dist is None else point.dist.name
            raise InputError(f"{of} offers the {folder[:-1]} '{point.name}', which there is already: uninstall it")
        points[point.name] = point
    return points


def _imported(folder: str, name: str) -> types.ModuleType:
    """The module behind an entry point, whose value is "package.name" or "package.name:Class".

    Raises InputError if it has another name or, whatever the reason is, cannot be imported.
    """
    module = _installed(folder)[name].module
    if module.rpartition(".")[2] != name:
        raise InputError(f"entry point '{name}' of digitset.{folder}: expected a module of that name, got {module}")
    try:
        return importlib.import_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"entry point '{name}' of digitset.{folder} cannot be imported: {reason}") from error


def _expect_given(folder: str, name: str) -> OwnFile:
    file = own_file(folder, name)
    if file is None:
        raise InputError(
            f"{folder[:-1]} '{name}' is a file of somebody's own, {file_name(name)}: expected its path instead of its "
            "name, or the folder of a run that has it"
        )
    return file


def _executed(folder: str, name: str) -> types.ModuleType:
    """The module that a file of the user's own is; executed once."""
    full_name, file = f"digitset.{folder}.{name}", _expect_given(folder, name)
    if full_name in sys.modules:
        return sys.modules[full_name]
    module = types.ModuleType(full_name)
    module.__file__ = str(file.path)
    sys.modules[full_name] = module  # before it is executed, as Python does: dataclasses look for themselves
    try:
        exec(compile(file.content, str(file.path), "exec", dont_inherit=True), vars(module))
    except Exception as error:
        del sys.modules[full_name]
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file.path)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else "?"
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"{file.path}, line {line}: {type(error).__name__}: {reason}") from error
    return module


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
