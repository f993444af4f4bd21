"""Run: the whole configuration of one training run, frozen. It is written to JSON, and read back with strict checks."""

import dataclasses
import functools
import hashlib
import itertools
import json
import shlex
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import tyro

from digitset import registry
from digitset.errors import InputError

Options = dict[str, int | float | str]
# Of augmentation: rotation and shear together then lean an upright stroke by up to 90 degrees. With more it could point
# down; from 6 on, shear has no bound, and scales become negative.
STRONGEST = 3.0
MOST_SEQUENCES = 1_000_000  # of a fixed training set: 18 times the images; drawing that many takes seconds
BOUNDS = {  # of whole numbers: beyond these a number is a mistake, or a step that fits into no memory
    "steps": (1, 10**9),
    "images_per_step": (2, 10**6),
    "sequences_per_step": (1, 10**6),
    "width": (1, 2**16),
    "seed": (0, 2**63 - 1),
    "validate_every": (1, 10**9),
    "checkpoint_every": (1, 10**9),
}
LONGEST = 10_000  # images in a sequence


def _known(folder: str) -> Any:
    """What `--help` shows as the value of an option: the parts that the folder holds."""
    return tyro.conf.arg(metavar="{" + ",".join([*registry.names(folder), "FILE.py"]) + "}")


