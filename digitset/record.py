"""A run's folder, written and read only here.

    run.json           the configuration, the machine, the checksum of the data; written first
    metrics.jsonl      one line a log step, and one a validation
    checkpoint         how to go on: step, weights, optimiser; replaced as a whole
    model.safetensors  the weights that are evaluated, and
    model.json         their SHA-256; written last, its presence means that the run is finished
    scores.json        what `evaluate` found on the test images

Nothing is left half-written: a file is written beside its place, flushed to the disk and then moved there.
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from digitset.errors import InputError
from digitset.run import Run

Values = dict[str, Any]
PUBLISHED = ("README.md", "run.json", "scores.json", "model.safetensors", "model.json")  # the files of a model to share


class Record:
    """One run's folder. Creating the object touches nothing on the disk."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return (self.folder / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """Whether its weights are there; if not, training can go on with `resume`."""
        return (self.folder / "model.json").is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a place to go on from; a finished run has none."""
        return (self.folder / "checkpoint").is_file()

    def start(self, run: Run, machine: Values, data_checksum: str) -> None:
        """Makes the folder. Raises InputError where a file is in the way."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(
                f"{self.folder}: expected a folder or nothing, found a file; choose another --out"
            ) from None
        self._write_json("run.json", {"run": run.to_json(), "machine": machine, "data": data_checksum})

    def run(self) -> Run:
        """The configuration. Raises InputError if the folder holds no run."""
        return Run.from_json(self._run_json("run"), str(self.folder / "run.json"))

    def machine(self) -> Values:
        """What it was trained on: device, threads, precision, versions, commit. Errors as for `run`."""
        return self._run_json("machine")

    def data_checksum(self) -> str:
        """SHA-256 over the content of the four files of the data. Errors as for `run`."""
        return self._run_json("data")

    def add_metrics(self, values: Values) -> None:
        """Adds a line to the metrics."""
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")

    def metrics(self) -> list[Values]:
        """The lines so far. A last line that a kill cut short is left out."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        parsed = []
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
        """Forgets what was logged after a checkpoint: those steps will be made again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())

    def save_checkpoint(self, state: Values) -> None:
        """Writes tensors and plain values, behind their SHA-256: torch reads a flipped bit without a word."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        self._write("checkpoint", hashlib.sha256(content).digest() + content)

    def load_checkpoint(self) -> Values:
        """What `save_checkpoint` wrote. Raises InputError if a byte differs. Runs no code from the file."""
        path = self.folder / "checkpoint"
        raw = path.read_bytes()
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise InputError(f"{path}: damaged: its SHA-256 differs; remove the run's folder and train again")
        return torch.load(io.BytesIO(raw[32:]), weights_only=True, map_location="cpu")

    def finish(self, weights: dict[str, Tensor], summary: Values) -> None:
        """Writes the weights, and then the file that says the run is finished; the checkpoint has done its work."""
        content = to_bytes(weights)
        self._write("model.safetensors", content)
        self._write_json("model.json", {"sha256": hashlib.sha256(content).hexdigest(), **summary})
        (self.folder / "checkpoint").unlink(missing_ok=True)

    def weights(self) -> dict[str, Tensor]:
        """The weights of a finished run. Raises InputError if there are none or a byte differs."""
        expected = self.summary()["sha256"]
        path = self.folder / "model.safetensors"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(f"{path}: damaged or missing: its SHA-256 is not that in model.json; train the run again")
        return load_safetensors(content)

    def summary(self) -> Values:
        """What `finish` was told: steps, seconds, images, parameters. Raises InputError for an unfinished run."""
        self.run()
        if not self.finished:
            raise InputError(f"{self.folder}: the run is not finished; go on with `digitset train ... --resume`")
        return self._read_json("model.json")

    def save_scores(self, scores: Values, version: Values) -> None:
        """Keeps scores together with the version of what made them: see `digitset.evaluation.version`."""
        self._write_json("scores.json", {"version": version | {"model": self.summary()["sha256"]}, "sets": scores})

    def scores(self, version: Values) -> Values | None:
        """What `save_scores` kept, if the version is the same and the weights are."""
        if not (self.folder / "scores.json").is_file():
            return None
        kept = self._read_json("scores.json")
        return kept["sets"] if kept.get("version") == version | {"model": self.summary()["sha256"]} else None

    def publish(self, out: Path, card: str) -> None:
        """Writes a finished run with its scores into another folder, as a record without a history, and its card."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "model.json").unlink(missing_ok=True)  # until it is there again, the folder is no whole model
        write_whole(out / "README.md", card.encode())
        for name in PUBLISHED[1:]:
            write_whole(out / name, (self.folder / name).read_bytes() if name != "run.json" else self._shared())

    def _shared(self) -> bytes:
        return _json(self._read_json("run.json") | {"run": self.run().shared().to_json()})

    def _run_json(self, key: str) -> Any:
        if not self.exists:
            raise InputError(f"{self.folder}: expected the folder of a run, found no run.json in it")
        values = self._read_json("run.json")
        if key not in values:
            raise InputError(f"{self.folder / 'run.json'}: expected the key '{key}'; it is not a run of this version")
        return values[key]

    def _read_json(self, name: str) -> Any:
        path = self.folder / name
        try:
            return json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: not readable as JSON ({error}); remove the run's folder and train again"
            ) from None

    def _write_json(self, name: str, values: Values) -> None:
        self._write(name, _json(values))

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.folder / name, content)


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in float16, of half the size; vectors, which are few and may be large, as they are."""
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def to_bytes(weights: dict[str, Tensor]) -> bytes:
    """Weights as model.safetensors has them: the same weights are the same bytes, wherever and however they lie."""
    return save_safetensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: after a crash or on a full disk, the old one is still there."""
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
