"""What a user may get wrong in a command: the words after `digitset`, for `faults.py`.

Commands and their options come from the functions that they are, so a new one is covered unasked. A case is one mistake
in words that are right otherwise, or several. Some odd values are right for some options (a seed of 0); then the
command does what it was asked, and that is fine. A value that no option of its kind can take is `hopeless`: a command
that ends well with it has passed over a mistake.
"""

import dataclasses
import gzip
import inspect
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image

from digitset.cli import model_commands, training_commands
from digitset.cli.main import COMMANDS
from digitset.data.mnist import load_data
from digitset.run import Run

LONG = "9" * 5_000
NO_NUMBERS = ("x", "nan", "inf", "-inf", "1e400", "1,5", "0x10", "--1", "1 2", "½", "\udcff")
NO_WHOLE_NUMBERS = ("0.5", "1e3", *NO_NUMBERS)
ODD_NUMBERS = ("None", "-1", "0", "1_0", "٣", " 5 ", "9" * 30, LONG, "-0.0", "1e-320", "1e300", "2147483648")
NO_NAMES = ("[/b]", "a\nb", "\udcff", "no-such", "a" * 5_000, "$\\frac$", "%s{}", "hub:", "hub:a/b/c", "\x1b[31m", "..")
ODD_NAMES = ("cuda", "cuda:99", "meta", "cpu:7", "CPU", "auto", "sum", "sum/exact", "constant", "lenet", "1.2.3.4.5")
ODD_OUTPUTS = ("[/b].png", "a\nb.svg", "\udcff.pdf", "no_suffix", "a.jpg", ".png", "inner/none/a.png", "-")
NO_OUTPUTS = ("x" * 300 + ".png", "/proc/none/a.png", "/sys/a.png", "/dev/full", "/dev/null", "/dev/null/a.png")
NO_COMMANDS = ("", "trian", "Train", "-", "--", "--versoin", "[/b]", "\udcff", "help", "-x", "/dev/zero")
OUTPUTS = ("out", "path", "show", "static", "publish folder")  # arguments that are written; other paths are read


@dataclass(frozen=True)
class Case:
    """The words of a command, and whether at least one of them is hopeless."""

    words: list[str]
    hopeless: bool


@dataclass(frozen=True)
class Argument:
    """An option of a command (or what stands without one), and its values: those that are hopeless, and odd ones."""

    name: str
    positional: bool
    hopeless: tuple[str, ...]
    odd: tuple[str, ...]

    def words(self, value: str) -> list[str]:
        return [value] if self.positional else [f"--{self.name}", value]