@dataclass(frozen=True)
class Run:
    """The configuration of one training run.

    Defaults never change: a setting that a file does not name has its default, and digests leave defaults out. A new
    field needs a default that keeps the old behaviour.
    """

    task: Annotated[tyro.conf.Positional[str], _known("tasks")]
    """What is asked: a name, or the path of a file of your own."""
    model: Annotated[str, _known("models")] = "transformer"
    """How vectors become an answer: a name, or the path of a file of your own."""
    encoder: Annotated[str, _known("encoders")] = "cnn"
    """How an image becomes a vector: a name, or the path of a file of your own."""
    seed: int = 0
    """Every random draw is a function of the seed, its purpose and the step."""
    steps: int = 1_000
    """Optimiser steps."""
    images_per_step: int = 256
    """Distinct images in a step; each is encoded once. Without effect where training_sequences is given."""
    sequences_per_step: int = 256
    """About how many sequences there are in a step; they share its images. With training_sequences, at most so many."""
    training_sequences: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """How many labelled sequences there are: drawn once, all that is trained on; by default new ones at each step."""
    lengths: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="SHORTEST LONGEST")] = None
    """Shortest and longest sequence; None is the task's own (1 to 10)."""
    curriculum: float = 0.9
    """Fraction of the steps over which the longest sequence grows to its full length, quadratically."""
    learning_rate: float = 4e-3
    """The highest learning rate. After the warm-up a cosine lowers it; it would be zero one step after the last."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="{adamw,muon}")] = "adamw"
    """adamw, or muon: Muon for the large matrices of layers, AdamW for all else, both at one rate."""
    warmup_fraction: float = 0.1
    """Fraction of the steps in which the learning rate rises linearly to the highest."""
    weight_decay: float = 0.05
    """Weight decay, of the weights of layers only: not of biases, normalisation, positions, learned queries."""
    max_grad_norm: float = 1.0
    """The largest norm of the gradient; a larger gradient is scaled down."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average of the weights that is evaluated; 0 evaluates the weights themselves."""
    augmentation_strength: float = 0.5
    """Strength of the random affine maps of the images, up to 3; 0 is none."""
    width: int = 128
    """Length of the vector that an image becomes."""
    model_options: Annotated[Options, tyro.conf.arg(metavar="NAME VALUE ...")] = field(default_factory=dict)
    """Arguments of the model's constructor, as name value pairs."""
    encoder_options: Annotated[Options, tyro.conf.arg(metavar="NAME VALUE ...")] = field(default_factory=dict)
    """Arguments of the encoder's constructor, as name value pairs."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:1, mps ...; auto takes cuda, else mps, else cpu."""
    precision: Annotated[str, tyro.conf.arg(metavar="{auto,float32,bfloat16}")] = "auto"
    """float32, or bfloat16 for the encoder; auto takes bfloat16 where the device has instructions for it."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder with IDX files or with pictures by label, or an .npz; None is MNIST as it is in the package."""
    transpose: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The files of --data hold rows as columns: set the images upright. EMNIST's own are, without this."""
    validate_every: int = 100
    """Steps from one validation to the next; there is one at the end too."""
    checkpoint_every: int = 200
    """Steps from one checkpoint to the next."""

    def __post_init__(self) -> None:
        for name, hint in _type_hints(type(self)).items():
            object.__setattr__(self, name, _of_type(hint, getattr(self, name), name))
        for folder, name in self.parts.items():  # the path of a file becomes the name of what is in it
            object.__setattr__(self, folder[:-1], registry.resolve(folder, name))
        files = [registry.file_name(name) for name in self.parts.values() if registry.is_own_file(name)]
        if len(set(files)) < len(files):
            raise InputError(f"expected files of different names, since a run keeps them, got {', '.join(files)}")
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            _expect(value >= least, name, f"at least {least}", value)
            _expect(value <= most, name, f"at most {most:,}", value)
        count = self.training_sequences
        expected = f"from 1 to {MOST_SEQUENCES:,}, or None"
        _expect(count is None or 1 <= count <= MOST_SEQUENCES, "training_sequences", expected, count)
        for name in ("learning_rate", "max_grad_norm"):
            _expect(getattr(self, name) > 0, name, "a number above 0", getattr(self, name))
        _expect(self.weight_decay >= 0, "weight_decay", "a number of at least 0", self.weight_decay)
        strength = self.augmentation_strength
        _expect(0 <= strength <= STRONGEST, "augmentation_strength", f"a number from 0 to {STRONGEST:g}", strength)
        _expect(self.optimizer in ("adamw", "muon"), "optimizer", "adamw or muon", self.optimizer)
        for name in ("warmup_fraction", "ema_decay", "curriculum"):
            _expect(0 <= getattr(self, name) < 1, name, "a number from 0 to below 1", getattr(self, name))
        _expect(
            self.precision in ("auto", "float32", "bfloat16"), "precision", "auto, float32 or bfloat16", self.precision
        )
        if self.lengths is not None:
            shortest, longest = self.lengths
            given = f"{shortest} {longest}"
            _expect(1 <= shortest <= longest, "lengths", "1 <= shortest <= longest", given)
            _expect(longest <= LONGEST, "lengths", f"at most {LONGEST:,} images", given)

    def __repr__(self) -> str:
        """What differs from the defaults: it makes an equal run."""
        fields = "".join(f", {name}={getattr(self, name)!r}" for name in self._changed())
        return f"Run(task={self.task!r}{fields})"

    @property
    def parts(self) -> dict[str, str]:
        """The names of its task, encoder and model, by the folders of `registry`."""
        return {folder: getattr(self, folder[:-1]) for folder in registry.FOLDERS}

    @property
    def name(self) -> str:
        """The default path of the run's folder, under `runs/`."""
        return f"{self.task}/{self.model}-{self.encoder}/seed{self.seed}"

    def command(self) -> str:
        """The command that trains this run: what differs from the defaults; files of one's own without folders."""
        words = ["digitset", "train", registry.file_name(self.task)]
        for name in self._changed():
            value = getattr(self, name)
            value = registry.file_name(value) if name in ("model", "encoder") else value
            pairs = itertools.chain(*value.items()) if isinstance(value, dict) else value
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:  # a flag has no value
                words += map(str, pairs if isinstance(value, dict | tuple) else [value])
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every field."""
        options = {"model_options": dict(self.model_options), "encoder_options": dict(self.encoder_options)}
        data = None if self.data is None else str(self.data)
        return vars(self) | options | {"data": data, "lengths": None if self.lengths is None else list(self.lengths)}

    def settings(self, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """The settings that identify a training: task, model, encoder, and each field that is not at its default.

        Device, checkpoint interval and the path of the data are left out, and so are the fields `without`.
        """
        names = ("task", "model", "encoder", *self._changed())
        values = self.to_json()
        return {name: values[name] for name in names if name not in (*_NO_RESULT, *without)}

    def shareable(self) -> "Run":
        """The same run without the folders in the path of its data."""
        return self if self.data is None else dataclasses.replace(self, data=Path(self.data.name))

    @classmethod
    def from_json(cls, values: Any, source: str = "run") -> "Run":
        """The run that `to_json` wrote, also with an older version: missing keys have their defaults.

        Raises InputError for values that are not an object, an unknown key, or a value of a wrong type.
        """
        if not isinstance(values, dict):
            raise InputError(f"{source}: expected an object with the fields of a run, got {type(values).__name__}")
        renamed: dict[str, Any] = {_RENAMED.get(str(name), str(name)): value for name, value in values.items()}
        if len(renamed) < len(values):
            twice = ", ".join(f"{old} and {new}" for old, new in _RENAMED.items() if {old, new} <= values.keys())
            raise InputError(f"{source}: expected each setting once, got {twice}")
        unknown = sorted(renamed.keys() - _type_hints(cls).keys())
        if unknown:
            raise InputError(f"{source}: unknown keys {', '.join(unknown)}: expected fields of a run of this version")
        if "task" not in renamed:
            raise InputError(f"{source}: expected the key 'task', found none")
        for folder in registry.FOLDERS:  # a path would let what was written elsewhere choose a file of this machine
            value = renamed.get(folder[:-1])
            if isinstance(value, str) and value.endswith(registry.SUFFIX):
                raise InputError(f"{source}: {folder[:-1]}: expected a name, got the path {value}")
        try:
            return cls(**renamed)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    def _changed(self) -> list[str]:
        """The fields, except the task, that are not at their defaults."""
        fields = [each for each in dataclasses.fields(self) if each.name != "task"]
        return [each.name for each in fields if getattr(self, each.name) != _default(each)]


# Fields that do not decide the weights; data, as it is after --transpose, has its own checksum.
_NO_RESULT = ("device", "checkpoint_every", "data", "transpose")
_RENAMED = {  # old names of fields, which files of version 0.1 have
    "pool": "images_per_step",
    "sequences": "sequences_per_step",
    "warmup": "warmup_fraction",
    "clip": "max_grad_norm",
    "average": "ema_decay",
    "augmentation": "augmentation_strength",
}


_IN_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    tuple: "two whole numbers",
    dict: "a dict of names and numbers or texts",
    Path: "a path",
    types.NoneType: "None",
}
_type_hints = functools.cache(typing.get_type_hints)  # a benchmark asks for those of Run thousands of times


def _default(of: "dataclasses.Field[Any]") -> Any:
    return of.default if of.default_factory is dataclasses.MISSING else of.default_factory()


def digest(settings: dict[str, Any]) -> str:
    """Eight hexadecimal digits that are equal for equal settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def _expect(condition: bool, name: str, expected: str, value: object) -> None:
    if not condition:
        raise _refused(name, expected, value)


