"""Answers from an ONNX file that `digitset export` wrote, by ONNX Runtime on the CPU. Nothing here needs torch.

The file says in its metadata all that there is to know of it; every value is a string:

    digitset            version of what is said here, "2"; "1" is without a checksum
    checksum            SHA-256 of the file, with 64 zeros in the place of these 64 digits
    task, question      what is asked
    model, encoder      what answers
    run                 the configuration of its training, as JSON
    weights_sha256      of the weights in float32, as in model.json of a run (not of one published with --half)
    longest             the most images that a sequence may have; empty where any number may
    anchored            "true" where there is an input `anchors`
    preprocessing, images, lengths, anchors, answer, output, attention
                        what each input and output is, in words; each of them says it too, as its description
    output_kind         "distribution" or "numbers", as `digitset.tasks` says; older files do not have it
    versions            of digitset and of what wrote the file
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from digitset.errors import InputError
from digitset.files import read_whole
from digitset.inference.inputs import batches_by_length, check_inputs, warn_of_scale

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "2"
KNOWN = ("1", FORMAT)
ZEROS = b"0" * 64
CHECKSUM = re.compile(rb"\x0a\x08checksum\x12\x40([0-9a-f]{64})")  # the entry among the metadata, in the file's bytes
MOST_BYTES = 256 << 20  # of a file; those of the models here have at most some millions
IMAGES_AT_ONCE = 1_000  # padded images in one batch; they are encoded all at once


class OnnxPredictor:
    """A network in an ONNX file, ready to answer as `digitset.Predictor` does.

    `metadata` is what the file says of itself, strings by name (see `digitset/inference/onnx_runtime.py`); `longest` is
    the most images that a sequence may have, None where any number may; `output_kind` is the kind of `outputs`, None in
    an older file, which does not say it.

    Raises InputError if ONNX Runtime is not installed, or the file is missing or was not written by `digitset export`.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """`threads`: how many ONNX Runtime computes with; 0 leaves it the choice."""
        content = read_whole(Path(path), MOST_BYTES, "an ONNX file")
        checked = _expect_checksum(content, str(path))
        self.session = session(content, threads, str(path))
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        if self.metadata.get("digitset") == FORMAT and not checked:
            raise InputError(f"{path}: damaged: its checksum is missing; export it again")
        if self.metadata.get("digitset") not in KNOWN:
            raise InputError(f"{path}: an ONNX model, but expected one that this version of digitset exported")
        self.longest = int(self.metadata["longest"]) if self.metadata["longest"] else None
        kind = self.metadata.get("output_kind")
        self.output_kind: Literal["numbers", "distribution"] | None = None
        if kind in ("numbers", "distribution"):
            self.output_kind = kind

    def predict(self, sequences: Sequence[Any], anchors: Any = None) -> Float32[np.ndarray, " B"]:
        """The answer for each sequence; arguments, answers and errors are those of `digitset.Predictor.predict`."""
        self._check(sequences, anchors)
        warn_of_scale(sequences)
        answers = np.empty(len(sequences), np.float32)
        for rows, found in self._run("answer", sequences, anchors):
            answers[rows] = found
        return answers

    def outputs(
        self, sequences: "Sequence[np.ndarray | Tensor]", anchors: "np.ndarray | Tensor | None" = None
    ) -> list[Float32[np.ndarray, " _"]]:
        """What the model itself said of each sequence, see `metadata["output"]`: of a distribution, all logarithms.

        Arguments and errors are those of `predict`.
        """
        self._check(sequences, anchors)
        warn_of_scale(sequences)
        outputs: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for rows, found in self._run("output", sequences, anchors):
            for row, output in zip(rows, found, strict=True):
                outputs[row] = output
        return outputs

    def _check(self, sequences: Sequence[Any], anchors: Any) -> None:
        about = self.metadata
        check_inputs(sequences, anchors, about["task"], about["anchored"] == "true", about["model"], self.longest)

    def _run(self, name: str, sequences: Sequence[Any], anchors: Any) -> Iterator[tuple[list[int], np.ndarray]]:
        """One output of the file for all sequences, some at a time, with the indices of their rows."""
        for rows in batches_by_length([len(sequence) for sequence in sequences], IMAGES_AT_ONCE):
            inputs = padded([_array(sequences[row]) for row in rows])
            if anchors is not None:
                inputs["anchors"] = _array(anchors)[rows]
            yield rows, self.session.run([name], inputs)[0]


def with_checksum(content: bytes) -> bytes:
    """An ONNX file whose metadata have zeros as `checksum`, with its checksum there."""
    match = CHECKSUM.search(content)
    assert match is not None
    assert match[1] == ZEROS
    return content[: match.start(1)] + hashlib.sha256(content).hexdigest().encode() + content[match.end(1) :]


def _expect_checksum(content: bytes, source: str) -> bool:
    """Whether a file has a checksum. Raises InputError if it is another file's."""
    match = CHECKSUM.search(content)
    if match is None:
        return False
    digest = hashlib.sha256(content[: match.start(1)])
    digest.update(ZEROS)
    digest.update(content[match.end(1) :])
    if digest.hexdigest().encode() != match[1]:
        raise InputError(f"{source}: damaged: its bytes do not have the checksum that stands in it; export it again")
    return True


def padded(sequences: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs `images` and `lengths` for some sequences: rows of equal length, black images behind shorter ones."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    images = np.zeros((len(sequences), int(lengths.max()), 28, 28), np.uint8)
    for row, sequence in zip(images, sequences, strict=True):
        row[: len(sequence)] = sequence
    return {"images": images, "lengths": lengths}


def session(content: bytes, threads: int, source: str) -> Any:
    """An ONNX Runtime session of a model on the CPU. Raises InputError where there is no runtime, or it is no model.

    Nothing is told to anyone: by default ONNX Runtime reports what it runs to its makers. The variable keeps that from
    starting; the function stops what, on Windows, does not look at the variable.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise needs_onnx() from None
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A thread that waits sleeps. Spinning, one answer took twice the processor time; beside other work, twice as long.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; not which parts of a graph it has no need of
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class of their own
        line = str(error).splitlines()[0]
        raise InputError(f"{source}: not an ONNX model that ONNX Runtime can read: {line}") from None


def needs_onnx() -> InputError:
    """What is raised where a library of ONNX is missing."""
    return InputError("needs ONNX: install digitset[onnx]")


def _array(images: Any) -> UInt8[np.ndarray, "n 28 28"]:
    return images if isinstance(images, np.ndarray) else images.cpu().numpy()
