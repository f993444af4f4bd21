"""A trained run -> one ONNX file: images in, answers out, compared with torch before it is written.

Padding is not encoded: the graph picks the images that count, as training does. The file is described in
`digitset.inference.onnx_runtime`, which answers with it.
"""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from digitset.data.mnist import load_data
from digitset.errors import InputError
from digitset.files import expect_regular, write_whole
from digitset.inference.onnx_ops import expect_onnx, plain, translated
from digitset.inference.onnx_runtime import FORMAT, ZEROS, padded, session, with_checksum
from digitset.inference.predictor import Predictor
from digitset.layers import Packing
from digitset.models import Attends
from digitset.network import Network
from digitset.run_folder import to_bytes
from digitset.tasks import Task

TOLERANCE = 1e-4
LENGTHS = (1, 3, 10, 40)  # at which a file is compared with torch, as far as the model takes them
SEQUENCES = 5  # of each length, and as many shorter ones with padding behind them


@dataclass(frozen=True)
class Difference:
    """The largest differences found between an exported file and torch, each at most `TOLERANCE`.

    `output`: of probabilities, where the output is a distribution; else of its numbers, divided by the largest one if
    that is above 1. `answer`: from what the task makes of the file's own output, so that two answers which are equally
    probable cannot be mistaken for an error; divided in the same way. `attention`: of weights, None without any.
    `lengths`: of the sequences that were compared, as far as the model takes them.
    """

    output: float
    answer: float
    attention: float | None = None
    lengths: tuple[int, ...] = LENGTHS

    @property
    def largest(self) -> float:
        """NaN if any is."""
        return float(np.max([self.output, self.answer, self.attention or 0.0]))