def _refused(name: str, expected: str, value: object) -> InputError:
    long = isinstance(value, int) and abs(value) >= 10**30  # an integer of 5,000 digits cannot be written at all
    got = "a number of more than 30 digits" if long else f"{value!s:.100}"
    return InputError(f"--{name.replace('_', '-')}: expected {expected}, got {got}")


def _of_type(hint: Any, value: Any, name: str) -> Any:
    """A value as the type of its field; what stands for it in JSON is converted: a list, a text, a whole number.

    Raises InputError for a value of another type, and for a number that is not finite.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        origin = typing.get_origin(option) or option
        if option is types.NoneType and value is None:
            return None
        if origin is Path and isinstance(value, str | Path):
            return Path(value)
        if origin is tuple and isinstance(value, list | tuple) and [type(item) for item in value] == [int, int]:
            return tuple(value)
        if origin is float and _is_finite(value):
            return float(value)
        if origin in (str, int, bool) and type(value) is origin:
            return value
        if origin is dict and isinstance(value, dict) and _are_options(value):
            return dict(value)
    expected = " or ".join(_IN_WORDS[typing.get_origin(option) or option] for option in options)
    raise _refused(name, expected, value if isinstance(value, int) else repr(value))


def _is_finite(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that a float holds; a whole number may be larger than any."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _are_options(values: dict[Any, Any]) -> bool:
    return all(type(name) is str and type(value) in (int, float, str) for name, value in values.items())
