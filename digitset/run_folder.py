"""A run's folder, written and read only here.

    run.json           the configuration, the machine, the checksum of the data; written first
    my_model.py        files of the user's own that define its parts, if any, as they were when it began
    metrics.jsonl      one line for a log step, and one for a validation
    checkpoint         to resume from: step, weights, optimiser; replaced atomically
    model.safetensors  the weights that are evaluated, and
    model.json         their SHA-256; written last: if it is there, the run is finished
    scores.json        the scores on the test images

No file is left half-written: it is written under another name, flushed to the disk and then moved into place.
"""

import dataclasses
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from digitset import registry
from digitset.device import Machine
from digitset.errors import InputError
from digitset.network import Experiment, Network
from digitset.run import Run

Values = dict[str, Any]
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
    def from_json(cls, values: Values) -> "SetScores":
        """What `to_json` wrote."""
        by_length = {
            int(length): LengthScores(part["n"], {name: value for name, value in part.items() if name != "n"})
            for length, part in values["by_length"].items()
        }
        low, high = values["interval"]
        return cls(values["n"], values["scores"], (low, high), by_length)


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


class RunFolder:
    """One run's folder. Creating the object does not read or write files."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        state = "finished" if self.finished else "unfinished" if self.exists else "no run yet"
        return f"RunFolder({str(self.path)!r}): {state}"

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return (self.path / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """Whether its weights are there. If not, training can be resumed."""
        return (self.path / "model.json").is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from; a finished run has none."""
        return (self.path / "checkpoint").is_file()

    def start(self, run: Run, machine: Machine, precision: str, task_version: int, data_checksum: str) -> None:
        """Makes the folder. Raises InputError if a file has its name, or it holds another file named like the run's."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{self.path}: expected a folder or nothing, found a file; choose another --out") from None
        where = {**dataclasses.asdict(machine), "precision": precision, "task_version": task_version}
        origins = {folder: registry.origin(folder, name) for folder, name in run.parts.items()}
        code = {folder[:-1]: origin for folder, origin in origins.items() if origin is not None}
        for folder, name in run.parts.items():
            if (file := registry.own_file(folder, name)) is not None:
                there = self.path / file.path.name
                if there.exists() and there.read_bytes() != file.content:
                    raise InputError(
                        f"{there}: expected no such file, or the one that is trained; choose another --out"
                    )
                self._write(there.name, file.content)
        values = {"run": run.to_json(), "machine": where, "data": data_checksum}
        self._write_json("run.json", values | ({"code": code} if code else {}))

    def run(self) -> Run:
        """The configuration. Raises InputError if the folder holds no run, or one that needs another package."""
        values = self._run_json("run")
        for part, origin in self._code().items():
            folder = f"{part}s"
            if "package" in origin and folder in registry.FOLDERS and values.get(part) not in registry.names(folder):
                package = f"{origin['package']} {origin.get('version', '')}".strip()
                raise InputError(
                    f"{self.path}: its {part} '{values.get(part)}' is of the package {package}: install it"
                )
        return Run.from_json(values, str(self.path / "run.json"))

    def own_files(self) -> dict[str, str]:
        """The SHA-256 of each file in the folder that defines a part of the run, by name; empty for most runs."""
        return {origin["file"]: origin["sha256"] for origin in self._code().values() if "file" in origin}

    def take_code(self, trust: bool, folders: tuple[str, ...] = registry.FOLDERS) -> None:
        """Makes the files in the folder that define parts of the run known, so that its network can be built.

        That executes them. So they have to be trusted, unless this process was given the same files already. Raises
        InputError for files that are not trusted, and for one that is missing or not the one that was trained.
        """
        sums, untrusted = self.own_files(), dict[str, registry.OwnFile]()
        for folder, name in self.run().parts.items():
            if folder not in folders or not registry.is_own_file(name):
                continue
            file = self.path / registry.file_name(name)
            own = registry.OwnFile(file, file.read_bytes() if file.is_file() else b"")
            if own.sha256 != sums.get(file.name) or not name.endswith(f"@{own.sha256[:8]}"):
                raise InputError(f"{file}: changed or missing: expected the {folder[:-1]} that was trained, {name}")
            if self._given(folder, name):
                continue
            untrusted[folder] = own
        if untrusted and not trust:
            code = ", ".join(f"{own.path.name} (SHA-256 {own.sha256})" for own in untrusted.values())
            raise InputError(
                f"{self.path}: it has code, which would be executed: {code}; read it, then add --trust, in Python "
                "trust=True"
            )
        for folder, own in untrusted.items():
            registry.give(folder, own)

    def machine(self) -> Machine:
        """The machine it was trained on. Errors as for `run`."""
        values = self._run_json("machine")
        known = {field.name for field in dataclasses.fields(Machine)}
        return Machine(**{name: value for name, value in values.items() if name in known})

    def precision(self) -> str:
        """The precision of its training, "float32" or "bfloat16". Errors as for `run`."""
        return self._run_json("machine")["precision"]

    def task_version(self) -> int:
        """The version of its task when it was trained. Errors as for `run`."""
        return self._run_json("machine")["task_version"]

    def data_checksum(self) -> str:
        """SHA-256 over the content of the four files of the data. Errors as for `run`."""
        return self._run_json("data")

    def add_metrics(self, values: Values) -> None:
        """Adds a line to the metrics."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def metrics(self) -> list[Values]:
        """The lines so far. An incomplete last line is left out."""
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        parsed: list[Values] = []
        for line in lines:
            try:
                parsed.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return parsed

    def last_step(self) -> int:
        """The step of the last line of metrics; 0 where there is none."""
        lines = self.metrics()
        return lines[-1]["step"] if lines else 0

    def drop_metrics_after(self, step: int) -> None:
        """Removes the lines after a checkpoint's step: those steps will be run again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())

    def save_checkpoint(self, state: Values) -> None:
        """Writes tensors and plain values. A SHA-256 comes first, because torch does not notice a flipped bit."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        self._write("checkpoint", hashlib.sha256(content).digest() + content)

    def load_checkpoint(self) -> Values:
        """What `save_checkpoint` wrote. Raises InputError if a byte differs. No code in the file is executed."""
        path = self.path / "checkpoint"
        raw = path.read_bytes()
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise InputError(f"{path}: damaged: its SHA-256 differs; remove the run's folder and train again")
        return torch.load(io.BytesIO(raw[32:]), weights_only=True, map_location="cpu")

    def finish(self, weights: dict[str, Tensor], summary: Summary) -> None:
        """Writes the weights, then the file that marks the run as finished; removes the checkpoint."""
        content = to_bytes(weights)
        self._write("model.safetensors", content)
        marks = {"sha256": hashlib.sha256(content).hexdigest(), **dataclasses.asdict(summary)}
        self._write_json("model.json", marks)
        (self.path / "checkpoint").unlink(missing_ok=True)

    def weights(self) -> dict[str, Tensor]:
        """The weights of a finished run. Raises InputError if there are none or a byte differs."""
        expected = self._weights_sha256()
        path = self.path / "model.safetensors"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(f"{path}: damaged or missing: its SHA-256 is not that in model.json; train the run again")
        return load_safetensors(content)

    def network(self) -> Network:
        """The trained network of a finished run, on the CPU. Raises InputError as `run` and `weights` do."""
        run = self.run()
        weights = self.weights()
        network = Experiment.of(run).build()
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: weights of another version of '{run.model}' or '{run.encoder}': {error}"
            ) from error
        return network

    def summary(self) -> Summary:
        """Totals of the training. Raises InputError for an unfinished run."""
        values = self._model_json()
        return Summary(**{field.name: values[field.name] for field in dataclasses.fields(Summary)})

    def save_scores(self, scores: Scores, version: dict[str, int]) -> None:
        """Keeps scores with the version of the task and of the evaluation that they were made with."""
        made_by = version | {"model": self._weights_sha256()}
        self._write_json("scores.json", {"version": made_by, "sets": {name: s.to_json() for name, s in scores.items()}})

    def scores(self, version: dict[str, int]) -> Scores | None:
        """The saved scores, if they are of this version and these weights; else None."""
        if not (self.path / "scores.json").is_file():
            return None
        values = self._read_json("scores.json")
        if values.get("version") != version | {"model": self._weights_sha256()}:
            return None
        return {name: SetScores.from_json(of_set) for name, of_set in values["sets"].items()}

    def publish(self, out: Path, card: str) -> None:
        """Copies a finished run, its scores and its own files, without metrics, into another folder; adds its card."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "model.json").unlink(missing_ok=True)  # without it the folder is not a complete model
        for name in RunFolder(out).own_files():  # of an earlier publication
            (out / name).unlink(missing_ok=True)
        write_whole(out / "README.md", card.encode())
        for name in (*self.own_files(), *PUBLISHED[1:]):
            write_whole(out / name, self._shareable() if name == "run.json" else (self.path / name).read_bytes())

    def knows_code(self) -> bool:
        """Whether this process was given all files that define parts of the run."""
        return all(self._given(folder, name) for folder, name in self.run().parts.items())

    def _given(self, folder: str, name: str) -> bool:
        """Whether a part is none of the folder's own files, or one whose content this process was given."""
        file = registry.own_file(folder, name)
        sha256 = self.own_files().get(registry.file_name(name))
        return not registry.is_own_file(name) or (file is not None and file.sha256 == sha256)

    def _code(self) -> dict[str, dict[str, str]]:
        """By part, where it comes from (see `registry.origin`); nothing for those of the package."""
        whole = self._read_json("run.json") if self.exists else {}
        values = whole.get("code", {}) if isinstance(whole, dict) else {}
        origins = list(values.values()) if isinstance(values, dict) else [values]
        for origin in origins:
            texts = isinstance(origin, dict) and all(isinstance(value, str) for value in origin.values())
            known = texts and (origin.keys() in ({"file", "sha256"}, {"package", "version"}))
            file = Path(origin.get("file", "x.py")) if known else Path()
            if not known or file.name != str(file) or file.suffix != registry.SUFFIX:
                raise InputError(f"{self.path / 'run.json'}: expected the files of its parts as 'code', got {origin!r}")
        return values

    def _shareable(self) -> bytes:
        return _json(self._read_json("run.json") | {"run": self.run().shareable().to_json()})

    def _run_json(self, key: str) -> Any:
        if not self.exists:
            raise InputError(f"{self.path}: expected the folder of a run, found no run.json in it")
        values = self._read_json("run.json")
        if key not in values:
            raise InputError(f"{self.path / 'run.json'}: expected the key '{key}'; it is not a run of this version")
        return values[key]

    def _model_json(self) -> Values:
        self.run()
        if not self.finished:
            raise InputError(f"{self.path}: the run is not finished; go on with `digitset train ... --resume`")
        return self._read_json("model.json")

    def _weights_sha256(self) -> str:
        return self._model_json()["sha256"]

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: not readable as JSON ({error}); remove the run's folder and train again"
            ) from None

    def _write_json(self, name: str, values: Values) -> None:
        self._write(name, _json(values))

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in float16, of half the size; vectors, which are small, stay as they are."""
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def to_bytes(weights: dict[str, Tensor]) -> bytes:
    """Weights as model.safetensors has them: equal weights are equal bytes, on every device and in every layout."""
    return save_safetensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file atomically: after a crash or on a full disk, the old one is still there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "nt":  # where a folder cannot be opened
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