def export(predictor: Predictor, path: str | Path, attention: bool = False) -> Difference:
    """Writes a trained network as one ONNX file, and says by how much its answers differ from torch's.

    Inputs: `images`, uint8 [batch, length, 28, 28], white ink (255) on black (0), anything behind a sequence's end;
    `lengths`, int64 [batch], how many images of each row count, at least 1; for a task with an anchor `anchors`, uint8
    [batch, 28, 28]. (Lengths, not a mask: they are easily counted, and cannot leave a hole.) Outputs: `answer`, float32
    [batch], as `Predictor.predict` gives it; `output`, what the model said; with `attention` the weights
    [batch, heads, length] of `Predictor.attention`. Batch and length are free, and are dimensions of these names; a
    model of single images has the length 1. The file says in words what it is, and what each input and output is.

    The file is compared with torch on sequences of test images, and left unwritten if they differ by more than 1e-4.
    Raises InputError then, and where ONNX is not installed, the path cannot be written, the model has no attention, or
    has a part that ONNX cannot express.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: expected the name of a file in a folder that exists")
    expect_regular(path, "the name of a file")
    expect_onnx()
    if attention and not isinstance(predictor.network.model, Attends):
        raise InputError(f"model '{predictor.run.model}' has no attention; take a transformer")
    network = predictor.experiment.build()  # another, on the CPU wherever the predictor's is
    network.load_state_dict(predictor.network.state_dict())
    graph = _Graph(plain(network), predictor.task, attention).eval()
    content = _described(_translated(graph, predictor), predictor, attention)
    difference = _compared(content, graph, predictor)
    if not difference.largest <= TOLERANCE:
        raise InputError(
            f"{path}: not written: answers of the exported model differ from torch's by {difference.largest:.1g}, "
            f"expected at most {TOLERANCE:g}"
        )
    write_whole(path, content)
    return difference


class _Graph(nn.Module):
    """What is exported: a network together with what comes before and after it."""

    def __init__(self, network: Network, task: Task, attention: bool) -> None:
        super().__init__()
        self.network, self.task, self.attention = network, task, attention

    def forward(
        self,
        images: UInt8[Tensor, "B L 28 28"],
        lengths: Int64[Tensor, " B"],
        anchors: UInt8[Tensor, "B 28 28"] | None = None,
    ) -> tuple[Tensor, ...]:
        """An anchor is encoded as one image more at the start of its sequence."""
        if anchors is not None:
            images, lengths = torch.cat([anchors[:, None], images], dim=1), lengths + 1
        mask = torch.arange(images.shape[1]) < lengths[:, None]
        tokens, anchor = self._encoded(images, mask), None
        if anchors is not None:
            anchor, tokens, mask = tokens[:, 0], tokens[:, 1:], mask[:, 1:]
        output = self.network.model(tokens, mask, anchor)
        model = self.network.model
        answer = self.task.answer(self.task.decode(output, model.output_kind))
        if self.attention and isinstance(model, Attends):
            return answer, output, model.attention(tokens, mask, anchor)
        return answer, output

    def _encoded(self, images: Tensor, mask: Tensor) -> Float[Tensor, "B L D"]:
        packing = Packing.of(mask)
        torch._check(packing.position.shape[0] > 0)  # what is not known before has to be promised: there are images
        return packing.unpack(self.network.embed(images.flatten(0, 1).index_select(0, packing.position)))


def _translated(graph: _Graph, predictor: Predictor) -> torch.onnx.ONNXProgram:
    """The ONNX program of a graph, whose examples must not have a length of 1 where any is to be possible."""
    length = min(4, graph.network.longest or 4)
    inputs = {"images": torch.zeros(3, length, 28, 28, dtype=torch.uint8), "lengths": torch.full((3,), length)}
    images = {0: "batch"} | ({1: "length"} if length > 1 else {})
    shapes: dict[str, Any] = {"images": images, "lengths": {0: "batch"}}
    if predictor.task.anchored:
        inputs["anchors"] = inputs["images"][:, 0].clone()
        shapes["anchors"] = {0: torch.export.Dim.DYNAMIC}  # the same as that of the images, so it has its name
    names = ["answer", "output"] + ["attention"] * graph.attention
    return translated(graph, inputs, shapes, names, predictor.run)


def _described(program: Any, predictor: Predictor, attention: bool) -> bytes:
    """The bytes of an ONNX program with what it says of itself, and without what a runtime finds out itself."""
    model, about, run = program.model, _metadata(predictor, attention), predictor.run
    model.metadata_props.update(about)
    model.doc_string = (
        f"{predictor.task.question} The model '{run.model}' over images encoded by '{run.encoder}', exported by "
        f"digitset {importlib.metadata.version('digitset')}. The metadata say what it is and how it was trained."
    )
    for value in [*model.graph.inputs, *model.graph.outputs]:
        value.doc_string = about[value.name]
    file = program.model_proto
    del file.graph.value_info[:]  # shapes between the operations
    return with_checksum(file.SerializeToString())


def _metadata(predictor: Predictor, attention: bool) -> dict[str, str]:
    run, task, network = predictor.run, predictor.task, predictor.network
    if network.model.output_kind == "distribution":
        output = "natural logarithms of the probabilities of the answers 0, 1, 2 ... (no, yes where there are but two)"
    else:
        output = f"{task.output_size} as the model said; its training loss was: {task.loss.__doc__}"
    versions = {name: importlib.metadata.version(name) for name in ("digitset", "torch", "onnx", "onnxscript")}
    about = {
        "digitset": FORMAT,
        "checksum": ZEROS.decode(),
        "task": run.task,
        "question": task.question,
        "model": run.model,
        "encoder": run.encoder,
        "run": json.dumps(run.shareable().to_json()),
        "weights_sha256": hashlib.sha256(to_bytes(network.state_dict())).hexdigest(),
        "longest": "" if network.longest is None else str(network.longest),
        "anchored": json.dumps(task.anchored),
        "preprocessing": "inside the model: pixels are divided by 255",
        "images": "uint8 [batch, length, 28, 28]: white ink (255) on black (0), each digit in 20x20 pixels with its "
        "centre of mass in the middle of the 28x28, as in MNIST; what is behind a sequence's end is not looked at",
        "lengths": "int64 [batch]: how many images of each row count, at least 1",
        "answer": f"float32 [batch]: {task.answer.__doc__}",
        "output_kind": network.model.output_kind,
        "output": f"float32 [batch, _]: {output}",
        "versions": json.dumps(versions),
    }
    if task.anchored:
        about["anchors"] = "uint8 [batch, 28, 28]: one image like the others for each sequence, what is asked about"
    if attention:
        about["attention"] = "float32 [batch, heads, length]: how much each head looks at each image; padding has 0"
    return about


def _compared(content: bytes, graph: _Graph, predictor: Predictor) -> Difference:
    """The largest differences on sequences of test images: one alone, and several with padding, for each length."""
    runtime = session(content, 1, "the exported model")
    images = load_data().test.images.numpy()  # any will do, and these are there on every machine
    differences: list[list[float]] = []
    compared = tuple(length for length in LENGTHS if length <= (graph.network.longest or length))
    for length in compared:
        for lengths in ([length], [*range(1, length, max(1, length // SEQUENCES)), *[length] * SEQUENCES]):
            starts = np.cumsum(lengths) - lengths
            inputs = padded([images[start : start + count] for start, count in zip(starts, lengths, strict=True)])
            if predictor.task.anchored:
                inputs["anchors"] = images[1_000 : 1_000 + len(lengths)]
            differences.append(_differences(runtime, graph, inputs))
    worst = np.max(differences, axis=0).tolist()  # NaN if any is, which Python's max is not
    return Difference(*worst, lengths=compared)


@torch.no_grad()
def _differences(runtime: Any, graph: _Graph, inputs: dict[str, np.ndarray]) -> list[float]:
    """The difference of the output, of the answer, and of the attention if there is one. NaN stays NaN."""
    expected = graph(**{name: torch.from_numpy(value.copy()) for name, value in inputs.items()})
    answer, output, *weights = (torch.from_numpy(value) for value in runtime.run(None, inputs))
    kind = graph.network.model.output_kind
    retold = graph.task.answer(graph.task.decode(output, kind))
    pairs = [(output, expected[1]), (answer, retold), *zip(weights, expected[2:], strict=True)]
    if kind == "distribution":
        pairs[0] = output.exp(), expected[1].exp()
    return [float((one - other).abs().max() / other.abs().max().clamp(min=1)) for one, other in pairs]