class Files:
    """Files and folders that are there, in a folder: right ones, and ones that are no data, picture, model or grid."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.folder, self.run = folder, run
        picture = folder / "picture.png"
        Image.fromarray(load_data().test.images[0].numpy()).resize((112, 112)).save(picture)
        self.picture = str(picture)
        os.mkfifo(folder / "pipe.png")
        content = {
            "empty.png": b"",
            "half.png": picture.read_bytes()[: picture.stat().st_size // 2],
            "zeros.npz": b"\0" * 1_000,
            "bomb.gz": gzip.compress(b"\0" * 10_000_000),
            "deep.toml": b"a = " + b"[" * 50_000,
            "list.toml": b"[[grid]]\ntasks = 3\n",
            "more.toml": b"[[grid]]\ntasks = ['sum']\nmodels = ['constant']\nseeds = 1000000\nsteps = 1\n",
            "binary.toml": bytes(range(256)),
            "syntax.py": b"def (:",
            "raises.py": b"raise RuntimeError('a\\nb')",
            "nothing.py": b"",
            "false.onnx": b"\x08\x07" * 100,
            "text.txt": b"no picture\n",
            "null.json": b"null",
        }
        for name, bytes_of in content.items():
            (folder / name).write_bytes(bytes_of)
        np.savez(folder / "objects.npz", images=np.array([{}], dtype=object), labels=np.zeros(1))
        np.savez(folder / "shapes.npz", train_images=np.zeros((3, 5)), train_labels=np.zeros(2))
        (folder / "void").mkdir()
        shutil.copytree(run, folder / "damaged")
        (folder / "damaged/run.json").write_bytes(b"{}")
        (folder / "loop").symlink_to("loop")
        self.unreadable = tuple(str(folder / name) for name in ("pipe.png", "void", "damaged", "loop", *content))
        self.unreadable += tuple(str(folder / name) for name in ("objects.npz", "shapes.npz"))
        self.unreadable += ("/dev/zero", "/dev/null", "/nowhere", "/proc/self/mem", *NO_NAMES)
        self.unwritable = (*NO_OUTPUTS, f"{self.picture}/a.png", str(folder / "pipe.png"), str(folder / "loop/a.png"))


def cases(files: Files, draw: random.Random, count: int) -> Iterator[tuple[str, Case]]:
    """About `count` cases, as many of each command: single mistakes and, where there are no more, several at once."""
    for name in NO_COMMANDS:
        yield "(no command)", Case([name], True)
    for name in COMMANDS:
        arguments = list(arguments_of(name, files))
        single, each = list(single_mistakes(name, arguments, files)), count // len(COMMANDS)
        for case in draw.sample(single, min(each, len(single))):
            yield name, case
        for _ in range(each - len(single)):
            yield name, several_mistakes(name, arguments, files, draw)


def _right(name: str, files: Files) -> tuple[list[str], dict[str, list[str]]]:
    """Words of a command that are right and take little time: what stands without an option, and options."""
    run, picture = str(files.run), files.picture
    few = {"tasks": ["sum"], "models": ["constant"], "out": ["out"]}
    short = {"model": ["exact"], "encoder": ["lenet"], "steps": ["1"], "images-per-step": ["20"], "out": ["out"]}
    return {
        "train": (["sum"], short),
        "data": ([], {"out": ["out.png"]}),
        "evaluate": ([run], {}),
        "show": ([run], {}),
        "compare": ([], {"quick": [], **few}),
        "bench": ([], {"steps": ["1"], "seeds": ["1"], "longest": ["1"], **few}),
        "report": ([str(files.folder / "void")], {}),
        "lengths": ([run], {"longest": ["2"], "out": ["out"]}),
        "predict": (["sum", picture], {}),
        "explain": (["sum", picture], {"out": ["out.png"]}),
        "demo": (["sum/exact"], {"port": ["0"], "no-browser": []}),
        "verify": ([run], {}),
        "models": ([], {}),
        "publish": ([run, "out"], {}),
        "export": (["sum/exact", "out.onnx"], {}),
    }[name]


# Options that exclude others: what is left out of the right ones beside them.
INSTEAD = {"grid": ("steps", "seeds", "tasks", "models"), "static": ("port", "no-browser"), "cluster": ("jobs",)}


def _words(options: dict[str, list[str]]) -> list[str]:
    return [word for name, values in options.items() for word in (f"--{name}", *values)]


def arguments_of(name: str, files: Files) -> Iterator[Argument]:
    """What a command takes, from the function that it is."""
    function = getattr(training_commands, name, None) or getattr(model_commands, name)
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters:
        if _plain(hints[parameter]) is Run:
            of_run = get_type_hints(Run, include_extras=True)
            for field in dataclasses.fields(Run):
                yield _argument(name, field.name, of_run[field.name], files)
        else:
            yield _argument(name, parameter, hints[parameter], files)


def _plain(hint: Any) -> Any:
    """A type without what tyro is told of it."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _argument(command: str, name: str, hint: Any, files: Files) -> Argument:
    kinds = {_plain(part) for part in [_plain(hint), *get_args(_plain(hint))]}
    positional = "Positional" in repr(hint)
    odd: tuple[str, ...] = ODD_NAMES
    if name in OUTPUTS or f"{command} {name}" in OUTPUTS:
        hopeless, odd = files.unwritable, ODD_OUTPUTS
    elif int in kinds:
        hopeless, odd = NO_WHOLE_NUMBERS, ODD_NUMBERS
    elif float in kinds:
        hopeless, odd = NO_NUMBERS, ODD_NUMBERS
    elif bool in kinds:
        hopeless, odd = ("maybe", "x" * 5_000, "\udcff"), ()
    elif Path in kinds or name in ("runs", "pictures", "anchor"):
        hopeless = files.unreadable
    else:
        hopeless = (*NO_NAMES, *files.unreadable)
    if command == "demo":  # with a value that is right it serves until it is stopped
        odd = ()
    name = {"as_json": "json"}.get(name, name.replace("_", "-"))
    return Argument(name, positional, tuple(dict.fromkeys(hopeless)), odd)


def single_mistakes(name: str, arguments: list[Argument], files: Files) -> Iterator[Case]:
    """One mistake each: a value, an option that is misspelt or without a value, a word too many or too few."""
    before, options = _right(name, files)
    place = 0
    for argument in arguments:
        others = {key: value for key, value in options.items() if key not in INSTEAD.get(argument.name, ())}
        others.pop(argument.name, None)
        for value in (*argument.hopeless, *argument.odd):
            if argument.positional:
                words = [*before[:place], value, *before[place + 1 :], *_words(options)]
            else:
                words = [*before, *_words(others), *argument.words(value)]
            yield Case([name, *words], value in argument.hopeless)
        place += argument.positional
        if not argument.positional:
            yield Case([name, *before, *_words(options), f"--{argument.name}x", "1"], True)
            yield Case([name, *before, *_words(others), f"--{argument.name}", ""], True)
    yield Case([name, *before, *_words(options), "--nonsense"], True)
    yield Case([name, *before, "", *_words(options)], True)
    if before and name != "demo":  # which has all models then
        yield Case([name, *before[1:], *_words(options)], True)


def several_mistakes(name: str, arguments: list[Argument], files: Files, draw: random.Random) -> Case:
    """Two to five mistakes, in any order, among what is right. One may take another back, so none is hopeless."""
    before, options = _right(name, files)
    words = [*before, *_words(options)]
    for argument in draw.choices(arguments, k=draw.randint(2, 5)):
        index = draw.randint(0, len(words))
        words[index:index] = argument.words(draw.choice(argument.hopeless + argument.odd))
    return Case([name, *words], False)
