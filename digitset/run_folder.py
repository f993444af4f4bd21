"""A run's folder, written and read only here.

    run.json           the configuration, the machine, the checksum of the data; written first
    my_model.py        files of the user's own that define its parts, if any, as they were when it began
    metrics.jsonl      one line for a log step, and one for a validation; each with a check of itself and all before it
    checkpoint         to resume from: step, weights, optimiser; replaced atomically
    model.safetensors  the weights that are evaluated, and
    model.json         SHA-256 of these and of other files; written last: if it is there, the run is finished
    scores.json        the scores on the test images

No file is left half-written: it is written under another name, flushed to the disk and then moved into place. No file
is trusted: what is read has the expected types, and the JSON files hold checksums of their own values. Files of older
versions have no checksums and are read without. A process that trains or scores a run has the lock of the folder.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from digitset import registry
from digitset.device import Machine
from digitset.errors import InputError
from digitset.files import (
    MOST_INTEGER,
    flushed,
    has_checksum,
    locked,
    read_json,
    read_whole,
    remove_left_over,
    to_json,
    write_whole,
    writing,
)
from digitset.metrics import MetricsLine, Values, last_check, read_lines
from digitset.network import Experiment, Network
from digitset.run import Run

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_INTEGER)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
MOST_BYTES = 1 << 30  # of weights, a checkpoint or metrics
TRAINED = ("run.json", "metrics.jsonl", "checkpoint", "model.safetensors", "model.json")  # the files of training
PUBLISHED = ("README.md", "run.json", "scores.json", "model.safetensors", "model.json")  # the files of a shared model


@dataclass(frozen=True)
class LengthScores:
    """The mean scores of the sequences of one length, and how many there are."""

    n: int
    scores: dict[str, float]


@dataclass(frozen=True)
class SetScores:
    """What a network reaches on one evaluation set."""

    n: int
    """How many sequences there are."""
    scores: dict[str, float]
    """Scores of the whole set by name; "accuracy" is one."""
    interval: tuple[float, float]
    """The 95 % interval of the accuracy (Wilson 1927), for this one network."""
    by_length: dict[int, LengthScores]
    """Scores by the length of the sequence."""

    @property
    def accuracy(self) -> float:
        return self.scores["accuracy"]

    def to_json(self) -> Values:
        """Plain JSON values."""
        by_length = {str(length): {"n": part.n, **part.scores} for length, part in self.by_length.items()}
        return {"n": self.n, "scores": self.scores, "interval": list(self.interval), "by_length": by_length}

    @classmethod
    def from_file(cls, values: "_SetInFile", where: str) -> "SetScores":
        """What `to_json` wrote.

        Raises InputError, beginning with `where`, for an accuracy that is missing or not from 0 to 1, an interval that
        is none within 0 and 1, and a length without a whole n.
        """
        if any(not 0 <= of.get("accuracy", math.nan) <= 1 for of in (values.scores, *values.by_length.values())):
            raise InputError(f"{where}: expected an accuracy from 0 to 1, of the set and of each length")
        if any(not part.get("n", math.nan).is_integer() or part["n"] < 0 for part in values.by_length.values()):
            raise InputError(f"{where}: expected for each length a whole number n of at least 0")
        low, high = values.interval
        if not 0 <= low <= high <= 1:
            raise InputError(f"{where}: expected an interval from 0 to 1, got {low:g} to {high:g}")
        by_length = {
            length: LengthScores(int(part["n"]), {name: value for name, value in part.items() if name != "n"})
            for length, part in values.by_length.items()
        }
        return cls(values.n, values.scores, values.interval, by_length)


Scores = dict[str, SetScores]  # by evaluation set


@dataclass(frozen=True)
class Summary:
    """Totals of the training: steps, images that were encoded, seconds of steps, parameters that were learned.

    Seconds are of the steps alone, until the device had done them, and of batch normalisation's statistics at the end.
    """

    steps: int
    images: int
    train_seconds: float
    images_per_second: float
    parameters: int


@dataclass(frozen=True, kw_only=True)
class _MachineInFile(Machine):
    precision: Literal["float32", "bfloat16"]
    task_version: int


class _RunFile(msgspec.Struct, forbid_unknown_fields=True):
    run: Values
    machine: _MachineInFile
    data: str
    code: dict[Literal["task", "model", "encoder"], dict[str, str]] = msgspec.field(
        default_factory=dict[Literal["task", "model", "encoder"], dict[str, str]]
    )  # where the parts come from that are not of this package, see `registry.origin`


class _ModelFile(msgspec.Struct, forbid_unknown_fields=True):
    sha256: Sha256  # of the weights
    steps: Count
    images: Count
    train_seconds: Amount
    images_per_second: Amount
    parameters: Count
    files: dict[str, Sha256] = msgspec.field(default_factory=dict[str, Sha256])  # of others that change no more


class _SetInFile(msgspec.Struct, forbid_unknown_fields=True):
    n: Count
    scores: dict[str, float]
    interval: tuple[float, float]
    by_length: dict[Count, dict[str, float]]


class _ScoresFile(msgspec.Struct, forbid_unknown_fields=True):
    version: dict[str, int | str]
    sets: dict[str, _SetInFile]


@dataclass(frozen=True)
class FileCheck:
    """What reading a file of a run's folder showed: whole or not, None if it is none of a run's."""

    name: str
    whole: bool | None
    words: str


class RunFolder:
    """One run's folder. Creating the object does not read or write files."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._check: int | None = None  # of the last line of metrics; None until it is asked for

    def __repr__(self) -> str:
        state = "finished" if self.finished else "unfinished" if self.exists else "no run yet"
        return f"RunFolder({str(self.path)!r}): {state}"

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return (self.path / "run.json").exists()

    @property
    def finished(self) -> bool:
        """Whether its weights are there. If not, training can be resumed."""
        return (self.path / "model.json").exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from; a finished run has none."""
        return (self.path / "checkpoint").exists()

    @contextlib.contextmanager
    def training(self) -> Generator[None, None, None]:
        """A context for the one process that writes the folder, which is made; nothing stays of it if it stays empty.

        Raises InputError if another process is in it, or a file has the folder's name.
        """
        with writing(self.path):
            remove_left_over(self.path, TRAINED)
            yield

    @contextlib.contextmanager
    def scoring(self) -> Generator[None, None, None]:
        """A context for the one process that adds scores to the folder. Raises InputError if another writes there."""
        with locked(self.path, otherwise=""):
            remove_left_over(self.path, ("scores.json",))
            yield

    def start(self, run: Run, machine: Machine, precision: str, task_version: int, data_checksum: str) -> None:
        """Writes what there is to know of a run before it is trained, and the files of the user's own that it needs.

        Raises InputError if the folder holds another file that is named like one of those.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        where = {**dataclasses.asdict(machine), "precision": precision, "task_version": task_version}
        origins = {folder: registry.origin(folder, name) for folder, name in run.parts.items()}
        code = {folder[:-1]: origin for folder, origin in origins.items() if origin is not None}
        for folder, name in run.parts.items():
            if (file := registry.own_file(folder, name)) is not None:
                path = self.path / file.path.name
                if path.exists() and path.read_bytes() != file.content:
                    raise InputError(f"{path}: expected no such file, or the one that is trained; choose another --out")
                write_whole(path, file.content)
        values = {"run": run.to_json(), "machine": where, "data": data_checksum}
        self._write_json("run.json", values | ({"code": code} if code else {}))

    def run(self) -> Run:
        """The configuration.

        Raises InputError if the folder holds no run, its run.json is damaged, or it needs a package that is not there.
        """
        file = self._run_file()
        values = file.run
        for part, origin in self._code(file).items():
            if "package" in origin and values.get(part) not in registry.names(f"{part}s"):
                package = f"{origin['package']} {origin['version']}"
                raise InputError(
                    f"{self.path}: its {part} '{values.get(part)}' is of the package {package}: install it"
                )
        return Run.from_json(values, str(self.path / "run.json"))

    def own_files(self) -> dict[str, str]:
        """The SHA-256 of each file in the folder that defines a part of the run, by name; empty for most runs."""
        code = self._code(self._run_file()) if self.exists else {}
        return {origin["file"]: origin["sha256"] for origin in code.values() if "file" in origin}

    def take_code(self, trust: bool, folders: tuple[str, ...] = registry.FOLDERS) -> Run:
        """Makes the files in the folder that define parts of the run known, so that its network can be built: the run.

        That executes them. So they have to be trusted, unless this process was given the same files already. Raises
        InputError for files that are not trusted, for one that is missing or not the one that was trained, and as `run`
        does.
        """
        untrusted = dict[str, registry.OwnFile]()
        run = self.run()
        for folder, name in run.parts.items():
            if folder not in folders or not registry.is_own_file(name):
                continue
            own = self._own_file(folder, name)
            if not self._given(folder, name):
                untrusted[folder] = own
        if untrusted and not trust:
            code = ", ".join(f"{own.path.name} (SHA-256 {own.sha256})" for own in untrusted.values())
            raise InputError(
                f"{self.path}: it has code, which would be executed: {code}; read it, then add --trust, in Python "
                "trust=True"
            )
        for folder, own in untrusted.items():
            registry.give(folder, own)
        return run

    def expect_own_files(self) -> None:
        """Raises InputError if a file that defines a part is missing or not the one that the run began with."""
        for folder, name in self.run().parts.items():
            if registry.is_own_file(name):
                self._own_file(folder, name)

    def knows_code(self) -> bool:
        """Whether this process was given all files that define parts of the run."""
        return all(self._given(folder, name) for folder, name in self.run().parts.items())

    def _own_file(self, folder: str, name: str) -> registry.OwnFile:
        """The file that defines a part. Raises InputError if it is missing or not the one that was trained."""
        file = self.path / registry.file_name(name)
        content = read_whole(file, registry.MOST_CODE, "Python code") if file.exists() else b""
        own = registry.OwnFile(file, content)
        if own.sha256 != self.own_files().get(file.name) or not name.endswith(f"@{own.sha256[:8]}"):
            raise InputError(f"{file}: changed or missing: expected the {folder[:-1]} that was trained, {name}")
        return own

    def _given(self, folder: str, name: str) -> bool:
        """Whether a part is none of the folder's own files, or one whose content this process was given."""
        if not registry.is_own_file(name):
            return True
        file = registry.own_file(folder, name)
        return file is not None and file.sha256 == self.own_files().get(registry.file_name(name))

    def _code(self, run_file: _RunFile) -> dict[str, dict[str, str]]:
        """By part, where it comes from (see `registry.origin`); nothing for those of the package."""
        for origin in run_file.code.values():
            file = Path(origin.get("file", "x.py"))
            known = origin.keys() in ({"file", "sha256"}, {"package", "version"})
            if not known or file.name != str(file) or file.suffix != registry.SUFFIX:
                raise InputError(f"{self.path / 'run.json'}: expected the files of its parts as 'code', got {origin!r}")
        return {str(part): origin for part, origin in run_file.code.items()}

    def machine(self) -> Machine:
        """The machine it was trained on. Errors as for `run`."""
        values = self._run_file().machine
        return Machine(**{field.name: getattr(values, field.name) for field in dataclasses.fields(Machine)})

    def precision(self) -> str:
        """The precision of its training, "float32" or "bfloat16". Errors as for `run`."""
        return self._run_file().machine.precision

    def task_version(self) -> int:
        """The version of its task when it was trained. Errors as for `run`."""
        return self._run_file().machine.task_version

    def data_checksum(self) -> str:
        """SHA-256 over the content of the data, see `digitset.data.mnist.Splits`. Errors as for `run`."""
        return self._run_file().data

    def add_metrics(self, values: Values) -> None:
        """Adds a line to the metrics."""
        if self._check is None:
            self._check = last_check(self._lines())
        line = MetricsLine.new(values, self._check)
        self._check = line.check
        with (self.path / "metrics.jsonl").open("ab") as file:
            file.write(line.raw + b"\n")

    def metrics(self) -> list[Values]:
        """The lines so far. An incomplete last line, which a kill leaves, is left out.

        Raises InputError, which names the line, if one is damaged or missing.
        """
        return [line.values for line in self._lines()]

    def last_step(self) -> int:
        """The step of the last line of metrics; 0 where there is none. Errors as for `metrics`."""
        lines = self.metrics()
        return lines[-1]["step"] if lines else 0

    def drop_metrics_after(self, step: int, check: int | None = None) -> None:
        """Removes the lines after a checkpoint's step: those steps will be run again.

        `check` is that of the last line which the checkpoint knows; None if it knows none. Raises InputError if lines
        of the checkpoint are missing, and as `metrics` does.
        """
        kept = self._metrics_until(step, check)
        write_whole(self.path / "metrics.jsonl", b"".join(line.raw + b"\n" for line in kept))
        self._check = last_check(kept)

    def _metrics_until(self, step: int, check: int | None = None) -> list[MetricsLine]:
        """The lines until a step. Raises InputError if the last has not this check, and as `metrics` does."""
        kept = [line for line in self._lines() if line.values["step"] <= step]
        if check is not None and check != last_check(kept):
            path = self.path / "metrics.jsonl"
            raise InputError(f"{path}: not the lines of the checkpoint, at step {step}; remove the folder, train again")
        return kept

    def save_checkpoint(self, state: Values) -> None:
        """Writes tensors and plain values. A SHA-256 comes first, because torch does not notice a flipped bit."""
        flushed(self.path / "metrics.jsonl")  # the lines before a checkpoint are never written again
        buffer = io.BytesIO()
        torch.save(state | {"metrics_check": self._check}, buffer)
        content = buffer.getvalue()
        write_whole(self.path / "checkpoint", hashlib.sha256(content).digest() + content)

    def load_checkpoint(self) -> Values:
        """What `save_checkpoint` wrote. Raises InputError if a byte differs. No code in the file is executed."""
        path = self.path / "checkpoint"
        raw = read_whole(path, MOST_BYTES, "a checkpoint")
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise InputError(f"{path}: damaged: its SHA-256 differs; remove the run's folder and train again")
        try:
            saved = torch.load(io.BytesIO(raw[32:]), weights_only=True, map_location="cpu")
        except Exception as error:  # whatever torch meets in a file that something else wrote
            kind = type(error).__name__
            raise InputError(f"{path}: not a checkpoint of digitset ({kind}); remove it and train again") from None
        if not isinstance(saved, dict) or not isinstance(saved.get("step"), int):
            raise InputError(f"{path}: not a checkpoint of digitset: expected its step; remove it and train again")
        return saved

    def finish(self, weights: dict[str, Tensor], summary: Summary) -> None:
        """Writes the weights, then the file that marks the run as finished; removes the checkpoint."""
        content = to_bytes(weights)
        write_whole(self.path / "model.safetensors", content)
        names = [name for name in ("run.json", "metrics.jsonl", *self.own_files()) if (self.path / name).exists()]
        files = {name: self._sha256(name) for name in names}
        self._write_model_json(hashlib.sha256(content).hexdigest(), summary, files)
        (self.path / "checkpoint").unlink(missing_ok=True)

    def weights(self) -> dict[str, Tensor]:
        """The weights of a finished run.

        Raises InputError if there are none, a byte differs, or one is not finite or a negative variance.
        """
        expected, path = self._model_file().sha256, self.path / "model.safetensors"
        content = read_whole(path, MOST_BYTES, "the weights of a run") if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(f"{path}: damaged or missing: its SHA-256 is not that in model.json; train the run again")
        try:
            weights = load_safetensors(content)
        except SafetensorError as error:
            raise InputError(f"{path}: not readable as safetensors ({error}); train the run again") from None
        for name, tensor in weights.items():
            # a finite sum says quickly that all are; that of finite ones may be too large for float32
            finite = math.isfinite(tensor.sum(dtype=torch.float32).item()) or bool(tensor.isfinite().all())
            if not finite or (name.endswith("running_var") and (tensor < 0).any()):
                raise InputError(f"{path}: expected finite weights and variances of at least 0; {name} has others")
        return weights

    def network(self, run: Run | None = None) -> Network:
        """The trained network of a finished run, on the CPU. Raises InputError as `run` and `weights` do.

        `run` is what `run` says, from who has read it already.
        """
        run = run or self.run()
        weights = self.weights()
        self._expect_as_listed("run.json")
        network = Experiment.of(run).build()
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            reason = f"{' '.join(str(error).split())[:200]} ..."
            raise InputError(
                f"{self.path}: weights of another version of '{run.model}' or '{run.encoder}' ({reason}); "
                "train the run again"
            ) from error
        return network

    def summary(self) -> Summary:
        """Totals of the training. Raises InputError for an unfinished run, and if model.json is damaged."""
        return _summary(self._model_file())

    def save_scores(self, scores: Scores, version: dict[str, int]) -> None:
        """Keeps scores with the version of the task and of the evaluation that they were made with."""
        self._write_scores(version | {"model": self._model_file().sha256}, scores)

    def scores(self, version: dict[str, int]) -> Scores | None:
        """The saved scores, if they are of this version and these weights; else None.

        Raises InputError if the file is damaged.
        """
        if not (self.path / "scores.json").exists():
            return None
        kept = self._scores_file()
        return self._sets(kept) if kept.version == version | {"model": self._model_file().sha256} else None

    def publish(self, out: Path, card: str) -> None:
        """Copies a finished run, its scores and its own files, without metrics, into another folder; adds its card.

        What identifies the model is written first, so that after a kill it can be done again. `out` is there.
        """
        (out / "model.json").unlink(missing_ok=True)  # without it the folder is not a complete model
        copy = RunFolder(out)
        for name in copy.own_files():  # of an earlier publication
            (out / name).unlink(missing_ok=True)
        run_file = self._run_file()
        facts = {"run": self.run().shareable().to_json(), "machine": dataclasses.asdict(run_file.machine)}
        facts |= {"data": run_file.data} | ({"code": self._code(run_file)} if run_file.code else {})
        copy._write_json("run.json", facts)
        for name in self.own_files():
            write_whole(out / name, read_whole(self.path / name, registry.MOST_CODE, "Python code"))
        write_whole(out / "README.md", card.encode())
        kept = self._scores_file()
        copy._write_scores(kept.version, self._sets(kept))
        write_whole(out / "model.safetensors", read_whole(self.path / "model.safetensors", MOST_BYTES, "weights"))
        model = self._model_file()
        files = {name: copy._sha256(name) for name in ("run.json", "README.md", *self.own_files())}
        copy._write_model_json(model.sha256, _summary(model), files)

    def check_files(self) -> list[FileCheck]:
        """Reads every file of the folder as it would be used, and says of each what is wrong, if anything is."""
        uses: dict[str, Callable[[], object]] = {
            "run.json": self.run,
            "metrics.jsonl": self.metrics,
            "checkpoint": self._metrics_of_checkpoint,
            "model.json": self.summary,
            "model.safetensors": lambda: self.network() if self.knows_code() else self.weights(),
            "scores.json": lambda: self._sets(self._scores_file()),
        }
        with contextlib.suppress(InputError):  # which the check of run.json tells
            for folder, name in self.run().parts.items():
                if registry.is_own_file(name):
                    uses[registry.file_name(name)] = functools.partial(self._own_file, folder, name)
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
        listed: set[str] = set()
        if self.finished:
            names.add("model.safetensors")
            with contextlib.suppress(InputError):  # which the check of model.json tells
                listed = set(self._model_file().files)
        return [self._checked(name, uses.get(name), name in listed) for name in sorted(names | {"run.json"} | listed)]

    def _checked(self, name: str, use: Callable[[], object] | None, listed: bool) -> FileCheck:
        if use is None and not listed:
            return FileCheck(name, None, "not a file of a run: not checked")
        try:
            if listed:
                self._expect_as_listed(name)
            if use is not None:
                use()
            whole = name in ("checkpoint", "model.safetensors") or name.endswith(registry.SUFFIX) or listed
            whole = whole or (name.endswith(".json") and has_checksum(self.path / name))
            whole = whole or (name == "metrics.jsonl" and all(line.check is not None for line in self._lines()))
        except (InputError, OSError) as error:
            return FileCheck(name, False, str(error))
        return FileCheck(name, True, "whole" if whole else "readable; without a checksum, as older versions wrote it")

    def _run_file(self) -> _RunFile:
        if not self.exists:
            raise InputError(f"{self.path}: expected the folder of a run, found no run.json in it")
        return read_json(self.path / "run.json", _RunFile)

    def _model_file(self) -> _ModelFile:
        if not self.finished:
            self._run_file()  # whose absence is told first
            raise InputError(f"{self.path}: the run is not finished; go on with `digitset train ... --resume`")
        return read_json(self.path / "model.json", _ModelFile)

    def _metrics_of_checkpoint(self) -> list[MetricsLine]:
        saved = self.load_checkpoint()
        return self._metrics_until(saved["step"], saved.get("metrics_check"))

    def _scores_file(self) -> _ScoresFile:
        """The scores and what they were made with, whatever that is."""
        return read_json(self.path / "scores.json", _ScoresFile)

    def _sets(self, file: _ScoresFile) -> Scores:
        where = self.path / "scores.json"
        return {name: SetScores.from_file(of_set, f"{where}: {name}") for name, of_set in file.sets.items()}

    def _expect_as_listed(self, name: str) -> None:
        """Raises InputError if model.json has the hash of a file, and the file is missing or has another."""
        listed = self._model_file().files.get(name) if self.finished else None
        path = self.path / name
        if listed is not None and not (path.exists() and self._sha256(name) == listed):
            raise InputError(f"{path}: damaged or missing: its SHA-256 is not that in model.json")

    def _lines(self) -> list[MetricsLine]:
        path = self.path / "metrics.jsonl"
        self._expect_as_listed("metrics.jsonl")
        if not path.exists():
            return []
        return read_lines(read_whole(path, MOST_BYTES, "lines of metrics"), str(path))

    def _sha256(self, name: str) -> str:
        return hashlib.sha256(read_whole(self.path / name, MOST_BYTES, "a file")).hexdigest()

    def _write_model_json(self, sha256: str, summary: Summary, files: dict[str, str]) -> None:
        """`sha256` is that of the weights."""
        self._write_json("model.json", {"sha256": sha256, **dataclasses.asdict(summary), "files": files})

    def _write_scores(self, version: Mapping[str, int | str], scores: Scores) -> None:
        sets = {name: of_set.to_json() for name, of_set in scores.items()}
        self._write_json("scores.json", {"version": version, "sets": sets})

    def _write_json(self, name: str, values: Values) -> None:
        write_whole(self.path / name, to_json(values))


def _summary(file: _ModelFile) -> Summary:
    return Summary(**{field.name: getattr(file, field.name) for field in dataclasses.fields(Summary)})


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in float16, of half the size; vectors, which are small, stay as they are."""
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def to_bytes(weights: dict[str, Tensor]) -> bytes:
    """Weights as model.safetensors has them: equal weights are equal bytes, on every device and in every layout."""
    return save_safetensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
