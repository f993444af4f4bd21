"""Run: the whole configuration of one training run, frozen. It goes to JSON and back, strictly."""

import dataclasses
import itertools
import shlex
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from digitset import parts
from digitset.errors import InputError

Options = dict[str, int | float | str]


def _known(folder: str) -> Any:
    """What `--help` shows as the value of an option: the parts that the folder holds."""
    return tyro.conf.arg(metavar="{" + ",".join(parts.names(folder)) + "}")


@dataclass(frozen=True)
class Run:
    """One training run: what is trained, on what, for how long, and how."""

    task: Annotated[tyro.conf.Positional[str], _known("tasks")]
    """What is asked: a file in digitset/tasks."""
    model: Annotated[str, _known("models")] = "transformer"
    """How vectors become an answer: a file in digitset/models."""
    encoder: Annotated[str, _known("encoders")] = "cnn"
    """How an image becomes a vector: a file in digitset/encoders."""
    seed: int = 0
    """Every random draw is a function of this number, its purpose and the step."""
    steps: int = 1_000
    """Optimiser steps."""
    pool: int = 256
    """Distinct images a step, each encoded once."""
    sequences: int = 256
    """Sequences a step, about; they share the images of the pool."""
    lengths: tuple[int, int] | None = None
    """Shortest and longest sequence; None is the task's own (1 to 10)."""
    curriculum: float = 0.9
    """The part of the steps over which the longest sequence grows to its full length, slowly at first (a parabola)."""
    learning_rate: float = 4e-3
    """The highest, reached after the warm-up; a cosine brings it to zero at the last step."""
    warmup: float = 0.1
    """The part of the steps in which the learning rate rises from zero."""
    weight_decay: float = 0.05
    """AdamW's, on matrices and kernels only."""
    clip: float = 1.0
    """The largest norm of a gradient; larger ones are scaled down."""
    average: float = 0.0
    """Decay of an exponential average of the weights, which is then what is evaluated; 0 is none."""
    augmentation: float = 0.5
    """Strength of the random affine maps of the images; 0 is none."""
    width: int = 128
    """Length of the vector that an image becomes."""
    model_options: Annotated[Options, tyro.conf.arg(metavar="NAME VALUE ...")] = field(default_factory=dict)
    """Arguments of the model's constructor, as name value pairs."""
    encoder_options: Annotated[Options, tyro.conf.arg(metavar="NAME VALUE ...")] = field(default_factory=dict)
    """Arguments of the encoder's constructor, as name value pairs."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps ...; auto takes the best there is."""
    precision: str = "auto"
    """float32, or bfloat16 for the encoder; auto takes bfloat16 where the device has instructions for it."""
    data: Path | None = None
    """A folder with four IDX files; None is MNIST as it is in the package."""
    validate_every: int = 100
    """Steps from one validation to the next; there is one at the end too."""
    checkpoint_every: int = 200
    """Steps from one checkpoint to the next."""

    def __post_init__(self) -> None:
        for folder, name in (("tasks", self.task), ("models", self.model), ("encoders", self.encoder)):
            parts.check(folder, name)
        at_least = {"steps": 1, "pool": 2, "sequences": 1, "width": 1, "seed": 0}
        at_least |= {"validate_every": 1, "checkpoint_every": 1}
        for name, least in at_least.items():
            _expect(getattr(self, name) >= least, name, f"at least {least}", getattr(self, name))
        _expect(self.learning_rate > 0, "learning_rate", "a number above 0", self.learning_rate)
        _expect(self.clip > 0, "clip", "a number above 0", self.clip)
        for name in ("weight_decay", "augmentation"):
            _expect(getattr(self, name) >= 0, name, "a number of at least 0", getattr(self, name))
        for name in ("warmup", "average", "curriculum"):
            _expect(0 <= getattr(self, name) < 1, name, "a number from 0 to below 1", getattr(self, name))
        _expect(
            self.precision in ("auto", "float32", "bfloat16"), "precision", "auto, float32 or bfloat16", self.precision
        )
        if self.lengths is not None:
            shortest, longest = self.lengths
            _expect(1 <= shortest <= longest, "lengths", "1 <= shortest <= longest", f"{shortest} {longest}")

    @property
    def name(self) -> str:
        """Where the run lives by default, under `runs/`."""
        return f"{self.task}/{self.model}-{self.encoder}/seed{self.seed}"

    def command(self) -> str:
        """The command that trains this run: what differs from the defaults."""
        words = ["digitset", "train", self.task]
        for found in dataclasses.fields(self):
            value, usual = getattr(self, found.name), Run.__dataclass_fields__[found.name]
            default = usual.default_factory() if usual.default_factory is not dataclasses.MISSING else usual.default
            if found.name == "task" or value == default:
                continue
            pairs = itertools.chain(*value.items()) if isinstance(value, dict) else value
            words += [
                f"--{found.name.replace('_', '-')}",
                *map(str, pairs if isinstance(value, dict | tuple) else [value]),
            ]
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every field."""
        values = dataclasses.asdict(self)
        values["data"] = None if self.data is None else str(self.data)
        values["lengths"] = None if self.lengths is None else list(self.lengths)
        return values

    def shared(self) -> "Run":
        """The same for others to read: of the folder of its data, where it has one, the name alone."""
        return self if self.data is None else dataclasses.replace(self, data=Path(self.data.name))

    @classmethod
    def from_json(cls, values: dict[str, Any], source: str = "run") -> "Run":
        """The run that `to_json` wrote. Raises InputError for a key unknown or missing, or a value of a wrong type."""
        hints = typing.get_type_hints(cls)
        if set(values) != set(hints):
            wrong = ", ".join(sorted(set(values) ^ set(hints)))
            raise InputError(f"{source}: keys unknown or missing: {wrong}; it was made by another version of digitset")
        return cls(**{name: _restore(hints[name], value, f"{source}: {name}") for name, value in values.items()})


def _expect(condition: bool, name: str, expected: str, found: object) -> None:
    if not condition:
        raise InputError(f"--{name.replace('_', '-')}: expected {expected}, got {found}")


def _restore(hint: Any, value: Any, source: str) -> Any:
    """A JSON value as the type of its field."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        origin = typing.get_origin(option) or option
        if option is types.NoneType and value is None:
            return None
        if origin is Path and isinstance(value, str):
            return Path(value)
        if origin is tuple and isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
        if origin is float and isinstance(value, int | float):
            return float(value)
        if origin in (str, int, dict) and type(value) is origin:
            return value
    raise InputError(f"{source}: expected {hint}, got {value!r}")
